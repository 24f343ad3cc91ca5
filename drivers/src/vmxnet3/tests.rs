use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec;
use std::vec::Vec;

use super::*;
use crate::fake::{HostMemory, Vmxnet3Device, Vmxnet3Handle};
use crate::net::{Gso, GsoKind, RxChecksum, RxMeta, TxChecksum, TxError, TxMeta, feature};
use layout::{event, received, shared};

/// A whole frame, whose checksum isn't verified.
const WHOLE: [u32; 3] = [received::START | received::END | received::UNVERIFIED, 0, 0];

fn start_in(
    memory: &'static HostMemory,
    has_two: bool,
    device: Vmxnet3Device,
    config: &NetConfig,
) -> (Result<Box<dyn Card>, Error>, Vmxnet3Handle) {
    let (windows, handle) = device.connect(memory);
    (start(windows, has_two, memory, config), handle)
}

fn card() -> (Box<dyn Card>, Vmxnet3Handle) {
    let device = Vmxnet3Device::default();
    let (card, handle) = start_in(HostMemory::new(), true, device, &NetConfig::default());
    (card.unwrap(), handle)
}

fn send(card: &mut dyn Card, bytes: &[u8], meta: TxMeta) -> Result<(), TxError> {
    card.transmit(bytes.len(), &mut |frame| {
        frame.copy_from_slice(bytes);
        meta
    })
}

fn receive(card: &mut dyn Card) -> Option<(Vec<u8>, RxMeta)> {
    let mut got = None;
    card.receive(&mut |frame, meta| got = Some((frame.to_vec(), meta)));
    got
}

#[test]
fn a_card_is_described_activated_and_reset() {
    let (card, handle) = card();
    let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    assert_eq!(card.capabilities().mac, Some(mac));
    assert_eq!(
        handle.word(shared::INTERRUPTS),
        0x201,
        "masked by the card, two vectors"
    );
    assert_eq!(handle.word(shared::MTU), 1500);
    assert_eq!(handle.word(shared::FEATURES), 1);
    assert_eq!(handle.counts().0, 1);
    drop(card);
    assert_eq!(handle.counts().0, 2);
}

#[test]
fn a_card_that_cannot_be_started_says_why() {
    let refusal = |change: fn(&mut Vmxnet3Device)| {
        let memory = HostMemory::new();
        let mut device = Vmxnet3Device::default();
        change(&mut device);
        let (card, _) = start_in(memory, true, device, &NetConfig::default());
        (card.err().unwrap(), memory.allocated())
    };
    assert_eq!(refusal(|device| device.gone = true), (Error::Gone, 0));
    assert_eq!(refusal(|device| device.revisions = 4), (Error::Revision, 0));
    let refused = refusal(|device| device.activation_result = 1);
    assert_eq!(refused, (Error::DeviceError, 0));
    for limit in [100, 3000, 100_000, 560_000] {
        let memory = HostMemory::new();
        memory.limit(limit);
        let device = Vmxnet3Device::default();
        let (card, _) = start_in(memory, true, device, &NetConfig::default());
        assert_eq!(
            (card.err(), memory.allocated()),
            (Some(Error::OutOfMemory), 0)
        );
    }
}

#[test]
fn frames_are_sent_and_received_many_times_around_the_rings() {
    let (mut card, handle) = card();
    // More than positions of 16 bits count.
    for round in 0..70_000_u32 {
        let frame = vec![round as u8; 60 + (round as usize % 1400)];
        send(&mut *card, &frame, TxMeta::default()).unwrap();
        card.flush();
        let sent = handle.with(|device| device.sent.pop()).unwrap();
        assert_eq!((&sent.bytes, sent.mode), (&frame, 0));
        assert!(handle.deliver(&frame, WHOLE));
        assert_eq!(receive(&mut *card).unwrap().0, frame);
    }
    assert!(card.is_drained());
    assert_eq!(
        handle.counts().2,
        [70_000, 1],
        "no doorbell for buffers, but the first"
    );
}

#[test]
fn a_burst_fills_the_receive_ring_and_all_arrive() {
    for wants_doorbell in [false, true] {
        let device = Vmxnet3Device {
            wants_doorbell,
            ..Vmxnet3Device::default()
        };
        let (card, handle) = start_in(HostMemory::new(), true, device, &NetConfig::default());
        let mut card = card.unwrap();
        for round in 0..5 {
            let mut count = 0_u32;
            while handle.deliver(&count.to_le_bytes(), WHOLE) {
                count += 1;
            }
            assert_eq!(count, 255, "all but one, round {round}");
            for expected in 0..count {
                assert_eq!(receive(&mut *card).unwrap().0, expected.to_le_bytes());
            }
            assert_eq!(receive(&mut *card), None);
        }
        assert_eq!(handle.counts().2[1] > 1, wants_doorbell);
    }
}

/// A frame of eight descriptors.
fn large() -> (Vec<u8>, TxMeta) {
    let mut frame = vec![5; 65_000];
    frame[12..14].copy_from_slice(&[8, 0]);
    // The sum of the pseudo-header with the length, and without it.
    frame[50..52].copy_from_slice(&(0x1234_u16.wrapping_add(64_966)).to_be_bytes());
    let gso = Some(Gso {
        kind: GsoKind::Tcp4,
        segment: 1448,
        headers: 66,
    });
    let checksum = Some(TxChecksum {
        start: 34,
        offset: 16,
    });
    (frame, TxMeta { checksum, gso })
}

#[test]
fn offloads_are_described_in_the_first_descriptor() {
    let (mut card, handle) = card();
    let (frame, meta) = large();
    send(&mut *card, &[1; 100], TxMeta { gso: None, ..meta }).unwrap();
    send(&mut *card, &frame, meta).unwrap();
    card.flush();
    handle.with(|device| {
        let [first, second] = &device.sent[..] else {
            panic!("two frames");
        };
        assert_eq!((first.mode, first.headers, first.size), (2, 34, 50));
        assert_eq!((second.mode, second.headers, second.size), (3, 66, 1448));
        assert_eq!(second.bytes[50..52], 0x1233_u16.to_be_bytes());
        assert_eq!(
            (&second.bytes[16..18], &second.bytes[24..26]),
            (&[5, 5][..], &[0, 0][..])
        );
        assert_eq!(second.bytes[52..], frame[52..]);
    });
    // Fields of 10 and 14 bits.
    let bad = Err(TxError::BadFrame);
    let mut long = meta;
    long.gso.as_mut().unwrap().headers = 1 << 10;
    assert_eq!(send(&mut *card, &frame, long), bad);
    let mut long = meta;
    long.gso.as_mut().unwrap().segment = 1 << 14;
    assert_eq!(send(&mut *card, &frame, long), bad);
    let checksum = Some(TxChecksum {
        start: 1 << 10,
        offset: 16,
    });
    assert_eq!(
        send(
            &mut *card,
            &frame,
            TxMeta {
                checksum,
                gso: None
            }
        ),
        bad
    );
}

/// A card that takes a frame as soon as its first descriptor has its generation, without a
/// doorbell.
#[test]
fn a_frame_s_first_descriptor_is_published_last() {
    const ROUNDS: usize = 300;
    let (mut card, handle) = card();
    let words = handle.transmit_words();
    let (frame, meta) = large();
    let count = frame.len().div_ceil(8192);
    let (watched, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wait = |round: &AtomicUsize, of| {
        while round.load(Ordering::Acquire) != of {
            std::thread::yield_now();
        }
    };
    let halves = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let is_written = |position: usize| {
                let generation = words[position % words.len()].load(Ordering::Acquire) >> 14 & 1;
                generation == u32::from((position / words.len()).is_multiple_of(2))
            };
            let mut halves = 0;
            for round in 0..ROUNDS {
                watched.store(round + 1, Ordering::Release);
                let frame = round * count..(round + 1) * count;
                let mut spins = 0_u32;
                while !is_written(frame.start) {
                    spins += 1;
                    // The driver may be on the same processor.
                    if spins.is_multiple_of(1 << 14) {
                        std::thread::yield_now();
                    }
                }
                halves += usize::from(!frame.rev().all(is_written));
                seen.store(round + 1, Ordering::Release);
            }
            halves
        });
        for round in 1..=ROUNDS {
            wait(&watched, round);
            send(&mut *card, &frame, meta).unwrap();
            wait(&seen, round);
            card.flush();
            handle.with(|device| device.sent.clear());
        }
        watcher.join().unwrap()
    });
    assert_eq!(halves, 0, "frames without all their descriptors");
}

#[test]
fn received_checksums_are_reported() {
    use received::{END, FRAGMENT, IP_RIGHT, IPV4, IPV6, L4_RIGHT, START, TCP, UDP, UNVERIFIED};
    let (mut card, handle) = card();
    let mut state = |first, last| {
        assert!(handle.deliver(&[1; 60], [START | END | first, 0, last]));
        receive(&mut *card).unwrap().1.checksum
    };
    let ipv4 = IPV4 | IP_RIGHT | L4_RIGHT;
    for last in [ipv4 | TCP, ipv4 | UDP, IPV6 | L4_RIGHT | TCP] {
        assert_eq!(state(0, last), RxChecksum::Valid);
        assert_eq!(state(UNVERIFIED, last), RxChecksum::Unknown);
        assert_eq!(state(0, last | FRAGMENT), RxChecksum::Unknown);
        assert_eq!(state(0, last & !L4_RIGHT), RxChecksum::Unknown);
    }
    for last in [ipv4, IPV4 | L4_RIGHT | TCP, L4_RIGHT | TCP] {
        assert_eq!(state(0, last), RxChecksum::Unknown);
    }
    let config = NetConfig {
        features: !feature::GUEST_CSUM,
        ..NetConfig::default()
    };
    let device = Vmxnet3Device::default();
    let (card, handle) = start_in(HostMemory::new(), true, device, &config);
    assert_eq!(handle.word(shared::FEATURES), 0);
    drop(card);
}

#[test]
fn one_interrupt_covers_all_frames_until_the_next_call() {
    let (mut card, handle) = card();
    handle.deliver(&[1; 60], WHOLE);
    assert!(card.enable_interrupts(), "a frame is there");
    receive(&mut *card).unwrap();
    // The card records interrupts while they are masked: this one is of the frame that was taken.
    assert!(!card.enable_interrupts());
    assert_eq!(handle.counts().1, [1, 0]);
    assert!(!card.enable_interrupts());
    let before = handle.counts().1;
    handle.deliver(&[1; 60], WHOLE);
    handle.deliver(&[2; 60], WHOLE);
    assert_eq!(handle.counts().1, [before[0] + 1, before[1]]);
    while receive(&mut *card).is_some() {}
    // Frames to send don't interrupt unless they are awaited.
    for _ in 0..10 {
        send(&mut *card, &[1; 60], TxMeta::default()).unwrap();
    }
    card.flush();
    assert!(card.is_drained() && !card.enable_interrupts());
    assert_eq!(handle.counts().1[1], 0);
}

#[test]
fn a_full_ring_interrupts_when_there_is_room() {
    for has_two in [true, false] {
        let device = Vmxnet3Device::default();
        let (card, handle) = start_in(HostMemory::new(), has_two, device, &NetConfig::default());
        let mut card = card.unwrap();
        handle.with(|device| device.holds = true);
        let mut count = 0;
        while card.can_transmit() {
            send(&mut *card, &[3; 100], TxMeta::default()).unwrap();
            count += 1;
        }
        assert_eq!(
            handle.with(|device| device.sent.len()),
            count,
            "and notified"
        );
        assert!(!card.has_pending() && !card.enable_interrupts());
        let vector = usize::from(has_two);
        let before = handle.counts().1[vector];
        handle.step();
        assert_eq!(handle.counts().1[vector], before + 1);
        assert!(card.has_pending() && card.can_transmit());
        send(&mut *card, &[3; 100], TxMeta::default()).unwrap();
        assert!(!card.has_pending());
    }
}

/// Whether a card that wrote this is out of use, and reset.
fn is_fatal(lie: impl FnOnce(&mut dyn Card, &Vmxnet3Handle)) -> bool {
    let (mut card, handle) = card();
    lie(&mut *card, &handle);
    while card.receive(&mut |_, _| ()) {}
    let _ = card.is_drained();
    let _ = card.enable_interrupts();
    assert_eq!(handle.counts().0, if card.is_running() { 1 } else { 2 });
    !card.is_running()
}

#[test]
fn completions_of_other_descriptors_are_fatal() {
    let whole = received::START | received::END;
    // The driver's own one, and none.
    for index in [255, 256, 0xfff] {
        assert!(is_fatal(
            |_, handle| handle.complete(1, [whole | index, 60, 0])
        ));
    }
    assert!(!is_fatal(|_, handle| handle.complete(1, [whole, 60, 0])));
    assert!(
        is_fatal(|_, handle| handle.complete(1, [whole | 1 << 16, 60, 0])),
        "the other ring"
    );
    // One of the future, or of the middle of a frame.
    for index in [1, 7, 300, 0xfff] {
        assert!(is_fatal(|card, handle| {
            handle.with(|device| device.holds = true);
            send(card, &[1; 60], TxMeta::default()).unwrap();
            card.flush();
            handle.complete(0, [index, 0, 0]);
        }));
    }
    // Without a frame in flight nothing is read.
    assert!(!is_fatal(|_, handle| handle.complete(0, [9, 0, 0])));
}

#[test]
fn reported_errors_are_fatal_and_link_changes_are_not() {
    assert!(is_fatal(|_, handle| handle.report(event::RECEIVE_ERROR)));
    assert!(is_fatal(|_, handle| handle.report(event::TRANSMIT_ERROR)));
    assert!(!is_fatal(|_, handle| handle.report(event::LINK)));
    let (mut card, handle) = card();
    handle.report(event::LINK | 1 << 30);
    assert!(!card.enable_interrupts());
    assert_eq!(handle.word(shared::EVENTS), 0, "acknowledged");
}

#[test]
fn invalid_frames_are_dropped() {
    use received::{END, ERROR, START};
    let (mut card, handle) = card();
    let invalid = [
        (&[1; 60][..], [START, 0, 0]),
        (&[1; 60], [END, 0, 0]),
        (&[1; 60], [START | END, ERROR, 0]),
        (&[], [START | END, 0, 0]),
        (&[1; 2049], [START | END, 0, 0]),
        (&[1; 0x3fff], [START | END, 0, 0]),
    ];
    for (frame, bits) in invalid {
        assert!(handle.deliver(frame, bits));
    }
    assert!(handle.deliver(&[2; 2048], WHOLE));
    assert_eq!(receive(&mut *card).unwrap().0, [2; 2048]);
    assert_eq!(card.counters().rx_dropped, 6);
    assert!(card.is_running());
}

#[test]
fn a_removed_card_is_noticed_and_ends() {
    let memory = HostMemory::new();
    let device = Vmxnet3Device::default();
    let (card, handle) = start_in(memory, true, device, &NetConfig::default());
    let mut card = card.unwrap();
    assert!(!card.enable_interrupts());
    handle.with(|device| device.gone = true);
    assert!(!card.enable_interrupts() && !card.is_running());
    assert_eq!(
        send(&mut *card, &[1; 60], TxMeta::default()),
        Err(TxError::DeviceError)
    );
    drop(card);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn results_of_a_reset_are_ignored() {
    let memory = HostMemory::new();
    let device = Vmxnet3Device {
        reset_result: 1,
        ..Vmxnet3Device::default()
    };
    let (card, handle) = start_in(memory, true, device, &NetConfig::default());
    assert!(card.is_ok());
    drop(card);
    assert_eq!((handle.counts().0, memory.allocated()), (2, 0));
}

#[test]
fn descriptors_that_the_card_skips_are_given_back() {
    let (mut card, handle) = card();
    for round in 0..1000_u32 {
        // In the last rounds all others.
        let skipped = if round < 990 { round % 5 } else { 254 };
        for _ in 0..skipped {
            assert!(handle.skip(), "{round}");
        }
        assert!(handle.deliver(&round.to_le_bytes(), WHOLE), "{round}");
        assert_eq!(receive(&mut *card).unwrap().0, round.to_le_bytes());
    }
    assert!(card.is_running());
}
