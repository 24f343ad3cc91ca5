//! The send buffer: bytes from SND.UNA on, in blocks and shared pieces.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::budget::{Block, Budget, GUARANTEED, LARGE, Pressure, SMALL, SendBuffer};
use super::seq::Seq;

/// Maximum number of pieces of one segment.
pub(crate) const PIECES: usize = 20;

enum Bytes {
    Block(Block),
    /// The caller's, and whether the budget counts them.
    Shared(Arc<dyn SendBuffer>, bool),
}

impl Bytes {
    fn bytes(&self) -> &[u8] {
        match self {
            Bytes::Block(block) => block.bytes(),
            Bytes::Shared(shared, _) => shared.bytes(),
        }
    }
}

struct Chunk {
    /// The sequence number after its last byte.
    end: Seq,
    bytes: Bytes,
    /// Its length when it was queued, whatever `bytes` returns later.
    len: u32,
}

/// Bytes written and not acknowledged.
pub(crate) struct SendQueue {
    pieces: VecDeque<Chunk>,
    /// The first byte that is not acknowledged, and the one after the last.
    first: Seq,
    end: Seq,
    /// Memory of all blocks.
    held: u32,
}

impl SendQueue {
    /// An empty queue whose next byte has this sequence number.
    pub(crate) fn new(first: Seq) -> SendQueue {
        SendQueue {
            pieces: VecDeque::new(),
            first,
            end: first,
            held: 0,
        }
    }

    /// Bytes written and not acknowledged.
    pub(crate) fn len(&self) -> u32 {
        self.end - self.first
    }

    /// The sequence number after the last byte written.
    pub(crate) fn end(&self) -> Seq {
        self.end
    }

    fn allocate(&mut self, budget: &mut dyn Budget, bytes: usize) -> Option<Block> {
        let hard = budget.pressure() == Pressure::Hard;
        let wanted = if self.pieces.is_empty() { bytes } else { LARGE };
        let block = match if hard { None } else { budget.block(wanted) } {
            Some(block) => block,
            None if self.held as usize + SMALL <= GUARANTEED => budget.guaranteed(),
            None => return None,
        };
        self.held += block.capacity() as u32;
        Some(block)
    }

    fn push(&mut self, bytes: Bytes, len: u32) {
        self.end += len;
        let end = self.end;
        self.pieces.push_back(Chunk { end, bytes, len });
    }

    /// The last block, if more bytes can follow there.
    fn open_block(&mut self) -> Option<(&mut Block, &mut Seq, &mut u32)> {
        match self.pieces.back_mut() {
            Some(Chunk {
                bytes: Bytes::Block(block),
                end,
                len,
            }) if block.room() > 0 => Some((block, end, len)),
            _ => None,
        }
    }

    /// Appends a copy of bytes; returns how many (fewer only if memory is scarce).
    pub(crate) fn append(&mut self, budget: &mut dyn Budget, mut bytes: &[u8]) -> usize {
        let mut done = 0;
        if let Some((block, end, len)) = self.open_block() {
            done = block.append(bytes);
            *end += done as u32;
            *len += done as u32;
            self.end += done as u32;
            bytes = bytes.get(done..).unwrap_or_default();
        }
        while !bytes.is_empty() {
            let Some(mut block) = self.allocate(budget, bytes.len()) else {
                break;
            };
            let len = block.append(bytes);
            self.push(Bytes::Block(block), len as u32);
            if len == 0 {
                break;
            }
            done += len;
            bytes = bytes.get(len..).unwrap_or_default();
        }
        done
    }

    /// Appends bytes without copying them; false if the budget is used up. An empty queue accepts
    /// them in any case, since no acknowledgement would trigger a retry; their memory is the
    /// program's.
    pub(crate) fn append_shared(
        &mut self,
        budget: &mut dyn Budget,
        shared: &Arc<dyn SendBuffer>,
    ) -> bool {
        let len = shared.bytes().len();
        if len == 0 {
            return true;
        }
        let counted = budget.take(len);
        if !counted && self.len() > 0 {
            return false;
        }
        self.push(Bytes::Shared(shared.clone(), counted), len as u32);
        true
    }

    /// Frees the memory of everything before `una`, which was acknowledged.
    pub(crate) fn release(&mut self, budget: &mut dyn Budget, una: Seq) {
        self.release_until(budget, una, true);
    }

    fn release_until(&mut self, budget: &mut dyn Budget, una: Seq, acknowledged: bool) {
        let una = una.min(self.end);
        if una.after(self.first) {
            self.first = una;
        }
        while self
            .pieces
            .front()
            .is_some_and(|piece| piece.end.at_most(self.first))
            && let Some(piece) = self.pieces.pop_front()
        {
            match piece.bytes {
                Bytes::Block(block) => {
                    self.held = self.held.saturating_sub(block.capacity() as u32);
                    budget.recycle(block);
                }
                Bytes::Shared(shared, counted) => {
                    if counted {
                        budget.give(piece.len as usize);
                    }
                    if acknowledged {
                        shared.acknowledged();
                    }
                }
            }
        }
        if self.pieces.is_empty() && self.pieces.capacity() > 8 {
            self.pieces = VecDeque::new();
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, budget: &mut dyn Budget) {
        self.release_until(budget, self.end, false);
    }

    /// The index of the chunk that has `seq`.
    fn find(&self, seq: Seq) -> usize {
        match self.pieces.front() {
            Some(piece) if seq.before(piece.end) => 0,
            _ => self.pieces.partition_point(|piece| piece.end.at_most(seq)),
        }
    }

    /// `len` bytes from `seq` on, if they lie in one piece: nearly always for a segment of a link.
    pub(crate) fn slice(&self, seq: Seq, len: u32) -> Option<&[u8]> {
        let piece = self.pieces.get(self.find(seq))?;
        let skip = (seq - (piece.end - piece.len)) as usize;
        piece.bytes.bytes().get(skip..skip + len as usize)
    }

    /// The bytes from `seq` on, at most `len`, in pieces; returns the number of pieces and of
    /// bytes, which are fewer if there are too many pieces.
    pub(crate) fn slices<'a>(
        &'a self,
        seq: Seq,
        len: u32,
        out: &mut [&'a [u8]; PIECES],
    ) -> (usize, u32) {
        let (mut count, mut done) = (0, 0);
        let from = self.find(seq).min(self.pieces.len());
        for (piece, slot) in self.pieces.range(from..).zip(out.iter_mut()) {
            if done == len {
                break;
            }
            let first = piece.end - piece.len;
            let skip = (seq + done).beyond(first).min(piece.len);
            let most = (piece.len - skip).min(len - done);
            // If a shared buffer has become shorter, the rest is never sent.
            let all = piece.bytes.bytes();
            let bytes = all
                .get(skip as usize..(skip + most) as usize)
                .or_else(|| all.get(skip as usize..))
                .unwrap_or_default();
            *slot = bytes;
            count += 1;
            done += bytes.len() as u32;
            if bytes.len() < most as usize {
                break;
            }
        }
        (count, done)
    }
}

#[cfg(test)]
mod tests;
