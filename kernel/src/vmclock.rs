//! The page of a VMClock, which ACPI's tables name.

use crate::acpi;
use crate::arch::counter;
use crate::memory;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use firmware::vmclock::{Page, State};

/// The mapped page; null if the machine has none. Written once, by [`page`].
static PAGE: AtomicPtr<Page> = AtomicPtr::new(null_mut());
/// [`PAGE`] was probed for.
static PROBED: AtomicBool = AtomicBool::new(false);

/// The page; the first call reads ACPI's tables and maps it.
fn page() -> Option<&'static Page> {
    if !PROBED.swap(true, Ordering::Relaxed) {
        let place = acpi::tables().vmclock.filter(|at| at % 8 == 0);
        let mapped = place.and_then(|at| memory::map_firmware(at, size_of::<Page>()));
        #[allow(clippy::cast_ptr_alignment, reason = "a multiple of 8, as was checked")]
        let page = mapped.map(|page| page.cast::<Page>());
        // SAFETY: mapped for good, aligned, and made of atomics.
        let page = page.filter(|page| unsafe { &**page }.is_valid());
        // Release: the mapping exists for who loads its address.
        PAGE.store(page.unwrap_or(null_mut()), Ordering::Release);
    }
    // Acquire: pairs with the store. SAFETY: as above.
    unsafe { PAGE.load(Ordering::Acquire).as_ref() }
}

/// The state of the machine's VMClock; `None` if it has none.
pub fn state() -> Option<State> {
    page()?.state(counter::VMCLOCK_ID, counter::counter)
}

/// A number that changes when the machine goes on from a snapshot; `None` if its VMClock doesn't
/// say. Read often: less than the whole state.
pub fn generation() -> Option<u64> {
    page()?.generation()
}
