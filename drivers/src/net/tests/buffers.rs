//! Buffers: their allocation, size and contents.

use std::vec;
use std::vec::Vec;

use super::*;

#[test]
fn buffers_for_sending_are_allocated_when_needed() {
    let memory = HostMemory::new();
    let (mut net, _) = start_in(memory, NetDevice::echoing(), Options::default());
    let at_start = memory.allocated();
    assert!(at_start < 640 * 1024, "{at_start}");
    for _ in 0..100 {
        send(&mut net, &frame(100), &TxMeta::default()).unwrap();
        send(&mut net, &frame(MAX_FRAME), &cut()).unwrap();
        net.flush();
        while receive(&mut net).is_some() {}
    }
    assert!(
        memory.allocated() < at_start + 2 * 65536 + 32 * 1024,
        "{}",
        memory.allocated()
    );
    drop(net);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn with_little_memory_frames_wait_for_the_first_buffers() {
    let memory = HostMemory::new();
    let (mut net, handle) = start_in(memory, NetDevice::default(), only_steps());
    memory.limit(1000);
    assert!(net.can_transmit());
    send(&mut net, &frame(60_000), &cut()).unwrap();
    assert!(!net.can_transmit());
    assert_eq!(send(&mut net, &frame(60_000), &cut()), Err(TxError::Full));
    send(&mut net, &frame(100), &TxMeta::default()).unwrap();
    assert!(!net.can_transmit() && !net.enable_interrupts());
    handle.step();
    assert_eq!(handle.queue(1, |q| q.interrupts), 1);
    assert!(net.enable_interrupts() && net.can_transmit());
    send(&mut net, &frame(60_000), &cut()).unwrap();
}

/// A header, and a frame of the MTU: no less, and no more than alignment requires.
#[test]
fn a_buffer_holds_a_frame_of_the_network() {
    let kinds = [
        // With a header of 12 bytes, of 10, and of 10 in a buffer of its own.
        (Options::default(), &[1536][..]),
        (legacy(common::ANY_LAYOUT), &[1536]),
        (legacy(0), &[10, 1526]),
    ];
    for (options, expected) in kinds {
        let device = NetDevice {
            features: feature::MTU,
            ..NetDevice::default()
        };
        let (_net, handle) = start(device, options, &NetConfig::default());
        let chain = handle.queue(0, |queue| queue.pop()).unwrap();
        let lengths: Vec<_> = chain.writable.iter().map(|(_, len)| *len).collect();
        assert_eq!(lengths, expected, "{options:?}");
    }
    let config = NetConfig {
        rx_buffer_len: 1,
        ..NetConfig::default()
    };
    for (options, header) in [(Options::default(), 12), (legacy(common::ANY_LAYOUT), 12)] {
        let (_net, handle) = start(NetDevice::default(), options, &config);
        let chain = handle.queue(0, |queue| queue.pop()).unwrap();
        assert_eq!(chain.capacity(), (header + 64usize).next_multiple_of(64));
    }
}

/// With fixed framing each frame's header is sent in a buffer of its own.
#[test]
fn headers_are_sent_as_the_card_wants_them() {
    let kinds = [
        (0, Options::default(), &[112][..]),
        (0, legacy(common::ANY_LAYOUT), &[110]),
        (0, legacy(0), &[10, 100]),
        (feature::MRG_RXBUF, legacy(0), &[12, 100]),
    ];
    for (features, options, expected) in kinds {
        let device = NetDevice {
            features,
            ..NetDevice::default()
        };
        let options = Options {
            only_steps: true,
            ..options
        };
        let (mut net, handle) = start(device, options, &NetConfig::default());
        send(&mut net, &frame(100), &TxMeta::default()).unwrap();
        net.flush();
        let chain = handle.queue(1, |queue| queue.pop()).unwrap();
        let lengths: Vec<_> = chain.readable.iter().map(|(_, len)| *len).collect();
        assert_eq!(lengths, expected, "{features:#x} {options:?}");
        assert_eq!(net.counters().tx_frames, 1);
        assert_eq!(net.queue_counters().1.kicks, 1);
    }
}

/// A frame takes a large buffer only if no small one holds it, or none is free: so many frames of
/// each size find room.
#[test]
fn frames_take_the_smallest_buffer_that_holds_them() {
    let config = NetConfig {
        tx_small: 16,
        tx_large: 16,
        ..NetConfig::default()
    };
    // The largest frame that fits a buffer of 1536 bytes after its header.
    let fits = 1536 - 12;
    for (len, meta, most) in [
        (60, TxMeta::default(), 32),
        (fits, TxMeta::default(), 32),
        (fits + 1, cut(), 16),
        (MAX_FRAME, cut(), 16),
    ] {
        let (mut net, handle) = start(NetDevice::default(), only_steps(), &config);
        // And the same again once they are sent.
        for _ in 0..2 {
            let sent = (0..100).take_while(|_| send(&mut net, &frame(len), &meta).is_ok());
            assert_eq!(sent.count(), most, "{len}");
            handle.step();
        }
    }
}

/// Each frame in flight has a buffer of its own, in all chunks, up to the limit.
#[test]
fn frames_in_flight_keep_their_bytes() {
    let options = only_steps();
    // Whole chunks of 16 within the queue, which is the largest power of two below that and
    // `tx_large`.
    for (tx_small, most) in [(40, 32), (16, 16), (1, 16)] {
        let config = NetConfig {
            tx_small,
            ..NetConfig::default()
        };
        let device = NetDevice {
            features: 0,
            ..NetDevice::default()
        };
        let (mut net, handle) = start(device, options, &config);
        let bytes = |number: u8| vec![number; 1518];
        let mut sent = 0;
        while send(&mut net, &bytes(sent), &TxMeta::default()).is_ok() {
            sent += 1;
        }
        assert_eq!(sent, most);
        handle.step();
        handle.with(|device| {
            let numbers = device.sent.iter().map(|(_, frame)| {
                assert!(*frame == bytes(frame[0]));
                frame[0]
            });
            assert!(numbers.eq(0..sent));
        });
    }
}

/// A small frame takes a small buffer while there is one: large ones are for large frames.
#[test]
fn small_frames_leave_the_large_buffers_alone() {
    let memory = HostMemory::new();
    let (mut net, handle) = start_in(memory, NetDevice::default(), only_steps());
    let before = memory.allocated();
    for _ in 0..100 {
        send(&mut net, &frame(1000), &TxMeta::default()).unwrap();
    }
    assert_eq!(memory.allocated() - before, 6 * 16 * 1536, "six chunks");
    handle.step();
    // Returned ones are used before new ones are allocated.
    for _ in 0..100 {
        send(&mut net, &frame(1000), &TxMeta::default()).unwrap();
    }
    assert_eq!(memory.allocated() - before, 6 * 16 * 1536);
}

/// Doorbells of the receive queue for `frames` frames that a driver takes one at a time, from a
/// device that requests one for each buffer.
fn receive_doorbells(features: u64, buffers: u16, frames: u64) -> u64 {
    let device = NetDevice {
        features,
        sizes: [buffers, 16],
        ..NetDevice::default()
    };
    // Without event indices a doorbell is due whenever the driver has published something.
    let options = Options {
        features: only_steps().features & !common::EVENT_IDX,
        ..only_steps()
    };
    let (mut net, handle) = start(device, options, &NetConfig::default());
    let rung = |handle: &Handle<NetDevice>| handle.queue(0, |queue| queue.notifications);
    let first = rung(&handle);
    assert_eq!(first, 1, "of all buffers");
    for _ in 0..frames {
        handle.with(|device| device.deliver(&frame(60)));
        handle.step();
        assert!(receive(&mut net).is_some() && receive(&mut net).is_none());
        assert!(!net.enable_interrupts());
    }
    // Without a doorbell the buffers are there, too.
    assert_eq!(handle.queue(0, |queue| queue.waiting()), buffers);
    rung(&handle) - first
}

/// A device that requests a notification for each buffer gets one for a batch of them, as long as
/// the others hold a frame of any length.
#[test]
fn returned_buffers_ring_once_per_batch() {
    let single = feature::ALL & !feature::MRG_RXBUF & !feature::GUEST_TSO4 & !feature::GUEST_TSO6;
    for (features, buffers, batch) in [
        (feature::ALL, 256, 32),
        (feature::ALL, 64, 32),
        // 33 buffers hold the longest frame.
        (feature::ALL, 32, 1),
        (single, 64, 32),
        (single, 16, 16),
        (single, 1, 1),
    ] {
        let doorbells = receive_doorbells(features, buffers, 320);
        assert_eq!(doorbells, 320 / batch, "{buffers} buffers");
    }
}
