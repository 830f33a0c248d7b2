//! The smallest server over Multipath TCP: gives every client its own words back. As root:
//!
//! ```text
//! cargo run --example hello_server -- 7000
//! ```

mod paths;

use mpuser_tun::MptcpListener;
use mpuser_tun::net::ReturnPath;
use std::error::Error;
use std::net::Ipv4Addr;
use tokio::io::AsyncWriteExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: hello_server PORT")?.parse()?;
    // clients use the addresses of this machine's interfaces, as with any server; in a lab the engine's are known
    let (stack, mut routes) = paths::everywhere()?;
    routes.let_in(port)?;

    let listener = MptcpListener::bind(&stack, (Ipv4Addr::UNSPECIFIED, port)).await?;
    for path in routes.paths() {
        let translated = path.return_path == ReturnPath::Masquerade;
        println!("listening on {}", if translated { path.egress.local } else { path.engine });
    }
    loop {
        let (stream, peer) = listener.accept().await?;
        // plain TCP clients come here, too
        println!("{peer}: {}", if stream.is_mptcp() { "MPTCP" } else { "plain TCP" });
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            let echoed = tokio::io::copy(&mut reader, &mut writer).await;
            // every subflow the connection has had
            for subflow in reader.as_ref().subflows() {
                println!("{peer}: subflow {} from {}", subflow.id.0, subflow.tuple.remote);
            }
            let _ = writer.shutdown().await;
            println!("{peer}: {echoed:?} bytes");
        });
    }
}
