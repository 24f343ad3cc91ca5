//! Tables made by sfdisk, sgdisk and parted (`tests/tables`), and their damage.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::{Partition, Scheme, Slice, Table, open, table};
use crate::fake::{Disk, Event};
use crate::{Block, BlockError, Error};
use crc::{CRC_32_ISO_HDLC, Crc};

const MIB: u64 = 1 << 20;

macro_rules! text {
    ($name:literal) => {
        include_str!(concat!("../../tests/tables/", $name, ".txt"))
    };
}

macro_rules! image {
    ($name:literal) => {
        image(text!($name))
    };
}

pub(super) const ALL: [&str; 8] = [
    text!("sgdisk"),
    text!("sfdisk-gpt"),
    text!("parted-gpt"),
    text!("parted-gpt-4096"),
    text!("sfdisk-mbr"),
    text!("parted-mbr"),
    text!("sgdisk-grown"),
    text!("sgdisk-hybrid"),
];

/// Decodes an image from its sectors in hexadecimal.
pub(super) fn image(text: &str) -> (Vec<u8>, usize) {
    let mut lines = text.lines().map(|line| line.split_once(' ').unwrap());
    let (size, count) = lines.next().unwrap();
    let size: usize = size.parse().unwrap();
    let mut bytes = vec![0; count.parse::<usize>().unwrap() * size];
    for (sector, digits) in lines {
        let at = sector.parse::<usize>().unwrap() * size;
        for n in 0..digits.len() / 2 {
            bytes[at + n] = u8::from_str_radix(&digits[n * 2..n * 2 + 2], 16).unwrap();
        }
    }
    (bytes, size)
}

/// Returns the offsets of the nonzero bytes of such an image.
pub(super) fn places(text: &str, sector: usize) -> Vec<usize> {
    let lines = text
        .lines()
        .skip(1)
        .map(|line| line.split_once(' ').unwrap());
    let ranges = lines.map(|(n, digits)| (n.parse::<usize>().unwrap() * sector, digits.len() / 2));
    ranges.flat_map(|(at, len)| at..at + len).collect()
}

fn read((bytes, sector): &(Vec<u8>, usize)) -> Table {
    table(&mut Disk::new(bytes.clone(), *sector)).unwrap()
}

/// Numbers, first MiB, MiB and labels.
fn listed(table: &Table, sector: u64) -> Vec<(u32, u64, u64, &str)> {
    table
        .partitions
        .iter()
        .map(|p| {
            (
                p.number,
                p.first * sector / MIB,
                p.sectors * sector / MIB,
                p.label.as_str(),
            )
        })
        .collect()
}

#[test]
fn gpts_of_several_tools_are_read() {
    let found = read(&image!("sgdisk"));
    assert_eq!((found.scheme, found.warnings.len()), (Scheme::Gpt, 0));
    assert_eq!(
        listed(&found, 512),
        [
            (1, 1, 8, "boot"),
            (2, 9, 16, "Daten über 日本"),
            (7, 25, 38, "data")
        ]
    );
    let found = read(&image!("sfdisk-gpt"));
    assert_eq!(
        listed(&found, 512)[..2],
        [(1, 1, 8, "first"), (2, 9, 20, "zweite Übung")]
    );
    let found = read(&image!("parted-gpt"));
    assert_eq!(listed(&found, 512), [(1, 1, 19, "one"), (2, 20, 43, "two")]);
    let found = read(&image!("parted-gpt-4096"));
    assert_eq!(
        listed(&found, 4096),
        [(1, 1, 19, "large"), (2, 20, 43, "rest")]
    );
    let found = read(&image!("sgdisk-hybrid"));
    assert_eq!((found.scheme, found.partitions.len()), (Scheme::Gpt, 2));
}

#[test]
fn mbrs_and_their_logical_partitions_are_read() {
    let found = read(&image!("sfdisk-mbr"));
    assert_eq!((found.scheme, found.warnings.len()), (Scheme::Mbr, 0));
    assert_eq!(
        listed(&found, 512),
        [
            (1, 1, 8, ""),
            (2, 9, 8, ""),
            (4, 49, 8, ""),
            (5, 18, 4, ""),
            (6, 23, 6, ""),
            (7, 30, 8, "")
        ]
    );
    let found = read(&image!("parted-mbr"));
    let numbers: Vec<u32> = found.partitions.iter().map(|p| p.number).collect();
    assert_eq!(numbers, [1, 5, 6, 7]);
}

#[test]
fn partitions_are_found_by_number_and_by_label() {
    let found = read(&image!("sgdisk"));
    assert_eq!(
        found.find("2").unwrap().first,
        found.find("Daten über 日本").unwrap().first
    );
    assert_eq!(found.find("7").unwrap(), found.find("data").unwrap());
    for missing in ["3", "0", "Data", "", "99999999999"] {
        let refused = found.find(missing).unwrap_err();
        assert_eq!(refused.error, Error::NotFound, "{missing}");
        assert!(
            refused.detail.contains("7 (\"data\")"),
            "{}",
            refused.detail
        );
    }
    let refused = read(&(vec![0; 4096], 512)).find("1").unwrap_err();
    assert!(refused.detail.contains("no partition table"));
    let mut twice = found.clone();
    twice.partitions[0].label = "data".to_string();
    let refused = twice.find("data").unwrap_err();
    assert!(
        refused.detail.contains("by its number"),
        "{}",
        refused.detail
    );
}

#[test]
fn a_damaged_first_copy_gives_way_to_the_second_with_a_warning() {
    let good = image!("sgdisk");
    let expected = read(&good).partitions;
    // Signature, CRC of the header, a field under it, the array, and the whole header.
    for (at, len) in [
        (512, 1),
        (512 + 16, 4),
        (512 + 72, 1),
        (1024 + 130, 1),
        (512, 512),
    ] {
        let mut bytes = good.0.clone();
        bytes[at..at + len]
            .iter_mut()
            .for_each(|byte| *byte ^= 0x40);
        let found = read(&(bytes, 512));
        assert_eq!(found.partitions, expected, "byte {at}");
        assert!(
            found.warnings[0].contains("first copy"),
            "{:?}",
            found.warnings
        );
    }
}

#[test]
fn a_header_that_belongs_to_another_sector_is_damage() {
    let good = image!("sgdisk");
    let mut bytes = good.0.clone();
    let last = bytes.len() - 512;
    bytes.copy_within(last.., 512);
    let found = read(&(bytes, 512));
    assert_eq!(found.partitions, read(&good).partitions);
    let warning = &found.warnings[0];
    assert!(warning.contains("another sector"), "{warning}");
}

#[test]
fn a_damaged_second_copy_is_a_warning_only() {
    let good = image!("sgdisk");
    let last = good.0.len() - 512;
    for at in [last, last + 17, last - 512 * 32] {
        let mut bytes = good.0.clone();
        bytes[at] ^= 1;
        let found = read(&(bytes, 512));
        assert_eq!(found.partitions.len(), 3);
        assert!(
            found.warnings[0].contains("second copy"),
            "{:?}",
            found.warnings
        );
    }
    let grown = read(&image!("sgdisk-grown"));
    assert!(
        grown.warnings[0].contains("sfdisk --relocate"),
        "{:?}",
        grown.warnings
    );
}

#[test]
fn two_damaged_copies_are_refused() {
    let mut bytes = image!("sgdisk").0;
    let last = bytes.len() - 512;
    bytes[512 + 40] ^= 1;
    bytes[last + 40] ^= 1;
    let refused = table(&mut Disk::new(bytes, 512)).unwrap_err();
    assert_eq!(refused.error, Error::Corrupt);
    assert!(refused.detail.contains("both copies"), "{}", refused.detail);
}

#[test]
fn a_table_for_other_sectors_says_so() {
    for ((bytes, _), sector, named) in [
        (image!("sgdisk"), 4096, "512"),
        (image!("parted-gpt-4096"), 512, "4096"),
    ] {
        let refused = table(&mut Disk::new(bytes, sector)).unwrap_err();
        let expected = ["sectors of ", named, " bytes, but"].concat();
        assert!(refused.detail.contains(&expected), "{}", refused.detail);
    }
}

#[test]
fn an_image_cut_short_is_named_when_the_partition_is_taken() {
    let mut bytes = image!("sgdisk").0;
    bytes.truncate(30 << 20);
    let found = read(&(bytes, 512));
    assert!(found.find("boot").is_ok());
    let refused = found.find("data").unwrap_err();
    assert!(refused.detail.contains("cut short"), "{}", refused.detail);
}

#[test]
fn a_partition_may_end_where_the_disk_does() {
    let (mut bytes, sector) = image!("sfdisk-mbr");
    let end = read(&(bytes.clone(), sector)).find("4").unwrap().end();
    bytes.truncate(end as usize * sector);
    assert!(read(&(bytes.clone(), sector)).find("4").is_ok());
    bytes.truncate((end as usize - 1) * sector);
    assert!(read(&(bytes, sector)).find("4").is_err());
}

#[test]
fn what_there_is_is_said_in_a_few_words() {
    let table = |scheme, count: u32| {
        let partition = |number| Partition {
            number,
            first: u64::from(number),
            sectors: 1,
            label: if number == 2 { "two" } else { "" }.to_string(),
            guid: None,
        };
        let table = Table {
            scheme,
            partitions: (1..=count).map(partition).collect(),
            warnings: Vec::new(),
            is_disk_larger: false,
            disk: 100,
        };
        table.find("none").unwrap_err().detail
    };
    let start = "no partition \"none\": the disk's";
    let cases = [
        (Scheme::Mbr, 0, "MBR has no partitions"),
        (Scheme::Gpt, 1, "GPT has 1"),
        (Scheme::Gpt, 3, "GPT has 1, 2 (\"two\"), 3"),
    ];
    for (scheme, count, expected) in cases {
        assert_eq!(table(scheme, count), format!("{start} {expected}"));
    }
    assert!(table(Scheme::Gpt, 16).ends_with("15, 16"));
    assert!(table(Scheme::Gpt, 17).ends_with("15, 16 and more"));
}

/// Stores a number in the first GPT header, and corrects its CRC.
fn set_header(bytes: &mut [u8], at: usize, value: u64, len: usize) {
    bytes[512 + at..512 + at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    sign(bytes, 512);
}

#[test]
fn entries_have_a_size_that_can_be() {
    const ENTRIES: usize = 80;
    const ENTRY: usize = 84;
    for (at, value) in [(ENTRY, 64), (ENTRY, 192), (ENTRY, 0), (ENTRIES, 2049)] {
        let mut bytes = image!("sgdisk").0;
        set_header(&mut bytes, at, value, 4);
        let found = read(&(bytes, 512));
        assert_eq!(found.partitions.len(), 3, "those of the second copy");
        let warning = &found.warnings[0];
        assert!(
            warning.contains("the size of its entries"),
            "{value}: {warning}"
        );
    }
    let mut bytes = image!("sgdisk").0;
    set_header(&mut bytes, ENTRIES, 2048, 4);
    let found = read(&(bytes, 512));
    assert!(found.warnings.is_empty(), "256 KiB: {:?}", found.warnings);
    assert_eq!(found.partitions.len(), 3);
}

#[test]
fn entries_lie_on_the_disk() {
    let sectors = (image!("sgdisk").0.len() / 512) as u64;
    for (start, inside) in [
        (sectors - 32, true),
        (sectors - 31, false),
        (u64::MAX, false),
    ] {
        let mut bytes = image!("sgdisk").0;
        set_header(&mut bytes, 72, start, 8);
        let found = read(&(bytes, 512));
        let outside = |text: &String| text.contains("its entries are outside the disk");
        assert_eq!(found.warnings.iter().any(outside), !inside, "at {start}");
    }
}

#[test]
fn a_second_copy_is_read_from_its_recorded_place_and_the_end() {
    // The first copy's entries are damaged, and its header points elsewhere.
    for alternate in [0, 5000, u64::MAX] {
        let mut bytes = image!("sgdisk").0;
        set_header(&mut bytes, 32, alternate, 8);
        let found = read(&(bytes.clone(), 512));
        let warning = &found.warnings[0];
        let why = if alternate == 5000 {
            "no signature"
        } else {
            "outside the disk"
        };
        assert!(warning.contains(why), "{warning}");
        bytes[1024 + 130] ^= 1;
        let found = read(&(bytes, 512));
        assert_eq!(found.partitions.len(), 3);
        let warning = &found.warnings[0];
        assert!(warning.contains("the CRC of its entries"), "{warning}");
    }
}

#[test]
fn a_boot_sector_of_fat_is_no_table_of_partitions() {
    let mut fat = image!("sfdisk-mbr").0;
    fat[0] = 0xeb;
    fat[11..17].copy_from_slice(&[0, 2, 4, 1, 0, 2]);
    let scheme = |bytes: &[u8]| read(&(bytes.to_vec(), 512)).scheme;
    assert_eq!(scheme(&fat), Scheme::Whole);
    // A jump, a sector's size, clusters and tables: without one of them it is code.
    for (at, value) in [(0, 0xfa), (12, 3), (13, 3), (16, 0)] {
        let mut other = fat.clone();
        other[at] = value;
        assert_eq!(scheme(&other), Scheme::Mbr, "byte {at}");
    }
}

#[test]
fn entries_without_a_type_or_a_size_are_not_used() {
    let mut bytes = image!("sfdisk-mbr").0;
    bytes[446 + 4] = 0;
    bytes[446 + 16 + 12..446 + 16 + 16].fill(0);
    let numbers = read(&(bytes, 512)).partitions;
    let numbers: Vec<u32> = numbers.iter().map(|partition| partition.number).collect();
    assert_eq!(numbers, [4, 5, 6, 7]);
}

#[test]
fn a_slice_is_as_its_disk() {
    let disk = Disk::new(vec![0; 64 * 2048], 2048);
    let mut slice = Slice::new(disk.clone(), 8, 16);
    assert_eq!((slice.sector_size(), slice.sectors()), (2048, 16));
    assert!(!slice.read_only() && !slice.is_unresponsive());
    disk.state().log = Some(Vec::new());
    slice.flush_unordered().unwrap();
    slice.flush().unwrap();
    let log = disk.state().log.take();
    assert_eq!(log, Some(vec![Event::FlushUnordered, Event::Flush]));
    disk.state().away = true;
    disk.state().read_only = true;
    assert!(slice.read_only() && slice.is_unresponsive());
}

#[test]
fn overlapping_partitions_are_refused() {
    let mut bytes = image!("sfdisk-mbr").0;
    bytes[446 + 16 + 8] = 0; // the second one's start, 0x4800, becomes 0x4000
    bytes[446 + 16 + 9] = 0x40;
    let refused = read(&(bytes, 512)).find("2").unwrap_err();
    assert!(refused.detail.contains("1 overlap"), "{}", refused.detail);
}

#[test]
fn a_gpt_without_its_protective_mbr_is_taken_with_a_warning() {
    let mut bytes = image!("sgdisk").0;
    bytes[..512].fill(0);
    let found = read(&(bytes, 512));
    assert_eq!(found.partitions.len(), 3);
    assert!(
        found.warnings[0].contains("protective"),
        "{:?}",
        found.warnings
    );
}

#[test]
fn a_file_system_on_the_whole_disk_is_no_table() {
    let mut fat = image!("sgdisk").0; // remains of an older table
    fat[..512].fill(0);
    fat[0] = 0xeb;
    fat[11..17].copy_from_slice(&[0, 2, 4, 1, 0, 2]);
    fat[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut text = vec![0; 4096];
    text[446..510].fill(b'x');
    text[510..512].copy_from_slice(&[0x55, 0xaa]);
    for bytes in [fat, text, vec![0; 4096], vec![]] {
        let found = read(&(bytes, 512));
        assert_eq!((found.scheme, found.partitions.len()), (Scheme::Whole, 0));
    }
}

/// Returns the sectors of the records of logical partitions in `sfdisk-mbr`.
fn records(bytes: &[u8]) -> Vec<usize> {
    let signed = |n: &usize| bytes[n * 512 + 510..n * 512 + 512] == [0x55, 0xaa];
    (1..bytes.len() / 512).filter(signed).collect()
}

#[test]
fn chains_that_loop_or_lead_nowhere_end() {
    let good = image!("sfdisk-mbr").0;
    let records = records(&good);
    assert_eq!(records.len(), 3);
    let next = |n: usize| records[n] * 512 + 446 + 16 + 8;
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let found = read(&(bytes, 512));
        (found.partitions.len(), found.warnings.concat())
    };
    let (count, text) = damaged(&|bytes| bytes[next(1)..next(1) + 4].fill(0));
    assert!(count == 5 && text.contains("leads back"), "{count} {text}");
    let (count, text) = damaged(&|bytes| bytes[next(1) + 3] = 0x7f);
    assert!(count == 5 && text.contains("outside"), "{count} {text}");
    let (count, text) = damaged(&|bytes| bytes[records[2] * 512 + 510] = 0);
    assert!(count == 5 && text.contains("no record"), "{count} {text}");
}

#[test]
fn a_chain_without_an_end_is_cut() {
    let mut bytes = vec![0; 512 * 4000];
    let entry = |bytes: &mut [u8], at: usize, kind: u8, first: u32, sectors: u32| {
        bytes[at + 4] = kind;
        bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    };
    entry(&mut bytes, 446, 5, 1, 3999);
    for n in 0..1000 {
        let at = n * 512;
        bytes[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
        if n > 0 {
            entry(&mut bytes, at + 446, 0x83, 2000, 1);
            entry(&mut bytes, at + 462, 5, n as u32, 1);
        }
    }
    let found = read(&(bytes, 512));
    assert_eq!(found.partitions.len(), 128);
    assert!(
        found.warnings[0].contains("more than 128"),
        "{:?}",
        found.warnings
    );
}

#[test]
fn a_disk_that_fails_is_an_error_or_the_other_copy() {
    for n in 1..=3 {
        let disk = Disk::new(image!("sgdisk").0, 512);
        disk.state().fail_read = Some(n);
        match table(&mut disk.clone()) {
            Ok(found) => assert_eq!((n > 1, found.partitions.len()), (true, 3)),
            Err(refused) => assert_eq!((n, refused.error), (1, Error::Io)),
        }
    }
}

#[test]
fn a_slice_reaches_its_own_sectors_only() {
    let disk = Disk::zeroed(64 * 512);
    let mut slice = Slice::new(disk.clone(), 8, 16);
    slice.write(0, &[1; 512]).unwrap();
    slice
        .write_batch(&[(14, &[2; 1024]), (1, &[3; 512])])
        .unwrap();
    slice.flush().unwrap();
    let bytes = disk.bytes();
    assert_eq!(
        (
            bytes[8 * 512],
            bytes[9 * 512],
            bytes[22 * 512],
            bytes[23 * 512]
        ),
        (1, 3, 2, 2)
    );
    assert_eq!(disk.state().flushes, 1);
    let mut two = [0; 1024];
    assert_eq!(slice.read(14, &mut two), Ok(()));
    assert_eq!(two, [2; 1024]);
    for (sector, len) in [
        (15, 1024),
        (16, 512),
        (u64::MAX, 512),
        (0, 100),
        (0, 17 * 512),
    ] {
        assert_eq!(
            slice.read(sector, &mut vec![0; len]),
            Err(BlockError::OutOfRange)
        );
        assert_eq!(
            slice.write(sector, &vec![9; len]),
            Err(BlockError::OutOfRange)
        );
        let batch: [(u64, &[u8]); 2] = [(0, &[9; 512]), (sector, &vec![9; len])];
        assert_eq!(slice.write_batch(&batch), Err(BlockError::OutOfRange));
    }
    assert_eq!(disk.bytes(), bytes);
    assert_eq!(Slice::new(disk.clone(), 60, 16).sectors(), 4);
    assert_eq!(Slice::new(disk, 100, 16).sectors(), 0);
}

#[test]
fn a_partition_opens_as_a_disk() {
    let (bytes, sector) = image!("sgdisk");
    let disk = Disk::new(bytes, sector);
    let mut slice = open(Box::new(disk.clone()), "data").unwrap();
    slice.write(0, &[7; 512]).unwrap();
    assert_eq!(disk.bytes()[25 << 20], 7);
    assert_eq!(slice.sectors(), 38 * 2048 + (64 * 2048 - 33 - 63 * 2048));
}

#[test]
fn labels_are_utf_16_up_to_the_first_zero() {
    let (mut bytes, sector) = image!("sgdisk");
    let name = 2 * sector + 56;
    for (label, units) in [
        ("a😀b", &[0x61, 0xd83d, 0xde00, 0x62, 0, 0x63][..]),
        ("\u{fffd}x", &[0xdc00, 0x78, 0]),
        (&"é".repeat(36), &[0xe9; 36]),
    ] {
        for (n, unit) in units.iter().enumerate() {
            bytes[name + n * 2..name + n * 2 + 2].copy_from_slice(&u16::to_le_bytes(*unit));
        }
        sign(&mut bytes, sector);
        let found = read(&(bytes.clone(), sector));
        assert_eq!(found.partitions[0].label, label);
    }
}

/// Corrects the CRCs of both headers and of their arrays.
pub(super) fn sign(bytes: &mut [u8], sector: usize) {
    let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    let word = |bytes: &[u8], at: usize, len: usize| -> usize {
        bytes[at..at + len]
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | usize::from(*byte))
    };
    for at in [sector, bytes.len() - sector] {
        let start = word(bytes, at + 72, 8).saturating_mul(sector);
        let len = word(bytes, at + 80, 4).saturating_mul(word(bytes, at + 84, 4));
        if let Some(array) = start.checked_add(len).and_then(|end| bytes.get(start..end)) {
            let sum = crc.checksum(array).to_le_bytes();
            bytes[at + 88..at + 92].copy_from_slice(&sum);
        }
        let size = word(bytes, at + 12, 4);
        bytes[at + 16..at + 20].fill(0);
        if let Some(header) = bytes.get(at..at.saturating_add(size)) {
            let sum = crc.checksum(header).to_le_bytes();
            bytes[at + 16..at + 20].copy_from_slice(&sum);
        }
    }
}
