//! Sequential access: read-ahead, and gathering of writes, which turn many small requests into few
//! large ones.

use crate::buffer::Buffer;

/// Minimum length in bytes of a transfer that bypasses the buffers, whatever they hold: a copy
/// would cost more than a request.
pub(super) const MIN_DIRECT: usize = 256 << 10;

/// Sectors that were read ahead, with every write since.
pub(super) struct ReadAhead {
    buffer: Buffer,
    /// First sector in the buffer, and their number.
    first: u64,
    count: u64,
    /// Sector that a sequential reader asks for next.
    next: u64,
    /// Number of sectors to read ahead next time.
    window: u64,
    /// Maximum size of the buffer in sectors; 0 disables read-ahead.
    limit: u64,
    /// Minimum number of sectors of a read that bypasses the buffer.
    straight: u64,
}

impl ReadAhead {
    /// Creates a reader with a buffer of `bytes`.
    pub fn new(bytes: usize, sector: usize) -> Self {
        Self {
            buffer: Buffer::default(),
            first: 0,
            count: 0,
            next: u64::MAX,
            window: 0,
            limit: (bytes / sector) as u64,
            straight: (MIN_DIRECT / sector) as u64,
        }
    }

    /// Copies the buffered sectors from `first` on to the front of `out`. Returns their number.
    pub fn serve(&mut self, first: u64, out: &mut [u8], sector: usize) -> u64 {
        let Some(skip) = first
            .checked_sub(self.first)
            .filter(|skip| *skip < self.count)
        else {
            return 0;
        };
        let count = (self.count - skip).min((out.len() / sector) as u64);
        let from = skip as usize * sector;
        let bytes = count as usize * sector;
        let (Some(have), Some(place)) = (self.buffer.get(from..from + bytes), out.get_mut(..bytes))
        else {
            return 0;
        };
        place.copy_from_slice(have);
        self.next = first + count;
        count
    }

    /// Returns the number of sectors to read for a read of `count` sectors at `first`, depending on
    /// whether it continues the last one: `None` for exactly those, directly to the reader's
    /// buffer.
    pub fn plan(&mut self, first: u64, count: u64) -> Option<u64> {
        let sequential = self.next == first;
        self.next = first + count;
        if !sequential || count * 2 > self.limit || count >= self.straight {
            self.window = count;
            return None;
        }
        self.window = (self.window * 2).max(count * 2).min(self.limit);
        Some(self.window)
    }

    /// Takes the emptied buffer, of at least `bytes` bytes, which the caller fills and returns with
    /// [`fill`](Self::fill); `None` when memory is short.
    pub fn take(&mut self, bytes: usize) -> Option<Buffer> {
        self.count = 0;
        let mut buffer = core::mem::take(&mut self.buffer);
        buffer.try_grow_optional(bytes).then_some(buffer)
    }

    /// Returns the buffer with `count` sectors from `first` on in it.
    pub fn fill(&mut self, buffer: Buffer, first: u64, count: u64) {
        self.count = count;
        self.first = first;
        self.buffer = buffer;
    }

    /// Applies a write of `data` at `first` to the buffer.
    pub fn written(&mut self, first: u64, data: &[u8], sector: usize) {
        let count = (data.len() / sector) as u64;
        let from = first.max(self.first);
        let end = (first + count).min(self.first + self.count);
        if from >= end {
            return;
        }
        let bytes = (end - from) as usize * sector;
        let source = (from - first) as usize * sector;
        let target = (from - self.first) as usize * sector;
        if let (Some(new), Some(place)) = (
            data.get(source..source + bytes),
            self.buffer.get_mut(target..target + bytes),
        ) {
            place.copy_from_slice(new);
        }
    }

    /// Drops the contents, after a write that may have failed half way.
    pub fn clear(&mut self) {
        self.count = 0;
    }
}

/// Sequential writes that are gathered for the device.
pub(super) struct Gather {
    buffer: Buffer,
    /// Gathered bytes.
    len: usize,
    /// First sector of the gathered bytes.
    pub first: u64,
    /// Bytes to gather before a write; 0 disables gathering.
    limit: usize,
}

impl Gather {
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: Buffer::default(),
            len: 0,
            first: 0,
            limit,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the buffer is full.
    pub fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// Returns the first sector and the gathered bytes.
    pub fn data(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// Drops the gathered bytes.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    fn end(&self, sector: usize) -> u64 {
        self.first + (self.len / sector) as u64
    }

    /// Whether any of `count` sectors at `first` are in the buffer.
    pub fn overlaps(&self, first: u64, count: u64, sector: usize) -> bool {
        !self.is_empty() && first < self.end(sector) && self.first < first + count
    }

    /// Gathers `data` if it continues the buffer (or the buffer is empty) and fits.
    pub fn add(&mut self, first: u64, data: &[u8], sector: usize) -> bool {
        let end = self.len + data.len();
        let is_contiguous = self.is_empty() || self.end(sector) == first;
        let straight = self.is_empty() && data.len() >= MIN_DIRECT;
        if straight || end > self.limit || !is_contiguous {
            return false;
        }
        if !self.buffer.try_grow_optional(self.limit) {
            return false;
        }
        let Some(place) = self.buffer.get_mut(self.len..end) else {
            return false;
        };
        place.copy_from_slice(data);
        if self.is_empty() {
            self.first = first;
        }
        self.len = end;
        true
    }

    /// Copies the gathered sectors over `out`, which holds the sectors from `first` on.
    pub fn overlay(&self, first: u64, out: &mut [u8], sector: usize) {
        let count = (out.len() / sector) as u64;
        if !self.overlaps(first, count, sector) {
            return;
        }
        let from = first.max(self.first);
        let end = (first + count).min(self.end(sector));
        let bytes = (end - from) as usize * sector;
        let source = (from - self.first) as usize * sector;
        let target = (from - first) as usize * sector;
        if let (Some(new), Some(place)) = (
            self.data().get(source..source + bytes),
            out.get_mut(target..target + bytes),
        ) {
            place.copy_from_slice(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const SECTOR: usize = 512;

    /// Creates a reader with a buffer of `bytes`, which holds sectors 10 to 13 of eight that fit.
    fn filled(bytes: usize) -> ReadAhead {
        let mut ahead = ReadAhead::new(bytes, SECTOR);
        let mut buffer = ahead.take(8 * SECTOR).unwrap();
        for (n, sector) in buffer.chunks_mut(SECTOR).enumerate() {
            sector.fill(10 + n as u8);
        }
        ahead.fill(buffer, 10, 4);
        ahead
    }

    #[test]
    fn what_was_read_ahead_is_served_and_no_more() {
        let served = [(9, 0), (10, 4), (12, 2), (13, 1), (14, 0)];
        for (first, expected) in served {
            let mut out = vec![0; 6 * SECTOR];
            let mut ahead = filled(8 * SECTOR);
            let count = ahead.serve(first, &mut out, SECTOR);
            assert_eq!(count, expected, "from {first}");
            let (have, rest) = out.split_at(count as usize * SECTOR);
            let mut sectors = (first as u8..).zip(have.chunks(SECTOR));
            assert!(sectors.all(|(n, sector)| sector.iter().all(|byte| *byte == n)));
            assert!(rest.iter().all(|byte| *byte == 0));
            ahead.clear();
            assert_eq!(ahead.serve(10, &mut out, SECTOR), 0);
        }
        let mut two = [0; 2 * SECTOR];
        assert_eq!(filled(8 * SECTOR).serve(11, &mut two, SECTOR), 2);
        assert_eq!((two[0], two[SECTOR]), (11, 12));
    }

    #[test]
    fn a_window_doubles_while_reads_go_on() {
        // Sectors of a buffer, then sectors of consecutive reads, and the windows for them.
        let cases: [(u64, u64, &[Option<u64>]); 5] = [
            (128, 16, &[None, Some(32), Some(64), Some(128), Some(128)]),
            (100, 16, &[None, Some(32), Some(64), Some(100)]),
            // At most half of the buffer.
            (32, 16, &[None, Some(32), Some(32)]),
            (31, 16, &[None, None]),
            (0, 1, &[None, None]),
        ];
        for (limit, count, windows) in cases {
            let mut ahead = ReadAhead::new(limit as usize * SECTOR, SECTOR);
            for (n, window) in (0..).zip(windows) {
                let planned = ahead.plan(n * count, count);
                assert_eq!(planned, *window, "read {n} of {count} in {limit}");
            }
            // A read elsewhere resets the window.
            assert_eq!(ahead.plan(5000, count), None);
        }
        // Large reads bypass the buffer.
        let straight = (MIN_DIRECT / SECTOR) as u64;
        let mut ahead = ReadAhead::new(4 * MIN_DIRECT, SECTOR);
        assert_eq!(ahead.plan(0, straight), None);
        assert_eq!(ahead.plan(straight, straight), None);
        let mut ahead = ReadAhead::new(4 * MIN_DIRECT, SECTOR);
        assert_eq!(ahead.plan(0, straight - 1), None);
        let window = ahead.plan(straight - 1, straight - 1);
        assert_eq!(window, Some(2 * (straight - 1)));
    }

    #[test]
    fn sequential_writes_are_gathered() {
        let mut gather = Gather::new(8 * SECTOR);
        let data = vec![7; 9 * SECTOR];
        assert!(!gather.add(5, &data, SECTOR), "more than there is room for");
        assert!(gather.add(5, &data[..3 * SECTOR], SECTOR));
        // Sectors 5 to 7.
        for (first, count, overlaps) in [(2, 3, false), (2, 4, true), (7, 1, true), (8, 4, false)] {
            assert_eq!(gather.overlaps(first, count, SECTOR), overlaps, "{first}");
        }
        assert!(!gather.add(9, &data[..SECTOR], SECTOR) && !gather.add(7, &data[..SECTOR], SECTOR));
        assert!(gather.add(8, &data[..4 * SECTOR], SECTOR) && !gather.is_full());
        assert!(!gather.add(12, &data[..2 * SECTOR], SECTOR), "one is left");
        assert!(gather.add(12, &data[..SECTOR], SECTOR) && gather.is_full());
        assert_eq!((gather.first, gather.data().len()), (5, 8 * SECTOR));
        gather.clear();
        assert!(gather.is_empty() && !gather.overlaps(5, 8, SECTOR));
        // Large writes aren't copied, unless the buffer holds data.
        let mut gather = Gather::new(2 * MIN_DIRECT);
        let data = vec![7; MIN_DIRECT];
        assert!(!gather.add(0, &data, SECTOR));
        assert!(gather.add(0, &data[SECTOR..], SECTOR));
        assert!(gather.add((MIN_DIRECT / SECTOR) as u64 - 1, &data, SECTOR));
    }
}
