//! Looking at a running process and steering it, from the outside: in a lab with the kernel as the peer. Skipped where
//! namespaces or TUN devices are not allowed; the command lines that need no process are checked everywhere.
#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests: a panic is the verdict")]

mod common;

use common::lab::TestLab;
use common::{Run, mpuser};
use mpuser_tun::clock;
use mpuser_tun::lab::peer::{Mode, PeerServer, Protocol};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A lab, a kernel that echoes, and a client that trickles data to it.
struct Scene {
    lab: TestLab,
    _echo: PeerServer,
    client: Child,
    input: ChildStdin,
    pid: String,
}

impl Scene {
    fn set(name: &str) -> Option<Self> {
        Self::set_with(name, &[])
    }

    fn set_with(name: &str, more: &[&str]) -> Option<Self> {
        let lab = TestLab::up(name)?;
        let echo = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
        let args = [&["connect", "192.168.56.101:7000"], more].concat();
        let mut client = lab.start("client", &args);
        drain(&mut client);
        let input = client.stdin.take().expect("a pipe");
        let pid = client.id().to_string();
        Some(Self { lab, _echo: echo, client, input, pid })
    }

    /// Runs an operator's command about the client.
    fn ask(&self, args: &[&str]) -> Run {
        mpuser(&[args, &["--pid", &self.pid]].concat())
    }

    fn ask_json(&self, args: &[&str]) -> Value {
        let run = self.ask(&[args, &["--json"]].concat());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        serde_json::from_str(&run.stdout).expect("JSON")
    }

    fn trickle(&mut self) {
        self.input.write_all(&[b'x'; 5_000]).expect("the client reads");
    }

    /// Trickles data until the connection has exactly these paths.
    fn until_paths(&mut self, wanted: &[&str]) -> Value {
        let mut last = Value::Null;
        for _ in 0..200 {
            self.trickle();
            std::thread::sleep(Duration::from_millis(50));
            let run = self.ask(&["ss", "--json"]);
            // it does not answer before its stack is there
            last = serde_json::from_str(&run.stdout).unwrap_or(Value::String(run.stderr));
            if alive(&last) == wanted {
                return last["sockets"][0].clone();
            }
        }
        panic!("not {wanted:?}: {last:#}");
    }

    /// As [`Self::until_paths`], in the time a user would wait.
    fn soon(&mut self, wanted: &[&str]) {
        let start = clock::now();
        self.until_paths(wanted);
        let taken = clock::now().saturating_since(start);
        eprintln!("{wanted:?} after {} ms, of which looking takes 100", taken.as_millis());
        // a second is promised, and this machine may be busy
        assert!(taken < Duration::from_secs(4), "{wanted:?} after {taken:?}");
    }

    fn ip(&self, line: &str) {
        let words: Vec<&str> = std::iter::once("ip").chain(line.split(' ')).collect();
        let status = self.lab.0.exec("client", &words).expect("ip runs");
        assert!(status.success(), "ip {line}");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// Reads and forgets what a child writes.
fn drain(child: &mut Child) {
    let (mut stdout, mut stderr) =
        (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
}

/// The paths with a live subflow, in order of their names.
fn alive(ss: &Value) -> Vec<String> {
    let subflows = ss["sockets"][0]["subflow"].as_array().cloned().unwrap_or_default();
    let live = subflows.iter().filter(|subflow| subflow["state"] == "ESTAB");
    let mut names: Vec<String> =
        live.map(|subflow| subflow["path"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}

/// Lines of a running `mpuser monitor`.
fn monitor(args: &[&str]) -> (Child, Receiver<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
    let mut child =
        command.arg("monitor").args(args).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (child, receiver)
}

#[test]
fn ss_and_stats_show_what_the_kernel_shows() {
    let Some(mut scene) = Scene::set("ss") else { return };
    let socket = scene.until_paths(&["eth1", "eth2", "eth3"]);
    let token = socket["token"].as_str().expect("a token").to_owned();
    let ours = scene.ask(&["ss", "-Mni"]).stdout;
    assert!(ours.starts_with("State"), "{ours}");
    assert!(
        ours.contains(&format!(
            " subflows:2 subflows_max:8 add_addr_accepted_max:8 remote_key token:{token} "
        )),
        "{ours}"
    );
    assert_eq!(ours.matches("tcp-ulp-mptcp flags:").count(), 3, "{ours}");

    let info = |key: &str| ours.lines().any(|l| l.split(' ').any(|word| word.starts_with(key)));
    assert!(info("local_addr_used:2") && info("last_ack_recv:"), "{ours}");

    // the kernel at the other end: what we sent it received, under the token it calls the connection by
    let remote = socket["remote_token"].as_str().expect("a token");
    let output = |command: &[&str]| {
        let ns = format!("mpu-{}-server", scene.lab.0.state().name);
        let output = Command::new("ip").args(["netns", "exec", &ns]).args(command).output();
        String::from_utf8(output.expect("ip runs").stdout).expect("text")
    };
    let theirs = output(&["ss", "-Mni"]);
    assert!(
        theirs.contains("subflows:2") && theirs.contains(&format!("token:{remote} ")),
        "{theirs}"
    );

    // filters
    for (filter, shown) in [
        (&["token", &token][..], 1),
        (&["dst", "192.168.56.101:7000"], 1),
        (&["state", "listening"], 0),
        (&["dport", "=", ":7001"], 0),
    ] {
        let list = scene.ask_json(&[&["ss"], filter].concat());
        assert_eq!(list["sockets"].as_array().map(Vec::len), Some(shown), "{filter:?}");
    }

    let stats = scene.ask_json(&["stats", "-z", "MPTcpExt*"]);
    let counters = stats["counters"].as_object().expect("an object");
    assert_eq!(counters.len(), 76);
    assert_eq!(counters["MPTcpExtMPJoinSynTx"], 2);
    let name = format!("mpu-{}-server", scene.lab.0.state().name);
    let diff = scene.ask(&["stats", "--diff-kernel", "--netns", &name]).stdout;
    let line =
        diff.lines().find(|line| line.starts_with("MPTcpExtMPJoinAckRx")).unwrap_or_default();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["MPTcpExtMPJoinAckRx", "0", "2", "<>"]
    );
    let rates = scene.ask(&["stats", "-t", "100ms", "-c", "2"]).stdout;
    assert!(rates.contains("eth1.out") && rates.lines().count() == 4, "{rates}");
}

#[test]
fn monitor_speaks_as_ip_mptcp_monitor() {
    let Some(lab) = TestLab::up("monitor") else { return };
    let _echo = lab.serve(7000, Protocol::Mptcp, Mode::Echo);
    let (mut child, lines) = monitor(&["-t"]);
    let mut client = lab.start("client", &["connect", "192.168.56.101:7000", "-q"]);
    drain(&mut client);
    let mut input = client.stdin.take().expect("a pipe");
    // other processes of this machine may be told of, too
    let address = "daddr4=192.168.56.101";
    let line = loop {
        let _ = input.write_all(b"more");
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) if line.contains("SF_ESTABLISHED") && line.contains(address) => break line,
            Ok(_) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(error) => panic!("{error}"),
        }
        if client.try_wait().expect("a child").is_some() {
            panic!("the client ended");
        }
    };
    let (time, event) = line.split_once("] ").expect("a time");
    assert!(time.starts_with("[20") && time.ends_with('Z'), "{line}");
    assert!(event.starts_with("[SF_ESTABLISHED] token="), "{line}");
    for key in ["remid=0", "locid=", "saddr4=10.", "sport=", "dport=7000", "backup=0"] {
        assert!(event.contains(key), "{line}");
    }
    let _ = (child.kill(), client.kill());
    let _ = (child.wait(), client.wait());
}

#[test]
fn endpoints_limits_and_subflows_are_changed_live() {
    let Some(mut scene) = Scene::set("endpoint") else { return };
    let socket = scene.until_paths(&["eth1", "eth2", "eth3"]);
    let shown = scene.ask(&["endpoint", "show"]).stdout;
    assert!(shown.lines().count() >= 3 && shown.contains(" dev eth2 \n"), "{shown}");
    let run = scene.ask(&["endpoint", "add", "10.99.0.1", "id", "77", "signal"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let shown = scene.ask(&["endpoint", "show", "id", "77"]).stdout;
    assert_eq!(shown, "10.99.0.1 id 77 signal \n");
    scene.ask(&["endpoint", "delete", "id", "77"]);
    scene.ask(&["endpoint", "show", "id", "77"]).assert_error(2);
    scene.ask(&["endpoint", "add", "10.99.0.1", "port", "1"]).assert_error(2);
    assert_eq!(scene.ask(&["limits", "set", "subflows", "2"]).code, Some(0));
    assert_eq!(scene.ask(&["limits", "show"]).stdout, "add_addr_accepted 8 subflows 2 \n");
    assert_eq!(scene.ask_json(&["limits"])["entries"][0]["subflows"], 2);

    let token = socket["token"].as_str().expect("a token");
    let run = scene.ask(&["subflow", token, "close", "1"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let closed = socket["subflow"][1]["path"].as_str().expect("a name").to_owned();
    let left: Vec<&str> = ["eth1", "eth2", "eth3"].into_iter().filter(|p| *p != closed).collect();
    scene.until_paths(&left);
    let local = socket["subflow"][1]["local"].as_str().expect("an address");
    let local = local.rsplit_once(':').expect("a port").0;
    let run = scene.ask(&["subflow", token, "open", local, "192.168.56.101:7000"]);
    assert!(run.stdout.starts_with("subflow "), "{}{}", run.stdout, run.stderr);
    scene.until_paths(&["eth1", "eth2", "eth3"]);
    scene.ask(&["subflow", token, "close", "99"]).assert_error(2);

    let order = |state| scene_order(&scene.pid, state);
    assert_eq!(order("off").code, Some(0));
    scene.until_paths(&["eth1", "eth2"]);
    assert_eq!(scene_order(&scene.pid, "on").code, Some(0));
    scene.until_paths(&["eth1", "eth2", "eth3"]);
    scene_order(&scene.pid, "sometimes").assert_error(2);
}

fn scene_order(pid: &str, state: &str) -> Run {
    mpuser(&["multipath", "dev", "eth3", state, "--pid", pid])
}

/// An interface that appears or vanishes during a connection adds or drops its subflows.
#[test]
fn paths_follow_interfaces() {
    let Some(mut scene) = Scene::set("follow") else { return };
    scene.until_paths(&["eth1", "eth2", "eth3"]);
    scene.ip("link set eth3 down");
    scene.soon(&["eth1", "eth2"]);
    scene.ip("link set eth3 up");
    scene.soon(&["eth1", "eth2", "eth3"]);
    scene.ip("link del eth2");
    scene.soon(&["eth1", "eth3"]);
    // a new network, as when a phone is plugged in
    let server = format!("mpu-{}-server", scene.lab.0.state().name);
    scene.ip(&format!("link add usb0 type veth peer name usb1 netns {server}"));
    for line in ["address add 192.168.59.101/24 dev usb1", "link set usb1 up"] {
        let status = Command::new("ip")
            .args(["-n", &server])
            .args(line.split(' '))
            .status()
            .expect("ip runs");
        assert!(status.success(), "{line}");
    }
    scene.ip("address add 192.168.59.100/24 dev usb0");
    scene.ip("link set usb0 up");
    scene.soon(&["eth1", "eth3", "usb0"]);
}

/// Binder: a further subflow through a gateway that was named, by a policy route of its own.
#[test]
fn a_subflow_goes_through_each_gateway() {
    let more = ["--path", "eth1", "--pm", "binder", "--gateway", "192.168.57.101"];
    let Some(mut scene) = Scene::set_with("binder", &more) else { return };
    let socket = scene.until_paths(&["eth1", "via-192.168.57.101"]);
    for subflow in socket["subflow"].as_array().expect("a list") {
        assert_eq!(subflow["remote"], "192.168.56.101:7000");
    }
}

#[test]
fn settings_reach_the_connection() {
    let more = ["--set", "checksum_enabled=1", "--set", "mptcp_path_manager=default"];
    let Some(mut scene) = Scene::set_with("set", &more) else { return };
    let socket = scene.until_paths(&["eth1"]);
    assert_eq!(socket["csum_enabled"], true);
}

#[test]
fn config_says_what_is_set_and_what_is_wrong() {
    let dir = std::env::temp_dir().join(format!("mpuser-config-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("mpuser")).expect("a directory");
    let file = dir.join("mpuser/config.toml");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mpuser"));
        command.args(args).env("XDG_CONFIG_HOME", &dir).env("MPUSER_STALE_LOSS_CNT", "9");
        common::pipes(&mut command);
        common::finish(command.spawn().expect("the binary runs"), b"")
    };
    let text = "mptcp_syn_retries = 3\n[net.mptcp]\nclose_timeout = 5\n";
    std::fs::write(&file, text).expect("a file");
    assert_eq!(run(&["config", "path"]).stdout.trim(), file.display().to_string());
    assert!(run(&["config", "check"]).stdout.ends_with(": ok\n"));
    let shown = run(&["config", "show", "--set", "enabled=0"]).stdout;
    let path = file.display();
    for line in [
        "net.mptcp.enabled = 0  # --set, default 1".to_owned(),
        format!("net.mptcp.close_timeout = 5  # {path}, default 60"),
        format!("net.mptcp.syn_retrans_before_tcp_fallback = 3  # {path}, default 2"),
        "net.mptcp.stale_loss_cnt = 9  # MPUSER_STALE_LOSS_CNT, default 4".to_owned(),
        "net.mptcp.blackhole_timeout = 3600".to_owned(),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let list: Value =
        serde_json::from_str(&run(&["config", "show", "--json"]).stdout).expect("JSON");
    assert_eq!(list["settings"][0]["name"], "net.mptcp.enabled");

    std::fs::write(&file, "[net.mptcp]\nenabld = 1\n").expect("a file");
    let wrong = run(&["config", "check"]);
    wrong.assert_error(8);
    assert!(wrong.stderr.contains("\"net.mptcp.enabld\""), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("did you mean `net.mptcp.enabled`?"), "{}", wrong.stderr);
    // commands that use it say so, too, before they do anything
    run(&["connect", "192.0.2.1:1"]).assert_error(8);
    run(&["config", "show", "--config", "/no/such/file"]).assert_error(1);
    run(&["config", "show", "--config", "/dev/null", "--set", "sheduler=rr"]).assert_error(2);
    std::fs::remove_dir_all(&dir).expect("it was there");
}

#[test]
fn mistakes_need_no_process_to_be_named() {
    for args in [
        &["endpoint", "frob"][..],
        &["endpoint", "add", "10.0.0.1", "signal", "fullmesh"],
        &["limits", "set", "subflows", "9"],
        &["ss", "stat", "established"],
        &["subflow", "1", "close", "x"],
        &["multipath", "dev", "eth0"],
        &["connect", "192.0.2.1:1", "--pm", "mesh"],
    ] {
        mpuser(args).assert_error(2);
    }
    mpuser(&["ss", "--pid", "4294967295"]).assert_error(6);
    mpuser(&["endpoint", "show", "--pid", "4294967295"]).assert_error(6);
}

/// Settings change while a process runs, each for whom it says; what cannot change says so.
#[test]
fn settings_change_while_a_process_runs() {
    for args in [&["set"][..], &["set", "close_timeout"], &["set", "clos_timeout=1"]] {
        mpuser(args).assert_error(2);
    }
    let Some(mut scene) = Scene::set("live-set") else { return };
    scene.until_paths(&["eth1", "eth2", "eth3"]);
    let value = |scene: &Scene, name: &str| {
        let all = scene.ask_json(&["settings", name]);
        all["processes"][0]["settings"][0]["value"].as_str().map(str::to_owned)
    };
    assert_eq!(value(&scene, "close_timeout").as_deref(), Some("60"));
    let run = scene.ask(&["set", "close_timeout=30", "mptcp_checksum=on"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines[0].starts_with("net.mptcp.close_timeout = 30  # was 60; for every connection of "),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("net.mptcp.checksum_enabled = 1  # was 0; for later connections of "),
        "{lines:?}"
    );
    assert_eq!(value(&scene, "close_timeout").as_deref(), Some("30"));
    let changes = scene.ask_json(&["set", "close_timeout=31"]);
    assert_eq!(
        (&changes["changes"][0]["old"], &changes["changes"][0]["new"]),
        (&"30".into(), &"31".into())
    );
    for wish in ["available_schedulers=x", "mptcp_debug=1", "stale_loss_cnt=-1"] {
        scene.ask(&["set", wish]).assert_error(2);
    }
}
