//! Interrupts: their lines, the inputs of all I/O APICs by their global numbers, and messages.

use super::io_apic;
use super::vectors::{SPURIOUS, WAKE};
use crate::arch::apic;
use crate::arch::gates::Frame;
use crate::{acpi, memory};
use core::ptr::NonNull;
use drivers::pci::Address;
use drivers::transport::pci::Message;
use io_apic::{IoApic, LEN};

pub use io_apic::Trigger;

/// The first I/O APIC's address if no table has it.
const USUAL_ADDRESS: u64 = 0xfec0_0000;

/// In the number of a line: firmware says that an edge signals it.
const EDGE: u32 = 1 << 31;

/// The line of interrupt `gsi`, for [`route`].
pub(super) fn line_of(gsi: u32, is_edge: bool) -> u32 {
    gsi | if is_edge { EDGE } else { 0 }
}

/// The interrupt and the trigger of a line, which is `trigger` unless firmware says that it is an
/// edge.
fn signal_of(line: u32, trigger: Trigger) -> (u32, Trigger) {
    match line & EDGE {
        0 => (line, trigger),
        _ => (line & !EDGE, Trigger::Edge),
    }
}

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

/// Routes a line, which may carry firmware's word on its trigger, to `vector` of the boot processor;
/// false if no such input exists. Not for interrupts: it may map memory.
pub fn route(line: u32, vector: u8, trigger: Trigger) -> bool {
    let (gsi, trigger) = signal_of(line, trigger);
    let tables = acpi::tables();
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
            io_apic.route(input, vector, trigger, apic::boot_id());
            return true;
        }
    }
    false
}

/// The line of an interrupt of the ISA bus.
pub(super) fn legacy_line(irq: u8) -> u32 {
    acpi::tables().legacy_gsi(irq)
}

/// The message by which the function at this address interrupts the boot processor by `vector`; `None`
/// if the machine has no messages.
#[inline(always)]
pub fn message(vector: u8, _: Address) -> Option<Message> {
    Some(Message {
        address: 0xfee0_0000 | u64::from(apic::boot_id() & 0xff) << 12,
        data: u32::from(vector),
    })
}

#[cfg(test)]
mod tests {
    use super::{Trigger, line_of, signal_of};

    #[test]
    fn firmware_says_which_lines_are_edges() {
        for (is_edge, trigger) in [(false, Trigger::Level), (true, Trigger::Edge)] {
            assert_eq!(
                signal_of(line_of(16, is_edge), Trigger::Level),
                (16, trigger)
            );
        }
        assert_eq!(signal_of(4, Trigger::Edge), (4, Trigger::Edge));
    }
}
