//! Detection of disks that don't mount as FAT, for the error message.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use crate::bytes::{u16_at, u32_at};
use crate::{Block, Error, MountError};

/// Bytes to read: past the ISO 9660 descriptor at 32 KiB.
const LOOK: usize = 36 << 10;

/// What was detected at the start of a disk.
pub(super) enum Content {
    /// A boot sector that may be FAT.
    MaybeFat,
    /// Not FAT; the text names the format and the remedy.
    Other(String),
}

/// Signatures of formats other than FAT: offset, bytes, and name.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (3, b"EXFAT   ", "an exFAT file system"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"-FVE-FS-", "a BitLocker volume"),
    (0, b"XFSB", "an XFS file system"),
    (0, b"hsqs", "a squashfs file system"),
    (0, b"LUKS\xba\xbe", "a LUKS volume"),
    (
        1024 + 0x38,
        b"\x53\xef",
        "an ext2, ext3 or ext4 file system",
    ),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS file system"),
    (1024, b"\x10\x20\xf5\xf2", "an F2FS file system"),
    (4086, b"SWAPSPACE2", "Linux swap space"),
    (0x8001, b"CD001", "an ISO 9660 file system"),
    (257, b"ustar", "a tar archive"),
];

/// Signatures of disk image formats, for an image that was attached as a raw disk.
const FORMATS: &[(usize, &[u8], &str)] = &[
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "VMDK"),
    (0, b"vhdxfile", "VHDX"),
    (0, b"conectix", "VHD"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"\x7fELF", "ELF"),
];

const MAKE: &str = "make a FAT file system on the whole disk with mkfs.fat";

/// Probes the start of `device` before it is mounted.
pub(super) fn classify(device: &mut dyn Block) -> Result<Content, MountError> {
    let sector = device.sector_size();
    if device.sectors() == 0 {
        let detail = format!("the disk is empty (0 bytes); {MAKE}");
        return Err(MountError::new(Error::Corrupt, detail));
    }
    let sectors = ((LOOK / sector) as u64).min(device.sectors());
    let mut start = vec![0; sectors as usize * sector];
    let read = device.read(0, &mut start);
    read.map_err(|error| MountError::unreadable("the first sectors", error))?;
    Ok(recognise(&start, sector))
}

fn recognise(start: &[u8], sector: usize) -> Content {
    let has = |at: usize, bytes: &[u8]| start.get(at..at + bytes.len()) == Some(bytes);
    if let Some((_, _, name)) = FORMATS.iter().find(|(at, bytes, _)| has(*at, bytes)) {
        return Content::Other(format!(
            "the disk image is a file in {name} format, not a raw one; unpack it or convert it \
            (qemu-img convert -O raw)"
        ));
    }
    let signed = has(510, &[0x55, 0xaa]);
    // A FAT boot sector takes precedence over remains of an older file system further in.
    if signed && looks_like_fat(start) {
        return Content::MaybeFat;
    }
    if has(sector, b"EFI PART") {
        return Content::Other(format!(
            "not a FAT file system: the disk has a GPT partition table: name one of its partitions \
            as DISK/NUMBER, or {MAKE}"
        ));
    }
    if let Some((_, _, name)) = SIGNATURES.iter().find(|(at, bytes, _)| has(*at, bytes)) {
        return Content::Other(format!("not a FAT file system but {name}; {MAKE}"));
    }
    if signed && has_partitions(start) {
        return Content::Other(format!(
            "not a FAT file system: the disk has an MBR partition table: name one of its \
            partitions as DISK/NUMBER, or {MAKE}"
        ));
    }
    if start.iter().all(|byte| *byte == 0) {
        return Content::Other(format!("not a FAT file system: the disk is blank; {MAKE}"));
    }
    if !signed {
        return Content::Other(format!(
            "not a FAT file system: boot sector signature missing; {MAKE}"
        ));
    }
    Content::MaybeFat
}

/// Whether the BIOS parameter block has valid sector and cluster sizes, and a FAT.
fn looks_like_fat(start: &[u8]) -> bool {
    let Some(&[low, high, per_cluster, _, _, fats]) = start.get(11..17) else {
        return false;
    };
    let sector = u16::from_le_bytes([low, high]);
    matches!(sector, 512 | 1024 | 2048 | 4096) && per_cluster.is_power_of_two() && fats != 0
}

/// Whether the four entries of a master boot record are valid: each is unused, or has a valid
/// status, a type and a length; at least one is used.
fn has_partitions(start: &[u8]) -> bool {
    let Some(table) = start.get(446..510) else {
        return false;
    };
    let mut used = 0;
    for entry in table.chunks_exact(16) {
        let (Some(&status), Some(&kind), Some(sectors)) =
            (entry.first(), entry.get(4), entry.get(12..16))
        else {
            return false;
        };
        if status & 0x7f != 0 {
            return false;
        }
        if kind != 0 && sectors.iter().any(|byte| *byte != 0) {
            used += 1;
        }
    }
    used > 0
}

/// Returns the size of the volume in bytes according to the boot sector, to report the missing
/// part.
pub(super) fn claimed_bytes(start: &[u8]) -> Option<u64> {
    let start = start.get(..36)?;
    let sectors = match u16_at(start, 19) {
        0 => u32_at(start, 32),
        short => short.into(),
    };
    Some(u64::from(sectors) * u64::from(u16_at(start, 11)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn described(change: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut start = vec![0; LOOK];
        change(&mut start);
        match recognise(&start, 512) {
            Content::MaybeFat => "maybe FAT".to_string(),
            Content::Other(text) => text,
        }
    }

    fn put(at: usize, bytes: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
        move |start| start[at..at + bytes.len()].copy_from_slice(bytes)
    }

    #[test]
    fn names_what_is_there() {
        assert!(described(|_| {}).contains("blank"));
        assert!(described(put(3, b"NTFS    ")).contains("NTFS"));
        assert!(described(put(3, b"EXFAT   ")).contains("exFAT"));
        assert!(described(put(1080, b"\x53\xef")).contains("ext4"));
        assert!(described(put(512, b"EFI PART")).contains("GPT"));
        assert!(described(put(0, b"QFI\xfb")).contains("qcow2"));
        assert!(described(put(100, b"junk")).contains("signature missing"));
        let mbr = described(|start| {
            start[510..512].copy_from_slice(&[0x55, 0xaa]);
            start[450] = 0x0c;
            start[458] = 1;
        });
        assert!(mbr.contains("MBR"), "{mbr}");
    }

    #[test]
    fn a_fat_boot_sector_wins_over_remains_of_ext4() {
        let found = described(|start| {
            start[510..512].copy_from_slice(&[0x55, 0xaa]);
            start[11..17].copy_from_slice(&[0, 2, 4, 1, 0, 2]);
            start[1080..1082].copy_from_slice(b"\x53\xef");
        });
        assert_eq!(found, "maybe FAT");
    }

    #[test]
    fn every_signature_is_found_at_its_place() {
        for (at, bytes, name) in SIGNATURES {
            let found = described(put(*at, bytes));
            assert!(found.contains(name) && found.contains(MAKE), "{found}");
        }
        for (at, bytes, name) in FORMATS {
            let found = described(put(*at, bytes));
            assert!(
                found.contains(name) && found.contains("qemu-img"),
                "{found}"
            );
        }
        // Not at any other offset.
        for (at, bytes, _) in SIGNATURES {
            let found = described(put(at + 1, bytes));
            assert!(found.contains("boot sector signature missing"), "{found}");
        }
    }

    /// The BIOS parameter block of FAT: sectors per cluster are a power of two, with at least one
    /// table.
    #[test]
    fn a_boot_sector_that_fat_allows_may_be_fat() {
        for (fields, fits) in [
            ([0, 2, 1, 1, 0, 1], true),
            ([0, 16, 128, 1, 0, 2], true),
            ([0, 2, 3, 1, 0, 2], false),
            ([0, 2, 0, 1, 0, 2], false),
            ([0, 2, 4, 1, 0, 0], false),
            ([1, 2, 4, 1, 0, 2], false),
        ] {
            // The other signatures are checked only if the sector can't be FAT.
            let found = described(|start| {
                start[510..512].copy_from_slice(&[0x55, 0xaa]);
                start[11..17].copy_from_slice(&fields);
                start[3..11].copy_from_slice(b"NTFS    ");
            });
            assert_eq!(found == "maybe FAT", fits, "{fields:?}: {found}");
        }
        // Without the signature at its end this is no boot record.
        let found = described(put(11, &[0, 2, 1, 1, 0, 1]));
        assert!(found.contains("boot sector signature missing"));
    }

    /// Four entries of 16 bytes: status, type, and the number of sectors at 0, 4 and 12.
    #[test]
    fn a_partition_table_has_four_entries_that_make_sense() {
        type Entry = (u8, u8, u8);
        let (boot, data, none): (Entry, Entry, Entry) = ((0x80, 7, 1), (0, 0x83, 9), (0, 0, 0));
        for (entries, fits) in [
            ([boot, none, none, none], true),
            ([none, none, none, data], true),
            ([boot, data, data, data], true),
            ([none; 4], false),
            // A type without sectors, sectors without a type, an invalid status.
            ([(0, 7, 0), none, none, none], false),
            ([(0, 0, 1), none, none, none], false),
            ([boot, (1, 7, 1), none, none], false),
            ([boot, none, none, (0x81, 0, 0)], false),
        ] {
            let found = described(|start| {
                start[510..512].copy_from_slice(&[0x55, 0xaa]);
                for (n, (status, kind, sectors)) in entries.into_iter().enumerate() {
                    start[446 + n * 16] = status;
                    start[446 + n * 16 + 4] = kind;
                    start[446 + n * 16 + 13] = sectors;
                }
            });
            assert_eq!(found.contains("MBR"), fits, "{entries:?}: {found}");
        }
        let unsigned = described(put(450, &[7, 0, 0, 0, 0, 0, 0, 0, 1]));
        assert!(unsigned.contains("boot sector signature missing"));
    }

    #[test]
    fn no_more_than_the_start_of_a_disk_is_looked_at() {
        use crate::fake::Disk;
        for sector in [512, 4096] {
            let disk = Disk::new(vec![1; 1 << 20], sector);
            assert!(classify(&mut disk.clone()).is_ok());
            assert_eq!(disk.state().bytes_read, LOOK as u64);
            let disk = Disk::new(vec![1; 2 * sector], sector);
            assert!(classify(&mut disk.clone()).is_ok());
            assert_eq!(disk.state().bytes_read, 2 * sector as u64);
        }
    }

    /// `BPB_TotSec16`, or `BPB_TotSec32` where that is 0, of `BPB_BytsPerSec`.
    #[test]
    fn a_volume_has_the_bytes_that_its_boot_sector_says() {
        let mut start = [0xff; 36];
        start[11..13].copy_from_slice(&[0, 2]);
        start[19..21].copy_from_slice(&[0x40, 0x0b]);
        start[32..36].copy_from_slice(&[0, 0, 2, 1]);
        assert_eq!(claimed_bytes(&start), Some(2880 * 512));
        start[19..21].fill(0);
        assert_eq!(claimed_bytes(&start), Some(0x0102_0000 * 512));
        assert_eq!(claimed_bytes(&start[..35]), None);
    }

    #[test]
    fn short_disks_are_no_trouble() {
        assert!(matches!(recognise(&[1; 512], 512), Content::Other(_)));
        assert_eq!(claimed_bytes(&[0; 20]), None);
    }
}
