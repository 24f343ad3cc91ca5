//! Devices that lie, and devices that don't reset.

use super::*;
use crate::fake::{GveRxLie, GveTxLie};
use proptest::prelude::*;

fn admin_lie() -> impl Strategy<Value = Option<GveAdminLie>> {
    prop_oneof![
        4 => Just(None),
        1 => any::<u32>().prop_map(|status| Some(GveAdminLie::Status(status))),
        1 => Just(Some(GveAdminLie::Swallow)),
        1 => prop_oneof![0..4u32, any::<u32>()].prop_map(|count| Some(GveAdminLie::Count(count))),
        3 => (0..80usize, proptest::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, bytes)| Some(GveAdminLie::Answer(at, bytes))),
        1 => Just(Some(GveAdminLie::Gone)),
    ]
}

fn tx_lie() -> impl Strategy<Value = Option<GveTxLie>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(GveTxLie::Swallow)),
        1 => prop_oneof![0..4u32, any::<u32>()].prop_map(|count| Some(GveTxLie::Count(count))),
        1 => prop_oneof![0..80u16, any::<u16>()].prop_map(|tag| Some(GveTxLie::Tag(tag))),
        1 => any::<u8>().prop_map(|kind| Some(GveTxLie::Kind(kind))),
        1 => any::<u16>().prop_map(|queue| Some(GveTxLie::Queue(queue))),
        1 => Just(Some(GveTxLie::Twice)),
        1 => Just(Some(GveTxLie::Generation)),
        1 => any::<u16>().prop_map(|head| Some(GveTxLie::Head(head))),
    ]
}

fn rx_lie() -> impl Strategy<Value = Option<GveRxLie>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(GveRxLie::Swallow)),
        1 => prop_oneof![0..4u16, any::<u16>()].prop_map(|len| Some(GveRxLie::Length(len))),
        1 => any::<u8>().prop_map(|sequence| Some(GveRxLie::Sequence(sequence))),
        2 => any::<u16>().prop_map(|bits| Some(GveRxLie::Flags(bits))),
        1 => prop_oneof![0..300u16, any::<u16>()].prop_map(|id| Some(GveRxLie::Id(id))),
        1 => Just(Some(GveRxLie::Twice)),
        1 => Just(Some(GveRxLie::Generation)),
        1 => any::<u16>().prop_map(|kind| Some(GveRxLie::Kind(kind))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No panic, no endless loop, no access to memory that isn't the driver's (the model and the
    /// memory check that), and a card that is given up gives all memory back.
    #[test]
    fn a_card_that_lies_is_used_or_given_up(
        dqo: bool,
        admin in proptest::collection::vec(admin_lie(), 0..12),
        tx in proptest::collection::vec(tx_lie(), 0..40),
        rx in proptest::collection::vec(rx_lie(), 0..40),
        lens in proptest::collection::vec(17..9000usize, 1..12),
        never_resets: bool,
    ) {
        let mut device = device(dqo);
        (device.echo, device.never_resets) = (true, never_resets);
        // A lie at the start in one of four cases only, otherwise few cards start.
        if lens[0] % 4 == 0 {
            device.admin_lies = admin.into();
        }
        (device.tx_lies, device.rx_lies) = (tx.into(), rx.into());
        let (card, handle, memory) = try_start(device, &NetConfig::default());
        let Ok(mut card) = card else {
            prop_assert!(never_resets || memory.allocated() == 0);
            return Ok(());
        };
        for len in lens {
            let large = tcp_frame(false, &payload(len));
            let _ = send(&mut card, &large, offloads(false, Some(1400)));
            let _ = send(&mut card, &payload(len.min(1500)), TxMeta::default());
            card.flush();
            handle.step();
            for (frame, _) in received(&mut card) {
                prop_assert!(frame.len() <= 65553);
            }
            let _ = (card.can_transmit(), card.is_drained(), card.has_pending());
            let _ = card.enable_interrupts();
            card.disable_interrupts();
        }
        let is_running = card.is_running();
        drop(card);
        if never_resets && !handle.with(|device| device.gone) {
            prop_assert!(memory.allocated() > 0, "running: {}", is_running);
        } else {
            prop_assert_eq!(memory.allocated(), 0);
        }
    }
}

/// A lie, and whether the card is given up because of it.
fn after(dqo: bool, lie: impl FnOnce(&mut GveDevice)) -> (Gve, GveHandle) {
    let (mut card, handle) = start(GveDevice {
        echo: true,
        ..device(dqo)
    });
    handle.with(lie);
    for _ in 0..3 {
        let _ = send(&mut card, &payload(100), TxMeta::default());
        card.flush();
        handle.step();
        received(&mut card);
        card.is_drained();
    }
    (card, handle)
}

#[test]
fn a_violation_ends_the_use_of_the_card() {
    let tx = [
        (true, GveTxLie::Tag(68)),
        (true, GveTxLie::Tag(5)),
        (true, GveTxLie::Kind(0)),
        (true, GveTxLie::Kind(3)),
        (true, GveTxLie::Queue(1)),
        (true, GveTxLie::Twice),
        (false, GveTxLie::Count(1)),
        (false, GveTxLie::Count(u32::MAX - 5)),
    ];
    for (dqo, lie) in tx {
        let name = std::format!("{dqo} {lie:?}");
        let (card, _) = after(dqo, |device| device.tx_lies.push_back(Some(lie)));
        assert!(!card.is_running(), "{name}");
    }
    let rx = [
        (true, GveRxLie::Id(256)),
        (true, GveRxLie::Length(0)),
        (true, GveRxLie::Length(2049)),
        (true, GveRxLie::Twice),
        (false, GveRxLie::Length(2)),
        (false, GveRxLie::Length(2049)),
    ];
    for (dqo, lie) in rx {
        let name = std::format!("{dqo} {lie:?}");
        let (card, _) = after(dqo, |device| device.rx_lies.push_back(Some(lie)));
        assert!(!card.is_running(), "{name}");
    }
}

#[test]
fn a_frame_with_an_error_in_any_part_is_dropped() {
    // The error bits of both formats.
    for (dqo, bits) in [(true, 1 << 10), (false, 1 << 11)] {
        for part in 0..4 {
            let (mut card, handle) = start(device(dqo));
            let frame = payload(7000);
            handle.with(|device| {
                device.rx_lies.extend(std::iter::repeat_n(None, part));
                device.rx_lies.push_back(Some(GveRxLie::Flags(bits)));
                device.inbox.extend([frame.clone(), frame.clone()]);
            });
            handle.step();
            // The next one has no error.
            let got = received(&mut card);
            assert!(got.len() == 1 && got[0].0 == frame, "{dqo} {part}");
            let counters = card.counters();
            assert_eq!((counters.rx_dropped, counters.rx_frames), (1, 1));
            assert!(card.is_running(), "{dqo} {part}");
        }
    }
}
