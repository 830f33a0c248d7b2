//! What both ends say of themselves, laid side by side: checked every so many events, for it costs more.

use super::app::App;
use super::setup::{EARLY_MAX, Setup};
use crate::world::{Side, World};
use mpuser_engine::addr::ConnectionId;
use mpuser_engine::config::FastOpen;
use mpuser_engine::window::WindowScale;
use mpuser_engine::{ConnectionInfo, SubflowInfo};
use std::collections::BTreeMap;

/// Joins of a peer without a third ACK that a connection may have.
const HALF_OPEN_MAX: usize = 4;

/// What was seen last, for what may only grow.
#[derive(Debug, Default)]
pub(super) struct State {
    before: BTreeMap<(Side, ConnectionId), [u64; 6]>,
    counters: BTreeMap<(Side, &'static str), u64>,
}

/// It may still carry data.
fn alive(subflow: &&SubflowInfo) -> bool {
    matches!(subflow.state, "ESTAB" | "SYN-SENT" | "SYN-RECV" | "CLOSE-WAIT")
}

impl State {
    /// # Errors
    /// What does not hold.
    pub(super) fn check(
        &mut self,
        world: &World,
        apps: &[[App; 2]],
        setup: &Setup,
    ) -> Result<(), String> {
        for side in Side::BOTH {
            let endpoint = if side == Side::Client { &world.client } else { &world.server };
            for (name, value) in endpoint.counters().iter() {
                let before = self.counters.insert((side, name), value).unwrap_or(0);
                // the one gauge among them
                if value < before && name != "MPTcpExtMPCurrEstab" {
                    return Err(format!("counters: {name} of {side:?} falls to {value}"));
                }
            }
        }
        for [client, server] in apps {
            let info = |app: &App| {
                let endpoint = if app.side == Side::Client { &world.client } else { &world.server };
                app.id.and_then(|id| endpoint.info(id))
            };
            let infos = [info(client), info(server)];
            for (app, at) in [(client, 0), (server, 1)] {
                if let Some(info) = &infos[at] {
                    let told = self.one(app, info, infos[1 - at].as_ref(), setup);
                    let name = || format!("state: connection {}, {:?}", app.connection, app.side);
                    told.map_err(|what| format!("{}: {what}: {info:#?}", name()))?;
                }
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        app: &App,
        info: &ConnectionInfo,
        peer: Option<&ConnectionInfo>,
        setup: &Setup,
    ) -> Result<(), String> {
        let config = &setup.ends[app.side as usize].config;
        let hold = |good: bool, what: &str| if good { Ok(()) } else { Err(what.to_owned()) };
        if let Some(id) = app.id {
            let now = [
                info.write_seq,
                info.snd_una,
                info.bytes_sent,
                info.bytes_received,
                info.bytes_acked,
                info.bytes_retrans,
            ];
            let before = self.before.insert((app.side, id), now);
            let grown = before.is_none_or(|b| b.iter().zip(&now).skip(2).all(|(b, n)| b <= n));
            hold(grown, &format!("something fell: {before:?} {now:?}"))?;
        }
        let waiting = info.write_seq.wrapping_sub(info.snd_una) as i64;
        hold(waiting >= 0, "more is acknowledged than was written")?;
        let room = config.send_buffer.max(config.receive_buffer) as i64;
        // the DATA_FIN has a number, too
        hold(waiting <= room + 1, &format!("{waiting} octets wait in a buffer of {room}"))?;
        // a window is told in units, rounded up at times
        let unit = WindowScale::for_buffer(config.receive_buffer).shift();
        // what came with the SYN is in no window
        let early = if config.fast_open == FastOpen::Off { 0 } else { EARLY_MAX as u64 };
        let most = config.receive_buffer as u64 + early + (1 << unit) - 1;
        let queue = info.recv_queue;
        // after a fallback what each subflow was told of the window counts, and what came out of order counted twice
        let most = if info.mptcp { most } else { 2 * most };
        hold(queue <= most, &format!("{queue} octets wait to be read, at most {most}"))?;
        hold(info.bytes_acked <= app.written as u64 + 1, "more is acknowledged than was written")?;
        if let Some(peer) = peer {
            // what a peer acknowledges it has
            let got = peer.bytes_received + 1;
            hold(info.bytes_acked <= got || !info.mptcp || !peer.mptcp, "it was not received")?;
        }
        let most = config.max_extra_subflows.max(8) + 1;
        let live: Vec<&SubflowInfo> = info.subflows.iter().filter(alive).collect();
        // a peer's joins without a third ACK have a limit of their own; the other one is asked again when it comes
        let half_open = live.iter().filter(|s| s.join && s.state == "SYN-RECV").count();
        hold(half_open <= HALF_OPEN_MAX, &format!("{half_open} joins half open"))?;
        let whole = live.len() - half_open;
        hold(whole <= most, &format!("{whole} subflows, at most {most}"))?;
        hold(info.mptcp || live.len() <= 1, "plain TCP with several subflows")?;
        for (nth, one) in live.iter().enumerate() {
            for other in &live[..nth] {
                hold(one.tuple != other.tuple, "two subflows have the same addresses")?;
                hold(one.id != other.id, "two subflows have one number")?;
                let same = one.tuple.local.ip() == other.tuple.local.ip();
                hold(one.ids.0 != other.ids.0 || same, "one identifier for two addresses")?;
            }
        }
        Ok(())
    }
}
