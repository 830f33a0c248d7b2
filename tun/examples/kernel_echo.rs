//! Builds the seed lab, echoes bytes off a kernel MPTCP server over all paths, and prints what happened.
//!
//! `cargo run --release -p mpuser-tun --example kernel_echo -- BYTES [WAIT_SUBFLOWS]` (as root)

use mpuser_tun::capture::CaptureWriter;
use mpuser_tun::device::PlainTun;
use mpuser_tun::lab::{self, LabOptions};
use mpuser_tun::net::{self, PathOptions, PathSet};
use mpuser_tun::{PathConfig, Stack};
use std::error::Error;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let bytes: usize = std::env::args().nth(1).unwrap_or("1000000".into()).parse()?;
    let wait: usize = std::env::args().nth(2).unwrap_or("3".into()).parse()?;
    let lab = lab::up(&LabOptions { name: "try".into(), ..LabOptions::default() })?;
    let server = lab.netns("server")?;
    let peer = "192.168.56.101:7000".parse()?;
    let before = lab::peer::kernel_counters(&server)?;
    let echo = lab::peer::PeerServer::start(
        &server,
        "0.0.0.0:7000".parse()?,
        lab::peer::Protocol::Mptcp,
        lab::peer::Mode::Echo,
    )?;
    let result = lab.in_namespace("client", || run(peer, bytes, wait))?;
    println!("server saw {} connections, {} bytes", echo.connections(), echo.received());
    let after = lab::peer::kernel_counters(&server)?;
    for (name, value) in lab::peer::counter_delta(&before, &after) {
        println!("  {name} {value}");
    }
    lab::down("try")?;
    result
}

fn run(
    peer: std::net::SocketAddr,
    bytes: usize,
    wait: usize,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let ways = net::discover(peer.ip())?;
    let (mut set, devices) = PathSet::setup(&ways, &PathOptions::default(), |plan| {
        PlainTun::open(&plan.tun).map_err(|e| panic!("{e}"))
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut builder = Stack::builder();
        for (plan, device) in set.paths().iter().zip(devices) {
            builder =
                builder.path(PathConfig::new(device, plan.engine).name(plan.egress.dev.clone()));
        }
        if let Ok(file) = std::env::var("PCAP") {
            builder = builder.capture(CaptureWriter::new(std::fs::File::create(file)?));
        }
        let stack = builder.build()?;
        let mut stream = stack.connect(peer).await?;
        for _ in 0..200 {
            if stream.subflows().len() >= wait {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let data: Vec<u8> = (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect();
        let start = mpuser_tun::clock::now();
        let (mut reader, mut writer) = stream.split();
        let mut back = Vec::with_capacity(bytes);
        let send = async {
            writer.write_all(&data).await?;
            writer.shutdown().await
        };
        let both = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::join!(send, reader.read_to_end(&mut back))
        })
        .await;
        println!("{both:?} equal: {}", back == data);
        let time = mpuser_tun::clock::now().saturating_since(start).as_nanos() as f64 / 1e9;
        println!("{:.1} Mbit/s echo", bytes as f64 * 8.0 / time / 1e6);
        println!("{:#?}", stream.info());
        drop(stream);
        let _ = stack.clone().shutdown(Duration::from_secs(2)).await;
        println!("{:?}", stack.path_stats());
        Ok(())
    });
    set.undo()?;
    outcome
}
