mod buffers;
mod hostile;

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::{
    Card, Gso, GsoKind, MAX_FRAME, Net, NetConfig, RxChecksum, TxChecksum, TxError, TxMeta,
};
use super::{RxMeta, feature};
use crate::Error;
use crate::device::feature as common;
use crate::fake::{Backend, Handle, HostMemory, NetDevice, Options, connect};

fn start(device: NetDevice, options: Options, config: &NetConfig) -> (Net, Handle<NetDevice>) {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, device, options);
    (
        Net::new(Box::new(transport), memory, config).unwrap(),
        handle,
    )
}

/// A card in `memory`.
fn start_in<B: Backend>(
    memory: &'static HostMemory,
    device: B,
    options: Options,
) -> (Net, Handle<B>) {
    let (transport, handle) = connect(memory, device, options);
    let net = Net::new(Box::new(transport), memory, &NetConfig::default());
    (net.unwrap(), handle)
}

/// A device that works one step at a time.
fn only_steps() -> Options {
    Options {
        only_steps: true,
        ..Options::default()
    }
}

fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 256) as u8).collect()
}

fn send(net: &mut Net, bytes: &[u8], meta: &TxMeta) -> Result<(), TxError> {
    net.transmit(bytes.len(), &mut |place| {
        place.copy_from_slice(bytes);
        *meta
    })
}

/// The offload of a large TCP frame, which the card cuts into segments.
fn cut() -> TxMeta {
    TxMeta {
        gso: Some(Gso {
            kind: GsoKind::Tcp4,
            segment: 1448,
            headers: 66,
        }),
        checksum: Some(TxChecksum {
            start: 34,
            offset: 16,
        }),
    }
}

fn receive(net: &mut Net) -> Option<(Vec<u8>, RxMeta)> {
    let mut got = None;
    let there = net.receive(&mut |bytes, meta| got = Some((bytes.to_vec(), meta)));
    assert_eq!(there, got.is_some());
    got
}

fn legacy(features: u64) -> Options {
    Options {
        legacy: true,
        features,
        ..Options::default()
    }
}

/// All variants of a card: its features, and the options of its queues.
fn cards() -> Vec<(u64, Options, [u16; 2])> {
    let [modern, plain, no_indirect] = Options::modern();
    let all = feature::ALL;
    vec![
        (all, modern, [256, 256]),
        (all, plain, [256, 256]),
        (all, no_indirect, [64, 64]),
        (all, modern, [8, 2]),
        (all & !feature::MRG_RXBUF, modern, [16, 16]),
        (all & !feature::CSUM, modern, [256, 256]),
        (all & !feature::GUEST_CSUM, plain, [256, 256]),
        (0, modern, [4, 1]),
        (all, legacy(common::ANY_LAYOUT), [64, 64]),
        (
            0,
            legacy(common::ANY_LAYOUT | common::INDIRECT_DESC),
            [64, 64],
        ),
        (0, legacy(common::EVENT_IDX), [64, 64]),
        (
            all & !feature::MRG_RXBUF,
            legacy(common::INDIRECT_DESC),
            [16, 16],
        ),
        (all, legacy(0), [16, 16]),
        (all, Options::legacy_pci(common::QUEUE), [1024, 4096]),
        (
            all & !feature::MRG_RXBUF,
            Options::legacy_pci(0),
            [4096, 8192],
        ),
    ]
}

#[test]
fn every_kind_of_card_carries_frames_both_ways() {
    for (features, options, sizes) in cards() {
        let device = NetDevice {
            features,
            sizes,
            ..NetDevice::echoing()
        };
        let (mut net, handle) = start(device, options, &NetConfig::default());
        for round in 0..300 {
            let bytes = frame(1 + round * 31 % 1514);
            send(&mut net, &bytes, &TxMeta::default()).unwrap();
            net.flush();
            let (got, meta) = receive(&mut net).expect("an echo");
            assert!(got == bytes, "{options:?} round {round}");
            assert_eq!(meta, RxMeta::default());
            assert!(receive(&mut net).is_none());
        }
        assert_eq!(net.counters().rx_frames, 300);
        assert_eq!(handle.accepted() & !(features | options.features), 0);
    }
}

#[test]
fn large_frames_go_both_ways_with_their_headers() {
    let (mut net, _) = start(
        NetDevice::echoing(),
        Options::default(),
        &NetConfig::default(),
    );
    assert!(net.capabilities().tso4 && net.capabilities().large_receive6);
    for round in 0..100 {
        let bytes = frame(60_000 + round * 53);
        let gso = Gso {
            kind: GsoKind::Tcp4,
            segment: 1448,
            headers: 66,
        };
        let checksum = Some(TxChecksum {
            start: 34,
            offset: 16,
        });
        send(
            &mut net,
            &bytes,
            &TxMeta {
                checksum,
                gso: Some(gso),
            },
        )
        .unwrap();
        net.flush();
        let (got, meta) = receive(&mut net).unwrap();
        assert!(got == bytes, "round {round}");
        assert_eq!(meta.gso, Some(gso));
        assert_eq!(
            meta.checksum,
            RxChecksum::Partial {
                start: 34,
                offset: 16
            }
        );
    }
    // 32 buffers of the pool's 256 for each: one frame in eight wraps.
    let copied = net.counters().rx_copied;
    assert!((5..20).contains(&copied), "{copied} of 100 copied");
}

#[test]
fn what_was_not_agreed_on_is_not_sent() {
    let features = feature::ALL & !(feature::CSUM | feature::MAC | feature::MTU);
    let device = NetDevice {
        features,
        mtu: 9000,
        ..NetDevice::default()
    };
    let (mut net, handle) = start(device, Options::default(), &NetConfig::default());
    assert_eq!(net.capabilities().mac, None);
    assert_eq!(net.capabilities().mtu, 1500);
    assert!(!net.capabilities().tso4, "segmentation needs checksums");
    let checksum = Some(TxChecksum {
        start: 34,
        offset: 16,
    });
    let gso = Some(Gso {
        kind: GsoKind::Tcp4,
        segment: 1448,
        headers: 66,
    });
    let bad = Err(TxError::BadFrame);
    assert_eq!(
        send(
            &mut net,
            &frame(100),
            &TxMeta {
                checksum,
                gso: None
            }
        ),
        bad
    );
    assert_eq!(
        send(
            &mut net,
            &frame(100),
            &TxMeta {
                checksum: None,
                gso
            }
        ),
        bad
    );
    assert_eq!(send(&mut net, &frame(1519), &TxMeta::default()), bad);
    assert_eq!(send(&mut net, &[], &TxMeta::default()), bad);
    handle.with(|device| assert!(device.sent.is_empty()));
    // However many are refused, each leaves its buffer to the next.
    let ask = TxMeta {
        checksum,
        gso: None,
    };
    for _ in 0..512 {
        assert_eq!(send(&mut net, &frame(100), &ask), bad);
    }
    assert_eq!(send(&mut net, &frame(100), &TxMeta::default()), Ok(()));
}

#[test]
fn features_can_be_left_out() {
    let config = NetConfig {
        features: !feature::MRG_RXBUF,
        ..NetConfig::default()
    };
    let (net, handle) = start(NetDevice::default(), Options::default(), &config);
    let left_out = feature::MRG_RXBUF | feature::GUEST_TSO4 | feature::GUEST_TSO6;
    assert_eq!(handle.accepted() & left_out, 0);
    assert!(!net.capabilities().large_receive4);
}

#[test]
fn a_large_mtu_is_used_and_an_impossible_one_is_not() {
    for (mtu, used) in [(9000, 9000), (67, 1500), (0, 1500), (65535, 65535)] {
        let device = NetDevice {
            mtu,
            ..NetDevice::echoing()
        };
        let (mut net, _) = start(device, Options::default(), &NetConfig::default());
        assert_eq!(net.capabilities().mtu, used);
        let bytes = frame(usize::from(used) + 14);
        send(&mut net, &bytes, &TxMeta::default()).unwrap();
        net.flush();
        assert!(receive(&mut net).unwrap().0 == bytes);
    }
}

#[test]
fn a_full_ring_says_so_and_interrupts_when_there_is_room() {
    let device = NetDevice {
        sizes: [4, 8],
        ..NetDevice::default()
    };
    let (mut net, handle) = start(device, only_steps(), &NetConfig::default());
    for _ in 0..8 {
        send(&mut net, &frame(100), &TxMeta::default()).unwrap();
    }
    assert_eq!(
        send(&mut net, &frame(100), &TxMeta::default()),
        Err(TxError::Full)
    );
    assert_eq!(
        handle.queue(1, |q| q.notifications),
        1,
        "one doorbell, without a flush"
    );
    handle.step();
    assert_eq!(handle.queue(1, |q| q.interrupts), 1);
    send(&mut net, &frame(100), &TxMeta::default()).unwrap();
    handle.with(|device| assert_eq!(device.sent.len(), 8));
}

#[test]
fn a_card_is_drained_when_it_has_sent_everything() {
    let (mut net, handle) = start(NetDevice::default(), only_steps(), &NetConfig::default());
    assert!(net.is_drained());
    send(&mut net, &frame(100), &TxMeta::default()).unwrap();
    net.flush();
    assert!(!net.is_drained());
    handle.step();
    assert!(net.is_drained());
    handle.with(|device| assert_eq!(device.sent.len(), 1));
}

#[test]
fn a_batch_rings_once_and_received_frames_ring_never() {
    let (mut net, handle) = start(
        NetDevice::echoing(),
        Options::default(),
        &NetConfig::default(),
    );
    let rung = handle.queue(0, |q| q.notifications);
    for _ in 0..20 {
        send(&mut net, &frame(1000), &TxMeta::default()).unwrap();
    }
    net.flush();
    net.flush();
    assert_eq!(handle.queue(1, |q| q.notifications), 1);
    while receive(&mut net).is_some() {}
    assert!(handle.queue(0, |q| q.notifications) <= rung + 1);
}

#[test]
fn a_waiting_driver_is_interrupted() {
    let (mut net, handle) = start(
        NetDevice::default(),
        Options::default(),
        &NetConfig::default(),
    );
    net.disable_interrupts();
    assert!(!net.enable_interrupts());
    handle.with(|device| device.deliver(&frame(60)));
    handle.step();
    assert_eq!(handle.queue(0, |q| q.interrupts), 1);
    assert!(net.enable_interrupts(), "there is a frame");
    assert_eq!(receive(&mut net).unwrap().0, frame(60));
    assert!(!net.enable_interrupts());
}

#[test]
fn completions_are_seen_without_an_interrupt() {
    let (mut net, handle) = start(
        NetDevice::default(),
        Options::default(),
        &NetConfig::default(),
    );
    net.disable_interrupts();
    assert!(!net.has_pending());
    handle.with(|device| device.deliver(&frame(60)));
    handle.step();
    assert!(net.has_pending());
    assert_eq!(receive(&mut net).unwrap().0, frame(60));
    assert!(!net.has_pending());
    assert_eq!(handle.queue(0, |q| q.interrupts), 0);
}

#[test]
fn transmit_succeeds_while_can_transmit_is_true() {
    let device = NetDevice {
        sizes: [8, 8],
        ..NetDevice::default()
    };
    let (mut net, handle) = start(device, only_steps(), &NetConfig::default());
    let mut sent = 0;
    for _ in 0..10 {
        while net.can_transmit() {
            send(&mut net, &frame(100), &TxMeta::default()).unwrap();
            sent += 1;
        }
        handle.step();
    }
    handle.with(|device| assert_eq!(device.sent.len(), sent));
    assert_eq!(sent, 80);
}

#[test]
fn a_card_that_cannot_be_started_says_why() {
    let refusal = |device: NetDevice, options| {
        let memory = HostMemory::new();
        let (transport, handle) = connect(memory, device, options);
        let refused = Net::new(Box::new(transport), memory, &NetConfig::default()).err();
        assert_eq!(memory.allocated(), 0);
        assert_eq!(handle.resets(), 2, "before and after");
        refused.unwrap()
    };
    let base = Options::default();
    let rejects = Options {
        rejects_features: true,
        ..base
    };
    assert_eq!(
        refusal(NetDevice::default(), rejects),
        Error::FeaturesRejected
    );
    let old = Options {
        features: 0,
        ..base
    };
    assert_eq!(refusal(NetDevice::default(), old), Error::NotModern);
    let no_queue = NetDevice {
        sizes: [64, 0],
        ..NetDevice::default()
    };
    assert_eq!(refusal(no_queue, base), Error::NoQueue(1));
    let memory = HostMemory::new();
    let (transport, _) = connect(memory, crate::fake::Entropy::default(), base);
    let wrong = Net::new(Box::new(transport), memory, &NetConfig::default())
        .err()
        .unwrap();
    let text = std::format!("{wrong}");
    assert_eq!(text, "is of type entropy where network was expected");
}

#[test]
fn a_card_that_does_not_reset_keeps_its_memory() {
    let memory = HostMemory::new();
    let options = Options {
        never_resets: true,
        ..Options::default()
    };
    let (mut net, _) = start_in(memory, NetDevice::default(), options);
    send(&mut net, &frame(100), &TxMeta::default()).unwrap();
    let before = memory.allocated();
    drop(net);
    assert_eq!(memory.allocated(), before);
}

/// All features that both sides support are negotiated, and no others; the same with simple queues.
#[test]
fn what_is_offered_is_used() {
    let plain = Options {
        features: common::VERSION_1,
        ..Options::default()
    };
    for options in [Options::default(), plain] {
        let device = NetDevice {
            features: feature::ALL | 1 << 17 | 1 << 60,
            ..NetDevice::default()
        };
        let (net, handle) = start(device, options, &NetConfig::default());
        assert_eq!(handle.accepted(), feature::ALL | options.features);
        let capabilities = net.capabilities();
        assert_eq!(capabilities.max_transmit, MAX_FRAME);
        assert_eq!(capabilities.mac, Some([0x52, 0x54, 0, 0x12, 0x34, 0x56]));
    }
}

/// virtio 1.2, 5.1.3.
#[test]
fn feature_bits_are_the_standard_s() {
    let bits = [
        (feature::CSUM, 0),
        (feature::GUEST_CSUM, 1),
        (feature::MTU, 3),
        (feature::MAC, 5),
        (feature::GUEST_TSO4, 7),
        (feature::GUEST_TSO6, 8),
        (feature::HOST_TSO4, 11),
        (feature::HOST_TSO6, 12),
        (feature::MRG_RXBUF, 15),
    ];
    for (feature, bit) in bits {
        assert_eq!(feature.checked_ilog2(), Some(bit));
        assert!(feature.is_power_of_two());
    }
    let all = bits.iter().fold(0, |all, (_, bit)| all | 1 << bit);
    assert_eq!((feature::ALL, MAX_FRAME), (all, 65_553));
}

#[test]
fn either_segmentation_allows_large_frames() {
    for left_out in [feature::HOST_TSO4, feature::HOST_TSO6] {
        let device = NetDevice {
            features: feature::ALL & !left_out,
            ..NetDevice::default()
        };
        let (net, _) = start(device, Options::default(), &NetConfig::default());
        assert_eq!(net.capabilities().max_transmit, MAX_FRAME);
    }
}

/// The number of buffers is meaningless unless it was negotiated (5.1.6.1): older cards leave
/// anything there.
#[test]
fn a_number_of_buffers_that_was_not_agreed_on_is_ignored() {
    let device = NetDevice {
        features: feature::ALL & !feature::MRG_RXBUF,
        ..NetDevice::default()
    };
    let (mut net, handle) = start(device, Options::default(), &NetConfig::default());
    let mut header = [0; 12];
    header[10..].copy_from_slice(&[7, 1]);
    handle.with(|device| device.inbox.push_back((header, frame(60))));
    handle.step();
    assert_eq!(receive(&mut net).unwrap().0, frame(60));
    assert!(net.is_running());
}

#[test]
fn room_is_pending_only_where_it_is_waited_for() {
    let device = NetDevice {
        sizes: [4, 8],
        ..NetDevice::default()
    };
    let (mut net, handle) = start(device, only_steps(), &NetConfig::default());
    send(&mut net, &frame(100), &TxMeta::default()).unwrap();
    net.flush();
    handle.step();
    assert!(!net.has_pending(), "a sent frame concerns no one");
    for _ in 0..8 {
        send(&mut net, &frame(100), &TxMeta::default()).unwrap();
    }
    let full = Err(TxError::Full);
    assert_eq!(send(&mut net, &frame(100), &TxMeta::default()), full);
    assert!(!net.has_pending() && !net.enable_interrupts());
    // Half of the frames in flight cause an interrupt, and not fewer.
    handle.queue(1, |queue| {
        for sent in 1..=5 {
            let chain = queue.pop().unwrap();
            queue.push(chain.head, 0);
            assert_eq!(queue.interrupts, u64::from(sent == 5), "after {sent}");
            if sent == 5 {
                break;
            }
        }
    });
    assert!(net.has_pending() && net.enable_interrupts());
    // A frame that found room ends the wait for it.
    send(&mut net, &frame(100), &TxMeta::default()).unwrap();
    handle.queue(1, |queue| {
        let chain = queue.pop().unwrap();
        queue.push(chain.head, 0);
    });
    assert!(!net.has_pending() && !net.enable_interrupts());
}
