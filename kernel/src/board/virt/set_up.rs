//! Prepares the machine that the device tree describes.

use super::handover::Handover;
use super::survey::Kind;
use super::{control, irq, pci, power, uart};
use crate::acpi;
use crate::arch::cpu;
use crate::memory::{self, DIRECT};

/// Prepares the console's device, on the boot tables.
pub fn early(handover: &Handover) {
    uart::set_up(&handover.survey.ports, &|address, _| {
        // The boot tables map the devices of the first 4 GiB.
        (address < 1 << 32).then_some((DIRECT + address) as *mut u8)
    });
}

/// Keeps the tree, and prepares the interrupt controller, the console's devices and the means to
/// end the machine.
pub fn late(handover: &Handover) {
    handover.keep();
    let survey = &handover.survey;
    uart::set_up(&survey.ports, &|address, len| {
        memory::map_device(address, len)
    });
    power::set_up(survey.first(Kind::Psci));
    cpu::set_emulated(survey.first(Kind::Qemu).is_some() && power::is_translating());
    irq::set_up(survey);
    if let Some(root) = survey.chosen.and_then(|node| node.number("soil,acpi-root")) {
        acpi::set_root(root);
    }
    if let Some(bridge) = survey.first(Kind::Bridge) {
        let probe_only = survey
            .chosen
            .and_then(|node| node.u32("linux,pci-probe-only"));
        pci::find(bridge, probe_only == Some(1));
        control::set_up();
    }
}
