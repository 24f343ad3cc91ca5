//! The line discipline: input that was received and not yet read, edited by lines if it comes from
//! a terminal, or decoded if `soil run` sends it.
//!
//! Pure bookkeeping; [`super::input`] has the port.

use super::framing::{END, MARK, REPORT};

/// Maximum number of buffered bytes, as in Linux's terminals.
const ROOM: usize = 4096;

/// The other end of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A user at a terminal without line editing.
    Keyboard,
    /// `soil run` with a terminal, in frames. Input may continue after an end of input.
    Terminal,
    /// `soil run` with a pipe or a file, in frames.
    Pipe,
}

/// Input, in the order of arrival.
pub struct LineDiscipline {
    sender: Sender,
    bytes: [u8; ROOM],
    /// The first unread byte.
    start: usize,
    /// End of the bytes that may be read: the bytes after it can still be edited.
    ready: usize,
    /// End of all bytes.
    end: usize,
    /// Position of the end of input, if that was received.
    ended_at: Option<usize>,
    /// The last byte was [`MARK`].
    marked: bool,
    /// The last byte was a carriage return.
    returned: bool,
    report: bool,
}

impl LineDiscipline {
    /// Empty, with a keyboard at the other end.
    pub const fn of_keyboard() -> Self {
        Self {
            sender: Sender::Keyboard,
            bytes: [0; ROOM],
            start: 0,
            ready: 0,
            end: 0,
            ended_at: None,
            marked: false,
            returned: false,
            report: false,
        }
    }

    /// Sets the other end.
    pub fn set_sender(&mut self, sender: Sender) {
        self.sender = sender;
    }

    /// Whether the other end is a user, who may request a report.
    pub fn is_interactive(&self) -> bool {
        self.sender != Sender::Pipe
    }

    /// Whether there is room for a byte.
    pub fn has_room(&self) -> bool {
        // A line that is too long can still be edited and ended.
        self.end - self.start + 1 < ROOM || self.ready < self.end
    }

    /// Adds a byte, for which there is room. `echo` gets the bytes to show on the terminal.
    pub fn take(&mut self, byte: u8, echo: &mut dyn FnMut(&[u8])) {
        if self.sender == Sender::Keyboard {
            return self.press(byte, echo);
        }
        let marked = core::mem::replace(&mut self.marked, false);
        match byte {
            END if marked => self.ended_at = self.ended_at.or(Some(self.end)),
            REPORT if marked => self.report = true,
            MARK if !marked => self.marked = true,
            _ => self.push(byte),
        }
        self.ready = self.end;
    }

    /// Canonical input processing, as far as it is common (POSIX.1-2024, 11.1.6).
    fn press(&mut self, byte: u8, echo: &mut dyn FnMut(&[u8])) {
        const BACKSPACE: u8 = 8;
        const KILL: u8 = 0x15;
        const DELETE: u8 = 0x7f;
        let returned = core::mem::replace(&mut self.returned, byte == b'\r');
        match byte {
            REPORT => self.report = true,
            // The end of a line without its newline, or of the input.
            END if self.ready < self.end => self.ready = self.end,
            END => self.ended_at = self.ended_at.or(Some(self.end)),
            // Some terminals send both.
            b'\n' if returned => {}
            b'\r' | b'\n' => {
                self.push(b'\n');
                self.ready = self.end;
                echo(b"\n");
            }
            BACKSPACE | DELETE => self.erase(echo),
            KILL => {
                while self.ready < self.end {
                    self.erase(echo);
                }
            }
            byte => {
                // The last byte is for the end of the line.
                if self.end - self.start + 1 < ROOM {
                    self.push(byte);
                    if byte == b'\t' || byte >= b' ' {
                        echo(&[byte]);
                    }
                }
            }
        }
    }

    /// Erases the last character (UTF-8) of the current line.
    fn erase(&mut self, echo: &mut dyn FnMut(&[u8])) {
        while self.ready < self.end {
            self.end -= 1;
            let byte = self.bytes.get(self.end).copied().unwrap_or_default();
            if byte & 0xc0 != 0x80 {
                if byte >= b' ' {
                    echo(b"\x08 \x08");
                }
                return;
            }
        }
    }

    fn push(&mut self, byte: u8) {
        if self.end == ROOM {
            let shift = self.start;
            self.bytes.copy_within(shift.., 0);
            self.start = 0;
            self.ready -= shift;
            self.end -= shift;
            self.ended_at = self.ended_at.map(|at| at - shift);
        }
        if let Some(place) = self.bytes.get_mut(self.end) {
            *place = byte;
            self.end += 1;
        }
    }

    fn limit(&self) -> usize {
        self.ended_at.unwrap_or(self.ready)
    }

    /// Whether [`LineDiscipline::read`] returns something, possibly the end.
    pub fn is_ready(&self) -> bool {
        self.start < self.limit() || self.ended_at.is_some()
    }

    /// Reads available input, from a terminal up to the end of a line: 0 at the end of input,
    /// `None` if there is none. `into` isn't empty.
    pub fn read(&mut self, into: &mut [u8]) -> Option<usize> {
        if !self.is_ready() {
            return None;
        }
        let from = self.bytes.get(self.start..self.limit()).unwrap_or_default();
        if from.is_empty() && self.sender != Sender::Pipe {
            self.ended_at = None;
        }
        let mut count = 0;
        for (to, from) in into.iter_mut().zip(from) {
            *to = *from;
            count += 1;
            if *from == b'\n' && self.sender != Sender::Pipe {
                break;
            }
        }
        self.start += count;
        Some(count)
    }

    /// Whether a report was requested since the last call.
    pub fn take_report(&mut self) -> bool {
        core::mem::take(&mut self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::{END, LineDiscipline, MARK, REPORT, ROOM, Sender};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn from(sender: Sender) -> LineDiscipline {
        let mut typing = LineDiscipline::of_keyboard();
        typing.set_sender(sender);
        typing
    }

    /// Types `text`; returns the echo.
    fn type_in(typing: &mut LineDiscipline, text: &[u8]) -> Vec<u8> {
        let mut echo = Vec::new();
        for byte in text {
            typing.take(*byte, &mut |bytes| echo.extend_from_slice(bytes));
        }
        echo
    }

    fn read(typing: &mut LineDiscipline) -> Option<Vec<u8>> {
        let mut buffer = [0; 2 * ROOM];
        let count = typing.read(&mut buffer)?;
        Some(buffer[..count].to_vec())
    }

    #[test]
    fn a_line_is_edited_until_it_ends() {
        let mut typing = from(Sender::Keyboard);
        let echo = type_in(&mut typing, "junk\x15hü\x7fallo\x08".as_bytes());
        assert!(!typing.is_ready() && read(&mut typing).is_none());
        let erase = "\x08 \x08";
        let expected = format!("junk{}hü{erase}allo{erase}", erase.repeat(4));
        assert_eq!(echo, expected.as_bytes());
        assert_eq!(type_in(&mut typing, b"\rnext\r\n\n"), b"\nnext\n\n");
        assert_eq!(read(&mut typing), Some(b"hall\n".to_vec()));
        assert_eq!(read(&mut typing), Some(b"next\n".to_vec()));
        assert_eq!(read(&mut typing), Some(b"\n".to_vec()));
        assert_eq!(type_in(&mut typing, b"\x7f\x15"), b"");
        assert!(read(&mut typing).is_none());
    }

    #[test]
    fn ctrl_d_ends_a_line_or_the_input_once() {
        let mut typing = from(Sender::Keyboard);
        type_in(&mut typing, &[b'a', END, END, END, REPORT, b'b', b'\r']);
        assert!(typing.take_report() && !typing.take_report());
        assert_eq!(read(&mut typing), Some(b"a".to_vec()));
        assert_eq!(read(&mut typing), Some(Vec::new()));
        assert_eq!(read(&mut typing), Some(b"b\n".to_vec()));
        assert_eq!(read(&mut typing), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_can_be_ended() {
        let mut typing = from(Sender::Keyboard);
        type_in(&mut typing, &[b'x'; ROOM + 10]);
        assert!(typing.has_room());
        type_in(&mut typing, b"\x7fy\r");
        assert!(!typing.has_room());
        let line = read(&mut typing).expect("a line");
        assert_eq!(line.len(), ROOM);
        assert!(line.ends_with(b"xy\n") && typing.has_room());
    }

    /// An end of input keeps its place, whatever was read before it, waits in front of it, and
    /// comes behind it as long as there is room.
    #[test]
    fn an_end_keeps_its_place_when_the_memory_is_used_again() {
        let sizes = [0, 1, 100, ROOM / 2, ROOM - 60, ROOM - 2];
        for (first, second) in sizes
            .into_iter()
            .flat_map(|first| sizes.map(|n| (first, n)))
        {
            let mut typing = from(Sender::Terminal);
            type_in(&mut typing, &[b'a'; ROOM][..first]);
            assert_eq!(read(&mut typing).map_or(0, |text| text.len()), first);
            type_in(&mut typing, &[b'b'; ROOM][..second]);
            type_in(&mut typing, &[MARK, END]);
            let mut behind = Vec::new();
            while typing.has_room() {
                type_in(&mut typing, b"c");
                behind.push(b'c');
            }
            assert_eq!(second + behind.len(), ROOM - 1);
            if second > 0 {
                assert_eq!(read(&mut typing), Some(vec![b'b'; second]), "{first}");
            }
            assert_eq!(read(&mut typing), Some(Vec::new()), "{first} {second}");
            assert_eq!(read(&mut typing), Some(behind), "{first} {second}");
            assert_eq!(read(&mut typing), None);
        }
    }

    #[test]
    fn a_terminal_continues_after_its_end_and_a_pipe_does_not() {
        for (sender, behind) in [
            (Sender::Terminal, Some(b"b".to_vec())),
            (Sender::Pipe, Some(Vec::new())),
        ] {
            let mut typing = from(sender);
            type_in(&mut typing, &[b'a', MARK, END, MARK, REPORT]);
            assert!(typing.take_report());
            if sender == Sender::Terminal {
                type_in(&mut typing, b"b");
            }
            assert_eq!(read(&mut typing), Some(b"a".to_vec()));
            assert_eq!(read(&mut typing), Some(Vec::new()));
            assert_eq!(read(&mut typing), behind);
        }
    }

    proptest! {
        #[test]
        fn a_pipe_gives_every_byte_as_it_is(
            bytes in vec(any::<u8>(), 0..3 * ROOM),
            sizes in vec((1..2 * ROOM, 1..ROOM), 1..20),
        ) {
            let mut typing = from(Sender::Pipe);
            let framed: Vec<u8> = bytes
                .iter()
                .flat_map(|byte| [*byte].repeat(if *byte == MARK { 2 } else { 1 }))
                .chain([MARK, END])
                .collect();
            let (mut rest, mut got) = (&framed[..], Vec::new());
            let mut ended = false;
            for (most, len) in sizes.iter().cycle() {
                for _ in 0..*most {
                    let next = rest.split_first().filter(|_| typing.has_room());
                    let Some((byte, behind)) = next else {
                        break;
                    };
                    typing.take(*byte, &mut |_| panic!("a pipe shows nothing"));
                    rest = behind;
                }
                let mut buffer = vec![0; *len];
                match typing.read(&mut buffer) {
                    Some(0) => ended = true,
                    Some(count) => got.extend_from_slice(&buffer[..count]),
                    None => {}
                }
                if ended {
                    break;
                }
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(got, bytes);
        }

        #[test]
        fn a_keyboard_can_send_anything(bytes in vec(any::<u8>(), 0..400)) {
            let mut typing = from(Sender::Keyboard);
            type_in(&mut typing, &bytes);
            while typing.is_ready() {
                prop_assert!(read(&mut typing).is_some());
            }
        }
    }
}
