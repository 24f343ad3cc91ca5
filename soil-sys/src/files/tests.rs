//! Files on a disk that takes its time, answers out of order, or fails.

use super::{open, read, sync, unlink, write};
use crate::abi::{OPEN_CREATE, OPEN_READ, OPEN_WRITE};
use crate::disks::{Device, Geometry, Request, Submitted, install};
use crate::error::{Answer, Error, Stop, encode};
use crate::pipe;
use crate::platform::Interest;
use crate::runtime::Runtime;
use crate::table::Fd;
use crate::ty::{Int, Piece};
use ::fs::BlockError;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::process::Command;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{env, format, fs, process, vec};

/// What the test tells the disk.
#[derive(Default)]
struct Orders {
    /// It does nothing.
    hold: Cell<bool>,
    /// It does nothing about flushes.
    hold_flush: Cell<bool>,
    /// It fails.
    fail: Cell<bool>,
    /// Its flushes fail.
    fail_flush: Cell<bool>,
    /// The sectors.
    data: RefCell<Vec<u8>>,
}

/// A disk in memory that does requests only when it is polled, the last one first.
struct Slow {
    orders: Rc<Orders>,
    queue: Vec<(Request, u64)>,
}

impl Device for Slow {
    fn geometry(&mut self) -> Result<Geometry, (Error, String)> {
        let sectors = (self.orders.data.borrow().len() / 512) as u64;
        Ok(Geometry {
            sector_size: 512,
            sectors,
            read_only: false,
            max_bytes: 1 << 20,
        })
    }

    fn submit(&mut self, request: Request, tag: u64) -> Submitted {
        if self.queue.len() == 2 {
            return Submitted::Full;
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
            let mut data = self.orders.data.borrow_mut();
            match request {
                Request::Read { sector, to, len } => {
                    let from = &data[sector as usize * 512..][..len];
                    // SAFETY: the request's memory is its own until it is reported.
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
                Request::Wide(..) => unreachable!("volumes make none"),
            }
            report(tag, Ok(()));
        }
    }
}

/// A FAT file system made by `mkfs.fat`.
fn fat(name: &str) -> Vec<u8> {
    let path = env::temp_dir().join(format!("soil-sys-{name}-{}.img", process::id()));
    fs::write(&path, vec![0; 2 << 20]).expect("temporary file");
    assert!(
        Command::new("mkfs.fat")
            .arg(&path)
            .output()
            .expect("mkfs.fat")
            .status
            .success()
    );
    let bytes = fs::read(&path).expect("temporary file");
    fs::remove_file(&path).expect("temporary file");
    bytes
}

/// A runtime with the disk `data`.
fn runtime(name: &str) -> (Runtime, Rc<Orders>) {
    let orders = Rc::new(Orders {
        data: RefCell::new(fat(name)),
        ..Orders::default()
    });
    let device = Box::new(Slow {
        orders: Rc::clone(&orders),
        queue: Vec::new(),
    });
    let mut rt = Runtime::new();
    install(&mut rt, vec![("data".to_string(), device)]).expect("room");
    (rt, orders)
}

/// One look at everything.
fn step(rt: &mut Runtime) {
    for driver in rt.drivers().iter().flatten() {
        (driver.poll)(rt, 0);
    }
}

/// The result of the operation `token`, whose call gave `answer`.
fn result(rt: &mut Runtime, token: Int, answer: Answer) -> Int {
    if answer != Err(Stop::Pending) {
        return encode(answer);
    }
    for _ in 0..10_000 {
        step(rt);
        if let Some((completed, result)) = rt.next_completion() {
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

/// While the disk does nothing the rest goes on, what hasn't begun can be taken back, and what has begun ends later.
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
    assert!(rt.next_completion().is_none());
    let answer = open(rt, "/data/b", OPEN_READ, 4);
    assert_eq!(result(rt, 4, answer), -(Error::NotFound as Int));
}

/// A flush that takes long: what is to be durable waits, reading and what needs no disk doesn't.
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
    assert!(rt.next_completion().is_none());
    let mut back = vec![0; 300_000];
    let answer = read(rt, fd, Piece::of(&mut back), 0, 4);
    assert_eq!(result(rt, 4, answer), 300_000);
    assert!(back == text);
    // Nothing is left to be written, but it isn't durable yet.
    assert_eq!(sync(rt, 5), Err(Stop::Pending));
    // A file that fits the cache is written there.
    let answer = write(rt, fd, Piece::of(&mut [1; 100]), 0, 6);
    assert_eq!(result(rt, 6, answer), 100);
    for _ in 0..100 {
        step(rt);
    }
    assert!(rt.next_completion().is_none());
    orders.hold_flush.set(false);
    assert_eq!(result(rt, 3, Err(Stop::Pending)), 0);
    assert_eq!(result(rt, 5, Err(Stop::Pending)), 0);
    let answer = sync(rt, 7);
    assert_eq!(result(rt, 7, answer), 0);
}

/// A flush that fails after the volume has gone on: nothing that waits for it is durable, nor what follows, until one succeeds.
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

#[test]
fn a_failing_disk_is_an_error() {
    let (mut rt, orders) = runtime("fails");
    let rt = &mut rt;
    orders.fail.set(true);
    let answer = open(rt, "/data/a", MODE, 1);
    assert_eq!(result(rt, 1, answer), -(Error::Io as Int));
    // It recovers, and is mounted then.
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
