//! The clocks of a PC: the rate of the time stamp counter, and the time of day.
//!
//! Boot measures only one pair of readings. The first read of the time finds the counter's rate:
//! from kvmclock's page under KVM, from CPUID where that reports it, else by comparison with
//! another clock (`calibration.rs`). That clock is the local APIC's timer under KVM and QEMU, whose
//! bus clock is 1 GHz by definition and which has been counting since boot, so that nothing has to
//! wait; on other machines it is the PIT, without one ACPI's power management timer, and the APIC's
//! timer again where both are missing in a QEMU that hides KVM. From then on `ClockDiscipline`
//! compares with the PIT, whose channel 2 costs nothing between comparisons; without a PIT the rate
//! stays.
//!
//! Source: Linux's Documentation/virt/kvm/x86/msr.rst; Intel SDM volume 3, chapter 20.7.3; Intel
//! 8254 and MC146818 data sheets.

mod calibration;
mod discipline;
mod kvmclock;
mod pit;
mod rtc;

pub use calibration::note_bus as set_up;

use crate::arch::counter::{self, counter};
use crate::arch::cpu;
use crate::cell::{ExclusiveCell, rank};
use crate::clock::{Agreement, NS, PAGE, Page, TimeOfDay, scaled};
use calibration::{Scale, VIRTUAL_BUS_HZ};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use discipline::{ClockDiscipline, Reading};

/// The APIC's bus clock in Hz; 0 before [`begin`], which writes it last.
static BUS_HZ: AtomicU64 = AtomicU64::new(0);
/// Whether the host writes [`PAGE`]. Written once, before [`BUS_HZ`].
static KVM: AtomicBool = AtomicBool::new(false);
/// The state of the comparisons; used with interrupts disabled.
static DISCIPLINE: ExclusiveCell<Option<ClockDiscipline>, rank::Clock> = ExclusiveCell::new(None);
/// The counter when the next comparison is due. Written with [`DISCIPLINE`].
static COMPARE_AT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Whether [`begin`] was called.
pub fn has_begun() -> bool {
    // Acquire: pairs with the store in `begin`, after which the page and the others are valid.
    BUS_HZ.load(Ordering::Acquire) != 0
}

/// Starts the clock of [`PAGE`], which is 0 when the counter is `start`. Returns false if the
/// counter's rate can't be found, and is taken for 1 GHz. Takes a few milliseconds on some
/// machines. With interrupts disabled.
pub fn begin(start: u64) -> bool {
    let mut is_known = true;
    let bus_hz = if kvmclock::start() {
        KVM.store(true, Ordering::Relaxed);
        VIRTUAL_BUS_HZ
    } else {
        pit::start();
        let scale = Scale::find().unwrap_or_else(|| {
            is_known = false;
            Scale::from_hz(NS, NS)
        });
        PAGE.write(start, 0, scale.rate);
        let first = Reading::take(&counter, &pit::count);
        let ns = PAGE.read(|| first.ticks);
        let discipline = ClockDiscipline::new(first, ns, scale.rate);
        COMPARE_AT.store(discipline.due(), Ordering::Relaxed);
        DISCIPLINE.with(|place| *place = Some(discipline));
        scale.bus_hz
    };
    // Release: the page, and which clock it is, for `has_begun`.
    BUS_HZ.store(bus_hz.max(1), Ordering::Release);
    is_known
}

/// Whether [`compare`] is due.
pub fn is_comparison_due() -> bool {
    counter() >= COMPARE_AT.load(Ordering::Relaxed)
}

/// Whether the host writes [`PAGE`], and one for each other processor. After [`begin`].
pub fn is_by_host() -> bool {
    KVM.load(Ordering::Relaxed)
}

/// The page of the processor that runs: its thread mustn't move to another one before it has read
/// the counter. After [`begin`].
pub fn own_page() -> &'static Page {
    match is_by_host() {
        true => kvmclock::own(),
        false => &PAGE,
    }
}

/// Starts the clock of a processor other than the first, after [`begin`].
pub fn start_own() {
    if is_by_host() {
        kvmclock::start_own();
    }
}

/// Whether somebody promises that the counters of all processors are equal, what a comparison of
/// them shows, or nobody.
pub fn agreement() -> Agreement {
    if KVM.load(Ordering::Relaxed) || cpu::is_emulated() {
        Agreement::Promised
    } else if counter::is_invariant() {
        Agreement::Compare
    } else {
        Agreement::None
    }
}

/// By how much the host's clock is ahead of the counter, in nanoseconds: constant but for
/// corrections, unless the machine goes on from a snapshot. `None` where no host writes the page.
pub fn ahead_ns() -> Option<i64> {
    KVM.load(Ordering::Relaxed).then(|| PAGE.ahead_ns())
}

/// The counter at which the host last based its clock; see [`crate::clock::Page::based_at`]. `None`
/// where no host writes the page.
pub fn based_at() -> Option<u64> {
    let by_host = KVM.load(Ordering::Relaxed).then(|| PAGE.based_at());
    by_host.flatten()
}

/// Compares the clock with the PIT and corrects its rate, unless another processor just has. With
/// interrupts disabled.
pub fn compare() {
    DISCIPLINE.with(|discipline| {
        if let Some(discipline) = discipline.as_mut().filter(|_| is_comparison_due()) {
            let now = Reading::take(&counter, &pit::count);
            let shown = PAGE.read(|| now.ticks);
            if let Some(rate) = discipline.compare(now, shown) {
                PAGE.write(now.ticks, shown, rate);
            }
            COMPARE_AT.store(discipline.due(), Ordering::Relaxed);
        }
    });
}

/// The time of day by the host, or by the real-time clock; `None` if the machine has neither.
/// Expensive: many accesses to ports. With interrupts disabled.
pub fn time_of_day() -> Option<TimeOfDay> {
    let by_host = KVM.load(Ordering::Relaxed).then(kvmclock::wall_ns);
    let exact = by_host.flatten().map(|ns| TimeOfDay { ns, is_exact: true });
    // QEMU's counts from the beginning of the second in which QEMU was started
    // (`rtc_set_date_from_host` in hw/rtc/mc146818rtc.c): it is late by half a second in the mean.
    let lag = if cpu::is_emulated() { NS / 2 } else { 0 };
    exact.or_else(|| rtc::read_ns().map(|shown| TimeOfDay::of_seconds(shown, lag)))
}

/// The date's digits: numbers that differ from boot to boot, for those who have no better ones.
pub fn noise(index: u8) -> u64 {
    u64::from(rtc::register(index))
}

/// The APIC's bus clocks in `ns`; 0 before [`begin`].
pub(super) fn bus_clocks(ns: u64) -> u64 {
    scaled(ns, BUS_HZ.load(Ordering::Relaxed), NS)
}
