//! Contents of a file in memory.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::memory_pressure::is_memory_short;
use crate::{Error, Lease, Seek};

/// Bytes per chunk. Gaps between written chunks take no memory.
pub(super) const CHUNK: usize = 16 << 10;

/// Bytes to charge for a chunk besides its contents.
const CHUNK_COST: u64 = 48;

/// Chunks by number; each ends after its last written byte, and the rest is zero.
#[derive(Debug, Default)]
pub(super) struct Contents {
    chunks: BTreeMap<u64, Arc<Vec<u8>>>,
    size: u64,
    /// Memory that the file is charged for; see [`held`](Self::held).
    held: u64,
}

/// Allocation size for `len` bytes of a chunk: doubles, so that small appends copy little.
fn allocated(len: usize) -> usize {
    len.next_power_of_two().clamp(64, CHUNK)
}

fn cost(len: usize) -> u64 {
    allocated(len) as u64 + CHUNK_COST
}

/// Returns the chunk of byte `at` and the offset in it.
fn place(at: u64) -> (u64, usize) {
    let chunk = CHUNK as u64;
    (at / chunk, (at % chunk) as usize)
}

impl Contents {
    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of memory that the file takes.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Fills `buf` from byte `offset` on, up to the end of the file.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let left = self.size.saturating_sub(offset);
        let count = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut rest = buf.get_mut(..count).unwrap_or_default();
        let mut at = offset;
        while !rest.is_empty() {
            let (number, within) = place(at);
            let (piece, others) = rest.split_at_mut(rest.len().min(CHUNK - within));
            let known = self
                .chunks
                .get(&number)
                .and_then(|chunk| chunk.get(within..));
            let known = known.unwrap_or_default();
            let (copied, zeros) = piece.split_at_mut(piece.len().min(known.len()));
            copied.copy_from_slice(known.get(..copied.len()).unwrap_or_default());
            zeros.fill(0);
            at += piece.len() as u64;
            rest = others;
        }
        count
    }

    /// Writes at byte `offset` as much as fits `room`, in bytes of memory. Fails when nothing fits.
    /// `offset` and `buf` don't reach past the maximum size.
    pub fn write(&mut self, offset: u64, buf: &[u8], room: u64) -> Result<usize, Error> {
        let (mut at, mut rest, mut room) = (offset, buf, room);
        let mut stopped = Ok(());
        while !rest.is_empty() {
            let (number, within) = place(at);
            let (piece, others) = rest.split_at(rest.len().min(CHUNK - within));
            match self.write_piece(number, within, piece, room) {
                Ok(taken) => room -= taken,
                Err(error) => {
                    stopped = Err(error);
                    break;
                }
            }
            at += piece.len() as u64;
            rest = others;
        }
        let written = buf.len() - rest.len();
        if written > 0 {
            self.size = self.size.max(at);
            return Ok(written);
        }
        stopped.map(|()| 0)
    }

    /// Writes into one chunk and returns the bytes of memory that this took.
    fn write_piece(
        &mut self,
        number: u64,
        within: usize,
        piece: &[u8],
        room: u64,
    ) -> Result<u64, Error> {
        let end = within + piece.len();
        let len = self.chunks.get(&number).map(|chunk| chunk.len());
        let before = len.map_or(0, cost);
        let taken = cost(end.max(len.unwrap_or(0))) - before;
        if taken > room {
            return Err(Error::NoSpace);
        }
        let mut fresh = Arc::default();
        let chunk = own(self.chunks.get_mut(&number).unwrap_or(&mut fresh))?;
        if end > chunk.len() {
            if is_memory_short() {
                return Err(Error::OutOfMemory);
            }
            let more = allocated(end) - chunk.len();
            chunk
                .try_reserve_exact(more)
                .map_err(|_| Error::OutOfMemory)?;
        }
        if chunk.len() < within {
            chunk.resize(within, 0);
        }
        let over = piece.len().min(chunk.len() - within);
        let (replacing, appending) = piece.split_at(over);
        if let Some(place) = chunk.get_mut(within..within + over) {
            place.copy_from_slice(replacing);
        }
        chunk.extend_from_slice(appending);
        if len.is_none() {
            self.chunks.insert(number, fresh);
        }
        self.held += taken;
        Ok(taken)
    }

    /// Truncates the file, or extends it with a hole, which takes no memory.
    pub fn truncate(&mut self, size: u64) -> Result<(), Error> {
        if size < self.size {
            let (number, within) = place(size);
            if within > 0
                && let Some(chunk) = self.chunks.get_mut(&number)
            {
                own(chunk)?;
            }
            let mut gone = self.chunks.split_off(&number);
            if within > 0
                && let Some(mut chunk) = gone.remove(&number)
            {
                let before = cost(chunk.len());
                let bytes = own(&mut chunk)?;
                bytes.truncate(within);
                bytes.shrink_to(allocated(bytes.len()));
                self.held -= before - cost(chunk.len());
                self.chunks.insert(number, chunk);
            }
            self.held -= gone.values().map(|chunk| cost(chunk.len())).sum::<u64>();
        }
        self.size = size;
        Ok(())
    }

    /// Punches a hole from byte `offset` to before `end`.
    pub fn punch(&mut self, offset: u64, end: u64) -> Result<(), Error> {
        let mut next = place(offset).0;
        while let Some((&number, chunk)) = self.chunks.range_mut(next..).next() {
            let start = number * CHUNK as u64;
            if start >= end {
                break;
            }
            next = number + 1;
            let from = offset.saturating_sub(start) as usize;
            let to = (end - start).min(CHUNK as u64) as usize;
            let before = cost(chunk.len());
            if from == 0 && to >= chunk.len() {
                self.chunks.remove(&number);
                self.held -= before;
                continue;
            }
            let bytes = own(chunk)?;
            if to >= bytes.len() {
                bytes.truncate(from);
                bytes.shrink_to(allocated(bytes.len()));
            } else if let Some(some) = bytes.get_mut(from..to) {
                some.fill(0);
            }
            self.held -= before - cost(bytes.len());
        }
        Ok(())
    }

    /// Allocates memory from byte `offset` to before `end`, with zeros where there was none. Does
    /// nothing if that needs more than `room`.
    pub fn allocate(&mut self, offset: u64, end: u64, room: u64) -> Result<(), Error> {
        let numbers = place(offset).0..=place(end - 1).0;
        let inside = |number: u64| (end - number * CHUNK as u64).min(CHUNK as u64) as usize;
        let mut needed = 0u64;
        for number in numbers.clone() {
            let len = self.chunks.get(&number).map(|chunk| chunk.len());
            let wanted = cost(inside(number).max(len.unwrap_or(0)));
            needed += wanted - len.map_or(0, cost);
            if needed > room {
                return Err(Error::NoSpace);
            }
        }
        let zeros = vec![0; CHUNK];
        for number in numbers {
            let len = self.chunks.get(&number).map_or(0, |chunk| chunk.len());
            if let Some(zeros) = zeros.get(len..inside(number))
                && !zeros.is_empty()
            {
                self.write_piece(number, len, zeros, u64::MAX)?;
            }
        }
        Ok(())
    }

    /// Returns the first byte from `offset` on that has memory, or that has none; `None` past the
    /// end.
    pub fn next(&self, to: Seek, offset: u64) -> Option<u64> {
        let mut at = offset;
        for (number, chunk) in self.chunks.range(place(offset).0..) {
            let start = number * CHUNK as u64;
            let end = start + chunk.len() as u64;
            if end <= at {
                continue;
            }
            if to == Seek::Data {
                at = at.max(start);
                return (at < self.size).then_some(at);
            }
            if start > at {
                break;
            }
            at = end;
        }
        (to == Seek::Hole && offset < self.size).then_some(at.min(self.size))
    }

    /// Lends `len` bytes from byte `offset` on, all within the file; copies the zeros of holes.
    pub fn lend(&self, offset: u64, len: usize, out: &mut Vec<Lease>) -> Result<(), Error> {
        let (mut at, mut left) = (offset, len);
        while left > 0 {
            let (number, within) = place(at);
            let count = left.min(CHUNK - within);
            let chunk = self
                .chunks
                .get(&number)
                .filter(|chunk| chunk.len() > within);
            let lent = match chunk {
                Some(chunk) => {
                    let end = chunk.len().min(within + count);
                    Lease::shared(Arc::clone(chunk), within..end)
                }
                None => Lease::copied(count, |zeros| Ok(zeros.len()))?,
            };
            at += lent.len() as u64;
            left -= lent.len();
            out.push(lent);
        }
        Ok(())
    }
}

/// Returns a chunk for a change; copies it first if it is lent.
fn own(chunk: &mut Arc<Vec<u8>>) -> Result<&mut Vec<u8>, Error> {
    if Arc::get_mut(chunk).is_none() {
        let mut copy = Vec::new();
        copy.try_reserve_exact(allocated(chunk.len()))
            .map_err(|_| Error::OutOfMemory)?;
        copy.extend_from_slice(chunk);
        *chunk = Arc::new(copy);
    }
    Arc::get_mut(chunk).ok_or(Error::OutOfMemory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Change {
        Write(u64, Vec<u8>),
        Truncate(u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        let place = 0..5 * CHUNK as u64;
        prop_oneof![
            (
                place.clone(),
                prop::collection::vec(any::<u8>(), 1..2 * CHUNK)
            )
                .prop_map(|(at, data)| Change::Write(at, data)),
            (place.clone(), prop::collection::vec(any::<u8>(), 1..100))
                .prop_map(|(at, data)| Change::Write(at, data)),
            place.prop_map(Change::Truncate),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn behaves_as_a_vector(changes in prop::collection::vec(change(), 1..20)) {
            let (mut contents, mut model) = (Contents::default(), Vec::new());
            for change in changes {
                match change {
                    Change::Write(at, data) => {
                        prop_assert_eq!(contents.write(at, &data, u64::MAX), Ok(data.len()));
                        let end = at as usize + data.len();
                        if model.len() < end {
                            model.resize(end, 0);
                        }
                        model[at as usize..end].copy_from_slice(&data);
                    }
                    Change::Truncate(size) => {
                        contents.truncate(size).unwrap();
                        model.resize(size as usize, 0);
                    }
                }
                let mut all = vec![9; model.len() + 5];
                prop_assert_eq!(contents.read(0, &mut all), model.len());
                prop_assert!(all[..model.len()] == model[..]);
                let held: u64 = contents.chunks.values().map(|chunk| cost(chunk.len())).sum();
                prop_assert_eq!(contents.held(), held);
                let allocated: usize = contents.chunks.values().map(|chunk| chunk.capacity()).sum();
                prop_assert!(allocated as u64 <= contents.held());
            }
            contents.truncate(0).unwrap();
            prop_assert_eq!(contents.held(), 0);
        }
    }

    #[test]
    fn gaps_take_no_memory() {
        let mut contents = Contents::default();
        contents.write(1 << 40, b"far", 1000).unwrap();
        assert_eq!((contents.size(), contents.held()), ((1 << 40) + 3, 64 + 48));
        let mut buf = [1; 8];
        assert_eq!(contents.read((1 << 40) - 4, &mut buf), 7);
        assert_eq!(&buf[..7], b"\0\0\0\0far");
        contents.truncate(u64::MAX).unwrap();
        assert_eq!(contents.read(1 << 50, &mut buf), 8);
    }

    #[test]
    fn a_write_stops_where_the_room_ends() {
        let mut contents = Contents::default();
        let data = vec![7; 3 * CHUNK];
        let room = 2 * (CHUNK as u64 + CHUNK_COST);
        assert_eq!(contents.write(0, &data, room + 10), Ok(2 * CHUNK));
        assert_eq!((contents.size(), contents.held()), (2 * CHUNK as u64, room));
        assert_eq!(
            contents.write(2 * CHUNK as u64, &data, 10),
            Err(Error::NoSpace)
        );
        assert_eq!(contents.write(5, &data[..100], 0), Ok(100));
    }
}
