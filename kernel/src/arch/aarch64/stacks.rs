//! The kernel's stacks of the processor that boots, each with an unmapped guard page below.

use super::paging::PAGE;
use crate::arch::stack::Stack;

/// Bytes of the main stack, with the guard.
pub const MAIN_SIZE: usize = PAGE as usize + MAIN_BYTES;
const MAIN_BYTES: usize = 32 << 10;

/// Boot, then system calls and faults of the first thread.
pub static MAIN: Stack<MAIN_BYTES> = Stack::new();
/// Faults of the kernel itself, which touches the program's memory in system calls.
pub static FAULT: Stack<{ 16 << 10 }> = Stack::new();
/// A fault while another is handled, such as an overflow of its stack: enough for a report.
pub static SECOND_FAULT: Stack<{ 12 << 10 }> = Stack::new();
/// Device interrupts.
pub static INTERRUPT: Stack<{ 8 << 10 }> = Stack::new();

/// The guard pages, to be left unmapped.
pub fn guards() -> [u64; 4] {
    [
        MAIN.guard(),
        FAULT.guard(),
        SECOND_FAULT.guard(),
        INTERRUPT.guard(),
    ]
}
