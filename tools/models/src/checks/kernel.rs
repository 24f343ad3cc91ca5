//! The kernel's cells, the page with the time, and what guards devices.

use crate::arch::local;
use crate::image::threads::{Fault, set};
use kernel::cell::{ExclusiveCell, any_in_use, are_abandoned, rank};
use kernel::clock::{Page, Rate};
use kernel::guarded::Guarded;
use loom::thread;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use sync::model::interrupts::set_handler;

/// Two processors use a cell, one after the other.
pub fn cell() {
    let cell = Arc::new(ExclusiveCell::<_, rank::Heap>::new(0));
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

loom::lazy_static! {
    static ref SHARED: ExclusiveCell<u32, rank::Heap> = ExclusiveCell::new(0);
    /// No object of loom's: of one processor.
    static ref PREEMPTIONS: AtomicU32 = AtomicU32::new(0);
}

/// Another thread of the processor runs, and uses the cell.
fn preempt() {
    if !any_in_use() {
        SHARED.with(|value| *value += 1);
        PREEMPTIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// The timer interrupts a processor wherever it can, while that one and another use a cell.
fn preempted(fault: Fault) {
    set(fault);
    // Begins the number of the user, and the flag.
    assert!(!are_abandoned());
    SHARED.with(|_| ());
    let other = thread::spawn(|| {
        local::begin(1);
        SHARED.with(|value| *value += 1);
    });
    set_handler(preempt);
    SHARED.with(|value| *value += 1);
    let added = SHARED.try_with(|value| *value += 1).map_or(0, |()| 1);
    other.join().expect("no panic");
    SHARED.with(|value| assert_eq!(*value, 2 + added + PREEMPTIONS.load(Ordering::Relaxed)));
}

/// [`preempted`] without a fault.
pub fn preemption() {
    preempted(Fault::None);
}

/// Cells in use aren't counted.
pub fn uncounted() {
    preempted(Fault::Uncounted);
}

struct Device(Guarded<u32>);

// SAFETY: as in `platform/image`, whose devices all processors share: what guards it is tested.
unsafe impl Sync for Device {}
// SAFETY: likewise.
unsafe impl Send for Device {}

impl Device {
    fn call(&self) {
        *self.0.lock() += 1;
    }

    fn wait(&self) -> u32 {
        let device = self.0.try_lock();
        device.map_or(0, |mut device| {
            *device += 1;
            1
        })
    }
}

/// A call uses a device while the wait of another processor finds it in use, or uses it itself.
pub fn device() {
    local::set_smp();
    let device = Arc::new(Device(Guarded::new(0)));
    // Begins the mark.
    device.wait();
    let call = thread::spawn({
        let device = device.clone();
        move || device.call()
    });
    let waited = device.wait();
    call.join().expect("no panic");
    assert_eq!(*device.0.lock(), 2 + waited);
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
