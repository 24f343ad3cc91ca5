//! The buffers of one command: those of the command itself, and the segments of its data.

use crate::memory::Segment;
use crate::queue::Buffer;
use alloc::vec::Vec;

/// Limits of a command with data.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Maximum bytes per segment; at least a sector.
    pub segment: u32,
    /// Maximum data segments; at least 1.
    pub segments: u16,
    /// Maximum bytes; at least a block.
    pub bytes: usize,
    /// Bytes of a block; a command is a multiple.
    pub block: usize,
    /// A segment but the first begins, and one but the last ends, at a multiple of this power of
    /// two; 1 for anywhere.
    pub boundary: usize,
}

/// A list, reused for the next command.
#[derive(Default)]
pub(crate) struct List {
    buffers: Vec<Buffer>,
    /// Number of buffers before the data.
    lead: usize,
    /// Maximum number of data segments now.
    max_segments: usize,
    /// The queue has room for fewer segments than a command may have.
    is_short: bool,
    max_len: u32,
    /// Mask of [`Limits::boundary`].
    boundary: u64,
}

impl List {
    /// Maximum number of data segments per command: 512 KiB with scattered pages of 4 KiB. With a
    /// quarter of that, sequential reads on a host that bypasses its cache ran at half the rate
    /// (450 to 550 MiB/s instead of 1000).
    pub const MAX_SEGMENTS: u16 = 128;

    /// An empty list for `limits`, and for at most `room` data segments, behind the buffers `lead`.
    pub fn begin(&mut self, lead: &[Buffer], room: u16, limits: &Limits) {
        let most = limits.segments.min(List::MAX_SEGMENTS);
        self.buffers.clear();
        self.buffers.extend_from_slice(lead);
        self.lead = lead.len();
        self.max_segments = usize::from(room.min(most));
        self.is_short = room < most;
        self.max_len = limits.segment;
        self.boundary = limits.boundary as u64 - 1;
    }

    /// All buffers.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// The data segments. Call it before [`List::finish`].
    #[cfg(test)]
    pub fn data(&self) -> &[Buffer] {
        self.buffers.get(self.lead..).unwrap_or_default()
    }

    /// Whether a later command may have more segments than this one.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// Removes all data segments.
    pub fn clear(&mut self) {
        self.buffers.truncate(self.lead);
    }

    /// Appends a segment, merging it with the previous one and cutting it to the device's limits.
    /// Returns the number of bytes that fitted.
    pub fn push(&mut self, mut segment: Segment, device_writes: bool) -> usize {
        let mut taken = 0;
        while segment.len > 0 {
            let count = self.buffers.len() - self.lead;
            let end = |last: &Buffer| last.phys + u64::from(last.len);
            let mut is_gap = false;
            let joined = match self.buffers.last_mut() {
                Some(last) if count > 0 && end(last) == segment.phys && last.len < self.max_len => {
                    let len = segment.len.min((self.max_len - last.len) as usize);
                    last.len += len as u32;
                    Some(len)
                }
                Some(last) if count > 0 => {
                    is_gap = (end(last) | segment.phys) & self.boundary != 0;
                    None
                }
                _ => None,
            };
            let len = match joined {
                Some(len) => len,
                None if count == self.max_segments || is_gap => break,
                None => {
                    let len = segment.len.min(self.max_len as usize);
                    self.buffers.push(Buffer {
                        phys: segment.phys,
                        len: len as u32,
                        device_writes,
                    });
                    len
                }
            };
            taken += len;
            segment = Segment {
                phys: segment.phys + len as u64,
                len: segment.len - len,
            };
        }
        taken
    }

    /// Removes `bytes` of data from the end.
    pub fn truncate(&mut self, mut bytes: usize) {
        while bytes > 0 && self.buffers.len() > self.lead {
            let Some(last) = self.buffers.last_mut() else {
                return;
            };
            let cut = bytes.min(last.len as usize);
            last.len -= cut as u32;
            bytes -= cut;
            if last.len == 0 {
                self.buffers.pop();
            }
        }
    }

    /// Appends a buffer of the command itself behind the data.
    pub fn finish(&mut self, last: Buffer) {
        self.buffers.push(last);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec;

    use super::*;

    const HEADER: Buffer = Buffer::readable(7, 16);
    const STATUS: Buffer = Buffer::writable(9, 1);

    fn list(most: u16, segment: u32, boundary: usize) -> List {
        let limits = Limits {
            segment,
            segments: most,
            bytes: usize::MAX,
            block: 512,
            boundary,
        };
        let mut list = List::default();
        list.begin(&[HEADER], u16::MAX, &limits);
        list
    }

    fn data(list: &List) -> Vec<(u64, u32)> {
        list.data().iter().map(|b| (b.phys, b.len)).collect()
    }

    fn push(list: &mut List, phys: u64, len: usize) -> usize {
        list.push(Segment { phys, len }, true)
    }

    #[test]
    fn adjacent_segments_are_merged_up_to_the_limit_of_the_device() {
        let mut list = list(3, 100, 1);
        assert_eq!(push(&mut list, 1000, 30), 30);
        assert_eq!(push(&mut list, 1030, 90), 90);
        assert_eq!(data(&list), [(1000, 100), (1100, 20)]);
        // Neither a gap nor what lies before is joined.
        assert_eq!(push(&mut list, 1121, 250), 100);
        assert_eq!(data(&list), [(1000, 100), (1100, 20), (1121, 100)]);
        assert_eq!(push(&mut list, 1221, 1), 0);
        list.finish(STATUS);
        let buffers: Vec<_> = list.buffers().iter().map(|b| (b.phys, b.len)).collect();
        let expected = [(7, 16), (1000, 100), (1100, 20), (1121, 100), (9, 1)];
        assert_eq!(buffers, expected);
    }

    #[test]
    fn the_buffer_of_the_header_is_never_data() {
        let mut list = list(1, 100, 1);
        // Adjacent to the header.
        assert_eq!(push(&mut list, 23, 10), 10);
        assert_eq!(data(&list), [(23, 10)]);
        list.truncate(1000);
        assert_eq!((data(&list).len(), list.buffers().len()), (0, 1));
    }

    #[test]
    fn bytes_come_off_the_end() {
        let filled = || {
            let mut list = list(3, 100, 1);
            for phys in [1000, 3000, 5000] {
                push(&mut list, phys, 100);
            }
            list
        };
        let left = [
            (0, vec![(1000, 100), (3000, 100), (5000, 100)]),
            (1, vec![(1000, 100), (3000, 100), (5000, 99)]),
            (100, vec![(1000, 100), (3000, 100)]),
            (150, vec![(1000, 100), (3000, 50)]),
            (299, vec![(1000, 1)]),
            (300, vec![]),
        ];
        for (bytes, expected) in left {
            let mut list = filled();
            list.truncate(bytes);
            assert_eq!(data(&list), expected, "{bytes} bytes less");
        }
    }

    #[test]
    fn a_gap_within_a_page_ends_the_list() {
        let mut list = list(8, u32::MAX, 4096);
        assert_eq!(push(&mut list, 512, 3584), 3584);
        assert_eq!(push(&mut list, 8192, 4096), 4096);
        assert_eq!(push(&mut list, 20480, 512), 512);
        assert_eq!(push(&mut list, 20992, 512), 512, "adjacent");
        assert_eq!(
            push(&mut list, 32768, 512),
            0,
            "the last ends within a page"
        );
        assert_eq!(data(&list), [(512, 3584), (8192, 4096), (20480, 1024)]);
        list.clear();
        assert_eq!(push(&mut list, 0, 4096), 4096);
        assert_eq!(push(&mut list, 8704, 512), 0, "it starts within a page");
    }

    proptest! {
        /// Takes a prefix of the pieces in order, as long as the limits allow.
        #[test]
        fn any_segments_are_taken_in_order(
            given in prop::collection::vec((0..12u64, 1..40usize), 1..20),
            most in 1..8u16, longest in 1..50u32,
        ) {
            let mut list = list(most, longest, 1);
            let (mut at, mut taken) = (5000, Vec::new());
            for (gap, len) in given {
                at += gap.saturating_sub(6);
                let count = push(&mut list, at, len);
                taken.extend(at..at + count as u64);
                if count < len {
                    let segments = data(&list);
                    prop_assert_eq!(segments.len(), usize::from(most));
                    let (phys, last) = segments[segments.len() - 1];
                    let touches = phys + u64::from(last) == at + count as u64;
                    prop_assert!(!touches || last == longest);
                    break;
                }
                at += len as u64;
            }
            prop_assert!(data(&list).iter().all(|(_, len)| (1..=longest).contains(len)));
            let bytes = |list: &List| -> Vec<u64> {
                data(list).iter().flat_map(|(phys, len)| *phys..phys + u64::from(*len)).collect()
            };
            prop_assert_eq!(bytes(&list), &taken[..]);
            let less = taken.len() / 3;
            list.truncate(less);
            taken.truncate(taken.len() - less);
            prop_assert_eq!(bytes(&list), taken);
        }
    }
}
