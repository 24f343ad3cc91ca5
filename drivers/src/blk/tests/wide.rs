//! Requests with several slices of memory, and requests without data.

use super::*;
use crate::disk::{Clear, Slice};

/// Lays slices of these lengths, each `skew` bytes after a sector's start, into `memory`, every
/// other backwards from the end.
fn lay(memory: &mut [u8], lengths: &[usize], skew: usize) -> Vec<Slice> {
    let aligned = memory.as_ptr().align_offset(SECTOR);
    let (mut low, mut high) = (aligned, memory.len() / SECTOR * SECTOR + aligned - SECTOR);
    let mut slices = Vec::new();
    for (n, len) in lengths.iter().enumerate() {
        let room = (len + skew).next_multiple_of(SECTOR);
        let at = if n % 2 == 0 {
            low += room;
            low - room
        } else {
            high -= room;
            high
        };
        assert!(low <= high, "the test's memory is too small");
        slices.push(Slice {
            start: place(&mut memory[at + skew..]),
            len: *len,
        });
    }
    slices
}

fn contents(slices: &[Slice]) -> Vec<u8> {
    let mut all = Vec::new();
    for slice in slices {
        // SAFETY: the test's own memory, and no request is in flight.
        all.extend_from_slice(unsafe {
            std::slice::from_raw_parts(slice.start.as_ptr(), slice.len)
        });
    }
    all
}

#[test]
fn slices_are_one_request_of_the_device() {
    let (mut blk, handle) = start(Disk::new(4096), Options::default());
    let mut memory = pattern(1 << 20);
    let lengths = [512, 4096, 1024, 0, 65536, 512, 8192];
    let slices = lay(&mut memory, &lengths, 0);
    let expected = contents(&slices);
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::gather(9, NonNull::from(&*slices)) };
    run(&mut blk, request).unwrap();
    handle.with(|disk| {
        assert_eq!(disk.done.0, 1);
        assert!(disk.most_segments > 3);
        assert!(disk.data[9 * SECTOR..][..expected.len()] == expected);
    });
    memory.fill(0);
    // SAFETY: as above.
    let request = unsafe { Request::scatter(9, NonNull::from(&*slices)) };
    run(&mut blk, request).unwrap();
    handle.with(|disk| assert_eq!(disk.done.0, 2));
    assert!(contents(&slices) == expected);
}

/// The second slice fits in part: neither its rest nor the following ones are skipped.
#[test]
fn a_request_is_cut_within_a_slice() {
    let three = Disk {
        seg_max: 3,
        ..Disk::new(4096)
    };
    let (mut blk, handle) = start(three, Options::default());
    let mut memory = pattern(1 << 20);
    const PAGE: usize = 4096;
    let aligned = memory.as_ptr().align_offset(PAGE);
    let slices: Vec<_> = (0..3)
        .map(|n| Slice {
            start: place(&mut memory[aligned + n * 5 * PAGE..]),
            len: 2 * PAGE,
        })
        .collect();
    let expected = contents(&slices);
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::gather(9, NonNull::from(&*slices)) };
    run(&mut blk, request).unwrap();
    handle.with(|disk| {
        assert_eq!((disk.done.0, disk.most_segments), (2, 3));
        assert!(disk.data[9 * SECTOR..][..expected.len()] == expected);
    });
}

#[test]
fn unaligned_slices_share_a_request_too() {
    let (mut blk, handle) = start(Disk::new(4096), Options::default());
    let mut memory = pattern(1 << 20);
    let slices = lay(&mut memory, &[512; 40], 8);
    let expected = contents(&slices);
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::gather(1, NonNull::from(&*slices)) };
    run(&mut blk, request).unwrap();
    memory.fill(0);
    // SAFETY: as above.
    let request = unsafe { Request::scatter(1, NonNull::from(&*slices)) };
    run(&mut blk, request).unwrap();
    handle.with(|disk| assert_eq!(disk.done.0, 2));
    assert!(contents(&slices) == expected);
}

#[test]
fn a_slice_that_is_no_memory_is_refused() {
    let (mut blk, _) = start(Disk::new(4096), Options::default());
    let mut memory = pattern(4096);
    for at in [8, 512] {
        let slices = [
            Slice {
                start: place(&mut memory),
                len: 512,
            },
            Slice {
                start: NonNull::new(at as *mut u8).unwrap(),
                len: 512,
            },
        ];
        // SAFETY: refused before it is used.
        let request = unsafe { Request::scatter(0, NonNull::from(&slices[..])) };
        assert_eq!(run(&mut blk, request), Err(DiskError::BadBuffer));
    }
    assert!(blk.is_running());
}

fn clear(blk: &mut Blk, clear: Clear, sector: u64, count: u64) -> Result<(), DiskError> {
    blk.submit(Request::clear(clear, sector, count), 5)?;
    let mut result = None;
    for _ in 0..1000 {
        blk.poll(&mut |token, ended| {
            assert_eq!(token, 5);
            assert!(result.replace(ended).is_none(), "ended twice");
        });
    }
    result.expect("it ends")
}

#[test]
fn clearing_keeps_to_the_device_s_limits() {
    let disk = Disk {
        max_clear: 70,
        discard_alignment: 16,
        ..Disk::new(4096)
    };
    let (mut blk, handle) = start(disk, Options::default());
    assert!(blk.geometry().can_discard && blk.geometry().can_write_zeroes);
    clear(&mut blk, Clear::Discard, 3, 200).unwrap();
    let cleared = |handle: &Handle<Disk>| handle.with(|disk| core::mem::take(&mut disk.cleared));
    // Split at multiples of the alignment.
    assert_eq!(
        cleared(&handle),
        [
            (11, 3, 61, 0),
            (11, 64, 64, 0),
            (11, 128, 64, 0),
            (11, 192, 11, 0)
        ]
    );
    clear(&mut blk, Clear::Zeroes { unmap: true }, 8, 100).unwrap();
    clear(&mut blk, Clear::Zeroes { unmap: false }, 0, 1).unwrap();
    assert_eq!(
        cleared(&handle),
        [(13, 8, 70, 1), (13, 78, 30, 1), (13, 0, 1, 0)]
    );
    handle.with(|disk| {
        assert!(
            disk.data[8 * SECTOR..108 * SECTOR]
                .iter()
                .all(|byte| *byte == 0)
        )
    });
    assert_eq!(
        clear(&mut blk, Clear::Discard, 4000, 97),
        Err(DiskError::OutOfRange)
    );
    assert_eq!(
        clear(&mut blk, Clear::Discard, 1, u64::MAX),
        Err(DiskError::OutOfRange)
    );
    assert_eq!(
        clear(&mut blk, Clear::Discard, 0, 0),
        Err(DiskError::Misaligned)
    );
}

#[test]
fn an_alignment_beyond_the_most_is_kept_where_it_can_be() {
    let disk = Disk {
        max_clear: 64,
        discard_alignment: 128,
        ..Disk::new(4096)
    };
    let (mut blk, handle) = start(disk, Options::default());
    clear(&mut blk, Clear::Discard, 0, 200).unwrap();
    let cleared: Vec<_> = handle.with(|disk| disk.cleared.iter().map(|c| (c.1, c.2)).collect());
    assert_eq!(cleared, [(0, 64), (64, 64), (128, 64), (192, 8)]);
}

#[test]
fn what_is_not_offered_is_unsupported() {
    let without = Disk {
        features: feature::FLUSH,
        ..Disk::new(64)
    };
    let nothing = Disk {
        max_clear: 0,
        ..Disk::new(64)
    };
    let less_than_a_block = Disk {
        max_clear: 7,
        block_size: 4096,
        ..Disk::new(64)
    };
    for disk in [without, nothing, less_than_a_block] {
        let (mut blk, _) = start(disk, Options::default());
        for how in [Clear::Discard, Clear::Zeroes { unmap: true }] {
            assert_eq!(clear(&mut blk, how, 0, 8), Err(DiskError::Unsupported));
        }
    }
    let read_only = Disk {
        features: feature::ALL,
        ..Disk::new(64)
    };
    let (mut blk, _) = start(read_only, Options::default());
    assert_eq!(
        clear(&mut blk, Clear::Discard, 0, 8),
        Err(DiskError::ReadOnly)
    );
}

#[test]
fn a_disk_that_shrinks_refuses_removed_sectors() {
    let (mut blk, handle) = start(Disk::new(128), Options::default());
    let mut bytes = vec![0; 512];
    handle.with(|disk| disk.data.truncate(64 * SECTOR));
    // Not noticed yet: the disk's own error.
    assert_eq!(read(&mut blk, 100, &mut bytes), Err(DiskError::Io));
    blk.refresh().unwrap();
    assert_eq!(blk.geometry().sectors, 64);
    assert_eq!(read(&mut blk, 100, &mut bytes), Err(DiskError::OutOfRange));
    read(&mut blk, 63, &mut bytes).unwrap();
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(
        prop_oneof![3 => (0..20usize).prop_map(|n| n * 512), 1 => 0..5000usize],
        1..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Any slices on any disk: written data is stored, and read back.
    #[test]
    fn any_slices_are_carried(mut lengths in lengths(), skew in 0..SECTOR, which in 0..10usize) {
        // A whole number of sectors in total.
        let total: usize = lengths.iter().sum();
        lengths.push(total.next_multiple_of(SECTOR) - total + SECTOR);
        let total = total.next_multiple_of(SECTOR) + SECTOR;
        let (disk, options) = disks().swap_remove(which);
        let (mut blk, handle) = start(disk, options);
        let mut memory = pattern(700 << 10);
        let slices = lay(&mut memory, &lengths, skew);
        let expected = contents(&slices);
        // SAFETY: `run` waits for completion.
        let request = unsafe { Request::gather(2, NonNull::from(&*slices)) };
        run(&mut blk, request).unwrap();
        handle.with(|disk| assert!(disk.data[2 * SECTOR..][..total] == expected));
        memory.fill(0);
        // SAFETY: as above.
        let request = unsafe { Request::scatter(2, NonNull::from(&*slices)) };
        run(&mut blk, request).unwrap();
        prop_assert!(contents(&slices) == expected);
    }
}
