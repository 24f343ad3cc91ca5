//! An I/O APIC: routes its inputs to interrupt vectors. Source: Intel 82093AA data sheet.

use super::ports::Pair;
use core::ptr::NonNull;
use drivers::register;

/// Bytes of its registers.
pub const LEN: usize = 32;

const LEVEL: u32 = 1 << 15;
const VERSION: u32 = 1;
const FIRST_ENTRY: u32 = 0x10;

/// The signal of an input. All are active high: those that firmware describes as active low are PCI
/// lines, which QEMU's controllers invert themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// On the rising edge.
    Edge,
    /// While it is high, until the device's handler has lowered it.
    Level,
}

/// The registers of one I/O APIC. An access takes two instructions: not for interrupts.
pub struct IoApic(NonNull<u32>);

impl IoApic {
    /// The I/O APIC whose registers are at `registers`.
    ///
    /// # Safety
    /// [`LEN`] bytes of its registers are mapped there, uncached, for good.
    pub unsafe fn new(registers: NonNull<u8>) -> Self {
        Self(registers.cast())
    }

    fn read(&self, register: u32) -> u32 {
        let _pair = Pair::begin();
        // SAFETY: the two registers, select and window, are mapped for good.
        unsafe {
            register::write(self.0.as_ptr(), register);
            register::read(self.0.as_ptr().add(4))
        }
    }

    fn write(&self, register: u32, value: u32) {
        let _pair = Pair::begin();
        // SAFETY: as for `read`; the entries only name vectors that have gates.
        unsafe {
            register::write(self.0.as_ptr(), register);
            register::write(self.0.as_ptr().add(4), value);
        }
    }

    /// Number of inputs.
    pub fn inputs(&self) -> u32 {
        (self.read(VERSION) >> 16 & 0xff) + 1
    }

    /// Routes `input`, which is below [`IoApic::inputs`], to `vector` of the processor with this
    /// APIC ID, and unmasks it.
    pub fn route(&self, input: u32, vector: u8, trigger: Trigger, apic_id: u32) {
        let level = if trigger == Trigger::Level { LEVEL } else { 0 };
        self.write(FIRST_ENTRY + 2 * input + 1, apic_id << 24);
        self.write(FIRST_ENTRY + 2 * input, u32::from(vector) | level);
    }
}
