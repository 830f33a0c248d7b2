//! MP_CAPABLE and MP_JOIN: what an option of the peer means for the handshake (RFC 8684 3.1, 3.2).
//!
//! Functions from values to verdicts; the connection acts on them.

use crate::crypto::{Key, Nonce, join_hmac, verify};
use crate::error::FallbackReason;
use crate::wire::SignalList;
use crate::wire::mptcp::{CapableFlags, MpCapable, MpJoin, MptcpOption};

/// The one MPTCP version spoken, so the highest (RFC 8684 3.1 [INI-1]).
pub(crate) const VERSION: u8 = 1;

/// What both ends agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// The peer's key.
    pub(crate) remote_key: Key,
    /// DSS checksums in both directions [INI-29].
    pub(crate) checksum: bool,
    /// The peer takes no joins to the address of the first subflow [INI-20].
    pub(crate) deny_join_initial: bool,
}

/// A client's offer, as the server heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) checksum: bool,
    pub(crate) deny_join_initial: bool,
}

fn capable(signals: &SignalList) -> Option<MpCapable> {
    signals.iter().find_map(|option| match option {
        MptcpOption::Capable(capable) => Some(capable),
        _ => None,
    })
}

fn join(signals: &SignalList) -> Option<MpJoin> {
    signals.iter().find_map(|option| match option {
        MptcpOption::Join(join) => Some(join),
        _ => None,
    })
}

/// The server's reading of a SYN.
pub(crate) fn on_syn(
    signals: &SignalList,
    other_algorithms: bool,
) -> Result<Offer, FallbackReason> {
    let Some(MpCapable::Syn { version, flags }) = capable(signals) else {
        return Err(FallbackReason::SynWithoutCapable);
    };
    if join(signals).is_some() {
        return Err(FallbackReason::NotUnderstood);
    }
    // [INI-2]: a higher version is answered with ours; v0 is not spoken. [INI-19] B, [INI-23] no algorithm,
    // [INI-32] no common one.
    let mixed = flags.algorithms() != CapableFlags::HMAC_SHA256;
    if version < VERSION
        || flags.extensibility()
        || !flags.hmac_sha256()
        || (mixed && !other_algorithms)
    {
        return Err(FallbackReason::NotUnderstood);
    }
    Ok(Offer { checksum: flags.checksum_required(), deny_join_initial: flags.deny_join_initial() })
}

/// SYN/ACK and third packet name what was agreed: this version, no extension, exactly one algorithm [INI-24] (K3).
const fn is_spoken(version: u8, flags: CapableFlags) -> bool {
    let one_algorithm = flags.algorithms() == CapableFlags::HMAC_SHA256;
    version == VERSION && one_algorithm && !flags.extensibility()
}

/// The client's reading of the SYN/ACK; `checksum` is what its own SYN asked for.
pub(crate) fn on_syn_ack(
    signals: &SignalList,
    checksum: bool,
) -> Result<Agreement, FallbackReason> {
    let Some(MpCapable::SynAck { version, flags, sender_key }) = capable(signals) else {
        return Err(FallbackReason::SynAckWithoutCapable);
    };
    if !is_spoken(version, flags) {
        return Err(FallbackReason::NotUnderstood);
    }
    Ok(Agreement {
        remote_key: sender_key,
        checksum: checksum || flags.checksum_required(),
        deny_join_initial: flags.deny_join_initial(),
    })
}

/// The key of this end that a third packet repeats, and what its flags say again of the SYN's (K8): all that is left
/// of a SYN that was not kept.
pub(crate) fn echo(signals: &SignalList) -> Option<(Key, Offer)> {
    let (MpCapable::Ack { flags, receiver_key, .. }
    | MpCapable::AckData { flags, receiver_key, .. }) = capable(signals)?
    else {
        return None;
    };
    let (checksum, deny_join_initial) = (flags.checksum_required(), flags.deny_join_initial());
    Some((receiver_key, Offer { checksum, deny_join_initial }))
}

/// The server's reading of the third packet [INI-6] [INI-35]; `checksum` is what SYN and SYN/ACK asked for.
pub(crate) fn on_third_packet(
    signals: &SignalList,
    own_key: Key,
    offer: Offer,
    checksum: bool,
) -> Result<Agreement, FallbackReason> {
    let (version, flags, sender_key, receiver_key, with_checksum) = match capable(signals) {
        Some(MpCapable::Ack { version, flags, sender_key, receiver_key }) => {
            (version, flags, sender_key, receiver_key, false)
        }
        Some(MpCapable::AckData { version, flags, sender_key, receiver_key, checksum, .. }) => {
            (version, flags, sender_key, receiver_key, checksum.is_some())
        }
        _ => return Err(FallbackReason::AckWithoutCapable),
    };
    if !is_spoken(version, flags) || receiver_key != own_key {
        return Err(FallbackReason::NotUnderstood);
    }
    Ok(Agreement {
        remote_key: sender_key,
        // A on any of the three packets: a peer that sets it late still means it (K8) [INI-30].
        checksum: checksum || flags.checksum_required() || with_checksum,
        deny_join_initial: offer.deny_join_initial,
    })
}

/// The joining side's reading of the SYN/ACK: the peer's nonce and address identifier when its HMAC is right
/// [JOIN-12] [JOIN-15].
pub(crate) fn on_join_syn_ack(
    signals: &SignalList,
    own: Key,
    peer: Key,
    own_nonce: Nonce,
) -> Result<(Nonce, crate::addr::AddressId, bool), JoinFailure> {
    let Some(MpJoin::SynAck { backup, address_id, hmac, nonce }) = join(signals) else {
        return Err(JoinFailure::NoOption);
    };
    let expected = join_hmac(peer, own, nonce, own_nonce).leftmost64();
    if verify(&hmac, &expected) {
        Ok((nonce, address_id, backup))
    } else {
        Err(JoinFailure::BadHmac)
    }
}

/// The joined side's reading of the third packet [JOIN-14].
pub(crate) fn on_join_ack(
    signals: &SignalList,
    own: Key,
    peer: Key,
    own_nonce: Nonce,
    peer_nonce: Nonce,
) -> Result<(), JoinFailure> {
    let Some(MpJoin::Ack { hmac }) = join(signals) else {
        return Err(JoinFailure::NoOption);
    };
    let expected = join_hmac(peer, own, peer_nonce, own_nonce).leftmost160();
    if verify(&hmac, &expected) { Ok(()) } else { Err(JoinFailure::BadHmac) }
}

/// Why a join is refused; the answer is a RST either way (RFC 8684 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinFailure {
    NoOption,
    BadHmac,
}

#[cfg(test)]
mod tests;
