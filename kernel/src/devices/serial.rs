//! The second serial port, for binary output, without interrupts. One task or tick writes at a
//! time.

use crate::board::uart::{FIFO, ROOM, Uart};
use core::sync::atomic::{AtomicBool, Ordering};

/// Polls of the transmitter before it counts as dead: far more than 16 bytes take at 115200 baud.
const MAX_POLLS: u32 = 10_000_000;

/// The port exists and accepts bytes.
static ALIVE: AtomicBool = AtomicBool::new(false);

/// Probes the port and prepares it; false if there is none.
pub fn set_up() -> bool {
    let alive = Uart::SECOND.probe();
    if alive {
        Uart::SECOND.set_line();
        Uart::SECOND.enable_fifos(true);
    }
    ALIVE.store(alive, Ordering::Relaxed);
    alive
}

/// Writes `bytes`; waits until the UART has accepted them. Abandons a UART that accepts nothing.
pub fn write(bytes: &[u8]) {
    if !ALIVE.load(Ordering::Relaxed) {
        return;
    }
    for piece in bytes.chunks(FIFO) {
        if !(0..MAX_POLLS).any(|_| Uart::SECOND.line_status() & ROOM != 0) {
            ALIVE.store(false, Ordering::Relaxed);
            return;
        }
        for byte in piece {
            Uart::SECOND.send(*byte);
        }
    }
}
