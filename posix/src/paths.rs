//! Paths: the current directory, paths relative to it or to a directory's descriptor, and devices.

use crate::blocking::block;
use crate::descriptors::{self, Object};
use crate::errors::Result;
use crate::{attributes, tree};
use alloc::string::{String, ToString};
use alloc::vec;
use resources::files;
use spin::Mutex;

/// The longest path, with the zero behind it (`PATH_MAX`).
const MAX_PATH: usize = 4096;

/// The absolute path of the current directory; empty stands for the root.
static CURRENT: Mutex<String> = Mutex::new(String::new());

/// The current directory.
pub fn current() -> String {
    let path = CURRENT.lock();
    if path.is_empty() {
        "/".to_string()
    } else {
        path.clone()
    }
}

/// The absolute path that `path` means beside the directory of `descriptor` (`AT_FDCWD`: the
/// current one). It isn't normalised.
///
/// # Errors
/// ENOENT for an empty path, ENAMETOOLONG, EINVAL for a path that isn't UTF-8, EBADF and ENOTDIR
/// for the descriptor.
pub fn absolute(descriptor: u64, path: &[u8]) -> Result<String> {
    if path.is_empty() {
        return Err(libc::ENOENT);
    }
    let path = core::str::from_utf8(path).map_err(|_| libc::EINVAL)?;
    let mut absolute = if path.starts_with('/') {
        String::new()
    } else if descriptor as i32 == libc::AT_FDCWD {
        CURRENT.lock().clone()
    } else {
        let description = descriptors::get(descriptor)?;
        match description.object {
            Object::Directory(_) => description.path.clone(),
            _ => return Err(libc::ENOTDIR),
        }
    };
    if !path.starts_with('/') {
        absolute.push('/');
    }
    absolute.push_str(path);
    if absolute.len() >= MAX_PATH {
        return Err(libc::ENAMETOOLONG);
    }
    tree::begin();
    Ok(absolute)
}

/// `chdir` and `fchdir`, to an absolute path.
pub fn change_directory(path: &str) -> Result<u64> {
    if !attributes::stat(path, true)?.is_directory() {
        return Err(libc::ENOTDIR);
    }
    let path = real(path)?;
    *CURRENT.lock() = if path == "/" { String::new() } else { path };
    Ok(0)
}

/// The path of what `path` names, without symbolic links, `.` and `..`.
pub fn real(path: &str) -> Result<String> {
    let mut bytes = vec![0; MAX_PATH];
    let piece = crate::io::piece(&mut bytes);
    let len = block(|rt, token| files::realpath(rt, path, piece, token))?;
    bytes.truncate(len);
    String::from_utf8(bytes).map_err(|_| libc::EINVAL)
}

/// A device, which has a name below `/dev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// A standard stream.
    Stream(u64),
    /// The console.
    Terminal,
    /// See [`Object::Null`].
    Null,
    /// See [`Object::Zero`].
    Zero,
    /// See [`Object::Random`].
    Random,
}

/// The devices by their names.
pub const DEVICES: [(&str, Device); 8] = [
    ("stdin", Device::Stream(0)),
    ("stdout", Device::Stream(1)),
    ("stderr", Device::Stream(2)),
    ("tty", Device::Terminal),
    ("null", Device::Null),
    ("zero", Device::Zero),
    ("random", Device::Random),
    ("urandom", Device::Random),
];

/// The device that an absolute path names.
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

/// Returns to the root, for a test that begins.
#[cfg(test)]
pub fn reset() {
    CURRENT.lock().clear();
}
