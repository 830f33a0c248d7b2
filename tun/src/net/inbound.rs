//! Letting clients in where the kernel translates addresses: the interface's own address stands for the engine's.

use super::{PathPlan, PathSet, ReturnPath, is_v6};
use crate::net::command::run;
use crate::net::error::Result;
use crate::net::journal::{Step, nft_family};
use std::net::IpAddr;

impl PathSet {
    /// Sends TCP that arrives for `port` of each translated path's interface address to that path's engine address,
    /// until [`PathSet::undo`]. What the kernel itself listens on there cannot be reached meanwhile.
    ///
    /// # Errors
    /// `nft` is missing or refuses.
    pub fn let_in(&mut self, port: u16) -> Result<()> {
        let (plans, journal) = (&self.plans, &mut self.journal);
        self.netns.run(|| {
            let name = format!("{}_in", journal.unique_name());
            for v6 in [false, true] {
                let translated = |plan: &&PathPlan| {
                    is_v6(plan) == v6 && plan.return_path == ReturnPath::Masquerade
                };
                let rules = rules(&plans.iter().filter(translated).collect::<Vec<_>>(), port);
                if rules.is_empty() {
                    continue;
                }
                let family = nft_family(v6);
                let script = format!(
                    "table {family} {name} {{\n chain pre {{\n  \
                     type nat hook prerouting priority -100; policy accept;\n{rules} }}\n}}\n"
                );
                journal.add(Step::Nat { v6, table: name.clone() })?;
                run("nft", &["-f", "-"], Some(&script))?;
            }
            Ok(())
        })?
    }
}

/// Each path's own address first. As the kernel itself does, an interface takes what is for another one's address, too:
/// clients with several interfaces join like that. The answers leave the way they came.
fn rules(plans: &[&PathPlan], port: u16) -> String {
    let own = plans.iter().map(|plan| rule(plan, plan.egress.local, port));
    let others = plans.iter().flat_map(|plan| {
        let elsewhere = plans.iter().filter(|other| other.egress.dev != plan.egress.dev);
        elsewhere.map(|other| rule(plan, other.egress.local, port))
    });
    own.chain(others).collect()
}

/// What comes in by the path's interface for `local` goes to the path's engine address.
fn rule(plan: &PathPlan, local: IpAddr, port: u16) -> String {
    let (family, to) = match plan.engine {
        IpAddr::V4(ip) => ("ip", ip.to_string()),
        IpAddr::V6(ip) => ("ip6", ip.to_string()),
    };
    let dev = &plan.egress.dev;
    format!("  iifname \"{dev}\" {family} daddr {local} tcp dport {port} dnat to {to}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Egress, Reach};

    fn plan(dev: &str, local: [u8; 4], engine: [u8; 4]) -> PathPlan {
        PathPlan {
            egress: Egress {
                name: dev.into(),
                dev: dev.into(),
                local: local.into(),
                primary: true,
                gateway: None,
                reach: Reach::Gateway,
                backup: false,
                mtu: 1500,
            },
            tun: "mpu0".into(),
            engine: engine.into(),
            kernel: [10, 83, 0, 1].into(),
            subnet: "10.83.0.0/30".parse().unwrap(),
            near: vec![],
            table: 8300,
            mtu: 1500,
            return_path: ReturnPath::Masquerade,
        }
    }

    #[test]
    fn rules_name_interface_address_and_port() {
        let one = plan("eth0", [192, 0, 2, 7], [10, 83, 0, 2]);
        assert_eq!(
            rules(&[&one], 7000),
            "  iifname \"eth0\" ip daddr 192.0.2.7 tcp dport 7000 dnat to 10.83.0.2\n"
        );
        let two = plan("eth1", [198, 51, 100, 7], [10, 83, 0, 6]);
        // a second address of the first interface
        let three = plan("eth0", [192, 0, 2, 8], [10, 83, 0, 10]);
        let text = rules(&[&one, &two, &three], 7000);
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        let line = |dev: &str, local: &str, engine: &str| {
            format!("iifname \"{dev}\" ip daddr {local} tcp dport 7000 dnat to {engine}")
        };
        assert_eq!(
            lines,
            [
                line("eth0", "192.0.2.7", "10.83.0.2"),
                line("eth1", "198.51.100.7", "10.83.0.6"),
                line("eth0", "192.0.2.8", "10.83.0.10"),
                // the first rule that fits is the one that counts
                line("eth0", "198.51.100.7", "10.83.0.2"),
                line("eth1", "192.0.2.7", "10.83.0.6"),
                line("eth1", "192.0.2.8", "10.83.0.6"),
                line("eth0", "198.51.100.7", "10.83.0.10"),
            ]
        );
    }
}
