//! Paths, names and directories over several volumes in memory, whose operations complete at once.

use super::super::embedded;
use super::super::{
    contents, directory, directory_next, drivers, file_stat, link, mkdir, mount, open, read,
    readlink, realpath, remove_directory, rename, seek, size, space, stat, symlink, sync,
    sync_volume, truncate, unlink, unmount, write,
};
use super::MODE;
use crate::Runtime;
use crate::disks::install;
use crate::types::constants::{
    ENTRY_DIRECTORY, ENTRY_FILE, ENTRY_SYMLINK, OPEN_APPEND, OPEN_CREATE,
};
use crate::types::constants::{OPEN_EXCLUSIVE, OPEN_READ, OPEN_WRITE};
use crate::types::{Int, IntsPiece, Piece};
use ::fs::path::MAX_PATH;
use platform::error::{Answer, Error, Stop};
use reactor::table::Fd;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

/// Creates a runtime with these volumes in memory and no disk.
fn runtime(points: &[&str]) -> Runtime {
    let mut rt = Runtime::new();
    install(&mut rt, vec![]).expect("room");
    drivers::register(&mut rt, drivers::MEMORY).expect("room");
    for point in points {
        assert_eq!(mount(&mut rt, &format!("{point}=memory:1M"), 1), Ok(0));
    }
    rt
}

const fn no(error: Error) -> Answer {
    Err(Stop::Error(error))
}

fn opened(rt: &mut Runtime, path: &str, flags: Int) -> Fd {
    let answer = ended(rt, |rt| open(rt, path, flags, 1));
    Fd::decode(answer.expect(path) as Int).expect("a descriptor")
}

/// Creates a file that contains `text`.
fn file(rt: &mut Runtime, path: &str, text: &str) {
    let fd = opened(rt, path, MODE);
    let mut bytes = text.as_bytes().to_vec();
    let written = write(rt, fd, Piece::of(&mut bytes), 0, 1);
    assert_eq!(written, Ok(text.len()));
    assert_eq!(rt.close(fd), Ok(0));
}

/// Makes a call and waits for its completion: steps on another volume run when that volume is
/// polled.
fn ended(rt: &mut Runtime, call: impl FnOnce(&mut Runtime) -> Answer) -> Answer {
    let answer = call(rt);
    if answer != Err(Stop::Pending) {
        return answer;
    }
    let result = super::result(rt, 1, answer);
    let known = [
        Error::CrossVolume,
        Error::NotDirectory,
        Error::NotFound,
        Error::TooManyLinks,
    ];
    match usize::try_from(result) {
        Ok(n) => Ok(n),
        Err(_) => no(*known
            .iter()
            .find(|error| -(**error as Int) == result)
            .expect("known")),
    }
}

/// Returns the contents of a file.
fn text(rt: &mut Runtime, path: &str) -> Result<String, Stop> {
    let fd = ended(rt, |rt| open(rt, path, OPEN_READ, 1))? as Int;
    let fd = Fd::decode(fd).expect("a descriptor");
    let mut bytes = [0; 100];
    let n = read(rt, fd, Piece::of(&mut bytes), 0, 1)?;
    rt.close(fd)?;
    Ok(String::from_utf8_lossy(&bytes[..n]).into_owned())
}

/// Returns a text that a call writes into `room` bytes, and its full length.
fn given(room: usize, call: impl FnOnce(Piece) -> Answer) -> Result<(String, usize), Stop> {
    let mut bytes = vec![0; room];
    let n = call(Piece::of(&mut bytes))?;
    bytes.truncate(n);
    Ok((String::from_utf8(bytes).expect("UTF-8"), n))
}

fn real(rt: &mut Runtime, path: &str) -> Result<String, Stop> {
    given(200, |into| ended(rt, |rt| realpath(rt, path, into, 1))).map(|(text, _)| text)
}

fn known(rt: &mut Runtime, path: &str, follow: bool) -> Result<[Int; 9], Stop> {
    let mut numbers = [-1; 9];
    let into = IntsPiece::of(&mut numbers);
    ended(rt, |rt| stat(rt, path, follow, into, 1))?;
    Ok(numbers)
}

#[test]
fn links_lead_from_volume_to_volume() {
    let mut rt = runtime(&["/m", "/n"]);
    let rt = &mut rt;
    assert_eq!(mkdir(rt, "/m/d", 1), Ok(0));
    assert_eq!(mkdir(rt, "/m/d/e", 1), Ok(0));
    file(rt, "/m/d/f", "hello");
    for (target, path) in [
        ("d", "/m/l"),
        ("/n", "/m/over"),
        ("../m/l/f", "/n/back"),
        ("nothing", "/m/dangling"),
        ("turn", "/m/turn"),
    ] {
        assert_eq!(symlink(rt, target, path, 1), Ok(0), "{path}");
    }
    for (path, expected) in [
        ("/m/l/e", Ok("/m/d/e")),
        ("/m/l/e/../f", Ok("/m/d/f")),
        ("/m/over/back", Ok("/m/d/f")),
        ("/m/over/..", Ok("/")),
        ("/m/./l/.", Ok("/m/d")),
        ("/..", Ok("/")),
        ("/m/dangling", Err(Error::NotFound)),
        ("/m/none/..", Err(Error::NotFound)),
        ("/m/d/f/..", Err(Error::NotDirectory)),
        ("/m/d/f/", Err(Error::NotDirectory)),
        ("/m/over/back/", Err(Error::NotDirectory)),
        ("/m/turn", Err(Error::TooManyLinks)),
        ("/x/y", Err(Error::NotFound)),
        ("relative", Err(Error::Invalid)),
    ] {
        let answer = real(rt, path);
        let expected = expected.map(String::from).map_err(Stop::Error);
        match expected {
            // A relative path starts at the root, where this name doesn't exist.
            Err(_) if path == "relative" => assert!(answer.is_err()),
            expected => assert_eq!(answer, expected, "{path}"),
        }
    }
    assert_eq!(text(rt, "/m/over/back").as_deref(), Ok("hello"));
    for (path, expected) in [
        ("/m/over", Ok("/n")),
        ("/n/back", Ok("../m/l/f")),
        ("/m/turn", Ok("turn")),
        ("/m/d", Err(Error::Invalid)),
        ("/m/d/f", Err(Error::Invalid)),
        ("/m/none", Err(Error::NotFound)),
        ("/", Err(Error::Invalid)),
    ] {
        let answer = given(100, |into| ended(rt, |rt| readlink(rt, path, into, 1)));
        let expected = expected.map(|text: &str| (text.to_string(), text.len()));
        assert_eq!(answer, expected.map_err(Stop::Error), "{path}");
    }
    // A target that doesn't fit is truncated, and its full length returned.
    let mut small = [b'-'; 3];
    assert_eq!(readlink(rt, "/n/back", Piece::of(&mut small), 1), Ok(8));
    assert_eq!(&small, b"../");
    let piece = Piece::of(&mut small);
    assert_eq!(ended(rt, |rt| realpath(rt, "/m/l/f", piece, 1)), Ok(6));
    assert_eq!(&small, b"/m/");
    // An exclusive create doesn't follow a link; an ordinary one creates the file at its target.
    let exclusive = OPEN_WRITE | OPEN_CREATE | OPEN_EXCLUSIVE;
    assert_eq!(open(rt, "/m/dangling", exclusive, 1), no(Error::Exists));
    file(rt, "/m/dangling", "made");
    assert_eq!(text(rt, "/m/nothing").as_deref(), Ok("made"));
}

#[test]
fn what_a_link_says_is_checked() {
    let mut rt = runtime(&["/m"]);
    let rt = &mut rt;
    let longest = "x".repeat(MAX_PATH);
    for (target, expected) in [
        ("", no(Error::Invalid)),
        ("a\0b", no(Error::Invalid)),
        (&format!("{longest}x"), no(Error::Invalid)),
        (&longest, Ok(0)),
    ] {
        assert_eq!(symlink(rt, target, "/m/l", 1), expected);
    }
    assert_eq!(symlink(rt, "x", "/m/l", 1), no(Error::Exists));
}

#[test]
fn a_slash_behind_a_name_asks_for_a_directory() {
    let mut rt = runtime(&["/m"]);
    let rt = &mut rt;
    file(rt, "/m/f", "text");
    assert_eq!(mkdir(rt, "/m/d/", 1), Ok(0));
    assert!(known(rt, "/m/d/", false).is_ok());
    let wrong = no(Error::NotDirectory);
    assert_eq!(open(rt, "/m/f/", OPEN_READ, 1), wrong);
    assert_eq!(unlink(rt, "/m/f/", 1), wrong);
    assert_eq!(directory(rt, "/m/f", 1), wrong);
    assert_eq!(known(rt, "/m/f/", true), wrong.map(|_| [0; 9]));
    assert_eq!(known(rt, "/m/f/x", true), wrong.map(|_| [0; 9]));
    assert_eq!(rename(rt, "/m/d/", "/m/e/", 0, 1), Ok(0));
    assert_eq!(remove_directory(rt, "/m/e/", 1), Ok(0));
    assert_eq!(sync_volume(rt, "/m/f/", 1), wrong);
    assert_eq!(sync_volume(rt, "/m/", 1), Ok(0));
}

#[test]
fn renames_and_links_stay_on_a_volume() {
    let mut rt = runtime(&["/m", "/n", "/m/d/inner"]);
    let rt = &mut rt;
    assert_eq!(mkdir(rt, "/m/d", 1), Ok(0));
    file(rt, "/m/f", "one");
    file(rt, "/n/g", "two");
    for (answer, expected) in [
        (
            ended(rt, |rt| rename(rt, "/m/f", "/n/f", 0, 1)),
            Error::CrossVolume,
        ),
        (
            ended(rt, |rt| link(rt, "/m/f", "/n/f", 1)),
            Error::CrossVolume,
        ),
        (
            ended(rt, |rt| rename(rt, "/m/f", "/m/d/inner/f", 0, 1)),
            Error::CrossVolume,
        ),
        (
            ended(rt, |rt| rename(rt, "/m/none", "/n/f", 0, 1)),
            Error::CrossVolume,
        ),
        // A directory above a mount point can't be renamed.
        (
            ended(rt, |rt| rename(rt, "/m/d", "/m/e", 0, 1)),
            Error::Busy,
        ),
        (remove_directory(rt, "/m/d", 1), Error::Busy),
        (unlink(rt, "/m/d", 1), Error::IsDirectory),
        (
            ended(rt, |rt| link(rt, "/m/d", "/m/e", 1)),
            Error::IsDirectory,
        ),
        (mkdir(rt, "/m/d", 1), Error::Exists),
    ] {
        assert_eq!(answer, no(expected));
    }
    assert_eq!(ended(rt, |rt| link(rt, "/m/f", "/m/second", 1)), Ok(0));
    assert_eq!(ended(rt, |rt| rename(rt, "/m/f", "/m/d/f", 0, 1)), Ok(0));
    assert_eq!(text(rt, "/m/d/f").as_deref(), Ok("one"));
    assert_eq!(text(rt, "/m/second").as_deref(), Ok("one"));
    assert_eq!(text(rt, "/m/f"), Err(Stop::Error(Error::NotFound)));
    // Over a link, and into the volume mounted in the other directory.
    assert_eq!(symlink(rt, "/m/d/inner", "/n/i", 1), Ok(0));
    assert_eq!(symlink(rt, "inner/../inner", "/m/d/j", 1), Ok(0));
    file(rt, "/n/i/a", "inside");
    assert_eq!(
        ended(rt, |rt| rename(rt, "/n/i/a", "/m/d/j/b", 0, 1)),
        Ok(0)
    );
    assert_eq!(text(rt, "/m/d/inner/b").as_deref(), Ok("inside"));
    // A path that is only a string prefix of another isn't above it.
    assert_eq!(mkdir(rt, "/m/d/in", 1), Ok(0));
    assert_eq!(ended(rt, |rt| rename(rt, "/m/d/in", "/m/in", 0, 1)), Ok(0));
    assert_eq!(remove_directory(rt, "/m/in", 1), Ok(0));
}

/// Both paths seem to be on one volume, which resolves them together, but one of them leads
/// elsewhere or further.
#[test]
fn links_count_in_both_paths_of_a_rename() {
    let mut rt = runtime(&["/m", "/n"]);
    let rt = &mut rt;
    assert_eq!(mkdir(rt, "/m/d", 1), Ok(0));
    for (target, path) in [
        ("d", "/m/l"),
        ("/n", "/m/over"),
        ("/m", "/n/back"),
        ("turn", "/m/turn"),
    ] {
        assert_eq!(symlink(rt, target, path, 1), Ok(0), "{path}");
    }
    for path in ["/m/a", "/m/d/b", "/n/c", "/n/e"] {
        file(rt, path, path);
    }
    let cross = no(Error::CrossVolume);
    for (from, to, expected) in [
        ("/m/l/b", "/m/b", Ok(0)),
        ("/m/a", "/m/l/a", Ok(0)),
        ("/m/l/a", "/m/l/../l/a2", Ok(0)),
        ("/m/over/c", "/m/over/c2", Ok(0)),
        ("/m/over/e", "/m/e", cross),
        ("/m/b", "/m/over/b", cross),
        ("/m/over/back/b", "/m/b2", Ok(0)),
        ("/m/b2", "/m/over/back/l/b3", Ok(0)),
        ("/m/turn/x", "/m/none/x", no(Error::TooManyLinks)),
        ("/m/none", "/m/turn/x", no(Error::TooManyLinks)),
        ("/m/none", "/m/x", no(Error::NotFound)),
        // The link itself is renamed.
        ("/m/l", "/m/k", Ok(0)),
    ] {
        let answer = ended(rt, |rt| rename(rt, from, to, 0, 1));
        assert_eq!(answer, expected, "{from} to {to}");
    }
    for (path, expected) in [
        ("/m/d/b3", "/m/d/b"),
        ("/m/k/a2", "/m/a"),
        ("/n/c2", "/n/c"),
        ("/n/e", "/n/e"),
    ] {
        assert_eq!(text(rt, path).as_deref(), Ok(expected));
    }
    for (from, to, expected) in [
        ("/m/k/b3", "/m/second", Ok(0)),
        ("/m/over/e", "/m/over/f", Ok(0)),
        ("/m/over/e", "/m/f", cross),
        ("/m/k", "/m/j", Ok(0)),
    ] {
        let answer = ended(rt, |rt| link(rt, from, to, 1));
        assert_eq!(answer, expected, "{from} to {to}");
    }
    assert_eq!(text(rt, "/m/second").as_deref(), Ok("/m/d/b"));
    assert_eq!(text(rt, "/n/f").as_deref(), Ok("/n/e"));
    assert_eq!(real(rt, "/m/j/b3").as_deref(), Ok("/m/d/b3"));
}

#[test]
fn what_leads_to_mount_points_only_is_a_directory() {
    let mut rt = runtime(&["/a/b/c", "/a/x"]);
    let rt = &mut rt;
    let expected = [0, ENTRY_DIRECTORY, 0, 0, 0, 0, 1, 0, 1];
    for path in ["/", "/a", "/a/b/", "/a/b/c/.."] {
        assert_eq!(known(rt, path, true), Ok(expected), "{path}");
    }
    assert_eq!(real(rt, "/a/./b/../x/").as_deref(), Ok("/a/x"));
    assert_eq!(real(rt, "/a/b/.").as_deref(), Ok("/a/b"));
    let mut into = [0; 8];
    let piece = Piece::of(&mut into);
    for (answer, expected) in [
        (open(rt, "/a", OPEN_READ, 1), Error::IsDirectory),
        (readlink(rt, "/a", piece, 1), Error::Invalid),
        (mkdir(rt, "/a", 1), Error::Exists),
        (symlink(rt, "x", "/a/b", 1), Error::Exists),
        (unlink(rt, "/a", 1), Error::ReadOnly),
        (remove_directory(rt, "/a", 1), Error::ReadOnly),
        (rename(rt, "/a", "/b", 0, 1), Error::ReadOnly),
        (rename(rt, "/a/x", "/a/b", 0, 1), Error::ReadOnly),
        (link(rt, "/a", "/b", 1), Error::ReadOnly),
        (mkdir(rt, "/a/none", 1), Error::NotFound),
        (unmount(rt, "/a", 1), Error::NotFound),
        (mount(rt, "/a/x=memory", 1), Error::Exists),
        (mount(rt, "/a=memory:none", 1), Error::Invalid),
        (mount(rt, "/a=memory:1M,or", 1), Error::Invalid),
        (mount(rt, "none", 1), Error::BadConfiguration),
    ] {
        assert_eq!(answer, no(expected));
    }
    assert_eq!(entries(rt, "/", 100), [("a".to_string(), ENTRY_DIRECTORY)]);
    let names = ["b", "x"].map(|name| (name.to_string(), ENTRY_DIRECTORY));
    assert_eq!(entries(rt, "/a", 100), names);
}

/// Returns the entries of a directory, listed in pieces of at most `room` bytes.
fn entries(rt: &mut Runtime, path: &str, room: usize) -> Vec<(String, Int)> {
    let fd = directory(rt, path, 1).expect(path) as Int;
    let fd = Fd::decode(fd).expect("a descriptor");
    let mut all = Vec::new();
    let mut bytes = vec![0xff; room];
    loop {
        let n = directory_next(rt, fd, Piece::of(&mut bytes), 1).expect("entries");
        let mut rest = &bytes[..n];
        while let [kind, low, high, more @ ..] = rest {
            let (name, more) = more.split_at(usize::from(*low) + 256 * usize::from(*high));
            all.push((String::from_utf8_lossy(name).into_owned(), Int::from(*kind)));
            rest = more;
        }
        if n == 0 {
            // The end is permanent.
            let again = directory_next(rt, fd, Piece::of(&mut bytes), 1);
            assert_eq!(again, Ok(0));
            assert_eq!(rt.close(fd), Ok(0));
            return all;
        }
    }
}

/// Every entry is listed once, whatever the buffer size; for a name with a mount, that directory is
/// listed instead of the entry it hides.
#[test]
fn a_listing_has_every_name_once() {
    let points = ["/m", "/m/hidden", "/m/d/below", "/m/newer"];
    let mut rt = runtime(&points);
    let rt = &mut rt;
    assert_eq!(unmount(rt, "/m/hidden", 1), Ok(0));
    file(rt, "/m/hidden", "not seen");
    assert_eq!(mount(rt, "/m/hidden=memory", 1), Ok(0));
    let mut expected = BTreeMap::new();
    for name in ["hidden", "newer", "d"] {
        expected.insert(name.to_string(), ENTRY_DIRECTORY);
    }
    assert_eq!(mkdir(rt, "/m/d", 1), Ok(0));
    assert_eq!(symlink(rt, "d", "/m/link", 1), Ok(0));
    expected.insert("link".to_string(), ENTRY_SYMLINK);
    for n in 0..600 {
        let name = format!("file {n}");
        file(rt, &format!("/m/{name}"), "");
        expected.insert(name, ENTRY_FILE);
    }
    for room in [11, 12, 50, 5000, 100_000] {
        let found = entries(rt, "/m", room);
        assert_eq!(found.len(), expected.len(), "{room}");
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
    // Too small for any entry, be it a file or a mount point.
    for (path, room) in [("/m", 3), ("/m/d", 7)] {
        let fd = directory(rt, path, 1).expect(path) as Int;
        let fd = Fd::decode(fd).expect("a descriptor");
        let mut small = vec![0; room];
        let answer = directory_next(rt, fd, Piece::of(&mut small), 1);
        assert_eq!(answer, no(Error::Invalid), "{path}");
        let answer = directory_next(rt, fd, Piece::of(&mut [0; 12]), 1);
        assert!(answer.is_ok_and(|n| n >= 4), "{path}");
    }
    // Only files can be read, and only directories can be listed.
    let fd = opened(rt, "/m/file 7", OPEN_READ);
    let wrong = directory_next(rt, fd, Piece::of(&mut [0; 50]), 1);
    assert_eq!(wrong, no(Error::WrongKind));
}

/// Every entry of a listing can be opened, including directories that don't exist on the volume but
/// lead to a mount point.
#[test]
fn a_directory_that_leads_to_a_mount_point_can_be_opened() {
    let mut rt = runtime(&["/m", "/m/new/below", "/n"]);
    let rt = &mut rt;
    file(rt, "/m/new/below/f", "deep");
    file(rt, "/m/f", "flat");
    assert_eq!(symlink(rt, "/m/new", "/n/link", 1), Ok(0));
    let directory = |name: &str| (name.to_string(), ENTRY_DIRECTORY);
    for path in ["/m/new", "/m/new/"] {
        assert_eq!(entries(rt, path, 100), [directory("below")], "{path}");
    }
    for path in ["/m/new", "/m/new/", "/m/new/below/..", "/n/link"] {
        assert_eq!(real(rt, path).as_deref(), Ok("/m/new"), "{path}");
    }
    assert_eq!(
        real(rt, "/m/none/../new"),
        Err(Stop::Error(Error::NotFound))
    );
    assert_eq!(real(rt, "/n/link/below/f").as_deref(), Ok("/m/new/below/f"));
    assert_eq!(real(rt, "/m/new/../f").as_deref(), Ok("/m/f"));
    assert_eq!(text(rt, "/m/new/../f").as_deref(), Ok("flat"));
    assert_eq!(
        known(rt, "/m/new", true).map(|known| known[1]),
        Ok(ENTRY_DIRECTORY)
    );
    // It stays a directory; names that aren't above a mount point are no directories.
    for (answer, expected) in [
        (open(rt, "/m/new", OPEN_READ, 1), Error::IsDirectory),
        (open(rt, "/m/new", MODE, 1), Error::IsDirectory),
        (symlink(rt, "f", "/m/new", 1), Error::Exists),
        (link(rt, "/m/f", "/m/new", 1), Error::Exists),
        (rename(rt, "/m/f", "/m/new", 0, 1), Error::Busy),
        (rename(rt, "/m/new", "/m/g", 0, 1), Error::Busy),
        (remove_directory(rt, "/m/new", 1), Error::Busy),
        (unlink(rt, "/m/new", 1), Error::ReadOnly),
        (open(rt, "/m/new/f", MODE, 1), Error::NotFound),
        (open(rt, "/m/ne", OPEN_READ, 1), Error::NotFound),
    ] {
        assert_eq!(answer, no(expected));
    }
    assert_eq!(
        entries(rt, "/m", 100),
        [("f".to_string(), ENTRY_FILE), directory("new")]
    );
    // Once created on the volume, it can contain files.
    assert_eq!(mkdir(rt, "/m/new", 1), Ok(0));
    file(rt, "/m/new/f", "beside");
    assert_eq!(entries(rt, "/m/new", 100).len(), 2);
}

#[test]
fn the_position_is_the_descriptors() {
    let mut rt = runtime(&["/m"]);
    let rt = &mut rt;
    let (fd, other) = (opened(rt, "/m/f", MODE), opened(rt, "/m/f", MODE));
    let at = |rt: &mut Runtime, fd| seek(rt, fd, 0, 1, 1);
    let put = |rt: &mut Runtime, fd, text: &str, position| {
        write(
            rt,
            fd,
            Piece::of(&mut text.as_bytes().to_vec()),
            position,
            1,
        )
    };
    assert_eq!(put(rt, fd, "abc", -1), Ok(3));
    assert_eq!(put(rt, fd, "defgh", -1), Ok(5));
    assert_eq!(put(rt, fd, "XY", 1), Ok(2));
    assert_eq!((at(rt, fd), at(rt, other)), (Ok(8), Ok(0)));
    let mut back = [0; 5];
    assert_eq!(read(rt, other, Piece::of(&mut back), -1, 1), Ok(5));
    assert_eq!(&back, b"aXYde");
    assert_eq!(read(rt, other, Piece::of(&mut back), -1, 1), Ok(3));
    assert_eq!(&back, b"fghde");
    assert_eq!(read(rt, other, Piece::of(&mut back), 6, 1), Ok(2));
    assert_eq!((at(rt, fd), at(rt, other)), (Ok(8), Ok(8)));
    assert_eq!(size(rt, fd, 1), Ok(8));
    const LAST: Int = (1 << 62) - 1;
    for (offset, whence, expected) in [
        (2, 0, Ok(2)),
        (3, 1, Ok(5)),
        (-4, 1, Ok(1)),
        (-2, 1, no(Error::Invalid)),
        (-3, 2, Ok(5)),
        (4, 2, Ok(12)),
        (-9, 2, no(Error::Invalid)),
        (LAST, 0, Ok(LAST as usize)),
        (1, 1, no(Error::Invalid)),
        (LAST, 2, no(Error::Invalid)),
        (-1, 0, no(Error::Invalid)),
        (0, 3, no(Error::Invalid)),
        (0, -1, no(Error::Invalid)),
        (0, 1, Ok(LAST as usize)),
        (3, 0, Ok(3)),
    ] {
        let moved = seek(rt, fd, offset, whence, 1);
        assert_eq!(moved, expected, "{offset} from {whence}");
    }
    assert_eq!(
        read(rt, fd, Piece::of(&mut back), -2, 1),
        no(Error::Invalid)
    );
    // At the end of the file, whatever the position; and then after the previous write.
    let appended = opened(rt, "/m/f", OPEN_READ | OPEN_WRITE | OPEN_APPEND);
    assert_eq!(put(rt, appended, "12", -1), Ok(2));
    assert_eq!(at(rt, appended), Ok(10));
    assert_eq!(seek(rt, appended, 4, 0, 1), Ok(4));
    assert_eq!(put(rt, appended, "3", 0), Ok(1));
    assert_eq!(at(rt, appended), Ok(4));
    assert_eq!(read(rt, appended, Piece::of(&mut back), -1, 1), Ok(5));
    assert_eq!(put(rt, appended, "4", -1), Ok(1));
    assert_eq!(at(rt, appended), Ok(12));
    assert_eq!(text(rt, "/m/f").as_deref(), Ok("aXYdefgh1234"));
    assert_eq!(truncate(rt, fd, 2, 1), Ok(0));
    assert_eq!(text(rt, "/m/f").as_deref(), Ok("aX"));
    // Not open for this operation.
    let only = opened(rt, "/m/f", OPEN_WRITE);
    let refused = read(rt, only, Piece::of(&mut back), 0, 1);
    assert_eq!(refused, no(Error::PermissionDenied));
    let only = opened(rt, "/m/f", OPEN_READ);
    assert_eq!(put(rt, only, "x", 0), no(Error::ReadOnly));
    for flags in [0, -1, OPEN_CREATE, 64 | OPEN_READ, 1 << 20, 1 << 40] {
        assert_eq!(open(rt, "/m/f", flags, 1), no(Error::Invalid), "{flags}");
    }
}

#[test]
fn what_is_known_of_a_file_is_told() {
    let mut rt = runtime(&["/m"]);
    let rt = &mut rt;
    file(rt, "/m/f", "12345");
    file(rt, "/m/g", "");
    assert_eq!(link(rt, "/m/f", "/m/second", 1), Ok(0));
    assert_eq!(symlink(rt, "second", "/m/l", 1), Ok(0));
    let one = known(rt, "/m/f", true).expect("there");
    let [
        size,
        kind,
        modified,
        ns,
        accessed,
        changed,
        links,
        inode,
        read_only,
    ] = one;
    assert_eq!((size, kind, links, read_only), (5, ENTRY_FILE, 2, 0));
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after it");
    for time in [modified, accessed, changed] {
        assert!((now.as_secs() as Int - 60..=now.as_secs() as Int).contains(&time));
    }
    assert!((0..1_000_000_000).contains(&ns));
    let other = known(rt, "/m/g", true).expect("there")[7];
    assert!(inode > 0 && other > 0 && inode != other && inode < 1 << 61);
    assert_eq!(known(rt, "/m/l", true), Ok(one));
    assert_eq!(known(rt, "/m/second", false), Ok(one));
    let link = known(rt, "/m/l", false).expect("there");
    assert_eq!((link[0], link[1], link[6]), (6, ENTRY_SYMLINK, 1));
    let fd = opened(rt, "/m/f", OPEN_READ);
    let mut numbers = [-1; 9];
    assert_eq!(file_stat(rt, fd, IntsPiece::of(&mut numbers), 1), Ok(0));
    assert_eq!(numbers, one);
    // No more than fits.
    let mut few = [-1; 3];
    assert_eq!(file_stat(rt, fd, IntsPiece::of(&mut few[..2]), 1), Ok(0));
    assert_eq!(few, [5, ENTRY_FILE, -1]);
    let (mut numbers, mut line) = ([-1; 4], [0; 100]);
    let (into, text) = (IntsPiece::of(&mut numbers), Piece::of(&mut line));
    let len = space(rt, "/m/f", into, text, 1).expect("there");
    let line = core::str::from_utf8(&line[..len]).expect("UTF-8");
    assert_eq!(line, "/m\n/m (memory 1M)\n");
    let [total, free, unit, health] = numbers;
    assert_eq!((total, health), (1 << 20, 0));
    assert!(free > 0 && free < total && unit > 0);
}

#[test]
fn only_what_is_in_use_cannot_be_unmounted() {
    let mut rt = runtime(&["/m", "/m/n", "/o"]);
    let rt = &mut rt;
    assert_eq!(sync(rt, 1), Ok(0));
    assert_eq!(unmount(rt, "/m", 1), no(Error::Busy));
    let fd = opened(rt, "/m/n/f", MODE);
    assert_eq!(unmount(rt, "/m/n", 1), no(Error::Busy));
    let mut line = [0; 100];
    rt.messages.failed(1);
    let len = rt.messages.last(1, &mut line);
    let line = core::str::from_utf8(&line[..len]).expect("UTF-8");
    assert_eq!(line, "/m/n (memory 1M): files on it are open");
    // Paths lead to the volume again.
    assert!(known(rt, "/m/n/f", true).is_ok());
    assert_eq!(unmount(rt, "/o", 1), Ok(0));
    assert_eq!(unmount(rt, "/o", 1), no(Error::NotFound));
    assert_eq!(rt.close(fd), Ok(0));
    let list = directory(rt, "/m/n", 1).expect("there") as Int;
    assert_eq!(unmount(rt, "/m/n", 1), no(Error::Busy));
    assert_eq!(rt.close(Fd::decode(list).expect("a descriptor")), Ok(0));
    assert_eq!(unmount(rt, "/m/../m/n/", 1), Ok(0));
    assert_eq!(unmount(rt, "/m", 1), Ok(0));
    assert!(entries(rt, "/", 100).is_empty());
}

/// Embedded files are mounted at the first use of files, or after that at their registration; their
/// contents stay where the linker put them.
#[test]
fn embedded_files_appear_where_nothing_else_is() {
    let mut rt = Runtime::new();
    install(&mut rt, vec![]).expect("room");
    drivers::register(&mut rt, drivers::MEMORY).expect("room");
    let rt = &mut rt;
    assert_eq!(embedded::add(rt, "a", b"first"), Ok(0));
    assert_eq!(embedded::add(rt, "d/b", b"second"), Ok(0));
    assert_eq!(embedded::mount(rt, "/e/"), Ok(0));
    assert_eq!(embedded::add(rt, "c", b"third"), Ok(0));
    assert_eq!(embedded::mount(rt, "relative"), no(Error::Invalid));
    // That consumed the registered files.
    assert_eq!(embedded::mount(rt, "/f"), Ok(0));
    assert_eq!(embedded::add(rt, "x", b""), Ok(0));
    assert_eq!(embedded::mount(rt, "/f"), no(Error::Exists));
    assert_eq!(text(rt, "/e/a").as_deref(), Ok("first"));
    assert_eq!(text(rt, "/e/d/b").as_deref(), Ok("second"));
    assert_eq!(text(rt, "/f/c"), Err(Stop::Error(Error::NotFound)));
    assert_eq!(mkdir(rt, "/e/x", 1), no(Error::ReadOnly));
    static CONTENTS: &[u8] = b"late";
    assert_eq!(embedded::add(rt, "late", CONTENTS), Ok(0));
    assert_eq!(embedded::mount(rt, "/g"), Ok(0));
    let fd = opened(rt, "/g/late", OPEN_READ);
    let mut numbers = [-1; 3];
    let into = IntsPiece::of(&mut numbers);
    assert_eq!(contents(rt, fd, into, 1), Ok(1));
    let place = CONTENTS.as_ptr().expose_provenance() as Int;
    assert_eq!(numbers, [place, 4, into.address_of(1)]);
    // Contents of other files can move.
    assert_eq!(mount(rt, "/m=memory", 1), Ok(0));
    file(rt, "/m/f", "text");
    let fd = opened(rt, "/m/f", OPEN_READ);
    assert_eq!(contents(rt, fd, into, 1), Ok(0));
    assert_eq!(numbers, [0; 3]);
    // A tree isn't mounted at a path that is a mount point already.
    assert_eq!(embedded::add(rt, "f", b"embedded"), Ok(0));
    assert_eq!(embedded::mount(rt, "/m"), Ok(0));
    assert_eq!(text(rt, "/m/f").as_deref(), Ok("text"));
}
