//! Results of operations until they are fetched, and the threads that wait for them.
//!
//! # Leader and followers
//! One thread at a time is the *leader*: it runs the drivers and sleeps for all ([`crate::wait`]).
//! Others that wait are *followers*, each asleep on a word of its own. A follower ends its wait
//! when its operation completes; when the leader's own wait ends, it makes a follower the leader.

use crate::runtime::TokenMap;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::hash::BuildHasherDefault;
use core::sync::atomic::{AtomicU32, Ordering};
use hashbrown::HashMap;
use platform::Wait;
use platform::error::{Answer, Error};

/// The waiter that takes the completions of all operations with a token below [`FIRST_OF_THREADS`],
/// one after the other.
pub const SCHEDULER: u64 = 0;
/// The first token of an operation that one thread waits for; the waiter has its number.
pub const FIRST_OF_THREADS: u64 = 1 << 39;
/// The waiter for the end of all that drivers do. It leads whatever else waits.
pub const FINISH: u64 = u64::MAX;

/// A follower sleeps while its word is this.
pub(crate) const FOLLOWS: u32 = 0;
/// Its operation has completed.
const DUE: u32 = 1;
/// It is the leader now.
pub(crate) const LEADS: u32 = 2;

/// Completions that were not fetched, and followers.
pub(crate) struct Completions {
    /// The scheduler's.
    queue: VecDeque<(u64, Answer)>,
    /// Those of threads that wait for one operation.
    answers: TokenMap<Answer>,
    followers: TokenMap<Arc<AtomicU32>>,
}

impl Completions {
    /// None.
    pub(crate) const fn new() -> Completions {
        Completions {
            queue: VecDeque::new(),
            answers: HashMap::with_hasher(BuildHasherDefault::new()),
            followers: HashMap::with_hasher(BuildHasherDefault::new()),
        }
    }

    /// Makes room for the completions of `operations` operations, `token`'s among them, and the
    /// request to stop: [`Completions::add`] never fails.
    pub(crate) fn reserve(&mut self, token: u64, operations: usize) -> Result<(), Error> {
        let reserved = if token < FIRST_OF_THREADS {
            self.queue.try_reserve(operations + 1).is_ok()
        } else {
            self.answers.try_reserve(operations).is_ok()
        };
        reserved.then_some(()).ok_or(Error::OutOfMemory)
    }

    /// Adds a completion, and wakes the follower that waits for it.
    pub(crate) fn add<W: Wait>(&mut self, token: u64, answer: Answer) {
        if token < FIRST_OF_THREADS {
            self.queue.push_back((token, answer));
        } else {
            self.answers.insert(token, answer);
        }
        if !self.followers.is_empty() {
            self.wake::<W>(token);
        }
    }

    #[cold]
    fn wake<W: Wait>(&self, token: u64) {
        let waiter = if token < FIRST_OF_THREADS {
            SCHEDULER
        } else {
            token
        };
        if let Some(word) = self.followers.get(&waiter) {
            tell::<W>(word, DUE);
        }
    }

    /// The scheduler's next.
    pub(crate) fn next(&mut self) -> Option<(u64, Answer)> {
        self.queue.pop_front()
    }

    /// That of the operation that a thread waits for.
    pub(crate) fn take(&mut self, token: u64) -> Option<Answer> {
        self.answers.remove(&token)
    }

    /// Whether there is one for the waiter.
    pub(crate) fn is_due(&self, waiter: u64) -> bool {
        if waiter == SCHEDULER {
            !self.queue.is_empty()
        } else {
            self.answers.contains_key(&waiter)
        }
    }

    /// Adds a follower; the result is its word.
    pub(crate) fn follow(&mut self, waiter: u64) -> Result<Arc<AtomicU32>, Error> {
        let reserved = self.followers.try_reserve(1);
        reserved.map_err(|_| Error::OutOfMemory)?;
        let word = Arc::new(AtomicU32::new(FOLLOWS));
        self.followers.insert(waiter, word.clone());
        Ok(word)
    }

    /// Removes a follower.
    pub(crate) fn unfollow(&mut self, waiter: u64) {
        self.followers.remove(&waiter);
    }

    /// Forgets the followers: they are threads of a parent process.
    pub(crate) fn forget_followers(&mut self) {
        self.followers.clear();
    }

    /// Whether a follower wants to lead at once.
    pub(crate) fn finishes(&self) -> bool {
        !self.followers.is_empty() && self.followers.contains_key(&FINISH)
    }

    /// Makes a follower the leader; `false` if there is none whose wait goes on.
    pub(crate) fn pass_on<W: Wait>(&self) -> bool {
        if self.followers.is_empty() {
            return false;
        }
        let waits = |word: &&Arc<AtomicU32>| word.load(Ordering::Relaxed) == FOLLOWS;
        let first = self.followers.get(&FINISH).filter(waits);
        let next = first.or_else(|| self.followers.values().find(waits));
        next.inspect(|word| tell::<W>(word, LEADS)).is_some()
    }
}

/// Wakes a follower, unless it was told something already. With the runtime's lock.
fn tell<W: Wait>(word: &AtomicU32, news: u32) {
    if word.load(Ordering::Relaxed) == FOLLOWS {
        word.store(news, Ordering::Release);
        W::wake(word);
    }
}
