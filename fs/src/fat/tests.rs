//! Names, sizes and errors of FAT, on small volumes in memory.

mod contents;
mod directories;
mod format;
mod judge;
mod mounting;
mod operations;
mod renaming;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::fat_volume::FatVolume;
use super::geometry::{FatKind, Geometry};
use super::{Options, mount_volume};
use crate::cache::Cache;
use crate::fake::Disk;
use crate::{Error, FileId, OpenFlags, Volume};
pub(super) use format::FatOptions;
use judge::Tree;

pub(super) const WRITE: OpenFlags = OpenFlags::WRITE.union(OpenFlags::CREATE);

/// Creates a file system with clusters of one sector.
pub(super) fn formatted(kind: FatKind) -> Vec<u8> {
    let len = match kind {
        FatKind::Fat12 => 1 << 20,
        FatKind::Fat16 => 4 << 20,
        _ => 35 << 20,
    };
    format(
        len,
        &FatOptions::new().with_kind(kind).with_cluster_size(512),
    )
}

/// Creates a file system whose free clusters contain remains of other files, within its first MiB,
/// which the tests never exceed.
pub(super) fn format(len: usize, options: &FatOptions) -> Vec<u8> {
    let mut image = format::make(len, options);
    let number = |at: usize| usize::from(u16::from_le_bytes([image[at], image[at + 1]]));
    let (table, root) = match number(22) {
        // The root is the first cluster.
        0 => (number(36), usize::from(image[13])),
        table => (table, number(17) / 16),
    };
    let free = (number(14) + usize::from(image[16]) * table + root) * 512;
    let remains = free..len.min(free + (1 << 20));
    image[remains].fill(b'x');
    image
}

/// Creates a file system with clusters of one sector, and room for thousands of them.
pub(super) fn roomy(kind: FatKind) -> Vec<u8> {
    let len = match kind {
        FatKind::Fat12 => 1 << 20,
        FatKind::Fat16 => 16 << 20,
        FatKind::Fat32 => 40 << 20,
    };
    let options = FatOptions::new().with_kind(kind);
    format(len, &options.with_cluster_size(512))
}

/// Creates a volume of this kind whose one file has `clusters` contiguous clusters.
pub(super) fn with_file(kind: FatKind, clusters: u64) -> (Geometry, Vec<u8>) {
    let (mut volume, disk) = mounted(roomy(kind), 512);
    let file = volume.open("a", WRITE).unwrap();
    volume.truncate(file, clusters * 512).unwrap();
    volume.sync().unwrap();
    (volume.geometry(), disk.bytes())
}

pub(super) fn cache(disk: &Disk) -> Cache {
    Cache::new(Box::new(disk.clone()), &Options::default())
}

pub(super) const KINDS: [FatKind; 3] = [FatKind::Fat12, FatKind::Fat16, FatKind::Fat32];

pub(super) fn mounted(image: Vec<u8>, sector: usize) -> (FatVolume, Disk) {
    let disk = Disk::new(image, sector);
    let volume = mount_volume(Box::new(disk.clone()), Options::default()).unwrap();
    (volume, disk)
}

/// Creates a volume of 4 MiB, and its disk.
fn volume() -> (FatVolume, Disk) {
    mounted(format(4 << 20, &FatOptions::new()), 512)
}

/// Creates or opens a file, and writes its start.
fn write(volume: &mut dyn Volume, path: &str, bytes: &[u8]) -> Result<usize, Error> {
    let file = volume.open(path, WRITE)?;
    let written = volume.write_at(file, 0, bytes);
    volume.close(file).unwrap();
    written
}

fn read_all(volume: &mut dyn Volume, file: FileId) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; volume.size(file)? as usize];
    let count = volume.read_at(file, 0, &mut bytes)?;
    assert_eq!(count, bytes.len());
    Ok(bytes)
}

fn read(volume: &mut dyn Volume, path: &str) -> Result<Vec<u8>, Error> {
    let file = volume.open(path, OpenFlags::READ)?;
    let bytes = read_all(volume, file);
    volume.close(file).unwrap();
    bytes
}

/// Returns the names of a directory in the order of the listing.
fn names(volume: &mut dyn Volume, path: &str) -> Vec<String> {
    let directory = volume.open(path, OpenFlags::DIRECTORY).unwrap();
    let mut names = Vec::new();
    let mut cursor = Some(0);
    while let Some(from) = cursor {
        let listed = volume.list(directory, from, &mut |entry| {
            names.push(entry.name.to_string());
            true
        });
        cursor = listed.unwrap();
    }
    volume.close(directory).unwrap();
    names
}

/// Syncs the volume and returns the contents of its disk; checks that the volume reads the same.
fn synced(volume: &mut FatVolume, disk: &Disk) -> Tree {
    volume.sync().unwrap();
    let tree = judge::read(&disk.state().bytes);
    for (path, contents) in &tree {
        match contents {
            Some(contents) => assert_eq!(read(volume, path).as_ref(), Ok(contents), "{path}"),
            None => assert!(volume.stat(path).is_ok(), "{path}"),
        }
    }
    tree
}

fn tree<'a>(entries: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Tree {
    let entries = entries.into_iter();
    let owned = entries.map(|(path, bytes)| (path.to_string(), bytes.map(<[u8]>::to_vec)));
    owned.collect()
}
