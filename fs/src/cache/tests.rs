//! The cache against a plain array of bytes.

mod lines;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::{Cache, CacheBudget, CacheCounters, Layout, Order, Run};
use crate::fake::{Disk, Event};
use crate::memory_pressure::{set_memory_gone, set_memory_short};
use crate::{BlockError, Lease, VolumeOptions};

const SECTORS: u64 = 300;
/// Tables at the start, directories and files after them.
const TABLES_END: u64 = 20;

#[derive(Debug, Clone)]
enum Step {
    Read(u64, u64),
    Lend(u64, u64),
    Write {
        first: u64,
        count: u64,
        fill: u8,
        contents: bool,
    },
    Commit(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = (0..SECTORS, prop_oneof![3 => 1u64..4, 1 => 1u64..80]);
    let step = prop_oneof![
        4 => place.clone().prop_map(|(first, count)| Step::Read(first, count)),
        2 => place.clone().prop_map(|(first, count)| Step::Lend(first, count)),
        // Sequential readers and writers, for read-ahead and gathering.
        2 => (0..8u64).prop_map(|n| Step::Read(n * 20, 20)),
        4 => (place, any::<u8>(), any::<bool>()).prop_map(|((first, count), fill, contents)| {
            Step::Write { first, count, fill, contents }
        }),
        2 => (0..8u64, any::<u8>()).prop_map(|(n, fill)| {
            Step::Write { first: 40 + n * 20, count: 20, fill, contents: true }
        }),
        1 => any::<bool>().prop_map(Step::Commit),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Small enough to evict chunks constantly.
static BUDGET: CacheBudget = CacheBudget::new(200 << 10);

fn new_cache(disk: &Disk, stream_bytes: usize) -> Cache {
    new_cache_in(&BUDGET, disk, stream_bytes)
}

fn new_cache_in(budget: &'static CacheBudget, disk: &Disk, stream_bytes: usize) -> Cache {
    let options = VolumeOptions {
        cache_bytes: 0,
        stream_bytes,
        budget: Some(budget),
        ..VolumeOptions::default()
    };
    let mut cache = Cache::new(Box::new(disk.clone()), &options);
    let layout = Layout {
        tables_end: TABLES_END,
        ..Layout::default()
    };
    cache.set_layout(layout);
    cache.begin_reading(0);
    cache
}

proptest! {
    #[test]
    fn reads_what_was_written_whatever_is_cached(
        steps in steps(),
        stream in prop_oneof![Just(0), Just(16 << 10), Just(64 << 10)],
    ) {
        // Its own budget: room for the three chunks that the disk has.
        static BUDGET: CacheBudget = CacheBudget::new(200 << 10);
        let disk = Disk::zeroed(SECTORS as usize * 512);
        let mut cache = new_cache_in(&BUDGET, &disk, stream);
        let mut model = disk.bytes();
        let mut leases: Vec<(Lease, Vec<u8>)> = Vec::new();
        for step in steps {
            match step {
                Step::Read(first, count) => {
                    let count = count.min(SECTORS - first);
                    let mut buf = vec![0xaa; count as usize * 512];
                    cache.read(first, &mut buf).unwrap();
                    let at = first as usize * 512;
                    prop_assert!(buf == model[at..at + buf.len()]);
                }
                Step::Lend(first, count) => {
                    let at = first as usize * 512 + 3;
                    let len = (count as usize * 512).min(model.len() - at);
                    let run = Run { file: 0, disk: at as u64, len: len as u64 };
                    let mut lend = || {
                        let mut lent = Vec::new();
                        cache.lend_runs(&[run], 1, (0, len), &mut lent).unwrap();
                        let bytes: Vec<u8> = lent.iter().flat_map(|lent| lent.to_vec()).collect();
                        (lent, bytes)
                    };
                    let (mut lent, mut bytes) = lend();
                    prop_assert!(model[at..].starts_with(&bytes));
                    if bytes.len() < len {
                        // Fails only when all memory is lent.
                        prop_assert!(leases.len() + lent.len() >= 3);
                        drop(lent);
                        leases.clear();
                        (lent, bytes) = lend();
                    }
                    prop_assert!(bytes == model[at..at + len]);
                    leases.extend(lent.into_iter().map(|lent| {
                        let bytes = lent.to_vec();
                        (lent, bytes)
                    }));
                    // Some leases live longer, more than the budget allows.
                    let over = leases.len().saturating_sub(4);
                    leases.drain(..over);
                }
                Step::Write { first, count, fill, contents } => {
                    let count = count.min(SECTORS - first);
                    // Sectors differ, so that misplaced ones are visible.
                    let data: Vec<u8> = (0..count as usize * 512)
                        .map(|at| fill.wrapping_add((at / 512) as u8))
                        .collect();
                    cache.write_as(first, &data, contents).unwrap();
                    let at = first as usize * 512;
                    model[at..at + data.len()].copy_from_slice(&data);
                }
                Step::Commit(tables_first) => {
                    let order =
                        if tables_first { Order::TablesFirst } else { Order::DirectoriesFirst };
                    cache.commit(order).unwrap();
                    prop_assert!(!cache.is_dirty());
                    prop_assert!(disk.bytes() == model);
                }
            }
            prop_assert!(leases.iter().all(|(lent, bytes)| **lent == bytes[..]));
        }
        cache.commit(Order::TablesFirst).unwrap();
        prop_assert!(disk.bytes() == model);
    }
}

/// Returns the first sectors of the writes in the log, batch by batch.
fn logged(disk: &Disk) -> Vec<Vec<u64>> {
    let log = disk.state().log.replace(Vec::new()).unwrap_or_default();
    let writes = log.iter().map(|event| match event {
        Event::Write(first, _) => vec![*first],
        Event::Batch(writes) => writes.iter().map(|(first, _)| *first).collect(),
        Event::Flush | Event::FlushUnordered => Vec::new(),
    });
    writes.collect()
}

#[test]
fn a_commit_writes_contents_then_one_batch_in_the_order_asked_for() {
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = new_cache(&disk, 0);
    disk.state().log = Some(Vec::new());
    for (order, expected) in [
        (Order::TablesFirst, vec![vec![40], vec![8, 16, 100, 60]]),
        (
            Order::DirectoriesFirst,
            vec![vec![40], vec![100, 60, 8, 16]],
        ),
    ] {
        cache.write(100, &[1; 512]).unwrap();
        cache.write(60, &[1; 512]).unwrap();
        cache.write(16, &[2; 512]).unwrap();
        cache.write(8, &[2; 512]).unwrap();
        cache.write_as(40, &[3; 512], true).unwrap();
        assert!(
            logged(&disk).is_empty(),
            "nothing is written before the commit"
        );
        cache.commit(order).unwrap();
        assert_eq!(logged(&disk), expected);
    }
}

#[test]
fn neighbours_are_written_together() {
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = new_cache(&disk, 0);
    let mut expected = disk.bytes();
    for sector in 24..120 {
        cache.write(sector, &[sector as u8; 512]).unwrap();
        let at = sector as usize * 512;
        expected[at..at + 512].fill(sector as u8);
    }
    cache.write(200, &[9; 512]).unwrap();
    expected[200 * 512..201 * 512].fill(9);
    disk.state().log = Some(Vec::new());
    cache.commit(Order::TablesFirst).unwrap();
    // 48 KiB exceed the buffer, so the changes stay in lines of eight sectors.
    assert_eq!(
        logged(&disk),
        [(3..15).map(|n| n * 8).chain([200]).collect::<Vec<u64>>()]
    );
    assert!(disk.bytes() == expected);
    for sector in 30..80 {
        cache.write(sector, &[7; 512]).unwrap();
        expected[sector as usize * 512..][..512].fill(7);
    }
    for sector in [90, 100, 101] {
        cache.write(sector, &[8; 512]).unwrap();
        expected[sector as usize * 512..][..512].fill(8);
    }
    cache.commit(Order::TablesFirst).unwrap();
    assert_eq!(logged(&disk), [vec![30, 90, 100]]);
    assert!(disk.bytes() == expected);
}

#[test]
fn sequential_transfers_make_few_requests() {
    let disk = Disk::zeroed(1 << 20);
    let mut cache = new_cache(&disk, 128 << 10);
    let mut buf = vec![0; 16 << 10];
    for n in 0..64 {
        cache.read(n * 32, &mut buf).unwrap();
    }
    // 16 KiB, 32, 64, and then 128 at a time.
    assert!(disk.state().reads <= 3 + 8, "{} reads", disk.state().reads);
    for n in 4..64 {
        cache.write_as(n * 32, &buf, true).unwrap();
    }
    cache.commit(Order::TablesFirst).unwrap();
    assert!(disk.state().writes <= 8, "{} writes", disk.state().writes);
}

#[test]
fn a_failed_write_is_tried_again_by_the_next_commit() {
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = new_cache(&disk, 16 << 10);
    cache.write(30, &[1; 512]).unwrap();
    cache.write_as(40, &[2; 8192], true).unwrap();
    for _ in 0..2 {
        disk.state().fail_write = Some(1);
        assert_eq!(cache.commit(Order::TablesFirst), Err(BlockError::Io));
    }
    cache.commit(Order::TablesFirst).unwrap();
    let bytes = disk.bytes();
    assert!(bytes[30 * 512..31 * 512] == [1; 512] && bytes[40 * 512..56 * 512] == [2; 8192]);
}

#[test]
fn a_flush_that_failed_is_asked_for_again() {
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = new_cache(&disk, 0);
    cache.write(30, &[1; 512]).unwrap();
    cache.commit(Order::TablesFirst).unwrap();
    for flushes in 1..4 {
        disk.state().fail_flush = Some(1);
        assert_eq!(cache.flush(), Err(BlockError::Io));
        assert_eq!(disk.state().flushes, flushes);
    }
    // No writes were made meanwhile.
    cache.commit(Order::TablesFirst).unwrap();
    cache.flush().unwrap();
    assert_eq!(disk.state().flushes, 4);
    assert_eq!(disk.state().writes, 1);
    cache.flush().unwrap();
    assert_eq!(disk.state().flushes, 4, "nothing is left to be flushed");
}

/// The next sync flushes every write, on any way to the device.
#[test]
fn every_kind_of_write_is_flushed() {
    let large = vec![3; 48 << 10];
    let write_contents = |cache: &mut Cache, data: &[u8]| {
        cache.write_as(40, data, true).unwrap();
    };
    type Way<'a> = (&'a str, usize, &'a dyn Fn(&mut Cache));
    let ways: [Way<'_>; 4] = [
        ("a commit", 0, &|cache| {
            cache.write(30, &[1; 512]).unwrap();
            cache.commit(Order::TablesFirst).unwrap();
        }),
        ("an eviction", 0, &|cache| {
            // There are sixteen lines of eight sectors.
            for line in 3..20 {
                cache.write(line * 8, &[2; 512]).unwrap();
            }
        }),
        ("a large write", 0, &|cache| write_contents(cache, &large)),
        ("a full buffer", 16 << 10, &|cache| {
            write_contents(cache, &large[..8 << 10]);
            cache.write_as(56, &large[..8 << 10], true).unwrap();
        }),
    ];
    for (journaled, expected) in [(false, Event::FlushUnordered), (true, Event::Flush)] {
        for (way, stream_bytes, write) in ways {
            let disk = Disk::zeroed(SECTORS as usize * 512);
            let mut cache = new_cache(&disk, stream_bytes);
            cache.layout.journaled = journaled;
            cache.flush().unwrap();
            assert_eq!(disk.state().flushes, 0, "{way}: nothing is written yet");
            disk.state().log = Some(Vec::new());
            write(&mut cache);
            assert!(disk.state().writes > 0, "{way}");
            cache.flush().unwrap();
            let log = disk.state().log.take().unwrap();
            assert_eq!(log.last(), Some(&expected), "{way}");
            cache.flush().unwrap();
            assert_eq!(disk.state().flushes, 1, "{way}: once is enough");
        }
    }
}

#[test]
fn requests_outside_the_device_are_errors() {
    let mut cache = new_cache(&Disk::zeroed(SECTORS as usize * 512), 0);
    let mut sector = [0; 512];
    for first in [SECTORS, u64::MAX, u64::MAX - 1] {
        assert_eq!(cache.read(first, &mut sector), Err(BlockError::OutOfRange));
        assert_eq!(cache.write(first, &sector), Err(BlockError::OutOfRange));
    }
    assert_eq!(
        cache.read(0, &mut sector[..100]),
        Err(BlockError::OutOfRange)
    );
}

#[test]
fn nothing_is_written_once_frozen() {
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = new_cache(&disk, 16 << 10);
    cache.write(30, &[1; 512]).unwrap();
    cache.freeze();
    assert_eq!(cache.write(31, &[1; 512]), Err(BlockError::ReadOnly));
    let mut sector = [7; 512];
    cache.read(30, &mut sector).unwrap();
    assert_eq!(sector, [0; 512], "as it is on the device");
    cache.commit(Order::TablesFirst).unwrap();
    assert_eq!(disk.state().writes, 0);
}

/// Writes to `lines` different lines.
fn change(cache: &mut Cache, lines: u64) {
    for line in 3..3 + lines {
        cache.write(line * 8, &[2; 512]).unwrap();
    }
}

#[test]
fn nothing_is_written_before_a_commit_for_want_of_memory() {
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = new_cache(&disk, 0);
    set_memory_short(true);
    change(&mut cache, 14);
    assert_eq!(disk.state().writes, 0);
    cache.commit(Order::TablesFirst).unwrap();
    disk.state().log = Some(Vec::new());
    // Written lines are evicted for the next ones.
    assert!(!cache.is_filling());
    let there = cache.buffers.limit();
    cache.write(200, &[3; 512]).unwrap();
    assert_eq!(cache.buffers.limit(), there);
    assert!(logged(&disk).is_empty());
}

#[test]
fn a_short_memory_is_filled_by_half_of_the_lines_that_are_there() {
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = new_cache(&disk, 0);
    assert!(cache.prepare());
    change(&mut cache, 7);
    set_memory_short(true);
    assert!(!cache.is_filling());
    change(&mut cache, 8);
    assert!(cache.is_filling());
}

#[test]
fn without_memory_an_operation_does_not_begin_and_one_that_began_ends() {
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = new_cache(&disk, 0);
    set_memory_gone(true);
    assert!(!cache.prepare());
    set_memory_gone(false);
    assert!(cache.prepare());
    set_memory_short(true);
    set_memory_gone(true);
    change(&mut cache, 16);
    assert_eq!(disk.state().writes, 0);
    assert!(cache.prepare());
}

fn cache_of(disk: &Disk, options: VolumeOptions) -> Cache {
    Cache::new(Box::new(disk.clone()), &options)
}

/// Creates a disk whose sectors differ.
fn numbered(sectors: usize) -> Disk {
    let bytes = (0..sectors * 512).map(|at| (at / 512 * 7 + at % 512) as u8);
    Disk::new(bytes.collect(), 512)
}

#[test]
fn contents_are_distinguished_from_tables_and_directories() {
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = new_cache(&disk, 0);
    cache.layout.tables_end = 24;
    disk.state().log = Some(Vec::new());
    // First sector after the tables; a directory that becomes a file's, three sectors of it.
    cache.write(16, &[1; 512]).unwrap();
    cache.write(40, &[1; 512]).unwrap();
    cache.write(100, &[1; 512]).unwrap();
    cache.write(24, &[1; 512]).unwrap();
    cache.write_as(40, &[2; 3 * 512], true).unwrap();
    cache.write(58, &[2; 3 * 512]).unwrap();
    cache.commit(Order::TablesFirst).unwrap();
    assert_eq!(logged(&disk), [vec![40], vec![16, 100, 24, 58]]);
}

#[test]
fn a_large_write_takes_no_more_than_its_sectors() {
    for (first, count, waits) in [(40, 13, 53), (40, 13, 39), (43, 20, 42), (43, 13, 63)] {
        let disk = Disk::zeroed(SECTORS as usize * 512);
        let mut cache = new_cache(&disk, 0);
        let mut expected = disk.bytes();
        for sector in [waits, first, first + count - 1] {
            cache.write_as(sector, &[1; 512], true).unwrap();
        }
        let data = vec![2; count as usize * 512];
        cache.write_as(first, &data, true).unwrap();
        cache.commit(Order::TablesFirst).unwrap();
        expected[waits as usize * 512..][..512].fill(1);
        expected[first as usize * 512..][..count as usize * 512].fill(2);
        assert!(
            disk.bytes() == expected,
            "{waits} beside {count} at {first}"
        );
    }
}

#[test]
fn neighbours_are_written_together_by_a_cache_that_has_read_nothing() {
    for (count, requests) in [(1, 1), (2, 1), (8, 1), (9, 9)] {
        let disk = Disk::zeroed(SECTORS as usize * 512);
        let mut cache = cache_of(&disk, VolumeOptions::default());
        for line in 0..count {
            cache.write(line * 8, &[1; 4096]).unwrap();
        }
        cache.commit(Order::TablesFirst).unwrap();
        assert_eq!(disk.state().writes, requests, "{count} lines");
    }
}

/// A file in pieces with holes: reads and leases agree at every offset.
#[test]
fn files_in_pieces_are_read_and_lent_alike() {
    static BUDGET: CacheBudget = CacheBudget::new(4 << 20);
    let disk = numbered(1000);
    let mut cache = new_cache_in(&BUDGET, &disk, 0);
    let run = |file, disk, len| Run { file, disk, len };
    let runs = [
        run(100, 40 * 512 + 7, 300),
        run(400, 200 * 512, 5000),
        run(200_000, 300 * 512 + 100, 70_000),
        run(270_001, 512, 1),
    ];
    let mut file = vec![0; 280_000];
    for Run {
        file: at,
        disk: from,
        len,
    } in runs
    {
        let bytes = &disk.bytes()[from as usize..][..len as usize];
        file[at as usize..][..len as usize].copy_from_slice(bytes);
    }
    let size = file.len();
    let places = [
        0, 1, 99, 100, 399, 400, 5399, 5400, 199_999, 200_001, 269_999, 270_002,
    ];
    for offset in places {
        for len in [1, 2, 301, 6000, 150_000, size].map(|len| len.min(size - offset)) {
            let mut buf = vec![0xaa; len];
            cache.read_runs(&runs, offset as u64, &mut buf).unwrap();
            assert!(buf == file[offset..][..len], "{len} read at {offset}");
            let mut lent = Vec::new();
            let part = (offset as u64, len);
            cache
                .lend_runs(&runs, size as u64, part, &mut lent)
                .unwrap();
            let bytes: Vec<u8> = lent.iter().flat_map(|lent| lent.to_vec()).collect();
            assert!(bytes == file[offset..][..len], "{len} lent at {offset}");
        }
    }
    // The cache lends only what it would cache.
    let mut lent = Vec::new();
    cache
        .lend_runs(&runs, (2 << 20) + 1, (0, 500), &mut lent)
        .unwrap();
    assert!(lent.is_empty());
}
