//! The hypervisor that runs this processor, by CPUID, and the processor's memory types.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::arch::x86_64::{__cpuid, CpuidResult};
use core::fmt::Arguments;
use core::ops::Range;
use core::sync::atomic::{AtomicU8, Ordering, fence};
use x86_64::registers::model_specific::Msr;

/// The processor's name, as `uname` has it.
pub const NAME: &str = "x86_64";

/// The features for the auxiliary vector (AT_HWCAP): programs ask CPUID.
#[inline(always)]
pub fn features() -> u64 {
    0
}

/// Leaf 1, ECX: a hypervisor is present.
const HYPERVISOR: u32 = 1 << 31;

/// The leaves of hypervisors, and the distance of one hypervisor's from the next one's (Linux:
/// `cpuid_base_hypervisor`). KVM's aren't the first where it has those of Hyper-V, too.
const HYPERVISORS: Range<u32> = 0x4000_0000..0x4001_0000;
const NEXT_HYPERVISOR: usize = 0x100;

/// The first leaf, of these, of the hypervisor with this signature, by the processor's `cpuid`;
/// `None` under another one, and on bare hardware. Each read may be an exit from the virtual
/// machine.
fn hypervisor(
    leaves: Range<u32>,
    signature: &[u8; 12],
    cpuid: impl Fn(u32) -> CpuidResult,
) -> Option<u32> {
    if cpuid(1).ecx & HYPERVISOR == 0 {
        return None;
    }
    leaves.step_by(NEXT_HYPERVISOR).find(|number| {
        let leaf = cpuid(*number);
        let text = [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes);
        text.as_flattened() == signature
    })
}

/// How often to read memory that a device writes before the clock is read again.
pub const POLLS_PER_TIME: u32 = 1;

/// Whether instructions are translated (QEMU without KVM). CPUID is read once.
pub fn is_emulated() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| {
        let first = HYPERVISORS.start..HYPERVISORS.start + 1;
        hypervisor(first, b"TCGTCGTCGTCG", __cpuid).is_some()
    })
}

/// An answer that takes reads of CPUID, each perhaps an exit from the virtual machine: 0 before the
/// first, then 1 for false and 2 for true. Any processor may store it.
pub(super) struct Answer(AtomicU8);

impl Answer {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// The answer, which `find` finds the first time.
    pub(super) fn get(&self, find: fn() -> bool) -> bool {
        match self.0.load(Ordering::Relaxed) {
            0 => {
                let found = find();
                self.0.store(1 + u8::from(found), Ordering::Relaxed);
                found
            }
            answer => answer == 2,
        }
    }
}

/// Whether a hypervisor says that it runs the machine. Reads CPUID.
pub fn is_virtual() -> bool {
    __cpuid(1).ecx & HYPERVISOR != 0
}

/// The first of KVM's leaves; `None` unless KVM runs the machine, and says so. Reads CPUID.
pub fn kvm() -> Option<u32> {
    hypervisor(HYPERVISORS, b"KVMKVMKVM\0\0\0", __cpuid)
}

/// KVM's features, in EAX, and hints, in EDX; zeros under another hypervisor. Reads CPUID.
pub fn kvm_features() -> CpuidResult {
    const FEATURES: u32 = 1;
    let none = CpuidResult {
        eax: 0,
        ebx: 0,
        ecx: 0,
        edx: 0,
    };
    kvm().map_or(none, |first| __cpuid(first + FEATURES))
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

#[cfg(test)]
mod tests {
    use super::{CpuidResult, HYPERVISORS, hypervisor};

    /// The first leaf of KVM where the hypervisors have these leaves, with these signatures.
    fn kvm(bit: u32, hypervisors: &[(u32, &[u8; 12])]) -> Option<u32> {
        let signature = |number| {
            let found = hypervisors.iter().find(|(leaf, _)| *leaf == number);
            found.map_or([0; 12], |(_, signature)| **signature)
        };
        hypervisor(HYPERVISORS, b"KVMKVMKVM\0\0\0", |number| {
            let text = signature(number);
            let word = |at: usize| u32::from_le_bytes(text[at..at + 4].try_into().unwrap());
            let (ebx, edx) = (word(0), word(8));
            let ecx = if number == 1 { bit << 31 } else { word(4) };
            CpuidResult {
                eax: 0,
                ebx,
                ecx,
                edx,
            }
        })
    }

    #[test]
    fn kvm_is_found_behind_others() {
        let (kvm_text, hyperv) = (b"KVMKVMKVM\0\0\0", b"Microsoft Hv");
        assert_eq!(kvm(1, &[(0x4000_0000, kvm_text)]), Some(0x4000_0000));
        let both = [(0x4000_0000, hyperv), (0x4000_0100, kvm_text)];
        assert_eq!(kvm(1, &both), Some(0x4000_0100));
        assert_eq!(kvm(1, &[(0x4000_ff00, kvm_text)]), Some(0x4000_ff00));
        assert_eq!(kvm(1, &[(0x4000_0000, hyperv)]), None);
        assert_eq!(kvm(1, &[(0x4000_0010, kvm_text)]), None);
        // On bare hardware the leaves have the data of another one.
        assert_eq!(kvm(0, &both), None);
    }
}
