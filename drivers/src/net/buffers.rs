//! Buffers of frames to send, of two sizes, allocated on demand: the driver's own memory, which the
//! caller fills.

use alloc::vec::Vec;

use crate::{Error, MemoryRef, Region};

/// Small buffers are allocated this many at a time.
const SMALL_CHUNK: u16 = 16;
/// Set in the token of a large buffer.
const LARGE: u32 = 1 << 16;

/// Buffers of one size, allocated on demand up to a limit.
struct Pool {
    memory: MemoryRef,
    buffer_len: usize,
    chunk: u16,
    limit: u16,
    regions: Vec<Region>,
    free: Vec<u16>,
}

impl Pool {
    fn new(memory: MemoryRef, buffer_len: usize, chunk: u16, limit: u16) -> Pool {
        // Counts whole chunks, so that a limit below one still yields a buffer.
        let limit = limit.next_multiple_of(chunk);
        Pool {
            memory,
            buffer_len,
            chunk,
            limit,
            regions: Vec::new(),
            free: Vec::new(),
        }
    }

    fn allocated(&self) -> u16 {
        self.regions.len() as u16 * self.chunk
    }

    /// Allocates more buffers, if the limit and the memory allow it.
    fn grow(&mut self) {
        if self.allocated() < self.limit {
            let len = self.buffer_len * usize::from(self.chunk);
            if let Some(region) = Region::new(self.memory, len, 64) {
                let first = self.allocated();
                self.regions.push(region);
                self.free.extend((first..first + self.chunk).rev());
            }
        }
    }

    fn place(&self, index: u16) -> Option<(&Region, usize)> {
        let region = self.regions.get(usize::from(index / self.chunk))?;
        Some((region, usize::from(index % self.chunk) * self.buffer_len))
    }
}

/// Small and large buffers. A token names a buffer.
pub(crate) struct Buffers {
    small: Pool,
    large: Pool,
}

/// Bytes of a buffer, and the maximum number of buffers; 0 for no large ones.
#[derive(Clone, Copy)]
pub(crate) struct PoolSize {
    pub len: usize,
    pub limit: u16,
}

impl Buffers {
    /// # Errors
    ///
    /// [`Error::OutOfMemory`] without one buffer of each size: with one of each, a wait for a
    /// returned buffer always ends.
    pub fn new(memory: MemoryRef, small: PoolSize, large: PoolSize) -> Result<Buffers, Error> {
        let mut buffers = Buffers {
            small: Pool::new(memory, small.len, SMALL_CHUNK, small.limit),
            large: Pool::new(memory, large.len, 1, large.limit),
        };
        buffers.small.grow();
        buffers.largest().grow();
        match buffers.small.free.is_empty() || buffers.largest().free.is_empty() {
            true => Err(Error::OutOfMemory),
            false => Ok(buffers),
        }
    }

    /// The buffers that hold a frame of any length.
    fn largest(&mut self) -> &mut Pool {
        if self.large.limit > 0 {
            &mut self.large
        } else {
            &mut self.small
        }
    }

    /// Whether a buffer for a frame of any length is free.
    pub fn has_largest(&mut self) -> bool {
        !self.largest().free.is_empty()
    }

    /// Allocates a buffer for a frame of any length if none is free.
    pub fn grow_largest(&mut self) {
        if !self.has_largest() {
            self.largest().grow();
        }
    }

    /// Allocates small buffers if `total` bytes fit into one and none is free.
    pub fn grow_small(&mut self, total: usize) {
        if total <= self.small.buffer_len && self.small.free.is_empty() {
            self.small.grow();
        }
    }

    /// Takes a free buffer for `total` bytes: a large one also for a small frame, if no small one
    /// is free.
    pub fn take(&mut self, total: usize) -> Option<u32> {
        let small = if total <= self.small.buffer_len {
            self.small.free.pop()
        } else {
            None
        };
        small
            .map(u32::from)
            .or_else(|| self.large.free.pop().map(|index| u32::from(index) | LARGE))
    }

    /// Returns a taken buffer.
    pub fn give_back(&mut self, token: u32) {
        let pool = if token & LARGE != 0 {
            &mut self.large
        } else {
            &mut self.small
        };
        pool.free.push(token as u16);
    }

    /// The memory of a taken buffer, and the buffer's offset in it.
    pub fn place(&self, token: u32) -> Option<(&Region, usize)> {
        let pool = if token & LARGE != 0 {
            &self.large
        } else {
            &self.small
        };
        pool.place(token as u16)
    }

    /// Leaks the memory, because the device may still read it.
    pub fn leak(&mut self) {
        self.small
            .regions
            .iter_mut()
            .chain(&mut self.large.regions)
            .for_each(Region::leak);
    }
}
