//! The one wait of an image, and the tick.

use crate::{Image, ticks};
use alloc::rc::Rc;
use alloc::vec::Vec;
use kernel::{console, smp, time, wait};
use platform::{Direction, Signals, Stream, Ticker, Wait, Woken};
use sync::atomic::{AtomicBool, AtomicU32, Ordering};

unsafe extern "C" {
    /// Lets other OCaml threads run, and runs no signal handler of OCaml's.
    fn caml_enter_blocking_section_no_pending();
    /// Reacquires the OCaml runtime.
    fn caml_leave_blocking_section();
}

/// Interest of [`Image`]'s wait. Any interrupt ends the wait, so it only records whether there is a
/// reason not to wait at all.
pub struct Interest {
    immediate: bool,
    /// The console is full; no interrupt reports its end.
    full: bool,
    sources: Vec<Rc<dyn Source>>,
}

/// A device that is waited for.
pub trait Source {
    /// Whether memory shows pending work.
    fn has_pending(&self) -> bool;

    /// Enables interrupts; returns true if there is already work.
    fn arm(&self) -> bool;
}

/// The wake-up of a card.
pub struct LinkWake(pub(crate) Rc<dyn Source>);

/// A prepared sleep.
pub struct Sleep {
    interest: Interest,
    until: Option<u64>,
    interrupted: bool,
}

/// Another thread has made the interest of a prepared sleep incomplete.
static NUDGED: AtomicBool = AtomicBool::new(false);

impl Interest {
    /// Adds a device.
    pub(crate) fn source(&mut self, source: Rc<dyn Source>) {
        self.sources.push(source);
    }

    /// Waits for its devices, or until the time `until` (monotonic nanoseconds). Other threads
    /// don't run.
    pub(crate) fn watch(&self, until: u64) {
        wait::watch(
            Some(until),
            &mut || self.sources.iter().any(|source| source.has_pending()),
            &mut || {
                let mut any = false;
                for source in &self.sources {
                    any |= source.arm();
                }
                any
            },
        );
    }
}

/// Starter of blocking system calls: an image has none, and no folders of a host.
#[derive(Clone, Copy)]
pub struct Offload;

impl platform::Interest for Interest {
    type LinkWake = LinkWake;
    type Offload = Offload;

    const EMPTY: Interest = Interest {
        immediate: false,
        full: false,
        sources: Vec::new(),
    };

    fn clear(&mut self) {
        self.immediate = false;
        self.full = false;
        self.sources.clear();
    }

    fn immediately(&mut self) {
        self.immediate = true;
    }

    fn report(&mut self) {
        console::listen_for_reports();
    }

    fn link(&mut self, wake: &LinkWake, _blocked: bool) {
        self.sources.push(Rc::clone(&wake.0));
    }

    fn console(&mut self, _: Stream, direction: Direction) {
        match direction {
            Direction::Read => console::listen(),
            Direction::Write => self.full = true,
        }
    }

    fn submit(&mut self) {
        // The devices were notified of what was queued.
    }

    fn submit_all(&mut self) {}

    fn offload(&mut self) -> Offload {
        Offload
    }
}

impl Wait for Image {
    type Interest = Interest;
    type Sleep = Sleep;

    // The stack's work is done with the lock, so that it is held for longer than in a process.
    fn lock_tries() -> u32 {
        if smp::is_smp() { 400 } else { 0 }
    }

    // Handlers run where a sleep begins and ends: there are no earlier ones to check for.
    fn prepare(interest: &mut Interest, until: Option<u64>, _: Signals) -> Sleep {
        let interest = core::mem::replace(interest, <Interest as platform::Interest>::EMPTY);
        Sleep {
            interest,
            until,
            interrupted: false,
        }
    }

    fn sleep(sleep: &mut Sleep) {
        let Interest {
            immediate,
            full,
            sources,
        } = &sleep.interest;
        if *immediate {
            return;
        }
        let waits = !console::flush_log() || console::waits();
        let until = match *full || waits {
            true => Some(
                sleep
                    .until
                    .unwrap_or(u64::MAX)
                    .min(time::monotonic_ns() + console::POLL_NS),
            ),
            false => sleep.until,
        };
        let nudged = || NUDGED.load(Ordering::Relaxed);
        sleep.interrupted = wait::watch(
            until,
            &mut || nudged() || sources.iter().any(|source| source.has_pending()),
            &mut || {
                // All of them, regardless of the first result.
                let mut any = nudged();
                for source in sources {
                    any |= source.arm();
                }
                any
            },
        );
    }

    fn finish(interest: &mut Interest, sleep: Sleep) -> Woken {
        NUDGED.store(false, Ordering::Relaxed);
        // Restored for its allocation.
        *interest = sleep.interest;
        if sleep.interrupted {
            Woken::Interrupted
        } else {
            Woken::Event
        }
    }

    fn nudge() {
        NUDGED.store(true, Ordering::Relaxed);
        wait::nudge();
    }

    fn enter_blocking() {
        if wait::is_shared() {
            // SAFETY: this thread holds the OCaml runtime, having been called from OCaml.
            unsafe { caml_enter_blocking_section_no_pending() };
        }
    }

    fn leave_blocking() {
        if wait::is_shared() {
            // SAFETY: the thread has released the runtime.
            unsafe { caml_leave_blocking_section() };
        }
    }

    fn expect_threads() {}

    fn forks() -> u32 {
        0
    }

    fn resume(now: u64) {
        wait::resume(now);
    }

    fn start_ticker(_: &'static Ticker) {
        if !ticks::start() {
            log::warn!(
                "no memory for a stack of {} bytes: the network stands still while the program \
                 computes",
                ticks::STACK
            );
        }
    }

    fn await_change(word: &AtomicU32, value: u32, until: Option<u64>) {
        // With one thread: the interrupting code has ended before the program resumes.
        wait::await_change(word, value, until);
    }

    fn await_change_or_signal(word: &AtomicU32, value: u32, until: Option<u64>) {
        wait::await_change(word, value, until);
    }

    fn await_release(word: &AtomicU32, value: u32) {
        wait::await_release(word, value);
    }

    fn wake(word: &AtomicU32) {
        wait::wake(word);
    }
}
