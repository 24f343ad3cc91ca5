//! Which thread runs, and what the others wait for. Pure bookkeeping: no clock, no register.
//!
//! A thread that waits is queued in the same use of the scheduler that checks whether it has to
//! ([`Scheduler::wait_unless`]), and wake-ups use the scheduler after the change: either the check
//! sees the change, or the wake-up finds the thread. `tools/models` checks that under loom, on two
//! processors.
//!
//! Threads are linked into lists through their own entries, and the room for timers is allocated
//! with the thread, so that only [`Scheduler::add`] needs memory.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

/// The index of a thread in the scheduler's table.
pub type Index = u32;
const NONE: Index = Index::MAX;

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

fn bucket(address: u64) -> usize {
    // Fibonacci hashing: futexes are words, often at equal offsets of equal structures.
    FUTEXES + ((address >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
}

/// The threads of the program; `T` is further data of each.
pub struct Scheduler<T> {
    entries: Vec<Entry<T>>,
    lists: [List; FUTEXES + BUCKETS],
    /// A binary heap of the threads with deadlines, the earliest first.
    timers: Vec<Index>,
    current: Index,
    live_count: usize,
    /// A thread was woken to run next since the last one began to run.
    urgent: bool,
}

impl<T> Scheduler<T> {
    /// No thread.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            lists: [EMPTY; FUTEXES + BUCKETS],
            timers: Vec::new(),
            current: NONE,
            live_count: 0,
            urgent: false,
        }
    }

    /// Adds a thread, which is ready to run; returns it if memory is short.
    pub fn add(&mut self, thread: T) -> Result<Index, T> {
        if self.entries.try_reserve(1).is_err()
            || self.timers.try_reserve(self.live_count + 1).is_err()
        {
            return Err(thread);
        }
        let index = match self.lists[FREE].first {
            NONE => {
                self.entries.push(Entry {
                    state: State::Free,
                    woken: Woken::Done,
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
        self.entry(index).thread = Some(thread);
        self.live_count += 1;
        self.make_ready(index, Woken::Done);
        Ok(index)
    }

    /// Number of threads that haven't ended.
    pub fn live_count(&self) -> usize {
        self.live_count
    }

    /// The running thread.
    pub fn current(&self) -> Index {
        self.current
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

    /// Whether another thread could run now.
    pub fn has_ready(&self) -> bool {
        self.lists[READY].first != NONE
    }

    /// Whether a thread was woken to run next since the current one began to run: by an event, its
    /// deadline or [`Scheduler::wake_next`].
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Why the current thread resumes after its last wait.
    pub fn woken(&mut self) -> Woken {
        self.entry(self.current).woken
    }

    /// Takes the first ready thread to run; there is no current one until then.
    pub fn next(&mut self) -> Option<Index> {
        let index = self.lists[READY].first;
        if index == NONE {
            return None;
        }
        self.unlink(READY, index);
        self.entry(index).state = State::Running;
        self.current = index;
        self.urgent = false;
        Some(index)
    }

    /// The current thread yields to ready ones.
    pub fn yield_now(&mut self) {
        self.make_ready(self.current, Woken::Done);
    }

    /// The current thread waits, until `deadline` at the latest.
    pub fn wait(&mut self, wait: Wait, deadline: Option<u64>) {
        let index = self.current;
        self.entry(index).state = State::Waiting(wait);
        match wait {
            Wait::Time => {}
            Wait::Event => self.link(EVENTS, index),
            Wait::Futex(address, _) => self.link(bucket(address), index),
        }
        if let Some(deadline) = deadline {
            self.entry(index).deadline = deadline;
            self.timers.push(index);
            self.sift_up(self.timers.len() - 1);
        }
    }

    /// [`Scheduler::wait`], unless `is_over` returns true: what it waits for has happened. Returns
    /// whether it waits.
    pub fn wait_unless(
        &mut self,
        is_over: impl FnOnce() -> bool,
        wait: Wait,
        deadline: Option<u64>,
    ) -> bool {
        let waits = !is_over();
        if waits {
            self.wait(wait, deadline);
        }
        waits
    }

    /// The current thread waits for a wake-up of the futex `word` with one of `bits`, if that has
    /// this value. Returns whether it waits.
    pub fn wait_while(
        &mut self,
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
        self.wait_unless(is_over, wait, deadline)
    }

    /// The current thread has ended.
    pub fn end(&mut self) -> Option<T> {
        let index = self.current;
        self.entry(index).state = State::Free;
        self.link(FREE, index);
        self.live_count -= 1;
        self.entry(index).thread.take()
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
        let mut previous = NONE;
        let mut at = self.lists[bucket(address)].first;
        while at != NONE {
            let next = self.entry(at).next;
            if matches!(self.entry(at).state, State::Waiting(Wait::Futex(of, _)) if of == address) {
                self.make_next(at, Woken::Done, previous);
                previous = at;
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

    /// Ends waits whose deadline is `now` or earlier: these threads run next, in the order of their
    /// deadlines.
    pub fn expire(&mut self, now: u64) {
        let mut previous = NONE;
        while let Some(&index) = self.timers.first() {
            if self.entry(index).deadline > now {
                break;
            }
            self.make_next(index, Woken::Expired, previous);
            previous = index;
        }
    }

    /// The earliest deadline of a waiting thread.
    pub fn earliest(&self) -> Option<u64> {
        let first = self.timers.first()?;
        Some(self.entries.get(*first as usize)?.deadline)
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
        self.urgent = true;
    }

    fn make_ready(&mut self, index: Index, woken: Woken) {
        let entry = self.entry(index);
        entry.state = State::Ready;
        entry.woken = woken;
        self.link(READY, index);
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

    fn deadline_at(&mut self, at: usize) -> u64 {
        let index = self.timers[at];
        self.entry(index).deadline
    }

    fn place_timer(&mut self, at: usize, index: Index) {
        self.timers[at] = index;
        self.entry(index).timer = at as Index;
    }

    fn sift_up(&mut self, mut at: usize) {
        let index = self.timers[at];
        let deadline = self.entry(index).deadline;
        while at > 0 && self.deadline_at((at - 1) / 2) > deadline {
            let parent = self.timers[(at - 1) / 2];
            self.place_timer(at, parent);
            at = (at - 1) / 2;
        }
        self.place_timer(at, index);
    }

    fn sift_down(&mut self, mut at: usize) {
        let index = self.timers[at];
        let deadline = self.entry(index).deadline;
        loop {
            let mut child = 2 * at + 1;
            if child >= self.timers.len() {
                break;
            }
            if child + 1 < self.timers.len()
                && self.deadline_at(child + 1) < self.deadline_at(child)
            {
                child += 1;
            }
            if self.deadline_at(child) >= deadline {
                break;
            }
            let lower = self.timers[child];
            self.place_timer(at, lower);
            at = child;
        }
        self.place_timer(at, index);
    }

    fn remove_timer(&mut self, at: usize) {
        let index = self.timers[at];
        self.entry(index).timer = NONE;
        let last = self.timers.pop().unwrap_or(NONE);
        if last != index {
            self.place_timer(at, last);
            self.sift_up(at);
            let at = self.entry(last).timer as usize;
            self.sift_down(at);
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
