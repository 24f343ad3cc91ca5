//! The hypervisor that runs this processor, by CPUID, and the processor's memory types.

use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicU8, Ordering};
use x86_64::registers::model_specific::Msr;

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

/// Whether instructions are translated (QEMU without KVM). CPUID is read once: each read may be an
/// exit from the virtual machine.
pub fn is_emulated() -> bool {
    /// 0 before the first call, then 1 for false and 2 for true. Any processor may store it.
    static ANSWER: AtomicU8 = AtomicU8::new(0);
    match ANSWER.load(Ordering::Relaxed) {
        0 => {
            let emulated = signature() == *b"TCGTCGTCGTCG";
            ANSWER.store(1 + u8::from(emulated), Ordering::Relaxed);
            emulated
        }
        answer => answer == 2,
    }
}

/// Whether KVM runs the machine.
pub fn is_kvm() -> bool {
    signature() == *b"KVMKVMKVM\0\0\0"
}

/// Bits of a physical address, at most 52 (Intel SDM volume 3, 4.1.4). In a page table entry those
/// above are reserved. Reads CPUID, which may be an exit from the virtual machine.
pub fn physical_address_bits() -> u32 {
    (__cpuid(0x8000_0008).eax & 0xff).min(52)
}

/// Makes page table entries with only `paging::WRITE_COMBINING` mean that, from now on (Intel SDM
/// volume 3, 13.12; every 64-bit processor supports it). Before, they mean write-through, which
/// nothing uses.
pub fn enable_write_combining() {
    const PAGE_ATTRIBUTES: Msr = Msr::new(0x277);
    const COMBINING: u64 = 1;
    let mut table = PAGE_ATTRIBUTES;
    // SAFETY: the memory type of no existing mapping changes.
    unsafe {
        let types = table.read();
        table.write(types & !0xff00 | COMBINING << 8);
    }
}
