//! Aligned buffers that devices accept without a copy.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use crate::memory_pressure::is_memory_short;

/// Alignment of device buffers. A disk that the host opened with `O_DIRECT` accepts only aligned
/// memory without a copy, and handles several requests at once only then.
const ALIGN: usize = 512;

/// Bytes in a line: a page, and at least one sector of any device.
pub(crate) const LINE: usize = 4096;

/// Contents of a line, aligned to [`ALIGN`].
#[repr(align(512))]
struct Page([u8; LINE]);

const ZEROS: [u8; LINE] = [0; LINE];

/// Contents of one cache line.
pub(crate) struct LineData(Vec<Page>);

impl LineData {
    /// Allocates zeros; `None` when memory is exhausted.
    pub fn new() -> Option<Self> {
        #[cfg(test)]
        if crate::memory_pressure::is_memory_gone() {
            return None;
        }
        let mut page = Vec::new();
        page.try_reserve_exact(1).ok()?;
        page.push(Page(ZEROS));
        Some(Self(page))
    }
}

impl Deref for LineData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.first().map_or(&[], |page| &page.0)
    }
}

impl DerefMut for LineData {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.first_mut().map_or(&mut [], |page| &mut page.0)
    }
}

/// Buffer of some length, aligned to [`ALIGN`]; empty until [`grow`](Self::grow).
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Bytes before the first aligned one.
    skip: usize,
}

impl Buffer {
    /// As [`grow`](Self::grow), for optional buffers: `false` also when memory is short.
    pub fn try_grow_optional(&mut self, len: usize) -> bool {
        self.len() >= len || !is_memory_short() && self.grow(len)
    }

    /// Ensures room for `len` bytes and drops the contents; `false` when memory is exhausted.
    pub fn grow(&mut self, len: usize) -> bool {
        if self.len() >= len {
            return true;
        }
        *self = Self::default();
        if self.bytes.try_reserve_exact(len + ALIGN).is_err() {
            return false;
        }
        self.bytes.resize(len + ALIGN, 0);
        self.skip = self.bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        self.bytes.truncate(self.skip + len);
        true
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.skip..).unwrap_or_default()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.skip..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_pressure::set_memory_short;

    #[test]
    fn while_memory_is_short_what_is_there_is_used() {
        let mut buffer = Buffer::default();
        assert!(buffer.try_grow_optional(1000));
        set_memory_short(true);
        assert!(buffer.try_grow_optional(1000) && !buffer.try_grow_optional(1001));
        assert_eq!(buffer.len(), 1000);
        set_memory_short(false);
        assert!(buffer.try_grow_optional(1001));
    }

    #[test]
    fn memory_is_aligned() {
        for len in [1, 512, 4096, 100_000] {
            let mut buffer = Buffer::default();
            assert!(buffer.grow(len) && buffer.len() == len);
            assert_eq!(buffer.as_ptr().addr() % ALIGN, 0);
            let line = LineData::new().unwrap();
            assert_eq!((line.as_ptr().addr() % ALIGN, line.len()), (0, LINE));
        }
    }
}
