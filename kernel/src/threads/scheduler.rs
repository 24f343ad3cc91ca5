//! Which thread runs on which processor, and what the others wait for. Pure bookkeeping: no clock,
//! no register.
//!
//! A thread that waits is queued in the same use of the scheduler that checks whether it has to
//! ([`Scheduler::wait_unless`]), and wake-ups use the scheduler after the change: either the check
//! sees the change, or the wake-up finds the thread. `tools/models` checks that under loom, on two
//! processors.
//!
//! Threads are linked into lists through their own entries, and the room for timers is allocated
//! with the thread, so that only [`Scheduler::add`] needs memory.
//!
//! All processors take threads from one list. A processor holds a thread until its next call of
//! [`Scheduler::next`]: until then no other processor can take the thread, ready or not. The switch
//! away from it belongs to the same use of the scheduler.
//!
//! A thread that becomes ready is offered to a processor without one: to an awake one, which calls
//! [`Scheduler::next`] by itself, else to a halted one, which needs a kick; among these to the one
//! on which the thread ran last. With all of them busy it waits for the first that asks. With one
//! processor the compiler removes what is only for several.
//!
//! A thread may be for some processors only ([`Scheduler::restrict`]): the others pass it over.

mod deadlines;
mod placement;

use alloc::vec::Vec;
use sync::atomic::{AtomicU32, Ordering};

/// The index of a thread in the scheduler's table.
pub type Index = u32;
const NONE: Index = Index::MAX;

/// In place of a processor: none.
const NOWHERE: u8 = u8::MAX;

/// The event that ends a thread's wait, in addition to its deadline and a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nothing else.
    Time,
    /// An interrupt of a device.
    Event,
    /// A wake-up of the futex at this address, with one of these bits (futex(2),
    /// `FUTEX_WAIT_BITSET`).
    Futex(u64, u32),
}

/// Why a thread resumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The event has happened.
    Done,
    /// Its deadline passed.
    Expired,
    /// A signal has to be handled.
    Interrupted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Running,
    Ready,
    Waiting(Wait),
}

struct Entry<T> {
    state: State,
    woken: Woken,
    /// The processor that holds it.
    holder: u8,
    /// The processor on which it ran last.
    last: u8,
    /// The processors that may run it.
    allowed: Processors,
    deadline: u64,
    /// Position in `timers`; [`NONE`] without a deadline.
    timer: Index,
    previous: Index,
    next: Index,
    thread: Option<T>,
}

/// First and last of a list of entries.
#[derive(Clone, Copy)]
struct List {
    first: Index,
    last: Index,
}

const EMPTY: List = List {
    first: NONE,
    last: NONE,
};

/// Lists by number: free entries, ready threads, those that wait for an event, futexes by hash.
const FREE: usize = 0;
const READY: usize = 1;
const EVENTS: usize = 2;
const FUTEXES: usize = 3;
const BUCKETS: usize = 64;

impl<T> Entry<T> {
    /// Whether it is for this processor, and no other holds it.
    fn may_run_on(&self, processor: usize) -> bool {
        let is_held = self.holder != NOWHERE && usize::from(self.holder) != processor;
        !is_held && self.allowed & bit(processor) != 0
    }
}

/// The set of one processor.
pub fn bit(processor: usize) -> Processors {
    1 << processor
}

/// The place of a processor among `N`: the only one needs no check.
fn place<const N: usize>(processor: usize) -> usize {
    if N == 1 { 0 } else { processor }
}

fn bucket(address: u64) -> usize {
    // Fibonacci hashing: futexes are words, often at equal offsets of equal structures.
    FUTEXES + ((address >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
}

/// A set of processors.
pub type Processors = u64;

/// What the scheduler has for each processor.
#[derive(Clone, Copy)]
struct Processor {
    /// The thread that it holds; [`NONE`] while it idles.
    current: Index,
    /// A ready thread that was offered to it while no thread ran.
    offered: Index,
}

/// The threads of the program on up to `N` processors, numbered from 0; `T` is further data of
/// each thread.
pub struct Scheduler<T, const N: usize> {
    entries: Vec<Entry<T>>,
    lists: [List; FUTEXES + BUCKETS],
    /// A binary heap of the threads with deadlines, the earliest first.
    timers: Vec<Index>,
    /// Of each processor; empty before the first thread.
    processors: Vec<Processor>,
    /// Those that found no thread, and to which none was offered since. They ask again before they
    /// halt.
    awake: Processors,
    /// The same, but halted.
    halted: Processors,
    /// Those that a thread was offered to since the last call of [`Scheduler::take_calls`].
    calls: Processors,
    /// Those of them that were halted, since the last call of [`Scheduler::take_kicks`].
    kicks: Processors,
    /// Those with an offer that they haven't seen.
    offers: Processors,
    /// Number of ready threads.
    ready: usize,
    /// More than one processor takes threads.
    smp: bool,
    /// Those that have asked for a thread.
    known: Processors,
    live_count: usize,
    /// A thread was woken to run next since the last one began to run.
    urgent: bool,
}

impl<T, const N: usize> Scheduler<T, N> {
    /// No thread. Processors are busy until they ask for one.
    #[expect(clippy::new_without_default, reason = "made at compile time")]
    pub const fn new() -> Self {
        const { assert!(N > 0 && N <= Processors::BITS as usize) };
        Self {
            entries: Vec::new(),
            lists: [EMPTY; FUTEXES + BUCKETS],
            timers: Vec::new(),
            processors: Vec::new(),
            awake: 0,
            halted: 0,
            calls: 0,
            kicks: 0,
            offers: 0,
            ready: 0,
            smp: false,
            known: 0,
            live_count: 0,
            urgent: false,
        }
    }

    /// Adds a thread for all processors, which is ready to run; returns it if memory is short.
    pub fn add(&mut self, thread: T) -> Result<Index, T> {
        self.add_for(thread, Processors::MAX)
    }

    /// The same for the processors of a set.
    pub fn add_for(&mut self, thread: T, allowed: Processors) -> Result<Index, T> {
        let missing = N - self.processors.len();
        if self.processors.try_reserve_exact(missing).is_err()
            || self.entries.try_reserve(1).is_err()
            || self.timers.try_reserve(self.live_count + 1).is_err()
        {
            return Err(thread);
        }
        let busy = Processor {
            current: NONE,
            offered: NONE,
        };
        self.processors.resize(N, busy);
        let index = match self.lists[FREE].first {
            NONE => {
                self.entries.push(Entry {
                    state: State::Free,
                    woken: Woken::Done,
                    holder: NOWHERE,
                    last: NOWHERE,
                    allowed,
                    deadline: 0,
                    timer: NONE,
                    previous: NONE,
                    next: NONE,
                    thread: None,
                });
                (self.entries.len() - 1) as Index
            }
            free => {
                self.unlink(FREE, free);
                free
            }
        };
        let entry = self.entry(index);
        entry.thread = Some(thread);
        entry.last = NOWHERE;
        entry.allowed = allowed;
        self.live_count += 1;
        self.make_ready(index, Woken::Done);
        Ok(index)
    }

    /// From now on several processors take threads.
    pub fn set_smp(&mut self) {
        self.smp = true;
    }

    /// Number of threads that haven't ended.
    pub fn live_count(&self) -> usize {
        self.live_count
    }

    /// The thread that `processor` holds: the one that runs, or has just begun to wait.
    pub fn current(&self, processor: usize) -> Index {
        let processor = self.processors.get(place::<N>(processor));
        processor.map_or(NONE, |processor| processor.current)
    }

    /// The processor that holds the thread at `index`.
    pub fn holder(&self, index: Index) -> Option<usize> {
        let holder = self.entries.get(index as usize)?.holder;
        (holder != NOWHERE).then_some(holder.into())
    }

    /// The data of the thread at `index`.
    pub fn thread(&mut self, index: Index) -> Option<&mut T> {
        self.entries.get_mut(index as usize)?.thread.as_mut()
    }

    /// All threads with their indices.
    pub fn threads(&self) -> impl Iterator<Item = (Index, &T)> {
        let entries = (0..).zip(&self.entries);
        entries.filter_map(|(index, entry)| Some((index, entry.thread.as_ref()?)))
    }

    /// Whether a thread could run now for which no processor is free.
    pub fn has_ready(&self) -> bool {
        self.ready > self.offers.count_ones() as usize
    }

    /// Whether a thread was woken to run next, by an event, its deadline or
    /// [`Scheduler::wake_next`], that no processor was free for and none has taken since.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Why the current thread of `processor` resumes after its last wait.
    pub fn woken(&mut self, processor: usize) -> Woken {
        self.entry(self.current(processor)).woken
    }

    /// Takes a ready thread to run on `processor`, in place of its current one: the one that was
    /// offered to it, else the first. Without any the processor is free, but awake. The caller
    /// switches to the thread, or to the processor's idle thread, before it ends this use of the
    /// scheduler: other processors may take the one before.
    pub fn next(&mut self, processor: usize) -> Option<Index> {
        let first = self.first(processor);
        let index = self.take_offer(processor).unwrap_or(first);
        if N > 1 {
            self.known |= bit(processor);
            self.halted &= !bit(processor);
            match index {
                NONE => self.awake |= bit(processor),
                _ => self.awake &= !bit(processor),
            }
        }
        if index != NONE {
            // Another may have been woken to run next since this one was offered.
            if N == 1 || index == first {
                self.urgent = false;
            }
            self.unlink(READY, index);
            self.ready -= 1;
            let entry = self.entry(index);
            entry.state = State::Running;
            if N > 1 {
                (entry.holder, entry.last) = (processor as u8, processor as u8);
            }
        }
        // None before the first thread.
        let current = &mut self.processors.get_mut(place::<N>(processor))?.current;
        let previous = core::mem::replace(current, index);
        if N > 1 && previous != index && previous != NONE {
            let entry = self.entry(previous);
            entry.holder = NOWHERE;
            if entry.state == State::Ready {
                // No other processor could take it before.
                self.offer(previous);
            }
        }
        (index != NONE).then_some(index)
    }

    /// The current thread of `processor` yields to ready ones.
    pub fn yield_now(&mut self, processor: usize) {
        self.make_ready(self.current(processor), Woken::Done);
    }

    /// The current thread of `processor` waits, until `deadline` at the latest.
    pub fn wait(&mut self, processor: usize, wait: Wait, deadline: Option<u64>) {
        let index = self.current(processor);
        self.entry(index).state = State::Waiting(wait);
        match wait {
            Wait::Time => {}
            Wait::Event => self.link(EVENTS, index),
            Wait::Futex(address, _) => self.link(bucket(address), index),
        }
        if let Some(deadline) = deadline {
            self.add_timer(index, deadline);
        }
    }

    /// [`Scheduler::wait`], unless `is_over` returns true: what it waits for has happened. Returns
    /// whether it waits.
    pub fn wait_unless(
        &mut self,
        processor: usize,
        is_over: impl FnOnce() -> bool,
        wait: Wait,
        deadline: Option<u64>,
    ) -> bool {
        let waits = !is_over();
        if waits {
            self.wait(processor, wait, deadline);
        }
        waits
    }

    /// The current thread of `processor` waits for a wake-up of the futex `word` with one of
    /// `bits`, if that has this value. Returns whether it waits.
    pub fn wait_while(
        &mut self,
        processor: usize,
        word: &AtomicU32,
        value: u32,
        bits: u32,
        deadline: Option<u64>,
    ) -> bool {
        // Relaxed: a change whose wake-up has used the scheduler before is seen by that order. What
        // was written before the change is seen by who loads the word after this: a wait may end
        // early, so every caller does.
        let is_over = || word.load(Ordering::Relaxed) != value;
        let wait = Wait::Futex(word.as_ptr() as u64, bits);
        self.wait_unless(processor, is_over, wait, deadline)
    }

    /// The current thread of `processor` has ended: the processor has none until it calls
    /// [`Scheduler::next`], and is on that thread's stack.
    pub fn end(&mut self, processor: usize) -> Option<T> {
        let processor = self.processors.get_mut(place::<N>(processor))?;
        let index = core::mem::replace(&mut processor.current, NONE);
        let entry = self.entries.get_mut(index as usize)?;
        entry.state = State::Free;
        entry.holder = NOWHERE;
        let thread = entry.thread.take();
        self.link(FREE, index);
        self.live_count -= 1;
        thread
    }

    /// Wakes up to `count` threads that wait for the futex at `address` with one of `bits`, the
    /// longest waiting first; returns their number.
    pub fn wake(&mut self, address: u64, bits: u32, count: u64) -> u64 {
        let mut woken = 0;
        let mut at = self.lists[bucket(address)].first;
        while at != NONE && woken < count {
            let next = self.entry(at).next;
            if let State::Waiting(Wait::Futex(of, its)) = self.entry(at).state
                && of == address
                && its & bits != 0
            {
                self.end_wait(at, Woken::Done);
                woken += 1;
            }
            at = next;
        }
        woken
    }

    /// Wakes the threads that wait for the futex at `address`: they run next, the longest waiting
    /// first.
    pub fn wake_next(&mut self, address: u64) {
        self.wake_before_others(address, usize::MAX);
    }

    /// The same for the first of them.
    pub fn wake_one_next(&mut self, address: u64) {
        self.wake_before_others(address, 1);
    }

    fn wake_before_others(&mut self, address: u64, mut count: usize) {
        let mut previous = NONE;
        let mut at = self.lists[bucket(address)].first;
        while at != NONE && count > 0 {
            let next = self.entry(at).next;
            if matches!(self.entry(at).state, State::Waiting(Wait::Futex(of, _)) if of == address) {
                self.make_next(at, Woken::Done, previous);
                previous = at;
                count -= 1;
            }
            at = next;
        }
    }

    /// Requeues up to `count` threads that wait for the futex at `from` to that at `to`; returns
    /// their number.
    pub fn requeue(&mut self, from: u64, to: u64, count: u64) -> u64 {
        let mut moved = 0;
        let List { first, last } = self.lists[bucket(from)];
        let mut at = first;
        while at != NONE && moved < count {
            // A thread that is moved within the bucket goes after the last one.
            let next = if at == last {
                NONE
            } else {
                self.entry(at).next
            };
            if let State::Waiting(Wait::Futex(of, bits)) = self.entry(at).state
                && of == from
            {
                self.unlink(bucket(from), at);
                self.entry(at).state = State::Waiting(Wait::Futex(to, bits));
                self.link(bucket(to), at);
                moved += 1;
            }
            at = next;
        }
        moved
    }

    /// Handles an interrupt of a device: threads that wait for one run next. Returns whether there
    /// are any.
    pub fn event(&mut self) -> bool {
        let mut any = false;
        while self.lists[EVENTS].last != NONE {
            let index = self.lists[EVENTS].last;
            self.make_next(index, Woken::Done, NONE);
            any = true;
        }
        any
    }

    /// Ends the wait of the thread at `index`, if it waits, for a signal.
    pub fn interrupt(&mut self, index: Index) {
        if matches!(self.entry(index).state, State::Waiting(_)) {
            self.end_wait(index, Woken::Interrupted);
        }
    }

    fn end_wait(&mut self, index: Index, woken: Woken) {
        self.leave_wait(index);
        self.make_ready(index, woken);
    }

    /// Ends a thread's wait; it runs after `previous`, or first for [`NONE`].
    fn make_next(&mut self, index: Index, woken: Woken, previous: Index) {
        self.leave_wait(index);
        let entry = self.entry(index);
        entry.state = State::Ready;
        entry.woken = woken;
        self.link_after(READY, previous, index);
        self.ready += 1;
        if !self.offer(index) {
            self.urgent = true;
        }
    }

    fn make_ready(&mut self, index: Index, woken: Woken) {
        let entry = self.entry(index);
        entry.state = State::Ready;
        entry.woken = woken;
        self.link(READY, index);
        self.ready += 1;
        self.offer(index);
    }

    fn processor(&mut self, processor: usize) -> &mut Processor {
        &mut self.processors[place::<N>(processor)]
    }

    /// Removes a waiting thread from the lists.
    fn leave_wait(&mut self, index: Index) {
        match self.entry(index).state {
            State::Waiting(Wait::Event) => self.unlink(EVENTS, index),
            State::Waiting(Wait::Futex(address, _)) => self.unlink(bucket(address), index),
            _ => {}
        }
        let at = self.entry(index).timer;
        if at != NONE {
            self.remove_timer(at as usize);
        }
    }

    fn entry(&mut self, index: Index) -> &mut Entry<T> {
        &mut self.entries[index as usize]
    }

    fn link(&mut self, list: usize, index: Index) {
        self.link_after(list, self.lists[list].last, index);
    }

    /// Links it after `previous`; first for [`NONE`].
    fn link_after(&mut self, list: usize, previous: Index, index: Index) {
        let next = match previous {
            NONE => self.lists[list].first,
            previous => self.entry(previous).next,
        };
        let entry = self.entry(index);
        (entry.previous, entry.next) = (previous, next);
        match previous {
            NONE => self.lists[list].first = index,
            previous => self.entry(previous).next = index,
        }
        match next {
            NONE => self.lists[list].last = index,
            next => self.entry(next).previous = index,
        }
    }

    fn unlink(&mut self, list: usize, index: Index) {
        let entry = self.entry(index);
        let (previous, next) = (entry.previous, entry.next);
        match previous {
            NONE => self.lists[list].first = next,
            previous => self.entry(previous).next = next,
        }
        match next {
            NONE => self.lists[list].last = previous,
            next => self.entry(next).previous = previous,
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
