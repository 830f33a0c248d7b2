//! Data on SYNs with a kernel at the other end: the first connection fetches a cookie, the second uses it (RFC 7413,
//! RFC 8684 appendix B).

use super::{Role, announce, at, listen, order, told};
use mpuser_engine::config::{ConnectionConfig, FastOpen};
use mpuser_engine::counters::Counters;
use mpuser_tests::interop::{
    Data, Fixture, Peer, Setup, Table, Watch, kernel_version, receive, send_all, upload,
};
use mpuser_tun::ConnectOptions;
use serde_json::json;

const FAST_OPEN: [&str; 6] = [
    "TCPFastOpenActive",
    "TCPFastOpenActiveFail",
    "TCPFastOpenPassive",
    "TCPFastOpenPassiveFail",
    "TCPFastOpenCookieReqd",
    "TCPFastOpenListenOverflow",
];
const EARLY: usize = 700;

pub(super) fn early_data(fixture: &Fixture) {
    if kernel_version() < (6, 3) {
        eprintln!("SKIPPED: data_on_syns: Fast Open on MPTCP sockets came with Linux 6.3");
        return;
    }
    let columns = ["our role", "connection", "mode", "intact", "ours", "the kernel's"];
    let mut table = Table::new(format!("{EARLY} bytes of 100 kB with the SYN"), &columns);
    announce(fixture, false);
    fixture.sysctl("server", "net/ipv4/tcp_fastopen", "3");
    let server =
        fixture.peer("server", "server.py", &format!("mptcp+fastopen sink:{}", Peer::SINK));
    let client = fixture.peer("server", "client.py", "");
    let connection =
        ConnectionConfig { fast_open: FastOpen::Cookie, ..ConnectionConfig::default() };
    let setup = Setup { connection, paths: 1, ..Setup::default() };
    fixture.client(&setup, async |stack| {
        let listener = listen(stack).await;
        for role in [Role::Client, Role::Listener] {
            for number in 1..=2 {
                let (before, watch) = (stack.counters(), Watch::start(fixture, "server"));
                let data = Data::new(100_000, number);
                let (sent, mptcp);
                let received = if role == Role::Client {
                    let early_data = data.bytes[..EARLY].to_vec();
                    let options = ConnectOptions { early_data, ..ConnectOptions::default() };
                    let mut stream = stack.connect_with(at(Peer::SINK), options).await.unwrap();
                    let answer = upload(&mut stream, &data.bytes[EARLY..]).await;
                    (sent, mptcp) = (data.sha256.clone(), stream.is_mptcp());
                    drop(stream);
                    assert_eq!(server.report_async().await.error(), None);
                    answer
                } else {
                    client.tell(&order("upload", 100_000, number, json!({ "fast_open": EARLY })));
                    let mut stream = listener.accept().await.unwrap().0;
                    let hash = receive(&mut stream).await.1;
                    send_all(&mut stream, hash.as_bytes()).await;
                    mptcp = stream.is_mptcp();
                    drop(stream);
                    let report = client.report_async().await;
                    assert_eq!(report.error(), None, "{report:?}");
                    sent = report.text("sent_sha256").to_owned();
                    hash
                };
                let counters = stack.counters();
                let count = |counters: &Counters, name: &str| {
                    let name = format!("TcpExt{name}");
                    counters.iter().find(|(n, _)| *n == name).map_or(0, |(_, value)| value)
                };
                let mine = told(&FAST_OPEN, |name| count(&counters, name) - count(&before, name));
                let delta = watch.delta();
                let theirs = |name: &str| delta.get(&format!("TcpExt{name}")).copied().unwrap_or(0);
                let theirs = told(&FAST_OPEN, theirs);
                let mode = if mptcp { "MPTCP" } else { "TCP" };
                assert!(received == sent && mptcp, "{role:?} {number}: {mine} / {theirs}");
                let (active, passive) = match role {
                    Role::Client => (&mine, &theirs),
                    Role::Listener => (&theirs, &mine),
                };
                let first = number == 1;
                let expected = if first { "" } else { "TCPFastOpenActive 1" };
                assert_eq!(active, expected, "{role:?} {number}");
                let expected =
                    if first { "TCPFastOpenCookieReqd 1" } else { "TCPFastOpenPassive 1" };
                assert_eq!(passive, expected, "{role:?} {number}");
                let role = format!("{role:?}");
                table.row(&[&role, &number, &mode, &(received == sent), &mine, &theirs]);
            }
        }
    });
    println!("{table}");
}
