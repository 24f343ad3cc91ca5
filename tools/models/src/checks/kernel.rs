//! The kernel's cells, and the page with the time.

use crate::arch::local;
use crate::kernel::cell::{Rank, any_in_use};
use crate::kernel::clock::{Page, Rate};
use core::cell::Cell;

use loom::thread;
use std::sync::Arc;

/// Two processors use a cell, one after the other.
pub fn cell() {
    let cell = Arc::new(Rank::Heap.cell(0));
    // Begins the number of the user.
    cell.with(|value| *value = 1);
    let other = thread::spawn({
        let cell = cell.clone();
        move || {
            local::begin(1);
            cell.with(|value| *value += 1);
        }
    });
    cell.with(|value| {
        assert_eq!(cell.try_with(|_| ()), None);
        assert_eq!(cell.with_unless_own(|_| ()), None);
        *value += 1;
    });
    other.join().expect("no panic");
    assert!(!any_in_use());
    assert_eq!(cell.try_with(|value| *value), Some(3));
}

/// A reader sees the page before a change, or after it.
pub fn clock() {
    let page = Arc::new(Page::new());
    page.write(100, 1000, Rate(1 << 32));
    let writer = thread::spawn({
        let page = page.clone();
        move || page.write(200, 5000, Rate(1 << 33))
    });
    let again = Cell::new(false);
    let now = page.read(|| {
        // It reads again until the writer has finished.
        if again.replace(true) {
            thread::yield_now();
        }
        300
    });
    assert!([1200, 5200].contains(&now), "{now}");
    writer.join().expect("no panic");
}
