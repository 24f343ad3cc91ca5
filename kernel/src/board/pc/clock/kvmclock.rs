//! kvmclock: the host writes the page of [`crate::clock`], and one for each other processor, which
//! may differ from it. Source: Linux's Documentation/virt/kvm/x86/msr.rst.

use crate::arch::{counter, cpu, local};
use crate::clock::{NS, PAGE, Page};
use core::sync::atomic::{AtomicU32, Ordering};
use x86_64::registers::model_specific::Msr;

/// A feature: the clock's new MSRs.
const NEW_CLOCK: u32 = 1 << 3;
const KVM_SYSTEM_TIME: u32 = 0x4b56_4d01;
const KVM_WALL_CLOCK: u32 = 0x4b56_4d00;

/// Lets the host write [`PAGE`]; false unless the host is KVM.
pub fn start() -> bool {
    if cpu::kvm_features().eax & NEW_CLOCK == 0 {
        return false;
    }
    enable(&PAGE);
    true
}

/// The pages of the processors from the second on. Written by the host.
static PAGES: [Page; local::MAX - 1] = [const { Page::new() }; local::MAX - 1];

/// The page of the processor that runs.
pub fn own() -> &'static Page {
    let other = usize::from(local::get().number()).checked_sub(1);
    other.and_then(|index| PAGES.get(index)).unwrap_or(&PAGE)
}

/// Lets the host write the page of the processor that runs, after [`start`].
pub fn start_own() {
    enable(own());
}

fn enable(page: &'static Page) {
    // SAFETY: KVM has the MSR; the page is static, at its physical address, and made of atomics.
    unsafe { Msr::new(KVM_SYSTEM_TIME).write((&raw const *page) as u64 | 1) };
}

/// Nanoseconds since 1970 from the host (`struct pvclock_wall_clock`: wall time at the start of the
/// clock, plus the time since), after [`start`]. `None` if it has none. An exit from the virtual
/// machine; with interrupts disabled, as there is one buffer.
pub fn wall_ns() -> Option<u64> {
    static WALL: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
    // SAFETY: as for the system time; the host writes the words before the instruction ends.
    unsafe { Msr::new(KVM_WALL_CLOCK).write((&raw const WALL) as u64) };
    // Acquire: after the exit, in which the host wrote.
    let words = WALL.each_ref();
    let [_, seconds, ns] = words.map(|word| u64::from(word.load(Ordering::Acquire)));
    (seconds != 0).then(|| seconds * NS + ns + own().read(counter::counter))
}
