//! The kernel's stacks of the processor that boots, each with an unmapped guard page below; and
//! where those of any processor are.

use super::paging::PAGE;
use crate::arch::stack::Stack;

/// Bytes of the main stack, with the guard.
pub const MAIN_SIZE: usize = PAGE as usize + MAIN_BYTES;
const MAIN_BYTES: usize = 32 << 10;
/// Enough for a report.
const SMALL: usize = 8 << 10;

/// Boot, then system calls.
pub static MAIN: Stack<MAIN_BYTES> = Stack::new();
/// Page faults: the only exception after which code continues.
pub static PAGE_FAULT: Stack<{ 16 << 10 }> = Stack::new();
/// A page fault while a page fault is handled, such as an overflow of its stack.
pub static SECOND_PAGE_FAULT: Stack<SMALL> = Stack::new();
/// Exceptions without a stack of their own here.
pub static EXCEPTION: Stack<{ 16 << 10 }> = Stack::new();
/// Such an exception during the report of another.
pub static SECOND_EXCEPTION: Stack<SMALL> = Stack::new();
/// These three may occur at any time, during all others.
pub static NON_MASKABLE: Stack<SMALL> = Stack::new();
/// See above.
pub static DOUBLE_FAULT: Stack<SMALL> = Stack::new();
/// See above.
pub static MACHINE_CHECK: Stack<SMALL> = Stack::new();
/// Device interrupts.
pub static INTERRUPT: Stack<{ 8 << 10 }> = Stack::new();

/// The ends of a processor's stacks.
#[derive(Clone, Copy)]
pub struct Stacks {
    /// Of page faults.
    pub page_fault: u64,
    /// Of page faults during others.
    pub second_page_fault: u64,
    /// Of exceptions without one of their own.
    pub exception: u64,
    /// Of those during the report of another.
    pub second_exception: u64,
    /// Of non-maskable interrupts.
    pub non_maskable: u64,
    /// Of double faults.
    pub double_fault: u64,
    /// Of machine checks.
    pub machine_check: u64,
    /// Of interrupts.
    pub interrupt: u64,
}

impl Stacks {
    /// Of a processor that has not begun.
    pub const NONE: Self = Self {
        page_fault: 0,
        second_page_fault: 0,
        exception: 0,
        second_exception: 0,
        non_maskable: 0,
        double_fault: 0,
        machine_check: 0,
        interrupt: 0,
    };

    /// Of the processor that boots.
    #[inline(always)]
    pub fn first() -> Self {
        Self {
            page_fault: PAGE_FAULT.top(),
            second_page_fault: SECOND_PAGE_FAULT.top(),
            exception: EXCEPTION.top(),
            second_exception: SECOND_EXCEPTION.top(),
            non_maskable: NON_MASKABLE.top(),
            double_fault: DOUBLE_FAULT.top(),
            machine_check: MACHINE_CHECK.top(),
            interrupt: INTERRUPT.top(),
        }
    }
}

/// The guard pages, to be left unmapped.
pub fn guards() -> [u64; 9] {
    [
        MAIN.guard(),
        PAGE_FAULT.guard(),
        SECOND_PAGE_FAULT.guard(),
        EXCEPTION.guard(),
        SECOND_EXCEPTION.guard(),
        NON_MASKABLE.guard(),
        DOUBLE_FAULT.guard(),
        MACHINE_CHECK.guard(),
        INTERRUPT.guard(),
    ]
}
