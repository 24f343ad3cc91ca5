//! The scheduler against a searched list of threads.

use super::{Scheduler, Wait, Woken};
use proptest::prelude::*;

/// A thread of the model: its number and its event; `None`: ready.
#[derive(Clone, Debug)]
struct Waiter {
    number: u64,
    wait: Wait,
    deadline: Option<u64>,
}

/// The same with lists that are searched from the front.
#[derive(Default)]
struct Model {
    ready: Vec<(u64, Woken)>,
    waiting: Vec<Waiter>,
    current: Option<(u64, Woken)>,
    urgent: bool,
}

impl Model {
    fn take(&mut self, mut which: impl FnMut(&Waiter) -> bool, most: usize) -> Vec<Waiter> {
        let mut taken = Vec::new();
        let mut at = 0;
        while at < self.waiting.len() && taken.len() < most {
            if which(&self.waiting[at]) {
                taken.push(self.waiting.remove(at));
            } else {
                at += 1;
            }
        }
        taken
    }

    fn wake(&mut self, taken: Vec<Waiter>, woken: Woken) -> u64 {
        let count = taken.len() as u64;
        let ready = taken.into_iter().map(|waiter| (waiter.number, woken));
        self.ready.extend(ready);
        count
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add,
    Next,
    GiveWay,
    Wait(u8, Option<u8>),
    End,
    Wake(u8, u32, u8),
    Requeue(u8, u8, u8),
    WakeNext(u8),
    Event,
    Expire(u8),
    Interrupt(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let futex = 0..6u8;
    proptest::collection::vec(
        prop_oneof![
            2 => Just(Step::Add),
            6 => Just(Step::Next),
            2 => Just(Step::GiveWay),
            6 => (0..8u8, proptest::option::of(any::<u8>())).prop_map(|(w, d)| Step::Wait(w, d)),
            1 => Just(Step::End),
            3 => (futex.clone(), 1..4u32, 0..4u8).prop_map(|(f, b, n)| Step::Wake(f, b, n)),
            2 => (futex.clone(), futex.clone(), 0..4u8).prop_map(|(f, t, n)| Step::Requeue(f, t, n)),
            1 => futex.clone().prop_map(Step::WakeNext),
            1 => Just(Step::Event),
            2 => any::<u8>().prop_map(Step::Expire),
            1 => any::<u8>().prop_map(Step::Interrupt),
        ],
        0..300,
    )
}

/// Addresses that share buckets now and then.
fn address(futex: u8) -> u64 {
    0x1000 + 4 * u64::from(futex) * 64
}

fn wait(kind: u8) -> Wait {
    match kind {
        6 => Wait::Time,
        7 => Wait::Event,
        futex => Wait::Futex(address(futex), 1 + u32::from(futex) % 3),
    }
}

fn check(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut scheduler = Scheduler::new();
    let mut model = Model::default();
    let mut numbers = 0u64;
    for step in steps {
        match step {
            Step::Add => {
                scheduler.add(numbers).expect("memory");
                model.ready.push((numbers, Woken::Done));
                numbers += 1;
            }
            Step::Next if model.current.is_none() => {
                let found = scheduler.next();
                let found = found.and_then(|index| scheduler.thread(index).copied());
                model.current = (!model.ready.is_empty()).then(|| model.ready.remove(0));
                prop_assert_eq!(found, model.current.map(|(number, _)| number));
                if let Some((_, woken)) = model.current {
                    prop_assert_eq!(scheduler.woken(), woken);
                    model.urgent = false;
                }
            }
            Step::GiveWay => {
                if let Some((number, _)) = model.current.take() {
                    scheduler.yield_now();
                    model.ready.push((number, Woken::Done));
                }
            }
            Step::Wait(kind, deadline) => {
                if let Some((number, _)) = model.current.take() {
                    let (wait, deadline) = (wait(kind), deadline.map(u64::from));
                    scheduler.wait(wait, deadline);
                    model.waiting.push(Waiter {
                        number,
                        wait,
                        deadline,
                    });
                }
            }
            Step::End => {
                if let Some((number, _)) = model.current.take() {
                    prop_assert_eq!(scheduler.end(), Some(number));
                }
            }
            Step::Wake(futex, bits, count) => {
                let of = |waiter: &Waiter| {
                    matches!(waiter.wait, Wait::Futex(at, its)
                    if at == address(futex) && its & bits != 0)
                };
                let taken = model.take(of, count.into());
                let expected = model.wake(taken, Woken::Done);
                let woken = scheduler.wake(address(futex), bits, count.into());
                prop_assert_eq!(woken, expected);
            }
            Step::Requeue(from, to, count) if from != to => {
                let of = |waiter: &Waiter| {
                    matches!(waiter.wait, Wait::Futex(at, _)
                    if at == address(from))
                };
                let taken = model.take(of, count.into());
                let moved = scheduler.requeue(address(from), address(to), count.into());
                prop_assert_eq!(moved, taken.len() as u64);
                for mut waiter in taken {
                    if let Wait::Futex(at, _) = &mut waiter.wait {
                        *at = address(to);
                    }
                    model.waiting.push(waiter);
                }
            }
            Step::WakeNext(futex) => {
                let of = |waiter: &Waiter| {
                    matches!(waiter.wait, Wait::Futex(at, _)
                    if at == address(futex))
                };
                let taken = model.take(of, usize::MAX);
                model.urgent |= !taken.is_empty();
                let woken = taken.iter().map(|waiter| (waiter.number, Woken::Done));
                model.ready.splice(0..0, woken);
                scheduler.wake_next(address(futex));
            }
            Step::Event => {
                let taken = model.take(|waiter| waiter.wait == Wait::Event, usize::MAX);
                prop_assert_eq!(scheduler.event(), !taken.is_empty());
                model.urgent |= !taken.is_empty();
                for waiter in taken.into_iter().rev() {
                    model.ready.insert(0, (waiter.number, Woken::Done));
                }
            }
            Step::Expire(now) => {
                let now = u64::from(now);
                let due = |waiter: &Waiter| waiter.deadline.is_some_and(|at| at <= now);
                let mut taken = model.take(due, usize::MAX);
                taken.sort_by_key(|waiter| waiter.deadline);
                scheduler.expire(now);
                model.urgent |= !taken.is_empty();
                // Equal deadlines expire in any order: in the scheduler's.
                let found = scheduler.ready_for_test();
                let place = |number| found.iter().position(|n| *n == number);
                taken.sort_by_key(|waiter| (waiter.deadline, place(waiter.number)));
                let expired = taken.iter().map(|waiter| (waiter.number, Woken::Expired));
                model.ready.splice(0..0, expired);
                let numbers: Vec<u64> = model.ready.iter().map(|(number, _)| *number).collect();
                prop_assert_eq!(&found, &numbers);
            }
            Step::Interrupt(number) => {
                let number = u64::from(number);
                let index = scheduler.threads().find(|(_, its)| **its == number);
                if let Some((index, _)) = index {
                    scheduler.interrupt(index);
                }
                let taken = model.take(|waiter| waiter.number == number, 1);
                model.wake(taken, Woken::Interrupted);
            }
            _ => {}
        }
        let earliest = model
            .waiting
            .iter()
            .filter_map(|waiter| waiter.deadline)
            .min();
        prop_assert_eq!(scheduler.earliest(), earliest);
        prop_assert_eq!(scheduler.has_ready(), !model.ready.is_empty());
        prop_assert_eq!(scheduler.is_urgent(), model.urgent);
        let live_count = model.ready.len() + model.waiting.len() + model.current.iter().len();
        prop_assert_eq!(scheduler.live_count(), live_count);
    }
    Ok(())
}

impl Scheduler<u64> {
    fn ready_for_test(&self) -> Vec<u64> {
        let mut list = Vec::new();
        let mut at = self.lists[super::READY].first;
        while at != super::NONE {
            let entry = &self.entries[at as usize];
            list.extend(entry.thread);
            at = entry.next;
        }
        list
    }
}

proptest! {
    #[test]
    fn agrees_with_lists_that_are_searched(steps in steps()) {
        check(steps)?;
    }

    /// Many timers, so that the heap has levels to move one up from where another was removed.
    #[test]
    fn timers_expire_in_order_though_others_were_taken_back(
        deadlines in proptest::collection::vec(any::<u16>(), 8..80),
        taken in proptest::collection::vec(any::<prop::sample::Index>(), 1..20),
    ) {
        let mut scheduler = Scheduler::new();
        let mut left = Vec::new();
        for (number, deadline) in deadlines.into_iter().enumerate() {
            scheduler.add(number as u64).expect("memory");
            let thread = scheduler.next().expect("ready");
            scheduler.wait(Wait::Time, Some(deadline.into()));
            left.push((u64::from(deadline), thread));
        }
        for at in taken {
            if left.len() > 1 {
                let (_, thread) = left.swap_remove(at.index(left.len()));
                scheduler.interrupt(thread);
            }
        }
        left.sort_unstable();
        for (deadline, _) in left {
            prop_assert_eq!(scheduler.earliest(), Some(deadline));
            let timer = scheduler.timers[0];
            scheduler.interrupt(timer);
        }
        prop_assert_eq!(scheduler.earliest(), None);
    }
}

#[test]
fn a_requeue_within_a_bucket_moves_each_once() {
    let mut scheduler = Scheduler::new();
    for number in 0..3 {
        scheduler.add(number).expect("memory");
        scheduler.next().expect("ready");
        scheduler.wait(Wait::Futex(0x1000, 1), None);
    }
    assert_eq!(scheduler.requeue(0x1000, 0x1000, 9), 3);
    assert_eq!(scheduler.wake(0x1000, 1, 9), 3);
}
