//! The card's rings by themselves, and the driver with the model of the device.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::{Gve, MAX_RESTARTS};
use crate::Error;
use crate::fake::{
    GveAdminLie, GveDevice, GveHandle, HostMemory, finished_tcp_frame, has_valid_checksums,
    tcp_frame,
};
use crate::net::{
    Card, Gso, GsoKind, NetConfig, RxChecksum, RxMeta, TxChecksum, TxError, TxMeta, feature,
};

mod hostile;
mod rings;

/// Ethernet, IP and TCP headers.
fn headers(v6: bool) -> usize {
    if v6 { 74 } else { 54 }
}

/// A device with the queues of one format.
fn device(dqo: bool) -> GveDevice {
    GveDevice {
        dqo,
        gqi: !dqo,
        ..GveDevice::default()
    }
}

fn try_start(
    device: GveDevice,
    config: &NetConfig,
) -> (Result<Gve, Error>, GveHandle, &'static HostMemory) {
    let memory = HostMemory::new();
    let (registers, doorbells, handle) = device.connect(memory);
    let card = Gve::new(Box::new(registers), Box::new(doorbells), memory, config);
    (card, handle, memory)
}

fn start(device: GveDevice) -> (Gve, GveHandle) {
    let (card, handle, _) = try_start(device, &NetConfig::default());
    (card.unwrap(), handle)
}

/// The offloads of a TCP frame by `tcp_frame`.
fn offloads(v6: bool, segment: Option<u16>) -> TxMeta {
    let kind = if v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 };
    TxMeta {
        checksum: Some(TxChecksum {
            start: headers(v6) as u16 - 20,
            offset: 16,
        }),
        gso: segment.map(|segment| Gso {
            kind,
            segment,
            headers: headers(v6) as u16,
        }),
    }
}

fn send(card: &mut Gve, frame: &[u8], meta: TxMeta) -> Result<(), TxError> {
    card.transmit(frame.len(), &mut |to| {
        to.copy_from_slice(frame);
        meta
    })
}

fn received(card: &mut Gve) -> Vec<(Vec<u8>, RxMeta)> {
    let mut frames = Vec::new();
    while card.receive(&mut |frame, meta| frames.push((frame.to_vec(), meta))) {}
    frames
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 256) as u8).collect()
}

#[test]
fn a_card_starts_with_the_better_format_and_gives_its_memory_back() {
    for (device, revision, has_pages) in [
        (GveDevice::default(), 1, false),
        (device(true), 0, false),
        (device(false), 0, true),
        (device(false), 1, true),
    ] {
        let device = GveDevice { revision, ..device };
        let (card, handle, memory) = try_start(device, &NetConfig::default());
        let card = card.unwrap();
        let capabilities = *card.capabilities();
        assert_eq!(capabilities.mac, Some([0x42, 0x01, 10, 0, 0, 2]));
        assert_eq!(capabilities.mtu, 8896);
        assert!(capabilities.tso4 && capabilities.tso6 && capabilities.rx_checksum);
        assert_eq!(handle.queues(), (1, 1));
        assert_eq!(handle.registered_pages() > 0, has_pages);
        handle.with(|device| {
            assert_eq!(device.set_mtu, Some(8896));
            assert_eq!((device.hash_key.len(), device.indirection.len()), (40, 128));
            assert!(device.indirection.iter().all(|queue| *queue == 0));
        });
        assert!(handle.posted() >= 224, "{}", handle.posted());
        drop(card);
        assert_eq!((handle.queues(), memory.allocated()), ((0, 0), 0));
    }
}

#[test]
fn the_mtu_is_the_networks_and_is_set_only_if_it_is_another() {
    for (jumbo, features, mtu) in [
        (None, 4, 1460),
        (Some(8896), 0, 1460),
        (Some(1400), 4, 1460),
    ] {
        let device = GveDevice {
            jumbo,
            features,
            rss: None,
            ..GveDevice::default()
        };
        let (card, handle) = start(device);
        assert_eq!(card.capabilities().mtu, mtu);
        handle.with(|device| assert_eq!((device.set_mtu, device.hash_key.len()), (None, 0)));
    }
}

#[test]
fn frames_are_sent_and_received_unchanged() {
    for dqo in [false, true] {
        let (mut card, handle) = start(GveDevice {
            echo: true,
            ..device(dqo)
        });
        // Many rounds of all rings, with frames of one and of several buffers.
        for round in 0..700 {
            let lens = [60, 17 + round % 3000, 8914 - round % 9];
            let frames: Vec<_> = lens.map(payload).into();
            for frame in &frames {
                assert_eq!(send(&mut card, frame, TxMeta::default()), Ok(()));
            }
            card.flush();
            let got: Vec<_> = received(&mut card).into_iter().map(|got| got.0).collect();
            assert!(got == frames, "round {round}");
            assert!(card.is_drained());
        }
        let counters = card.counters();
        assert_eq!((counters.tx_frames, counters.rx_frames), (2100, 2100));
        assert_eq!(counters.rx_dropped, 0);
        // Only frames that wrap around the pool are copied.
        assert!((1..250).contains(&counters.rx_copied), "{counters:?}");
        handle.with(|device| assert!(device.inbox.is_empty() && device.dropped == 0));
    }
}

#[test]
fn the_card_computes_checksums_and_segments() {
    for (dqo, v6) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut card, handle) = start(device(dqo));
        let small = tcp_frame(v6, &payload(1001));
        assert_eq!(send(&mut card, &small, offloads(v6, None)), Ok(()));
        let large = payload(65000);
        let frame = tcp_frame(v6, &large);
        assert_eq!(send(&mut card, &frame, offloads(v6, Some(1400))), Ok(()));
        card.flush();
        handle.with(|device| {
            let sent = core::mem::take(&mut device.sent);
            assert_eq!(sent.len(), 1 + 65000usize.div_ceil(1400));
            assert!(sent.iter().all(|frame| has_valid_checksums(frame)));
            assert_eq!(sent[0][headers(v6)..], payload(1001));
            let bytes = sent[1..].iter().flat_map(|frame| &frame[headers(v6)..]);
            assert!(bytes.eq(&large));
        });
        assert!(card.is_drained());
    }
}

#[test]
fn frames_that_a_format_cannot_express_are_refused() {
    for dqo in [false, true] {
        let (mut card, handle) = start(device(dqo));
        let frame = tcp_frame(false, &payload(20000));
        // Only GQI takes segments of less than 88 bytes; neither format takes frames above the MTU.
        let tiny = send(&mut card, &frame, offloads(false, Some(80)));
        assert_eq!(tiny.is_ok(), !dqo);
        let refused = Err(TxError::BadFrame);
        assert_eq!(send(&mut card, &frame, offloads(false, None)), refused);
        assert_eq!(send(&mut card, &[0; 16], TxMeta::default()), refused);
        let longest = card.capabilities().max_transmit;
        let long = vec![0; longest + 1];
        assert_eq!(send(&mut card, &long, TxMeta::default()), refused);
        // None of them took a place.
        for _ in 0..200 {
            assert_eq!(send(&mut card, &[0; 60], TxMeta::default()), Ok(()));
            card.flush();
        }
        handle.with(|device| assert!(device.sent.len() >= 200));
    }
}

#[test]
fn offloads_that_the_configuration_forbids_are_off() {
    let config = NetConfig {
        features: !(feature::CSUM | feature::GUEST_CSUM),
        ..NetConfig::default()
    };
    let (card, handle, _) = try_start(GveDevice::default(), &config);
    let mut card = card.unwrap();
    let capabilities = *card.capabilities();
    assert!(!capabilities.tx_checksum && !capabilities.tso4 && !capabilities.rx_checksum);
    let frame = tcp_frame(false, &payload(100));
    let refused = Err(TxError::BadFrame);
    assert_eq!(send(&mut card, &frame, offloads(false, None)), refused);
    handle.with(|device| device.inbox.push_back(finished_tcp_frame(false, b"x")));
    handle.step();
    assert_eq!(received(&mut card)[0].1.checksum, RxChecksum::Unknown);
}

#[test]
fn checksums_of_received_frames_are_reported() {
    for (dqo, v6) in [(false, false), (false, true), (true, false), (true, true)] {
        let (mut card, handle) = start(device(dqo));
        let good = [
            finished_tcp_frame(v6, &payload(5001)),
            finished_tcp_frame(v6, b""),
        ];
        let mut bad = good[0].clone();
        bad[900] ^= 4;
        let mut other = good[1].clone();
        other[12] = 0x99;
        let frames = [good[0].clone(), bad, other, good[1].clone()];
        handle.with(|device| device.inbox.extend(frames.clone()));
        handle.step();
        let got = received(&mut card);
        assert!(got.iter().map(|got| &got.0).eq(&frames));
        let checksums: Vec<_> = got.iter().map(|got| got.1.checksum).collect();
        let (valid, unknown) = (RxChecksum::Valid, RxChecksum::Unknown);
        assert_eq!(checksums, [valid, unknown, unknown, valid]);
    }
}

#[test]
fn completions_may_come_in_any_order_and_by_another_way() {
    for (reversed, misses, alternative_misses) in [
        (true, false, false),
        (false, true, false),
        (true, true, true),
    ] {
        let (mut card, handle) = start(GveDevice {
            reversed,
            misses,
            alternative_misses,
            ..device(true)
        });
        let mut sent = 0;
        for _ in 0..300 {
            for len in [100, 1500, 8000] {
                sent += usize::from(send(&mut card, &payload(len), TxMeta::default()).is_ok());
            }
            card.flush();
            handle.step();
            handle.step();
            assert!(card.is_drained() && card.is_running());
        }
        assert_eq!(sent, 900);
    }
}

#[test]
fn a_caller_waits_for_room_by_one_interrupt() {
    for dqo in [false, true] {
        let (mut card, handle) = start(GveDevice {
            stuck: true,
            ..device(dqo)
        });
        let mut count = 0;
        while card.can_transmit() {
            send(
                &mut card,
                &tcp_frame(false, &payload(9000)),
                offloads(false, Some(1400)),
            )
            .unwrap();
            count += 1;
        }
        assert!(count >= 4, "{count}");
        let frame = tcp_frame(false, &payload(9000));
        assert_eq!(
            send(&mut card, &frame, offloads(false, Some(1400))),
            Err(TxError::Full)
        );
        assert!(!card.has_pending() && !card.enable_interrupts() && handle.is_armed());
        handle.with(|device| device.stuck = false);
        handle.step();
        assert!(card.has_pending());
        handle.with(|device| assert_eq!(device.interrupts.values().sum::<usize>(), 1));
        card.disable_interrupts();
        assert!(card.can_transmit() && card.is_drained());
    }
}

#[test]
fn a_received_frame_interrupts_once_and_none_is_missed() {
    for dqo in [false, true] {
        let (mut card, handle) = start(device(dqo));
        let deliver = || {
            handle.with(|device| device.inbox.push_back(payload(100)));
            handle.step();
        };
        let interrupts = || handle.with(|device| device.interrupts.values().sum::<usize>());
        deliver();
        assert_eq!(interrupts(), 0, "no sender waits");
        assert!(card.enable_interrupts(), "there is work");
        assert_eq!(received(&mut card).len(), 1);
        let _ = card.enable_interrupts();
        let _ = received(&mut card);
        let before = interrupts();
        assert!(!card.enable_interrupts());
        deliver();
        deliver();
        assert_eq!(interrupts(), before + 1);
        card.disable_interrupts();
        assert_eq!(received(&mut card).len(), 2);
        assert!(!handle.is_armed());
    }
}

/// Polls a card until it has nothing to do. Returns how often it had.
fn polls(card: &mut Gve) -> usize {
    (0..10_000).take_while(|_| card.enable_interrupts()).count()
}

#[test]
fn the_card_is_started_again_when_it_asks_for_a_reset() {
    for dqo in [false, true] {
        let (mut card, handle) = start(GveDevice {
            echo: true,
            reset_reads: 100,
            ..device(dqo)
        });
        for resets in 1..20 {
            assert!(!card.enable_interrupts());
            handle.with(|device| device.wants_reset = true);
            assert!(card.enable_interrupts() && card.is_running());
            // No call waits for the end of the reset, which goes on where interrupts are enabled:
            // nothing else is pending.
            assert!(!card.has_pending() && !card.can_transmit() && card.is_drained());
            let sent = send(&mut card, &[0; 60], TxMeta::default());
            assert_eq!((sent, handle.resets()), (Err(TxError::Full), resets - 1));
            assert!(polls(&mut card) >= 100);
            assert_eq!((handle.resets(), card.is_running()), (resets, true));
            assert_eq!(send(&mut card, &payload(100), TxMeta::default()), Ok(()));
            card.flush();
            assert_eq!(received(&mut card).len(), 1);
        }
        // A card that asks again and again is given up.
        for _ in 0..9 {
            polls(&mut card);
            handle.with(|device| device.wants_reset = true);
            polls(&mut card);
        }
        assert!(!card.is_running());
        assert_eq!(handle.queues(), (0, 0));
    }
}

#[test]
fn a_card_that_is_another_after_its_reset_is_given_up() {
    let (mut card, handle) = start(GveDevice::default());
    handle.with(|device| (device.wants_reset, device.mac[5]) = (true, 9));
    assert!(!card.enable_interrupts() && polls(&mut card) > 0);
    assert!(!card.is_running());
    assert_eq!(
        send(&mut card, &[0; 60], TxMeta::default()),
        Err(TxError::DeviceError)
    );
    assert!(!card.can_transmit() && !card.has_pending() && card.is_drained());
}

#[test]
fn a_card_that_sends_nothing_for_seconds_is_started_again_and_then_given_up() {
    for dqo in [false, true] {
        let (mut card, handle) = start(GveDevice {
            stuck: true,
            ..device(dqo)
        });
        // The clock goes on by a millisecond each time.
        let mut waited = 0;
        while card.is_running() && waited < 60_000 {
            if card.can_transmit() {
                send(&mut card, &[0; 60], TxMeta::default()).unwrap();
            } else {
                waited += 1;
                let _ = card.enable_interrupts();
            }
        }
        // Five seconds before each of the eight starts, and once more.
        assert!((36_000..54_000).contains(&waited), "{waited}");
        assert!(handle.resets() >= usize::from(MAX_RESTARTS));
    }
}

#[test]
fn a_machine_that_stands_still_has_no_stalled_card() {
    let device = GveDevice {
        stuck: true,
        ..GveDevice::default()
    };
    let (card, handle, memory) = try_start(device, &NetConfig::default());
    let mut card = card.unwrap();
    while card.can_transmit() {
        send(&mut card, &[0; 60], TxMeta::default()).unwrap();
    }
    for _ in 0..3 {
        memory.pass(3_600_000_000_000);
        assert!(!card.can_transmit());
    }
    assert_eq!((polls(&mut card), handle.resets()), (0, 0));
}

#[test]
fn a_card_that_never_ends_its_reset_is_given_up_by_polls() {
    let (card, handle, memory) = try_start(GveDevice::default(), &NetConfig::default());
    let mut card = card.unwrap();
    let before = memory.allocated();
    handle.with(|device| (device.wants_reset, device.never_resets) = (true, true));
    assert!(!card.enable_interrupts());
    // A millisecond each.
    assert!(polls(&mut card) > 1000 && !card.is_running());
    drop(card);
    assert_eq!(memory.allocated(), before);
}

#[test]
fn a_card_that_is_removed_is_given_up() {
    let (mut card, handle) = start(GveDevice::default());
    assert!(!card.enable_interrupts());
    handle.with(|device| device.gone = true);
    assert!(!card.enable_interrupts() && !card.is_running());
}

#[test]
fn a_start_that_fails_leaves_the_card_reset_and_no_memory() {
    let errors = [
        (
            GveDevice {
                gone: true,
                ..GveDevice::default()
            },
            Error::Gone,
        ),
        (
            GveDevice {
                stuck_admin: true,
                ..GveDevice::default()
            },
            Error::NoResponse,
        ),
        (
            GveDevice {
                mtu: 60,
                jumbo: None,
                ..GveDevice::default()
            },
            Error::BadConfig,
        ),
        (
            GveDevice {
                entries: [500, 512],
                ..GveDevice::default()
            },
            Error::BadConfig,
        ),
        (
            GveDevice {
                entries: [512, 32768],
                ..GveDevice::default()
            },
            Error::BadConfig,
        ),
        (
            GveDevice {
                max_pages: 10,
                ..device(false)
            },
            Error::BadConfig,
        ),
    ];
    for (device, expected) in errors {
        let (card, handle, memory) = try_start(device, &NetConfig::default());
        assert_eq!(card.err(), Some(expected));
        assert_eq!(
            (handle.queues(), memory.allocated()),
            ((0, 0), 0),
            "{expected}"
        );
    }
    // A device that doesn't know the driver, or has no such command, is used nevertheless.
    for device in [
        GveDevice {
            verifies: false,
            ..GveDevice::default()
        },
        GveDevice {
            incompatible: true,
            ..GveDevice::default()
        },
    ] {
        assert!(try_start(device, &NetConfig::default()).0.is_ok());
    }
}

#[test]
fn a_start_without_memory_fails() {
    for dqo in [false, true] {
        let mut limit = 0;
        loop {
            let memory = HostMemory::new();
            memory.limit(limit);
            let (registers, doorbells, handle) = device(dqo).connect(memory);
            let config = NetConfig::default();
            match Gve::new(Box::new(registers), Box::new(doorbells), memory, &config) {
                Ok(_) => break,
                Err(error) => assert_eq!(error, Error::OutOfMemory),
            }
            assert_eq!((handle.queues(), memory.allocated()), ((0, 0), 0));
            limit += 4096 * 5;
        }
        assert!(limit > 500_000);
    }
}

#[test]
fn each_command_of_the_start_may_be_refused() {
    for dqo in [false, true] {
        for at in 0..8 {
            let mut device = device(dqo);
            device.admin_lies = vec![None; at].into();
            let lie = GveAdminLie::Status(0xffff_fff7);
            device.admin_lies.push_back(Some(lie));
            let (card, handle, memory) = try_start(device, &NetConfig::default());
            let count = handle.with(|device| device.admin.len());
            match card.err() {
                // The first and the last one are not necessary.
                None => assert!(at == 0 || at + 1 >= count, "{at} of {count}"),
                Some(error) => assert_eq!(error, Error::Refused(0xfff7)),
            }
            assert_eq!((handle.queues(), memory.allocated()), ((0, 0), 0));
        }
    }
}

/// The device takes none of them: completions of all, two each, fit into the shortest ring.
#[test]
fn frames_under_way_leave_room_for_their_completions() {
    for (dqo, entries, most) in [(true, 64, 16), (true, 128, 32), (false, 64, 64)] {
        let (mut card, _) = start(GveDevice {
            entries: [entries, 512],
            ..device(dqo)
        });
        let frame = payload(60);
        let meta = TxMeta::default();
        let sent = (0..200)
            .take_while(|_| send(&mut card, &frame, meta).is_ok())
            .count();
        assert!((1..=most).contains(&sent), "{dqo} {entries}: {sent}");
    }
}
