//! The smallest client over Multipath TCP: every way out of this machine is a path. As root:
//!
//! ```text
//! cargo run --example hello_client -- 192.168.56.101:7000
//! ```

mod paths;

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let remote: SocketAddr =
        std::env::args().nth(1).ok_or("usage: hello_client IP:PORT")?.parse()?;
    // devices and routes; they go when `_routes` does
    let (stack, _routes) = paths::towards(remote.ip())?;

    let mut stream = stack.connect(remote).await?;
    println!("connected by {}", if stream.is_mptcp() { "MPTCP" } else { "plain TCP" });
    stream.write_all(b"hello over Multipath TCP\n").await?;
    stream.shutdown().await?; // the end of our data (DATA_FIN); reading goes on
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    print!("{answer}");

    drop(stream);
    stack.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
