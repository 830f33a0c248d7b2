//! One counter for everything that happens silently.
//!
//! Names are the kernel's `MPTcpExt` and `TcpExt` names in snake case, so that a run here and a run there can be
//! laid side by side; `Counters::iter` gives them back in the kernel's spelling.

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// What an endpoint counted since it was made.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $field: u64,)* }

        impl Counters {
            /// Every counter: the name `nstat` would print, and the value.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field),)*].into_iter()
            }
        }
    };
}

counters! {
    /// SYNs with MP_CAPABLE received.
    mp_capable_syn_rx = "MPTcpExtMPCapableSYNRX",
    /// SYNs with MP_CAPABLE sent.
    mp_capable_syn_tx = "MPTcpExtMPCapableSYNTX",
    /// SYN/ACKs with MP_CAPABLE received.
    mp_capable_syn_ack_rx = "MPTcpExtMPCapableSYNACKRX",
    /// Third ACKs with MP_CAPABLE received.
    mp_capable_ack_rx = "MPTcpExtMPCapableACKRX",
    /// Third packets without MP_CAPABLE: plain TCP from there.
    mp_capable_fallback_ack = "MPTcpExtMPCapableFallbackACK",
    /// SYN/ACKs without MP_CAPABLE: plain TCP from there.
    mp_capable_fallback_syn_ack = "MPTcpExtMPCapableFallbackSYNACK",
    /// Attempts whose further SYNs left MP_CAPABLE out.
    mp_capable_syn_tx_drop = "MPTcpExtMPCapableSYNTXDrop",
    /// Attempts without MP_CAPABLE because it did not get through to the destination before.
    mp_capable_syn_tx_disabled = "MPTcpExtMPCapableSYNTXDisabled",
    /// Destinations found that answer only without MP_CAPABLE.
    blackhole = "MPTcpExtBlackhole",
    /// First data acknowledged without a DSS: plain TCP from there.
    mp_capable_data_fallback = "MPTcpExtMPCapableDataFallback",
    /// No unique token could be drawn; the connection is plain TCP.
    mp_fallback_token_init = "MPTcpExtMPFallbackTokenInit",
    /// Simultaneous open: plain TCP from there.
    simult_connect_fallback = "MPTcpExtSimultConnectFallback",
    /// Joins that named no known token.
    mp_join_no_token_found = "MPTcpExtMPJoinNoTokenFound",
    /// MP_JOIN SYNs received.
    mp_join_syn_rx = "MPTcpExtMPJoinSynRx",
    /// MP_JOIN SYN/ACKs received.
    mp_join_syn_ack_rx = "MPTcpExtMPJoinSynAckRx",
    /// MP_JOIN SYN/ACKs whose HMAC was wrong.
    mp_join_syn_ack_hmac_failure = "MPTcpExtMPJoinSynAckHMacFailure",
    /// MP_JOIN ACKs received.
    mp_join_ack_rx = "MPTcpExtMPJoinAckRx",
    /// MP_JOIN ACKs whose HMAC was wrong.
    mp_join_ack_hmac_failure = "MPTcpExtMPJoinAckHMacFailure",
    /// Joins refused by a limit.
    mp_join_rejected = "MPTcpExtMPJoinRejected",
    /// MP_JOIN SYNs sent.
    mp_join_syn_tx = "MPTcpExtMPJoinSynTx",
    /// Mappings that contradicted a live one.
    dss_not_matching = "MPTcpExtDSSNotMatching",
    /// Bytes without a mapping.
    dss_no_match_tcp = "MPTcpExtDSSNoMatchTCP",
    /// Mappings whose checksum was wrong.
    data_csum_err = "MPTcpExtDataCsumErr",
    /// Broken mappings that ended in fallback.
    dss_corruption_fallback = "MPTcpExtDSSCorruptionFallback",
    /// Broken mappings that ended in a reset of the subflow.
    dss_corruption_reset = "MPTcpExtDSSCorruptionReset",
    /// Fallbacks after the handshake.
    dss_fallback = "MPTcpExtDssFallback",
    /// Infinite mappings sent.
    infinite_map_tx = "MPTcpExtInfiniteMapTx",
    /// Infinite mappings received.
    infinite_map_rx = "MPTcpExtInfiniteMapRx",
    /// Data-level arrivals out of order.
    ofo_queue = "MPTcpExtOFOQueue",
    /// Data beyond the data-level window.
    no_dss_in_window = "MPTcpExtNoDSSInWindow",
    /// Data that had arrived before.
    duplicate_data = "MPTcpExtDuplicateData",
    /// Data-level retransmissions (reinjections).
    mptcp_retrans = "MPTcpExtMPTCPRetrans",
    /// ADD_ADDRs received.
    add_addr = "MPTcpExtAddAddr",
    /// ADD_ADDRs dropped for want of room or a wrong HMAC.
    add_addr_drop = "MPTcpExtAddAddrDrop",
    /// ADD_ADDRs sent.
    add_addr_tx = "MPTcpExtAddAddrTx",
    /// ADD_ADDR echoes received.
    echo_add = "MPTcpExtEchoAdd",
    /// ADD_ADDR echoes sent.
    echo_add_tx = "MPTcpExtEchoAddTx",
    /// REMOVE_ADDRs received.
    rm_addr = "MPTcpExtRmAddr",
    /// REMOVE_ADDRs sent.
    rm_addr_tx = "MPTcpExtRmAddrTx",
    /// Subflows closed because this end's address or endpoint went. Those the peer withdrew are not counted here.
    rm_subflow = "MPTcpExtRmSubflow",
    /// MP_PRIOs sent.
    mp_prio_tx = "MPTcpExtMPPrioTx",
    /// MP_PRIOs received.
    mp_prio_rx = "MPTcpExtMPPrioRx",
    /// MP_FAILs sent.
    mp_fail_tx = "MPTcpExtMPFailTx",
    /// MP_FAILs received.
    mp_fail_rx = "MPTcpExtMPFailRx",
    /// MP_FASTCLOSEs sent.
    mp_fastclose_tx = "MPTcpExtMPFastcloseTx",
    /// MP_FASTCLOSEs received.
    mp_fastclose_rx = "MPTcpExtMPFastcloseRx",
    /// MP_TCPRSTs sent.
    mp_rst_tx = "MPTcpExtMPRstTx",
    /// MP_TCPRSTs received.
    mp_rst_rx = "MPTcpExtMPRstRx",
    /// Subflows that stopped making progress.
    subflow_stale = "MPTcpExtSubflowStale",
    /// Stale subflows that recovered.
    subflow_recover = "MPTcpExtSubflowRecover",
    /// Active opens by the path manager of plain TCP sockets; this end has none.
    mp_capable_endp_attempt = "MPTcpExtMPCapableEndpAttempt",
    /// MP_JOIN SYNs received that ask for a backup.
    mp_join_syn_backup_rx = "MPTcpExtMPJoinSynBackupRx",
    /// MP_JOIN SYN/ACKs received that ask for a backup.
    mp_join_syn_ack_backup_rx = "MPTcpExtMPJoinSynAckBackupRx",
    /// Joins not sent for want of a subflow.
    mp_join_syn_tx_creat_sk_err = "MPTcpExtMPJoinSynTxCreatSkErr",
    /// Joins not sent because the local address is not there.
    mp_join_syn_tx_bind_err = "MPTcpExtMPJoinSynTxBindErr",
    /// Joins not sent because the remote address cannot be reached from here.
    mp_join_syn_tx_connect_err = "MPTcpExtMPJoinSynTxConnectErr",
    /// MP_JOIN SYNs received on a port of its own.
    mp_join_port_syn_rx = "MPTcpExtMPJoinPortSynRx",
    /// MP_JOIN SYN/ACKs received from a port of its own.
    mp_join_port_syn_ack_rx = "MPTcpExtMPJoinPortSynAckRx",
    /// MP_JOIN ACKs received on a port of its own.
    mp_join_port_ack_rx = "MPTcpExtMPJoinPortAckRx",
    /// MP_JOIN SYNs received on a port that was not announced.
    mismatch_port_syn_rx = "MPTcpExtMismatchPortSynRx",
    /// MP_JOIN ACKs received on a port that was not announced.
    mismatch_port_ack_rx = "MPTcpExtMismatchPortAckRx",
    /// Data-level arrivals kept after everything else that waits.
    ofo_queue_tail = "MPTcpExtOFOQueueTail",
    /// Data-level arrivals out of order that touched what was waiting.
    ofo_merge = "MPTcpExtOFOMerge",
    /// ADD_ADDRs not sent for want of room in the options.
    add_addr_tx_drop = "MPTcpExtAddAddrTxDrop",
    /// ADD_ADDR echoes not sent for want of room in the options.
    echo_add_tx_drop = "MPTcpExtEchoAddTxDrop",
    /// ADD_ADDRs received that name a port.
    port_add = "MPTcpExtPortAdd",
    /// REMOVE_ADDRs received and dropped.
    rm_addr_drop = "MPTcpExtRmAddrDrop",
    /// REMOVE_ADDRs not sent for want of room in the options.
    rm_addr_tx_drop = "MPTcpExtRmAddrTxDrop",
    /// Subflows whose send window was taken from another's. Always 0: a subflow obeys the window it was told itself
    /// [SND-4].
    snd_wnd_shared = "MPTcpExtSndWndShared",
    /// Segments that told a subflow a window which others had been told before.
    rcv_wnd_shared = "MPTcpExtRcvWndShared",
    /// Windows that had to be set again because another subflow was faster. Always 0: one lock holds a connection, so
    /// no two subflows tell a window at once.
    rcv_wnd_conflict_update = "MPTcpExtRcvWndConflictUpdate",
    /// Windows another subflow had changed meanwhile. Always 0, for the same reason.
    rcv_wnd_conflict = "MPTcpExtRcvWndConflict",
    /// Plain TCP because of TCP-MD5 signatures. Always 0: this end has none (RFC 2385).
    md5_sig_fallback = "MPTcpExtMD5SigFallback",
    /// Fallbacks wanted where it was too late for one.
    fallback_failed = "MPTcpExtFallbackFailed",
    /// Data-level probes of a closed window.
    win_probe = "MPTcpExtWinProbe",
    /// Connections alive now (a gauge).
    mp_curr_estab = "MPTcpExtMPCurrEstab",
    /// Packets that are no valid IP packet for us.
    ip_in_errors = "MpuserIpInErrors",
    /// Segments with a broken TCP header, options or checksum.
    tcp_in_errors = "MpuserTcpInErrors",
    /// Segments for which no connection and no listener was found.
    no_socket = "MpuserNoSocket",
    /// Segments sent.
    tcp_out_segs = "MpuserTcpOutSegs",
    /// Segments received with a valid checksum.
    tcp_in_segs = "MpuserTcpInSegs",
    /// Segments with data that said what the one before them had said (header prediction).
    tcp_hp_hits = "TcpExtTCPHPHits",
    /// Segments sent again by a subflow's TCP.
    tcp_retrans_segs = "MpuserTcpRetransSegs",
    /// Segments with RST sent.
    tcp_out_rsts = "MpuserTcpOutRsts",
    /// Stateless replies dropped because their queue was full.
    stateless_drop = "MpuserStatelessDrop",
    /// Answers of schedulers that were refused: an unknown subflow, no room, bytes that are not there.
    scheduler_refused = "MpuserSchedulerRefused",
    /// SYNs with data of which the server took some.
    tcp_fast_open_active = "TcpExtTCPFastOpenActive",
    /// SYNs with data that were not answered in time, or of which nothing was taken.
    tcp_fast_open_active_fail = "TcpExtTCPFastOpenActiveFail",
    /// Connections let in by a Fast Open cookie.
    tcp_fast_open_passive = "TcpExtTCPFastOpenPassive",
    /// Wrong Fast Open cookies.
    tcp_fast_open_passive_fail = "TcpExtTCPFastOpenPassiveFail",
    /// Fast Open cookies made with the secret before the last.
    tcp_fast_open_passive_alt_key = "TcpExtTCPFastOpenPassiveAltKey",
    /// Good Fast Open cookies not acted upon, for there were too many.
    tcp_fast_open_listen_overflow = "TcpExtTCPFastOpenListenOverflow",
    /// Requests for a Fast Open cookie.
    tcp_fast_open_cookie_reqd = "TcpExtTCPFastOpenCookieReqd",
    /// SYNs answered without keeping anything.
    syncookies_sent = "TcpExtSyncookiesSent",
    /// Third packets that brought such a handshake back.
    syncookies_recv = "TcpExtSyncookiesRecv",
    /// Segments to a listener that acknowledge no such answer.
    syncookies_failed = "TcpExtSyncookiesFailed",
    /// TIME-WAITs ended early for want of room.
    tcp_time_wait_overflow = "TcpExtTCPTimeWaitOverflow",
    /// Connection attempts refused because the listener's backlog was full.
    listen_drops = "TcpExtListenDrops",
}

#[cfg(test)]
mod tests {
    use super::Counters;
    use std::vec::Vec;

    #[test]
    fn names_are_unique_and_values_are_found() {
        let counters = Counters { mp_join_ack_rx: 7, ..Counters::default() };
        let mut names: Vec<_> = counters.iter().map(|(name, _)| name).collect();
        assert!(counters.iter().any(|(name, value)| name == "MPTcpExtMPJoinAckRx" && value == 7));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
