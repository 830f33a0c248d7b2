//! Named choices: where RFC 8684 leaves room, or where Linux departs from it.
//!
//! Each is a value that is read where the choice is made. The default follows the RFC; [`Behaviour::linux`] does what
//! Linux 6.18 was seen to do.

use crate::time::Duration;

/// What becomes of the only subflow when its mappings cannot be believed and plain TCP would still be possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnlySubflow {
    /// It goes on as plain TCP.
    FallBack,
    /// It is reset with MP_TCPRST.
    Reset,
}

/// What becomes of octets that no mapping covers (RFC 8684 3.3.1 [DSS-12] [DSS-13] [DSS-14]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmappedData {
    /// They are kept for a while: a mapping may follow, or the peer sends them again. If neither happens, the subflow is
    /// reset. Plain TCP follows only where the peer may be in it without having been able to say so.
    Hold,
    /// The only subflow goes on as plain TCP, any other is reset.
    FallBack,
}

/// What becomes of octets whose DSS checksum is wrong, on the only subflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedData {
    /// Kept back until the peer's infinite mapping makes them plain TCP data (RFC 8684 3.7 [FB-11]).
    Withhold,
    /// Delivered and acknowledged (K39).
    Deliver,
}

/// How a connection is ended at once (RFC 8684 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastCloseForm {
    /// Option A: MP_FASTCLOSE on an ACK of one subflow, repeated until the peer's RST; RST on the others [FC-2].
    Ack,
    /// Option R: RST with MP_FASTCLOSE on every subflow [FC-3].
    Reset,
}

/// Whose choices are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// RFC 8684, and prudence where it is silent.
    #[default]
    Rfc,
    /// Linux, its simplifications included: for comparing the two packet by packet.
    Linux,
}

impl Profile {
    /// The profile of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "rfc" => Some(Self::Rfc),
            "linux" => Some(Self::Linux),
            _ => None,
        }
    }

    /// The choices it makes.
    #[must_use]
    pub const fn behaviour(self) -> Behaviour {
        match self {
            Self::Rfc => Behaviour::rfc(),
            Self::Linux => Behaviour::linux(),
        }
    }

    /// Every name [`Self::from_name`] takes.
    pub const NAMES: &'static [&'static str] = &["rfc", "linux"];
}

/// The choices of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// A DSS has a checksum though none was agreed, or none though one was. Default reset ([DSS-1] [DSS-2]); Linux
    /// falls back (K25).
    pub checksum_disagreement: OnlySubflow,
    /// A mapping contradicts one in force [DSS-4]. Default reset: a peer that stays in MPTCP never learns of a fallback
    /// here. Linux falls back (K25).
    pub mapping_conflict: OnlySubflow,
    /// The peer's options vanish where they came through before: octets are acknowledged without any, or a FIN has none
    /// before this end's data has its end. Default reset [FB-7]: a Linux peer that falls back where segments of two
    /// mappings were joined loses data without a word, and to plain TCP a FIN in return is an end. Otherwise it goes
    /// on, as plain TCP after such ACKs.
    pub options_vanish: OnlySubflow,
    /// What the only subflow delivered, and nobody acknowledged at data level, is sent again on it. Default false: the
    /// peer may have gone on as plain TCP without a word (K24), and then that is new data. Once another subflow was
    /// joined it cannot have (K26). Linux sends it again (K30).
    pub repeat_on_only_subflow: bool,
    /// Octets arrive without a mapping. Default hold: a peer that stays in MPTCP never learns of a fallback here, and
    /// what it sends again at data level (K30) would be new data to plain TCP. Linux falls back (K24).
    pub unmapped_data: UnmappedData,
    /// Octets whose checksum is wrong, on the only subflow. Default withhold.
    pub failed_data: FailedData,
    /// An MP_FAIL that brings no infinite mapping is repeated, and after 15 RTOs the subflow is reset. Default true;
    /// Linux sends one and waits for 120 s (K39).
    pub repeat_fail: bool,
    /// MP_FAIL is sent for the very first mapping, too [FB-12]. Default true; Linux falls back in silence (K39).
    pub fail_first_mapping: bool,
    /// After data was acknowledged without any option, one infinite mapping says that this end goes on as plain TCP
    /// [FB-6]. Default true; Linux falls back in silence (K12).
    pub announce_fallback: bool,
    /// How `abort` is told to the peer. Default option A: some peers take a RST for the end of one subflow whatever it
    /// carries. Linux uses option R (K37).
    pub fast_close: FastCloseForm,
    /// Joins to the first subflow's address and port are refused where flag C was sent. Default true; Linux sends the
    /// flag and takes them (K16).
    pub refuse_denied_joins: bool,
    /// A subflow is suspected after a silence worth two round trips, or little more than one where others are heard and
    /// what it carries is missed first [DACK-11]. Default true; otherwise it takes `stale_loss_cnt` retransmission
    /// timeouts, as in Linux (K31).
    pub early_suspicion: bool,
    /// Retransmission timeouts in a row after which a stale subflow is reset with reason 0x05 while others work
    /// [DACK-12] [DACK-13]. Default none, as Linux: TCP's own limit decides.
    pub reset_stale_after: Option<u32>,
    /// Data ACKs have 64 bits from the start and stay that long [DACK-1]. Default true; Linux gives them the length of
    /// the DSN in the last mapping of data (64 bits for data under MP_CAPABLE), 32 bits before the first.
    pub long_data_ack: bool,
    /// SACK blocks stand before MPTCP options. The room goes to the MPTCP options first in any case, or a peer would take
    /// an ACK without any for a fallback. Default false; Linux has the blocks first.
    pub sack_first: bool,
    /// A server answers the third packet with a DSS at once, and sends one before its first ADD_ADDR: a Linux client
    /// adds subflows only after one (K11). Default true; a Linux server waits until it has something to say.
    pub answer_third_packet: bool,
    /// Before the server has confirmed MPTCP, a client's DATA_FIN waits for an answer and never goes without the keys
    /// before it: were the third packet lost, the server would take the connection for plain TCP (K5). Default true;
    /// Linux sends the DATA_FIN in place of the keys.
    pub keys_before_data_fin: bool,
    /// Before the server has confirmed MPTCP, a client has one mapping of one segment in flight: were a later one to
    /// overtake the third packet and it, the server would take the connection for plain TCP (K4). It costs a round trip
    /// where the first thing said is long. Default true; Linux fills its window.
    pub one_mapping_first: bool,
    /// A DATA_FIN is repeated after the longest RTO of the subflows, doubled each time. Default true; Linux waits
    /// 200 ms twice, and doubles from there.
    pub data_fin_by_rto: bool,
    /// The DATA_FIN that completes a connection is acknowledged before the subflows' FINs go out. Default true; Linux
    /// sends the FIN first, which acknowledges it, too, and a separate ACK after it.
    pub ack_before_fin: bool,
    /// When joins become possible, addresses of the peer get a moment to arrive before one of this end's is used twice
    /// (RFC 8684 3.9.2 [HEU-7]). Default true; Linux goes ahead.
    pub wait_for_addresses: bool,
    /// Data on a SYN to a server whose MSS is not known keeps to 536 octets (RFC 7413 4.1.3). Default true; Linux goes
    /// by its own MSS.
    pub small_syn_data: bool,
    /// A client that asks for a Fast Open cookie and whose data is taken without one gets it all the same. Default
    /// true; Linux gives none then.
    pub cookie_beside_data: bool,
    /// ACKs in TIME-WAIT carry MPTCP options. Default true; in Linux that state is left to a small socket that knows
    /// nothing of MPTCP.
    pub options_in_time_wait: bool,
    /// On REMOVE_ADDR the path is probed before its subflow is closed (RFC 8684 3.4.2 [ADDR-23]). Default true; Linux
    /// closes at once (K29).
    pub probe_before_remove: bool,
    /// REMOVE_ADDR and MP_PRIO, which nobody acknowledges, are said up to three times, an RTO apart and then two: once
    /// lost, they would stay unsaid. Default true; Linux says them once.
    pub repeat_signals: bool,
    /// A join is refused whose address identifier belongs to a live subflow from another address (RFC 8684 3.2
    /// [JOIN-4]). Default true; Linux takes it (K19).
    pub unique_join_ids: bool,
    /// Joins are taken on any port (RFC 8684 3.2 [JOIN-17] [JOIN-18]). Default true; with Linux on the port of the
    /// first subflow and on announced ports only (K17).
    pub join_any_port: bool,
    /// Subflows may be added while one direction is at its end: the other may still have much to send. Default true
    /// (RFC 8684 3.3.3 says nothing of it); Linux takes and opens none.
    pub join_half_closed: bool,
    /// A client may offer further algorithms beside HMAC-SHA256 (RFC 8684 3.1 [INI-24]). Default true; Linux answers
    /// such a SYN in plain TCP.
    pub other_algorithms: bool,
    /// How long a subflow that this end joined rests while others carry data. A Linux receiver whose application is just
    /// reading may take what comes first on a new subflow for what it expects next, and the application gets wrong octets
    /// (K46). Default 20 ms; Linux does not wait.
    pub settle_joins: Duration,
    /// A client leaves a path that owes the octets missing first and has been silent for more than a round trip while
    /// others brought what comes after: it says REMOVE_ADDR there, which makes a Linux sender send at once what was on it
    /// (K29), and joins from the same address after a while. Default true; Linux waits for the sender's timers.
    pub leave_silent_paths: bool,
}

impl Behaviour {
    /// What RFC 8684 says, and prudence where it is silent.
    #[must_use]
    pub const fn rfc() -> Self {
        Self {
            checksum_disagreement: OnlySubflow::Reset,
            mapping_conflict: OnlySubflow::Reset,
            options_vanish: OnlySubflow::Reset,
            repeat_on_only_subflow: false,
            unmapped_data: UnmappedData::Hold,
            failed_data: FailedData::Withhold,
            repeat_fail: true,
            fail_first_mapping: true,
            announce_fallback: true,
            fast_close: FastCloseForm::Ack,
            refuse_denied_joins: true,
            early_suspicion: true,
            reset_stale_after: None,
            long_data_ack: true,
            sack_first: false,
            answer_third_packet: true,
            keys_before_data_fin: true,
            one_mapping_first: true,
            data_fin_by_rto: true,
            ack_before_fin: true,
            wait_for_addresses: true,
            small_syn_data: true,
            cookie_beside_data: true,
            options_in_time_wait: true,
            probe_before_remove: true,
            repeat_signals: true,
            unique_join_ids: true,
            join_any_port: true,
            join_half_closed: true,
            other_algorithms: true,
            settle_joins: Duration::from_millis(20),
            leave_silent_paths: true,
        }
    }

    /// What Linux 6.18 does.
    #[must_use]
    pub const fn linux() -> Self {
        Self {
            checksum_disagreement: OnlySubflow::FallBack,
            mapping_conflict: OnlySubflow::FallBack,
            options_vanish: OnlySubflow::FallBack,
            repeat_on_only_subflow: true,
            unmapped_data: UnmappedData::FallBack,
            failed_data: FailedData::Deliver,
            repeat_fail: false,
            fail_first_mapping: false,
            announce_fallback: false,
            fast_close: FastCloseForm::Reset,
            refuse_denied_joins: false,
            early_suspicion: false,
            long_data_ack: false,
            sack_first: true,
            answer_third_packet: false,
            keys_before_data_fin: false,
            one_mapping_first: false,
            data_fin_by_rto: false,
            ack_before_fin: false,
            wait_for_addresses: false,
            small_syn_data: false,
            cookie_beside_data: false,
            options_in_time_wait: false,
            probe_before_remove: false,
            repeat_signals: false,
            unique_join_ids: false,
            join_any_port: false,
            join_half_closed: false,
            other_algorithms: false,
            settle_joins: Duration::ZERO,
            leave_silent_paths: false,
            ..Self::rfc()
        }
    }
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::rfc()
    }
}
