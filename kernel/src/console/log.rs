//! The log, whose lines are buffered while the transmitter is full, and the end of all output.

use super::framing::Stream;
use super::output::{Timeout, is_at_line_start, is_framed, is_sent, line, try_write, write_now};
use crate::arch::interrupts::without_interrupts;
use crate::cell::{ExclusiveCell, rank};

/// The buffered lines of the log.
struct Backlog {
    bytes: [u8; BACKLOG],
    len: usize,
    /// A line found no room.
    cut: bool,
}

/// Maximum number of buffered bytes of the log.
const BACKLOG: usize = 8192;
/// Replaces lines that found no room.
const CUT: &[u8] = b"soil: lines of the log are missing here: the console was not read\n";
/// Used by tasks and ticks, with interrupts disabled.
static LOG: ExclusiveCell<Backlog, rank::Log> = ExclusiveCell::new(Backlog {
    bytes: [0; BACKLOG],
    len: 0,
    cut: false,
});

impl Backlog {
    fn push(&mut self, line: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + line.len()) {
            place.copy_from_slice(line);
            self.len += line.len();
        }
    }
}

/// Writes a line of the log without waiting, as it may come from a tick. [`flush_log`] writes the
/// part that the transmitter doesn't accept now; lines beyond `BACKLOG` bytes are dropped, which a
/// line reports.
pub fn log(line: &[u8]) {
    without_interrupts(|| {
        LOG.with(|log| {
            if !log.cut && log.len + line.len() + CUT.len() <= BACKLOG {
                log.push(line);
            } else if !core::mem::replace(&mut log.cut, true) {
                log.push(CUT);
            }
        });
    });
    flush_log();
}

/// Writes the buffered part of the log, as far as the transmitter accepts it. Returns whether that
/// was all; also true for a crash report that interrupts it, which can't wait for the rest.
pub fn flush_log() -> bool {
    let flush = |log: &mut Backlog| {
        let waiting = log.bytes.get(..log.len).unwrap_or_default();
        let count = try_write(Stream::Error, waiting);
        log.bytes.copy_within(count..log.len, 0);
        log.len -= count;
        log.cut &= log.len > 0;
        log.len == 0
    };
    without_interrupts(|| LOG.try_with(flush)).unwrap_or(true)
}

/// Calls `wait` until everything written has been sent (bytes in the transmitter are lost with the
/// machine), or the transmitter was full for [`super::TIMEOUT_NS`].
pub fn drain_with(wait: fn()) {
    let mut timeout = Timeout::new();
    while !(flush_log() && is_sent()) && timeout.continue_wait() {
        wait();
    }
}

/// As [`drain_with`], spinning, from any context.
pub fn drain_now() {
    drain_with(core::hint::spin_loop);
}

/// Says, before the machine starts again, that the program failed.
pub fn restarting(status: u8) {
    if !is_at_line_start() {
        write_now(Stream::Error, b"\n");
    }
    line(format_args!(
        "failed with status {status}: the machine starts again (SOIL_ON_FAILURE)"
    ));
    drain_now();
}

/// Writes the exit status as a line of its own, the last one, for launchers other than `soil run`.
pub fn status_line(status: u8) {
    if !is_framed() {
        if !is_at_line_start() {
            write_now(Stream::Error, b"\n");
        }
        line(format_args!("status {status}"));
        drain_now();
    }
}
