//! Cards that lie.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{frame, only_steps, receive, send, start_in};
use crate::device::feature as common;
use crate::device_type::DeviceType;
use crate::fake::{HostMemory, Liar, Lie, Options, connect};
use crate::net::{Card, MAX_FRAME, Net, NetConfig, TxError, TxMeta, feature};

/// A received frame with this header and first length, from a lying device.
fn lie(header: [u8; 12], claim: u32) -> (Net, bool) {
    let memory = HostMemory::new();
    let mut device = Liar::new(DeviceType::NET, feature::ALL, vec![0; 16], vec![64, 64]);
    let mut bytes = header.to_vec();
    bytes.resize(100, 7);
    device.script.push_back((0, Lie::End { bytes, claim }));
    let (mut net, handle) = start_in(memory, device, only_steps());
    handle.step();
    let received = receive(&mut net).is_some();
    (net, received)
}

#[test]
fn headers_that_lie_are_found_out() {
    let with = |at: usize, value: u8| {
        let mut header = [0; 12];
        header[at] = value;
        header
    };
    let (net, received) = lie([0; 12], 100);
    assert!(received && net.is_running(), "no buffers means one");
    for (header, claim) in [
        ([0; 12], 11),
        ([0; 12], 12),
        ([0; 12], 0),
        (with(1, 9), 100),
    ] {
        let (net, received) = lie(header, claim);
        assert!(!received && net.is_running());
        assert_eq!(net.counters().rx_dropped, 1);
    }
    let (net, received) = lie(with(11, 0xff), 100);
    assert!(!received && !net.is_running(), "buffers that never come");
    let (net, received) = lie([0; 12], u32::MAX);
    assert!(received && net.is_running(), "a long length is clamped");
}

#[test]
fn buffers_that_are_not_full_or_not_in_order_are_put_together() {
    for swallow in [false, true] {
        let memory = HostMemory::new();
        let mut device = Liar::new(DeviceType::NET, feature::ALL, vec![0; 16], vec![64, 64]);
        let mut first = vec![0; 112];
        first[10] = 2;
        first[12..].fill(1);
        device.script.push_back((
            0,
            Lie::End {
                bytes: first,
                claim: 112,
            },
        ));
        if swallow {
            device.script.push_back((0, Lie::Swallow));
        }
        device.script.push_back((
            0,
            Lie::End {
                bytes: vec![2; 50],
                claim: 50,
            },
        ));
        let (mut net, handle) = start_in(memory, device, only_steps());
        (0..3).for_each(|_| handle.step());
        let (got, _) = receive(&mut net).unwrap();
        assert_eq!(got, [vec![1; 100], vec![2; 50]].concat());
        assert_eq!(net.counters().rx_copied, 1);
    }
}

fn script() -> impl Strategy<Value = Vec<(usize, Lie)>> {
    let header = prop_oneof![
        3 => Just(vec![0; 12]),
        1 => prop::collection::vec(any::<u8>(), 12),
        2 => (0..2u8, 0..5u8, 0..3u8).prop_map(|(flags, gso, buffers)| {
            vec![flags, gso, 54, 0, 0, 2, 34, 0, 16, 0, buffers, 0]
        }),
    ];
    let claim = prop_oneof![3 => 0..3000u32, 1 => any::<u32>()];
    let end = (header, claim).prop_map(|(mut bytes, claim)| {
        bytes.resize(90, 1);
        Lie::End { bytes, claim }
    });
    prop::collection::vec((0..2usize, Lie::any(end, 20)), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_lying_card_is_survived(
        script in script(),
        features: u64,
        queue_features: u64,
        log_size in 0..6u32,
        is_legacy: bool,
        config in prop::collection::vec(any::<u8>(), 0..16),
    ) {
        let memory = HostMemory::new();
        let sizes = vec![1 << log_size; 2];
        let mut device = Liar::new(DeviceType::NET, features & feature::ALL, config, sizes);
        device.script = script.into();
        let version = if is_legacy { 0 } else { common::VERSION_1 };
        let options = Options {
            features: queue_features & common::QUEUE & !common::VERSION_1 | version,
            legacy: is_legacy,
            ..Options::default()
        };
        let (transport, handle) = connect(memory, device, options);
        if let Ok(mut net) = Net::new(Box::new(transport), memory, &NetConfig::default()) {
            for round in 0..200 {
                handle.step();
                if let Some((got, _)) = receive(&mut net) {
                    prop_assert!(!got.is_empty() && got.len() <= MAX_FRAME);
                }
                let sent = send(&mut net, &frame(60), &TxMeta::default());
                prop_assert!(!matches!(sent, Err(TxError::BadFrame)));
                prop_assert_eq!(sent == Err(TxError::DeviceError), !net.is_running());
                if round % 3 == 0 {
                    net.flush();
                    let _ = net.enable_interrupts();
                }
            }
        }
        prop_assert_eq!(memory.allocated(), 0);
    }
}
