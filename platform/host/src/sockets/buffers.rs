//! Memory that the kernel fills with received data of connections as it arrives
//! (io_uring_register_buf_ring(3)), which saves recv(2).
//!
//! Connections share the buffers: a waiting one has none. Buffers with unread bytes are in a
//! [`Chain`] of their connection. When more connections receive at a time than there are buffers,
//! their number doubles.

use crate::ring::Owner;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};
use rustix_uring::types::BufRingEntry;

/// The largest number of buffers: a power of two. What the kernel never had takes no memory.
const MAX_COUNT: u16 = 2048;
/// The number of buffers that the kernel has at first. It uses one after another, so that more than
/// it needs would only be out of the processor's cache.
const FIRST_COUNT: u16 = 128;
/// Bytes of a buffer. A connection that receives more at a time is read by calls.
pub const SIZE: usize = 4096;
/// Bytes of the ring of buffers, which has its own pages.
const RING: usize = MAX_COUNT as usize * size_of::<BufRingEntry>();
/// The kernel's name for the buffers.
pub const GROUP: u16 = 0;

/// The end of a chain.
const NONE: u16 = u16::MAX;

/// Unread bytes of a buffer.
#[derive(Clone, Copy)]
struct Piece {
    from: u16,
    end: u16,
    /// The next buffer of the chain.
    next: u16,
}

/// The buffers with the unread bytes of a connection, in order.
pub struct Chain {
    first: u16,
    last: u16,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain {
            first: NONE,
            last: NONE,
        }
    }
}

impl Chain {
    /// Whether nothing is unread.
    pub fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// Whether there are several buffers.
    pub fn is_long(&self) -> bool {
        self.first != self.last
    }
}

/// The buffers. Their memory is never freed, as the kernel may write to it as long as the program
/// lives.
pub struct Buffers {
    /// The ring from which the kernel takes them, followed by the buffers.
    memory: NonNull<u8>,
    /// Number of buffers added to the ring so far; it wraps.
    given: u16,
    /// Number of buffers in use, by the kernel or chains.
    count: u16,
    pieces: Vec<Piece>,
}

impl Buffers {
    /// Registers the buffers; `None` if the kernel doesn't support it (before Linux 5.19), or has
    /// no memory.
    pub fn open(owner: &Owner) -> Option<Buffers> {
        let mut pieces = Vec::new();
        pieces.try_reserve_exact(usize::from(FIRST_COUNT)).ok()?;
        let len = RING + usize::from(MAX_COUNT) * SIZE;
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: new memory.
        let memory = unsafe { libc::mmap(core::ptr::null_mut(), len, access, kind, -1, 0) };
        if memory == libc::MAP_FAILED {
            return None;
        }
        let memory = NonNull::new(memory.cast::<u8>())?;
        // SAFETY: the ring is at the beginning of memory that stays.
        if !unsafe { owner.register_buffers(memory, MAX_COUNT, GROUP) } {
            // SAFETY: the mapping created above, which nothing uses.
            unsafe { libc::munmap(memory.as_ptr().cast(), len) };
            return None;
        }
        let mut buffers = Buffers {
            memory,
            given: 0,
            count: 0,
            pieces,
        };
        buffers.grow_to(FIRST_COUNT);
        Some(buffers)
    }

    /// Doubles the number of buffers, up to [`MAX_COUNT`]: the kernel had none left.
    pub fn grow(&mut self) {
        self.grow_to(self.count.saturating_mul(2).min(MAX_COUNT));
    }

    /// Gives the kernel new buffers, so that there are `count`. Without memory for that there are
    /// as many as before, and reads are calls while the kernel has none.
    fn grow_to(&mut self, count: u16) {
        let more = usize::from(count.saturating_sub(self.count));
        if self.pieces.try_reserve_exact(more).is_err() {
            return;
        }
        let piece = Piece {
            from: 0,
            end: 0,
            next: NONE,
        };
        self.pieces.resize(usize::from(count), piece);
        for id in self.count..count {
            self.provide(id);
        }
        self.count = count;
    }

    fn at(&self, id: u16) -> NonNull<u8> {
        // SAFETY: within the memory for any number.
        unsafe {
            self.memory
                .add(RING + usize::from(id.min(MAX_COUNT - 1)) * SIZE)
        }
    }

    /// Adds a buffer to the kernel's ring. The kernel must not have it already.
    fn provide(&mut self, id: u16) {
        let place = usize::from(self.given % MAX_COUNT);
        let start = self.at(id).as_ptr().cast();
        self.given = self.given.wrapping_add(1);
        // SAFETY: an entry of the ring, which the kernel doesn't read before the new tail; the tail
        // is at the kernel's offset, and only this function writes it.
        unsafe {
            #[allow(clippy::cast_ptr_alignment, reason = "the memory starts with a page")]
            let ring = self.memory.as_ptr().cast::<BufRingEntry>();
            let entry = &mut *ring.add(place);
            entry.set_addr(start);
            entry.set_len(SIZE as u32);
            entry.set_bid(id);
            let tail = BufRingEntry::tail(ring).cast_mut();
            // Release: the kernel reads the entry after the new tail (io_uring_register(2),
            // IORING_REGISTER_PBUF_RING).
            AtomicU16::from_ptr(tail).store(self.given, Ordering::Release);
        }
    }

    /// Appends a returned buffer with `len` bytes to a chain.
    pub fn add(&mut self, chain: &mut Chain, id: u16, len: usize) {
        let Some(piece) = self.pieces.get_mut(usize::from(id)) else {
            return;
        };
        *piece = Piece {
            from: 0,
            end: len.min(SIZE) as u16,
            next: NONE,
        };
        match self.pieces.get_mut(usize::from(chain.last)) {
            Some(last) => last.next = id,
            None => chain.first = id,
        }
        chain.last = id;
    }

    /// Returns a buffer to the kernel.
    pub fn recycle(&mut self, id: u16) {
        if id < self.count {
            self.provide(id);
        }
    }

    /// Copies unread bytes; returns their number.
    pub fn peek(&self, chain: &Chain, into: &mut [u8]) -> usize {
        let (mut next, mut done) = (chain.first, 0);
        while let Some(piece) = self.pieces.get(usize::from(next)) {
            let copied = copy(self.bytes(next), into.get_mut(done..).unwrap_or_default());
            done += copied;
            next = piece.next;
        }
        done
    }

    /// Takes unread bytes; returns their number.
    pub fn take(&mut self, chain: &mut Chain, into: &mut [u8]) -> usize {
        let mut done = 0;
        while !chain.is_empty() && done < into.len() {
            let first = chain.first;
            let copied = copy(self.bytes(first), into.get_mut(done..).unwrap_or_default());
            done += copied;
            let Some(piece) = self.pieces.get_mut(usize::from(first)) else {
                break;
            };
            piece.from += copied as u16;
            if piece.from == piece.end {
                self.drop_first(chain);
            }
        }
        done
    }

    fn drop_first(&mut self, chain: &mut Chain) {
        let first = chain.first;
        chain.first = self
            .pieces
            .get(usize::from(first))
            .map_or(NONE, |piece| piece.next);
        if chain.is_empty() {
            chain.last = NONE;
        }
        self.recycle(first);
    }

    /// Recycles all buffers of a chain.
    pub fn clear(&mut self, chain: &mut Chain) {
        while !chain.is_empty() {
            self.drop_first(chain);
        }
    }

    /// Number of unread bytes.
    pub fn len(&self, chain: &Chain) -> usize {
        let (mut next, mut len) = (chain.first, 0);
        while let Some(piece) = self.pieces.get(usize::from(next)) {
            len += usize::from(piece.end - piece.from);
            next = piece.next;
        }
        len
    }

    /// The unread bytes of a buffer.
    fn bytes(&self, id: u16) -> &[u8] {
        let Some(piece) = self.pieces.get(usize::from(id)) else {
            return &[];
        };
        let (from, end) = (usize::from(piece.from), usize::from(piece.end));
        // SAFETY: the kernel has returned the buffer, filled at least up to `end`.
        unsafe { core::slice::from_raw_parts(self.at(id).add(from).as_ptr(), end - from) }
    }
}

/// Copies as much as there is room for; returns the number of bytes.
fn copy(from: &[u8], into: &mut [u8]) -> usize {
    let n = from.len().min(into.len());
    if let (Some(from), Some(into)) = (from.get(..n), into.get_mut(..n)) {
        into.copy_from_slice(from);
    }
    n
}
