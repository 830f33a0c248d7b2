//! Devices with offload against the kernel: super-segments both ways, over three subflows, with and without DSS checksums;
//! how large they are in bulk, over IPv4 and IPv6.
#![expect(clippy::expect_used, reason = "a panic is the report")]

use mpuser_tests::interop::{
    Data, Fixture, Peer, SERVER, Scenario, Setup, Table, Watch, established, main as run, ports,
    receive, upload,
};
use mpuser_tun::Stack;
use mpuser_tun::device::{Device as _, Offload, OffloadTun, PlainTun, Tun};
use mpuser_tun::lab::LabOptions;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "super_segments_both_ways", run: |f| both_ways(f, false) },
        Scenario { name: "super_segments_with_checksums", run: |f| both_ways(f, true) },
        Scenario { name: "in_bulk_a_call_moves_32_kib", run: bulk },
        Scenario { name: "a_persistent_device_forgets_offload", run: persistent },
    ];
    run("offload", LabOptions { ipv6: true, ..LabOptions::default() }, &[], &scenarios)
}

const SIZE: usize = 32 << 20;
/// Bytes of a packet, at least, on the average of a short transfer over three subflows.
const LARGE: u64 = 8_000;
/// What one subflow moves in bulk.
const BULK: usize = 96 << 20;
/// Bytes of a packet, and so of a system call, in bulk: at least, on the average, slow start included.
const BULK_CALL: u64 = 32 * 1024;
/// [`SERVER`] in IPv6.
const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x192, 0x168, 0x56, 0, 0, 0, 0x101));

/// What went over all paths: packets and bytes sent, packets and bytes received.
fn totals(stack: &Stack) -> [u64; 4] {
    stack.path_stats().iter().fold([0; 4], |sum, path| {
        let of = [path.packets_sent, path.bytes_sent, path.packets_received, path.bytes_received];
        std::array::from_fn(|i| sum[i] + of[i])
    })
}

fn both_ways(fixture: &Fixture, checksum: bool) {
    fixture.sysctl("server", "net/mptcp/checksum_enabled", if checksum { "1" } else { "0" });
    let server = fixture.kernel_server();
    let title = format!("Devices with offload, checksums {}", if checksum { "on" } else { "off" });
    let columns = ["way", "offload", "bytes", "packets", "bytes a packet", "equal by SHA-256"];
    let mut table = Table::new(title, &columns);
    for offload in [Offload::Auto, Offload::Off] {
        let setup = Setup { offload, ..Setup::default() }.checksum(checksum);
        let watch = Watch::start(fixture, "server");
        let to = Transfer { server: SERVER, subflows: 3, size: SIZE, checksum };
        let moved = fixture.client(&setup, async |stack| {
            [up(stack, &server, to).await, down(stack, &server, to).await]
        });
        watch.assert_no_fault(&format!("{offload:?}"));
        for (way, [packets, bytes]) in ["up", "down"].into_iter().zip(moved) {
            let mean = bytes / packets;
            table.row(&[&way, &format!("{offload:?}"), &SIZE, &packets, &mean, &"yes"]);
            assert_eq!(offload == Offload::Auto, mean > LARGE, "{way} {offload:?}: {mean}");
        }
    }
    println!("{table}");
}

/// One subflow over IPv4 and one over IPv6: the gate for what a system call moves.
fn bulk(fixture: &Fixture) {
    let server = fixture.peer("server", "server.py", &["mptcp@::", &ports()].join(" "));
    let columns = ["family", "way", "bytes", "packets", "bytes a packet", "equal by SHA-256"];
    let mut table = Table::new("Devices with offload in bulk, one subflow".to_owned(), &columns);
    for dest in [SERVER, SERVER6] {
        let setup = Setup { offload: Offload::Auto, dest, paths: 1, ..Setup::default() };
        let to = Transfer { server: dest, subflows: 1, size: BULK, checksum: false };
        let moved = fixture.client(&setup, async |stack| {
            [up(stack, &server, to).await, down(stack, &server, to).await]
        });
        let family = if dest.is_ipv6() { "IPv6" } else { "IPv4" };
        for (way, [packets, bytes]) in ["up", "down"].into_iter().zip(moved) {
            let mean = bytes / packets;
            table.row(&[&family, &way, &BULK, &packets, &mean, &"yes"]);
            assert!(mean >= BULK_CALL, "{family} {way}: {mean}");
        }
    }
    println!("{table}");
}

/// What is moved, and where to.
#[derive(Clone, Copy)]
struct Transfer {
    server: IpAddr,
    subflows: usize,
    size: usize,
    checksum: bool,
}

/// Packets and bytes in the direction of the data.
async fn up(stack: &Stack, server: &Peer, to: Transfer) -> [u64; 2] {
    let data = Data::new(to.size, 7);
    let mut stream = stack.connect(SocketAddr::new(to.server, Peer::SINK)).await.expect("connect");
    established(&stream, to.subflows).await;
    let before = totals(stack);
    let answer = upload(&mut stream, &data.bytes).await;
    let after = totals(stack);
    let info = stream.info().expect("a connection");
    assert!(info.mptcp && info.csum_enabled == to.checksum, "{info:#?}");
    drop(stream);
    assert_eq!(server.report_async().await.error(), None, "{info:#?}");
    assert_eq!(answer, data.sha256, "{info:#?}");
    [after[0] - before[0], after[1] - before[1]]
}

async fn down(stack: &Stack, server: &Peer, to: Transfer) -> [u64; 2] {
    server.ask(to.size, 8, 3);
    let mut stream =
        stack.connect(SocketAddr::new(to.server, Peer::SOURCE)).await.expect("connect");
    let before = totals(stack);
    let (size, hash) = receive(&mut stream).await;
    let after = totals(stack);
    let info = stream.info().expect("a connection");
    assert!(info.mptcp && info.csum_enabled == to.checksum, "{info:#?}");
    drop(stream);
    let report = server.report_async().await;
    assert_eq!(report.error(), None, "{report:?}\n{info:#?}");
    assert_eq!((size, hash.as_str()), (to.size, report.text("sent_sha256")), "{info:#?}");
    [after[2] - before[2], after[3] - before[3]]
}

/// Asks the kernel whether it merges TCP segments for a device (`ETHTOOL_GTSO`).
const MERGES: &str = "
import array, fcntl, socket, struct, sys
value = array.array('B', struct.pack('II', 0x1e, 0))
with socket.socket() as sock:
    fcntl.ioctl(sock, 0x8946, struct.pack('16sP16x', sys.argv[1].encode(), value.buffer_info()[0]))
print(struct.unpack('II', value.tobytes())[1])
";

/// Opens a device with offload and dies.
const DIES: &str = "
import fcntl, os, struct, sys
fd = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', sys.argv[1].encode(), 0x5001))
fcntl.ioctl(fd, 0x400454d0, 7)
";

/// Whoever opens the device next without a virtio-net header must not be given super-segments.
fn persistent(fixture: &Fixture) {
    let output = |argv: &[&str]| fixture.output("client", argv);
    let merges = || output(&["python3", "-c", MERGES, "keep0"]).trim() == "1";
    output(&["ip", "tuntap", "add", "keep0", "mode", "tun"]);
    let steps = || {
        let device = Tun::open("keep0", Offload::Auto).expect("the device");
        assert!(device.offload() && device.max_payload() > 60_000 && merges());
        // One at a time has it.
        assert!(OffloadTun::open("keep0").is_err());
        drop(device);
        assert!(!merges(), "after the end of the one who could take them");
        output(&["python3", "-c", DIES, "keep0"]);
        assert!(merges(), "after his death");
        let device = PlainTun::open("keep0").expect("the device");
        assert!(!device.offload() && !merges());
        drop(device);
        let device = Tun::open("keep0", Offload::Off).expect("the device");
        assert!(!device.offload() && device.max_payload() == 0);
    };
    fixture.lab().in_namespace("client", steps).expect("a namespace");
    output(&["ip", "link", "delete", "keep0"]);
}
