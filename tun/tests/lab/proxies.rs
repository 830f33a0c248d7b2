//! The lab of forwarding proxies: made, found again, broken, removed; and what a proxy does to addresses.

use std::process::Command;

use mpuser_tun::lab;
use mpuser_tun::lab::peer::{KernelClient, Mode, PeerServer, Protocol};
use mpuser_tun::lab::proxies::{self, ProxyLab, ProxyLabOptions};
use mpuser_tun::net::ErrorKind;

use crate::support::require_root;

/// A lab that is gone when the test ends, however it ends.
struct TestLab(ProxyLab);

impl TestLab {
    fn up(test: &str, options: ProxyLabOptions) -> Self {
        let name = format!("t{}-{test}", std::process::id());
        Self(proxies::up(&ProxyLabOptions { name, ..options }).unwrap_or_else(|e| panic!("{e}")))
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        let _ = lab::down(&self.0.options.name);
    }
}

#[test]
fn up_and_down_are_idempotent_behind_proxies() {
    if !require_root("up_and_down_are_idempotent_behind_proxies") {
        return;
    }
    let lab = TestLab::up("pidem", ProxyLabOptions::default());
    let name = lab.0.options.name.clone();
    let is_listed = |whole| lab::list().unwrap().iter().any(|l| l.name == name && l.whole == whole);
    assert_eq!(lab.0, TestLab::up("pidem", ProxyLabOptions::default()).0.clone());
    // that one is gone now, and this one with it
    assert!(!is_listed(true) && !is_listed(false));
    let lab = TestLab::up("pidem", ProxyLabOptions { proxies: 3, ..ProxyLabOptions::default() });
    assert!(is_listed(true) && lab.0.nodes.len() == 6);
    let proxy = lab.0.nodes.iter().find(|node| node.role == "p2").unwrap();
    assert!(
        Command::new("ip").args(["netns", "del", &proxy.namespace]).status().unwrap().success()
    );
    assert!(is_listed(false), "half a lab");
    assert!(lab::down(&name).unwrap());
    assert!(!lab::down(&name).unwrap());
    for proxies in [0, 9] {
        let refused = proxies::up(&ProxyLabOptions { proxies, ..ProxyLabOptions::default() });
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Usage);
    }
}

#[test]
fn a_proxy_forwards_until_it_is_cut() {
    if !require_root("a_proxy_forwards_until_it_is_cut") {
        return;
    }
    let lab = TestLab::up("pcut", ProxyLabOptions::default());
    let (client, server) = (lab.0.netns("client").unwrap(), lab.0.netns("server").unwrap());
    let address = (proxies::SERVER, 7000).into();
    let _echo = PeerServer::start(&server, address, Protocol::Tcp, Mode::Echo).unwrap();
    for proxy in &lab.0.proxies {
        let through = (proxy.front, 7000).into();
        let echo = || KernelClient::connect(&client, through, Protocol::Tcp)?.echo(100_000);
        assert_eq!(echo().unwrap().bytes, 100_000, "{proxy:?}");
        assert_eq!(lab.0.proxy_at(proxy.front), Some(proxy));
    }
    lab.0.cut("p1", true).unwrap();
    let ping = |to: &str| {
        let run = || Command::new("ping").args(["-c1", "-W1", to]).output().unwrap().status;
        client.run(run).unwrap().success()
    };
    assert!(!ping("10.90.0.11") && ping("10.90.0.12") && ping("10.91.0.2"));
    lab.0.cut("p1", false).unwrap();
    assert!(ping("10.90.0.11"));
    assert_eq!(lab.0.cut("p9", true).unwrap_err().kind, ErrorKind::NotFound);
}
