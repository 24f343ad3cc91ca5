//! QEMU's device for firmware, by which its machines are recognised: no other monitor has it, and
//! what a port without a device reads as says nothing (Firecracker: zeros since 1.16, before the
//! last access's byte). Source: QEMU's docs/specs/fw_cfg.rst.

use x86_64::instructions::port::Port;

const SELECT: u16 = 0x510;
const DATA: u16 = 0x511;
const SIGNATURE: u16 = 0;
#[cfg_attr(test, allow(dead_code, reason = "tests start no processor"))]
const PROCESSORS: u16 = 5;

fn read<const N: usize>(item: u16) -> [u8; N] {
    // SAFETY: the ports select and read an item of the device, or belong to none.
    unsafe { Port::new(SELECT).write(item) };
    // SAFETY: likewise.
    [(); N].map(|()| unsafe { Port::new(DATA).read() })
}

/// Whether QEMU is the monitor, whatever runs the processor. Some accesses to ports.
pub fn is_qemu() -> bool {
    read(SIGNATURE) == *b"QEMU"
}

/// The number of processors; `None` elsewhere than in QEMU, whose `microvm` has it without tables,
/// too.
#[cfg_attr(test, allow(dead_code, reason = "tests start no processor"))]
pub fn processors() -> Option<usize> {
    if !is_qemu() {
        return None;
    }
    let count: usize = u16::from_le_bytes(read(PROCESSORS)).into();
    (count != 0).then_some(count)
}
