//! MP_PRIO in the middle of a transfer, from either end.

use super::{RATE, announce, at, ip_mptcp, ours, told};
use mpuser_engine::addr::SubflowId;
use mpuser_tests::interop::{Fixture, Peer, Setup, Table, Watch, established};
use mpuser_tun::MptcpStream;
use std::io::ErrorKind;
use std::time::Duration;

const PRIORITY: [&str; 4] = ["MPPrioTx", "MPPrioRx", "MPJoinAckRx", "MPJoinSynAckRx"];

/// What subflow `which` carried, in either direction.
fn carried(stream: &MptcpStream, which: SubflowId) -> u64 {
    let subflows = stream.subflows();
    let one = subflows.iter().find(|s| s.id == which).unwrap();
    one.bytes_sent + one.bytes_received
}

/// What the subflow carries in 300 ms, once what was under way has come through.
async fn flow(stream: &MptcpStream, which: SubflowId) -> u64 {
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = carried(stream, which);
    tokio::time::sleep(Duration::from_millis(300)).await;
    carried(stream, which) - before
}

/// Waits until what was under way on the subflow has come through, at most two seconds; says how many milliseconds that took.
/// A peer has given it to the subflow before it heard of the priority, and an emulated one may need long to send it.
async fn settled(stream: &MptcpStream, which: SubflowId) -> u128 {
    let start = tokio::time::Instant::now();
    let mut before = u64::MAX;
    while start.elapsed() < Duration::from_secs(2) {
        let now = carried(stream, which);
        if now == before {
            break;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    start.elapsed().as_millis()
}

/// Keeps the stream busy in one direction for ever.
async fn busy(stream: &MptcpStream, up: bool) {
    let mut buffer = vec![7; 256 << 10];
    loop {
        let outcome = if up {
            stream.writable().await.unwrap();
            stream.try_write(&buffer)
        } else {
            stream.readable().await.unwrap();
            stream.try_read(&mut buffer)
        };
        match outcome {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) | Ok(0) => panic!("it ended: {outcome:?} {:#?}", stream.info()),
            Ok(_) => {}
        }
    }
}

pub(super) fn priorities(fixture: &Fixture) {
    let columns = [
        "asked by",
        "data goes",
        "before",
        "ms until quiet",
        "as a backup",
        "regular again",
        "ours",
        "the kernel's",
    ];
    let title = format!("Bytes in 300 ms over one of two subflows of {RATE}");
    let mut table = Table::new(title, &columns);
    for (we_ask, up) in [(true, false), (true, true), (false, true), (false, false)] {
        for path in ["eth1", "eth2"] {
            fixture.lab().set_rate(path, Some(RATE)).unwrap();
        }
        announce(fixture, true);
        let server = fixture.kernel_server();
        let watch = Watch::start(fixture, "server");
        let setup = Setup { paths: 2, dead_subflows: true, ..Setup::default() };
        fixture.client(&setup, async |stack| {
            server.ask(64 << 20, 1, 2);
            let port = if up { Peer::SINK } else { Peer::SOURCE };
            let stream = stack.connect(at(port)).await.unwrap();
            established(&stream, 2).await;
            let second = stream.subflows().into_iter().find(|s| s.join && s.state == "ESTAB");
            let second = second.unwrap().id;
            let set = async |backup: bool| {
                let flag = if backup { "backup" } else { "nobackup" };
                if we_ask {
                    stream.set_backup(second, backup).unwrap();
                } else {
                    ip_mptcp(fixture, &format!("endpoint change id 1 {flag}")).await;
                }
                let waited = if backup { settled(&stream, second).await } else { 0 };
                (flow(&stream, second).await, waited)
            };
            let story = async {
                let before = flow(&stream, second).await;
                (before, set(true).await, set(false).await.0)
            };
            let (before, (spared, waited), again) = tokio::select! {
                story = story => story,
                () = busy(&stream, up) => unreachable!("it goes on for ever"),
            };
            let who = if we_ask { "us" } else { "the kernel" };
            let way = if up { "up" } else { "down" };
            let context = format!("{before} {spared} {again}: {:#?}", stream.info());
            assert!(spared * 20 < before && spared * 20 < again, "{context}");
            let counters = stack.counters();
            let mine = told(&PRIORITY, |name| ours(&counters, name));
            let theirs = told(&PRIORITY, |name| watch.mptcp(name));
            let (asked, heard) = if we_ask {
                (counters.mp_prio_tx, watch.mptcp("MPPrioRx"))
            } else {
                (watch.mptcp("MPPrioTx"), counters.mp_prio_rx)
            };
            // ours are repeated
            let most = if we_ask { 6 } else { 2 };
            assert!((2..=most).contains(&asked) && (2..=asked).contains(&heard), "{context}");
            table.row(&[&who, &way, &before, &waited, &spared, &again, &mine, &theirs]);
            stream.abort();
            let _ = server.report_async().await;
        });
    }
    println!("{table}");
}
