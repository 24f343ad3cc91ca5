//! Adapters that break the protocol, or never answer.

use std::collections::HashMap;

use super::*;

/// An adapter that was broken by `lie`, with requests in flight and waiting.
fn broken(lie: PvscsiLie) -> (Scsi, PvscsiHandle, &'static HostMemory, usize) {
    let (mut scsi, handle, memory) =
        start(PvscsiDevice::new([(UNIT, LogicalUnit::new(4096, 512))]));
    unit(&handle, |unit| unit.stuck = true);
    let bytes = Vec::leak(vec![0; 512]);
    for token in 0..200 {
        let request = match token % 2 {
            0 => Request::flush(),
            // SAFETY: the memory stays.
            _ => unsafe { Request::read(token, place(bytes), 512) },
        };
        scsi.submit(0, request, token).unwrap();
    }
    scsi.kick();
    handle.with(|device| device.lies.push_back(Some(lie)));
    unit(&handle, |unit| unit.stuck = false);
    handle.step();
    let mut ended = 0;
    // Registers are read now and then only.
    for _ in 0..200 {
        scsi.poll(&mut |_, _, result| {
            assert!(matches!(result, Ok(()) | Err(DiskError::DeviceError)));
            ended += 1;
        });
    }
    (scsi, handle, memory, ended)
}

#[test]
fn an_adapter_that_breaks_ends_all_requests() {
    let lies = [
        PvscsiLie::Context(0),
        PvscsiLie::Context(1),
        PvscsiLie::Context(128),
        PvscsiLie::Context(129),
        PvscsiLie::Context(u64::MAX),
        PvscsiLie::Context(1 << 32 | 1),
        PvscsiLie::Twice,
        PvscsiLie::Produced(1000),
        PvscsiLie::Produced(1 << 31),
        PvscsiLie::Messages(33),
        PvscsiLie::Gone,
    ];
    for lie in lies {
        let (mut scsi, _, memory, ended) = broken(lie.clone());
        assert_eq!(
            (ended, scsi.unfinished(), scsi.is_running()),
            (200, 0, false),
            "{lie:?}"
        );
        let refused = run(&mut scsi, 0, Request::flush());
        assert_eq!(refused, Err(DiskError::DeviceError));
        assert!(!scsi.has_pending() && !scsi.enable_interrupts());
        drop(scsi);
        assert_eq!(memory.allocated(), 0);
    }
}

#[test]
fn an_adapter_that_does_not_reset_keeps_what_it_has() {
    let (mut scsi, handle, memory) =
        start(PvscsiDevice::new([(UNIT, LogicalUnit::new(4096, 512))]));
    unit(&handle, |unit| unit.stuck = true);
    let bytes = Vec::leak(vec![0; 512]);
    // SAFETY: the memory stays.
    let request = unsafe { Request::read(0, place(bytes), 512) };
    scsi.submit(0, request, 1).unwrap();
    scsi.submit(0, Request::flush(), 2).unwrap();
    scsi.kick();
    handle.with(|device| {
        device.never_resets = true;
        device.lies.push_back(Some(PvscsiLie::Context(7)));
    });
    unit(&handle, |unit| unit.stuck = false);
    handle.step();
    let mut ended = Vec::new();
    scsi.poll(&mut |_, token, result| ended.push((token, result)));
    // A flush has no memory.
    assert_eq!(ended, [(2, Err(DiskError::DeviceError))]);
    let before = memory.allocated();
    drop(scsi);
    assert_eq!(memory.allocated(), before, "leaked, not freed");
}

fn lie() -> impl Strategy<Value = Option<PvscsiLie>> {
    prop_oneof![
        40 => Just(None),
        1 => (0..200u64).prop_map(|context| Some(PvscsiLie::Context(context))),
        1 => any::<u64>().prop_map(|context| Some(PvscsiLie::Context(context))),
        1 => Just(Some(PvscsiLie::Twice)),
        2 => Just(Some(PvscsiLie::Swallow)),
        3 => (0..0x40u16, any::<u16>()).prop_map(|(a, b)| Some(PvscsiLie::Status(a, b))),
        3 => (any::<u64>(), any::<u32>()).prop_map(|(a, b)| Some(PvscsiLie::Lengths(a, b))),
        1 => any::<u32>().prop_map(|by| Some(PvscsiLie::Produced(by))),
        1 => (0..40u32).prop_map(|by| Some(PvscsiLie::Messages(by))),
        1 => Just(Some(PvscsiLie::Gone)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Each request ends once at most, nothing panics, the driver touches only its own memory, and
    /// a broken adapter ends everything.
    #[test]
    fn a_lying_adapter_is_survived(
        lies in prop::collection::vec(lie(), 0..200), has_messages: bool, queue_size in 0..200u16,
        sizes in prop::collection::vec((0..4096u64, 1..9000usize, 0..4usize), 1..40),
        offset in 0..600usize, steps: bool,
    ) {
        let memory = HostMemory::new();
        let units = [(0, 0), (2, 1)].map(|at| (at, LogicalUnit::new(4096, 512)));
        let device = PvscsiDevice {
            has_messages,
            lies: lies.into_iter().collect(),
            ..PvscsiDevice::new(units)
        };
        let (registers, handle) = device.connect(memory);
        let mut buffer = vec![0; 600 + 9000];
        let config = ScsiConfig { queue_size, ..ScsiConfig::default() };
        let mut scsi = new(Box::new(registers), memory, &config).unwrap();
        scsi.begin();
        for _ in 0..100 {
            handle.step();
            scsi.poll(&mut |_, _, _| panic!("nothing was submitted"));
        }
        scsi.end_search();
        let mut out = HashMap::new();
        for (token, (sector, size, kind)) in (0u64..).zip(&sizes) {
            let disk = token as usize % scsi.disks().max(1);
            let len = (size / 512 * 512).clamp(512, 8704);
            let at = place(&mut buffer[offset..]);
            let request = match kind {
                0 => Request::flush(),
                1 => Request::clear(Clear::Discard, *sector, (len / 512) as u64),
                // SAFETY: the memory outlives the adapter, and nothing reads it meanwhile.
                2 => unsafe { Request::read(*sector, at, len) },
                // SAFETY: as above.
                _ => unsafe { Request::write(*sector, at, len) },
            };
            if scsi.submit(disk, request, token).is_ok() {
                out.insert(token, disk);
            }
            if !steps || token % 5 == 0 {
                handle.step();
                scsi.poll(&mut |disk, token, _| assert_eq!(out.remove(&token), Some(disk)));
                let _ = scsi.enable_interrupts();
            }
        }
        for _ in 0..300 {
            handle.step();
            scsi.poll(&mut |disk, token, _| assert_eq!(out.remove(&token), Some(disk)));
        }
        prop_assert_eq!(scsi.unfinished(), out.len());
        prop_assert!(scsi.is_running() || out.is_empty(), "a broken adapter ends everything");
        drop(scsi);
        prop_assert_eq!(memory.allocated(), 0);
    }
}
