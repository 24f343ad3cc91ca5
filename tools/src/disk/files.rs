//! `soil disk list` and `soil disk extract`, for every file system that Soil's programs can mount.

use super::image::{self, Content};
use super::shown;
use crate::cli::FileSystem;
use crate::failure::{Context as _, Failure};
use crate::messages::{OUTPUT, Output};
use crate::{json, progress};
use fs::partition::Scheme;
use fs::{Kind, OpenFlags, Stat, Time, Volume, Walk};
use indicatif::ProgressBar;
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The maximum length of paths on a volume; a damaged volume may contain longer ones.
const MAX_PATH: usize = 4095;
/// An entry with its path on the volume.
struct Entry {
    path: String,
    stat: Stat,
    /// The target of a symbolic link.
    target: Option<String>,
}

/// Mounts the volume. Also returns whether it is ext4.
fn open(path: &Path, partition: Option<&str>) -> Result<(Box<dyn Volume>, bool), Failure> {
    let place = image::place(path, partition)?;
    let mut device = image::device(path, place, false)?;
    let is_ext4 = image::content(&mut *device) == Content::Known(FileSystem::Ext4);
    Ok((image::mount(path, device, None)?, is_ext4))
}

/// Lists the names in a directory with their attributes, in disk order.
pub fn listed(volume: &mut dyn Volume, directory: &str) -> Result<Vec<(String, Stat)>, fs::Error> {
    let handle = volume.open(directory, OpenFlags::DIRECTORY)?;
    let (mut names, mut cursor) = (Vec::new(), Some(0));
    while let Some(from) = cursor {
        cursor = volume.list(handle, from, &mut |entry| {
            names.push((entry.name.to_owned(), entry.kind));
            true
        })?;
    }
    volume.close(handle)?;
    let prefix = directory.trim_end_matches('/');
    let known = names.into_iter().map(|(name, kind)| {
        let stat = match volume.stat(&format!("{prefix}/{name}")) {
            // A name that isn't UTF-8 is listed with replacement characters; no path matches it.
            Err(fs::Error::NotFound) => unknown(kind),
            stat => stat?,
        };
        Ok((name, stat))
    });
    known.collect()
}

/// Placeholder attributes of an entry that no path matches.
fn unknown(kind: Kind) -> Stat {
    let never = Time::from_seconds(0);
    Stat {
        kind,
        size: 0,
        modified: never,
        accessed: never,
        changed: never,
        links: 1,
        inode: 0,
        read_only: false,
    }
}

/// Returns the entries of a directory, sorted by name.
fn entries(volume: &mut dyn Volume, directory: &str) -> Result<Vec<Entry>, fs::Error> {
    let mut names = listed(volume, directory)?;
    names.sort_by(|a, b| a.0.cmp(&b.0));
    let prefix = directory.trim_end_matches('/');
    let mut entries = Vec::new();
    for (name, stat) in names {
        let path = format!("{prefix}/{name}");
        let target = match stat.kind {
            Kind::Symlink => match volume.resolve(&path, true)? {
                Walk::Link { target, .. } => Some(target),
                Walk::Plain => None,
            },
            Kind::File | Kind::Directory => None,
        };
        entries.push(Entry { path, stat, target });
    }
    Ok(entries)
}

/// Calls `visit` with every entry below `from`, directories before their contents.
fn walk(
    volume: &mut dyn Volume,
    from: &str,
    visit: &mut dyn FnMut(&mut dyn Volume, &Entry) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut waiting = vec![from.to_owned()];
    while let Some(directory) = waiting.pop() {
        let found = entries(volume, &directory).on(plain(&directory))?;
        let mut below = Vec::new();
        for entry in found {
            visit(volume, &entry)?;
            if entry.stat.kind == Kind::Directory {
                if entry.path.len() > MAX_PATH {
                    return Err(Failure::on(plain(&entry.path), "too deep"));
                }
                below.push(entry.path);
            }
        }
        waiting.extend(below.into_iter().rev());
    }
    Ok(())
}

/// Returns the entry at the start path: a directory or a file.
fn start(volume: &mut dyn Volume, path: &str) -> Result<Entry, Failure> {
    let path = fs::path::normalise(path).on(path)?;
    let stat = volume.stat(&path).on(&path)?;
    let target = None;
    Ok(Entry { path, stat, target })
}

/// Converts days since 1970-01-01 to year, month and day of the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // Years that start in March end with the leap day; an era is 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let year = era * 400 + year + i64::from(month >= 10);
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    (
        year,
        if month < 10 { month + 3 } else { month - 9 },
        day_of_month,
    )
}

fn line(entry: &Entry) -> String {
    let kind = match entry.stat.kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
    };
    let seconds = entry.stat.modified.seconds;
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let minute = seconds.rem_euclid(86_400) / 60;
    let target = entry.target.as_deref();
    let target = target.map_or(String::new(), |target| format!(" -> {}", plain(target)));
    format!(
        "{kind} {:>12} {year}-{month:02}-{day:02} {:02}:{:02} {}{target}",
        entry.stat.size,
        minute / 60,
        minute % 60,
        plain(&entry.path)
    )
}

/// Replaces characters in a name that a terminal would interpret.
fn plain(name: &str) -> String {
    let escaped = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    name.chars().map(escaped).collect()
}

/// The contents of an image in `--json`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Contents {
    /// The partitions of an image with several.
    Partitions(Vec<PartitionShown>),
    /// The files of one file system.
    Files(Vec<EntryShown>),
}

#[derive(Serialize)]
struct PartitionShown {
    number: u32,
    label: String,
    bytes: u64,
}

#[derive(Serialize)]
struct EntryShown {
    path: String,
    kind: &'static str,
    bytes: u64,
    /// Seconds since 1970-01-01 UTC.
    modified: i64,
    /// The target of a symbolic link.
    target: Option<String>,
}

pub fn list(
    image: &Path,
    path: &str,
    partition: Option<&str>,
    json: bool,
) -> Result<String, Failure> {
    let table = image::table(image)?;
    if partition.is_none() && table.partitions.len() != 1 && table.scheme != Scheme::Whole {
        let partitions = table.partitions.iter().map(|partition| PartitionShown {
            number: partition.number,
            label: partition.label.to_string(),
            bytes: partition.sectors.saturating_mul(super::device::SECTOR),
        });
        let partitions: Vec<PartitionShown> = partitions.collect();
        if json {
            json::print(&Contents::Partitions(partitions))?;
            return Ok(String::new());
        }
        let mut text = String::from("partitions (--partition lists the files of one):");
        for partition in &partitions {
            let (number, size) = (partition.number, shown(partition.bytes));
            text.push_str(&format!(
                "\n{number:>3} {size:>10} {}",
                plain(&partition.label)
            ));
        }
        return Ok(text);
    }
    let (mut volume, _) = open(image, partition)?;
    let first = start(&mut *volume, path)?;
    let mut output = std::io::BufWriter::new(Output::default());
    let mut files = Vec::new();
    let mut show = |entry: &Entry| {
        if json {
            files.push(entry_shown(entry));
            return Ok(());
        }
        writeln!(output, "{}", line(entry)).on(OUTPUT)
    };
    if first.stat.kind == Kind::Directory {
        walk(&mut *volume, &first.path, &mut |_, entry| show(entry))?;
    } else {
        show(&first)?;
    }
    output.flush().on(OUTPUT)?;
    drop(output);
    if json {
        json::print(&Contents::Files(files))?;
    }
    Ok(String::new())
}

fn entry_shown(entry: &Entry) -> EntryShown {
    EntryShown {
        path: entry.path.clone(),
        kind: match entry.stat.kind {
            Kind::File => "file",
            Kind::Directory => "directory",
            Kind::Symlink => "symlink",
        },
        bytes: entry.stat.size,
        modified: entry.stat.modified.seconds,
        target: entry.target.clone(),
    }
}

pub fn extract(
    image: &Path,
    directory: &Path,
    path: &str,
    partition: Option<&str>,
) -> Result<String, Failure> {
    let (mut volume, is_ext4) = open(image, partition)?;
    let first = start(&mut *volume, path)?;
    if first.stat.kind != Kind::Directory {
        return Err(Failure::on(&first.path, "not a directory"));
    }
    // Requires a new or empty directory, so that no existing file is followed or replaced.
    match std::fs::read_dir(directory).map(Iterator::count) {
        Ok(0) => {}
        Ok(_) => return Err(Failure::on(directory, "isn't empty").remedy("name a new directory")),
        Err(_) => std::fs::create_dir(directory).on(directory)?,
    }
    let total = volume
        .space()
        .map_or(0, |space| space.total.saturating_sub(space.free));
    let bar = progress::bytes("extracting", total);
    let (mut files, mut bytes) = (0_u64, 0_u64);
    let base = first.path.trim_end_matches('/').to_owned();
    let mut times = Vec::new();
    walk(&mut *volume, &first.path, &mut |volume, entry| {
        let below = entry.path.strip_prefix(&base).unwrap_or(&entry.path);
        let name = below.rsplit('/').next().unwrap_or_default();
        if matches!(name, "" | "." | "..") || name.contains('\0') {
            let path = plain(&entry.path);
            return Err(Failure::on(path, "a name that no file can have"));
        }
        let target = directory.join(below.trim_start_matches('/'));
        let modified = time(&entry.stat);
        // Every ext4 has lost+found for e2fsck; extracts it only if e2fsck has found something.
        if is_ext4
            && entry.path == "/lost+found"
            && entries(volume, &entry.path).is_ok_and(|found| found.is_empty())
        {
            return Ok(());
        }
        match (entry.stat.kind, &entry.target) {
            (Kind::Directory, _) => {
                std::fs::create_dir(&target).on(&target)?;
                times.push((target, modified));
            }
            (Kind::Symlink, Some(leads)) => {
                std::os::unix::fs::symlink(leads, &target).on(&target)?;
            }
            _ => {
                let file = File::create_new(&target).on(&target)?;
                bytes += copy(volume, &entry.path, &file, &target, &bar)?;
                // Some host file systems don't support such times.
                let _ = file.set_modified(modified);
                files += 1;
            }
        }
        Ok(())
    })?;
    for (directory, modified) in times.into_iter().rev() {
        if let Ok(directory) = File::open(directory) {
            let _ = directory.set_modified(modified);
        }
    }
    bar.finish_and_clear();
    Ok(format!(
        "{}: {files} files, {}",
        directory.display(),
        shown(bytes)
    ))
}

fn time(stat: &Stat) -> SystemTime {
    let since = Duration::from_secs(stat.modified.seconds.unsigned_abs());
    let whole = if stat.modified.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(since)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(since)
    };
    let fraction = Duration::from_nanos(stat.modified.nanoseconds.into());
    whole
        .and_then(|whole| whole.checked_add(fraction))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Copies a file from the volume and returns its size.
fn copy(
    volume: &mut dyn Volume,
    path: &str,
    mut to: &File,
    target: &Path,
    bar: &ProgressBar,
) -> Result<u64, Failure> {
    let shown = plain(path);
    let file = volume.open(path, OpenFlags::READ).on(&shown)?;
    let mut piece = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let count = volume.read_at(file, at, &mut piece).on(&shown)?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        to.write_all(bytes).on(target)?;
        at += count as u64;
        bar.inc(count as u64);
    }
    volume.close(file).on(&shown)?;
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::{date, plain};

    #[test]
    fn dates_are_gregorian() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_675, (2023, 11, 14)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }

    #[test]
    fn names_do_nothing_to_a_terminal() {
        assert_eq!(plain("grüße\u{1b}[2J\n"), "grüße\\u{1b}[2J\\n");
    }
}
