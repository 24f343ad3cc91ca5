use std::boxed::Box;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::string::String;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Blk, BlkConfig, feature};
use crate::Error;
use crate::device::feature as common;
use crate::device_type::DeviceType;
use crate::disk::{Controller, DiskError, Request, SECTOR};
use crate::fake::{Disk, Handle, HostMemory, Liar, Lie, Options, connect};

mod hostile;
mod wide;

fn start(disk: Disk, options: Options) -> (Blk, Handle<Disk>) {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, disk, options);
    (
        Blk::new(Box::new(transport), memory, &BlkConfig::default()).unwrap(),
        handle,
    )
}

fn place(bytes: &mut [u8]) -> NonNull<u8> {
    NonNull::new(bytes.as_mut_ptr()).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 512) as u8).collect()
}

/// Runs one request to completion.
fn run(blk: &mut Blk, request: Request) -> Result<(), DiskError> {
    blk.submit(request, 77)?;
    let mut result = None;
    for _ in 0..10_000 {
        blk.poll(&mut |token, ended| {
            assert_eq!(token, 77);
            assert!(result.replace(ended).is_none(), "ended twice");
        });
        if let Some(result) = result {
            return result;
        }
    }
    panic!("the request never ends");
}

fn read(blk: &mut Blk, sector: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
    // SAFETY: `run` waits for completion.
    run(blk, unsafe {
        Request::read(sector, place(bytes), bytes.len())
    })
}

fn write(blk: &mut Blk, sector: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
    // SAFETY: `run` waits for completion.
    run(blk, unsafe {
        Request::write(sector, place(bytes), bytes.len())
    })
}

/// All variants of a disk.
fn disks() -> Vec<(Disk, Options)> {
    let [modern, plain, no_indirect] = Options::modern();
    let disk = || Disk::new(4096);
    let one_segment = || Disk {
        features: 0,
        ..disk()
    };
    let small_segments = || Disk {
        features: feature::ALL & !feature::RO,
        size_max: 1536,
        ..disk()
    };
    vec![
        (disk(), modern),
        (disk(), plain),
        (disk(), no_indirect),
        (Disk { size: 4, ..disk() }, modern),
        (Disk { size: 4, ..disk() }, no_indirect),
        (
            Disk {
                size: 16,
                seg_max: 1,
                ..disk()
            },
            modern,
        ),
        (one_segment(), modern),
        (
            one_segment(),
            Options {
                features: 0,
                legacy: true,
                ..modern
            },
        ),
        (small_segments(), modern),
        (small_segments(), plain),
        (
            Disk {
                size: 4096,
                ..disk()
            },
            Options::legacy_pci(common::INDIRECT_DESC),
        ),
        (
            Disk {
                size: 1024,
                ..disk()
            },
            Options::legacy_pci(0),
        ),
    ]
}

#[test]
fn every_kind_of_disk_keeps_what_is_written() {
    for (disk, options) in disks() {
        let flushes = usize::from(disk.features & feature::FLUSH != 0);
        let (mut blk, handle) = start(disk, options);
        let mut memory = pattern(600 * 1024);
        let aligned = memory.as_ptr().align_offset(SECTOR);
        // Aligned to sectors and not, short and long.
        let cases = [
            (0, 0, 512),
            (5, 1, 1024),
            (7, 4095, 65536),
            (100, 513, 1 << 19),
            (3, 512, 1 << 19),
        ];
        for (sector, offset, len) in cases {
            let bytes = &mut memory[aligned + offset..][..len];
            write(&mut blk, sector, bytes).unwrap();
            let start = sector as usize * SECTOR;
            handle.with(|disk| assert!(disk.data[start..start + len] == *bytes));
            let mut back = vec![0; len + SECTOR];
            let skew = back.as_ptr().align_offset(SECTOR) + offset % 2;
            read(&mut blk, sector, &mut back[skew..][..len]).unwrap();
            assert!(
                back[skew..][..len] == *bytes,
                "{options:?}, {len} bytes at {sector}"
            );
        }
        run(&mut blk, Request::flush()).unwrap();
        assert_eq!(handle.with(|disk| disk.done.1), flushes);
    }
}

#[test]
fn segments_are_many_where_the_disk_takes_many() {
    let (mut blk, handle) = start(Disk::new(4096), Options::default());
    let mut bytes = pattern((1 << 20) + SECTOR);
    // Blocks of memory, so that nothing bounces.
    let skew = bytes.as_ptr().align_offset(SECTOR);
    write(&mut blk, 0, &mut bytes[skew..skew + (1 << 20)]).unwrap();
    let (requests, most) = handle.with(|disk| (disk.done.0, disk.most_segments));
    assert_eq!(most, 126);
    assert!(requests <= 3, "{requests} requests for 1 MiB");
}

#[test]
fn unaligned_data_is_given_as_it_lies_where_no_bounce_buffers_are_wanted() {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, Disk::new(4096), Options::default());
    let config = BlkConfig {
        bounce_buffers: 0,
        ..BlkConfig::default()
    };
    let mut blk = Blk::new(Box::new(transport), memory, &config).unwrap();
    let mut bytes = pattern((64 << 10) + SECTOR + 1);
    let skew = bytes.as_ptr().align_offset(SECTOR) + 1;
    let before = memory.allocated();
    write(&mut blk, 0, &mut bytes[skew..][..64 << 10]).unwrap();
    assert_eq!(memory.allocated(), before);
    handle.with(|disk| {
        assert!(disk.most_segments >= 16 && disk.data[..65536] == bytes[skew..][..65536])
    });
}

#[test]
fn unaligned_data_passes_through_one_segment_of_bounce_memory() {
    let (mut blk, handle) = start(Disk::new(4096), Options::default());
    let mut bytes = pattern((64 << 10) + SECTOR + 1);
    let skew = bytes.as_ptr().align_offset(SECTOR) + 1;
    write(&mut blk, 0, &mut bytes[skew..][..64 << 10]).unwrap();
    let (done, most) = handle.with(|disk| (disk.done.0, disk.most_segments));
    assert_eq!((done, most), (1, 1));
    handle.with(|disk| assert!(disk.data[..65536] == bytes[skew..][..65536]));
}

#[test]
fn unaligned_data_waits_while_all_bounce_memory_is_in_use() {
    let memory = HostMemory::new();
    let disk = Disk {
        stuck: true,
        ..Disk::new(4096)
    };
    let (transport, handle) = connect(memory, disk, Options::default());
    let config = BlkConfig {
        bounce_buffers: 1,
        ..BlkConfig::default()
    };
    let mut blk = Blk::new(Box::new(transport), memory, &config).unwrap();
    const LEN: usize = 128 << 10;
    let mut bytes = pattern(2 * LEN + SECTOR + 1);
    let skew = bytes.as_ptr().align_offset(SECTOR) + 1;
    for token in 0..2 {
        let piece = place(&mut bytes[skew + token * LEN..]);
        let sector = (token * LEN / SECTOR) as u64;
        // SAFETY: the memory outlives the requests.
        let request = unsafe { Request::write(sector, piece, LEN) };
        blk.submit(request, token as u64).unwrap();
    }
    blk.kick();
    assert_eq!(handle.queue(0, |q| q.waiting()), 1);
    handle.with(|disk| disk.stuck = false);
    handle.step();
    let mut ended = Vec::new();
    for _ in 0..3 {
        blk.poll(&mut |token, result| ended.push((token, result)));
    }
    assert_eq!(ended, [(0, Ok(())), (1, Ok(()))]);
    handle.with(|disk| assert!(disk.data[..2 * LEN] == bytes[skew..][..2 * LEN]));
}

#[test]
fn the_disk_is_notified_of_a_part_while_the_next_is_prepared() {
    let stuck = || Disk {
        stuck: true,
        ..Disk::new(4096)
    };
    let mut bytes = pattern((1 << 20) + SECTOR);
    let skew = bytes.as_ptr().align_offset(SECTOR);
    for (len, rung) in [(SECTOR, 0), (1 << 20, 1)] {
        let (mut blk, handle) = start(stuck(), Options::default());
        // SAFETY: the memory outlives the disk.
        let request = unsafe { Request::read(0, place(&mut bytes[skew..]), len) };
        blk.submit(request, 1).unwrap();
        assert_eq!(handle.queue(0, |q| q.notifications), rung, "{len} bytes");
        blk.kick();
        assert_eq!(handle.queue(0, |q| q.notifications), 1);
        assert_eq!((blk.queue_counters().kicks, blk.unfinished()), (1, 1));
    }
}

#[test]
fn many_requests_are_in_flight_and_end_in_any_order() {
    let (mut blk, handle) = start(
        Disk {
            stuck: true,
            ..Disk::new(4096)
        },
        Options::default(),
    );
    let mut buffers: Vec<Vec<u8>> = (0..200).map(|_| vec![0; SECTOR]).collect();
    handle.with(|disk| {
        for sector in 0..200 {
            disk.data[sector * SECTOR] = sector as u8;
        }
    });
    for (sector, buffer) in (0u64..).zip(&mut buffers) {
        // SAFETY: the buffers live until all requests have completed, and are read only then.
        let request = unsafe { Request::read(sector, place(buffer), SECTOR) };
        blk.submit(request, sector).unwrap();
    }
    blk.kick();
    assert_eq!(handle.queue(0, |q| q.waiting()), 128);
    assert_eq!(handle.queue(0, |q| q.notifications), 1);
    assert_eq!(blk.poll(&mut |_, _| ()), 0);
    handle.with(|disk| disk.stuck = false);
    handle.step();
    let mut ended = Vec::new();
    for _ in 0..3 {
        blk.poll(&mut |token, result| {
            result.unwrap();
            ended.push(token);
        });
    }
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..200));
    for (sector, buffer) in buffers.iter().enumerate() {
        assert_eq!(buffer[0], sector as u8);
    }
    assert_eq!(blk.unfinished(), 0);
}

#[test]
fn too_many_requests_are_refused_until_some_end() {
    let memory = HostMemory::new();
    let (transport, handle) = connect(
        memory,
        Disk {
            stuck: true,
            ..Disk::new(64)
        },
        Options::default(),
    );
    let config = BlkConfig {
        requests: 2,
        ..BlkConfig::default()
    };
    let mut blk = Blk::new(Box::new(transport), memory, &config).unwrap();
    blk.submit(Request::flush(), 1).unwrap();
    blk.submit(Request::flush(), 2).unwrap();
    assert_eq!(blk.submit(Request::flush(), 3), Err(DiskError::Busy));
    handle.with(|disk| disk.stuck = false);
    blk.kick();
    assert_eq!(blk.poll(&mut |_, _| ()), 2);
    blk.submit(Request::flush(), 3).unwrap();
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let disk = Disk {
        block_size: 4096,
        ..Disk::new(64)
    };
    let (mut blk, _) = start(disk, Options::default());
    assert_eq!(blk.geometry().block_size, 4096);
    let mut bytes = vec![0; 8192];
    assert_eq!(
        read(&mut blk, 0, &mut bytes[..512]),
        Err(DiskError::Misaligned)
    );
    assert_eq!(
        read(&mut blk, 1, &mut bytes[..4096]),
        Err(DiskError::Misaligned)
    );
    assert_eq!(read(&mut blk, 0, &mut []), Err(DiskError::Misaligned));
    assert_eq!(read(&mut blk, 56, &mut bytes), Err(DiskError::OutOfRange));
    assert_eq!(
        read(&mut blk, u64::MAX - 7, &mut bytes),
        Err(DiskError::OutOfRange)
    );
    read(&mut blk, 48, &mut bytes).unwrap();
    // SAFETY: refused before it is used.
    let no_memory = unsafe { Request::read(0, NonNull::new(8 as *mut u8).unwrap(), 4096) };
    assert_eq!(run(&mut blk, no_memory), Err(DiskError::BadBuffer));
    let read_only = Disk {
        features: feature::RO,
        ..Disk::new(64)
    };
    let (mut blk, _) = start(read_only, Options::default());
    assert_eq!(
        write(&mut blk, 0, &mut bytes[..512]),
        Err(DiskError::ReadOnly)
    );
    read(&mut blk, 0, &mut bytes[..512]).unwrap();
}

#[test]
fn an_error_of_a_part_is_the_request_s_and_no_other_s() {
    let mut disk = Disk::new(4096);
    disk.bad.insert(600);
    let (mut blk, _) = start(disk, Options::default());
    let mut bytes = vec![0; 1 << 20];
    assert_eq!(read(&mut blk, 0, &mut bytes), Err(DiskError::Io));
    read(&mut blk, 601, &mut bytes).unwrap();
    assert!(blk.is_running());
}

/// A failed request returns its resources: a bounce slot, and its places in the queue. More
/// requests fail than there are of either, and the next one is served.
#[test]
fn requests_that_fail_give_back_what_they_had() {
    let memory = HostMemory::new();
    let mut disk = Disk::new(4096);
    disk.bad.insert(600);
    let (transport, handle) = connect(memory, disk, Options::default());
    let config = BlkConfig {
        bounce_buffers: 2,
        ..BlkConfig::default()
    };
    let mut blk = Blk::new(Box::new(transport), memory, &config).unwrap();
    let mut bytes = pattern(2 * SECTOR + 1);
    let skew = bytes.as_ptr().align_offset(SECTOR) + 1;
    for _ in 0..300 {
        let piece = &mut bytes[skew..][..SECTOR];
        assert_eq!(write(&mut blk, 600, piece), Err(DiskError::Io));
        assert_eq!(read(&mut blk, 600, piece), Err(DiskError::Io));
    }
    let piece = &mut bytes[skew..][..SECTOR];
    write(&mut blk, 601, piece).unwrap();
    read(&mut blk, 601, piece).unwrap();
    handle.with(|disk| assert_eq!(disk.done.0, 602));
}

#[test]
fn a_request_without_a_status_is_an_error() {
    let memory = HostMemory::new();
    let mut config = vec![0; 24];
    config[0] = 64;
    let mut device = Liar::new(DeviceType::BLOCK, 0, config, vec![8]);
    let end = |len| Lie::End {
        bytes: vec![0; len],
        claim: 513,
    };
    device
        .script
        .extend([(0, end(513)), (0, end(512)), (0, end(513))]);
    let unsupported = vec![2; 513];
    let claim = 513;
    device.script.push_back((
        0,
        Lie::End {
            bytes: unsupported,
            claim,
        },
    ));
    let (transport, _) = connect(memory, device, Options::default());
    let mut blk = Blk::new(Box::new(transport), memory, &BlkConfig::default()).unwrap();
    let mut bytes = vec![0; 512];
    assert_eq!(read(&mut blk, 0, &mut bytes), Ok(()));
    assert_eq!(read(&mut blk, 0, &mut bytes), Err(DiskError::Io));
    assert_eq!(read(&mut blk, 0, &mut bytes), Ok(()));
    assert_eq!(read(&mut blk, 0, &mut bytes), Err(DiskError::Unsupported));
}

/// The serial number that the driver finds.
fn serial(disk: Disk, options: Options) -> Option<String> {
    let (mut blk, _) = start(disk, options);
    assert!(blk.is_ready(), "nothing was asked yet");
    blk.begin();
    assert!(!blk.is_ready());
    assert_eq!(Controller::poll(&mut blk, &mut |_, _, _| ()), 0);
    assert!(blk.is_ready() && blk.is_running());
    assert_eq!(blk.disks(), 1);
    Controller::serial(&blk, 0).map(String::from)
}

#[test]
fn a_disk_says_what_it_is() {
    for (disk, options) in disks() {
        assert_eq!(serial(disk, options).as_deref(), Some("fake"));
    }
    let long = Disk {
        serial: *b"twenty bytes of text",
        ..Disk::new(64)
    };
    assert_eq!(
        serial(long, Options::default()).as_deref(),
        Some("twenty bytes of text")
    );
    let none = Disk {
        serial: [0; 20],
        ..Disk::new(64)
    };
    assert_eq!(serial(none, Options::default()), None);
}

#[test]
fn a_size_is_read_again() {
    let (mut blk, handle) = start(Disk::new(64), Options::default());
    assert_eq!(blk.features(), handle.accepted());
    handle.with(|disk| disk.data.resize(128 * SECTOR, 0));
    assert_eq!(blk.geometry().sectors, 64);
    blk.refresh().unwrap();
    assert_eq!(blk.geometry().sectors, 128);
}

/// Requests needn't wait for the serial number, and a disk that doesn't tell it is a disk.
#[test]
fn a_disk_without_a_serial_number_works() {
    let stuck = Disk {
        stuck: true,
        ..Disk::new(64)
    };
    let (mut blk, handle) = start(stuck, Options::default());
    blk.begin();
    let mut bytes = vec![0; 512];
    // SAFETY: the memory outlives the request.
    let request = unsafe { Request::read(0, place(&mut bytes), 512) };
    blk.submit(request, 1).unwrap();
    assert_eq!(blk.poll(&mut |_, _| ()), 0);
    assert!(!blk.is_ready());
    handle.with(|disk| disk.stuck = false);
    handle.step();
    assert_eq!(blk.poll(&mut |_, _| ()), 1);
    assert!(blk.is_ready());
    let memory = HostMemory::new();
    let mut device = Liar::new(DeviceType::BLOCK, 0, vec![0; 24], vec![8]);
    let unsupported = Lie::End {
        bytes: vec![2; 21],
        claim: 21,
    };
    device.script.push_back((0, unsupported));
    let (transport, _) = connect(memory, device, Options::default());
    let mut blk = Blk::new(Box::new(transport), memory, &BlkConfig::default()).unwrap();
    blk.begin();
    blk.poll(&mut |_, _| ());
    assert!(blk.is_ready() && blk.is_running());
    assert_eq!(blk.serial(0), None);
}

/// virtio 1.2, 5.2.3.
#[test]
fn feature_bits_are_the_standard_s() {
    let bits = [
        (feature::SIZE_MAX, 1),
        (feature::SEG_MAX, 2),
        (feature::RO, 5),
        (feature::BLK_SIZE, 6),
        (feature::FLUSH, 9),
        (feature::DISCARD, 13),
        (feature::WRITE_ZEROES, 14),
    ];
    for (feature, bit) in bits {
        assert_eq!(feature.checked_ilog2(), Some(bit));
        assert!(feature.is_power_of_two());
    }
    let all = bits.iter().fold(0, |all, (_, bit)| all | 1 << bit);
    assert_eq!(feature::ALL, all);
}

#[test]
fn disks_that_cannot_be_used_say_why() {
    let refusal = |disk: Disk, options| {
        let memory = HostMemory::new();
        let (transport, _) = connect(memory, disk, options);
        Blk::new(Box::new(transport), memory, &BlkConfig::default()).err()
    };
    let base = Options::default();
    let small = Disk {
        size: 2,
        ..Disk::new(64)
    };
    assert_eq!(refusal(small, base), Some(Error::QueueTooSmall(0)));
    for block_size in [0, 100, 768, 1 << 20] {
        assert_eq!(
            refusal(
                Disk {
                    block_size,
                    ..Disk::new(64)
                },
                base
            ),
            Some(Error::BadConfig)
        );
    }
    let tiny = Disk {
        features: feature::SIZE_MAX,
        size_max: 1,
        ..Disk::new(64)
    };
    assert_eq!(refusal(tiny, base), Some(Error::BadConfig));
}

#[test]
fn a_waiting_driver_is_interrupted() {
    let (mut blk, handle) = start(
        Disk {
            stuck: true,
            ..Disk::new(64)
        },
        Options::default(),
    );
    blk.submit(Request::flush(), 1).unwrap();
    assert!(!blk.enable_interrupts());
    handle.with(|disk| disk.stuck = false);
    handle.step();
    assert_eq!(handle.queue(0, |q| q.interrupts), 1);
    assert!(blk.enable_interrupts());
    assert_eq!(blk.poll(&mut |_, _| ()), 1);
}

#[test]
fn completions_are_seen_without_an_interrupt() {
    let (mut blk, handle) = start(
        Disk {
            stuck: true,
            ..Disk::new(64)
        },
        Options::default(),
    );
    blk.disable_interrupts();
    blk.submit(Request::flush(), 1).unwrap();
    blk.kick();
    assert!(!blk.has_pending());
    handle.with(|disk| disk.stuck = false);
    handle.step();
    assert!(blk.has_pending());
    assert_eq!(blk.poll(&mut |_, _| ()), 1);
    assert!(!blk.has_pending());
    assert_eq!(handle.queue(0, |q| q.interrupts), 0);
}

#[test]
fn interrupts_are_asked_for_no_more() {
    for features in [common::VERSION_1, Options::default().features] {
        let options = Options {
            features,
            ..Options::default()
        };
        let stuck = Disk {
            stuck: true,
            ..Disk::new(64)
        };
        let (mut blk, handle) = start(stuck, options);
        blk.submit(Request::flush(), 1).unwrap();
        assert!(!blk.enable_interrupts());
        blk.disable_interrupts();
        handle.with(|disk| disk.stuck = false);
        handle.step();
        assert_eq!(handle.queue(0, |q| q.interrupts), 0);
        assert_eq!(blk.poll(&mut |_, _| ()), 1);
    }
}

#[test]
fn each_error_has_words_of_its_own() {
    use DiskError::{BadBuffer, Busy, DeviceError, Io, Misaligned, NoMemory, OutOfRange};
    let all = [
        Busy,
        OutOfRange,
        Misaligned,
        BadBuffer,
        NoMemory,
        Io,
        DeviceError,
        DiskError::ReadOnly,
        DiskError::Unsupported,
        DiskError::Medium,
        DiskError::NotReady,
        DiskError::Removed,
    ];
    let mut texts = all.map(|error| std::format!("{error}")).to_vec();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), all.len());
    assert!(texts.iter().all(|text| text.len() > 8));
}
