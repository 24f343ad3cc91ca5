//! Output: non-blocking writes, and writes of the kernel that spin until the transmitter accepts
//! them.
//!
//! Used from all contexts: tasks, system calls, ticks, faults, the report of a crash. The state
//! consists of atomics, and a burst of bytes is sent with interrupts disabled, since a tick may
//! have a line to log, and by one processor at a time.

use super::framing::{Stream, transmit};
use super::kept;
use super::port::{Request, call};
use crate::arch::counter::counter;
use crate::arch::interrupts::without_interrupts;
use crate::board::control;
use crate::board::uart::{FIFO, ROOM, SENT, Uart};
use crate::cell::{ExclusiveCell, rank};
use crate::part::Slot as _;
use crate::{clock, smp};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// The console's UART.
pub const UART: Uart = Uart::CONSOLE;
/// The interval at which a full transmitter is polled, in nanoseconds.
pub const POLL_NS: u64 = 1_000_000;
/// The kernel's timeout for a stalled transmitter, in nanoseconds since it last accepted a byte.
/// Readers pause for seconds (a pager that draws, a log that is rotated, a terminal that is
/// resized). The timeout is shorter than that of the usual supervisors: `soil run` waits for 15 s,
/// `docker stop` for 10, systemd for 90. (Linux abandons the output of a closed serial port after
/// 30 s.)
pub const TIMEOUT_NS: u64 = 10_000_000_000;

/// The UART exists. Written once, at boot.
static SERIAL: AtomicBool = AtomicBool::new(false);
/// The debug port exists. Written once, at boot.
static DEBUG: AtomicBool = AtomicBool::new(false);
/// `soil run` is at the other end. Written once, at boot.
static FRAMED: AtomicBool = AtomicBool::new(false);
/// The stream that `soil run` assigns the next byte to. Changed with interrupts disabled.
static CURRENT: AtomicU8 = AtomicU8::new(Stream::Output as u8);
/// The last byte sent ended a line.
static AT_LINE_START: AtomicBool = AtomicBool::new(true);
/// Number of bytes that the transmitter has accepted.
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// [`TAKEN`] when the kernel stopped waiting.
static ABANDONED: AtomicU64 = AtomicU64::new(u64::MAX);

/// A function that gets the output that the serial line has accepted, and of [`write_now`] also the
/// rest, and `None` when the machine ends. Lines of the log that the line never accepts are lost
/// for the mirror as well. Called from every context that writes, with any cell in use: it
/// allocates nothing, and waits for nothing except at the end.
pub type Mirror = fn(Option<&[u8]>);

crate::slot! {
    /// The mirror of all output, if it was linked.
    pub enum Mirrors: Mirror = "mirror";
}

/// Passes output, or the end, to the mirror.
pub fn mirror(bytes: Option<&[u8]>) {
    Mirrors::parts().iter().for_each(|mirror| mirror(bytes));
}

/// Probes for the debug port, and records whether the UART exists.
pub fn set_up(serial: bool) {
    SERIAL.store(serial, Ordering::Relaxed);
    find_control();
}

/// Probes for the debug port.
pub fn find_control() {
    DEBUG.store(control::probe(), Ordering::Relaxed);
}

/// Frames the output from now on.
pub fn set_framed() {
    // `soil run` continues with the stream of the last boot, after a reset.
    forget_stream();
    FRAMED.store(true, Ordering::Relaxed);
}

/// Names the stream of the next byte, whatever it is.
pub fn forget_stream() {
    CURRENT.store(u8::MAX, Ordering::Relaxed);
}

/// Whether `soil run` is at the other end.
pub fn is_framed() -> bool {
    FRAMED.load(Ordering::Relaxed)
}

/// Whether the UART exists.
pub fn has_serial() -> bool {
    SERIAL.load(Ordering::Relaxed)
}

/// Whether the transmitter accepts bytes now.
pub fn has_room() -> bool {
    match call(Request::HasRoom) {
        Some(count) => count != 0,
        None => !has_serial() || UART.line_status() & ROOM != 0,
    }
}

/// Whether everything written has been sent.
pub fn is_sent() -> bool {
    match call(Request::IsSent) {
        Some(sent) => sent != 0,
        None => !has_serial() || UART.line_status() & SENT != 0,
    }
}

/// Whether the last byte sent ended a line.
pub fn is_at_line_start() -> bool {
    AT_LINE_START.load(Ordering::Relaxed)
}

/// Records that a port's device has accepted output, which ended a wait.
pub fn note_taken(count: usize) {
    TAKEN.fetch_add(count as u64, Ordering::Relaxed);
}

/// Maximum number of bytes that a transmitter accepts at once: less than a page.
pub const MAX_BURST: usize = 512;

/// Held while a burst is sent, with interrupts disabled.
static BURST: ExclusiveCell<(), rank::Line> = ExclusiveCell::new(());

/// Passes as much of `bytes` to the serial line's transmitter as it accepts at once; returns how
/// much.
fn burst(stream: Stream, bytes: &[u8]) -> usize {
    if UART.line_status() & ROOM == 0 {
        return 0;
    }
    transmit(is_framed(), &CURRENT, stream, bytes, FIFO, |byte| {
        UART.send(byte);
    })
}

/// Passes as much of `bytes` to the transmitter as it accepts at once; returns how much.
fn put(stream: Stream, bytes: &[u8]) -> usize {
    // A tick may have a line to log.
    let count = without_interrupts(|| {
        // A first touch of a page locks the address space, whose lock comes before the line's. The
        // black box keeps these reads, of unused values, here.
        let last = bytes.get(MAX_BURST - 1).or(bytes.last());
        core::hint::black_box([bytes.first().copied(), last.copied()]);
        if let Some(count) = call(Request::Write(stream, bytes)) {
            count
        } else if !has_serial() {
            bytes.len()
        } else {
            let sent = BURST.with_unless_own(|()| burst(stream, bytes));
            // A report of a crash may begin within a burst.
            sent.unwrap_or_else(|| burst(stream, bytes))
        }
    });
    note_taken(count);
    if let Some(last) = bytes.get(count.wrapping_sub(1)) {
        AT_LINE_START.store(*last == b'\n', Ordering::Relaxed);
    }
    count
}

/// Writes `bytes` by the UART, whatever transmits otherwise, for the holder of what serializes all
/// output. Drops what the UART doesn't accept.
pub fn write_serial(stream: Stream, bytes: &[u8]) {
    /// Far more than a UART takes for its FIFO at 115200 baud.
    const MAX_POLLS: usize = 1_000_000;
    let mut rest = bytes;
    for _ in 0..MAX_POLLS {
        rest = rest.get(burst(stream, rest)..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
    }
}

/// Writes as much of `bytes` as the transmitter accepts without waiting; returns how much.
pub fn try_write(stream: Stream, bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while !rest.is_empty() {
        match put(stream, rest) {
            0 => break,
            count => rest = rest.get(count..).unwrap_or_default(),
        }
    }
    let count = bytes.len() - rest.len();
    show(stream, bytes.get(..count));
    count
}

/// Passes output of this stream to the mirror.
fn show(stream: Stream, bytes: Option<&[u8]>) {
    if stream == Stream::Error
        && let Some(bytes) = bytes
    {
        kept::keep(bytes);
    }
    if stream != Stream::Control {
        mirror(bytes);
    }
}

/// The timeout of a wait for a full transmitter.
pub struct Timeout {
    /// [`TAKEN`] when this began, or when the transmitter last accepted something.
    taken: u64,
    /// The counter at the end.
    end: u64,
}

impl Timeout {
    /// Starts now.
    pub fn new() -> Self {
        Self {
            taken: TAKEN.load(Ordering::Relaxed),
            end: counter().saturating_add(clock::ticks(TIMEOUT_NS)),
        }
    }

    /// Whether to continue waiting. Once this has returned false, the next wait has no time at all
    /// until the transmitter accepts something.
    pub fn continue_wait(&mut self) -> bool {
        let taken = TAKEN.load(Ordering::Relaxed);
        if taken == ABANDONED.load(Ordering::Relaxed) {
            return false;
        }
        if taken != self.taken {
            *self = Self::new();
        } else if counter() >= self.end {
            ABANDONED.store(taken, Ordering::Relaxed);
            return false;
        }
        true
    }
}

/// Writes `bytes` from any context, with a cell held or during a crash: spins while the transmitter
/// is full. Bytes that it doesn't accept within [`TIMEOUT_NS`] go to the mirror only.
pub fn write_now(stream: Stream, bytes: &[u8]) {
    let mut rest = bytes;
    let mut timeout = Timeout::new();
    loop {
        rest = rest.get(try_write(stream, rest)..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        if !timeout.continue_wait() {
            return show(stream, Some(rest));
        }
        smp::relax();
    }
}

/// Writes to `soil run`'s channel: the debug port, or the framed serial line where there is none;
/// false if there is neither. The bytes have left the machine when this returns, since the machine
/// may end next.
pub fn write_control(bytes: &[u8]) -> bool {
    if DEBUG.load(Ordering::Relaxed) {
        bytes.iter().for_each(|byte| control::send(*byte));
        return true;
    }
    if !is_framed() || !has_serial() {
        return false;
    }
    write_now(Stream::Control, bytes);
    let mut timeout = Timeout::new();
    while !is_sent() && timeout.continue_wait() {
        core::hint::spin_loop();
    }
    true
}

/// Formats to the error output, as [`write_now`].
pub struct ErrorOutput;

impl Write for ErrorOutput {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        write_now(Stream::Error, text.as_bytes());
        Ok(())
    }
}

/// Writes a line of the kernel, headed `soil: `.
pub fn line(text: core::fmt::Arguments) {
    // The console never fails.
    let _ = writeln!(ErrorOutput, "soil: {text}");
}
