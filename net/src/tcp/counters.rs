//! Counters of TCP events since the stack was made.

/// Numbers of events, as in `netstat -s`. They wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Segments received with a valid checksum.
    pub segments_in: u64,
    /// Segments sent; one that the device cuts counts once.
    pub segments_out: u64,
    /// Segments received with an invalid header.
    pub malformed: u64,
    /// Resets received.
    pub resets_in: u64,
    /// Resets sent for segments without a connection.
    pub resets_out: u64,
    /// Such resets that were not sent because of the limit.
    pub resets_limited: u64,
    /// Connections begun by a program.
    pub active_opens: u64,
    /// Connections established by a peer.
    pub passive_opens: u64,
    /// Connects that failed.
    pub failed_connects: u64,
    /// Segments with SYN that reached a listener.
    pub syns: u64,
    /// Segments with SYN that were ignored because the queue of the listener is full.
    pub listen_overflows: u64,
    /// Segments with SYN, or that would have established a connection, ignored for lack of memory.
    pub no_memory: u64,
    /// Handshakes that the peer never finished.
    pub handshakes_given_up: u64,
    /// SYN cookies sent.
    pub cookies_sent: u64,
    /// Valid SYN cookies received.
    pub cookies_accepted: u64,
    /// Acknowledgements for listeners without a valid cookie.
    pub cookies_rejected: u64,
    /// Challenge acknowledgements (RFC 5961) sent.
    pub challenges: u64,
    /// Challenge acknowledgements that were not sent because of the limit.
    pub challenges_limited: u64,
    /// Connections that entered TIME-WAIT.
    pub time_waits: u64,
    /// TIME-WAIT records evicted before they expired.
    pub time_wait_overflows: u64,
    /// New connections that replaced a TIME-WAIT record (RFC 6191).
    pub time_wait_reused: u64,
    /// Closed connections that were given up because too many were still delivering, or new ones
    /// needed their memory.
    pub orphans_aborted: u64,
    /// Connections that ended because the peer stopped responding.
    pub timeouts: u64,
    /// ICMP errors about connections.
    pub icmp_errors: u64,
    /// Segments retransmitted by connections that are over.
    pub retransmitted: u64,
}

impl TcpCounters {
    /// Calls `f` with the name and the value of each.
    pub(crate) fn each(&self, f: &mut dyn FnMut(&'static str, u64)) {
        let all = [
            ("tcp.segments-in", self.segments_in),
            ("tcp.segments-out", self.segments_out),
            ("tcp.malformed", self.malformed),
            ("tcp.resets-in", self.resets_in),
            ("tcp.resets-out", self.resets_out),
            ("tcp.resets-limited", self.resets_limited),
            ("tcp.active-opens", self.active_opens),
            ("tcp.passive-opens", self.passive_opens),
            ("tcp.failed-connects", self.failed_connects),
            ("tcp.syns", self.syns),
            ("tcp.listen-overflows", self.listen_overflows),
            ("tcp.no-memory", self.no_memory),
            ("tcp.handshakes-given-up", self.handshakes_given_up),
            ("tcp.cookies-sent", self.cookies_sent),
            ("tcp.cookies-accepted", self.cookies_accepted),
            ("tcp.cookies-rejected", self.cookies_rejected),
            ("tcp.challenges", self.challenges),
            ("tcp.challenges-limited", self.challenges_limited),
            ("tcp.time-waits", self.time_waits),
            ("tcp.time-wait-overflows", self.time_wait_overflows),
            ("tcp.time-wait-reused", self.time_wait_reused),
            ("tcp.orphans-aborted", self.orphans_aborted),
            ("tcp.timeouts", self.timeouts),
            ("tcp.icmp-errors", self.icmp_errors),
            ("tcp.retransmitted", self.retransmitted),
        ];
        for (name, value) in all {
            f(name, value);
        }
    }
}

/// Counts one.
pub(crate) fn count(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}
