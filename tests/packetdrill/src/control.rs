//! What `ip mptcp` and `sysctl` would say to a kernel, one line each.

use mpuser_engine::config::{ConnectionConfig, Profile};

/// What public scripts set as the largest receive buffer (`net.ipv4.tcp_rmem`): it decides the window scale, 8.
const RECEIVE_BUFFER: usize = 15 << 20;

/// Settings of the machine as a whole: what sysctl calls `net.mptcp.*` and `net.ipv4.tcp_*`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) enabled: bool,
    pub(crate) send_buffer: usize,
    pub(crate) receive_buffer: usize,
    template: ConnectionConfig,
}

impl Settings {
    pub(crate) fn new(profile: Profile) -> Self {
        let template = ConnectionConfig::of(profile);
        Self {
            enabled: true,
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
}
