//! kvmclock: the host writes the page of [`crate::clock`]. Source: Linux's
//! Documentation/virt/kvm/x86/msr.rst.

use crate::arch::{counter, cpu};
use crate::clock::{NS, PAGE};
use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicU32, Ordering};
use x86_64::registers::model_specific::Msr;

/// KVM's second leaf, of features; bit 3: the clock's new MSRs.
const FEATURES: u32 = 1;
const NEW_CLOCK: u32 = 1 << 3;
const KVM_SYSTEM_TIME: u32 = 0x4b56_4d01;
const KVM_WALL_CLOCK: u32 = 0x4b56_4d00;

/// Lets the host write [`PAGE`]; false unless the host is KVM.
pub fn start() -> bool {
    let features = cpu::kvm().map_or(0, |first| __cpuid(first + FEATURES).eax);
    if features & NEW_CLOCK == 0 {
        return false;
    }
    // SAFETY: KVM has the MSR; the page is static, at its physical address, and made of atomics.
    unsafe { Msr::new(KVM_SYSTEM_TIME).write((&raw const PAGE) as u64 | 1) };
    true
}

/// Nanoseconds since 1970 from the host (`struct pvclock_wall_clock`: wall time at the start of the
/// clock, plus the time since), after [`start`]. `None` if it has none. An exit from the virtual
/// machine; with interrupts disabled, as there is one buffer.
pub fn wall_ns() -> Option<u64> {
    static WALL: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
    // SAFETY: as for the system time; the host writes the words before the instruction ends.
    unsafe { Msr::new(KVM_WALL_CLOCK).write((&raw const WALL) as u64) };
    // Acquire: after the exit, in which the host wrote.
    let [_, seconds, ns] = [0, 1, 2].map(|i| u64::from(WALL[i].load(Ordering::Acquire)));
    (seconds != 0).then(|| seconds * NS + ns + PAGE.read(counter::counter))
}
