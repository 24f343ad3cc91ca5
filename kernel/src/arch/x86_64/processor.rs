//! What each processor has for itself, behind GS: descriptor tables, the ends of its stacks, and
//! what the rest of the kernel keeps for it ([`Local`]).
//!
//! Counts are changed by one instruction: a thread that an interrupt moves to another processor
//! changes the memory of the one or of the other, never that of the first after it has left.

use super::stacks::Stacks;
use crate::arch::per_cpu::{Local, Run, never};
use alloc::boxed::Box;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::{MaybeUninit, offset_of};
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;
use x86_64::structures::tss::TaskStateSegment;

/// Number of descriptors in a processor's table.
const SEGMENTS: usize = 5;

/// The memory behind GS.
#[repr(C, align(16))]
pub struct Processor {
    /// The program's stack pointer, while the entry of a system call switches stacks.
    program_stack: UnsafeCell<u64>,
    /// The end of the running thread's kernel stack.
    system_call_stack: UnsafeCell<u64>,
    /// Its own address.
    address: AtomicU64,
    local: Local,
    run: Run,
    pub(super) task: UnsafeCell<MaybeUninit<TaskStateSegment>>,
    pub(super) segments: UnsafeCell<[u64; SEGMENTS]>,
    pub(super) stacks: UnsafeCell<Stacks>,
}

// SAFETY: only its processor uses the cells, with interrupts disabled.
unsafe impl Sync for Processor {}

impl Processor {
    /// Offset of the program's stack pointer.
    pub(super) const PROGRAM_STACK: usize = offset_of!(Processor, program_stack);
    /// Offset of the end of the kernel stack.
    pub(super) const SYSTEM_CALL_STACK: usize = offset_of!(Processor, system_call_stack);

    const fn new(run: Run) -> Self {
        Self {
            program_stack: UnsafeCell::new(0),
            system_call_stack: UnsafeCell::new(0),
            address: AtomicU64::new(0),
            local: Local::new(),
            run,
            task: UnsafeCell::new(MaybeUninit::zeroed()),
            segments: UnsafeCell::new([0; SEGMENTS]),
            stacks: UnsafeCell::new(Stacks::NONE),
        }
    }

    /// Of a processor with this number that will be started and run `run`, with stacks by `stack`,
    /// each of 8 KiB at least above a guard; `None` when memory is short. Never freed.
    pub fn make(number: u8, stack: fn() -> Option<u64>, run: Run) -> Option<&'static Self> {
        let stacks = Stacks {
            page_fault: stack()?,
            second_page_fault: stack()?,
            exception: stack()?,
            second_exception: stack()?,
            non_maskable: stack()?,
            double_fault: stack()?,
            machine_check: stack()?,
            interrupt: stack()?,
        };
        let (idle, system_call) = (stack()?, stack()?);
        let block = Box::leak(Box::new(Self::new(run)));
        block.program_stack = UnsafeCell::new(idle);
        block.system_call_stack = UnsafeCell::new(system_call);
        block.stacks = UnsafeCell::new(stacks);
        block.local.set_number(number);
        Some(block)
    }

    /// Makes this the block of the processor that runs.
    pub(super) fn begin(&'static self) {
        let address = core::ptr::from_ref(self) as u64;
        self.address.store(address, Ordering::Relaxed);
        GsBase::write(VirtAddr::new_truncate(address));
    }

    /// Runs what it was made for.
    pub(super) fn run(&self) -> ! {
        (self.run)()
    }

    /// What the rest of the kernel keeps for it.
    pub fn local(&self) -> &Local {
        &self.local
    }
}

static FIRST: Processor = Processor::new(never);

/// Gives the processor that boots its block. Called once, before anything else here.
pub fn set_up() {
    FIRST.local.set_number(0);
    FIRST.begin();
}

const ADDRESS: usize = offset_of!(Processor, address);
const CELLS: usize = offset_of!(Processor, local) + offset_of!(Local, cells);
const OWNER: usize = offset_of!(Processor, local) + offset_of!(Local, owner);

/// The block of the processor that runs.
#[inline(always)]
pub(super) fn block() -> &'static Processor {
    let address: *const Processor;
    // SAFETY: `begin` has set GS and the field. The block is never freed.
    unsafe {
        asm!(
            "mov {}, gs:[{at}]", out(reg) address, at = const ADDRESS,
            options(nostack, preserves_flags, readonly)
        );
        &*address
    }
}

/// What the rest of the kernel keeps for the processor that runs.
#[inline(always)]
pub fn get() -> &'static Local {
    &block().local
}

/// Counts a cell that will be in use, before it is. Memory accesses stay on their side of the
/// call.
#[inline(always)]
pub fn enter() {
    // SAFETY: the processor's own counter; one instruction.
    unsafe { asm!("inc dword ptr gs:[{at}]", at = const CELLS, options(nostack)) };
}

/// Counts a cell that is no longer in use, likewise.
#[inline(always)]
pub fn leave() {
    // SAFETY: as for `enter`.
    unsafe { asm!("dec dword ptr gs:[{at}]", at = const CELLS, options(nostack)) };
}

/// Number of cells in use by the processor.
#[inline(always)]
pub fn cells() -> u32 {
    let cells: u32;
    // SAFETY: reads the processor's own counter.
    unsafe {
        asm!(
            "mov {:e}, gs:[{at}]", out(reg) cells, at = const CELLS,
            options(nostack, preserves_flags, readonly)
        );
    }
    cells
}

/// The processor's number plus 1.
#[inline(always)]
pub fn owner() -> u8 {
    let owner: u8;
    // SAFETY: reads the processor's own number.
    unsafe {
        asm!(
            "mov {}, gs:[{at}]", out(reg_byte) owner, at = const OWNER,
            options(nostack, preserves_flags, readonly)
        );
    }
    owner
}

/// The end of the running thread's kernel stack.
pub fn system_call_stack() -> u64 {
    let stack: u64;
    // SAFETY: reads the processor's own field.
    unsafe {
        asm!(
            "mov {}, gs:[{at}]", out(reg) stack,
            at = const Processor::SYSTEM_CALL_STACK,
            options(nostack, preserves_flags, readonly)
        );
    }
    stack
}

/// Sets it. With interrupts disabled.
///
/// # Safety
/// The next system call uses the stack.
pub unsafe fn set_system_call_stack(top: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "mov gs:[{at}], {}", in(reg) top, at = const Processor::SYSTEM_CALL_STACK,
            options(nostack, preserves_flags)
        );
    }
}
