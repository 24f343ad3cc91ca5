//! Lines: which are cached and fetched, and how they are counted.

use super::*;

#[test]
fn what_waits_is_counted_as_dirty() {
    static ALL: CacheBudget = CacheBudget::new(200 << 10);
    static ONE: CacheCounters = CacheCounters::new();
    let dirty = || {
        let (all, one) = (ALL.statistics().counts, ONE.counts());
        (all.dirty_bytes, one.dirty_bytes)
    };
    let options = VolumeOptions {
        cache_bytes: 0,
        stream_bytes: 16 << 10,
        budget: Some(&ALL),
        counters: Some(&ONE),
        ..VolumeOptions::default()
    };
    let disk = Disk::zeroed(SECTORS as usize * 512);
    let mut cache = cache_of(&disk, options);
    assert!(!cache.is_dirty());
    cache.write(40, &[1; 512]).unwrap();
    assert_eq!((dirty(), cache.is_dirty()), ((4096, 4096), true));
    cache.write_as(80, &[1; 8192], true).unwrap();
    assert_eq!(dirty(), (12_288, 12_288));
    let mut other = new_cache_in(&ALL, &disk, 0);
    other.write(100, &[1; 512]).unwrap();
    assert_eq!(dirty(), (16_384, 12_288));
    cache.commit(Order::TablesFirst).unwrap();
    assert_eq!((dirty(), cache.is_dirty()), ((4096, 0), false));
    cache.write_as(80, &[1; 8192], true).unwrap();
    assert_eq!((dirty(), cache.is_dirty()), ((12_288, 8192), true));
    drop((cache, other));
    assert_eq!(dirty(), (0, 0));
}

#[test]
fn half_of_the_lines_fill_a_cache() {
    let mut cache = new_cache(&Disk::zeroed(SECTORS as usize * 512), 0);
    change(&mut cache, 7);
    assert!(!cache.is_filling() && cache.buffers.limit() == 16);
    change(&mut cache, 8);
    assert!(cache.is_filling());
}

#[test]
fn reads_are_hits_or_misses() {
    static ONE: CacheCounters = CacheCounters::new();
    let options = VolumeOptions {
        cache_bytes: 0,
        stream_bytes: 128 << 10,
        counters: Some(&ONE),
        ..VolumeOptions::default()
    };
    let disk = numbered(1024);
    let mut cache = cache_of(&disk, options);
    let expected = disk.bytes();
    let mut read = |first: u64, count: usize| {
        let mut buf = vec![0; count * 512];
        let result = cache.read(first, &mut buf);
        assert!(result.is_err() || buf == expected[first as usize * 512..][..buf.len()]);
        let counts = ONE.counts();
        let done = (counts.hits, counts.misses, counts.read_ahead_bytes);
        (result, done, disk.state().reads)
    };
    assert_eq!(read(16, 1), (Ok(()), (0, 1, 0), 1));
    assert_eq!(read(17, 3), (Ok(()), (3, 1, 0), 1));
    // From here on in larger steps: 16 KiB, twice that, four times that.
    assert_eq!(read(0, 32), (Ok(()), (3, 2, 0), 2));
    assert_eq!(read(32, 32), (Ok(()), (3, 3, 16 << 10), 3));
    assert_eq!(read(64, 32), (Ok(()), (4, 3, 16 << 10), 3));
    assert_eq!(read(96, 32), (Ok(()), (4, 4, (16 + 48) << 10), 4));
    // Each request counts while the device is unresponsive.
    disk.state().away = true;
    assert_eq!(read(16, 1), (Ok(()), (4, 4, 64 << 10), 4));
    assert_eq!(read(300, 1), (Err(BlockError::Io), (4, 4, 64 << 10), 4));
    assert_eq!(read(300, 32), (Err(BlockError::Io), (4, 4, 64 << 10), 4));
}

#[test]
fn what_is_worth_keeping_is_kept() {
    static BUDGET: CacheBudget = CacheBudget::new(200 << 10);
    let disk = numbered(300);
    let mut cache = new_cache_in(&BUDGET, &disk, 0);
    let reads = |cache: &mut Cache, first| {
        let before = disk.state().reads;
        let mut buf = vec![0; 8192];
        cache.read(first, &mut buf).unwrap();
        assert!(buf == disk.bytes()[first as usize * 512..][..8192]);
        disk.state().reads - before
    };
    cache.begin_reading(100 << 10);
    assert_eq!([reads(&mut cache, 30), reads(&mut cache, 30)], [1, 0]);
    cache.begin_reading((100 << 10) + 1);
    assert_eq!([reads(&mut cache, 60), reads(&mut cache, 60)], [1, 1]);
    cache.begin_reading(1);
    cache.end_reading();
    assert_eq!([reads(&mut cache, 60), reads(&mut cache, 60)], [1, 1]);
    cache.freeze();
    assert_eq!(reads(&mut cache, 30), 1);
    assert_eq!(BUDGET.statistics().used_bytes, 0);
}

/// One request reads eight lines if reads are in order and enough lines can be replaced.
#[test]
fn lines_in_order_are_fetched_together() {
    let disk = numbered(300);
    let cache = || {
        let options = VolumeOptions {
            cache_bytes: 24 * 4096,
            stream_bytes: 0,
            ..VolumeOptions::default()
        };
        cache_of(&disk, options)
    };
    // Numbers of the lines; requests, and the sectors that they read.
    let check = |cache: &mut Cache, lines: &[u64], requests: u64, sectors: u64| {
        let so_far = || {
            let state = disk.state();
            (state.reads, state.bytes_read)
        };
        let before = so_far();
        for line in lines {
            let mut buf = vec![0; 512];
            cache.read(line * 8 + 3, &mut buf).unwrap();
            assert!(buf == disk.bytes()[(*line as usize * 8 + 3) * 512..][..512]);
        }
        let after = so_far();
        let done = (after.0 - before.0, after.1 - before.1);
        assert_eq!(done, (requests, sectors * 512), "lines {lines:?}");
    };
    let mut fresh = cache();
    check(&mut fresh, &[3, 4], 2, 8 + 64);
    check(&mut fresh, &[5, 6, 7, 8, 9, 10, 11], 0, 0);
    check(&mut fresh, &[12], 1, 64);
    check(&mut cache(), &[3, 5], 2, 16);
    // Up to a cached line.
    check(&mut cache(), &[7, 3, 4], 3, 8 + 8 + 24);
    // Up to the device's end, where the last line is half of one.
    check(&mut cache(), &[31, 32, 33, 34, 35, 36], 2, 8 + 5 * 8 + 4);
    for (dirty, sectors) in [(7, 64), (8, 8)] {
        let mut cache = cache();
        for line in 20..20 + dirty {
            cache.write(line * 8, &[1; 4096]).unwrap();
        }
        check(&mut cache, &[3, 4], 2, 8 + sectors);
    }
}
