//! The place of the image in memory, and an exception of its first instructions.

use super::syndrome;
use crate::arch::Skipped;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

/// Where the image's first byte lies. Written once, by the entry.
pub(super) static IMAGE: AtomicU64 = AtomicU64::new(0);

const GIB: u64 = 1 << 30;

/// The first exception that EL2's vectors skipped. In cache lines of its own: the vectors write
/// memory, not the cache.
#[repr(C, align(256))]
pub(super) struct Unexpected {
    /// Of the instruction, where it ran; 0 for none.
    address: AtomicU64,
    /// ESR_EL2.
    syndrome: AtomicU64,
}

// Not with what is zero at the start, which the entry clears.
#[cfg_attr(not(test), unsafe(link_section = ".data.soil_unexpected"))]
pub(super) static UNEXPECTED: Unexpected = Unexpected {
    address: AtomicU64::new(0),
    syndrome: AtomicU64::new(0),
};

/// The exception that a processor's first instructions caused, and skipped; once.
pub fn take_skipped() -> Option<Skipped> {
    let address = UNEXPECTED.address.swap(0, Ordering::Relaxed);
    let syndrome = UNEXPECTED.syndrome.load(Ordering::Relaxed);
    // Those at EL2 run where the image lies.
    let linked = address
        .checked_sub(IMAGE.load(Ordering::Relaxed))
        .map(|offset| (&raw const soil_image_start) as u64 + offset);
    (address != 0).then_some(Skipped {
        name: syndrome::name(syndrome),
        syndrome,
        address: linked.unwrap_or(address),
    })
}

unsafe extern "C" {
    static soil_image_start: u8;
}

/// The physical addresses that the boot tables map in the direct map as memory: those around the
/// image.
pub fn boot_mapped() -> Range<u64> {
    let start = IMAGE.load(Ordering::Relaxed) & !(GIB - 1);
    start..start + GIB
}

/// The physical address of the image's byte at `address`.
pub fn image_physical(address: u64) -> u64 {
    let start = (&raw const soil_image_start) as u64;
    address - start + IMAGE.load(Ordering::Relaxed)
}
