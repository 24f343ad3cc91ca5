//! Adapters that break the protocol.

use super::*;
use crate::scsi::feature;

#[test]
fn an_adapter_that_breaks_ends_what_its_disks_have() {
    let memory = HostMemory::new();
    let units = [(0, 0), (0, 1)].map(|at| (at, LogicalUnit::new(4096, 512)));
    let (transport, handle) = connect(memory, HostBusAdapter::new(units), Options::default());
    let mut scsi = Scsi::new(Box::new(transport), memory, &ScsiConfig::default()).unwrap();
    find(&mut scsi);
    handle.with(|adapter| {
        adapter
            .units
            .values_mut()
            .for_each(|unit| unit.stuck = true)
    });
    let mut bytes = vec![0; 512];
    for token in 0..250 {
        // SAFETY: the memory outlives the requests.
        let request = unsafe { Request::read(token, place(&mut bytes), 512) };
        scsi.submit(token as usize % 2, request, token).unwrap();
    }
    scsi.kick();
    handle.queue(2, |queue| queue.advance(1000));
    let mut ended = 0;
    scsi.poll(&mut |_, _, result| {
        assert_eq!(result, Err(DiskError::DeviceError));
        ended += 1;
    });
    assert_eq!(
        (ended, scsi.unfinished(), scsi.is_running()),
        (250, 0, false)
    );
    let refused = run(&mut scsi, 0, Request::flush());
    assert_eq!(refused, Err(DiskError::DeviceError));
    assert!(!scsi.has_pending() && !scsi.enable_interrupts());
    drop(scsi);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn an_adapter_that_does_not_reset_keeps_what_it_has() {
    let memory = HostMemory::new();
    let options = Options {
        never_resets: true,
        ..Options::default()
    };
    let adapter = HostBusAdapter::new([(UNIT, LogicalUnit::new(4096, 512))]);
    let (transport, handle) = connect(memory, adapter, options);
    let mut scsi = Scsi::new(Box::new(transport), memory, &ScsiConfig::default()).unwrap();
    find(&mut scsi);
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = true);
    let bytes = Vec::leak(vec![0; 512]);
    // SAFETY: the memory stays.
    let request = unsafe { Request::read(0, place(bytes), 512) };
    scsi.submit(0, request, 1).unwrap();
    scsi.submit(0, Request::flush(), 2).unwrap();
    scsi.kick();
    handle.queue(2, |queue| queue.advance(1000));
    let mut ended = Vec::new();
    scsi.poll(&mut |_, token, result| ended.push((token, result)));
    // A flush has no memory.
    assert_eq!(ended, [(2, Err(DiskError::DeviceError))]);
    let before = memory.allocated();
    drop(scsi);
    assert_eq!(memory.allocated(), before);
}

/// The memory of the search ends with it, unless the device may still write there.
#[test]
fn the_search_holds_memory_until_the_device_is_through() {
    for never_resets in [false, true] {
        let memory = HostMemory::new();
        let options = Options {
            never_resets,
            ..Options::default()
        };
        let adapter = || HostBusAdapter::new([(UNIT, LogicalUnit::new(64, 512))]);
        let (transport, _) = connect(memory, adapter(), options);
        let mut scsi = Scsi::new(Box::new(transport), memory, &ScsiConfig::default()).unwrap();
        let before = memory.allocated();
        scsi.begin();
        let during = memory.allocated();
        assert!(during > before);
        drop(scsi);
        let after = if never_resets { during } else { 0 };
        assert_eq!(memory.allocated(), after, "never resets: {never_resets}");
    }
    let memory = HostMemory::new();
    let (transport, _) = connect(memory, HostBusAdapter::new([]), Options::default());
    let mut scsi = Scsi::new(Box::new(transport), memory, &ScsiConfig::default()).unwrap();
    let before = memory.allocated();
    find(&mut scsi);
    scsi.poll(&mut |_, _, _| ());
    assert_eq!(memory.allocated(), before);
}

/// A response of an adapter without sense: code and status.
fn answer(code: u8, status: u8, data: &[u8]) -> Lie {
    let mut bytes = vec![0; 108];
    (bytes[10], bytes[11]) = (status, code);
    bytes.extend_from_slice(data);
    Lie::End {
        claim: bytes.len() as u32,
        bytes,
    }
}

fn lies() -> impl Strategy<Value = Vec<(usize, Lie)>> {
    let code = prop_oneof![6 => Just(0u8), 1 => 0..12u8, 1 => any::<u8>()];
    let status = prop_oneof![6 => Just(0u8), 1 => Just(2), 1 => Just(8), 1 => any::<u8>()];
    // Answers that lead on: a list of units, INQUIRY data, a capacity.
    let data = prop_oneof![
        2 => Just(vec![0; 512]),
        2 => Just([&[0, 0, 0, 16][..], &[0; 4], &[0; 16]].concat()),
        2 => Just([&[0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0][..], &[0; 20]].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..600),
    ];
    let sense = prop::collection::vec(any::<u8>(), 108);
    let end = prop_oneof![
        8 => (code, status, data).prop_map(|(code, status, data)| answer(code, status, &data)),
        1 => (sense, any::<u32>()).prop_map(|(bytes, claim)| Lie::End { bytes, claim }),
    ];
    prop::collection::vec(
        (
            prop_oneof![1 => Just(1usize), 8 => Just(2)],
            Lie::any(end, 40),
        ),
        1..200,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_lying_adapter_is_survived(
        script in lies(), features: u64, queue_features: u64, log_size in 0..6u32,
        sizes in prop::collection::vec(1..9000usize, 1..40), offset in 0..600usize,
        seg_max: u32, max_sectors: u32, max_target: u16, stops in 0..300usize,
    ) {
        let memory = HostMemory::new();
        let mut config = vec![0; 36];
        config[4..8].copy_from_slice(&seg_max.to_le_bytes());
        config[8..12].copy_from_slice(&max_sectors.to_le_bytes());
        config[30..32].copy_from_slice(&max_target.to_le_bytes());
        let sizes_of_queues = vec![8, 1 << log_size, 1 << log_size];
        let mut device =
            Liar::new(DeviceType::SCSI, features & feature::ALL, config, sizes_of_queues);
        device.script = script.into();
        let options = Options {
            features: queue_features & common::QUEUE | common::VERSION_1,
            ..Options::default()
        };
        let (transport, handle) = connect(memory, device, options);
        let mut buffer = vec![0; 600 + 9000];
        if let Ok(mut scsi) = Scsi::new(Box::new(transport), memory, &ScsiConfig::default()) {
            scsi.begin();
            for _ in 0..stops {
                handle.step();
                scsi.poll(&mut |_, _, _| panic!("nothing was submitted"));
            }
            scsi.end_search();
            prop_assert!(scsi.is_ready() && scsi.disks() <= 64);
            let mut out = HashMap::new();
            for (token, size) in (0u64..).zip(&sizes) {
                let disk = token as usize % scsi.disks().max(1);
                let geometry = scsi.geometry(disk);
                let len = (size / geometry.block_size).max(1) * geometry.block_size;
                let Some(memory) = buffer.get_mut(offset..offset + len) else { continue };
                // SAFETY: the memory outlives the disk, and nothing reads it meanwhile.
                let request = unsafe { Request::read(0, place(memory), len) };
                if scsi.submit(disk, request, token).is_ok() {
                    out.insert(token, disk);
                }
                handle.step();
                scsi.poll(&mut |disk, token, _| assert_eq!(out.remove(&token), Some(disk)));
            }
            let mut rounds = 0;
            while handle.with(|device| !device.script.is_empty()) && rounds < 400 {
                handle.step();
                scsi.poll(&mut |disk, token, _| assert_eq!(out.remove(&token), Some(disk)));
                rounds += 1;
            }
            prop_assert_eq!(scsi.unfinished(), out.len());
            prop_assert!(scsi.is_running() || out.is_empty(), "a broken adapter ends everything");
        }
        prop_assert_eq!(memory.allocated(), 0);
    }
}
