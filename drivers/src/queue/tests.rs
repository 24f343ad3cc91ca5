mod properties;
mod race;

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::{Buffer, DeviceError, Full, Options, Queue, passes};
use crate::device::feature;
use crate::device_type::DeviceType;
use crate::fake::{Backend, DeviceQueue, FakeTransport, Handle, HostMemory, connect};
use crate::fake::{Liar, Options as FakeOptions, Sizes};
use crate::transport::{Status, Transport};
use crate::{Memory, MemoryRef, Region};

/// A device whose queue the test controls.
struct Passive {
    size: u16,
}

impl Backend for Passive {
    fn device_type(&self) -> DeviceType {
        DeviceType::RNG
    }
    fn features(&self) -> u64 {
        0
    }
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }
    fn queues(&self) -> Vec<u16> {
        vec![self.size]
    }
    fn work(&mut self, _: &'static HostMemory, _: u64, _: &mut [DeviceQueue]) {}
}

struct Setup {
    queue: Queue,
    transport: FakeTransport,
    handle: Handle<Passive>,
    pool: Region,
}

const PIECE: usize = 64;

fn options(size: u16, indirect: bool, event_idx: bool) -> Options {
    Options {
        max_size: size,
        min_size: 1,
        max_chain: 4,
        indirect,
        event_idx,
    }
}

fn set_up(size: u16, indirect: bool, event_idx: bool) -> Setup {
    set_up_in(size, Sizes::AtMost, size, indirect, event_idx)
}

/// A queue of `size` descriptors of a device with a ring of `entries`.
fn set_up_in(entries: u16, sizes: Sizes, size: u16, indirect: bool, event_idx: bool) -> Setup {
    let memory = HostMemory::new();
    let device = Passive { size: entries };
    let options = FakeOptions {
        sizes,
        ..FakeOptions::default()
    };
    let (mut transport, handle) = connect(memory, device, options);
    transport.set_driver_features(if event_idx { feature::EVENT_IDX } else { 0 });
    let queue = Queue::new(
        memory,
        &mut transport,
        0,
        self::options(size, indirect, event_idx),
    )
    .unwrap();
    transport.set_status(Status::DRIVER_OK);
    let pool = Region::new(memory, PIECE * 4 * usize::from(size), 64).unwrap();
    Setup {
        queue,
        transport,
        handle,
        pool,
    }
}

impl Setup {
    fn buffers(&self, token: u32, readable: usize, writable: usize) -> Vec<Buffer> {
        (0..readable + writable)
            .map(|at| Buffer {
                phys: self.pool.phys((token as usize * 4 + at) * PIECE),
                len: PIECE as u32,
                device_writes: at >= readable,
            })
            .collect()
    }

    fn kick(&mut self) {
        self.queue.kick(&self.transport);
    }
}

#[test]
fn a_request_goes_there_and_comes_back() {
    for (indirect, event_idx) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut s = set_up(8, indirect, event_idx);
        let buffers = s.buffers(5, 1, 2);
        s.queue.add(&buffers, 5).unwrap();
        assert_eq!(
            s.handle.queue(0, |q| q.waiting()),
            0,
            "not visible before it is published"
        );
        s.kick();
        let chain = s.handle.queue(0, |q| q.pop()).unwrap();
        assert_eq!(chain.readable, [(buffers[0].phys, PIECE)]);
        assert_eq!(
            chain.writable,
            [(buffers[1].phys, PIECE), (buffers[2].phys, PIECE)]
        );
        assert_eq!(s.queue.pop(), Ok(None));
        s.handle.queue(0, |q| q.push(chain.head, 100));
        let done = s.queue.pop().unwrap().unwrap();
        assert_eq!((done.token, done.written), (5, 100));
        assert_eq!(s.queue.pop(), Ok(None));
        assert_eq!(s.queue.in_flight(), 0);
    }
}

#[test]
fn a_full_queue_says_so_and_recovers() {
    for indirect in [false, true] {
        let mut s = set_up(4, indirect, true);
        let fits = if indirect { 4 } else { 2 };
        for token in 0..fits {
            s.queue.add(&s.buffers(token, 1, 1), token).unwrap();
        }
        assert_eq!(s.queue.add(&s.buffers(0, 1, 1), 9), Err(Full));
        assert_eq!(s.queue.add(&[], 9), Err(Full));
        s.kick();
        let chain = s.handle.queue(0, |q| q.pop()).unwrap();
        s.handle.queue(0, |q| q.push(chain.head, 0));
        s.queue.pop().unwrap().unwrap();
        s.queue.add(&s.buffers(0, 1, 1), 9).unwrap();
    }
}

#[test]
fn a_chain_longer_than_the_queue_never_fits() {
    let s = set_up(2, true, true);
    assert_eq!(s.queue.max_chain(), 2);
    assert_eq!(s.queue.room(), 2);
}

#[test]
fn sizes_are_powers_of_two_within_both_limits() {
    let memory = HostMemory::new();
    for (offered, wanted, got) in [(256, 128, 128), (100, 256, 64), (1, 16, 1), (32768, 3, 2)] {
        let (mut transport, _) = connect(memory, Passive { size: offered }, FakeOptions::default());
        let queue = Queue::new(memory, &mut transport, 0, options(wanted, false, false)).unwrap();
        assert_eq!(queue.size(), got);
    }
    let (mut transport, _) = connect(memory, Passive { size: 0 }, FakeOptions::default());
    let none = Queue::new(memory, &mut transport, 0, options(8, false, false));
    assert_eq!(none.err(), Some(crate::Error::NoQueue(0)));
    let (mut transport, _) = connect(memory, Passive { size: 2 }, FakeOptions::default());
    let small = Options {
        min_size: 4,
        ..options(8, false, false)
    };
    let small = Queue::new(memory, &mut transport, 0, small);
    assert_eq!(small.err(), Some(crate::Error::QueueTooSmall(0)));
}

#[test]
fn lengths_are_clamped_to_what_was_given() {
    let mut s = set_up(4, false, false);
    s.queue.add(&s.buffers(0, 1, 1), 0).unwrap();
    s.kick();
    let chain = s.handle.queue(0, |q| q.pop()).unwrap();
    s.handle.queue(0, |q| {
        q.write_element(0, u32::from(chain.head), u32::MAX);
        q.advance(1);
    });
    assert_eq!(s.queue.pop().unwrap().unwrap().written, PIECE as u32);
    assert_eq!(s.queue.counters().long, 1);
    // All of it, and no more.
    s.queue.add(&s.buffers(0, 1, 1), 0).unwrap();
    s.kick();
    let chain = s.handle.queue(0, |q| q.pop()).unwrap();
    s.handle.queue(0, |q| q.push(chain.head, PIECE));
    assert_eq!(s.queue.pop().unwrap().unwrap().written, PIECE as u32);
    assert_eq!(s.queue.counters().long, 1);
}

/// Applies `lie` to a queue with two requests in flight, one of them taken by the device. Expects
/// the queue to detect it after `good` completions and never to pass on a false one.
fn breaks(good: usize, lie: impl FnOnce(&mut DeviceQueue, u16)) {
    let mut s = set_up(8, false, true);
    s.queue.add(&s.buffers(0, 1, 1), 0).unwrap();
    s.queue.add(&s.buffers(1, 1, 1), 1).unwrap();
    s.kick();
    let chain = s.handle.queue(0, |q| q.pop()).unwrap();
    s.handle.queue(0, |q| lie(q, chain.head));
    for _ in 0..good {
        assert_eq!(s.queue.pop().unwrap().unwrap().token, 0);
    }
    assert_eq!(s.queue.pop(), Err(DeviceError));
    assert_eq!(s.queue.in_flight(), 2 - good as u16);
    assert_eq!(s.queue.counters().bogus, 1);
    assert_eq!(s.queue.add(&s.buffers(3, 1, 0), 3), Err(Full));
    assert!(!s.queue.has_used());
    assert_eq!(s.queue.pop(), Err(DeviceError));
}

#[test]
fn an_id_outside_the_queue_breaks_it() {
    breaks(0, |queue, _| {
        queue.write_element(0, 8, 0);
        queue.advance(1);
    });
    breaks(0, |queue, _| {
        queue.write_element(0, 65536, 0);
        queue.advance(1);
    });
}

#[test]
fn an_id_that_was_not_given_breaks_it() {
    // 1 is the second descriptor of a chain, 7 is free.
    for id in [1, 7] {
        breaks(0, |queue, _| {
            queue.write_element(0, id, 0);
            queue.advance(1);
        });
    }
}

#[test]
fn a_completion_before_publication_breaks_it() {
    let mut s = set_up(8, false, true);
    s.queue.add(&s.buffers(0, 1, 1), 0).unwrap();
    s.handle.queue(0, |q| q.push(0, 0));
    assert_eq!(s.queue.pop(), Err(DeviceError));
}

#[test]
fn a_second_completion_breaks_it() {
    breaks(1, |queue, head| {
        queue.push(head, 0);
        queue.push(head, 0);
    });
}

#[test]
fn an_index_that_jumps_breaks_it() {
    breaks(0, |queue, _| queue.advance(3));
    breaks(0, |queue, _| queue.advance(u16::MAX));
}

/// A full queue whose indices have nearly wrapped, with all requests of one piece taken by the
/// device.
fn full(size: u16) -> (Setup, Vec<u16>) {
    let mut s = set_up(size, false, true);
    for _ in 0..65_530 {
        s.queue.add(&s.buffers(0, 1, 0), 0).unwrap();
        s.kick();
        s.handle.queue(0, |q| {
            let chain = q.pop().unwrap();
            q.push(chain.head, 0);
        });
        s.queue.pop().unwrap().unwrap();
    }
    for token in 0..u32::from(size) {
        s.queue.add(&s.buffers(token, 1, 0), token).unwrap();
    }
    s.kick();
    let heads = s
        .handle
        .queue(0, |q| (0..size).map(|_| q.pop().unwrap().head).collect());
    (s, heads)
}

/// The used ring has as many entries as the queue: an index past that would repeat some of them.
#[test]
fn an_index_past_the_queue_s_size_breaks_it() {
    for over in [1, 1000] {
        let (mut s, heads) = full(8);
        s.handle.queue(0, |q| {
            for (ahead, head) in (0..).zip(&heads) {
                q.write_element(ahead, u32::from(*head), 0);
            }
            q.advance(8 + over);
        });
        assert_eq!(s.queue.pop(), Err(DeviceError), "{over} too many");
        assert_eq!(s.queue.in_flight(), 8);
        assert_eq!(s.queue.counters().bogus, 1);
    }
    // The maximum at once, across the wrap of the indices.
    let (mut s, heads) = full(8);
    let done: Vec<_> = heads.iter().map(|head| (*head, 0)).collect();
    s.handle.queue(0, |q| q.push_all(&done));
    for token in 0..8 {
        assert_eq!(s.queue.pop().unwrap().unwrap().token, token);
    }
    assert_eq!(s.queue.pop(), Ok(None));
    // A completion when nothing is in flight.
    s.handle.queue(0, |q| q.advance(1));
    assert_eq!(s.queue.pop(), Err(DeviceError));
}

#[test]
fn an_event_is_passed_across_the_wrap() {
    assert!(passes(0, 1, 0));
    assert!(!passes(1, 1, 0));
    assert!(passes(65534, 1, 65534));
    assert!(passes(65535, 1, 65534));
    assert!(!passes(65533, 1, 65534));
    assert!(passes(0, 1, 65535));
    assert!(!passes(5, 5, 5));
}

#[test]
fn one_kick_for_a_batch_and_none_when_the_device_is_at_work() {
    for event_idx in [false, true] {
        let mut s = set_up(8, false, event_idx);
        s.queue.add(&s.buffers(0, 1, 0), 0).unwrap();
        s.queue.add(&s.buffers(1, 1, 0), 1).unwrap();
        s.kick();
        s.kick();
        assert_eq!(s.handle.queue(0, |q| q.notifications), 1);
        assert_eq!(s.queue.counters().kicks, 1);
        s.handle.queue(0, |q| {
            q.pop();
            q.refuse_notifications();
        });
        s.queue.add(&s.buffers(2, 1, 0), 2).unwrap();
        s.kick();
        assert_eq!(s.handle.queue(0, |q| q.notifications), 1);
        s.handle.queue(0, |q| {
            while q.pop().is_some() {}
            q.ask_for_notification();
        });
        s.queue.add(&s.buffers(3, 1, 0), 3).unwrap();
        s.kick();
        assert_eq!(s.handle.queue(0, |q| q.notifications), 2);
        assert_eq!(s.queue.counters().kicks, 2);
    }
}

/// A device that found too few requests asks for a notification while more are published, sees
/// that, and again finds too few.
#[test]
fn a_doorbell_that_was_due_before_is_rung_with_the_next_publication() {
    let mut s = set_up(8, false, true);
    let mut rings = |token, late: bool| {
        s.queue.add(&s.buffers(token, 0, 1), token).unwrap();
        s.kick();
        s.handle.queue(0, |q| {
            match late {
                true => q.ask_for_notification(),
                false => drop(q.pop()),
            }
            q.notifications
        })
    };
    assert_eq!(rings(0, false), 1);
    assert_eq!(rings(1, true), 1);
    assert_eq!(rings(2, false), 2);
    assert_eq!(rings(3, false), 2, "once is enough");
}

/// A busy device that requests no notification gets none, except when the indices wrap around to
/// its old event index, as with any doorbell.
#[test]
fn an_old_event_index_rings_once_per_wrap_of_the_indices() {
    let mut s = set_up(8, false, true);
    for round in 0..200_000u32 {
        s.queue.add(&s.buffers(0, 0, 1), 0).unwrap();
        s.kick();
        s.handle.queue(0, |q| {
            let chain = q.pop().unwrap();
            q.push(chain.head, 0);
            assert_eq!(
                q.notifications,
                1 + u64::from(round / 65536),
                "round {round}"
            );
        });
        s.queue.pop().unwrap().unwrap();
    }
}

#[test]
fn interrupts_come_when_asked_for_and_only_then() {
    for event_idx in [false, true] {
        let mut s = set_up(8, false, event_idx);
        for token in 0..4 {
            s.queue.add(&s.buffers(token, 1, 0), token).unwrap();
        }
        s.kick();
        let end = |s: &Setup| {
            s.handle.queue(0, |q| {
                let chain = q.pop().unwrap();
                q.push(chain.head, 0);
                q.interrupts
            })
        };
        assert_eq!(end(&s), 0, "none before it is asked for");
        assert!(s.queue.enable_interrupts(), "one is there already");
        s.queue.pop().unwrap().unwrap();
        assert!(!s.queue.enable_interrupts());
        assert_eq!(end(&s), 1);
        s.queue.pop().unwrap().unwrap();
        s.queue.disable_interrupts();
        assert_eq!(end(&s), 1);
    }
}

#[test]
fn an_interrupt_can_be_put_off() {
    let mut s = set_up(8, false, true);
    for token in 0..6 {
        s.queue.add(&s.buffers(token, 1, 0), token).unwrap();
    }
    s.kick();
    assert!(!s.queue.enable_interrupts_after(3));
    for interrupts in [0, 0, 0, 1, 1] {
        s.handle.queue(0, |q| {
            let chain = q.pop().unwrap();
            q.push(chain.head, 0);
            assert_eq!(q.interrupts, interrupts);
        });
    }
}

#[test]
fn memory_is_given_back() {
    let memory = HostMemory::new();
    let (mut transport, _) = connect(memory, Passive { size: 16 }, FakeOptions::default());
    let queue = Queue::new(memory, &mut transport, 0, options(16, true, true)).unwrap();
    assert!(memory.allocated() > 0);
    drop(queue);
    assert_eq!(memory.allocated(), 0);
}

/// Far across the wrap of the indices, with a device that works only when its doorbell rings.
#[test]
fn no_doorbell_is_lost_across_the_wrap() {
    for event_idx in [false, true] {
        let mut s = set_up(8, false, event_idx);
        let mut rung = 0;
        for round in 0..30_000u32 {
            let batch = 1 + round % 5;
            for token in 0..batch {
                s.queue.add(&s.buffers(token, 1, 0), token).unwrap();
            }
            s.kick();
            let now = s.handle.queue(0, |q| q.notifications);
            assert_eq!(now, rung + 1, "round {round}");
            rung = now;
            assert!(!s.queue.enable_interrupts());
            let before = s.handle.queue(0, |q| q.interrupts);
            s.handle.queue(0, |q| {
                let mut done = Vec::new();
                while let Some(chain) = q.pop() {
                    done.push((chain.head, 0));
                }
                assert_eq!(done.len(), batch as usize);
                q.ask_for_notification();
                q.push_all(&done);
            });
            assert_eq!(
                s.handle.queue(0, |q| q.interrupts),
                before + 1,
                "round {round}"
            );
            for _ in 0..batch {
                s.queue.pop().unwrap().unwrap();
            }
        }
    }
}

#[test]
fn out_of_memory_is_an_error() {
    let memory: &'static HostMemory = HostMemory::new();
    memory.limit(100);
    let kind = Liar::new(DeviceType::RNG, 0, Vec::new(), vec![64]);
    let (transport, _) = connect(memory, kind, FakeOptions::default());
    let refused = crate::rng::Rng::new(Box::new(transport), memory as MemoryRef);
    assert_eq!(refused.err(), Some(crate::Error::OutOfMemory));
    assert!(memory.allocate(101, 1).is_none());
}
