//! `alloc::alloc`, for memory that only atomics use: the values are loom's, nothing writes to it,
//! and each execution gets the same.

pub use std::alloc::Layout;

use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    static BLOCKS: RefCell<HashMap<Layout, *mut u8>> = RefCell::default();
}

/// `alloc::alloc::alloc_zeroed`, once in an execution for a layout.
///
/// # Safety
/// As in `alloc`.
pub unsafe fn alloc_zeroed(layout: Layout) -> *mut u8 {
    // SAFETY: the caller's promise.
    let make = || unsafe { std::alloc::alloc_zeroed(layout) };
    BLOCKS.with_borrow_mut(|blocks| *blocks.entry(layout).or_insert_with(make))
}
