use super::{MAX_DIRECTORY, Reader};
use crate::fake::Disk;
use crate::fat::geometry::FatKind;
use crate::fat::tests::{KINDS, WRITE, formatted, mounted, roomy};
use crate::{Error, Volume};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::{any, proptest};

/// Paths and contents.
type Files = Vec<(String, Vec<u8>)>;

/// A volume with files of several lengths, with and without long names, in directories; one is in
/// clusters between those of others.
fn with_files(kind: FatKind) -> (Vec<u8>, Files) {
    let (mut volume, disk) = mounted(roomy(kind), 512);
    volume.mkdir("openstack").unwrap();
    volume.mkdir("openstack/latest").unwrap();
    let mut files = Vec::new();
    for (path, len) in [
        ("meta-data", 40),
        ("USER", 512),
        ("network-config", 513),
        ("empty", 0),
        ("openstack/latest/meta_data.json", 70_000),
    ] {
        let contents: Vec<u8> = (0..len).map(|at: usize| (at * 7 % 251) as u8).collect();
        files.push((String::from(path), contents));
    }
    for n in 0..40 {
        files.push((alloc::format!("a long name {n}"), vec![n; 10]));
    }
    let ids: Vec<_> = files
        .iter()
        .map(|(path, _)| volume.open(path, WRITE).unwrap())
        .collect();
    for piece in 0..140 {
        for (id, (_, contents)) in ids.iter().zip(&files) {
            if let Some(bytes) = contents.chunks(512).nth(piece) {
                volume.write_at(*id, piece as u64 * 512, bytes).unwrap();
            }
        }
    }
    for id in ids {
        volume.close(id).unwrap();
    }
    volume.sync().unwrap();
    (disk.bytes(), files)
}

fn reader(bytes: Vec<u8>, sector: usize) -> Reader {
    let disk = Disk::new(bytes, sector);
    Reader::open(Box::new(disk)).unwrap().unwrap()
}

#[test]
fn files_are_those_of_the_volume() {
    for kind in KINDS {
        let (bytes, files) = with_files(kind);
        for sector in [512, 4096] {
            let mut reader = reader(bytes.clone(), sector);
            for (path, contents) in &files {
                for path in [path.clone(), path.to_ascii_uppercase()] {
                    let found = reader.find(&path).unwrap();
                    let found = found.unwrap_or_else(|| panic!("{kind:?}: no {path}"));
                    assert_eq!(found.size as usize, contents.len());
                    assert!(reader.contents(found).unwrap() == *contents, "{path}");
                }
            }
            for path in [
                "",
                "no",
                "openstack",
                "meta-data/x",
                "openstack/x",
                ".",
                "/",
            ] {
                assert!(reader.find(path).unwrap().is_none(), "{path}");
            }
        }
    }
}

/// Puts a label into the root directory, as its first entry and behind one that was deleted.
fn label(bytes: &mut [u8], label: &[u8; 11], attributes: u8, behind: bool) {
    let geometry = super::Geometry::parse(bytes.first_chunk().unwrap(), bytes.len() as u64);
    let geometry = geometry.unwrap();
    let root = match geometry.root {
        0 => geometry.tables_end,
        first => geometry.cluster_offset(first).unwrap(),
    } as usize;
    let at = root + usize::from(behind) * 32;
    if behind {
        bytes[root] = 0xe5;
    }
    bytes[at..at + 11].copy_from_slice(label);
    bytes[at + 11] = attributes;
}

#[test]
fn a_label_is_the_root_directorys_or_the_boot_sectors() {
    for kind in KINDS {
        let plain = formatted(kind);
        let place = if kind == FatKind::Fat32 { 66 } else { 38 };
        let boot = |bytes: &mut Vec<u8>, text: &[u8; 11]| {
            bytes[place] = 0x29;
            bytes[place + 5..place + 16].copy_from_slice(text);
        };
        let of = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = plain.clone();
            boot(&mut bytes, b"NO NAME    ");
            change(&mut bytes);
            reader(bytes, 512).label().unwrap()
        };
        let some = |text: &str| Some(String::from(text));
        assert_eq!(of(&|_| ()), None, "{kind:?}");
        assert_eq!(of(&|bytes| boot(bytes, b"CIDATA     ")), some("CIDATA"));
        for behind in [false, true] {
            let found = of(&|bytes| label(bytes, b"CIDATA     ", 0x08, behind));
            assert_eq!(found, some("CIDATA"), "{kind:?}");
            // Windows changes the entry only: it names the volume.
            let found = of(&|bytes| {
                boot(bytes, b"CIDATA     ");
                label(bytes, b"MY FILES   ", 0x28, behind);
            });
            assert_eq!(found, some("MY FILES"), "{kind:?}");
        }
        // A part of a long name, a file, a folder, and an entry with a cluster are no labels.
        for attributes in [0x0f, 0x20, 0x10, 0x18] {
            let found = of(&|bytes| label(bytes, b"CIDATA     ", attributes, false));
            assert_eq!(found, None, "{kind:?} {attributes:#x}");
        }
        // Without `BS_BootSig` the boot sector has none.
        let found = of(&|bytes| {
            boot(bytes, b"CIDATA     ");
            bytes[place] = 0x28;
        });
        assert_eq!(found, None, "{kind:?}");
    }
}

/// A label that is behind more than a cluster of files.
#[test]
fn a_label_may_be_in_a_later_cluster() {
    let (bytes, _) = with_files(FatKind::Fat32);
    let mut volume = mounted(bytes, 512);
    volume.0.sync().unwrap();
    let mut bytes = volume.1.bytes();
    let table = bytes
        .windows(32)
        .rposition(|slot| slot.starts_with(b"ALONGN~4"));
    // The last short entry with a name becomes the label.
    let at = table.unwrap();
    bytes[at..at + 11].copy_from_slice(b"CIDATA     ");
    bytes[at + 11] = 0x08;
    bytes[at + 20..at + 22].fill(0);
    bytes[at + 26..at + 28].fill(0);
    assert_eq!(
        reader(bytes, 512).label().unwrap().as_deref(),
        Some("CIDATA")
    );
}

#[test]
fn what_is_no_volume_has_no_label() {
    for len in [0, 512, 1 << 20] {
        assert!(Reader::open(Box::new(Disk::zeroed(len))).unwrap().is_none());
    }
    let mut bytes = vec![0; 4096];
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut reader = reader(bytes, 512);
    assert_eq!(reader.label(), Ok(None));
    assert_eq!(reader.find("a").unwrap_err(), Error::Corrupt);
}

/// Chains with a loop end with the longest directory, and a file's with its size.
#[test]
fn a_loop_ends() {
    for kind in KINDS {
        let (mut bytes, _) = with_files(kind);
        let geometry = super::Geometry::parse(bytes.first_chunk().unwrap(), bytes.len() as u64);
        let geometry = geometry.unwrap();
        let found = reader(bytes.clone(), 512)
            .find("openstack/latest/meta_data.json")
            .unwrap()
            .unwrap();
        let entry = (geometry.table + kind.entry_offset(found.first)) as usize;
        match kind {
            FatKind::Fat32 => bytes[entry..entry + 4].copy_from_slice(&found.first.to_le_bytes()),
            FatKind::Fat16 => {
                let cluster = (found.first as u16).to_le_bytes();
                bytes[entry..entry + 2].copy_from_slice(&cluster);
            }
            FatKind::Fat12 => continue,
        }
        let mut reader = reader(bytes, 512);
        assert_eq!(reader.contents(found).unwrap().len(), 70_000);
        let chain = reader.chain(found.first, MAX_DIRECTORY).unwrap();
        let len: u64 = chain.iter().map(|extent| extent.len).sum();
        assert_eq!(len, MAX_DIRECTORY.into());
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(60))]
    #[test]
    fn accepts_any_damage(
        kind in 0usize..3,
        changes in proptest::collection::vec((0usize..60_000, any::<u8>()), 1..60),
        near: bool,
    ) {
        static VOLUMES: [std::sync::OnceLock<(Vec<u8>, Files)>; 3] =
            [const { std::sync::OnceLock::new() }; 3];
        let (mut bytes, files) = VOLUMES[kind].get_or_init(|| with_files(KINDS[kind])).clone();
        for (at, byte) in changes {
            // Half of the cases change the boot sector only.
            let at = if near { at % 90 } else { at };
            bytes[at] = byte;
        }
        if let Ok(Some(mut reader)) = Reader::open(Box::new(Disk::new(bytes, 512))) {
            let _ = reader.label();
            for (path, _) in files.iter().take(5) {
                if let Ok(Some(found)) = reader.find(path)
                    && found.size < 1 << 20
                {
                    let read = reader.contents(found);
                    assert!(read.is_err() || read.is_ok_and(|read| read.len() == found.size as usize));
                }
            }
        }
    }
}
