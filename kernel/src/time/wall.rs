//! The wall clock: its distance from the monotonic clock, and the steps that follow the machine's
//! own clock.

use crate::clock::{NS, TimeOfDay};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use firmware::vmclock::State;

/// Interval between readings of VMClock's page.
const DISRUPTION_NS: u64 = NS / 10;
/// Interval between readings of the machine's own clock without it: the counter's rate is wrong by
/// some millionths.
const DRIFT_NS: u64 = 3600 * NS;
/// Minimum step to the time of a clock that has whole seconds.
const STEP_NS: u64 = NS + NS / 10;
/// Not known yet.
const NONE: u64 = u64::MAX;

/// What the wall clock is read from. With interrupts disabled.
pub trait Machine {
    /// The monotonic time.
    fn now(&self) -> u64;
    /// The time of day by VMClock or else the machine's own clock.
    fn shown(&self) -> Option<TimeOfDay>;
    /// VMClock's page, if the machine has one.
    fn vmclock(&self) -> Option<State>;
}

/// The wall clock. Several processors may read it at once, the first time, too: sessions of TLS
/// do. Changed with interrupts disabled.
pub struct Wall {
    /// Wall time at monotonic time 0; [`NONE`] before the first read. Changed by [`Wall::adjust`].
    base: AtomicU64,
    /// The same by the machine's own clock, when it was read last; [`NONE`] if it wasn't.
    machine: AtomicU64,
    /// The same, when it was last compared for drift.
    seen: AtomicU64,
    /// A correction has come from someone who knows the time better than the machine.
    corrected: AtomicBool,
    /// Monotonic time of the next check; [`NONE`] before the first read of the wall time.
    check_at: AtomicU64,
    /// VMClock's disruption marker at its last reading; [`NONE`] without a VMClock.
    disruption: AtomicU64,
}

impl Wall {
    /// A clock that wasn't read.
    pub const fn new() -> Self {
        Self {
            base: AtomicU64::new(NONE),
            machine: AtomicU64::new(NONE),
            seen: AtomicU64::new(NONE),
            corrected: AtomicBool::new(false),
            check_at: AtomicU64::new(NONE),
            disruption: AtomicU64::new(NONE),
        }
    }

    /// The wall time at monotonic time 0; `None` before [`Wall::begin`].
    pub fn base(&self) -> Option<u64> {
        // Acquire: who sees a base also sees those of the machine and of the disruption.
        match self.base.load(Ordering::Acquire) {
            NONE => None,
            base => Some(base),
        }
    }

    /// Reads the machine's clock for the first time. Returns the base, which is 0 without a clock,
    /// and whether there is one.
    pub fn begin(&self, machine: &impl Machine) -> (u64, bool) {
        let now = machine.now();
        let mut interval = DRIFT_NS;
        if let Some(state) = machine.vmclock() {
            self.disruption.store(state.disruption, Ordering::Relaxed);
            interval = DISRUPTION_NS;
        }
        self.check_at.store(now + interval, Ordering::Relaxed);
        let found = machine_base(machine);
        let base = found.map_or(0, |(base, _)| base);
        if self.base().is_none() {
            self.machine.store(base, Ordering::Relaxed);
            self.seen.store(base, Ordering::Relaxed);
        }
        // Of several first readings one counts: a correction may have come since. Release and
        // acquire: as in `set` and `base`.
        let order = (Ordering::Release, Ordering::Acquire);
        let first = self.base.compare_exchange(NONE, base, order.0, order.1);
        (first.err().unwrap_or(base), found.is_some())
    }

    /// Sets the clock to the machine's own.
    fn set(&self, base: u64) {
        self.machine.store(base, Ordering::Relaxed);
        self.seen.store(base, Ordering::Relaxed);
        // Release: pairs with `base`.
        self.base.store(base, Ordering::Release);
    }

    /// Whether [`Wall::check`] is due.
    pub fn is_check_due(&self, now: u64) -> bool {
        now >= self.check_at.load(Ordering::Relaxed)
    }

    /// Steps the clock after a disruption that VMClock reports: a live migration, or a resume from
    /// a snapshot. Without a VMClock, follows the machine's own clock. Does nothing while it isn't
    /// due, which it isn't while another processor does it.
    pub fn check(&self, machine: &impl Machine) {
        let now = machine.now();
        let due = self.check_at.load(Ordering::Relaxed);
        if now < due {
            return;
        }
        let state = machine.vmclock();
        // There is none either while the host writes the page of a VMClock.
        let has_vmclock = self.disruption.load(Ordering::Relaxed) != NONE;
        let interval = if has_vmclock { DISRUPTION_NS } else { DRIFT_NS };
        let claimed = self.check_at.compare_exchange(
            due,
            now + interval,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if claimed.is_err() {
            return;
        }
        let Some(state) = state else {
            if !has_vmclock {
                self.follow_drift(machine);
            }
            return;
        };
        if self.disruption.swap(state.disruption, Ordering::Relaxed) == state.disruption {
            return;
        }
        let differs = |base: &u64| base.abs_diff(self.base().unwrap_or(NONE)) >= STEP_NS;
        let base = match state.wall_ns {
            Some(wall) => Some(wall.saturating_sub(now)),
            None => machine_base(machine).map(|(base, _)| base).filter(differs),
        };
        if let Some(base) = base {
            self.set(base);
        }
    }

    /// Moves the clock as far as an exact clock of the machine has moved since it was read last, so
    /// that a correction stays. A corrected clock doesn't follow a step: the host's time may be
    /// less right than the correction, and a snapshot is for [`Wall::follow`].
    fn follow_drift(&self, machine: &impl Machine) {
        let Some((base, true)) = machine_base(machine) else {
            return;
        };
        let seen = self.seen.swap(base, Ordering::Relaxed);
        if self.corrected.load(Ordering::Relaxed) {
            let drift = base.wrapping_sub(seen);
            if base.abs_diff(seen) < STEP_NS {
                self.machine.fetch_add(drift, Ordering::Relaxed);
                self.adjust(drift.cast_signed());
            }
        } else {
            self.step(self.machine.load(Ordering::Relaxed), base);
        }
    }

    /// Moves the clock as far as the machine's own has moved, unless another processor just has.
    fn step(&self, before: u64, base: u64) {
        let order = Ordering::Relaxed;
        if self
            .machine
            .compare_exchange(before, base, order, order)
            .is_ok()
        {
            self.seen.store(base, order);
            self.adjust(base.wrapping_sub(before).cast_signed());
        }
    }

    /// Steps the clock as far as the machine's own clock was stepped since it was last read: the
    /// machine resumed from a snapshot. Corrections by the network are kept.
    pub fn follow(&self, machine: &impl Machine) {
        // What VMClock reports of the same snapshot is done first: the rest is no step then.
        self.check(machine);
        let before = self.machine.load(Ordering::Relaxed);
        let Some((base, _)) = machine_base(machine) else {
            return;
        };
        if before != NONE && base.abs_diff(before) >= STEP_NS {
            self.step(before, base);
        }
    }

    /// Moves the clock by `offset_ns`, which someone has found who knows the time better than the
    /// machine's own clock, once it was read.
    pub fn correct(&self, offset_ns: i64) {
        self.corrected.store(true, Ordering::Relaxed);
        self.adjust(offset_ns);
    }

    fn adjust(&self, offset_ns: i64) {
        let moved =
            |base: u64| (base != NONE).then(|| base.saturating_add_signed(offset_ns).min(NONE - 1));
        // Release and acquire: who sees the moved base sees the others as well.
        let _ = self
            .base
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, moved);
    }

    /// Whether several processors may read it at once: it was read before.
    pub fn is_for_all(&self) -> bool {
        self.base().is_some()
    }
}

/// The wall time at monotonic time 0 by the machine's clock, and whether that is exact. A reading
/// may take long, as it leaves the virtual machine: of three that do, the shortest counts.
fn machine_base(machine: &impl Machine) -> Option<(u64, bool)> {
    /// No reading of a host that runs this processor takes longer; one of a clock of whole seconds
    /// takes many accesses to ports.
    const SHORT_NS: u64 = 100_000;
    const SHORT_OF_SECONDS_NS: u64 = 10_000_000;
    let mut best: Option<(u64, u64, bool)> = None;
    for _ in 0..3 {
        let before = machine.now();
        let shown = machine.shown()?;
        let after = machine.now();
        let span = after.saturating_sub(before);
        if best.is_none_or(|(shortest, ..)| span < shortest) {
            best = Some((span, shown.ns.saturating_sub(after), shown.is_exact));
        }
        let short = match shown.is_exact {
            true => SHORT_NS,
            false => SHORT_OF_SECONDS_NS,
        };
        if span <= short {
            break;
        }
    }
    best.map(|(_, base, is_exact)| (base, is_exact))
}

#[cfg(test)]
mod tests {
    use super::{DISRUPTION_NS, DRIFT_NS, Machine, NS, State, TimeOfDay, Wall};
    use core::cell::Cell;

    /// A day in 2026.
    const DAY: u64 = 1_795_000_000 * NS;

    struct Model {
        now: Cell<u64>,
        wall: Cell<Option<u64>>,
        vmclock: Cell<Option<State>>,
        exact: bool,
        /// How long the next readings take.
        delays: Cell<[u64; 3]>,
    }

    impl Machine for Model {
        fn now(&self) -> u64 {
            self.now.get()
        }

        fn shown(&self) -> Option<TimeOfDay> {
            let [delay, next, last] = self.delays.get();
            self.delays.set([next, last, 0]);
            let shown = self.wall.get().map(|ns| TimeOfDay {
                ns,
                is_exact: self.exact,
            });
            self.pass(delay);
            shown
        }

        fn vmclock(&self) -> Option<State> {
            self.vmclock.get()
        }
    }

    impl Model {
        fn new() -> Self {
            Self {
                now: Cell::new(5 * NS),
                wall: Cell::new(Some(DAY)),
                vmclock: Cell::new(None),
                exact: false,
                delays: Cell::default(),
            }
        }

        fn with_vmclock() -> Self {
            let model = Self::new();
            model.vmclock.set(Some(State {
                disruption: 1,
                wall_ns: None,
            }));
            model
        }

        fn pass(&self, ns: u64) {
            self.now.set(self.now.get() + ns);
            self.wall.set(self.wall.get().map(|wall| wall + ns));
        }

        /// Resumes from a snapshot made so long ago, which VMClock reports if there is one.
        fn resume(&self, away: u64) {
            self.wall.set(self.wall.get().map(|wall| wall + away));
            self.vmclock.set(self.vmclock.get().map(|state| State {
                disruption: state.disruption + 1,
                ..state
            }));
        }

        /// By how much the wall clock is ahead of the machine's.
        fn ahead(&self, wall: &Wall) -> i64 {
            let shown = wall.base().expect("it has begun") + self.now.get();
            shown
                .wrapping_sub(self.wall.get().expect("a clock"))
                .cast_signed()
        }
    }

    #[test]
    fn a_page_that_the_host_writes_is_read_again_soon() {
        let (mut model, wall) = (Model::with_vmclock(), Wall::new());
        wall.begin(&model);
        model.pass(DISRUPTION_NS);
        model.resume(30 * NS);
        let state = model.vmclock.take();
        model.exact = true;
        wall.check(&model);
        assert_eq!(model.ahead(&wall), -30 * NS.cast_signed());
        model.vmclock.set(state);
        model.pass(DISRUPTION_NS);
        wall.check(&model);
        assert_eq!(model.ahead(&wall), 0);
    }

    #[test]
    fn a_snapshot_that_is_noticed_twice_steps_once() {
        for model in [Model::new(), Model::with_vmclock()] {
            let wall = Wall::new();
            assert_eq!(wall.begin(&model), (DAY - 5 * NS, true));
            // The network's correction stays.
            wall.correct(7000);
            model.pass(NS);
            model.resume(30 * NS);
            wall.follow(&model);
            let kept = if model.vmclock.get().is_some() {
                0
            } else {
                7000
            };
            assert_eq!(model.ahead(&wall), kept);
            wall.follow(&model);
            model.pass(DISRUPTION_NS);
            wall.check(&model);
            assert_eq!(model.ahead(&wall), kept);
        }
    }

    #[test]
    fn a_disruption_that_was_stepped_is_no_snapshot_of_its_own() {
        for exact in [false, true] {
            let (model, wall) = (Model::with_vmclock(), Wall::new());
            wall.begin(&model);
            model.resume(30 * NS);
            if exact {
                let state = model.vmclock.get().map(|state| State {
                    wall_ns: model.wall.get(),
                    ..state
                });
                model.vmclock.set(state);
            }
            assert!(!wall.is_check_due(model.now()));
            model.pass(DISRUPTION_NS);
            assert!(wall.is_check_due(model.now()) && wall.is_for_all());
            wall.check(&model);
            let ahead = model.ahead(&wall);
            assert!(ahead.unsigned_abs() <= DISRUPTION_NS, "{ahead}");
            wall.follow(&model);
            assert_eq!(model.ahead(&wall), ahead);
        }
    }

    /// Another processor has read it, and a correction has come, while this one reads.
    #[test]
    fn the_first_of_several_first_readings_counts() {
        let (model, wall) = (Model::new(), Wall::new());
        let (base, _) = wall.begin(&model);
        wall.correct(5);
        model.resume(NS);
        assert_eq!(wall.begin(&model), (base + 5, true));
        assert_eq!(wall.base(), Some(base + 5));
    }

    #[test]
    fn a_clock_of_whole_seconds_steps_by_more_than_one() {
        let (model, wall) = (Model::new(), Wall::new());
        assert!(!wall.is_for_all());
        wall.correct(5);
        assert_eq!(wall.base(), None);
        wall.begin(&model);
        assert!(wall.is_for_all());
        model.resume(NS);
        wall.follow(&model);
        assert_eq!(model.ahead(&wall), -(NS as i64));
        model.resume(NS / 10);
        wall.follow(&model);
        assert_eq!(model.ahead(&wall), 0);
        // Back as well.
        model.wall.set(Some(DAY - 100 * NS));
        wall.follow(&model);
        assert_eq!(model.ahead(&wall), 0);
    }

    #[test]
    fn the_machines_clock_is_followed_each_hour() {
        // Whether its clock is exact, by how much the network has corrected, and what is left of
        // a drift of 180 ms in an hour, of two hours.
        let drift = 180_000_000;
        for (exact, corrected, left) in [(true, 0, 0), (true, 7000, 7000), (false, 0, -2 * drift)] {
            let (mut model, wall) = (Model::new(), Wall::new());
            model.exact = exact;
            wall.begin(&model);
            if corrected != 0 {
                wall.correct(corrected);
            }
            for _ in 0..2 {
                model.pass(DRIFT_NS - NS);
                wall.check(&model);
                let ahead = model.ahead(&wall);
                model.pass(NS);
                model.resume(drift as u64);
                assert_eq!(model.ahead(&wall), ahead - drift, "not due before");
                assert!(wall.is_check_due(model.now()));
                wall.check(&model);
                assert!(!wall.is_check_due(model.now()));
            }
            assert_eq!(model.ahead(&wall), left, "{exact} {corrected}");
        }
    }

    #[test]
    fn a_corrected_clock_follows_snapshots_and_no_other_steps() {
        let (mut model, wall) = (Model::new(), Wall::new());
        model.exact = true;
        wall.begin(&model);
        wall.correct(7000);
        // The host's clock is set; the drift since then is no step of its own.
        model.resume(100 * NS);
        model.pass(DRIFT_NS);
        wall.check(&model);
        assert_eq!(model.ahead(&wall), 7000 - 100 * NS.cast_signed());
        // Later drift is followed.
        model.pass(DRIFT_NS);
        model.resume(NS / 2);
        wall.check(&model);
        assert_eq!(model.ahead(&wall), 7000 - 100 * NS.cast_signed());
        // A snapshot is: together with the drift since the last reading, once.
        wall.follow(&model);
        assert_eq!(model.ahead(&wall), 7000);
        model.resume(NS / 2);
        model.pass(DRIFT_NS);
        wall.check(&model);
        model.resume(30 * NS);
        wall.follow(&model);
        assert_eq!(model.ahead(&wall), 7000);
    }

    #[test]
    fn a_reading_that_takes_long_is_repeated() {
        for (delays, ahead) in [
            ([0, 0, 0], 0),
            ([NS, 0, 0], 0),
            ([NS, 3 * NS, 20_000_000], -20_000_000),
            ([NS, 2 * NS, 3 * NS], -(NS as i64)),
        ] {
            let (model, wall) = (Model::new(), Wall::new());
            model.delays.set(delays);
            wall.begin(&model);
            assert_eq!(model.ahead(&wall), ahead, "{delays:?}");
        }
    }

    #[test]
    fn without_a_clock_it_begins_in_1970() {
        let (model, wall) = (Model::new(), Wall::new());
        model.wall.set(None);
        assert_eq!(wall.begin(&model), (0, false));
        wall.follow(&model);
        wall.correct(9);
        assert_eq!(wall.base(), Some(9));
    }
}
