//! The console: a 16550 UART at the first serial port, and QEMU's debug port for messages to `soil
//! run`.
//!
//! Standard input, output and error output are one serial line, used in one of three ways
//! ([`Sender`]):
//!
//! - A terminal is at its other end, as with `-serial stdio` of a bare QEMU. Input has a line
//!   discipline ([`crate::typing`]).
//! - `soil run` is there, with a pipe or a file as its input (`SOIL_CONSOLE=pipe` on the command
//!   line).
//! - `soil run` is there, with a terminal as its input that edits lines by itself
//!   (`SOIL_CONSOLE=terminal`).
//!
//! With `soil run` both directions are framed, so that every byte gets through as it is: [`MARK`]
//! and one more byte are [`MARK`] itself, when doubled; towards the machine
//! [`END`](crate::typing::END) (of the input; a terminal's input goes on behind it) and
//! [`REPORT`](crate::typing::REPORT) (Ctrl-T was typed); towards `soil run` [`Stream`], to which
//! what follows belongs, standard output at first. Input is not sent before the machine has asked
//! for it, by the line `SOIL-INPUT` on the debug port: a UART that is being set up loses what
//! comes, and a program that doesn't read leaves the input to others.
//!
//! The transmitter says when it is full. It stays full while QEMU's output is not read. A write of
//! the program then waits halted, as at a pipe, until it has room or a signal comes; a write of the
//! kernel spins, and it and the machine's end wait for [`PATIENCE_NS`] at most. Output takes no
//! lock and allocates nothing, so that a crash can be reported wherever it happens.
//!
//! Why not virtio-console: QEMU's `virtconsole` drops what its reader doesn't take at once
//! (`flush_buf` in hw/char/virtio-console.c throttles only ports that aren't consoles), and the
//! ports that wait need the multiport protocol, whose set-up and drivers no program without devices
//! would otherwise have. Source: National Semiconductor PC16550D data sheet; QEMU docs/specs
//! (isa-debugcon answers reads with its own port number).

use crate::cell::Exclusive;
use crate::firmware;
use crate::interrupts::SERIAL as SERIAL_VECTOR;
use crate::io_apic::{self, Trigger};
use crate::typing::{MARK, Sender, Typing};
use crate::{signals, time, wait};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::instructions::port::Port;

const COM1: u16 = 0x3f8;
const LINE_STATUS: u16 = COM1 + 5;
/// A byte has come in.
const RECEIVED: u8 = 1;
/// The transmitter takes [`FIFO`] bytes.
const ROOM: u8 = 0x20;
/// All that was written is gone.
const SENT: u8 = 0x40;
/// Bytes that the transmitter takes at once when it says that it is empty.
const FIFO: usize = 16;
/// QEMU's `isa-debugcon`, as `soil run` sets it.
const DEBUG_PORT: u16 = 0xe9;
/// How often a full transmitter is looked at, in nanoseconds.
pub const LOOK_NS: u64 = 1_000_000;
/// How long the kernel waits for a transmitter that takes nothing, in nanoseconds; from when it
/// last took something. Readers pause for seconds (a pager that draws, a log that is rotated, a
/// terminal that is resized). Who asked for the end is told of it in time: `soil run` waits for 15
/// s, `docker stop` for 10, systemd for 90. (Linux gives up a serial port that is closed after 30
/// s.)
const PATIENCE_NS: u64 = 10_000_000_000;

/// Which output bytes belong to. The value names it to `soil run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Standard output.
    Output = b'O',
    /// Error output.
    Error = b'E',
}

/// A UART is there.
static SERIAL: AtomicBool = AtomicBool::new(false);
/// The debug port is there.
static DEBUG: AtomicBool = AtomicBool::new(false);
/// `soil run` is at the other end.
static FRAMED: AtomicBool = AtomicBool::new(false);
/// Input ends a halt.
static LISTENING: AtomicBool = AtomicBool::new(false);
/// The stream that `soil run` takes the next byte for.
static CURRENT: AtomicU8 = AtomicU8::new(Stream::Output as u8);
/// Bytes that the transmitter has taken.
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// What [`TAKEN`] was when the kernel gave up waiting.
static GIVEN_UP: AtomicU64 = AtomicU64::new(u64::MAX);
static INPUT: Exclusive<Typing> = Exclusive::new(Typing::from_keyboard());

fn read_port(port: u16) -> u8 {
    // SAFETY: reading the ports of the UART and of the debug console changes nothing in memory.
    unsafe { Port::new(port).read() }
}

fn write_port(port: u16, value: u8) {
    // SAFETY: as for `read_port`.
    unsafe { Port::new(port).write(value) }
}

fn line_status() -> u8 {
    read_port(LINE_STATUS)
}

/// Finds the UART and the debug port.
pub fn set_up() {
    const SCRATCH: u16 = COM1 + 7;
    const PATTERN: u8 = 0x5a;
    write_port(COM1 + 1, 0);
    write_port(SCRATCH, PATTERN);
    // Interrupt enable has four bits; a port where nothing is reads as ones, or as zeros.
    if read_port(COM1 + 1) == 0 && read_port(SCRATCH) == PATTERN {
        SERIAL.store(true, Ordering::Relaxed);
        write_port(COM1 + 3, 0x80);
        write_port(COM1, 1); // 115200 baud
        write_port(COM1 + 1, 0);
        write_port(COM1 + 3, 3); // 8 data bits, no parity, one stop bit
        // Switching the FIFOs on empties them, and what was typed early is in there.
        look();
        write_port(COM1 + 2, 0xc1); // FIFOs on; they interrupt for 14 bytes, or for fewer that wait
        write_port(COM1 + 4, 0x0b); // DTR, RTS, OUT2: the interrupt line is connected
    }
    DEBUG.store(read_port(DEBUG_PORT) == DEBUG_PORT as u8, Ordering::Relaxed);
}

/// Takes over what the command line says of the other end.
pub fn set_other_end(word: Option<&[u8]>) {
    let sender = match word {
        Some(b"pipe") => Sender::Pipe,
        Some(b"terminal") => Sender::Terminal,
        _ => return,
    };
    INPUT.with(|input| input.set_sender(sender));
    FRAMED.store(true, Ordering::Relaxed);
}

/// Whether the transmitter takes bytes now.
pub fn has_room() -> bool {
    !SERIAL.load(Ordering::Relaxed) || line_status() & ROOM != 0
}

/// Gives the transmitter as much of `bytes` as it takes at once; how much.
fn put(stream: Stream, bytes: &[u8]) -> usize {
    if !SERIAL.load(Ordering::Relaxed) {
        return bytes.len();
    }
    // A tick may have a line to log.
    without_interrupts(|| {
        if line_status() & ROOM == 0 {
            return 0;
        }
        let framed = FRAMED.load(Ordering::Relaxed);
        let mut room = FIFO;
        let mut send = |byte| {
            write_port(COM1, byte);
            room -= 1;
            room
        };
        if framed && CURRENT.swap(stream as u8, Ordering::Relaxed) != stream as u8 {
            send(MARK);
            send(stream as u8);
        }
        let mut count = 0;
        for byte in bytes {
            if framed && *byte == MARK {
                send(MARK);
            }
            count += 1;
            // A byte may come as two.
            if send(*byte) < 2 {
                break;
            }
        }
        TAKEN.fetch_add(count as u64, Ordering::Relaxed);
        count
    })
}

/// Writes as much of `bytes` as the transmitter takes without waiting; how much that was.
pub fn try_write(stream: Stream, bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while !rest.is_empty() {
        match put(stream, rest) {
            0 => break,
            count => rest = rest.get(count..).unwrap_or_default(),
        }
    }
    bytes.len() - rest.len()
}

/// Writes `bytes`, for the program: waits halted while the transmitter is full, and ticks go on.
/// How much was written: less than all when a signal is to be handled.
pub fn write(stream: Stream, bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        rest = rest.get(try_write(stream, rest)..).unwrap_or_default();
        if rest.is_empty() || signals::is_ready() {
            return bytes.len() - rest.len();
        }
        pause();
    }
}

/// Halts until the transmitter may have room again.
fn pause() {
    wait::pause_until(Some(time::monotonic_ns() + LOOK_NS));
}

/// Patience with a transmitter that is full.
struct Patience {
    /// What it had taken when this began, or when it last took something.
    taken: u64,
    /// The counter when it is over.
    end: u64,
}

impl Patience {
    fn new() -> Self {
        Self {
            taken: TAKEN.load(Ordering::Relaxed),
            end: time::counter().saturating_add(time::counter_ticks(PATIENCE_NS)),
        }
    }

    /// Whether to wait on. Once it is over, the next one has none until the transmitter takes
    /// something.
    fn lasts(&mut self) -> bool {
        let taken = TAKEN.load(Ordering::Relaxed);
        if taken == GIVEN_UP.load(Ordering::Relaxed) {
            return false;
        }
        if taken != self.taken {
            *self = Self::new();
        } else if time::counter() >= self.end {
            GIVEN_UP.store(taken, Ordering::Relaxed);
            return false;
        }
        true
    }
}

/// Writes `bytes` from wherever it may be, with a lock held or in the middle of a crash: waits
/// where it is. Drops what the console has not taken within [`PATIENCE_NS`].
pub fn write_now(stream: Stream, bytes: &[u8]) {
    let mut rest = bytes;
    let mut patience = Patience::new();
    loop {
        rest = rest.get(try_write(stream, rest)..).unwrap_or_default();
        if rest.is_empty() || !patience.lasts() {
            return;
        }
        core::hint::spin_loop();
    }
}

fn is_sent() -> bool {
    !SERIAL.load(Ordering::Relaxed) || line_status() & SENT != 0
}

/// Waits, halted, until all that was written is at the other end (what the transmitter holds is
/// lost with the machine), or it was full for [`PATIENCE_NS`].
pub fn drain() {
    drain_with(pause);
}

/// As [`drain`], from wherever it may be.
pub fn drain_now() {
    drain_with(core::hint::spin_loop);
}

fn drain_with(wait: fn()) {
    let mut patience = Patience::new();
    while !(flush_log() && is_sent()) && patience.lasts() {
        wait();
    }
}

/// What was logged while the transmitter was full.
struct Backlog {
    bytes: [u8; BACKLOG],
    len: usize,
    /// There was no room for a line.
    cut: bool,
}

/// Bytes of the log that wait at most.
const BACKLOG: usize = 8192;
/// Takes the place of lines for which there is no room.
const CUT: &[u8] = b"soil: lines of the log are missing here: the console was not read\n";
static LOG: Exclusive<Backlog> = Exclusive::new(Backlog {
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

/// Writes a line of the log without waiting, for neither ticks nor what waits for others may stand
/// still for it. What the transmitter doesn't take now follows by [`flush_log`]; beyond [`BACKLOG`]
/// bytes lines are lost, and that is said.
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

/// Writes the waiting part of the log, as far as the transmitter takes it. Returns whether that was
/// all; also true for a crash report that interrupts it, which can't wait for the rest.
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

/// Writes to `soil run`'s channel; false where there is none.
pub fn write_control(bytes: &[u8]) -> bool {
    let there = DEBUG.load(Ordering::Relaxed);
    if there {
        bytes.iter().for_each(|byte| write_port(DEBUG_PORT, *byte));
    }
    there
}

/// Formats to the error output, as [`write_now`].
pub struct ErrorOutput;

impl Write for ErrorOutput {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        write_now(Stream::Error, text.as_bytes());
        Ok(())
    }
}

/// Writes one line of the kernel's own, headed `soil: `.
pub fn line(text: core::fmt::Arguments) {
    // The console never fails.
    let _ = writeln!(ErrorOutput, "soil: {text}");
}

/// Runs `f` on the input after taking in what has come, as far as there is room.
fn with_input<R>(f: impl FnOnce(&mut Typing) -> R) -> R {
    INPUT.with(|input| {
        let serial = SERIAL.load(Ordering::Relaxed);
        while serial && input.has_room() && line_status() & RECEIVED != 0 {
            input.take(read_port(COM1), &mut |echo| {
                // A terminal that stands still is shown less.
                try_write(Stream::Output, echo);
            });
        }
        f(input)
    })
}

/// Takes in what has come.
fn look() {
    with_input(|_| ());
}

/// Whether a request for a report (Ctrl-T) has come in since the last call. The other bytes stay
/// for the program.
pub fn report_requested() -> bool {
    // Input is asked for only where its interrupts are on.
    LISTENING.load(Ordering::Relaxed) && with_input(Typing::take_report)
}

/// Reads what has come in, of a terminal no further than the end of a line, without waiting: 0 at
/// the end of input, `None` when nothing has come in. `buffer` isn't empty.
pub fn try_read(buffer: &mut [u8]) -> Option<usize> {
    listen();
    with_input(|input| input.read(buffer))
}

/// Whether there is something to read, be it the end.
pub fn has_input() -> bool {
    listen();
    with_input(|input| input.is_ready())
}

/// Lets received bytes end a halt ([`crate::wait`]); costs nothing when that is so already.
pub fn listen() {
    const IRQ: u8 = 4;
    if SERIAL.load(Ordering::Relaxed) && !LISTENING.swap(true, Ordering::Relaxed) {
        io_apic::route(
            firmware::acpi().legacy_gsi(IRQ),
            SERIAL_VECTOR,
            Trigger::Edge,
        );
        write_port(COM1 + 1, 1);
        if FRAMED.load(Ordering::Relaxed) {
            write_control(b"SOIL-INPUT\n");
        }
    }
}

/// As [`listen`], for requests for a report alone: who reads a pipe takes bytes away from others.
pub fn listen_for_reports() {
    if !LISTENING.load(Ordering::Relaxed) && INPUT.with(|input| input.is_from_person()) {
        listen();
    }
}
