//! Explicit congestion notification (RFC 3168, 6.1): routers mark segments instead of dropping
//! them, the receiver echoes that, the sender slows down and says so.

use super::connection::{Connection, due};
use super::recovery::Phase;
use super::segment::{Flags, Header, Segment};
use super::seq::Seq;

/// ECN-capable transport, ECT(0), as it is in the IP header (RFC 3168, 5).
pub(super) const CAPABLE: u8 = 2;

/// ECN state of one end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ecn {
    /// Both agreed on it.
    pub(super) on: bool,
    /// A mark came, and the peer hasn't said that it has heard of it.
    pub(super) echo: bool,
    /// The window was reduced, and the peer hasn't been told.
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
}

impl Connection {
    /// A segment with data came (RFC 3168, 6.1.3).
    pub(super) fn take_mark(&mut self, segment: &Segment<'_>) {
        if !self.ecn.on {
            return;
        }
        if segment.has(Flags::CWR) {
            self.ecn.echo = false;
        }
        if segment.marked {
            if !self.ecn.echo {
                // The sooner the sender knows.
                self.due |= due::ACK;
            }
            self.ecn.echo = true;
        }
    }

    /// An acknowledgement came: whether the peer saw a mark (RFC 3168, 6.1.2).
    pub(super) fn take_echo(&mut self, segment: &Segment<'_>) {
        let news = segment.ack.after(self.ecn.point);
        if !self.ecn.on || !segment.has(Flags::ECE) || !news {
            return;
        }
        self.ecn.point = self.snd_nxt;
        self.ecn.reduced = true;
        // What repairs losses has reduced it already.
        if self.recovery.phase == Phase::Open {
            let mss = self.mss();
            self.control.lost(self.snd_nxt - self.snd_una, mss);
            self.control.cwnd = self.control.cwnd.min(self.control.ssthresh);
        }
    }

    /// The marks of a segment that carries data sent for the first time (RFC 3168, 6.1.2 and
    /// 6.1.5).
    pub(super) fn mark_new(&self, header: &mut Header) {
        if self.ecn.on {
            header.ecn = CAPABLE;
            if self.ecn.reduced {
                header.flags = header.flags | Flags::CWR;
            }
        }
    }
}
