//! What the command itself prints: results on standard output, messages on standard error. Blocking
//! writes with a timeout.
//!
//! `println!` and `eprintln!` panic where the reader of a pipe has gone, and are forbidden.

use crate::failure::{Context as _, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The most bytes that a write to a pipe takes without blocking after poll reports it writable
/// (POSIX, PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Writes all bytes, blocking until `until` at most, if given. Avoids `io::stdout`, whose lock
/// would block other threads. Errors: those of write(2), and TIMEDOUT.
pub fn write(to: impl AsFd, mut bytes: &[u8], until: Option<Instant>) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        if until.is_some() {
            wait_writable(&to, until)?;
        }
        let most = until.map_or(bytes.len(), |_| bytes.len().min(AT_ONCE));
        match rustix::io::write(&to, bytes.get(..most).unwrap_or(bytes)) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // The parent may have made the shared descriptor non-blocking.
            Err(Errno::AGAIN) => wait_writable(&to, until)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_writable(to: impl AsFd, until: Option<Instant>) -> rustix::io::Result<()> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&to, PollFlags::OUT)], left.as_ref()) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Err(Errno::INTR) => {}
            answer => return answer.map(drop),
        }
    }
}

/// Standard output. A reader that has closed its pipe wants no more, which isn't an error: what is
/// written from then on is dropped.
#[derive(Debug, Default)]
pub struct Output {
    is_closed: bool,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_closed {
            match write(io::stdout(), bytes, None) {
                Ok(()) => {}
                Err(Errno::PIPE) => self.is_closed = true,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The subject of errors of standard output.
pub const OUTPUT: &str = "standard output";

/// Writes text to standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    Output::default().write_all(text.as_bytes()).on(OUTPUT)
}

/// Writes text with styles to standard output: without them, unless it is a terminal that shows
/// them.
pub fn print_styled(text: &str) -> Result<(), Failure> {
    match anstream::AutoStream::choice(&io::stdout()) {
        anstream::ColorChoice::Never => print(&anstream::adapter::strip_str(text).to_string()),
        _ => print(text),
    }
}

/// Writes text to standard error. Ignores errors.
pub fn print_error(text: &str) {
    let _ = write(io::stderr(), text.as_bytes(), None);
}

/// Writes a line to standard error. Ignores errors.
pub fn say(text: &str) {
    print_error(&format!("soil: {text}\n"));
}

/// Like [`say`], but blocks for at most 500 ms, for callers with more urgent work.
pub fn say_soon(text: &str) {
    let until = Instant::now() + Duration::from_millis(500);
    let _ = write(
        io::stderr(),
        format!("soil: {text}\n").as_bytes(),
        Some(until),
    );
}
