//! The hypervisor that runs this processor, by CPUID, and the processor's memory types.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::arch::x86_64::__cpuid;
use core::fmt::Arguments;
use core::sync::atomic::{AtomicU8, Ordering, fence};
use x86_64::registers::model_specific::Msr;

/// The processor's name, as `uname` has it.
macro_rules! name {
    () => {
        "x86_64"
    };
}
pub(crate) use name;

/// The features for the auxiliary vector (AT_HWCAP): programs ask CPUID.
#[inline(always)]
pub fn features() -> u64 {
    0
}

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

/// How often to look at memory that a device writes before the clock is read again.
pub const LOOKS_PER_TIME: u32 = 1;

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

/// Orders all accesses of memory before it, for devices as well, before all after it.
pub fn barrier() {
    // SeqCst: `mfence`; the processor delays nothing else than stores.
    fence(Ordering::SeqCst);
    if is_emulated() {
        // QEMU before 8.0 translates no fence for a machine of one processor, although its devices
        // run concurrently: a doorbell or an interrupt is lost once in some thousand transfers, and
        // the device stalls. The translated code ends where flags are loaded, and the loop that
        // runs it has a barrier of the host's. SAFETY: loads the flags that were just stored; the
        // stack pointer is restored.
        unsafe { core::arch::asm!("pushfq", "popfq") };
    }
}

/// The stack pointer.
#[inline(always)]
pub fn stack_pointer() -> u64 {
    let stack: u64;
    // SAFETY: reads the stack pointer.
    unsafe { core::arch::asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack)) };
    stack
}

/// Whether these bytes of code end with a call: `e8 rel32`, or `ff /2` with its forms of operand.
pub fn ends_with_call(before: &[u8; 8]) -> bool {
    let is_indirect = |at: usize| before[at] == 0xff && before[at + 1] & 0x38 == 0x10;
    before[3] == 0xe8 || [6, 5, 4, 2, 1].into_iter().any(is_indirect)
}

/// Calls `line` with the lines that describe the processor in Linux's `/proc/cpuinfo`, after the
/// first. Allocates; reads CPUID, each time perhaps an exit from the virtual machine.
pub fn information(line: &mut dyn FnMut(Arguments)) {
    let text = |words: &[u32]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let text = String::from_utf8_lossy(&bytes);
        text.trim_matches(['\0', ' ']).to_string()
    };
    let first = __cpuid(0);
    let vendor = text(&[first.ebx, first.edx, first.ecx]);
    let signature = __cpuid(1).eax;
    let family = (signature >> 8 & 15) + (signature >> 20 & 255);
    let model = signature >> 4 & 15 | signature >> 12 & 0xf0;
    let name = match __cpuid(0x8000_0000).eax {
        0x8000_0004.. => {
            let parts = [0x8000_0002, 0x8000_0003, 0x8000_0004].map(__cpuid);
            let words = parts.map(|part| [part.eax, part.ebx, part.ecx, part.edx]);
            text(words.as_flattened())
        }
        _ => vendor.clone(),
    };
    line(format_args!(
        "vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: {name}\n\
         stepping\t: {}\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1",
        signature & 15
    ));
}
