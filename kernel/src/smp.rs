//! What a processor asks of the others, in a program that has started some. Others pay for the load
//! of a flag.
//!
//! Memory that is taken away, or closed, may still be used by translations that other processors
//! have cached: [`shootdown`] has them forget those. A processor that waits for another one with
//! interrupts disabled does meanwhile what others ask of it ([`relax`]), so that no two wait for
//! each other.

pub mod shootdown;

pub use crate::arch::local::is_smp;

use crate::arch::local::{self, MAX};
use crate::arch::{cpu, host, interrupts, ipi, mmu};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;
use shootdown::Requests;

/// A set of processors: a bit for each number.
pub type Set = u64;

/// The processors that the board can start.
pub enum Secondary {
    /// By what identifies them to [`crate::arch::ipi`].
    Listed(Vec<u64>),
    /// So many, which a broadcast reaches.
    #[allow(dead_code, reason = "not on each board")]
    Unlisted(usize),
}

impl Secondary {
    /// How many.
    pub fn count(&self) -> usize {
        match self {
            Secondary::Listed(ids) => ids.len(),
            Secondary::Unlisted(count) => *count,
        }
    }
}

/// How often to poll the answers to a request before the processors that miss are interrupted: one
/// that waits for a cell answers without an interrupt.
const POLLS: usize = 50;

/// Requests to forget translations.
static REQUESTS: Requests<MAX> = Requests::new();

/// From now on several processors run. With interrupts disabled, before any other is started.
pub fn begin() {
    local::set_smp();
    set_idle(false);
}

/// The number of the processor that runs.
fn number() -> usize {
    local::get().number().into()
}

/// The processors that run, without this one.
fn others() -> Set {
    let numbers = local::all().map(|each| each.number());
    numbers.fold(0, |set, number| set | 1 << number) & !(1 << number())
}

/// Interrupts the processors of a set, without this one: each sees what there is to do. With
/// interrupts disabled.
pub fn interrupt(processors: Set) {
    // Each interrupt may be an exit from the virtual machine.
    if processors.count_ones() > 1 && processors == others() && ipi::wake_others() {
        return;
    }
    let mut rest = processors;
    while rest != 0 {
        if let Some(other) = local::of(rest.trailing_zeros() as usize) {
            ipi::wake(other.id.load(Ordering::Relaxed));
        }
        rest &= rest - 1;
    }
}

/// Does what another processor waits for. With interrupts disabled.
pub fn serve() {
    if is_smp() {
        REQUESTS.serve(number(), mmu::flush_range);
    }
}

/// One turn of a loop in which a processor waits for another one. With interrupts enabled, too.
#[cold]
#[inline(never)]
pub fn relax() {
    // An interrupt would do it, too.
    if !interrupts::are_enabled() {
        serve();
    }
    spin();
}

/// A hint of the processor in a loop that waits for another one, of which few take long.
fn spin() {
    /// An emulator leaves the translated code for each hint, and takes a lock that interrupts need,
    /// too. Without any hint one that runs the processors in turn would run none of the others.
    const TURNS: u32 = 64;
    let turns = &local::get().turns;
    let turn = turns.load(Ordering::Relaxed).wrapping_add(1);
    turns.store(turn, Ordering::Relaxed);
    if turn.is_multiple_of(TURNS) || !cpu::is_emulated() {
        sync::hint::spin_loop();
    }
}

/// This processor uses none of the program's memory from now on, or (false) soon does again. With
/// interrupts disabled.
pub fn set_idle(idle: bool) {
    if idle {
        REQUESTS.set_idle(number());
    } else {
        REQUESTS.set_busy(number(), mmu::flush_all);
    }
}

/// Disables interrupts where several processors run; returns whether it has. For a cell that is
/// used with interrupts enabled on one processor: there, what interrupts leaves the cell alone.
/// With several, an interrupt may wait for a cell that another processor uses, while that one waits
/// for what was interrupted.
#[inline(never)]
pub fn suspend_interrupts() -> bool {
    let suspends = is_smp() && interrupts::are_enabled();
    if suspends {
        interrupts::disable();
    }
    suspends
}

/// Ends what [`suspend_interrupts`] began.
#[inline(always)]
pub fn resume_interrupts(suspended: bool) {
    if suspended {
        interrupts::enable();
    }
}

/// Has the other processors forget their translations of these addresses, if there are others;
/// returns once they have. With interrupts disabled, within a use of the address space.
#[inline(always)]
pub fn flush(range: Range<u64>) {
    if !mmu::BROADCASTS && is_smp() {
        flush_others(range);
    }
}

#[cold]
#[inline(never)]
fn flush_others(range: Range<u64>) {
    let own = number();
    let request = REQUESTS.post(range, own);
    let mut awaited = others();
    let mut polls = 0;
    loop {
        let mut rest: Set = awaited;
        while rest != 0 {
            let other = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            if !REQUESTS.is_awaited(other, request) || host::flush_later(other) {
                awaited &= !(1 << other);
            }
        }
        if awaited == 0 {
            return;
        }
        if polls == POLLS {
            interrupt(awaited);
        }
        polls += usize::from(polls <= POLLS);
        spin();
    }
}
