//! File systems are built here byte by byte; end-to-end tests read those of `cloud-localds` and
//! `xorriso`.

use super::{Iso, SECTOR};
use fs::fake::Disk;
use proptest::prelude::{any, proptest};

/// How [`build`] stores names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Style {
    Joliet,
    /// With the versions of files, as Windows writes them.
    JolietVersions,
    RockRidge,
    Plain,
    /// ISO 9660:1999, in a directory of its own (xorriso) or in the only one (genisoimage).
    Enhanced,
    EnhancedOnly,
}

/// A directory record.
fn record(name: &[u8], system_use: &[u8], sector: u32, len: u32, flags: u8) -> Vec<u8> {
    let mut bytes = vec![0; 33];
    bytes[2..6].copy_from_slice(&sector.to_le_bytes());
    bytes[10..14].copy_from_slice(&len.to_le_bytes());
    bytes[25] = flags;
    bytes[32] = name.len() as u8;
    bytes.extend_from_slice(name);
    if name.len().is_multiple_of(2) {
        bytes.push(0);
    }
    bytes.extend_from_slice(system_use);
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    bytes[0] = bytes.len() as u8;
    bytes
}

fn entry(style: Style, name: &str, sector: u32, len: u32, flags: u8) -> Vec<u8> {
    let short = format!("{};1", name.replace('-', "_").to_uppercase());
    match style {
        Style::Joliet | Style::JolietVersions => {
            let is_file = flags & super::DIRECTORY == 0;
            let versions = style == Style::JolietVersions && is_file;
            let name = format!("{name}{}", if versions { ";1" } else { "" });
            let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
            record(&name, b"", sector, len, flags)
        }
        Style::RockRidge => {
            // The name in two entries, between others.
            let (first, second) = name.split_at(2);
            let mut entries = b"PX\x08\x01\0\0\0\0".to_vec();
            for (part, flags) in [(first, 1), (second, 0)] {
                entries.extend([b'N', b'M', 5 + part.len() as u8, 1, flags]);
                entries.extend_from_slice(part.as_bytes());
            }
            record(b"SHORT.;1", &entries, sector, len, flags)
        }
        Style::Plain => record(short.as_bytes(), b"", sector, len, flags),
        Style::Enhanced | Style::EnhancedOnly => record(name.as_bytes(), b"", sector, len, flags),
    }
}

/// A file system with files, whose paths may have one directory.
pub fn build(style: Style, label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    const ROOT: usize = 20;
    const SUB: usize = 22;
    let mut bytes = vec![0; 24 * SECTOR];
    let (mut root, mut sub) = (Vec::new(), Vec::new());
    for name in [b"\0", b"\x01"] {
        root.extend(record(name, b"", ROOT as u32, SECTOR as u32, 2));
    }
    let mut directory = None;
    for (path, contents) in files {
        let sector = (bytes.len() / SECTOR) as u32;
        bytes.extend_from_slice(contents);
        bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        let len = contents.len() as u32;
        match path.split_once('/') {
            Some((name, file)) => {
                directory = Some(name);
                sub.extend(entry(style, file, sector, len, 0));
            }
            None => root.extend(entry(style, path, sector, len, 0)),
        }
    }
    if let Some(name) = directory {
        root.extend(entry(style, name, SUB as u32, SECTOR as u32, 2));
    }
    bytes[ROOT * SECTOR..ROOT * SECTOR + root.len()].copy_from_slice(&root);
    bytes[SUB * SECTOR..SUB * SECTOR + sub.len()].copy_from_slice(&sub);
    let mut descriptor = |sector: usize, kind: u8, root: u32| {
        let place = &mut bytes[sector * SECTOR..(sector + 1) * SECTOR];
        place[0] = kind;
        place[1..7].copy_from_slice(b"CD001\x01");
        place[40..72].fill(b' ');
        place[40..40 + label.len()].copy_from_slice(label.as_bytes());
        match (kind, style) {
            (2, Style::Enhanced) => place[6] = 2,
            (2, _) => {
                place[88..91].copy_from_slice(b"%/E");
                let label: Vec<u8> = label.encode_utf16().flat_map(u16::to_be_bytes).collect();
                for blank in place[40..72].chunks_exact_mut(2) {
                    blank.copy_from_slice(b"\0 ");
                }
                place[40..40 + label.len()].copy_from_slice(&label);
            }
            _ => {}
        }
        let root = record(b"\0", b"", root, SECTOR as u32, 2);
        place[156..156 + root.len()].copy_from_slice(&root);
    };
    // With a second root the primary one is an empty directory: it isn't used.
    match style {
        Style::Joliet | Style::JolietVersions | Style::Enhanced => {
            descriptor(16, 1, 23);
            descriptor(17, 2, ROOT as u32);
            descriptor(18, 255, 0);
        }
        _ => {
            descriptor(16, 1, ROOT as u32);
            descriptor(17, 255, 0);
        }
    }
    bytes
}

const FILES: [(&str, &[u8]); 3] = [
    ("meta-data", b"instance-id: i\n"),
    ("openstack/latest", b"content"),
    ("empty", b""),
];

#[test]
fn reads_files_by_each_kind_of_name_and_from_each_size_of_sector() {
    for style in [
        Style::Joliet,
        Style::JolietVersions,
        Style::RockRidge,
        Style::Plain,
        Style::Enhanced,
        Style::EnhancedOnly,
    ] {
        for sector in [512, 2048, 4096] {
            let mut bytes = build(style, "cidata", &FILES);
            bytes.resize(bytes.len().next_multiple_of(4096), 0);
            let disk = Disk::new(bytes, sector);
            let mut iso = Iso::open(Box::new(disk)).unwrap().unwrap();
            assert_eq!(iso.label(), "cidata");
            for (path, contents) in FILES {
                let read = iso.read(path, 100);
                assert_eq!(read.unwrap().as_deref(), Some(contents), "{style:?} {path}");
                assert!(iso.read(&path.to_uppercase(), 100).unwrap().is_some());
            }
            for missing in [
                "meta",
                "meta-data-2",
                "openstack",
                "meta-data/x",
                "x/y",
                "",
                ".",
                "..",
                "/",
            ] {
                assert_eq!(iso.read(missing, 100).unwrap(), None, "{style:?} {missing}");
            }
            let long = iso.read("meta-data", 14).unwrap_err();
            assert_eq!(long.to_string(), "15 bytes; at most 256 KiB are supported");
        }
    }
}

#[test]
fn other_disks_have_no_label() {
    for len in [0, 512, 16 * SECTOR, 17 * SECTOR] {
        assert!(Iso::open(Box::new(Disk::zeroed(len))).unwrap().is_none());
    }
}

/// Go's go-diskfs pads labels with NUL, others with spaces.
#[test]
fn a_label_ends_before_its_padding() {
    let label = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = build(Style::Plain, "cidata", &FILES);
        change(&mut bytes);
        let iso = Iso::open(Box::new(Disk::new(bytes, 512)));
        iso.unwrap().unwrap().label().to_string()
    };
    let at = 16 * SECTOR + 40;
    assert_eq!(label(&|bytes| bytes[at + 6..at + 32].fill(0)), "cidata");
    assert_eq!(label(&|bytes| bytes[at + 7..at + 32].fill(0)), "cidata");
    assert_eq!(label(&|bytes| bytes[at + 7] = b'x'), "cidata x");
    assert_eq!(label(&|bytes| bytes[at..at + 32].fill(0)), "");
}

#[test]
fn a_damaged_file_system_is_an_error() {
    let bytes = build(Style::Joliet, "cidata", &FILES);
    // The first file's record: it begins behind the two of the root.
    let file = 20 * SECTOR + 2 * 34;
    let read = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        let mut iso = Iso::open(Box::new(Disk::new(bytes, 512))).unwrap().unwrap();
        iso.read("meta-data", 1000).map(|found| found.is_some())
    };
    assert_eq!(read(&|_| ()), Ok(true));
    let past_the_end = read(&|bytes| bytes[file + 2..file + 6].fill(0xff)).unwrap_err();
    assert_eq!(
        past_the_end.to_string(),
        "the file system is damaged: a file past its end"
    );
    let long = read(&|bytes| bytes[file + 13] = 0xff).unwrap_err();
    assert!(long.to_string().contains("at most 256 KiB"), "{long}");
    let parts = read(&|bytes| bytes[file + 25] = 0x80).unwrap_err();
    assert!(parts.to_string().contains("at most 256 KiB"), "{parts}");
    let directory = read(&|bytes| {
        let root = 17 * SECTOR + 156;
        bytes[root + 12] = 2;
    });
    assert_eq!(
        directory.unwrap_err().to_string(),
        "a directory of 133120 bytes; at most 64 KiB"
    );
    let rootless = read(&|bytes| bytes[17 * SECTOR + 156] = 0).unwrap_err();
    assert_eq!(rootless.to_string(), "the file system is damaged: no root");
    // A record that reaches beyond its sector ends the search.
    assert_eq!(read(&|bytes| bytes[20 * SECTOR] = 0), Ok(false));
}

proptest! {
    #[test]
    fn accepts_any_damage(
        style in 0usize..4,
        changes in proptest::collection::vec((0usize..26 * SECTOR, any::<u8>()), 1..40),
        root: bool,
    ) {
        let style = [Style::Joliet, Style::RockRidge, Style::Plain, Style::Enhanced][style];
        let mut bytes = build(style, "cidata", &FILES);
        for (at, byte) in changes {
            // Half of the cases change directories only.
            let at = if root { 20 * SECTOR + at % 300 } else { at };
            bytes[at] = byte;
        }
        if let Ok(Some(mut iso)) = Iso::open(Box::new(Disk::new(bytes, 512))) {
            for (path, _) in FILES {
                let read = iso.read(path, 1000).unwrap_or_default();
                assert!(read.is_none_or(|read| read.len() <= 1000));
            }
        }
    }
}
