//! The search for disks, and what units say about themselves and their commands.

use super::*;
use crate::scsi::protocol::{self, Outcome};

/// Serial numbers and sizes of the disks that are found.
fn found(adapter: HostBusAdapter) -> Vec<(String, u64)> {
    let (scsi, _) = start(adapter, Options::default());
    let name = |disk| scsi.serial(disk).unwrap_or("-").to_string();
    (0..scsi.disks())
        .map(|disk| (name(disk), scsi.geometry(disk).sectors))
        .collect()
}

fn named(serial: &str, sectors: usize) -> LogicalUnit {
    LogicalUnit {
        serial: (!serial.is_empty()).then(|| serial.to_string()),
        ..LogicalUnit::new(sectors, 512)
    }
}

#[test]
fn all_units_are_found_in_the_order_of_their_addresses() {
    let units = [(255, 0), (0, 300), (0, 1), (7, 2), (0, 0), (7, 16383)];
    let mut adapter = HostBusAdapter::new(
        (64..)
            .zip(units)
            .map(|(n, at)| (at, named(&std::format!("{at:?}"), n))),
    );
    // It is found last.
    adapter.units.get_mut(&(0, 0)).unwrap().busy = 3;
    let expected = [
        ("(0, 0)", 68),
        ("(0, 1)", 66),
        ("(0, 300)", 65),
        ("(7, 2)", 67),
        ("(7, 16383)", 69),
        ("(255, 0)", 64),
    ];
    let expected = expected.map(|(name, size)| (name.to_string(), size));
    assert_eq!(found(adapter), expected);
}

#[test]
fn the_search_is_bounded() {
    let units = (0..200u16).map(|n| ((n as u8, n), LogicalUnit::new(8, 512)));
    assert_eq!(found(HostBusAdapter::new(units)).len(), 64);
    // More units of a target than an answer has room for.
    let units = (0..100u16).map(|n| ((3, n), LogicalUnit::new(8, 512)));
    assert_eq!(found(HostBusAdapter::new(units)).len(), 63);
    let adapter = HostBusAdapter {
        max_target: 65535,
        ..HostBusAdapter::new([])
    };
    let (scsi, handle) = start(adapter, Options::default());
    assert_eq!((scsi.disks(), handle.with(|a| a.commands)), (0, 256));
    // Many questions for a doorbell.
    assert!(handle.queue(2, |q| q.notifications) <= 9);
    let one_target = HostBusAdapter {
        max_target: 0,
        ..HostBusAdapter::new([((0, 0), named("a", 8)), ((1, 0), named("b", 8))])
    };
    assert_eq!(found(one_target), [("a".to_string(), 8)]);
}

#[test]
fn the_search_fits_any_queue() {
    for options in Options::modern() {
        for size in [4, 16, 128] {
            let adapter = HostBusAdapter {
                size,
                ..HostBusAdapter::new([((0, 0), named("a", 8)), ((200, 1), named("b", 8))])
            };
            let (scsi, _) = start(adapter, options);
            assert_eq!(scsi.disks(), 2, "{size}, {options:?}");
        }
    }
}

#[test]
fn what_is_no_disk_is_left_out() {
    let other = |kind| LogicalUnit {
        kind,
        ..LogicalUnit::new(64, 512)
    };
    let not_ready = LogicalUnit {
        conditions: [[2, 0x3a, 0]].into(),
        ..LogicalUnit::new(64, 512)
    };
    let odd_blocks = LogicalUnit::new(64, 520);
    let adapter = HostBusAdapter::new([
        ((0, 0), other(0x0d)),
        ((0, 1), other(0x20)),
        ((0, 2), other(0x7f)),
        ((0, 3), not_ready),
        ((0, 4), odd_blocks),
        ((0, 5), named("disk", 8)),
    ]);
    assert_eq!(found(adapter), [("disk".to_string(), 8)]);
}

#[test]
fn a_medium_that_cannot_be_written_is_read_only() {
    let protected = LogicalUnit {
        write_protected: true,
        ..LogicalUnit::new(64, 512)
    };
    let optical = LogicalUnit {
        kind: 5,
        ..LogicalUnit::new(64, 2048)
    };
    for unit in [protected, optical] {
        let (mut scsi, _) = one(unit);
        assert!(scsi.geometry(0).read_only);
        let mut bytes = vec![0; 2048];
        read(&mut scsi, 0, 0, &mut bytes).unwrap();
        let refused = write(&mut scsi, 0, 0, &mut bytes);
        assert_eq!(refused, Err(DiskError::ReadOnly));
    }
    let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().write_protected = true);
    let refused = write(&mut scsi, 0, 0, &mut [0; 512]);
    assert_eq!(refused, Err(DiskError::ReadOnly), "found later");
}

#[test]
fn an_adapter_that_cannot_report_its_units_may_have_one() {
    let adapter = HostBusAdapter {
        no_report: true,
        ..HostBusAdapter::new([((3, 0), named("first", 8)), ((3, 1), named("second", 8))])
    };
    assert_eq!(found(adapter), [("first".to_string(), 8)]);
}

#[test]
fn a_unit_that_is_listed_twice_is_one_disk() {
    let adapter = HostBusAdapter {
        listings: 2,
        ..HostBusAdapter::new([((3, 0), named("first", 8)), ((3, 1), named("second", 9))])
    };
    let expected = [("first", 8), ("second", 9)].map(|(name, len)| (name.to_string(), len));
    assert_eq!(found(adapter), expected);
}

/// Nothing but an answer's interrupt leads to the first poll.
#[test]
fn the_search_asks_before_the_first_poll() {
    let adapter = HostBusAdapter::new([(UNIT, named("data", 64))]);
    let (mut scsi, handle) = unready(adapter, Options::default());
    scsi.begin();
    assert!(handle.with(|adapter| adapter.commands) > 0);
    assert!(scsi.has_pending());
}

/// A question of the search is repeated as often as a command of a disk; each has its own tries,
/// of which those that the queue had no room for are none.
#[test]
fn questions_of_the_search_have_as_many_tries_as_commands() {
    for (busy, disks) in [(5, 1), (6, 0)] {
        for size in [4, 128] {
            let units = (0..40).map(|lun| {
                let unit = LogicalUnit {
                    busy,
                    conditions: vec![[6, 0x29, 0]; busy.min(5)].into(),
                    ..named("data", 64)
                };
                ((7, lun), unit)
            });
            let adapter = HostBusAdapter {
                size,
                ..HostBusAdapter::new(units)
            };
            let [_, plain, _] = Options::modern();
            let (scsi, _) = start(adapter, plain);
            assert_eq!(scsi.disks(), 40 * disks, "busy {busy} times, {size}");
        }
    }
}

#[test]
fn a_disk_is_named_by_its_serial_number_or_a_designator() {
    type Designators = Vec<(u8, u8, Vec<u8>)>;
    let text = |bytes: &[u8]| bytes.to_vec();
    let cases: Vec<(Option<&str>, Designators, &str)> = vec![
        (Some("data"), vec![(2, 0, text(b"drive-scsi0"))], "data"),
        (Some("  padded  "), vec![], "padded"),
        (
            Some("a/b"),
            vec![(2, 0, text(b"drive-scsi0"))],
            "drive-scsi0",
        ),
        (Some(""), vec![(2, 0, text(b"drive-scsi0"))], "drive-scsi0"),
        (None, vec![], "-"),
        (
            None,
            vec![(2, 1, text(b"Google  PersistentDisk  data"))],
            "data",
        ),
        (
            None,
            vec![(2, 1, text(b"HC      Volume          1234"))],
            "1234",
        ),
        (None, vec![(2, 1, text(b"short"))], "-"),
        (
            None,
            vec![(1, 3, vec![0x50, 0, 0xc5, 0]), (1, 2, vec![1; 8])],
            "5000c500",
        ),
        (
            None,
            vec![(1, 3, vec![0x50, 0]), (2, 0, text(b"text"))],
            "text",
        ),
        // Of the port.
        (
            None,
            vec![(2, 0x10, text(b"port")), (1, 0x13, vec![5])],
            "-",
        ),
    ];
    for (serial, designators, expected) in cases {
        let unit = LogicalUnit {
            serial: serial.map(ToString::to_string),
            designators,
            ..LogicalUnit::new(8, 512)
        };
        let (scsi, _) = one(unit);
        assert_eq!(scsi.serial(0).unwrap_or("-"), expected);
    }
}

/// Units report a reset, and a target that starts is busy: commands are repeated.
#[test]
fn conditions_of_the_start_are_passed() {
    let unit = LogicalUnit {
        conditions: vec![[6, 0x29, 0]; 3].into(),
        busy: 2,
        ..named("data", 64)
    };
    let (mut scsi, handle) = one(unit);
    assert_eq!(scsi.disks(), 1);
    let attention = |count| {
        handle.with(|adapter| {
            let unit = adapter.units.get_mut(&UNIT).unwrap();
            unit.conditions = vec![[6, 0x29, 0]; count].into();
        });
    };
    let mut bytes = pattern(3 * 512 + 1);
    for (count, expected) in [(1, Ok(())), (5, Ok(())), (6, Err(DiskError::NotReady))] {
        attention(count);
        // Unaligned: through a bounce buffer, which is filled again.
        let done = write(&mut scsi, 0, 5, &mut bytes[1..1025]);
        assert_eq!(done, expected, "{count} times");
    }
    handle.with(|adapter| assert_eq!(adapter.units[&UNIT].data[5 * 512..][..1024], bytes[1..1025]));
    attention(2);
    bytes.fill(0);
    read(&mut scsi, 0, 5, &mut bytes[1..1025]).unwrap();
    assert_eq!(bytes[1..1025], pattern(1025)[1..]);
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().busy = 3);
    run(&mut scsi, 0, Request::flush()).unwrap();
}

#[test]
fn sense_data_becomes_an_error() {
    use DiskError::{Io, Medium, NoSpace, NotReady, OutOfRange, ReadOnly, Removed, Unsupported};
    let cases: [([u8; 3], Result<(), DiskError>); 16] = [
        ([0, 0, 0], Ok(())),
        ([1, 0x17, 1], Ok(())),
        ([2, 0x3a, 0], Err(NotReady)),
        ([2, 0x04, 3], Err(NotReady)),
        ([3, 0x11, 0], Err(Medium)),
        ([4, 0x44, 0], Err(Io)),
        ([5, 0x20, 0], Err(Unsupported)),
        ([5, 0x24, 0], Err(Unsupported)),
        ([5, 0x21, 0], Err(OutOfRange)),
        ([5, 0x25, 0], Err(Removed)),
        ([5, 0x39, 0], Err(Io)),
        ([6, 0x29, 0], Err(NotReady)),
        ([7, 0x27, 0], Err(ReadOnly)),
        ([7, 0x27, 7], Err(NoSpace)),
        ([0xb, 0, 6], Err(Io)),
        ([0xf, 0, 0], Err(Io)),
    ];
    for ([key, code, qualifier], expected) in cases {
        let mut fixed = [0; 18];
        (fixed[0], fixed[2], fixed[12], fixed[13]) = (0x70, key | 0x20, code, qualifier);
        let descriptors = [0x72, key, code, qualifier, 0, 0, 0, 0];
        for sense in [&fixed[..], &descriptors] {
            let outcome = protocol::outcome(2, sense);
            assert_eq!(outcome.result, expected, "{key:x}/{code:x}/{qualifier:x}");
            assert_eq!(outcome.repeat, matches!(key, 6 | 0xb));
            assert!(!outcome.resized);
        }
    }
    assert!(protocol::outcome(2, &[0x72, 6, 0x2a, 9]).resized);
    assert_eq!(protocol::outcome(2, &[]).result, Err(Io));
    assert_eq!(protocol::outcome(4, &[]).result, Ok(()));
    assert_eq!(protocol::outcome(0x18, &[]).result, Err(Io));
}

/// A deferred error is of an earlier command, and this one wasn't executed.
#[test]
fn a_command_with_a_deferred_error_has_not_succeeded() {
    for key in [0, 1] {
        for sense in [&[0x71, 0, key, 0][..], &[0x73, key, 0, 0]] {
            let outcome = protocol::outcome(2, sense);
            assert_eq!(outcome, Outcome::temporary(DiskError::Io), "{sense:x?}");
        }
    }
    for sense in [&[0x71, 0, 3, 0][..], &[0x73, 3, 0, 0]] {
        assert_eq!(protocol::outcome(2, sense).result, Err(DiskError::Medium));
    }
}

#[test]
fn errors_of_a_unit_are_the_request_s_and_no_other_s() {
    for descriptors in [false, true] {
        let unit = LogicalUnit {
            bad: [600].into(),
            descriptors,
            ..LogicalUnit::new(4096, 512)
        };
        let (mut scsi, _) = one(unit);
        let mut bytes = vec![0; 1 << 20];
        assert_eq!(read(&mut scsi, 0, 0, &mut bytes), Err(DiskError::Medium));
        read(&mut scsi, 0, 601, &mut bytes).unwrap();
        // More than there are bounce buffers and places in the queue.
        for _ in 0..300 {
            let piece = &mut bytes[1..513];
            assert_eq!(write(&mut scsi, 0, 600, piece), Err(DiskError::Medium));
        }
        write(&mut scsi, 0, 601, &mut bytes[1..513]).unwrap();
        assert!(scsi.is_running());
    }
}

#[test]
fn a_capacity_is_of_usable_blocks_and_an_address_space() {
    let capacity = |last: u64, block: u32| {
        protocol::capacity(&[&last.to_be_bytes()[..], &block.to_be_bytes(), &[0; 20]].concat())
    };
    assert_eq!(capacity(7, 512), Some((512, 8)));
    assert_eq!(capacity(7, 4096), Some((4096, 64)));
    assert_eq!(capacity(0, 65536), Some((65536, 128)));
    for block in [0, 1, 256, 520, 131_072, u32::MAX] {
        assert_eq!(capacity(7, block), None, "blocks of {block}");
    }
    for last in [u64::MAX, u64::MAX - 1, (1 << 54) - 1, 1 << 60] {
        assert_eq!(capacity(last, 512), None, "{last}");
    }
    assert_eq!(capacity((1 << 54) - 2, 512), Some((512, (1 << 54) - 1)));
}

#[test]
fn a_short_transfer_is_an_error() {
    let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().short = true);
    let mut bytes = vec![0; 4096];
    assert_eq!(read(&mut scsi, 0, 0, &mut bytes), Err(DiskError::Io));
    assert_eq!(write(&mut scsi, 0, 0, &mut bytes), Err(DiskError::Io));
}

#[test]
fn a_disk_without_a_cache_needs_no_flush() {
    let unit = LogicalUnit {
        flushes: false,
        ..LogicalUnit::new(64, 512)
    };
    let (mut scsi, handle) = one(unit);
    assert!(scsi.geometry(0).can_flush, "not known yet");
    run(&mut scsi, 0, Request::flush()).unwrap();
    assert!(!scsi.geometry(0).can_flush);
    let commands = handle.with(|adapter| adapter.commands);
    run(&mut scsi, 0, Request::flush()).unwrap();
    assert_eq!(handle.with(|adapter| adapter.commands), commands);
}

/// A unit that changes its size reports that by an event, or at the next command.
#[test]
fn a_size_that_changes_is_read_again() {
    let (mut scsi, handle) = one(LogicalUnit::new(64, 4096));
    assert_eq!(scsi.geometry(0).sectors, 512);
    let resize = |scsi: &mut Scsi, blocks: usize| {
        handle.with(|adapter| {
            adapter
                .units
                .get_mut(&UNIT)
                .unwrap()
                .data
                .resize(blocks * 4096, 0);
        });
        handle.step();
        for _ in 0..3 {
            scsi.poll(&mut |_, _, _| ());
        }
        scsi.geometry(0).sectors
    };
    assert_eq!(resize(&mut scsi, 80), 512, "nothing says so");
    for (kind, reason, blocks) in [(3, 0x092a, 96), (1 << 31, 0, 40)] {
        handle.with(|adapter| adapter.report(kind, UNIT, reason));
        assert_eq!(resize(&mut scsi, blocks), blocks as u64 * 8);
    }
    handle.with(|adapter| {
        adapter
            .units
            .get_mut(&UNIT)
            .unwrap()
            .conditions
            .push_back([6, 0x2a, 9]);
    });
    resize(&mut scsi, 50);
    read(&mut scsi, 0, 0, &mut vec![0; 4096]).unwrap();
    assert_eq!(resize(&mut scsi, 50), 400);
    // Other events change nothing.
    for (kind, unit, reason) in [
        (3, (9, 9), 0x092a),
        (1, UNIT, 0),
        (7, UNIT, 2),
        (3, UNIT, 1),
    ] {
        handle.with(|adapter| adapter.report(kind, unit, reason));
    }
    assert_eq!(resize(&mut scsi, 60), 400);
    assert!(scsi.is_running());
}

proptest! {
    /// Whatever a unit answers to a question is read without a panic, and within the answer.
    #[test]
    fn any_answer_is_read(
        mut data in prop::collection::vec(any::<u8>(), 0..300),
        page in prop::option::of(prop::sample::select(vec![0x80u8, 0x83, 0xb0, 0xb2])),
    ) {
        if let (Some(page), Some(code)) = (page, data.get_mut(1)) {
            *code = page;
        }
        for lun in protocol::luns(&data) {
            prop_assert!(lun < 1 << 14);
        }
        protocol::kind(&data);
        let names = [protocol::unit_serial(&data), protocol::identification(&data)];
        for name in names.into_iter().flatten() {
            prop_assert!(!name.is_empty() && name.len() <= 600 && !name.contains(['/', '\n']));
        }
        protocol::block_limits(&data);
        protocol::provisioning(&data);
        protocol::is_write_protected(&data);
        if let Some((block, sectors)) = protocol::capacity(&data) {
            prop_assert!(block.is_power_of_two() && (512..=65536).contains(&block));
            prop_assert!(sectors > 0 && sectors.checked_mul(512).is_some());
        }
        protocol::outcome(2, &data);
    }
}

/// Sets the number of the unit's blocks.
fn set_blocks(handle: &Handle<HostBusAdapter>, blocks: usize) {
    let resize = |unit: &mut LogicalUnit| unit.data.resize(blocks * unit.block, 0);
    handle.with(|adapter| resize(adapter.units.get_mut(&UNIT).unwrap()));
}

/// A unit that isn't ready to say its size is asked again, a bounded number of times for each
/// report.
#[test]
fn a_size_is_asked_for_until_the_unit_answers() {
    let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
    let mut sectors = 64;
    for (refusals, knows) in [(1, true), (5, true), (6, false), (1, true), (40, false)] {
        let blocks = sectors as usize + 8;
        set_blocks(&handle, blocks);
        let before = handle.with(|adapter| {
            let unit = adapter.units.get_mut(&UNIT).unwrap();
            unit.conditions = vec![[6, 0x29, 0]; refusals].into();
            adapter.report(3, UNIT, 0x092a);
            adapter.commands
        });
        handle.step();
        for _ in 0..50 {
            scsi.poll(&mut |_, _, _| ());
        }
        if knows {
            sectors = blocks as u64;
        }
        assert_eq!(scsi.geometry(0).sectors, sectors, "{refusals} refusals");
        let asked = handle.with(|adapter| adapter.commands) - before;
        assert_eq!(asked, (refusals + 1).min(6), "{refusals} refusals");
    }
}

/// A report that comes while the size is asked for, in the turn of the answer.
#[test]
fn a_second_report_is_not_lost_in_the_answer_to_the_first() {
    let refusals = [None, Some([5, 0x24, 0]), Some([6, 0x29, 0])];
    for refusal in refusals {
        let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
        let report = |blocks: usize, stuck: bool| {
            set_blocks(&handle, blocks);
            handle.with(|adapter| {
                adapter.units.get_mut(&UNIT).unwrap().stuck = stuck;
                adapter.report(3, UNIT, 0x092a);
            });
        };
        report(80, true);
        handle.step();
        scsi.poll(&mut |_, _, _| ());
        assert_eq!(handle.with(|adapter| adapter.held.len()), 1, "it was asked");
        // The answer is of before the second change.
        handle.with(|adapter| {
            let unit = adapter.units.get_mut(&UNIT).unwrap();
            unit.stuck = false;
            unit.conditions.extend(refusal);
        });
        handle.step();
        report(96, false);
        handle.step();
        for _ in 0..5 {
            scsi.poll(&mut |_, _, _| ());
        }
        assert_eq!(scsi.geometry(0).sectors, 96, "{refusal:?}");
    }
}
