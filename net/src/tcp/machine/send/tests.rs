//! The send buffer at random, against the written data: with memory that is exhausted meanwhile.

use super::super::budget::{Pressure, SMALL, SendBuffer};
use super::super::seq::Seq;
use super::super::tests::link::Memory;
use super::{Bytes, PIECES, SendQueue};
use alloc::sync::Arc;
use proptest::collection::vec;
use proptest::prelude::*;

const FIRST: Seq = Seq(0xffff_c000);

#[derive(Clone, Debug)]
enum Step {
    Copy(usize),
    Lend(usize),
    Acknowledge(u32),
    /// The memory available in addition to that in use; `None`: unlimited.
    Memory(Option<usize>, Pressure),
    Peek(u32, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![0..40usize, 1000..1500usize, 3000..20_000usize];
    let pressure = prop_oneof![Just(Pressure::None), Just(Pressure::Hard)];
    prop_oneof![
        4 => len().prop_map(Step::Copy),
        3 => len().prop_map(Step::Lend),
        4 => (0..30_000u32).prop_map(Step::Acknowledge),
        3 => (proptest::option::of(0..3 * SMALL), pressure)
            .prop_map(|(room, pressure)| Step::Memory(room, pressure)),
        3 => (0..30_000u32, 1..4000u32).prop_map(|(at, len)| Step::Peek(at, len)),
    ]
}

fn bytes(seq: Seq, len: usize) -> Vec<u8> {
    let byte = |at| (seq + at).0;
    (0..len as u32)
        .map(|at| (byte(at) ^ byte(at) >> 7) as u8)
        .collect()
}

struct Page(Vec<u8>);

impl SendBuffer for Page {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn check(queue: &SendQueue, memory: &Memory) {
    let (mut blocks, mut lent) = (0, 0);
    for piece in &queue.pieces {
        match &piece.bytes {
            Bytes::Block(block) => blocks += block.capacity(),
            Bytes::Shared(shared, counted) => lent += usize::from(*counted) * shared.bytes().len(),
        }
    }
    assert_eq!((queue.held as usize, memory.used), (blocks, blocks + lent));
}

proptest! {
    #[test]
    fn memory_that_ends_anywhere_is_counted_and_given_back(steps in vec(step(), 1..60)) {
        let (mut queue, mut memory) = (SendQueue::new(FIRST), Memory::default());
        let mut lent: Vec<(Seq, Arc<dyn SendBuffer>)> = Vec::new();
        let (mut first, mut end) = (FIRST, FIRST);
        for step in steps {
            match step {
                Step::Copy(len) => end += queue.append(&mut memory, &bytes(end, len)) as u32,
                Step::Lend(len) => {
                    let page: Arc<dyn SendBuffer> = Arc::new(Page(bytes(end, len)));
                    if queue.append_shared(&mut memory, &page) && len > 0 {
                        end += len as u32;
                        lent.push((end, page));
                    }
                }
                Step::Acknowledge(len) => {
                    first += len.min(end - first);
                    queue.release(&mut memory, first);
                    // A lent piece is released with its last byte, and not before.
                    lent.retain(|(end, page)| {
                        let goes = end.at_most(first);
                        assert_eq!(Arc::strong_count(page) == 1, goes);
                        !goes
                    });
                }
                Step::Memory(room, pressure) => {
                    memory.limit = room.map(|room| memory.used + room);
                    memory.pressure = pressure;
                }
                Step::Peek(at, len) => {
                    let from = first + at.min(end - first);
                    let len = len.min(end - from);
                    let mut pieces = [&[][..]; PIECES];
                    let (count, got) = queue.slices(from, len, &mut pieces);
                    prop_assert!(got == len || count == PIECES);
                    let got = pieces[..count].concat();
                    prop_assert!(got == bytes(from, got.len()));
                    if let Some(one) = queue.slice(from, len) {
                        prop_assert!(one == bytes(from, len as usize));
                    }
                }
            }
            prop_assert_eq!((queue.len(), queue.end()), (end - first, end));
            check(&queue, &memory);
        }
        queue.clear(&mut memory);
        prop_assert_eq!((queue.len(), queue.held, memory.used), (0, 0, 0));
        prop_assert!(lent.iter().all(|(_, page)| Arc::strong_count(page) == 1));
    }
}
