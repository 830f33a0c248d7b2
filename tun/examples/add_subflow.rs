//! One subflow at first, a second one by hand, and what each of them carried. As root:
//!
//! ```text
//! cargo run --example add_subflow -- 192.168.56.101:7000 [ADDRESS-OF-THE-SERVER]
//! ```

mod paths;

use mpuser_engine::config::{ConnectionConfig, PathManagerKind};
use mpuser_tun::ConnectOptions;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let remote: SocketAddr = arguments.next().ok_or("usage: add_subflow IP:PORT [IP]")?.parse()?;
    let second: IpAddr = arguments.next().map_or(Ok(remote.ip()), |text| text.parse())?;
    let (stack, _routes) = paths::towards(remote.ip())?;

    // a path manager that opens nothing by itself
    let path_manager = PathManagerKind::Default;
    let config = Some(ConnectionConfig { path_manager, ..ConnectionConfig::default() });
    let options = ConnectOptions { config, ..ConnectOptions::default() };
    let mut stream = stack.connect_with(remote, options).await?;
    stream.write_all(b"hello by one path\n").await?;
    stream.read_exact(&mut [0; 18]).await?; // the server has answered: joins are possible

    let local = stack.addresses().last().ok_or("no path")?.address;
    let subflow = stream.add_subflow(local, SocketAddr::new(second, remote.port()))?;
    println!("opening subflow {} from {local} to {second}", subflow.0);
    let data = vec![b'x'; 4 << 20];
    let (mut reader, mut writer) = stream.into_split();
    let sending = async {
        writer.write_all(&data).await?;
        writer.shutdown().await
    };
    let mut back = Vec::new();
    tokio::try_join!(sending, reader.read_to_end(&mut back))?;
    println!("{} of {} bytes came back", back.len(), data.len());
    for subflow in reader.as_ref().subflows() {
        let (id, sent, received) = (subflow.id.0, subflow.bytes_sent, subflow.bytes_received);
        println!("subflow {id}: {sent} bytes out, {received} in");
    }
    Ok(())
}
