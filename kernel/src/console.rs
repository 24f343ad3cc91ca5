//! The console: a 16550 UART at the first serial port, and QEMU's debug port for messages to `soil run`.
//!
//! Source: National Semiconductor PC16550D data sheet; QEMU docs/specs (isa-debugcon answers reads with its own port
//! number). Writes wait for the transmitter, as long as there is one.

use crate::cell::Exclusive;
use crate::firmware;
use crate::interrupts::SERIAL;
use crate::io_apic::{self, Trigger};
use core::fmt::Write;
use x86_64::instructions::port::Port;

const COM1: u16 = 0x3f8;
/// Bytes that the transmitter takes at once when it says that it is empty.
const FIFO: usize = 16;
/// QEMU's `isa-debugcon`, as `soil run` sets it.
const DEBUG_PORT: u16 = 0xe9;
/// Polls of the transmitter before it is taken for dead: far more than 16 bytes take at 9600 baud.
const PATIENCE: u32 = 10_000_000;

/// Ctrl-T: as in BSD, a request to say how things stand.
const REPORT: u8 = 0x14;
/// Bytes of input that wait for the program beside those in the UART.
const PENDING: usize = 64;

struct Console {
    serial: bool,
    debug: bool,
    listening: bool,
    /// Bytes that were read while looking for [`REPORT`], and that the program gets.
    pending: [u8; PENDING],
    pending_start: usize,
    pending_end: usize,
    report: bool,
}

static CONSOLE: Exclusive<Console> = Exclusive::new(Console {
    serial: false,
    debug: false,
    listening: false,
    pending: [0; PENDING],
    pending_start: 0,
    pending_end: 0,
    report: false,
});

/// Runs `f` on the console; with interrupts closed, since a tick may have a line to log.
fn with<R>(f: impl FnOnce(&mut Console) -> R) -> R {
    x86_64::instructions::interrupts::without_interrupts(|| CONSOLE.with(f))
}

fn read(port: u16) -> u8 {
    // SAFETY: reading the ports of the UART and of the debug console changes nothing in memory.
    unsafe { Port::new(port).read() }
}

fn write_port(port: u16, value: u8) {
    // SAFETY: as for `read`.
    unsafe { Port::new(port).write(value) }
}

/// Finds the UART and the debug port.
pub fn set_up() {
    with(|console| {
        // Interrupt enable has four bits; a port where nothing is reads as ones.
        write_port(COM1 + 1, 0);
        console.serial = read(COM1 + 1) == 0;
        if console.serial {
            write_port(COM1 + 3, 0x80);
            write_port(COM1, 1); // 115200 baud
            write_port(COM1 + 1, 0);
            write_port(COM1 + 3, 3); // 8 data bits, no parity, one stop bit
            write_port(COM1 + 2, 0x07); // FIFOs on and empty
            write_port(COM1 + 4, 0x0b); // DTR, RTS, OUT2: the interrupt line is connected
        }
        console.debug = read(DEBUG_PORT) == DEBUG_PORT as u8;
    });
}

impl Console {
    fn write(&mut self, bytes: &[u8]) {
        if !self.serial {
            return;
        }
        for piece in bytes.chunks(FIFO) {
            if !(0..PATIENCE).any(|_| read(COM1 + 5) & 0x20 != 0) {
                self.serial = false;
                return;
            }
            for byte in piece {
                write_port(COM1, *byte);
            }
        }
    }
}

impl Console {
    /// The next byte that has come in and isn't a request for a report.
    fn next(&mut self) -> Option<u8> {
        if self.pending_start < self.pending_end {
            self.pending_start += 1;
            return self.pending.get(self.pending_start - 1).copied();
        }
        while self.serial && read(COM1 + 5) & 1 != 0 {
            match read(COM1) {
                REPORT => self.report = true,
                byte => return Some(byte),
            }
        }
        None
    }

    /// Takes in what has come, as far as there is room.
    fn look(&mut self) {
        if self.pending_start == self.pending_end {
            (self.pending_start, self.pending_end) = (0, 0);
        }
        while self.pending_end < PENDING && self.serial && read(COM1 + 5) & 1 != 0 {
            match read(COM1) {
                REPORT => self.report = true,
                byte => {
                    if let Some(place) = self.pending.get_mut(self.pending_end) {
                        *place = byte;
                        self.pending_end += 1;
                    }
                }
            }
        }
    }
}

/// Whether a request for a report (Ctrl-T) has come in since the last call. The other bytes stay for the program.
pub fn report_requested() -> bool {
    with(|console| {
        // Without interrupts for input nobody has asked for any.
        if console.listening {
            console.look();
        }
        core::mem::take(&mut console.report)
    })
}

/// Writes `bytes` as they are; waits until the UART has taken them.
pub fn write(bytes: &[u8]) {
    with(|console| console.write(bytes));
}

/// Reads what has come in, up to the length of `buffer`, without waiting; returns how much.
pub fn read_available(buffer: &mut [u8]) -> usize {
    with(|console| {
        let mut count = 0;
        for slot in buffer {
            let Some(byte) = console.next() else {
                break;
            };
            *slot = byte;
            count += 1;
        }
        count
    })
}

/// Whether a byte has come in.
pub fn has_input() -> bool {
    with(|console| {
        console.pending_start < console.pending_end || console.serial && read(COM1 + 5) & 1 != 0
    })
}

/// Lets received bytes end a halt ([`crate::wait`]); costs nothing when that is so already.
pub fn listen() {
    const IRQ: u8 = 4;
    let newly = with(|console| console.serial && !core::mem::replace(&mut console.listening, true));
    if newly {
        io_apic::route(firmware::acpi().legacy_gsi(IRQ), SERIAL, Trigger::Edge);
        write_port(COM1 + 1, 1);
    }
}

/// Writes to `soil run`'s channel; false where there is none.
pub fn write_control(bytes: &[u8]) -> bool {
    with(|console| {
        if console.debug {
            bytes.iter().for_each(|byte| write_port(DEBUG_PORT, *byte));
        }
        console.debug
    })
}

/// Formats to the console, and to the control channel too when `both`.
pub struct Output {
    /// Whether the text goes to `soil run` as well.
    pub both: bool,
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        write(text.as_bytes());
        if self.both {
            write_control(text.as_bytes());
        }
        Ok(())
    }
}

/// Writes one line of the kernel's own, headed `soil: `.
pub fn line(text: core::fmt::Arguments) {
    // The console never fails.
    let _ = writeln!(Output { both: false }, "soil: {text}");
}

/// Ctrl-D: the end of input, as a terminal has it.
const END_OF_INPUT: u8 = 4;

/// Reads what has come in, no further than the end of a line, without waiting: 0 for Ctrl-D at the start, `None` when nothing
/// has come in. A carriage return counts as the end of a line, since that is what terminals send.
pub fn try_read_line(buffer: &mut [u8]) -> Option<usize> {
    let mut count = 0;
    for slot in &mut *buffer {
        let mut byte = [0];
        if read_available(&mut byte) == 0 {
            break;
        }
        match byte[0] {
            END_OF_INPUT if count == 0 => return Some(0),
            b'\r' => *slot = b'\n',
            byte => *slot = byte,
        }
        count += 1;
        if *slot == b'\n' {
            break;
        }
    }
    (count > 0).then_some(count)
}

/// As [`try_read_line`], but waits for the first byte.
pub fn read_line(buffer: &mut [u8]) -> usize {
    loop {
        if let Some(count) = try_read_line(buffer) {
            return count;
        }
        wait_for_input(None);
    }
}

/// Halts until a byte may have come in or the deadline (monotonic nanoseconds) has passed.
pub fn wait_for_input(deadline: Option<u64>) {
    listen();
    if !has_input() {
        crate::wait::pause_until(deadline);
    }
}
