//! The place of an image for arm64, which can be moved.

use core::ops::Range;

/// The alignment that the image's header asks for, in bytes.
pub const ALIGNMENT: u64 = 2 << 20;
const GIB: u64 = 1 << 30;
/// Ranges of memory that the kernel knows (`kernel/src/board/virt/survey.rs`).
const RANGES: usize = 16;
/// Where an image may lie: the kernel's first tables have its own addresses in the first GiB, and
/// describe 512 GiB.
const BOUNDS: Range<u64> = GIB..512 * GIB;

/// The place of an image of `len` bytes in one of the free `ranges` of memory (address and length),
/// with `before` free bytes below it in the same GiB: that with the most free memory from there to
/// the end of the GiB, where the kernel begins to allocate.
pub fn choose(ranges: impl Iterator<Item = (u64, u64)>, before: u64, len: u64) -> Option<u64> {
    let mut best = None;
    for (start, range_len) in ranges {
        let end = start.saturating_add(range_len).min(BOUNDS.end);
        let mut from = start.max(BOUNDS.start);
        while from < end {
            let next = (from & !(GIB - 1)) + GIB;
            let at = from.checked_add(before);
            let at = at.and_then(|at| at.checked_next_multiple_of(ALIGNMENT));
            let room = at.and_then(|at| Some((end.min(next).checked_sub(at)?, at)));
            if let Some((room, at)) = room
                && room >= len
                && best.is_none_or(|(most, _)| room > most)
            {
                best = Some((room, at));
            }
            from = next;
        }
    }
    best.map(|(_, at)| at)
}

/// Keeps as many ranges of memory as the kernel knows: the largest, and that with the image, in
/// their order. Firmware that allocates here and there leaves dozens. Returns their number.
pub fn keep_largest(ranges: &mut [(u64, u64)], image: u64) -> usize {
    let mut count = ranges.len();
    while count > RANGES {
        let known = ranges[..count].iter().enumerate();
        let smallest = known
            .filter(|(_, (start, len))| image.wrapping_sub(*start) >= *len)
            .min_by_key(|(_, (_, len))| *len);
        let Some((at, _)) = smallest else {
            break;
        };
        ranges.copy_within(at + 1..count, at);
        count -= 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, GIB, RANGES, choose, keep_largest};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    const MIB: u64 = 1 << 20;

    fn chosen(ranges: &[(u64, u64)], len: u64) -> Option<u64> {
        choose(ranges.iter().copied(), 0, len)
    }

    #[test]
    fn the_image_has_the_most_memory_behind_it() {
        let low = (GIB, 8 * MIB);
        let high = (GIB + 9 * MIB, 100 * MIB);
        assert_eq!(chosen(&[low, high], MIB), Some(GIB + 10 * MIB));
        assert_eq!(chosen(&[high, low], MIB), Some(GIB + 10 * MIB));
        assert_eq!(chosen(&[low], 8 * MIB), Some(GIB));
        assert_eq!(chosen(&[low], 8 * MIB + 1), None);
    }

    #[test]
    fn there_is_room_below_the_image() {
        let place = |start, len, before| choose([(start, len)].into_iter(), before, MIB);
        assert_eq!(place(GIB, 8 * MIB, 4096), Some(GIB + 2 * MIB));
        assert_eq!(place(GIB + MIB, 8 * MIB, MIB), Some(GIB + 2 * MIB));
        assert_eq!(place(GIB + MIB, 8 * MIB, MIB + 1), Some(GIB + 4 * MIB));
        assert_eq!(place(GIB, 3 * MIB - 1, 4096), None);
        // Not in the GiB before.
        assert_eq!(place(2 * GIB - MIB, 8 * MIB, 4096), Some(2 * GIB + 2 * MIB));
        assert_eq!(place(GIB, 8 * MIB, u64::MAX), None);
    }

    #[test]
    fn the_image_lies_in_one_gib() {
        let range = (2 * GIB - 4 * MIB, 16 * MIB);
        assert_eq!(chosen(&[range], MIB), Some(2 * GIB));
        // Not in the first, and not beyond 512.
        assert_eq!(chosen(&[(0, GIB)], MIB), None);
        assert_eq!(chosen(&[(0, GIB + 2 * MIB)], MIB), Some(GIB));
        assert_eq!(chosen(&[(512 * GIB, GIB)], MIB), None);
        assert_eq!(chosen(&[(511 * GIB, 2 * GIB)], MIB), Some(511 * GIB));
    }

    #[test]
    fn the_largest_ranges_stay_in_order() {
        let all: Vec<(u64, u64)> = (1..=40).map(|at| (at * GIB, (at * 7 % 41) * MIB)).collect();
        let mut kept = all.clone();
        // The smallest has the image.
        let smallest = all.iter().min_by_key(|(_, len)| *len).unwrap();
        let count = keep_largest(&mut kept, smallest.0 + 1);
        assert_eq!(count, RANGES);
        assert!(kept[..count].is_sorted() && kept[..count].contains(smallest));
        let mut lengths: Vec<u64> = all.iter().map(|(_, len)| *len).collect();
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        let is_large = |(_, len): &&(u64, u64)| *len >= lengths[RANGES - 2];
        assert_eq!(kept[..count].iter().filter(is_large).count(), RANGES - 1);
        let mut few = all[..RANGES].to_vec();
        assert_eq!(keep_largest(&mut few, 0), RANGES);
        assert_eq!(few, all[..RANGES]);
    }

    proptest! {
        #[test]
        fn a_place_is_free_and_aligned(
            ranges in vec((any::<u64>(), any::<u64>()), 0..5),
            small in vec((0u64..4 * GIB, 0u64..GIB), 0..5),
            before in 0u64..GIB,
            len in 1u64..GIB,
        ) {
            let ranges: Vec<_> = ranges.into_iter().chain(small).collect();
            if let Some(at) = choose(ranges.iter().copied(), before, len) {
                prop_assert_eq!(at % ALIGNMENT, 0);
                prop_assert_eq!((at - before) / GIB, (at + len - 1) / GIB);
                let mut free = ranges.iter();
                let is_free = free.any(|(start, size)| {
                    *start <= at - before && at + len <= start.saturating_add(*size)
                });
                prop_assert!(is_free);
            }
        }
    }
}
