//! The driver against the model of an adapter.

use std::boxed::Box;
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::fake::{
    EnaDevice, EnaHandle, EnaLowLatency, HostMemory, finished_tcp_frame, has_valid_checksums,
    tcp_frame,
};
use crate::net::{Gso, GsoKind, RxChecksum, TxChecksum};

mod hostile;
mod properties;

/// How a test's adapter is reached: with low latency queues, by read requests.
const FORMS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];

fn try_start(
    device: EnaDevice,
    (low_latency, requests): (bool, bool),
    config: &NetConfig,
) -> (Result<Box<dyn Card>, Error>, EnaHandle, &'static HostMemory) {
    let memory = HostMemory::new();
    let (registers, push, handle) = device.connect(memory);
    let push = low_latency.then(|| Box::new(push) as Box<dyn Registers>);
    let card = start((Box::new(registers), push), memory, requests, config);
    (card, handle, memory)
}

fn start_device(
    device: EnaDevice,
    form: (bool, bool),
) -> (Box<dyn Card>, EnaHandle, &'static HostMemory) {
    let (card, handle, memory) = try_start(device, form, &NetConfig::default());
    (card.expect("a card"), handle, memory)
}

fn send(card: &mut dyn Card, frame: &[u8], meta: TxMeta) -> Result<(), TxError> {
    card.transmit(frame.len(), &mut |to| {
        to.copy_from_slice(frame);
        meta
    })
}

fn received(card: &mut dyn Card) -> Vec<(Vec<u8>, RxChecksum)> {
    let mut frames = vec![];
    while card.receive(&mut |frame, meta| frames.push((frame.to_vec(), meta.checksum))) {}
    frames
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Metadata of a frame of [`tcp_frame`].
fn checksum(v6: bool, segment: Option<u16>) -> TxMeta {
    let start = if v6 { 54 } else { 34 };
    TxMeta {
        checksum: Some(TxChecksum { start, offset: 16 }),
        gso: segment.map(|segment| Gso {
            kind: if v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 },
            segment,
            headers: start + 20,
        }),
    }
}

/// Calls that a program makes before it sleeps, for about as many seconds.
fn sleep(card: &mut dyn Card, seconds: usize, each: &mut dyn FnMut()) -> bool {
    let mut was_woken = false;
    for at in 0..seconds * 1000 {
        was_woken |= card.enable_interrupts();
        if at % 900 == 0 {
            each();
        }
    }
    was_woken
}

/// Polls a card until it has nothing to do. Returns how often it had.
fn polls(card: &mut dyn Card) -> usize {
    (0..10_000).take_while(|_| card.enable_interrupts()).count()
}

#[test]
fn frames_go_and_come_back() {
    for form in FORMS {
        let device = EnaDevice {
            echo: true,
            direct_reads: !form.1,
            ..EnaDevice::default()
        };
        let (mut card, handle, memory) = start_device(device, form);
        assert_eq!(handle.is_low_latency(), form.0);
        assert_eq!(handle.queues(), (2, 2));
        // More than all rings hold, of lengths around the push buffer's.
        for len in (60..200).chain(60..1500).chain([1500, 4000, 9018]) {
            let frame = bytes(len);
            send(&mut *card, &frame, TxMeta::default()).expect("room");
            card.flush();
            assert_eq!(
                received(&mut *card),
                [(frame, RxChecksum::Unknown)],
                "{len}"
            );
        }
        let counters = card.counters();
        assert_eq!((counters.rx_dropped, counters.tx_frames), (0, 1583));
        assert!(card.is_drained() && card.is_running());
        drop(card);
        assert_eq!((handle.resets(), memory.allocated()), (2, 0));
    }
}

#[test]
fn the_adapter_is_configured() {
    let (card, handle, _) = start_device(EnaDevice::default(), (true, true));
    let capabilities = *card.capabilities();
    assert_eq!(capabilities.mtu, 9001);
    assert!(capabilities.tso4 && capabilities.tso6 && capabilities.rx_checksum);
    assert_eq!(capabilities.max_transmit, MAX_FRAME);
    handle.with(|device| {
        assert_eq!(capabilities.mac, Some(device.mac));
        assert_eq!(device.mtu, 9001);
        assert_eq!(&device.host_info[4..8], b"Soil");
        assert_eq!(device.hash_key[..4], [0x6d, 0x5a, 0x56, 0xda]);
        assert_eq!(device.indirection.len(), 128);
    });
    assert_eq!(handle.posted(), 255);
}

#[test]
fn an_adapter_without_optional_features_works() {
    // Attributes and the older form of limits only.
    let device = EnaDevice {
        features: 1 << 1 | 1 << 2,
        echo: true,
        ..EnaDevice::default()
    };
    let (mut card, handle, _) = start_device(device, (true, true));
    assert!(!handle.is_low_latency());
    let capabilities = card.capabilities();
    assert_eq!((capabilities.mtu, capabilities.tx_checksum), (1500, false));
    let frame = bytes(1000);
    send(&mut *card, &frame, TxMeta::default()).expect("room");
    assert_eq!(
        send(
            &mut *card,
            &tcp_frame(false, b"hello"),
            checksum(false, None)
        ),
        Err(TxError::BadFrame)
    );
    card.flush();
    assert_eq!(received(&mut *card).len(), 1);
    // It has no keep-alive to miss.
    sleep(&mut *card, 10, &mut || ());
    assert_eq!(handle.resets(), 1);
}

#[test]
fn the_adapter_computes_checksums_and_segments() {
    for form in FORMS {
        for v6 in [false, true] {
            let (mut card, handle, _) = start_device(EnaDevice::default(), form);
            let payload = bytes(60_000);
            // Alternately, so that metadata changes and repeats.
            for (len, segment) in [(5, None), (5, None), (60_000, Some(1400)), (1000, None)] {
                let frame = tcp_frame(v6, &payload[..len]);
                send(&mut *card, &frame, checksum(v6, segment)).expect("room");
                send(&mut *card, &bytes(100), TxMeta::default()).expect("room");
                card.flush();
            }
            let headers = if v6 { 74 } else { 54 };
            handle.with(|device| {
                assert!(device.sent.iter().all(|frame| has_valid_checksums(frame)));
                assert_eq!(device.sent.len(), 7 + 43);
                let segments = &device.sent[4..47];
                let sent = segments.iter().flat_map(|frame| &frame[headers..]);
                assert!(sent.eq(&payload));
                assert!(device.most_descriptors <= features::MAX_DESCRIPTORS);
            });
        }
    }
}

#[test]
fn frames_that_are_not_as_described_are_refused() {
    let (mut card, handle, _) = start_device(EnaDevice::default(), (true, true));
    let frame = tcp_frame(false, &bytes(3000));
    let mut wrong = vec![checksum(true, None), checksum(true, Some(1000))];
    for change in [
        |meta: &mut TxMeta| meta.checksum.as_mut().unwrap().offset = 14,
        |meta: &mut TxMeta| meta.checksum.as_mut().unwrap().offset = 6,
        |meta: &mut TxMeta| meta.checksum.as_mut().unwrap().start = 12,
        |meta: &mut TxMeta| meta.checksum.as_mut().unwrap().start = 2000,
        |meta: &mut TxMeta| meta.gso.as_mut().unwrap().headers = 60,
        |meta: &mut TxMeta| meta.gso.as_mut().unwrap().segment = 20_000,
        |meta: &mut TxMeta| meta.gso.as_mut().unwrap().kind = GsoKind::Tcp6,
        |meta: &mut TxMeta| meta.checksum = None,
    ] {
        let mut meta = checksum(false, Some(1000));
        change(&mut meta);
        wrong.push(meta);
    }
    // IPv6's headers are longer, but a checksum from there on isn't wrong in itself.
    wrong.remove(0);
    for meta in wrong {
        let sent = send(&mut *card, &frame, meta);
        assert_eq!(sent, Err(TxError::BadFrame), "{meta:?}");
    }
    assert_eq!(
        card.transmit(0, &mut |_| TxMeta::default()),
        Err(TxError::BadFrame)
    );
    card.flush();
    assert!(handle.with(|device| device.sent.is_empty()) && card.is_drained());
}

#[test]
fn all_layouts_of_low_latency_queues_work() {
    for sizes in [1, 2, 6] {
        for before_header in [1, 2, 4] {
            for strides in [1, 2, 3] {
                for (no_meta_cache, max_burst) in [(false, 0), (true, 0), (true, 1024)] {
                    let device = EnaDevice {
                        low_latency: EnaLowLatency {
                            sizes,
                            before_header,
                            strides,
                            no_meta_cache,
                            max_burst,
                            ..EnaLowLatency::default()
                        },
                        ..EnaDevice::default()
                    };
                    let (mut card, handle, _) = start_device(device, (true, true));
                    assert!(handle.is_low_latency());
                    let large = tcp_frame(false, &bytes(20_000));
                    let mut sent = 0;
                    for at in 0..300 {
                        let (sends, result) = match at % 60 {
                            0 => (3, send(&mut *card, &large, checksum(false, Some(8000)))),
                            1..30 => (1, send(&mut *card, &bytes(90), TxMeta::default())),
                            _ => (1, send(&mut *card, &bytes(400), TxMeta::default())),
                        };
                        result.expect("room");
                        sent += sends;
                        if at % 9 == 0 {
                            card.flush();
                        }
                    }
                    card.flush();
                    handle.with(|device| {
                        assert_eq!(device.sent.len(), sent);
                        assert!(device.sent.iter().all(|frame| has_valid_checksums(frame)));
                    });
                }
            }
        }
    }
}

#[test]
fn frames_in_several_buffers_are_joined() {
    for rx_offset in [0, 14] {
        let device = EnaDevice {
            rx_offset,
            ..EnaDevice::default()
        };
        let (mut card, handle, _) = start_device(device, (true, true));
        for at in 0..300 {
            let frame = finished_tcp_frame(at % 2 == 0, &bytes(1000 + at * 26));
            handle.with(|device| device.inbox.push_back(frame.clone()));
            handle.step();
            assert_eq!(received(&mut *card), [(frame, RxChecksum::Valid)], "{at}");
        }
        // Those that wrapped around the end of the buffers.
        assert!((1..30).contains(&card.counters().rx_copied));
        let mut damaged = finished_tcp_frame(false, &bytes(100));
        damaged[80] ^= 1;
        handle.with(|device| device.inbox.push_back(damaged.clone()));
        handle.step();
        assert_eq!(received(&mut *card), [(damaged, RxChecksum::Unknown)]);
    }
}

#[test]
fn buffers_that_are_not_full_are_put_together() {
    let (mut card, handle, _) = start_device(EnaDevice::default(), (true, true));
    let frame = bytes(3000);
    // The first buffer, the second one, all; the last has what is left.
    for pieces in [
        &[1000][..],
        &[2047],
        &[1, 1, 2048],
        &[2048, 1, 951],
        &[700; 5],
    ] {
        handle.with(|device| {
            device.rx_pieces.extend(pieces);
            device.inbox.push_back(frame.clone());
        });
        handle.step();
        let copied = card.counters().rx_copied;
        let got = received(&mut *card);
        assert!(got.len() == 1 && got[0].0 == frame, "{pieces:?}");
        assert_eq!(card.counters().rx_copied, copied + 1, "{pieces:?}");
        handle.with(|device| assert!(device.rx_pieces.is_empty(), "{pieces:?}"));
    }
}

#[test]
fn completions_in_any_order_free_their_frames() {
    let device = EnaDevice {
        reversed: true,
        ..EnaDevice::default()
    };
    for form in FORMS {
        let (mut card, handle, _) = start_device(device.clone(), form);
        for round in 0..40 {
            for at in 0..50 {
                send(&mut *card, &bytes(60 + at), TxMeta::default()).expect("room");
            }
            card.flush();
            assert_eq!(handle.with(|device| device.sent.len()), (round + 1) * 50);
        }
        assert!(card.is_drained());
    }
}

#[test]
fn a_full_adapter_signals_room() {
    for form in FORMS {
        let device = EnaDevice {
            stuck_tx: true,
            ..EnaDevice::default()
        };
        let (mut card, handle, _) = start_device(device, form);
        let mut sent = 0;
        while card.can_transmit() {
            send(&mut *card, &bytes(60), TxMeta::default()).expect("room");
            sent += 1;
        }
        assert!(sent >= 32, "{sent} frames");
        assert!(!card.has_pending() && !card.enable_interrupts());
        let before = handle.with(|device| device.interrupts.get(&0).copied());
        handle.with(|device| device.stuck_tx = false);
        handle.step();
        assert!(handle.with(|device| device.interrupts.get(&0).copied()) > before);
        assert!(card.has_pending() && card.can_transmit());
        assert_eq!(handle.with(|device| device.sent.len()), sent);
    }
}

#[test]
fn one_interrupt_covers_frames_until_the_next_sleep() {
    let (mut card, handle, _) = start_device(EnaDevice::default(), (true, true));
    let interrupts =
        |handle: &EnaHandle| handle.with(|device| device.interrupts.get(&0).copied().unwrap_or(0));
    let deliver = |handle: &EnaHandle| {
        handle.with(|device| device.inbox.push_back(bytes(60)));
        handle.step();
    };
    let start = interrupts(&handle);
    deliver(&handle);
    assert_eq!(interrupts(&handle), start);
    assert!(card.enable_interrupts());
    assert_eq!(received(&mut *card).len(), 1);
    let _ = card.enable_interrupts();
    let armed = interrupts(&handle);
    deliver(&handle);
    deliver(&handle);
    assert!(interrupts(&handle) <= armed + 1);
    assert_eq!(received(&mut *card).len(), 2);
}

#[test]
fn a_missed_keep_alive_resets_and_restarts() {
    let device = EnaDevice {
        echo: true,
        ..EnaDevice::default()
    };
    let (mut card, handle, memory) = start_device(device, (true, true));
    sleep(&mut *card, 20, &mut || handle.keep_alive());
    assert_eq!(handle.resets(), 1);
    handle.link(false);
    handle.link(true);
    let before = memory.allocated();
    assert!(sleep(&mut *card, 8, &mut || ()));
    assert_eq!((handle.resets(), memory.allocated()), (2, before));
    assert!(card.is_running());
    send(&mut *card, &bytes(500), TxMeta::default()).expect("room");
    card.flush();
    assert_eq!(received(&mut *card).len(), 1);
}

#[test]
fn a_missed_completion_resets_and_wakes_the_sender() {
    for form in FORMS {
        let (mut card, handle, _) = start_device(EnaDevice::default(), form);
        handle.with(|device| device.stuck_tx = true);
        while card.can_transmit() {
            send(&mut *card, &bytes(60), TxMeta::default()).expect("room");
        }
        let woken = sleep(&mut *card, 9, &mut || handle.keep_alive());
        assert!(woken && handle.resets() == 2 && card.can_transmit());
    }
}

#[test]
fn an_error_or_a_request_resets() {
    for group in [1, 7] {
        let device = EnaDevice {
            reset_reads: 100,
            ..EnaDevice::default()
        };
        let (mut card, handle, _) = start_device(device, (true, true));
        assert!(handle.event(group, 0, &[]));
        assert!(card.enable_interrupts() && card.is_running());
        // No call waits for the end of the reset, which goes on where interrupts are enabled:
        // nothing else is pending.
        assert!(!card.has_pending() && !card.can_transmit() && card.is_drained());
        let sent = send(&mut *card, &bytes(60), TxMeta::default());
        assert_eq!((sent, handle.resets()), (Err(TxError::Full), 1));
        assert!(polls(&mut *card) >= 200 && card.is_running() && card.can_transmit());
        assert_eq!(handle.resets(), 2);
    }
}

#[test]
fn an_adapter_that_always_asks_for_a_reset_is_given_up() {
    let (mut card, handle, memory) = start_device(EnaDevice::default(), (true, true));
    for _ in 0..MAX_RESTARTS {
        handle.event(1, 0, &[]);
        assert!(polls(&mut *card) > 0 && card.is_running());
    }
    handle.event(1, 0, &[]);
    let _ = card.enable_interrupts();
    assert!(!card.is_running() && !card.enable_interrupts());
    drop(card);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn an_adapter_that_changed_is_out_of_use_after_a_reset() {
    let (mut card, handle, memory) = start_device(EnaDevice::default(), (true, true));
    handle.with(|device| device.mac[5] += 1);
    handle.event(1, 0, &[]);
    polls(&mut *card);
    assert!(!card.is_running() && !card.has_pending() && card.is_drained());
    assert_eq!(
        send(&mut *card, &bytes(60), TxMeta::default()),
        Err(TxError::DeviceError)
    );
    drop(card);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn an_adapter_that_does_not_reset_keeps_its_memory() {
    let (mut card, handle, memory) = start_device(EnaDevice::default(), (true, true));
    let before = memory.allocated();
    handle.with(|device| device.never_resets = true);
    handle.event(1, 0, &[]);
    // A millisecond each.
    assert!(polls(&mut *card) > 1000 && !card.is_running());
    drop(card);
    assert_eq!(memory.allocated(), before);
}

#[test]
fn a_removed_adapter_is_out_of_use() {
    let (mut card, handle, memory) = start_device(EnaDevice::default(), (true, false));
    handle.with(|device| device.gone = true);
    sleep(&mut *card, 8, &mut || ());
    assert!(!card.is_running());
    drop(card);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn without_memory_nothing_is_kept() {
    let needed = {
        let (card, _, memory) = start_device(EnaDevice::default(), (true, true));
        let needed = memory.allocated();
        drop(card);
        needed
    };
    for limit in (0..needed).step_by(needed / 97 + 1) {
        let memory = HostMemory::new();
        let (registers, push, _handle) = EnaDevice::default().connect(memory);
        memory.limit(limit);
        let windows: (Box<dyn Registers>, _) = (
            Box::new(registers),
            Some(Box::new(push) as Box<dyn Registers>),
        );
        let error = start(windows, memory, true, &NetConfig::default()).err();
        assert_eq!(error, Some(Error::OutOfMemory), "{limit} of {needed}");
        // The answers to read requests stay: a late one may come.
        assert!(memory.allocated() <= 8, "{limit}");
    }
}

#[test]
fn small_configurations_work() {
    let config = NetConfig {
        features: 0,
        rx_buffers: 1,
        rx_buffer_len: 1,
        tx_small: 0,
        tx_large: 0,
    };
    let device = EnaDevice {
        echo: true,
        ..EnaDevice::default()
    };
    let (card, _, _) = try_start(device, (true, true), &config);
    let mut card = card.expect("a card");
    assert!(!card.capabilities().tx_checksum && !card.capabilities().rx_checksum);
    for len in (60..3000).step_by(7) {
        send(&mut *card, &bytes(len), TxMeta::default()).expect("room");
        card.flush();
        assert_eq!(received(&mut *card).len(), 1);
    }
}
