//! A stack in the image.

use super::page::PAGE;
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
    /// Of zeros.
    pub(super) const fn new() -> Self {
        Self {
            guard: UnsafeCell::new([0; PAGE as usize]),
            bytes: UnsafeCell::new([0; N]),
        }
    }

    /// The address a stack pointer starts with.
    pub fn top(&self) -> u64 {
        self.bytes.get() as u64 + N as u64
    }

    /// The guard page.
    pub(super) fn guard(&self) -> u64 {
        self.guard.get() as u64
    }
}
