//! `soil disk grow`: makes a larger image with the same files beside the old one, and replaces it.

use super::device::SECTOR;
use super::files;
use super::image::{self, Content, Place, Unfinished};
use super::make::{ALIGN, GPT_END, remake_fat, text};
use super::shown;
use super::tool::{E2FSCK, RESIZE2FS, SFDISK};
use crate::cli::FileSystem;
use crate::failure::{Context as _, Failure};
use crate::progress;
use fs::fat::reader::Reader;
use fs::{Block, Error, Kind, OpenFlags, Volume};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

static NOW: AtomicI64 = AtomicI64::new(0);
static CLOCK: fs::Clock = fs::Clock::new(|| fs::Time::from_seconds(NOW.load(Ordering::Relaxed)));

pub fn run(path: &Path, size: u64, partition: Option<&str>) -> Result<String, Failure> {
    let place = image::place(path, partition)?;
    let mut device = image::device(path, place, false)?;
    let Content::Known(what) = image::content(&mut *device) else {
        return Err(Failure::on(path, "a tar archive doesn't grow"));
    };
    let before = super::device::Image::open(path)?.sectors() * SECTOR;
    if size <= before {
        let reason = format!("has {} already", shown(before));
        return Err(Failure::on(path, reason).remedy("say a larger --size"));
    }
    let table = image::table(path)?;
    let end = place.start + place.size;
    let is_last = |other: &fs::partition::Partition| other.first.saturating_mul(SECTOR) < end;
    if place.partition.is_some() && !table.partitions.iter().all(is_last) {
        return Err(Failure::on(
            path,
            "only the last partition of a disk can grow",
        ));
    }
    let unfinished = Unfinished::new(path, true)?;
    let new = unfinished.path();
    image::copy(path, new)?;
    let grown = enlarge(new, size, place)?;
    match what {
        FileSystem::Ext4 => grow_ext4(new, size, grown)?,
        FileSystem::Fat => grow_fat(path, place, new, grown)?,
    }
    unfinished.finish()?;
    Ok(format!("{}: {}", path.display(), shown(size)))
}

/// Enlarges the image and the partition.
fn enlarge(new: &Path, size: u64, place: Place) -> Result<Place, Failure> {
    File::options()
        .write(true)
        .open(new)
        .and_then(|file| file.set_len(size))
        .on(new)?;
    let Some(number) = place.partition else {
        return Ok(Place { size, ..place });
    };
    let end = size.saturating_sub(GPT_END) / ALIGN * ALIGN;
    let grown = Place {
        size: end.saturating_sub(place.start),
        ..place
    };
    if grown.size <= place.size {
        return Err(
            Failure::on("--size", "leaves no more room for the partition")
                .remedy("say a few MiB more"),
        );
    }
    let file = text(new)?;
    // Moves the GPT's backup to the new end. An MBR has none, so a failure there is ignored.
    SFDISK
        .must(&["-q", "--relocate", "gpt-bak-std", &file], "")
        .or_else(|error| {
            let mbr = image::table(new)?.scheme == fs::partition::Scheme::Mbr;
            if mbr { Ok(()) } else { Err(error) }
        })?;
    let number = number.to_string();
    let arguments = [
        "-q",
        "--no-reread",
        "--no-tell-kernel",
        "-N",
        &number,
        &file,
    ];
    SFDISK.must(&arguments, &format!(", {}\n", grown.size / SECTOR))?;
    Ok(grown)
}

fn grow_ext4(new: &Path, size: u64, place: Place) -> Result<(), Failure> {
    let mut image = text(new)?;
    if place.partition.is_some() {
        image.push_str(&format!("?offset={}", place.start));
    }
    let mut command = E2FSCK.command()?;
    command.args(["-f", "-p", &image]);
    let outcome = progress::during("checking", || E2FSCK.run(command, "", &mut || {}))?;
    if outcome.status > 1 {
        return Err(
            Failure::new("the file system is damaged").remedy("repair it with e2fsck -f first")
        );
    }
    // resize2fs truncates the file at the end of the file system, which drops the GPT's backup.
    let file = File::options().read(true).write(true).open(new);
    let file = file.on(new)?;
    let end = place.start + place.size;
    let mut tail = vec![0; size.saturating_sub(end).min(ALIGN + GPT_END) as usize];
    file.read_exact_at(&mut tail, end).on(new)?;
    let sectors = format!("{}s", place.size / SECTOR);
    progress::during("growing", || RESIZE2FS.must(&[&image, &sectors], ""))?;
    file.set_len(size).on(new)?;
    file.write_all_at(&tail, end).on(new)
}

/// Copies the files to a new file system, because FAT's tables before the contents can't grow.
fn grow_fat(old: &Path, place: Place, new: &Path, grown: Place) -> Result<(), Failure> {
    let mut from = image::mount(old, image::device(old, place, false)?, None)?;
    let label = label(image::device(old, place, false)?);
    remake_fat(new, grown, &label, None)?;
    let mut to = image::mount(new, image::device(new, grown, true)?, Some(&CLOCK))?;
    let used = from.space().on("/")?;
    let bar = progress::bytes("copying", used.total.saturating_sub(used.free));
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        let root = if directory.is_empty() {
            "/"
        } else {
            &directory
        };
        for (name, stat) in files::listed(&mut *from, root).on(root)? {
            let path = format!("{directory}/{name}");
            NOW.store(stat.modified.seconds, Ordering::Relaxed);
            if stat.kind == Kind::Directory {
                to.mkdir(&path).on(&path)?;
                waiting.push(path);
            } else {
                copy(&mut *from, &mut *to, &path, &bar).on(&path)?;
            }
        }
    }
    to.sync().on("/")?;
    bar.finish_and_clear();
    Ok(())
}

fn copy(
    from: &mut dyn Volume,
    to: &mut dyn Volume,
    path: &str,
    bar: &indicatif::ProgressBar,
) -> Result<(), Error> {
    let source = from.open(path, OpenFlags::READ)?;
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let target = to.open(path, flags)?;
    let mut piece = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let count = from.read_at(source, at, &mut piece)?;
        let bytes = piece.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if to.write_at(target, at, bytes)? < count {
            return Err(Error::NoSpace);
        }
        at += count as u64;
        bar.inc(count as u64);
    }
    to.close(target)?;
    from.close(source)
}

/// Reads the label of a FAT file system; empty if it has none.
fn label(device: Box<dyn Block + Send>) -> String {
    let reader = Reader::open(device).ok().flatten();
    let label = reader.and_then(|mut reader| reader.label().ok().flatten());
    label.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tool::MKFS_FAT;

    /// Windows writes a label into the root directory only.
    #[test]
    fn a_label_of_the_root_directory_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("d.img");
        let file = File::create(&path).expect("made");
        file.set_len(4 << 20).expect("enlarged");
        let text = path.to_str().expect("UTF-8");
        MKFS_FAT.must(&["-n", "OLD", text], "").expect("made");
        let mut bytes = std::fs::read(&path).expect("readable");
        let name = b"OLD        \x08";
        let found = bytes.windows(12).position(|window| window == name);
        let at = found.expect("the entry of the label");
        bytes[at..at + 11].copy_from_slice(b"MY FILES   ");
        std::fs::write(&path, &bytes).expect("written");
        run(&path, 8 << 20, None).expect("grown");
        let place = image::place(&path, None).expect("a place");
        assert_eq!(place.size, 8 << 20);
        assert_eq!(
            label(image::device(&path, place, false).expect("a device")),
            "MY FILES"
        );
    }
}
