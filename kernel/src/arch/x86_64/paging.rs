//! Entries of page tables: four levels, 4 KiB pages (Intel SDM volume 3, chapter 4.5).
//!
//! Nothing here touches the processor: a caller that changes an entry which the processor may have
//! cached flushes it ([`super::mmu`]).

pub use crate::arch::page::{Kind, PAGE};

/// The processor itself records that a page was written.
pub const RECORDS_WRITES: bool = true;

/// The page is present.
const PRESENT: u64 = 1;
/// It may be written.
const WRITABLE: u64 = 1 << 1;
/// Device registers: no caching.
const UNCACHED: u64 = 1 << 3 | 1 << 4;
/// Video memory: write combining, after `cpu::enable_write_combining`.
const WRITE_COMBINING: u64 = 1 << 3;
/// The processor has written to the page ("dirty").
const WRITTEN: u64 = 1 << 6;
/// A 2 MiB page.
const LARGE: u64 = 1 << 7;
/// Software bit: the entry holds a frame although it isn't present.
const RETAINED: u64 = 1 << 9;
/// Software bit: the frame must not be freed with the mapping.
const BORROWED: u64 = 1 << 10;
/// Not executable.
const NO_EXECUTE: u64 = 1 << 63;

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The entry of a present 4 KiB page of this use in `frame`.
#[inline(always)]
pub const fn page(frame: u64, kind: Kind) -> u64 {
    frame
        | PRESENT
        | match kind {
            Kind::Code => 0,
            Kind::Constant => NO_EXECUTE,
            Kind::Data => WRITABLE | NO_EXECUTE,
            Kind::Registers => WRITABLE | UNCACHED | NO_EXECUTE | BORROWED,
            Kind::Firmware => NO_EXECUTE | BORROWED,
            Kind::Video => WRITABLE | WRITE_COMBINING | NO_EXECUTE | BORROWED,
        }
}

/// The entry of a 2 MiB page that begins with `frame`.
#[inline(always)]
pub const fn large_page(frame: u64, kind: Kind) -> u64 {
    page(frame, kind) | LARGE
}

/// The entry for the table of the next level in `frame`.
#[inline(always)]
pub const fn table(frame: u64) -> u64 {
    frame | PRESENT | WRITABLE
}

/// `entry` of a page with memory, as a page of this use; whether it was written is kept.
#[inline(always)]
pub const fn change(entry: u64, kind: Kind) -> u64 {
    page(frame_of(entry), kind) | entry & WRITTEN
}

/// `entry` of a page with memory as an inaccessible one, which holds its frame; whether it was
/// written is kept.
#[inline(always)]
pub const fn retain(entry: u64) -> u64 {
    frame_of(entry) | RETAINED | entry & WRITTEN
}

/// `entry` as one that the processor doesn't use; the rest is kept.
#[inline(always)]
pub const fn close(entry: u64) -> u64 {
    entry & !PRESENT
}

/// What replaces an entry that was `old`, and is to be `new`, but which is `now`: a processor has
/// recorded that the page was written, which is kept unless the entry is cleared.
#[inline(always)]
pub const fn with_records(old: u64, now: u64, new: u64) -> u64 {
    match new {
        0 => 0,
        new => new | now & !old & WRITTEN,
    }
}

/// The frame that `entry` points to.
#[inline(always)]
pub const fn frame_of(entry: u64) -> u64 {
    entry & ADDRESS
}

/// Whether the page, or the table, is present.
#[inline(always)]
pub const fn is_present(entry: u64) -> bool {
    entry & PRESENT != 0
}

/// Whether a present entry of the second level or above is a page.
#[inline(always)]
pub const fn is_large(entry: u64) -> bool {
    entry & LARGE != 0
}

/// Whether a present page may be written.
#[inline(always)]
pub const fn is_writable(entry: u64) -> bool {
    entry & WRITABLE != 0
}

/// The bits of a page for how it is cached.
#[inline(always)]
pub const fn caching(entry: u64) -> u64 {
    entry & UNCACHED
}

/// Whether the frame must not be freed with the mapping.
#[inline(always)]
pub const fn is_borrowed(entry: u64) -> bool {
    entry & BORROWED != 0
}

/// Whether the page was written since it was mapped, or since [`clear_written`].
#[inline(always)]
pub const fn is_written(entry: u64) -> bool {
    entry & WRITTEN != 0
}

/// `entry` of a page as one that was written.
#[inline(always)]
pub const fn set_written(entry: u64) -> u64 {
    entry | WRITTEN
}

/// `entry` of a page as one that wasn't.
#[inline(always)]
pub const fn clear_written(entry: u64) -> u64 {
    entry & !WRITTEN
}

/// Lets the processor use entries that have become valid: x86-64's does so by itself.
#[inline(always)]
pub fn publish() {}

#[cfg(test)]
mod tests {
    use super::{Kind, UNCACHED, WRITABLE, frame_of, is_borrowed, page};

    /// Tables of firmware are read byte by byte: an uncached load takes a hundred times as long.
    #[test]
    fn registers_alone_are_uncached() {
        for (kind, uncached, writable) in [
            (Kind::Registers, UNCACHED, WRITABLE),
            (Kind::Firmware, 0, 0),
            (Kind::Data, 0, WRITABLE),
        ] {
            let entry = page(0x1234_5000, kind);
            assert_eq!(entry & UNCACHED, uncached, "{kind:?}");
            assert_eq!(entry & WRITABLE, writable, "{kind:?}");
            assert_eq!(is_borrowed(entry), kind != Kind::Data, "{kind:?}");
            // Attributes are the same in each frame.
            assert_eq!(entry, page(0, kind) | frame_of(entry));
        }
    }
}
