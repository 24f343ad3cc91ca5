//! Interrupt lines: the inputs of all I/O APICs by their global numbers.

use crate::arch::apic;
use crate::arch::io_apic::{IoApic, LEN, Trigger};
use crate::{firmware, memory};
use core::ptr::NonNull;

/// The first I/O APIC's address if no table has it.
const USUAL_ADDRESS: u64 = 0xfec0_0000;

/// Routes input `gsi` to `vector` of this processor; false if no such input exists. Not for
/// interrupts: it may map memory.
pub fn route(gsi: u32, vector: u8, trigger: Trigger) -> bool {
    let tables = firmware::acpi();
    let usual = [(USUAL_ADDRESS, 0)];
    let all = if tables.io_apics.is_empty() {
        &usual[..]
    } else {
        &tables.io_apics
    };
    for (address, first) in all {
        let registers = memory::map_device(*address, LEN).and_then(NonNull::new);
        let Some((registers, input)) = registers.zip(gsi.checked_sub(*first)) else {
            continue;
        };
        // SAFETY: just mapped, for good.
        let io_apic = unsafe { IoApic::new(registers) };
        if input < io_apic.inputs() {
            io_apic.route(input, vector, trigger, apic::id());
            return true;
        }
    }
    false
}
