use std::boxed::Box;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Scsi, ScsiConfig};
use crate::device::feature as common;
use crate::device_type::DeviceType;
use crate::disk::{Clear, Controller, DiskError, Request, SECTOR};
use crate::fake::{Handle, HostBusAdapter, HostMemory, Liar, Lie, LogicalUnit, Options, connect};

mod answers;
mod hostile;
mod removal;

/// The address of the only unit of most adapters.
const UNIT: (u8, u16) = (0, 0);

fn unready(adapter: HostBusAdapter, options: Options) -> (Scsi, Handle<HostBusAdapter>) {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, adapter, options);
    let scsi = Scsi::new(Box::new(transport), memory, &ScsiConfig::default()).unwrap();
    (scsi, handle)
}

/// An adapter whose disks have been found.
fn start(adapter: HostBusAdapter, options: Options) -> (Scsi, Handle<HostBusAdapter>) {
    let (mut scsi, handle) = unready(adapter, options);
    find(&mut scsi);
    (scsi, handle)
}

fn find(scsi: &mut Scsi) {
    scsi.begin();
    for _ in 0..1000 {
        if scsi.is_ready() {
            return;
        }
        scsi.poll(&mut |_, _, _| ());
    }
    panic!("the search never ends");
}

fn one(unit: LogicalUnit) -> (Scsi, Handle<HostBusAdapter>) {
    start(HostBusAdapter::new([(UNIT, unit)]), Options::default())
}

fn place(bytes: &mut [u8]) -> NonNull<u8> {
    NonNull::new(bytes.as_mut_ptr()).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 512) as u8).collect()
}

/// Runs one request of a disk to completion.
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

/// All variants of an adapter with one disk.
fn adapters() -> Vec<(HostBusAdapter, Options)> {
    let [modern, plain, no_indirect] = Options::modern();
    let disk = |block| HostBusAdapter::new([(UNIT, LogicalUnit::new(4096 * 512 / block, block))]);
    let one_segment = || HostBusAdapter {
        seg_max: 1,
        ..disk(512)
    };
    let limited = || HostBusAdapter {
        max_sectors: 24,
        ..disk(4096)
    };
    let small = |size| HostBusAdapter { size, ..disk(512) };
    vec![
        (disk(512), modern),
        (disk(512), plain),
        (disk(512), no_indirect),
        (disk(4096), modern),
        (disk(4096), no_indirect),
        (small(4), modern),
        (small(4), no_indirect),
        (small(8), plain),
        (one_segment(), modern),
        (one_segment(), plain),
        (limited(), modern),
        (limited(), no_indirect),
        (
            disk(512),
            Options {
                features: 0,
                legacy: true,
                ..modern
            },
        ),
        // Google's.
        (small(8192), Options::legacy_pci(0)),
        (
            small(8192),
            Options::legacy_pci(common::INDIRECT_DESC | common::EVENT_IDX),
        ),
    ]
}

#[test]
fn every_kind_of_adapter_keeps_what_is_written() {
    for (adapter, options) in adapters() {
        let (mut scsi, handle) = start(adapter, options);
        let block = scsi.geometry(0).block_size;
        let mut memory = pattern(700 * 1024);
        let aligned = memory.as_ptr().align_offset(block);
        // Aligned to blocks and not, short and long.
        for (first, offset, blocks) in [(0, 0, 1), (5, 1, 2), (7, 4095, 16), (9, block, 128)] {
            let (sector, len) = ((first * block / SECTOR) as u64, blocks * block);
            let bytes = &mut memory[aligned + offset..][..len];
            write(&mut scsi, 0, sector, bytes).unwrap();
            handle.with(|adapter| {
                assert!(adapter.units[&UNIT].data[first * block..][..len] == *bytes);
            });
            let mut back = vec![0; len + block + 1];
            let skew = back.as_ptr().align_offset(block) + offset % 2;
            read(&mut scsi, 0, sector, &mut back[skew..][..len]).unwrap();
            assert!(
                back[skew..][..len] == *bytes,
                "{options:?}, {blocks} blocks at {first}"
            );
        }
        run(&mut scsi, 0, Request::flush()).unwrap();
        assert_eq!(handle.with(|adapter| adapter.units[&UNIT].done.1), 1);
        assert!(scsi.is_running());
    }
}

#[test]
fn segments_are_as_many_as_with_a_virtio_disk() {
    let (mut scsi, handle) = one(LogicalUnit::new(4096, 512));
    let mut bytes = pattern((1 << 20) + SECTOR);
    // Blocks of memory, so that nothing bounces.
    let skew = bytes.as_ptr().align_offset(SECTOR);
    write(&mut scsi, 0, 0, &mut bytes[skew..skew + (1 << 20)]).unwrap();
    handle.with(|adapter| {
        let unit = &adapter.units[&UNIT];
        assert_eq!(unit.most_segments, 126);
        assert!(unit.done.0 <= 3, "{} commands for 1 MiB", unit.done.0);
    });
}

#[test]
fn a_command_is_no_longer_than_the_adapter_and_the_unit_allow() {
    for (max_sectors, transfer, expected) in [(64, 0, 8), (65535, 3, 3), (1, 0, 1), (40, 64, 5)] {
        let unit = LogicalUnit {
            limits: (transfer, 64),
            ..LogicalUnit::new(64, 4096)
        };
        let adapter = HostBusAdapter {
            // An answer of the search is a sector at most, a block is more.
            max_sectors: max_sectors.max(8),
            ..HostBusAdapter::new([(UNIT, unit)])
        };
        let (mut scsi, handle) = start(adapter, Options::default());
        write(&mut scsi, 0, 0, &mut pattern(64 * 4096)).unwrap();
        let most = handle.with(|adapter| adapter.units[&UNIT].most_blocks);
        assert_eq!(most, expected, "{max_sectors} sectors, {transfer} blocks");
    }
}

#[test]
fn many_requests_are_in_flight_and_end_in_any_order() {
    let (mut scsi, handle) = one(LogicalUnit::new(4096, 512));
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = true);
    let rung = handle.queue(2, |q| q.notifications);
    let mut buffers: Vec<Vec<u8>> = (0..200).map(|_| vec![0; SECTOR]).collect();
    for (sector, buffer) in (0u64..).zip(&mut buffers) {
        // SAFETY: the buffers live until all requests have completed.
        let request = unsafe { Request::read(sector, place(buffer), SECTOR) };
        scsi.submit(0, request, sector).unwrap();
    }
    scsi.kick();
    assert_eq!(
        handle.queue(2, |q| q.notifications) - rung,
        1,
        "one doorbell"
    );
    let held = handle.with(|adapter| adapter.held.len());
    assert_eq!(held, 128, "as many as a virtio disk has");
    assert_eq!(scsi.poll(&mut |_, _, _| ()), 0);
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = false);
    handle.step();
    let mut ended = Vec::new();
    for _ in 0..3 {
        scsi.poll(&mut |_, token, result| {
            result.unwrap();
            ended.push(token);
        });
    }
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..200));
    assert_eq!(scsi.unfinished(), 0);
}

/// An adapter may take fewer commands of a unit than its queue has room for.
#[test]
fn a_unit_has_as_many_commands_as_the_adapter_allows() {
    for per_unit in [1, 3, 70_000] {
        let adapter = HostBusAdapter {
            per_unit,
            ..HostBusAdapter::new([(UNIT, LogicalUnit::new(4096, 512))])
        };
        let (mut scsi, handle) = start(adapter, Options::default());
        handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = true);
        let bytes = Vec::leak(vec![0; SECTOR]);
        for number in 0..10 {
            // SAFETY: the memory stays, and nothing reads it.
            let request = unsafe { Request::read(number, place(bytes), SECTOR) };
            scsi.submit(0, request, number).unwrap();
        }
        scsi.kick();
        scsi.poll(&mut |_, _, _| ());
        let held = handle.with(|adapter| adapter.held.len());
        assert_eq!(held, 10.min(per_unit as usize));
        handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = false);
        handle.step();
        let mut ended = 0;
        for _ in 0..20 {
            ended += scsi.poll(&mut |_, _, result| result.unwrap());
        }
        assert_eq!(ended, 10);
    }
}

#[test]
fn room_for_fewer_commands_than_disks_goes_to_each_in_turn() {
    let units = [0, 1, 2, 3, 4, 5].map(|lun| ((0, lun), LogicalUnit::new(4096, 512)));
    let adapter = HostBusAdapter {
        size: 4,
        ..HostBusAdapter::new(units)
    };
    let (mut scsi, handle) = start(adapter, Options::default());
    for disk in 0..6 {
        for token in 0..100 {
            scsi.submit(disk, Request::flush(), token).unwrap();
        }
    }
    scsi.kick();
    let mut ended = [0; 6];
    while ended.iter().sum::<usize>() < 120 {
        handle.step();
        scsi.poll(&mut |disk, _, _| ended[disk] += 1);
    }
    assert!(ended.iter().all(|count| *count >= 10), "{ended:?}");
}

/// A disk that answers nothing takes at most its share of the queue.
#[test]
fn a_stuck_disk_does_not_stop_the_others() {
    for options in Options::modern() {
        let units = [(0, 0), (1, 0), (1, 3)].map(|at| (at, LogicalUnit::new(4096, 512)));
        let adapter = HostBusAdapter::new(units);
        let (mut scsi, handle) = start(adapter, options);
        assert_eq!(scsi.disks(), 3);
        handle.with(|adapter| adapter.units.get_mut(&(1, 0)).unwrap().stuck = true);
        let bytes = Vec::leak(vec![0; 300 * SECTOR + 1]);
        for number in 0..256 {
            // SAFETY: the memory stays. It isn't aligned: all bounce buffers are taken, too.
            let request = unsafe { Request::read(number, place(&mut bytes[1..]), SECTOR) };
            scsi.submit(1, request, number).unwrap();
        }
        scsi.kick();
        scsi.poll(&mut |_, _, _| ());
        let mut own = pattern(2 * 4096);
        for disk in [0, 2] {
            write(&mut scsi, disk, 8, &mut own[1..4097]).unwrap();
            read(&mut scsi, disk, 8, &mut own[1..4097]).unwrap();
            run(&mut scsi, disk, Request::flush()).unwrap();
        }
        assert_eq!(scsi.unfinished(), 256);
        handle.with(|adapter| adapter.units.get_mut(&(1, 0)).unwrap().stuck = false);
        handle.step();
        let mut ended = 0;
        for _ in 0..100 {
            ended += scsi.poll(&mut |disk, _, result| assert_eq!((disk, result), (1, Ok(()))));
        }
        assert_eq!(ended, 256);
    }
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let (mut scsi, _) = one(LogicalUnit::new(8, 4096));
    let mut bytes = vec![0; 8192];
    assert_eq!(
        read(&mut scsi, 0, 0, &mut bytes[..512]),
        Err(DiskError::Misaligned)
    );
    assert_eq!(
        read(&mut scsi, 0, 1, &mut bytes[..4096]),
        Err(DiskError::Misaligned)
    );
    assert_eq!(
        read(&mut scsi, 0, 56, &mut bytes),
        Err(DiskError::OutOfRange)
    );
    read(&mut scsi, 0, 48, &mut bytes).unwrap();
    assert_eq!(run(&mut scsi, 1, Request::flush()), Err(DiskError::Removed));
    assert_eq!(scsi.geometry(1).sectors, 0);
}

fn clear(scsi: &mut Scsi, how: Clear, sector: u64, count: u64) -> Result<(), DiskError> {
    run(scsi, 0, Request::clear(how, sector, count))
}

#[test]
fn clearing_keeps_to_the_unit_s_limits() {
    let unit = LogicalUnit {
        limits: (0, 70),
        granularity: 16,
        ..LogicalUnit::new(4096, 512)
    };
    let (mut scsi, handle) = one(unit);
    assert!(scsi.geometry(0).can_discard && scsi.geometry(0).can_write_zeroes);
    clear(&mut scsi, Clear::Discard, 3, 200).unwrap();
    clear(&mut scsi, Clear::Zeroes { unmap: true }, 8, 100).unwrap();
    clear(&mut scsi, Clear::Zeroes { unmap: false }, 0, 1).unwrap();
    handle.with(|adapter| {
        let unit = &adapter.units[&UNIT];
        let expected = [
            (0x42, 0, 3, 61),
            (0x42, 0, 64, 64),
            (0x42, 0, 128, 64),
            (0x42, 0, 192, 11),
            (0x93, 8, 8, 100),
            (0x93, 0, 0, 1),
        ];
        assert_eq!(unit.cleared, expected);
        assert!(unit.data[8 * SECTOR..108 * SECTOR].iter().all(|b| *b == 0));
        assert_eq!(unit.data[108 * SECTOR], 0xdd);
    });
    let beyond = clear(&mut scsi, Clear::Discard, 4000, 97);
    assert_eq!(beyond, Err(DiskError::OutOfRange));
    for (provisioning, limits) in [(0, (0, 64)), (0xe0, (8, 0)), (0x80, (0, 0))] {
        let unit = LogicalUnit {
            provisioning,
            limits,
            ..LogicalUnit::new(64, 512)
        };
        let (mut scsi, _) = one(unit);
        let discard = clear(&mut scsi, Clear::Discard, 0, 8);
        assert_eq!(discard, Err(DiskError::Unsupported), "{provisioning:#x}");
        let zeroes = clear(&mut scsi, Clear::Zeroes { unmap: true }, 0, 8);
        let expected = match provisioning & 0x40 {
            0 => Err(DiskError::Unsupported),
            _ => Ok(()),
        };
        assert_eq!(zeroes, expected, "{provisioning:#x}");
    }
}

#[test]
fn a_waiting_driver_is_interrupted() {
    let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = true);
    scsi.submit(0, Request::flush(), 1).unwrap();
    scsi.kick();
    assert!(!scsi.enable_interrupts() && !scsi.has_pending());
    let before = handle.queue(2, |q| q.interrupts);
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = false);
    handle.step();
    assert_eq!(handle.queue(2, |q| q.interrupts) - before, 1);
    assert!(scsi.has_pending() && scsi.enable_interrupts());
    assert_eq!(scsi.poll(&mut |_, _, _| ()), 1);
    assert!(!scsi.has_pending() && !scsi.enable_interrupts());
    // An event interrupts as well.
    handle.with(|adapter| adapter.report(3, UNIT, 0x092a));
    handle.step();
    assert_eq!(handle.queue(1, |q| q.interrupts), 1);
    assert!(scsi.has_pending() && scsi.enable_interrupts());
    scsi.disable_interrupts();
}

fn lengths() -> impl Strategy<Value = Vec<(u64, usize, usize)>> {
    prop::collection::vec((0..100u64, 1..200usize, 0..600usize), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Any requests on any adapter at once: written data is stored, and read back.
    #[test]
    fn any_requests_are_carried(
        requests in lengths(), which in 0..13usize, conditions in 0..6usize,
    ) {
        let (adapter, options) = adapters().swap_remove(which);
        let (mut scsi, handle) = start(adapter, options);
        let block = scsi.geometry(0).block_size;
        let blocks = 4096 * 512 / block as u64;
        handle.with(|adapter| {
            let unit = adapter.units.get_mut(&UNIT).unwrap();
            // More than any command may be repeated for would end it.
            unit.conditions.extend(vec![[6, 0x29, 0]; conditions.min(5)]);
        });
        let mut model = vec![0; 4096 * 512];
        for (first, count, skew) in requests {
            let count = count.min((blocks - first) as usize).clamp(1, 300 * 1024 / block);
            let mut bytes = pattern(count * block + skew + block);
            bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(skew as u8));
            let at = first as usize * block;
            let sector = at as u64 / SECTOR as u64;
            let piece = &mut bytes[skew..][..count * block];
            write(&mut scsi, 0, sector, piece).unwrap();
            model[at..at + count * block].copy_from_slice(piece);
            piece.fill(0);
            read(&mut scsi, 0, sector, piece).unwrap();
            prop_assert!(*piece == model[at..at + count * block]);
        }
        handle.with(|adapter| assert!(adapter.units[&UNIT].data == model));
    }
}
