//! What tshark makes of a run: one MPTCP connection, nothing malformed, no complaint, and every token and HMAC right.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is the report")]

use mpuser_engine::addr::AddressId;
use mpuser_engine::crypto::{Key, Nonce, add_addr_hmac, join_hmac};
use mpuser_tests::interop::{
    Data, Fixture, Peer, SERVER, Scenario, Setup, Table, established, exchange, hex, main as run,
};
use mpuser_tun::lab::LabOptions;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let scenarios = [
        Scenario { name: "dissected_without_checksums", run: |f| dissected(f, false) },
        Scenario { name: "dissected_with_checksums", run: |f| dissected(f, true) },
    ];
    run("wire", LabOptions::default(), &["tshark"], &scenarios)
}

/// Runs tshark over the capture with everything it can check about MPTCP; lines of tab-separated fields.
fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-Y", filter, "-T", "fields"]);
    for preference in [
        "tcp.analyze_sequence_numbers:TRUE",
        "tcp.relative_sequence_numbers:FALSE",
        "mptcp.analyze_mappings:TRUE",
        "mptcp.relative_sequence_numbers:TRUE",
        "tcp.check_checksum:TRUE",
        "ip.check_checksum:TRUE",
    ] {
        command.args(["-o", preference]);
    }
    for field in fields {
        command.args(["-e", field]);
    }
    let out = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "tshark {filter}: {complaint}");
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn dissected(fixture: &Fixture, checksum: bool) {
    fixture.sysctl("server", "net/mptcp/checksum_enabled", if checksum { "1" } else { "0" });
    let server = fixture.kernel_server();
    // Whole packets: tshark verifies their checksums.
    let setup = Setup { snaplen: 0, ..Setup::default() }.checksum(checksum);
    let scenario = async |stack: &mpuser_tun::Stack| {
        let data = Data::new(2 << 20, 1);
        let mut stream = stack.connect(SocketAddr::new(SERVER, Peer::ECHO)).await.unwrap();
        established(&stream, 3).await;
        let (_, hash) = exchange(&mut stream, &data.bytes).await;
        assert_eq!(hash, data.sha256);
        drop(stream);
        assert_eq!(server.report_async().await.error(), None);
    };
    let title = format!(
        "tshark on a capture of 2 MiB echoed, checksums {}",
        if checksum { "on" } else { "off" }
    );
    let mut table = Table::new(title, &["question", "answer"]);
    fixture.captured(&setup, scenario, |capture, ()| {
        look(capture, &mut table);
        verify(capture, &mut table);
    });
    println!("{table}");
}

fn look(capture: &Path, table: &mut Table) {
    let packets = tshark(capture, "tcp", &["mptcp.stream"]);
    let mut streams: Vec<_> =
        packets.iter().map(|p| p[0].clone()).filter(|s| !s.is_empty()).collect();
    streams.sort();
    streams.dedup();
    assert_eq!(streams, ["0"], "MPTCP connections");
    table.row(&[&"packets", &packets.len()]);
    table.row(&[&"MPTCP connections (mptcp.stream)", &streams.len()]);
    // tshark misses a mapping on a pure ACK behind the last one, too; there is nothing to map.
    let questions = [
        ("malformed packets", "_ws.malformed"),
        ("invalid lengths of options", "tcp.option.len.invalid"),
        (
            "bad checksums from us",
            "ip.src == 10.83.0.0/16 && (tcp.checksum.status == 0 || ip.checksum.status == 0)",
        ),
        (
            "complaints of its MPTCP dissector",
            "_ws.expert && (mptcp.connection.echoed_key_mismatch || \
          mptcp.connection.missing_algorithm || mptcp.connection.unsupported_algorithm || \
          (mptcp.dss.missing_mapping && tcp.len > 0))",
        ),
        ("protocol errors it sees", "_ws.expert.severity == error"),
    ];
    for (what, filter) in questions {
        let found = tshark(capture, filter, &["frame.number", "_ws.expert.message"]);
        assert!(found.is_empty(), "{what}: {found:?}");
        table.row(&[&what, &found.len()]);
    }
}

fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}")),
    }
}

/// Computes every token and HMAC of the capture anew, from the keys in its third ACK.
fn verify(capture: &Path, table: &mut Table) {
    let keys = tshark(
        capture,
        "tcp.options.mptcp.subtype == 0 && tcp.flags.syn == 0 && tcp.options.mptcp.recvkey",
        &["tcp.options.mptcp.sendkey", "tcp.options.mptcp.recvkey"],
    );
    let (client, server) = (Key(number(&keys[0][0])), Key(number(&keys[0][1])));
    let joins = tshark(
        capture,
        "tcp.options.mptcp.subtype == 1",
        &[
            "tcp.stream",
            "tcp.options.mptcp.recvtok",
            "tcp.options.mptcp.sendrand",
            "tcp.options.mptcp.sendtrunchmac",
            "tcp.options.mptcp.sendhmac",
        ],
    );
    let (mut ours, mut theirs) = (BTreeMap::new(), BTreeMap::new());
    let (mut tokens, mut short, mut long) = (0, 0, 0);
    for join in &joins {
        let stream = &join[0];
        if !join[1].is_empty() {
            assert_eq!(number(&join[1]) as u32, server.facts().token.0, "token: {join:?}");
            ours.insert(stream.clone(), Nonce(number(&join[2]) as u32));
            tokens += 1;
        } else if !join[3].is_empty() {
            theirs.insert(stream.clone(), Nonce(number(&join[2]) as u32));
            let hmac = join_hmac(server, client, theirs[stream], ours[stream]);
            assert_eq!(
                number(&join[3]),
                u64::from_be_bytes(hmac.leftmost64()),
                "SYN/ACK: {join:?}"
            );
            short += 1;
        } else {
            let hmac = join_hmac(client, server, ours[stream], theirs[stream]);
            assert_eq!(join[4].replace(':', ""), hex(&hmac.leftmost160()), "ACK: {join:?}");
            long += 1;
        }
    }
    assert!(tokens == 2 && short == 2 && long >= 2, "{joins:#?}");
    table.row(&[&"tokens of MP_JOIN SYNs recomputed and equal", &tokens]);
    table.row(&[&"HMACs of MP_JOIN SYN/ACKs recomputed and equal", &short]);
    table.row(&[&"HMACs of MP_JOIN third ACKs recomputed and equal", &long]);
    let announced = tshark(
        capture,
        "tcp.options.mptcp.addaddrtrunchmac",
        &[
            "tcp.options.mptcp.addrid",
            "tcp.options.mptcp.ipv4",
            "tcp.options.mptcp.addaddrtrunchmac",
        ],
    );
    for add in &announced {
        let id = AddressId(number(&add[0]) as u8);
        let hmac = add_addr_hmac(server, client, id, add[1].parse().unwrap(), None);
        assert_eq!(number(&add[2]), u64::from_be_bytes(hmac), "ADD_ADDR: {add:?}");
    }
    assert!(announced.len() >= 2);
    table.row(&[&"HMACs of ADD_ADDRs recomputed and equal", &announced.len()]);
}
