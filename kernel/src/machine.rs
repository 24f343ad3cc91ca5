//! What kind of machine this is, by CPUID.

use core::arch::x86_64::__cpuid;

/// Leaf 1, ECX: a hypervisor is present.
const HYPERVISOR: u32 = 1 << 31;

/// The hypervisor's twelve-character signature, or zeros on bare hardware.
fn signature() -> [u8; 12] {
    let mut text = [0; 12];
    if __cpuid(1).ecx & HYPERVISOR != 0 {
        let leaf = __cpuid(0x4000_0000);
        for (slot, register) in text.chunks_exact_mut(4).zip([leaf.ebx, leaf.ecx, leaf.edx]) {
            slot.copy_from_slice(&register.to_le_bytes());
        }
    }
    text
}

/// Whether instructions are translated (QEMU without KVM), not run.
pub fn is_emulated() -> bool {
    signature() == *b"TCGTCGTCGTCG"
}

/// Whether KVM runs the machine.
pub fn is_kvm() -> bool {
    signature() == *b"KVMKVMKVM\0\0\0"
}
