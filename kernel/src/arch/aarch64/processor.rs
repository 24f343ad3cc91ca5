//! What each processor has for itself, at TPIDR_EL1: the ends of its stacks, and what the rest of
//! the kernel keeps for it ([`Local`]).
//!
//! The functions take several instructions: while threads move between processors, they have
//! interrupts disabled.

use crate::arch::interrupts;
use crate::arch::per_cpu::{Local, Run, is_smp, never};
use alloc::boxed::Box;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// The memory at TPIDR_EL1. Written by its processor, with interrupts disabled.
#[repr(C, align(16))]
pub struct Processor {
    /// A register, for a few instructions of an entry from the kernel.
    pub(super) register: AtomicU64,
    /// The end of the stack of the next fault in the kernel.
    pub(super) fault_stack: AtomicU64,
    /// The end of the stack of interrupts.
    pub(super) interrupt_stack: AtomicU64,
    /// The end of the running thread's kernel stack.
    pub(super) kernel_stack: AtomicU64,
    /// The end of the stack on which it begins and halts.
    pub(super) idle_stack: AtomicU64,
    /// The end of the first stack of faults, and of the one for a fault during another.
    pub(super) fault_stacks: [AtomicU64; 2],
    local: Local,
    run: Run,
}

impl Processor {
    const fn new(run: Run) -> Self {
        Self {
            register: AtomicU64::new(0),
            fault_stack: AtomicU64::new(0),
            interrupt_stack: AtomicU64::new(0),
            kernel_stack: AtomicU64::new(0),
            idle_stack: AtomicU64::new(0),
            fault_stacks: [const { AtomicU64::new(0) }; 2],
            local: Local::new(),
            run,
        }
    }

    /// Of a processor with this number that will be started and run `run`, with stacks by `stack`,
    /// each of 12 KiB at least above a guard; `None` when memory is short. Never freed.
    pub fn make(number: u8, stack: fn() -> Option<u64>, run: Run) -> Option<&'static Self> {
        let block = Self::new(run);
        for place in [
            &block.fault_stacks[0],
            &block.fault_stacks[1],
            &block.interrupt_stack,
            &block.kernel_stack,
            &block.idle_stack,
        ] {
            place.store(stack()?, Ordering::Relaxed);
        }
        block.local.set_number(number);
        Some(Box::leak(Box::new(block)))
    }

    /// Runs what it was made for.
    pub(super) fn run(&self) -> ! {
        (self.run)()
    }

    /// What the rest of the kernel keeps for it.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Makes this the block of the processor that runs.
    pub(super) fn begin(&'static self) {
        // SAFETY: the register is the kernel's own.
        unsafe { asm!("msr tpidr_el1, {}", in(reg) self, options(nostack)) };
    }
}

static FIRST: Processor = Processor::new(never);

/// Gives the processor that boots its block. Called once, before anything else here.
pub fn set_up() {
    FIRST.local.set_number(0);
    FIRST.begin();
}

/// The block of the processor that runs.
#[inline(always)]
pub(super) fn block() -> &'static Processor {
    let address: *const Processor;
    // SAFETY: `begin` has set the register. The block is never freed.
    unsafe {
        asm!("mrs {}, tpidr_el1", out(reg) address, options(nomem, nostack, preserves_flags));
        &*address
    }
}

/// What the rest of the kernel keeps for the processor that runs.
#[inline(always)]
pub fn get() -> &'static Local {
    &block().local
}

/// Counts a cell that will be in use, before it is. Memory accesses stay on their side of the call.
#[inline(always)]
pub fn enter() {
    count(1);
    compiler_fence(Ordering::SeqCst);
}

/// Counts a cell that is no longer in use, likewise.
#[inline(always)]
pub fn leave() {
    compiler_fence(Ordering::SeqCst);
    count(-1);
}

/// An interrupt leaves the number as it was.
#[inline(always)]
fn count(by: i32) {
    match is_smp() {
        true => count_here(by),
        false => add(by),
    }
}

/// With several processors an interrupt may also move the thread to another one, in between two of
/// the instructions.
#[cold]
#[inline(never)]
fn count_here(by: i32) {
    interrupts::without_interrupts(|| add(by));
}

#[inline(always)]
fn add(by: i32) {
    let cells = &get().cells;
    let number = cells.load(Ordering::Relaxed).wrapping_add_signed(by);
    cells.store(number, Ordering::Relaxed);
}

/// Number of cells in use by the processor.
#[inline(always)]
pub fn cells() -> u32 {
    get().cells.load(Ordering::Relaxed)
}

/// The processor's number plus 1.
#[inline(always)]
pub fn owner() -> u8 {
    get().owner.load(Ordering::Relaxed)
}
