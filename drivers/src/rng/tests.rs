use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::{MAX_REQUEST, Rng};
use crate::Error;
use crate::device_type::DeviceType;
use crate::fake::{Entropy, HostMemory, Liar, Lie, Options, connect};

#[test]
fn random_bytes_arrive_once_and_are_forgotten() {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, Entropy::default(), Options::default());
    let mut rng = Rng::new(Box::new(transport), memory).unwrap();
    assert_eq!(rng.poll(|_| ()), Ok(None));
    rng.request(4).unwrap();
    rng.request(4).unwrap();
    assert_eq!(rng.poll(<[u8]>::to_vec), Ok(Some(vec![0, 1, 2, 3])));
    assert_eq!(rng.poll(|_| ()), Ok(None), "one request at a time");
    handle.with(|device| device.at_most = 2);
    rng.request(10_000).unwrap();
    assert_eq!(rng.poll(<[u8]>::to_vec), Ok(Some(vec![4, 5])));
    assert_eq!(rng.poll(|_| ()), Ok(None));
    drop(rng);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn a_waiting_driver_is_interrupted() {
    let memory = HostMemory::new();
    let options = Options {
        only_steps: true,
        ..Options::default()
    };
    let (transport, handle) = connect(memory, Entropy::default(), options);
    let mut rng = Rng::new(Box::new(transport), memory).unwrap();
    rng.request(8).unwrap();
    assert!(!rng.enable_interrupts());
    handle.step();
    assert_eq!(handle.queue(0, |q| q.interrupts), 1);
    assert!(rng.enable_interrupts());
}

#[test]
fn a_lying_source_is_survived() {
    let lies = [
        (
            Lie::End {
                bytes: vec![9; 300],
                claim: u32::MAX,
            },
            Ok(Some(MAX_REQUEST)),
        ),
        (
            Lie::End {
                bytes: Vec::new(),
                claim: 0,
            },
            Ok(Some(0)),
        ),
        (Lie::Bogus { id: 5, len: 5 }, Err(Error::DeviceError)),
        (Lie::Jump(9), Err(Error::DeviceError)),
        (Lie::Swallow, Ok(None)),
    ];
    for (lie, expected) in lies {
        let memory = HostMemory::new();
        let mut device = Liar::new(DeviceType::RNG, 0, Vec::new(), vec![8]);
        device.script.push_back((0, lie));
        let (transport, _) = connect(memory, device, Options::default());
        let mut rng = Rng::new(Box::new(transport), memory).unwrap();
        rng.request(MAX_REQUEST).unwrap();
        assert_eq!(rng.poll(<[u8]>::len), expected);
        assert_eq!(rng.is_running(), expected != Err(Error::DeviceError));
        assert_eq!(rng.request(1).is_ok(), rng.is_running());
    }
}

#[test]
fn a_source_that_does_not_reset_keeps_its_memory() {
    let memory = HostMemory::new();
    let mut device = Liar::new(DeviceType::RNG, 0, Vec::new(), vec![8]);
    device.script.push_back((0, Lie::Jump(9)));
    let options = Options {
        never_resets: true,
        ..Options::default()
    };
    let (transport, _) = connect(memory, device, options);
    let mut rng = Rng::new(Box::new(transport), memory).unwrap();
    rng.request(MAX_REQUEST).unwrap();
    assert_eq!(rng.poll(|_| ()), Err(Error::DeviceError));
    assert_eq!(rng.poll(|_| ()), Err(Error::DeviceError), "nor is it read");
    let before = memory.allocated();
    drop(rng);
    assert_eq!(memory.allocated(), before);
}
