//! Paths: the current directory, and the objects of absolute paths. Devices are handled here; the
//! rest belongs to the tree, which programs without files don't have.

pub mod file_tree;
pub mod names;
#[cfg(feature = "image")]
mod part;
mod start;
mod zone;

use crate::console::Console;
use crate::current_directory::{CurrentDirectory, joined};
use crate::errors::Result;
use crate::file::Description;
use crate::files::devices;
use crate::process;
use crate::stat::{self, Stat};
use alloc::string::{String, ToString};
use alloc::sync::Arc;

/// Maximum length of a path, with its terminating zero (`PATH_MAX`).
const MAX_PATH: usize = 4096;

/// The paths other than those of devices. Paths are absolute. A program without files has the
/// defaults: an empty root directory.
pub trait Tree: Sync {
    /// `open`, with the flags of Linux.
    fn open(&self, path: String, flags: i32) -> Result<Arc<Description>> {
        let _ = (path, flags);
        Err(libc::ENOENT)
    }

    /// `stat`, or without `follow` `lstat`.
    fn stat(&self, path: &str, follow: bool) -> Result<Stat> {
        let _ = follow;
        match path.split('/').all(|name| matches!(name, "" | ".")) {
            true => Ok(Stat::special(libc::S_IFDIR, 0o755, 1)),
            false => Err(libc::ENOENT),
        }
    }

    /// `readlink`: the number of bytes, truncated if they don't fit.
    fn read_link(&self, path: &str, into: &mut [u8]) -> Result<usize> {
        let _ = into;
        self.stat(path, false).and(Err(libc::EINVAL))
    }

    /// The path of the object of `path`, without symbolic links, `.` and `..`.
    fn real(&self, path: &str) -> Result<String> {
        self.stat(path, true).map(|_| "/".to_string())
    }
}

#[cfg(not(feature = "image"))]
use file_tree::tree;
#[cfg(feature = "image")]
pub use part::Trees;
/// The tree of this program.
#[cfg(feature = "image")]
use part::tree;

/// The path of the current directory.
///
/// # Errors
/// ENOENT if it was removed.
pub fn current() -> Result<String> {
    process::with(|process| process.directory.path())
}

/// The absolute path for `path` relative to the directory of `descriptor` (`AT_FDCWD`: the current
/// one). It isn't normalised.
///
/// # Errors
/// ENOENT for an empty path, ENAMETOOLONG, EINVAL for a path that isn't UTF-8, EBADF and ENOTDIR
/// for the descriptor.
pub fn absolute(descriptor: u64, path: &[u8]) -> Result<String> {
    if path.is_empty() {
        return Err(libc::ENOENT);
    }
    let path = core::str::from_utf8(path).map_err(|_| libc::EINVAL)?;
    let absolute = if path.starts_with('/') {
        path.to_string()
    } else if descriptor as i32 == libc::AT_FDCWD {
        process::with(|process| process.directory.absolute(path))?
    } else {
        let description = process::get(descriptor)?;
        joined(description.file().directory()?, path)
    };
    if absolute.len() >= MAX_PATH {
        return Err(libc::ENAMETOOLONG);
    }
    // The first path creates the tree: operations on names don't.
    tree();
    Ok(absolute)
}

/// `chdir` and `fchdir`, to an absolute path.
pub fn change_directory(path: &str) -> Result<u64> {
    if !stat(path, true)?.is_directory() {
        return Err(libc::ENOTDIR);
    }
    let path = real(path)?;
    process::with(|process| process.directory = CurrentDirectory::new(path));
    Ok(0)
}

/// `openat` of an absolute path.
pub fn open(path: String, flags: i32) -> Result<Arc<Description>> {
    match device(&path) {
        Some(device) => device.open(flags),
        None => tree().open(path, flags),
    }
}

/// `stat`, or without `follow` `lstat`, of an absolute path.
pub fn stat(path: &str, follow: bool) -> Result<Stat> {
    match device(path) {
        Some(_) => Ok(Stat::special(libc::S_IFCHR, 0o666, stat::number(path))),
        None => tree().stat(path, follow),
    }
}

/// `readlink`: the number of bytes, truncated if they don't fit.
pub fn read_link(path: &str, into: &mut [u8]) -> Result<u64> {
    if into.is_empty() || device(path).is_some() {
        return Err(libc::EINVAL);
    }
    tree().read_link(path, into).map(|len| len as u64)
}

/// See [`Tree::real`].
pub fn real(path: &str) -> Result<String> {
    tree().real(path)
}

/// A device, which has a name below `/dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// A standard stream, or the console.
    Console(Console),
    /// One without hardware.
    Other(devices::Device),
}

/// The devices by their names.
pub const DEVICES: [(&str, Device); 8] = [
    ("stdin", Device::Console(Console::Input)),
    ("stdout", Device::Console(Console::Output)),
    ("stderr", Device::Console(Console::Error)),
    ("tty", Device::Console(Console::Terminal)),
    ("null", Device::Other(devices::Device::Null)),
    ("zero", Device::Other(devices::Device::Zero)),
    ("random", Device::Other(devices::Device::Random)),
    ("urandom", Device::Other(devices::Device::Random)),
];

impl Device {
    fn open(self, flags: i32) -> Result<Arc<Description>> {
        if flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL {
            return Err(libc::EEXIST);
        }
        if flags & libc::O_DIRECTORY != 0 {
            return Err(libc::ENOTDIR);
        }
        Ok(match self {
            Device::Console(console) => Description::new(console, flags),
            Device::Other(device) => Description::new(device, flags),
        })
    }
}

/// The device of an absolute path.
pub fn device(path: &str) -> Option<Device> {
    let mut names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    if names.next() != Some("dev") {
        return None;
    }
    let name = names.next()?;
    let found = DEVICES.iter().find(|(known, _)| *known == name);
    found
        .filter(|_| names.next().is_none())
        .map(|(_, device)| *device)
}
