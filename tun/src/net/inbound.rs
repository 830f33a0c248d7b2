//! Letting clients in where the kernel translates addresses: the interface's own address stands for the engine's.

use super::{PathPlan, PathSet, ReturnPath, is_v6};
use crate::net::command::run;
use crate::net::error::Result;
use crate::net::journal::{Step, nft_family};

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
                let rules: String =
                    plans.iter().filter(translated).map(|p| rule(p, port)).collect();
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

fn rule(plan: &PathPlan, port: u16) -> String {
    let (family, to) = match plan.engine {
        std::net::IpAddr::V4(ip) => ("ip", ip.to_string()),
        std::net::IpAddr::V6(ip) => ("ip6", ip.to_string()),
    };
    let (dev, local) = (&plan.egress.dev, plan.egress.local);
    format!("  iifname \"{dev}\" {family} daddr {local} tcp dport {port} dnat to {to}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Egress, Reach};

    #[test]
    fn the_rule_names_interface_address_and_port() {
        let plan = PathPlan {
            egress: Egress {
                name: "eth0".into(),
                dev: "eth0".into(),
                local: [192, 0, 2, 7].into(),
                primary: true,
                gateway: None,
                reach: Reach::Gateway,
                backup: false,
                mtu: 1500,
            },
            tun: "mpu0".into(),
            engine: [10, 83, 0, 2].into(),
            kernel: [10, 83, 0, 1].into(),
            subnet: "10.83.0.0/30".parse().unwrap(),
            near: vec![],
            table: 8300,
            mtu: 1500,
            return_path: ReturnPath::Masquerade,
        };
        assert_eq!(
            rule(&plan, 7000),
            "  iifname \"eth0\" ip daddr 192.0.2.7 tcp dport 7000 dnat to 10.83.0.2\n"
        );
    }
}
