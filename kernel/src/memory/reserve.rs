//! Memory that is reserved from the program.
//!
//! The program may allocate memory until there is none, catch `Out_of_memory` and continue; the
//! network's peers continue, too. The memory that the kernel's heap then needs for a packet, a
//! timer or a page table must be available: the kernel can't do without. So the program's requests
//! are refused while a part is left, which only the heap may use. Once the heap has begun to,
//! memory *is short*: from then on everything that can be refused is (connections, descriptors,
//! cached data), until there is more again.
//!
//! A minor collection of OCaml ends the program where it is refused memory, and the program can't
//! prevent it: what it has just allocated moves into the major heap. So another part is left, which
//! only a minor collection may use. The program is refused memory before, gets `Out_of_memory`, and
//! may collect. Small requests are refused later than large ones: those of C are among them, and
//! libraries end the program if `malloc` fails (Lwt does).
//!
//! Before that the program is *nearly full*. Much of its memory may be garbage, which OCaml collects
//! as it allocates, not as the machine needs it: so a collection is requested, as after a refusal
//! (`libc-compat/src/collector.rs`). Meanwhile a server gets fewer connections
//! (`posix/src/sockets/gate.rs`), and each of them a smaller window.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The reserved fraction of the memory, and its bounds in bytes. A machine of 8 MiB has enough left
/// for a program.
///
/// Three quarters are left when memory gets short, and the largest allocation that is never refused
/// is a table of the connections, at twice its previous size. Connections have a quarter of the
/// memory (`resources`), of which each takes more than 8 KiB, so there are fewer than one per 32
/// KiB; with 128 bytes for each in tables, and for up to four times as many while one is doubled,
/// that is a 64th. A flood of 2000 connections on a full machine of 64 MiB took 0.8 MB until memory
/// was short, and 0.1 MB from then on.
const PART: u64 = 32;
const MIN_BYTES: u64 = 256 << 10;
const MAX_BYTES: u64 = 8 << 20;

/// What is left for minor collections: OCaml's minor heap of 2 MiB, in pools for each size of
/// blocks, of which OCaml allocates a part ahead. Less on small machines, whose programs rarely have
/// so much that lives.
const COLLECTOR_PART: u64 = 16;
const COLLECTOR_MAX_BYTES: u64 = 3 << 20;

/// What is left for requests of up to so many bytes: C's `malloc` extends its heap by less.
const SMALL_REQUEST: u64 = 64 << 10;
const SMALL_PART: u64 = 64;
const SMALL_MAX_BYTES: u64 = 1 << 20;

/// The program is nearly full while it may be promised less than this part, and from then on until
/// it may be promised twice as much.
const NEARLY_PART: u64 = 16;
const NEARLY_MAX_BYTES: u64 = 16 << 20;

/// A collection of all garbage was requested and hasn't begun.
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Requests a collection of all garbage, for the next time that a thread of the program comes back
/// from a call that blocks. From any context.
pub fn request_collection() {
    REQUESTED.store(true, Ordering::Relaxed);
}

/// Whether a collection was requested.
pub fn is_collection_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// Ends the request: the collection begins.
pub fn take_collection_request() -> bool {
    REQUESTED.swap(false, Ordering::Relaxed)
}

/// Minor collections that run.
static COLLECTIONS: AtomicUsize = AtomicUsize::new(0);

/// A minor collection begins. From any context.
pub fn begin_collection() {
    COLLECTIONS.fetch_add(1, Ordering::Relaxed);
}

/// A minor collection ends. From any context.
pub fn end_collection() {
    COLLECTIONS.fetch_sub(1, Ordering::Relaxed);
}

/// Whether a minor collection runs.
pub fn is_collecting() -> bool {
    COLLECTIONS.load(Ordering::Relaxed) > 0
}

/// Free bytes of the kernel's heap, less the headers of its blocks. Changed by the user of the
/// heap, of which there is one.
static HEAP_FREE: AtomicUsize = AtomicUsize::new(0);

/// Bytes that the heap has without new pages. They may be fragmented.
pub fn heap_free() -> usize {
    HEAP_FREE.load(Ordering::Relaxed)
}

/// The heap has allocated `bytes`.
pub fn on_heap_allocated(bytes: usize) {
    HEAP_FREE.store(heap_free().saturating_sub(bytes), Ordering::Relaxed);
}

/// The heap has gained `bytes`: new or freed ones.
pub fn on_heap_freed(bytes: usize) {
    HEAP_FREE.fetch_add(bytes, Ordering::Relaxed);
}

/// The size of the reserve.
#[derive(Clone, Copy, Debug)]
pub struct Reserve {
    bytes: u64,
    /// More, for minor collections.
    collector: u64,
    /// More, for small requests.
    small: u64,
    /// See [`NEARLY_PART`].
    nearly: u64,
    /// Bytes promised to connections that they haven't allocated.
    pub promised: u64,
}

impl Reserve {
    /// The reserve of a machine with `total` bytes.
    pub fn new(total: u64) -> Self {
        Self {
            bytes: (total / PART).clamp(MIN_BYTES, MAX_BYTES),
            collector: (total / COLLECTOR_PART).min(COLLECTOR_MAX_BYTES),
            small: (total / SMALL_PART).min(SMALL_MAX_BYTES),
            nearly: (total / NEARLY_PART).min(NEARLY_MAX_BYTES),
            promised: 0,
        }
    }

    /// Whether enough is left of `available` bytes if the program, or a minor collection, takes
    /// `bytes`.
    pub fn leaves(&self, available: u64, bytes: u64, is_collecting: bool) -> bool {
        let kept = match (is_collecting, bytes <= SMALL_REQUEST) {
            (true, _) => 0,
            (false, true) => self.collector,
            (false, false) => self.collector + self.small,
        };
        available
            .checked_sub(bytes)
            .is_some_and(|left| left >= self.bytes + kept + self.promised)
    }

    /// Whether a program that may be promised a part of the `available` bytes is nearly full, after
    /// it `was`.
    pub fn is_nearly_full(&self, available: u64, was: bool) -> bool {
        let mark = if was { 2 * self.nearly } else { self.nearly };
        available < self.bytes + self.collector + self.small + self.promised + mark
    }

    /// Whether only what can't be refused may use the `available` bytes.
    pub fn is_short(&self, available: u64) -> bool {
        available < self.bytes / 4 * 3 + self.promised
    }
}

#[cfg(test)]
mod tests {
    use super::{Reserve, SMALL_REQUEST};

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_program_leaves_the_reserve() {
        let mut reserve = Reserve::new(64 * MIB);
        let leaves = |reserve: &Reserve, bytes| reserve.leaves(64 * MIB, bytes, true);
        assert!(leaves(&reserve, 62 * MIB) && !leaves(&reserve, 62 * MIB + 1));
        assert!(!reserve.leaves(MIB, 2 * MIB, true));
        reserve.promised = 10 * MIB;
        assert!(leaves(&reserve, 52 * MIB) && !leaves(&reserve, 52 * MIB + 1));
        // The reserve's own size never makes memory short.
        assert!(!reserve.is_short(12 * MIB) && !reserve.is_short(11 * MIB + MIB / 2));
        assert!(reserve.is_short(11 * MIB + MIB / 2 - 1));
    }

    #[test]
    fn nearly_full_until_there_is_twice_as_much() {
        let mut reserve = Reserve::new(64 * MIB);
        let mut states = |promised| {
            reserve.promised = promised;
            let mut was = false;
            [20, 10, 9, 10, 13, 14, 10, 1].map(|mib| {
                was = reserve.is_nearly_full(mib * MIB + promised, was);
                was
            })
        };
        // 2 MiB for the kernel, 3 for minor collections, 1 for small requests; then 4, and 8.
        let expected = [false, false, true, true, true, false, false, true];
        assert_eq!(states(0), expected);
        assert_eq!(states(10 * MIB), expected);
    }

    #[test]
    fn a_part_within_bounds() {
        for (total, kept, of_collections, of_small) in [
            (MIB, 256 << 10, 64 << 10, 16 << 10),
            (8 * MIB, 256 << 10, MIB / 2, MIB / 8),
            (128 * MIB, 4 * MIB, 3 * MIB, MIB),
            (1 << 40, 8 * MIB, 3 * MIB, MIB),
        ] {
            let reserve = Reserve::new(total);
            let for_large = kept + of_collections + of_small;
            for (kept, is_collecting) in [(kept, true), (for_large, false)] {
                let leaves = |bytes| reserve.leaves(total, bytes, is_collecting);
                assert!(leaves(total - kept) && !leaves(total - kept + 1));
            }
            let available = kept + of_collections + SMALL_REQUEST;
            assert!(reserve.leaves(available, SMALL_REQUEST, false));
            assert!(!reserve.leaves(available, SMALL_REQUEST + 1, false));
            assert!(!reserve.leaves(available - 1, SMALL_REQUEST, false));
        }
    }
}
