//! Independent reader that follows only the specification, and shares no code with the volume, to
//! verify the contents of a disk.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Contents of each file by path, and `None` for a directory.
pub(in super::super) type Tree = BTreeMap<String, Option<Vec<u8>>>;

fn number(bytes: &[u8], at: usize, len: usize) -> usize {
    let bytes = bytes[at..at + len].iter().rev();
    bytes.fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

struct Image<'a> {
    bytes: &'a [u8],
    /// Bits of a table entry, by the number of clusters ("FAT Type Determination").
    bits: usize,
    /// Copies of the table.
    tables: Vec<&'a [u8]>,
    root: &'a [u8],
    data: &'a [u8],
    /// Bytes in a cluster.
    unit: usize,
    /// Used clusters; the first two numbers never are.
    used: Vec<bool>,
}

/// Reads the volume and panics unless it is consistent: every chain ends, each used cluster belongs
/// to exactly one chain, the copies of the table are equal, the clean bit and the number of free
/// clusters are correct, and so are the names, checksums and links of directories.
pub(in super::super) fn read(bytes: &[u8]) -> Tree {
    let sector = number(bytes, 11, 2);
    let unit = usize::from(bytes[13]) * sector;
    let start = number(bytes, 14, 2) * sector;
    let root_len = number(bytes, 17, 2) * 32;
    let short_or_long = |short: usize, at: usize| match short {
        0 => number(bytes, at, 4),
        short => short,
    };
    let table = short_or_long(number(bytes, 22, 2), 36) * sector;
    let root = start + usize::from(bytes[16]) * table;
    let data = root + root_len.next_multiple_of(sector);
    let end = short_or_long(number(bytes, 19, 2), 32) * sector;
    let clusters = (end - data) / unit;
    let bits = match clusters {
        0..4085 => 12,
        4085..65525 => 16,
        _ => 32,
    };
    let mut image = Image {
        bytes,
        bits,
        tables: bytes[start..root].chunks(table).collect(),
        root: &bytes[root..root + root_len],
        data: &bytes[data..end],
        unit,
        used: vec![false; clusters + 2],
    };
    let mut tree = Tree::new();
    let root = match bits {
        32 => image.chain(number(bytes, 44, 4), "the root"),
        _ => image.root.to_vec(),
    };
    image.directory(&root, "", (0, 0), &mut tree);
    image.check_tables();
    tree
}

impl Image<'_> {
    fn entry(&self, table: &[u8], cluster: usize) -> usize {
        match self.bits {
            12 => number(table, cluster * 3 / 2, 2) >> (cluster % 2 * 4) & 0xfff,
            16 => number(table, cluster * 2, 2),
            _ => number(table, cluster * 4, 4) & 0x0fff_ffff,
        }
    }

    fn is_end(&self, entry: usize) -> bool {
        let all = (1 << self.bits.min(28)) - 1;
        (all - 7..=all).contains(&entry)
    }

    /// Returns the bytes of a cluster chain.
    fn chain(&mut self, first: usize, what: &str) -> Vec<u8> {
        let (mut bytes, mut cluster) = (Vec::new(), first);
        loop {
            let fits = (2..self.used.len()).contains(&cluster);
            assert!(fits, "{what} leads to cluster {cluster}");
            assert!(!self.used[cluster], "{what} shares cluster {cluster}");
            self.used[cluster] = true;
            bytes.extend_from_slice(&self.data[(cluster - 2) * self.unit..][..self.unit]);
            cluster = self.entry(self.tables[0], cluster);
            if self.is_end(cluster) {
                return bytes;
            }
        }
    }

    /// `itself` and the parent are the clusters in `.` and `..`: 0 for the root.
    fn directory(
        &mut self,
        slots: &[u8],
        path: &str,
        (itself, above): (usize, usize),
        tree: &mut Tree,
    ) {
        let mut long: Option<Long> = None;
        let mut seen = BTreeSet::new();
        for (slot, entry) in slots.chunks_exact(32).enumerate() {
            match (entry[0], entry[11] & 0x3f) {
                (0, _) => break,
                (0xe5, _) => assert!(long.is_none(), "a long name without a short one in {path}"),
                (_, 0x0f) => match &mut long {
                    Some(long) => long.add(entry),
                    None => long = Some(Long::new(entry)),
                },
                (_, attributes) if attributes & 8 != 0 => assert_eq!(path, "", "a label"),
                (_, attributes) => {
                    let short = shown(entry);
                    let cluster = number(entry, 20, 2) << 16 | number(entry, 26, 2);
                    let size = number(entry, 28, 4);
                    if slot < 2 && !path.is_empty() {
                        let wanted = [(".", itself), ("..", above)][slot];
                        assert_eq!((&*short, cluster), wanted, "of {path}");
                        assert_eq!((attributes, size), (0x10, 0), "of {path}");
                        continue;
                    }
                    let name = match long.take() {
                        Some(long) => long.name(entry),
                        None => short.clone(),
                    };
                    let names = BTreeSet::from([short.to_lowercase(), name.to_lowercase()]);
                    for name in names {
                        assert!(seen.insert(name.clone()), "two are called {name} in {path}");
                    }
                    let path = match path {
                        "" => name,
                        _ => format!("{path}/{name}"),
                    };
                    if attributes & 0x10 != 0 {
                        assert_eq!(size, 0, "size of {path}");
                        let slots = self.chain(cluster, &path);
                        tree.insert(path.clone(), None);
                        self.directory(&slots, &path, (cluster, itself), tree);
                    } else {
                        let mut bytes = Vec::new();
                        if cluster != 0 {
                            bytes = self.chain(cluster, &path);
                        }
                        assert_eq!(bytes.len(), size.next_multiple_of(self.unit), "{path}");
                        bytes.truncate(size);
                        tree.insert(path, Some(bytes));
                    }
                }
            }
        }
        assert!(long.is_none(), "a long name at the end of {path}");
    }

    fn check_tables(&self) {
        let tables = &self.tables;
        assert!(tables.iter().all(|table| table == &tables[0]), "copies");
        let clusters = 2..self.used.len();
        for cluster in clusters.clone() {
            let is_taken = self.entry(tables[0], cluster) != 0;
            assert_eq!(is_taken, self.used[cluster], "cluster {cluster} is taken");
        }
        let clean = [0, 0x8000, 0x0800_0000][self.bits / 16];
        assert_eq!(
            self.entry(tables[0], 1) & clean,
            clean,
            "it is marked as in use"
        );
        if self.bits == 32 {
            let info = &self.bytes[number(self.bytes, 48, 2) * number(self.bytes, 11, 2)..];
            let free = clusters.filter(|cluster| !self.used[*cluster]).count();
            assert_eq!(number(info, 488, 4), free, "free clusters");
        }
    }
}

/// Returns a short name, in the case that the bits of byte 12 select.
fn shown(entry: &[u8]) -> String {
    let part = |range: core::ops::Range<usize>, lower: u8| {
        let part = String::from_utf8_lossy(&entry[range]);
        match entry[12] & lower {
            0 => part.trim_end().into(),
            _ => part.trim_end().to_lowercase(),
        }
    };
    match (part(0..8, 0x08), part(8..11, 0x10)) {
        (base, extension) if extension.is_empty() => base,
        (base, extension) => format!("{base}.{extension}"),
    }
}

/// Long name, collected from its parts: the last comes first.
struct Long {
    checksum: u8,
    /// Number of the part that was read last.
    part: u8,
    units: Vec<u16>,
}

impl Long {
    fn new(entry: &[u8]) -> Self {
        assert!(entry[0] & 0x40 != 0, "the last part comes first");
        let mut long = Self {
            checksum: entry[13],
            part: (entry[0] & 0x3f) + 1,
            units: Vec::new(),
        };
        long.add(entry);
        long
    }

    fn add(&mut self, entry: &[u8]) {
        assert_eq!((entry[0] & 0x3f, entry[13]), (self.part - 1, self.checksum));
        assert_eq!(number(entry, 26, 2), 0);
        self.part -= 1;
        let places = (1..11).chain(14..26).chain(28..32).step_by(2);
        let units = places.map(|at| number(entry, at, 2) as u16);
        self.units.splice(0..0, units);
    }

    /// Returns the name, whose checksum must match this short entry.
    fn name(self, entry: &[u8]) -> String {
        let sum = |sum: u8, byte: &u8| sum.rotate_right(1).wrapping_add(*byte);
        let checksum = entry[..11].iter().fold(0, sum);
        assert_eq!((self.part, self.checksum), (1, checksum));
        let mut parts = self.units.splitn(2, |unit| *unit == 0);
        let name = parts.next().unwrap();
        let rest = parts.next().unwrap_or_default();
        assert!(rest.iter().all(|unit| *unit == 0xffff));
        String::from_utf16(name).unwrap()
    }
}
