//! Input: bytes are taken from the UART when a caller asks for them.
//!
//! Used by system calls and by the runtime in `soil_wait`, never by a tick or an interrupt: the
//! interrupt of the serial port ends a halt, and records that a report may have been requested.

use super::framing::Stream;
use super::line_discipline::{LineDiscipline, Sender};
use super::output::{self, UART, has_serial, is_framed, set_framed, try_write, write_control};
use super::port::{self, Request, Role, call};
use crate::board::uart::{RECEIVED, Uart};
use crate::board::vectors::SERIAL;
use crate::cell::{ExclusiveCell, rank};
use crate::interrupts::{self, Trigger};
use core::sync::atomic::{AtomicBool, Ordering};

/// Input ends a halt. Set once.
static LISTENING: AtomicBool = AtomicBool::new(false);
/// The port may have received something since the last check for a request. Set by interrupts.
static ARRIVED: AtomicBool = AtomicBool::new(true);
/// Bytes received and not read.
static INPUT: ExclusiveCell<LineDiscipline, rank::Input> =
    ExclusiveCell::new(LineDiscipline::of_keyboard());

/// Finds the UART and the debug port.
pub fn set_up() {
    let serial = UART.probe();
    output::set_up(serial);
    if serial {
        UART.set_line();
        // Switching the FIFOs on empties them, and may lose what was typed early.
        INPUT.with(fill);
        UART.enable_fifos(false);
        UART.connect();
    }
}

/// Selects the console according to the command line. It may start a driver.
pub fn select(word: Option<&[u8]>) {
    // The first letter identifies it. More words may follow: other destinations of the output.
    let sender = match word {
        Some([b'p', ..]) => Some(Sender::Pipe),
        Some([b't', ..]) => Some(Sender::Terminal),
        Some([b'u', ..]) => return,
        Some([b'v', ..]) => None,
        _ if has_serial() => return,
        _ => None,
    };
    let role = match sender {
        Some(sender) => {
            INPUT.with(|input| input.set_sender(sender));
            set_framed();
            Role::Output
        }
        None => Role::Console,
    };
    port::start(role);
}

/// A received byte.
fn receive() -> Option<u8> {
    let mut byte = 0;
    match call(Request::Read(core::slice::from_mut(&mut byte))) {
        Some(count) => (count > 0).then_some(byte),
        None => (has_serial() && UART.line_status() & RECEIVED != 0).then(|| UART.receive()),
    }
}

/// Receives available bytes, as far as there is room.
fn fill(input: &mut LineDiscipline) {
    while input.has_room()
        && let Some(byte) = receive()
    {
        input.take(byte, &mut |echo| {
            // The echo is dropped while the transmitter is full.
            try_write(Stream::Output, echo);
        });
    }
}

/// Runs `f` on the input after receiving available bytes.
fn with_input<R>(f: impl FnOnce(&mut LineDiscipline) -> R) -> R {
    INPUT.with(|input| {
        fill(input);
        f(input)
    })
}

/// Whether a report was requested (Ctrl-T) since the last call. The other bytes stay for the
/// program.
///
/// Reads the port only after an interrupt: each access is an exit from the virtual machine, and the
/// network calls this at each poll.
pub fn report_requested() -> bool {
    // Input is received only if its interrupts are enabled.
    let poll = LISTENING.load(Ordering::Relaxed)
        && (port::is_used() || ARRIVED.swap(false, Ordering::Relaxed));
    INPUT.with(|input| {
        if poll {
            fill(input);
        }
        input.take_report()
    })
}

/// Reads available input without waiting, from a terminal up to the end of a line: 0 at the end of
/// input, `None` if there is none. `buffer` isn't empty.
pub fn try_read(buffer: &mut [u8]) -> Option<usize> {
    listen();
    with_input(|input| input.read(buffer))
}

/// Whether there is input, or the end of input.
pub fn has_input() -> bool {
    listen();
    with_input(|input| input.is_ready())
}

/// Lets received bytes end a halt. Further calls cost nothing.
pub fn listen() {
    // A port's device interrupts anyway.
    if !LISTENING.swap(true, Ordering::Relaxed) && !port::is_used() && has_serial() {
        interrupts::route(Uart::line(), SERIAL, Trigger::Edge);
        UART.interrupt_on_input();
        if is_framed() {
            write_control(b"SOIL-INPUT\n");
        }
    }
}

/// As [`listen`], only for report requests: reading a pipe would take bytes away from others.
pub fn listen_for_reports() {
    interrupts::set_handler(SERIAL, |_| ARRIVED.store(true, Ordering::Relaxed));
    if !LISTENING.load(Ordering::Relaxed) && INPUT.with(|input| input.is_interactive()) {
        listen();
    }
}
