//! The one wait of the process, and the futex.

use crate::poll::{poll, timespec};
use crate::{Host, Interest, Ring, errno, event, ring, signals, ticker};
use alloc::vec::Vec;
use core::time::Duration;
use platform::{Clock, Signals, Ticker, Wait, Woken};
use sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[cfg(feature = "ocaml")]
mod ocaml {
    unsafe extern "C" {
        /// Lets other OCaml threads run; unlike the one without `no_pending` it runs no signal
        /// handler of OCaml's.
        pub fn caml_enter_blocking_section_no_pending();
        /// Reacquires the OCaml runtime.
        pub fn caml_leave_blocking_section();
    }
}

/// A prepared sleep.
pub struct Sleep {
    fds: Vec<libc::pollfd>,
    /// By the ring, if there is one.
    ring: Option<ring::Sleep>,
    until: Option<u64>,
    signals: Signals,
    /// The ticker's thread ends it, if it lasts.
    is_watched: bool,
    interrupted: bool,
}

/// How long a follower sleeps on a Linux without `futex_waitv(2)` (before 5.16), before it checks
/// for signals again.
const POLL_NS: u64 = 50_000_000;

impl Sleep {
    /// Sleeps until an event, the time `until`, or a signal; the thread's mask is `mask` meanwhile,
    /// if given. Returns whether it ended before the time without a known event.
    fn once(&mut self, until: Option<u64>, mask: Option<&libc::sigset_t>) -> bool {
        let left =
            || until.map(|until| Duration::from_nanos(until.saturating_sub(Host::monotonic_ns())));
        let time = left();
        match &mut self.ring {
            Some(ring) => {
                ring.sleep(time, mask);
                // It doesn't distinguish a signal from a timeout.
                left() != Some(Duration::ZERO)
            }
            None => poll(&mut self.fds, time, mask),
        }
    }

    /// [`Sleep::once`], also ended by an earlier signal that OCaml has only recorded. A signal may
    /// arrive between the check for it and the system call, which would sleep on: signals are
    /// blocked by then, and unblocked by the system call. Not in a sleep that is watched: it isn't
    /// long, and the next one checks.
    fn until_signal(&mut self) -> bool {
        if signals::are_due() {
            return true;
        }
        if self.until == Some(0) || self.is_watched {
            return self.once(self.until, None);
        }
        let blocked = signals::block();
        blocked.are_due() || self.once(self.until, Some(blocked.before()))
    }
}

/// Number of forks between the program's first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// This process has forked, too.
static HAS_CHILDREN: AtomicBool = AtomicBool::new(false);

extern "C" fn in_parent() {
    HAS_CHILDREN.store(true, Ordering::Relaxed);
}

/// Whether another process may have the descriptors of this one.
pub fn shares_descriptors() -> bool {
    HAS_CHILDREN.load(Ordering::Relaxed) || Host::forks() > 0
}

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    event::reopen();
}

/// From now on counts forks, and gives each child its own event.
pub fn count_forks() {
    // SAFETY: the function lives as long as the program, and calls only what a child of threads
    // may. Without memory for it a child may take its parent's threads and wake-ups for its own.
    unsafe { libc::pthread_atfork(None, Some(in_parent), Some(in_child)) };
}

impl Wait for Host {
    type Interest = Interest;
    type Sleep = Sleep;

    fn lock_tries() -> u32 {
        100
    }

    fn prepare(interest: &mut Interest, until: Option<u64>, signals: Signals) -> Sleep {
        let is_watched = ticker::sleeps();
        let fds = core::mem::take(&mut interest.fds);
        let by_ring = |ring: &mut Ring| ring.with(|ring| ring.prepare(&fds));
        Sleep {
            ring: interest.ring.as_mut().and_then(by_ring),
            fds,
            until: if interest.immediate { Some(0) } else { until },
            signals,
            is_watched,
            interrupted: false,
        }
    }

    fn sleep(sleep: &mut Sleep) {
        if sim::is_simulated() {
            sim::wait(sleep.until);
            return;
        }
        sleep.interrupted = match sleep.signals {
            Signals::End => sleep.until_signal(),
            Signals::Ignored => sleep.once(sleep.until, None),
        };
    }

    fn finish(interest: &mut Interest, mut sleep: Sleep) -> Woken {
        let Interest {
            fds,
            links,
            ring,
            offload,
            ..
        } = interest;
        if let (Some(ring), Some(slept)) = (ring, sleep.ring) {
            let event = ring.with(|ring| ring.finish(&mut sleep.fds, slept));
            sleep.interrupted &= event != Some(true);
        }
        *fds = sleep.fds;
        for (place, wake) in links {
            wake.note_readiness(fds.get(*place).is_some_and(|found| found.revents != 0));
        }
        event::clear();
        if let Some(offload) = offload {
            offload.clear_event();
        }
        if sleep.interrupted {
            Woken::Interrupted
        } else {
            Woken::Event
        }
    }

    fn nudge() {
        event::raise();
    }

    fn enter_blocking() {
        // SAFETY: this thread holds the OCaml runtime, having been called from OCaml, and touches
        // nothing of OCaml's until `leave_blocking`.
        #[cfg(feature = "ocaml")]
        unsafe {
            ocaml::caml_enter_blocking_section_no_pending();
        }
    }

    fn leave_blocking() {
        // SAFETY: after `enter_blocking`.
        #[cfg(feature = "ocaml")]
        unsafe {
            ocaml::caml_leave_blocking_section();
        }
    }

    fn expect_threads() {
        ring::expect_threads();
    }

    fn forks() -> u32 {
        FORKS.load(Ordering::Relaxed)
    }

    fn resume(_: u64) {
        ticker::resume();
    }

    fn start_ticker(ticker: &'static Ticker) {
        // In a simulation no time passes while the program computes.
        if !sim::is_simulated() {
            ticker::start(ticker);
        }
    }

    fn await_change(word: &AtomicU32, value: u32, until: Option<u64>) {
        let until = until.map(|until| timespec(Duration::from_nanos(until)));
        let until = until
            .as_ref()
            .map_or(core::ptr::null(), core::ptr::from_ref);
        // Unlike FUTEX_WAIT it takes a time of the monotonic clock, not a duration.
        let operation = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
        let (word, nothing) = (word.as_ptr(), core::ptr::null::<u32>());
        let any = libc::FUTEX_BITSET_MATCH_ANY;
        // SAFETY: futex(2) on a word and a time that live during the call.
        unsafe { libc::syscall(libc::SYS_futex, word, operation, value, until, nothing, any) };
    }

    fn await_change_or_signal(word: &AtomicU32, value: u32, until: Option<u64>) {
        let (noted, due) = signals::noted();
        if due {
            return;
        }
        // The kernel sees a signal that is recorded from here on.
        let [low, high] = noted;
        if !await_changes([(word.as_ptr(), value), low, high], until) {
            let poll_at = Host::monotonic_ns() + POLL_NS;
            let until = until.map_or(poll_at, |until| until.min(poll_at));
            Host::await_change(word, value, Some(until));
        }
    }

    fn await_release(word: &AtomicU32, value: u32) {
        // The kernel runs handlers, and the lock's holder, at any time.
        Host::await_change(word, value, None);
    }

    fn wake(word: &AtomicU32) {
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
    }
}

/// Sleeps while all these words have these values, until one is woken, the time `until`, or a
/// signal (futex_waitv(2)); `false` if Linux doesn't support it.
fn await_changes(words: [(*mut u32, u32); 3], until: Option<u64>) -> bool {
    let waiters = words.map(|(word, value)| {
        // SAFETY: numbers, of which 0 is valid. There is a reserved one that can't be named.
        let mut waiter: libc::futex_waitv = unsafe { core::mem::zeroed() };
        waiter.val = value.into();
        waiter.uaddr = word.expose_provenance() as u64;
        waiter.flags = (libc::FUTEX2_SIZE_U32 | libc::FUTEX2_PRIVATE) as u32;
        waiter
    });
    let until = until.map(|until| timespec(Duration::from_nanos(until)));
    let until = until
        .as_ref()
        .map_or(core::ptr::null(), core::ptr::from_ref);
    let (start, flags) = (waiters.as_ptr(), 0);
    // SAFETY: futex_waitv(2) on words and a time that live during the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            start,
            waiters.len(),
            flags,
            until,
            libc::CLOCK_MONOTONIC,
        )
    };
    answer >= 0 || errno() != libc::ENOSYS
}

#[cfg(test)]
pub mod tests {
    use super::count_forks;
    use crate::event;

    /// Runs `f` in the child of a fork, which has one thread; returns whether it was true.
    pub fn in_child(f: impl FnOnce() -> bool) -> bool {
        let mut status = -1;
        // SAFETY: the child exits, and calls what needs no lock of another thread, but for the C
        // library's allocator, which a fork leaves usable.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(i32::from(!f()));
            }
            libc::waitpid(child, &raw mut status, 0) == child && status == 0
        }
    }

    /// Whether a descriptor becomes readable within this time; -1 for no limit.
    pub fn is_readable(fd: i32, ms: i32) -> bool {
        let mut entry = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry.
        unsafe { libc::poll(&raw mut entry, 1, ms) == 1 }
    }

    fn is_raised() -> bool {
        is_readable(event::descriptor(), 0)
    }

    /// Clears the event; returns whether it was raised and isn't any more.
    fn is_cleared() -> bool {
        let raised = is_raised();
        event::clear();
        raised && !is_raised()
    }

    /// Neither process wakes the other, or takes its wake-up. What was raised before the fork wakes
    /// both. The descriptor is the same, so that a lower one stays free.
    #[test]
    fn a_child_has_its_own_event() {
        count_forks();
        // In a child: other tests of this program use the event.
        assert!(in_child(|| {
            event::open();
            let number = event::descriptor();
            // SAFETY: nothing in this child uses the standard input.
            unsafe { libc::close(0) };
            let raises = || {
                let is_new = event::descriptor() == number && !is_raised();
                event::raise();
                is_new && is_cleared()
            };
            if !in_child(raises) || is_raised() {
                return false;
            }
            event::raise();
            in_child(is_cleared) && is_cleared()
        }));
    }
}
