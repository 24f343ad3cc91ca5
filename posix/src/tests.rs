//! The operations on the host, with the volume in memory that the tree has at its root.

use crate::blocking::operation;
use crate::blocking::readiness::Events;
use crate::blocking::signals::{self, Set};
use crate::console::Console;
use crate::errors::{Errno, Result, errno};
use crate::file::{Description, File, Offset};
use crate::files::devices;
use crate::files::eventfd::Counter;
use crate::files::pipe;
use crate::locking;
use crate::locks::Owner;
use crate::namespace::names::{self, set_times, space};
use crate::namespace::{self, Device, stat};
use crate::process::{self, Reserved};
use crate::sockets::address::Family;
use crate::sockets::tcp::Tcp;
use crate::sockets::{SocketFile, message_flags};
use crate::stat::set_owner;
use crate::table::MAX_OPEN;
use alloc::sync::Arc;
use libc::{AT_FDCWD, O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK};
use libc::{O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};
use platform::error::Error;
use std::boxed::Box;
use std::string::{String, ToString};
use std::sync::{Mutex, MutexGuard};
use std::vec::Vec;
use std::{format, vec};

/// The runtime, the table and the current directory are per process.
static ONE: Mutex<()> = Mutex::new(());

/// A new current directory, and an empty table.
pub(crate) fn begin(name: &str) -> MutexGuard<'static, ()> {
    crate::sockets::tests::set_up();
    let guard = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    process::reset();
    while signals::take(Set::MAX).is_some() {}
    let path = absolute(name);
    names::make_directory(&path).expect("a new directory");
    namespace::change_directory(&path).expect("a directory");
    guard
}

fn absolute(path: &str) -> String {
    namespace::absolute(AT_FDCWD as u64, path.as_bytes()).expect("a path")
}

fn open(path: &str, flags: i32) -> Result<u64> {
    process::install(namespace::open(absolute(path), flags)?, flags)
}

fn description(descriptor: u64) -> Arc<Description> {
    process::get(descriptor).expect("open")
}

/// The current events of a file.
pub(crate) fn events(file: &dyn File) -> Events {
    operation::now(|rt| Ok::<_, Errno>(file.events(rt))).expect("the runtime")
}

fn write(descriptor: u64, text: &str) -> Result<usize> {
    description(descriptor).write(text.as_bytes(), Offset::Position)
}

fn read(descriptor: u64, len: usize) -> Result<String> {
    let mut bytes = vec![0; len];
    let n = description(descriptor).read(&mut bytes, Offset::Position)?;
    Ok(String::from_utf8_lossy(&bytes[..n]).to_string())
}

/// Creates a file with the contents `text`.
fn file(path: &str, text: &str) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC).expect(path);
    assert_eq!(write(descriptor, text), Ok(text.len()));
    assert_eq!(process::close(descriptor), Ok(0));
}

fn contents(path: &str) -> String {
    let descriptor = open(path, O_RDONLY).expect(path);
    let text = read(descriptor, 1000).expect(path);
    process::close(descriptor).expect("open");
    text
}

#[test]
fn descriptors_are_the_lowest_free_numbers() {
    let _one = begin("numbers");
    let numbers: Vec<_> = (0..3).map(|_| open("f", O_RDWR | O_CREAT)).collect();
    assert_eq!(numbers, [Ok(3), Ok(4), Ok(5)]);
    assert_eq!(process::close(4), Ok(0));
    assert_eq!(process::close(4), Err(libc::EBADF));
    assert_eq!(process::close(0), Ok(0));
    assert_eq!(open("f", O_RDONLY), Ok(0));
    assert_eq!(process::control(5, libc::F_DUPFD as u64, 0), Ok(4));
    assert_eq!(process::control(5, libc::F_DUPFD as u64, 100), Ok(100));
    assert_eq!(open("f", O_RDONLY), Ok(6));
    for wrong in [7, 99, 101, u64::MAX] {
        assert_eq!(process::get(wrong).err(), Some(libc::EBADF));
    }
    let most = MAX_OPEN as u64;
    let too_many = process::control(5, libc::F_DUPFD as u64, most);
    assert_eq!(too_many, Err(libc::EINVAL));
    assert_eq!(process::replace(5, most, false), Err(libc::EBADF));
}

#[test]
fn duplicates_share_position_and_flags_but_not_close_on_exec() {
    let _one = begin("duplicates");
    file("f", "0123456789");
    let first = open("f", O_RDONLY | O_CLOEXEC).expect("there");
    let second = process::replace(first, 9, false).expect("room");
    assert_eq!(read(first, 3).as_deref(), Ok("012"));
    assert_eq!(read(second, 3).as_deref(), Ok("345"));
    let flag = |descriptor| process::control(descriptor, libc::F_GETFD as u64, 0);
    assert_eq!([flag(first), flag(second)], [Ok(1), Ok(0)]);
    process::control(second, libc::F_SETFL as u64, O_NONBLOCK as u64).expect("open");
    let flags = process::control(first, libc::F_GETFL as u64, 0);
    assert_eq!(flags, Ok((O_RDONLY | O_NONBLOCK) as u64));
    assert_eq!(process::close(first), Ok(0));
    assert_eq!(read(second, 9).as_deref(), Ok("6789"), "still open");
}

#[test]
fn close_on_exec_is_a_descriptors_own() {
    let _one = begin("on exec");
    let file = open("f", O_RDWR | O_CREAT).expect("room");
    let control = |descriptor, command, argument: i32| {
        process::control(descriptor, command as u64, argument as u64)
    };
    let flag = |descriptor| control(descriptor, libc::F_GETFD, 0);
    let copies = [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC].map(|how| control(file, how, 0));
    assert_eq!(copies, [Ok(4), Ok(5)]);
    assert_eq!([flag(3), flag(4), flag(5)], [Ok(0), Ok(0), Ok(1)]);
    assert_eq!(control(3, libc::F_SETFD, 3), Ok(0));
    assert_eq!(control(5, libc::F_SETFD, 2), Ok(0));
    assert_eq!([flag(3), flag(4), flag(5)], [Ok(1), Ok(0), Ok(0)]);
}

/// POSIX.1-2024, `fcntl`: "All locks associated with a file for a given process shall be removed
/// when a file descriptor for that file is closed by that process".
#[test]
fn any_close_of_a_file_gives_up_the_programs_locks() {
    let _one = begin("locks");
    let [locked, closed, other] = ["f", "f", "g"].map(|name| open(name, O_RDWR | O_CREAT));
    let locked = description(locked.expect("room"));
    let set = locking::set(&locked, Owner::Process, 0..10, Some(true), false);
    assert_eq!(set, Ok(0));
    let is_locked = || {
        let found = locking::conflict(&locked, Owner::of(&locked), 9..20, false);
        found.expect("a file").is_some()
    };
    assert!(is_locked());
    assert_eq!(process::close(other.expect("room")), Ok(0));
    assert!(is_locked(), "another file");
    assert_eq!(process::close(closed.expect("room")), Ok(0));
    assert!(!is_locked());
}

/// Anything that makes room for a lock wakes the threads that wait for one.
#[test]
fn a_lock_that_is_given_up_in_part_lets_others_in() {
    #[derive(Clone, Debug)]
    enum GiveUp {
        Set(core::ops::Range<u64>, Option<bool>),
        /// By the end of the description.
        End,
    }
    let _one = begin("waiting locks");
    for (of_whole, exclusive, give_up) in [
        (false, false, GiveUp::Set(0..10, Some(false))),
        (false, false, GiveUp::Set(2..7, Some(false))),
        (false, true, GiveUp::Set(2..7, None)),
        (true, false, GiveUp::Set(0..10, Some(false))),
        (false, true, GiveUp::End),
    ] {
        let owner = |it| match of_whole {
            true => Owner::whole(it),
            false => Owner::of(it),
        };
        let own = namespace::open(absolute("f"), O_RDWR | O_CREAT).expect("room");
        let set = |range, kind| locking::set(&own, owner(&own), range, kind, false);
        assert_eq!(set(0..10, Some(true)), Ok(0), "{give_up:?}");
        let other = namespace::open(absolute("f"), O_RDWR).expect("room");
        let (done, ended) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let owner = match of_whole {
                true => Owner::whole(&other),
                false => Owner::of(&other),
            };
            let got = locking::set(&other, owner, 3..5, Some(exclusive), true);
            done.send(got).expect("a receiver");
        });
        while operation::now(|rt| Ok::<_, i32>(rt.outstanding())) == Ok(0) {
            std::thread::yield_now();
        }
        match give_up.clone() {
            GiveUp::Set(range, kind) => assert_eq!(set(range, kind), Ok(0)),
            GiveUp::End => drop(own),
        }
        let got = ended.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(got, Ok(Ok(0)), "{give_up:?}");
        waiting.join().expect("no panic");
    }
}

#[test]
fn a_range_of_descriptors_is_closed_or_marked() {
    const ON_EXEC: u64 = libc::CLOSE_RANGE_CLOEXEC as u64;
    const UNSHARE: u64 = libc::CLOSE_RANGE_UNSHARE as u64;
    let _one = begin("ranges");
    for _ in 0..5 {
        open("f", O_RDWR | O_CREAT).expect("room");
    }
    let range = process::close_range;
    for (first, last, flags) in [(5, 4, 0), (4, 5, 1), (4, 5, 8), (5, 4, ON_EXEC)] {
        assert_eq!(range(first, last, flags), Err(libc::EINVAL));
    }
    let flags = || {
        let flag = |number| process::control(number as u64, libc::F_GETFD as u64, 0);
        process::descriptors()
            .into_iter()
            .map(flag)
            .collect::<Result<Vec<u64>>>()
    };
    assert_eq!(range(4, 5, ON_EXEC), Ok(0));
    assert_eq!(flags(), Ok(vec![0, 0, 0, 0, 1, 1, 0, 0]));
    assert_eq!(range(3, 3, UNSHARE | ON_EXEC), Ok(0));
    assert_eq!(flags(), Ok(vec![0, 0, 0, 1, 1, 1, 0, 0]));
    assert_eq!(range(4, 4, UNSHARE), Ok(0));
    assert_eq!(process::descriptors(), [0, 1, 2, 3, 5, 6, 7]);
    assert_eq!(range(6, u32::MAX.into(), 0), Ok(0));
    assert_eq!(process::descriptors(), [0, 1, 2, 3, 5]);
}

#[test]
fn append_can_be_set_and_taken_back() {
    let _one = begin("append-later");
    let descriptor = open("f", O_RDWR | O_CREAT).expect("room");
    assert_eq!(write(descriptor, "0123"), Ok(4));
    let put = |text: &str| description(descriptor).write(text.as_bytes(), Offset::At(0));
    process::control(descriptor, libc::F_SETFL as u64, O_APPEND as u64).expect("open");
    assert_eq!(put("ab"), Ok(2));
    assert_eq!(contents("f"), "0123ab");
    // `RWF_NOAPPEND`.
    let exact = description(descriptor).write(b"45", Offset::Exactly(4));
    assert_eq!((exact, contents("f").as_str()), (Ok(2), "012345"));
    assert_eq!(put("ab"), Ok(2));
    assert_eq!(contents("f"), "012345ab");
    process::control(descriptor, libc::F_SETFL as u64, 0).expect("open");
    assert_eq!(put("xy"), Ok(2));
    assert_eq!(contents("f"), "xy2345ab");
}

#[test]
fn a_reserved_number_is_taken_but_not_open() {
    let _one = begin("reserved");
    let reserved = Reserved::new(0).expect("room");
    assert_eq!(process::get(3).err(), Some(libc::EBADF));
    assert_eq!(process::close(3), Err(libc::EBADF));
    assert_eq!(process::descriptors(), [0, 1, 2]);
    assert_eq!(process::replace(0, 3, false), Err(libc::EBUSY));
    let file = open("f", O_RDWR | O_CREAT);
    assert_eq!(file, Ok(4));
    assert_eq!(reserved.fill(description(4), true), 3);
    assert_eq!(process::control(3, libc::F_GETFD as u64, 0), Ok(1));
    drop(Reserved::new(0).expect("room"));
    assert_eq!(open("f", O_RDONLY), Ok(5));
}

#[test]
fn a_replaced_descriptor_is_never_closed_in_between() {
    let _one = begin("replaced");
    let [a, b] = ["a", "b"].map(|name| open(name, O_RDWR | O_CREAT).expect("room"));
    process::replace(a, 9, false).expect("room");
    let stopped = core::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2000 {
                for old in [a, b] {
                    assert_eq!(process::replace(old, 9, false), Ok(9));
                }
            }
            stopped.store(true, core::sync::atomic::Ordering::Relaxed);
        });
        while !stopped.load(core::sync::atomic::Ordering::Relaxed) {
            assert!(process::get(9).is_ok());
        }
    });
    assert_eq!(process::replace(99, 9, false), Err(libc::EBADF));
    assert!(process::get(9).is_ok());
}

#[test]
fn flags_of_open_are_linux() {
    let _one = begin("flags");
    file("f", "text");
    names::make_directory(&absolute("d")).expect("new");
    names::symlink(b"f", &absolute("l")).expect("new");
    for (path, flags, errno) in [
        ("none", O_RDONLY, libc::ENOENT),
        ("none/f", O_WRONLY | O_CREAT, libc::ENOENT),
        ("f/f", O_RDONLY, libc::ENOTDIR),
        ("f/", O_RDONLY, libc::ENOTDIR),
        ("f", O_RDONLY | O_DIRECTORY, libc::ENOTDIR),
        ("d", O_WRONLY, libc::EISDIR),
        ("d", O_RDONLY | O_CREAT, libc::EISDIR),
        ("d", O_RDWR | O_DIRECTORY, libc::EISDIR),
        ("n/", O_WRONLY | O_CREAT, libc::EISDIR),
        ("f", O_WRONLY | O_CREAT | O_EXCL, libc::EEXIST),
        ("l", O_WRONLY | O_CREAT | O_EXCL, libc::EEXIST),
        ("l", O_RDONLY | O_NOFOLLOW, libc::ELOOP),
        ("d", O_RDONLY | O_DIRECTORY | O_CREAT, libc::EINVAL),
        ("d", O_RDWR | libc::O_TMPFILE, libc::EOPNOTSUPP),
    ] {
        assert_eq!(open(path, flags), Err(errno), "{path} {flags:o}");
    }
    assert!(open("d", O_RDONLY).is_ok() && open("l", O_RDONLY).is_ok());
    let made = open("made", O_RDONLY | O_CREAT).expect("new");
    assert_eq!(write(made, "x"), Err(libc::EBADF));
    let append = open("f", O_WRONLY | O_APPEND).expect("there");
    assert_eq!(write(append, "!"), Ok(1));
    assert_eq!(read(append, 1), Err(libc::EBADF));
    assert_eq!(contents("f"), "text!");
    open("f", O_RDONLY | O_TRUNC).expect("there");
    assert_eq!(contents("f"), "", "cut though it is only read");
}

#[test]
fn positions_and_lengths() {
    let _one = begin("positions");
    let f = open("f", O_RDWR | O_CREAT).expect("new");
    write(f, "0123456789").expect("room");
    let f = description(f);
    assert_eq!(f.file().seek(2, libc::SEEK_SET), Ok(2));
    assert_eq!(f.file().seek(3, libc::SEEK_CUR), Ok(5));
    assert_eq!(f.file().seek(-1, libc::SEEK_END), Ok(9));
    assert_eq!(f.file().seek(-1, libc::SEEK_SET), Err(libc::EINVAL));
    assert_eq!(f.file().seek(0, 77), Err(libc::EINVAL));
    assert_eq!(f.file().available(), Ok(1));
    let mut two = [0; 2];
    assert_eq!(f.read(&mut two, Offset::At(4)), Ok(2));
    assert_eq!((&two, f.file().seek(0, libc::SEEK_CUR)), (b"45", Ok(9)));
    assert_eq!(f.write(b"AB", Offset::At(0)), Ok(2));
    assert_eq!(f.truncate(3), Ok(()));
    assert_eq!(contents("f"), "AB2");
    assert_eq!(names::truncate(&absolute("f"), 5), Ok(0));
    assert_eq!(f.file().size(), Ok(5));
    assert_eq!(f.truncate(-1), Err(libc::EINVAL));
    assert_eq!(f.file().sync(), Ok(()));
    assert_eq!(f.allocate(0, 4, 6), Ok(()));
    assert_eq!(f.file().size(), Ok(10));
    assert_eq!(f.allocate(libc::FALLOC_FL_KEEP_SIZE, 0, 20), Ok(()));
    assert_eq!(f.file().size(), Ok(10));
    assert_eq!(f.allocate(0, 0, 0), Err(libc::EINVAL));
    let collapse = libc::FALLOC_FL_COLLAPSE_RANGE;
    assert_eq!(f.allocate(collapse, 0, 1), Err(libc::EOPNOTSUPP));
    let reading = open("f", O_RDONLY).expect("there");
    assert_eq!(description(reading).truncate(1), Err(libc::EINVAL));
    let gone = names::truncate(&absolute("none"), 1);
    assert_eq!(gone, Err(libc::ENOENT));
}

#[test]
fn data_and_holes_are_found_and_made() {
    let _one = begin("holes");
    let f = open("f", O_RDWR | O_CREAT).expect("new");
    let f = description(f);
    let block = 64 << 10;
    assert_eq!(
        f.write(&vec![1; 4 * block], Offset::Position),
        Ok(4 * block)
    );
    let size = 4 * block as u64;
    let find = |from: usize, whence| f.file().seek(from as i64, whence);
    assert_eq!(find(5, libc::SEEK_DATA), Ok(5));
    assert_eq!(find(5, libc::SEEK_HOLE), Ok(size));
    assert_eq!(find(4 * block, libc::SEEK_DATA), Err(libc::ENXIO));
    let (at, len) = (block as i64, block as i64);
    let punch = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    assert_eq!(f.allocate(punch, at, len), Ok(()));
    assert_eq!(f.allocate(libc::FALLOC_FL_ZERO_RANGE, 2 * at, 1), Ok(()));
    assert_eq!(f.file().size(), Ok(size));
    let mut bytes = vec![7; 4 * block];
    assert_eq!(f.read(&mut bytes, Offset::At(0)), Ok(4 * block));
    let zeros = bytes.iter().enumerate().filter(|(_, byte)| **byte == 0);
    assert!(zeros.map(|(at, _)| at).eq(block..2 * block + 1));
    for (offset, len) in [(-1, 5), (0, 0), (0, -1)] {
        assert_eq!(f.allocate(0, offset, len), Err(libc::EINVAL));
    }
    let mode = libc::FALLOC_FL_PUNCH_HOLE;
    assert_eq!(f.allocate(mode, 0, 1), Err(libc::EOPNOTSUPP));
}

#[test]
fn streams_have_no_places() {
    let _one = begin("streams");
    // A call on a socket counts as progress of the network.
    let _net = crate::sockets::tests::begin();
    let [reader, writer] = pipe::open(0).expect("memory");
    let socket = Description::new(SocketFile(Box::new(Tcp::new(Family::V4))), O_RDWR);
    let counter = Description::new(Counter::new(1, false), O_RDWR);
    let file = open("f", O_RDWR | O_CREAT).expect("new");
    let file = description(file);
    let mut byte = [0];
    assert_eq!(reader.read(&mut byte, Offset::At(0)), Err(libc::ESPIPE));
    for (stream, otherwise) in [(&writer, Ok(1)), (&socket, Err(libc::EPIPE))] {
        assert_eq!(stream.write(b"x", Offset::At(0)), Err(libc::ESPIPE));
        assert_eq!(stream.write(b"x", Offset::Position), otherwise);
        assert_eq!(stream.file().seek(0, libc::SEEK_CUR), Err(libc::ESPIPE));
        assert_eq!(stream.file().sync(), Err(libc::EINVAL));
    }
    // `readv` waits only for its first piece.
    let more = [&reader, &counter, &file].map(|from| from.file().has_more());
    assert_eq!(more, [true, false, true]);
    assert_eq!(reader.file().available(), Ok(1));
    assert_eq!(reader.read(&mut byte, Offset::Position), Ok(1));
    assert!(!reader.file().has_more());
    assert_eq!(socket.file().available(), Ok(0));
    assert_eq!(counter.file().available(), Err(libc::ENOTTY));
    assert_eq!(message_flags(socket.flags()), 0);
    socket.set_flags(O_NONBLOCK | O_APPEND);
    assert_eq!(message_flags(socket.flags()), libc::MSG_DONTWAIT);
}

#[test]
fn paths_begin_at_the_current_directory_or_a_descriptors() {
    let _one = begin("relative");
    names::make_directory(&absolute("d")).expect("new");
    file("d/f", "deep");
    names::symlink(b"d", &absolute("l")).expect("new");
    let d = open("l", O_RDONLY | O_DIRECTORY).expect("there");
    let beside = namespace::absolute(d, b"f").expect("a path");
    assert_eq!(beside, "/relative/d/f");
    assert_eq!(contents(&beside), "deep");
    assert_eq!(namespace::change_directory(&absolute("l")), Ok(0));
    assert_eq!(
        namespace::current().as_deref(),
        Ok("/relative/d"),
        "without the link"
    );
    assert_eq!(contents("f"), "deep");
    assert_eq!(contents("../d/./f"), "deep");
    let error = |path: &[u8]| namespace::absolute(AT_FDCWD as u64, path).err();
    assert_eq!(error(b""), Some(libc::ENOENT));
    assert_eq!(error(b"\xff"), Some(libc::EINVAL));
    assert_eq!(error(&[b'x'; 4096]), Some(libc::ENAMETOOLONG));
    let f = open("f", O_RDONLY).expect("there");
    assert_eq!(namespace::absolute(f, b"g"), Err(libc::ENOTDIR));
    assert_eq!(namespace::absolute(77, b"g"), Err(libc::EBADF));
    assert_eq!(namespace::absolute(77, b"/g").as_deref(), Ok("/g"));
    for (path, errno) in [("f", libc::ENOTDIR), ("none", libc::ENOENT)] {
        assert_eq!(namespace::change_directory(&absolute(path)), Err(errno));
    }
}

#[test]
fn the_current_directory_is_followed() {
    let _one = begin("followed");
    let current = || namespace::current();
    let enter = |path: &str| namespace::change_directory(&absolute(path));
    for directory in ["a", "a/b", "a/b/c", "other", "empty"] {
        names::make_directory(&absolute(directory)).expect("new");
    }
    let [a, moved, other, empty] = ["a", "moved", "other", "empty"].map(absolute);
    assert_eq!(enter("a/b/c"), Ok(0));
    // Renames of a parent, of itself, exchanges, and of something else with the same beginning.
    assert_eq!(names::rename(&a, &moved, 0), Ok(0));
    assert_eq!(current().as_deref(), Ok("/followed/moved/b/c"));
    assert_eq!(names::rename(&other, &moved, libc::RENAME_EXCHANGE), Ok(0));
    assert_eq!(current().as_deref(), Ok("/followed/other/b/c"));
    assert_eq!(names::rename(&other, &moved, libc::RENAME_EXCHANGE), Ok(0));
    // By paths through what is renamed.
    let [moved, a] = ["../../../moved", "../../../a"].map(absolute);
    assert_eq!(names::rename(&moved, &a, 0), Ok(0));
    assert_eq!(current().as_deref(), Ok("/followed/a/b/c"));
    let [b, c] = ["../../b/.", "../../e/"].map(absolute);
    assert_eq!(names::rename(&b, &c, 0), Err(libc::EBUSY));
    let b = absolute("../../b");
    assert_eq!(names::rename(&b, &c, 0), Ok(0));
    assert_eq!(current().as_deref(), Ok("/followed/a/e/c"));
    let [c, d] = ["/followed/a/e/c", "/followed/d"];
    assert_eq!(names::rename(c, d, 0), Ok(0));
    assert_eq!(current().as_deref(), Ok(d));
    names::make_directory("/followed/dd").expect("new");
    assert_eq!(names::rename("/followed/dd", "/followed/ee", 0), Ok(0));
    assert_eq!(current().as_deref(), Ok(d));
    // Its removal, also by a rename over it; another directory of this name isn't it.
    let gone = || {
        assert_eq!(current(), Err(libc::ENOENT));
        for path in ["f", ".", "./f", ".//f"] {
            let error = namespace::absolute(AT_FDCWD as u64, path.as_bytes()).err();
            assert_eq!(error, Some(libc::ENOENT), "{path}");
        }
        assert_eq!(enter(".."), Ok(0));
        assert_eq!(current().as_deref(), Ok("/followed"));
    };
    assert_eq!(names::remove_directory(d), Ok(0));
    assert_eq!(names::make_directory(d), Ok(0));
    gone();
    assert_eq!(enter("empty"), Ok(0));
    assert_eq!(names::rename(d, &empty, 0), Ok(0));
    gone();
    assert_eq!(names::remove_directory(&empty), Ok(0));
    assert_eq!(current().as_deref(), Ok("/followed"));
}

#[test]
fn attributes_are_linux() {
    let _one = begin("attributes");
    file("f", "12345");
    names::symlink(b"f", &absolute("l")).expect("new");
    let path = absolute("f");
    let of_file = stat(&path, true).expect("there");
    assert_eq!(
        (of_file.mode, of_file.size, of_file.links),
        (0o100_644, 5, 1)
    );
    assert_eq!(stat(&absolute("l"), true), Ok(of_file));
    assert!(stat(&absolute("l"), false).is_ok_and(|stat| stat.is_link()));
    assert!(stat(&absolute("."), false).is_ok_and(|stat| stat.is_directory()));
    let open = open("f", O_RDONLY).expect("there");
    assert_eq!(description(open).file().stat(), Ok(of_file));
    // SAFETY: each field is an integer.
    let attributes: libc::stat = unsafe { core::mem::transmute(of_file.words()) };
    assert_eq!(attributes.st_mode, 0o100_644);
    assert_eq!((attributes.st_size, attributes.st_blocks), (5, 1));
    assert_eq!(attributes.st_mtime, of_file.times[1][0]);
    assert_eq!(of_file.access(libc::R_OK | libc::W_OK), Ok(0));
    assert_eq!(of_file.access(libc::X_OK), Err(libc::EACCES));
    assert_eq!(of_file.access(8), Err(libc::EINVAL));
    assert_eq!(of_file.set_mode(0o644), Ok(0));
    assert_eq!(of_file.set_mode(0o600), Err(libc::EPERM));
    assert_eq!(set_owner(0, u32::MAX), Ok(0));
    assert_eq!(set_owner(1, 0), Err(libc::EPERM));
    assert_eq!(set_times(&path, [Some([7, 8]), None], true), Ok(0));
    let changed = stat(&path, true).expect("there").times;
    assert_eq!([changed[0], changed[1]], [[7, 8], of_file.times[1]]);
    let wrong = [None, Some([0, 1_000_000_000])];
    assert_eq!(set_times(&path, wrong, true), Err(libc::EINVAL));
    let [_, unit, blocks, free, ..] = space(&path).expect("a volume");
    assert!(unit > 0 && blocks > 0 && free <= blocks);
}

#[test]
fn names_are_made_moved_and_removed() {
    let _one = begin("names");
    file("f", "f");
    file("g", "g");
    let [f, g, d] = ["f", "g", "d"].map(absolute);
    assert_eq!(names::make_directory(&d), Ok(0));
    assert_eq!(names::make_directory(&d), Err(libc::EEXIST));
    let no_replace = names::rename(&f, &g, libc::RENAME_NOREPLACE);
    assert_eq!(no_replace, Err(libc::EEXIST));
    assert_eq!(names::rename(&f, &g, libc::RENAME_EXCHANGE), Ok(0));
    assert_eq!((contents("f"), contents("g")), ("g".into(), "f".into()));
    assert_eq!(names::rename(&f, &g, 0), Ok(0));
    assert_eq!(names::rename(&f, &g, 0), Err(libc::ENOENT));
    assert_eq!(names::rename(&g, &f, 8), Err(libc::EINVAL));
    assert_eq!(names::rename(&d, &absolute("."), 0), Err(libc::EBUSY));
    assert_eq!(names::link(&g, &f), Ok(0));
    assert_eq!(names::link(&d, &absolute("e")), Err(libc::EPERM));
    assert_eq!(names::remove(&d), Err(libc::EISDIR));
    assert_eq!(names::remove_directory(&f), Err(libc::ENOTDIR));
    assert_eq!(names::remove_directory(&absolute("d/.")), Err(libc::EINVAL));
    file("d/f", "");
    assert_eq!(names::remove_directory(&d), Err(libc::ENOTEMPTY));
    assert_eq!(names::remove(&absolute("d/f")), Ok(0));
    assert_eq!(names::remove_directory(&d), Ok(0));
    assert_eq!(names::symlink(b"", &d), Err(libc::ENOENT));
    assert_eq!(names::symlink(b"target", &d), Ok(0));
    let mut into = [0; 4];
    assert_eq!(namespace::read_link(&d, &mut into), Ok(4));
    assert_eq!(&into, b"targ");
    assert_eq!(namespace::read_link(&f, &mut into), Err(libc::EINVAL));
    assert_eq!(
        namespace::read_link(&absolute("none"), &mut into),
        Err(libc::ENOENT)
    );
}

/// The names of `struct linux_dirent64` records, with the offset after each.
fn records(mut bytes: &[u8]) -> Vec<(String, i64)> {
    let mut names = Vec::new();
    while let [_, _, _, _, _, _, _, _, rest @ ..] = bytes {
        let offset = i64::from_le_bytes(rest[..8].try_into().expect("8"));
        let len = usize::from(u16::from_le_bytes([rest[8], rest[9]]));
        let name = &rest[11..len - 8];
        let end = name.iter().position(|byte| *byte == 0).expect("a zero");
        names.push((String::from_utf8_lossy(&name[..end]).to_string(), offset));
        bytes = &bytes[len..];
    }
    names
}

#[test]
fn a_directory_is_listed_whole_again_and_from_an_offset() {
    let _one = begin("listing");
    for number in 0..50 {
        file(&format!("entry-{number:02}"), "");
    }
    let directory = open(".", O_RDONLY).expect("there");
    let directory = description(directory);
    let all = || {
        let mut found = Vec::new();
        let mut room = [0; 100];
        loop {
            match directory.file().list(&mut room).expect("room") {
                0 => return found,
                n => found.extend(records(&room[..n])),
            }
        }
    };
    let first = all();
    let mut names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], [".", ".."]);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 52);
    assert_eq!(directory.file().seek(0, libc::SEEK_SET), Ok(0));
    assert_eq!(all(), first);
    let (_, offset) = first[10];
    assert_eq!(
        directory.file().seek(offset, libc::SEEK_SET),
        Ok(offset as u64)
    );
    assert_eq!(all(), first[11..]);
    assert_eq!(directory.file().seek(0, libc::SEEK_SET), Ok(0));
    assert_eq!(directory.file().list(&mut [0; 23]), Err(libc::EINVAL));
    let file = open("entry-00", O_RDONLY).expect("there");
    assert_eq!(read(file, 1).as_deref(), Ok(""));
    assert_eq!(
        directory.read(&mut [0], Offset::Position),
        Err(libc::EISDIR)
    );
}

#[test]
fn a_pipe_ends_with_its_writer() {
    let _one = begin("pipe");
    let [reader, writer] = pipe::open(O_NONBLOCK).expect("room");
    let mut into = [0; 8];
    let read = |into: &mut [u8]| reader.read(into, Offset::Position);
    assert_eq!(read(&mut into), Err(libc::EAGAIN));
    assert_eq!(writer.write(b"four", Offset::Position), Ok(4));
    assert_eq!(writer.file().seek(0, libc::SEEK_SET), Err(libc::ESPIPE));
    assert_eq!((read(&mut into), &into[..4]), (Ok(4), &b"four"[..]));
    let much = vec![7; 100_000];
    let fitted = writer.write(&much, Offset::Position);
    assert_eq!(fitted, Ok(64 << 10), "as much as there is room for");
    assert_eq!(writer.write(b"x", Offset::Position), Err(libc::EAGAIN));
    drop(writer);
    let mut rest = vec![0; 100_000];
    assert_eq!(read(&mut rest), Ok(64 << 10));
    assert_eq!(read(&mut rest), Ok(0));
    let [reader, writer] = pipe::open(O_NONBLOCK).expect("room");
    drop(reader);
    let broken = writer.write(b"x", Offset::Position);
    assert_eq!(broken, Err(libc::EPIPE));
}

#[test]
fn devices_have_names_below_dev() {
    let _one = begin("devices");
    for (path, device) in [
        ("/dev/null", Some(Device::Other(devices::Device::Null))),
        ("//dev/./zero", Some(Device::Other(devices::Device::Zero))),
        ("/dev/stderr", Some(Device::Console(Console::Error))),
        ("/dev", None),
        ("/dev/null/x", None),
        ("/dev/sda", None),
        ("/tmp/null", None),
    ] {
        assert_eq!(namespace::device(path), device, "{path}");
    }
    let zero = open("/dev/zero", O_RDWR | O_CREAT).expect("a device");
    assert_eq!(read(zero, 2).as_deref(), Ok("\0\0"));
    assert_eq!(write(zero, "xx"), Ok(2));
    let null = open("/dev/null", O_RDWR).expect("a device");
    assert_eq!(
        (read(null, 2), write(null, "x")),
        (Ok(String::new()), Ok(1))
    );
    let new = open("/dev/null", O_WRONLY | O_CREAT | O_EXCL);
    assert_eq!(new, Err(libc::EEXIST));
    assert_eq!(names::remove("/dev/null"), Err(libc::EPERM));
    let mode = stat("/dev/null", true).map(|stat| stat.mode);
    assert_eq!(mode, Ok(0o020_666));
    assert!(contents("/etc/passwd").starts_with("root:x:0:0:"));
    assert!(stat("/tmp", true).is_ok_and(|stat| stat.is_directory()));
}

#[test]
fn errors_have_linuxs_numbers() {
    for (error, number) in [
        (Error::NotFound, 2),
        (Error::Io, 5),
        (Error::Exists, 17),
        (Error::CrossVolume, 18),
        (Error::NotDirectory, 20),
        (Error::IsDirectory, 21),
        (Error::Invalid, 22),
        (Error::NoSpace, 28),
        (Error::ReadOnly, 30),
        (Error::NotEmpty, 39),
    ] {
        assert_eq!(errno(error), number);
    }
}
