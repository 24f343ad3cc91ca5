//! The state of one processor, of every architecture, which its memory holds ([`super::processor`]).

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// What a processor runs once it has started, with interrupts disabled.
pub type Run = extern "C" fn() -> !;

/// In place of it, for the processor that boots.
pub(super) extern "C" fn never() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Maximum number of processors.
pub const MAX: usize = 64;

/// Written by its processor only, with interrupts disabled where nothing else is said; so all
/// accesses are relaxed.
#[repr(C)]
pub struct Local {
    /// Number of cells in use: `local::enter` and `local::leave` count.
    pub(super) cells: AtomicU32,
    /// Ranks of the cells that may be waited for, as bits, see [`crate::cell::Rank`].
    #[cfg(debug_assertions)]
    pub held: AtomicU32,
    /// The processor's number plus 1; 0 before [`Local::set_number`].
    pub(super) owner: AtomicU8,
    /// The timer may interrupt. Set by the first use of the timer.
    pub timer_unmasked: AtomicBool,
    /// The timer interrupts within a slice from the time at which this was set. Written by the
    /// timer's interrupt, too.
    pub limited: AtomicBool,
    /// It halts for a caller that polls everything when it returns: no tick is needed.
    pub halted: AtomicBool,
    /// The time that the timer is set to, on the monotonic clock; 0 if it isn't. Written by the
    /// timer's interrupt, too.
    pub timer_set: AtomicU64,
    /// How long it has run, or has not: see [`Local::used_ns`]. Others read it.
    used: AtomicU64,
    /// How long it polls for a thread before it halts, in nanoseconds.
    pub poll_ns: AtomicU64,
    /// How long the host had kept it from running at the last poll, in nanoseconds.
    pub taken_ns: AtomicU64,
    /// It has to see what there is to do, instead of polling on or halting. Written by any
    /// processor.
    pub called: sync::atomic::AtomicBool,
    /// The running thread holds the lock of system calls.
    pub in_call: AtomicBool,
    /// Counts turns of loops that wait for other processors. An interrupt may lose some.
    pub turns: AtomicU32,
    /// The program's ticks are this processor's.
    pub ticks: AtomicBool,
    /// The number of the running thread; 0 for none, and before there are several. Others read it.
    pub thread: AtomicU64,
    /// The processor time at which the running thread began to run. Others read it.
    pub since: AtomicU64,
    /// The kernel stack of the running thread, which has ended; else 0.
    pub ended_stack: AtomicU64,
    /// The bounds of the running thread's own stack.
    pub stack: [AtomicU64; 2],
    /// The interrupt that it handles, for its end. Written by interrupts, which don't nest.
    pub interrupt: AtomicU32,
    /// What identifies it to the interrupt controller. Written before other processors see it.
    pub id: AtomicU64,
    /// To which its interrupt controller last sent an interrupt, if that has a register for it,
    /// plus 1; 0 at first.
    pub destination: AtomicU32,
    /// The registers with which it was stopped for good, a `Frame`; null while it runs, and
    /// [`Local::ENDS`]. Others read it.
    pub stopped: AtomicPtr<()>,
}

impl Local {
    /// In place of registers: the processor has stopped itself, to let another one end the machine.
    pub const ENDS: *mut () = core::ptr::dangling_mut();

    /// Of a processor that has not begun.
    pub(super) const fn new() -> Self {
        Self {
            cells: AtomicU32::new(0),
            #[cfg(debug_assertions)]
            held: AtomicU32::new(0),
            owner: AtomicU8::new(0),
            timer_unmasked: AtomicBool::new(false),
            limited: AtomicBool::new(false),
            halted: AtomicBool::new(false),
            timer_set: AtomicU64::new(0),
            used: AtomicU64::new(0),
            poll_ns: AtomicU64::new(0),
            taken_ns: AtomicU64::new(0),
            called: sync::atomic::AtomicBool::new(false),
            in_call: AtomicBool::new(false),
            turns: AtomicU32::new(0),
            ticks: AtomicBool::new(false),
            thread: AtomicU64::new(0),
            since: AtomicU64::new(0),
            ended_stack: AtomicU64::new(0),
            stack: [const { AtomicU64::new(0) }; 2],
            interrupt: AtomicU32::new(0),
            id: AtomicU64::new(0),
            destination: AtomicU32::new(0),
            stopped: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// Makes it that of the processor with this number, from 0 on.
    pub(super) fn set_number(&self, number: u8) {
        self.owner.store(number + 1, Ordering::Relaxed);
    }

    /// The processor's number, from 0 on.
    pub fn number(&self) -> u8 {
        self.owner.load(Ordering::Relaxed).wrapping_sub(1)
    }

    /// Set in [`Local::used`] of a processor that doesn't run: the rest is how long it has. Without
    /// it, the time from which on it would have run all the time.
    const HALTED: u64 = 1 << 63;

    /// How long it has run at the monotonic time `now`, in nanoseconds: since its start, without
    /// its halts. From any processor.
    #[inline(never)]
    pub fn used_ns(&self, now: u64) -> u64 {
        match self.used.load(Ordering::Relaxed) {
            used if used & Self::HALTED != 0 => used & !Self::HALTED,
            since => now.saturating_sub(since),
        }
    }

    /// It starts at `now`.
    pub fn set_started(&self, now: u64) {
        self.used.store(now, Ordering::Relaxed);
    }

    /// It halts from `now` on.
    pub fn set_halted(&self, now: u64) {
        let used = self.used_ns(now) | Self::HALTED;
        self.used.store(used, Ordering::Relaxed);
    }

    /// It runs from `now` on.
    pub fn set_running(&self, now: u64) {
        let since = now.saturating_sub(self.used_ns(now));
        self.used.store(since, Ordering::Relaxed);
    }
}

/// Other processors may run. Set once, before they do.
static SMP: AtomicBool = AtomicBool::new(false);

/// Whether other processors may run.
#[inline(always)]
pub fn is_smp() -> bool {
    // Relaxed: the one that starts others knows it before them.
    SMP.load(Ordering::Relaxed)
}

/// Other processors may run from now on.
pub fn set_smp() {
    SMP.store(true, Ordering::Relaxed);
}
