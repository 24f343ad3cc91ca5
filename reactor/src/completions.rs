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

/// The waiter that takes the completions of the first domain's scheduler, one after another.
/// [`scheduler`] numbers those of other domains.
pub const SCHEDULER: u64 = 0;
/// Number of schedulers, one of each domain of OCaml that has one.
pub const SCHEDULERS: usize = 128;
/// The bits of a token below the number of its scheduler.
const SCHEDULER_SHIFT: u32 = 32;
/// The first token of an operation that one thread waits for; the waiter has its number.
pub const FIRST_OF_THREADS: u64 = (SCHEDULERS as u64) << SCHEDULER_SHIFT;
/// The waiter for the end of all drivers' work. It leads before all others.
pub const FINISH: u64 = u64::MAX;

/// The scheduler of a domain, as a waiter. Of its tokens the upper bits are the waiter's.
pub const fn scheduler(domain: usize) -> u64 {
    (domain as u64) << SCHEDULER_SHIFT
}

/// The domain whose scheduler waits for this token.
const fn domain_of(token: u64) -> usize {
    (token >> SCHEDULER_SHIFT) as usize
}

/// The waiter for the operation with this token.
pub(crate) const fn waiter_of(token: u64) -> u64 {
    if token < FIRST_OF_THREADS {
        scheduler(domain_of(token))
    } else {
        token
    }
}

/// The domain whose scheduler this waiter is.
pub(crate) const fn scheduled_domain(waiter: u64) -> Option<usize> {
    let domain = domain_of(waiter);
    if domain < SCHEDULERS && waiter == scheduler(domain) {
        Some(domain)
    } else {
        None
    }
}

/// A follower sleeps while its word has this value.
pub(crate) const FOLLOWS: u32 = 0;
/// Its operation has completed.
const DUE: u32 = 1;
/// It is the leader now.
pub(crate) const LEADS: u32 = 2;

/// What a scheduler has to fetch.
struct Due {
    completions: VecDeque<(u64, Answer)>,
    /// Another domain has something for its tasks.
    called: bool,
}

impl Due {
    const NOTHING: Due = Due {
        completions: VecDeque::new(),
        called: false,
    };
}

/// The schedulers' completions that were not fetched, and followers.
pub(crate) struct Completions {
    /// Of the first domain.
    first: Due,
    /// Of the others, as far as one has been used.
    others: Vec<Due>,
    /// Number of times that a scheduler was woken for something to fetch.
    pub(crate) woken_schedulers: usize,
    /// Waiters and their words, in order of the waiters.
    followers: Vec<(u64, Arc<AtomicU32>)>,
}

impl Completions {
    /// Without completions or followers.
    pub(crate) const fn new() -> Completions {
        Completions {
            first: Due::NOTHING,
            others: Vec::new(),
            woken_schedulers: 0,
            followers: Vec::new(),
        }
    }

    /// Makes room for the completions of `operations` operations of the scheduler of `token`, and
    /// the request to stop: [`Completions::add`] never fails.
    pub(crate) fn reserve(&mut self, token: u64, operations: usize) -> Result<(), Error> {
        let domain = domain_of(token);
        if domain >= SCHEDULERS {
            // A thread's: its answer takes the place of the operation.
            return Ok(());
        }
        self.extend(domain)?;
        let due = self.due_mut(domain).ok_or(Error::Invalid)?;
        let reserved = due.completions.try_reserve(operations + 1);
        reserved.map_err(|_| Error::OutOfMemory)
    }

    /// Makes room for what is due to the domain's scheduler.
    fn extend(&mut self, domain: usize) -> Result<(), Error> {
        let missing = domain.saturating_sub(self.others.len());
        let reserved = self.others.try_reserve(missing);
        reserved.map_err(|_| Error::OutOfMemory)?;
        self.others
            .extend(core::iter::repeat_with(|| Due::NOTHING).take(missing));
        Ok(())
    }

    fn due(&self, domain: usize) -> Option<&Due> {
        match domain.checked_sub(1) {
            None => Some(&self.first),
            Some(other) => self.others.get(other),
        }
    }

    fn due_mut(&mut self, domain: usize) -> Option<&mut Due> {
        match domain.checked_sub(1) {
            None => Some(&mut self.first),
            Some(other) => self.others.get_mut(other),
        }
    }

    /// Adds a completion of a scheduler's operation, and wakes the scheduler if it follows.
    pub(crate) fn add<W: Wait>(&mut self, completion: (u64, Answer)) {
        let domain = domain_of(completion.0);
        if let Some(due) = self.due_mut(domain) {
            due.completions.push_back(completion);
            self.wake::<W>(scheduler(domain));
        }
    }

    /// Ends the wait of the domain's scheduler, or its next one.
    pub(crate) fn call<W: Wait>(&mut self, domain: usize) -> Result<(), Error> {
        if domain >= SCHEDULERS {
            return Err(Error::Invalid);
        }
        self.extend(domain)?;
        self.due_mut(domain).ok_or(Error::Invalid)?.called = true;
        self.wake::<W>(scheduler(domain));
        Ok(())
    }

    /// Wakes the follower that waits as `waiter`, for which there is a completion.
    pub(crate) fn wake<W: Wait>(&mut self, waiter: u64) {
        if let Ok(at) = self.place(waiter)
            && notify::<W>(&self.followers[at].1, DUE)
            && scheduled_domain(waiter).is_some()
        {
            self.woken_schedulers = self.woken_schedulers.wrapping_add(1);
        }
    }

    /// The next completion of the domain's scheduler, whose calls it has heard then.
    pub(crate) fn next(&mut self, domain: usize) -> Option<(u64, Answer)> {
        let due = self.due_mut(domain)?;
        due.called = false;
        due.completions.pop_front()
    }

    /// Whether there is a completion for the domain's scheduler, or a call.
    pub(crate) fn is_due(&self, domain: usize) -> bool {
        let due = self.due(domain);
        due.is_some_and(|due| due.called || !due.completions.is_empty())
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

    /// Whether the waiter is a follower that has not been notified.
    pub(crate) fn follows(&self, waiter: u64) -> bool {
        let at = self.place(waiter);
        at.is_ok_and(|at| self.followers[at].1.load(Ordering::Relaxed) == FOLLOWS)
    }

    /// Removes all followers: they are threads of a parent process.
    pub(crate) fn forget_followers(&mut self) {
        self.followers.clear();
    }

    /// Whether a follower wants to lead at once.
    pub(crate) fn has_finisher(&self) -> bool {
        matches!(self.followers.last(), Some((FINISH, _)))
    }

    /// Makes a follower the leader, preferably the waiter [`FINISH`]; `None` if none is still
    /// waiting.
    pub(crate) fn promote_follower<W: Wait>(&self) -> Option<u64> {
        let mut all = self.followers.iter().rev();
        let (waiter, word) = all.find(|(_, word)| word.load(Ordering::Relaxed) == FOLLOWS)?;
        notify::<W>(word, LEADS);
        Some(*waiter)
    }
}

/// Wakes a follower, unless it was already notified; whether it does. With the runtime's lock.
fn notify<W: Wait>(word: &AtomicU32, state: u32) -> bool {
    let follows = word.load(Ordering::Relaxed) == FOLLOWS;
    if follows {
        // Release: the follower may look at the word before it takes the lock.
        word.store(state, Ordering::Release);
        W::wake(word);
    }
    follows
}

#[cfg(test)]
mod tests {
    use super::{
        Completions, DUE, FINISH, FIRST_OF_THREADS, FOLLOWS, LEADS, SCHEDULER, SCHEDULERS,
        scheduled_domain, scheduler,
    };
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
            assert_eq!(completions.promote_follower::<Host>(), Some(waiters[next]));
            expected[next] = LEADS;
            assert_eq!(state(), expected);
            // A leader whose operation completes stays the leader.
            completions.wake::<Host>(waiters[next]);
            assert_eq!(state(), expected);
        }
        assert_eq!(completions.promote_follower::<Host>(), None);
        for waiter in waiters {
            completions.unfollow(waiter);
        }
        assert!(!completions.has_finisher() && completions.followers.is_empty());
        assert_eq!(
            (completions.next(0), completions.next(0)),
            (Some((3, Ok(1))), None)
        );
    }

    /// Tokens and calls reach the scheduler whose number they have, and no other.
    #[test]
    fn each_scheduler_gets_its_own() {
        let mut completions = Completions::new();
        let domains = [0, 1, 5, SCHEDULERS - 1];
        let words = domains.map(|domain| completions.follow(scheduler(domain)).expect("memory"));
        for (n, domain) in domains.into_iter().enumerate() {
            let token = scheduler(domain) + 7;
            completions.reserve(token, 1).expect("memory");
            completions.add::<Host>((token, Ok(domain)));
            let woken = words
                .each_ref()
                .map(|word| word.load(Ordering::Relaxed) == DUE);
            assert_eq!(woken, core::array::from_fn(|at| at <= n));
            let due = domains.map(|domain| completions.is_due(domain));
            assert_eq!(due, woken);
        }
        for domain in domains {
            let token = scheduler(domain) + 7;
            assert_eq!(completions.next(domain), Some((token, Ok(domain))));
            assert!(!completions.is_due(domain));
            assert_eq!(completions.call::<Host>(domain), Ok(()));
            assert!(completions.is_due(domain));
            assert_eq!(completions.next(domain), None);
            assert!(!completions.is_due(domain));
        }
        let none = completions.call::<Host>(SCHEDULERS);
        assert_eq!(none, Err(super::Error::Invalid));
        assert!(completions.reserve(FIRST_OF_THREADS, 1).is_ok());
        assert_eq!(scheduler(SCHEDULERS), FIRST_OF_THREADS);
        let waiters = [
            0,
            1,
            FIRST_OF_THREADS,
            FINISH,
            scheduler(3),
            scheduler(3) + 1,
        ];
        let scheduled = waiters.map(scheduled_domain);
        assert_eq!(scheduled, [Some(0), None, None, None, Some(3), None]);
    }
}
