//! Finds a file on a disk without firmware for files: GPT, then FAT12 or FAT16, read-only.
//!
//! Sources: UEFI 2.10, 5.3; Microsoft's "FAT: General Overview of On-Disk Format" 1.03. The disk is
//! untrusted: each loop ends by the volume's or the file's own checked size.

use core::fmt;

/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// Sectors that one read may have.
pub const MAX_READ: usize = 64;

/// Clusters of a folder that are searched.
const MAX_FOLDER: u32 = 64;

/// A disk of sectors of 512 bytes.
pub trait Disk {
    /// Fills `to`, whole sectors and at most [`MAX_READ`], from sector `first` on.
    fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), Error>;
}

/// Why a file can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The disk reports an error, with the BIOS's code.
    Read(u8),
    /// No GPT with an EFI system partition.
    NoPartition,
    /// The partition isn't FAT12 or FAT16 with sectors of 512 bytes.
    NotFat,
    /// The chain of clusters leaves the volume, or ends before the file.
    Chain,
    /// There is no such file or folder.
    NotFound,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(code) => write!(f, "the disk can't be read (BIOS error {code:#x})"),
            Self::NoPartition => f.write_str("the disk has no EFI system partition"),
            Self::NotFat => f.write_str("the EFI system partition isn't FAT12 or FAT16"),
            Self::Chain => f.write_str("the FAT is damaged"),
            Self::NotFound => f.write_str("not found"),
        }
    }
}

/// The type of an EFI system partition, as GPT stores it.
const ESP: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];

/// A file: its first cluster and its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    first: u32,
    /// Length in bytes, as the directory says.
    pub len: u32,
}

/// A FAT volume.
#[derive(Debug)]
pub struct Volume<D> {
    disk: D,
    /// First sectors: of the table, of the root directory, of cluster 2.
    table: u64,
    root: u64,
    data: u64,
    root_sectors: u32,
    cluster: u32,
    clusters: u32,
    /// The table's sector in `cached`; `u64::MAX` at first.
    cached_at: u64,
    cached: [u8; SECTOR],
}

impl<D: Disk> Volume<D> {
    /// Opens the first EFI system partition.
    pub fn open(mut disk: D) -> Result<Self, Error> {
        let mut sector = [0; SECTOR];
        disk.read(1, &mut sector)?;
        if !sector.starts_with(b"EFI PART") || word(&sector, 84) != 128 {
            return Err(Error::NoPartition);
        }
        let (table, count) = (long(&sector, 72), word(&sector, 80).min(128));
        let mut start = None;
        for at in 0..u64::from(count.div_ceil(4)) {
            let place = table.checked_add(at).ok_or(Error::NoPartition)?;
            disk.read(place, &mut sector)?;
            let found = sector.chunks_exact(128).find(|entry| entry[..16] == ESP);
            if let Some(entry) = found {
                start = Some(long(entry, 32));
                break;
            }
        }
        let start = start
            .filter(|start| *start < 1 << 48)
            .ok_or(Error::NoPartition)?;
        disk.read(start, &mut sector)?;
        Self::from_boot_sector(disk, start, &sector)
    }

    fn from_boot_sector(disk: D, start: u64, sector: &[u8; SECTOR]) -> Result<Self, Error> {
        let short = |at| u32::from(u16::from_le_bytes([sector[at], sector[at + 1]]));
        let (cluster, tables) = (u32::from(sector[13]), u32::from(sector[16]));
        let (reserved, table_len) = (short(14), short(22));
        let total = match short(19) {
            0 => word(sector, 32),
            total => total,
        };
        let root_sectors = short(17).div_ceil(16);
        let before = reserved + tables * table_len + root_sectors;
        let signed = sector[510..] == [0x55, 0xaa] && short(11) == SECTOR as u32;
        let clusters = total
            .checked_sub(before)
            .filter(|_| signed && cluster.is_power_of_two() && table_len > 0 && tables > 0)
            .map(|rest| rest / cluster)
            .filter(|clusters| *clusters < 65525)
            .ok_or(Error::NotFat)?;
        Ok(Self {
            disk,
            table: start + u64::from(reserved),
            root: start + u64::from(reserved + tables * table_len),
            data: start + u64::from(before),
            root_sectors,
            cluster,
            clusters,
            cached_at: u64::MAX,
            cached: [0; SECTOR],
        })
    }

    /// Finds a file by the short names of its folder and its own, padded as in a directory.
    pub fn find(&mut self, folder: &[u8; 11], name: &[u8; 11]) -> Result<File, Error> {
        let mut sector = [0; SECTOR];
        let mut found = None;
        for at in 0..u64::from(self.root_sectors) {
            self.disk.read(self.root + at, &mut sector)?;
            found = entry(&sector, folder, true);
            if found.is_some() {
                break;
            }
        }
        let mut cluster = found.ok_or(Error::NotFound)?.first;
        for _ in 0..self.clusters.min(MAX_FOLDER) {
            let first = self.sector(cluster)?;
            for at in 0..u64::from(self.cluster) {
                self.disk.read(first + at, &mut sector)?;
                if let Some(file) = entry(&sector, name, false) {
                    return Ok(file);
                }
            }
            match self.next(cluster)? {
                Some(next) => cluster = next,
                None => return Err(Error::NotFound),
            }
        }
        Err(Error::Chain)
    }

    /// Reads a file. `to` has its length, rounded up to whole sectors.
    pub fn read(&mut self, file: File, to: &mut [u8]) -> Result<(), Error> {
        let (mut done, mut cluster) = (0, Some(file.first));
        while done < to.len() {
            let start = cluster.ok_or(Error::Chain)?;
            let first = self.sector(start)?;
            // As many clusters as follow each other.
            let (mut last, mut sectors) = (start, self.cluster as usize);
            cluster = self.next(last)?;
            while cluster == Some(last + 1) && sectors * SECTOR < to.len() - done {
                last += 1;
                sectors += self.cluster as usize;
                cluster = self.next(last)?;
            }
            let len = (sectors * SECTOR).min(to.len() - done);
            for (at, part) in to[done..done + len]
                .chunks_mut(MAX_READ * SECTOR)
                .enumerate()
            {
                self.disk.read(first + (at * MAX_READ) as u64, part)?;
            }
            done += len;
        }
        Ok(())
    }

    fn sector(&self, cluster: u32) -> Result<u64, Error> {
        let index = cluster.checked_sub(2).filter(|at| *at < self.clusters);
        let index = index.ok_or(Error::Chain)?;
        Ok(self.data + u64::from(index) * u64::from(self.cluster))
    }

    /// The cluster behind `cluster`; `None` at the end of a chain.
    fn next(&mut self, cluster: u32) -> Result<Option<u32>, Error> {
        let twelve = self.clusters < 4085;
        let offset = if twelve {
            cluster + cluster / 2
        } else {
            cluster * 2
        };
        let pair = [self.table_byte(offset)?, self.table_byte(offset + 1)?];
        let mut value = u32::from(u16::from_le_bytes(pair));
        let mut end = 0xfff8;
        if twelve {
            value = if cluster % 2 == 1 {
                value >> 4
            } else {
                value & 0xfff
            };
            end = 0xff8;
        }
        if value >= end {
            return Ok(None);
        }
        self.sector(value).map(|_| Some(value))
    }

    fn table_byte(&mut self, offset: u32) -> Result<u8, Error> {
        let at = self.table + u64::from(offset) / SECTOR as u64;
        if at != self.cached_at {
            self.cached_at = u64::MAX;
            self.disk.read(at, &mut self.cached)?;
            self.cached_at = at;
        }
        Ok(self.cached[offset as usize % SECTOR])
    }
}

fn entry(sector: &[u8; SECTOR], name: &[u8; 11], folder: bool) -> Option<File> {
    // Neither a volume's label nor a part of a long name.
    let wanted = |entry: &&[u8]| {
        entry[..11] == *name && entry[11] & 8 == 0 && (entry[11] & 16 != 0) == folder
    };
    let entry = sector.chunks_exact(32).find(wanted)?;
    Some(File {
        first: u32::from(u16::from_le_bytes([entry[26], entry[27]])),
        len: word(entry, 28),
    })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::{Disk, ESP, Error, File, SECTOR, Volume};
    use proptest::prelude::{any, proptest};

    /// A disk in memory, with a limit on reads: a loop without end fails.
    #[derive(Debug)]
    struct Fake(Vec<u8>, usize);

    impl Disk for Fake {
        fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), Error> {
            self.1 = self.1.checked_sub(1).expect("too many reads");
            let start = usize::try_from(first)
                .ok()
                .and_then(|at| at.checked_mul(SECTOR));
            let range = start.and_then(|at| self.0.get(at..)?.get(..to.len()));
            to.copy_from_slice(range.ok_or(Error::Read(4))?);
            Ok(())
        }
    }

    const VOLUME: usize = 4 * SECTOR;

    /// A disk with a GPT, and at sector 4 a FAT12 volume: table, root directory, 20 clusters of a
    /// sector. The folder is cluster 2, the file of 1200 bytes clusters 3, 5 and 6.
    fn disk() -> Vec<u8> {
        let mut disk = vec![0; 27 * SECTOR];
        let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
        put(SECTOR, b"EFI PART");
        put(SECTOR + 72, &[2]);
        put(SECTOR + 80, &[4, 0, 0, 0, 128]);
        put(2 * SECTOR + 128, &ESP);
        put(2 * SECTOR + 160, &[4]);
        put(VOLUME + 11, &[0, 2, 1, 1, 0, 1, 16, 0, 23, 0, 0, 1, 0]);
        put(VOLUME + 510, &[0x55, 0xaa]);
        // 2: end, 3: 5, 4: free, 5: 6, 6: end.
        put(
            VOLUME + SECTOR,
            &[0xf8, 0xff, 0xff, 0xff, 0x5f, 0, 0, 0x60, 0, 0xff, 0x0f],
        );
        put(VOLUME + 2 * SECTOR, b"SOIL       \x10");
        put(VOLUME + 2 * SECTOR + 26, &[2]);
        put(VOLUME + 3 * SECTOR, b"IMAGE   ELF\x20");
        put(VOLUME + 3 * SECTOR + 26, &[3, 0, 0xb0, 4]);
        for (cluster, byte) in [(3, b'a'), (5, b'b'), (6, b'c')] {
            put(VOLUME + (cluster + 1) * SECTOR, &[byte; SECTOR]);
        }
        disk
    }

    fn contents(disk: Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut volume = Volume::open(Fake(disk, 200))?;
        let file = volume.find(b"SOIL       ", b"IMAGE   ELF")?;
        let mut to = vec![0; (file.len as usize).next_multiple_of(SECTOR).min(1 << 16)];
        volume.read(file, &mut to)?;
        Ok(to)
    }

    fn with(at: usize, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut disk = disk();
        disk[at..at + bytes.len()].copy_from_slice(bytes);
        contents(disk)
    }

    #[test]
    fn reads_a_file_in_pieces() {
        let expected = [[b'a'; SECTOR], [b'b'; SECTOR], [b'c'; SECTOR]].concat();
        assert_eq!(contents(disk()), Ok(expected));
    }

    #[test]
    fn reads_sixteen_bits() {
        let disk = Fake([0, 0, 0, 0, 0x34, 0x02, 0xf8, 0xff].repeat(128), 9);
        let mut volume = Volume {
            disk,
            table: 0,
            root: 0,
            data: 0,
            root_sectors: 0,
            cluster: 1,
            clusters: 5000,
            cached_at: u64::MAX,
            cached: [0; SECTOR],
        };
        assert_eq!(volume.next(2), Ok(Some(0x234)));
        assert_eq!(volume.next(3), Ok(None));
        assert_eq!(volume.next(4), Err(Error::Chain));
    }

    #[test]
    fn refuses_a_damaged_chain() {
        let table = VOLUME + SECTOR;
        // Cluster 3 leads to 0, to one behind the volume, to the end; the file to itself.
        assert_eq!(with(table + 4, &[0x0f]), Err(Error::Chain));
        assert_eq!(with(table + 4, &[0xff, 0x0e]), Err(Error::Chain));
        assert_eq!(with(table + 4, &[0xff, 0xff]), Err(Error::Chain));
        assert_eq!(with(VOLUME + 3 * SECTOR + 26, &[1]), Err(Error::Chain));
        assert_eq!(with(VOLUME + 3 * SECTOR + 26, &[22]), Err(Error::Chain));
        // A folder that is a ring, without the file.
        let mut ring = disk();
        ring[table + 3..table + 5].copy_from_slice(&[2, 0x50]);
        ring[VOLUME + 3 * SECTOR] = b'X';
        assert_eq!(contents(ring), Err(Error::Chain));
    }

    #[test]
    fn names_what_is_missing() {
        assert_eq!(with(SECTOR, b"X"), Err(Error::NoPartition));
        assert_eq!(with(2 * SECTOR + 128, &[0]), Err(Error::NoPartition));
        assert_eq!(with(SECTOR + 72, &[0xff; 8]), Err(Error::Read(4)));
        assert_eq!(with(2 * SECTOR + 160, &[0xff; 8]), Err(Error::NoPartition));
        for (at, byte) in [
            (510, 0),
            (12, 4),
            (13, 3),
            (13, 0),
            (16, 0),
            (19, 1),
            (22, 0),
        ] {
            assert_eq!(with(VOLUME + at, &[byte]), Err(Error::NotFat), "{at}");
        }
        assert_eq!(with(VOLUME + 2 * SECTOR, b"X"), Err(Error::NotFound));
        assert_eq!(with(VOLUME + 2 * SECTOR + 11, &[0]), Err(Error::NotFound));
        assert_eq!(with(VOLUME + 3 * SECTOR, b"X"), Err(Error::NotFound));
    }

    #[test]
    fn an_empty_file_has_no_cluster() {
        let mut volume = Volume::open(Fake(disk(), 9)).unwrap();
        assert_eq!(volume.read(File { first: 0, len: 0 }, &mut []), Ok(()));
    }

    proptest! {
        #[test]
        fn any_change_ends(
            changes in proptest::collection::vec((512usize..7 * 512, any::<u8>()), 0..30)
        ) {
            let mut disk = disk();
            for (at, byte) in changes {
                disk[at] = byte;
            }
            // The root directory's 4096 sectors, and a folder's clusters of at most 128.
            if let Ok(mut volume) = Volume::open(Fake(disk, 13_000)) {
                let _ = volume.find(b"SOIL       ", b"IMAGE   ELF");
            }
        }
    }
}
