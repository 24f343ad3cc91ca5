//! An I/O APIC: routes its inputs to interrupt vectors. Source: Intel 82093AA data sheet.

use super::ports::Pair;
use core::ptr::NonNull;
use drivers::register;

/// Bytes of its registers.
pub const LEN: usize = 32;

const LOW: u32 = 1 << 13;
const LEVEL: u32 = 1 << 15;
const VERSION: u32 = 1;
const FIRST_ENTRY: u32 = 0x10;

/// When an input interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// On the edge at which it becomes active.
    Edge,
    /// While it is active, until the device's handler has ended that.
    Level,
}

/// The signal of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    pub trigger: Trigger,
    /// It is active low.
    pub is_low: bool,
}

impl Signal {
    /// The bits of an entry.
    fn bits(self) -> u32 {
        let level = match self.trigger {
            Trigger::Edge => 0,
            Trigger::Level => LEVEL,
        };
        let low = if self.is_low { LOW } else { 0 };
        level | low
    }
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
    pub fn route(&self, input: u32, vector: u8, signal: Signal, apic_id: u32) {
        self.write(FIRST_ENTRY + 2 * input + 1, apic_id << 24);
        self.write(FIRST_ENTRY + 2 * input, u32::from(vector) | signal.bits());
    }
}

#[cfg(test)]
mod tests {
    use super::{Signal, Trigger};

    #[test]
    fn entries_have_the_trigger_and_the_polarity() {
        let bits = |trigger, is_low| Signal { trigger, is_low }.bits();
        assert_eq!(bits(Trigger::Edge, false), 0);
        assert_eq!(bits(Trigger::Level, false), 0x8000);
        assert_eq!(bits(Trigger::Level, true), 0xa000);
    }
}
