//! Parameters of a connection.

use super::window::scale_for;
use crate::types::{Congestion, Keepalive};

/// The smallest MSS that a program can set (Linux's `TCP_MIN_MSS`).
const MIN_MSS: u16 = 88;
/// RFC 9293, 3.8.6.3, MUST-40: less than half a second.
const MAX_DELAY_NS: u64 = 499_000_000;

/// Options of a connection. Those of a listener are inherited by the connections it establishes
/// from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Timestamps (RFC 7323), if the peer agrees. Only before the SYN.
    pub timestamps: bool,
    /// Selective acknowledgements (RFC 2018), if the peer agrees. Only before the SYN.
    pub sack: bool,
    /// Windows beyond 64 KiB (RFC 7323, 2), if the peer agrees. Only before the SYN.
    pub window_scaling: bool,
    /// Spreads segments over the round trip instead of sending them at once.
    pub pacing: bool,
    /// Sends the peer the user timeout that is set (RFC 5482, 3.1, `ENABLED`; the peer's own
    /// is ignored).
    pub user_timeout_option: bool,
    /// How long an acknowledgement may wait, in nanoseconds, at most 499 ms; 0: each segment is
    /// acknowledged at once (RFC 5681, 4.2).
    pub delayed_ack_ns: u64,
    /// Maximum segment size, in bytes of payload without options, both ways: at least 88, and at
    /// most the interface's; 0: the path's. Set later, it can only shrink sent segments.
    pub mss: u16,
}

impl Default for Options {
    fn default() -> Self {
        let setup = Setup::default();
        Options {
            timestamps: setup.timestamps,
            sack: setup.sack,
            window_scaling: setup.scaling,
            pacing: setup.pacing,
            user_timeout_option: setup.advertise_uto,
            delayed_ack_ns: setup.delayed_ack_ns,
            mss: 0,
        }
    }
}

impl Options {
    /// Applies them to a new connection.
    pub(crate) fn begin(&self, setup: &mut Setup) {
        setup.timestamps = self.timestamps;
        setup.sack = self.sack;
        setup.scaling = self.window_scaling;
        self.change(setup);
    }

    /// Applies those that can be changed at any time.
    pub(crate) fn change(&self, setup: &mut Setup) {
        setup.pacing = self.pacing;
        setup.advertise_uto = self.user_timeout_option;
        setup.delayed_ack_ns = self.delayed_ack_ns.min(MAX_DELAY_NS);
        if self.mss > 0 {
            setup.mss = setup.mss.min(self.mss.max(MIN_MSS));
        }
    }

    /// The options in force.
    pub(crate) fn of(setup: &Setup) -> Options {
        Options {
            timestamps: setup.timestamps,
            sack: setup.sack,
            window_scaling: setup.scaling,
            pacing: setup.pacing,
            user_timeout_option: setup.advertise_uto,
            delayed_ack_ns: setup.delayed_ack_ns,
            mss: setup.mss,
        }
    }
}

/// Parameters of a connection. Durations are nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    /// The initial sequence number (RFC 6528).
    pub(crate) iss: u32,
    /// Added to the clock of milliseconds to make timestamps (RFC 7323, 5.4).
    pub(crate) timestamp_offset: u32,
    /// Largest payload of a segment without options: the MTU of the interface less 40 (IPv4) or 60
    /// (IPv6). Announced to the peer (RFC 6691).
    pub(crate) mss: u16,
    /// The part of `mss` that the path is known to carry; `mss` if unknown.
    pub(crate) path_mss: u16,
    /// Bytes of the IP header: 20 or 40. ICMP reports packet sizes with it.
    pub(crate) ip_header: u8,
    /// Whether timestamps are offered or accepted.
    pub(crate) timestamps: bool,
    /// Whether SACK is offered or accepted.
    pub(crate) sack: bool,
    /// Whether windows are scaled, if the peer agrees (RFC 7323, 2).
    pub(crate) scaling: bool,
    /// Whether a user timeout that is set is sent to the peer (`ENABLED` of RFC 5482, 3.1).
    pub(crate) advertise_uto: bool,
    /// Whether to request ECN (RFC 3168). A peer's request is always accepted.
    pub(crate) ecn: bool,
    pub(crate) congestion: Congestion,
    /// Whether segments are spread over the round-trip time.
    pub(crate) pacing: bool,
    /// Small segments aren't delayed (`TCP_NODELAY`; RFC 9293, 3.7.4).
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Keepalive>,
    /// How long data may stay unacknowledged; 0: unlimited (RFC 5482; RFC 9293, 3.8.3).
    pub(crate) user_timeout_ns: u64,
    /// How long the handshake may take.
    pub(crate) handshake_timeout_ns: u64,
    /// How long an acknowledgement may wait; less than 500 ms (RFC 9293, 3.8.6.3).
    pub(crate) delayed_ack_ns: u64,
    /// The retransmission timeout before the first sample (RFC 6298, 2.1: one second).
    pub(crate) rto_initial_ns: u64,
    /// Its minimum and maximum.
    pub(crate) rto_min_ns: u64,
    pub(crate) rto_max_ns: u64,
    /// The receive window at first and at most, in bytes.
    pub(crate) receive_initial: u32,
    pub(crate) receive_max: u32,
    /// Limit of bytes written and not acknowledged, initially and at most.
    pub(crate) send_initial: u32,
    pub(crate) send_max: u32,
    /// Duration of TIME-WAIT in the machine itself (2 MSL).
    pub(crate) time_wait_ns: u64,
}

impl Default for Setup {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Setup {
            iss: 0,
            timestamp_offset: 0,
            mss: 1460,
            path_mss: 1460,
            ip_header: 20,
            timestamps: true,
            sack: true,
            scaling: true,
            advertise_uto: false,
            ecn: false,
            congestion: Congestion::Cubic,
            pacing: true,
            nodelay: false,
            keepalive: None,
            user_timeout_ns: 120 * SECOND,
            handshake_timeout_ns: 180 * SECOND,
            delayed_ack_ns: SECOND / 25,
            rto_initial_ns: SECOND,
            rto_min_ns: SECOND / 5,
            rto_max_ns: 60 * SECOND,
            receive_initial: 64 << 10,
            receive_max: 4 << 20,
            send_initial: 64 << 10,
            send_max: 4 << 20,
            time_wait_ns: 60 * SECOND,
        }
    }
}

impl Setup {
    /// The shift of the windows that this end offers (RFC 7323, 2.3): the smallest that can express
    /// [`Setup::receive_max`].
    pub(crate) fn window_scale(&self) -> u8 {
        scale_for(self.receive_max)
    }

    /// The window in a SYN, which is never scaled (RFC 7323, 2.2).
    pub(crate) fn syn_window(&self) -> u16 {
        self.receive_initial.min(self.receive_max).min(0xffff) as u16
    }
}
