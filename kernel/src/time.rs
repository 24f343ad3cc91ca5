//! Clocks: monotonic from the processor's counter, wall time from the host or the real-time clock.
//!
//! The board finds the counter's rate on the first read of the time, and corrects it from time to
//! time ([`crate::board::clock`]). A VMClock gives the wall time before the machine's own clock if
//! it can, and steps it after a disruption.
//!
//! Both may be read on every processor: the monotonic clock once the first has read it, from every
//! context, by tasks, ticks and interrupts; wall time once [`has_wall_for_all`]. A change of the
//! page, and a comparison, happens with interrupts disabled.

mod shared;
mod wall;

pub use counter::counter;

pub use crate::board::clock::{ahead_ns, based_at};

use crate::arch::counter;
use crate::arch::interrupts::without_interrupts;
use crate::arch::local;
use crate::board::clock as machine;
use crate::clock::{Agreement, NS, PAGE, Page, TimeOfDay};
use crate::console;
use crate::vmclock;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use firmware::vmclock::State;
use shared::{Comparison, Latest};
use wall::Wall;

/// The wall clock of this machine.
static WALL: Wall = Wall::new();

/// What it is read from.
struct Clocks;

impl wall::Machine for Clocks {
    fn now(&self) -> u64 {
        monotonic_ns()
    }

    fn shown(&self) -> Option<TimeOfDay> {
        let exact = vmclock::state().and_then(|state| state.wall_ns);
        let exact = exact.map(|ns| TimeOfDay { ns, is_exact: true });
        exact.or_else(machine::time_of_day)
    }

    fn vmclock(&self) -> Option<State> {
        vmclock::state()
    }
}

/// The monotonic time at boot, or where KVM's clock shows 0. No program of Linux runs in the first
/// second of its clock, and libraries take a time with 0 seconds for one they haven't read yet
/// (mtime's `elapsed`).
const BOOT_NS: u64 = NS;

/// The counter at boot. Written once.
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
            "warning: this machine doesn't say how fast its counter is, and has no clock to compare \
            it with: taking it for 1 GHz, so time may run several times too fast or too slow"
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
    let (base, is_known) = without_interrupts(|| WALL.begin(&Clocks));
    if !is_known {
        console::line(format_args!(
            "this machine has no clock: wall time begins in 1970 until a server sets it (SOIL_NTP)"
        ));
    }
    base
}

/// The time of day by the machine's own clock, in nanoseconds since 1970, with an error of up to a
/// second; `None` if it has none. Expensive: many accesses to ports.
pub fn machine_wall_ns() -> Option<u64> {
    without_interrupts(|| wall::Machine::shown(&Clocks)).map(|shown| shown.ns)
}

/// Steps the wall clock as far as the machine's own clock was stepped since this was last called:
/// the machine resumed from a snapshot. Corrections by the network are kept.
pub fn follow_machine() {
    without_interrupts(|| WALL.follow(&Clocks));
}

/// Corrects the wall clock by the machine's own, or steps it after a disruption: a live migration,
/// or a resume from a snapshot.
#[cold]
fn check_wall() {
    without_interrupts(|| WALL.check(&Clocks));
}

/// Nanoseconds since [`BOOT_NS`] before boot; never goes back.
pub fn monotonic_ns() -> u64 {
    if !machine::has_begun() {
        begin();
    }
    if machine::is_comparison_due() {
        compare();
    }
    let ns = match local::is_smp() {
        true => of_several(),
        false => PAGE.read(counter),
    };
    BOOT_NS + ns
}

/// [`LATEST`] counts whatever the host says, since the processors' counters differ. Set once.
static DIFFER: AtomicBool = AtomicBool::new(false);
static LATEST: Latest = Latest::new();

/// The clock, where several processors read it.
#[inline(never)]
fn of_several() -> u64 {
    let (ns, is_promised) = read(&PAGE);
    let is_for_all = is_promised || !machine::is_by_host();
    let for_all = (is_for_all && !DIFFER.load(Ordering::Relaxed)).then_some(ns);
    LATEST.read(for_all, || {
        // Where the promise was taken back, other processors have seen the first one's time.
        without_interrupts(|| read(machine::own_page()).0.max(ns))
    })
}

/// The clock of a page, after earlier loads, and the host's promise for all processors.
#[inline(never)]
fn read(page: &Page) -> (u64, bool) {
    page.read_promised(counter::ordered)
}

/// Starts the clock of a processor other than the first, before it reads the time.
pub fn set_up_secondary() {
    machine::start_own();
}

/// The comparison of the counters, while processors start.
static COMPARISON: Comparison = Comparison::new();

/// Whether [`compare_counters`] and [`observe_counter`] are needed.
pub fn compares_counters() -> bool {
    machine::agreement() == Agreement::Compare
}

/// Lets the counter of this processor, which waits for others to start, be compared with theirs.
pub fn observe_counter() {
    COMPARISON.observe(counter::ordered);
}

/// The same of a processor that starts, for as long as a comparison takes.
pub fn compare_counters() {
    /// Linux compares for 2 ms where the counters' rate is known to be one.
    const COMPARE_NS: u64 = 2_000_000;
    let end = counter().saturating_add(crate::clock::ticks(COMPARE_NS));
    while counter() < end {
        observe_counter();
    }
}

/// Processors have started: from now on the time is the latest that any has seen, if their counters
/// differ. Returns why.
pub fn conclude_comparison() -> Option<&'static str> {
    let why = match machine::agreement() {
        Agreement::Promised => return None,
        Agreement::Compare if COMPARISON.warp() == 0 => return None,
        Agreement::Compare => "the processors' counters differ",
        Agreement::None => "the processors' counters may run at different rates",
    };
    DIFFER.store(true, Ordering::Relaxed);
    Some(why)
}

/// How often a timer came long after it was due. Counted by interrupts, on any processor.
static LATE_TIMERS: AtomicU32 = AtomicU32::new(0);

/// Notes that a timer which was due at `due` has come now: much later, where the monotonic clock
/// has jumped because the machine goes on from a snapshot. From interrupts.
pub fn note_timer(due: u64) {
    if is_late(due, monotonic_ns()) {
        LATE_TIMERS.fetch_add(1, Ordering::Relaxed);
    }
}

fn is_late(due: u64, now: u64) -> bool {
    /// A host that is merely busy runs a processor sooner.
    const LATE_NS: u64 = 5 * NS;
    now.saturating_sub(due) >= LATE_NS
}

/// How often [`note_timer`] found a jump of the monotonic clock.
pub fn late_timers() -> u32 {
    LATE_TIMERS.load(Ordering::Relaxed)
}

/// Nanoseconds since 1970, UTC. Without a clock in the machine it begins at 0, which is logged
/// once.
pub fn wall_ns() -> u64 {
    let now = monotonic_ns();
    if WALL.is_check_due(now) {
        check_wall();
    }
    WALL.base()
        .unwrap_or_else(find_wall_base)
        .saturating_add(now)
}

/// The monotonic time of a time of day. Both in nanoseconds.
pub fn monotonic_of(real: u64) -> u64 {
    monotonic_ns().saturating_add(real.saturating_sub(wall_ns()))
}

/// Whether several processors may read the wall time at once, see [`Wall::is_for_all`].
pub fn has_wall_for_all() -> bool {
    WALL.is_for_all()
}

/// Adjusts the wall clock by `offset_ns`, which the network or the host's agent has found. It goes
/// on following the drift of the machine's own, and no longer its steps.
pub fn adjust_wall(offset_ns: i64) {
    wall_ns(); // finds the base
    WALL.correct(offset_ns);
}
