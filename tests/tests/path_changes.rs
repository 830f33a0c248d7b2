//! Addresses come and go at both ends while data flows both ways, in virtual time: announcements, withdrawals, probes,
//! priorities and limits, whatever their order. Every octet arrives.
//!
//! `MPUSER_SEED=N` repeats one run.

use mpuser_engine::addr::{AddressId, InterfaceId, SubflowId};
use mpuser_engine::config::{ConnectionConfig, EndpointFlags, Limits, PathManagerKind};
use mpuser_engine::rng::Rng;
use mpuser_engine::time::{Duration, Instant};
use mpuser_engine::{LocalAddress, PmEndpoint};
use mpuser_tests::world::*;

const RUNS: u64 = 24;
const PATHS: usize = 3;
const BYTES: usize = 3 << 20;

fn local(side: Side, index: usize) -> LocalAddress {
    let address = match side {
        Side::Client => client_address(index),
        Side::Server => server_address(index),
    };
    let interface = InterfaceId(index as u16);
    LocalAddress {
        address,
        interface,
        mtu: 1_500,
        backup: false,
        checksum_offload: false,
        max_payload: 0,
    }
}

struct Run {
    world: World,
    rng: Rng,
    log: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let path = Path { rate: 300_000, loss: (seed % 3) as u32 * 5, ..Path::default() };
        let mut world = World::new(seed, vec![path; PATHS]);
        for index in 1..PATHS {
            world.server.add_address(Instant::ZERO, local(Side::Server, index));
        }
        let mut bytes = [3; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self { world, rng: Rng::from_seed(bytes), log: Vec::new() }
    }

    fn below(&mut self, limit: u32) -> usize {
        self.rng.below(limit) as usize
    }

    /// Something changes at one end. Path 0 stays, so that there is always a way.
    fn change(&mut self) {
        let side = if self.below(2) == 0 { Side::Client } else { Side::Server };
        let (now, index) = (self.world.now, 1 + self.below(PATHS as u32 - 1));
        let words = self.below(8);
        let kind = self.below(9);
        let backup = self.below(2) == 0;
        let endpoint = self.world.endpoint(side);
        let address = local(side, index).address;
        match kind {
            0 => endpoint.remove_address(now, address),
            1 | 2 => {
                endpoint.add_address(now, local(side, index));
            }
            3 | 4 => {
                let (signal, subflow) = (words & 1 > 0, words & 2 > 0);
                let flags = EndpointFlags { signal, subflow, backup, fullmesh: !signal };
                let wanted = PmEndpoint { address, id: None, port: None, flags };
                let _ = endpoint.add_endpoint(now, wanted);
            }
            5 => {
                let ids: Vec<AddressId> =
                    endpoint.endpoints().iter().filter_map(|e| e.id).collect();
                if let Some(id) = ids.get(index) {
                    let _ = endpoint.delete_endpoint(now, *id);
                }
            }
            6 => endpoint.flush_endpoints(now),
            7 => {
                let limits = Limits { subflows: words, add_addr_accepted: index };
                endpoint.set_limits(now, limits);
            }
            _ => {
                let ids: Vec<_> = endpoint.connections().collect();
                for id in ids {
                    let _ = endpoint.set_backup(now, id, SubflowId(words as u32), backup);
                }
            }
        }
        self.log.push(format!("{now:?} {side:?} {kind} {address} {words} {backup}"));
    }

    /// A transfer both ways amid changes; what went wrong, if anything.
    fn transfer(&mut self, kind: PathManagerKind) -> Result<(), String> {
        let config = ConnectionConfig { path_manager: kind, ..ConnectionConfig::default() };
        let listener = self.world.listen(config.clone());
        let id = self.world.connect(config);
        let (up, down) = (pattern(1, BYTES), pattern(2, BYTES));
        let mut client = Transfer::new(Side::Client, id, up.clone());
        let mut server = None;
        let mut next = Instant::from_millis(100);
        let limit = Duration::from_secs(600);
        let end = self.world.now + limit;
        loop {
            self.world.run_until(Duration::from_millis(50), |_| false);
            if self.world.now >= next {
                self.change();
                next = self.world.now + Duration::from_millis(self.below(400) as u64);
            }
            if server.is_none() {
                let accepted = self.world.server.accept(listener);
                server = accepted.map(|id| Transfer::new(Side::Server, id, down.clone()));
            }
            let sent = client.pump(&mut self.world);
            let answered = server.as_mut().is_some_and(|server| server.pump(&mut self.world));
            if (sent && answered) || self.world.now >= end {
                break;
            }
        }
        let got = server.map(|server| server.incoming).unwrap_or_default();
        if got != up || client.incoming != down {
            let (a, b) = (got.len(), client.incoming.len());
            return Err(format!("{a} and {b} of {BYTES} octets, {:?}", client.error));
        }
        Ok(())
    }
}

/// [ADDR-5] [ADDR-20] [ADDR-23] [PRIO-1] [FIN-9]
#[test]
fn every_octet_arrives_whatever_addresses_do() {
    let one = std::env::var("MPUSER_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = one.map_or(0..RUNS, |seed| seed..seed + 1);
    for seed in seeds {
        let kind = match seed % 4 {
            0 | 1 => PathManagerKind::Kernel,
            2 => PathManagerKind::Fullmesh,
            _ => PathManagerKind::Binder,
        };
        let mut run = Run::new(seed);
        let result = run.transfer(kind);
        assert!(result.is_ok(), "MPUSER_SEED={seed}: {result:?} after\n{}", run.log.join("\n"));
    }
}
