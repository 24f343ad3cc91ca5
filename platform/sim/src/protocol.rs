//! The messages between a node and the coordinator (`packages/soil-sim/wire.ml`).
//!
//! Each is a 32-bit length, a byte with its kind, and that many bytes; numbers are little-endian.
//! The node reads [`START`] first. It sends any number of messages and then [`WAIT`], on which the
//! coordinator answers with one [`RESUME`].

use alloc::vec::Vec;

/// The version of the messages.
pub const VERSION: u32 = 1;

/// To the node: version, seed (32 bytes), times, memory, Ethernet address, number of disks, and for
/// each its name's length, name, sectors, bytes of a sector, flags.
pub const START: u8 = 0;
/// To the node: monotonic and wall time, requests to stop so far, events.
pub const RESUME: u8 = 1;

/// To the coordinator: the version.
pub const ATTACHED: u8 = 16;
/// The node's monotonic time now, and until when it waits (`u64::MAX`: for ever).
pub const WAIT: u8 = 17;
/// An Ethernet frame.
pub const FRAME: u8 = 18;
/// A request of a disk: its index, operation, number, sector, count of sectors, data of a write.
pub const DISK: u8 = 19;
/// Output: the stream (1 or 2), bytes.
pub const CONSOLE: u8 = 20;
/// A call that the simulation doesn't own, as text.
pub const UNOWNED: u8 = 21;
/// A note of the library `soil-sim`.
pub const NOTE: u8 = 22;
/// The process ends with this status.
pub const EXIT: u8 = 23;

/// Events in [`RESUME`]: a frame; the completion of a disk's request.
pub const EVENT_FRAME: u8 = 0;
/// The disk, the number of the request, the status, and the data of a read.
pub const EVENT_DISK: u8 = 1;

/// Bytes before a message.
pub const HEADER: usize = 5;
/// The largest message that a node accepts: more than what a request of a disk has.
pub const MAX: usize = 64 << 20;

/// Appends a message with the parts as its bytes.
pub fn put(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&(len as u32).to_le_bytes());
    out.push(kind);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Reads numbers and bytes of a message in order.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(first)
    }

    /// The next byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    /// The next 32-bit number.
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes(4)?.first_chunk()?))
    }

    /// The next 64-bit number.
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.bytes(8)?.first_chunk()?))
    }

    /// The next bytes, with their number before them.
    pub fn sized(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        self.bytes(len)
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, put};

    #[test]
    fn a_reader_ends_with_the_message() {
        let mut out = alloc::vec![];
        put(&mut out, 7, &[&[1, 0, 0, 0], &[9], &8u64.to_le_bytes()]);
        let mut reader = Reader(&out);
        assert_eq!(reader.u32(), Some(13));
        assert_eq!(reader.byte(), Some(7));
        assert_eq!(reader.sized(), Some(&[9][..]));
        assert_eq!(reader.u64(), Some(8));
        assert_eq!(reader.byte(), None);
        assert_eq!(Reader(&[4, 0, 0, 0, 1]).sized(), None);
    }
}
