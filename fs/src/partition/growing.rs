//! Growing partitions of disks that became larger, with power cuts.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::tests::{ALL, image, places, sign};
use super::{Guid, Partition, Table, grow, read_table};
use crate::fake::{Disk, Event};

const MIB: usize = 1 << 20;

macro_rules! image {
    ($name:literal) => {
        image(include_str!(concat!("../../tests/tables/", $name, ".txt")))
    };
}

/// An image on a disk of that many MiB, with data in each partition.
fn enlarged((mut bytes, sector): (Vec<u8>, usize), mib: usize) -> (Vec<u8>, usize) {
    bytes.resize(mib * MIB, 0);
    let table = read(&bytes, sector);
    for partition in &table.partitions {
        for at in [partition.first, partition.end() - 1] {
            let at = at as usize * sector;
            bytes[at..at + sector].fill(partition.number as u8);
        }
    }
    (bytes, sector)
}

fn read(bytes: &[u8], sector: usize) -> Table {
    read_table(&mut Disk::new(bytes.to_vec(), sector)).unwrap()
}

/// The data that [`enlarged`] wrote is there, and each partition begins where it did.
fn check_data(bytes: &[u8], sector: usize, before: &[Partition], after: &[Partition]) {
    assert_eq!(before.len(), after.len());
    for (old, new) in before.iter().zip(after) {
        assert_eq!((old.first, old.guid), (new.first, new.guid));
        for at in [old.first, old.end() - 1] {
            let data = &bytes[at as usize * sector..][..sector];
            assert!(data.iter().all(|byte| *byte == old.number as u8));
        }
    }
}

/// Grows a partition with the writes recorded, and returns them.
fn grown(bytes: &[u8], sector: usize, number: u32) -> (Option<u64>, Vec<u8>, Vec<Event>) {
    let mut disk = Disk::new(bytes.to_vec(), sector);
    disk.state().log = Some(Vec::new());
    let sectors = grow(&mut disk, number).unwrap();
    let log = disk.state().log.take().unwrap();
    (sectors, disk.bytes(), log)
}

/// Calls `check` with each disk after a power cut: the writes before the last flush are there, and
/// of the sectors after it all, all but one, or one.
fn each_cut(bytes: &[u8], sector: usize, log: &[Event], check: &mut dyn FnMut(Disk)) {
    let mut durable = bytes.to_vec();
    let mut pending: Vec<(usize, Vec<u8>)> = Vec::new();
    for event in log {
        match event {
            Event::Write(first, data) => {
                for (n, data) in data.chunks(sector).enumerate() {
                    pending.push(((*first as usize + n) * sector, data.to_vec()));
                }
            }
            Event::Flush => {
                for (at, data) in pending.drain(..) {
                    durable[at..at + sector].copy_from_slice(&data);
                }
            }
            other => panic!("{other:?}"),
        }
        let mut with = |wanted: &dyn Fn(usize) -> bool| {
            let mut bytes = durable.clone();
            let some = pending.iter().enumerate().filter(|(n, _)| wanted(*n));
            for (_, (at, data)) in some {
                bytes[*at..*at + sector].copy_from_slice(data);
            }
            check(Disk::new(bytes, sector));
        };
        with(&|_| true);
        for lost in (0..pending.len()).step_by(if pending.len() > 4 { 7 } else { 1 }) {
            with(&|n| n != lost);
            with(&|n| n == lost);
        }
    }
}

#[test]
fn the_last_partition_takes_the_rest_of_a_larger_disk() {
    for (image, mib, number, end) in [
        (image!("sgdisk"), 80, 7, 79),
        (image!("sgdisk-grown"), 64, 1, 63),
        (image!("sgdisk-hybrid"), 128, 2, 127),
        (image!("sfdisk-gpt"), 65, 3, 64),
        (image!("parted-gpt-4096"), 100, 2, 99),
    ] {
        let (bytes, sector) = enlarged(image, mib);
        let before = read(&bytes, sector);
        assert!(before.is_disk_larger && before.warnings.len() == 1);
        let (sectors, bytes, log) = grown(&bytes, sector, number);
        let after = read(&bytes, sector);
        assert_eq!(after.warnings, Vec::<alloc::string::String>::new());
        let found = after.find(&number.to_string()).unwrap();
        assert_eq!(found.end() as usize * sector, end * MIB);
        assert_eq!(Some(found.sectors), sectors);
        check_data(&bytes, sector, &before.partitions, &after.partitions);
        assert_eq!(
            log.iter().filter(|event| **event == Event::Flush).count(),
            3
        );
        // Once.
        let (again, same, log) = grown(&bytes, sector, number);
        assert_eq!((again, log.len()), (None, 0));
        assert!(same == bytes);
    }
}

#[test]
fn a_power_cut_at_any_write_leaves_the_old_table_or_the_new_one() {
    for (image, mib, number) in [
        (image!("sgdisk"), 70, 7),
        (image!("sgdisk-hybrid"), 66, 2),
        (image!("parted-gpt-4096"), 66, 2),
    ] {
        let (bytes, sector) = enlarged(image, mib);
        let before = read(&bytes, sector).partitions;
        let (_, done, log) = grown(&bytes, sector, number);
        let after = read(&done, sector).partitions;
        let (mut old, mut new) = (0, 0);
        each_cut(&bytes, sector, &log, &mut |disk| {
            let found = read_table(&mut disk.clone()).unwrap().partitions;
            match found == after {
                true => new += 1,
                false => old += 1,
            }
            assert!(found == before || found == after);
            check_data(&disk.state().bytes, sector, &before, &found);
            // The next call completes it.
            grow(&mut disk.clone(), number).unwrap();
            let table = read_table(&mut disk.clone()).unwrap();
            assert_eq!((table.partitions, table.warnings.len()), (after.clone(), 0));
        });
        assert!(old > 10 && new > 1, "{old} {new}");
    }
}

/// Control: in another order of the writes a power cut loses the table.
#[test]
fn the_flushes_matter() {
    let (bytes, sector) = enlarged(image!("sgdisk"), 70);
    let (_, _, log) = grown(&bytes, sector, 7);
    let without: Vec<Event> = log.into_iter().filter(|e| *e != Event::Flush).collect();
    let mut lost = 0;
    each_cut(&bytes, sector, &without, &mut |disk| {
        let _ = grow(&mut disk.clone(), 7);
        let table = read_table(&mut disk.clone());
        lost += u32::from(table.is_err() || table.is_ok_and(|table| !table.warnings.is_empty()));
    });
    assert!(lost > 0);
}

#[test]
fn what_is_not_a_sound_table_of_a_larger_disk_stays() {
    let unchanged = |bytes: Vec<u8>, sector, number| {
        let (sectors, after, log) = grown(&bytes, sector, number);
        assert_eq!((sectors, log.len()), (None, 0));
        assert!(bytes == after);
    };
    let (good, sector) = enlarged(image!("sgdisk"), 70);
    // Another partition, a missing one, a disk of the same size, or barely larger.
    for number in [0, 1, 2, 3, 8, u32::MAX] {
        unchanged(good.clone(), sector, number);
    }
    unchanged(image!("sgdisk").0, 512, 7);
    let (mut barely, _) = enlarged(image!("sgdisk"), 64);
    barely.extend_from_slice(&[0; 512]);
    unchanged(barely, 512, 7);
    // Damage: the protective MBR, either header, either array.
    let second = 64 * MIB - 512;
    for at in [510, 512 + 40, 1024 + 130, second + 40, second - 512 * 32] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        unchanged(bytes, 512, 7);
    }
    for text in [
        image!("sfdisk-mbr"),
        (vec![0; MIB], 512),
        (vec![0; 512], 512),
        (vec![], 512),
    ] {
        unchanged(text.0, text.1, 1);
    }
    let disk = Disk::new(good, sector);
    disk.state().read_only = true;
    assert_eq!(grow(&mut disk.clone(), 7).unwrap(), None);
}

#[test]
fn a_disk_that_fails_is_an_error_and_keeps_a_table() {
    let (good, sector) = enlarged(image!("sgdisk"), 70);
    for n in 1..=4 {
        let disk = Disk::new(good.clone(), sector);
        disk.state().fail_write = Some(n);
        let failed = grow(&mut disk.clone(), 7).unwrap_err();
        assert!(
            failed.detail.contains("check the disk"),
            "{}",
            failed.detail
        );
        let found = read(&disk.bytes(), sector);
        assert_eq!(found.partitions.len(), 3);
    }
}

#[test]
fn a_protective_mbr_covers_the_larger_disk() {
    let size = |bytes: &[u8]| u32::from_le_bytes(bytes[458..462].try_into().unwrap());
    let (bytes, sector) = enlarged(image!("sgdisk"), 70);
    assert_eq!(size(&bytes), (64 << 11) - 1);
    let (_, after, _) = grown(&bytes, sector, 7);
    assert_eq!(size(&after), (70 << 11) - 1);
    assert_eq!(
        (&bytes[..458], &bytes[462..512]),
        (&after[..458], &after[462..512])
    );
    // Beside other records it covers the GPT only.
    let (bytes, sector) = enlarged(image!("sgdisk-hybrid"), 70);
    let (_, after, _) = grown(&bytes, sector, 2);
    assert!(bytes[..512] == after[..512]);
}

#[test]
fn partitions_are_found_by_guid() {
    let (bytes, sector) = image!("sgdisk");
    let table = read(&bytes, sector);
    let data = table.find("data").unwrap();
    let guid = data.guid.unwrap().to_string();
    assert_eq!(guid.len(), 36);
    let name = |guid: &str| ["PARTUUID=", guid].concat();
    assert_eq!(table.find(&name(&guid)).unwrap(), data);
    assert_eq!(table.find(&name(&guid.to_uppercase())).unwrap(), data);
    let other = Guid::from_bytes([7; 16]).to_string();
    for wrong in ["", "7", &other, &guid[1..]] {
        assert!(table.find(&name(wrong)).is_err(), "{wrong}");
    }
    // An MBR's partitions have none.
    let (bytes, sector) = image!("sfdisk-mbr");
    assert!(read(&bytes, sector).find("PARTUUID=").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn mutated_tables_grow_without_harm(
        which in 0_usize..8,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        signed in any::<bool>(),
        more in 0_usize..4,
        number in 0_u32..9,
    ) {
        let (mut bytes, sector) = image(ALL[which]);
        let used = places(ALL[which], sector);
        for (at, value) in changes {
            bytes[used[at.index(used.len())]] = value;
        }
        if signed {
            sign(&mut bytes, sector);
        }
        let len = bytes.len();
        bytes.resize(len + more * MIB, 0);
        let disk = Disk::new(bytes, sector);
        let before = read_table(&mut disk.clone());
        if let Ok(Some(sectors)) = grow(&mut disk.clone(), number) {
            let after = read_table(&mut disk.clone()).unwrap();
            let found = after.find(&number.to_string()).unwrap();
            assert_eq!(found.sectors, sectors);
            assert_eq!(after.partitions.len(), before.unwrap().partitions.len());
        }
    }
}
