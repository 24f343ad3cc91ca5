//! The upper halves of the YMM registers (Intel SDM volume 1, chapter 13).
//!
//! Programs use AVX on processors that have it with XSAVE. The kernel's code is compiled for the
//! baseline, whose instructions keep the upper halves. So only a switch of threads has to save
//! them, and a tick, whose parts may call functions that use AVX (ring's, ChaCha20's). Functions
//! that make system calls expect them to be lost (System V ABI, 3.2.3).

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicBool, Ordering};
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

/// CPUID leaf 1, ECX: XSAVE and AVX.
const XSAVE_AND_AVX: u32 = 1 << 26 | 1 << 28;
/// CPUID leaf 0xd, subleaf 1, EAX: XGETBV of the state in use.
const STATE_IN_USE: u32 = 1 << 2;
/// The component in XCR0 and in the masks of XSAVE.
const UPPER: u32 = 1 << 2;
/// Bytes of the area of XSAVE for x87, SSE and AVX: of the old form, the header, the upper halves.
pub const AREA: usize = 512 + 64 + 256;

/// Programs may use AVX. Set while one processor runs; assembly reads it.
pub static ENABLED: AtomicBool = AtomicBool::new(false);

/// Decides whether programs may use AVX, by the first processor.
pub fn find() {
    ENABLED.store(is_present(), Ordering::Relaxed);
}

/// Enables AVX on the running processor if programs may use it.
pub fn enable() {
    if ENABLED.load(Ordering::Relaxed) {
        // SAFETY: CPUID reports these features; nothing has used them.
        unsafe {
            Cr4::write_raw(Cr4::read_raw() | Cr4Flags::OSXSAVE.bits());
            XCr0::write_raw((XCr0Flags::X87 | XCr0Flags::SSE | XCr0Flags::AVX).bits());
        }
    }
}

fn is_present() -> bool {
    // XSAVE implies the leaf 0xd.
    __cpuid(1).ecx & XSAVE_AND_AVX == XSAVE_AND_AVX && __cpuid_count(0xd, 1).eax & STATE_IN_USE != 0
}

/// Whether an upper half isn't zero.
fn is_in_use() -> bool {
    if !ENABLED.load(Ordering::Relaxed) {
        return false;
    }
    let states: u32;
    // SAFETY: reads XCR0 masked by the components in use, as `is_present` allows.
    unsafe {
        asm!("xgetbv", in("ecx") 1, out("eax") states, out("edx") _,
            options(nomem, nostack, preserves_flags));
    }
    states & UPPER != 0
}

/// Runs `f`, which may use AVX or run other threads, and then restores the upper halves.
#[inline(never)]
pub fn preserving(f: &mut dyn FnMut()) {
    if is_in_use() {
        return preserving_in_memory(f);
    }
    f();
    if is_in_use() {
        // SAFETY: sets the upper halves to zero, their value before.
        unsafe { asm!("vzeroupper", options(nomem, nostack, preserves_flags)) };
    }
}

/// The area of XSAVE.
#[repr(C, align(64))]
struct Area([u8; AREA]);

#[cold]
fn preserving_in_memory(f: &mut dyn FnMut()) {
    // Zeros: XRSTOR requires them in the header.
    let mut area = Area([0; AREA]);
    // SAFETY: stores to the area, aligned and as long as these components need.
    unsafe {
        asm!("xsave64 [{}]", in(reg) &raw mut area, in("eax") UPPER, in("edx") 0,
            options(nostack, preserves_flags));
    }
    f();
    // SAFETY: loads the component, and MXCSR, as they were stored.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) &raw const area, in("eax") UPPER, in("edx") 0,
            options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets the upper half of YMM7.
    fn set(value: u128) {
        // SAFETY: the processor has AVX.
        unsafe {
            asm!("vinsertf128 ymm7, ymm7, [{}], 1", in(reg) &raw const value, out("xmm7") _,
                options(nostack));
        }
    }

    fn get() -> u128 {
        let mut value = 0u128;
        // SAFETY: as for `set`.
        unsafe {
            asm!("vextractf128 [{}], ymm7, 1", in(reg) &raw mut value, options(nostack));
        }
        value
    }

    #[test]
    fn upper_halves_survive_others_use() {
        if !is_present() || __cpuid(1).ecx & 1 << 27 == 0 {
            return;
        }
        ENABLED.store(true, Ordering::Relaxed);
        for value in [0, 1 << 127 | 5] {
            set(value);
            preserving(&mut || set(7));
            assert_eq!(get(), value);
        }
        set(0);
    }
}
