//! Adapters that lie: no panic, no endless loop, no memory by their numbers.

use proptest::prelude::*;

use super::*;
use crate::fake::{EnaAdminLie, EnaReadLie, EnaRxLie, EnaTxLie};

/// Admin commands of a start.
const COMMANDS: usize = 17;

fn admin_lie() -> impl Strategy<Value = EnaAdminLie> {
    prop_oneof![
        any::<u16>().prop_map(EnaAdminLie::Id),
        (1..9u8).prop_map(EnaAdminLie::Status),
        Just(EnaAdminLie::Phase),
        Just(EnaAdminLie::Swallow),
        Just(EnaAdminLie::Twice),
        Just(EnaAdminLie::Gone),
        (8..60usize, proptest::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, mut bytes)| {
            bytes.truncate(64 - at);
            EnaAdminLie::Answer(at, bytes)
        }),
    ]
}

fn tx_lie() -> impl Strategy<Value = EnaTxLie> {
    prop_oneof![
        any::<u16>().prop_map(EnaTxLie::Id),
        (0..64u16).prop_map(EnaTxLie::Id),
        any::<u16>().prop_map(EnaTxLie::Head),
        Just(EnaTxLie::Twice),
        Just(EnaTxLie::Phase),
        Just(EnaTxLie::Swallow),
    ]
}

fn rx_lie() -> impl Strategy<Value = EnaRxLie> {
    prop_oneof![
        any::<u16>().prop_map(EnaRxLie::Id),
        (0..64u16).prop_map(EnaRxLie::Id),
        any::<u16>().prop_map(EnaRxLie::Length),
        any::<u8>().prop_map(EnaRxLie::Offset),
        any::<u32>().prop_map(EnaRxLie::Flags),
        (any::<bool>(), any::<bool>()).prop_map(|(first, last)| EnaRxLie::Ends(first, last)),
        Just(EnaRxLie::Twice),
        Just(EnaRxLie::Phase),
        Just(EnaRxLie::Swallow),
    ]
}

/// All memory is free but the answer to a read, which may be late; unless a removed adapter answers
/// no read at all, so that it could still be there.
fn check_memory(handle: &EnaHandle, memory: &HostMemory) {
    let is_gone = handle.with(|device| device.gone);
    assert!(is_gone || memory.allocated() <= 8, "memory is kept");
}

/// Uses a card for a while, then drops it; all memory is free if the adapter can be reset.
fn use_and_drop(mut card: Box<dyn Card>, handle: &EnaHandle, memory: &'static HostMemory) {
    let large = tcp_frame(false, &bytes(20_000));
    for round in 0..40 {
        let _ = send(&mut *card, &bytes(60 + round), TxMeta::default());
        if card.capabilities().tso4 {
            let _ = send(&mut *card, &large, checksum(false, Some(1000)));
        }
        card.flush();
        handle.with(|device| device.inbox.push_back(bytes(60 + round * 100)));
        handle.step();
        for (frame, _) in received(&mut *card) {
            assert!(frame.len() <= MAX_FRAME + 255);
        }
        let _ = (
            card.has_pending(),
            card.can_transmit(),
            card.enable_interrupts(),
        );
    }
    let _ = (card.is_drained(), card.counters());
    drop(card);
    check_memory(handle, memory);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lies_of_a_start(at in 0..COMMANDS, lie in admin_lie(), form in 0..4usize) {
        let mut admin_lies = VecDeque::from(vec![None; at]);
        admin_lies.push_back(Some(lie));
        let device = EnaDevice { admin_lies, ..EnaDevice::default() };
        let (card, handle, memory) = try_start(device, FORMS[form], &NetConfig::default());
        match card {
            Ok(card) => use_and_drop(card, &handle, memory),
            Err(_) => check_memory(&handle, memory),
        }
    }

    #[test]
    fn lies_of_completions(
        tx in proptest::collection::vec(proptest::option::of(tx_lie()), 0..8),
        rx in proptest::collection::vec(proptest::option::of(rx_lie()), 0..20),
        form in 0..4usize,
        echo in any::<bool>(),
    ) {
        let device = EnaDevice {
            tx_lies: tx.into(),
            rx_lies: rx.into(),
            echo,
            ..EnaDevice::default()
        };
        let (card, handle, memory) = start_device(device, FORMS[form]);
        use_and_drop(card, &handle, memory);
    }

    #[test]
    fn unwanted_completions_and_events(
        id in 0..600u16,
        groups in proptest::collection::vec((0..40u16, any::<u32>(), any::<bool>()), 0..40),
        (tx, rx) in any::<(bool, bool)>(),
    ) {
        let (card, handle, memory) = start_device(EnaDevice::default(), (true, true));
        for (group, word, is_new) in groups {
            handle.unwanted_event(group, &[word], is_new);
        }
        if tx {
            handle.complete_tx(id);
        }
        if rx {
            handle.complete_rx(id);
        }
        use_and_drop(card, &handle, memory);
    }
}

#[test]
fn lies_of_reads_end_the_start() {
    for at in 0..6 {
        let lies = [
            EnaReadLie::Id,
            EnaReadLie::Offset,
            EnaReadLie::Silent,
            EnaReadLie::Ones,
        ];
        for lie in lies {
            let mut read_lies = VecDeque::from(vec![None; at]);
            read_lies.push_back(Some(lie));
            let device = EnaDevice {
                read_lies,
                ..EnaDevice::default()
            };
            let (card, _, _) = try_start(device, (true, true), &NetConfig::default());
            assert_eq!(card.err(), Some(Error::NoResponse), "{at} {lie:?}");
        }
    }
}

#[test]
fn a_violation_ends_the_use() {
    let violations: [&dyn Fn(&EnaHandle); 3] = [
        &|handle| handle.complete_tx(3),
        &|handle| handle.complete_rx(300),
        &|handle| {
            handle.with(|device| {
                device.rx_lies.push_back(Some(EnaRxLie::Length(2049)));
                device.inbox.push_back(bytes(60));
            });
            handle.step();
        },
    ];
    for violate in violations {
        let (mut card, handle, memory) = start_device(EnaDevice::default(), (true, true));
        violate(&handle);
        assert!(received(&mut *card).is_empty());
        let _ = card.enable_interrupts();
        assert!(!card.is_running());
        drop(card);
        assert_eq!((handle.resets(), memory.allocated()), (2, 0));
    }
}

#[test]
fn an_adapter_that_never_resets_is_not_started() {
    let device = EnaDevice {
        never_resets: true,
        ..EnaDevice::default()
    };
    let (card, _, _) = try_start(device, (true, true), &NetConfig::default());
    assert_eq!(card.err(), Some(Error::NotReset));
}
