//! What becomes of requests and jobs while a flush is under way.

use super::{Behind, Deferral, Flushing, overlaps};
use crate::files::volumes::{Job, Then};
use crate::files::work::Work;
use crate::files::worker::Event;
use ::fs::{FileId, OpenFlags, memory};
use core::ptr::NonNull;
use std::vec;
use std::vec::Vec;

/// A write of so many sectors of 512 bytes.
fn behind(sector: u64, sectors: usize) -> Option<Behind> {
    let data = vec![0; sectors * 512];
    Some(Behind { sector, data })
}

#[test]
fn a_read_of_what_is_kept_is_told_from_others() {
    for (first, sectors, expected) in [
        (2, 8, false),
        (2, 9, true),
        (9, 1, false),
        (10, 1, true),
        (12, 2, true),
        (17, 1, true),
        (18, 1, false),
        (18, 100, false),
        (0, 64, true),
        (u64::MAX, 8, false),
    ] {
        let found = overlaps(&behind(10, 8), first, sectors * 512, 512);
        assert_eq!(found, expected, "{sectors} from {first}");
        assert!(!overlaps(&None, first, sectors * 512, 512));
    }
    // The same bytes are one sector of a disk that has larger ones.
    let found = [9, 10, 11].map(|first| overlaps(&behind(10, 8), first, 4096, 4096));
    assert_eq!(found, [false, true, false]);
}

fn write(bytes: &mut [u8]) -> Event {
    Event::Write(10, NonNull::from(&mut *bytes).cast(), bytes.len())
}

fn read(sector: u64) -> Event {
    Event::Read(sector, NonNull::dangling(), 512)
}

/// What becomes of each event, one after the other, of the job that began the flush or of another.
fn decided(flushing: &mut Flushing, began: bool, events: &[Event]) -> Vec<char> {
    let events = events.iter();
    let decided = events.map(|event| match flushing.defer(event, began, 512) {
        Deferral::Passes => 'p',
        Deferral::Kept => 'k',
        Deferral::Waits => 'w',
    });
    decided.collect()
}

/// The end of a transaction is one small write and the flush after it: both are kept, and nothing
/// else overtakes the flush.
#[test]
fn one_write_and_one_flush_are_kept_behind_an_ordered_flush() {
    let mut bytes = vec![5; 4096];
    let event = write(&mut bytes);
    let mut flushing = Flushing::new(7, true);
    assert_eq!(flushing.until, 7);
    let first = decided(&mut flushing, true, &[read(10), event, read(9), read(10)]);
    assert_eq!(first, ['p', 'k', 'p', 'w']);
    // It is a copy.
    bytes.fill(6);
    let kept = flushing.behind.as_ref().expect("kept");
    assert!(kept.sector == 10 && kept.data == [5; 4096]);
    let second = decided(&mut flushing, true, &[write(&mut bytes)]);
    assert_eq!(second, ['w'], "there is one already");
    let flushes = decided(
        &mut flushing,
        true,
        &[Event::Flush(true), Event::Flush(false)],
    );
    assert_eq!(flushes, ['k', 'w']);
    flushing.behind = None;
    assert_eq!(decided(&mut flushing, true, &[write(&mut bytes)]), ['w']);
    assert_eq!(
        decided(&mut flushing, true, &[Event::Claim(0, 8), Event::Wait]),
        ['p', 'p']
    );
}

#[test]
fn what_is_large_or_of_others_waits_behind_an_ordered_flush() {
    let mut bytes = vec![5; 4608];
    let large = write(&mut bytes);
    let mut flushing = Flushing::new(0, true);
    assert_eq!(decided(&mut flushing, true, &[large]), ['w']);
    let small = || Event::Write(10, NonNull::dangling(), 512);
    let events = [small(), Event::Flush(true), read(10)];
    assert_eq!(decided(&mut flushing, false, &events), ['w', 'w', 'p']);
    // A flush is kept without a write as well; while the kept write is with the disk, nothing is.
    let mut writing = Flushing::new(0, true);
    writing.writing = true;
    assert_eq!(
        decided(&mut writing, true, &[small(), Event::Flush(true)]),
        ['w', 'w']
    );
    assert_eq!(decided(&mut flushing, true, &[Event::Flush(true)]), ['k']);
}

#[test]
fn writes_pass_where_the_order_does_not_count() {
    for began in [true, false] {
        let mut flushing = Flushing::new(0, false);
        let mut bytes = [0; 512];
        let batch: [(u64, &'static [u8]); 1] = [(3, &[0; 512])];
        let batch = Event::Batch(NonNull::from(&batch[..]));
        let passed = decided(&mut flushing, began, &[write(&mut bytes), batch, read(10)]);
        assert_eq!(passed, ['p'; 3]);
        let flush = decided(&mut flushing, began, &[Event::Flush(false)]);
        assert_eq!(flush, [if began { 'k' } else { 'w' }]);
    }
}

#[test]
fn a_batch_is_kept_if_it_is_one_small_write() {
    let (small, large) = ([4; 512], [5; 4608]);
    // SAFETY: what is behind them lives until the end of the test, and is not looked at after that.
    let forever =
        |bytes: &[u8]| unsafe { core::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) };
    let one: [(u64, &'static [u8]); 1] = [(3, forever(&small))];
    let two: [(u64, &'static [u8]); 2] = [(3, forever(&small)), (8, forever(&small))];
    let big: [(u64, &'static [u8]); 1] = [(3, forever(&large))];
    for (batch, began, expected) in [
        (&one[..], true, 'k'),
        (&one[..], false, 'w'),
        (&two[..], true, 'w'),
        (&big[..], true, 'w'),
        (&[], true, 'w'),
    ] {
        let mut flushing = Flushing::new(0, true);
        let event = Event::Batch(NonNull::from(batch));
        assert_eq!(decided(&mut flushing, began, &[event]), [expected]);
        let kept = flushing.behind.map(|kept| (kept.sector, kept.data));
        assert_eq!(kept, (expected == 'k').then(|| (3, vec![4; 512])));
    }
}

/// Two open files.
fn files() -> [FileId; 2] {
    let mut volume = memory::new(1 << 20, None);
    ["a", "b"].map(|name| {
        volume
            .open(name, OpenFlags::WRITE | OpenFlags::CREATE)
            .expect("opened")
    })
}

#[test]
fn a_file_is_closed_after_the_sync_of_it_and_all_else_after_that() {
    let [a, b] = files();
    let mut flushing = Flushing::new(0, true);
    let mut waits = |work| {
        let job = Job {
            token: 1,
            work,
            then: Then::Nothing,
            walking: None,
        };
        flushing.wait(job).is_none()
    };
    for (work, expected) in [
        (Work::Size(a), false),
        (Work::Close(b), false),
        (Work::SyncFile(a), true),
        (Work::Sync, true),
        (Work::Unmount, true),
        (Work::Close(b), false),
        (Work::Size(a), false),
        (Work::Close(a), true),
        (Work::Size(b), true),
        (Work::Close(b), true),
    ] {
        assert_eq!(waits(work), expected);
    }
    assert_eq!(flushing.waiting.len(), 6);
}
