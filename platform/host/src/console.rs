//! Standard input, output and error output.

use crate::{Host, check, signals};
use platform::error::{Answer, Stop};
use platform::{Console, Direction, Stream};

/// Maximum number of bytes written to a console at once: what a pipe or terminal that `poll` calls
/// writable accepts without blocking (POSIX `PIPE_BUF`), since the descriptor is shared with other
/// processes and can't be made non-blocking.
const CHUNK: usize = 4096;

/// The file descriptor and the poll event of a use of the console.
pub fn descriptor(stream: Stream, direction: Direction) -> (i32, i16) {
    match (stream, direction) {
        (_, Direction::Read) => (libc::STDIN_FILENO, libc::POLLIN),
        (Stream::Standard, Direction::Write) => (libc::STDOUT_FILENO, libc::POLLOUT),
        (Stream::Error, Direction::Write) => (libc::STDERR_FILENO, libc::POLLOUT),
    }
}

/// The number of an output's descriptor.
fn number(stream: Stream) -> u8 {
    match stream {
        Stream::Standard => libc::STDOUT_FILENO as u8,
        Stream::Error => libc::STDERR_FILENO as u8,
    }
}

impl Console for Host {
    fn console_read(into: &mut [u8]) -> Answer {
        if into.is_empty() || sim::is_simulated() {
            return Ok(0);
        }
        if !Host::console_ready(Stream::Standard, Direction::Read) {
            return Err(Stop::WouldBlock);
        }
        // SAFETY: writes within `into`.
        check(unsafe { libc::read(libc::STDIN_FILENO, into.as_mut_ptr().cast(), into.len()) })
    }

    fn console_write(stream: Stream, from: &[u8]) -> Answer {
        if sim::console(number(stream), from) {
            return Ok(from.len());
        }
        if !Host::console_ready(stream, Direction::Write) {
            return Err(Stop::WouldBlock);
        }
        let (fd, _) = descriptor(stream, Direction::Write);
        let len = from.len().min(CHUNK);
        // SAFETY: reads within `from`.
        check(unsafe { libc::write(fd, from.as_ptr().cast(), len) })
    }

    fn console_ready(stream: Stream, direction: Direction) -> bool {
        if sim::is_simulated() {
            return true;
        }
        let (fd, events) = descriptor(stream, direction);
        let mut poll = libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        // SAFETY: one element, and no waiting.
        unsafe { libc::poll(&mut poll, 1, 0) > 0 }
    }

    fn log(line: &[u8]) {
        if sim::console(number(Stream::Error), line) {
            return;
        }
        // SAFETY: reads within `line`. A failed write is ignored: there is nowhere to report it.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }

    fn take_report_requests() {
        signals::take_report_requests();
    }

    fn report_requested() -> bool {
        signals::report_requested()
    }
}
