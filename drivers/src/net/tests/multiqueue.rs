//! Several pairs of queues (virtio 1.2, 5.1.5 and 5.1.6.5.5).

use std::boxed::Box;
use std::vec;

use super::{frame, receive, send};
use crate::Error;
use crate::fake::{Handle, HostMemory, NetDevice, Options, connect};
use crate::net::{Net, NetConfig, TxMeta, feature};

fn card(pairs: u16) -> NetDevice {
    NetDevice {
        features: feature::ALL | feature::MQ | feature::CTRL_VQ,
        pairs,
        ..NetDevice::echoing()
    }
}

fn start(device: NetDevice, wanted: u16) -> Result<(Net, Handle<NetDevice>), Error> {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, device, Options::default());
    let net = Net::with_pairs(Box::new(transport), memory, &NetConfig::default(), wanted)?;
    Ok((net, handle))
}

fn active(handle: &Handle<NetDevice>, queues: usize) -> usize {
    (0..queues)
        .filter(|queue| handle.queue(*queue, |q| q.is_active()))
        .count()
}

fn echoed(net: &mut Net, number: usize) -> bool {
    let bytes = frame(100 + number);
    send(net, &bytes, &TxMeta::default()).expect("room");
    net.flush();
    receive(net).is_some_and(|(got, _)| got == bytes)
}

#[test]
fn one_pair_unless_more_are_asked_for() {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, card(4), Options::default());
    let mut net = Net::new(Box::new(transport), memory, &NetConfig::default()).expect("a card");
    assert_eq!(handle.accepted() & (feature::MQ | feature::CTRL_VQ), 0);
    assert_eq!((net.active_pairs(), active(&handle, 9)), (1, 2));
    assert!(echoed(&mut net, 0) && !net.select_pair(1));
}

#[test]
fn all_pairs_send_and_all_are_polled() {
    for (has, wanted, used) in [(3, 8, 3), (4, 2, 2), (8, 8, 8)] {
        let (mut net, handle) = start(card(has), wanted).expect("a card");
        assert_eq!(net.active_pairs(), used);
        assert_eq!(handle.with(|card| usize::from(card.active)), used);
        // The control queue follows all possible queues.
        assert!(handle.queue(2 * usize::from(has), |q| q.is_active()));
        assert_eq!(active(&handle, 2 * usize::from(has)), 2 * used);
        for round in 0..1000 {
            let number = round * 7 % used;
            assert!(net.select_pair(number) && echoed(&mut net, number));
        }
        assert!(!net.select_pair(used) && echoed(&mut net, 0));
        assert!(net.is_drained() && !net.has_pending() && receive(&mut net).is_none());
        let rung = |queue: usize| handle.queue(queue, |q| q.notifications) > 0;
        assert!((0..used).all(|number| rung(2 * number + 1)));
    }
}

#[test]
fn a_busy_pair_holds_up_no_other() {
    let (mut net, handle) = start(card(2), 2).expect("a card");
    handle.with(|card| {
        for _ in 0..100 {
            card.deliver(&frame(60));
        }
        card.more.resize_with(2, Default::default);
        card.more[0].push_back(([0; 12], frame(61)));
    });
    handle.step();
    let lengths = [(); 3].map(|()| receive(&mut net).expect("a frame").0.len());
    assert!(lengths.contains(&61), "{lengths:?}");
}

#[test]
fn completions_of_every_pair_interrupt() {
    let (mut net, handle) = start(card(3), 3).expect("a card");
    assert!(!net.enable_interrupts());
    handle.with(|card| {
        card.more.resize_with(3, Default::default);
        card.more[1].push_back(([0; 12], frame(60)));
    });
    handle.step();
    assert_eq!(handle.queue(4, |q| q.interrupts), 1);
    assert!(net.has_pending() && net.enable_interrupts());
    assert!(receive(&mut net).is_some() && !net.enable_interrupts());
    net.disable_interrupts();
    handle.with(|card| card.more[1].push_back(([0; 12], frame(60))));
    handle.step();
    assert_eq!(handle.queue(4, |q| q.interrupts), 1);
}

#[test]
fn a_card_that_says_no_or_nothing_has_one_pair() {
    for answers in [Some(1), Some(7), None] {
        let device = NetDevice { answers, ..card(4) };
        let (mut net, _handle) = start(device, 4).expect("a card");
        assert_eq!(net.active_pairs(), 1);
        assert!(!net.select_pair(1) && echoed(&mut net, 0));
    }
    // Nor is there a control queue if the card has one pair, or doesn't support several.
    for device in [card(1), NetDevice::echoing()] {
        let (mut net, _handle) = start(device, 4).expect("a card");
        assert!(net.active_pairs() == 1 && echoed(&mut net, 0));
    }
    let without_control = NetDevice {
        features: feature::ALL | feature::MQ,
        ..card(4)
    };
    let (net, handle) = start(without_control, 4).expect("a card");
    assert!(net.active_pairs() == 1 && handle.accepted() & feature::MQ == 0);
}

#[test]
fn impossible_numbers_of_pairs_are_refused() {
    for pairs in [0, 0x8000, 0xffff] {
        assert_eq!(start(card(pairs), 2).err(), Some(Error::BadConfig));
    }
}

#[test]
fn a_pair_that_breaks_the_protocol_ends_the_card() {
    let (mut net, handle) = start(card(2), 2).expect("a card");
    handle.queue(2, |queue| queue.advance(3000));
    assert!(receive(&mut net).is_none() && !net.is_running());
    let sizes = vec![
        net.select_pair(1),
        net.has_pending(),
        net.enable_interrupts(),
    ];
    assert_eq!(sizes, [true, false, false]);
    assert!(send(&mut net, &frame(60), &TxMeta::default()).is_err());
}

#[test]
fn one_pair_sends_no_command() {
    for (has, wanted) in [(1, 4), (4, 1), (4, 0)] {
        let device = NetDevice {
            answers: Some(1),
            active: 9,
            ..card(has)
        };
        let (net, handle) = start(device, wanted).expect("a card");
        assert_eq!(net.active_pairs(), 1);
        let commands = |queue| handle.queue(queue, |q| q.notifications);
        assert_eq!(
            commands(2 * usize::from(has)),
            0,
            "{has} pairs, {wanted} wanted"
        );
    }
}

#[test]
fn a_card_that_does_not_reset_keeps_the_memory_of_every_pair() {
    let memory = HostMemory::new();
    let options = Options {
        never_resets: true,
        ..Options::default()
    };
    let (transport, _) = connect(memory, card(3), options);
    let net = Net::with_pairs(Box::new(transport), memory, &NetConfig::default(), 3);
    let net = net.expect("a card");
    let before = memory.allocated();
    drop(net);
    assert_eq!(memory.allocated(), before);
}
