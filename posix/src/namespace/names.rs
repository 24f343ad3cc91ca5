//! Operations on names: directories, links, renames and removals; sizes and times of the objects of
//! paths. Paths are absolute.

use super::{device, real, stat};
use crate::blocking::operation::{at_once, block, piece};
use crate::errors::{self, Result};
use crate::files::regular::{decode, record};
use crate::process;
use crate::stat::Stat;
use alloc::format;
use alloc::string::String;
use resources::files;
use resources::types::constants as c;
use resources::types::{Int, records};

/// Fails if the path is that of a device, which can't change.
fn no_device(path: &str) -> Result<()> {
    match device(path) {
        Some(_) => Err(libc::EPERM),
        None => Ok(()),
    }
}

/// Runs `operation`, which removes the file of these attributes if it succeeds: it may be the name
/// of a socket.
fn remove_socket_name<T>(
    stat: impl FnOnce() -> Result<Stat>,
    operation: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let any = process::with(|process| !process.socket_names.is_empty());
    let file = if any { stat().ok() } else { None };
    let done = operation()?;
    if let Some(stat) = file {
        process::with(|process| process.socket_names.retain(|name| *name != stat.id()));
    }
    Ok(done)
}

/// The last name of a path, without trailing slashes.
fn last_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or_default()
}

/// `mkdir`.
pub fn make_directory(path: &str) -> Result<u64> {
    block(|rt, token| files::mkdir(rt, path, token)).map(|_| 0)
}

/// `rmdir`.
pub fn remove_directory(path: &str) -> Result<u64> {
    match last_name(path) {
        "." => return Err(libc::EINVAL),
        ".." => return Err(libc::ENOTEMPTY),
        _ => (),
    }
    let place = place_of_directory(path);
    block(|rt, token| files::remove_directory(rt, path, token))?;
    if let Some(place) = place {
        process::with(|process| process.directory.note_removal(&place));
    }
    Ok(0)
}

/// The path without links of the directory that has this name, if the current directory is there or
/// below; `None` for what is no directory.
fn place_of_directory(path: &str) -> Option<String> {
    // Most programs stay in the root.
    let may_be = process::with(|process| !process.directory.is_root());
    let is_directory = may_be && stat(path, false).is_ok_and(|stat| stat.is_directory());
    let place = is_directory.then(|| real(path).ok()).flatten()?;
    process::with(|process| process.directory.is_in(&place)).then_some(place)
}

/// `unlink`.
pub fn remove(path: &str) -> Result<u64> {
    no_device(path)?;
    let unlink = || block(|rt, token| files::unlink(rt, path, token));
    remove_socket_name(|| stat(path, false), unlink).map(|_| 0)
}

/// `renameat2`.
pub fn rename(from: &str, to: &str, flags: u32) -> Result<u64> {
    no_device(from)?;
    no_device(to)?;
    let how = match flags {
        0 => 0,
        libc::RENAME_NOREPLACE => 1,
        libc::RENAME_EXCHANGE => 2,
        _ => return Err(libc::EINVAL),
    };
    if [from, to]
        .iter()
        .any(|path| matches!(last_name(path), "." | ".."))
    {
        return Err(libc::EBUSY);
    }
    let replaced = || match (stat(from, false)?, stat(to, false)?) {
        (from, to) if how == 0 && from.id() != to.id() => Ok(to),
        // Both files are kept.
        _ => Err(libc::EINVAL),
    };
    // At most one of the two has the current directory, unless one is in the other. The paths may
    // lead through what is renamed, and then mean nothing afterwards.
    let places = [from, to].map(place_of_directory);
    let named = match places {
        [None, None] => [None, None],
        _ => [from, to].map(place_of_name),
    };
    let rename = || block(|rt, token| files::rename(rt, from, to, how, token));
    remove_socket_name(replaced, rename)?;
    let [before, after] = named;
    process::with(|process| match (places, before, after) {
        ([Some(place), _], _, Some(to)) => process.directory.note_rename(&place, &to),
        ([None, Some(place)], Some(from), _) if flags == libc::RENAME_EXCHANGE => {
            process.directory.note_rename(&place, &from);
        }
        ([None, Some(place)], ..) => process.directory.note_removal(&place),
        _ => {}
    });
    Ok(0)
}

/// The path without links of what has this name, or will have it; the name itself isn't followed.
fn place_of_name(path: &str) -> Option<String> {
    let (parent, name) = path.trim_end_matches('/').rsplit_once('/')?;
    let parent = real(if parent.is_empty() { "/" } else { parent }).ok()?;
    Some(format!("{}/{name}", parent.trim_end_matches('/')))
}

/// `link`, of a path whose last name isn't followed.
pub fn link(path: &str, new: &str) -> Result<u64> {
    match block(|rt, token| files::link(rt, path, new, token)) {
        // As Linux for directories.
        Err(libc::EISDIR) => Err(libc::EPERM),
        Err(libc::ELOOP) => Err(libc::EMLINK),
        done => done.map(|_| 0),
    }
}

/// `symlink`.
pub fn symlink(target: &[u8], path: &str) -> Result<u64> {
    if target.is_empty() {
        return Err(libc::ENOENT);
    }
    let target = core::str::from_utf8(target).map_err(|_| libc::EINVAL)?;
    block(|rt, token| files::symlink(rt, target, path, token)).map(|_| 0)
}

/// `truncate`.
pub fn truncate(path: &str, size: i64) -> Result<u64> {
    let size = u64::try_from(size).map_err(|_| libc::EINVAL)?;
    let opened = block(|rt, token| files::open(rt, path, c::OPEN_WRITE, token))?;
    let fd = decode(opened)?;
    let done = block(|rt, token| files::truncate(rt, fd, size, token));
    at_once(|rt| rt.close(fd))?;
    done.map(|_| 0)
}

/// `sync`: everything on all volumes.
pub fn sync() -> Result<u64> {
    block(files::sync)?;
    Ok(0)
}

/// `utimensat` of an absolute path, with access and modification time as seconds and nanoseconds;
/// `None`: the time isn't changed.
pub fn set_times(path: &str, times: [Option<[i64; 2]>; 2], follow: bool) -> Result<u64> {
    let time = |time: Option<[i64; 2]>| match time {
        Some([seconds, ns]) => {
            let ns = if (0..1_000_000_000).contains(&ns) {
                ns
            } else {
                return Err(libc::EINVAL);
            };
            files::time(seconds as Int, ns as Int).map_err(errors::errno)
        }
        None => Ok(None),
    };
    let times = [time(times[0])?, time(times[1])?];
    block(|rt, token| files::set_times(rt, path, follow, times, token))?;
    Ok(0)
}

/// `statfs` of an absolute path: the words of `struct statfs`.
pub fn space(path: &str) -> Result<[u64; 15]> {
    // A volume reports its space for any path.
    stat(path, true)?;
    let mut text = [0; 256];
    let text = piece(&mut text);
    let (numbers, _) = record::<{ records::Space::LENGTH }>(|into| {
        block(|rt, token| files::space(rt, path, into, text, token))
    })?;
    let [total, free, unit, _, available] = numbers.map(|number| number as u64);
    let unit = unit.max(1);
    let mut words = [0; 15];
    /// `EXT4_SUPER_MAGIC`, for lack of a better number.
    const TYPE: u64 = 0xef53;
    const MAX_NAME: u64 = 255;
    for (into, word) in words.iter_mut().zip([
        TYPE,
        unit,
        total / unit,
        free / unit,
        available / unit,
        0,
        0,
        0,
        MAX_NAME,
        unit,
    ]) {
        *into = word;
    }
    Ok(words)
}
