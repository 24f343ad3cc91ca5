//! The thread that polls the network while the program computes.
//!
//! It runs no OCaml, blocks all signals, and polls only when the program was in no `soil_wait` for
//! a whole [`TICK_NS`]. While the program sleeps, so does the thread: an idle process has no ticks.
//! It doesn't park in a short sleep, so that a busy server doesn't pay a system call to wake it.
//!
//! As it parks, it ends the program's sleep once. A signal may have arrived between the program's
//! check for signals and the system call that sleeps; the next sleep, with the thread parked,
//! closes that gap by blocking signals, for which a short one would pay two system calls
//! (`wait.rs`).
//!
//! `tools/models` checks it under loom.

use crate::{event, os, thread};
use core::ptr::{self, null_mut};
use platform::Ticker;
use sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// How long the program computes before the network is polled, in nanoseconds.
const TICK_NS: u64 = 4_000_000;
/// Bytes of the thread's stack.
const STACK: usize = 256 << 10;

/// There is no thread.
const NONE: u32 = 0;
/// The program runs.
const RUNS: u32 = 1;
/// The program sleeps in `soil_wait`.
const SLEEPS: u32 = 2;
/// So does the thread, until it is woken.
const PARKED: u32 = 3;

/// Relaxed throughout: all of it is this word, whose changes every thread sees in one order, and
/// the kernel compares it before a thread sleeps. What the program wrote is behind the runtime's
/// lock.
static STATE: AtomicU32 = AtomicU32::new(NONE);
/// How often `soil_wait` has returned to the program. A hint: an old number costs a poll, or delays
/// one by a tick.
static TURNS: AtomicU32 = AtomicU32::new(0);
/// The argument of [`start`]; null before, and if no thread can be created.
static TICKER: AtomicPtr<Ticker> = AtomicPtr::new(null_mut());

/// The functions to call, once [`start`] has set them.
fn ticker() -> Option<&'static Ticker> {
    // Acquire: pairs with `start`. SAFETY: only that stores there, from a reference that lives as
    // long as the program.
    unsafe { TICKER.load(Ordering::Acquire).as_ref() }
}

/// See [`platform::Wait::start_ticker`].
pub fn start(ticker: &'static Ticker) {
    // Opaque to the compiler, which would otherwise know the only value ever stored, and link the
    // network into every program.
    let ticker = core::hint::black_box(ptr::from_ref(ticker).cast_mut());
    // Release: the thread, and a fork, see what the caller prepared for the functions.
    if TICKER.swap(ticker, Ordering::Release).is_null() {
        // SAFETY: the functions live as long as the program. Without memory for them a fork gets no
        // thread.
        unsafe { os::pthread_atfork(Some(before_fork), Some(after_fork), Some(in_child)) };
    }
    make_thread();
}

/// The program is about to sleep. Returns whether the thread ends that sleep, if it lasts.
pub fn sleeps() -> bool {
    // A parked thread stays parked until the program runs.
    let state = STATE.compare_exchange(RUNS, SLEEPS, Ordering::Relaxed, Ordering::Relaxed);
    matches!(state, Ok(_) | Err(SLEEPS))
}

/// The program resumes.
pub fn resume() {
    TURNS.fetch_add(1, Ordering::Relaxed);
    match STATE.load(Ordering::Relaxed) {
        RUNS => (),
        NONE => make_thread(),
        _ => {
            if STATE.swap(RUNS, Ordering::Relaxed) == PARKED {
                os::wake(&STATE);
            }
        }
    }
}

/// Creates the thread, unless there is nothing to do for it.
fn make_thread() {
    if ticker().is_none() {
        return;
    }
    STATE.store(RUNS, Ordering::Relaxed);
    let failed = os::make_thread(run, null_mut(), STACK);
    if failed != 0 {
        STATE.store(NONE, Ordering::Relaxed);
        TICKER.store(null_mut(), Ordering::Relaxed);
        log::warn!(
            "no thread can be made (error {failed}): the network \
            stands still while the program computes"
        );
    }
}

/// Body of the thread.
extern "C" fn run(_: *mut os::c_void) -> *mut os::c_void {
    thread::mark_permanent(thread::Permanent::Ticker);
    loop {
        take_turn();
    }
}

/// A tick of the thread: it polls, parks, or does nothing.
pub fn take_turn() {
    let tick = os::timespec {
        tv_sec: 0,
        tv_nsec: TICK_NS as i64,
    };
    let turn = TURNS.load(Ordering::Relaxed);
    // SAFETY: reads `tick`.
    unsafe { os::nanosleep(&tick, null_mut()) };
    if TURNS.load(Ordering::Relaxed) != turn {
        return;
    }
    match STATE.compare_exchange(SLEEPS, PARKED, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => event::raise(),
        Err(RUNS) => {
            if let Some(ticker) = ticker() {
                (ticker.poll)();
            }
        }
        Err(_) => {}
    }
    while STATE.load(Ordering::Relaxed) == PARKED {
        os::await_change(&STATE, PARKED);
    }
}

/// Whether [`before_fork`] holds the lock of the runtime.
static LOCKED: AtomicBool = AtomicBool::new(false);

/// A fork during a poll would leave the child with a runtime that stays locked forever.
extern "C" fn before_fork() {
    let locked = ticker().is_some_and(|ticker| (ticker.lock)());
    LOCKED.store(locked, Ordering::Relaxed);
}

extern "C" fn after_fork() {
    if LOCKED.swap(false, Ordering::Relaxed)
        && let Some(ticker) = ticker()
    {
        (ticker.unlock)();
    }
}

/// The child has one thread; its next `soil_wait` creates another.
extern "C" fn in_child() {
    STATE.store(NONE, Ordering::Relaxed);
    after_fork();
}
