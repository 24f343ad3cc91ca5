//! Buffers in ordinary memory, whose pixels a present copies to video memory.

use alloc::vec::Vec;
use core::ptr::NonNull;

use crate::{MemoryRef, Region};

/// A buffer: rows of 32-bit pixels without padding.
pub struct Shadow {
    pub region: Region,
    pub width: u32,
    pub height: u32,
}

/// The buffers of a display, by their numbers. Dropping them frees their memory.
pub struct Shadows {
    memory: MemoryRef,
    buffers: Vec<(u32, Shadow)>,
    /// The number of the last buffer.
    numbers: u32,
}

impl Shadows {
    /// No buffers; those to come are of `memory`.
    pub fn new(memory: MemoryRef) -> Shadows {
        Shadows {
            memory,
            buffers: Vec::new(),
            numbers: 0,
        }
    }

    /// Allocates a black buffer, whose sides are at most [`SIDE`](crate::gpu::SIDE)'s. Returns its
    /// number, from 1 on and never reused, and its pixels; `None` without memory.
    pub fn create(&mut self, width: u32, height: u32) -> Option<(u32, NonNull<u32>)> {
        self.buffers.try_reserve(1).ok()?;
        let number = self.numbers.checked_add(1)?;
        let len = width as usize * height as usize * 4;
        let region = Region::new(self.memory, len, 4096)?;
        let pixels = region.ptr(0).cast();
        self.numbers = number;
        let shadow = Shadow {
            region,
            width,
            height,
        };
        self.buffers.push((number, shadow));
        Some((number, pixels))
    }

    /// Frees a buffer. An unknown number is ignored.
    pub fn release(&mut self, number: u32) {
        self.buffers.retain(|(each, _)| *each != number);
    }

    /// The buffer with this number.
    pub fn find(&self, number: u32) -> Option<&Shadow> {
        let found = self.buffers.iter().find(|(each, _)| *each == number);
        found.map(|(_, shadow)| shadow)
    }
}
