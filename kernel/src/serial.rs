//! The second serial port, for bytes that aren't for people: output only, without interrupts.
//!
//! Source: National Semiconductor PC16550D data sheet, as for the console.

use core::sync::atomic::{AtomicBool, Ordering};
use x86_64::instructions::port::Port;

const COM2: u16 = 0x2f8;
/// Bytes that the transmitter takes at once when it says that it is empty.
const FIFO: usize = 16;
/// Polls of the transmitter before it is taken for dead: far more than 16 bytes take at 115200
/// baud.
const PATIENCE: u32 = 10_000_000;

static ALIVE: AtomicBool = AtomicBool::new(false);

fn read(register: u16) -> u8 {
    // SAFETY: reading the ports of the UART changes nothing in memory.
    unsafe { Port::new(COM2 + register).read() }
}

fn write_register(register: u16, value: u8) {
    // SAFETY: as for `read`.
    unsafe { Port::new(COM2 + register).write(value) }
}

/// Finds the port and prepares it; false where there is none.
pub fn set_up() -> bool {
    // Interrupt enable has four bits; a port where nothing is reads as ones.
    write_register(1, 0);
    let alive = read(1) == 0;
    if alive {
        write_register(3, 0x80);
        write_register(0, 1); // 115200 baud
        write_register(1, 0);
        write_register(3, 3); // 8 data bits, no parity, one stop bit
        write_register(2, 0x07); // FIFOs on and empty
    }
    ALIVE.store(alive, Ordering::Relaxed);
    alive
}

/// Writes `bytes`; waits until the UART has taken them. One that doesn't any more is given up.
pub fn write(bytes: &[u8]) {
    if !ALIVE.load(Ordering::Relaxed) {
        return;
    }
    for piece in bytes.chunks(FIFO) {
        if !(0..PATIENCE).any(|_| read(5) & 0x20 != 0) {
            ALIVE.store(false, Ordering::Relaxed);
            return;
        }
        for byte in piece {
            write_register(0, *byte);
        }
    }
}
