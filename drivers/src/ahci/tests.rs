use std::boxed::Box;
use std::ptr::NonNull;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Ahci, AhciConfig};
use crate::Error;
use crate::disk::{Clear, Controller, DiskError, Request, SECTOR};
use crate::fake::{AhciDevice, AhciHandle, AhciLie, AtaDisk, HostMemory};

mod errors;
mod hostile;

/// Polls until the controller is ready.
fn ready(ahci: &mut Ahci) {
    ahci.begin();
    for _ in 0..1000 {
        if ahci.is_ready() {
            return;
        }
        ahci.poll(&mut |_, _, _| panic!("no request was made"));
    }
    panic!("the controller never gets ready");
}

fn start_with(device: AhciDevice) -> (Ahci, AhciHandle, &'static HostMemory) {
    let memory = HostMemory::new();
    let (registers, handle) = device.connect(memory);
    let mut ahci = Ahci::new(Box::new(registers), memory, &AhciConfig::default()).unwrap();
    ready(&mut ahci);
    (ahci, handle, memory)
}

fn start(device: AhciDevice) -> (Ahci, AhciHandle) {
    let (ahci, handle, _) = start_with(device);
    (ahci, handle)
}

fn with_disk(disk: AtaDisk) -> AhciDevice {
    let mut device = AhciDevice::new(0);
    device.disks.insert(0, disk);
    device
}

fn place(bytes: &mut [u8]) -> NonNull<u8> {
    NonNull::new(bytes.as_mut_ptr()).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 512) as u8).collect()
}

/// Runs one request of a disk to its end.
fn run(ahci: &mut Ahci, disk: usize, request: Request) -> Result<(), DiskError> {
    ahci.submit(disk, request, 77)?;
    ahci.kick();
    let mut result = None;
    for _ in 0..10_000 {
        ahci.poll(&mut |number, token, ended| {
            assert_eq!((number, token), (disk, 77));
            assert!(result.replace(ended).is_none(), "ended twice");
        });
        if let Some(result) = result {
            return result;
        }
    }
    panic!("the request never ends");
}

fn read(ahci: &mut Ahci, disk: usize, sector: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::read(sector, place(bytes), bytes.len()) };
    run(ahci, disk, request)
}

fn write(ahci: &mut Ahci, disk: usize, sector: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::write(sector, place(bytes), bytes.len()) };
    run(ahci, disk, request)
}

/// Disks with and without queued commands, and with larger blocks.
fn disks() -> Vec<AtaDisk> {
    let large = AtaDisk {
        block_size: 4096,
        ..AtaDisk::new(4096)
    };
    let unqueued = AtaDisk {
        queue_depth: None,
        ..AtaDisk::new(4096)
    };
    let shallow = AtaDisk {
        queue_depth: Some(1),
        physical: 3,
        ..AtaDisk::new(4096)
    };
    vec![AtaDisk::new(4096), large, unqueued, shallow]
}

#[test]
fn every_kind_of_disk_keeps_what_is_written() {
    for disk in disks() {
        let (mut ahci, handle) = start(with_disk(disk));
        let block = ahci.geometry(0).block_size;
        let mut memory = pattern(700 * 1024);
        let aligned = memory.as_ptr().align_offset(block);
        // Aligned to blocks and not, short and long.
        for (first, offset, blocks) in [(0, 0, 1), (5, 1, 2), (7, 4095, 16), (9, block, 128)] {
            let (sector, len) = ((first * block / SECTOR) as u64, blocks * block);
            let bytes = &mut memory[aligned + offset..][..len];
            write(&mut ahci, 0, sector, bytes).unwrap();
            handle.with(|device| {
                assert!(device.disks[&0].data[first * block..][..len] == *bytes);
            });
            let mut back = vec![0; len + block + 1];
            let skew = back.as_ptr().align_offset(block) + offset % 2;
            read(&mut ahci, 0, sector, &mut back[skew..][..len]).unwrap();
            assert!(back[skew..][..len] == *bytes, "{blocks} blocks at {first}");
        }
        run(&mut ahci, 0, Request::flush()).unwrap();
        handle.with(|device| {
            let disk = &device.disks[&0];
            assert_eq!(disk.done.2, 1);
            let is_queued = disk.queue_depth.is_some();
            assert_eq!((disk.done.0 > 0, disk.done.1 > 0), (is_queued, !is_queued));
            assert_eq!(disk.resets, 1, "that of the controller");
        });
    }
}

#[test]
fn disks_are_named_and_numbered_by_their_ports() {
    let mut device = AhciDevice::new(64);
    let optical = AtaDisk {
        signature: 0xeb14_0101,
        ..AtaDisk::new(64)
    };
    let mut other = AtaDisk::new(128);
    other.serial[..5].copy_from_slice(b"other");
    let never = AtaDisk {
        trim: false,
        cache: false,
        ..AtaDisk::new(32)
    };
    device.disks.extend([(2, optical), (3, other), (5, never)]);
    let (mut ahci, handle, memory) = start_with(device);
    assert_eq!(ahci.disks(), 3);
    let names = [0, 1, 2, 3].map(|disk| ahci.serial(disk).map(Vec::from));
    let expected: [Option<&[u8]>; 4] = [Some(b"fake"), Some(b"other"), Some(b"fake"), None];
    assert_eq!(names, expected.map(|name| name.map(Vec::from)));
    let sectors = [0, 1, 2, 3].map(|disk| ahci.geometry(disk).sectors);
    assert_eq!(sectors, [64, 128, 32, 0]);
    let flags = [1, 2].map(|disk| {
        let geometry = ahci.geometry(disk);
        (
            geometry.can_flush,
            geometry.can_discard,
            geometry.can_write_zeroes,
        )
    });
    assert_eq!(flags, [(true, true, false), (false, false, false)]);
    let mut bytes = pattern(512);
    write(&mut ahci, 1, 3, &mut bytes).unwrap();
    handle.with(|device| {
        assert_eq!(device.disks[&3].data[3 * 512..4 * 512], bytes[..]);
        assert!(device.disks[&0].data.iter().all(|byte| *byte == 0));
    });
    assert_eq!(
        run(&mut ahci, 3, Request::flush()),
        Err(DiskError::OutOfRange)
    );
    assert_eq!(handle.resets(), 1);
    drop(ahci);
    assert_eq!((handle.resets(), memory.allocated()), (2, 0));
}

#[test]
fn a_controller_without_devices_is_not_reset() {
    let mut device = AhciDevice::new(64);
    device.disks.clear();
    let (mut ahci, handle, memory) = start_with(device);
    assert_eq!(
        (ahci.disks(), handle.resets(), memory.allocated()),
        (0, 0, 0)
    );
    assert!(!ahci.has_pending() && !ahci.enable_interrupts());
    let accesses = handle.accesses();
    assert!(accesses <= 20, "{accesses} accesses");
}

#[test]
fn a_firmware_hands_the_controller_over_or_is_ignored() {
    for reads in [0, 3, usize::MAX] {
        let device = AhciDevice {
            handoff_reads: Some(reads),
            ..AhciDevice::new(64)
        };
        let (ahci, handle) = start(device);
        assert_eq!((ahci.disks(), handle.resets()), (1, 1), "{reads} reads");
    }
}

#[test]
fn controllers_that_cannot_be_driven_say_why() {
    let gone = AhciDevice {
        gone: true,
        ..AhciDevice::new(64)
    };
    let narrow = AhciDevice {
        capabilities: 0,
        ..AhciDevice::new(64)
    };
    for (device, error) in [(gone, Error::Gone), (narrow, Error::Narrow)] {
        let memory = HostMemory::new();
        let (registers, _) = device.connect(memory);
        let found = Ahci::new(Box::new(registers), memory, &AhciConfig::default());
        assert_eq!(found.err(), Some(error));
    }
    let never = AhciDevice {
        never_resets: true,
        ..AhciDevice::new(64)
    };
    let memory = HostMemory::new();
    let (registers, _) = never.connect(memory);
    let mut ahci = Ahci::new(Box::new(registers), memory, &AhciConfig::default()).unwrap();
    ahci.begin();
    for _ in 0..2000 {
        ahci.poll(&mut |_, _, _| ());
    }
    assert!(ahci.is_ready() && ahci.disks() == 0);
}

#[test]
fn many_requests_are_in_flight_and_end_in_any_order() {
    for (depth, reversed, expected) in
        [(Some(32), true, 32), (Some(8), false, 8), (None, false, 32)]
    {
        let disk = AtaDisk {
            queue_depth: depth,
            stuck: true,
            ..AtaDisk::new(4096)
        };
        let mut device = AhciDevice {
            reversed,
            ..with_disk(disk)
        };
        device.disks.get_mut(&0).unwrap().stuck = false;
        let (mut ahci, handle) = start(device);
        handle.with(|device| device.disks.get_mut(&0).unwrap().stuck = true);
        let mut buffers: Vec<Vec<u8>> = (0..100).map(|_| vec![0; SECTOR]).collect();
        for (sector, buffer) in (0u64..).zip(&mut buffers) {
            // SAFETY: the buffers live until all requests have completed.
            let request = unsafe { Request::read(sector, place(buffer), SECTOR) };
            ahci.submit(0, request, sector).unwrap();
        }
        let before = handle.accesses();
        ahci.kick();
        assert!(handle.accesses() - before <= 2, "one doorbell");
        assert_eq!(handle.held(0), expected);
        assert_eq!(ahci.poll(&mut |_, _, _| ()), 0);
        handle.with(|device| device.disks.get_mut(&0).unwrap().stuck = false);
        let mut ended = Vec::new();
        for _ in 0..20 {
            handle.step();
            ahci.poll(&mut |_, token, result| {
                result.unwrap();
                ended.push(token);
            });
        }
        ended.sort_unstable();
        assert!(ended.into_iter().eq(0..100));
        assert_eq!(ahci.unfinished(), 0);
    }
}

/// The fake asserts that no flush is beside queued commands.
#[test]
fn a_flush_waits_for_queued_commands_and_they_for_it() {
    let (mut ahci, handle) = start(AhciDevice::new(4096));
    let set_stuck = |stuck| {
        handle.with(|device| device.disks.get_mut(&0).unwrap().stuck = stuck);
    };
    set_stuck(true);
    let bytes = Vec::leak(vec![0; SECTOR]);
    for token in 0..30 {
        let request = match token % 10 {
            9 => Request::flush(),
            // SAFETY: the memory stays.
            _ => unsafe { Request::write(token, place(bytes), SECTOR) },
        };
        ahci.submit(0, request, token).unwrap();
    }
    ahci.kick();
    assert_eq!(handle.held(0), 9, "up to the flush");
    set_stuck(false);
    let mut ended = Vec::new();
    for _ in 0..30 {
        handle.step();
        ahci.poll(&mut |_, token, result| {
            result.unwrap();
            ended.push(token);
        });
    }
    assert!(ended.into_iter().eq(0..30), "in order");
}

#[test]
fn discards_are_ranges_of_the_disk_s_blocks() {
    for block in [512, 4096] {
        let disk = AtaDisk {
            block_size: block,
            ..AtaDisk::new(160_000 * block / 512)
        };
        let (mut ahci, handle) = start(with_disk(disk));
        let per_block = (block / 512) as u64;
        let request =
            |first, count| Request::clear(Clear::Discard, first * per_block, count * per_block);
        run(&mut ahci, 0, request(3, 150_000)).unwrap();
        run(&mut ahci, 0, request(1, 1)).unwrap();
        handle.with(|device| {
            let expected = [(3, 65535), (65538, 65535), (131_073, 18930), (1, 1)];
            assert_eq!(device.disks[&0].trimmed, expected);
        });
    }
    let (mut ahci, _) = start(AhciDevice::new(64));
    let zeroes = Request::clear(Clear::Zeroes { unmap: true }, 0, 8);
    assert_eq!(run(&mut ahci, 0, zeroes), Err(DiskError::Unsupported));
}

#[test]
fn a_waiting_driver_is_interrupted() {
    let (mut ahci, handle) = start(AhciDevice::new(64));
    let set_stuck = |stuck| {
        handle.with(|device| device.disks.get_mut(&0).unwrap().stuck = stuck);
    };
    for request in [Request::flush, || {
        // SAFETY: the memory stays.
        unsafe { Request::read(0, place(Vec::leak(vec![0; 512])), 512) }
    }] {
        for _ in 0..3 {
            set_stuck(true);
            ahci.submit(0, request(), 1).unwrap();
            ahci.kick();
            assert_eq!(ahci.poll(&mut |_, _, _| ()), 0);
            let before = handle.interrupts();
            assert!(!ahci.enable_interrupts());
            set_stuck(false);
            handle.step();
            assert_eq!(handle.interrupts() - before, 1);
            assert!(ahci.has_pending() && ahci.enable_interrupts());
            assert_eq!(ahci.poll(&mut |_, _, result| result.unwrap()), 1);
            assert!(!ahci.has_pending() && !ahci.enable_interrupts());
        }
    }
}

/// A controller sets the cause of an interrupt after it has written the FIS, which the driver may
/// have taken before.
#[test]
fn a_late_cause_does_not_hide_the_next_interrupt() {
    let (mut ahci, handle) = start(AhciDevice::new(64));
    let set_stuck = |stuck| {
        handle.with(|device| device.disks.get_mut(&0).unwrap().stuck = stuck);
    };
    set_stuck(true);
    // SAFETY: the memory stays.
    let request = unsafe { Request::read(0, place(Vec::leak(vec![0; 512])), 512) };
    ahci.submit(0, request, 1).unwrap();
    ahci.kick();
    handle.raise(0, 1 << 3);
    assert!(!ahci.enable_interrupts());
    let before = handle.interrupts();
    set_stuck(false);
    handle.step();
    assert_eq!(handle.interrupts() - before, 1);
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let disk = AtaDisk {
        block_size: 4096,
        ..AtaDisk::new(64)
    };
    let (mut ahci, _) = start(with_disk(disk));
    let mut bytes = vec![0; 8192];
    let refused = [
        (0, 512, DiskError::Misaligned),
        (1, 4096, DiskError::Misaligned),
        (56, 8192, DiskError::OutOfRange),
    ];
    for (sector, len, error) in refused {
        let result = read(&mut ahci, 0, sector, &mut bytes[..len]);
        assert_eq!(result, Err(error), "{len} bytes at {sector}");
    }
    read(&mut ahci, 0, 48, &mut bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Any requests on any disk: written data is stored, and read back.
    #[test]
    fn any_requests_are_carried(
        requests in prop::collection::vec((0..100u64, 1..200usize, 0..600usize), 1..12),
        which in 0..4usize, reversed: bool,
    ) {
        let device = AhciDevice { reversed, ..with_disk(disks().swap_remove(which)) };
        let (mut ahci, handle) = start(device);
        let block = ahci.geometry(0).block_size;
        let blocks = 4096 * 512 / block as u64;
        let mut model = vec![0; 4096 * 512];
        for (first, count, skew) in requests {
            let count = count.min((blocks - first) as usize).clamp(1, 300 * 1024 / block);
            let mut bytes = pattern(count * block + skew + block);
            bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(skew as u8));
            let at = first as usize * block;
            let sector = at as u64 / SECTOR as u64;
            let piece = &mut bytes[skew..][..count * block];
            write(&mut ahci, 0, sector, piece).unwrap();
            model[at..at + count * block].copy_from_slice(piece);
            piece.fill(0);
            read(&mut ahci, 0, sector, piece).unwrap();
            prop_assert!(*piece == model[at..at + count * block]);
        }
        handle.with(|device| assert!(device.disks[&0].data == model));
    }
}
