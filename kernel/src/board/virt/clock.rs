//! The time: the virtual counter, whose rate firmware gives, and a PL031 for the time of day (Arm
//! DDI 0224).

use super::registers::Registers;
use super::{handover, seed};
use crate::arch::counter;
use crate::clock::{Agreement, NS, PAGE, Page, Rate, TimeOfDay};
use crate::memory;
use core::sync::atomic::{AtomicBool, Ordering};

/// Whether [`begin`] was called. Written by it, last.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// The real-time clock, once it was searched for.
static RTC: Registers = Registers::none();

/// Nothing: the counter runs.
pub fn set_up() {}

/// Whether [`begin`] was called.
pub fn has_begun() -> bool {
    // Acquire: pairs with the store in `begin`, after which the page is valid.
    BEGUN.load(Ordering::Acquire)
}

/// Starts the clock of [`PAGE`], which is 0 when the counter is `start`. Returns false if firmware
/// gives no rate, which is taken for 1 GHz. With interrupts disabled.
pub fn begin(start: u64) -> bool {
    let hz = counter::hz();
    PAGE.write(start, 0, Rate::new(if hz == 0 { NS } else { hz }, NS));
    // Release: the page, for `has_begun`.
    BEGUN.store(true, Ordering::Release);
    hz != 0
}

/// Whether [`compare`] is due: never. Reads no counter, which is costly in QEMU.
pub fn is_comparison_due() -> bool {
    false
}

/// Whether the host writes the page: it doesn't.
pub fn is_by_host() -> bool {
    false
}

/// The page of the processor that runs: the counter is the system's.
pub fn own_page() -> &'static Page {
    &PAGE
}

/// Nothing: the counter is the system's.
pub fn start_own() {}

/// Whether the counters of all processors are equal: they are the system's.
pub fn agreement() -> Agreement {
    Agreement::Promised
}

/// By how much the host's clock is ahead of the counter: it is the only clock.
pub fn ahead_ns() -> Option<i64> {
    None
}

/// The counter at which a host based its clock: there is no such clock.
pub fn based_at() -> Option<u64> {
    None
}

/// Nothing: the counter is the only clock.
pub fn compare() {}

/// The time of day by the real-time clock, or by Soil's loader, which read firmware's at boot, both
/// with a resolution of a second; `None` if there is neither. With interrupts disabled.
pub fn time_of_day() -> Option<TimeOfDay> {
    Some(TimeOfDay::of_seconds(wall_ns()?, 0))
}

fn wall_ns() -> Option<u64> {
    const DATA: usize = 0;
    const LEN: usize = 0x1000;
    if !RTC.exist() {
        let tree = handover::tree()?;
        let Some(node) = tree.compatible(&["arm,pl031"]) else {
            let chosen = tree.nodes().find(|node| node.base_name() == b"chosen")?;
            let at_boot = chosen.number("soil,time")?.checked_mul(NS)?;
            return at_boot.checked_add(PAGE.read(counter::counter));
        };
        let (address, _) = node.registers().next()?;
        // SAFETY: the tree says that the device is there; just mapped, for good.
        unsafe { RTC.set(memory::map_device(address, LEN)?) };
    }
    Some(u64::from(RTC.read::<u32>(DATA)) * NS)
}

/// Numbers that differ from boot to boot, for those who have no better ones: the bytes of the
/// loader's number for this, and the counter, at a time that depends on the host.
pub fn noise(index: u8) -> u64 {
    counter::counter() ^ seed::layout() >> (index % 8 * 8)
}
