//! The heap of deadlines: the earliest first.

use super::{Index, NONE, Scheduler, Woken};

impl<T, const N: usize> Scheduler<T, N> {
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

    /// Sets the deadline of a thread that waits; [`Scheduler::add`] has made room for it.
    pub(super) fn add_timer(&mut self, index: Index, deadline: u64) {
        self.entry(index).deadline = deadline;
        self.timers.push(index);
        self.sift_up(self.timers.len() - 1);
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

    pub(super) fn remove_timer(&mut self, at: usize) {
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
