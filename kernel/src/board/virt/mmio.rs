//! The virtio-mmio devices that the tree lists.

use super::handover;
use super::irq::line_of;
use firmware::fdt::Node;

/// The line of a device that the command line names.
pub fn named_line(irq: u32) -> u32 {
    irq
}

/// Calls `visit` with each: physical address, length, interrupt line.
pub fn each(visit: &mut dyn FnMut(u64, usize, u32)) {
    let Some(tree) = handover::tree() else {
        return;
    };
    let is_device = |node: &Node<'_>| node.is_compatible("virtio,mmio") && node.is_enabled();
    for node in tree.nodes().filter(is_device) {
        if let (Some((address, len)), Some(line)) = (node.registers().next(), node.interrupt(0)) {
            visit(address, usize::try_from(len).unwrap_or(0), line_of(line));
        }
    }
}
