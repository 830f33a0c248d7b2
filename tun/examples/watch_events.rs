//! What happens to a connection while it lives: subflows that come and go, addresses the server announces. As root:
//!
//! ```text
//! cargo run --example watch_events -- 192.168.56.101:7000
//! ```

mod paths;

use mpuser_engine::Event;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let remote: SocketAddr =
        std::env::args().nth(1).ok_or("usage: watch_events IP:PORT")?.parse()?;
    let (stack, _routes) = paths::towards(remote.ip())?;
    let stream = stack.connect(remote).await?;

    // from the beginning on, even if asked for late; as many receivers as one likes
    let mut events = stream.events();
    let watcher = tokio::spawn(async move {
        while let Some((at, event)) = events.recv_timed().await {
            match event {
                Event::SubflowEstablished { subflow, tuple, backup, .. } => {
                    let role = if backup { " (backup)" } else { "" };
                    println!(
                        "{at} subflow {} up: {} -> {}{role}",
                        subflow.0, tuple.local, tuple.remote
                    );
                }
                Event::SubflowClosed { subflow, cause, .. } => {
                    println!("{at} subflow {} down: {cause:?}", subflow.0);
                }
                Event::AddressAnnounced { address, .. } => {
                    println!("{at} the server is also at {address}")
                }
                other => println!("{at} {other:?}"),
            }
        }
    });

    let (mut reader, mut writer) = stream.into_split();
    for _ in 0..10 {
        writer.write_all(b"hello\n").await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    writer.shutdown().await?;
    reader.read_to_end(&mut Vec::new()).await?;
    drop((reader, writer));
    watcher.await?;
    Ok(())
}
