//! Urgent data (RFC 9293, 3.8.5; RFC 6093): a pointer that hurries the reader. Its bytes are data
//! like others: nothing is taken out of the stream.

use super::connection::{Connection, due};
use super::segment::{Flags, Header, Segment};
use super::seq::Seq;

/// Both directions' pointers: to the byte after the urgent ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Urgent {
    /// RCV.UP.
    received: Option<Seq>,
    /// It moved on, and the owner hasn't been told.
    news: bool,
    /// SND.UP.
    pub(super) sent: Option<Seq>,
}

/// A pointer that was read past is kept for as long as bytes may be pushed back behind it, and no
/// longer: half of all numbers further on it would lie ahead again.
const KEPT: u32 = 1 << 29;

impl Connection {
    /// RFC 9293, 3.10.7.4, sixth.
    pub(super) fn take_urgent(&mut self, segment: &Segment<'_>) {
        if !segment.has(Flags::URG) || !self.state.can_receive() {
            return;
        }
        let pointer = segment.seq + u32::from(segment.urgent);
        let read = self.rcv_nxt - self.receive_buffer.len();
        let known = self.urgent.received.filter(|known| known.after(read));
        if pointer.after(known.unwrap_or(read)) {
            self.urgent.received = Some(pointer);
            self.urgent.news = true;
        }
    }

    /// How many bytes are to be read, or still to come, up to the end of the urgent ones (MUST-33).
    /// The last `back` bytes that were read count as not read.
    pub(crate) fn urgent_left(&self, back: u32) -> u32 {
        let read = self.rcv_nxt - self.receive_buffer.len() - back;
        self.urgent.received.map_or(0, |end| end.beyond(read))
    }

    /// Bytes were read: a pointer far behind is forgotten.
    pub(super) fn read_past_urgent(&mut self) {
        let read = self.rcv_nxt - self.receive_buffer.len();
        self.urgent.received = self.urgent.received.filter(|end| read.beyond(*end) <= KEPT);
    }

    /// Whether the pointer has moved on since this was last asked (MUST-32).
    pub(crate) fn take_urgent_news(&mut self) -> bool {
        core::mem::take(&mut self.urgent.news)
    }

    /// What was written so far is urgent; the peer is told at once, even if its window is closed.
    pub(crate) fn send_urgent(&mut self) {
        let end = self.send_queue.end();
        if self.state.can_send() && end.after(self.snd_una) {
            self.urgent.sent = Some(end);
            self.due |= due::ACK | due::DATA;
        }
    }

    /// SND.UNA moved on: a pointer that was acknowledged is over.
    pub(super) fn acknowledge_urgent(&mut self) {
        if !self.has_urgent() {
            self.urgent.sent = None;
        }
    }

    /// Whether the pointer is to be sent: it differs from segment to segment.
    pub(super) fn has_urgent(&self) -> bool {
        self.urgent.sent.is_some_and(|end| end.after(self.snd_una))
    }

    /// The pointer of a segment.
    pub(super) fn mark_urgent(&self, header: &mut Header) {
        if let Some(end) = self.urgent.sent
            && end.after(header.seq)
            && self.state.is_synchronized()
        {
            header.flags = header.flags | Flags::URG;
            // What is further away shows later.
            header.urgent = (end - header.seq).min(0xffff) as u16;
        }
    }
}
