//! Volumes of other systems: large ones, directories with other hashes, extended attributes,
//! unfinished removals. e2fsprogs make them and check them afterwards.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::ext4::{fsck, fsck_stopped, mkfs, mount};
use crate::common::{Image, NEW, names, read_file, run, write_file};
use fs::fake::Disk;
use fs::{Block, BlockError, Error, Volume, VolumeOptions};

/// Sparse file of the host, with a count of its reads.
pub struct HostFile(pub File, pub Arc<AtomicU64>);

impl Block for HostFile {
    fn sector_size(&self) -> usize {
        512
    }
    fn sectors(&self) -> u64 {
        self.0.metadata().unwrap().len() / 512
    }
    fn read_only(&self) -> bool {
        false
    }
    fn read(&mut self, first: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        let read = self.0.read_exact_at(buf, first * 512);
        read.map_err(|_| BlockError::Io)
    }
    fn write(&mut self, first: u64, buf: &[u8]) -> Result<(), BlockError> {
        let written = self.0.write_all_at(buf, first * 512);
        written.map_err(|_| BlockError::Io)
    }
    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

fn debugfs(bytes: &[u8], commands: &[&str]) -> (Vec<u8>, String) {
    let image = Image::with(bytes);
    let script = Image::with(commands.join("\n").as_bytes());
    let (path, script) = (image.0.to_str().unwrap(), script.0.to_str().unwrap());
    let (ok, text) = run("debugfs", &["-w", "-f", script, path]);
    assert!(ok, "{commands:?}: {text}");
    (image.bytes(), text)
}

/// Creates files and directories, more than a group has inodes for.
fn use_volume(volume: &mut dyn Volume) {
    for directory in 0..20 {
        volume.mkdir(&format!("d{directory}")).unwrap();
        for n in 0..50 {
            let path = format!("d{directory}/{n}");
            write_file(volume, &path, &[n; 10_000]).unwrap();
        }
    }
    let big = volume.open("big", NEW).unwrap();
    // Past 8 GiB, with a hole before it.
    let at = (9 << 30) + 5;
    assert_eq!(volume.write_at(big, at, &[7; 300_000]), Ok(300_000));
    assert_eq!(volume.size(big), Ok(at + 300_000));
    volume.close(big).unwrap();
    for n in 0..50 {
        volume.unlink(&format!("d3/{n}")).unwrap();
    }
    volume.rmdir("d3").unwrap();
}

/// 64 GiB, and with `SOIL_FS_LONG` one block less than 16 TiB, the maximum size of ext4's files:
/// sparse files of the host. A mount reads the descriptors and no bitmaps.
#[test]
fn large_volumes() {
    let mut sizes = vec![64u64 << 30];
    if std::env::var_os("SOIL_FS_LONG").is_some() {
        sizes.push((16 << 40) - 4096);
    }
    for size in sizes {
        let image = Image::new();
        let path = image.0.to_str().unwrap();
        File::create(&image.0).unwrap().set_len(size).unwrap();
        let lazy = "lazy_itable_init=1,lazy_journal_init=1";
        let (ok, text) = run("mkfs.ext4", &["-q", "-F", "-E", lazy, path]);
        assert!(ok, "{text}");
        let reads = Arc::new(AtomicU64::new(0));
        let open = || {
            reads.store(0, Ordering::Relaxed);
            let file = OpenOptions::new().read(true).write(true).open(&image.0);
            let device = Box::new(HostFile(file.unwrap(), reads.clone()));
            fs::ext4::mount(device, VolumeOptions::default()).unwrap_or_else(|error| {
                panic!("{error}");
            })
        };
        let mut volume = open();
        // Descriptors are 64 bytes for each 128 MiB, and read 256 KiB at a time.
        let (few, pieces) = (6, (size >> 27) * 64 / (256 << 10));
        let count = reads.load(Ordering::Relaxed);
        assert!(count <= few + pieces, "{size}: {count} reads");
        let before = volume.space().unwrap();
        assert!(before.total > size / 10 * 9 && before.free < before.total);
        use_volume(&mut *volume);
        drop(volume);
        let mut volume = open();
        assert_eq!(read_file(&mut *volume, "d7/9").unwrap(), [9; 10_000]);
        assert_eq!(names(&mut *volume, "d19").unwrap().len(), 50);
        volume.unlink("big").unwrap();
        drop(volume);
        let (ok, text) = run("e2fsck", &["-fn", path]);
        assert!(ok, "{size}: {text}");
    }
}

/// Directories with each hash, of signed or unsigned characters, created here and by e2fsck.
#[test]
fn directories_hashed_in_other_ways() {
    for (hash, unsigned) in [
        ("legacy", false),
        ("half_md4", true),
        ("tea", false),
        ("tea", true),
        ("legacy", true),
    ] {
        let name = |n: u32| format!("Bär {n} with some more letters, so that it is long");
        let args = ["-b", "1024", "-N", "4096", "-O", "^metadata_csum"];
        let mut bytes = mkfs(16 << 20, &args);
        let versions = ["legacy", "half_md4", "tea"];
        let version = versions.iter().position(|known| *known == hash);
        bytes[1024 + 0xfc] = version.unwrap() as u8;
        bytes[1024 + 0x160] = if unsigned { 2 } else { 1 };
        let disk = Disk::new(bytes, 512);
        let mut volume = mount(&disk);
        volume.mkdir("d").unwrap();
        for n in 0..400 {
            write_file(&mut *volume, &format!("d/{}", name(n)), b"x").unwrap();
        }
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{hash} {unsigned}: {text}"));
        // And with the index of e2fsck.
        let image = Image::with(&disk.bytes());
        run("e2fsck", &["-fyD", image.0.to_str().unwrap()]);
        let disk = Disk::new(image.bytes(), 512);
        let mut volume = mount(&disk);
        for n in 0..400 {
            let path = format!("d/{}", name(n));
            assert_eq!(read_file(&mut *volume, &path).unwrap(), b"x", "{hash}");
            volume.rename(&path, &format!("d/other {n}")).unwrap();
        }
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{hash} {unsigned}: {text}"));
    }
}

/// Extended attributes, in the inode and in a separate block, stay with their file and are removed
/// with it.
#[test]
fn extended_attributes_are_kept() {
    for args in [&["-b", "1024"][..], &["-b", "4096", "-I", "128"]] {
        let disk = Disk::new(mkfs(16 << 20, args), 512);
        let mut volume = mount(&disk);
        write_file(&mut *volume, "a", &[1; 5000]).unwrap();
        write_file(&mut *volume, "b", &[2; 5000]).unwrap();
        let free = volume.space().unwrap().free;
        drop(volume);
        let long = "v".repeat(600);
        let commands = [
            "ea_set a user.short value",
            &format!("ea_set a user.long {long}"),
            &format!("ea_set b user.long {long}"),
        ];
        let (bytes, _) = debugfs(&disk.bytes(), &commands);
        let disk = Disk::new(bytes, 512);
        let mut volume = mount(&disk);
        volume.mkdir("d").unwrap();
        volume.rename("a", "d/a").unwrap();
        let file = volume.open("d/a", fs::OpenFlags::WRITE).unwrap();
        volume.write_at(file, 100_000, b"more").unwrap();
        volume.truncate(file, 3000).unwrap();
        volume.close(file).unwrap();
        volume.unlink("b").unwrap();
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
        let (bytes, text) = debugfs(
            &disk.bytes(),
            &["ea_get d/a user.short", "ea_get d/a user.long"],
        );
        assert!(text.contains("value") && text.contains(&long), "{text}");
        let disk = Disk::new(bytes, 512);
        let mut volume = mount(&disk);
        volume.unlink("d/a").unwrap();
        volume.rmdir("d").unwrap();
        assert!(volume.space().unwrap().free >= free);
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
    }
}

/// A file without a name that Linux listed in the orphan file when it stopped.
#[test]
fn orphans_in_the_orphan_file_are_given_back() {
    let args = ["-b", "1024", "-O", "orphan_file,^metadata_csum"];
    let disk = Disk::new(mkfs(16 << 20, &args), 512);
    let mut volume = mount(&disk);
    let free = volume.space().unwrap().free;
    write_file(&mut *volume, "gone", &[1; 50_000]).unwrap();
    write_file(&mut *volume, "cut", &[2; 50_000]).unwrap();
    let [gone, cut] = ["gone", "cut"].map(|path| volume.stat(path).unwrap().inode);
    drop(volume);
    let commands = [
        format!("sif <{gone}> links_count 0"),
        "unlink gone".to_string(),
        // The blocks past the new end still exist.
        format!("sif <{cut}> size 3000"),
    ];
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let (mut bytes, _) = debugfs(&disk.bytes(), &commands);
    let number = u32::from_le_bytes(bytes[1024 + 0x280..][..4].try_into().unwrap());
    let (_, text) = debugfs(&bytes, &[&format!("blocks <{number}>")]);
    let mut first = text
        .split_whitespace()
        .filter_map(|word| word.parse::<usize>().ok());
    let first = first.next_back().unwrap_or_else(|| panic!("{text}"));
    // The last listed block is one of the file's. It ends with a magic number and a checksum.
    let (start, end) = (first * 1024, (first + 1) * 1024 - 8);
    bytes[start..][..4].copy_from_slice(&(gone as u32).to_le_bytes());
    bytes[end - 4..end].copy_from_slice(&(cut as u32).to_le_bytes());
    bytes[1024 + 0x66] |= 1; // orphan_present
    let disk = Disk::new(bytes, 512);
    let mut volume = mount(&disk);
    assert_eq!(volume.stat("gone"), Err(Error::NotFound));
    assert_eq!(read_file(&mut *volume, "cut").unwrap(), [2; 3000]);
    assert_eq!(volume.space().unwrap().free, free - 3 * 1024);
    drop(volume);
    fsck(&disk.bytes()).unwrap();
    assert_eq!(disk.bytes()[1024 + 0x66] & 1, 0);
}

/// Blocks reserved for an administrator don't count as available, but can be written here.
#[test]
fn reserved_blocks_are_free_and_not_available() {
    for (args, percent) in [
        (&["-m", "20"][..], 20),
        (&["-m", "0"], 0),
        (&["-O", "^64bit"], 5),
    ] {
        let disk = Disk::new(mkfs(20 << 20, args), 512);
        let mut volume = mount(&disk);
        let space = volume.space().unwrap();
        let (_, text) = debugfs(&disk.bytes(), &["show_super_stats -h"]);
        let reserved = text
            .lines()
            .find_map(|line| line.strip_prefix("Reserved block count:"));
        let reserved: u64 = reserved.unwrap().trim().parse().unwrap();
        assert_eq!(
            reserved,
            space.total / u64::from(space.unit) * percent / 100
        );
        assert_eq!(
            space.available + reserved * u64::from(space.unit),
            space.free
        );
        let file = volume.open("all", NEW).unwrap();
        let data = vec![7; 1 << 20];
        let mut at = 0;
        while let Ok(count) = volume.write_at(file, at, &data) {
            at += count as u64;
        }
        let left = volume.space().unwrap();
        assert_eq!((left.free, left.available), (0, 0));
        // Everything except the blocks of the map.
        assert!(at + 16 * u64::from(space.unit) > space.free);
        volume.close(file).unwrap();
        drop(volume);
        fsck(&disk.bytes()).unwrap();
    }
}

/// A block of extended attributes that two files share, as Linux creates them, counts its
/// references, and is freed with the last.
#[test]
fn shared_attributes_go_with_the_last_file() {
    for args in [
        &["-b", "1024"][..],
        &["-b", "1024", "-I", "128", "-O", "^metadata_csum"],
    ] {
        let disk = Disk::new(mkfs(16 << 20, args), 512);
        let mut volume = mount(&disk);
        let free = volume.space().unwrap().free;
        for name in ["a", "b", "c"] {
            write_file(&mut *volume, name, &[1; 5000]).unwrap();
        }
        drop(volume);
        let long = "v".repeat(600);
        let set = format!("ea_set a user.long {long}");
        let (bytes, text) = debugfs(&disk.bytes(), &[&set, "stat a"]);
        let number = text.split_once("File ACL:").unwrap().1;
        let number = number.split_whitespace().next().unwrap();
        let share = ["b", "c"].map(|file| format!("sif {file} file_acl {number}"));
        let (bytes, _) = debugfs(&bytes, &[&share[0], &share[1]]);
        // e2fsck corrects the reference count.
        let image = Image::with(&bytes);
        run("e2fsck", &["-fy", image.0.to_str().unwrap()]);
        fsck(&image.bytes()).unwrap();
        let count = |bytes: &[u8]| {
            let at = number.parse::<usize>().unwrap() * 1024;
            (bytes[at..at + 4] == [0, 0, 2, 0xea]).then(|| bytes[at + 4])
        };
        assert_eq!(count(&image.bytes()), Some(3), "{args:?}");
        let disk = Disk::new(image.bytes(), 512);
        let mut volume = mount(&disk);
        let then = |volume: &mut dyn Volume, users: u8| {
            volume.sync().unwrap();
            let stopped = fsck_stopped(&disk.bytes());
            let bytes = stopped.unwrap_or_else(|text| panic!("{args:?}: {text}"));
            assert_eq!(count(&bytes), Some(users), "{args:?}");
            let (_, text) = debugfs(&bytes, &["ea_get c user.long"]);
            assert!(text.contains(&long), "{text}");
        };
        // Another name, a truncation and renames don't change the block.
        volume.link("a", "d").unwrap();
        volume.unlink("a").unwrap();
        let file = volume.open("d", fs::OpenFlags::WRITE).unwrap();
        volume.truncate(file, 0).unwrap();
        volume.rename("c", "e").unwrap();
        volume.rename("e", "c").unwrap();
        then(&mut *volume, 3);
        // An unlinked file keeps the block until it is closed.
        volume.unlink("d").unwrap();
        let held = volume.space().unwrap().free;
        volume.close(file).unwrap();
        then(&mut *volume, 2);
        assert_eq!(volume.space().unwrap().free, held);
        // A replaced file releases its reference.
        write_file(&mut *volume, "new", b"").unwrap();
        volume.rename("new", "b").unwrap();
        then(&mut *volume, 1);
        volume.unlink("c").unwrap();
        volume.unlink("b").unwrap();
        assert_eq!(volume.space().unwrap().free, free, "{args:?}");
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{args:?}: {text}"));
    }
}
