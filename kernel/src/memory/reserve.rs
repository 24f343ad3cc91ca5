//! Memory that the program can't take.
//!
//! The program may ask for memory until there is none, catch `Out_of_memory` and go on; the
//! network's peers go on, too. What the kernel's heap then needs for a packet, a timer or a page
//! table must be there: the kernel can't do without. So the program's requests are refused while a
//! part is left, of which the heap alone may take. When the heap has begun to, memory *is short*:
//! from then on everything that can be refused is (connections, descriptors, what caches would
//! keep), until there is more again.

use core::sync::atomic::{AtomicUsize, Ordering};

/// The part of the memory that is kept, and its bounds in bytes. A machine of 8 MiB is left enough
/// for a program.
///
/// Three quarters are left when memory gets short, and the largest thing that is asked for without
/// being refused is a table of the connections, twice as large as before. They have a quarter of
/// the memory (`resources`), of which each takes more than 8 KiB, so that there are fewer than one
/// for 32 KiB; with 128 bytes for each in tables, and for up to four times as many while one is
/// doubled, that is a 64th. A flood of 2000 connections of a full machine of 64 MiB took 0.8 MB to
/// where memory is short, and 0.1 MB from there on.
const PART: u64 = 32;
const MIN_BYTES: u64 = 256 << 10;
const MAX_BYTES: u64 = 8 << 20;

/// Bytes of the kernel's heap that aren't in use, less what the blocks' headers take. Changed by
/// the heap, which one piece of code uses at a time.
static HEAP_FREE: AtomicUsize = AtomicUsize::new(0);

/// Bytes that the heap has without new pages. They may lie in pieces.
pub fn heap_free() -> usize {
    HEAP_FREE.load(Ordering::Relaxed)
}

/// The heap has given out `bytes`.
pub fn on_heap_allocated(bytes: usize) {
    HEAP_FREE.store(heap_free().saturating_sub(bytes), Ordering::Relaxed);
}

/// The heap has got `bytes`: new ones, or back.
pub fn on_heap_freed(bytes: usize) {
    HEAP_FREE.fetch_add(bytes, Ordering::Relaxed);
}

/// The size of the reserve.
#[derive(Clone, Copy, Debug)]
pub struct Reserve {
    bytes: u64,
    /// Bytes that were promised to connections, and that they haven't taken.
    pub promised: u64,
}

impl Reserve {
    /// That of a machine with `total` bytes.
    pub fn new(total: u64) -> Self {
        Self {
            bytes: (total / PART).clamp(MIN_BYTES, MAX_BYTES),
            promised: 0,
        }
    }

    /// Whether enough is left of `available` bytes when the program takes `bytes`.
    pub fn leaves(&self, available: u64, bytes: u64) -> bool {
        available
            .checked_sub(bytes)
            .is_some_and(|left| left >= self.bytes + self.promised)
    }

    /// Whether `available` bytes are so few that the rest is for what can't be refused.
    pub fn is_short(&self, available: u64) -> bool {
        available < self.bytes / 4 * 3 + self.promised
    }
}

#[cfg(test)]
mod tests {
    use super::Reserve;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_program_leaves_the_reserve() {
        let mut reserve = Reserve::new(64 * MIB);
        assert!(reserve.leaves(64 * MIB, 62 * MIB) && !reserve.leaves(64 * MIB, 62 * MIB + 1));
        assert!(!reserve.leaves(MIB, 2 * MIB));
        reserve.promised = 10 * MIB;
        assert!(reserve.leaves(64 * MIB, 52 * MIB) && !reserve.leaves(64 * MIB, 52 * MIB + 1));
        // The reserve's own size never makes memory short.
        assert!(!reserve.is_short(12 * MIB) && !reserve.is_short(11 * MIB + MIB / 2));
        assert!(reserve.is_short(11 * MIB + MIB / 2 - 1));
    }

    #[test]
    fn a_part_within_bounds() {
        for (total, kept) in [
            (MIB, 256 << 10),
            (8 * MIB, 256 << 10),
            (128 * MIB, 4 * MIB),
            (1 << 40, 8 * MIB),
        ] {
            let reserve = Reserve::new(total);
            assert!(
                reserve.leaves(total, total - kept) && !reserve.leaves(total, total - kept + 1)
            );
        }
    }
}
