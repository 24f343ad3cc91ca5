//! Interrupts: their lines, the inputs of all I/O APICs by their global numbers, and messages.

use super::io_apic;
use super::vectors::{SPURIOUS, WAKE};
use crate::arch::apic;
use crate::arch::gates::{Frame, PIC_SPURIOUS};
use crate::{acpi, memory};
use core::ptr::NonNull;
use drivers::pci::Address;
use drivers::transport::pci::Message;
use io_apic::{IoApic, LEN, Signal};

pub use io_apic::Trigger;

/// The first I/O APIC's address if no table has it.
const USUAL_ADDRESS: u64 = 0xfec0_0000;

/// In the number of a line: firmware says that an edge signals it, that it is active low.
const EDGE: u32 = 1 << 31;
const LOW: u32 = 1 << 30;

/// The line of interrupt `gsi`, for [`route`].
pub(super) fn line_of(gsi: u32, is_edge: bool) -> u32 {
    gsi | if is_edge { EDGE } else { 0 }
}

/// The interrupt and the signal of a line, whose trigger is `trigger` unless firmware says that it
/// is an edge.
fn signal_of(line: u32, trigger: Trigger) -> (u32, Signal) {
    let signal = Signal {
        trigger: match line & EDGE {
            0 => trigger,
            _ => Trigger::Edge,
        },
        is_low: line & LOW != 0,
    };
    (line & !EDGE & !LOW, signal)
}

/// Enables the local APIC.
pub(super) fn set_up() {
    apic::set_up(memory::map_device);
}

/// The vector of the interrupt that saved `frame`, which is being handled until [`end`]; that of
/// another processor has ended. `None` for one without a source.
pub fn begin(frame: &Frame) -> Option<u8> {
    match frame.vector() {
        PIC_SPURIOUS => None,
        vector => {
            let vector = vector as u8;
            if vector == WAKE {
                apic::end_of_interrupt();
            }
            Some(vector)
        }
    }
}

/// Ends the handling of an interrupt of `vector`.
pub fn end(vector: u8) {
    if vector != SPURIOUS {
        apic::end_of_interrupt();
    }
}

/// Routes a line, which may carry firmware's word on its signal, to `vector` of the boot processor;
/// false if no such input exists. Not for interrupts: it may map memory.
pub fn route(line: u32, vector: u8, trigger: Trigger) -> bool {
    let (gsi, signal) = signal_of(line, trigger);
    let found = find_input(gsi);
    if let Some((io_apic, input)) = &found {
        io_apic.route(*input, vector, signal, apic::boot_id());
    }
    found.is_some()
}

/// Whether [`route`] finds the line.
pub fn has_input(line: u32) -> bool {
    find_input(signal_of(line, Trigger::Level).0).is_some()
}

/// The I/O APIC with an interrupt, and its input there.
fn find_input(gsi: u32) -> Option<(IoApic, u32)> {
    let tables = acpi::tables();
    let usual = [(USUAL_ADDRESS, 0)];
    let all = if tables.io_apics.is_empty() {
        &usual[..]
    } else {
        &tables.io_apics
    };
    all.iter().find_map(|(address, first)| {
        let input = gsi.checked_sub(*first)?;
        let registers = memory::map_device(*address, LEN).and_then(NonNull::new)?;
        // SAFETY: just mapped, for good.
        let io_apic = unsafe { IoApic::new(registers) };
        (input < io_apic.inputs()).then_some((io_apic, input))
    })
}

/// The line of an interrupt of the ISA bus.
pub(super) fn legacy_line(irq: u8) -> u32 {
    let (gsi, is_low) = acpi::tables().legacy(irq);
    gsi | if is_low { LOW } else { 0 }
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
    use super::{EDGE, LOW, Signal, Trigger, line_of, signal_of};

    #[test]
    fn firmware_says_which_lines_are_edges_and_low() {
        let signal = |trigger, is_low| Signal { trigger, is_low };
        for (is_edge, trigger) in [(false, Trigger::Level), (true, Trigger::Edge)] {
            let line = line_of(16, is_edge);
            let found = [line, line | LOW].map(|line| signal_of(line, Trigger::Level));
            let expected = [(16, signal(trigger, false)), (16, signal(trigger, true))];
            assert_eq!(found, expected);
        }
        assert_eq!(
            [4, 4 | EDGE].map(|line| signal_of(line, Trigger::Edge)),
            [(4, signal(Trigger::Edge, false)); 2]
        );
    }
}
