//! `soil disk make`.

use super::device::SECTOR;
use super::image::{self, Place, Unfinished};
use super::shown;
use super::tool::{MKFS_EXT4, MKFS_FAT, SFDISK};
use crate::cli::{FileSystem, MakeDisk, value_name};
use crate::failure::{Context as _, Failure};
use crate::progress;
use fs::{Error, OpenFlags, Volume};
use indicatif::ProgressBar;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::{DirEntry, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Start of the first partition, the same as in other tools, and the alignment.
pub const ALIGN: u64 = 1 << 20;
/// Size of the backup GPT at the end, in bytes.
pub const GPT_END: u64 = 33 * SECTOR;

/// What identifies a partition or a file system that is made reproducibly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub [u8; 16]);

impl Identity {
    /// As a UUID: version 8, whose bits are the maker's choice (RFC 9562, section 5.8).
    pub fn uuid(self) -> String {
        let mut text = String::new();
        for (index, byte) in self.0.iter().enumerate() {
            let byte = match index {
                6 => byte & 0x0f | 0x80,
                8 => byte & 0x3f | 0x80,
                _ => *byte,
            };
            let dash = matches!(index, 4 | 6 | 8 | 10).then_some("-");
            text.push_str(&format!("{}{byte:02x}", dash.unwrap_or_default()));
        }
        text
    }

    /// As FAT's volume ID, in hexadecimal.
    fn volume_id(self) -> String {
        let Self([a, b, c, d, ..]) = self;
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

/// The host's time.
static CLOCK: fs::Clock = fs::Clock::new(|| {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    fs::Time::from_seconds(since.as_secs().cast_signed())
});

pub fn run(options: &MakeDisk) -> Result<String, Failure> {
    let empty;
    let directory = match &options.directory {
        Some(directory) => directory.as_path(),
        None => {
            empty = tempfile::tempdir().on(std::env::temp_dir())?;
            empty.path()
        }
    };
    let known = std::fs::metadata(directory).on(directory)?;
    if !known.is_dir() {
        return Err(Failure::on(directory, "not a directory"));
    }
    if options.label.contains('\0') || options.label.contains('\n') {
        return Err(Failure::on(
            "--label",
            "has a character that no label can have",
        ));
    }
    let (size, contents) = (options.size.0, total(directory)?);
    if contents > size {
        let (files, room) = (shown(contents), shown(size));
        let reason = format!("has {files} of files, more than the image's {room}");
        return Err(Failure::on(directory, reason).remedy("say a larger --size"));
    }
    let unfinished = Unfinished::new(&options.image, options.force)?;
    let file = unfinished.path();
    File::options()
        .write(true)
        .open(file)
        .and_then(|file| file.set_len(size))
        .on(&options.image)?;
    let place = if options.partition.is_some() {
        partition(file, options, size)?
    } else {
        Place {
            start: 0,
            size,
            partition: None,
        }
    };
    let bar = progress::bytes("copying", contents);
    match options.fs {
        FileSystem::Fat => {
            make_fat(file, place, &options.label, None)?;
            fill(file, place, &tree(directory)?, &CLOCK, &bar)?;
        }
        FileSystem::Ext4 => make_ext4(file, place, &options.label, Some(directory), None, &bar)?,
    }
    bar.finish_and_clear();
    unfinished.finish()?;
    Ok(format!(
        "{}: {}, {}",
        options.image.display(),
        shown(size),
        value_name(&options.fs)
    ))
}

/// Creates one partition of the maximum size.
fn partition(file: &Path, options: &MakeDisk, size: u64) -> Result<Place, Failure> {
    let end = size.saturating_sub(GPT_END) / ALIGN * ALIGN;
    if end <= ALIGN {
        let reason = "too little for a partition table and a file system";
        return Err(Failure::on(shown(size), reason).remedy("say a larger --size"));
    }
    let kind = match options.fs {
        FileSystem::Fat => "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
        FileSystem::Ext4 => "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    };
    if options.label.contains(['"', '\\']) || options.label.encode_utf16().count() > 36 {
        return Err(Failure::on(
            format!("{:?}", options.label),
            "a partition's label has 36 characters at most, without quotes and backslashes",
        ));
    }
    let sectors = (end - ALIGN) / SECTOR;
    let script = format!(
        "label: gpt\nstart={}, size={sectors}, type={kind}, name=\"{}\"\n",
        ALIGN / SECTOR,
        options.label
    );
    SFDISK.must(
        &["-q", "--no-reread", "--no-tell-kernel", &text(file)?],
        &script,
    )?;
    Ok(Place {
        start: ALIGN,
        size: end - ALIGN,
        partition: Some(1),
    })
}

pub fn text(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::on(path, "the path isn't UTF-8"))
}

/// The oldest time that FAT has, in seconds since 1970: that of reproducible file systems.
pub const FIXED_TIME: i64 = 315_532_800;

/// Makes an empty FAT file system. With an `identity`, which gives its volume ID, the same
/// arguments give the same bytes.
pub fn make_fat(
    file: &Path,
    place: Place,
    label: &str,
    identity: Option<Identity>,
) -> Result<(), Failure> {
    let mut arguments: Vec<String> = Vec::new();
    if let Some(identity) = identity {
        arguments.extend(["--invariant".into(), "-i".into(), identity.volume_id()]);
    }
    if place.partition.is_some() {
        arguments.extend(["-h".into(), (place.start / SECTOR).to_string()]);
    }
    if !label.is_empty() {
        let fits = label.len() <= 11 && label.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !fits {
            let reason = "a FAT file system's label has 11 ASCII characters at most";
            return Err(Failure::on(format!("{label:?}"), reason));
        }
        arguments.extend(["-n".into(), label.to_ascii_uppercase()]);
    }
    let make = |file: &Path| {
        let arguments = arguments.iter().map(String::as_str);
        let (file, blocks) = (text(file)?, (place.size / 1024).to_string());
        let all: Vec<&str> = arguments.chain([&*file, &*blocks]).collect();
        MKFS_FAT.must(&all, "")
    };
    if place.partition.is_none() {
        return make(file);
    }
    // mkfs.fat decides by the size of the file, not of the partition, which kind of FAT it makes.
    let folder = file.parent().unwrap_or(Path::new("."));
    let alone = tempfile::NamedTempFile::new_in(folder).on(folder)?;
    alone.as_file().set_len(place.size).on(alone.path())?;
    make(alone.path())?;
    let to = File::options().write(true).open(file).on(file)?;
    image::copy_data(alone.as_file(), &to, place.start).on(file)
}

/// Makes the FAT file system of a part of a disk again, like [`make_fat`]. Nothing of the part's
/// old contents stays readable in free clusters.
pub fn remake_fat(
    disk: &Path,
    place: Place,
    label: &str,
    identity: Option<Identity>,
) -> Result<(), Failure> {
    let file = File::options().write(true).open(disk).on(disk)?;
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, hole, place.start, place.size).on(disk)?;
    make_fat(disk, place, label, identity)
}

/// Makes an ext4 file system with the files of the directory, if any. With an `identity`, which
/// gives its UUID, the same arguments give the same bytes.
pub fn make_ext4(
    file: &Path,
    place: Place,
    label: &str,
    directory: Option<&Path>,
    identity: Option<Identity>,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    if label.len() > 16 {
        let reason = "an ext4 file system's label has 16 bytes at most";
        return Err(Failure::on(format!("{label:?}"), reason));
    }
    let mut command = MKFS_EXT4.command()?;
    command.args(["-q", "-F", "-L", label]);
    if let Some(directory) = directory {
        command.arg("-d").arg(directory);
    }
    let mut extended = format!("root_owner=0:0,offset={}", place.start);
    if let Some(identity) = identity {
        let uuid = identity.uuid();
        extended.push_str(&format!(",hash_seed={uuid}"));
        command.args(["-U", &uuid]);
        // The second is read by e2fsprogs from 1.47.1 on.
        for variable in ["E2FSPROGS_FAKE_TIME", "SOURCE_DATE_EPOCH"] {
            command.env(variable, FIXED_TIME.to_string());
        }
    }
    command.args(["-E", &extended]);
    command.arg(file).arg(format!("{}k", place.size / 1024));
    // The image's allocated blocks measure the progress of the copy.
    let outcome = MKFS_EXT4.run(command, "", &mut || {
        if let Ok(known) = std::fs::metadata(file) {
            bar.set_position(known.blocks() * 512);
        }
    })?;
    let full = [
        "Could not allocate",
        "No space",
        "no free space",
        "too small",
    ];
    if outcome.status == 0 {
        Ok(())
    } else if full.iter().any(|text| outcome.text.contains(text)) {
        Err(directory.map_or_else(too_small_for_ext4, too_small))
    } else {
        Err(Failure::on(MKFS_EXT4.name, outcome.last_line()))
    }
}

fn too_small_for_ext4() -> Failure {
    Failure::on("--data-size", "too little for ext4").remedy("give more, such as 8M")
}

fn too_small(directory: &Path) -> Failure {
    Failure::on(directory, "the files don't fit into the image").remedy("say a larger --size")
}

/// Returns a directory's entries with their metadata, sorted by name; doesn't follow links.
fn entries(directory: &Path) -> Result<Vec<(DirEntry, Metadata)>, Failure> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).on(directory)? {
        let entry = entry.on(directory)?;
        let known = entry.metadata().on(entry.path())?;
        entries.push((entry, known));
    }
    entries.sort_by_key(|(entry, _)| entry.file_name());
    Ok(entries)
}

/// Returns the total size of all files in a directory; counts hard links once.
fn total(directory: &Path) -> Result<u64, Failure> {
    let mut waiting = vec![directory.to_owned()];
    let mut seen = std::collections::HashSet::new();
    let mut bytes = 0;
    while let Some(directory) = waiting.pop() {
        for (entry, known) in entries(&directory)? {
            if known.is_dir() {
                waiting.push(entry.path());
            } else if known.is_file() && seen.insert((known.dev(), known.ino())) {
                bytes += known.len();
            }
        }
    }
    Ok(bytes)
}

/// A file or directory of a new FAT file system.
pub struct Entry<'a> {
    /// Its absolute path there.
    pub target: String,
    pub contents: Contents<'a>,
    /// In seconds since 1970.
    pub modified: i64,
    /// Its path on the host, or its name in error messages.
    pub source: PathBuf,
}

/// Contents of an [`Entry`].
pub enum Contents<'a> {
    Directory,
    Bytes(&'a [u8]),
    /// Those of the file `source`.
    Source,
}

/// Returns everything below a directory, each directory before its entries.
fn tree(directory: &Path) -> Result<Vec<Entry<'static>>, Failure> {
    let mut found = Vec::new();
    let mut waiting = vec![(directory.to_owned(), String::new())];
    while let Some((directory, prefix)) = waiting.pop() {
        for (entry, known) in entries(&directory)? {
            let source = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(Failure::on(source, "the name isn't UTF-8").remedy("rename it"));
            };
            let target = format!("{prefix}/{name}");
            let contents = if known.is_dir() {
                waiting.push((source.clone(), target.clone()));
                Contents::Directory
            } else if known.is_file() {
                Contents::Source
            } else if known.is_symlink() {
                return Err(
                    Failure::on(source, "FAT has no symbolic links").remedy("use --fs ext4")
                );
            } else {
                return Err(
                    Failure::on(source, "neither a file nor a directory").remedy("remove it")
                );
            };
            found.push(Entry {
                target,
                contents,
                modified: known.mtime(),
                source,
            });
        }
    }
    Ok(found)
}

/// Copies the entries to the new FAT file system, which records `now` as the time of their creation.
pub fn fill(
    file: &Path,
    place: Place,
    entries: &[Entry<'_>],
    now: &'static fs::Clock,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut volume = image::mount(file, image::device(file, place, true)?, Some(now))?;
    for entry in entries {
        let source = &entry.source;
        let failed = |error: Error| match error {
            Error::NoSpace => too_small(source.parent().unwrap_or(source)),
            Error::Unsupported => Failure::on(source, "FAT has no links"),
            Error::Exists => {
                let reason = "FAT takes it for another name, which differs in case only";
                Failure::on(source, reason).remedy("rename one of the two")
            }
            error => Failure::on(source, error),
        };
        let copied = match entry.contents {
            Contents::Directory => volume.mkdir(&entry.target),
            Contents::Bytes(bytes) => copy_file(&mut *volume, bytes, entry, bar)?,
            Contents::Source => {
                copy_file(&mut *volume, File::open(source).on(source)?, entry, bar)?
            }
        };
        let time = Some(fs::Time::from_seconds(entry.modified));
        copied
            .and_then(|()| volume.set_times(&entry.target, time, time))
            .map_err(failed)?;
    }
    volume.sync().on(file)
}

/// Copies one file; the outer error is the host's, the inner one the volume's.
fn copy_file(
    volume: &mut dyn Volume,
    mut from: impl Read,
    entry: &Entry<'_>,
    bar: &ProgressBar,
) -> Result<Result<(), Error>, Failure> {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let file = match volume.open(&entry.target, flags) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error)),
    };
    let mut piece = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let count = from.read(&mut piece).on(&entry.source)?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(volume.close(file));
        };
        match volume.write_at(file, at, bytes) {
            Ok(written) if written == count => at += count as u64,
            Ok(_) => return Ok(Err(Error::NoSpace)),
            Err(error) => return Ok(Err(error)),
        }
        bar.inc(count as u64);
    }
}
