//! Buffers that make few large requests of many sequential ones.

use super::buffer::Buffer;

/// Bytes of a transfer that takes no detour, whatever the buffers hold: copying it would cost more
/// than a request of its own.
pub(super) const STRAIGHT: usize = 256 << 10;

/// Sectors read before they were asked for, with every write since.
pub(super) struct ReadAhead {
    buffer: Buffer,
    /// The first sector in the buffer, and how many there are.
    first: u64,
    count: u64,
    /// The sector that a sequential reader asks for next.
    next: u64,
    /// Sectors to read ahead next time.
    window: u64,
    /// Sectors that the buffer may grow to; 0 for no reading ahead.
    limit: u64,
    /// Sectors of a read that goes straight to the reader's buffer.
    straight: u64,
}

impl ReadAhead {
    /// With a buffer of `bytes`.
    pub fn new(bytes: usize, sector: usize) -> Self {
        Self {
            buffer: Buffer::default(),
            first: 0,
            count: 0,
            next: u64::MAX,
            window: 0,
            limit: (bytes / sector) as u64,
            straight: (STRAIGHT / sector) as u64,
        }
    }

    /// Copies from the buffer to the front of `out` what it has of the sectors from `first` on.
    /// Returns how many sectors that was.
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

    /// Whether a read of `count` sectors at `first` goes on where the last one ended, and so how
    /// many sectors to read for it: `None` for exactly those, straight to the reader's buffer.
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

    /// The emptied buffer, of at least `bytes` bytes, to be filled and given back with
    /// [`fill`](Self::fill); `None` when memory is short.
    pub fn take(&mut self, bytes: usize) -> Option<Buffer> {
        self.count = 0;
        let mut buffer = core::mem::take(&mut self.buffer);
        buffer.grow_if_plenty(bytes).then_some(buffer)
    }

    /// Gives the buffer back with `count` sectors from `first` on in it.
    pub fn fill(&mut self, buffer: Buffer, first: u64, count: u64) {
        self.count = count;
        self.first = first;
        self.buffer = buffer;
    }

    /// Takes a write of `data` at `first` into the buffer.
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

    /// Forgets the contents, after a write that may have failed half way.
    pub fn clear(&mut self) {
        self.count = 0;
    }
}

/// Sequential writes on their way to the device.
pub(super) struct Gather {
    buffer: Buffer,
    /// Bytes in the buffer.
    len: usize,
    /// The sector that they start at.
    pub first: u64,
    /// Bytes to gather before a write; 0 for none.
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

    /// Whether the buffer is as large as it gets.
    pub fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// What was gathered.
    pub fn data(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// Forgets what was gathered.
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

    /// Takes `data` in if it goes on where the buffer ends (or the buffer is empty) and fits.
    pub fn add(&mut self, first: u64, data: &[u8], sector: usize) -> bool {
        let end = self.len + data.len();
        let goes_on = self.is_empty() || self.end(sector) == first;
        let straight = self.is_empty() && data.len() >= STRAIGHT;
        if straight || end > self.limit || !goes_on {
            return false;
        }
        if !self.buffer.grow_if_plenty(self.limit) {
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

    /// Copies over `out`, the sectors from `first` on, what the buffer has of them.
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
