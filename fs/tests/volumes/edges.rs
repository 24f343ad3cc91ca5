//! FAT volumes at the limits of their kinds: numbers and sizes of clusters.

use crate::common::{Random, fsck, mkfs, mount, read_file, write_file};
use fs::fake::Disk;

/// Writes, replaces and removes some files, and checks the volume.
fn use_volume(name: &str, bytes: Vec<u8>, sector: usize) {
    let disk = Disk::new(bytes, sector);
    let mut volume = mount(&disk);
    let mut random = Random(7);
    volume.mkdir("a directory").unwrap();
    let files: Vec<(String, Vec<u8>)> = (0..12)
        .map(|n| {
            let len = random.below(90_000) as usize;
            (format!("a directory/file number {n}"), random.bytes(len))
        })
        .collect();
    for (path, data) in &files {
        write_file(&mut *volume, path, data).unwrap();
    }
    volume.unlink("a directory/file number 3").unwrap();
    volume
        .rename("a directory/file number 4", "a directory/file number 5")
        .unwrap();
    volume.sync().unwrap();
    fsck(&disk.bytes()).unwrap_or_else(|text| panic!("{name}: {text}"));
    let mut fresh = mount(&disk);
    for (n, (path, data)) in files.iter().enumerate() {
        let expected = match n {
            3 | 4 => None,
            5 => Some(&files[4].1),
            _ => Some(data),
        };
        assert!(
            read_file(&mut *fresh, path).ok().as_ref() == expected,
            "{name}: {path}"
        );
    }
}

/// Returns the number of clusters according to the boot sector, counted as in the specification.
fn clusters(bytes: &[u8]) -> u32 {
    let u16_at = |at: usize| u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let or = |small: u32, large: u32| if small != 0 { small } else { large };
    let (sectors, table) = (or(u16_at(19), u32_at(32)), or(u16_at(22), u32_at(36)));
    let root = (u16_at(17) * 32).div_ceil(u16_at(11));
    let data = sectors - u16_at(14) - u32::from(bytes[16]) * table - root;
    data / u32::from(bytes[13])
}

/// Creates a volume of `wanted` clusters of one sector. mkfs.fat avoids the limits of each kind, so
/// this creates a volume of `nearby` clusters and changes its size.
fn with_clusters(kind: &str, wanted: u32, nearby: u32) -> Vec<u8> {
    let len = u64::from(nearby) * 512 + (600 << 10);
    let mut bytes = mkfs(len, &["-F", kind, "-s", "1", "-f", "1", "-a"]);
    let more = i64::from(wanted) - i64::from(clusters(&bytes));
    let sectors = (bytes.len() as i64 / 512 + more) as u32;
    // FAT32 has a copy of the boot sector, and the number of free clusters after the first one.
    let boots: &[usize] = if kind == "32" { &[0, 6 * 512] } else { &[0] };
    for boot in boots {
        let small = if kind == "32" {
            0
        } else {
            u16::try_from(sectors).unwrap_or(0)
        };
        bytes[boot + 19..boot + 21].copy_from_slice(&small.to_le_bytes());
        let large = if small == 0 { sectors } else { 0 };
        bytes[boot + 32..boot + 36].copy_from_slice(&large.to_le_bytes());
        if kind == "32" {
            bytes[boot + 512 + 488..boot + 512 + 492].fill(0xff);
        }
    }
    bytes.resize(sectors as usize * 512, 0);
    assert_eq!(clusters(&bytes), wanted);
    bytes
}

#[test]
fn numbers_of_clusters_at_the_edges_of_the_kinds() {
    let edges: &[(&str, u32, u32)] = &[
        ("12", 4083, 2900),
        ("12", 4084, 2900),
        ("16", 4085, 4200),
        ("16", 4086, 4200),
        ("16", 65_523, 64_500),
        ("16", 65_524, 64_500),
        ("32", 65_525, 66_000),
        ("32", 65_526, 66_000),
    ];
    for (kind, wanted, nearby) in edges {
        let bytes = with_clusters(kind, *wanted, *nearby);
        use_volume(&format!("FAT{kind} with {wanted} clusters"), bytes, 512);
    }
}

#[test]
fn every_size_of_cluster() {
    for sectors in [1, 2, 4, 8, 16, 32, 64, 128] {
        let count = sectors.to_string();
        let len = (sectors * 512 * 5000).max(8 << 20);
        use_volume(
            &format!("FAT16, {sectors} sectors in a cluster"),
            mkfs(len, &["-F", "16", "-s", &count]),
            512,
        );
    }
    use_volume(
        "sectors of 4096 bytes",
        mkfs(64 << 20, &["-F", "16", "-S", "4096", "-s", "1"]),
        4096,
    );
}
