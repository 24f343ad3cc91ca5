//! Statistics of a connection, as in Linux's `tcp_info`.

/// Statistics of a connection, in bytes and nanoseconds.
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
    /// Bytes estimated to be in the network (RFC 6675, 4).
    pub in_flight: u32,
    /// Bytes written and not yet acknowledged.
    pub unacknowledged: u32,
    /// Bytes received and not yet read.
    pub unread: u32,
    /// Bytes received out of order.
    pub out_of_order: u32,
    /// The phase of the sender: `Open` (no known losses), `Recovery` (repairs losses that
    /// acknowledgements show) or `Loss` (repairs after a timeout).
    pub phase: &'static str,
    /// Bytes that the peer has reported and not acknowledged (RFC 2018).
    pub sacked: u32,
    /// Bytes marked lost and not retransmitted yet.
    pub lost: u32,
    /// Whether reordering was seen (RFC 8985, 6.2), since the beginning.
    pub reordering: bool,
    /// The MSS that the peer announced (RFC 9293, 3.7.1); 0 before its SYN.
    pub peer_mss: u16,
    /// The largest packet that is sent, in bytes with its headers.
    pub path_mtu: u32,
    /// Whether both ends send timestamps (RFC 7323).
    pub timestamps: bool,
    /// Whether both ends report what comes out of order (RFC 2018).
    pub sack: bool,
    /// Whether both ends support ECN (RFC 3168).
    pub ecn: bool,
    /// The shifts of the windows of this end and of the peer, if they are scaled (RFC 7323).
    pub scales: Option<(u8, u8)>,
    /// Segments retransmitted, since the beginning. Wraps.
    pub retransmitted: u32,
    /// Retransmission timeouts, since the beginning. Wraps.
    pub timeouts: u32,
    /// Tail loss probes, since the beginning. Wraps.
    pub probes: u32,
    /// Spurious recoveries. Wraps.
    pub spurious: u32,
    /// Payload bytes that were acknowledged, since the beginning.
    pub bytes_acknowledged: u64,
    /// Payload bytes received in order, since the beginning.
    pub bytes_received: u64,
}
