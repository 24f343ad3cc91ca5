//! `soil disk check`: runs the file system's own checker, read-only. A journal that has to be
//! replayed is replayed on a copy first: without it the file system is that of an earlier time.

use super::image::{self, Content, Place};
use super::tool::{E2FSCK, FSCK_FAT, Outcome};
use crate::cli::{FileSystem, value_name};
use crate::failure::{Context as _, Failure};
use crate::messages::print_error;
use crate::{json, progress};
use serde::Serialize;
use std::path::Path;
use tempfile::NamedTempFile;

/// The state of a file system.
enum Verdict {
    Clean,
    /// Clean once its journal is replayed, as the next mount does.
    NeedsReplay,
    /// The checker's output.
    Damaged(String),
}

/// The state of a file system in `--json`.
#[derive(Serialize)]
struct State<'a> {
    image: String,
    file_system: &'a str,
    clean: bool,
    needs_replay: bool,
    /// The checker's output, if the file system is damaged.
    report: &'a str,
}

pub fn run(path: &Path, partition: Option<&str>, json: bool) -> Result<String, Failure> {
    let bar = progress::busy("checking");
    let place = image::place(path, partition)?;
    let mut device = image::device(path, place, false)?;
    let what = image::content(&mut *device);
    let verdict = match what {
        Content::Tar => {
            image::mount(path, device, None)?;
            Verdict::Clean
        }
        Content::Known(FileSystem::Ext4) if image::needs_replay(&mut *device) => {
            replayed(path, place)?
        }
        Content::Known(FileSystem::Ext4) => {
            let mut image = path.as_os_str().to_owned();
            if place.partition.is_some() {
                image.push(format!("?offset={}", place.start));
            }
            verdict(e2fsck(&["-f", "-n"], image.as_ref())?)
        }
        Content::Known(FileSystem::Fat) => {
            // If the contents aren't FAT, mounting fails with one line that names them.
            drop(image::mount(path, device, None)?);
            let mut command = FSCK_FAT.command()?;
            command.args(["-n", "-V"]);
            let part = place.partition.map(|_| copy(path, place)).transpose()?;
            command.arg(part.as_ref().map_or(path, NamedTempFile::path));
            verdict(FSCK_FAT.run(command, "", &mut || {})?)
        }
    };
    let name = match what {
        Content::Known(known) => value_name(&known),
        Content::Tar => "tar".to_owned(),
    };
    bar.finish_and_clear();
    if json {
        json::print(&State {
            image: path.display().to_string(),
            file_system: &name,
            clean: matches!(verdict, Verdict::Clean),
            needs_replay: matches!(verdict, Verdict::NeedsReplay),
            report: match &verdict {
                Verdict::Damaged(report) => report,
                _ => "",
            },
        })?;
    }
    let found = match verdict {
        _ if json && !matches!(verdict, Verdict::Damaged(_)) => return Ok(String::new()),
        Verdict::Clean => "clean",
        Verdict::NeedsReplay => "clean once its journal is replayed, which the next mount does",
        Verdict::Damaged(report) => {
            if !json {
                print_error(&report);
            }
            let repair = match what {
                Content::Known(FileSystem::Ext4) => "e2fsck -f",
                _ => "fsck.fat -a",
            };
            let failure = Failure::on(path, format!("{name}, damaged"));
            return Err(failure.remedy(format!("repair it with {repair}")));
        }
    };
    Ok(format!("{}: {name}, {found}", path.display()))
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome.status {
        0 => Verdict::Clean,
        _ => Verdict::Damaged(outcome.text),
    }
}

fn e2fsck(options: &[&str], image: &Path) -> Result<Outcome, Failure> {
    let mut command = E2FSCK.command()?;
    command.args(options).arg(image);
    E2FSCK.run(command, "", &mut || {})
}

/// Replays the journal of an ext4 file system on a copy and checks that.
fn replayed(path: &Path, place: Place) -> Result<Verdict, Failure> {
    let part = copy(path, place)?;
    let damaged = |text: String| {
        let (own, shown) = (
            part.path().display().to_string(),
            path.display().to_string(),
        );
        Verdict::Damaged(text.replace(&own, &shown))
    };
    // Replays the journal and frees files that were open. If more is wrong, it repairs that, too,
    // and its status isn't 0.
    let replayed = e2fsck(&["-p"], part.path())?;
    if replayed.status != 0 {
        return Ok(damaged(replayed.text));
    }
    let checked = e2fsck(&["-f", "-n"], part.path())?;
    Ok(match checked.status {
        0 => Verdict::NeedsReplay,
        _ => damaged(checked.text),
    })
}

/// Copies a part of an image to a file that is removed at the end.
fn copy(path: &Path, place: Place) -> Result<NamedTempFile, Failure> {
    let part = NamedTempFile::new().on(std::env::temp_dir())?;
    match place.partition {
        Some(_) => image::copy_part(path, place, part.path())?,
        None => image::copy(path, part.path())?,
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::files::listed;
    use fs::{OpenFlags, Volume, VolumeOptions};
    use std::path::PathBuf;

    /// An ext4 file system in a file.
    fn made(folder: &Path) -> PathBuf {
        let image = folder.join("d.img");
        let file = std::fs::File::create(&image).expect("made");
        file.set_len(16 << 20).expect("enlarged");
        let path = image.to_str().expect("UTF-8");
        crate::disk::tool::MKFS_EXT4
            .must(&["-q", "-F", "-b", "1024", path], "")
            .expect("a file system");
        image
    }

    fn mounted(image: &Path) -> Box<dyn Volume> {
        let place = image::place(image, None).expect("a place");
        let device = image::device(image, place, true).expect("a device");
        fs::ext4::mount(device, VolumeOptions::default()).expect("mounted")
    }

    fn write(volume: &mut dyn Volume, name: &str, len: usize) {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        let file = volume.open(name, flags).expect("opened");
        volume.write_at(file, 0, &vec![7; len]).expect("written");
        volume.close(file).expect("closed");
    }

    /// As [`run`] says it, and what e2fsck says without the journal.
    fn of(image: &Path) -> (Result<String, String>, i32) {
        let before = std::fs::read(image).expect("readable");
        let found = run(image, None, false).map_err(|failure| failure.to_string());
        assert!(std::fs::read(image).expect("readable") == before, "changed");
        let found = found.map(|text| String::from(text.rsplit(": ").next().unwrap_or_default()));
        let raw = e2fsck(&["-f", "-n"], image).expect("run");
        (found, raw.status)
    }

    const REPLAY: &str = "ext4, clean once its journal is replayed, which the next mount does";

    fn names(image: &Path) -> Vec<String> {
        let place = image::place(image, None).expect("a place");
        let device = image::device(image, place, false).expect("a device");
        let mut volume = image::mount(image, device, None).expect("mounted");
        let names = listed(&mut *volume, "/").expect("listed");
        let names = names.into_iter().map(|(name, _)| name);
        names.filter(|name| name != "lost+found").collect()
    }

    /// The machine ends after a commit: the changes are in the journal only.
    #[test]
    fn a_journal_is_replayed_on_a_copy() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = made(folder.path());
        let mut volume = mounted(&image);
        write(&mut *volume, "a", 5000);
        volume.sync().expect("synced");
        // A kill.
        std::mem::forget(volume);
        assert_eq!(of(&image), (Ok(REPLAY.into()), 0));
        assert_eq!(names(&image), ["a"]);
        assert!(needs_replay_of(&image));
        drop(mounted(&image));
        assert_eq!(of(&image), (Ok("ext4, clean".into()), 0));
    }

    fn needs_replay_of(image: &Path) -> bool {
        let place = image::place(image, None).expect("a place");
        image::needs_replay(&mut *image::device(image, place, false).expect("a device"))
    }

    /// A part of the metadata is at its place, the rest in the journal: e2fsck finds damage in what
    /// is healthy.
    #[test]
    fn a_file_system_in_the_middle_of_its_journal_is_healthy() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = made(folder.path());
        let mut volume = mounted(&image);
        for round in 0..60 {
            for n in 0..20 {
                write(&mut *volume, &format!("{round}-{n}"), 3000);
            }
            if round > 0 {
                for n in 0..10 {
                    let name = format!("{}-{n}", round - 1);
                    volume.unlink(&name).expect("removed");
                }
            }
            volume.sync().expect("synced");
        }
        std::mem::forget(volume);
        let (found, raw) = of(&image);
        assert_eq!(found, Ok(REPLAY.into()));
        assert_ne!(raw, 0, "the case isn't one");
        assert_eq!(names(&image).len(), 60 * 20 - 59 * 10);
    }

    /// Damage that the journal doesn't mend.
    #[test]
    fn a_damaged_file_system_with_a_journal_is_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = made(folder.path());
        let mut volume = mounted(&image);
        volume.mkdir("d").expect("made");
        write(&mut *volume, "d/needle-in-a-directory", 10);
        drop(volume);
        let mut volume = mounted(&image);
        write(&mut *volume, "a", 5000);
        volume.sync().expect("synced");
        std::mem::forget(volume);
        let mut bytes = std::fs::read(&image).expect("readable");
        let needle = b"needle-in-a-directory";
        // In the directory, and not in the copy that the journal still has.
        let at = bytes.windows(needle.len()).enumerate();
        let all: Vec<usize> = at.filter(|(_, w)| w == needle).map(|(at, _)| at).collect();
        for at in all {
            bytes[at - 4] ^= 0x55;
        }
        std::fs::write(&image, &bytes).expect("written");
        let (found, _) = of(&image);
        let error = found.expect_err("damaged");
        assert!(error.contains("ext4, damaged"), "{error}");
    }
}
