//! A volume's seed on real file systems, with a machine that notes what it gets.

use super::{PATH, Seed, renew, replace};
use crate::files::tests::changed_by;
use ::fs::fake::Disk;
use ::fs::{BlockError, Error, OpenFlags, Volume};
use platform::Entropy;
use platform::error::Answer;
use std::boxed::Box;
use std::cell::RefCell;
use std::vec;
use std::vec::Vec;

/// What a machine without random numbers did with its seeds.
#[derive(Default)]
struct Seen {
    mixed: Vec<Option<Seed>>,
    admitted: usize,
    /// What the disk held when the seed was admitted.
    disk: Option<Disk>,
    held: Vec<u8>,
}

std::thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

struct Machine;

impl Entropy for Machine {
    const NO_ENTROPY: &str = "";

    fn random(_: &mut [u8]) -> Answer {
        Ok(0)
    }

    fn snapshots() -> u32 {
        0
    }

    fn wants_seed() -> bool {
        SEEN.with_borrow(|seen| seen.admitted == 0)
    }

    fn next_seed(old: Option<&Seed>) -> Option<Seed> {
        SEEN.with_borrow_mut(|seen| seen.mixed.push(old.copied()));
        Some(old.map_or([7; 32], |old| old.map(|byte| byte + 1)))
    }

    fn admit_seed() {
        SEEN.with_borrow_mut(|seen| {
            seen.admitted += 1;
            seen.held = seen.disk.as_ref().map(Disk::bytes).unwrap_or_default();
        });
    }
}

/// A machine with random numbers of its own.
struct Rich;

impl Entropy for Rich {
    const NO_ENTROPY: &str = "";

    fn random(_: &mut [u8]) -> Answer {
        Ok(0)
    }

    fn snapshots() -> u32 {
        0
    }
}

fn formatted() -> Disk {
    let bytes = changed_by("seed", &vec![0; 2 << 20], &["mkfs.fat"]);
    Disk::new(bytes, 512)
}

fn mounted(disk: &Disk) -> Box<dyn Volume> {
    ::fs::fat::mount(Box::new(disk.clone()), ::fs::fat::Options::default()).expect("a volume")
}

fn put(volume: &mut dyn Volume, bytes: &[u8]) {
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let file = volume.open(PATH, flags).expect("opened");
    volume.write_at(file, 0, bytes).expect("written");
    volume.close(file).expect("closed");
    volume.sync().expect("synced");
}

fn get(volume: &mut dyn Volume) -> Vec<u8> {
    let file = volume.open(PATH, OpenFlags::READ).expect("there");
    let mut bytes = vec![0; 100];
    let count = volume.read_at(file, 0, &mut bytes).expect("read");
    volume.close(file).expect("closed");
    bytes.truncate(count);
    bytes
}

fn boot(disk: &Disk) -> (bool, Seen) {
    SEEN.set(Seen {
        disk: Some(disk.clone()),
        ..Seen::default()
    });
    let renewed = renew::<Machine>(&mut *mounted(disk));
    (renewed, SEEN.take())
}

#[test]
fn a_seed_is_replaced_on_the_disk_before_it_counts() {
    let disk = formatted();
    let (renewed, seen) = boot(&disk);
    assert!(renewed && seen.mixed == [None]);
    for n in 7..20 {
        let (renewed, seen) = boot(&disk);
        assert!(renewed);
        assert_eq!((seen.mixed, seen.admitted), (vec![Some([n; 32])], 1));
        // A machine that is reset right after the first number finds the successor.
        let held = get(&mut *mounted(&Disk::new(seen.held, 512)));
        assert_eq!(held, [n + 1; 32]);
    }
    // At a clean end.
    let mut volume = mounted(&disk);
    assert!(replace::<Machine>(&mut *volume, None));
    assert_eq!(get(&mut *volume), [7; 32]);
}

#[test]
fn what_cannot_be_replaced_is_mixed_in_and_does_not_count() {
    type Break = fn(&Disk);
    let breaks: [Break; 3] = [
        |disk| disk.state().read_only = true,
        |disk| disk.state().fail_write = Some(1),
        |disk| disk.state().fail_flush = Some(1),
    ];
    for spoil in breaks {
        let disk = formatted();
        put(&mut *mounted(&disk), &[9; 32]);
        spoil(&disk);
        let (renewed, seen) = boot(&disk);
        assert!(!renewed);
        assert_eq!((seen.mixed, seen.admitted), (vec![Some([9; 32])], 0));
    }
    // Full, without a file: nothing comes into being.
    let disk = formatted();
    let mut volume = mounted(&disk);
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let file = volume.open("all", flags).expect("opened");
    let mut at = 0;
    while let Ok(count @ 1..) = volume.write_at(file, at, &[1; 512]) {
        at += count as u64;
    }
    volume.close(file).expect("closed");
    volume.sync().expect("synced");
    drop(volume);
    let (renewed, seen) = boot(&disk);
    assert!(!renewed && seen.admitted == 0);
    // The host is full.
    let disk = formatted();
    disk.state().full = Some(BlockError::NoSpace);
    let (renewed, seen) = boot(&disk);
    assert!(!renewed && seen.admitted == 0);
}

#[test]
fn a_file_that_is_no_seed_is_ignored() {
    for bytes in [&[][..], &[0; 32], &[5; 31], &[5; 33], &[5; 4096]] {
        let disk = formatted();
        put(&mut *mounted(&disk), bytes);
        let (renewed, seen) = boot(&disk);
        assert!(renewed && seen.mixed == [None], "{} bytes", bytes.len());
        assert_eq!(get(&mut *mounted(&disk)), [7; 32]);
    }
    let disk = formatted();
    let mut volume = mounted(&disk);
    volume.mkdir(PATH).expect("made");
    volume.sync().expect("synced");
    drop(volume);
    let (renewed, seen) = boot(&disk);
    assert!(!renewed && seen.mixed == [None] && seen.admitted == 0);
    let stat = mounted(&disk).stat(PATH).expect("there");
    assert_eq!(stat.kind, ::fs::Kind::Directory);
}

#[test]
fn machines_with_random_numbers_leave_the_volume_alone() {
    let disk = formatted();
    let writes = disk.state().writes;
    assert!(!renew::<Rich>(&mut *mounted(&disk)));
    assert!(!replace::<Rich>(&mut *mounted(&disk), None));
    assert_eq!(disk.state().writes, writes);
    let found = mounted(&disk).stat(PATH).err();
    assert_eq!(found, Some(Error::NotFound));
}
