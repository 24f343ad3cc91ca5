//! Which processor gets a thread that is ready.

use super::{Entry, Index, NONE, NOWHERE, Processors, READY, Scheduler, State, bit};

/// One of `processors`, `preferred` if it is one of them.
fn choose(processors: Processors, preferred: u8) -> Option<usize> {
    let preferred = usize::from(preferred);
    if preferred < Processors::BITS as usize && processors & bit(preferred) != 0 {
        return Some(preferred);
    }
    (processors != 0).then_some(processors.trailing_zeros() as usize)
}

impl<T, const N: usize> Scheduler<T, N> {
    /// The processors that may run the thread at `index`.
    pub fn allowed(&self, index: Index) -> Processors {
        let entry = self.entries.get(index as usize);
        entry.map_or(Processors::MAX, |entry| entry.allowed)
    }

    /// From now on only the processors of a set may run the thread at `index`. Returns the one that
    /// runs it and isn't one of them: it has to be interrupted, and to yield.
    pub fn restrict(&mut self, index: Index, allowed: Processors) -> Option<usize> {
        let entry = self.entry(index);
        entry.allowed = allowed;
        if entry.state == State::Ready {
            self.offer(index);
        }
        self.misplaced(index)
    }

    /// The processor that runs the thread at `index` and isn't for it.
    pub fn misplaced(&self, index: Index) -> Option<usize> {
        let entry = self.entries.get(index as usize)?;
        let holder = usize::from(entry.holder);
        (entry.state == State::Running && !self.may_stay(holder)).then_some(holder)
    }

    /// Whether the current thread of `processor`, if there is one, may run there.
    pub fn may_stay(&self, processor: usize) -> bool {
        N == 1 || self.allowed(self.current(processor)) & bit(processor) != 0
    }

    /// `processor`, which found no thread, is about to halt. False if one was offered to it since:
    /// it has to call [`Scheduler::next`].
    pub fn halt(&mut self, processor: usize) -> bool {
        if N == 1 {
            return true;
        }
        let halts = self.awake & bit(processor) != 0;
        if halts {
            self.awake &= !bit(processor);
            self.halted |= bit(processor);
        }
        halts
    }

    /// `processor` no longer halts, and soon calls [`Scheduler::next`]: it needs no kick until
    /// then.
    pub fn wake_processor(&mut self, processor: usize) {
        if N > 1 && self.halted & bit(processor) != 0 {
            self.halted &= !bit(processor);
            self.awake |= bit(processor);
        }
    }

    /// The halted processors that threads were offered to since the last call, and busy ones that
    /// have to share with another thread: each needs an interrupt.
    pub fn take_kicks(&mut self) -> Processors {
        core::mem::take(&mut self.kicks)
    }

    /// The processors that threads were offered to since the last call, halted or not.
    pub fn take_calls(&mut self) -> Processors {
        core::mem::take(&mut self.calls)
    }

    /// Offers a ready thread to a free processor; false if its holder hasn't switched away from it,
    /// or none is free, or there is one processor.
    pub(super) fn offer(&mut self, index: Index) -> bool {
        if !self.smp {
            return false;
        }
        let &mut Entry {
            holder,
            last,
            allowed,
            ..
        } = self.entry(index);
        if holder != NOWHERE {
            // It calls `next`.
            return false;
        }
        let free = self.awake | self.halted;
        let Some(processor) =
            choose(allowed & self.awake, last).or_else(|| choose(allowed & self.halted, last))
        else {
            if allowed != Processors::MAX {
                // One that runs others for as long as it likes may be the only one for it.
                self.kicks |= choose(allowed & self.known & !free, last).map_or(0, bit);
            }
            return false;
        };
        self.calls |= bit(processor);
        self.kicks |= self.halted & bit(processor);
        self.awake &= !bit(processor);
        self.halted &= !bit(processor);
        self.offers |= bit(processor);
        self.processor(processor).offered = index;
        true
    }

    /// The thread that was offered to `processor`, if it is still ready.
    pub(super) fn take_offer(&mut self, processor: usize) -> Option<Index> {
        if N == 1 {
            return None;
        }
        self.offers &= !bit(processor);
        // None before the first thread.
        let processors = self.processors.get_mut(processor)?;
        let index = core::mem::replace(&mut processors.offered, NONE);
        let entry = self.entries.get(index as usize)?;
        (entry.state == State::Ready && entry.may_run_on(processor)).then_some(index)
    }

    /// The first ready thread that `processor` may take.
    pub(super) fn first(&self, processor: usize) -> Index {
        let mut index = self.lists[READY].first;
        if N > 1 {
            // Each processor holds at most one ready thread; few are for others only.
            while let Some(entry) = self.entries.get(index as usize)
                && !entry.may_run_on(processor)
            {
                index = entry.next;
            }
        }
        index
    }
}
