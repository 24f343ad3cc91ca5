//! The memory of received frames: one contiguous pool of buffers.

use alloc::vec::Vec;

use crate::net::{MAX_FRAME, NetConfig};
use crate::{Error, MemoryRef, Region};

/// Bytes of a buffer: half a page, which every device takes.
pub const BUFFER: usize = 2048;
/// Numbers of buffers, powers of two. A device with fewer loses frames.
const BUFFERS: core::ops::RangeInclusive<u16> = 64..=1024;

/// A part of a frame in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub buffer: u16,
    /// Offset of the bytes in the buffer, and their number: inside the buffer.
    pub offset: usize,
    pub len: usize,
}

impl Part {
    fn start(&self) -> usize {
        usize::from(self.buffer) * BUFFER + self.offset
    }
}

/// Whether each part begins where the one before ends.
pub fn is_linear(parts: &[Part]) -> bool {
    let follows = |pair: &[Part]| pair[0].start() + pair[0].len == pair[1].start();
    parts.windows(2).all(follows)
}

pub struct Frames {
    pool: Region,
    count: u16,
    /// Memory to assemble non-contiguous frames in.
    assembly: Vec<u8>,
}

impl Frames {
    /// As many buffers as `config` says, and at most `most`, as a power of two.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub fn new(memory: MemoryRef, most: u16, config: &NetConfig) -> Result<Frames, Error> {
        let wanted = config.rx_buffers.clamp(*BUFFERS.start(), *BUFFERS.end());
        let count = 1 << wanted.min(most).max(1).ilog2();
        let pool = Region::new(memory, usize::from(count) * BUFFER, 4096);
        Ok(Frames {
            pool: pool.ok_or(Error::OutOfMemory)?,
            count,
            assembly: Vec::new(),
        })
    }

    /// Number of buffers, a power of two.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// The memory.
    pub fn region(&self) -> &Region {
        &self.pool
    }

    /// Passes a frame to `deliver`. False if it is empty or longer than an IP packet, or if there
    /// is no memory to assemble it.
    ///
    /// The device has given all parts' buffers back, and none twice.
    pub fn deliver(&mut self, parts: &[Part], deliver: &mut dyn FnMut(&mut [u8])) -> bool {
        let total: usize = parts.iter().map(|part| part.len).sum();
        let Some(first) = parts.first().filter(|_| (1..=MAX_FRAME).contains(&total)) else {
            return false;
        };
        if is_linear(parts) {
            // SAFETY: buffers that the device has given back; nothing else has a reference while
            // `self` is borrowed.
            deliver(unsafe { self.pool.slice(first.start(), total) });
            return true;
        }
        self.assembly.clear();
        if self.assembly.try_reserve(total).is_err() {
            return false;
        }
        for part in parts {
            // SAFETY: as above.
            let bytes = unsafe { self.pool.slice(part.start(), part.len) };
            self.assembly.extend_from_slice(bytes);
        }
        deliver(&mut self.assembly);
        true
    }

    pub fn leak(&mut self) {
        self.pool.leak();
    }
}
