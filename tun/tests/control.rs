//! The control socket: answers, orders, and clients that mean no good.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::{Net, client_ip, net, server_addr, server_ip};
use mpuser_tun::control::{
    ControlClient, ControlServer, MAX_CLIENTS, MAX_LINE, Refusal, Reply, Request, SocketReport,
    SubflowOrder, processes,
};
use mpuser_tun::{MptcpStream, Multipath, Stack};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs what blocks beside the runtime.
async fn beside<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(f).await.unwrap()
}

async fn ask(path: &Path, request: Request) -> Result<Vec<Reply>, Refusal> {
    let path = path.to_owned();
    let outcome = beside(move || ControlClient::connect(&path)?.ask(&request)).await;
    outcome.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>());
        inner.cloned().unwrap_or_else(|| panic!("{error}"))
    })
}

async fn mptcp(path: &Path, line: &str) -> Result<Vec<Reply>, Refusal> {
    ask(path, Request::Mptcp { line: line.to_owned() }).await
}

async fn socket(path: &Path) -> SocketReport {
    let replies = ask(path, Request::Sockets).await.unwrap();
    let mut sockets = replies.into_iter().map(|reply| match reply {
        Reply::Socket(socket) => *socket,
        other => panic!("{other:?}"),
    });
    sockets.next_back().unwrap()
}

fn serve(stack: &Stack) -> (ControlServer, PathBuf) {
    let server = ControlServer::start(stack, "test").unwrap();
    let path = server.path().to_owned();
    (server, path)
}

/// Two ends and a connection of `subflows` subflows.
async fn connection(paths: usize) -> (Net, MptcpStream, MptcpStream) {
    let net = net(paths);
    let (client, server) = net.connection().await;
    common::exchange_on(&client, &server).await;
    wait("every subflow", || {
        client.subflows().iter().filter(|s| s.state == "ESTAB").count() == paths
    })
    .await;
    (net, client, server)
}

async fn wait(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_have_answers() {
    let (net, client, _server) = connection(2).await;
    let (_control, path) = serve(&net.client);
    let hello = ask(&path, Request::Hello).await.unwrap();
    let [Reply::Hello { pid, title, .. }] = &hello[..] else { panic!("{hello:?}") };
    assert_eq!((*pid, title.as_str()), (std::process::id(), "test"));

    let report = socket(&path).await;
    let info = client.info().unwrap();
    assert_eq!((report.state.as_str(), report.mptcp, report.client), ("ESTAB", true, true));
    assert_eq!(report.token, format!("{:x}", info.token.0));
    assert_eq!(report.write_seq, format!("{:x}", info.write_seq));
    assert_eq!((report.subflows, report.subflow.len()), (1, 2));
    assert_eq!(report.remote, Some(server_addr()));
    assert!(
        report.subflow.iter().any(|subflow| subflow.join && subflow.local.ip() == client_ip(1))
    );

    let counters = ask(&path, Request::Counters).await.unwrap();
    let of_kernel = counters.iter().filter(
        |reply| matches!(reply, Reply::Counter(counter) if counter.name.starts_with("MPTcpExt")),
    );
    assert_eq!(of_kernel.count(), 76, "as many as Linux 6.18 has");
    let paths = ask(&path, Request::Paths).await.unwrap();
    let used = |reply: &Reply| matches!(reply, Reply::Path(path) if path.bytes_sent > 0);
    assert!(paths.len() == 2 && paths.iter().all(used), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_obeyed() {
    let (net, client, server) = connection(2).await;
    let (_control, path) = serve(&net.client);
    let token = socket(&path).await.token;
    let second = client.subflows().iter().find(|s| s.join).unwrap().id.0;
    let order = |order| Request::Subflow { token: token.clone(), order };
    ask(&path, order(SubflowOrder::Backup(second, true))).await.unwrap();
    wait("the backup", || server.subflows().iter().any(|s| s.join && s.backup)).await;
    ask(&path, order(SubflowOrder::Close(second))).await.unwrap();
    wait("the close", || server.subflows().iter().filter(|s| s.state == "ESTAB").count() == 1)
        .await;
    let open =
        SubflowOrder::Open { local: client_ip(1), remote: (server_ip(1), common::PORT).into() };
    let opened = ask(&path, order(open)).await.unwrap();
    assert!(matches!(opened[..], [Reply::Subflow { .. }]), "{opened:?}");
    wait("the join", || server.subflows().iter().filter(|s| s.state == "ESTAB").count() == 2).await;
    let refusal = ask(&path, order(SubflowOrder::Close(77))).await.unwrap_err();
    assert!(refusal.because.contains("no such"), "{refusal:?}");
    let unknown = Request::Subflow { token: "1".to_owned(), order: SubflowOrder::Close(0) };
    assert!(ask(&path, unknown).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_and_limits_speak_ips_grammar() {
    let (net, _client, server) = connection(1).await;
    let (_control, path) = serve(&net.client);
    mptcp(&path, "endpoint add 10.9.0.77 id 9 signal").await.unwrap();
    let shown = mptcp(&path, "endpoint show id 9").await.unwrap();
    let [Reply::Endpoint(endpoint)] = &shown[..] else { panic!("{shown:?}") };
    assert_eq!((endpoint.id, endpoint.signal, endpoint.subflow), (9, true, false));
    // and the peer was told
    wait("the address", || server.info().unwrap().add_addr_accepted == 1).await;
    mptcp(&path, "endpoint change id 9 backup").await.unwrap();
    mptcp(&path, "endpoint delete id 9").await.unwrap();
    wait("its removal", || server.info().unwrap().add_addr_accepted == 0).await;
    assert_eq!(mptcp(&path, "endpoint show id 9").await.unwrap_err().because, "address not found");
    assert!(
        mptcp(&path, "endpoint add 10.9.0.2 dev nowhere")
            .await
            .unwrap_err()
            .because
            .contains("nowhere")
    );
    assert!(mptcp(&path, "endpoint frob").await.is_err());

    mptcp(&path, "limits set subflows 3").await.unwrap();
    let limits = mptcp(&path, "limits show").await.unwrap();
    assert_eq!(limits, [Reply::Limits { add_addr_accepted: 8, subflows: 3 }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn interfaces_are_turned_off_and_on() {
    let (net, _client, server) = connection(2).await;
    let (_control, path) = serve(&net.client);
    let paths = net.client.path_stats();
    let alive = || server.subflows().iter().filter(|s| s.state == "ESTAB").count();
    let order = |state| Request::Multipath { dev: paths[1].outlet.clone(), state };
    ask(&path, order(Multipath::Off)).await.unwrap();
    wait("off", || alive() == 1).await;
    ask(&path, order(Multipath::On)).await.unwrap();
    wait("on", || alive() == 2).await;
    ask(&path, order(Multipath::Backup)).await.unwrap();
    wait("backup", || server.subflows().iter().any(|s| s.state == "ESTAB" && s.backup)).await;
    let unknown = Request::Multipath { dev: "nope".to_owned(), state: Multipath::Off };
    let refusal = ask(&path, unknown).await.unwrap_err();
    assert!(refusal.because.contains(&paths[0].outlet), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_told_as_they_happen() {
    let net = net(2);
    let (_control, path) = serve(&net.client);
    let client = beside(move || ControlClient::connect(&path)).await.unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for reply in client.monitor().unwrap() {
            let Reply::Event(event) = reply else { panic!("{reply:?}") };
            sender.send(event).unwrap();
        }
    });
    // the watcher has to be there first
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (client, server) = net.connection().await;
    common::exchange_on(&client, &server).await;
    let mut words = Vec::new();
    while words.last().is_none_or(|word| word != "SF_ESTABLISHED") {
        let event =
            tokio::task::block_in_place(|| receiver.recv_timeout(Duration::from_secs(10))).unwrap();
        assert!(event.token.is_some());
        words.push(event.event.clone());
    }
    assert_eq!(words[..2], ["CREATED", "ESTABLISHED"]);
}

/// P22: what is no request gets one error, and the connection is closed.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused() {
    let net = net(1);
    let (_control, path) = serve(&net.client);
    let talk = move |bytes: Vec<u8>| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // the other side may be gone before it has read all
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    beside(move || {
        let long = vec![b'x'; MAX_LINE * 2];
        let nested = [vec![b'['; 60_000], vec![b'\n']].concat();
        for garbage in [
            &b"nonsense\n"[..],
            b"\n",
            b"{}\n",
            b"{\"request\":\"hello\"",
            b"{\"request\":\"frob\"}\n",
            b"{\"request\":\"mptcp\",\"line\":\"\",\"more\":1}\n{\"request\":\"hello\"}\n",
            b"\xff\xfe\x00\n",
            &long,
            &nested,
        ] {
            let answer = talk(garbage.to_vec());
            // of a line that is too long the rest is never read, which may cost the answer
            if garbage.len() <= MAX_LINE {
                let lines: Vec<&str> = answer.lines().collect();
                assert_eq!(lines.len(), 1, "{answer}");
                assert!(lines[0].starts_with("{\"reply\":\"error\""), "{answer}");
            }
        }
        assert!(talk(b"{\"request\":\"hello\"}\n".to_vec()).contains("\"reply\":\"done\""));
    })
    .await;
}

/// R13, S09: no more than so many clients.
#[tokio::test(flavor = "multi_thread")]
async fn clients_are_bounded() {
    let net = net(1);
    let (_control, path) = serve(&net.client);
    beside(move || {
        // A stack that looks for a free name knocks at every socket there is, and has a place for that moment.
        let place = || {
            let mut client = ControlClient::connect(&path).ok()?;
            let served = client.ask(&Request::Hello).is_ok();
            if !served {
                std::thread::sleep(Duration::from_millis(20));
            }
            served.then_some(client)
        };
        let patiently = || (0..100).find_map(|_| place());
        let held: Vec<_> = (0..MAX_CLIENTS).map_while(|_| patiently()).collect();
        assert_eq!(held.len(), MAX_CLIENTS);
        let stream = UnixStream::connect(&path).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert!(line.contains("busy"), "{line}");
        drop(held);
        assert!(patiently().is_some(), "places were not given back");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_the_users_own_and_go_with_him() {
    let net = net(1);
    let (control, path) = serve(&net.client);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    let dir = path.parent().unwrap().to_owned();
    assert_eq!(mode(&dir), 0o700);
    // a second one of this process has a name of its own
    let (second, other) = serve(&net.server);
    assert_ne!(path, other);
    drop(second);
    assert!(!other.exists());
    // one that a dead process left is removed, whoever looks first
    let stale = dir.join(format!("{}.sock", u32::MAX));
    let _ = std::fs::remove_file(&stale);
    drop(UnixListener::bind(&stale).unwrap());
    let found = beside(processes).await.unwrap();
    assert!(!stale.exists());
    assert!(found.iter().any(|process| process.path == path));
    // the server keeps no stack alive
    drop(net.client);
    let refusal = ask(&path, Request::Hello).await.unwrap_err();
    assert!(refusal.because.contains("end"), "{refusal:?}");
    drop(control);
    assert!(!path.exists());
}
