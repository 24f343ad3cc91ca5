//! Tags, slots and sizes of one directory, without the operations of a volume.

use alloc::boxed::Box;
use alloc::string::String;

use super::*;
use crate::fake::Disk;
use crate::fat::geometry::FatKind;
use crate::fat::slots::{ATTR_ARCHIVE, ATTR_VOLUME_ID};
use crate::fat::tests::{WRITE, formatted, mounted};
use crate::{Volume, VolumeOptions};

/// Returns the slots of an entry with this long name, and SHORT.TXT as its short one.
fn slots(name: &str, attributes: u8) -> Slots {
    let entry = ShortEntry::new(*b"SHORT   TXT", attributes);
    let mut slots = long_name(name, entry.lfn_checksum());
    slots.push(entry.0);
    slots
}

/// Returns the slots of a name of 30 letters: three for these, and the short entry.
fn three_parts() -> Slots {
    let slots = slots("thirty letters and no more too", ATTR_ARCHIVE);
    assert_eq!(slots.len(), 4);
    slots
}

/// Calls `f` with a reader of a directory that has these slots.
fn read<T>(slots: &[Bytes], f: impl FnOnce(&mut Reader) -> T) -> T {
    let mut bytes = slots.concat();
    bytes.resize(bytes.len().next_multiple_of(WINDOW), 0);
    let len = bytes.len() as u64;
    let disk = Box::new(Disk::new(bytes, 512));
    f(&mut Reader {
        runs: &[Run {
            file: 0,
            disk: 0,
            len,
        }],
        cache: &mut Cache::new(disk, &VolumeOptions::default()),
        window: [0; WINDOW],
        piece: usize::MAX,
    })
}

/// FNV-1a, whose 32 bits are folded to 16 by xor ("The FNV Non-Cryptographic Hash Algorithm").
#[test]
fn a_tag_is_a_hash_of_the_name_in_capitals() {
    for (name, hash) in [
        ("", 0x811c_9dc5_u32),
        ("1", 0x340c_a71c),
        ("FOOBAR", 0x9de5_07a8),
        ("fooBar", 0x9de5_07a8),
    ] {
        let folded = (hash >> 16) as u16 ^ hash as u16;
        assert_eq!(tag(name.encode_utf16()), folded, "{name}");
    }
}

#[test]
fn slots_are_read_once_for_each_window() {
    let entry = |size: u32| {
        let mut entry = ShortEntry::new(*b"FILE       ", ATTR_ARCHIVE);
        entry.set_size(size);
        entry
    };
    let slots: Slots = (0..48).map(|slot| entry(slot).0).collect();
    read(&slots, |reader| {
        for (slot, is_new) in [
            (0, true),
            (15, false),
            (1, false),
            (16, true),
            (31, false),
            (15, true),
            (47, true),
            (32, false),
        ] {
            // Marks the window: it isn't read again.
            reader.window.fill(0);
            let expected = match is_new {
                true => Slot::Short(entry(slot)),
                false => Slot::End,
            };
            assert_eq!(reader.get(slot as usize), Ok(expected), "slot {slot}");
        }
    });
}

#[test]
fn an_entry_is_visible_and_its_long_name_unbroken() {
    let mut long = LongName::new();
    let longest = slots(&"x".repeat(255), ATTR_ARCHIVE);
    let too_many = [&longest[..1], &longest].concat();
    let mut broken = three_parts();
    broken[2][0] = ENTRY_FREE;
    for (slots, at, expected) in [
        (three_parts(), 0, Some(3)),
        (three_parts(), 1, Some(3)),
        (three_parts(), 3, Some(3)),
        (three_parts(), 4, None),
        (longest, 0, Some(20)),
        (too_many.clone(), 1, Some(21)),
        (too_many, 0, None),
        (broken, 0, None),
        (slots("label", ATTR_VOLUME_ID), 0, None),
    ] {
        let found = read(&slots, |reader| reader.entry(at, &mut long));
        let short = found.map(|found| found.map(|(short, _)| short));
        assert_eq!(short, Ok(expected), "{} slots from {at}", slots.len());
    }
}

#[test]
fn the_slots_of_a_long_name_are_found_from_the_last() {
    let checksum = ShortEntry::new(*b"SHORT   TXT", ATTR_ARCHIVE).lfn_checksum();
    let first_of = |slots: &[Bytes]| {
        let found = read(slots, |reader| reader.first_of(slots.len() - 1, checksum));
        found.unwrap()
    };
    assert_eq!(first_of(&three_parts()), 0);
    assert_eq!(first_of(&three_parts()[3..]), 0, "a short name alone");
    for before in [1, 2, 14, 40] {
        let others: Slots = vec![[0; ENTRY_SIZE]; before];
        assert_eq!(first_of(&[others, three_parts()].concat()), before);
    }
    for letters in [13, 14, 255] {
        let name: String = "n".repeat(letters);
        let slots = slots(&name, ATTR_ARCHIVE);
        assert_eq!(first_of(&slots), 0, "{letters} letters");
        assert_eq!(first_of(&[three_parts(), slots].concat()), 4);
    }
    // Each leaves the short entry without a long name.
    let broken: [fn(&mut Slots); 5] = [
        |slots| slots[1][0] += 1,
        |slots| slots[2][0] += 1,
        // The checksum (LDIR_Chksum).
        |slots| slots[1][13] ^= 1,
        |slots| slots[0][0] &= !LFN_LAST_ENTRY,
        |slots| slots[0] = [0; ENTRY_SIZE],
    ];
    for (n, change) in broken.iter().enumerate() {
        let mut slots = three_parts();
        change(&mut slots);
        assert_eq!(first_of(&slots), 3, "change {n}");
    }
}

#[test]
fn an_entry_is_found_by_its_long_name_and_its_short_one() {
    let name = "thirty letters and no more too";
    let indexed = |slots: &[Bytes]| {
        let (mut named, mut index) = (Named::new(), Index::new(16).unwrap());
        for (slot, bytes) in slots.iter().enumerate() {
            named.note(slot, &Slot::parse(bytes), &mut index);
        }
        let places = [name, "short.txt", ""].map(|name| {
            let found = index.find(tag(name.encode_utf16()));
            found.collect::<Vec<_>>()
        });
        (places, index.end())
    };
    let none = Vec::new;
    let (places, end) = indexed(&three_parts());
    assert_eq!((places, end), ([vec![0], vec![3], none()], 4));
    let hidden = indexed(&slots(name, ATTR_VOLUME_ID));
    assert_eq!(hidden, ([none(), none(), none()], 4), "a label");
    let mut foreign = three_parts();
    foreign[3] = ShortEntry::new(*b"OTHER      ", ATTR_ARCHIVE).0;
    assert_eq!(indexed(&foreign).0, [none(), none(), none()]);
    // A long name without characters is ignored.
    let mut empty = slots("a", ATTR_ARCHIVE);
    empty[0][1..3].fill(0);
    assert_eq!(indexed(&empty).0, [none(), vec![1], none()]);
}

/// The specification allows a directory 65,536 entries.
#[test]
fn a_directory_may_have_the_largest_size() {
    for (clusters, slots) in [(4095, 65_520), (4096, MAX_SLOTS), (4097, MAX_SLOTS)] {
        let (mut volume, _) = mounted(formatted(FatKind::Fat16), 512);
        let file = volume.open("F", WRITE).unwrap();
        volume.truncate(file, clusters * 512).unwrap();
        let read = Directory::read(2, &volume.geometry(), &mut volume.cache);
        let directory = read.unwrap().unwrap();
        assert!(!directory.damaged, "{clusters} clusters");
        assert_eq!(directory.index.len(), slots);
    }
}

#[test]
fn a_directory_may_grow_unless_its_size_is_fixed_or_the_largest() {
    for kind in [FatKind::Fat16, FatKind::Fat32] {
        let geometry = mounted(formatted(kind), 512).0.geometry();
        let may_grow = |first, slots, damaged| {
            let directory = Directory {
                first,
                used: 0,
                damaged,
                chain: Chain::new(first),
                index: Index::new(slots).unwrap(),
            };
            directory.may_grow(&geometry)
        };
        assert!(may_grow(2, 32, false) && may_grow(3, 32, false));
        assert!(!may_grow(3, 32, true), "damaged");
        assert!(!may_grow(0, 32, false), "a root of fixed size");
        // A cluster has 16 slots.
        let most = MAX_SLOTS - 16;
        assert!(may_grow(3, most, false));
        assert!(!may_grow(3, most + 1, false), "it would be too large");
    }
}

#[test]
fn a_cluster_that_is_appended_is_indexed_without_another_reading() {
    let (mut volume, _) = mounted(formatted(FatKind::Fat16), 512);
    volume.mkdir("D").unwrap();
    let geometry = volume.geometry();
    let cache = &mut volume.cache;
    let read = Directory::read(2, &geometry, cache);
    let mut directory = read.unwrap().unwrap();
    assert_eq!((directory.index.len(), directory.index.end()), (16, 2));
    let taken = volume.clusters.take(directory.last_cluster(), 1, cache);
    let cluster = taken.unwrap()[0].start;
    assert_eq!(directory.note_growth(&geometry, cache), Ok(true));
    assert_eq!((directory.index.len(), directory.index.end()), (32, 2));
    let place = directory.place(16).ok();
    assert_eq!(place, geometry.cluster_offset(cluster));
    assert_eq!(directory.place(32), Err(Error::Corrupt));
}
