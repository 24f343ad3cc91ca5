//! The queue under any sequence of actions of the driver and the device.

use std::collections::HashMap;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{PIECE, set_up_in};
use crate::fake::{Lie, Sizes};

/// One action of the driver or the device.
#[derive(Clone, Debug)]
enum Step {
    Add {
        readable: usize,
        writable: usize,
    },
    Kick,
    Pop,
    Enable,
    /// The device completes its `n`th oldest request.
    End(usize),
    /// The device lies.
    Lie(Lie),
}

fn honest_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize, 0..3usize)
            .prop_map(|(readable, writable)| Step::Add { readable, writable }),
        2 => Just(Step::Kick),
        3 => Just(Step::Pop),
        1 => Just(Step::Enable),
        4 => (0..4usize).prop_map(Step::End),
    ]
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        (any::<u8>(), prop_oneof![0..70u32, any::<u32>()]).prop_map(|(byte, claim)| Lie::End {
            bytes: vec![byte; 100],
            claim
        }),
        (prop_oneof![0..20u32, any::<u32>()], any::<u32>())
            .prop_map(|(id, len)| Lie::Bogus { id, len }),
        Just(Lie::Again),
        prop_oneof![0..20u16, any::<u16>()].prop_map(Lie::Jump),
        Just(Lie::Swallow),
        Just(Lie::Deaf),
    ]
}

/// Runs the steps and checks after each that every request in flight is described to the device
/// exactly as it was added, and that no token is returned that isn't in flight.
fn run(
    (entries, sizes, size): (u16, Sizes, u16),
    indirect: bool,
    event_idx: bool,
    steps: &[Step],
    rounds: usize,
) {
    let mut s = set_up_in(entries, sizes, size, indirect, event_idx);
    let mut taken = Vec::new();
    let mut out: HashMap<u32, (usize, usize)> = HashMap::new();
    let mut last = 0;
    for step in std::iter::repeat_n(steps, rounds).flatten() {
        match step {
            Step::Add { readable, writable } => {
                let Some(token) = (0..u32::from(size)).find(|t| !out.contains_key(t)) else {
                    continue;
                };
                if s.queue
                    .add(&s.buffers(token, *readable, *writable), token)
                    .is_ok()
                {
                    out.insert(token, (*readable, *writable));
                }
            }
            Step::Kick => s.kick(),
            Step::Pop => {
                if let Ok(Some(done)) = s.queue.pop() {
                    let (_, writable) = out.remove(&done.token).expect("a token that is out");
                    assert!(done.written as usize <= writable * PIECE);
                }
            }
            Step::Enable => {
                let pending = s.queue.enable_interrupts();
                assert_eq!(pending, s.queue.has_used());
            }
            Step::End(position) => s.handle.queue(0, |q| {
                while q.waiting() > 0
                    && let Some(chain) = q.pop()
                {
                    taken.push(chain);
                }
                if !taken.is_empty() {
                    let chain = taken.remove(position % taken.len());
                    last = chain.head;
                    q.push(chain.head, chain.capacity());
                }
            }),
            Step::Lie(lie) => s.handle.queue(0, |q| match lie {
                Lie::End { claim, .. } => {
                    if let Some(chain) = taken.pop() {
                        q.write_element(0, u32::from(chain.head), *claim);
                        q.advance(1);
                    }
                }
                Lie::Bogus { id, len } => {
                    q.write_element(0, *id, *len);
                    q.advance(1);
                }
                Lie::Again => {
                    q.write_element(0, u32::from(last), 0);
                    q.advance(1);
                }
                Lie::Jump(by) => q.advance(*by),
                Lie::Swallow => drop(taken.pop()),
                Lie::Deaf => q.refuse_notifications(),
            }),
        }
        assert_eq!(usize::from(s.queue.in_flight()), out.len());
        // Every request in flight reads to the device as it was added, so no descriptor is in two.
        for (head, slot) in (0u16..).zip(&s.queue.slots) {
            let Some(token) = slot.token else { continue };
            let (readable, writable) = out[&token];
            let chain = s.handle.queue(0, |q| q.chain(head));
            let described = chain
                .readable
                .iter()
                .chain(&chain.writable)
                .map(|(phys, _)| *phys);
            let given = s.buffers(token, readable, writable);
            assert!(described.eq(given.iter().map(|buffer| buffer.phys)));
            assert_eq!(chain.writable.len(), writable);
        }
    }
}

/// Sizes of the device's ring and of the queue: also of a device that insists on a larger ring than
/// the driver uses.
fn sizes() -> impl Strategy<Value = (u16, Sizes, u16)> {
    let log = || 0..5u32;
    prop_oneof![
        log().prop_map(|log| (1 << log, Sizes::AtMost, 1 << log)),
        (log(), 0..4u32).prop_map(|(log, more)| (1 << (log + more), Sizes::Exactly, 1 << log)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn an_honest_device_is_served(
        sizes in sizes(), indirect: bool, event_idx: bool,
        steps in prop::collection::vec(honest_step(), 1..80),
    ) {
        run(sizes, indirect, event_idx, &steps, 3);
    }

    #[test]
    fn a_lying_device_is_survived(
        sizes in sizes(), indirect: bool, event_idx: bool,
        steps in prop::collection::vec(
            prop_oneof![8 => honest_step(), 1 => lie().prop_map(Step::Lie)], 1..80),
    ) {
        run(sizes, indirect, event_idx, &steps, 2);
    }
}
