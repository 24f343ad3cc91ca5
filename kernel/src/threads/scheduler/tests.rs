//! The scheduler against a searched list of threads.

use super::{Index, Processors, Scheduler, Wait, Woken, bit};
use proptest::prelude::*;

/// A thread for every processor.
const ALL: Processors = Processors::MAX;

/// A thread of the model.
#[derive(Clone, Debug)]
struct Thread {
    number: u64,
    index: Index,
    /// The processor on which it ran last.
    last: Option<usize>,
    /// The processors that may run it.
    allowed: Processors,
    /// Why it waits, unless it is ready or runs, and until when.
    wait: Wait,
    deadline: Option<u64>,
    /// Why it became ready.
    woken: Woken,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Idle {
    No,
    Awake,
    Halted,
}

/// A processor of the model.
#[derive(Clone)]
struct Processor {
    running: Option<Thread>,
    /// The thread that it holds: the one that runs, or has run until now.
    current: Option<u64>,
    idle: Idle,
    offered: Option<Index>,
    /// It has asked for a thread.
    known: bool,
}

/// The same with lists that are searched from the front.
struct Model {
    ready: Vec<Thread>,
    waiting: Vec<Thread>,
    processors: Vec<Processor>,
    /// Processors to kick.
    kicks: Processors,
    urgent: bool,
}

impl Model {
    fn new(processors: usize) -> Self {
        let processor = Processor {
            running: None,
            current: None,
            idle: Idle::No,
            offered: None,
            known: false,
        };
        Self {
            ready: Vec::new(),
            waiting: Vec::new(),
            processors: vec![processor; processors],
            kicks: 0,
            urgent: false,
        }
    }

    fn take(&mut self, mut which: impl FnMut(&Thread) -> bool, most: usize) -> Vec<Thread> {
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

    fn wake(&mut self, taken: Vec<Thread>, woken: Woken) -> u64 {
        let count = taken.len() as u64;
        for thread in taken {
            self.insert(self.ready.len(), thread, woken);
        }
        count
    }

    /// Wakes threads to run next, in this order.
    fn wake_next(&mut self, taken: Vec<Thread>, woken: Woken) {
        for (at, thread) in taken.into_iter().enumerate() {
            self.urgent |= !self.insert(at, thread, woken);
        }
    }

    /// Makes a thread ready, at this place; returns whether a processor was free for it.
    fn insert(&mut self, at: usize, thread: Thread, woken: Woken) -> bool {
        let number = thread.number;
        self.ready.insert(at, Thread { woken, ..thread });
        self.offer(number)
    }

    fn holder(&self, number: u64) -> Option<usize> {
        let holds = |p: &Processor| p.current == Some(number);
        self.processors.iter().position(holds)
    }

    fn offer(&mut self, number: u64) -> bool {
        let found = self.ready.iter().find(|thread| thread.number == number);
        let thread = found.expect("it is ready").clone();
        if self.holder(number).is_some() || self.processors.len() == 1 {
            return false;
        }
        let mut all: Vec<usize> = (0..self.processors.len()).collect();
        all.retain(|at| thread.allowed & bit(*at) != 0);
        all.sort_by_key(|at| {
            let halted = self.processors[*at].idle == Idle::Halted;
            (halted, Some(*at) != thread.last)
        });
        let is_free = |at: &&usize| self.processors[**at].idle != Idle::No;
        let Some(first) = all.iter().find(is_free) else {
            // A busy one has to share.
            let is_known = |at: &&usize| self.processors[**at].known;
            let shares = all.iter().find(is_known).filter(|_| thread.allowed != ALL);
            self.kicks |= shares.map_or(0, |at| bit(*at));
            return false;
        };
        let processor = &mut self.processors[*first];
        if processor.idle == Idle::Halted {
            self.kicks |= bit(*first);
        }
        processor.idle = Idle::No;
        processor.offered = Some(thread.index);
        true
    }

    /// The thread that `processor` runs next.
    fn next(&mut self, processor: usize) -> Option<Thread> {
        let offered = self.processors[processor].offered.take();
        let may_run = |thread: &Thread| {
            let holder = self.holder(thread.number);
            let is_held = holder.is_some_and(|holder| holder != processor);
            !is_held && thread.allowed & bit(processor) != 0
        };
        let offered = |thread: &Thread| Some(thread.index) == offered && may_run(thread);
        let first = self.ready.iter().position(may_run);
        let found = self.ready.iter().position(offered).or(first);
        let several = self.processors.len() > 1;
        let next = found.map(|at| {
            self.urgent &= found != first;
            let mut thread = self.ready.remove(at);
            thread.last = Some(processor);
            thread
        });
        let place = &mut self.processors[processor];
        if several {
            place.idle = match next {
                Some(_) => Idle::No,
                None => Idle::Awake,
            };
        }
        place.known = true;
        place.running = next.clone();
        let previous = core::mem::replace(&mut place.current, next.as_ref().map(|t| t.number));
        if let Some(left) = previous
            && self.ready.iter().any(|thread| thread.number == left)
        {
            self.offer(left);
        }
        next
    }

    /// The thread of this number is for these processors from now on; returns the one that runs it
    /// and isn't one of them.
    fn restrict(&mut self, number: u64, allowed: Processors) -> Option<usize> {
        let running = self
            .processors
            .iter_mut()
            .filter_map(|p| p.running.as_mut());
        let all = self.ready.iter_mut().chain(&mut self.waiting);
        let mut all = all.chain(running);
        all.find(|thread| thread.number == number)?.allowed = allowed;
        if self.ready.iter().any(|thread| thread.number == number) {
            self.offer(number);
        }
        let runs = |p: &Processor| p.running.as_ref().is_some_and(|its| its.number == number);
        let holder = self.processors.iter().position(runs)?;
        (allowed & bit(holder) == 0).then_some(holder)
    }

    /// The number of live threads.
    fn live_count(&self) -> usize {
        let running = self.processors.iter().filter_map(|p| p.running.as_ref());
        self.ready.len() + self.waiting.len() + running.count()
    }

    /// Whether a thread is ready while a processor is free and doesn't come for one.
    fn wastes_a_processor(&self) -> bool {
        let comes = |p: &&Processor| p.idle == Idle::No && p.running.is_none();
        let coming = self.processors.iter().filter(comes).count();
        self.processors.iter().enumerate().any(|(at, processor)| {
            let is_free = |thread: &&Thread| self.holder(thread.number).is_none();
            let ready = self.ready.iter().filter(is_free);
            let ready = ready.filter(|thread| thread.allowed & bit(at) != 0);
            processor.idle != Idle::No && ready.count() > coming
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add,
    Next,
    Halt,
    WakeProcessor,
    GiveWay,
    Wait(u8, Option<u8>),
    End,
    Wake(u8, u32, u8),
    Requeue(u8, u8, u8),
    WakeNext(u8, bool),
    Event,
    Expire(u8),
    Interrupt(u8),
    Restrict(u8, u8),
}

/// Steps, each of one of `N` processors.
fn steps<const N: usize>() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let futex = 0..6u8;
    let step = prop_oneof![
        2 => Just(Step::Add),
        6 => Just(Step::Next),
        3 => Just(Step::Halt),
        1 => Just(Step::WakeProcessor),
        2 => Just(Step::GiveWay),
        6 => (0..8u8, proptest::option::of(any::<u8>())).prop_map(|(w, d)| Step::Wait(w, d)),
        1 => Just(Step::End),
        3 => (futex.clone(), 1..4u32, 0..4u8).prop_map(|(f, b, n)| Step::Wake(f, b, n)),
        2 => (futex.clone(), futex.clone(), 0..4u8).prop_map(|(f, t, n)| Step::Requeue(f, t, n)),
        1 => (futex.clone(), any::<bool>()).prop_map(|(f, all)| Step::WakeNext(f, all)),
        1 => Just(Step::Event),
        2 => any::<u8>().prop_map(Step::Expire),
        1 => any::<u8>().prop_map(Step::Interrupt),
        1 => any::<(u8, u8)>().prop_map(|(number, set)| Step::Restrict(number, set)),
    ];
    proptest::collection::vec((0..N, step), 0..300)
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

fn check<const N: usize>(steps: Vec<(usize, Step)>) -> Result<(), TestCaseError> {
    let mut scheduler = Scheduler::<u64, N>::new();
    if N > 1 {
        scheduler.set_smp();
    }
    let mut model = Model::new(N);
    let mut numbers = 0u64;
    for (at, step) in steps {
        let processor = &mut model.processors[at];
        match step {
            Step::Add => {
                let index = scheduler.add(numbers).expect("memory");
                let thread = Thread {
                    number: numbers,
                    index,
                    last: None,
                    allowed: ALL,
                    wait: Wait::Time,
                    deadline: None,
                    woken: Woken::Done,
                };
                model.wake(vec![thread], Woken::Done);
                numbers += 1;
            }
            Step::Next if processor.running.is_none() => {
                let found = scheduler.next(at);
                let found = found.and_then(|index| scheduler.thread(index).copied());
                let expected = model.next(at);
                prop_assert_eq!(found, expected.as_ref().map(|thread| thread.number));
                if let Some(thread) = expected {
                    prop_assert_eq!(scheduler.current(at), thread.index);
                    prop_assert_eq!(scheduler.woken(at), thread.woken);
                }
            }
            Step::Halt if processor.running.is_none() => {
                let halts = N == 1 || processor.idle == Idle::Awake;
                if N > 1 && halts {
                    processor.idle = Idle::Halted;
                }
                prop_assert_eq!(scheduler.halt(at), halts);
            }
            Step::WakeProcessor => {
                if processor.idle == Idle::Halted {
                    processor.idle = Idle::Awake;
                }
                scheduler.wake_processor(at);
            }
            Step::GiveWay => {
                if let Some(thread) = processor.running.take() {
                    scheduler.yield_now(at);
                    model.wake(vec![thread], Woken::Done);
                }
            }
            Step::Wait(kind, deadline) => {
                if let Some(thread) = processor.running.take() {
                    let (wait, deadline) = (wait(kind), deadline.map(u64::from));
                    scheduler.wait(at, wait, deadline);
                    model.waiting.push(Thread {
                        wait,
                        deadline,
                        ..thread
                    });
                }
            }
            Step::End => {
                if let Some(thread) = processor.running.take() {
                    processor.current = None;
                    prop_assert_eq!(scheduler.end(at), Some(thread.number));
                }
            }
            Step::Wake(futex, bits, count) => {
                let of = |waiter: &Thread| {
                    matches!(waiter.wait, Wait::Futex(at, its)
                    if at == address(futex) && its & bits != 0)
                };
                let taken = model.take(of, count.into());
                let expected = model.wake(taken, Woken::Done);
                let woken = scheduler.wake(address(futex), bits, count.into());
                prop_assert_eq!(woken, expected);
            }
            Step::Requeue(from, to, count) if from != to => {
                let of = |waiter: &Thread| {
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
            Step::WakeNext(futex, all) => {
                let of = |waiter: &Thread| {
                    matches!(waiter.wait, Wait::Futex(at, _)
                    if at == address(futex))
                };
                let taken = model.take(of, if all { usize::MAX } else { 1 });
                model.wake_next(taken, Woken::Done);
                if all {
                    scheduler.wake_next(address(futex));
                } else {
                    scheduler.wake_one_next(address(futex));
                }
            }
            Step::Event => {
                let taken = model.take(|waiter| waiter.wait == Wait::Event, usize::MAX);
                prop_assert_eq!(scheduler.event(), !taken.is_empty());
                // The last one first, which the others go before.
                for waiter in taken.into_iter().rev() {
                    model.wake_next(vec![waiter], Woken::Done);
                }
            }
            Step::Expire(now) => {
                let now = u64::from(now);
                let due = |waiter: &Thread| waiter.deadline.is_some_and(|at| at <= now);
                let mut taken = model.take(due, usize::MAX);
                scheduler.expire(now);
                // Equal deadlines expire in any order: in the scheduler's.
                let found = scheduler.ready_for_test();
                let place = |number| found.iter().position(|n| *n == number);
                taken.sort_by_key(|waiter| (waiter.deadline, place(waiter.number)));
                model.wake_next(taken, Woken::Expired);
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
            Step::Restrict(number, set) => {
                let number = u64::from(number) % numbers.max(1);
                let allowed = match Processors::from(set) & (bit(N) - 1) {
                    0 => ALL,
                    some => some,
                };
                let index = scheduler.threads().find(|(_, its)| **its == number);
                if let Some((index, _)) = index {
                    let expected = model.restrict(number, allowed);
                    prop_assert_eq!(scheduler.restrict(index, allowed), expected);
                    prop_assert_eq!(scheduler.misplaced(index), expected);
                }
            }
            _ => {}
        }
        let earliest = model
            .waiting
            .iter()
            .filter_map(|waiter| waiter.deadline)
            .min();
        prop_assert_eq!(scheduler.earliest(), earliest);
        let ready: Vec<u64> = model.ready.iter().map(|thread| thread.number).collect();
        prop_assert_eq!(scheduler.ready_for_test(), ready);
        let offers = model.processors.iter();
        let offers = offers
            .filter(|processor| processor.offered.is_some())
            .count();
        prop_assert_eq!(scheduler.has_ready(), model.ready.len() > offers);
        prop_assert_eq!(scheduler.is_urgent(), model.urgent);
        prop_assert_eq!(scheduler.live_count(), model.live_count());
        prop_assert_eq!(scheduler.take_kicks(), core::mem::take(&mut model.kicks));
        prop_assert!(!model.wastes_a_processor());
    }
    Ok(())
}

impl<const N: usize> Scheduler<u64, N> {
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
    fn agrees_with_lists_that_are_searched(steps in steps::<1>()) {
        check::<1>(steps)?;
    }

    #[test]
    fn agrees_on_several_processors(two in steps::<2>(), four in steps::<4>()) {
        check::<2>(two)?;
        check::<4>(four)?;
    }

    /// Many timers, so that the heap has levels to move one up from where another was removed.
    #[test]
    fn timers_expire_in_order_though_others_were_taken_back(
        deadlines in proptest::collection::vec(any::<u16>(), 8..80),
        taken in proptest::collection::vec(any::<prop::sample::Index>(), 1..20),
    ) {
        let mut scheduler = Scheduler::<u64, 1>::new();
        let mut left = Vec::new();
        for (number, deadline) in deadlines.into_iter().enumerate() {
            scheduler.add(number as u64).expect("memory");
            let thread = scheduler.next(0).expect("ready");
            scheduler.wait(0, Wait::Time, Some(deadline.into()));
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
    let mut scheduler = Scheduler::<u64, 1>::new();
    for number in 0..3 {
        scheduler.add(number).expect("memory");
        scheduler.next(0).expect("ready");
        scheduler.wait(0, Wait::Futex(0x1000, 1), None);
    }
    assert_eq!(scheduler.requeue(0x1000, 0x1000, 9), 3);
    assert_eq!(scheduler.wake(0x1000, 1, 9), 3);
}

/// Runs one thread on each of four processors, which then halt.
fn halted() -> (Scheduler<u64, 4>, Vec<Index>) {
    let mut scheduler = Scheduler::new();
    scheduler.set_smp();
    let mut threads = Vec::new();
    for processor in 0..4 {
        scheduler.add(processor as u64).expect("memory");
        threads.push(scheduler.next(processor).expect("ready"));
    }
    for processor in 0..4 {
        scheduler.wait(processor, Wait::Futex(8 * processor as u64, 1), None);
        assert_eq!(scheduler.next(processor), None);
        assert!(scheduler.halt(processor));
    }
    (scheduler, threads)
}

#[test]
fn a_thread_that_waits_is_held_until_its_processor_runs_another() {
    let (mut scheduler, threads) = halted();
    scheduler.wake(16, 1, 1);
    assert_eq!(scheduler.take_kicks(), 1 << 2, "where it ran last");
    assert_eq!(scheduler.next(2), Some(threads[2]));
    scheduler.wait(2, Wait::Futex(16, 1), None);
    assert_eq!(scheduler.wake(16, 1, 1), 1);
    assert_eq!(scheduler.take_kicks(), 0, "it isn't suspended yet");
    assert_eq!(scheduler.next(1), None);
    assert_eq!(scheduler.next(2), Some(threads[2]));
    // One that runs next in its place lets others take it.
    scheduler.yield_now(2);
    scheduler.wake_next(0);
    assert_eq!(scheduler.take_kicks(), 0, "a processor is awake");
    assert_eq!(scheduler.next(2), Some(threads[0]));
    assert_eq!(
        scheduler.take_kicks(),
        1 << 0,
        "for the thread that it left"
    );
    assert_eq!(scheduler.next(0), Some(threads[2]));
}

#[test]
fn an_awake_processor_is_offered_a_thread_before_halted_ones() {
    let (mut scheduler, _) = halted();
    scheduler.wake_processor(3);
    let first = scheduler.add(4).expect("memory");
    let second = scheduler.add(5).expect("memory");
    assert_eq!(scheduler.take_kicks(), 1, "for the second one");
    assert!(!scheduler.halt(3), "it takes the first one");
    assert_eq!(scheduler.next(0), Some(second));
    assert_eq!(scheduler.next(3), Some(first));
}

#[test]
fn a_thread_returns_to_the_processor_on_which_it_ran() {
    let (mut scheduler, threads) = halted();
    // Others took the places of the threads.
    for number in 4..8 {
        scheduler.add(number).expect("memory");
    }
    assert_eq!(scheduler.take_kicks(), 0b1111);
    for processor in 0..4 {
        scheduler.next(processor).expect("offered");
    }
    for processor in 0..4 {
        scheduler.wait(processor, Wait::Time, None);
        assert_eq!(scheduler.next(processor), None);
        assert!(scheduler.halt(processor));
    }
    scheduler.wake(16, 1, 1);
    assert_eq!(scheduler.take_kicks(), 1 << 2);
    // One that asks by itself is faster.
    scheduler.wake_processor(0);
    assert_eq!(scheduler.next(0), Some(threads[2]));
    assert_eq!(scheduler.next(2), None);
}

#[test]
fn a_processor_has_no_thread_once_that_has_ended() {
    let mut scheduler = Scheduler::<u64, 2>::new();
    scheduler.set_smp();
    let first = scheduler.add(0).expect("memory");
    assert_eq!(scheduler.next(0), Some(first));
    assert_eq!(scheduler.end(0), Some(0));
    // Another thread gets its entry before the processor runs another one.
    assert_eq!(scheduler.add(1).expect("memory"), first);
    let current = scheduler.current(0);
    assert_eq!(scheduler.thread(current), None);
    assert_eq!(scheduler.next(1), Some(first));
    assert_eq!(scheduler.next(0), None);
    assert_eq!(scheduler.thread(first), Some(&mut 1));
}

#[test]
fn a_thread_is_taken_by_its_processors_only() {
    let (mut scheduler, _) = halted();
    let pinned = scheduler.add_for(4, 1 << 2).expect("memory");
    assert_eq!(scheduler.take_kicks(), 1 << 2);
    let free = scheduler.add(5).expect("memory");
    for processor in [0, 1, 3] {
        scheduler.wake_processor(processor);
    }
    assert_eq!(scheduler.next(0), Some(free), "another was first");
    assert_eq!(scheduler.next(1), None);
    assert_eq!(scheduler.next(3), None);
    assert_eq!(scheduler.next(2), Some(pinned));
    assert_eq!(scheduler.take_kicks(), 1, "for the free one");
    // Its processor is busy: it has to share.
    let second = scheduler.add_for(6, 1 << 2).expect("memory");
    assert_eq!(scheduler.take_kicks(), 1 << 2);
    assert!(scheduler.has_ready());
    scheduler.yield_now(2);
    assert_eq!(scheduler.next(2), Some(second));
}

#[test]
fn a_thread_moves_to_its_processors() {
    let (mut scheduler, threads) = halted();
    assert_eq!(scheduler.restrict(threads[2], 1 << 1), None, "it waits");
    scheduler.wake(16, 1, 1);
    assert_eq!(scheduler.take_kicks(), 1 << 1);
    assert_eq!(scheduler.next(1), Some(threads[2]));
    // It runs: that processor has to be interrupted.
    assert_eq!(scheduler.restrict(threads[2], 1 << 3), Some(1));
    assert!(!scheduler.may_stay(1));
    scheduler.yield_now(1);
    assert_eq!(scheduler.take_kicks(), 0, "it isn't suspended yet");
    assert_eq!(scheduler.misplaced(threads[2]), None);
    assert_eq!(scheduler.next(1), None);
    assert_eq!(scheduler.take_kicks(), 1 << 3);
    assert_eq!(scheduler.next(3), Some(threads[2]));
}

#[test]
fn a_ready_thread_moves_to_a_processor_without_one() {
    let (mut scheduler, _) = halted();
    let running = scheduler.add_for(4, 1 << 2).expect("memory");
    assert_eq!(scheduler.next(2), Some(running));
    let ready = scheduler.add_for(5, 1 << 2).expect("memory");
    assert_eq!(scheduler.take_kicks(), 1 << 2, "its processor is busy");
    assert_eq!(scheduler.restrict(ready, 1 << 1 | 1 << 2), None);
    assert_eq!(scheduler.take_kicks(), 1 << 1);
    assert_eq!(scheduler.next(1), Some(ready));
}
