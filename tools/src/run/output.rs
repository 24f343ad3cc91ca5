//! Copies the console to standard output and standard error, and its control lines to their parser.

use super::serial::{Splitter, Stream};
use crate::messages::{say, write};
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// The state of the copying.
#[derive(Debug, Default)]
pub struct Progress {
    /// Whether any output has arrived.
    pub spoke: bool,
    /// Whether some of it isn't forwarded yet.
    pub pending: bool,
    /// The status that the last line reports, as `soil: status N`: images print it for launchers
    /// without a control channel.
    pub last_status: Option<u8>,
    /// The errors that ended standard output and standard error early.
    pub failed: [Option<Errno>; 2],
}

impl Progress {
    /// Returns the exit status of a program that ended with `status`: success only if all output
    /// was written.
    pub fn status(&self, status: u8) -> u8 {
        match self.failed.iter().flatten().next() {
            Some(error) if status == 0 => match *error {
                // The status of a program killed by SIGPIPE.
                Errno::PIPE => 128 + 13,
                // EX_IOERR of sysexits.h.
                _ => 74,
            },
            _ => status,
        }
    }
}

/// The longest line that can report a status: `soil: status 255`, with a carriage return.
const MAX_STATUS_LINE: usize = 17;

/// Finds the status that the last line of the console reports.
#[derive(Debug, Default)]
struct LastLine {
    line: Vec<u8>,
    status: Option<u8>,
}

impl LastLine {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    let line = std::str::from_utf8(&line).unwrap_or_default().trim_end();
                    let number = line.strip_prefix("soil: status ");
                    self.status = number.and_then(|number| number.parse().ok());
                }
                _ if self.line.len() <= MAX_STATUS_LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn status(&self) -> Option<u8> {
        self.status.filter(|_| self.line.is_empty())
    }
}

/// Copies the console until its end. Passes the lines of the control channel to `control`.
pub fn copy(mut from: impl Read, progress: &Mutex<Progress>, mut control: impl FnMut(&[u8])) {
    let mut buffer = [0; 1 << 16];
    let mut splitter = Splitter::default();
    let mut last_line = LastLine::default();
    let with = |change: &dyn Fn(&mut Progress)| {
        change(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
    };
    // After an error, drops the output but lets the program run: its purpose may not be output.
    let mut failed = [None; 2];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                with(&|progress| (progress.spoke, progress.pending) = (true, true));
                splitter.feed(buffer.get(..count).unwrap_or_default(), |stream, piece| {
                    let [output, errors] = &mut failed;
                    match stream {
                        Stream::Control => return control(piece),
                        Stream::Error => pass_on(io::stderr(), "error output", piece, errors),
                        Stream::Output => pass_on(io::stdout(), "standard output", piece, output),
                    }
                    last_line.feed(piece);
                });
                with(&|progress| {
                    (progress.failed, progress.pending) = (failed, false);
                    progress.last_status = last_line.status();
                });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn pass_on(to: impl AsFd, name: &str, piece: &[u8], failed: &mut Option<Errno>) {
    if failed.is_some() {
        return;
    }
    *failed = write(to, piece, None).err();
    if let Some(error) = failed.filter(|error| *error != Errno::PIPE) {
        let error = io::Error::from(error);
        say(&format!(
            "{name}: {error}: what the program writes there from now on is lost"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::LastLine;
    use proptest::prelude::{prop_assert_eq, proptest};

    fn status(text: &str, size: usize) -> Option<u8> {
        let mut line = LastLine::default();
        text.as_bytes()
            .chunks(size)
            .for_each(|piece| line.feed(piece));
        line.status()
    }

    #[test]
    fn only_the_last_whole_line_reports_a_status() {
        for (text, expected) in [
            ("soil: status 3\n", Some(3)),
            ("output\nsoil: status 255\r\n", Some(255)),
            ("soil: status 3\nsoil: status 0\n", Some(0)),
            ("soil: status 3", None),
            ("soil: status 256\n", None),
            ("soil: status -1\n", None),
            ("soil: status 3\nmore", None),
            ("soil: status 3\nmore\n", None),
            ("more soil: status 3\n", None),
            ("soil: status 3 is a status\n", None),
            ("", None),
        ] {
            assert_eq!(status(text, 1), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn where_the_console_is_cut_does_not_matter(
            text in "(soil: status [0-9]{1,4}\r?\n|[a-z ]{0,30}\n?){0,5}",
            size in 1usize..40,
        ) {
            prop_assert_eq!(status(&text, size), status(&text, text.len().max(1)));
        }
    }
}
