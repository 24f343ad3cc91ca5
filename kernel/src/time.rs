//! Clocks: monotonic from the time stamp counter, wall time from kvmclock or the real-time clock.
//!
//! Boot measures only one pair of readings. The first read of the time finds the counter's rate:
//! from kvmclock's page under KVM, from CPUID where that reports it (`tsc.rs`), else by comparison
//! with another clock (`calibration.rs`). That clock is the local APIC's timer under KVM and QEMU,
//! whose bus clock is 1 GHz by definition and which has been counting since boot, so that nothing
//! has to wait; on other machines it is the PIT, and ACPI's power management timer without one.
//! From then on `ClockDiscipline` compares with the PIT, whose channel 2 costs nothing between
//! comparisons; without a PIT the rate stays. A VMClock gives the wall time before the real-time
//! clock if it can, and steps it after a disruption.
//!
//! Source: Linux's Documentation/virt/kvm/x86/msr.rst; Intel SDM volume 3, chapter 20.7.3; Intel
//! 8254 and MC146818 data sheets.
//!
//! The clocks may be read from every context except a second processor: by tasks, ticks and
//! interrupts. A change of the page, and a comparison, happens with interrupts disabled.

mod calibration;
mod discipline;

pub use crate::arch::tsc::counter;
pub use calibration::note_bus;

use crate::arch::interrupts::without_interrupts;
use crate::arch::pvclock::{self, NS, PAGE, scaled};
use crate::arch::{pit, rtc, tsc};
use crate::cell::ExclusiveCell;
use crate::console;
use crate::firmware::vmclock;
use calibration::{Scale, VIRTUAL_BUS_HZ};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use discipline::{ClockDiscipline, Reading};

/// The APIC's bus clock in Hz; 0 before the first read of the time. Written once.
static BUS_HZ: AtomicU64 = AtomicU64::new(0);
/// Whether the host writes [`PAGE`]. Written once, before [`BUS_HZ`].
static KVM: AtomicBool = AtomicBool::new(false);
/// Wall time at monotonic time 0; `u64::MAX` before the first read. Changed by [`adjust_wall`].
static WALL_BASE: AtomicU64 = AtomicU64::new(u64::MAX);

/// The same by the machine's own clock, when it was read last; `u64::MAX` if it wasn't.
static MACHINE_BASE: AtomicU64 = AtomicU64::new(u64::MAX);

/// Interval between readings of VMClock's page.
const DISRUPTION_NS: u64 = NS / 10;
/// Minimum step to the time of a clock that has whole seconds.
const STEP_NS: u64 = NS + NS / 10;
/// Monotonic time when VMClock's page is read next; `u64::MAX` without one, and before the first
/// read of the wall time.
static DISRUPTION_AT: AtomicU64 = AtomicU64::new(u64::MAX);
/// VMClock's disruption marker at its last reading; used with interrupts disabled.
static DISRUPTION: AtomicU64 = AtomicU64::new(0);

/// The counter at boot: monotonic time 0. Written once.
static START: AtomicU64 = AtomicU64::new(0);

/// The state of the comparisons; used with interrupts disabled.
static DISCIPLINE: ExclusiveCell<Option<ClockDiscipline>> = ExclusiveCell::new(None);
/// The counter when the next comparison is due. Written with [`DISCIPLINE`].
static COMPARE_AT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Records the start of time.
pub fn set_up() {
    START.store(tsc::counter(), Ordering::Relaxed);
}

/// Finds the rates, on the first read of the time.
#[cold]
fn begin() {
    let bus_hz = without_interrupts(|| {
        if pvclock::start() {
            KVM.store(true, Ordering::Release);
            return VIRTUAL_BUS_HZ;
        }
        pit::start();
        let scale = Scale::find();
        PAGE.write(START.load(Ordering::Relaxed), 0, scale.rate);
        let first = Reading::take(&tsc::counter, &pit::count);
        let ns = PAGE.read(|| first.ticks);
        let discipline = ClockDiscipline::new(first, ns, scale.rate);
        COMPARE_AT.store(discipline.due(), Ordering::Relaxed);
        DISCIPLINE.with(|place| *place = Some(discipline));
        scale.bus_hz
    });
    BUS_HZ.store(bus_hz.max(1), Ordering::Release);
}

/// Compares the clock with the PIT and corrects its rate.
#[cold]
fn compare() {
    without_interrupts(|| {
        DISCIPLINE.with(|discipline| {
            if let Some(discipline) = discipline {
                let now = Reading::take(&tsc::counter, &pit::count);
                let shown = PAGE.read(|| now.ticks);
                if let Some(rate) = discipline.compare(now, shown) {
                    PAGE.write(now.ticks, shown, rate);
                }
                COMPARE_AT.store(discipline.due(), Ordering::Relaxed);
            }
        });
    });
}

#[cold]
fn find_wall_base() -> u64 {
    // An access to the real-time clock takes two instructions.
    without_interrupts(read_wall_base)
}

/// The time of day by the machine's own clock, in nanoseconds since 1970, with a resolution of a
/// second; `None` if it has none. Expensive: many accesses to ports.
pub fn machine_wall_ns() -> Option<u64> {
    without_interrupts(|| {
        let exact = vmclock::state().and_then(|state| state.wall_ns);
        let by_host = || KVM.load(Ordering::Acquire).then(pvclock::wall_ns).flatten();
        exact.or_else(by_host).or_else(rtc::read_ns)
    })
}

fn read_wall_base() -> u64 {
    let now = monotonic_ns();
    if let Some(state) = vmclock::state() {
        DISRUPTION.store(state.disruption, Ordering::Relaxed);
        DISRUPTION_AT.store(now + DISRUPTION_NS, Ordering::Relaxed);
    }
    let wall = machine_wall_ns();
    if wall.is_none() {
        console::line(format_args!(
            "this machine has no clock: wall time begins in 1970"
        ));
    }
    let base = wall.unwrap_or(0).saturating_sub(now);
    MACHINE_BASE.store(base, Ordering::Relaxed);
    WALL_BASE.store(base, Ordering::Release);
    base
}

/// Steps the wall clock as far as the machine's own clock was stepped since this was last called:
/// the machine resumed from a snapshot. Corrections by the network are kept.
pub fn follow_machine() {
    without_interrupts(|| {
        let before = MACHINE_BASE.load(Ordering::Relaxed);
        let Some(wall) = machine_wall_ns() else {
            return;
        };
        let base = wall.saturating_sub(monotonic_ns());
        if before != u64::MAX && base.abs_diff(before) >= STEP_NS {
            MACHINE_BASE.store(base, Ordering::Relaxed);
            adjust_wall(base.wrapping_sub(before).cast_signed());
        }
    });
}

/// Steps the wall clock after a disruption: a live migration, or a resume from a snapshot.
#[cold]
fn check_disruption(now: u64) {
    without_interrupts(|| {
        DISRUPTION_AT.store(now + DISRUPTION_NS, Ordering::Relaxed);
        let Some(state) = vmclock::state() else {
            return;
        };
        if DISRUPTION.swap(state.disruption, Ordering::Relaxed) == state.disruption {
            return;
        }
        let shown = WALL_BASE.load(Ordering::Acquire).saturating_add(now);
        let machine = || machine_wall_ns().filter(|wall| wall.abs_diff(shown) >= STEP_NS);
        if let Some(wall) = state.wall_ns.or_else(machine) {
            MACHINE_BASE.store(wall.saturating_sub(now), Ordering::Relaxed);
            WALL_BASE.store(wall.saturating_sub(now), Ordering::Release);
        }
    });
}

/// Nanoseconds since boot; never goes back.
pub fn monotonic_ns() -> u64 {
    if BUS_HZ.load(Ordering::Acquire) == 0 {
        begin();
    }
    if tsc::counter() >= COMPARE_AT.load(Ordering::Relaxed) {
        compare();
    }
    PAGE.read(tsc::counter)
}

/// Nanoseconds since 1970, UTC. Without a clock in the machine it begins at 0, which is logged
/// once.
pub fn wall_ns() -> u64 {
    let now = monotonic_ns();
    if now >= DISRUPTION_AT.load(Ordering::Relaxed) {
        check_disruption(now);
    }
    let base = match WALL_BASE.load(Ordering::Acquire) {
        u64::MAX => find_wall_base(),
        base => base,
    };
    base.saturating_add(now)
}

/// Adjusts the wall clock by `offset_ns`.
pub fn adjust_wall(offset_ns: i64) {
    wall_ns(); // finds the base
    let move_base = |base: u64| Some(base.saturating_add_signed(offset_ns).min(u64::MAX - 1));
    // The closure always returns a value.
    let _ = WALL_BASE.fetch_update(Ordering::AcqRel, Ordering::Acquire, move_base);
}

/// The APIC's bus clocks in `ns`.
pub fn bus_clocks(ns: u64) -> u64 {
    if BUS_HZ.load(Ordering::Acquire) == 0 {
        begin();
    }
    let hz = BUS_HZ.load(Ordering::Relaxed);
    scaled(ns, hz, NS)
}
