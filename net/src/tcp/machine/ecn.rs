//! Explicit congestion notification (RFC 3168, 6.1): routers mark packets instead of dropping them,
//! the receiver echoes the mark (ECE), the sender reduces its window and confirms that (CWR).

use super::segment::{Flags, Header, Segment};
use super::seq::Seq;

/// ECN-capable transport, ECT(0), as it is in the IP header (RFC 3168, 5).
pub(super) const CAPABLE: u8 = 2;

/// ECN state of one end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ecn {
    /// Both ends negotiated it.
    pub(super) on: bool,
    /// A mark arrived, and the peer hasn't confirmed its echo (CWR).
    pub(super) echo: bool,
    /// The window was reduced, and CWR is still to be sent.
    pub(super) reduced: bool,
    /// SND.NXT at the last reduction: one in each window of data.
    point: Seq,
}

impl Ecn {
    pub(super) fn new(iss: Seq) -> Ecn {
        Ecn {
            on: false,
            echo: false,
            reduced: false,
            point: iss,
        }
    }

    /// Handles a segment with data (RFC 3168, 6.1.3); returns whether an acknowledgement must echo
    /// a mark.
    pub(super) fn take_mark(&mut self, segment: &Segment<'_>) -> bool {
        if !self.on {
            return false;
        }
        if segment.has(Flags::CWR) {
            self.echo = false;
        }
        let first = segment.marked && !self.echo;
        self.echo |= segment.marked;
        first
    }

    /// Handles an acknowledgement: returns whether the peer saw a mark for which the window has not
    /// been reduced yet (RFC 3168, 6.1.2).
    pub(super) fn take_echo(&mut self, segment: &Segment<'_>, snd_nxt: Seq) -> bool {
        if !self.on || !segment.has(Flags::ECE) || !segment.ack.after(self.point) {
            return false;
        }
        self.point = snd_nxt;
        self.reduced = true;
        true
    }

    /// The marks of a segment that carries data sent for the first time (RFC 3168, 6.1.2 and
    /// 6.1.5).
    pub(super) fn mark_new(&self, header: &mut Header) {
        if self.on {
            header.ecn = CAPABLE;
            if self.reduced {
                header.flags = header.flags | Flags::CWR;
            }
        }
    }
}
