//! mpuser on a real machine: devices that carry IP packets, the tokio driver around the engine, and streams that
//! feel like tokio's.
//!
//! A [`Stack`] owns an [`Endpoint`](mpuser_engine::Endpoint) and one [`device::Device`] per path. [`MptcpStream`] and
//! [`MptcpListener`] are used like tokio's `TcpStream` and `TcpListener`:
//!
//! ```no_run
//! use mpuser_tun::{PathConfig, Stack, device::PlainTun};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # async fn example() -> std::io::Result<()> {
//! let stack = Stack::builder()
//!     .path(PathConfig::new(PlainTun::open("mpu0")?, "10.9.0.2".parse().unwrap()))
//!     .path(PathConfig::new(PlainTun::open("mpu1")?, "10.9.1.2".parse().unwrap()).backup(true))
//!     .build()?;
//! let mut stream = stack.connect("192.168.56.101:7000").await?;
//! stream.write_all(b"hello").await?;
//! stream.shutdown().await?; // DATA_FIN; reading goes on
//! let mut answer = Vec::new();
//! stream.read_to_end(&mut answer).await?;
//! # Ok(())
//! # }
//! ```

mod carrier;
pub mod clock;
pub mod control;
pub mod device;
mod driver;
mod error;
mod intercept;
pub mod lab;
mod listener;
pub mod net;
mod spin;
mod stack;
mod stream;

#[cfg(feature = "internals")]
pub use carrier::internals;
pub use carrier::{HostPort, PathNote, ProxyUrl, Scheme, StreamVia};
pub use error::Error;
pub use intercept::{Incoming, Interceptor};
pub use listener::MptcpListener;
pub use mpuser_capture::{self as capture, CaptureWriter};
pub use mpuser_record::{self as record, Recorder};
pub use stack::{
    ConnectOptions, Multipath, PathConfig, PathStats, Stack, StackBuilder, system_seed,
};
pub use stream::{
    Events, MptcpStream, OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf,
};
