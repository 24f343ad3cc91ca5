use std::vec;

use super::*;
use crate::fake::{E1000eDevice, E1000eHandle, HostMemory};
use crate::net::{Gso, GsoKind, RxChecksum, RxMeta, TxChecksum, TxError, TxMeta, feature};
use registers::{cause, ring};
use std::vec::Vec;

/// Status of a received frame: the last descriptor; checksum found, and right.
const END: u32 = 2;
const CHECKED: u32 = 1 << 5;

const FAMILIES: [Family; 2] = [Family::Express, Family::Pci];

fn start_in(
    memory: &'static HostMemory,
    family: Family,
    change: impl FnOnce(&mut E1000eDevice),
    config: &NetConfig,
) -> (Result<Box<dyn Card>, Error>, E1000eHandle) {
    let mut device = E1000eDevice::new(family);
    change(&mut device);
    let (registers, handle) = device.connect(memory);
    (start(Box::new(registers), memory, family, config), handle)
}

fn card(family: Family) -> (Box<dyn Card>, E1000eHandle) {
    let memory = HostMemory::new();
    let (card, handle) = start_in(memory, family, |_| (), &NetConfig::default());
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

fn tcp4(len: usize) -> (Vec<u8>, TxMeta) {
    let mut frame = vec![5; len];
    frame[12..14].copy_from_slice(&[8, 0]);
    let checksum = Some(TxChecksum {
        start: 34,
        offset: 16,
    });
    let gso = Some(Gso {
        kind: GsoKind::Tcp4,
        segment: 1448,
        headers: 66,
    });
    (frame, TxMeta { checksum, gso })
}

#[test]
fn a_card_is_reset_and_its_address_read() {
    for family in FAMILIES {
        let (card, handle) = card(family);
        let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        assert_eq!(card.capabilities().mac, Some(mac));
        assert_eq!((handle.counts().0, card.is_running()), (1, true));
        drop(card);
        assert_eq!(handle.counts().0, 2);
        assert_eq!(handle.register(offset::INTERRUPT_MASK_SET), 0);
    }
}

#[test]
fn an_address_that_is_not_loaded_is_read_from_the_eeprom() {
    for family in FAMILIES {
        let mac_of = |change: fn(&mut E1000eDevice)| {
            let memory = HostMemory::new();
            let (card, _) = start_in(memory, family, change, &NetConfig::default());
            card.unwrap().capabilities().mac
        };
        let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        assert_eq!(mac_of(|device| device.loads_no_address = true), Some(mac));
        let mute = mac_of(|device| (device.loads_no_address, device.mute_eeprom) = (true, true));
        assert_eq!(mute, None);
        assert_eq!(mac_of(|device| device.address = [0; 6]), None);
        assert_eq!(mac_of(|device| device.address[0] = 0x53), None, "a group");
    }
}

#[test]
fn a_card_that_cannot_be_started_says_why() {
    let refusal = |change: fn(&mut E1000eDevice)| {
        let memory = HostMemory::new();
        let (card, _) = start_in(memory, Family::Express, change, &NetConfig::default());
        assert_eq!(memory.allocated(), 0);
        card.err()
    };
    assert_eq!(refusal(|device| device.gone = true), Some(Error::Gone));
    let stuck = refusal(|device| device.never_resets = true);
    assert_eq!(stuck, Some(Error::NotReset));
    // Rings, receive buffers, or buffers to send.
    for limit in [1000, 100_000, 540_000] {
        let memory = HostMemory::new();
        memory.limit(limit);
        let (card, _) = start_in(memory, Family::Express, |_| (), &NetConfig::default());
        assert_eq!(card.err(), Some(Error::OutOfMemory));
        assert_eq!(memory.allocated(), 0);
    }
}

#[test]
fn frames_are_sent_and_received_many_times_around_the_rings() {
    for family in FAMILIES {
        let (mut card, handle) = card(family);
        // More than positions of 16 bits count.
        for round in 0..70_000_u32 {
            let frame = vec![round as u8; 60 + round as usize % 1455];
            let part = &frame[..];
            send(&mut *card, part, TxMeta::default()).unwrap();
            card.flush();
            let sent = handle.with(|device| device.sent.pop()).unwrap();
            assert_eq!((&sent.bytes[..], sent.checksum), (part, None));
            assert!(handle.deliver(part, END));
            assert_eq!(receive(&mut *card).unwrap().0, part);
        }
        assert!(card.is_drained());
        let counters = card.counters();
        assert_eq!((counters.rx_frames, counters.tx_frames), (70_000, 70_000));
    }
}

#[test]
fn a_burst_fills_the_receive_ring_and_all_arrive() {
    let (mut card, handle) = card(Family::Express);
    for round in 0..5 {
        let mut count = 0_u32;
        while handle.deliver(&count.to_le_bytes(), END) {
            count += 1;
        }
        assert_eq!(count, 255, "all but one, round {round}");
        for expected in 0..count {
            let (bytes, _) = receive(&mut *card).unwrap();
            assert_eq!(bytes, expected.to_le_bytes());
        }
        assert_eq!(receive(&mut *card), None);
    }
}

#[test]
fn offloads_are_described_once_for_equal_frames() {
    let (mut card, handle) = card(Family::Express);
    let udp = |start| TxMeta {
        checksum: Some(TxChecksum { start, offset: 6 }),
        gso: None,
    };
    for start in [34, 34, 54] {
        send(&mut *card, &[1; 100], udp(start)).unwrap();
    }
    card.flush();
    handle.with(|device| {
        let sums: Vec<_> = device.sent.iter().map(|frame| frame.checksum).collect();
        assert_eq!(sums, [Some((34, 40)), Some((34, 40)), Some((54, 60))]);
    });
    let tail = handle.register(offset::TRANSMIT_RING + ring::TAIL);
    assert_eq!(tail, 5, "three frames, two contexts");
}

#[test]
fn large_frames_are_cut_by_the_card() {
    let (mut card, handle) = card(Family::Express);
    let (mut frame, mut meta) = tcp4(65_000);
    // The sum of the pseudo-header with the length, and without it.
    let with = 0x1234_u16.wrapping_add(64_966);
    frame[50..52].copy_from_slice(&with.to_be_bytes());
    send(&mut *card, &frame, meta).unwrap();
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    meta.gso.as_mut().unwrap().kind = GsoKind::Tcp6;
    send(&mut *card, &frame, meta).unwrap();
    card.flush();
    handle.with(|device| {
        let [first, second] = &device.sent[..] else {
            panic!("two frames");
        };
        for sent in [first, second] {
            assert_eq!(sent.checksum, Some((34, 50)));
            assert_eq!(sent.segments, Some((66, 1448, 64_934)));
            // Ones' complement: the carry of the addition is in the sum.
            assert_eq!(sent.bytes[50..52], 0x1233_u16.to_be_bytes());
            assert_eq!(sent.bytes[52..], frame[52..]);
        }
        assert_eq!((first.ip_checksum, second.ip_checksum), (true, false));
        assert_eq!(
            (&first.bytes[16..18], &first.bytes[24..26]),
            (&[0, 0][..], &[0, 0][..])
        );
        assert_eq!(second.bytes[18..20], [0, 0]);
        assert_eq!(second.bytes[16..18], [5, 5]);
    });
}

#[test]
fn frames_that_the_card_cannot_send_are_refused() {
    let (mut card, handle) = card(Family::Express);
    let bad = Err(TxError::BadFrame);
    let (frame, meta) = tcp4(3000);
    let sum = |start, offset| TxMeta {
        checksum: Some(TxChecksum { start, offset }),
        gso: None,
    };
    assert_eq!(send(&mut *card, &frame, sum(256, 6)), bad);
    assert_eq!(send(&mut *card, &frame, sum(240, 16)), bad);
    let mut long = meta;
    long.gso.as_mut().unwrap().headers = 241;
    assert_eq!(send(&mut *card, &frame, long), bad);
    // Not the protocol that it says.
    let mut other = frame.clone();
    other[12] = 7;
    assert_eq!(send(&mut *card, &other, meta), bad);
    assert_eq!(send(&mut *card, &[], TxMeta::default()), bad);
    assert_eq!(send(&mut *card, &[0; 65_554], TxMeta::default()), bad);
    card.flush();
    assert_eq!(handle.with(|device| device.sent.len()), 0);
    // Nor what isn't agreed on.
    let config = NetConfig {
        features: !feature::CSUM,
        ..NetConfig::default()
    };
    let (plain, _) = start_in(HostMemory::new(), Family::Express, |_| (), &config);
    let mut plain = plain.unwrap();
    let capabilities = *plain.capabilities();
    assert!(!capabilities.tx_checksum && !capabilities.tso4 && !capabilities.tso6);
    assert_eq!(capabilities.max_transmit, 1518);
    assert_eq!(send(&mut *plain, &[1; 100], sum(34, 6)), bad);
}

#[test]
fn received_checksums_are_reported() {
    let state = |features, status| {
        let config = NetConfig {
            features,
            ..NetConfig::default()
        };
        let (card, handle) = start_in(HostMemory::new(), Family::Express, |_| (), &config);
        let checks = handle.register(offset::RECEIVE_CHECKSUM);
        assert!(handle.deliver(&[1; 60], status));
        (checks, receive(&mut *card.unwrap()).unwrap().1.checksum)
    };
    let all = u64::MAX;
    assert_eq!(state(all, END | CHECKED), (0x300, RxChecksum::Valid));
    for status in [
        END,
        END | CHECKED | 4,
        END | CHECKED | 1 << 13,
        END | CHECKED | 1 << 14,
    ] {
        assert_eq!(state(all, status).1, RxChecksum::Unknown, "{status:#x}");
    }
    assert_eq!(state(!feature::GUEST_CSUM, END).0, 0);
}

#[test]
fn a_full_ring_interrupts_when_there_is_room() {
    for family in FAMILIES {
        let (mut card, handle) = card(family);
        handle.with(|device| device.holds = true);
        let mut count = 0;
        while card.can_transmit() {
            send(&mut *card, &[3; 100], TxMeta::default()).unwrap();
            count += 1;
        }
        assert_eq!(
            send(&mut *card, &[3; 100], TxMeta::default()),
            Err(TxError::Full)
        );
        assert_eq!(
            handle.with(|device| device.sent.len()),
            count,
            "and notified"
        );
        assert!(!card.has_pending() && !card.enable_interrupts());
        let before = handle.counts().1;
        handle.with(|device| device.holds = false);
        handle.step();
        assert_eq!(handle.counts().1, before + 1);
        assert!(card.has_pending() && card.can_transmit());
        // A frame that found room ends the wait.
        send(&mut *card, &[3; 100], TxMeta::default()).unwrap();
        card.flush();
        assert!(!card.has_pending());
    }
}

#[test]
fn one_interrupt_covers_all_frames_until_the_next_call() {
    for family in FAMILIES {
        let (mut card, handle) = card(family);
        handle.deliver(&[1; 60], END);
        assert!(card.enable_interrupts(), "a frame is there");
        assert_eq!(
            handle.writes(offset::INTERRUPT_MASK_SET),
            0,
            "and nothing was armed"
        );
        receive(&mut *card).unwrap();
        assert!(!card.enable_interrupts());
        let masked = match family {
            Family::Express => cause::RECEIVE_QUEUE,
            Family::Pci => cause::RECEIVED,
        };
        assert_eq!(handle.register(offset::INTERRUPT_MASK_SET), masked);
        let before = handle.counts().1;
        handle.deliver(&[1; 60], END);
        // The handler of a line masks it.
        if family == Family::Pci {
            handle.mask();
        }
        handle.deliver(&[2; 60], END);
        assert_eq!(handle.counts().1, before + 1);
        assert!(card.has_pending());
        while receive(&mut *card).is_some() {}
        // The causes of the meantime don't interrupt.
        assert!(!card.enable_interrupts());
        assert_eq!(handle.counts().1, before + 1);
    }
}

#[test]
fn each_arming_ends_with_one_read_of_the_status() {
    let (mut card, handle) = card(Family::Express);
    assert!(!card.enable_interrupts());
    let before = handle.counts().2;
    handle.deliver(&[1; 60], END);
    receive(&mut *card).unwrap();
    assert!(!card.enable_interrupts());
    assert_eq!(handle.counts().2, before + 1);
    assert!(!card.enable_interrupts());
    assert_eq!(handle.counts().2, before + 2);
    // Neither a link that goes nor one that comes changes anything else.
    for link in [false, true] {
        handle.with(|device| device.link = link);
        assert!(!card.enable_interrupts());
        assert!(card.is_running());
    }
}

#[test]
fn a_removed_card_is_noticed_and_ends() {
    let memory = HostMemory::new();
    let (card, handle) = start_in(memory, Family::Express, |_| (), &NetConfig::default());
    let mut card = card.unwrap();
    assert!(!card.enable_interrupts());
    handle.with(|device| device.gone = true);
    assert!(!card.enable_interrupts());
    assert!(!card.is_running());
    assert!(!card.can_transmit() && card.is_drained() && receive(&mut *card).is_none());
    assert_eq!(
        send(&mut *card, &[1; 60], TxMeta::default()),
        Err(TxError::DeviceError)
    );
    drop(card);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn a_card_that_does_not_reset_keeps_its_memory() {
    let memory = HostMemory::new();
    let (card, handle) = start_in(memory, Family::Express, |_| (), &NetConfig::default());
    let before = memory.allocated();
    handle.with(|device| device.never_resets = true);
    drop(card);
    assert_eq!(memory.allocated(), before);
}

/// Lengths beyond the buffer, frames without an end, errors, and status bits in buffers that the
/// card doesn't have.
#[test]
fn invalid_frames_are_dropped() {
    let (mut card, handle) = card(Family::Express);
    let mut invalid = 0;
    for (len, status) in [
        (0, END),
        (2049, END),
        (u16::MAX, END),
        (60, 0),
        (60, END | 0x100),
        (60, END | 0x8000),
    ] {
        assert!(handle.deliver_of_len(&[1; 60], len, status));
        invalid += 1;
    }
    assert!(handle.deliver(&[2; 2048], END));
    assert_eq!(receive(&mut *card).unwrap().0, [2; 2048]);
    assert_eq!(card.counters().rx_dropped, invalid);
    assert_eq!(receive(&mut *card), None);
    // All descriptors at once, again and again: the driver returns, with what it takes for frames.
    for round in 0..3 {
        for position in 0..256 {
            handle.scribble(offset::RECEIVE_RING, position, 8, 0xffff);
            handle.scribble(offset::RECEIVE_RING, position, 12, u32::MAX);
        }
        assert_eq!(receive(&mut *card), None, "round {round}");
    }
    assert!(card.is_running());
}

/// A card that reports frames before it has them gets them from buffers that are in use again; the
/// driver stays in its own memory, and goes on.
#[test]
fn reports_of_frames_that_were_not_sent_end() {
    let (mut card, handle) = card(Family::Express);
    handle.with(|device| device.holds = true);
    for position in 0..256 {
        handle.scribble(offset::TRANSMIT_RING, position, 12, u32::MAX);
    }
    for round in 0..2000_u32 {
        assert_eq!(
            send(&mut *card, &[round as u8; 100], TxMeta::default()),
            Ok(()),
            "{round}"
        );
        card.flush();
        for position in 0..256 {
            handle.scribble(offset::TRANSMIT_RING, position, 12, 1);
        }
    }
    assert!(card.is_drained());
}

#[test]
fn ids_are_the_cards() {
    let ids = [0x10d3, 0x100e, 0x100f].map(|device| Id::Device(0x8086, device));
    assert_eq!(IDS, ids);
}
