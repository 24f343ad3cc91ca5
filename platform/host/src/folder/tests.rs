//! A folder of the host, compared with the standard library's results.

use super::FOLDERS;
use crate::Offload;
use crate::ring::Handle;
use ::fs::{
    Clock, Error, Fallocate, Kind, OpenFlags, Renaming, Seek, Time, Volume, VolumeOptions, Walk,
};
use core::time::Duration;
use platform::folders::{Suspend, SuspendedAnswer, Waiting};
use std::boxed::Box;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{env, format, fs, process};

static CLOCK: Clock = Clock::new(Time::default);

/// A new folder, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = env::temp_dir().join(format!("soil-host-{name}-{}", process::id()));
        // Left by a killed process with the same number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("inside")).expect("a folder");
        fs::write(path.join("secret"), "outside").expect("a file");
        Scratch(path)
    }

    fn inside(&self) -> PathBuf {
        self.0.join("inside")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn volume(path: &Path, read_only: bool) -> Box<dyn Volume> {
    let options = VolumeOptions {
        read_only,
        clock: Some(&CLOCK),
        ..VolumeOptions::default()
    };
    (FOLDERS.mount)(path.to_str().expect("UTF-8"), &options, waiting()).expect("mounts")
}

fn waiting() -> Waiting<Offload> {
    let ring = Handle::default();
    Waiting {
        fiber: Box::new(Sleep(ring.clone())),
        offload: Offload::new(ring),
    }
}

/// Waits in place.
struct Sleep(Handle);

// SAFETY: it stays on the test's thread.
unsafe impl Send for Sleep {}

impl Suspend for Sleep {
    fn is_unresponsive(&self) -> bool {
        false
    }

    fn wait(&self) {
        let time = Duration::from_millis(1);
        if self.0.with(|ring| ring.wait(&mut [], Some(time))).is_none() {
            std::thread::sleep(time);
        }
    }

    fn yield_now(&self) {}

    fn suspend_answer(&self, mut answer: SuspendedAnswer) {
        loop {
            match answer() {
                Some(ended) => return assert_eq!(ended, Ok(())),
                None => self.wait(),
            }
        }
    }
}

const NEW: OpenFlags = OpenFlags::READ
    .union(OpenFlags::WRITE)
    .union(OpenFlags::CREATE);

fn names(volume: &mut dyn Volume, path: &str, at_a_time: usize) -> Vec<String> {
    let folder = volume
        .open(path, OpenFlags::READ | OpenFlags::DIRECTORY)
        .expect("opens");
    let (mut names, mut next) = (Vec::new(), Some(0));
    while let Some(from) = next {
        let mut taken = 0;
        next = volume
            .list(folder, from, &mut |entry| {
                taken += 1;
                if taken <= at_a_time {
                    names.push(entry.name.to_string());
                }
                taken <= at_a_time
            })
            .expect("lists");
    }
    volume.close(folder).expect("closes");
    names.sort();
    names
}

#[test]
fn what_is_written_is_in_the_folder() {
    let scratch = Scratch::new("written");
    let inside = scratch.inside();
    let volume = &mut *volume(&inside, false);
    let file = volume.open("/a", NEW).expect("opens");
    assert_eq!(volume.write_at(file, 3, b"text"), Ok(4));
    assert_eq!(fs::read(inside.join("a")).expect("reads"), b"\0\0\0text");
    let mut back = [0; 16];
    assert_eq!(volume.read_at(file, 3, &mut back), Ok(4));
    assert_eq!(volume.read_at(file, 100, &mut back), Ok(0));
    volume.sync_file(file).expect("syncs");
    volume.truncate(file, 5).expect("cuts");
    assert_eq!(volume.size(file), Ok(5));
    // An open file outlives its name.
    volume.unlink("/a").expect("removes");
    assert_eq!(volume.read_at(file, 0, &mut back), Ok(5));
    volume.close(file).expect("closes");
    assert_eq!(volume.close(file), Err(Error::Closed));
    assert_eq!(volume.stat("/a").err(), Some(Error::NotFound));

    let end = volume.open("/b", NEW | OpenFlags::APPEND).expect("opens");
    volume.write_at(end, 0, b"one").expect("writes");
    volume.write_at(end, 0, b"two").expect("writes");
    assert_eq!(fs::read(inside.join("b")).expect("reads"), b"onetwo");
    volume.link("/b", "/c").expect("links");
    assert_eq!(volume.stat("/c").expect("stat").links, 2);
    volume.mkdir("/d").expect("makes");
    volume.rename("/b", "/d/e").expect("renames");
    assert_eq!(fs::read(inside.join("d/e")).expect("reads"), b"onetwo");
    assert_eq!(volume.rmdir("/d"), Err(Error::NotEmpty));
    assert_eq!(volume.unlink("/d"), Err(Error::IsDirectory));
    assert_eq!(volume.mkdir("/d"), Err(Error::Exists));
    assert_eq!(volume.open("/d", OpenFlags::READ), Err(Error::IsDirectory));
    assert_eq!(
        volume.open("/c/x", OpenFlags::READ),
        Err(Error::NotDirectory)
    );
    let read = volume.open("/c", OpenFlags::READ).expect("opens");
    assert_eq!(volume.write_at(read, 0, b"x"), Err(Error::PermissionDenied));
    let space = volume.space().expect("room");
    assert!(space.free <= space.total && space.total > 0);
    volume.sync().expect("syncs");
}

#[test]
fn every_entry_is_listed_once_however_few_are_taken() {
    let scratch = Scratch::new("listed");
    let inside = scratch.inside();
    let mut expected: Vec<String> = (0..700)
        .map(|n| format!("a name of some length {n}"))
        .collect();
    expected.sort();
    for name in &expected {
        fs::write(inside.join(name), "").expect("a file");
    }
    let volume = &mut *volume(&inside, true);
    assert_eq!(names(volume, "/", usize::MAX), expected);
    assert_eq!(names(volume, "/", 7), expected);
}

#[test]
fn nothing_leads_out_of_the_folder() {
    let scratch = Scratch::new("out");
    let inside = scratch.inside();
    for (name, target) in [
        ("up", "../secret"),
        ("etc", "/etc"),
        ("here", "x/file"),
        ("self", "self"),
    ] {
        symlink(target, inside.join(name)).expect("a link");
    }
    fs::create_dir(inside.join("x")).expect("a folder");
    fs::write(inside.join("x/file"), "inside").expect("a file");
    symlink("..", inside.join("x/above")).expect("a link");
    let volume = &mut *volume(&inside, false);
    // Volumes never follow links: they report where one is.
    for (path, end, target) in [
        ("/up", 3, "../secret"),
        ("/etc/passwd", 4, "/etc"),
        ("/here", 5, "x/file"),
        ("/x/above/x/above/secret", 8, ".."),
    ] {
        let target = target.to_string();
        assert_eq!(
            volume.resolve(path, true),
            Ok(Walk::Link { end, target }),
            "{path}"
        );
        assert!(volume.open(path, OpenFlags::READ).is_err(), "{path}");
        assert!(
            volume.open(path, NEW | OpenFlags::TRUNCATE).is_err(),
            "{path}"
        );
    }
    assert_eq!(volume.resolve("/up", false), Ok(Walk::Plain));
    assert_eq!(volume.resolve("/x/file", true), Ok(Walk::Plain));
    assert_eq!(volume.resolve("/none/deeper", true), Ok(Walk::Plain));
    assert_eq!(volume.stat("/up").expect("stat").kind, Kind::Symlink);
    for path in ["/etc/new", "/x/above/new"] {
        assert!(
            volume.mkdir(path).is_err() && volume.unlink(path).is_err(),
            "{path}"
        );
        assert!(
            volume.rename("/x/file", path).is_err() && volume.symlink("x", path).is_err(),
            "{path}"
        );
    }
    for path in [
        "/../secret",
        "/x/../../secret",
        "//etc/passwd",
        "/proc/self/root",
    ] {
        assert!(volume.open(path, OpenFlags::READ).is_err(), "{path}");
    }
    assert_eq!(
        fs::read(scratch.0.join("secret")).expect("reads"),
        b"outside"
    );
    // Removing a link doesn't affect its target.
    volume.unlink("/up").expect("removes");
    assert!(scratch.0.join("secret").exists() && !inside.join("up").exists());
}

#[test]
fn what_is_no_file_isnt_opened() {
    let scratch = Scratch::new("pipe");
    let made = process::Command::new("mkfifo")
        .arg(scratch.inside().join("pipe"))
        .status();
    assert!(made.expect("mkfifo").success());
    let volume = &mut *volume(&scratch.inside(), false);
    assert_eq!(
        volume.open("/pipe", OpenFlags::READ),
        Err(Error::Unsupported)
    );
    assert_eq!(
        volume.open("/pipe", OpenFlags::READ | OpenFlags::WRITE),
        Err(Error::Unsupported)
    );
}

#[test]
fn a_read_only_folder_isnt_changed() {
    let scratch = Scratch::new("only-read");
    fs::write(scratch.inside().join("a"), "text").expect("a file");
    let volume = &mut *volume(&scratch.inside(), true);
    assert_eq!(volume.open("/a", NEW), Err(Error::ReadOnly));
    assert_eq!(volume.mkdir("/b"), Err(Error::ReadOnly));
    assert_eq!(volume.unlink("/a"), Err(Error::ReadOnly));
    assert_eq!(volume.rename("/a", "/b"), Err(Error::ReadOnly));
    assert!(volume.open("/a", OpenFlags::READ).is_ok());
}

#[test]
fn wrong_folders_are_refused_in_one_line() {
    let scratch = Scratch::new("wrong");
    let file = scratch.0.join("secret");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("sets");
    for source in ["/no/such/folder", file.to_str().expect("UTF-8"), "a\0b"] {
        let options = VolumeOptions {
            read_only: false,
            clock: Some(&CLOCK),
            ..VolumeOptions::default()
        };
        let refused = super::mount(source, &options, waiting())
            .err()
            .expect("refused");
        assert!(!refused.detail.is_empty() && !refused.detail.contains('\n'));
    }
}

/// A volume allocates room and finds holes as Linux does in the same folder.
#[test]
fn room_and_holes_are_linux() {
    let scratch = Scratch::new("ranges");
    let inside = scratch.inside();
    let volume = &mut *volume(&inside, false);
    let file = volume.open("/a", NEW).expect("opens");
    let data = [7; 1 << 18];
    assert_eq!(volume.write_at(file, 0, &data), Ok(data.len()));
    volume
        .fallocate(file, Fallocate::Allocate, 0, 1 << 19)
        .expect("grows");
    assert_eq!(volume.size(file), Ok(1 << 19));
    let beside = fs::File::create(inside.join("b")).expect("a file");
    beside.set_len(1 << 18).expect("grows");
    for (how, mode) in [
        (Fallocate::KeepSize, libc::FALLOC_FL_KEEP_SIZE),
        (
            Fallocate::PunchHole,
            libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
        ),
        (Fallocate::ZeroRange, libc::FALLOC_FL_ZERO_RANGE),
    ] {
        // SAFETY: a plain call.
        let can = unsafe { libc::fallocate(beside.as_raw_fd(), mode, 1 << 16, 1 << 16) } == 0;
        let done = volume.fallocate(file, how, 1 << 16, 1 << 16);
        assert_eq!(done.is_ok(), can, "{how:?}: {done:?}");
        if can && how == Fallocate::PunchHole {
            let mut expected = fs::read(inside.join("a")).expect("reads");
            assert!(expected[1 << 16..1 << 17].iter().all(|byte| *byte == 0));
            expected.truncate(1 << 16);
            assert!(expected.iter().all(|byte| *byte == 7));
        }
    }
    assert_eq!(volume.size(file), Ok(1 << 19));
    assert_eq!(volume.seek(file, Seek::Data, 5), Ok(Some(5)));
    assert_eq!(volume.seek(file, Seek::Data, 1 << 19), Ok(None));
    assert_eq!(volume.seek(file, Seek::Hole, 1 << 19), Ok(None));
    let hole = volume.seek(file, Seek::Hole, 0).expect("looks");
    assert!(hole.is_some_and(|hole| hole <= 1 << 19));
    let far = volume.fallocate(file, Fallocate::Allocate, u64::MAX, 1);
    assert_eq!(far, Err(Error::TooLarge));
    volume.close(file).expect("closes");
    let read = volume.open("/a", OpenFlags::READ).expect("opens");
    let refused = volume.fallocate(read, Fallocate::Allocate, 0, 1);
    assert_eq!(refused, Err(Error::PermissionDenied));
}

#[test]
fn times_are_set_and_names_exchanged() {
    let scratch = Scratch::new("times");
    let inside = scratch.inside();
    let at = |seconds, nanoseconds| Time {
        seconds,
        nanoseconds,
    };
    fs::write(inside.join("a"), "a").expect("a file");
    fs::create_dir(inside.join("b")).expect("a folder");
    symlink("a", inside.join("link")).expect("a link");
    let folder = &mut *volume(&inside, false);
    let before = folder.stat("/a").expect("stat");
    let (accessed, modified) = (at(1_000_000, 123_456_789), at(2_000_000, 987_654_321));
    folder.set_times("/a", Some(accessed), None).expect("sets");
    let found = folder.stat("/a").expect("stat");
    assert_eq!(
        (found.accessed, found.modified),
        (accessed, before.modified)
    );
    folder
        .set_times("/link", None, Some(modified))
        .expect("sets");
    assert_eq!(folder.stat("/link").expect("stat").modified, modified);
    assert_eq!(folder.stat("/a").expect("stat").modified, before.modified);
    let kept = folder.rename_as("/a", "/b", Renaming::NoReplace);
    assert_eq!(kept, Err(Error::Exists));
    folder
        .rename_as("/a", "/b", Renaming::Exchange)
        .expect("exchanges");
    assert_eq!(fs::read(inside.join("b")).expect("reads"), b"a");
    assert!(inside.join("a").is_dir());
    let absent = folder.rename_as("/a", "/none", Renaming::Exchange);
    assert_eq!(absent, Err(Error::NotFound));
    let folder = &mut *volume(&inside, true);
    let refused = folder.set_times("/b", Some(accessed), None);
    assert_eq!(refused, Err(Error::ReadOnly));
    let refused = folder.rename_as("/b", "/c", Renaming::NoReplace);
    assert_eq!(refused, Err(Error::ReadOnly));
}
