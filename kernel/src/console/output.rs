//! Output: non-blocking writes, and writes of the kernel that spin until the transmitter accepts
//! them.
//!
//! Used from all contexts: tasks, system calls, ticks, faults, the report of a crash. The state
//! consists of atomics, and a burst of bytes is sent with interrupts disabled, since a tick may
//! have a line to log. A second processor would need a lock around the burst.

use super::framing::{Stream, transmit};
use super::port::{self, Progress};
use crate::arch::uart::{FIFO, ROOM, SENT, Uart};
use crate::arch::{pvclock, tsc};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::instructions::port::Port;

/// The console's UART.
pub const UART: Uart = Uart::COM1;
/// QEMU's `isa-debugcon`, as `soil run` sets it.
const DEBUG_PORT: u16 = 0xe9;
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
/// [`TAKEN`] when waiting stopped.
static ABANDONED: AtomicU64 = AtomicU64::new(u64::MAX);
/// The counter since when the program waits for the transmitter; 0: it doesn't.
static FULL_SINCE: AtomicU64 = AtomicU64::new(0);
/// Number of bytes dropped and not yet reported.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Also gets the output, see [`set_mirror`]; null if there is none.
static MIRROR: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// A function that gets the output that the serial line has accepted, and of [`write_now`] also the
/// rest, and `None` when the machine ends. Lines of the log that the line never accepts are lost
/// for the mirror as well. Called from every context that writes, with any cell in use: it
/// allocates nothing, and waits for nothing except at the end.
pub type Mirror = fn(Option<&[u8]>);

/// Passes all output to `mirror` as well, from now on.
pub fn set_mirror(mirror: Mirror) {
    // Hidden from the compiler: otherwise every program would link the function.
    let mirror = core::hint::black_box(mirror as *mut ());
    MIRROR.store(mirror, Ordering::Release);
}

/// Passes output, or the end, to the mirror.
pub fn mirror(bytes: Option<&[u8]>) {
    // SAFETY: only `set_mirror` stores there, a function of this type; null is `None`.
    let mirror: Option<Mirror> = unsafe { core::mem::transmute(MIRROR.load(Ordering::Acquire)) };
    if let Some(mirror) = mirror {
        mirror(bytes);
    }
}

fn debug_port() -> Port<u8> {
    Port::new(DEBUG_PORT)
}

/// Probes for the debug port, and records whether the UART exists.
pub fn set_up(serial: bool) {
    SERIAL.store(serial, Ordering::Relaxed);
    // SAFETY: reading the debug port changes nothing.
    let debug = unsafe { debug_port().read() } == DEBUG_PORT as u8;
    DEBUG.store(debug, Ordering::Relaxed);
}

/// Frames the output from now on.
pub fn set_framed() {
    FRAMED.store(true, Ordering::Relaxed);
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
fn has_room() -> bool {
    match flush_port() {
        Some(progress) => progress.has_room,
        None => !has_serial() || UART.line_status() & ROOM != 0,
    }
}

/// Whether everything written has been sent, or nobody reads it.
pub fn is_sent() -> bool {
    match flush_port() {
        Some(progress) => progress.is_sent,
        None => !has_serial() || UART.line_status() & SENT != 0,
    }
}

/// Passes on output that waits in a port's driver, if that is the console.
pub fn flush_port() -> Option<Progress> {
    let port = port::port()?;
    let progress = without_interrupts(port.flush);
    TAKEN.fetch_add(progress.taken as u64, Ordering::Relaxed);
    Some(progress)
}

/// Passes as much of `bytes` to the transmitter as it accepts at once; returns how much.
fn put(stream: Stream, bytes: &[u8]) -> usize {
    let port = port::port();
    if port.is_none() && !has_serial() {
        return bytes.len();
    }
    // A tick may have a line to log.
    without_interrupts(|| {
        let count = match port {
            Some(port) => (port.write)(bytes),
            None if UART.line_status() & ROOM == 0 => 0,
            None => transmit(is_framed(), &CURRENT, stream, bytes, FIFO, |byte| {
                UART.send(byte);
            }),
        };
        TAKEN.fetch_add(count as u64, Ordering::Relaxed);
        let last = count.checked_sub(1).and_then(|last| bytes.get(last));
        if let Some(last) = last {
            AT_LINE_START.store(*last == b'\n', Ordering::Relaxed);
        }
        count
    })
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

/// Writes output of the program as [`try_write`]. With `soil run` at the other end, whose reader may
/// pause as that of a pipe, the program waits for as long as it takes. Other output waits for
/// [`TIMEOUT_NS`] at most, or not at all if nobody is attached, and is then dropped; a line reports
/// the number of bytes once the console works again.
pub fn write(stream: Stream, bytes: &[u8]) -> usize {
    report_dropped();
    let count = try_write(stream, bytes);
    if count > 0 {
        FULL_SINCE.store(0, Ordering::Relaxed);
        count
    } else if is_abandoned() {
        drop_rest(stream, bytes);
        bytes.len()
    } else {
        0
    }
}

/// Reports how much was dropped, if the console works again.
pub fn report_dropped() {
    if DROPPED.load(Ordering::Relaxed) != 0 && has_room() {
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        line(format_args!("{dropped} bytes of output dropped"));
    }
}

/// Whether [`write`] doesn't have to wait.
pub fn is_writable() -> bool {
    has_room() || is_abandoned()
}

/// Whether output is dropped while the transmitter is full.
fn is_abandoned() -> bool {
    if is_framed() {
        return false;
    }
    let now = tsc::counter();
    let since = match FULL_SINCE.load(Ordering::Relaxed) {
        0 => {
            FULL_SINCE.store(now, Ordering::Relaxed);
            now
        }
        since => since,
    };
    let taken = TAKEN.load(Ordering::Relaxed);
    if now.saturating_sub(since) >= pvclock::ticks(TIMEOUT_NS) {
        ABANDONED.store(taken, Ordering::Relaxed);
    }
    taken == ABANDONED.load(Ordering::Relaxed) || is_closed()
}

/// Whether output can't be passed on, since nobody is attached.
fn is_closed() -> bool {
    flush_port().is_some_and(|progress| !progress.is_open && !progress.has_room)
}

/// Whether there is a console at all.
pub fn is_present() -> bool {
    has_serial() || port::port().is_some()
}

fn drop_rest(stream: Stream, bytes: &[u8]) {
    DROPPED.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    show(stream, Some(bytes));
}

/// Passes output of this stream to the mirror.
fn show(stream: Stream, bytes: Option<&[u8]>) {
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
            end: tsc::counter().saturating_add(pvclock::ticks(TIMEOUT_NS)),
        }
    }

    /// Whether to continue waiting. Once this has returned false, the next wait has no time at all
    /// until the transmitter accepts something.
    pub fn continue_wait(&mut self) -> bool {
        let taken = TAKEN.load(Ordering::Relaxed);
        if taken == ABANDONED.load(Ordering::Relaxed) || is_closed() {
            return false;
        }
        if taken != self.taken {
            *self = Self::new();
        } else if tsc::counter() >= self.end {
            ABANDONED.store(taken, Ordering::Relaxed);
            return false;
        }
        true
    }
}

/// Writes `bytes` from any context, with a cell held or during a crash: spins while the transmitter
/// is full. Bytes that it doesn't accept within [`TIMEOUT_NS`] are dropped, except for the mirror.
pub fn write_now(stream: Stream, bytes: &[u8]) {
    let mut rest = bytes;
    let mut timeout = Timeout::new();
    loop {
        rest = rest.get(try_write(stream, rest)..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        if !timeout.continue_wait() {
            return drop_rest(stream, rest);
        }
        core::hint::spin_loop();
    }
}

/// Writes to `soil run`'s channel: the debug port, or the framed serial line where there is none;
/// false if there is neither. The bytes have left the machine when this returns, since the machine
/// may end next.
pub fn write_control(bytes: &[u8]) -> bool {
    if DEBUG.load(Ordering::Relaxed) {
        // SAFETY: writing to the debug port changes nothing in memory.
        let send = |byte: &u8| unsafe { debug_port().write(*byte) };
        bytes.iter().for_each(send);
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

/// Writes the exit status as a line of its own, the last one, for launchers other than `soil run`.
pub fn status_line(status: u8) {
    if !is_framed() {
        if !AT_LINE_START.load(Ordering::Relaxed) {
            write_now(Stream::Error, b"\n");
        }
        line(format_args!("status {status}"));
    }
}
