//! What can be known about a connection, as in Linux's `tcp_info`.

/// How a connection does. Bytes, and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Name of the state in RFC 9293.
    pub state: &'static str,
    /// Smoothed round-trip time; 0 before the first measurement.
    pub rtt_ns: u64,
    /// Its variation.
    pub rtt_variation_ns: u64,
    /// The smallest one measured.
    pub rtt_min_ns: u64,
    /// The retransmission timeout, without its backoff.
    pub rto_ns: u64,
    /// Payload bytes of a full segment.
    pub mss: u16,
    /// Congestion window.
    pub cwnd: u32,
    /// Slow start threshold; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// Window that the peer offers.
    pub send_window: u32,
    /// Window that is offered to the peer.
    pub receive_window: u32,
    /// Bytes that are thought to be in the network.
    pub in_flight: u32,
    /// Bytes written and not yet acknowledged.
    pub unacknowledged: u32,
    /// Bytes received and not yet read.
    pub unread: u32,
    /// Bytes received out of order.
    pub out_of_order: u32,
    /// Segments sent again, since the beginning. Wraps.
    pub retransmitted: u32,
    /// Retransmission timeouts, since the beginning. Wraps.
    pub timeouts: u32,
    /// Tail loss probes, since the beginning. Wraps.
    pub probes: u32,
    /// Recoveries that turned out to be unneeded. Wraps.
    pub spurious: u32,
    /// Payload bytes that were acknowledged, since the beginning.
    pub bytes_acknowledged: u64,
    /// Payload bytes received in order, since the beginning.
    pub bytes_received: u64,
}
