//! Physical region pages (NVM Express Base 2.0, 4.1.1): the addresses of a command's data.

use alloc::vec::Vec;

use crate::queue::Buffer;

/// Bytes of a memory page (CC.MPS).
pub(super) const PAGE: usize = 4096;
/// Bytes of an entry.
pub(super) const ENTRY: usize = 8;
/// The first entry may be any multiple of this.
pub(super) const ALIGNMENT: u64 = 4;

/// Appends the entries of `data`: one for each page that it is in. Each segment but the first
/// begins at a page, and each but the last ends at one (`Limits::boundary`).
pub(super) fn append(entries: &mut Vec<u64>, data: &[Buffer]) {
    for segment in data {
        let end = segment.phys + u64::from(segment.len);
        let mut at = segment.phys;
        while at < end {
            entries.push(at);
            at = (at / PAGE as u64 + 1) * PAGE as u64;
        }
    }
}

/// Most entries of `bytes` of data.
pub(super) const fn most(bytes: usize) -> usize {
    bytes.div_ceil(PAGE) + 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::{PAGE, append, most};
    use crate::queue::Buffer;

    fn entries(segments: &[(u64, u32)]) -> Vec<u64> {
        let buffer = |(phys, len): &(u64, u32)| Buffer::writable(*phys, *len as usize);
        let mut entries = Vec::new();
        append(
            &mut entries,
            &segments.iter().map(buffer).collect::<Vec<_>>(),
        );
        entries
    }

    #[test]
    fn each_page_has_an_entry() {
        assert_eq!(entries(&[]), []);
        assert_eq!(entries(&[(0x1e00, 0x200)]), [0x1e00]);
        assert_eq!(entries(&[(0x1e00, 0x201)]), [0x1e00, 0x2000]);
        assert_eq!(
            entries(&[(0x1e00, 0x2200), (0x9000, 0x1000), (0x5000, 0x10)]),
            [0x1e00, 0x2000, 0x3000, 0x9000, 0x5000]
        );
    }

    proptest! {
        /// The controller accesses the bytes of the segments, and no others.
        #[test]
        fn the_entries_are_the_data(
            offset in 0..1024u32, pages in prop::collection::vec((0..9u64, 1..4u32), 0..20),
            cut in 0..4096u32,
        ) {
            let mut segments = std::vec![(0x10_0000 + u64::from(offset) * 4, 4096 - offset * 4)];
            for (at, (place, count)) in (2u64..).zip(pages) {
                segments.push((at * 0x10_0000 + place * 4096, count * 4096));
            }
            let last = segments.last_mut().expect("one at least");
            last.1 = last.1.saturating_sub(cut).max(1);
            let expected: Vec<u64> = segments
                .iter()
                .flat_map(|(phys, len)| *phys..*phys + u64::from(*len))
                .collect();
            let entries = entries(&segments);
            prop_assert!(entries.len() <= most(expected.len()));
            let mut accessed = Vec::new();
            for (index, entry) in entries.iter().enumerate() {
                prop_assert!(index == 0 || entry.is_multiple_of(PAGE as u64));
                let room = PAGE as u64 - entry % PAGE as u64;
                let len = room.min((expected.len() - accessed.len()) as u64);
                prop_assert!(len > 0);
                accessed.extend(*entry..*entry + len);
            }
            prop_assert_eq!(accessed, expected);
        }
    }
}
