//! Results of operations until they are fetched, and the threads that wait for them.
//!
//! # Leader and followers
//! One thread at a time is the *leader*: it runs the drivers and sleeps for all ([`crate::wait`]).
//! Other waiting threads are *followers*, each asleep on a word of its own. A follower ends its
//! wait when its operation completes; when the leader's own wait ends, it makes a follower the
//! leader.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use platform::Wait;
use platform::error::{Answer, Error};
use sync::Arc;
use sync::atomic::{AtomicU32, Ordering};

/// The state of the leader.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leader {
    /// There is none.
    Absent,
    /// Runs drivers, or was woken and is about to.
    Awake,
    /// Sleeps, for the interest that the drivers had.
    Asleep,
    /// Was asleep, and has been nudged.
    Nudged,
}

/// The waiter that takes the completions of all operations with a token below [`FIRST_OF_THREADS`],
/// one after another.
pub const SCHEDULER: u64 = 0;
/// The first token of an operation that one thread waits for; the waiter has its number.
pub const FIRST_OF_THREADS: u64 = 1 << 39;
/// The waiter for the end of all drivers' work. It leads before all others.
pub const FINISH: u64 = u64::MAX;

/// A follower sleeps while its word has this value.
pub(crate) const FOLLOWS: u32 = 0;
/// Its operation has completed.
const DUE: u32 = 1;
/// It is the leader now.
pub(crate) const LEADS: u32 = 2;

/// The scheduler's completions that were not fetched, and followers.
pub(crate) struct Completions {
    queue: VecDeque<(u64, Answer)>,
    /// Waiters and their words, in order of the waiters.
    followers: Vec<(u64, Arc<AtomicU32>)>,
}

impl Completions {
    /// Without completions or followers.
    pub(crate) const fn new() -> Completions {
        Completions {
            queue: VecDeque::new(),
            followers: Vec::new(),
        }
    }

    /// Makes room for the completions of `operations` operations, and the request to stop:
    /// [`Completions::add`] never fails.
    pub(crate) fn reserve(&mut self, operations: usize) -> Result<(), Error> {
        let reserved = self.queue.try_reserve(operations + 1);
        reserved.map_err(|_| Error::OutOfMemory)
    }

    /// Adds a completion of the scheduler's, and wakes it if it follows.
    pub(crate) fn add<W: Wait>(&mut self, completion: (u64, Answer)) {
        self.queue.push_back(completion);
        self.wake::<W>(SCHEDULER);
    }

    /// Wakes the follower that waits as `waiter`, for which there is a completion.
    pub(crate) fn wake<W: Wait>(&self, waiter: u64) {
        if let Ok(at) = self.place(waiter) {
            notify::<W>(&self.followers[at].1, DUE);
        }
    }

    /// The scheduler's next completion.
    pub(crate) fn next(&mut self) -> Option<(u64, Answer)> {
        self.queue.pop_front()
    }

    /// Whether there is a completion for the scheduler.
    pub(crate) fn is_due(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The index of a follower, or the index to insert it at.
    fn place(&self, waiter: u64) -> Result<usize, usize> {
        self.followers.binary_search_by_key(&waiter, |(of, _)| *of)
    }

    /// Adds a follower; returns its word.
    pub(crate) fn follow(&mut self, waiter: u64) -> Result<Arc<AtomicU32>, Error> {
        let reserved = self.followers.try_reserve(1);
        reserved.map_err(|_| Error::OutOfMemory)?;
        let word = Arc::new(AtomicU32::new(FOLLOWS));
        let (Ok(at) | Err(at)) = self.place(waiter);
        self.followers.insert(at, (waiter, word.clone()));
        Ok(word)
    }

    /// Removes a follower.
    pub(crate) fn unfollow(&mut self, waiter: u64) {
        if let Ok(at) = self.place(waiter) {
            self.followers.remove(at);
        }
    }

    /// Removes all followers: they are threads of a parent process.
    pub(crate) fn forget_followers(&mut self) {
        self.followers.clear();
    }

    /// Whether a follower wants to lead at once.
    pub(crate) fn has_finisher(&self) -> bool {
        matches!(self.followers.last(), Some((FINISH, _)))
    }

    /// Makes a follower the leader, preferably that of [`FINISH`]; `false` if none is still
    /// waiting.
    pub(crate) fn promote_follower<W: Wait>(&self) -> bool {
        let words = self.followers.iter().rev().map(|(_, word)| word);
        let next = { words }.find(|word| word.load(Ordering::Relaxed) == FOLLOWS);
        next.inspect(|word| notify::<W>(word, LEADS)).is_some()
    }
}

/// Wakes a follower, unless it was already notified. With the runtime's lock.
fn notify<W: Wait>(word: &AtomicU32, state: u32) {
    if word.load(Ordering::Relaxed) == FOLLOWS {
        // Release: the follower may look at the word before it takes the lock.
        word.store(state, Ordering::Release);
        W::wake(word);
    }
}

#[cfg(test)]
mod tests {
    use super::{Completions, DUE, FINISH, FOLLOWS, LEADS, SCHEDULER};
    use core::sync::atomic::Ordering;
    use host::Host;
    use std::vec::Vec;

    /// Many followers, in any order: each is found by its number, notified once, and then skipped
    /// by promotions.
    #[test]
    fn each_of_many_followers_is_notified_once() {
        let mut completions = Completions::new();
        let waiters = [50, 7, FINISH, 90, SCHEDULER, 61, 8, 1];
        let words = waiters.map(|waiter| completions.follow(waiter).expect("memory"));
        let state = || -> Vec<u32> {
            let load = |word: &std::sync::Arc<_>| -> u32 {
                let word: &core::sync::atomic::AtomicU32 = word;
                word.load(Ordering::Relaxed)
            };
            words.iter().map(load).collect()
        };
        assert!(completions.has_finisher());
        for waiter in [90, 7, 2] {
            completions.wake::<Host>(waiter);
        }
        completions.add::<Host>((3, Ok(1)));
        let mut expected = [FOLLOWS, DUE, FOLLOWS, DUE, DUE, FOLLOWS, FOLLOWS, FOLLOWS];
        assert_eq!(state(), expected);
        // The program's end first, then the remaining followers.
        for next in [2, 5, 0, 6, 7] {
            assert!(completions.promote_follower::<Host>());
            expected[next] = LEADS;
            assert_eq!(state(), expected);
            // A leader whose operation completes stays the leader.
            completions.wake::<Host>(waiters[next]);
            assert_eq!(state(), expected);
        }
        assert!(!completions.promote_follower::<Host>());
        for waiter in waiters {
            completions.unfollow(waiter);
        }
        assert!(!completions.has_finisher() && completions.followers.is_empty());
        assert_eq!(
            (completions.next(), completions.next()),
            (Some((3, Ok(1))), None)
        );
    }
}
