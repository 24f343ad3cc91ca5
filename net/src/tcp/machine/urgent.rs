//! Urgent data (RFC 9293, 3.8.5; RFC 6093): a pointer. The urgent bytes stay in the stream.

use super::segment::{Flags, Header, Segment};
use super::seq::Seq;

/// The urgent pointers of both directions: to the byte after the urgent ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Urgent {
    rcv_up: Option<Seq>,
    /// `rcv_up` advanced, and the owner hasn't been notified.
    advanced: bool,
    pub(super) snd_up: Option<Seq>,
}

/// Maximum distance of a pointer behind the reader: bytes may be pushed back up to there. Half of
/// all sequence numbers later the pointer would lie ahead again.
const MAX_BEHIND: u32 = 1 << 29;

impl Urgent {
    /// Handles a segment with URG (RFC 9293, 3.10.7.4, sixth). `read` is the first unread byte.
    pub(super) fn take(&mut self, segment: &Segment<'_>, read: Seq) {
        let pointer = segment.seq + u32::from(segment.urgent);
        let known = self.rcv_up.filter(|known| known.after(read));
        if pointer.after(known.unwrap_or(read)) {
            self.rcv_up = Some(pointer);
            self.advanced = true;
        }
    }

    /// Bytes from `read` to the end of the urgent ones, received or not (MUST-33).
    pub(super) fn left(&self, read: Seq) -> u32 {
        self.rcv_up.map_or(0, |end| end.beyond(read))
    }

    /// Bytes before `read` were read: drops a pointer far behind.
    pub(super) fn read_past(&mut self, read: Seq) {
        self.rcv_up = self.rcv_up.filter(|end| read.beyond(*end) <= MAX_BEHIND);
    }

    /// Whether the pointer has advanced since the last call (MUST-32).
    pub(super) fn take_advance(&mut self) -> bool {
        core::mem::take(&mut self.advanced)
    }

    /// Moves the pointer to `end`, never back.
    pub(super) fn send_until(&mut self, end: Seq) {
        self.snd_up = self.snd_up.filter(|up| up.after(end)).or(Some(end));
    }

    /// SND.UNA advanced: drops an acknowledged pointer.
    pub(super) fn acknowledged(&mut self, snd_una: Seq) {
        self.snd_up = self.snd_up.filter(|end| end.after(snd_una));
    }

    /// Whether to send the pointer, which differs from segment to segment.
    pub(super) fn is_due(&self, snd_una: Seq) -> bool {
        self.snd_up.is_some_and(|end| end.after(snd_una))
    }

    /// Sets the urgent pointer of a segment that starts before it.
    pub(super) fn mark(&self, header: &mut Header) {
        if let Some(end) = self.snd_up
            && end.after(header.seq)
        {
            header.flags = header.flags | Flags::URG;
            // A pointer further ahead comes with a later segment.
            header.urgent = (end - header.seq).min(0xffff) as u16;
        }
    }
}
