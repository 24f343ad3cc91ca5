//! Files on a disk that is slow, completes requests out of order, or fails.

mod commits;
mod disk;
mod folders;
mod freezing;
mod tree;
mod waiting;

use super::{
    abandoned, drivers, file_sync, mount, open, read, space, sync, sync_volume, unlink, unmount,
    write,
};
use crate::Runtime;
use crate::current::{Current, Interest};
use crate::disks::{Device, Geometry, Request, Submitted, install};
use crate::files::engine::driver::{deadline, finish};
use crate::pipe;
use crate::runtime::encode;
use crate::runtime::next_completion;
use crate::types::constants::{OPEN_CREATE, OPEN_READ, OPEN_WRITE};
use crate::types::{Int, IntsPiece, Piece};
use ::fs::BlockError;
use platform::disk::BlockDevice;
use platform::error::{Answer, Error, Failure, Stop};
use platform::{Clock, Interest as _};
use reactor::table::Fd;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::process::Command;
use std::rc::Rc;
use std::string::{String, ToString};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;
use std::{env, format, fs, process, vec};

/// Shared state through which the test controls the disk.
#[derive(Default)]
struct Orders {
    /// Whether it processes no requests.
    hold: Cell<bool>,
    /// Whether it processes no flushes.
    hold_flush: Cell<bool>,
    /// Whether requests fail.
    fail: Cell<bool>,
    /// Whether it lacks flushes.
    no_flush: Cell<bool>,
    /// Whether it is read-only.
    read_only: Cell<bool>,
    /// Whether flushes fail.
    fail_flush: Cell<bool>,
    /// Whether its host is full: it refuses writes.
    full: Cell<bool>,
    /// The partition that its name stands for.
    partition: Cell<Option<&'static str>>,
    /// Completed writes (`w`), submitted flushes (`f`) and completed ones (`F`).
    log: RefCell<String>,
    /// Contents of the disk.
    data: RefCell<Vec<u8>>,
}

/// A disk in memory that processes requests only when it is polled, the last one first.
struct Slow {
    orders: Rc<Orders>,
    queue: Vec<(Request, u64)>,
}

impl BlockDevice<Current> for Slow {
    fn geometry(&mut self) -> Result<Geometry, Failure> {
        let sectors = (self.orders.data.borrow().len() / 512) as u64;
        Ok(Geometry {
            sector_size: 512,
            sectors,
            read_only: self.orders.read_only.get(),
            flushes: !self.orders.no_flush.get(),
            max_bytes: 1 << 20,
        })
    }

    fn partition(&self) -> Option<&str> {
        self.orders.partition.get()
    }

    fn submit(&mut self, request: Request, tag: u64) -> Submitted {
        if self.queue.len() == 2 {
            return Submitted::Full;
        }
        if matches!(request, Request::Flush) {
            self.orders.log.borrow_mut().push('f');
        }
        self.queue.push((request, tag));
        Submitted::Taken
    }

    fn arm(&mut self, interest: &mut Interest) {
        if !self.queue.is_empty() {
            interest.immediately();
        }
    }

    fn kick(&mut self) {}

    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        if self.orders.hold.get() {
            return;
        }
        let held = self.orders.hold_flush.get();
        let is_held = |(request, _): &(Request, u64)| held && matches!(request, Request::Flush);
        while let Some(place) = self.queue.iter().rposition(|queued| !is_held(queued)) {
            let (request, tag) = self.queue.remove(place);
            let flush = matches!(request, Request::Flush);
            if self.orders.fail.get() || flush && self.orders.fail_flush.get() {
                report(tag, Err(BlockError::Io));
                continue;
            }
            if self.orders.full.get() && matches!(request, Request::Write { .. }) {
                report(tag, Err(BlockError::NoSpace));
                continue;
            }
            let mut data = self.orders.data.borrow_mut();
            match request {
                Request::Flush => self.orders.log.borrow_mut().push('F'),
                Request::Write { .. } => self.orders.log.borrow_mut().push('w'),
                _ => (),
            }
            match request {
                Request::Read { sector, to, len } => {
                    let from = &data[sector as usize * 512..][..len];
                    // SAFETY: the request owns its memory until it is reported.
                    unsafe { core::slice::from_raw_parts_mut(to.as_ptr(), len) }
                        .copy_from_slice(from);
                }
                Request::Write {
                    sector, from, len, ..
                } => {
                    // SAFETY: as above.
                    let from = unsafe { core::slice::from_raw_parts(from.as_ptr(), len) };
                    data[sector as usize * 512..][..len].copy_from_slice(from);
                }
                Request::Flush => (),
                Request::Scatter { .. } | Request::Gather { .. } | Request::Clear { .. } => {
                    unreachable!("volumes make none")
                }
            }
            report(tag, Ok(()));
        }
    }
}

/// Returns a disk image that a command has modified.
pub(super) fn changed_by(name: &str, disk: &[u8], command: &[&str]) -> Vec<u8> {
    // Several tests may use the same name.
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = format!("soil-sys-{name}-{}-{number}.img", process::id());
    let path = env::temp_dir().join(file);
    fs::write(&path, disk).expect("temporary file");
    let (program, words) = command.split_first().expect("a command");
    let done = Command::new(program).args(words).arg(&path).output();
    let done = done.expect(program);
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stdout)
    );
    let bytes = fs::read(&path).expect("temporary file");
    fs::remove_file(&path).expect("temporary file");
    bytes
}

/// Creates a runtime with the FAT disk `data`.
fn runtime(name: &str) -> (Runtime, Rc<Orders>) {
    runtime_with(changed_by(name, &vec![0; 2 << 20], &["mkfs.fat"]))
}

/// The same with ext4.
fn ext4_runtime(name: &str) -> (Runtime, Rc<Orders>) {
    let disk = changed_by(name, &vec![0; 16 << 20], &["mkfs.ext4", "-q"]);
    let (mut rt, orders) = runtime_with(disk);
    drivers::register(&mut rt, drivers::EXT4).expect("room");
    (rt, orders)
}

/// Creates a runtime with this disk `data`.
fn runtime_with(disk: Vec<u8>) -> (Runtime, Rc<Orders>) {
    let (orders, device) = slow(disk);
    let mut rt = Runtime::new();
    install(&mut rt, vec![("data".to_string(), device)]).expect("room");
    (rt, orders)
}

/// Creates a disk with these contents, and its control.
fn slow(disk: Vec<u8>) -> (Rc<Orders>, Device) {
    let orders = Rc::new(Orders {
        data: RefCell::new(disk),
        ..Orders::default()
    });
    let device = Box::new(Slow {
        orders: Rc::clone(&orders),
        queue: Vec::new(),
    });
    (orders, device)
}

/// Polls everything once.
fn step(rt: &mut Runtime) {
    step_at(rt, 0);
}

/// The same at another time.
fn step_at(rt: &mut Runtime, now: u64) {
    for driver in rt.drivers().iter().flatten() {
        (driver.poll)(rt, now);
    }
}

/// Returns the result of operation `token`, whose call returned `answer`.
fn result(rt: &mut Runtime, token: Int, answer: Answer) -> Int {
    if answer != Err(Stop::Pending) {
        return encode(answer);
    }
    for _ in 0..10_000 {
        step(rt);
        if let Some((completed, result)) = next_completion(rt, 0) {
            assert_eq!(completed as Int, token);
            return result;
        }
    }
    panic!("operation {token} never completes");
}

const MODE: Int = OPEN_READ | OPEN_WRITE | OPEN_CREATE;

#[test]
fn reads_what_it_wrote() {
    let (mut rt, _) = runtime("reads");
    let rt = &mut rt;
    let answer = open(rt, "/data/a", MODE, 1);
    let fd = Fd::decode(result(rt, 1, answer)).expect("opened");
    let mut text: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
    let answer = write(rt, fd, Piece::of(&mut text), -1, 2);
    assert_eq!(result(rt, 2, answer), 300_000);
    let answer = sync(rt, 3);
    assert_eq!(result(rt, 3, answer), 0);
    let mut back = vec![0; 400_000];
    let answer = read(rt, fd, Piece::of(&mut back), 0, 4);
    assert_eq!(result(rt, 4, answer), 300_000);
    assert!(back.starts_with(&text));
    assert_eq!(rt.close(fd), Ok(0));
    let answer = unlink(rt, "/data/a", 5);
    assert_eq!(result(rt, 5, answer), 0);
}

/// While the disk is blocked other work continues. Jobs that haven't started can be cancelled; a
/// job that has started completes later.
#[test]
fn others_go_on_while_the_disk_is_busy() {
    let (mut rt, orders) = runtime("busy");
    let rt = &mut rt;
    orders.hold.set(true);
    assert_eq!(open(rt, "/data/a", MODE, 1), Err(Stop::Pending));
    assert_eq!(open(rt, "/data/b", MODE, 2), Err(Stop::Pending));
    step(rt);
    let (reader, writer) = pipe::open(rt, 16).expect("room");
    assert_eq!(rt.write(writer, b"x"), Ok(1));
    assert_eq!(rt.read(reader, &mut [0; 4]), Ok(1));
    assert_eq!(rt.cancel(2), Ok(1));
    assert_eq!(rt.cancel(1), Err(Stop::Pending));
    assert_eq!(rt.cancel(3), Ok(0));
    orders.hold.set(false);
    assert!(result(rt, 1, Err(Stop::Pending)) > 0);
    assert!(next_completion(rt, 0).is_none());
    let answer = open(rt, "/data/b", OPEN_READ, 4);
    assert_eq!(result(rt, 4, answer), -(Error::NotFound as Int));
}

/// A slow flush: operations that guarantee durability wait, reads and operations without the disk
/// don't.
#[test]
fn reading_goes_on_during_a_flush() {
    let (mut rt, orders) = runtime("flush");
    let rt = &mut rt;
    let answer = open(rt, "/data/a", MODE, 1);
    let fd = Fd::decode(result(rt, 1, answer)).expect("opened");
    let mut text: Vec<u8> = (0..300_000u32).map(|i| (i % 249) as u8).collect();
    let answer = write(rt, fd, Piece::of(&mut text), 0, 2);
    assert_eq!(result(rt, 2, answer), 300_000);
    orders.hold_flush.set(true);
    assert_eq!(sync(rt, 3), Err(Stop::Pending));
    for _ in 0..100 {
        step(rt);
    }
    assert!(next_completion(rt, 0).is_none());
    let mut back = vec![0; 300_000];
    let answer = read(rt, fd, Piece::of(&mut back), 0, 4);
    assert_eq!(result(rt, 4, answer), 300_000);
    assert!(back == text);
    // Everything is written, but it isn't durable yet.
    assert_eq!(sync(rt, 5), Err(Stop::Pending));
    // FAT doesn't depend on the order of flushes: neither writes nor later reads have to wait.
    let answer = open(rt, "/data/b", MODE, 6);
    let other = Fd::decode(result(rt, 6, answer)).expect("opened");
    let answer = write(rt, other, Piece::of(&mut text), 0, 6);
    assert_eq!(result(rt, 6, answer), 300_000);
    assert!(
        orders.log.borrow().ends_with('w'),
        "{}",
        orders.log.borrow()
    );
    let answer = read(rt, fd, Piece::of(&mut back), 0, 6);
    assert_eq!(result(rt, 6, answer), 300_000);
    // A new sync has to write and flush, and doesn't delay reads.
    assert_eq!(sync(rt, 8), Err(Stop::Pending));
    let answer = read(rt, fd, Piece::of(&mut back), 0, 6);
    assert_eq!(result(rt, 6, answer), 300_000);
    // The close comes after the sync of the same file that was submitted before.
    assert_eq!(file_sync(rt, other, 9), Err(Stop::Pending));
    assert_eq!(rt.close(other), Ok(0));
    // Later operations run after it, in order: not even a read of cached data overtakes.
    text.fill(7);
    let answer = write(rt, fd, Piece::of(&mut text), 0, 10);
    assert_eq!(answer, Err(Stop::Pending));
    let answer = read(rt, fd, Piece::of(&mut back), 0, 11);
    assert_eq!(answer, Err(Stop::Pending));
    for _ in 0..100 {
        step(rt);
    }
    assert!(next_completion(rt, 0).is_none());
    orders.hold_flush.set(false);
    assert_eq!(result(rt, 3, Err(Stop::Pending)), 0);
    // The three waiting syncs are merged; the write needn't wait for their flush, but for the jobs
    // before it.
    let mut ended = Vec::new();
    for _ in 0..10_000 {
        step(rt);
        ended.extend(completed(rt));
    }
    let place = |token| ended.iter().position(|(ended, _)| *ended == token);
    assert!(place(10) < place(11), "{ended:?}");
    ended.sort_unstable();
    let all = [(5, 0), (8, 0), (9, 0), (10, 300_000), (11, 300_000)];
    assert_eq!(ended, all);
    assert!(back == text);
    let answer = unlink(rt, "/data/b", 10);
    assert_eq!(result(rt, 10, answer), 0);
    let answer = sync(rt, 7);
    assert_eq!(result(rt, 7, answer), 0);
}

/// A flush that fails after the volume has continued: no operation that waits for it is durable,
/// nor a later one, until a flush succeeds.
#[test]
fn a_flush_that_fails_late_is_an_error() {
    let (mut rt, orders) = runtime("unflushed");
    let rt = &mut rt;
    let answer = open(rt, "/data/a", MODE, 1);
    let fd = Fd::decode(result(rt, 1, answer)).expect("opened");
    let io = -(Error::Io as Int);
    orders.fail_flush.set(true);
    for token in 2..6 {
        let answer = write(rt, fd, Piece::of(&mut [token as u8; 5000]), 0, token);
        let written = result(rt, token, answer);
        let answer = sync(rt, token);
        assert!(written == io || result(rt, token, answer) == io);
    }
    orders.fail_flush.set(false);
    let ended = (6..9).map(|token| {
        let answer = write(rt, fd, Piece::of(&mut [9; 5000]), 0, token);
        let written = result(rt, token, answer);
        let answer = sync(rt, token);
        (written, result(rt, token, answer))
    });
    assert_eq!(ended.last(), Some((5000, 0)));
    let data = orders.data.borrow();
    assert!(data.windows(5000).any(|bytes| bytes == [9; 5000]));
}

/// Returns the health of `data`, as `soil_fs_space` reports it.
fn health(rt: &mut Runtime, token: Int) -> Int {
    let (mut numbers, mut text) = ([-1; 4], [0; 100]);
    let (into, text) = (IntsPiece::of(&mut numbers), Piece::of(&mut text));
    let answer = space(rt, "/data", into, text, token);
    assert!(result(rt, token, answer) > 0);
    numbers[3]
}

#[test]
fn a_disk_without_flushes_is_told_from_others() {
    for (no_flush, expected) in [(false, 0), (true, 3)] {
        let (mut rt, orders) = runtime("flushless");
        let rt = &mut rt;
        orders.no_flush.set(no_flush);
        assert_eq!(health(rt, 1), expected);
        let answer = open(rt, "/data/a", MODE, 2);
        let fd = Fd::decode(result(rt, 2, answer)).expect("opened");
        let answer = write(rt, fd, Piece::of(&mut [5; 100]), 0, 3);
        assert_eq!(result(rt, 3, answer), 100);
        let answer = sync(rt, 4);
        assert_eq!(result(rt, 4, answer), 0);
        // A read-only disk needs no flush.
        assert_eq!(rt.close(fd), Ok(0));
        let answer = unmount(rt, "/data", 5);
        assert_eq!(result(rt, 5, answer), 0);
        let answer = mount(rt, "/data=fat:data,ro", 6);
        assert_eq!(result(rt, 6, answer), 0);
        assert_eq!(health(rt, 7), 1);
    }
}

#[test]
fn a_failing_disk_is_an_error() {
    let (mut rt, orders) = runtime("fails");
    let rt = &mut rt;
    orders.fail.set(true);
    let answer = open(rt, "/data/a", MODE, 1);
    assert_eq!(result(rt, 1, answer), -(Error::Io as Int));
    // After it recovers, it can be mounted.
    orders.fail.set(false);
    let answer = open(rt, "/data/a", MODE, 2);
    let fd = Fd::decode(result(rt, 2, answer)).expect("opened");
    let mut text = vec![1; 70_000];
    orders.fail.set(true);
    let answer = write(rt, fd, Piece::of(&mut text), -1, 3);
    let written = result(rt, 3, answer);
    let answer = sync(rt, 4);
    let synced = result(rt, 4, answer);
    assert!(
        written < 0 || synced < 0,
        "a lost write was not noticed: {written}, {synced}"
    );
}

const IO: Int = -(Error::Io as Int);

/// Returns the results of all completed operations, by token.
fn completed(rt: &mut Runtime) -> Vec<(u64, Int)> {
    let mut all: Vec<_> = core::iter::from_fn(|| next_completion(rt, 0)).collect();
    all.sort_unstable();
    all
}

/// Advances the clock beyond the disk's timeout.
fn late(rt: &mut Runtime) {
    // A job may have yielded to others.
    while deadline(rt) == Some(0) {
        step(rt);
    }
    let due = deadline(rt).expect("something is waited for");
    step_at(rt, due - 1);
    assert_eq!(completed(rt), []);
    step_at(rt, due);
}

/// A read that the disk doesn't answer: it and all operations queued behind it fail at the
/// deadline, later ones at once. When the disk answers, the volume works as before. Until then the
/// memory of the read is reported as in use.
#[test]
fn a_disk_that_stops_fails_every_call() {
    let (mut rt, orders) = runtime("stops");
    let rt = &mut rt;
    let answer = open(rt, "/data/a", MODE, 1);
    let fd = Fd::decode(result(rt, 1, answer)).expect("opened");
    let mut text: Vec<u8> = (0..900_000u32).map(|i| (i % 247) as u8).collect();
    let answer = write(rt, fd, Piece::of(&mut text), 0, 2);
    assert_eq!(result(rt, 2, answer), 900_000);
    let answer = sync(rt, 3);
    assert_eq!(result(rt, 3, answer), 0);
    assert_eq!(deadline(rt), None);
    orders.hold.set(true);
    let mut back = vec![0; 900_000];
    assert_eq!(read(rt, fd, Piece::of(&mut back), 0, 4), Err(Stop::Pending));
    assert_eq!(open(rt, "/data/b", MODE, 5), Err(Stop::Pending));
    assert_eq!(sync(rt, 6), Err(Stop::Pending));
    let left = deadline(rt).expect("something is waited for") - Current::monotonic_ns();
    assert!((25_000_000_000..=30_000_000_000).contains(&left), "{left}");
    // A caller that checks long after the deadline was stopped itself: the disk gets a grace
    // period.
    let due = deadline(rt).expect("something is waited for");
    step_at(rt, due + 10_000_000_000);
    assert_eq!(completed(rt), []);
    assert_eq!(deadline(rt), Some(due + 10_500_000_000));
    // Only one grace period.
    step_at(rt, due + 20_000_000_000);
    assert_eq!(completed(rt), [(4, IO), (5, IO), (6, IO)]);
    // The disk only uses the memory of the first of them, which is reported once.
    assert_eq!([5, 6, 4, 4].map(|token| abandoned(rt, token)), [0, 0, 1, 0]);
    assert_eq!(deadline(rt), None);
    for token in 7..20 {
        let answer = open(rt, "/data/c", OPEN_READ, token);
        assert_eq!(result(rt, token, answer), IO);
        let answer = sync(rt, token);
        assert_eq!(result(rt, token, answer), IO);
    }
    orders.hold.set(false);
    for _ in 0..100 {
        step(rt);
    }
    assert_eq!(completed(rt), []);
    // The read transferred nothing after the step in progress, and no memory is leaked.
    let answer = read(rt, fd, Piece::of(&mut back), 0, 21);
    assert_eq!(result(rt, 21, answer), 900_000);
    assert!(back == text);
}

/// A flush that never completes: operations that wait for it fail. Reads succeed until the flush
/// has timed out.
#[test]
fn a_flush_that_stops_fails_the_sync() {
    let (mut rt, orders) = runtime("stopped-flush");
    let rt = &mut rt;
    let answer = open(rt, "/data/a", MODE, 1);
    let fd = Fd::decode(result(rt, 1, answer)).expect("opened");
    let answer = write(rt, fd, Piece::of(&mut [7; 100]), 0, 2);
    assert_eq!(result(rt, 2, answer), 100);
    orders.hold_flush.set(true);
    assert_eq!(sync(rt, 3), Err(Stop::Pending));
    for _ in 0..100 {
        step(rt);
    }
    assert_eq!(completed(rt), []);
    let mut back = [0; 100];
    let answer = read(rt, fd, Piece::of(&mut back), 0, 4);
    assert_eq!(result(rt, 4, answer), 100);
    late(rt);
    assert_eq!(completed(rt), [(3, IO)]);
    let answer = read(rt, fd, Piece::of(&mut back), 0, 5);
    assert_eq!(result(rt, 5, answer), IO);
    orders.hold_flush.set(false);
    for _ in 0..100 {
        step(rt);
    }
    let answer = read(rt, fd, Piece::of(&mut back), 0, 6);
    assert_eq!(result(rt, 6, answer), 100);
    let answer = sync(rt, 7);
    assert_eq!(result(rt, 7, answer), 0);
    let answer = write(rt, fd, Piece::of(&mut [8; 100]), 0, 8);
    assert_eq!(result(rt, 8, answer), 100);
    orders.hold_flush.set(true);
    assert!(!finish(rt));
    for _ in 0..100 {
        step(rt);
    }
    late(rt);
    assert!(finish(rt), "the end of the program waits for the disk");
}

/// A mount that the disk doesn't answer is undone once it does: the disk is free again, and can be
/// mounted.
#[test]
fn a_mount_that_stops_is_undone() {
    let (mut rt, orders) = runtime("stopped-mount");
    let rt = &mut rt;
    orders.hold.set(true);
    assert_eq!(mount(rt, "/x=fat:data", 1), Err(Stop::Pending));
    late(rt);
    assert_eq!(completed(rt), [(1, IO)]);
    for (token, point) in [(2, "/x=data"), (3, "/y=fat:data")] {
        let answer = mount(rt, point, token);
        assert_eq!(result(rt, token, answer), IO, "{point}");
    }
    orders.hold.set(false);
    for _ in 0..100 {
        step(rt);
    }
    let answer = mount(rt, "/x=data", 4);
    assert_eq!(result(rt, 4, answer), 0);
    let answer = open(rt, "/x/a", MODE, 5);
    assert!(result(rt, 5, answer) > 0);
}

/// A file whose open was abandoned is closed once it is open; FAT doesn't remove open files. An
/// unmount that the disk doesn't answer completes later, and until then the volume stays mounted.
#[test]
fn what_was_abandoned_leaves_nothing_open() {
    let (mut rt, orders) = runtime("stopped-open");
    let rt = &mut rt;
    // This mounts it.
    orders.hold.set(true);
    assert_eq!(open(rt, "/data/a", MODE, 2), Err(Stop::Pending));
    late(rt);
    assert_eq!(completed(rt), [(2, IO)]);
    orders.hold.set(false);
    for _ in 0..100 {
        step(rt);
    }
    let answer = unlink(rt, "/data/a", 3);
    assert_eq!(result(rt, 3, answer), 0);
    orders.hold.set(true);
    assert_eq!(unmount(rt, "/data", 4), Err(Stop::Pending));
    late(rt);
    assert_eq!(completed(rt), [(4, IO)]);
    let answer = open(rt, "/data/a", MODE, 5);
    assert_eq!(result(rt, 5, answer), IO);
    orders.hold.set(false);
    for _ in 0..100 {
        step(rt);
    }
    let answer = mount(rt, "/x=data", 7);
    assert_eq!(result(rt, 7, answer), 0);
}
