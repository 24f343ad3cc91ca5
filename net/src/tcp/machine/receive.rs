//! The receive buffer: bytes in order that wait for the application, and runs of bytes received out
//! of order.
//!
//! Bytes are copied once, into blocks. A block that becomes in order is moved, not copied, unless
//! it is nearly empty: memory is at most about twice the bytes held, however small the segments
//! are.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::budget::{Block, Budget, GUARANTEED, LARGE, Pressure, SMALL};
use super::options::Sack;
use super::seq::Seq;

/// Maximum number of runs out of order; a segment that would begin another one is dropped.
const RUNS: usize = 64;
/// Number of recent runs recorded for SACK blocks.
const RECENT: usize = 4;

type Blocks = VecDeque<Block>;

/// Bytes without a gap.
#[derive(Debug)]
struct Run {
    first: Seq,
    end: Seq,
    blocks: Blocks,
}

#[derive(Debug, Default)]
struct OutOfOrder {
    /// In order, without overlap or contact.
    runs: VecDeque<Run>,
    /// A sequence number of each of the runs that changed last, the latest first (RFC 2018, 4).
    recent: [Option<Seq>; RECENT],
    bytes: u32,
}

/// The receive buffer.
#[derive(Debug, Default)]
pub(crate) struct ReceiveBuffer {
    queue: Blocks,
    /// Bytes in `queue`.
    len: u32,
    /// Memory of all blocks.
    held: u32,
    out_of_order: Option<Box<OutOfOrder>>,
}

/// A block for `bytes` more; within the guarantee it always succeeds.
fn allocate(held: &mut u32, budget: &mut dyn Budget, bytes: usize) -> Option<Block> {
    let hard = budget.pressure() == Pressure::Hard;
    let block = match if hard { None } else { budget.block(bytes) } {
        Some(block) => block,
        None if *held as usize + SMALL <= GUARANTEED => budget.guaranteed(),
        None => return None,
    };
    *held += block.capacity() as u32;
    Some(block)
}

fn recycle(held: &mut u32, budget: &mut dyn Budget, block: Block) {
    *held = held.saturating_sub(block.capacity() as u32);
    budget.recycle(block);
}

/// Appends to the blocks; returns the number of bytes taken.
fn append(blocks: &mut Blocks, held: &mut u32, budget: &mut dyn Budget, mut bytes: &[u8]) -> usize {
    let mut done = 0;
    if let Some(last) = blocks.back_mut() {
        done = last.append(bytes);
        bytes = bytes.get(done..).unwrap_or_default();
    }
    while !bytes.is_empty() {
        // With a full block this is a stream.
        let wanted = if blocks.is_empty() {
            bytes.len()
        } else {
            LARGE
        };
        let Some(mut block) = allocate(held, budget, wanted) else {
            break;
        };
        let len = block.append(bytes);
        if len == 0 {
            recycle(held, budget, block);
            break;
        }
        bytes = bytes.get(len..).unwrap_or_default();
        done += len;
        blocks.push_back(block);
    }
    done
}

/// Removes `len` bytes from the front.
fn consume(blocks: &mut Blocks, held: &mut u32, budget: &mut dyn Budget, mut len: usize) {
    while let Some(front) = blocks.front_mut() {
        if len < front.len() {
            front.consume(len);
            return;
        }
        len -= front.len();
        if let Some(block) = blocks.pop_front() {
            recycle(held, budget, block);
        }
    }
}

/// Moves the blocks of `from` behind those of `to`.
fn join(to: &mut Blocks, mut from: Blocks, held: &mut u32, budget: &mut dyn Budget) {
    while let (Some(last), Some(front)) = (to.back_mut(), from.front()) {
        if front.len() > last.room() || front.len() > front.capacity() / 2 {
            break;
        }
        last.append(front.bytes());
        if let Some(block) = from.pop_front() {
            recycle(held, budget, block);
        }
    }
    // The shorter list moves: segments that arrive before a long run one by one, the last first,
    // cost constant time each.
    if to.len() < from.len() {
        while let Some(block) = to.pop_back() {
            from.push_front(block);
        }
        *to = from;
    } else {
        to.append(&mut from);
    }
}

impl OutOfOrder {
    fn note(&mut self, seq: Seq) {
        self.recent.rotate_right(1);
        self.recent[0] = Some(seq);
    }

    /// The run that contains `seq`.
    fn run_at(&self, seq: Seq) -> Option<&Run> {
        let at = self.runs.partition_point(|run| run.end.at_most(seq));
        self.runs.get(at).filter(|run| run.first.at_most(seq))
    }

    /// Adds `bytes`, which begin at `seq`; bytes received before are kept.
    fn insert(&mut self, held: &mut u32, budget: &mut dyn Budget, seq: Seq, bytes: &[u8]) -> bool {
        let end = seq + bytes.len() as u32;
        let part = |from: Seq, to: Seq| {
            bytes
                .get((from - seq) as usize..(to - seq) as usize)
                .unwrap_or_default()
        };
        let at = match self.runs.back() {
            Some(last) if last.end.before(seq) => self.runs.len(),
            _ => self.runs.partition_point(|run| run.end.before(seq)),
        };
        let new = self.runs.get(at).is_none_or(|run| run.first.after(end));
        if new {
            if self.runs.len() >= RUNS {
                return false;
            }
            let mut run = Run {
                first: seq,
                end: seq,
                blocks: Blocks::new(),
            };
            run.end += append(&mut run.blocks, held, budget, bytes) as u32;
            if run.end == seq {
                return false;
            }
            self.bytes += run.end - seq;
            self.runs.insert(at, run);
            self.note(seq);
            return true;
        }
        let Some(run) = self.runs.get_mut(at) else {
            return false;
        };
        if seq.before(run.first) {
            // Bytes before the run go before its blocks, all or nothing.
            let mut blocks = Blocks::new();
            let before = part(seq, run.first);
            if append(&mut blocks, held, budget, before) < before.len() {
                consume(&mut blocks, held, budget, usize::MAX);
                return false;
            }
            self.bytes += before.len() as u32;
            run.first = seq;
            core::mem::swap(&mut run.blocks, &mut blocks);
            join(&mut run.blocks, blocks, held, budget);
        }
        let first = run.first;
        while let Some(run) = self.runs.get_mut(at)
            && run.end.before(end)
        {
            let from = run.end;
            let next = self.runs.get(at + 1).map(|next| next.first);
            let to = next.map_or(end, |next| next.min(end));
            let Some(run) = self.runs.get_mut(at) else {
                break;
            };
            let taken = append(&mut run.blocks, held, budget, part(from, to)) as u32;
            run.end += taken;
            self.bytes += taken;
            if from + taken != to {
                break;
            }
            self.join_next(at, held, budget);
        }
        self.join_next(at, held, budget);
        self.note(first);
        true
    }

    /// Merges the run at `at` with the next if they touch.
    fn join_next(&mut self, at: usize, held: &mut u32, budget: &mut dyn Budget) {
        let touch = match (self.runs.get(at), self.runs.get(at + 1)) {
            (Some(run), Some(next)) => run.end == next.first,
            _ => false,
        };
        if touch
            && let Some(next) = self.runs.remove(at + 1)
            && let Some(run) = self.runs.get_mut(at)
        {
            run.end = next.end;
            join(&mut run.blocks, next.blocks, held, budget);
        }
    }
}

impl ReceiveBuffer {
    /// Bytes that wait for the application.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Bytes out of order.
    pub(crate) fn out_of_order(&self) -> u32 {
        self.out_of_order.as_ref().map_or(0, |runs| runs.bytes)
    }

    /// Whether there are bytes out of order.
    pub(crate) fn has_gap(&self) -> bool {
        self.out_of_order.is_some()
    }

    /// Appends bytes in order; returns how many were taken (fewer only if memory is scarce).
    pub(crate) fn append(&mut self, budget: &mut dyn Budget, bytes: &[u8]) -> u32 {
        let taken = append(&mut self.queue, &mut self.held, budget, bytes) as u32;
        self.len += taken;
        taken
    }

    /// After [`ReceiveBuffer::append`], with the next sequence number expected: moves runs that are
    /// in order now. Returns the new number.
    pub(crate) fn advance(&mut self, budget: &mut dyn Budget, mut next: Seq) -> Seq {
        let Some(late) = &mut self.out_of_order else {
            return next;
        };
        while late.runs.front().is_some_and(|run| run.first.at_most(next))
            && let Some(mut run) = late.runs.pop_front()
        {
            late.bytes -= run.end - run.first;
            let old = next.min(run.end) - run.first;
            consume(&mut run.blocks, &mut self.held, budget, old as usize);
            if next.before(run.end) {
                self.len += run.end - next;
                next = run.end;
                join(&mut self.queue, run.blocks, &mut self.held, budget);
            }
        }
        if late.runs.is_empty() {
            self.out_of_order = None;
        }
        next
    }

    /// Stores bytes received out of order, unless memory is scarce or there are too many runs;
    /// false if they were dropped. `limit` is the receive window's.
    pub(crate) fn insert(
        &mut self,
        budget: &mut dyn Budget,
        seq: Seq,
        bytes: &[u8],
        limit: u32,
    ) -> bool {
        if budget.pressure() == Pressure::Hard || self.held / 2 > limit {
            return false;
        }
        let late = self.out_of_order.get_or_insert_default();
        let kept = late.insert(&mut self.held, budget, seq, bytes);
        if late.runs.is_empty() {
            self.out_of_order = None;
        }
        kept
    }

    /// Returns the part of `first..end` that its out-of-order run already covers (RFC 2883).
    pub(crate) fn duplicate(&self, first: Seq, end: Seq) -> Option<(Seq, Seq)> {
        let late = self.out_of_order.as_ref()?;
        let at = late.runs.partition_point(|run| run.end.at_most(first));
        let run = late.runs.get(at)?;
        let (first, end) = (run.first.max(first), run.end.min(end));
        // A FIN without data covers nothing.
        first.before(end).then_some((first, end))
    }

    /// Adds the runs to a SACK option, the latest first (RFC 2018, 4).
    pub(crate) fn sack(&self, sack: &mut Sack) {
        let Some(late) = &self.out_of_order else {
            return;
        };
        let listed = sack.blocks().len();
        let mut add = |run: &Run| {
            let block = (run.first, run.end);
            let own = sack.blocks().get(listed..).unwrap_or_default();
            own.contains(&block) || sack.push(run.first, run.end)
        };
        for run in late
            .recent
            .iter()
            .flatten()
            .filter_map(|seq| late.run_at(*seq))
        {
            add(run);
        }
        for run in late.runs.iter().take(RECENT) {
            add(run);
        }
    }

    /// The first bytes in order.
    pub(crate) fn peek(&self) -> &[u8] {
        self.queue.front().map_or(&[], Block::bytes)
    }

    /// Copies the first bytes in order; returns their number.
    pub(crate) fn copy(&self, into: &mut [u8]) -> usize {
        let mut done = 0;
        for block in &self.queue {
            let rest = into.get_mut(done..).unwrap_or_default();
            let len = block.len().min(rest.len());
            let (Some(to), Some(from)) = (rest.get_mut(..len), block.bytes().get(..len)) else {
                break;
            };
            to.copy_from_slice(from);
            done += len;
        }
        done
    }

    /// Removes bytes from the front.
    pub(crate) fn consume(&mut self, budget: &mut dyn Budget, len: usize) {
        let len = len.min(self.len as usize);
        consume(&mut self.queue, &mut self.held, budget, len);
        self.len -= len as u32;
        if self.queue.is_empty() && self.queue.capacity() > 8 {
            self.queue = Blocks::new();
        }
    }

    /// Removes and returns the first block of bytes in order.
    pub(crate) fn take(&mut self) -> Option<Block> {
        let block = self.queue.pop_front()?;
        self.len -= block.len() as u32;
        self.held = self.held.saturating_sub(block.capacity() as u32);
        Some(block)
    }

    /// Drops the bytes out of order.
    pub(crate) fn drop_out_of_order(&mut self, budget: &mut dyn Budget) {
        if let Some(late) = self.out_of_order.take() {
            for mut run in late.runs {
                consume(&mut run.blocks, &mut self.held, budget, usize::MAX);
            }
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self, budget: &mut dyn Budget) {
        self.drop_out_of_order(budget);
        consume(&mut self.queue, &mut self.held, budget, usize::MAX);
        self.queue = Blocks::new();
        self.len = 0;
    }
}

#[cfg(test)]
mod tests;
