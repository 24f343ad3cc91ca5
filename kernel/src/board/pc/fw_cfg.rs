//! QEMU's device for firmware, on ports. Its machines are recognised by it: no other monitor has it,
//! and what a port without a device reads as says nothing (Firecracker: zeros since 1.16, before
//! the last access's byte). Source: QEMU's docs/specs/fw_cfg.rst.

use alloc::vec::Vec;
use firmware::fw_cfg::{self, Registers};
use x86_64::instructions::port::Port;

const SELECT: u16 = 0x510;
const DATA: u16 = 0x511;

/// The ports, of the device or of none.
struct Ports;

impl Registers for Ports {
    fn select(&mut self, item: u16) {
        // SAFETY: the port belongs to the device, or to none.
        unsafe { Port::new(SELECT).write(item) };
    }

    fn read(&mut self, to: &mut [u8]) {
        // One instruction, which under KVM leaves the machine once per page instead of per byte.
        // SAFETY: the port belongs to the device, or to none; the bytes are `to`'s.
        unsafe {
            core::arch::asm!(
                "rep insb",
                in("dx") DATA,
                inout("rdi") to.as_mut_ptr() => _,
                inout("rcx") to.len() => _,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Whether QEMU is the monitor, whatever runs the processor. Some accesses to ports.
pub fn is_qemu() -> bool {
    fw_cfg::exists(&mut Ports)
}

/// The contents of a file; see [`fw_cfg::file`]. One caller at a time.
pub fn file(name: &[u8], max: usize) -> Option<Vec<u8>> {
    fw_cfg::file(&mut Ports, name, max)
}

/// The item with the number of processors.
const PROCESSORS: u16 = 5;

/// The number of processors; `None` elsewhere than in QEMU, whose `microvm` has it without tables,
/// too.
pub fn processors() -> Option<usize> {
    let count = fw_cfg::item(&mut Ports, PROCESSORS)?;
    Some(u16::from_le_bytes(count).into()).filter(|count| *count != 0)
}
