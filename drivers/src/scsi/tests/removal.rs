//! Units that are removed while they are in use.

use super::*;

/// Two disks, the first with requests in flight and waiting.
fn busy() -> (Scsi, Handle<HostBusAdapter>) {
    let units = [(0, 0), (0, 1)].map(|at| (at, LogicalUnit::new(4096, 512)));
    let (mut scsi, handle) = start(HostBusAdapter::new(units), Options::default());
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = true);
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

fn check_end(mut scsi: Scsi, handle: &Handle<HostBusAdapter>) {
    let mut ended = Vec::new();
    for _ in 0..10 {
        handle.step();
        scsi.poll(&mut |disk, token, result| {
            assert_eq!((disk, result), (0, Err(DiskError::Removed)));
            ended.push(token);
        });
    }
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..200), "each ends once");
    let mut bytes = vec![0; 512];
    assert_eq!(read(&mut scsi, 0, 0, &mut bytes), Err(DiskError::Removed));
    assert_eq!(run(&mut scsi, 0, Request::flush()), Err(DiskError::Removed));
    assert_eq!(scsi.disks(), 2, "the other keeps its number");
    handle.with(|adapter| adapter.units.insert(UNIT, LogicalUnit::new(4096, 512)));
    let again = read(&mut scsi, 0, 0, &mut bytes);
    assert_eq!(again, Err(DiskError::Removed), "it may be another disk");
    write(&mut scsi, 1, 0, &mut bytes).unwrap();
    assert!(scsi.is_running());
}

#[test]
fn a_removal_that_is_reported_ends_all_requests() {
    let (scsi, handle) = busy();
    handle.with(|adapter| adapter.remove(UNIT));
    check_end(scsi, &handle);
}

#[test]
fn a_removal_that_is_not_reported_ends_all_requests() {
    let (scsi, handle) = busy();
    handle.with(|adapter| adapter.units.remove(&UNIT));
    check_end(scsi, &handle);
}

/// The requests that aren't in the queue end before the device returns the others.
#[test]
fn waiting_requests_end_at_the_event() {
    let (mut scsi, handle) = busy();
    handle.with(|adapter| adapter.report(1, UNIT, 2));
    handle.step();
    let ended = scsi.poll(&mut |_, _, result| assert_eq!(result, Err(DiskError::Removed)));
    // The other disk has eight places of 128.
    assert_eq!((ended, scsi.unfinished()), (200 - 120, 120));
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = false);
    handle.step();
    // What the device did completes as it did.
    let ended = scsi.poll(&mut |_, _, result| assert_eq!(result, Ok(())));
    assert_eq!((ended, scsi.unfinished()), (120, 0));
}

#[test]
fn there_is_no_last_event() {
    let (mut scsi, handle) = one(LogicalUnit::new(4096, 512));
    for blocks in 100..200 {
        handle.with(|adapter| {
            adapter
                .units
                .get_mut(&UNIT)
                .unwrap()
                .data
                .resize(blocks * 512, 0);
            adapter.report(3, UNIT, 0x092a);
        });
        for _ in 0..3 {
            handle.step();
            scsi.poll(&mut |_, _, _| panic!("no request was made"));
        }
        assert_eq!(scsi.geometry(0).sectors, blocks as u64);
    }
}

#[test]
fn a_removal_whose_event_was_missed_shows_when_the_size_is_asked_for() {
    let units = [(0, 0), (0, 1)].map(|at| (at, LogicalUnit::new(4096, 512)));
    let (mut scsi, handle) = start(HostBusAdapter::new(units), Options::default());
    handle.with(|adapter| {
        adapter.units.remove(&UNIT);
        adapter.report(1 << 31, UNIT, 0);
    });
    for _ in 0..5 {
        handle.step();
        scsi.poll(&mut |_, _, _| panic!("no request was made"));
    }
    let refused = scsi.submit(0, Request::flush(), 1);
    assert_eq!(refused, Err(DiskError::Removed), "without a command");
    run(&mut scsi, 1, Request::flush()).unwrap();
}

#[test]
fn errors_of_a_disk_that_is_removed_meanwhile_are_its_removal() {
    let (mut scsi, handle) = one(LogicalUnit::new(4096, 512));
    handle.with(|adapter| {
        let unit = adapter.units.get_mut(&UNIT).unwrap();
        (unit.stuck, unit.bad) = (true, [7].into());
    });
    let bytes = Vec::leak(vec![0; 512]);
    // SAFETY: the memory stays.
    let request = unsafe { Request::read(7, place(bytes), 512) };
    scsi.submit(0, request, 1).unwrap();
    scsi.kick();
    // The event comes before the command's end.
    handle.with(|adapter| adapter.report(1, UNIT, 2));
    handle.step();
    assert_eq!(scsi.poll(&mut |_, _, _| panic!("in flight")), 0);
    handle.with(|adapter| adapter.units.get_mut(&UNIT).unwrap().stuck = false);
    handle.step();
    let mut ended = Vec::new();
    scsi.poll(&mut |_, token, result| ended.push((token, result)));
    assert_eq!(ended, [(1, Err(DiskError::Removed))]);
}

#[test]
fn a_disk_whose_blocks_change_is_another() {
    let (mut scsi, handle) = one(LogicalUnit::new(64, 512));
    handle.with(|adapter| {
        adapter.units.insert(UNIT, LogicalUnit::new(64, 4096));
        adapter.report(3, UNIT, 0x092a);
    });
    handle.step();
    for _ in 0..3 {
        scsi.poll(&mut |_, _, _| ());
    }
    let refused = read(&mut scsi, 0, 0, &mut [0; 512]);
    assert_eq!(refused, Err(DiskError::Removed));
}

/// A unit that answers none of the search's questions: the search ends with the others.
#[test]
fn a_search_that_is_ended_has_what_was_found() {
    let units = [(0, 0), (0, 1), (5, 0)].map(|at| (at, LogicalUnit::new(64, 512)));
    let mut adapter = HostBusAdapter::new(units);
    adapter.units.get_mut(&(0, 1)).unwrap().stuck = true;
    let (mut scsi, handle) = unready(adapter, Options::default());
    scsi.begin();
    for _ in 0..100 {
        scsi.poll(&mut |_, _, _| ());
    }
    assert!(!scsi.is_ready());
    scsi.end_search();
    assert!(scsi.is_ready());
    assert_eq!(scsi.disks(), 2);
    read(&mut scsi, 1, 0, &mut [0; 512]).unwrap();
    handle.with(|adapter| adapter.units.get_mut(&(0, 1)).unwrap().stuck = false);
    handle.step();
    for _ in 0..10 {
        scsi.poll(&mut |_, _, _| ());
    }
    assert_eq!(scsi.disks(), 2, "their number never changes");
    read(&mut scsi, 1, 0, &mut [0; 512]).unwrap();
}
