//! `open`.

use crate::attributes;
use crate::blocking::{at_once, block};
use crate::descriptors::{self, Description, Object};
use crate::directory::Listing;
use crate::errors::Result;
use crate::paths::{self, Device};
use crate::proc::{self, Entry, Text};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use platform::error::Error;
use reactor::table::Fd;
use resources::files;
use resources::types::Int;
use resources::types::constants as c;
use spin::Mutex;

/// `openat` of an absolute path: the descriptor.
pub fn open(path: String, flags: i32) -> Result<u64> {
    let description = match (paths::device(&path), proc::find(&path)) {
        (Some(device), _) => on_device(device, flags)?,
        (None, Some(entry)) => return in_proc(entry?, path, flags),
        (None, None) => on_volume(path, flags)?,
    };
    descriptors::insert(description, 0, flags & libc::O_CLOEXEC != 0)
}

fn on_device(device: Device, flags: i32) -> Result<Arc<Description>> {
    if flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL {
        return Err(libc::EEXIST);
    }
    if flags & libc::O_DIRECTORY != 0 {
        return Err(libc::ENOTDIR);
    }
    let object = match device {
        Device::Stream(stream) => Object::Console(stream),
        Device::Terminal => Object::Terminal,
        Device::Null => Object::Null,
        Device::Zero => Object::Zero,
        Device::Random => Object::Random,
    };
    Ok(Description::new(object, String::new(), flags))
}

/// Opens what `path` names below `/proc` or `/dev/fd`.
fn in_proc(entry: Entry, path: String, flags: i32) -> Result<u64> {
    let object = match entry {
        Entry::Link(_) | Entry::Descriptor(_) if flags & libc::O_NOFOLLOW != 0 => {
            return Err(libc::ELOOP);
        }
        Entry::Link(target) => return open(target, flags),
        // A file has a position of its own then.
        Entry::Descriptor(description) if !description.path.is_empty() => {
            let now = attributes::stat(&description.path, true)?;
            // Its name may be of another file by now, and it can't be opened without one.
            if description.file()?.is_some_and(|file| file != now.file()) {
                return Err(libc::ENOENT);
            }
            return open(description.path.clone(), flags);
        }
        Entry::Descriptor(description) => {
            return descriptors::insert(description, 0, flags & libc::O_CLOEXEC != 0);
        }
        Entry::Directory(_) if writes(flags) => return Err(libc::EISDIR),
        Entry::Directory(entries) => Object::Directory(Mutex::new(Listing::of(entries))),
        Entry::Text(_) if flags & libc::O_DIRECTORY != 0 => return Err(libc::ENOTDIR),
        Entry::Text(_) if writes(flags) => return Err(libc::EACCES),
        Entry::Text(make) => Object::Text(Text::new(make())),
    };
    let description = Description::new(object, path, flags);
    descriptors::insert(description, 0, flags & libc::O_CLOEXEC != 0)
}

/// Whether the flags ask for writing.
fn writes(flags: i32) -> bool {
    flags & libc::O_ACCMODE != libc::O_RDONLY
}

/// Soil's flags for the flags of Linux. What makes or cuts a file has to be able to write it there.
fn soil_flags(flags: i32) -> Int {
    let mut soil = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => c::OPEN_READ,
        libc::O_WRONLY => c::OPEN_WRITE,
        _ => c::OPEN_READ | c::OPEN_WRITE,
    };
    for (flag, wanted) in [
        (libc::O_CREAT, c::OPEN_WRITE | c::OPEN_CREATE),
        (libc::O_TRUNC, c::OPEN_WRITE | c::OPEN_TRUNCATE),
        (libc::O_CREAT | libc::O_EXCL, c::OPEN_EXCLUSIVE),
    ] {
        if flags & flag == flag {
            soil |= wanted;
        }
    }
    soil
}

fn on_volume(path: String, flags: i32) -> Result<Arc<Description>> {
    let creates = flags & libc::O_CREAT != 0;
    if creates && flags & libc::O_DIRECTORY != 0 {
        return Err(libc::EINVAL);
    }
    if flags & libc::O_TMPFILE == libc::O_TMPFILE {
        return Err(libc::EOPNOTSUPP);
    }
    if creates && path.ends_with('/') {
        return Err(libc::EISDIR);
    }
    if flags & libc::O_NOFOLLOW != 0
        && attributes::stat(&path, false).is_ok_and(|stat| stat.is_link())
    {
        return Err(libc::ELOOP);
    }
    if flags & libc::O_DIRECTORY != 0 {
        return directory(path, flags);
    }
    let soil = soil_flags(flags);
    match block(|rt, token| files::open(rt, &path, soil, token)) {
        Ok(fd) => {
            let fd = decode(fd)?;
            let file = Description::new(Object::File(fd), path, flags);
            if flags & libc::O_APPEND != 0 {
                // Beside the volume's own flag, which would stay: `fcntl` takes this one back.
                at_once(|rt| files::set_append(rt, fd, true))?;
            }
            match attributes::is_socket(&file) {
                true => Err(libc::ENXIO),
                false => Ok(file),
            }
        }
        Err(libc::EISDIR) if !creates && flags & libc::O_TRUNC == 0 => directory(path, flags),
        // A file that is there and is only read needs no right to be made.
        Err(libc::EROFS) if creates && !writes(flags) && flags & libc::O_EXCL == 0 => {
            on_volume(path, flags & !libc::O_CREAT)
        }
        Err(errno) => Err(errno),
    }
}

fn directory(path: String, flags: i32) -> Result<Arc<Description>> {
    let fd = block(|rt, token| files::directory(rt, &path, token))?;
    let listing = Listing::new(decode(fd)?);
    if writes(flags) {
        listing.close();
        return Err(libc::EISDIR);
    }
    let path = paths::real(&path).unwrap_or_else(|_| path.to_string());
    Ok(Description::new(
        Object::Directory(Mutex::new(listing)),
        path,
        flags,
    ))
}

/// A descriptor of the runtime's, as an operation gives it.
pub fn decode(fd: usize) -> Result<Fd> {
    Fd::decode(fd as Int).map_err(|_: Error| libc::EIO)
}
