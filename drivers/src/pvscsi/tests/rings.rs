//! The rings alone, with a device that answers in any order.

use std::collections::BTreeMap;

use super::*;
use crate::pvscsi::rings::{Completion, DEPTH, Descriptor, Rings};

/// A device at the rings: it knows the addresses of their pages.
struct Device {
    memory: &'static HostMemory,
    indices: u64,
    requests: Vec<u64>,
    completions: u64,
    taken: u32,
    posted: u32,
}

impl Device {
    fn new(memory: &'static HostMemory, rings: &Rings) -> Device {
        let words = rings.setup();
        assert_eq!(words.len(), 132);
        let page = |at: usize| (u64::from(words[at]) | u64::from(words[at + 1]) << 32) << 12;
        Device {
            memory,
            indices: page(2),
            requests: (0..words[0] as usize)
                .map(|index| page(4 + 2 * index))
                .collect(),
            completions: page(68),
            taken: 0,
            posted: 0,
        }
    }

    fn index(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.memory.read(self.indices + at, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// The contexts and first addresses of new requests.
    fn take(&mut self) -> Vec<(u64, u64)> {
        let mut taken = Vec::new();
        while self.taken != self.index(0) {
            let place = self.taken % u32::from(DEPTH);
            let mut entry = [0; 16];
            let page = self.requests[place as usize / 32];
            self.memory
                .read(page + u64::from(place % 32) * 128, &mut entry);
            let long = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap());
            taken.push((long(0), long(8)));
            self.taken = self.taken.wrapping_add(1);
        }
        taken
    }

    fn post(&mut self, context: u64, transferred: u64) {
        let mut entry = [0; 32];
        entry[..8].copy_from_slice(&context.to_le_bytes());
        entry[8..16].copy_from_slice(&transferred.to_le_bytes());
        let at = u64::from(self.posted % 128) * 32;
        self.memory.write(self.completions + at, &entry);
        self.posted = self.posted.wrapping_add(1);
        self.memory
            .write(self.indices + 12, &self.posted.to_le_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The device gets each request once and in order, and each completion is that of the request
    /// with its context, in the order of the device's.
    #[test]
    fn requests_and_completions_are_carried_in_any_order(
        steps in prop::collection::vec((0..5u8, any::<usize>()), 1..2000),
    ) {
        let memory = HostMemory::new();
        let mut rings = Rings::new(memory).unwrap();
        let mut device = Device::new(memory, &rings);
        let mut free: Vec<u16> = (0..DEPTH).collect();
        let (mut next, mut expected, mut published) = (0u64, 0u64, false);
        // Of the device: context and address; and the address of each number.
        let (mut held, mut of_id) = (Vec::new(), BTreeMap::new());
        for (step, choice) in steps {
            match step {
                0 | 1 if !free.is_empty() => {
                    let id = free.swap_remove(choice % free.len());
                    rings.add(id, &Descriptor { data: next, ..Descriptor::default() });
                    of_id.insert(id, next);
                    (next, published) = (next + 1, false);
                }
                2 => {
                    prop_assert_eq!(rings.publish(), !published && next > 0);
                    published = true;
                    for (context, address) in device.take() {
                        prop_assert_eq!(address, expected, "in order, once");
                        expected += 1;
                        held.push((context, address));
                    }
                    prop_assert_eq!(expected, next);
                }
                3 if !held.is_empty() => {
                    let (context, address) = held.swap_remove(choice % held.len());
                    device.post(context, address);
                }
                _ => {
                    if let Some(Completion { id, transferred, .. }) = rings.complete().unwrap() {
                        prop_assert_eq!(of_id.remove(&id), Some(transferred));
                        prop_assert_eq!(device.index(16), device.posted - u32::from(rings.has_any())
                            * (device.posted - device.index(16)));
                        free.push(id);
                    }
                }
            }
        }
        prop_assert_eq!(rings.is_busy(), !of_id.is_empty());
    }
}

/// The context of a number's last use isn't that of its next.
#[test]
fn a_context_of_before_is_refused() {
    let memory = HostMemory::new();
    let mut rings = Rings::new(memory).unwrap();
    let mut device = Device::new(memory, &rings);
    let mut before = None;
    for _ in 0..300 {
        rings.add(5, &Descriptor::default());
        assert!(rings.publish() && !rings.publish());
        let [(context, _)] = device.take()[..] else {
            panic!("one request");
        };
        assert!(before.replace(context) != Some(context) && context != 0);
        device.post(context, 0);
        assert_eq!(rings.complete().unwrap().unwrap().id, 5);
    }
    rings.add(5, &Descriptor::default());
    device.post(before.unwrap(), 0);
    assert!(rings.complete().is_err());
}
