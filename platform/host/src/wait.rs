//! The one wait of the process, and the futex.

use crate::{Host, Interest, Ring, errno, ring, signals, ticker};
use core::sync::atomic::AtomicU32;
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

impl Wait for Host {
    type Interest = Interest;

    fn resume(_: u64) {
        ticker::resume();
    }

    fn start_ticker(ticker: &'static Ticker) {
        ticker::start(ticker);
    }

    fn await_change(word: &AtomicU32, value: u32) {
        let forever = core::ptr::null::<libc::timespec>();
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: futex(2) on a word that lives during the call.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, forever) };
    }

    fn wake(word: &AtomicU32) {
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        // SAFETY: as above.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
    }

    fn wait(interest: &mut Interest, until: Option<u64>) -> Woken {
        let until = if interest.immediate { Some(0) } else { until };
        let left =
            || until.map(|until| Duration::from_nanos(until.saturating_sub(Host::monotonic_ns())));
        let time = left();
        ticker::sleeps();
        // SAFETY: this thread holds the OCaml runtime, having been called from OCaml, and touches
        // nothing of OCaml's in between.
        #[cfg(feature = "ocaml")]
        unsafe {
            ocaml::caml_enter_blocking_section_no_pending();
        }
        let Interest {
            fds,
            links,
            ring,
            offload,
            ..
        } = interest;
        let on_ring = |ring: &mut Ring| ring.with(|ring| ring.wait(fds, time));
        let interrupted = match ring.as_mut().and_then(on_ring) {
            // The ring doesn't tell a signal from the time that is over.
            Some(waited) => waited == ring::Waited::Nothing && left() != Some(Duration::ZERO),
            None => poll(fds, time),
        };
        for (place, wake) in links {
            wake.note_readiness(fds.get(*place).is_some_and(|found| found.revents != 0));
        }
        // SAFETY: see above.
        #[cfg(feature = "ocaml")]
        unsafe {
            ocaml::caml_leave_blocking_section();
        }
        signals::clear_event();
        if let Some(offload) = offload {
            offload.clear_event();
        }
        if interrupted {
            Woken::Interrupted
        } else {
            Woken::Event
        }
    }
}

/// Waits as ppoll(2) does; whether a signal ended it.
fn poll(fds: &mut [libc::pollfd], time: Option<Duration>) -> bool {
    let timeout = time.map(|time| libc::timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: i64::from(time.subsec_nanos()),
    });
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
