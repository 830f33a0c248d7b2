//! Flag C: no joins to the address and port of the first subflow (RFC 8684 3.1 [INI-20]).

use mpuser_engine::addr::{AddressId, SocketAddr};
use mpuser_engine::config::{Behaviour, ConnectionConfig};
use mpuser_engine::error::ResetReason;
use mpuser_engine::wire::{CapableFlags, MpCapable, MpJoin, MpTcpRst, MptcpOption};
use mpuser_tests::scripted::*;

fn config(behaviour: Behaviour) -> ConnectionConfig {
    ConnectionConfig { allow_join_initial_addr_port: false, behaviour, ..Default::default() }
}

/// A join to the second address of the endpoint, on the port of the first.
fn join_elsewhere(script: &mut Script) -> Packet {
    let local = SocketAddr::new(engine_address(1), PORT);
    let mut flow = Flow::new(local, SocketAddr::new(peer_address(1), 41_001));
    let (token, nonce) = (script.key.facts().token, PEER_NONCE);
    let join = MpJoin::Syn { backup: false, address_id: AddressId(1), token, nonce };
    script.send(&mut flow, seg().syn().no_ack().option(MptcpOption::Join(join)));
    script.next(&mut flow)
}

/// [INI-20]: all three packets say so, whoever sends them.
#[test]
fn the_flag_is_sent() {
    let denied = CapableFlags::new(false, true);
    let mut script = Script::client(config(Behaviour::rfc()), 1);
    let (mut flow, syn) = script.next_syn().expect("a SYN");
    assert_eq!(syn.signals(), [MptcpOption::Capable(MpCapable::Syn { version: 1, flags: denied })]);
    let (version, sender_key) = (1, PEER_KEY);
    let option = MpCapable::SynAck { version, flags: PLAIN_FLAGS, sender_key };
    script.send(&mut flow, seg().syn().option(MptcpOption::Capable(option)));
    let third = script.next(&mut flow).signals();
    assert!(
        matches!(third[..], [MptcpOption::Capable(MpCapable::Ack { flags, .. })] if flags == denied)
    );

    let mut script = Script::server(config(Behaviour::rfc()));
    let local = SocketAddr::new(engine_address(0), PORT);
    let mut flow = Flow::new(local, SocketAddr::new(peer_address(0), 40_000));
    let option = MptcpOption::Capable(MpCapable::Syn { version: 1, flags: PLAIN_FLAGS });
    script.send(&mut flow, seg().syn().no_ack().option(option));
    let answer = script.next(&mut flow).signals();
    assert!(
        matches!(answer[..], [MptcpOption::Capable(MpCapable::SynAck { flags, .. })] if flags == denied)
    );
}

/// [INI-20] [JOIN-6]: the join it forbids is refused with reason 3, any other is taken; Linux takes both (K16).
#[test]
fn the_flag_is_enforced() {
    let lenient = Behaviour { refuse_denied_joins: false, ..Behaviour::rfc() };
    for behaviour in [Behaviour::rfc(), lenient] {
        let mut script = Script::server(config(behaviour));
        script.serve();
        let (_, answer) = script.join_syn(1, AddressId(1), false);
        assert_eq!(answer.header.flags.rst, behaviour.refuse_denied_joins);
        if answer.header.flags.rst {
            let reason = ResetReason::AdministrativelyProhibited;
            let rst = MptcpOption::TcpRst(MpTcpRst { transient: false, reason });
            assert_eq!(answer.signals(), [rst]);
        }
        assert!(!join_elsewhere(&mut script).header.flags.rst);
    }
}
