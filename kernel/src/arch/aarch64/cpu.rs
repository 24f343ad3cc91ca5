//! The processor's kind and properties.

pub use super::features::{ends_with_call, is_translated};

use alloc::string::String;
use core::arch::asm;
use core::fmt::Arguments;
use core::sync::atomic::{AtomicBool, Ordering};

/// The processor's name, as `uname` has it.
pub const NAME: &str = "aarch64";

/// How often to read memory that a device writes before the clock is read again: QEMU reads the
/// counter under the lock that the devices need for their work.
pub const POLLS_PER_TIME: u32 = 16;

/// See [`is_emulated`]. Written once, at boot.
static EMULATED: AtomicBool = AtomicBool::new(false);

/// Whether instructions are translated (QEMU without KVM or HVF). No register says so: the machine
/// does, at boot.
pub fn is_emulated() -> bool {
    EMULATED.load(Ordering::Relaxed)
}

/// Sets what [`is_emulated`] returns.
pub fn set_emulated(emulated: bool) {
    EMULATED.store(emulated, Ordering::Relaxed);
}

/// The processor's implementer, part and revision: MIDR_EL1.
pub fn kind() -> u64 {
    let kind;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, midr_el1", out(reg) kind, options(nomem, nostack)) };
    kind
}

/// Calls `line` with what `/proc/cpuinfo` says about the processor after its number, as lines
/// (`arch/arm64/kernel/cpuinfo.c`).
pub fn information(line: &mut dyn FnMut(Arguments)) {
    /// The names of the features from bit 0 on.
    const NAMES: [&str; 9] = [
        "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics",
    ];
    let kind = kind();
    let features = features();
    let mut names = String::new();
    for (bit, name) in NAMES.into_iter().enumerate() {
        if features >> bit & 1 != 0 {
            names.push(' ');
            names.push_str(name);
        }
    }
    // Linux's value of a loop that the counter times: twice its rate in MHz.
    let rate = 2 * super::counter::hz() / 10_000;
    line(format_args!(
        "BogoMIPS\t: {}.{:02}\nFeatures\t:{names}\nCPU implementer\t: {:#04x}\n\
         CPU architecture: 8\nCPU variant\t: {:#x}\nCPU part\t: {:#05x}\nCPU revision\t: {}",
        rate / 100,
        rate % 100,
        kind >> 24 & 0xff,
        kind >> 20 & 15,
        kind >> 4 & 0xfff,
        kind & 15
    ));
}

/// Bits of a physical address, at most 48: page tables of 4 KiB pages have no more
/// (ID_AA64MMFR0_EL1.PARange).
pub fn physical_address_bits() -> u32 {
    const BITS: [u32; 6] = [32, 36, 40, 42, 44, 48];
    let features: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, id_aa64mmfr0_el1", out(reg) features, options(nomem, nostack)) };
    BITS.get(features as usize & 15).copied().unwrap_or(48)
}

/// Nothing: page table entries name their memory type.
pub fn enable_write_combining() {}

/// Orders all memory accesses before it with all after it, as devices see them.
pub fn barrier() {
    // SAFETY: orders accesses.
    unsafe { asm!("dmb sy", options(nostack)) };
}

/// The stack pointer.
#[inline(always)]
pub fn stack_pointer() -> u64 {
    let pointer;
    // SAFETY: reads the register.
    unsafe { asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack)) };
    pointer
}

/// Features of the processor for the auxiliary vector, as Linux numbers them
/// (`asm/hwcap.h`): floating point, vectors, AES, SHA, CRC-32 and
/// large atomics.
pub fn features() -> u64 {
    let (registers, units): (u64, u64);
    // SAFETY: reads identification registers.
    unsafe {
        asm!("mrs {}, id_aa64isar0_el1", out(reg) registers, options(nomem, nostack));
        asm!("mrs {}, id_aa64pfr0_el1", out(reg) units, options(nomem, nostack));
    }
    super::features::hwcap(registers, units)
}
