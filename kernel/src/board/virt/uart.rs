//! Serial ports: PL011 (Arm DDI 0183) and, as Firecracker has it, 16550 in memory.

use super::registers::Registers;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use firmware::fdt::Node;

/// Bytes that the transmitter accepts at once when it is empty.
pub const FIFO: usize = 16;

/// Line status: a byte was received.
pub const RECEIVED: u8 = 1;
/// Line status: the transmitter accepts [`FIFO`] bytes.
pub const ROOM: u8 = 0x20;
/// Line status: everything written has been sent.
pub const SENT: u8 = 0x40;

/// Bytes of the registers of a port.
const LEN: usize = 0x1000;

/// Registers of a PL011 by their offsets.
mod pl011 {
    pub const DATA: usize = 0;
    pub const FLAGS: usize = 0x18;
    pub const LINE_CONTROL: usize = 0x2c;
    pub const CONTROL: usize = 0x30;
    pub const FIFO_LEVELS: usize = 0x34;
    pub const INTERRUPT_MASK: usize = 0x38;
    pub const INTERRUPT_CLEAR: usize = 0x44;

    pub const BUSY: u32 = 1 << 3;
    pub const RECEIVER_EMPTY: u32 = 1 << 4;
    pub const TRANSMITTER_EMPTY: u32 = 1 << 7;
    /// Eight bits, FIFOs on.
    pub const EIGHT_BITS: u32 = 3 << 5;
    pub const FIFOS: u32 = 1 << 4;
    /// The port, its transmitter and its receiver are on.
    pub const ON: u32 = 1 | 1 << 8 | 1 << 9;
    /// Received bytes, and those that wait for more.
    pub const RECEIVED: u32 = 1 << 4 | 1 << 6;

    /// The line status of a 16550 with these flags.
    pub fn line_status(flags: u32) -> u8 {
        let mut status = 0;
        if flags & RECEIVER_EMPTY == 0 {
            status |= super::RECEIVED;
        }
        if flags & TRANSMITTER_EMPTY != 0 {
            status |= super::ROOM;
            if flags & BUSY == 0 {
                status |= super::SENT;
            }
        }
        status
    }
}

/// Line control of a 16550: 8 data bits, no parity, one stop bit.
const EIGHT_BITS: u8 = 3;
/// FIFO control of a 16550: on, and emptied.
const EMPTY_FIFOS: u8 = 7;

/// Registers of a 16550.
mod ns16550 {
    pub const DATA: usize = 0;
    pub const INTERRUPT_ENABLE: usize = 1;
    pub const FIFO_CONTROL: usize = 2;
    pub const LINE_CONTROL: usize = 3;
    pub const MODEM_CONTROL: usize = 4;
    pub const LINE_STATUS: usize = 5;
}

/// What is known about a port. Written at boot.
struct Port {
    registers: Registers,
    is_pl011: AtomicBool,
    /// A PL011 that firmware has set up, and which has no registers for that (Arm's Server Base
    /// System Architecture, appendix B).
    is_fixed: AtomicBool,
    /// The distance of a 16550's registers, as a power of two.
    shift: AtomicU8,
    line: AtomicU32,
}

impl Port {
    const fn none() -> Self {
        Self {
            registers: Registers::none(),
            is_pl011: AtomicBool::new(false),
            is_fixed: AtomicBool::new(false),
            shift: AtomicU8::new(0),
            line: AtomicU32::new(0),
        }
    }
}

static PORTS: [Port; 2] = [const { Port::none() }; 2];
/// The 16550 that transmits in the console's place; none at first.
static OUTPUT: Registers = Registers::none();

/// Has a 16550 transmit in the place of [`Uart::CONSOLE`], which still receives. A write to QEMU's
/// PL011 ends only when the reader of the output has taken the byte, and the whole machine waits
/// for it; a 16550 is full meanwhile.
///
/// # Safety
/// The promise of [`Registers::set`], for all registers of a 16550.
pub(super) unsafe fn set_output(base: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { OUTPUT.set(base) };
    OUTPUT.write(ns16550::INTERRUPT_ENABLE, 0u8);
    OUTPUT.write(ns16550::LINE_CONTROL, EIGHT_BITS);
    OUTPUT.write(ns16550::FIFO_CONTROL, EMPTY_FIFOS);
}

/// Sets the place of the console's port and of the second one; `map` maps device registers.
pub(super) fn set_up(ports: &[Option<Node<'_>>; 2], map: &dyn Fn(u64, usize) -> Option<*mut u8>) {
    for (port, node) in PORTS.iter().zip(ports) {
        let Some((node, (address, len))) =
            node.and_then(|node| Some((node, node.registers().next()?)))
        else {
            continue;
        };
        let len = usize::try_from(len).unwrap_or(LEN).min(LEN);
        let Some(base) = map(address, len.max(LEN)) else {
            continue;
        };
        /// Registers further apart don't lie in the mapped page.
        const MAX_SHIFT: u32 = 8;
        let is_fixed = node.is_compatible("arm,sbsa-uart");
        let is_pl011 = is_fixed || node.is_compatible("arm,pl011");
        let shift = node.u32("reg-shift").unwrap_or(0).min(MAX_SHIFT) as u8;
        port.is_fixed.store(is_fixed, Ordering::Relaxed);
        port.is_pl011.store(is_pl011, Ordering::Relaxed);
        port.shift.store(shift, Ordering::Relaxed);
        let line = node.interrupt(0).map_or(0, |line| line.number);
        port.line.store(line, Ordering::Relaxed);
        // SAFETY: the tree says that the device is there, and `map` has mapped it.
        unsafe { port.registers.set(base) };
    }
}

/// A serial port. It holds no state: its user serializes access.
#[derive(Clone, Copy)]
pub struct Uart(u8);

impl Uart {
    /// The console's.
    pub const CONSOLE: Self = Self(0);
    /// The second.
    pub const SECOND: Self = Self(1);

    fn port(self) -> &'static Port {
        &PORTS[usize::from(self.0 & 1)]
    }

    fn is_pl011(self) -> bool {
        self.port().is_pl011.load(Ordering::Relaxed)
    }

    fn is_fixed(self) -> bool {
        self.port().is_fixed.load(Ordering::Relaxed)
    }

    fn read(self, register: usize) -> u32 {
        self.port().registers.read(register)
    }

    fn write(self, register: usize, value: u32) {
        self.port().registers.write(register, value);
    }

    /// The offset of a 16550's register.
    fn place(self, register: usize) -> usize {
        register << self.port().shift.load(Ordering::Relaxed)
    }

    fn read_byte(self, register: usize) -> u8 {
        self.port().registers.read(self.place(register))
    }

    fn write_byte(self, register: usize, value: u8) {
        self.port().registers.write(self.place(register), value);
    }

    /// Disables its interrupts; returns whether there is a port.
    pub fn probe(self) -> bool {
        match self.is_pl011() {
            true => self.write(pl011::INTERRUPT_MASK, 0),
            false => self.write_byte(ns16550::INTERRUPT_ENABLE, 0),
        }
        self.port().registers.exist()
    }

    /// 8 data bits, no parity, one stop bit. A PL011 keeps the rate that it has: its clock's isn't
    /// known.
    pub fn set_line(self) {
        match self.is_pl011() {
            true if self.is_fixed() => {}
            true => {
                self.write(pl011::LINE_CONTROL, pl011::EIGHT_BITS | pl011::FIFOS);
                self.write(pl011::CONTROL, pl011::ON);
            }
            false => self.write_byte(ns16550::LINE_CONTROL, EIGHT_BITS),
        }
    }

    /// Switches the FIFOs on. With `empty`, what they hold is dropped.
    pub fn enable_fifos(self, empty: bool) {
        match self.is_pl011() {
            true if self.is_fixed() => {}
            true => self.write(pl011::FIFO_LEVELS, 0),
            false => {
                let control = if empty { EMPTY_FIFOS } else { 0xc1 };
                self.write_byte(ns16550::FIFO_CONTROL, control);
            }
        }
    }

    /// The interrupt line of [`Uart::CONSOLE`].
    pub fn line() -> u32 {
        Self::CONSOLE.port().line.load(Ordering::Relaxed)
    }

    /// Connects the interrupt line.
    pub fn connect(self) {
        if !self.is_pl011() {
            self.write_byte(ns16550::MODEM_CONTROL, 0x0b);
        }
    }

    /// Lets received bytes interrupt.
    pub fn interrupt_on_input(self) {
        match self.is_pl011() {
            true => {
                self.write(pl011::INTERRUPT_CLEAR, 0x7ff);
                self.write(pl011::INTERRUPT_MASK, pl011::RECEIVED);
            }
            false => self.write_byte(ns16550::INTERRUPT_ENABLE, 1),
        }
    }

    /// What transmits in this port's place.
    fn output(self) -> Option<&'static Registers> {
        (self.0 == Self::CONSOLE.0 && OUTPUT.exist()).then_some(&OUTPUT)
    }

    /// [`RECEIVED`], [`ROOM`] and [`SENT`].
    pub fn line_status(self) -> u8 {
        let own = match self.is_pl011() {
            true => pl011::line_status(self.read(pl011::FLAGS)),
            false => self.read_byte(ns16550::LINE_STATUS),
        };
        match self.output() {
            Some(output) => {
                let status: u8 = output.read(ns16550::LINE_STATUS);
                own & RECEIVED | status & (ROOM | SENT)
            }
            None => own,
        }
    }

    /// The next received byte; [`RECEIVED`] is set.
    pub fn receive(self) -> u8 {
        match self.is_pl011() {
            true => self.read(pl011::DATA) as u8,
            false => self.read_byte(ns16550::DATA),
        }
    }

    /// Sends a byte; the transmitter has room.
    pub fn send(self, byte: u8) {
        match self.output() {
            Some(output) => output.write(ns16550::DATA, byte),
            None if self.is_pl011() => self.write(pl011::DATA, u32::from(byte)),
            None => self.write_byte(ns16550::DATA, byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LEN, RECEIVED, ROOM, SENT, Uart, pl011, set_output, set_up};
    use firmware::fake::Builder;
    use firmware::fdt::Fdt;
    use std::cell::UnsafeCell;

    #[test]
    fn a_16550_has_its_registers_where_the_tree_says() {
        let builder = Builder::new().begin("").words("#address-cells", &[1]);
        let builder = builder.begin("uart@1000").text("compatible", "ns16550a");
        let builder = builder
            .words("reg", &[0x1000, 0x1000])
            .words("reg-shift", &[2])
            .words("interrupts", &[0, 9, 1]);
        let bytes = builder.end().end().finish();
        let node = Fdt::parse(&bytes).unwrap().compatible(&["ns16550a"]);
        let registers = UnsafeCell::new([0u8; LEN]);
        let value = |register: usize| {
            // SAFETY: within the array, which the calls below don't use meanwhile.
            unsafe { &mut *registers.get().cast::<u8>().add(register << 2) }
        };
        set_up(&[None, node], &|address, len| {
            (address == 0x1000 && len <= LEN).then_some(registers.get().cast())
        });
        let port = Uart::SECOND;
        assert!(port.probe());
        let output = another_port_transmits_for_the_console();
        port.set_line();
        port.enable_fifos(true);
        port.connect();
        port.interrupt_on_input();
        // Eight bits; FIFOs on and empty; the line on; received bytes interrupt.
        assert_eq!([3, 2, 4, 1].map(|at| *value(at)), [3, 7, 0xb, 1]);
        *value(5) = RECEIVED | ROOM;
        assert_eq!(port.line_status(), RECEIVED | ROOM);
        *value(0) = b'a';
        assert_eq!(port.receive(), b'a');
        port.send(b'b');
        assert_eq!((*value(0), *output), (b'b', b'a'));
        assert!(!Uart::CONSOLE.probe());
    }

    /// A part of the test above, since both use the ports of this program; returns the register of
    /// data of the console's other port.
    fn another_port_transmits_for_the_console() -> &'static u8 {
        let registers = Box::leak(Box::new(UnsafeCell::new([0u8; 8]))).get();
        // SAFETY: within the array, which the calls below don't use meanwhile.
        let value = |register: usize| unsafe { &mut *registers.cast::<u8>().add(register) };
        // SAFETY: the registers are this memory, for good.
        unsafe { set_output(registers.cast()) };
        // No interrupts; FIFOs on and empty; eight bits.
        assert_eq!([1, 2, 3].map(|at| *value(at)), [0, 7, 3]);
        for (status, expected) in [(0, 0), (0x21, ROOM), (0x60, ROOM | SENT)] {
            *value(5) = status;
            assert_eq!(Uart::CONSOLE.line_status(), expected);
        }
        Uart::CONSOLE.send(b'a');
        value(0)
    }

    #[test]
    fn flags_become_a_line_status() {
        assert_eq!(pl011::line_status(0x90), ROOM | SENT);
        assert_eq!(pl011::line_status(0x80), RECEIVED | ROOM | SENT);
        // It still sends the last byte; its FIFO is full.
        assert_eq!(pl011::line_status(0x98), ROOM);
        assert_eq!(pl011::line_status(0x38), 0);
    }
}
