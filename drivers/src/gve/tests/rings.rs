//! Arithmetic of the rings, over many rounds: the places of descriptors, and the completions that
//! are accepted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::super::dqo::Dqo;
use super::super::frames::{BUFFER, Frames};
use super::super::gqi::Gqi;
use super::super::queues::{Checksum, Frame, Queues, Sending};
use super::super::shared::Shared;
use super::super::slots::{Slot, Slots};
use crate::fake::HostMemory;
use crate::net::{Gso, GsoKind, MAX_FRAME, NetConfig, TxChecksum, TxMeta};
use crate::registers::Registers;
use crate::transport::Interrupt;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const ENTRIES: u16 = 64;
/// DQO: descriptors of the longest frame (segmentation, context, data of at most 16,383 bytes), and
/// those that stay unused before the first one.
const MAX_DESCRIPTORS: u32 = 2 + 5;
const GAP: u32 = 4;

/// Doorbells that keep the last value.
#[derive(Clone, Default)]
struct Bell(Arc<Mutex<Option<u32>>>);

impl Registers for Bell {
    fn read(&self, _: usize) -> u32 {
        u32::MAX
    }

    fn write(&self, _: usize, value: u32) {
        *self.0.lock().unwrap() = Some(value);
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
}

impl Bell {
    fn take(&self) -> Option<u32> {
        self.0.lock().unwrap().take()
    }
}

struct Bench<Q> {
    memory: &'static HostMemory,
    queues: Q,
    slots: Slots,
    frames: Frames,
    bell: Bell,
}

fn address([high, low]: [u32; 2]) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl<Q: Queues> Bench<Q> {
    fn new(make: impl FnOnce(&'static HostMemory, Shared, &Frames, &Slots) -> Q) -> Bench<Q> {
        let memory = HostMemory::new();
        let config = NetConfig::default();
        let slots = Slots::new(memory, 1518, true, u16::MAX, &config).unwrap();
        let frames = Frames::new(memory, ENTRIES - 1, &config).unwrap();
        let shared = Shared::new(memory, 8).unwrap();
        let queues = make(memory, shared, &frames, &slots);
        Bench {
            memory,
            queues,
            slots,
            frames,
            bell: Bell::default(),
        }
    }

    /// Queues a frame if there is room.
    fn send(&mut self, len: usize, large: bool) -> Option<Slot> {
        let slot = self.slots.take(len).filter(|_| self.queues.has_room())?;
        let offset = self.slots.offset(slot);
        let checksum = TxChecksum {
            start: 34,
            offset: 16,
        };
        let gso = Gso {
            kind: GsoKind::Tcp4,
            segment: 1448,
            headers: 54,
        };
        self.queues.queue(Sending {
            slot,
            phys: self.slots.region().phys(offset),
            offset,
            len,
            meta: TxMeta {
                checksum: large.then_some(checksum),
                gso: large.then_some(gso),
            },
        });
        self.queues.ring_transmit(&self.bell);
        Some(slot)
    }

    fn words<const N: usize>(&self, at: u64) -> [u32; N] {
        let mut bytes = std::vec![0; N * 4];
        self.memory.read(at, &mut bytes);
        let word = |at: usize| u32::from_le_bytes(bytes[at * 4..at * 4 + 4].try_into().unwrap());
        core::array::from_fn(word)
    }
}

fn gqi() -> Bench<Gqi> {
    let entries = (ENTRIES, ENTRIES);
    Bench::new(|memory, shared, frames, slots| {
        Gqi::new(memory, shared, entries, frames, slots).unwrap()
    })
}

fn dqo() -> Bench<Dqo> {
    let entries = (ENTRIES, ENTRIES);
    Bench::new(|memory, shared, frames, slots| {
        Dqo::new(memory, shared, entries, frames, slots).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn gqi_frames_complete_in_order(
        ops in vec((any::<bool>(), 0..4u32), 1..600),
    ) {
        let mut bench = gqi();
        let ring = address(bench.queues.rings().transmit);
        let counter = address(bench.queues.shared().places().counters);
        let (mut told, mut done) = (0u32, 0u32);
        let mut flying = VecDeque::new();
        for (large, complete) in ops {
            let len = if large { 9000 } else { 100 };
            if let Some(slot) = bench.send(len, large) {
                let count = 1 + u32::from(large);
                let value = bench.bell.take().expect("a doorbell").swap_bytes();
                prop_assert_eq!(value, told + count);
                let at = ring + u64::from(told % u32::from(ENTRIES)) * 16;
                let head = bench.words::<4>(at).map(u32::swap_bytes);
                prop_assert_eq!(head[0] & 0xff, count);
                prop_assert_eq!(head[1] >> 16, len as u32);
                prop_assert_eq!(head[3] as usize, bench.slots.offset(slot));
                told += count;
                flying.push_back(told);
            }
            done = told.min(done + complete);
            bench.memory.write(counter, &done.to_be_bytes());
            let ended = flying.iter().filter(|end| **end <= done).count();
            prop_assert_eq!(bench.queues.reclaim(&mut bench.slots), Ok(ended > 0));
            flying.drain(..ended);
            prop_assert_eq!(bench.queues.in_flight(), flying.len());
            prop_assert!(told - done <= u32::from(ENTRIES));
        }
        bench.memory.write(counter, &(told + 1).to_be_bytes());
        prop_assert!(bench.queues.reclaim(&mut bench.slots).is_err());
    }

    #[test]
    fn gqi_buffers_are_used_in_turn(lens in vec(1..4usize, 1..300)) {
        let mut bench = gqi();
        let ring = address(bench.queues.rings().receive);
        let count = u32::from(bench.frames.count());
        bench.queues.ring_receive(&bench.bell);
        prop_assert_eq!(bench.bell.take(), Some(count.swap_bytes()));
        let (mut taken, mut sequence) = (0u32, 1u16);
        for buffers in lens {
            for index in 0..buffers {
                let flags = if index + 1 < buffers { 1 << 13 } else { 0 };
                let at = ring + u64::from(taken % u32::from(ENTRIES)) * 64;
                let words = [[0, 0, 0x12, 0x34], [8, 0, 0, 0]];
                bench.memory.write(at + 56, &words[0]);
                bench.memory.write(at + 60, &2048u16.to_be_bytes());
                prop_assert!(!bench.queues.has_received() || index > 0);
                bench.memory.write(at + 62, &(flags | sequence).to_be_bytes());
                taken += 1;
                sequence = sequence % 7 + 1;
            }
            let mut parts = Vec::new();
            let found = bench.queues.collect(&mut parts).unwrap();
            prop_assert_eq!(found, Some(Frame::Valid(Checksum::Sum(0x1234))));
            let len: usize = parts.iter().map(|part| part.len).sum();
            prop_assert_eq!(len, buffers * BUFFER - 2);
            prop_assert_eq!(u32::from(parts[0].buffer), (taken - buffers as u32) % count);
            bench.queues.give_back(&parts);
            bench.queues.ring_receive(&bench.bell);
            prop_assert_eq!(bench.bell.take(), Some((taken + count).swap_bytes()));
            prop_assert!(!bench.queues.has_received());
        }
    }

    #[test]
    fn dqo_frames_complete_in_any_order(
        ops in vec((any::<bool>(), any::<Index>(), 0..4u8), 1..600),
    ) {
        let mut bench = dqo();
        let rings = bench.queues.rings();
        let (ring, completions) = (address(rings.transmit), address(rings.transmit_completions));
        let (mut told, mut completed, mut reported) = (0u32, 0u32, 0u32);
        let mut flying: Vec<Slot> = Vec::new();
        let post = |memory: &HostMemory, completed: &mut u32, kind: u16, tag: u16| {
            let is_set = (*completed / u32::from(ENTRIES)).is_multiple_of(2);
            let word = kind << 11 | u16::from(is_set) << 15;
            let at = completions + u64::from(*completed % u32::from(ENTRIES)) * 8;
            memory.write(at + 2, &tag.to_le_bytes());
            memory.write(at, &word.to_le_bytes());
            *completed += 1;
        };
        for (large, which, how) in ops {
            let len = if large { 60000 } else { 100 };
            if let Some(slot) = bench.send(len, large) {
                let first = told;
                let value = bench.bell.take().expect("a doorbell");
                let descriptors = if large { 6 } else { 2 };
                told += descriptors;
                prop_assert_eq!(value, told % u32::from(ENTRIES));
                let mut bytes = 0;
                for index in 0..descriptors {
                    let at = ring + u64::from((first + index) % u32::from(ENTRIES)) * 16;
                    let words = bench.words::<4>(at);
                    if words[2] & 0x1f == 0xc {
                        prop_assert_eq!(words[3] & 0xffff, u32::from(slot.tag()));
                        let is_last = index + 1 == descriptors;
                        let flags = u32::from(is_last) | u32::from(large) << 1;
                        prop_assert_eq!(words[2] >> 5 & 3, flags);
                        bytes += words[3] >> 16;
                        if words[2] & 1 << 7 != 0 {
                            prop_assert!(is_last && first + index - reported >= 32);
                            reported = first + index;
                            let head = (reported + 1) % u32::from(ENTRIES);
                            post(bench.memory, &mut completed, 4, head as u16);
                        }
                    }
                }
                prop_assert_eq!(bytes as usize, len);
                flying.push(slot);
            }
            if flying.is_empty() || how == 0 {
                continue;
            }
            let slot = flying.swap_remove(which.index(flying.len()));
            match how {
                1 => post(bench.memory, &mut completed, 2, slot.tag()),
                2 => {
                    post(bench.memory, &mut completed, 1, slot.tag());
                    post(bench.memory, &mut completed, 3, slot.tag());
                }
                _ => {
                    post(bench.memory, &mut completed, 2, slot.tag() | 1 << 15);
                    post(bench.memory, &mut completed, 3, slot.tag());
                }
            }
            prop_assert!(bench.queues.has_sent());
            prop_assert_eq!(bench.queues.reclaim(&mut bench.slots), Ok(true));
            prop_assert_eq!(bench.queues.in_flight(), flying.len());
        }
        // Nothing is in flight in the last slot, or it is already there.
        let tag = flying.first().map_or(0, |slot| slot.tag());
        post(bench.memory, &mut completed, 2, tag);
        post(bench.memory, &mut completed, 2, tag);
        prop_assert!(bench.queues.reclaim(&mut bench.slots).is_err());
    }

    /// A device that reports no descriptors as fetched.
    #[test]
    fn dqo_descriptors_leave_the_gap(sizes in vec(any::<bool>(), 16)) {
        let mut bench = dqo();
        let mut used = 0;
        // Small ones at the end: the number in use passes the limit by steps of two.
        for large in sizes.into_iter().chain([false; 40]) {
            let len = if large { MAX_FRAME } else { 100 };
            let has_room = bench.queues.has_room();
            prop_assert_eq!(has_room, used + MAX_DESCRIPTORS + GAP < u32::from(ENTRIES));
            if bench.send(len, large).is_none() {
                continue;
            }
            let tail = bench.bell.take().expect("a doorbell");
            prop_assert_eq!(tail - used, if large { MAX_DESCRIPTORS } else { 2 });
            used = tail;
            prop_assert!(used + GAP < u32::from(ENTRIES), "{} in use", used);
        }
    }

    #[test]
    fn dqo_buffers_come_in_any_order(picks in vec(any::<Index>(), 1..400)) {
        let mut bench = dqo();
        let rings = bench.queues.rings();
        let (ring, buffers) = (address(rings.receive), address(rings.buffers));
        let pool = bench.frames.region().phys(0);
        let entries = u32::from(ENTRIES);
        let (mut fetched, mut taken) = (0u32, 0u32);
        let mut given: Vec<u16> = Vec::new();
        for pick in picks {
            bench.queues.ring_receive(&bench.bell);
            if let Some(tail) = bench.bell.take() {
                prop_assert_eq!(tail % 8, 0);
                while fetched % entries != tail {
                    let words = bench.words::<4>(buffers + u64::from(fetched % entries) * 32);
                    let id = words[0] as u16;
                    prop_assert_eq!(address([words[3], words[2]]), pool + u64::from(id) * 2048);
                    prop_assert!(!given.contains(&id), "buffer {} twice", id);
                    given.push(id);
                    fetched += 1;
                }
            }
            prop_assert!(!given.is_empty(), "the device has no buffer");
            let id = given.swap_remove(pick.index(given.len()));
            let at = ring + u64::from(taken % entries) * 32;
            let is_set = (taken / entries).is_multiple_of(2);
            bench.memory.write(at + 8, &[0b10]);
            bench.memory.write(at + 12, &id.to_le_bytes());
            prop_assert!(!bench.queues.has_received());
            bench.memory.write(at + 4, &(100 | u16::from(is_set) << 14).to_le_bytes());
            taken += 1;
            let mut parts = Vec::new();
            let found = bench.queues.collect(&mut parts).unwrap();
            prop_assert_eq!(found, Some(Frame::Valid(Checksum::Unknown)));
            prop_assert_eq!((parts[0].buffer, parts[0].len), (id, 100));
            bench.queues.give_back(&parts);
        }
        // A buffer that the device hasn't.
        let at = ring + u64::from(taken % entries) * 32;
        let is_set = (taken / entries).is_multiple_of(2);
        bench.memory.write(at + 12, &bench.frames.count().to_le_bytes());
        bench.memory.write(at + 4, &(100 | u16::from(is_set) << 14).to_le_bytes());
        prop_assert!(bench.queues.collect(&mut Vec::new()).is_err());
    }
}
