//! The states of a connection (RFC 9293, 3.3.2). LISTEN is the listener's.

/// The state of a connection (RFC 9293, 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// SYN sent, nothing received.
    SynSent,
    /// SYN received and SYN-ACK sent, which isn't acknowledged yet.
    SynReceived,
    /// Data may go both ways.
    Established,
    /// FIN sent (or about to be), not acknowledged; the peer may still send.
    FinWait1,
    /// FIN acknowledged; the peer may still send.
    FinWait2,
    /// FIN received; this end may still send.
    CloseWait,
    /// FIN sent and received, ours not acknowledged.
    Closing,
    /// FIN received, then ours sent, not acknowledged.
    LastAck,
    /// Both ends have finished; late segments are acknowledged.
    TimeWait,
    /// The connection is over.
    Closed,
}

impl State {
    /// Both SYNs are acknowledged, and the connection isn't over.
    pub(crate) fn is_synchronized(self) -> bool {
        !matches!(self, State::SynSent | State::SynReceived | State::Closed)
    }

    /// The peer hasn't sent a FIN: it may send data.
    pub(crate) fn can_receive(self) -> bool {
        matches!(self, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// This end hasn't ended its direction: it may send data.
    pub(crate) fn can_send(self) -> bool {
        matches!(
            self,
            State::SynSent | State::SynReceived | State::Established | State::CloseWait
        )
    }

    /// The name in RFC 9293.
    pub(crate) fn name(self) -> &'static str {
        match self {
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
            State::Closed => "CLOSED",
        }
    }
}
