//! ext4 images made, checked and read by e2fsprogs.

use fs::Volume;
use fs::ext4::{self, Options};
use fs::fake::Disk;

use super::{Image, run};

/// Creates a file system of `len` bytes: `mkfs.ext4` with `args`.
pub fn mkfs(len: u64, args: &[&str]) -> Vec<u8> {
    let image = Image::new();
    std::fs::File::create(&image.0)
        .unwrap()
        .set_len(len)
        .unwrap();
    let mut all = vec!["-q", "-F"];
    all.extend_from_slice(args);
    all.push(image.0.to_str().unwrap());
    let (ok, text) = run("mkfs.ext4", &all);
    assert!(ok, "mkfs.ext4 {args:?}: {text}");
    image.bytes()
}

/// Returns the findings of `e2fsck -fn` on a disk that was unmounted.
pub fn fsck(bytes: &[u8]) -> Result<(), String> {
    let image = Image::with(bytes);
    match run("e2fsck", &["-fn", image.0.to_str().unwrap()]) {
        (true, _) => Ok(()),
        (false, text) => Err(text),
    }
}

/// As [`fsck`] for a disk whose machine stopped: after `e2fsck -p`, which replays the journal.
/// Returns the repaired disk.
pub fn fsck_stopped(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let image = Image::with(bytes);
    let path = image.0.to_str().unwrap();
    let (_, first) = run("e2fsck", &["-p", path]);
    match run("e2fsck", &["-fn", path]) {
        (true, _) => Ok(image.bytes()),
        (false, text) => Err(format!("{first}\n{text}")),
    }
}

/// As [`fsck_stopped`] for a disk whose journal failed: e2fsck then asks before it repairs.
pub fn fsck_failed(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let image = Image::with(bytes);
    let path = image.0.to_str().unwrap();
    let (_, first) = run("e2fsck", &["-fy", path]);
    match run("e2fsck", &["-fn", path]) {
        (true, _) => Ok(image.bytes()),
        (false, text) => Err(format!("{first}\n{text}")),
    }
}

pub fn mount(disk: &Disk) -> Box<dyn Volume> {
    mount_with(disk, Options::default())
}

/// Shows what the file systems log, with `SOIL_FS_LOG` in the environment.
fn show_log() {
    struct Printer;
    impl log::Log for Printer {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            println!("{}: {}", record.level(), record.args());
        }
        fn flush(&self) {}
    }
    if std::env::var_os("SOIL_FS_LOG").is_some() && log::set_logger(&Printer).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
}

pub fn mount_with(disk: &Disk, options: Options) -> Box<dyn Volume> {
    show_log();
    let budget = Some(&super::BUDGET);
    let options = Options { budget, ..options };
    ext4::mount(Box::new(disk.clone()), options).unwrap_or_else(|error| panic!("{error}"))
}

/// Kinds of volume that tests run on: name, bytes, options of mkfs.ext4.
pub const VOLUMES: &[(&str, u64, &[&str])] = &[
    ("defaults", 48 << 20, &[]),
    ("1 KiB blocks", 12 << 20, &["-b", "1024"]),
    ("2 KiB blocks", 24 << 20, &["-b", "2048"]),
    (
        "4 KiB blocks, a small journal",
        24 << 20,
        &["-b", "4096", "-J", "size=4"],
    ),
    (
        "no checksums, no 64bit, no flex_bg",
        24 << 20,
        &["-O", "^metadata_csum,^64bit,^flex_bg,uninit_bg"],
    ),
    ("plain directories", 24 << 20, &["-O", "^dir_index"]),
    (
        "block lists as in ext3",
        24 << 20,
        &["-O", "^extent,^64bit"],
    ),
    ("small inodes", 24 << 20, &["-I", "128"]),
    ("no journal", 12 << 20, &["-O", "^has_journal"]),
];
