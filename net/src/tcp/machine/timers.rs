//! Timers of a connection.

/// Never.
pub(crate) const OFF: u64 = u64::MAX;

/// The timers of a connection; nanoseconds of the caller's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    /// Retransmission of SYN, data and FIN (RFC 6298, 5).
    pub(crate) retransmit: u64,
    /// Tail loss probe (RFC 8985, 7).
    pub(crate) probe: u64,
    /// Reordering timer: segments are lost or late (RFC 8985, 6.2).
    pub(crate) reorder: u64,
    /// The peer's window is closed, or too small to be used (RFC 9293, 3.8.6.1 and 3.8.6.2.1).
    pub(crate) persist: u64,
    /// Delayed acknowledgement.
    pub(crate) acknowledge: u64,
    /// The next segment of a paced window.
    pub(crate) pace: u64,
    /// Keep-alive (RFC 9293, 3.8.4).
    pub(crate) keepalive: u64,
    /// The handshake, lingering, or TIME-WAIT is over.
    pub(crate) lifetime: u64,
    /// User timeout (RFC 5482).
    pub(crate) user: u64,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers {
            retransmit: OFF,
            probe: OFF,
            reorder: OFF,
            persist: OFF,
            acknowledge: OFF,
            pace: OFF,
            keepalive: OFF,
            lifetime: OFF,
            user: OFF,
        }
    }

    /// The earliest.
    pub(crate) fn next(&self) -> u64 {
        self.retransmit
            .min(self.probe)
            .min(self.reorder)
            .min(self.persist)
            .min(self.acknowledge)
            .min(self.pace)
            .min(self.keepalive)
            .min(self.lifetime)
            .min(self.user)
    }

    /// Stops the timers of sent data.
    pub(crate) fn stop_sending(&mut self) {
        self.retransmit = OFF;
        self.probe = OFF;
        self.reorder = OFF;
        self.persist = OFF;
        self.pace = OFF;
        self.user = OFF;
    }

    /// Whether `timer` has expired; if so, it is off afterwards.
    pub(crate) fn expired(timer: &mut u64, now_ns: u64) -> bool {
        let expired = *timer <= now_ns;
        if expired {
            *timer = OFF;
        }
        expired
    }
}
