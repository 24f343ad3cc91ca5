//! When to set the local APIC's timer, which is one-shot and costs an exit from the virtual machine
//! to set.
//!
//! It has two users: a sleep, for its deadline, and a program that computes, for the deadlines of
//! waiting threads, for the slices of ready ones and, once it has used the network, for a tick
//! every [`TICK_NS`]. A timer that is set early enough is left alone: a server that sleeps a
//! thousand times a second sets the timer once per tick, and a machine that sleeps gets at most one
//! tick before the timer is set to its deadline. Times are monotonic nanoseconds; a past time means
//! that the timer isn't set.

/// How long a program computes before a tick polls the network.
pub const TICK_NS: u64 = 4_000_000;

/// How long a thread computes while others are ready. The interrupt and the switch cost some
/// microseconds. Threads of one OCaml program wait for its lock mostly, and are ready one at a
/// time; but the one that serves requests may be behind the one that computes.
pub const SLICE_NS: u64 = 1_000_000;

/// The time to set the timer to before a sleep until `deadline`; `None` to leave it as it is.
pub fn before_sleep(set: u64, now: u64, deadline: Option<u64>) -> Option<u64> {
    let deadline = deadline?;
    (set <= now || set > deadline).then_some(deadline)
}

/// The same before the program resumes; `earliest` is the first deadline of its waiting threads,
/// and `most` the longest time without an interrupt: a slice, a tick, or any time.
pub fn before_run(set: u64, now: u64, earliest: Option<u64>, most: Option<u64>) -> Option<u64> {
    /// Minimum time that a thread runs undisturbed.
    const MIN_NS: u64 = 20_000;
    let earliest = earliest.map(|earliest| earliest.max(now.saturating_add(MIN_NS)));
    let most = most.map(|most| now.saturating_add(most));
    before_sleep(set, now, [earliest, most].into_iter().flatten().min())
}

#[cfg(test)]
mod tests {
    use super::{SLICE_NS, TICK_NS, before_run, before_sleep};
    use proptest::prelude::*;

    /// A machine with a clock and such a timer.
    #[derive(Default)]
    struct Machine {
        now: u64,
        set: u64,
        writes: usize,
    }

    impl Machine {
        fn apply(&mut self, time: Option<u64>) {
            if let Some(time) = time {
                self.set = time;
                self.writes += 1;
            }
        }

        /// Sleeps until an event, at `event` at the latest, as `soil_wait` does; returns the number
        /// of wake-ups.
        fn sleep(&mut self, deadline: Option<u64>, event: u64) -> usize {
            let mut wakes = 0;
            loop {
                self.apply(before_sleep(self.set, self.now, deadline));
                let timer = if self.set > self.now {
                    self.set
                } else {
                    u64::MAX
                };
                self.now = timer.min(event).max(self.now);
                wakes += 1;
                if self.now >= event || deadline.is_some_and(|deadline| deadline <= self.now) {
                    return wakes;
                }
            }
        }

        fn work(&mut self, ns: u64) {
            self.apply(before_run(self.set, self.now, None, Some(TICK_NS)));
            self.now += ns;
        }
    }

    #[test]
    fn a_busy_server_sets_the_timer_once_a_tick() {
        let mut machine = Machine::default();
        for _ in 0..10_000 {
            machine.work(50_000);
            let (deadline, event) = (machine.now + 40_000_000, machine.now + 50_000);
            machine.sleep(Some(deadline), event);
        }
        let ticks = (machine.now / TICK_NS) as usize;
        assert!(
            machine.writes <= 2 * ticks + 2,
            "{} writes in {ticks} ticks",
            machine.writes
        );
    }

    #[test]
    fn an_idle_machine_has_no_ticks() {
        let mut machine = Machine::default();
        machine.work(1000);
        assert_eq!(machine.sleep(None, 3_600_000_000_000), 2);
        for _ in 0..100 {
            machine.work(1000);
            let deadline = machine.now + 1_000_000_000;
            assert!(machine.sleep(Some(deadline), u64::MAX) <= 2);
            assert_eq!(machine.now, deadline);
        }
        assert!(machine.writes <= 202, "{} writes", machine.writes);
    }

    #[test]
    fn a_timer_that_is_set_as_wanted_stays() {
        let tick = 1000 + TICK_NS;
        let cases = [
            (2000, None),
            (2001, Some(2000)),
            (1001, None),
            (1000, Some(2000)),
        ];
        for (set, expected) in cases {
            assert_eq!(before_sleep(set, 1000, Some(2000)), expected, "{set}");
            assert_eq!(before_sleep(set, 1000, None), None);
        }
        let (a_tick, a_slice) = (Some(TICK_NS), Some(SLICE_NS));
        for (set, expected) in [(tick, None), (tick + 1, Some(tick)), (1000, Some(tick))] {
            assert_eq!(before_run(set, 1000, None, a_tick), expected, "{set}");
        }
        for (earliest, expected) in [(0, 21_000), (30_000, 30_000), (tick + 9, tick)] {
            assert_eq!(before_run(0, 1000, Some(earliest), a_tick), Some(expected));
        }
        // A slice is shorter than a tick that has been set, and no other is set during it.
        let slice = 1000 + SLICE_NS;
        for (set, expected) in [(tick, Some(slice)), (slice, None), (1001, None)] {
            assert_eq!(before_run(set, 1000, None, a_slice), expected, "{set}");
        }
        assert_eq!(before_run(0, 1000, Some(30_000), a_slice), Some(30_000));
    }

    #[test]
    fn a_computation_without_ticks_is_interrupted_for_deadlines_only() {
        assert_eq!(before_run(0, 1000, None, None), None);
        let later = 1000 + 10 * TICK_NS;
        assert_eq!(before_run(0, 1000, Some(later), None), Some(later));
    }

    proptest! {
        /// No sleep is longer than its deadline, and no computation runs for more than a tick
        /// or a slice unseen, whatever was set before.
        #[test]
        fn the_timer_never_comes_late(
            set: u32,
            now: u32,
            span: u32,
            endless: bool,
            contended: bool,
        ) {
            let (set, now) = (u64::from(set), u64::from(now));
            let deadline = now + 1 + u64::from(span);
            let after = before_sleep(set, now, (!endless).then_some(deadline)).unwrap_or(set);
            prop_assert!(endless || (after > now && after <= deadline));
            let most = if contended { SLICE_NS } else { TICK_NS };
            let after = before_run(set, now, None, Some(most)).unwrap_or(set);
            prop_assert!(after > now && after <= now + most);
        }
    }
}
