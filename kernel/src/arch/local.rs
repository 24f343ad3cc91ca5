//! The state that each processor has for itself, of every architecture.

pub use super::processor::set_up;
#[cfg(not(test))]
pub use super::processor::{cells, enter, get, leave, owner};
#[cfg(test)]
pub use host::{cells, enter, get, leave, owner};

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Written by its processor only, with interrupts disabled where nothing else is said; so all
/// accesses are relaxed. [`get`] returns that of the processor that calls it.
#[repr(C)]
pub struct Local {
    /// Number of cells in use: [`enter`] and [`leave`] count.
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
    /// How long it has halted, in nanoseconds.
    pub idle_ns: AtomicU64,
}

impl Local {
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
            idle_ns: AtomicU64::new(0),
        }
    }

    /// Makes it that of the processor with this number, from 0 on.
    pub(super) fn set_number(&self, number: u8) {
        self.owner.store(number + 1, Ordering::Relaxed);
    }
}

/// Tests run as a process, whose threads stand for processors.
#[cfg(test)]
mod host {
    use super::{Local, Ordering};
    use std::sync::atomic::AtomicU8;

    /// The number of the last thread, modulo what processors can have.
    static LAST: AtomicU8 = AtomicU8::new(0);

    std::thread_local! {
        static LOCAL: &'static Local = {
            let local = Box::leak(Box::new(Local::new()));
            local.set_number(LAST.fetch_add(1, Ordering::Relaxed) % 64);
            local
        };
    }

    /// As on a machine.
    pub fn get() -> &'static Local {
        LOCAL.with(|local| *local)
    }

    /// As on a machine.
    pub fn enter() {
        get().cells.fetch_add(1, Ordering::Relaxed);
    }

    /// As on a machine.
    pub fn leave() {
        get().cells.fetch_sub(1, Ordering::Relaxed);
    }

    /// As on a machine.
    pub fn cells() -> u32 {
        get().cells.load(Ordering::Relaxed)
    }

    /// As on a machine.
    pub fn owner() -> u8 {
        get().owner.load(Ordering::Relaxed)
    }
}
