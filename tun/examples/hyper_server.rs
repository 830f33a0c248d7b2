//! A hyper server over Multipath TCP: every request gets a body of N bytes.
//!
//! ```text
//! ip tuntap add mpu0 mode tun && ip addr add 10.9.0.1/24 dev mpu0 && ip link set mpu0 up
//! cargo run --release --example hyper_server -- mpu0 10.9.0.2 8080 1000000
//! curl -s -o /dev/null -w '%{size_download}\n' http://10.9.0.2:8080/
//! ```
//!
//! `mptcpize run curl ...` makes curl speak MPTCP; without it the connection is plain TCP, and works too.

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mpuser_tun::device::PlainTun;
use mpuser_tun::{MptcpListener, PathConfig, Stack};
use std::convert::Infallible;
use std::error::Error;
use std::net::IpAddr;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [device, address, port, size] = arguments.as_slice() else {
        return Err("usage: hyper_server DEVICE ADDRESS PORT BODY-BYTES".into());
    };
    let (address, port): (IpAddr, u16) = (address.parse()?, port.parse()?);
    let body = Bytes::from(vec![b'x'; size.parse()?]);

    let stack = Stack::builder().path(PathConfig::new(PlainTun::open(device)?, address)).build()?;
    let listener = MptcpListener::bind(&stack, (address, port)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        println!("{peer}: {}", if stream.is_mptcp() { "MPTCP" } else { "TCP" });
        let body = body.clone();
        let service = service_fn(move |_: Request<hyper::body::Incoming>| {
            let response = Response::new(Full::new(body.clone()));
            async { Ok::<_, Infallible>(response) }
        });
        let server = hyper::server::conn::http1::Builder::new();
        tokio::spawn(async move {
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
