//! Interrupts: their lines, the inputs of all I/O APICs by their global numbers, and messages.

use super::vectors::{SPURIOUS, WAKE};
use super::{apic, io_apic};
use crate::arch::gates::Frame;
use crate::{firmware, memory};
use core::ptr::NonNull;
use drivers::pci::Address;
use drivers::transport::pci::Message;
use io_apic::{IoApic, LEN};

pub use io_apic::Trigger;

/// The first I/O APIC's address if no table has it.
const USUAL_ADDRESS: u64 = 0xfec0_0000;

/// Enables the local APIC.
pub(super) fn set_up() {
    apic::set_up(memory::map_device);
}

/// The vector of the interrupt that saved `frame`, which is being handled until [`end`]; that of
/// another processor has ended.
pub fn begin(frame: &Frame) -> Option<u8> {
    let vector = frame.vector() as u8;
    if vector == WAKE {
        apic::end_of_interrupt();
    }
    Some(vector)
}

/// Ends the handling of an interrupt of `vector`.
pub fn end(vector: u8) {
    if vector != SPURIOUS {
        apic::end_of_interrupt();
    }
}

/// Routes line `gsi` to `vector` of this processor; false if no such input exists. Not for
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

/// The line of an interrupt of the ISA bus.
pub(super) fn legacy_line(irq: u8) -> u32 {
    firmware::acpi().legacy_gsi(irq)
}

/// The message by which the function at this address interrupts this processor by `vector`; `None`
/// if the machine has no messages.
#[inline(always)]
pub fn message(vector: u8, _: Address) -> Option<Message> {
    Some(Message {
        address: 0xfee0_0000 | u64::from(apic::id() & 0xff) << 12,
        data: u32::from(vector),
    })
}
