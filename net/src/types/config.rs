//! Limits and defaults of a stack.

use alloc::boxed::Box;

use super::Congestion;

/// A source of random numbers, 64 bits at a time.
pub type RandomBits = Box<dyn FnMut() -> u64 + Send>;

/// Limits and defaults of a [`crate::Stack`].
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Maximum memory of all TCP buffers together, in bytes. See the rule in `net/tcp.md`; a
    /// quarter of the machine's memory is a good value.
    pub tcp_memory: usize,
    /// Maximum size of a connection's send or receive buffer in bytes, which grows as the path
    /// needs it; 4 KiB to 1 GiB.
    pub tcp_buffer_max: usize,
    /// The initial size of the send or receive buffer of one connection, in bytes; 64
    /// KiB if that is more.
    pub tcp_buffer_min: usize,
    /// Congestion control of new connections.
    pub congestion: Congestion,
    /// Whether new connections request ECN (RFC 3168). A peer that requests it gets it in any case.
    pub ecn: bool,
    /// Maximum number of stored handshakes of all listeners together; beyond it a SYN is answered
    /// with a SYN cookie (RFC 4987).
    pub half_open_max: usize,
    /// Maximum number of closed connections that still deliver; beyond it closing sends a reset.
    pub orphan_max: usize,
    /// Maximum number of TIME-WAIT records; when full, the oldest is evicted.
    pub time_wait_max: usize,
    /// How long TIME-WAIT lasts: twice the maximum segment lifetime (RFC 9293, 3.4.2).
    pub time_wait_ns: u64,
    /// How long `tcp_connect` tries before [`Error::TimedOut`](crate::Error::TimedOut) (RFC 9293,
    /// 3.8.3: at least three minutes).
    pub connect_timeout_ns: u64,
    /// How long an unanswered ARP request or neighbor solicitation is repeated before
    /// [`Error::Unreachable`](crate::Error::Unreachable).
    pub neighbor_timeout_ns: u64,
    /// How long a peer may leave sent data without acknowledgement before
    /// [`Error::TimedOut`](crate::Error::TimedOut) (RFC 9293, 3.8.3: R2 is at least 100 s).
    pub send_timeout_ns: u64,
    /// How long a closed connection may still deliver what was written, and wait for the peer's
    /// FIN, in the background.
    pub linger_ns: u64,
    /// Bytes queued in each direction by one UDP socket.
    pub udp_queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Config {
            tcp_memory: 32 << 20,
            tcp_buffer_max: 4 << 20,
            tcp_buffer_min: 4 << 10,
            congestion: Congestion::Cubic,
            ecn: false,
            half_open_max: 1024,
            orphan_max: 4096,
            time_wait_max: 4096,
            time_wait_ns: 60 * SECOND,
            connect_timeout_ns: 180 * SECOND,
            neighbor_timeout_ns: 3 * SECOND,
            send_timeout_ns: 120 * SECOND,
            linger_ns: 60 * SECOND,
            udp_queue: 64 << 10,
        }
    }
}
