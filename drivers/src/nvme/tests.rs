use std::boxed::Box;
use std::ptr::NonNull;
use std::vec;
use std::vec::Vec;

use super::{Nvme, NvmeConfig};
use crate::Error;
use crate::disk::{Clear, Controller, DiskError, Request, SECTOR, Slice};
use crate::fake::{FakeNamespace, HostMemory, NvmeDevice, NvmeHandle, NvmeLie};

mod errors;
mod hostile;
mod pci;
mod start;

/// Polls until the controller is ready.
fn ready(nvme: &mut Nvme) {
    nvme.begin();
    for _ in 0..1000 {
        if nvme.is_ready() {
            return;
        }
        nvme.poll(&mut |_, _, _| panic!("no request was made"));
    }
    panic!("the controller never gets ready");
}

fn start_with(device: NvmeDevice, config: &NvmeConfig) -> (Nvme, NvmeHandle, &'static HostMemory) {
    let memory = HostMemory::new();
    let (registers, handle) = device.connect(memory);
    let mut nvme = Nvme::new(Box::new(registers), memory, config).unwrap();
    ready(&mut nvme);
    assert!(nvme.is_running());
    (nvme, handle, memory)
}

fn start(device: NvmeDevice) -> (Nvme, NvmeHandle) {
    let (nvme, handle, _) = start_with(device, &NvmeConfig::default());
    (nvme, handle)
}

fn place(bytes: &mut [u8]) -> NonNull<u8> {
    NonNull::new(bytes.as_mut_ptr()).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 512) as u8).collect()
}

/// Runs until the one request has ended.
fn wait(nvme: &mut Nvme, disk: usize) -> Result<(), DiskError> {
    let mut result = None;
    for _ in 0..10_000 {
        nvme.poll(&mut |from, token, ended| {
            assert_eq!((from, token), (disk, 77));
            assert!(result.replace(ended).is_none(), "ended twice");
        });
        if let Some(result) = result {
            return result;
        }
    }
    panic!("the request never ends");
}

fn run(nvme: &mut Nvme, disk: usize, request: Request) -> Result<(), DiskError> {
    nvme.submit(disk, request, 77)?;
    wait(nvme, disk)
}

fn read(nvme: &mut Nvme, disk: usize, sector: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::read(sector, place(bytes), bytes.len()) };
    run(nvme, disk, request)
}

fn write(nvme: &mut Nvme, disk: usize, sector: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::write(sector, place(bytes), bytes.len()) };
    run(nvme, disk, request)
}

fn device() -> NvmeDevice {
    NvmeDevice::new(4096)
}

fn blocks_of(block_size: usize) -> NvmeDevice {
    NvmeDevice {
        namespaces: vec![FakeNamespace::new(1, (4096 * 512) / block_size, block_size)],
        ..device()
    }
}

/// All variants of a controller.
fn devices() -> Vec<NvmeDevice> {
    let capable = |change: &dyn Fn(u64) -> u64| NvmeDevice {
        capabilities: change(device().capabilities),
        ..device()
    };
    vec![
        device(),
        // As AWS's were for long: no list of namespaces.
        NvmeDevice {
            version: 0x1_00_00,
            command_set: None,
            ..device()
        },
        NvmeDevice {
            version: 0x2_00_00,
            reversed: true,
            ..device()
        },
        NvmeDevice {
            max_transfer: 0,
            ..device()
        },
        NvmeDevice {
            max_transfer: 1,
            command_set: None,
            ..device()
        },
        NvmeDevice {
            cache: 0,
            optional: 0,
            ..device()
        },
        // Doorbells a page apart, and queues of two entries.
        capable(&|capabilities| capabilities | 10 << 32),
        capable(&|capabilities| capabilities & !0xffff | 1),
        capable(&|capabilities| capabilities | 0xffff),
        blocks_of(4096),
        blocks_of(1024),
    ]
}

#[test]
fn every_kind_of_controller_keeps_what_is_written() {
    for (which, device) in devices().into_iter().enumerate() {
        let flushes = usize::from(device.cache & 1);
        let (mut nvme, handle) = start(device);
        let block = nvme.geometry(0).block_size;
        let mut memory = pattern(600 * 1024);
        let aligned = memory.as_ptr().align_offset(4096);
        // Aligned to blocks and not, short and long.
        let cases = [
            (0, 0, 1),
            (5, 1, 2),
            (7, 4095, 16),
            (100, 513, 96),
            (3, 512, 125),
        ];
        for (first, offset, count) in cases {
            let len = count * block.min(4096);
            let len = len.next_multiple_of(block);
            let (sector, start) = ((first * block / SECTOR) as u64, first * block);
            let bytes = &mut memory[aligned + offset..][..len];
            write(&mut nvme, 0, sector, bytes).unwrap();
            handle.with(|device| {
                assert!(device.namespaces[0].data[start..start + len] == *bytes);
            });
            let mut back = vec![0; len + 4096];
            let skew = back.as_ptr().align_offset(2048) + offset % 2;
            read(&mut nvme, 0, sector, &mut back[skew..][..len]).unwrap();
            assert!(
                back[skew..][..len] == *bytes,
                "controller {which}, {len} bytes at {first}"
            );
        }
        run(&mut nvme, 0, Request::flush()).unwrap();
        assert_eq!(handle.with(|device| device.done.1), flushes);
        assert_eq!(nvme.geometry(0).can_flush, flushes > 0);
        assert_eq!(nvme.geometry(0).sectors, 4096);
    }
}

#[test]
fn commands_are_as_large_as_the_controller_takes() {
    // The limit, where the memory begins in a page, commands, and the bytes and pages of the
    // largest. No command is in more than 128 pages.
    let cases = [
        (0, 0, 2, 512 << 10, 128),
        (7, 0, 2, 512 << 10, 128),
        (7, SECTOR, 3, 512 << 10, 128),
        (3, SECTOR, 32, 32 << 10, 9),
        (1, 0, 128, 8 << 10, 2),
    ];
    for (max_transfer, offset, commands, bytes, entries) in cases {
        let device = NvmeDevice {
            max_transfer,
            ..device()
        };
        let (mut nvme, handle) = start(device);
        let mut memory = pattern((1 << 20) + 2 * 4096);
        let skew = memory.as_ptr().align_offset(4096) + offset;
        write(&mut nvme, 0, 0, &mut memory[skew..][..1 << 20]).unwrap();
        handle.with(|device| {
            assert_eq!((device.done.0, device.most_bytes), (commands, bytes));
            assert_eq!(device.most_entries, entries);
            assert!(device.namespaces[0].data[..1 << 20] == memory[skew..][..1 << 20]);
        });
    }
}

#[test]
fn unaligned_data_passes_through_bounce_memory() {
    let (mut nvme, handle, memory) = start_with(device(), &NvmeConfig::default());
    let before = memory.allocated();
    let mut bytes = pattern((64 << 10) + SECTOR + 1);
    let skew = bytes.as_ptr().align_offset(SECTOR) + 1;
    write(&mut nvme, 0, 0, &mut bytes[skew..][..64 << 10]).unwrap();
    assert_eq!(memory.allocated() - before, 128 << 10);
    handle.with(|device| {
        assert_eq!((device.done.0, device.most_entries), (1, 16));
        assert!(device.namespaces[0].data[..65536] == bytes[skew..][..65536]);
    });
}

#[test]
fn unaligned_data_without_memory_to_copy_it_is_an_error() {
    let config = NvmeConfig {
        bounce_buffers: 0,
        ..NvmeConfig::default()
    };
    let (mut nvme, handle, _) = start_with(device(), &config);
    let mut bytes = pattern(8192);
    // At a dword, which the controller can access, and not.
    let skew = bytes.as_ptr().align_offset(SECTOR);
    write(&mut nvme, 0, 0, &mut bytes[skew + 4..][..1024]).unwrap();
    let odd = &mut bytes[skew + 2..][..1024];
    assert_eq!(write(&mut nvme, 0, 0, odd), Err(DiskError::NoMemory));
    handle.with(|device| {
        assert!(device.namespaces[0].data[..1024] == bytes[skew + 4..][..1024]);
    });
}

#[test]
fn slices_are_one_command_where_pages_allow_it() {
    let (mut nvme, handle) = start(device());
    let mut memory = pattern(1 << 20);
    let aligned = memory.as_ptr().align_offset(4096);
    let mut slice = |at: usize, len| Slice {
        start: place(&mut memory[aligned + at..]),
        len,
    };
    // The first begins inside a page, the last ends inside one.
    let slices = [
        slice(0x1e00, 0x200),
        slice(0x9000, 0x2000),
        slice(0x4000, 0x1000),
        slice(0x6000, 0x600),
    ];
    let mut expected = Vec::new();
    for (at, len) in [
        (0x1e00, 0x200),
        (0x9000, 0x2000),
        (0x4000, 0x1000),
        (0x6000, 0x600),
    ] {
        expected.extend_from_slice(&memory[aligned + at..][..len]);
    }
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::gather(9, NonNull::from(&slices[..])) };
    run(&mut nvme, 0, request).unwrap();
    handle.with(|device| {
        assert_eq!((device.done.0, device.most_entries), (1, 5));
        assert!(device.namespaces[0].data[9 * SECTOR..][..expected.len()] == expected);
    });
    memory.fill(0);
    // SAFETY: as above.
    let request = unsafe { Request::scatter(9, NonNull::from(&slices[..])) };
    run(&mut nvme, 0, request).unwrap();
    assert!(memory[aligned + 0x4000..][..0x1000] == expected[0x2200..0x3200]);
    // Whatever doesn't end at a page ends a command.
    let mut slice = |at: usize, len| Slice {
        start: place(&mut memory[aligned + at..]),
        len,
    };
    let slices = [slice(0x0000, 0x400), slice(0x2000, 0x400)];
    // SAFETY: as above.
    let request = unsafe { Request::scatter(9, NonNull::from(&slices[..])) };
    run(&mut nvme, 0, request).unwrap();
    assert!(memory[aligned..][..0x400] == expected[..0x400]);
    assert!(memory[aligned + 0x2000..][..0x400] == expected[0x400..0x800]);
}

#[test]
fn many_requests_are_in_flight_by_one_doorbell() {
    let stuck = NvmeDevice {
        stuck: true,
        ..device()
    };
    let (mut nvme, handle) = start(stuck);
    assert_eq!(handle.sizes(), (128, 256));
    let mut buffers: Vec<Vec<u8>> = (0..200).map(|_| vec![0; 2 * SECTOR]).collect();
    handle.with(|device| {
        for sector in 0..200 {
            device.namespaces[0].data[sector * SECTOR] = sector as u8;
        }
    });
    let aligned = |buffer: &[u8]| buffer.as_ptr().align_offset(SECTOR);
    for (sector, buffer) in (0u64..).zip(&mut buffers) {
        let skew = aligned(buffer);
        // SAFETY: the buffers live until all requests have completed, and are read only then.
        let request = unsafe { Request::read(sector, place(&mut buffer[skew..]), SECTOR) };
        nvme.submit(0, request, sector).unwrap();
    }
    assert_eq!(handle.doorbells(), (0, 0));
    nvme.kick();
    assert_eq!((handle.held(), handle.doorbells()), (127, (1, 0)));
    assert_eq!(nvme.poll(&mut |_, _, _| ()), 0);
    handle.with(|device| device.stuck = false);
    handle.step();
    assert!(nvme.has_pending());
    let mut ended = Vec::new();
    for _ in 0..3 {
        nvme.poll(&mut |_, token, result| {
            result.unwrap();
            ended.push(token);
        });
    }
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..200));
    for (sector, buffer) in buffers.iter().enumerate() {
        assert_eq!(buffer[aligned(buffer)], sector as u8);
    }
    assert_eq!((nvme.unfinished(), nvme.has_pending()), (0, false));
    // The completions' doorbell is rung when there is need, and before a wait.
    assert_eq!(handle.doorbells(), (2, 1));
    nvme.submit(0, Request::flush(), 1).unwrap();
    nvme.kick();
    assert_eq!(nvme.poll(&mut |_, _, _| ()), 1);
    assert_eq!(handle.doorbells(), (3, 1));
    for _ in 0..2 {
        assert!(!nvme.enable_interrupts());
        assert_eq!(handle.doorbells(), (3, 2));
    }
}

#[test]
fn the_controller_is_notified_of_a_part_while_the_next_is_prepared() {
    let mut bytes = pattern((1 << 20) + 4096);
    let skew = bytes.as_ptr().align_offset(4096);
    for (len, rung) in [(SECTOR, 0), (1 << 20, 1)] {
        let stuck = NvmeDevice {
            stuck: true,
            ..device()
        };
        let (mut nvme, handle) = start(stuck);
        // SAFETY: the memory outlives the controller.
        let request = unsafe { Request::read(0, place(&mut bytes[skew..]), len) };
        nvme.submit(0, request, 1).unwrap();
        assert_eq!(handle.doorbells().0, rung, "{len} bytes");
        nvme.kick();
        assert_eq!(nvme.queue_counters().kicks, handle.doorbells().0 as u64);
        assert_eq!(nvme.unfinished(), 1);
    }
}

#[test]
fn queues_wrap_around_for_long() {
    let small = NvmeDevice {
        capabilities: device().capabilities & !0xffff | 4,
        ..device()
    };
    let (mut nvme, handle) = start(small);
    assert_eq!(handle.sizes(), (5, 5));
    let mut bytes = pattern(64 * SECTOR);
    let skew = bytes.as_ptr().align_offset(SECTOR);
    for round in 0..50u64 {
        for token in 0..7 {
            let piece = place(&mut bytes[skew + token * SECTOR..]);
            // SAFETY: the memory outlives the requests.
            let request = unsafe { Request::write(token as u64, piece, SECTOR) };
            nvme.submit(0, request, token as u64).unwrap();
        }
        let mut ended = 0;
        while ended < 7 {
            handle.with(|device| device.reversed = round % 2 == 0);
            ended += nvme.poll(&mut |_, _, result| result.unwrap());
        }
    }
    assert_eq!(handle.with(|device| device.done.0), 350);
}

#[test]
fn too_many_requests_are_refused_until_some_end() {
    let config = NvmeConfig {
        requests: 2,
        ..NvmeConfig::default()
    };
    let stuck = NvmeDevice {
        stuck: true,
        ..device()
    };
    let (mut nvme, handle, _) = start_with(stuck, &config);
    nvme.submit(0, Request::flush(), 1).unwrap();
    nvme.submit(0, Request::flush(), 2).unwrap();
    assert_eq!(nvme.submit(0, Request::flush(), 3), Err(DiskError::Busy));
    handle.with(|device| device.stuck = false);
    nvme.kick();
    assert_eq!(nvme.poll(&mut |_, _, _| ()), 2);
    nvme.submit(0, Request::flush(), 3).unwrap();
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let (mut nvme, _) = start(blocks_of(4096));
    assert_eq!(nvme.geometry(0).block_size, 4096);
    let mut bytes = vec![0; 8192];
    let refused = [
        (0, 512, DiskError::Misaligned),
        (1, 4096, DiskError::Misaligned),
        (0, 0, DiskError::Misaligned),
        (4088, 8192, DiskError::OutOfRange),
        (u64::MAX - 7, 8192, DiskError::OutOfRange),
    ];
    for (sector, len, error) in refused {
        let result = read(&mut nvme, 0, sector, &mut bytes[..len]);
        assert_eq!(result, Err(error), "{len} bytes at {sector}");
    }
    read(&mut nvme, 0, 4080, &mut bytes).unwrap();
    let result = read(&mut nvme, 1, 0, &mut bytes);
    assert_eq!(result, Err(DiskError::OutOfRange), "no such disk");
    assert_eq!((nvme.serial(1), nvme.geometry(1).sectors), (None, 0));
    nvme.refresh(1).unwrap();
    // SAFETY: refused before it is used.
    let no_memory = unsafe { Request::read(0, NonNull::new(8 as *mut u8).unwrap(), 4096) };
    assert_eq!(run(&mut nvme, 0, no_memory), Err(DiskError::BadBuffer));
    let mut read_only = device();
    read_only.namespaces[0].read_only = true;
    let (mut nvme, _) = start(read_only);
    let result = write(&mut nvme, 0, 0, &mut bytes[..512]);
    assert_eq!(result, Err(DiskError::ReadOnly));
    read(&mut nvme, 0, 0, &mut bytes[..512]).unwrap();
}

#[test]
fn an_error_of_a_part_is_the_request_s_and_no_other_s() {
    let mut bad = device();
    bad.namespaces[0].bad.insert(600);
    let (mut nvme, handle) = start(bad);
    let mut bytes = vec![0; 1 << 20];
    assert_eq!(read(&mut nvme, 0, 0, &mut bytes), Err(DiskError::Io));
    read(&mut nvme, 0, 601, &mut bytes).unwrap();
    assert!(nvme.is_running());
    // Became write protected after the start.
    handle.with(|device| device.namespaces[0].read_only = true);
    let result = write(&mut nvme, 0, 0, &mut bytes[..512]);
    assert_eq!(result, Err(DiskError::ReadOnly));
}

fn clear(nvme: &mut Nvme, how: Clear, sector: u64, count: u64) -> Result<(), DiskError> {
    run(nvme, 0, Request::clear(how, sector, count))
}

#[test]
fn clearing_keeps_to_the_controller_s_limits() {
    let mut limited = NvmeDevice {
        command_set: Some((3, 70)),
        max_zeroes: 64,
        ..device()
    };
    limited.namespaces[0].discard_alignment = 16;
    let (mut nvme, handle) = start(limited);
    let geometry = nvme.geometry(0);
    assert!(geometry.can_discard && geometry.can_write_zeroes);
    let cleared = |handle: &NvmeHandle| handle.with(|device| core::mem::take(&mut device.cleared));
    clear(&mut nvme, Clear::Discard, 3, 200).unwrap();
    // Split at multiples of the alignment.
    assert_eq!(
        cleared(&handle),
        [
            (9, 1, 3, 61, 0),
            (9, 1, 64, 64, 0),
            (9, 1, 128, 64, 0),
            (9, 1, 192, 11, 0)
        ]
    );
    clear(&mut nvme, Clear::Zeroes { unmap: true }, 8, 100).unwrap();
    clear(&mut nvme, Clear::Zeroes { unmap: false }, 0, 1).unwrap();
    assert_eq!(
        cleared(&handle),
        [
            (8, 1, 8, 64, 1 << 25),
            (8, 1, 72, 36, 1 << 25),
            (8, 1, 0, 1, 0)
        ]
    );
    handle.with(|device| {
        let zeroed = &device.namespaces[0].data[8 * SECTOR..108 * SECTOR];
        assert!(zeroed.iter().all(|byte| *byte == 0));
    });
    let refused = [
        (4000, 97, DiskError::OutOfRange),
        (1, u64::MAX, DiskError::OutOfRange),
        (0, 0, DiskError::Misaligned),
    ];
    for (sector, count, error) in refused {
        assert_eq!(clear(&mut nvme, Clear::Discard, sector, count), Err(error));
    }
}

#[test]
fn zeros_without_a_limit_of_their_own_keep_to_that_of_data() {
    let device = NvmeDevice {
        command_set: None,
        max_transfer: 2,
        ..blocks_of(4096)
    };
    let (mut nvme, handle) = start(device);
    clear(&mut nvme, Clear::Zeroes { unmap: false }, 8, 48).unwrap();
    clear(&mut nvme, Clear::Discard, 0, 4096).unwrap();
    handle.with(|device| {
        assert_eq!(
            device.cleared,
            [(8, 1, 1, 4, 0), (8, 1, 5, 2, 0), (9, 1, 0, 512, 0)]
        );
    });
}

#[test]
fn zeros_are_deallocated_only_where_they_then_read_as_zeros() {
    for deallocated in [0, 1, 0b1000, 0b1010] {
        let mut device = device();
        device.namespaces[0].deallocated = deallocated;
        let (mut nvme, handle) = start(device);
        clear(&mut nvme, Clear::Zeroes { unmap: true }, 8, 8).unwrap();
        handle.with(|device| assert_eq!(device.cleared, [(8, 1, 8, 8, 0)]));
    }
}

#[test]
fn what_is_not_offered_is_unsupported() {
    let without = NvmeDevice {
        optional: 0,
        ..device()
    };
    let (mut nvme, handle) = start(without);
    let geometry = nvme.geometry(0);
    assert!(!geometry.can_discard && !geometry.can_write_zeroes);
    for how in [Clear::Discard, Clear::Zeroes { unmap: true }] {
        assert_eq!(clear(&mut nvme, how, 0, 8), Err(DiskError::Unsupported));
    }
    handle.with(|device| assert_eq!(device.cleared, []));
}

#[test]
fn a_disk_that_is_resized_has_its_new_size_once_the_controller_has_answered() {
    let (mut nvme, handle) = start(device());
    let mut bytes = vec![0; 512];
    handle.with(|device| device.namespaces[0].data.truncate(64 * SECTOR));
    // Not noticed yet: the controller's own error.
    assert_eq!(read(&mut nvme, 0, 100, &mut bytes), Err(DiskError::Io));
    handle.with(|device| device.stuck_admin = true);
    nvme.refresh(0).unwrap();
    nvme.poll(&mut |_, _, _| ());
    assert_eq!(nvme.geometry(0).sectors, 4096);
    // Once more while it is being asked.
    handle.with(|device| device.namespaces[0].data.truncate(32 * SECTOR));
    nvme.refresh(0).unwrap();
    handle.with(|device| device.stuck_admin = false);
    handle.step();
    assert!(nvme.has_pending());
    for _ in 0..3 {
        nvme.poll(&mut |_, _, _| ());
    }
    assert_eq!(nvme.geometry(0).sectors, 32);
    let result = read(&mut nvme, 0, 32, &mut bytes);
    assert_eq!(result, Err(DiskError::OutOfRange));
    read(&mut nvme, 0, 31, &mut bytes).unwrap();
    // Once more when the answer is there, which is of before.
    for sectors in [24, 16] {
        handle.with(|device| device.namespaces[0].data.truncate(sectors * SECTOR));
        nvme.refresh(0).unwrap();
        assert_eq!(nvme.geometry(0).sectors, 32, "not taken");
    }
    for _ in 0..3 {
        nvme.poll(&mut |_, _, _| ());
    }
    assert_eq!(nvme.geometry(0).sectors, 16);
    // Another block size isn't the same disk, and no namespace has no sectors.
    for change in [
        |space: &mut FakeNamespace| space.block_size = 1024,
        |space: &mut FakeNamespace| {
            space.number = 0;
        },
    ] {
        let (mut nvme, handle) = start(device());
        handle.with(|device| change(&mut device.namespaces[0]));
        nvme.refresh(0).unwrap();
        nvme.poll(&mut |_, _, _| ());
        assert_eq!(nvme.geometry(0).sectors, 0);
    }
}

#[test]
fn a_disk_is_asked_for_its_size_once_for_each_change() {
    let (mut nvme, handle) = start(device());
    let asked = |handle: &NvmeHandle| handle.with(|device| device.admin.len());
    for (round, sectors) in [(1, 64), (2, 32), (3, 16)] {
        let before = asked(&handle);
        handle.with(|device| device.namespaces[0].data.truncate(sectors * SECTOR));
        nvme.refresh(0).unwrap();
        for _ in 0..5 {
            nvme.poll(&mut |_, _, _| ());
        }
        assert_eq!(nvme.geometry(0).sectors, sectors as u64, "change {round}");
        assert_eq!(asked(&handle) - before, 1, "change {round}");
    }
}

#[test]
fn room_for_fewer_commands_than_disks_goes_to_each_in_turn() {
    let mut three = NvmeDevice {
        stuck: true,
        capabilities: device().capabilities & !0xffff | 2,
        ..device()
    };
    for number in 2..4 {
        three.namespaces.push(FakeNamespace::new(number, 64, 512));
    }
    let (mut nvme, handle) = start(three);
    for disk in 0..3 {
        for token in 0..100 {
            nvme.submit(disk, Request::flush(), token).unwrap();
        }
    }
    nvme.kick();
    handle.with(|device| device.stuck = false);
    let mut ended = [0; 3];
    while ended.iter().sum::<usize>() < 60 {
        handle.step();
        nvme.poll(&mut |disk, _, _| ended[disk] += 1);
    }
    assert!(ended.iter().all(|count| *count >= 10), "{ended:?}");
}

#[test]
fn a_disk_that_is_busy_does_not_keep_the_others_waiting_for_good() {
    let mut two = NvmeDevice {
        stuck: true,
        capabilities: device().capabilities & !0xffff | 4,
        ..device()
    };
    two.namespaces.push(FakeNamespace::new(2, 64, 512));
    let (mut nvme, handle) = start(two);
    for token in 0..200 {
        nvme.submit(0, Request::flush(), token).unwrap();
    }
    nvme.submit(1, Request::flush(), 7).unwrap();
    nvme.kick();
    handle.with(|device| device.stuck = false);
    let mut before = 0;
    let mut is_done = false;
    while !is_done && before < 200 {
        handle.step();
        nvme.poll(&mut |disk, _, _| match disk {
            0 => before += 1,
            _ => is_done = true,
        });
    }
    assert!(before < 20, "{before} requests of the other disk first");
}

#[test]
fn a_disk_that_answers_nothing_has_its_share_of_the_queue() {
    // The controller's entries, what the first of three disks gets of them, and each other one.
    for (entries, first, other) in [(128, 111, 8), (13, 4, 4), (3, 1, 1)] {
        let mut three = NvmeDevice {
            stuck: true,
            capabilities: device().capabilities & !0xffff | (entries - 1),
            ..device()
        };
        for number in 2..4 {
            three.namespaces.push(FakeNamespace::new(number, 64, 512));
        }
        let (mut nvme, handle) = start(three);
        let mut expected = 0;
        for (disk, count) in [(0, first), (1, other), (2, other)] {
            for token in 0..200 {
                nvme.submit(disk, Request::flush(), token).unwrap();
            }
            nvme.kick();
            expected = (expected + count).min(entries as usize - 1);
            assert_eq!(handle.held(), expected, "{entries} entries, disk {disk}");
        }
        handle.with(|device| device.stuck = false);
        let mut ended = 0;
        while ended < 600 {
            handle.step();
            ended += nvme.poll(&mut |_, _, result| result.unwrap());
        }
    }
}

#[test]
fn a_waiting_driver_is_interrupted() {
    let stuck = NvmeDevice {
        stuck: true,
        ..device()
    };
    let (mut nvme, handle) = start(stuck);
    let before = handle.interrupts();
    nvme.submit(0, Request::flush(), 1).unwrap();
    assert!(!nvme.enable_interrupts());
    handle.with(|device| device.stuck = false);
    handle.step();
    assert_eq!(handle.interrupts() - before, 1);
    assert!(nvme.enable_interrupts());
    assert_eq!(nvme.poll(&mut |_, _, _| ()), 1);
}
