//! Clocks: monotonic from the processor's counter, wall time from the host or the real-time clock.
//!
//! The board finds the counter's rate on the first read of the time, and corrects it from time to
//! time ([`crate::board::clock`]). A VMClock gives the wall time before the machine's own clock if
//! it can, and steps it after a disruption.
//!
//! The monotonic clock may be read from every context, by tasks, ticks and interrupts, and on every
//! processor once the first has read it; wall time by one processor at a time, but for
//! [`has_wall_for_all`]. A change of the page, and a comparison, happens with interrupts disabled.

pub use crate::arch::counter::counter;
#[cfg_attr(test, allow(unused_imports, reason = "tests start no processor"))]
pub use crate::board::clock::is_for_all;

use crate::arch::interrupts::without_interrupts;
use crate::board::clock as machine;
use crate::clock::{NS, PAGE};
use crate::console;
use crate::firmware::vmclock;
use core::sync::atomic::{AtomicU64, Ordering};

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

/// Records the start of time.
pub fn set_up() {
    START.store(counter(), Ordering::Relaxed);
}

/// Finds the rates, on the first read of the time.
#[cold]
#[inline(never)]
fn begin() {
    if !without_interrupts(|| machine::begin(START.load(Ordering::Relaxed))) {
        console::line(format_args!(
            "no clock to compare the time stamp counter with: taking it for 1 GHz"
        ));
    }
}

/// Corrects the rate.
#[cold]
fn compare() {
    without_interrupts(machine::compare);
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
        exact.or_else(machine::wall_ns)
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
    // Release: who sees a base also sees those of the machine and of the disruption.
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
        // Acquire: pairs with `read_wall_base`, whose machine's base is replaced below.
        let shown = WALL_BASE.load(Ordering::Acquire).saturating_add(now);
        let machine = || machine_wall_ns().filter(|wall| wall.abs_diff(shown) >= STEP_NS);
        if let Some(wall) = state.wall_ns.or_else(machine) {
            MACHINE_BASE.store(wall.saturating_sub(now), Ordering::Relaxed);
            // Release: as in `read_wall_base`.
            WALL_BASE.store(wall.saturating_sub(now), Ordering::Release);
        }
    });
}

/// Nanoseconds since boot; never goes back.
pub fn monotonic_ns() -> u64 {
    if !machine::has_begun() {
        begin();
    }
    if machine::is_comparison_due() {
        compare();
    }
    PAGE.read(counter)
}

/// Nanoseconds since 1970, UTC. Without a clock in the machine it begins at 0, which is logged
/// once.
pub fn wall_ns() -> u64 {
    let now = monotonic_ns();
    if now >= DISRUPTION_AT.load(Ordering::Relaxed) {
        check_disruption(now);
    }
    // Acquire: pairs with `read_wall_base`.
    let base = match WALL_BASE.load(Ordering::Acquire) {
        u64::MAX => find_wall_base(),
        base => base,
    };
    base.saturating_add(now)
}

/// Whether several processors may read the wall time at once: it was read before, and no VMClock is
/// read from time to time.
pub fn has_wall_for_all() -> bool {
    // Acquire: pairs with `read_wall_base`.
    WALL_BASE.load(Ordering::Acquire) != u64::MAX
        && DISRUPTION_AT.load(Ordering::Relaxed) == u64::MAX
}

/// Adjusts the wall clock by `offset_ns`.
pub fn adjust_wall(offset_ns: i64) {
    wall_ns(); // finds the base
    let move_base = |base: u64| Some(base.saturating_add_signed(offset_ns).min(u64::MAX - 1));
    // Release and acquire: who sees the moved base sees the others as well. The closure always
    // returns a value.
    let _ = WALL_BASE.fetch_update(Ordering::AcqRel, Ordering::Acquire, move_base);
}
