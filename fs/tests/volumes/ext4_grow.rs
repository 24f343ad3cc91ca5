//! Growing at the mount: e2fsck finds nothing, resize2fs makes the same size, and a power cut at
//! any write leaves the old size or the new one, with all files.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::common::ext4::{fsck, fsck_stopped, mkfs, mount, mount_with};
use crate::common::recorder::{cut, writes};
use crate::common::{Image, Random, from_environment, read_file, run, write_file};
use fs::fake::{Disk, Event};
use fs::{Block, BlockError, Volume, VolumeOptions};

const MIB: u64 = 1 << 20;

const GROW: VolumeOptions = VolumeOptions {
    read_only: false,
    grow: true,
    clock: None,
    cache_bytes: 256 << 10,
    stream_bytes: 256 << 10,
    budget: None,
    counters: None,
};

/// Sector-addressed file, for disks that don't fit into memory.
struct FileDisk(File, u64);

impl FileDisk {
    fn open(image: &Image) -> Box<Self> {
        let file = File::options().read(true).write(true).open(&image.0);
        let file = file.unwrap();
        let sectors = file.metadata().unwrap().len() / 512;
        Box::new(Self(file, sectors))
    }
}

impl Block for FileDisk {
    fn sector_size(&self) -> usize {
        512
    }
    fn sectors(&self) -> u64 {
        self.1
    }
    fn read_only(&self) -> bool {
        false
    }
    fn read(&mut self, first: u64, buf: &mut [u8]) -> Result<(), BlockError> {
        let read = self.0.read_exact_at(buf, first * 512);
        read.map_err(|_| BlockError::OutOfRange)
    }
    fn write(&mut self, first: u64, buf: &[u8]) -> Result<(), BlockError> {
        assert!(first + buf.len() as u64 / 512 <= self.1);
        let written = self.0.write_all_at(buf, first * 512);
        written.map_err(|_| BlockError::Io)
    }
    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}

/// A sparse file with a file system of the first size, and with the second size.
fn enlarged((from, to): (u64, u64), args: &[&str]) -> Image {
    let image = Image::new();
    let path = image.0.to_str().unwrap();
    let file = File::create(&image.0).unwrap();
    file.set_len(from).unwrap();
    let (ok, text) = run("mkfs.ext4", &[&["-q", "-F"], args, &[path]].concat());
    assert!(ok, "{text}");
    file.set_len(to).unwrap();
    image
}

fn mount_file(image: &Image, options: VolumeOptions) -> Box<dyn Volume> {
    fs::ext4::mount(FileDisk::open(image), options).unwrap()
}

/// Values of the superblock as dumpe2fs shows them; `options` may name a backup.
fn values(image: &Image, options: &[&str], names: &[&str]) -> Vec<u64> {
    let path = image.0.to_str().unwrap();
    let (ok, text) = run("dumpe2fs", &[&["-h"], options, &[path]].concat());
    assert!(ok, "{text}");
    let value = |name: &&str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |line| {
            line.trim_start_matches(':').trim().parse().unwrap()
        })
    };
    names.iter().map(value).collect()
}

fn header(image: &Image, names: &[&str]) -> Vec<u64> {
    values(image, &[], names)
}

const COUNTS: [&str; 5] = [
    "Block count",
    "Inode count",
    "Free inodes",
    "Reserved GDT blocks",
    "Reserved block count",
];

fn check_file(image: &Image) {
    let (ok, text) = run("e2fsck", &["-fn", image.0.to_str().unwrap()]);
    assert!(ok, "{text}");
}

/// The backup in the second group, if there is one, has the volume's layout.
fn check_backup(image: &Image) {
    let names = [
        "Block size",
        "Blocks per group",
        "First block",
        "Block count",
    ];
    let found = header(image, &names);
    let (size, per_group, first, blocks) = (found[0], found[1], found[2], found[3]);
    let group = first + per_group;
    if group < blocks {
        let place = format!("superblock={group}");
        let size = format!("blocksize={size}");
        let backup = values(image, &["-o", &place, "-o", &size], &COUNTS);
        let here = header(image, &COUNTS);
        assert_eq!((&backup[..2], backup[3]), (&here[..2], here[3]));
    }
}

/// Layouts: old and new MiB, and options of mkfs.ext4.
const LAYOUTS: &[(&str, (u64, u64), &[&str])] = &[
    ("one group", (5, 8), &[]),
    ("one group becomes many", (8, 42), &[]),
    ("the last group only", (20, 24), &["-b", "1024"]),
    ("whole groups", (24, 40), &["-b", "1024"]),
    (
        "a last group without room",
        (24, 25),
        &["-b", "1024", "-N", "37000"],
    ),
    ("4 KiB blocks", (24, 140), &["-b", "4096"]),
    ("4 KiB blocks, groups", (150, 520), &["-b", "4096"]),
    ("2 KiB blocks", (24, 70), &["-b", "2048"]),
    ("small groups", (8, 32), &["-b", "1024", "-g", "1024"]),
    // The next group with copies is the 25th: only the resize inode changes.
    (
        "another block of descriptors and no copies",
        (16, 20),
        &["-b", "1024", "-g", "1024"],
    ),
    (
        "copies and no block of descriptors",
        (9, 12),
        &["-b", "1024", "-g", "1024"],
    ),
    (
        "Debian 13",
        (40, 140),
        &["-b", "4096", "-O", "metadata_csum_seed,orphan_file"],
    ),
    (
        "uninit_bg",
        (8, 42),
        &["-O", "^metadata_csum,^64bit,^flex_bg,uninit_bg"],
    ),
    (
        "no checksums",
        (8, 42),
        &["-O", "^metadata_csum,^uninit_bg"],
    ),
    (
        "no checksums, small groups",
        (8, 32),
        &["-b", "1024", "-g", "1024", "-O", "^metadata_csum"],
    ),
    (
        "two backups",
        (24, 48),
        &["-O", "sparse_super2,^resize_inode"],
    ),
    (
        "backups in all groups",
        (24, 48),
        &["-b", "1024", "-O", "^sparse_super,^resize_inode"],
    ),
    (
        "as in ext3",
        (24, 48),
        &["-O", "^extent,^64bit,^flex_bg,^metadata_csum", "-I", "128"],
    ),
    ("32 bits with checksums", (24, 48), &["-O", "^64bit"]),
];

#[test]
fn a_volume_grows_as_by_resize2fs_and_is_used_to_its_end() {
    for (name, (from, to), args) in LAYOUTS {
        let image = enlarged((from * MIB, to * MIB), args);
        let other = Image::new();
        std::fs::copy(&image.0, &other.0).unwrap();
        let before = header(&image, &COUNTS);
        let contents = Random(9).bytes(300_000);
        let mut volume = mount_file(&image, VolumeOptions::default());
        write_file(&mut *volume, "old", &contents).unwrap();
        let old = volume.space().unwrap().total;
        drop(volume);
        let mut volume = mount_file(&image, GROW);
        let space = volume.space().unwrap();
        assert!(space.total > old || *to == from + 1, "{name}");
        assert_eq!(read_file(&mut *volume, "old").unwrap(), contents);
        drop(volume);
        check_file(&image);
        let (ok, text) = run("resize2fs", &[other.0.to_str().unwrap()]);
        assert!(ok, "{name}: {text}");
        let (mine, theirs) = (header(&image, &COUNTS), header(&other, &COUNTS));
        assert_eq!(mine[..2], theirs[..2], "{name}, {before:?}");
        assert_eq!(mine[2] + 1, theirs[2], "{name}: free inodes");
        assert_eq!(mine[3], theirs[3], "{name}: reserved descriptors");
        assert!(
            mine[4].abs_diff(theirs[4]) <= 200,
            "{name}: {mine:?} {theirs:?}"
        );
        check_backup(&image);
        // All new blocks and inodes work.
        let mut volume = mount_file(&image, GROW);
        let all = volume.space().unwrap().free as usize;
        let fill = vec![7; (all - all / 50 - 100_000).min(100 << 20)];
        write_file(&mut *volume, "fill", &fill).unwrap();
        volume.mkdir("d").unwrap();
        for n in 0..(mine[2] - 2).min(2000) {
            write_file(&mut *volume, &format!("d/{n}"), b"").unwrap();
        }
        volume.sync().unwrap();
        assert!(read_file(&mut *volume, "fill").unwrap() == fill);
        drop(volume);
        check_file(&image);
        // And the next growth, now with contents.
        let file = File::options().write(true).open(&image.0).unwrap();
        file.set_len((to * 3 / 2 + 9) * MIB).unwrap();
        let mut volume = mount_file(&image, GROW);
        assert!(volume.space().unwrap().total > space.total, "{name}");
        assert!(read_file(&mut *volume, "fill").unwrap() == fill);
        drop(volume);
        check_file(&image);
    }
}

#[test]
fn large_disks_grow_and_the_reserved_descriptors_bound_it() {
    const GIB: u64 = 1 << 30;
    for ((from, to), grown, args) in [
        ((8 * MIB, 64 * GIB), 8 * GIB, &[][..]),
        ((64 * MIB, 64 * GIB), 32 * GIB + 128 * MIB, &[]),
        ((GIB, 64 * GIB), 64 * GIB, &[]),
        ((10 * GIB, 64 * GIB), 64 * GIB, &[]),
        ((GIB, 40 * GIB), 8 * GIB, &["-O", "^resize_inode"]),
    ] {
        let image = enlarged((from, to), args);
        let mut volume = mount_file(&image, GROW);
        let contents = Random(9).bytes(100_000);
        write_file(&mut *volume, "f", &contents).unwrap();
        drop(volume);
        let counts = header(&image, &["Block count", "Block size"]);
        assert_eq!(counts[0] * counts[1] / MIB, grown / MIB, "{from} to {to}");
        check_file(&image);
        // Sparse: no inode tables were written.
        let used = run("du", &["-k", image.0.to_str().unwrap()]).1;
        let used: u64 = used.split_whitespace().next().unwrap().parse().unwrap();
        assert!(used < 300 << 10, "{used} KiB");
    }
}

/// Records a mount that grows; returns the disk before, and the writes.
fn record((from, to): (u64, u64), args: &[&str]) -> (Vec<u8>, Vec<Event>, Vec<u8>) {
    let disk = Disk::new(mkfs(from * MIB, args), 512);
    let mut volume = mount(&disk);
    write_file(&mut *volume, "old", &[7; 200_000]).unwrap();
    drop(volume);
    let mut before = disk.bytes();
    // What was on the disk before must not matter.
    before.resize((to * MIB) as usize, 0xa5);
    let disk = Disk::new(before.clone(), 512);
    disk.state().log = Some(Vec::new());
    let volume = mount_with(&disk, GROW);
    let log = disk.state().log.take().unwrap();
    drop(volume);
    fsck(&disk.bytes()).unwrap();
    (before, log, disk.bytes())
}

fn total(bytes: &[u8]) -> u64 {
    let word = |at: usize| u32::from_le_bytes(bytes[1024 + at..][..4].try_into().unwrap());
    u64::from(word(4))
}

/// CRC-32C without its final inversion, as ext4 has it.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
    let byte = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), step);
    bytes.iter().fold(!0, byte)
}

/// The backups of superblock and descriptors have the volume's size and its groups' metadata.
fn check_backups(bytes: &[u8], when: &str) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let half = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    let (block, first, per_group) = (1024 << word(1048), word(1044), word(1056));
    let groups = (word(1028) - first).div_ceil(per_group);
    let descriptor = if word(1120) & 0x80 != 0 {
        half(1278)
    } else {
        32
    };
    let is_power = |group: usize, of: usize| (1..9).any(|n| of.pow(n) == group);
    let has_copies =
        |group: &usize| *group == 1 || [3, 5, 7].iter().any(|of| is_power(*group, *of));
    let own = if block == 1024 { 2 } else { 1 } * block;
    let mut count = 0;
    for group in (1..groups).filter(has_copies) {
        let copy = (first + group * per_group) * block;
        let of = format!("{when}: backup in group {group}");
        assert_eq!(half(copy + 56), 0xef53, "{of}");
        assert_eq!(
            (word(copy), word(copy + 4)),
            (word(1024), word(1028)),
            "{of}"
        );
        // What e2fsck starts from where the first superblock is lost: it says which copy it is,
        // and that the file system has to be checked, without a journal.
        assert_eq!(half(copy + 0x5a), group, "{of}: s_block_group_nr");
        assert_eq!(half(copy + 0x3a) & 1, 0, "{of}: s_state");
        assert_eq!(word(copy + 0x60) & 4, 0, "{of}: needs_recovery");
        if word(1024 + 0x64) & 0x400 != 0 {
            let sum = crc32c(&bytes[copy..copy + 1020]) as usize;
            assert_eq!(word(copy + 1020), sum, "{of}: s_checksum");
        }
        for n in 0..groups {
            // Bitmaps and inode table; the counts may be older.
            let (mine, theirs) = (own + n * descriptor, copy + block + n * descriptor);
            assert_eq!(
                bytes[mine..mine + 12],
                bytes[theirs..theirs + 12],
                "{of}: {n}"
            );
        }
        count += 1;
    }
    assert!(count > 0, "{when}: there are no backups");
}

/// After a power cut the files are there, and the next mount completes the growth.
fn survives(bytes: Vec<u8>, grown: u64, when: &str) {
    let fail = |text: String| -> ! { panic!("{when}: {text}") };
    let repaired = fsck_stopped(&bytes).unwrap_or_else(|text| fail(text));
    for (bytes, options) in [
        (bytes.clone(), VolumeOptions::default()),
        (bytes, GROW),
        (repaired, GROW),
    ] {
        let disk = Disk::new(bytes, 512);
        let mut volume = mount_with(&disk, options);
        assert!(
            read_file(&mut *volume, "old").unwrap() == [7; 200_000],
            "{when}"
        );
        write_file(&mut *volume, "new", &[8; 100_000]).unwrap();
        drop(volume);
        fsck(&disk.bytes()).unwrap_or_else(|text| fail(text));
        assert!(!options.grow || total(&disk.bytes()) == grown, "{when}");
        if options.grow {
            check_backups(&disk.bytes(), when);
        }
    }
}

/// Layouts for power cuts.
const CUT: &[((u64, u64), &[&str])] = &[
    ((5, 18), &[]),
    ((8, 14), &["-b", "1024", "-g", "1024"]),
    ((8, 18), &["-b", "1024", "-O", "^metadata_csum"]),
    ((16, 20), &["-b", "1024", "-g", "1024"]),
];

#[test]
fn a_power_cut_at_any_write_leaves_a_clean_volume_that_grows_at_the_next_mount() {
    let count = from_environment("SOIL_FS_CUTS", 2);
    for (sizes, args) in CUT {
        let (before, log, after) = record(*sizes, args);
        let mut random = Random(5);
        for end in 0..=log.len() {
            for n in 0..count {
                let losing = (n > 0).then_some(&mut random);
                let bytes = cut(&before, &log, end, 0, losing);
                survives(
                    bytes,
                    total(&after),
                    &format!("{args:?}, cut {n} at event {end}"),
                );
            }
        }
        println!("{args:?}: {} events", log.len());
    }
}

/// A device may write the first backup's superblock, by which the next mount finds that backups are
/// missing, and lose all else that no flush covers.
#[test]
fn the_first_backup_is_written_when_the_others_are_durable() {
    for (sizes, args) in CUT {
        let (before, log, after) = record(*sizes, args);
        let per_group = u32::from_le_bytes(after[1056..1060].try_into().unwrap());
        let sector = u64::from(1 + per_group) * 2;
        let is_first = |event: &Event| writes(event).iter().any(|(at, _)| *at == sector);
        let at = log.iter().rposition(is_first).unwrap();
        let flushed = log[..at].iter().rposition(|event| *event == Event::Flush);
        let mut bytes = cut(&before, &log, flushed.unwrap(), 0, None);
        for (first, data) in writes(&log[at]) {
            if first == sector {
                let at = first as usize * 512;
                bytes[at..at + data.len()].copy_from_slice(&data);
            }
        }
        survives(bytes, total(&after), &format!("{args:?}"));
    }
}

/// Control: without flushes the cuts do harm.
#[test]
fn without_flushes_a_growth_does_harm() {
    let (before, log, _) = record(CUT[1].0, CUT[1].1);
    let log: Vec<Event> = log
        .into_iter()
        .map(|event| match event {
            Event::Flush => Event::FlushUnordered,
            other => other,
        })
        .collect();
    let mut random = Random(5);
    let harmed = (0..40).filter(|_| {
        let bytes = cut(&before, &log, log.len(), 0, Some(&mut random));
        let disk = Disk::new(bytes.clone(), 512);
        let mounted = fs::ext4::mount(Box::new(disk.clone()), VolumeOptions::default());
        mounted.is_err() || fsck(&disk.bytes()).is_err()
    });
    assert!(harmed.count() > 3);
}

/// A backup that wasn't written before a power cut is written by the next mount.
#[test]
fn missing_backups_are_written_at_the_next_mount() {
    let (_, _, after) = record(CUT[0].0, CUT[0].1);
    let backup = 8193 * 1024;
    assert_eq!(total(&after[backup - 1024..]), total(&after));
    let mut without = after.clone();
    without[backup..backup + 1024].fill(0);
    let disk = Disk::new(without, 512);
    drop(mount(&disk));
    assert_eq!(total(&disk.bytes()[backup - 1024..]), 0);
    drop(mount_with(&disk, GROW));
    assert_eq!(total(&disk.bytes()[backup - 1024..]), total(&after));
    fsck(&disk.bytes()).unwrap();
}

#[test]
fn a_volume_that_may_not_grow_keeps_its_size() {
    let args: &[&str] = &["-b", "1024"];
    let unchanged = |image: Vec<u8>, options: VolumeOptions| {
        let mut bytes = image.clone();
        bytes.resize(40 << 20, 0);
        let disk = Disk::new(bytes, 512);
        drop(mount_with(&disk, options));
        assert_eq!(total(&disk.bytes()), total(&image));
        fsck(&disk.bytes()).unwrap();
    };
    unchanged(mkfs(8 * MIB, args), VolumeOptions::default());
    let read_only = VolumeOptions {
        read_only: true,
        ..GROW
    };
    unchanged(mkfs(8 * MIB, args), read_only);
    // Without a journal a power cut would do harm.
    unchanged(mkfs(8 * MIB, &["-b", "1024", "-O", "^has_journal"]), GROW);
    // Less than 1 MiB.
    unchanged(mkfs(40 * MIB - 512 * 1024, args), GROW);
}

/// Failures of the disk end the mount, and the volume grows when the disk works again.
#[test]
fn a_disk_that_fails_while_a_volume_grows_does_no_harm() {
    let (before, log, after) = record(CUT[0].0, CUT[0].1);
    let writes: u64 = log
        .iter()
        .map(|event| match event {
            Event::Write(..) => 1,
            Event::Batch(writes) => writes.len() as u64,
            _ => 0,
        })
        .sum();
    let flushes = log.iter().filter(|event| **event == Event::Flush).count() as u64;
    let failures = (1..=writes).map(|n| (Some(n), None));
    for (write, flush) in failures.chain((1..=flushes).map(|n| (None, Some(n)))) {
        let disk = Disk::new(before.clone(), 512);
        (disk.state().fail_write, disk.state().fail_flush) = (write, flush);
        assert!(
            fs::ext4::mount(Box::new(disk.clone()), GROW).is_err(),
            "{write:?} {flush:?}"
        );
        survives(disk.bytes(), total(&after), &format!("{write:?} {flush:?}"));
    }
}

/// Superblocks with numbers that can't be: no panic, no harm to what can be mounted.
#[test]
fn numbers_that_lie_do_no_harm() {
    let image = mkfs(8 * MIB, &["-b", "1024", "-O", "^metadata_csum"]);
    let mut bytes = image;
    bytes.resize(40 << 20, 0);
    let word = |at: usize, value: u64, len: usize| (1024 + at, value.to_le_bytes()[..len].to_vec());
    let inode = |bytes: &[u8], at: usize| {
        // The table of the first group; the resize inode is its seventh, of 256 bytes.
        let table = u32::from_le_bytes(bytes[2048 + 8..2048 + 12].try_into().unwrap());
        table as usize * 1024 + 6 * 256 + at
    };
    let mut lies = Vec::new();
    for reserved in [0, 1, 62, 64, 255, 256, 257, 8000, 65535] {
        lies.push(word(0xce, reserved, 2));
    }
    for value in [0, 1, 7, 1 << 31, u64::from(u32::MAX)] {
        lies.push(word(8, value, 4));
        lies.push(word(0x14c, value, 4));
    }
    for value in [0, 1, 2, 100, 9000, u64::from(u32::MAX)] {
        // The double indirect block, another word of the map, and the number of blocks.
        for at in [40 + 13 * 4, 40, 40 + 14 * 4, 28] {
            lies.push((inode(&bytes, at), value.to_le_bytes()[..4].to_vec()));
        }
    }
    for (at, value) in lies {
        let mut lying = bytes.clone();
        lying[at..at + value.len()].copy_from_slice(&value);
        let disk = Disk::new(lying, 512);
        if let Ok(mut volume) = fs::ext4::mount(Box::new(disk.clone()), GROW) {
            let _ = write_file(&mut *volume, "f", &[1; 50_000]);
            let _ = volume.sync();
        }
    }
}
