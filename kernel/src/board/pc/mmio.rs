//! Devices of virtio-mmio that ACPI names.

use crate::firmware;

/// Calls `visit` with each: physical address, length, interrupt line.
pub fn each(visit: &mut dyn FnMut(u64, usize, u32)) {
    for device in &firmware::acpi().virtio_mmio {
        visit(device.address, device.len as usize, device.gsi);
    }
}
