//! Settings of TCP connections: congestion control and keep-alive.

/// A congestion control algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Congestion {
    /// CUBIC (RFC 9438): for long or fast paths.
    #[default]
    Cubic,
    /// NewReno (RFC 5681, 6582).
    NewReno,
}

/// Keep-alive probes to a silent peer (RFC 9293, 3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Keepalive {
    /// Idle time before the first probe, in nanoseconds; RFC 9293 requires a default of at least
    /// two hours.
    pub idle_ns: u64,
    /// Interval between probes, in nanoseconds.
    pub interval_ns: u64,
    /// Number of unanswered probes after which the connection fails with
    /// [`super::Error::TimedOut`].
    pub probes: u8,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive {
            idle_ns: 7_200_000_000_000,
            interval_ns: 75_000_000_000,
            probes: 9,
        }
    }
}

impl Keepalive {
    /// Probes after every `interval_ns` of silence; the fifth unanswered one ends the connection.
    pub fn every(interval_ns: u64) -> Keepalive {
        Keepalive {
            idle_ns: interval_ns,
            interval_ns,
            probes: 4,
        }
    }
}
