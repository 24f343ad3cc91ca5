//! The serial line between `soil run` and the machine: frames standard input, output and error.
//!
//! `kernel/src/console/framing.rs` describes the bytes.

use std::io::stdin;

/// Precedes a control byte, and itself as data.
const MARK: u8 = 0x10;
/// End of input; on a terminal, which may continue, Ctrl-D.
const END: u8 = 4;
/// Ctrl-T: a request for a report.
pub const REPORT: u8 = 0x14;
/// The following bytes are for standard error.
const TO_ERROR: u8 = b'E';
/// The following bytes are for standard output.
const TO_OUTPUT: u8 = b'O';
/// The following bytes are lines of the control channel.
const TO_CONTROL: u8 = b'C';

/// The destination of the machine's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    #[default]
    Output,
    /// Standard error.
    Error,
    /// The control channel.
    Control,
}

/// The kind of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An interactive terminal, which edits lines and echoes input.
    Terminal,
    /// Anything else, such as a pipe or a file.
    Pipe,
    /// Either, for a machine that wasn't started for `soil run`: its console has no frames.
    Plain,
}

impl Origin {
    /// The kind of this process's standard input.
    pub fn of_standard_input() -> Self {
        match rustix::termios::isatty(stdin()) {
            true => Self::Terminal,
            false => Self::Pipe,
        }
    }

    /// The value of `SOIL_CONSOLE`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Pipe => "pipe",
            Self::Plain => "uart",
        }
    }

    /// Frames the bytes read; an empty slice means end of input.
    pub fn framed(self, bytes: &[u8]) -> Vec<u8> {
        if self == Self::Plain {
            return if bytes.is_empty() {
                vec![END]
            } else {
                bytes.to_vec()
            };
        }
        if bytes.is_empty() {
            return vec![MARK, END];
        }
        let mut framed = Vec::with_capacity(bytes.len());
        for byte in bytes {
            if *byte == MARK || (*byte == REPORT && self == Self::Terminal) {
                framed.push(MARK);
            }
            framed.push(*byte);
        }
        framed
    }
}

/// Separates the machine's streams.
#[derive(Debug, Default)]
pub struct Splitter {
    marked: bool,
    stream: Stream,
}

impl Splitter {
    /// Parses received bytes, which may be split anywhere. Calls `write` for each piece.
    pub fn feed(&mut self, bytes: &[u8], mut write: impl FnMut(Stream, &[u8])) {
        let mut rest = bytes;
        while let Some((first, behind)) = rest.split_first() {
            if std::mem::replace(&mut self.marked, false) {
                match *first {
                    TO_ERROR => self.stream = Stream::Error,
                    TO_OUTPUT => self.stream = Stream::Output,
                    TO_CONTROL => self.stream = Stream::Control,
                    // The escaped byte itself, or crash output between the two bytes.
                    _ => write(self.stream, &[*first]),
                }
                rest = behind;
                continue;
            }
            let plain = rest.iter().position(|byte| *byte == MARK);
            let (piece, behind) = rest.split_at(plain.unwrap_or(rest.len()));
            if !piece.is_empty() {
                write(self.stream, piece);
            }
            self.marked = !behind.is_empty();
            rest = behind.get(1..).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{END, MARK, Origin, REPORT, Splitter, TO_CONTROL, TO_ERROR, TO_OUTPUT};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn input_is_framed() {
        let bytes = [b'a', MARK, REPORT, END];
        assert_eq!(Origin::Pipe.framed(&bytes), [b'a', MARK, MARK, REPORT, END]);
        assert_eq!(
            Origin::Terminal.framed(&bytes),
            [b'a', MARK, MARK, MARK, REPORT, END]
        );
        assert_eq!(Origin::Terminal.framed(&[]), [MARK, END]);
        assert_eq!(Origin::Plain.framed(&bytes), bytes);
        assert_eq!(Origin::Plain.framed(&[]), [END]);
    }

    proptest! {
        #[test]
        fn outputs_are_taken_apart_wherever_they_are_cut(
            pieces in vec((0usize..3, vec(any::<u8>(), 0..20)), 0..20),
            size in 1usize..30,
        ) {
            let mut sent = Vec::new();
            let mut expected = [const { Vec::new() }; 3];
            for (stream, bytes) in &pieces {
                sent.extend([MARK, [TO_OUTPUT, TO_ERROR, TO_CONTROL][*stream]]);
                let times = |byte: &u8| 1 + usize::from(*byte == MARK);
                sent.extend(bytes.iter().flat_map(|byte| [*byte].repeat(times(byte))));
                expected[*stream].extend_from_slice(bytes);
            }
            let mut splitter = Splitter::default();
            let mut got = [const { Vec::new() }; 3];
            for cut in sent.chunks(size) {
                splitter.feed(cut, |to, piece| got[to as usize].extend_from_slice(piece));
            }
            prop_assert_eq!(got, expected);
        }
    }
}
