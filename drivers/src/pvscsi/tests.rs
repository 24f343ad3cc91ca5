use std::boxed::Box;
use std::ptr::NonNull;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::new;
use crate::Error;
use crate::disk::{Clear, Controller, DiskError, Request, SECTOR};
use crate::fake::{HostMemory, LogicalUnit, PvscsiDevice, PvscsiHandle, PvscsiLie};
use crate::scsi::{Scsi, ScsiConfig};

mod hostile;
mod rings;

/// The address of the only unit of most adapters.
const UNIT: (u8, u16) = (0, 0);

fn start(device: PvscsiDevice) -> (Scsi, PvscsiHandle, &'static HostMemory) {
    let memory = HostMemory::new();
    let (registers, handle) = device.connect(memory);
    let mut scsi = new(Box::new(registers), memory, &ScsiConfig::default()).unwrap();
    scsi.begin();
    for _ in 0..1000 {
        if scsi.is_ready() {
            return (scsi, handle, memory);
        }
        scsi.poll(&mut |_, _, _| ());
    }
    panic!("the search never ends");
}

fn one(unit: LogicalUnit) -> (Scsi, PvscsiHandle) {
    let (scsi, handle, _) = start(PvscsiDevice::new([(UNIT, unit)]));
    (scsi, handle)
}

fn unit(handle: &PvscsiHandle, change: impl FnOnce(&mut LogicalUnit)) {
    handle.with(|device| change(device.adapter.units.get_mut(&UNIT).unwrap()));
}

fn place(bytes: &mut [u8]) -> NonNull<u8> {
    NonNull::new(bytes.as_mut_ptr()).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 512) as u8).collect()
}

/// Runs one request of a disk to its end.
fn run(scsi: &mut Scsi, disk: usize, request: Request) -> Result<(), DiskError> {
    scsi.submit(disk, request, 77)?;
    let mut result = None;
    for _ in 0..10_000 {
        scsi.poll(&mut |number, token, ended| {
            assert_eq!((number, token), (disk, 77));
            assert!(result.replace(ended).is_none(), "ended twice");
        });
        if let Some(result) = result {
            return result;
        }
    }
    panic!("the request never ends");
}

fn read(scsi: &mut Scsi, disk: usize, sector: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::read(sector, place(bytes), bytes.len()) };
    run(scsi, disk, request)
}

fn write(scsi: &mut Scsi, disk: usize, sector: u64, bytes: &mut [u8]) -> Result<(), DiskError> {
    // SAFETY: `run` waits for completion.
    let request = unsafe { Request::write(sector, place(bytes), bytes.len()) };
    run(scsi, disk, request)
}

#[test]
fn disks_of_any_target_keep_what_is_written() {
    let units = [
        ((0, 0), LogicalUnit::new(4096, 512)),
        ((3, 7), LogicalUnit::new(512, 4096)),
        ((64, 0), LogicalUnit::new(64, 512)),
    ];
    let (mut scsi, handle, memory) = start(PvscsiDevice::new(units));
    assert_eq!(scsi.disks(), 3);
    for (disk, at) in [(0, (0, 0)), (1, (3, 7))] {
        let block = scsi.geometry(disk).block_size;
        let mut bytes = pattern(300 * 1024);
        let skew = bytes.as_ptr().align_offset(block);
        for (skew, len) in [(skew, block), (skew, 256 * 1024), (skew + 1, 3 * block)] {
            let piece = &mut bytes[skew..skew + len];
            write(&mut scsi, disk, 8, piece).unwrap();
            handle.with(|device| {
                assert!(device.adapter.units[&at].data[8 * 512..][..len] == *piece);
            });
            let mut back = vec![0; len];
            read(&mut scsi, disk, 8, &mut back).unwrap();
            assert!(back == piece, "{len} bytes");
        }
        run(&mut scsi, disk, Request::flush()).unwrap();
    }
    drop(scsi);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn segments_are_as_many_as_a_list_has_room_for() {
    let (mut scsi, handle) = one(LogicalUnit::new(4096, 512));
    let mut bytes = pattern((1 << 20) + SECTOR);
    // Blocks of memory, so that nothing bounces.
    let skew = bytes.as_ptr().align_offset(SECTOR);
    write(&mut scsi, 0, 0, &mut bytes[skew..skew + (1 << 20)]).unwrap();
    unit(&handle, |unit| {
        assert_eq!(unit.most_segments, 128);
        assert!(unit.done.0 <= 3, "{} commands for 1 MiB", unit.done.0);
    });
}

#[test]
fn one_doorbell_serves_many_commands_of_either_kind() {
    let (mut scsi, handle) = one(LogicalUnit::new(4096, 512));
    unit(&handle, |unit| unit.stuck = true);
    let bytes = Vec::leak(vec![0; SECTOR]);
    let (transfers, others) = handle.kicks();
    for token in 0..200 {
        // SAFETY: the memory stays.
        let request = unsafe { Request::read(token, place(bytes), SECTOR) };
        scsi.submit(0, request, token).unwrap();
    }
    scsi.kick();
    scsi.kick();
    assert_eq!(
        (handle.kicks(), handle.held()),
        ((transfers + 1, others), 128)
    );
    unit(&handle, |unit| unit.stuck = false);
    handle.step();
    let mut ended = 0;
    while ended < 200 {
        ended += scsi.poll(&mut |_, _, result| result.unwrap());
    }
    let (transfers, _) = handle.kicks();
    run(&mut scsi, 0, Request::flush()).unwrap();
    assert_eq!(handle.kicks(), (transfers, others + 1));
}

#[test]
fn one_doorbell_announces_transfers_with_another_command_in_any_order() {
    for order in [[true, false], [false, true]] {
        let units = [(0, 0), (1, 0)].map(|at| (at, LogicalUnit::new(64, 512)));
        let (mut scsi, handle, _) = start(PvscsiDevice::new(units));
        let bytes = Vec::leak(vec![0; SECTOR]);
        let (transfers, others) = handle.kicks();
        for (disk, is_transfer) in order.into_iter().enumerate() {
            let request = match is_transfer {
                // SAFETY: the memory stays.
                true => unsafe { Request::read(0, place(bytes), SECTOR) },
                false => Request::flush(),
            };
            scsi.submit(disk, request, 0).unwrap();
        }
        scsi.kick();
        assert_eq!(handle.kicks(), (transfers, others + 1), "{order:?}");
        assert_eq!(scsi.poll(&mut |_, _, result| result.unwrap()), 2);
    }
}

#[test]
fn a_waiting_driver_is_interrupted() {
    let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
    unit(&handle, |unit| unit.stuck = true);
    scsi.submit(0, Request::flush(), 1).unwrap();
    scsi.kick();
    assert!(!scsi.enable_interrupts() && !scsi.has_pending());
    let before = handle.interrupts();
    unit(&handle, |unit| unit.stuck = false);
    handle.step();
    assert_eq!(handle.interrupts() - before, 1);
    assert!(scsi.has_pending() && scsi.enable_interrupts());
    assert_eq!(scsi.poll(&mut |_, _, _| ()), 1);
    assert!(!scsi.has_pending() && !scsi.enable_interrupts());
    // A message interrupts as well.
    handle.send(0, (9, 0));
    assert_eq!(handle.interrupts() - before, 2);
    assert!(scsi.has_pending());
    scsi.poll(&mut |_, _, _| ());
    assert!(!scsi.has_pending());
}

#[test]
fn conditions_of_a_unit_are_repeated() {
    let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
    unit(&handle, |unit| unit.conditions.extend([[6, 0x29, 0]; 5]));
    write(&mut scsi, 0, 0, &mut pattern(512)).unwrap();
    unit(&handle, |unit| unit.busy = 5);
    read(&mut scsi, 0, 0, &mut [0; 512]).unwrap();
    unit(&handle, |unit| unit.bad = [3].into());
    assert_eq!(read(&mut scsi, 0, 3, &mut [0; 512]), Err(DiskError::Medium));
    unit(&handle, |unit| unit.short = true);
    assert_eq!(read(&mut scsi, 0, 4, &mut [0; 1024]), Err(DiskError::Io));
}

#[test]
fn the_adapter_s_status_names_the_error() {
    let cases = [
        (0x0a, 0, Ok(())),
        (0x0b, 0, Ok(())),
        (0x00, 0x18, Err(DiskError::Io)),
        (0x00, 0x100, Err(DiskError::Io)),
        (0x0c, 0, Err(DiskError::Io)),
        (0x12, 0, Err(DiskError::Io)),
        (0x1a, 0, Err(DiskError::Io)),
        (0x11, 0, Err(DiskError::Removed)),
    ];
    for (host, status, expected) in cases {
        let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
        handle.with(|device| {
            let lie = Some(PvscsiLie::Status(host, status));
            device.lies.push_back(lie);
        });
        let result = read(&mut scsi, 0, 0, &mut [0; 512]);
        assert_eq!(result, expected, "{host:#x}, {status:#x}");
    }
    // A reset of the bus, and an abort: once more.
    for host in [0x22, 0x23, 0x25, 0x26] {
        let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
        handle.with(|device| device.lies.push_back(Some(PvscsiLie::Status(host, 0))));
        read(&mut scsi, 0, 0, &mut [0; 512]).unwrap();
    }
}

#[test]
fn lengths_that_an_adapter_does_not_know_are_zeros() {
    for (transferred, expected) in [(0, Ok(())), (512, Ok(())), (511, Err(DiskError::Io))] {
        let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
        let lie = Some(PvscsiLie::Lengths(transferred, 0));
        handle.with(|device| device.lies.push_back(lie));
        let result = read(&mut scsi, 0, 0, &mut [0; 512]);
        assert_eq!(result, expected, "{transferred} bytes");
    }
}

/// Two disks, the first with requests in flight and waiting.
fn busy(has_messages: bool) -> (Scsi, PvscsiHandle) {
    let units = [(0, 0), (1, 0)].map(|at| (at, LogicalUnit::new(4096, 512)));
    let device = PvscsiDevice {
        has_messages,
        ..PvscsiDevice::new(units)
    };
    let (mut scsi, handle, _) = start(device);
    unit(&handle, |unit| unit.stuck = true);
    let bytes = Vec::leak(vec![0; 512]);
    for token in 0..200 {
        // SAFETY: the memory stays.
        let request = unsafe { Request::read(token, place(bytes), 512) };
        scsi.submit(0, request, token).unwrap();
    }
    scsi.kick();
    assert_eq!(scsi.poll(&mut |_, _, _| ()), 0);
    (scsi, handle)
}

#[test]
fn a_removal_ends_all_requests_whether_it_is_announced_or_not() {
    for has_messages in [true, false] {
        let (mut scsi, handle) = busy(has_messages);
        handle.remove(UNIT);
        let mut ended = Vec::new();
        for _ in 0..20 {
            handle.step();
            scsi.poll(&mut |disk, token, result| {
                assert_eq!((disk, result), (0, Err(DiskError::Removed)));
                ended.push(token);
            });
        }
        ended.sort_unstable();
        assert!(ended.into_iter().eq(0..200), "each ends once");
        assert_eq!(run(&mut scsi, 0, Request::flush()), Err(DiskError::Removed));
        write(&mut scsi, 1, 0, &mut pattern(512)).unwrap();
        assert!(scsi.is_running());
    }
}

#[test]
fn messages_of_other_units_and_kinds_change_nothing() {
    let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
    for round in 0..40 {
        handle.send(0, UNIT);
        handle.send(7, UNIT);
        handle.send(1, (0, round + 1));
        scsi.poll(&mut |_, _, _| ());
    }
    read(&mut scsi, 0, 0, &mut [0; 512]).unwrap();
    handle.send(1, UNIT);
    scsi.poll(&mut |_, _, _| ());
    assert_eq!(run(&mut scsi, 0, Request::flush()), Err(DiskError::Removed));
}

#[test]
fn an_adapter_that_cannot_be_started_says_why() {
    let gone = PvscsiDevice {
        gone: true,
        ..PvscsiDevice::new([])
    };
    let memory = HostMemory::new();
    let (registers, _) = gone.connect(memory);
    let started = new(Box::new(registers), memory, &ScsiConfig::default());
    assert_eq!(started.err(), Some(Error::Gone));
    let mut limit = 0;
    loop {
        let memory = HostMemory::new();
        memory.limit(limit);
        let (registers, _) = PvscsiDevice::new([]).connect(memory);
        match new(Box::new(registers), memory, &ScsiConfig::default()) {
            Err(error) => assert_eq!((error, memory.allocated()), (Error::OutOfMemory, 0)),
            Ok(_) => break,
        }
        limit += 4000;
    }
    assert!(limit > 100_000);
}
