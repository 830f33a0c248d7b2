//! What `ip mptcp` and `sysctl` would say to a kernel, one line each.

use crate::machine::Machine;
use mpuser_engine::PmEndpoint;
use mpuser_engine::config::{CongestionAlgorithm, ConnectionConfig, Profile, SchedulerSpec};
use mpuser_engine::grammar::{
    self, Command, EndpointCommand, LimitsCommand, NewEndpoint, Selector,
};
use mpuser_engine::time::Duration;

/// What public scripts set as the largest receive buffer (`net.ipv4.tcp_rmem`): it decides the window scale, 8.
const RECEIVE_BUFFER: usize = 15 << 20;

/// What they set `net.ipv4.tcp_fastopen` to: clients, and servers without being asked.
const FAST_OPEN: u32 = 0x403;

/// Settings of the machine as a whole: what sysctl calls `net.mptcp.*` and `net.ipv4.tcp_*`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) enabled: bool,
    /// `net.ipv4.tcp_fastopen`
    pub(crate) fast_open: u32,
    /// `net.ipv4.tcp_wmem` and `net.ipv4.tcp_rmem`, the largest: in the beginning there is less.
    pub(crate) send_buffer: usize,
    pub(crate) receive_buffer: usize,
    template: ConnectionConfig,
}

impl Settings {
    pub(crate) fn new(profile: Profile) -> Self {
        let template = ConnectionConfig::of(profile);
        Self {
            enabled: true,
            fast_open: FAST_OPEN,
            send_buffer: template.send_buffer,
            receive_buffer: RECEIVE_BUFFER,
            template,
        }
    }

    /// The settings of a new connection.
    pub(crate) fn connection(&self, mptcp: bool) -> ConnectionConfig {
        let mut config = self.template.clone();
        config.mptcp = mptcp;
        config.send_buffer = self.send_buffer;
        config.receive_buffer = self.receive_buffer;
        config
    }

    /// Sets one; false when there is none of that name.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let config = &mut self.template;
        match name {
            "net.mptcp.enabled" => self.enabled = boolean(name, value)?,
            "net.mptcp.checksum_enabled" => config.checksum = boolean(name, value)?,
            "net.mptcp.allow_join_initial_addr_port" => {
                config.allow_join_initial_addr_port = boolean(name, value)?;
            }
            "net.mptcp.close_timeout" => config.close_timeout = seconds(name, value)?,
            "net.mptcp.add_addr_timeout" => config.add_addr_timeout = seconds(name, value)?,
            "net.mptcp.stale_loss_cnt" => config.stale_loss_cnt = number(name, value)?,
            "net.mptcp.syn_retrans_before_tcp_fallback" => {
                config.syn_retrans_before_tcp_fallback = number(name, value)?;
            }
            "net.mptcp.scheduler" => {
                let kind = SchedulerSpec::named(value);
                config.scheduler = kind.ok_or_else(|| wrong(name, value, "a scheduler"))?;
            }
            "net.ipv4.tcp_timestamps" => config.tcp.timestamps = number(name, value)? != 0,
            "net.ipv4.tcp_sack" => config.tcp.sack = boolean(name, value)?,
            "net.ipv4.tcp_syn_retries" => config.tcp.max_syn_retransmits = number(name, value)?,
            "net.ipv4.tcp_retries2" => config.tcp.max_retransmits = number(name, value)?,
            "net.ipv4.tcp_congestion_control" => {
                let kind = CongestionAlgorithm::from_name(value);
                config.tcp.congestion =
                    kind.ok_or_else(|| wrong(name, value, "a congestion control"))?;
            }
            "net.ipv4.tcp_fastopen" => {
                let (digits, radix) = value.strip_prefix("0x").map_or((value, 10), |hex| (hex, 16));
                let parsed = u32::from_str_radix(digits, radix);
                self.fast_open = parsed.map_err(|_| wrong(name, value, "a number"))?;
            }
            "net.ipv4.tcp_moderate_rcvbuf" => {
                config.moderate_receive_buffer = boolean(name, value)?;
            }
            "net.ipv4.tcp_rmem" => {
                (config.initial_receive_buffer, self.receive_buffer) = sizes(name, value)?;
            }
            "net.ipv4.tcp_wmem" => {
                (config.initial_send_buffer, self.send_buffer) = sizes(name, value)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn wrong(name: &str, value: &str, expected: &str) -> String {
    format!("{name}: {value:?} is not {expected}")
}

fn number(name: &str, value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| wrong(name, value, "a number"))
}

fn boolean(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(wrong(name, value, "0 or 1")),
    }
}

fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    number(name, value).map(|n| Duration::from_secs(u64::from(n)))
}

/// The last two of `MIN DEFAULT MAX`.
fn sizes(name: &str, value: &str) -> Result<(usize, usize), String> {
    let sizes: Result<Vec<usize>, _> = value.split_ascii_whitespace().map(str::parse).collect();
    match sizes.as_deref() {
        Ok([_, initial, most]) => Ok((*initial, *most)),
        _ => Err(wrong(name, value, "three sizes in octets")),
    }
}

impl Machine {
    /// The counters under the kernel's names, in the form of `nstat --json`.
    #[must_use]
    pub fn counters(&self) -> String {
        let counters = self.endpoint.counters().iter();
        let fields: Vec<String> = counters.map(|(name, n)| format!("\"{name}\":{n}")).collect();
        format!("{{\"kernel\":{{{}}}}}", fields.join(","))
    }

    /// Does what a line says: a command in the grammar of `ip mptcp`, or `sysctl NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn command(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if let Some(setting) = line.strip_prefix("sysctl ") {
            return self.sysctl(setting);
        }
        match grammar::parse_line(line).map_err(|error| error.to_string())? {
            Command::Endpoint(command) => self.endpoint_command(&command)?,
            Command::Limits(LimitsCommand::Set { subflows, add_addr_accepted }) => {
                let mut limits = self.endpoint.limits();
                limits.subflows = subflows.unwrap_or(limits.subflows);
                limits.add_addr_accepted = add_addr_accepted.unwrap_or(limits.add_addr_accepted);
                self.endpoint.set_limits(self.now, limits);
            }
            Command::Limits(LimitsCommand::Show) | Command::Monitor => {
                return Err(
                    "nothing is shown here: use add, delete, change, flush or set".to_owned()
                );
            }
        }
        self.settle();
        Ok(())
    }

    fn sysctl(&mut self, setting: &str) -> Result<(), String> {
        let setting = setting.trim();
        let setting = ["-q ", "-w "].iter().fold(setting, |s, flag| s.trim_start_matches(flag));
        let Some((name, value)) = setting.split_once('=') else {
            return Err("sysctl: write NAME=VALUE".to_owned());
        };
        let (name, value) = (name.trim().replace('/', "."), value.trim().trim_matches('"'));
        if name == "net.mptcp.blackhole_timeout" {
            let time = seconds(&name, value)?;
            self.endpoint.set_blackhole_timeout(time);
            return Ok(());
        }
        match self.settings.set(&name, value) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("{name}: no such setting here")),
            Err(why) => Err(why),
        }
    }

    fn endpoint_command(&mut self, command: &EndpointCommand<'_>) -> Result<(), String> {
        match *command {
            EndpointCommand::Add(NewEndpoint { address, id, port, flags, .. }) => {
                // The scripts add it to the device, too, which is not told here.
                self.own(address);
                let endpoint = PmEndpoint { address, id, port, flags };
                self.endpoint
                    .add_endpoint(self.now, endpoint)
                    .map(|_| ())
                    .map_err(|e| e.to_string())
            }
            EndpointCommand::Delete { id, address: Some(address) } if id.0 == 0 => {
                self.endpoint.delete_initial_address(self.now, address);
                Ok(())
            }
            EndpointCommand::Delete { id, .. } => {
                self.endpoint.delete_endpoint(self.now, id).map_err(|e| e.to_string())
            }
            EndpointCommand::Change { which, change } => {
                let found = self.selected(which).ok_or("no such endpoint")?;
                let id = found.id.ok_or("no such endpoint")?;
                let flags = change.apply(found.flags);
                self.endpoint.change_endpoint(self.now, id, flags).map_err(|e| e.to_string())
            }
            EndpointCommand::Flush => {
                self.endpoint.flush_endpoints(self.now);
                Ok(())
            }
            EndpointCommand::Show(_) => {
                Err("nothing is shown here: use add, delete, change or flush".to_owned())
            }
        }
    }

    fn selected(&self, which: Selector) -> Option<PmEndpoint> {
        let fits = |endpoint: &PmEndpoint| match which {
            Selector { id: Some(id), .. } => endpoint.id == Some(id),
            Selector { address, port, .. } => {
                address == Some(endpoint.address) && (port.is_none() || port == endpoint.port)
            }
        };
        self.endpoint.endpoints().into_iter().find(fits)
    }
}
