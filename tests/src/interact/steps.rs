//! What steps do.

use super::forge::forge;
use super::run::Run;
use super::setup::Step;
use super::wire::PORT;
use crate::world::{Side, local};
use mpuser_engine::addr::SocketAddr;
use mpuser_engine::settings;
use mpuser_engine::{Endpoint, PmEndpoint};

impl Run<'_> {
    pub(super) fn apply(&mut self, step: &Step) {
        let now = self.world.now;
        match step {
            Step::Write(number, side, len) => {
                self.apps[*number][*side as usize].write(&mut self.world, *len);
            }
            Step::Read(number, side, len) => {
                // a violation comes up again at the next look
                if let Err(what) = self.read(*number, *side, *len) {
                    self.wire.violation = Some(what);
                }
            }
            Step::Shutdown(number, side) => {
                self.apps[*number][*side as usize].shutdown(&mut self.world);
            }
            Step::Close(number, side) => {
                self.hurt_one(*number);
                self.apps[*number][*side as usize].close(&mut self.world);
            }
            Step::Abort(number, side) => {
                self.hurt_one(*number);
                if let Some(id) = self.apps[*number][*side as usize].id {
                    self.world.endpoint(*side).abort(now, id);
                }
            }
            Step::Cut(path, forward, backward) => {
                self.bend(*path, |link| {
                    link.forward.up = !forward;
                    link.backward.up = !backward;
                });
            }
            Step::Restore(path) => self.bend(*path, |_| {}),
            Step::Change(path, link) => self.world.wires().change(now, *path, link),
            Step::Rebind(path) => {
                let boxes = self.setup.links.get(*path).map(|link| link.boxes.clone());
                let boxes: Vec<String> = boxes.unwrap_or_default();
                if boxes.iter().any(|name| name.starts_with("nat")) {
                    self.hurt = true;
                    let boxes: Vec<&str> = boxes.iter().map(String::as_str).collect();
                    self.world.set_boxes(*path, &boxes);
                }
            }
            Step::Inject(side, _, forgery, seed) => {
                if let Some((path, packet)) = forge(*forgery, *side, *seed, &self.wire.recent) {
                    self.world.inject(*side, path, packet);
                }
            }
            _ => self.apply_management(step),
        }
    }

    /// What an administrator does.
    fn apply_management(&mut self, step: &Step) {
        let now = self.world.now;
        match step {
            Step::OpenSubflow(number, side, from, to) => {
                self.open_subflow(*number, *side, (*from, *to));
            }
            Step::CloseSubflow(number, side, nth) => {
                self.hurt_one(*number);
                self.with_subflow(*number, *side, *nth, |endpoint, id, subflow| {
                    let _ = endpoint.close_subflow(now, id, subflow);
                });
            }
            Step::Backup(number, side, nth, backup) => {
                self.with_subflow(*number, *side, *nth, |endpoint, id, subflow| {
                    let _ = endpoint.set_backup(now, id, subflow, *backup);
                });
            }
            Step::AddAddress(side, n) => {
                let all = &self.setup.addresses[*side as usize];
                let (address, path) = all[n % all.len()];
                self.world.endpoint(*side).add_address(now, local(address, path));
            }
            Step::RemoveAddress(side, n) => {
                self.hurt = true;
                let all = &self.setup.addresses[*side as usize];
                self.world.endpoint(*side).remove_address(now, all[n % all.len()].0);
            }
            Step::AddEndpoint(side, n, flags) => {
                let all = &self.setup.addresses[*side as usize];
                let address = all[n % all.len()].0;
                let endpoint = PmEndpoint { address, id: None, port: None, flags: *flags };
                let _ = self.world.endpoint(*side).add_endpoint(now, endpoint);
            }
            Step::DeleteEndpoint(side, nth) => {
                self.hurt = true;
                let endpoint = self.world.endpoint(*side);
                if let Some(id) = endpoint.endpoints().get(*nth).and_then(|one| one.id) {
                    let _ = endpoint.delete_endpoint(now, id);
                }
            }
            Step::ChangeEndpoint(side, nth, flags) => {
                let endpoint = self.world.endpoint(*side);
                if let Some(id) = endpoint.endpoints().get(*nth).and_then(|one| one.id) {
                    let _ = endpoint.change_endpoint(now, id, *flags);
                }
            }
            Step::Flush(side) => {
                self.hurt = true;
                self.world.endpoint(*side).flush_endpoints(now);
            }
            Step::Limits(side, limits) => self.world.endpoint(*side).set_limits(now, *limits),
            Step::Setting(side, name, value) => {
                let setting = settings::find(name).expect("a setting of the table");
                let done = self.world.endpoint(*side).change_setting(setting, value);
                done.unwrap_or_else(|error| panic!("{error}"));
            }
            _ => {}
        }
    }

    fn open_subflow(&mut self, number: usize, side: Side, (from, to): (usize, usize)) {
        let now = self.world.now;
        let own = &self.setup.addresses[side as usize];
        let other = &self.setup.addresses[side.peer() as usize];
        let (from, to) = (own[from % own.len()].0, other[to % other.len()].0);
        let [client, server] = &self.apps[number];
        let id = if side == Side::Client { client.id } else { server.id };
        let remote = match (side, client.id) {
            (Side::Client, _) | (_, None) => SocketAddr::new(to, PORT + number as u16),
            (Side::Server, Some(id)) => {
                let info = self.world.client.info(id);
                let first = info.and_then(|info| Some(info.subflows.first()?.tuple.local));
                SocketAddr::new(to, first.map_or(1, |first| first.port()))
            }
        };
        if let Some(id) = id {
            let _ = self.world.endpoint(side).open_subflow(now, id, from, remote);
        }
    }

    fn hurt_one(&mut self, number: usize) {
        for app in &mut self.apps[number] {
            app.hurt = true;
        }
    }

    fn bend(&mut self, path: usize, how: impl Fn(&mut mpuser_sim::LinkConfig)) {
        let Some(link) = self.setup.links.get(path) else { return };
        let (mut link, now) = (link.clone(), self.world.now);
        how(&mut link);
        self.world.wires().change(now, path, &link);
    }

    fn with_subflow(
        &mut self,
        number: usize,
        side: Side,
        nth: usize,
        act: impl Fn(&mut Endpoint, mpuser_engine::addr::ConnectionId, mpuser_engine::addr::SubflowId),
    ) {
        let Some(id) = self.apps[number][side as usize].id else { return };
        let endpoint = self.world.endpoint(side);
        let subflow = endpoint.info(id).and_then(|info| Some(info.subflows.get(nth)?.id));
        if let Some(subflow) = subflow {
            act(endpoint, id, subflow);
        }
    }
}
