//! Goodput of bulk transfers over the unshaped lab, ours and the kernel's in turn, as medians and their ratio. No
//! gate: it depends on the machine and on what else it does.
//!
//! `cargo bench -p mpuser-tests --bench goodput` (as root)

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is the report")]

use mpuser_tests::interop::{Data, Fixture, SERVER, Setup, Table, established, median, send_all};
use mpuser_tun::clock;
use mpuser_tun::lab::LabOptions;
use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol};
use socket2::{Domain, Socket, Type};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

const ROUNDS: usize = 5;
const SIZE: usize = 200 << 20;
const UP: u16 = 7201;
const DOWN: u16 = 7202;
const IPPROTO_MPTCP: i32 = 262;

fn at(port: u16) -> SocketAddr {
    SocketAddr::new(SERVER, port)
}

/// Mbit/s of one transfer by our client; data flows when three subflows are there, or from the start when the server
/// sends.
fn ours(fixture: &Fixture, up: bool, data: &Data) -> f64 {
    let setup = Setup { capture: false, ..Setup::default() };
    fixture.client(&setup, async |stack| {
        let mut stream = stack.connect(at(if up { UP } else { DOWN })).await.unwrap();
        if up {
            established(&stream, 3).await;
        }
        let start = clock::now();
        if up {
            send_all(&mut stream, &data.bytes).await;
        }
        // Not hashed, as the kernel's is not.
        let mut buffer = vec![0; 256 << 10];
        let mut total = 0;
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, if up { 0 } else { SIZE });
        rate(start)
    })
}

fn rate(start: mpuser_engine::time::Instant) -> f64 {
    SIZE as f64 * 8.0 / clock::now().saturating_since(start).as_secs_f64() / 1e6
}

/// The same by the kernel's client.
fn kernels(fixture: &Fixture, up: bool, data: &Data) -> f64 {
    let run = || -> std::io::Result<f64> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(IPPROTO_MPTCP.into()))?;
        socket.set_tcp_congestion(b"cubic")?;
        let start = clock::now();
        socket.connect(&at(if up { UP } else { DOWN }).into())?;
        let mut stream = TcpStream::from(socket);
        let start = if up {
            // For the joins, as above.
            std::thread::sleep(Duration::from_millis(50));
            let start = clock::now();
            stream.write_all(&data.bytes)?;
            stream.shutdown(Shutdown::Write)?;
            start
        } else {
            start
        };
        let (mut buffer, mut total) = (vec![0; 256 << 10], 0);
        loop {
            match stream.read(&mut buffer)? {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, if up { 0 } else { SIZE });
        Ok(rate(start))
    };
    fixture.lab().in_namespace("client", run).unwrap().unwrap_or_else(|e| panic!("{e}"))
}

fn main() {
    let fixture = Fixture::up("goodput", LabOptions::default());
    let ns = fixture.lab().netns("server").unwrap();
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let _up = PeerServer::start(&ns, any(UP), Protocol::Mptcp, Mode::Discard).unwrap();
    let _down =
        PeerServer::start(&ns, any(DOWN), Protocol::Mptcp, Mode::Source(SIZE as u64)).unwrap();
    let data = Data::new(SIZE, 1);
    compare(&fixture, &data, "as they are");
    // The links carry packets of one segment each, as a TUN device without offload does.
    for (node, dev) in
        ["client", "server"].iter().flat_map(|n| ["eth1", "eth2", "eth3"].map(|d| (n, d)))
    {
        let off = ["tso", "gso", "gro", "tx", "rx", "sg"].map(|feature| [feature, "off"]).concat();
        fixture.output(node, &[&["ethtool", "-K", dev], off.as_slice()].concat());
    }
    compare(&fixture, &data, "without segmentation offload");
}

fn compare(fixture: &Fixture, data: &Data, links: &str) {
    let title =
        format!("{} MiB over three links {links}, Mbit/s, medians of {ROUNDS} in turn", SIZE >> 20);
    let columns = ["way", "ours", "the kernel's", "ratio", "ours, each", "the kernel's, each"];
    let mut table = Table::new(title, &columns);
    for up in [true, false] {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            a.push(ours(fixture, up, data));
            b.push(kernels(fixture, up, data));
        }
        let list = |v: &[f64]| v.iter().map(|r| format!("{r:.0}")).collect::<Vec<_>>().join(" ");
        let (each_a, each_b) = (list(&a), list(&b));
        let (a, b) = (median(a), median(b));
        let way = if up { "upload" } else { "download" };
        let cells = [format!("{a:.0}"), format!("{b:.0}"), format!("{:.2}", a / b)];
        table.row(&[&way, &cells[0], &cells[1], &cells[2], &each_a, &each_b]);
    }
    println!("{table}");
}
