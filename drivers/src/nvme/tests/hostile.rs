//! Controllers that fail, are removed, or break the protocol.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Reads, writes and flushes, three of which the controller completes; then `breaks` is done to it.
/// Returns how each ended, in the order of submission.
#[allow(clippy::type_complexity)]
fn broken_with_requests(
    breaks: &dyn Fn(&NvmeHandle),
) -> (
    Nvme,
    NvmeHandle,
    &'static HostMemory,
    Vec<Option<Result<(), DiskError>>>,
) {
    let stuck = NvmeDevice {
        stuck: true,
        capabilities: device().capabilities & !0xffff | 7,
        ..device()
    };
    let (mut nvme, handle, memory) = start_with(stuck, &NvmeConfig::default());
    // Never freed: the controller may keep it.
    let buffer = Vec::leak(vec![0; 61 * SECTOR]);
    let skew = buffer.as_ptr().align_offset(SECTOR);
    let mut ends = vec![None; 60];
    let pieces = buffer[skew..].chunks_exact_mut(SECTOR).take(60);
    for (token, piece) in (0u64..).zip(pieces) {
        let request = match token % 3 {
            0 => Request::flush(),
            // SAFETY: the memory stays.
            1 => unsafe { Request::write(token, place(piece), SECTOR) },
            // SAFETY: as above.
            _ => unsafe { Request::read(token, place(piece), SECTOR) },
        };
        nvme.submit(0, request, token).unwrap();
    }
    nvme.kick();
    assert_eq!(handle.held(), 7);
    for id in 0..3 {
        handle.post(1, id);
    }
    let mut end = |_, token: u64, result| {
        let end: &mut Option<_> = &mut ends[token as usize];
        assert!(end.replace(result).is_none(), "ended twice");
    };
    assert_eq!(nvme.poll(&mut end), 3);
    breaks(&handle);
    // The status is read now and then only.
    for _ in 0..200 {
        nvme.poll(&mut end);
    }
    assert!(!nvme.is_running());
    (nvme, handle, memory, ends)
}

/// What each of them does to a controller.
fn breaks() -> Vec<&'static dyn Fn(&NvmeHandle)> {
    vec![
        &|handle| handle.with(|device| device.fatal = true),
        &|handle| handle.with(|device| device.gone = true),
        // An identifier that no command has, one that doesn't exist, and another queue's.
        &|handle| handle.post(1, 200),
        &|handle| handle.post(1, u16::MAX),
        &|handle| handle.post(1, 1 << 8 | 1),
        &|handle| {
            handle.post(1, 4);
            handle.post(1, 4);
        },
    ]
}

#[test]
fn a_controller_that_breaks_ends_what_it_has_and_what_waits() {
    for (which, breaks) in breaks().into_iter().enumerate() {
        let (mut nvme, _, memory, ends) = broken_with_requests(breaks);
        assert_eq!(ends[..3], [Some(Ok(())); 3]);
        let failed = ends
            .iter()
            .filter(|end| **end == Some(Err(DiskError::DeviceError)));
        let expected = if which == 5 { 56 } else { 57 };
        assert_eq!(failed.count(), expected, "breakage {which}");
        assert_eq!(nvme.unfinished(), 0);
        let refused = nvme.submit(0, Request::flush(), 0);
        assert_eq!(refused, Err(DiskError::DeviceError));
        assert!(!nvme.has_pending() && !nvme.enable_interrupts());
        drop(nvme);
        assert_eq!(memory.allocated(), 0);
    }
}

/// A flush whose completion comes after the first poll for it. Returns how many reads of the status
/// it took.
fn status_reads_of_a_flush(nvme: &mut Nvme, handle: &NvmeHandle) -> usize {
    let before = handle.status_reads();
    nvme.submit(0, Request::flush(), 1).unwrap();
    nvme.kick();
    assert_eq!(nvme.poll(&mut |_, _, _| ()), 0);
    assert!(!nvme.enable_interrupts());
    handle.with(|device| device.stuck = false);
    handle.step();
    handle.with(|device| device.stuck = true);
    assert_eq!(nvme.poll(&mut |_, _, result| result.unwrap()), 1);
    handle.status_reads() - before
}

#[test]
fn the_status_is_read_after_a_pause_and_after_a_wait_without_an_answer() {
    let stuck = NvmeDevice {
        stuck: true,
        ..device()
    };
    let (mut nvme, handle) = start(stuck);
    assert_eq!(status_reads_of_a_flush(&mut nvme, &handle), 1);
    for _ in 0..3 {
        assert_eq!(status_reads_of_a_flush(&mut nvme, &handle), 0);
    }
    // The program waits for something else.
    assert!(!nvme.enable_interrupts());
    assert_eq!(status_reads_of_a_flush(&mut nvme, &handle), 1);
    nvme.submit(0, Request::flush(), 1).unwrap();
    nvme.kick();
    handle.with(|device| device.gone = true);
    assert_eq!(nvme.poll(&mut |_, _, _| ()), 0);
    assert!(!nvme.enable_interrupts() && nvme.is_running());
    let failed = Err(DiskError::DeviceError);
    assert_eq!(nvme.poll(&mut |_, _, result| assert_eq!(result, failed)), 1);
}

#[test]
fn what_ended_before_the_controller_broke_keeps_its_result() {
    let stuck = NvmeDevice {
        stuck: true,
        ..device()
    };
    let (mut nvme, handle) = start(stuck);
    for token in 0..3 {
        nvme.submit(0, Request::flush(), token).unwrap();
    }
    nvme.kick();
    handle.post(1, 0);
    handle.post(1, 5000);
    let mut ends = Vec::new();
    nvme.poll(&mut |_, token, end| ends.push((token, end)));
    let broken = Err(DiskError::DeviceError);
    assert_eq!(ends, [(0, Ok(())), (1, broken), (2, broken)]);
}

#[test]
fn a_controller_that_does_not_reset_keeps_what_it_has_until_it_does() {
    let never = |handle: &NvmeHandle| {
        handle.with(|device| (device.never_resets, device.fatal) = (true, true));
    };
    let (mut nvme, handle, memory, ends) = broken_with_requests(&never);
    assert_eq!(ends[..3], [Some(Ok(())); 3]);
    // The queue has room for seven, and three more took the places of completed ones. A flush has
    // no memory.
    for (token, end) in ends.iter().enumerate().skip(3) {
        let is_kept = token < 10 && token % 3 != 0;
        let expected = (!is_kept).then_some(Err(DiskError::DeviceError));
        assert_eq!(*end, expected, "request {token}");
    }
    assert_eq!(nvme.unfinished(), 4);
    assert!(!nvme.has_pending() && !nvme.enable_interrupts());
    handle.with(|device| device.never_resets = false);
    let mut late = Vec::new();
    nvme.poll(&mut |_, token, end| late.push((token, end)));
    late.sort_unstable_by_key(|(token, _)| *token);
    let broken = Err(DiskError::DeviceError);
    assert_eq!(late, [4, 5, 7, 8].map(|token| (token, broken)));
    drop(nvme);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn memory_of_a_controller_that_never_resets_is_never_freed() {
    let never = |handle: &NvmeHandle| {
        handle.with(|device| (device.never_resets, device.fatal) = (true, true));
    };
    let (nvme, _, memory, _) = broken_with_requests(&never);
    let before = memory.allocated();
    drop(nvme);
    assert_eq!(memory.allocated(), before);
}

/// A stop waits as long as the controller may take (CAP.TO), and no longer than a second.
#[test]
fn a_stop_has_a_time_limit() {
    const MS: u64 = 1_000_000;
    for (unit, least) in [(1, 500 * MS), (2, 1000 * MS), (255, 1000 * MS)] {
        let mut device = device();
        device.capabilities = device.capabilities & !(0xff << 24) | unit << 24;
        let (nvme, handle, memory) = start_with(device, &NvmeConfig::default());
        handle.with(|device| device.never_resets = true);
        let before = crate::Memory::now_ns(memory);
        drop(nvme);
        let took = crate::Memory::now_ns(memory) - before;
        assert!((least..least + 100 * MS).contains(&took), "{unit}: {took}");
    }
}

#[test]
fn completions_that_nothing_asked_for_do_not_keep_the_machine_awake() {
    let (mut nvme, handle) = start(device());
    // Of the admin queue, which has no command: ignored until it has.
    handle.post(0, 0);
    assert!(!nvme.has_pending() && !nvme.enable_interrupts());
    nvme.poll(&mut |_, _, _| ());
    assert!(nvme.is_running());
    run(&mut nvme, 0, Request::flush()).unwrap();
    // Of the I/O queue: the protocol is broken.
    handle.post(1, 0);
    nvme.poll(&mut |_, _, _| ());
    assert!(!nvme.is_running() && !nvme.has_pending());
}

fn lie() -> impl Strategy<Value = Option<NvmeLie>> {
    let id = prop_oneof![0..4u16, any::<u16>()];
    prop_oneof![
        30 => Just(None),
        1 => id.clone().prop_map(|id| Some(NvmeLie::Id(id))),
        1 => id.prop_map(|number| Some(NvmeLie::Queue(number))),
        1 => Just(Some(NvmeLie::Twice)),
        1 => Just(Some(NvmeLie::Swallow)),
        2 => (0..0x800u16).prop_map(|status| Some(NvmeLie::Status(status))),
        1 => Just(Some(NvmeLie::Phase)),
        1 => Just(Some(NvmeLie::Fatal)),
        1 => Just(Some(NvmeLie::Gone)),
    ]
}

/// Offsets of the fields that the driver reads.
const FIELDS: [u16; 15] = [
    0, 4, 24, 26, 33, 68, 77, 99, 111, 128, 132, 512, 516, 520, 525,
];

/// An answer with other bytes at a field that matters, or anywhere.
fn answer() -> impl Strategy<Value = Option<NvmeLie>> {
    let at = prop_oneof![3 => prop::sample::select(&FIELDS[..]), 1 => 0..4096u16];
    let bytes = prop::collection::vec(any::<u8>(), 1..16);
    prop_oneof![
        4 => Just(None),
        1 => (at, bytes).prop_map(|(at, bytes)| Some(NvmeLie::Answer(at, bytes))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Each request ends once at most, nothing panics, the driver touches only its own memory, and
    /// a broken controller ends everything.
    #[test]
    fn a_lying_controller_is_survived(
        starts in prop::collection::vec(prop_oneof![5 => answer(), 1 => lie()], 0..9),
        lies in prop::collection::vec(lie(), 0..100),
        capabilities: u64, version in prop_oneof![Just(0x1_00_00), Just(0x1_04_00), any::<u32>()],
        sizes in prop::collection::vec((0..4096u64, 1..9000usize, any::<bool>()), 1..40),
        offset in 0..600usize, steps: bool, entries in 0..40u64,
    ) {
        let memory = HostMemory::new();
        let usual = device().capabilities;
        let device = NvmeDevice {
            // Any doorbell stride, number of entries and timeout.
            capabilities: usual & !0xffff | entries | capabilities & 0xf_ff00_0000,
            version,
            stuck: steps,
            lies: starts.into_iter().collect(),
            ..device()
        };
        let (registers, handle) = device.connect(memory);
        let mut buffer = vec![0; 600 + 9000];
        if let Ok(mut nvme) = Nvme::new(Box::new(registers), memory, &NvmeConfig::default()) {
            nvme.begin();
            for _ in 0..50 {
                nvme.poll(&mut |_, _, _| panic!("no request was made"));
            }
            handle.with(|device| device.lies.extend(lies));
            let mut out = HashMap::new();
            for (token, (sector, size, is_write)) in (0u64..).zip(&sizes) {
                let disk = token as usize % nvme.disks().max(1);
                let block = nvme.geometry(disk).block_size;
                let len = (size / block * block).clamp(block.min(9000), 9000);
                let at = place(&mut buffer[offset..]);
                let request = match is_write {
                    // SAFETY: the memory outlives the controller, and nothing reads it meanwhile.
                    false => unsafe { Request::read(*sector, at, len) },
                    // SAFETY: as above.
                    true => unsafe { Request::write(*sector, at, len) },
                };
                if nvme.submit(disk, request, token).is_ok() {
                    out.insert(token, ());
                }
                if token % 4 == 0 {
                    nvme.refresh(disk).unwrap();
                }
                handle.with(|device| device.stuck = steps && token % 5 != 0);
                handle.step();
                nvme.poll(&mut |_, token, _| assert!(out.remove(&token).is_some()));
            }
            handle.with(|device| device.stuck = false);
            for _ in 0..200 {
                handle.step();
                nvme.poll(&mut |_, token, _| assert!(out.remove(&token).is_some()));
            }
            prop_assert_eq!(nvme.unfinished(), out.len());
            prop_assert!(nvme.is_running() || out.is_empty(), "a broken one ends everything");
        }
        prop_assert_eq!(memory.allocated(), 0);
    }
}
