//! Output that waits for a reader, and the rule by which some of it is dropped: pure bookkeeping of
//! a port's driver.

use super::output::TIMEOUT_NS;
use alloc::collections::VecDeque;
use core::fmt::{self, Write as _};

/// Maximum number of waiting bytes.
const ROOM: usize = 16 << 10;
/// Room for the line that reports dropped bytes: less counts as none.
const LINE: usize = 80;

/// Output in order, at most 16 KiB, for which there is memory. Output that finds no room while no
/// reader is attached, or after [`TIMEOUT_NS`] without room, is dropped. A line reports the number
/// of bytes in their place, once there is room for it.
pub struct Pending {
    waiting: VecDeque<u8>,
    /// The last byte that was taken ended a line.
    at_line_start: bool,
    /// The time since when there is no room, in nanoseconds; `None` while there is room, or before
    /// the first write without any.
    full_since: Option<u64>,
    /// Number of bytes dropped and not yet reported.
    dropped: u64,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            waiting: VecDeque::with_capacity(ROOM),
            at_line_start: true,
            full_since: None,
            dropped: 0,
        }
    }
}

impl Pending {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn room(&self) -> usize {
        ROOM.saturating_sub(self.waiting.len())
    }

    fn has_room(&self) -> bool {
        self.room() > LINE
    }

    fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
        let last = bytes.last();
        self.at_line_start = last.map_or(self.at_line_start, |last| *last == b'\n');
    }

    /// Takes bytes or drops them; returns their number: 0 if the writer has to wait. `is_open`:
    /// someone is attached. `now` in nanoseconds.
    pub fn take(&mut self, bytes: &[u8], is_open: bool, now: u64) -> usize {
        if self.has_room() {
            self.full_since = None;
            let bytes = bytes.get(..self.room()).unwrap_or(bytes);
            self.push(bytes);
            bytes.len()
        } else if self.takes(is_open, now) {
            self.dropped += bytes.len() as u64;
            bytes.len()
        } else {
            0
        }
    }

    /// Whether [`Pending::take`] wouldn't have the writer wait.
    pub fn takes(&mut self, is_open: bool, now: u64) -> bool {
        if self.has_room() {
            return true;
        }
        let since = *self.full_since.get_or_insert(now);
        !is_open || now.saturating_sub(since) >= TIMEOUT_NS
    }

    /// Calls `send` with what waits until that accepts nothing more; returns how much it did.
    pub fn pass(&mut self, mut send: impl FnMut(&[u8]) -> usize) -> usize {
        let mut passed = 0;
        self.report_dropped();
        while let (first @ [_, ..], _) = self.waiting.as_slices() {
            let count = send(first).min(first.len());
            if count == 0 {
                break;
            }
            self.waiting.drain(..count);
            passed += count;
            self.report_dropped();
        }
        passed
    }

    fn report_dropped(&mut self) {
        if self.dropped > 0 && self.has_room() {
            let dropped = core::mem::take(&mut self.dropped);
            if !self.at_line_start {
                self.push(b"\n");
            }
            // There is room for every number.
            let _ = writeln!(self, "soil: {dropped} bytes of output dropped");
        }
    }
}

impl fmt::Write for Pending {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE, Pending, ROOM, TIMEOUT_NS};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn all(pending: &mut Pending) -> Vec<u8> {
        let mut got = Vec::new();
        pending.pass(|bytes| {
            got.extend(bytes);
            bytes.len()
        });
        got
    }

    #[test]
    fn a_writer_waits_for_a_slow_reader_until_its_time_is_over() {
        let mut pending = Pending::default();
        assert_eq!(pending.take(&[b'x'; ROOM + 7], true, 5), ROOM);
        assert_eq!(pending.take(b"first", true, 100), 0);
        assert_eq!(pending.take(b"first", true, 99 + TIMEOUT_NS), 0);
        assert_eq!(pending.take(b"first", true, 100 + TIMEOUT_NS), 5);
        // Without waiting once more.
        assert_eq!(pending.take(b"second", true, 101 + TIMEOUT_NS), 6);
        let text = [&[b'x'; ROOM][..], b"\nsoil: 11 bytes of output dropped\n"].concat();
        assert_eq!(all(&mut pending), text);
        // From then on it waits again.
        assert_eq!(pending.take(&[b'y'; ROOM], true, 1 + 2 * TIMEOUT_NS), ROOM);
        assert_eq!(pending.take(b"third", true, 2 + 2 * TIMEOUT_NS), 0);
        assert_eq!(all(&mut pending).len(), ROOM);
        assert_eq!(all(&mut pending), b"");
    }

    #[test]
    fn a_writer_does_not_wait_without_a_reader() {
        let mut pending = Pending::default();
        assert_eq!(pending.take(&[b'\n'; ROOM - LINE], false, 0), ROOM - LINE);
        assert!(pending.takes(false, 0) && !pending.takes(true, 0));
        assert_eq!(pending.take(b"lost", false, 0), 4);
        // Nothing is sent, so there is no room for the report.
        assert_eq!(pending.pass(|_| 0), 0);
        let mut left = LINE;
        let sent = pending.pass(|bytes| bytes.len().min(core::mem::take(&mut left)));
        assert_eq!(sent, LINE);
        assert_eq!(pending.take(b"kept", false, 0), 4);
        let got = all(&mut pending);
        assert!(got.ends_with(b"\nsoil: 4 bytes of output dropped\nkept"));
    }

    proptest! {
        /// Every byte is sent in order, or counted; never more than the room waits.
        #[test]
        fn nothing_is_lost_without_being_counted(
            steps in proptest::collection::vec((any::<bool>(), 0..ROOM, 0..20_000usize), 1..40),
        ) {
            let mut pending = Pending::default();
            let (mut written, mut got, mut now) = (0, Vec::new(), 0);
            for (is_open, write, read) in steps {
                now += TIMEOUT_NS / 3;
                written += pending.take(&vec![b'x'; write], is_open, now);
                prop_assert!(pending.waiting.len() <= ROOM);
                let mut left = read;
                pending.pass(|bytes| {
                    let count = bytes.len().min(left);
                    left -= count;
                    got.extend(&bytes[..count]);
                    count
                });
            }
            got.extend(all(&mut pending));
            let text = String::from_utf8(got).unwrap();
            let (mut kept, mut dropped) = (0, 0);
            for line in text.split('\n') {
                match line.strip_prefix("soil: ") {
                    Some(report) => {
                        dropped += report.split(' ').next().unwrap().parse::<usize>().unwrap();
                    }
                    None => kept += line.len(),
                }
            }
            prop_assert_eq!(kept + dropped, written);
        }
    }
}
