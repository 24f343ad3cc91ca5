//! Names, times and sizes, exchanged with other implementations.

use std::collections::HashMap;

use crate::common::{
    Image, NEW, Random, fsck, mkfs, mkfs_start, mount, mount_with, names, read_file, run,
    write_file,
};
use fs::fake::Disk;
use fs::fat::{self, Options};
use fs::{Block, BlockError, Clock, Error, OpenFlags, Time};

#[test]
fn what_mtools_wrote_reads_the_same() {
    let image = Image::with(&mkfs(36 << 20, &["-F", "32", "-s", "1", "-n", "A LABEL"]));
    let to = image.0.to_str().unwrap();
    let mut random = Random(3);
    let files = [
        ("UPPER.TXT", 100),
        ("lower.txt", 0),
        ("Mixed Case And Spaces.html", 70_000),
        ("ünïcödé nämé.txt", 1),
        ("日本語.txt", 512),
        ("d/deep/deeper/file.bin", 300_000),
        ("no-extension", 513),
    ];
    for directory in ["::/d", "::/d/deep", "::/d/deep/deeper"] {
        assert!(run("mmd", &["-i", to, directory]).0);
    }
    let mut expected = HashMap::new();
    for (name, len) in files {
        let data = random.bytes(len);
        let source = Image::with(&data);
        let (ok, text) = run(
            "mcopy",
            &["-i", to, source.0.to_str().unwrap(), &format!("::/{name}")],
        );
        assert!(ok, "{text}");
        expected.insert(name, data);
    }
    let mut volume = mount(&Disk::new(image.bytes(), 512));
    for (name, data) in &expected {
        assert!(read_file(&mut *volume, name).as_ref() == Ok(data), "{name}");
    }
    let mut top: Vec<&str> = files
        .iter()
        .map(|(name, _)| *name)
        .filter(|n| !n.contains('/'))
        .collect();
    top.push("d");
    top.sort();
    assert_eq!(
        names(&mut *volume, "/").unwrap(),
        top,
        "the label isn't an entry"
    );
}

#[test]
fn names_keep_their_case_and_are_found_in_any() {
    let disk = Disk::new(mkfs(4 << 20, &["-F", "12"]), 512);
    let mut volume = mount(&disk);
    for name in ["ReadMe.TXT", "Ünïcode Ÿ.txt", "Ελληνικά"] {
        write_file(&mut *volume, name, name.as_bytes()).unwrap();
    }
    for name in ["readme.txt", "README.TXT", "üNÏCODE ÿ.TXT", "ΕΛΛΗΝΙΚΆ"] {
        assert!(volume.stat(name).is_ok(), "{name}");
        assert_eq!(volume.mkdir(name), Err(Error::Exists), "{name}");
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        assert_eq!(
            volume.open(name, flags).err(),
            Some(Error::Exists),
            "{name}"
        );
    }
    // A change of case is a rename.
    volume.rename("readme.txt", "README.txt").unwrap();
    assert_eq!(
        names(&mut *volume, "/").unwrap(),
        ["README.txt", "Ünïcode Ÿ.txt", "Ελληνικά"]
    );
    volume.sync().unwrap();
    fsck(&disk.bytes()).unwrap();
}

#[test]
fn names_that_do_not_fit_say_so() {
    let mut volume = mount(&Disk::new(mkfs(4 << 20, &["-F", "12"]), 512));
    let fits = "x".repeat(255);
    write_file(&mut *volume, &fits, b"1").unwrap();
    assert_eq!(read_file(&mut *volume, &fits).unwrap(), b"1");
    for (name, error) in [
        ("x".repeat(256), Error::NameTooLong),
        ("dot.".into(), Error::InvalidName),
        ("space ".into(), Error::InvalidName),
        ("what?".into(), Error::InvalidName),
        ("a:b".into(), Error::InvalidName),
        ("bell\u{7}".into(), Error::InvalidName),
    ] {
        assert_eq!(
            write_file(&mut *volume, &name, b"1"),
            Err(error),
            "{name:?}"
        );
        assert_eq!(volume.mkdir(&name), Err(error), "{name:?}");
        assert_eq!(volume.rename(&fits, &name), Err(error), "{name:?}");
        // As Linux: an invalid name is absent, a name that is too long is an error.
        let absent = match error {
            Error::NameTooLong => error,
            _ => Error::NotFound,
        };
        assert_eq!(volume.stat(&name).err(), Some(absent), "{name:?}");
    }
}

#[test]
fn every_legal_character_makes_a_name() {
    let disk = Disk::new(mkfs(4 << 20, &["-F", "12"]), 512);
    let mut volume = mount(&disk);
    volume.mkdir("d").unwrap();
    let mut expected = Vec::new();
    for c in ('!'..='~')
        .chain("äßéñ€漢".chars())
        .filter(|c| !"\"*/:<>?\\|".contains(*c))
    {
        let name = if c == '.' {
            ".x".to_string()
        } else {
            format!("{c} {}", u32::from(c))
        };
        write_file(&mut *volume, &format!("d/{name}"), name.as_bytes()).unwrap();
        expected.push(name);
    }
    expected.sort();
    assert_eq!(names(&mut *volume, "d").unwrap(), expected);
    volume.sync().unwrap();
    fsck(&disk.bytes()).unwrap();
}

static CLOCK: Clock = Clock::new(|| Time::from_seconds(1_792_000_001)); // 2026-10-14 17:46:41 UTC

#[test]
fn times_are_those_of_the_clock_to_two_seconds() {
    let disk = Disk::new(mkfs(1 << 20, &["-F", "12"]), 512);
    let options = Options {
        clock: Some(&CLOCK),
        ..Options::default()
    };
    let mut volume = mount_with(&disk, options);
    write_file(&mut *volume, "dated", b"x").unwrap();
    volume.mkdir("d").unwrap();
    assert_eq!(
        volume.stat("dated").unwrap().modified.seconds,
        1_792_000_000
    );
    assert_eq!(volume.stat("d").unwrap().modified.seconds, 1_792_000_000);
    volume.sync().unwrap();
    let image = Image::with(&disk.bytes());
    let (_, listed) = run("mdir", &["-i", image.0.to_str().unwrap(), "::"]);
    assert!(listed.contains("2026-10-14  17:46"), "{listed}");
}

#[test]
fn files_open_and_files_in_the_way() {
    let mut volume = mount(&Disk::new(mkfs(1 << 20, &["-F", "12"]), 512));
    volume.mkdir("d").unwrap();
    write_file(&mut *volume, "a", b"one").unwrap();
    write_file(&mut *volume, "b", b"two").unwrap();
    let open = volume.open("a", OpenFlags::READ).unwrap();
    assert_eq!(volume.unlink("a"), Err(Error::Busy));
    assert_eq!(volume.rename("b", "a"), Err(Error::Busy));
    volume.rename("a", "d/c").unwrap();
    assert_eq!(
        crate::common::read_all(&mut *volume, open).unwrap(),
        b"one",
        "a handle follows its file"
    );
    assert_eq!(volume.write_at(open, 0, b"x"), Err(Error::PermissionDenied));
    volume.close(open).unwrap();
    assert_eq!(volume.read_at(open, 0, &mut [0]), Err(Error::Closed));
    let directory = volume
        .open("d", OpenFlags::DIRECTORY | OpenFlags::READ)
        .unwrap();
    volume.unlink("d/c").unwrap();
    assert_eq!(volume.rmdir("d"), Err(Error::Busy));
    assert_eq!(
        volume.read_at(directory, 0, &mut [0]),
        Err(Error::IsDirectory)
    );
    volume.close(directory).unwrap();
    volume.rmdir("d").unwrap();
    assert_eq!(volume.rename("b", "b/c"), Err(Error::NotDirectory));
    for (flags, error) in [
        (OpenFlags::empty(), Error::Invalid),
        (OpenFlags::CREATE | OpenFlags::READ, Error::Invalid),
        (OpenFlags::WRITE | OpenFlags::EXCLUSIVE, Error::Invalid),
        (OpenFlags::DIRECTORY | OpenFlags::WRITE, Error::Invalid),
        (OpenFlags::DIRECTORY, Error::NotDirectory),
    ] {
        assert_eq!(volume.open("b", flags).err(), Some(error), "{flags:?}");
    }
    for result in [
        volume.rmdir("/"),
        volume.rename("/", "x"),
        volume.rename("b", "/"),
    ] {
        assert_eq!(result, Err(Error::Busy));
    }
    assert_eq!(volume.unlink("/"), Err(Error::IsDirectory));
    assert_eq!(volume.mkdir("/"), Err(Error::Exists));
}

#[test]
fn a_file_marked_read_only_is_not_written() {
    let image = Image::with(&mkfs(1 << 20, &["-F", "12"]));
    let to = image.0.to_str().unwrap();
    let source = Image::with(b"kept");
    assert!(
        run(
            "mcopy",
            &["-i", to, source.0.to_str().unwrap(), "::/kept.txt"]
        )
        .0
    );
    assert!(run("mattrib", &["-i", to, "+r", "::/kept.txt"]).0);
    let mut volume = mount(&Disk::new(image.bytes(), 512));
    assert!(volume.stat("kept.txt").unwrap().read_only);
    assert_eq!(
        volume.open("kept.txt", NEW).err(),
        Some(Error::PermissionDenied)
    );
    assert_eq!(read_file(&mut *volume, "kept.txt").unwrap(), b"kept");
}

/// Large disk that takes memory only for nonzero contents.
struct Sparse {
    pages: HashMap<u64, Vec<u8>>,
    bytes: u64,
}

const PAGE: usize = 4096;

impl Block for Sparse {
    fn sector_size(&self) -> usize {
        PAGE
    }
    fn sectors(&self) -> u64 {
        self.bytes / PAGE as u64
    }
    fn read_only(&self) -> bool {
        false
    }
    fn read(&mut self, first_sector: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        for (n, out) in buf.chunks_exact_mut(PAGE).enumerate() {
            match self.pages.get(&(first_sector + n as u64)) {
                Some(page) => out.copy_from_slice(page),
                None => out.fill(0),
            }
        }
        Ok(())
    }
    fn write(&mut self, first_sector: u64, buf: &[u8]) -> Result<(), BlockError> {
        for (n, new) in buf.chunks_exact(PAGE).enumerate() {
            let place = first_sector + n as u64;
            if new == [0; PAGE] {
                self.pages.remove(&place);
            } else {
                self.pages.insert(place, new.to_vec());
            }
        }
        Ok(())
    }
    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

#[test]
fn a_file_grows_to_four_gibibytes_less_one_and_no_further() {
    const MAX_SIZE: u64 = u32::MAX as u64;
    let bytes: u64 = 5 << 30;
    // First megabytes, which is all that mkfs.fat writes.
    let start = mkfs_start(
        bytes,
        32 << 20,
        &["-F", "32", "-S", "4096", "-s", "8", "-n", "BIG"],
    );
    let mut disk = Sparse {
        pages: HashMap::new(),
        bytes,
    };
    for (n, page) in start.chunks_exact(PAGE).enumerate() {
        disk.write(n as u64, page).unwrap();
    }
    let mut volume = fat::mount(Box::new(disk), Options::default()).unwrap();
    let file = volume.open("big", NEW).unwrap();
    assert_eq!(volume.truncate(file, MAX_SIZE + 1), Err(Error::TooLarge));
    assert_eq!(volume.write_at(file, MAX_SIZE, b"x"), Err(Error::TooLarge));
    assert_eq!(volume.size(file), Ok(0));
    volume.truncate(file, MAX_SIZE - 3).unwrap();
    assert_eq!(volume.write_at(file, MAX_SIZE - 3, b"end of it"), Ok(3));
    assert_eq!(volume.write_at(file, MAX_SIZE, b"x"), Err(Error::TooLarge));
    let mut end = [1; 10];
    assert_eq!(volume.read_at(file, MAX_SIZE - 5, &mut end), Ok(5));
    assert_eq!(end[..5], *b"\0\0end");
    volume.sync().unwrap();
    assert_eq!(volume.stat("big").unwrap().size, MAX_SIZE);
    volume.close(file).unwrap();
    volume.unlink("big").unwrap();
    volume.sync().unwrap();
    let space = volume.space().unwrap();
    assert_eq!(
        space.free,
        space.total - u64::from(space.unit),
        "all but the root's cluster"
    );
}
