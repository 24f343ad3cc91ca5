//! Random operations on volumes and on a model of them in memory; then `fsck.fat -n` and mtools
//! check FAT's, and `e2fsck` and debugfs ext4's.

use std::collections::BTreeMap;

use ext4_view::Ext4;

use crate::common::model::{Entry, Rules, Run, run_model, run_models, tiny};
use crate::common::{EXT4, FAT, Image, VOLUMES, ext4, run};

static ON_FAT: Rules = Rules {
    names: &[
        "a",
        "FILE.TXT",
        "readme.md",
        "A rather long name with spaces.html",
        "naïve Übung.txt",
        "日本語のファイル",
        "x.y.z",
        "😀",
        ".hidden",
        "collides~1.txt",
        "collides with a short name.txt",
    ],
    posix: false,
    spare: 64 << 10,
};

static ON_EXT4: Rules = Rules {
    names: &[
        "a",
        "A",
        "readme.md",
        "a rather long name with spaces.html",
        "naïve Übung.txt",
        "日本語のファイル",
        "x.y.z",
        "😀",
        ".hidden",
        "q:*?<>|\\",
        "tab\tnewline\n",
    ],
    posix: true,
    spare: 256 << 10,
};

/// Compares every file with mtools' view, names and contents.
fn read_by_mtools(bytes: &[u8], model: &Run) {
    let image = Image::with(bytes);
    let target = Image::new();
    std::fs::create_dir(&target.0).unwrap();
    let (from, to) = (image.0.to_str().unwrap(), target.0.to_str().unwrap());
    if !model.names.is_empty() {
        let (ok, text) = run("mcopy", &["-s", "-n", "-Q", "-i", from, "::*", to]);
        assert!(ok, "mcopy: {text}");
    }
    // mtools replaces characters outside the Basic Multilingual Plane.
    for (path, entry) in model.names.iter().filter(|(path, _)| !path.contains('😀')) {
        let copy = target.0.join(&path[1..]);
        match entry {
            Entry::File(number) => assert!(
                std::fs::read(&copy).unwrap() == model.files[*number],
                "{path} by mtools"
            ),
            _ => assert!(copy.is_dir(), "{path} by mtools"),
        }
    }
    std::fs::remove_dir_all(&target.0).unwrap();
}

/// Compares every file with debugfs' view.
fn read_by_debugfs(bytes: &[u8], model: &Run) {
    let image = Image::with(bytes);
    let target = Image::new();
    std::fs::create_dir(&target.0).unwrap();
    let command = format!("rdump / {}", target.0.to_str().unwrap());
    let (ok, text) = run("debugfs", &["-R", &command, image.0.to_str().unwrap()]);
    assert!(ok, "debugfs: {text}");
    for (path, entry) in &model.names {
        let copy = target.0.join(&path[1..]);
        match entry {
            Entry::Directory => assert!(copy.is_dir(), "{path} by debugfs"),
            Entry::Link(says) => {
                assert_eq!(
                    std::fs::read_link(&copy).unwrap().to_str(),
                    Some(says.as_str())
                );
            }
            Entry::File(number) => {
                assert!(
                    std::fs::read(&copy).unwrap() == model.files[*number],
                    "{path} by debugfs"
                );
            }
        }
    }
    std::fs::remove_dir_all(&target.0).unwrap();
}

/// Compares every name and file with the crate `ext4-view`, which shares no code with the writer.
fn read_by_ext4_view(bytes: Vec<u8>, model: &Run) {
    // It rejects some truncated files in inodes of 128 bytes.
    if bytes[1024 + 0x58] == 128 {
        return;
    }
    let has_extents = bytes[1024 + 0x60] & 0x40 != 0;
    let view = Ext4::load(Box::new(bytes)).unwrap_or_else(|error| panic!("{error}"));
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    expected.insert("/".to_string(), vec!["lost+found".to_string()]);
    for (path, entry) in &model.names {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent = if parent.is_empty() { "/" } else { parent };
        let siblings = expected.entry(parent.to_string()).or_default();
        siblings.push(name.to_string());
        let path = path.as_str();
        match entry {
            Entry::Directory => drop(expected.entry(path.to_string()).or_default()),
            Entry::Link(says) => {
                let found = view.read_link(path).unwrap();
                assert_eq!(found.to_str(), Ok(says.as_str()), "{path}");
            }
            // It supports no holes in block lists.
            Entry::File(_) if !has_extents => {}
            Entry::File(number) => {
                let found = view.read(path);
                let found = found.unwrap_or_else(|error| panic!("{path}: {error}"));
                assert!(found == model.files[*number], "{path} by ext4-view");
            }
        }
    }
    for (path, mut names) in expected {
        let entries = view.read_dir(path.as_str()).unwrap();
        let name = |entry: ext4_view::DirEntry| entry.file_name().as_str().unwrap().to_string();
        let mut found: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        found.retain(|name| name != "." && name != "..");
        found.sort();
        names.sort();
        assert_eq!(found, names, "{path} by ext4-view");
    }
}

#[test]
fn every_kind_of_fat_behaves_as_the_model() {
    run_models(&FAT, &ON_FAT, VOLUMES, |run, disk| {
        read_by_mtools(&disk.bytes(), run);
    });
}

#[test]
fn every_kind_of_ext4_behaves_as_the_model() {
    run_models(&EXT4, &ON_EXT4, ext4::VOLUMES, |run, disk| {
        read_by_debugfs(&disk.bytes(), run);
        read_by_ext4_view(disk.bytes(), run);
    });
}

#[test]
fn a_tiny_cache_and_no_stream_buffers_change_nothing() {
    for volume in [VOLUMES[0], VOLUMES[3], VOLUMES[6]] {
        run_model(&FAT, &ON_FAT, volume, 1000, tiny());
    }
    let volume: (&str, u64, &[&str]) = ("tiny cache", 24 << 20, &[]);
    run_model(&EXT4, &ON_EXT4, volume, 1000, tiny());
}
