//! The one wait of the process, and the futex.

use crate::{Host, Interest, Ring, errno, ring, signals, ticker};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use platform::{Clock, Ticker, Wait, Woken};

#[cfg(feature = "ocaml")]
mod ocaml {
    unsafe extern "C" {
        /// Lets other OCaml threads run; unlike the one without `no_pending` it runs no signal
        /// handler of OCaml's.
        pub fn caml_enter_blocking_section_no_pending();
        /// Takes the OCaml runtime back.
        pub fn caml_leave_blocking_section();
    }
}

/// A sleep that was prepared.
pub struct Sleep {
    fds: Vec<libc::pollfd>,
    /// By the ring, where there is one.
    ring: Option<ring::Sleep>,
    until: Option<u64>,
    interrupted: bool,
}

/// Number of forks between the program's first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Counts forks from now on.
pub fn count_forks() {
    // SAFETY: the function lives as long as the program. Where there is no memory for it a child
    // may take its parent's threads for its own.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

impl Wait for Host {
    type Interest = Interest;
    type Sleep = Sleep;

    fn prepare(interest: &mut Interest, until: Option<u64>) -> Sleep {
        ticker::sleeps();
        let fds = core::mem::take(&mut interest.fds);
        let by_ring = |ring: &mut Ring| ring.with(|ring| ring.prepare(&fds));
        Sleep {
            ring: interest.ring.as_mut().and_then(by_ring),
            fds,
            until: if interest.immediate { Some(0) } else { until },
            interrupted: false,
        }
    }

    fn sleep(sleep: &mut Sleep) {
        let until = sleep.until;
        let left =
            || until.map(|until| Duration::from_nanos(until.saturating_sub(Host::monotonic_ns())));
        let time = left();
        sleep.interrupted = match &mut sleep.ring {
            Some(ring) => {
                ring.sleep(time);
                // It doesn't tell a signal from the time that is over.
                left() != Some(Duration::ZERO)
            }
            None => poll(&mut sleep.fds, time),
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
        signals::clear_event();
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
        signals::nudge();
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
        ticker::start(ticker);
    }

    fn await_change(word: &AtomicU32, value: u32, until: Option<u64>) {
        let until = until.map(|until| timespec(Duration::from_nanos(until)));
        let until = until
            .as_ref()
            .map_or(core::ptr::null(), core::ptr::from_ref);
        // Unlike FUTEX_WAIT it takes a time of the monotonic clock, not a span.
        let operation = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
        let (word, nothing) = (word.as_ptr(), core::ptr::null::<u32>());
        let any = libc::FUTEX_BITSET_MATCH_ANY;
        // SAFETY: futex(2) on a word and a time that live during the call.
        unsafe { libc::syscall(libc::SYS_futex, word, operation, value, until, nothing, any) };
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

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

/// Waits as ppoll(2) does; whether a signal ended it.
pub fn poll(fds: &mut [libc::pollfd], time: Option<Duration>) -> bool {
    let timeout = time.map(timespec);
    let timeout = timeout
        .as_ref()
        .map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: `fds` and `timeout` are valid; the signal mask is left alone.
    let n = unsafe {
        libc::ppoll(
            fds.as_mut_ptr(),
            fds.len() as libc::nfds_t,
            timeout,
            core::ptr::null(),
        )
    };
    n < 0 && errno() == libc::EINTR
}
