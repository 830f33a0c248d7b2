//! A hyper client over Multipath TCP, one path per device: fetches `/` and tells what came over which subflow.
//!
//! ```text
//! cargo run --release --example hyper_client -- 192.168.56.101:8080 mpu0=10.9.0.2 mpu1=10.9.1.2
//! ```

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use mpuser_tun::device::PlainTun;
use mpuser_tun::{Events, PathConfig, Stack};
use std::error::Error;
use std::time::Duration;

async fn print_events(mut events: Events) {
    while let Some((at, event)) = events.recv_timed().await {
        println!("{at} {event:?}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let remote = arguments.next().ok_or("usage: hyper_client HOST:PORT DEVICE=ADDRESS...")?;
    let mut builder = Stack::builder();
    for path in arguments {
        let (device, address) = path.split_once('=').ok_or("a path is DEVICE=ADDRESS")?;
        builder = builder.path(PathConfig::new(PlainTun::open(device)?, address.parse()?));
    }
    let stack = builder.build()?;

    let stream = stack.connect(remote.as_str()).await?;
    let events = tokio::spawn(print_events(stream.events()));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/")
        .header("host", remote)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    println!("{status}, {} bytes", body.len());
    events.await?;
    for path in stack.path_stats() {
        println!("{}: {} bytes in, {} bytes out", path.name, path.bytes_received, path.bytes_sent);
    }
    stack.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
