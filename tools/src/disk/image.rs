//! Reads the contents of images, and makes new images.

use super::device::{Image, Overlay, SECTOR};
use super::tool::CP;
use crate::cli::FileSystem;
use crate::failure::{Context as _, Failure};
use crate::messages::say;
use fs::partition::{self, Scheme, Slice, Table};
use fs::{Block, Volume};
use indicatif::ProgressBar;
use rustix::fs::{SeekFrom, seek};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::{NamedTempFile, TempPath};

/// The extent of a file system on an image, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub start: u64,
    pub size: u64,
    /// The partition's number; `None` for the whole image.
    pub partition: Option<u32>,
}

/// The kind of an image's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Known(FileSystem),
    Tar,
}

/// Reads the image's partition table; prints its warnings to standard error.
pub fn table(path: &Path) -> Result<Table, Failure> {
    let mut image = Image::open(path)?;
    let table = partition::table(&mut image).on(path)?;
    for warning in &table.warnings {
        say(&format!("{}: {warning}", path.display()));
    }
    Ok(table)
}

/// Selects a part of the image: a partition by number or label, the only one, or the whole image.
pub fn place(path: &Path, name: Option<&str>) -> Result<Place, Failure> {
    let table = table(path)?;
    let chosen = match (name, table.partitions.as_slice()) {
        (Some(name), _) => Some(table.find(name)),
        (None, [only]) => Some(table.find(&only.number.to_string())),
        (None, []) if table.scheme == Scheme::Whole => None,
        (None, partitions) => {
            let count = partitions.len();
            let remedy = "say --partition NUMBER or LABEL (soil disk list shows them)";
            return Err(Failure::on(path, format!("has {count} partitions")).remedy(remedy));
        }
    };
    match chosen {
        Some(found) => {
            let found = found.on(path)?;
            Ok(Place {
                start: found.first * SECTOR,
                size: found.sectors * SECTOR,
                partition: Some(found.number),
            })
        }
        None => Ok(Place {
            start: 0,
            size: Image::open(path)?.sectors() * SECTOR,
            partition: None,
        }),
    }
}

/// Opens a part of the image as a disk.
pub fn device(path: &Path, place: Place, writable: bool) -> Result<Box<dyn Block + Send>, Failure> {
    let image = if writable {
        Image::open_writable(path)?
    } else {
        Image::open(path)?
    };
    Ok(Box::new(Slice::new(
        image,
        place.start / SECTOR,
        place.size / SECTOR,
    )))
}

/// Detects the contents of a disk from its first bytes. Returns FAT for unrecognized ones, because
/// the error of mounting FAT describes them.
pub fn content(device: &mut dyn Block) -> Content {
    let mut start = vec![0; 2048];
    if device.sectors() < 4 || device.read(0, &mut start).is_err() {
        return Content::Known(FileSystem::Fat);
    }
    let has = |at: usize, bytes: &[u8]| start.get(at..at + bytes.len()) == Some(bytes);
    if has(257, b"ustar") {
        Content::Tar
    } else if has(1024 + 0x38, b"\x53\xef") && !has(510, b"\x55\xaa") {
        Content::Known(FileSystem::Ext4)
    } else {
        Content::Known(FileSystem::Fat)
    }
}

/// Whether the journal of the ext4 file system on the disk has to be replayed: after its machine
/// was stopped (kernel documentation, "Super Block", `s_feature_incompat`).
pub fn needs_replay(device: &mut dyn Block) -> bool {
    let mut superblock = vec![0; 1024];
    device.read(1024 / SECTOR, &mut superblock).is_ok()
        && superblock.get(0x38..0x3a) == Some(b"\x53\xef")
        && superblock
            .get(0x60)
            .is_some_and(|features| features & 4 != 0)
}

/// Mounts the file system of the disk; `clock` sets the times of written files. On a read-only disk
/// a journal is replayed in memory.
pub fn mount(
    path: &Path,
    mut device: Box<dyn Block + Send>,
    clock: Option<&'static fs::Clock>,
) -> Result<Box<dyn Volume>, Failure> {
    let is_ext4 = content(&mut *device) == Content::Known(FileSystem::Ext4);
    if device.read_only() && is_ext4 && needs_replay(&mut *device) {
        device = Box::new(Overlay::new(device));
    }
    let options = fs::VolumeOptions {
        read_only: device.read_only(),
        clock,
        cache_bytes: 4 << 20,
        stream_bytes: 1 << 20,
        ..fs::VolumeOptions::default()
    };
    let mounted = match content(&mut *device) {
        Content::Tar => fs::tar::mount(device, fs::tar::Options::default()),
        Content::Known(FileSystem::Ext4) => fs::ext4::mount(device, options),
        Content::Known(FileSystem::Fat) => fs::fat::mount(device, options),
    };
    mounted.on(path)
}

/// An unfinished image: a temporary file beside its target, removed on drop unless finished.
pub struct Unfinished {
    file: TempPath,
    target: PathBuf,
}

impl Unfinished {
    /// Starts the image `target`, which must not exist unless `replace` is set. Of a symbolic link
    /// it replaces the file.
    pub fn new(target: &Path, replace: bool) -> Result<Self, Failure> {
        if target.is_dir() {
            return Err(Failure::on(target, "a directory"));
        }
        if std::fs::metadata(target).is_ok_and(|found| !found.is_file()) {
            return Err(Failure::on(target, "not a regular file")
                .remedy("give another path; dd copies a raw disk to a device"));
        }
        if !replace && target.symlink_metadata().is_ok() {
            return Err(Failure::on(target, "already exists").remedy("--force replaces it"));
        }
        // Fails for a new file.
        let file = std::fs::canonicalize(target);
        Self::with_target(file.as_deref().unwrap_or(target))
    }

    /// Starts a file that the image is made of, in the same directory.
    pub fn beside(&self) -> Result<Self, Failure> {
        Self::with_target(&self.target)
    }

    fn with_target(target: &Path) -> Result<Self, Failure> {
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = NamedTempFile::with_prefix_in(".soil-disk-", folder)
            .on(target)?
            .into_temp_path();
        remove_when_interrupted(file.to_path_buf())?;
        Ok(Self {
            file,
            target: target.to_owned(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Syncs the image and durably renames it to its target. A file that was there gives it its
    /// permissions, and as far as we may its owner.
    pub fn finish(self) -> Result<(), Failure> {
        let file = File::open(&self.file).on(&self.target)?;
        let mode = match std::fs::metadata(&self.target) {
            Ok(old) => {
                // Fails for an owner other than root's or ours.
                let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
                old.mode()
            }
            // The umask's: a temporary file has only the owner's.
            Err(_) => {
                let mask = rustix::process::umask(rustix::fs::Mode::empty());
                rustix::process::umask(mask);
                0o666 & !mask.bits()
            }
        };
        let mode = rustix::fs::Mode::from_raw_mode(mode);
        rustix::fs::fchmod(&file, mode).on(&self.target)?;
        file.sync_all().on(&self.target)?;
        let target = self.target.clone();
        let placed = self.file.persist(&self.target);
        placed.map_err(|error| Failure::on(target, error.error))
    }
}

/// Removes the file when a signal such as Ctrl-C ends the command.
fn remove_when_interrupted(path: PathBuf) -> Result<(), Failure> {
    static FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    files.push(path);
    if files.len() > 1 {
        return Ok(());
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Failure::new(format!("signals can't be handled: {error}")))?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
            for path in &*files {
                let _ = std::fs::remove_file(path);
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Copies an image and preserves its holes.
pub fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let mut command = CP.command()?;
    command
        .args(["--sparse=always", "--reflink=auto", "--"])
        .args([from, to]);
    let outcome = CP.run(command, "", &mut || {})?;
    if outcome.status == 0 {
        Ok(())
    } else {
        Err(Failure::new(outcome.last_line()))
    }
}

/// Copies one part of an image to its own file, with holes for zeros.
pub fn copy_part(image: &Path, place: Place, to: &Path) -> Result<(), Failure> {
    let file = File::create(to).on(to)?;
    file.set_len(place.size).on(to)?;
    copy_into(image, place, &file, 0, &ProgressBar::hidden())
}

/// Copies one part of an image to `start` in a file that has zeros there.
pub fn copy_into(
    image: &Path,
    place: Place,
    to: &File,
    start: u64,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut from = device(image, place, false)?;
    let mut piece = vec![0; 1 << 20];
    let mut at = 0;
    while at < place.size {
        let len = (place.size - at).min(piece.len() as u64) as usize;
        let Some(bytes) = piece.get_mut(..len) else {
            break;
        };
        from.read(at / SECTOR, bytes).on(image)?;
        if bytes.iter().any(|byte| *byte != 0) {
            to.write_all_at(bytes, start + at)
                .map_err(|error| Failure::on(image, format!("the copy: {error}")))?;
        }
        at += len as u64;
        bar.set_position(at);
    }
    Ok(())
}

/// Copies what isn't a hole of a file to `start` in another.
pub fn copy_data(from: &File, to: &File, start: u64) -> std::io::Result<()> {
    let mut piece = vec![0; 1 << 20];
    let mut end = 0;
    loop {
        let mut at = match seek(from, SeekFrom::Data(end)) {
            Ok(at) => at,
            // No data behind `end`.
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        end = seek(from, SeekFrom::Hole(at))?;
        while at < end {
            let len = (end - at).min(piece.len() as u64) as usize;
            let Some(bytes) = piece.get_mut(..len) else {
                break;
            };
            from.read_exact_at(bytes, at)?;
            to.write_all_at(bytes, start + at)?;
            at += len as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unfinished;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};

    #[test]
    fn a_replaced_file_keeps_its_place_its_owner_and_its_permissions() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (
            folder.path().join("other/disk.img"),
            folder.path().join("link.img"),
        );
        fs::create_dir(folder.path().join("other")).expect("made");
        fs::write(&file, "old").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("set");
        symlink("other/disk.img", &link).expect("linked");
        if rustix::process::geteuid().is_root() {
            chown(&file, Some(65534), Some(65533)).expect("given away");
        }
        let before = fs::metadata(&file).expect("there");
        let unfinished = Unfinished::new(&link, true).expect("begun");
        fs::write(unfinished.path(), "new").expect("written");
        unfinished.finish().expect("finished");
        assert!(link.symlink_metadata().expect("there").is_symlink());
        assert_eq!(fs::read(&file).expect("readable"), b"new");
        let after = fs::metadata(&file).expect("there");
        let of = |found: &fs::Metadata| (found.mode(), found.uid(), found.gid());
        assert_eq!(of(&after), of(&before));
        assert_ne!(after.ino(), before.ino(), "replaced at once");
    }

    #[test]
    fn a_new_file_has_the_permissions_of_the_umask() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, usual) = (folder.path().join("disk.img"), folder.path().join("usual"));
        let unfinished = Unfinished::new(&file, false).expect("begun");
        unfinished.finish().expect("finished");
        fs::write(&usual, "").expect("written");
        let mode = |path| fs::metadata(path).expect("there").mode();
        assert_eq!(mode(&file), mode(&usual));
        let error = Unfinished::new(folder.path(), false)
            .err()
            .expect("refused");
        assert!(error.to_string().ends_with(": a directory"), "{error}");
        let error = Unfinished::new("/dev/null".as_ref(), true).err();
        let error = error.expect("refused").to_string();
        assert!(
            error.starts_with("/dev/null: not a regular file: "),
            "{error}"
        );
    }
}
