//! The kernel's stacks of the processor that boots, each with an unmapped guard page below.

use super::paging::PAGE;
use core::cell::UnsafeCell;

/// A stack of `N` bytes above its guard page.
#[repr(C, align(4096))]
pub struct Stack<const N: usize> {
    guard: UnsafeCell<[u8; PAGE as usize]>,
    bytes: UnsafeCell<[u8; N]>,
}

// SAFETY: only the first processor uses the contents.
unsafe impl<const N: usize> Sync for Stack<N> {}

impl<const N: usize> Stack<N> {
    const fn new() -> Self {
        Self {
            guard: UnsafeCell::new([0; PAGE as usize]),
            bytes: UnsafeCell::new([0; N]),
        }
    }

    /// The address a stack pointer starts with.
    pub fn top(&self) -> u64 {
        self.bytes.get() as u64 + N as u64
    }

    fn guard(&self) -> u64 {
        self.guard.get() as u64
    }
}

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
