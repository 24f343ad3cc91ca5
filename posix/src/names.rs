//! Names: directories, links, renames and removals. Paths are absolute.

use crate::attributes::stat;
use crate::blocking::block;
use crate::errors::Result;
use crate::io::piece;
use crate::paths;
use crate::proc::{self, Entry};
use crate::socket_names;
use resources::files;

/// Fails where the path names a device, which stays.
fn no_device(path: &str) -> Result<()> {
    match paths::device(path) {
        Some(_) => Err(libc::EPERM),
        None => Ok(()),
    }
}

/// The last name of a path, without slashes behind it.
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
    block(|rt, token| files::remove_directory(rt, path, token)).map(|_| 0)
}

/// `unlink`.
pub fn remove(path: &str) -> Result<u64> {
    no_device(path)?;
    let unlink = || block(|rt, token| files::unlink(rt, path, token));
    socket_names::remove_with(|| stat(path, false), unlink).map(|_| 0)
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
        (from, to) if how == 0 && from.file() != to.file() => Ok(to),
        // Both files stay.
        _ => Err(libc::EINVAL),
    };
    let rename = || block(|rt, token| files::rename(rt, from, to, how, token));
    socket_names::remove_with(replaced, rename).map(|_| 0)
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

/// `readlink`: the number of bytes, cut where they don't fit.
pub fn read_link(path: &str, into: &mut [u8]) -> Result<u64> {
    if into.is_empty() {
        return Err(libc::EINVAL);
    }
    if paths::device(path).is_some() {
        return Err(libc::EINVAL);
    }
    if let Some(entry) = proc::find(path) {
        let target = match entry? {
            Entry::Link(target) => target,
            Entry::Descriptor(description) => proc::name(&description),
            Entry::Directory(_) | Entry::Text(_) => return Err(libc::EINVAL),
        };
        for (into, byte) in into.iter_mut().zip(target.as_bytes()) {
            *into = *byte;
        }
        return Ok(target.len().min(into.len()) as u64);
    }
    let (room, into) = (into.len(), piece(into));
    match block(|rt, token| files::readlink(rt, path, into, token)) {
        Ok(len) => Ok(len.min(room) as u64),
        // The part of the path that is no directory comes first.
        Err(errno) => stat(path, false).and(Err(errno)),
    }
}
