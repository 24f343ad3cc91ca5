//! Disks that break the protocol.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

#[test]
fn what_ended_before_the_disk_broke_keeps_its_result() {
    let stuck = Disk {
        stuck: true,
        ..Disk::new(64)
    };
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, stuck, Options::default());
    let mut blk = Blk::new(Box::new(transport), memory, &BlkConfig::default()).unwrap();
    for token in 0..3 {
        blk.submit(Request::flush(), token).unwrap();
    }
    blk.kick();
    handle.queue(0, |queue| {
        let chain = queue.pop().unwrap();
        memory.write(chain.writable[0].0, &[0]);
        queue.push(chain.head, 1);
        queue.write_element(0, 5000, 1);
        queue.advance(1);
    });
    let mut ends = Vec::new();
    assert_eq!(blk.poll(&mut |token, end| ends.push((token, end))), 3);
    let broken = Err(DiskError::DeviceError);
    assert_eq!(ends, [(0, Ok(())), (1, broken), (2, broken)]);
}

/// Reads, writes and flushes, three of which the disk completes; then it breaks the protocol.
/// Returns how each ended, in the order of submission.
fn broken_with_requests(
    options: Options,
) -> (Blk, &'static HostMemory, Vec<Option<Result<(), DiskError>>>) {
    let memory = HostMemory::new();
    let disk = Disk {
        stuck: true,
        size: 8,
        ..Disk::new(4096)
    };
    let (transport, handle) = connect(memory, disk, options);
    let mut blk = Blk::new(Box::new(transport), memory, &BlkConfig::default()).unwrap();
    // Never freed: the disk may keep it.
    let buffer = Vec::leak(vec![0; 60 * SECTOR]);
    let mut ends = vec![None; 60];
    let mut end = |token: u64, result| {
        let end: &mut Option<_> = &mut ends[token as usize];
        assert!(end.replace(result).is_none(), "ended twice");
    };
    for (token, piece) in (0u64..).zip(buffer.chunks_mut(SECTOR)) {
        let request = match token % 3 {
            0 => Request::flush(),
            // SAFETY: the memory stays.
            1 => unsafe { Request::write(token, place(piece), SECTOR) },
            // SAFETY: as above.
            _ => unsafe { Request::read(token, place(piece), SECTOR) },
        };
        blk.submit(request, token).unwrap();
    }
    blk.kick();
    handle.queue(0, |queue| {
        let done: Vec<_> = (0..3).map(|_| queue.pop().unwrap()).collect();
        for chain in done {
            let (status, _) = *chain.writable.last().unwrap();
            memory.write(status, &[0]);
            queue.push(chain.head, 1);
        }
    });
    assert_eq!(blk.poll(&mut end), 3);
    handle.queue(0, |queue| queue.advance(1000));
    while blk.poll(&mut end) > 0 {}
    assert_eq!(handle.resets(), 2, "before the start, and once after that");
    (blk, memory, ends)
}

#[test]
fn a_disk_that_breaks_ends_what_it_has_and_what_waits() {
    let (mut blk, memory, ends) = broken_with_requests(Options::default());
    assert_eq!(ends[..3], [Some(Ok(())); 3]);
    assert_eq!(ends[3..], [Some(Err(DiskError::DeviceError)); 57]);
    assert_eq!((blk.unfinished(), blk.is_running()), (0, false));
    assert_eq!(blk.submit(Request::flush(), 0), Err(DiskError::DeviceError));
    assert!(!blk.has_pending() && !blk.enable_interrupts());
    drop(blk);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn a_disk_that_does_not_reset_keeps_what_it_has() {
    let options = Options {
        never_resets: true,
        ..Options::default()
    };
    let (mut blk, memory, ends) = broken_with_requests(options);
    assert_eq!(ends[..3], [Some(Ok(())); 3]);
    // The queue has room for eight, and three more took the places of completed ones. A flush has
    // no memory.
    for (token, end) in ends.iter().enumerate().skip(3) {
        let is_kept = token < 11 && token % 3 != 0;
        let expected = (!is_kept).then_some(Err(DiskError::DeviceError));
        assert_eq!(*end, expected, "request {token}");
    }
    assert_eq!((blk.unfinished(), blk.is_running()), (5, false));
    assert_eq!(blk.submit(Request::flush(), 0), Err(DiskError::DeviceError));
    assert!(!blk.has_pending() && !blk.enable_interrupts());
    let before = memory.allocated();
    drop(blk);
    assert_eq!(memory.allocated(), before, "nor is the driver's");
}

fn script() -> impl Strategy<Value = Vec<(usize, Lie)>> {
    let claim = prop_oneof![3 => 0..3000u32, 1 => any::<u32>()];
    let lie = prop_oneof![
        20 => (any::<u8>(), claim)
            .prop_map(|(byte, claim)| Lie::End { bytes: vec![byte % 4; 4096], claim }),
        1 => (prop_oneof![0..70u32, any::<u32>()], any::<u32>())
            .prop_map(|(id, len)| Lie::Bogus { id, len }),
        1 => Just(Lie::Again),
        1 => prop_oneof![0..20u16, any::<u16>()].prop_map(Lie::Jump),
        2 => Just(Lie::Swallow),
    ];
    prop::collection::vec((Just(0usize), lie), 1..100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_lying_disk_is_survived(
        script in script(), features: u64, queue_features: u64, log_size in 0..6u32,
        sizes in prop::collection::vec(1..9000usize, 1..40), offset in 0..600usize,
        seg_max in any::<u32>(), size_max in any::<u32>(),
    ) {
        let memory = HostMemory::new();
        let mut config = vec![0; 24];
        config[2] = 1;
        config[8..12].copy_from_slice(&size_max.to_le_bytes());
        config[12..16].copy_from_slice(&seg_max.to_le_bytes());
        config[21] = 2;
        let mut device =
            Liar::new(DeviceType::BLOCK, features & feature::ALL, config, vec![1 << log_size]);
        device.script = script.into();
        let options = Options {
            features: queue_features & common::QUEUE | common::VERSION_1,
            ..Options::default()
        };
        let (transport, handle) = connect(memory, device, options);
        let mut buffer = vec![0; 600 + 9000];
        if let Ok(mut blk) = Blk::new(Box::new(transport), memory, &BlkConfig::default()) {
            let mut out = HashMap::new();
            for (token, size) in (0u64..).zip(&sizes) {
                let len = (size / SECTOR).max(1) * SECTOR;
                // SAFETY: the memory outlives the disk, and nothing reads it meanwhile.
                let request = unsafe { Request::read(token, place(&mut buffer[offset..]), len) };
                if blk.submit(request, token).is_ok() {
                    out.insert(token, ());
                }
                handle.step();
                blk.poll(&mut |token, _| assert!(out.remove(&token).is_some()));
            }
            let mut rounds = 0;
            while handle.with(|device| !device.script.is_empty()) && rounds < 200 {
                handle.step();
                blk.poll(&mut |token, _| assert!(out.remove(&token).is_some()));
                rounds += 1;
            }
            prop_assert_eq!(blk.unfinished(), out.len());
            prop_assert!(blk.is_running() || out.is_empty(), "a broken disk ends everything");
        }
        prop_assert_eq!(memory.allocated(), 0);
    }
}
