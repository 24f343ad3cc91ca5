//! The receive buffer at random, against the peer's data: with memory that is exhausted during a
//! segment, a run or data before one.

use super::super::budget::{Budget, GUARANTEED, Pressure, SMALL};
use super::super::seq::Seq;
use super::super::tests::link::Memory;
use super::{OutOfOrder, ReceiveBuffer};
use proptest::collection::vec;
use proptest::prelude::*;

/// Near the wrap-around.
const FIRST: Seq = Seq(0xffff_c000);

#[derive(Clone, Debug)]
enum Step {
    /// Bytes, at this distance from the expected number (in order at 0).
    Receive(u32, usize),
    Read(usize),
    Take,
    /// The memory available in addition to that in use; `None`: unlimited.
    Memory(Option<usize>, Pressure),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![1..40usize, 1000..1500usize, 3000..20_000usize];
    let pressure = prop_oneof![Just(Pressure::None), Just(Pressure::Hard)];
    prop_oneof![
        4 => len().prop_map(|len| Step::Receive(0, len)),
        8 => (1..9000u32, len()).prop_map(|(at, len)| Step::Receive(at, len)),
        3 => len().prop_map(Step::Read),
        1 => Just(Step::Take),
        3 => (proptest::option::of(0..3 * SMALL), pressure)
            .prop_map(|(room, pressure)| Step::Memory(room, pressure)),
        1 => Just(Step::Forget),
    ]
}

fn byte(seq: Seq) -> u8 {
    (seq.0 ^ seq.0 >> 7) as u8
}

fn bytes(seq: Seq, len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| byte(seq + at)).collect()
}

/// Runs are in order and disjoint; their bytes and all memory are counted.
fn check(buffer: &ReceiveBuffer, memory: &Memory) {
    let none = OutOfOrder::default();
    let late = buffer.out_of_order.as_deref().unwrap_or(&none);
    let runs: Vec<_> = late.runs.iter().collect();
    assert!(runs.iter().all(|run| run.first.before(run.end)));
    assert!(runs.windows(2).all(|two| two[0].end.before(two[1].first)));
    for run in &runs {
        let held: Vec<u8> = run.blocks.iter().flat_map(|b| b.bytes()).copied().collect();
        assert!(held == bytes(run.first, (run.end - run.first) as usize));
    }
    let sum = runs.iter().map(|run| run.end - run.first).sum::<u32>();
    assert_eq!(buffer.out_of_order(), sum);
    let blocks = runs.iter().flat_map(|run| &run.blocks).chain(&buffer.queue);
    let capacity = blocks.map(|block| block.capacity()).sum::<usize>();
    assert_eq!((buffer.held as usize, memory.used), (capacity, capacity));
}

proptest! {
    #[test]
    fn memory_that_ends_anywhere_is_counted_and_given_back(steps in vec(step(), 1..60)) {
        let (mut buffer, mut memory) = (ReceiveBuffer::default(), Memory::default());
        let (mut unread, mut next) = (FIRST, FIRST);
        for step in steps {
            match step {
                Step::Receive(0, len) => {
                    let taken = buffer.append(&mut memory, &bytes(next, len));
                    let has_its_share = buffer.held as usize + SMALL > GUARANTEED;
                    prop_assert!(taken as usize == len || has_its_share);
                    next = buffer.advance(&mut memory, next + taken);
                }
                Step::Receive(at, len) => {
                    let (seq, before) = (next + at, buffer.out_of_order());
                    let kept = buffer.insert(&mut memory, seq, &bytes(seq, len), 1 << 20);
                    prop_assert!(kept || buffer.out_of_order() == before);
                }
                Step::Read(len) => {
                    let mut into = vec![0; len];
                    let n = buffer.copy(&mut into);
                    prop_assert!(into[..n] == bytes(unread, n));
                    buffer.consume(&mut memory, n);
                    unread += n as u32;
                }
                Step::Take => {
                    if let Some(block) = buffer.take() {
                        prop_assert!(block.bytes() == bytes(unread, block.len()));
                        unread += block.len() as u32;
                        memory.recycle(block);
                    }
                }
                Step::Memory(room, pressure) => {
                    memory.limit = room.map(|room| memory.used + room);
                    memory.pressure = pressure;
                }
                Step::Forget => buffer.drop_out_of_order(&mut memory),
            }
            prop_assert_eq!(unread + buffer.len(), next);
            check(&buffer, &memory);
        }
        buffer.clear(&mut memory);
        prop_assert_eq!((buffer.len(), buffer.held, memory.used), (0, 0, 0));
    }
}

/// Data before a run is inserted as a whole: if memory is exhausted meanwhile, none of it is kept.
#[test]
fn what_memory_cuts_before_a_run_takes_none() {
    let (mut buffer, mut memory) = (ReceiveBuffer::default(), Memory::default());
    let run = FIRST + 100_000;
    assert!(buffer.insert(&mut memory, run, &bytes(run, 5000), 1 << 20));
    memory.limit = Some(memory.used + super::LARGE);
    let before = FIRST + 100_000 - 20_000;
    assert!(!buffer.insert(&mut memory, before, &bytes(before, 20_000), 1 << 20));
    assert_eq!(buffer.out_of_order(), 5000);
    check(&buffer, &memory);
    memory.limit = None;
    assert!(buffer.insert(&mut memory, before, &bytes(before, 20_000), 1 << 20));
    assert_eq!(buffer.out_of_order(), 25_000);
    check(&buffer, &memory);
}
