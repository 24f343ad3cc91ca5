//! Errors of commands, which are those of the right requests, and removals.

use super::*;

/// Submits reads of the sectors 0 to 39 and of none else, and returns how each ended.
fn ends(ahci: &mut Ahci, handle: &AhciHandle) -> Vec<Option<Result<(), DiskError>>> {
    let bytes = Vec::leak(vec![0; 41 * SECTOR]);
    let skew = bytes.as_ptr().align_offset(SECTOR);
    let pieces = bytes[skew..].chunks_exact_mut(SECTOR).take(40);
    for (token, piece) in (0u64..).zip(pieces) {
        // SAFETY: the memory stays.
        let request = unsafe { Request::read(token, place(piece), SECTOR) };
        ahci.submit(0, request, token).unwrap();
    }
    ahci.kick();
    let mut ends = vec![None; 40];
    for _ in 0..4000 {
        handle.step();
        ahci.poll(&mut |_, token, result| {
            let end: &mut Option<_> = &mut ends[token as usize];
            assert!(end.replace(result).is_none(), "ended twice");
        });
    }
    ends
}

#[test]
fn an_error_is_that_of_its_request_and_of_no_other() {
    for queue_depth in [Some(32), Some(3), None] {
        for reversed in [false, true] {
            let disk = AtaDisk {
                queue_depth,
                bad: [7, 8, 21, 39].into(),
                ..AtaDisk::new(4096)
            };
            let device = AhciDevice {
                reversed,
                ..with_disk(disk)
            };
            let (mut ahci, handle) = start(device);
            for (token, end) in ends(&mut ahci, &handle).into_iter().enumerate() {
                let expected = match token {
                    7 | 8 | 21 | 39 => Err(DiskError::Medium),
                    _ => Ok(()),
                };
                assert_eq!(end, Some(expected), "{token}, {queue_depth:?}");
            }
            assert!(ahci.unfinished() == 0 && !ahci.has_pending());
            let resets = handle.with(|device| device.disks[&0].resets);
            assert!((5..=10).contains(&resets), "{resets} resets");
        }
    }
}

/// An error that isn't the device's is repeated a few times.
#[test]
fn errors_of_the_link_are_repeated() {
    const INTERFACE_CRC: u8 = 1 << 7 | 1 << 2;
    for (times, expected) in [(1, Ok(())), (3, Ok(())), (4, Err(DiskError::Io))] {
        let (mut ahci, handle) = start(AhciDevice::new(64));
        handle.with(|device| {
            // An IDENTIFY DEVICE follows each of them.
            let lies = [Some(AhciLie::Error(INTERFACE_CRC)), None];
            device.lies.extend((0..times).flat_map(|_| lies.clone()));
        });
        let mut bytes = vec![0; 512];
        assert_eq!(read(&mut ahci, 0, 0, &mut bytes), expected, "{times} times");
        read(&mut ahci, 0, 0, &mut bytes).unwrap();
    }
}

#[test]
fn the_error_register_names_the_error() {
    let cases = [
        (0x04, DiskError::Io),
        (0x10, DiskError::OutOfRange),
        (0x40, DiskError::Medium),
        (0x00, DiskError::Io),
    ];
    for (error, expected) in cases {
        let (mut ahci, handle) = start(AhciDevice::new(64));
        handle.with(|device| {
            let lie = Some(AhciLie::Error(error));
            device.lies.extend([lie.clone(), None, lie]);
        });
        let result = read(&mut ahci, 0, 0, &mut [0; 512]);
        assert_eq!(result, Err(expected), "{error:#x}");
    }
    // A TRIM that the disk refuses.
    let (mut ahci, handle) = start(AhciDevice::new(64));
    handle.with(|device| device.disks.get_mut(&0).unwrap().trim = false);
    let discard = Request::clear(Clear::Discard, 0, 8);
    let result = run(&mut ahci, 0, discard);
    assert!(
        matches!(result, Err(DiskError::Unsupported | DiskError::Removed)),
        "{result:?}"
    );
}

#[test]
fn fewer_bytes_than_asked_for_are_an_error() {
    let disk = AtaDisk {
        queue_depth: None,
        ..AtaDisk::new(64)
    };
    let (mut ahci, handle) = start(with_disk(disk));
    handle.with(|device| device.lies.push_back(Some(AhciLie::Short)));
    assert_eq!(read(&mut ahci, 0, 0, &mut [0; 512]), Err(DiskError::Io));
    read(&mut ahci, 0, 0, &mut [0; 512]).unwrap();
}

/// A controller with two disks, the first with requests in flight and waiting.
fn busy() -> (Ahci, AhciHandle, &'static HostMemory) {
    let mut device = AhciDevice::new(4096);
    device.disks.insert(4, AtaDisk::new(64));
    let (mut ahci, handle, memory) = start_with(device);
    handle.with(|device| device.disks.get_mut(&0).unwrap().stuck = true);
    let bytes = Vec::leak(vec![0; 512]);
    for token in 0..100 {
        // SAFETY: the memory stays.
        let request = unsafe { Request::read(token, place(bytes), 512) };
        ahci.submit(0, request, token).unwrap();
    }
    ahci.kick();
    assert_eq!(ahci.poll(&mut |_, _, _| ()), 0);
    (ahci, handle, memory)
}

fn check_end(ahci: &mut Ahci, error: DiskError) {
    let mut ended = Vec::new();
    for _ in 0..200 {
        ahci.poll(&mut |disk, token, result| {
            assert_eq!((disk, result), (0, Err(error)));
            ended.push(token);
        });
    }
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..100), "each ends once");
    assert_eq!(run(ahci, 0, Request::flush()), Err(error));
    assert!(!ahci.has_pending() && !ahci.enable_interrupts());
}

#[test]
fn a_removal_ends_all_requests_of_the_disk() {
    let (mut ahci, handle, memory) = busy();
    assert!(!ahci.enable_interrupts());
    let before = handle.interrupts();
    handle.connect(0, false);
    assert_eq!(handle.interrupts() - before, 1);
    check_end(&mut ahci, DiskError::Removed);
    read(&mut ahci, 1, 0, &mut [0; 512]).unwrap();
    // It may be another disk.
    handle.connect(0, true);
    assert_eq!(run(&mut ahci, 0, Request::flush()), Err(DiskError::Removed));
    assert_eq!(ahci.disks(), 2);
    drop(ahci);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn a_controller_that_is_removed_ends_all_requests() {
    let (mut ahci, handle, memory) = busy();
    handle.with(|device| device.gone = true);
    check_end(&mut ahci, DiskError::Removed);
    drop(ahci);
    assert_eq!(memory.allocated(), 0);
}

/// A link that was lost for a moment may have another disk behind it.
#[test]
fn a_link_that_comes_back_has_the_same_disk_or_none() {
    for is_same in [true, false] {
        let (mut ahci, handle, _) = busy();
        handle.connect(0, true);
        handle.with(|device| {
            let disk = device.disks.get_mut(&0).unwrap();
            disk.stuck = false;
            if !is_same {
                disk.serial[0] = b'x';
            }
        });
        if !is_same {
            check_end(&mut ahci, DiskError::Removed);
            continue;
        }
        let mut ended = 0;
        for _ in 0..2000 {
            handle.step();
            ended += ahci.poll(&mut |_, _, result| result.unwrap());
        }
        assert_eq!(ended, 100);
    }
}
