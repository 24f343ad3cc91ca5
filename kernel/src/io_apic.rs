//! The I/O APICs: which wire leads to which interrupt vector. Source: Intel 82093AA data sheet.

use crate::firmware;
use crate::{apic, memory};
use core::ptr::NonNull;

/// Where the first one is when no table says so.
const USUAL_ADDRESS: u64 = 0xfec0_0000;
const LEVEL: u32 = 1 << 15;
const VERSION: u32 = 1;
const FIRST_ENTRY: u32 = 0x10;

/// How a wire says that it wants attention. All are active high: those that firmware describes
/// otherwise are on PCI's lines, which QEMU's controllers invert themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// By rising.
    Edge,
    /// By being high, until the device's handler has lowered it.
    Level,
}

struct IoApic(NonNull<u32>);

impl IoApic {
    fn at(address: u64) -> Option<Self> {
        NonNull::new(memory::map_device(address, 32)?.cast()).map(Self)
    }

    fn read(&self, register: u32) -> u32 {
        // SAFETY: the two registers, select and window, are mapped for good.
        unsafe {
            self.0.write_volatile(register);
            self.0.add(4).read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as for `read`; the entries only name vectors that have gates.
        unsafe {
            self.0.write_volatile(register);
            self.0.add(4).write_volatile(value);
        }
    }
}

/// Leads input `gsi` to `vector` of this processor; false where there is no such input.
pub fn route(gsi: u32, vector: u8, trigger: Trigger) -> bool {
    let tables = firmware::acpi();
    let usual = [(USUAL_ADDRESS, 0)];
    let all = if tables.io_apics.is_empty() {
        &usual[..]
    } else {
        &tables.io_apics
    };
    for (address, first) in all {
        let Some((io_apic, input)) = IoApic::at(*address).zip(gsi.checked_sub(*first)) else {
            continue;
        };
        let inputs = (io_apic.read(VERSION) >> 16 & 0xff) + 1;
        if input < inputs {
            let level = if trigger == Trigger::Level { LEVEL } else { 0 };
            io_apic.write(FIRST_ENTRY + 2 * input + 1, apic::id() << 24);
            io_apic.write(FIRST_ENTRY + 2 * input, u32::from(vector) | level);
            return true;
        }
    }
    false
}
