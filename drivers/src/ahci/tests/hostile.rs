//! Controllers that break the protocol, or never answer.

use std::collections::HashMap;

use super::*;

/// A port that doesn't stop keeps the memory of its requests until it does.
#[test]
fn a_port_that_does_not_stop_keeps_what_it_has() {
    for stops_later in [true, false] {
        let (mut ahci, handle, memory) = start_with(AhciDevice::new(64));
        handle.with(|device| device.disks.get_mut(&0).unwrap().stuck = true);
        let bytes = Vec::leak(vec![0; 512]);
        for token in 0..40 {
            // SAFETY: the memory stays.
            let request = unsafe { Request::read(token, place(bytes), 512) };
            ahci.submit(0, request, token).unwrap();
        }
        ahci.kick();
        handle.with(|device| device.never_stops = true);
        handle.connect(0, false);
        let mut ended = Vec::new();
        for _ in 0..200 {
            ahci.poll(&mut |_, token, result| ended.push((token, result)));
        }
        // Those that the port doesn't have.
        let removed = Err(DiskError::Removed);
        assert_eq!(
            ended,
            (32..40).map(|token| (token, removed)).collect::<Vec<_>>()
        );
        assert_eq!(ahci.unfinished(), 32);
        assert!(!ahci.has_pending() && !ahci.enable_interrupts());
        let held = memory.allocated();
        if stops_later {
            handle.with(|device| device.never_stops = false);
            // The port follows at the driver's next write, which is that of the reset.
            drop(ahci);
            assert_eq!(memory.allocated(), 0);
        } else {
            handle.with(|device| device.never_resets = true);
            drop(ahci);
            assert_eq!(memory.allocated(), held, "leaked, not freed");
        }
    }
}

/// FISes and causes that nothing asked for don't keep the machine awake.
#[test]
fn what_nothing_asked_for_is_ignored() {
    let (mut ahci, handle) = start(AhciDevice::new(64));
    handle.raise(0, 1 << 30 | 1 << 3 | 1);
    assert!(!ahci.has_pending() && !ahci.enable_interrupts());
    ahci.poll(&mut |_, _, _| panic!("no request was made"));
    assert!(!ahci.has_pending());
    read(&mut ahci, 0, 0, &mut [0; 512]).unwrap();
    run(&mut ahci, 0, Request::flush()).unwrap();
}

#[test]
fn a_fis_without_a_completion_keeps_the_machine_awake_for_a_few_polls() {
    let (mut ahci, handle) = start(AhciDevice::new(64));
    handle.with(|device| device.lies.push_back(Some(AhciLie::Fis)));
    // SAFETY: the memory stays.
    let request = unsafe { Request::read(0, place(Vec::leak(vec![0; 512])), 512) };
    ahci.submit(0, request, 1).unwrap();
    ahci.kick();
    assert!(ahci.has_pending());
    for _ in 0..20 {
        assert_eq!(ahci.poll(&mut |_, _, _| ()), 0);
    }
    assert!(!ahci.has_pending() && !ahci.enable_interrupts());
}

#[test]
fn a_device_that_never_gets_ready_is_not_used() {
    let slow = AtaDisk {
        busy_reads: usize::MAX,
        ..AtaDisk::new(64)
    };
    let mute = AtaDisk {
        stuck: true,
        ..AtaDisk::new(64)
    };
    for disk in [slow, mute] {
        let mut device = AhciDevice::new(64);
        device.disks.insert(1, disk);
        let memory = HostMemory::new();
        let (registers, _) = device.connect(memory);
        let mut ahci = Ahci::new(Box::new(registers), memory, &AhciConfig::default()).unwrap();
        ahci.begin();
        for _ in 0..100 {
            ahci.poll(&mut |_, _, _| ());
        }
        assert!(!ahci.is_ready() && ahci.disks() == 0);
        ahci.end_search();
        assert!(ahci.is_ready() && ahci.disks() == 1);
        read(&mut ahci, 0, 0, &mut [0; 512]).unwrap();
        drop(ahci);
        assert_eq!(memory.allocated(), 0);
    }
}

fn lie() -> impl Strategy<Value = Option<AhciLie>> {
    // Offsets of the fields that the driver reads.
    let fields = [
        0, 20, 98, 150, 152, 166, 170, 174, 200, 206, 212, 234, 338, 510,
    ];
    let at = prop_oneof![3 => prop::sample::select(fields.to_vec()), 1 => 0..512u16];
    let bytes = prop::collection::vec(any::<u8>(), 1..8);
    prop_oneof![
        30 => Just(None),
        2 => any::<u32>().prop_map(|mask| Some(AhciLie::Done(mask))),
        1 => Just(Some(AhciLie::Fis)),
        1 => Just(Some(AhciLie::Swallow)),
        3 => any::<u8>().prop_map(|error| Some(AhciLie::Error(error))),
        2 => any::<u32>().prop_map(|causes| Some(AhciLie::Causes(causes))),
        1 => Just(Some(AhciLie::Short)),
        2 => (at, bytes).prop_map(|(at, bytes)| Some(AhciLie::Answer(at, bytes))),
        1 => Just(Some(AhciLie::Unlinked)),
        1 => Just(Some(AhciLie::Gone)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Each request ends once at most, nothing panics, and the driver touches only its own memory.
    #[test]
    fn a_lying_controller_is_survived(
        lies in prop::collection::vec(lie(), 0..120), capabilities: u32, ports: u32,
        depth in prop_oneof![Just(None), (1..33u8).prop_map(Some)],
        sizes in prop::collection::vec((0..4096u64, 1..9000usize, 0..4usize), 1..40),
        offset in 0..600usize, steps: bool, reversed: bool,
    ) {
        let memory = HostMemory::new();
        let disk = AtaDisk { queue_depth: depth, ..AtaDisk::new(4096) };
        let mut device = AhciDevice {
            capabilities: capabilities | 1 << 31,
            ports: ports | 1,
            lies: lies.into_iter().collect(),
            reversed,
            ..with_disk(disk.clone())
        };
        device.disks.insert(7, disk);
        let (registers, handle) = device.connect(memory);
        let mut buffer = vec![0; 600 + 9000];
        let mut ahci = Ahci::new(Box::new(registers), memory, &AhciConfig::default()).unwrap();
        ahci.begin();
        for _ in 0..100 {
            handle.step();
            ahci.poll(&mut |_, _, _| panic!("no request was made"));
        }
        ahci.end_search();
        let mut out = HashMap::new();
        for (token, (sector, size, kind)) in (0u64..).zip(&sizes) {
            let disk = token as usize % ahci.disks().max(1);
            let block = ahci.geometry(disk).block_size;
            let len = (size / block * block).clamp(block.min(9000), 9000);
            let at = place(&mut buffer[offset..]);
            let request = match kind {
                0 => Request::flush(),
                1 => Request::clear(Clear::Discard, *sector, (len / 512) as u64),
                // SAFETY: the memory outlives the controller, and nothing reads it meanwhile.
                2 => unsafe { Request::read(*sector, at, len) },
                // SAFETY: as above.
                _ => unsafe { Request::write(*sector, at, len) },
            };
            if ahci.submit(disk, request, token).is_ok() {
                out.insert(token, ());
            }
            ahci.kick();
            if !steps || token % 5 == 0 {
                handle.step();
                ahci.poll(&mut |_, token, _| assert!(out.remove(&token).is_some()));
                let _ = ahci.enable_interrupts();
            }
        }
        for _ in 0..400 {
            handle.step();
            ahci.poll(&mut |_, token, _| assert!(out.remove(&token).is_some()));
        }
        prop_assert_eq!(ahci.unfinished(), out.len());
        drop(ahci);
        prop_assert_eq!(memory.allocated(), 0);
    }
}
