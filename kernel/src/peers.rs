//! What a processor asks of the others, in a program that has started some.
//!
//! A program that never does contains no more of it than a load of a null pointer.
//!
//! Memory that is taken away, or closed, may still be used by translations that other processors
//! have cached: [`shootdown`] has them forget those. A processor that waits for another one with
//! interrupts disabled does meanwhile what others ask of it ([`relax`]), so that no two wait for
//! each other.

pub mod shootdown;

pub use crate::arch::local::several;

use crate::arch::gates::SystemCallFrame;
use crate::arch::{interrupts, local, mmu};
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A set of processors: a bit for each number.
pub type Set = u64;

/// The functions of a program with several processors. Called with interrupts disabled.
pub struct Peers {
    /// Interrupts the processors of a set, without this one: each sees what there is to do.
    pub interrupt: fn(Set),
    /// Makes the others forget their translations of these addresses; returns once they have.
    /// Within a use of the address space.
    pub flush: fn(Range<u64>),
    /// Does what another processor waits for.
    pub serve: fn(),
    /// One turn of a loop in which this processor waits for another one. With interrupts enabled,
    /// too.
    pub relax: fn(),
    /// This processor uses none of the program's memory from now on, or (false) soon does again.
    pub set_idle: fn(bool),
    /// A system call begins, or the kernel makes one: it may wait for those of others.
    pub begin_call: fn(&SystemCallFrame),
    /// How long all have run at this time, see [`local::Local::used_ns`].
    pub used_ns: fn(u64) -> u64,
}

/// Null while there is one processor. Written once, by [`set`].
static PEERS: AtomicPtr<Peers> = AtomicPtr::new(null_mut());

/// From now on several processors run.
pub fn set(peers: &'static Peers) {
    // Hidden from the compiler: otherwise every program would link the functions. Release: what
    // they use exists.
    let peers: *const Peers = core::hint::black_box(peers);
    PEERS.store(peers.cast_mut(), Ordering::Release);
    local::set_several();
}

/// The functions, if the program has started other processors.
pub fn get() -> Option<&'static Peers> {
    // SAFETY: only `set` stores there.
    unsafe { PEERS.load(Ordering::Acquire).as_ref() }
}

/// Does what another processor waits for. With interrupts disabled.
pub fn serve() {
    if let Some(peers) = get() {
        (peers.serve)();
    }
}

/// One turn of a loop in which a processor waits for another one.
#[cold]
#[inline(never)]
pub fn relax() {
    match get() {
        Some(peers) => (peers.relax)(),
        None => sync::hint::spin_loop(),
    }
}

/// Disables interrupts where several processors run; returns whether it has. For a cell that is
/// used with interrupts enabled on one processor: there, what interrupts leaves the cell alone.
/// With several, an interrupt may wait for a cell that another processor uses, while that one waits
/// for what was interrupted.
#[inline(never)]
pub fn suspend_interrupts() -> bool {
    let suspends = several() && interrupts::are_enabled();
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

/// Has the other processors forget their translations of these addresses, if there are others.
#[inline(always)]
pub fn flush(range: Range<u64>) {
    if !mmu::BROADCASTS && several() {
        flush_others(range);
    }
}

#[cold]
#[inline(never)]
fn flush_others(range: Range<u64>) {
    if let Some(peers) = get() {
        (peers.flush)(range);
    }
}
