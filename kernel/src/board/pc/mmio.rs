//! Devices of virtio-mmio that ACPI names.

use super::fw_cfg;
use super::irq::line_of;
use crate::acpi;

/// The line of a device that the command line names, without its trigger. QEMU's `microvm` raises
/// it until it is acknowledged; Firecracker and its likes raise it for a moment (Linux takes their
/// MP table's word, which is that of the ISA bus: an edge).
pub fn named_line(irq: u32) -> u32 {
    line_of(irq, !fw_cfg::is_qemu())
}

/// Calls `visit` with each: physical address, length, interrupt line.
pub fn each(visit: &mut dyn FnMut(u64, usize, u32)) {
    for device in &acpi::tables().virtio_mmio {
        let line = line_of(device.gsi, device.is_edge);
        visit(device.address, device.len as usize, line);
    }
}
