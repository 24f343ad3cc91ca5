//! A volume whose calls wait for something other than our disks, like folders of the host.

use super::super::drivers::{FileSystem, Mount, Mounted, Options};
use super::super::statistics;
use super::super::{
    drivers, file_sync, mount, open, read, seek, size, sync, sync_volume, unmount, write,
};
use super::{IO, MODE, completed, step};
use crate::Runtime;
use crate::current::Offload;
use crate::disks::install;
use crate::files::engine::driver::{deadline, finish};
use crate::types::{Int, Piece};
use ::fs::{Cursor, DirEntry, FileId, Health, OpenFlags, Renaming, Space, Stat, Volume, memory};
use platform::error::{Error, Stop};
use platform::folders::{Suspend, Waiting};
use reactor::table::Fd;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

type Result<T> = core::result::Result<T, ::fs::Error>;

/// How a call waits.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// It doesn't wait.
    Not,
    /// For an event.
    Waits,
    /// For its next time slice.
    GivesWay,
    /// It has completed, but its answer is suspended.
    Holds,
}

/// Shared state through which the test controls the volumes of its thread, and a record of their
/// calls.
struct Orders {
    sync: Cell<How>,
    read: Cell<How>,
    /// Whether the awaited event has occurred.
    ready: Cell<bool>,
    /// Results of the suspended answers, in the order of the calls.
    held: RefCell<Vec<Option<Result<()>>>>,
    /// Number of polls for that event.
    looks: Cell<usize>,
    /// For each read, whether it was not allowed to wait.
    away: RefCell<Vec<bool>>,
    /// Results that replace those of reads and writes; `offsets` records their offsets.
    answers: RefCell<VecDeque<Result<usize>>>,
    offsets: RefCell<Vec<u64>>,
    /// Description of the damage, if the volume is corrupt.
    corrupt: Cell<Option<&'static str>>,
}

std::thread_local! {
    static ORDERS: Orders = const {
        Orders {
            sync: Cell::new(How::Not),
            read: Cell::new(How::Not),
            ready: Cell::new(false),
            held: RefCell::new(Vec::new()),
            looks: Cell::new(0),
            away: RefCell::new(Vec::new()),
            answers: RefCell::new(VecDeque::new()),
            offsets: RefCell::new(Vec::new()),
            corrupt: Cell::new(None),
        }
    };
}

fn is_ready() -> bool {
    ORDERS.with(|orders| {
        orders.looks.set(orders.looks.get() + 1);
        orders.ready.get()
    })
}

fn polls() -> usize {
    ORDERS.with(|orders| orders.looks.get())
}

/// Returns the next result of a transfer at this offset, if there is one.
fn answer(offset: u64) -> Option<Result<usize>> {
    ORDERS.with(|orders| {
        orders.offsets.borrow_mut().push(offset);
        orders.answers.borrow_mut().pop_front()
    })
}

/// Files in memory, and how their calls wait.
struct Told {
    inner: Box<dyn Volume>,
    fiber: Box<dyn Suspend>,
}

impl Told {
    fn wait(&self, how: How) {
        match how {
            How::Not => (),
            How::Waits => {
                while !is_ready() {
                    self.fiber.wait();
                }
            }
            How::GivesWay => {
                while !is_ready() {
                    self.fiber.yield_now();
                }
            }
            How::Holds => {
                let place = ORDERS.with(|orders| {
                    let mut held = orders.held.borrow_mut();
                    held.push(None);
                    held.len() - 1
                });
                self.fiber.suspend_answer(Box::new(move || {
                    ORDERS.with(|orders| orders.held.borrow()[place])
                }));
            }
        }
    }
}

impl Volume for Told {
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId> {
        self.inner.open(path, flags)
    }

    fn close(&mut self, file: FileId) -> Result<()> {
        self.inner.close(file)
    }

    fn read_at(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let how = ORDERS.with(|orders| {
            orders.away.borrow_mut().push(self.fiber.is_unresponsive());
            orders.read.get()
        });
        if how != How::Not && self.fiber.is_unresponsive() {
            return Err(::fs::Error::Io);
        }
        self.wait(how);
        answer(offset).unwrap_or_else(|| self.inner.read_at(file, offset, buf))
    }

    fn write_at(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize> {
        answer(offset).unwrap_or_else(|| self.inner.write_at(file, offset, buf))
    }

    fn size(&mut self, file: FileId) -> Result<u64> {
        self.inner.size(file)
    }

    fn truncate(&mut self, file: FileId, size: u64) -> Result<()> {
        self.inner.truncate(file, size)
    }

    fn stat_file(&mut self, file: FileId) -> Result<Stat> {
        self.inner.stat_file(file)
    }

    fn stat(&mut self, path: &str) -> Result<Stat> {
        self.inner.stat(path)
    }

    fn list(
        &mut self,
        directory: FileId,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>> {
        self.inner.list(directory, from, visit)
    }

    fn mkdir(&mut self, path: &str) -> Result<()> {
        self.inner.mkdir(path)
    }

    fn rmdir(&mut self, path: &str) -> Result<()> {
        self.inner.rmdir(path)
    }

    fn unlink(&mut self, path: &str) -> Result<()> {
        self.inner.unlink(path)
    }

    fn rename_as(&mut self, from: &str, to: &str, how: Renaming) -> Result<()> {
        self.inner.rename_as(from, to, how)
    }

    fn sync(&mut self) -> Result<()> {
        self.wait(ORDERS.with(|orders| orders.sync.get()));
        self.inner.sync()
    }

    fn sync_file(&mut self, _: FileId) -> Result<()> {
        self.sync()
    }

    fn space(&mut self) -> Result<Space> {
        self.inner.space()
    }

    fn health(&self) -> Health {
        let corrupt = ORDERS.with(|orders| orders.corrupt.get());
        corrupt.map_or(self.inner.health(), |text| Health::Corrupt(text.into()))
    }
}

/// Replaces the host's folders.
const TOLD: FileSystem = FileSystem {
    name: "host",
    stack: 64 << 10,
    mount: Mount::Waiting(mount_told),
    grow: None,
};

fn mount_told(source: &str, options: &Options, waiting: Waiting<Offload>) -> Mounted {
    assert_eq!((source, options.read_only), ("somewhere", false));
    let inner = memory::new(64 << 20, options.clock);
    let fiber = waiting.fiber;
    Ok(Box::new(Told { inner, fiber }))
}

/// Creates a runtime with such a volume at `/w`, a plain one at `/m`, and an open file on each.
fn runtime() -> (Runtime, [Fd; 2]) {
    // Tests may share a thread, one after the other.
    ORDERS.with(|orders| {
        orders.sync.set(How::Not);
        orders.read.set(How::Not);
        orders.ready.set(false);
        orders.looks.set(0);
        orders.held.borrow_mut().clear();
        orders.away.borrow_mut().clear();
        orders.answers.borrow_mut().clear();
        orders.offsets.borrow_mut().clear();
        orders.corrupt.set(None);
    });
    let mut rt = Runtime::new();
    install(&mut rt, vec![]).expect("room");
    for kind in [TOLD, drivers::MEMORY] {
        drivers::register(&mut rt, kind).expect("room");
    }
    for word in ["/w=host:somewhere", "/m=memory"] {
        assert_eq!(mount(&mut rt, word, 1), Ok(0));
    }
    let fds = ["/w/f", "/m/f"].map(|path| {
        let fd = open(&mut rt, path, MODE, 1).expect("opened") as Int;
        Fd::decode(fd).expect("a descriptor")
    });
    for fd in fds {
        let written = write(&mut rt, fd, Piece::of(&mut [7; 100]), 0, 1);
        assert_eq!(written, Ok(100));
    }
    (rt, fds)
}

const PENDING: platform::error::Answer = Err(Stop::Pending);

#[test]
fn a_call_that_waits_keeps_only_its_own_volume() {
    let (mut rt, [file, other]) = runtime();
    let rt = &mut rt;
    ORDERS.with(|orders| orders.sync.set(How::Waits));
    assert_eq!(sync_volume(rt, "/w", 1), PENDING);
    assert_eq!(size(rt, file, 2), PENDING, "it is its turn afterwards");
    assert_eq!(size(rt, other, 3), Ok(100));
    // A sync of all completes with the last of them.
    assert_eq!(sync(rt, 4), PENDING);
    assert_eq!(polls(), 1);
    for count in 2..10 {
        // Nothing runs for it before an event, and each event polls it once.
        assert_eq!(deadline(rt), None);
        step(rt);
        assert_eq!((polls(), completed(rt)), (count, vec![]));
    }
    assert!(!finish(rt));
    ORDERS.with(|orders| orders.ready.set(true));
    for _ in 0..10 {
        step(rt);
    }
    assert_eq!(completed(rt), [(1, 0), (2, 100), (4, 0)]);
    assert!(finish(rt));
}

#[test]
fn who_gives_way_comes_back_at_once() {
    let (mut rt, [file, other]) = runtime();
    let rt = &mut rt;
    ORDERS.with(|orders| orders.sync.set(How::GivesWay));
    assert_eq!(file_sync(rt, file, 1), PENDING);
    assert_eq!((deadline(rt), completed(rt)), (Some(0), vec![]));
    assert_eq!(size(rt, other, 2), Ok(100));
    let before = polls();
    step(rt);
    assert!(polls() > before);
    ORDERS.with(|orders| orders.ready.set(true));
    step(rt);
    assert_eq!(completed(rt), [(1, 0)]);
    assert_eq!(deadline(rt), None);
}

#[test]
fn an_answer_that_is_held_keeps_nothing_else() {
    let (mut rt, [file, _]) = runtime();
    let rt = &mut rt;
    ORDERS.with(|orders| orders.sync.set(How::Holds));
    for token in 1..=4 {
        assert_eq!(file_sync(rt, file, token), PENDING);
    }
    assert_eq!(size(rt, file, 5), Ok(100));
    let mut back = [0; 10];
    assert_eq!(read(rt, file, Piece::of(&mut back), 0, 5), Ok(10));
    step(rt);
    assert_eq!(completed(rt), []);
    let say = |place: usize, result| {
        ORDERS.with(|orders| orders.held.borrow_mut()[place] = Some(result));
    };
    say(2, Ok(()));
    say(1, Err(::fs::Error::NoSpace));
    step(rt);
    assert_eq!(completed(rt), [(2, -(Error::NoSpace as Int)), (3, 0)]);
    step(rt);
    assert_eq!(completed(rt), []);
    // It can't be unmounted before they have completed.
    assert_eq!(rt.close(file), Ok(0));
    ORDERS.with(|orders| orders.sync.set(How::Not));
    assert_eq!(unmount(rt, "/w", 6), PENDING);
    step(rt);
    assert_eq!(completed(rt), []);
    assert!(!finish(rt));
    say(0, Ok(()));
    say(3, Err(::fs::Error::Io));
    for _ in 0..3 {
        step(rt);
    }
    assert_eq!(completed(rt), [(1, 0), (4, IO), (6, 0)]);
    assert!(finish(rt));
}

/// A read that needs no wait completes within the call; any other fails there, invisibly to the
/// program, and is repeated on the fiber, which can wait.
#[test]
fn a_read_that_has_to_wait_is_made_again_on_the_fiber() {
    let (mut rt, [file, _]) = runtime();
    let rt = &mut rt;
    let mut back = [0; 10];
    assert_eq!(read(rt, file, Piece::of(&mut back), -1, 1), Ok(10));
    let away = || ORDERS.with(|orders| core::mem::take(&mut *orders.away.borrow_mut()));
    assert_eq!(away(), [true]);
    // It has no cache of ours with counters.
    assert_eq!(statistics(rt, "/w").expect("mounted").hits, 0);
    ORDERS.with(|orders| orders.read.set(How::Waits));
    assert_eq!(read(rt, file, Piece::of(&mut back), -1, 1), PENDING);
    assert_eq!(away(), [true, false]);
    ORDERS.with(|orders| orders.ready.set(true));
    step(rt);
    assert_eq!(completed(rt), [(1, 10)]);
    assert_eq!(back, [7; 10]);
    // A call that has started isn't overtaken, and the position advances in the order of the calls.
    ORDERS.with(|orders| orders.ready.set(false));
    assert_eq!(read(rt, file, Piece::of(&mut back), -1, 1), PENDING);
    let mut rest = [0; 100];
    assert_eq!(read(rt, file, Piece::of(&mut rest), -1, 2), PENDING);
    assert_eq!(away(), [true, false]);
    ORDERS.with(|orders| orders.ready.set(true));
    step(rt);
    step(rt);
    assert_eq!(completed(rt), [(1, 10), (2, 70)]);
}

/// A read of more than a MiB is always a job: it can be cancelled, and others can run.
#[test]
fn a_read_of_much_is_not_tried_in_the_call() {
    const MAX_AT_ONCE: usize = 1 << 20;
    let (mut rt, [file, _]) = runtime();
    let rt = &mut rt;
    let mut long = vec![5; MAX_AT_ONCE + 1];
    for (len, away) in [(MAX_AT_ONCE, true), (MAX_AT_ONCE + 1, false), (10, true)] {
        let answer = read(rt, file, Piece::of(&mut long[..len]), 0, 1);
        assert_eq!(answer, Ok(len.min(100)));
        let tried = ORDERS.with(|orders| core::mem::take(&mut *orders.away.borrow_mut()));
        assert_eq!(tried, [away], "{len}");
    }
}

/// A cancelled long transfer ends between two of its steps, and only there.
#[test]
fn a_long_read_ends_early_when_it_is_cancelled() {
    const STEP: usize = 4 << 20;
    let (mut rt, [file, _]) = runtime();
    let rt = &mut rt;
    let mut long = vec![5; 2 * STEP + 10];
    assert_eq!(write(rt, file, Piece::of(&mut long), 0, 1), Ok(long.len()));
    ORDERS.with(|orders| orders.read.set(How::Waits));
    for (cancelled, expected) in [(2, 2 * STEP + 10), (1, STEP)] {
        ORDERS.with(|orders| orders.ready.set(false));
        assert_eq!(read(rt, file, Piece::of(&mut long), 0, 1), PENDING);
        assert_eq!(size(rt, file, 2), PENDING);
        let taken_back = if cancelled == 2 { Ok(1) } else { PENDING };
        assert_eq!(rt.cancel(cancelled), taken_back);
        ORDERS.with(|orders| orders.ready.set(true));
        for _ in 0..10 {
            step(rt);
        }
        let mut expected = vec![(1, expected as Int)];
        if cancelled != 2 {
            expected.push((2, (2 * STEP + 10) as Int));
        }
        assert_eq!(completed(rt), expected);
    }
}

/// A transfer runs in steps. It ends with the first short one; the steps before a failure are
/// reported.
#[test]
fn a_transfer_ends_with_the_first_step_that_is_not_whole() {
    use ::fs::Error::{Io, NoSpace, PermissionDenied};
    const STEP: usize = 4 << 20;
    let (mut rt, [file, _]) = runtime();
    let rt = &mut rt;
    let mut memory = vec![0; 2 * STEP + 10];
    let no = |error| Err(Stop::Error(error));
    let answers: [(&[Result<usize>], _, _); 7] = [
        (&[Ok(STEP), Ok(STEP), Ok(10)], Ok(2 * STEP + 10), 3),
        (&[Ok(STEP), Ok(STEP), Ok(9)], Ok(2 * STEP + 9), 3),
        (&[Ok(STEP), Err(Io)], Ok(STEP), 2),
        (&[Ok(STEP), Ok(STEP - 1)], Ok(2 * STEP - 1), 2),
        (&[Ok(STEP - 1)], Ok(STEP - 1), 1),
        (&[Ok(0)], Ok(0), 1),
        (&[Err(Io)], no(Error::Io), 1),
    ];
    let told = |answers: &[Result<usize>]| {
        ORDERS.with(|orders| {
            *orders.answers.borrow_mut() = answers.iter().copied().collect();
            orders.offsets.borrow_mut().clear();
        });
    };
    let offsets = || ORDERS.with(|orders| orders.offsets.borrow().clone());
    for (answers, expected, steps) in answers {
        let places = [0, STEP, 2 * STEP].map(|place| place as u64 + 100);
        for is_write in [false, true] {
            told(answers);
            assert_eq!(seek(rt, file, 100, 0, 1), Ok(100));
            let piece = Piece::of(&mut memory);
            let answer = match is_write {
                true => write(rt, file, piece, -1, 1),
                false => read(rt, file, piece, -1, 1),
            };
            assert_eq!(answer, expected);
            assert_eq!(offsets(), places[..steps]);
            // The position is after the transferred bytes.
            let position = 100 + expected.unwrap_or(0);
            assert_eq!(seek(rt, file, 0, 1, 1), Ok(position));
        }
    }
    // The error code of a failure depends on the operation.
    for (failure, reading, writing) in [
        (PermissionDenied, Error::PermissionDenied, Error::ReadOnly),
        (NoSpace, Error::NoSpace, Error::NoSpace),
    ] {
        told(&[Err(failure); 2]);
        let piece = Piece::of(&mut memory);
        assert_eq!(read(rt, file, piece, 0, 1), no(reading));
        assert_eq!(write(rt, file, piece, 0, 1), no(writing));
    }
}

/// Errors caused by the volume's state come with the volume's description of it; other errors
/// don't.
#[test]
fn what_is_corrupt_is_said() {
    use ::fs::Error::{Corrupt, Io, NoSpace, ReadOnly};
    let (mut rt, [file, _]) = runtime();
    let rt = &mut rt;
    let line = "/w (host somewhere): table 7 is broken";
    for (corrupt, failure, expected) in [
        (Some("table 7 is broken"), Corrupt, line),
        (Some("table 7 is broken"), ReadOnly, line),
        (Some("table 7 is broken"), Io, ""),
        (Some("table 7 is broken"), NoSpace, ""),
        (None, Corrupt, ""),
    ] {
        ORDERS.with(|orders| {
            orders.corrupt.set(corrupt);
            orders.answers.borrow_mut().push_back(Err(failure));
        });
        assert!(write(rt, file, Piece::of(&mut [0; 10]), 0, 1).is_err());
        let mut said = [0; 100];
        rt.messages.failed(1);
        let len = rt.messages.last(1, &mut said);
        let said = core::str::from_utf8(&said[..len]).expect("UTF-8");
        assert_eq!(said, expected, "{failure:?}");
        rt.messages.set(String::new());
    }
}
