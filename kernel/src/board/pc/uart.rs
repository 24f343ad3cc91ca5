//! A 16550 UART. Source: National Semiconductor PC16550D data sheet.

use super::irq::legacy_line;
use x86_64::instructions::port::Port;

/// Bytes that the transmitter accepts at once when it is empty.
pub const FIFO: usize = 16;

/// Line status: a byte was received.
pub const RECEIVED: u8 = 1;
/// Line status: the transmitter accepts [`FIFO`] bytes.
pub const ROOM: u8 = 0x20;
/// Line status: everything written has been sent.
pub const SENT: u8 = 0x40;

const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

/// A UART by its first port. It holds no state: its user serializes access.
#[derive(Clone, Copy)]
pub struct Uart(pub u16);

impl Uart {
    /// The console's: the first serial port.
    pub const CONSOLE: Self = Self(0x3f8);
    /// The second.
    pub const SECOND: Self = Self(0x2f8);

    fn read(self, register: u16) -> u8 {
        // SAFETY: reading a port of the UART changes nothing in memory.
        unsafe { Port::new(self.0 + register).read() }
    }

    fn write(self, register: u16, value: u8) {
        // SAFETY: as for `read`.
        unsafe { Port::new(self.0 + register).write(value) }
    }

    /// Disables its interrupts; returns whether a UART responds. A port without a device reads as
    /// ones, or as zeros; a UART has 0 in the upper half of interrupt enable, and its scratch
    /// register keeps its value.
    pub fn probe(self) -> bool {
        const PATTERN: u8 = 0x5a;
        self.write(INTERRUPT_ENABLE, 0);
        self.write(SCRATCH, PATTERN);
        self.read(INTERRUPT_ENABLE) == 0 && self.read(SCRATCH) == PATTERN
    }

    /// 115200 baud, 8 data bits, no parity, one stop bit.
    pub fn set_line(self) {
        self.write(LINE_CONTROL, 0x80);
        self.write(0, 1); // divisor 1
        self.write(INTERRUPT_ENABLE, 0);
        self.write(LINE_CONTROL, 3);
    }

    /// Switches the FIFOs on. They interrupt for 14 received bytes, or for fewer that wait.
    /// Switching them on empties them; with `empty`, so does this where they are on already, and
    /// they interrupt for each byte.
    pub fn enable_fifos(self, empty: bool) {
        self.write(FIFO_CONTROL, if empty { 0x07 } else { 0xc1 });
    }

    /// The interrupt line of [`Uart::CONSOLE`].
    pub fn line() -> u32 {
        const IRQ: u8 = 4;
        legacy_line(IRQ)
    }

    /// Connects the interrupt line: DTR, RTS, OUT2.
    pub fn connect(self) {
        self.write(MODEM_CONTROL, 0x0b);
    }

    /// Lets received bytes interrupt.
    pub fn interrupt_on_input(self) {
        self.write(INTERRUPT_ENABLE, 1);
    }

    /// [`RECEIVED`], [`ROOM`] and [`SENT`].
    pub fn line_status(self) -> u8 {
        self.read(LINE_STATUS)
    }

    /// The next received byte; [`RECEIVED`] is set.
    pub fn receive(self) -> u8 {
        self.read(0)
    }

    /// Sends a byte; the transmitter has room.
    pub fn send(self, byte: u8) {
        self.write(0, byte);
    }
}
