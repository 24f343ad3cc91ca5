//! Locks on disks and their images, as QEMU takes them (`file.locking`, block/file-posix.c), so
//! that programs of both forms, the `soil` command and QEMU's own tools see each other.
//!
//! They are open file description locks (fcntl(2), `F_OFD_SETLK`) on single bytes. A user of
//! permission n holds byte 100 + n; one that doesn't share it holds byte 200 + n (n is the bit of
//! `BLK_PERM_*`: 0 consistent read, 1 write). All hold them for reading, and query with
//! `F_OFD_GETLK` whether others hold conflicting bytes. The kernel drops a lock with the last use
//! of the open file, so a killed program leaves none.
//!
//! The runtime of a process and the `soil` command use this crate.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use core::ffi::CStr;

/// The first byte of permissions in use.
const USED: i64 = 100;
/// The first byte of permissions that aren't shared.
const UNSHARED: i64 = 200;
/// Permissions: `BLK_PERM_CONSISTENT_READ` and `BLK_PERM_WRITE`.
const READ: i64 = 0;
const WRITE: i64 = 1;

/// Maximum number of attempts while no holder of the lock is visible. The requests in flight of a
/// killed program keep its files open, and with them its locks.
const TRIES: u32 = 20;
/// The time between two attempts, in milliseconds.
const PAUSE_MS: i64 = 25;
/// Maximum number of open files that a search for a lock's holder examines.
const MAX_FILES: usize = 100_000;

/// Access for which a disk is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Others may read it as well.
    Read,
    /// Nothing else may use it.
    Write,
}

/// Why a lock wasn't taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The file system has no such locks; the number of the error.
    Unsupported(i32),
    /// Something else uses the disk.
    InUse(InUse),
}

/// Another use of a disk.
#[derive(Debug, PartialEq, Eq)]
pub struct InUse {
    /// It writes.
    pub writes: bool,
    /// The process, if it is visible.
    pub holder: Option<Holder>,
}

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub process: i32,
    /// Its name, as the kernel has it: 15 bytes at most.
    pub name: String,
}

impl InUse {
    /// A part of a sentence: `in use by NAME (process N), which writes to it`.
    pub fn text(&self) -> String {
        let does = if self.writes {
            "writes to it"
        } else {
            "reads it"
        };
        // SAFETY: it only returns a number.
        let own = unsafe { libc::getpid() };
        match &self.holder {
            Some(holder) if holder.process == own => {
                format!("in use by this program already, under another name, which {does}")
            }
            Some(Holder { process, name }) => {
                format!("in use by {name} (process {process}), which {does}")
            }
            None => format!("in use by a process that can't be seen from here, which {does}"),
        }
    }

    /// Advice to the user of the `soil` command or of `SOIL_DISK_NAME` who was refused this use of
    /// a disk.
    pub const fn remedy(&self, usage: Usage) -> &'static str {
        match (usage, self.writes) {
            (Usage::Write, false) => "end that first, or add ,ro to read it only",
            _ => "end that first, or use a copy",
        }
    }
}

/// `fcntl` with a lock: success, or the number of the error.
type Call = fn(i32, i32, &mut libc::flock) -> Result<(), i32>;

fn fcntl(fd: i32, command: i32, lock: &mut libc::flock) -> Result<(), i32> {
    // SAFETY: both commands read the lock, and `F_OFD_GETLK` writes it.
    match unsafe { libc::fcntl(fd, command, core::ptr::from_mut(lock)) } {
        -1 => {
            // SAFETY: every thread has its own.
            Err(unsafe { *libc::__errno_location() })
        }
        _ => Ok(()),
    }
}

/// A lock on bytes of a file, to be taken or queried.
fn bytes(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: len,
        // Open file description locks belong to no process.
        l_pid: 0,
    }
}

/// Locks the open file `fd`, which has to be readable, for this use, until [`unlock`] or the last
/// use of the open file. A second lock in this process counts as another program's. Blocks for at
/// most half a second if the holder of a conflicting lock isn't visible, and for as long as a
/// network file system takes.
pub fn take(fd: i32, usage: Usage) -> Result<(), Refusal> {
    take_with(fcntl, fd, usage)
}

fn take_with(call: Call, fd: i32, usage: Usage) -> Result<(), Refusal> {
    let mut tried = 0;
    loop {
        let byte = match try_with(call, fd, usage) {
            Ok(None) => return Ok(()),
            Ok(Some(byte)) => byte,
            Err(error) => {
                unlock_with(call, fd);
                return Err(Refusal::Unsupported(error));
            }
        };
        let holder = holder(fd, byte);
        unlock_with(call, fd);
        // Two concurrent attempts refuse each other: each retries, at a different time.
        if tried > 0 && (holder.is_some() || tried >= TRIES) {
            let writes = byte == USED + WRITE;
            return Err(Refusal::InUse(InUse { writes, holder }));
        }
        // SAFETY: it only returns a number.
        let own = i64::from(unsafe { libc::getpid() } % 16) + 1;
        pause(if tried == 0 { own } else { PAUSE_MS });
        tried += 1;
    }
}

/// Takes the bytes and queries those of others; returns the conflicting one.
fn try_with(call: Call, fd: i32, usage: Usage) -> Result<Option<i64>, i32> {
    let used = match usage {
        Usage::Read => 1,
        Usage::Write => 2,
    };
    for (start, len) in [(USED, used), (UNSHARED + WRITE, 1)] {
        match call(fd, libc::F_OFD_SETLK, &mut bytes(libc::F_RDLCK, start, len)) {
            Ok(()) => (),
            // A lock for writing, which neither we nor QEMU take.
            Err(libc::EAGAIN | libc::EACCES) => return Ok(Some(start)),
            Err(error) => return Err(error),
        }
    }
    let in_the_way: &[i64] = match usage {
        Usage::Read => &[USED + WRITE, UNSHARED + READ],
        Usage::Write => &[USED + WRITE, UNSHARED + WRITE, UNSHARED + READ],
    };
    for &byte in in_the_way {
        let mut lock = bytes(libc::F_WRLCK, byte, 1);
        call(fd, libc::F_OFD_GETLK, &mut lock)?;
        if i32::from(lock.l_type) != libc::F_UNLCK {
            return Ok(Some(byte));
        }
    }
    Ok(None)
}

/// Locks another open file of the same disk, `fd`, for a use that [`take`] has allowed: requests in
/// flight on either keep the lock.
pub fn take_also(fd: i32, usage: Usage) {
    // Only the first descriptor's lock conflicts; the disk is locked without this one's.
    let _ = try_with(fcntl, fd, usage);
}

/// Releases the locks of an open file.
pub fn unlock(fd: i32) {
    unlock_with(fcntl, fd);
}

fn unlock_with(call: Call, fd: i32) {
    for start in [USED, UNSHARED] {
        // It fails if there are no locks.
        let _ = call(fd, libc::F_OFD_SETLK, &mut bytes(libc::F_UNLCK, start, 100));
    }
}

fn pause(ms: i64) {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: ms * 1_000_000,
    };
    // SAFETY: reads the time; a signal may shorten the sleep, which is harmless.
    unsafe { libc::nanosleep(&raw const time, core::ptr::null_mut()) };
}

/// The process that holds `byte` of the file open as `fd`, by a lock on another open file. The
/// kernel names no process with such a lock, but lists in /proc/PID/fdinfo those held through each
/// descriptor; only root can see other users' processes.
fn holder(fd: i32, byte: i64) -> Option<Holder> {
    // SAFETY: it only returns a number.
    let own = unsafe { libc::getpid() };
    let mut buffer = [0; 1024];
    let text = contents(&format!("/proc/self/fdinfo/{fd}"), &mut buffer)?;
    let file = locks(text).next()?.file.to_string();
    let mut left = MAX_FILES;
    entries("/proc", &mut |process| {
        let folder = format!("/proc/{process}/fdinfo");
        let found = entries(&folder, &mut |number| {
            left = left.checked_sub(1)?;
            if process == own && number == fd {
                return None;
            }
            let mut buffer = [0; 1024];
            let text = contents(&format!("{folder}/{number}"), &mut buffer)?;
            locks(text)
                .any(|lock| lock.file == file && (lock.start..=lock.end).contains(&byte))
                .then_some(())
        });
        found.map(|()| {
            let mut buffer = [0; 64];
            let name = contents(&format!("/proc/{process}/comm"), &mut buffer);
            Holder {
                process,
                name: name.unwrap_or("?").trim_end().to_string(),
            }
        })
    })
}

/// An open file description lock that a descriptor holds.
#[derive(Debug, PartialEq, Eq)]
struct Held<'a> {
    /// The device and inode.
    file: &'a str,
    start: i64,
    end: i64,
}

/// Parses such locks from a file of /proc/PID/fdinfo (proc_pid_fdinfo(5)).
fn locks(text: &str) -> impl Iterator<Item = Held<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.strip_prefix("lock:")?.split_whitespace().skip(1);
        if words.next()? != "OFDLCK" {
            return None;
        }
        let mut words = words.skip(3);
        Some(Held {
            file: words.next()?,
            start: words.next()?.parse().ok()?,
            end: match words.next()? {
                "EOF" => i64::MAX,
                end => end.parse().ok()?,
            },
        })
    })
}

/// The first bytes of a small file, as far as they are text.
fn contents<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let path = CString::new(path).ok()?;
    // SAFETY: `path` ends with a zero byte.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return None;
    }
    // SAFETY: writes into the buffer at most.
    let read = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    // SAFETY: it was opened here.
    unsafe { libc::close(fd) };
    let bytes = buffer.get(..usize::try_from(read).ok()?)?;
    bytes.utf8_chunks().next().map(|chunk| chunk.valid())
}

/// Calls `visit` with each number among the names in a folder until it returns a result.
fn entries<T>(folder: &str, visit: &mut dyn FnMut(i32) -> Option<T>) -> Option<T> {
    let folder = CString::new(folder).ok()?;
    // SAFETY: `folder` ends with a zero byte.
    let directory = unsafe { libc::opendir(folder.as_ptr()) };
    if directory.is_null() {
        return None;
    }
    let mut found = None;
    while found.is_none() {
        // SAFETY: the directory is open; the entry is valid until the next call.
        let entry = unsafe { libc::readdir(directory) };
        if entry.is_null() {
            break;
        }
        // SAFETY: a name ends with a zero byte.
        let name = unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast()) };
        let number = name.to_str().ok().and_then(|name| name.parse().ok());
        found = number.and_then(&mut *visit);
    }
    // SAFETY: it was opened here, and is not used afterwards.
    unsafe { libc::closedir(directory) };
    found
}

#[cfg(test)]
mod tests {
    use super::{Held, Holder, InUse, Refusal, Usage, locks, take, take_also, take_with, unlock};
    use std::fs::File;
    use std::os::fd::AsRawFd;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};
    use std::string::ToString;
    use std::time::{Duration, Instant};
    use std::vec::Vec;
    use std::{env, format, fs, process, vec};

    struct Image(PathBuf);

    impl Image {
        fn new(name: &str) -> Image {
            let path = env::temp_dir().join(format!("soil-lock-{name}-{}", process::id()));
            fs::write(&path, [0; 512]).expect("a file to lock");
            Image(path)
        }

        fn open(&self, usage: Usage) -> File {
            let options = &mut File::options();
            let options = options.read(true).write(usage == Usage::Write);
            options.open(&self.0).expect("it is there")
        }
    }

    impl Drop for Image {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// The kernel's list of a file's locks: first and last bytes.
    fn held(file: &File) -> Vec<(i64, i64)> {
        let path = format!("/proc/self/fdinfo/{}", file.as_raw_fd());
        let text = fs::read_to_string(path).expect("Linux says it");
        locks(&text).map(|lock| (lock.start, lock.end)).collect()
    }

    #[test]
    fn bytes_are_those_of_qemu() {
        let image = Image::new("bytes");
        // As QEMU 7.2 and 10.0 hold them for a virtio-blk device, writable and with read-only=on.
        for (usage, bytes) in [
            (Usage::Write, [(100, 101), (201, 201)]),
            (Usage::Read, [(100, 100), (201, 201)]),
        ] {
            let file = image.open(usage);
            assert_eq!(take(file.as_raw_fd(), usage), Ok(()));
            assert_eq!(held(&file), bytes);
            unlock(file.as_raw_fd());
            assert_eq!(held(&file), []);
        }
    }

    #[test]
    fn readers_go_with_readers_only() {
        let image = Image::new("pairs");
        let own = |writes| {
            let process = process::id() as i32;
            let text = fs::read_to_string("/proc/self/comm").expect("Linux says it");
            let name = text.trim_end().to_string();
            let holder = Some(Holder { process, name });
            Err(Refusal::InUse(InUse { writes, holder }))
        };
        use Usage::{Read, Write};
        for (first, second, answer) in [
            (Read, Read, Ok(())),
            (Read, Write, own(false)),
            (Write, Read, own(true)),
            (Write, Write, own(true)),
        ] {
            let (one, other) = (image.open(first), image.open(second));
            assert_eq!(take(one.as_raw_fd(), first), Ok(()));
            let answered = take(other.as_raw_fd(), second);
            assert_eq!(answered, answer, "{first:?}, {second:?}");
            if answered.is_err() {
                assert_eq!(held(&other), [], "{first:?}, {second:?}");
                unlock(one.as_raw_fd());
                assert_eq!(take(other.as_raw_fd(), second), Ok(()));
            }
            // A child of another test may have copies for a while.
            for file in [one, other] {
                unlock(file.as_raw_fd());
            }
        }
    }

    #[test]
    fn two_files_of_one_use_keep_the_lock() {
        let image = Image::new("along");
        let (one, along, other) = (
            image.open(Usage::Write),
            image.open(Usage::Write),
            image.open(Usage::Read),
        );
        assert_eq!(take(one.as_raw_fd(), Usage::Write), Ok(()));
        take_also(along.as_raw_fd(), Usage::Write);
        drop(one);
        assert!(take(other.as_raw_fd(), Usage::Read).is_err());
        drop(along);
        // A child of another test may have a copy until it executes its program.
        let end = Instant::now() + Duration::from_secs(60);
        while take(other.as_raw_fd(), Usage::Read).is_err() {
            assert!(Instant::now() < end, "it is still locked");
        }
    }

    #[test]
    fn a_process_is_named_and_leaves_nothing() {
        let image = Image::new("process");
        let theirs = image.open(Usage::Write);
        assert_eq!(take(theirs.as_raw_fd(), Usage::Write), Ok(()));
        let mut child = Command::new("sleep")
            .arg("600")
            .stdin(Stdio::from(theirs))
            .spawn()
            .expect("coreutils has it");
        let file = image.open(Usage::Read);
        let Err(Refusal::InUse(other)) = take(file.as_raw_fd(), Usage::Read) else {
            panic!("it was let in");
        };
        let text = format!(
            "in use by sleep (process {}), which writes to it",
            child.id()
        );
        assert_eq!(other.text(), text);
        child.kill().expect("it runs");
        child.wait().expect("it was killed");
        assert_eq!(take(file.as_raw_fd(), Usage::Read), Ok(()));
    }

    #[test]
    fn a_file_system_without_locks_is_named() {
        let image = Image::new("without");
        let file = image.open(Usage::Write);
        for error in [libc::EOPNOTSUPP, libc::ENOLCK, libc::EINVAL] {
            let call = match error {
                libc::EOPNOTSUPP => |_, _, _: &mut libc::flock| Err(libc::EOPNOTSUPP),
                libc::ENOLCK => |_, _, _: &mut libc::flock| Err(libc::ENOLCK),
                _ => |_, _, _: &mut libc::flock| Err(libc::EINVAL),
            };
            let answer = take_with(call, file.as_raw_fd(), Usage::Write);
            assert_eq!(answer, Err(Refusal::Unsupported(error)));
        }
    }

    #[test]
    fn the_kernels_words_are_read() {
        let text = "pos:\t0\nflags:\t02100002\nmnt_id:\t27\nino:\t10019906\n\
            lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:10019906 100 101\n\
            lock:\t2: POSIX  ADVISORY  WRITE 7 fe:00:10019906 0 EOF\n\
            lock:\t3: OFDLCK ADVISORY  WRITE -1 fe:00:10019906 0 EOF\n";
        let file = "fe:00:10019906";
        let found: Vec<Held> = locks(text).collect();
        let lock = |start, end| Held { file, start, end };
        assert_eq!(found, vec![lock(100, 101), lock(0, i64::MAX)]);
    }
}
