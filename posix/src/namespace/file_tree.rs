//! The tree of a program with files: `/proc`, and volumes.

use super::{Tree, start};
use crate::blocking::lent::{Lent, pinned};
use crate::blocking::operation::{at_once, block, piece};
use crate::errors::Result;
use crate::file::{Description, File};
use crate::files::directory::Directory;
use crate::files::proc::{self, Entry, Text};
use crate::files::regular::{self, Regular, decode};
use crate::process;
use crate::stat::{self, Stat};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use resources::files;
use resources::types::Int;
use resources::types::constants as c;

/// See the module.
struct Mounted;

/// The tree, which the first call of the program creates.
pub fn tree() -> &'static dyn Tree {
    start::begin();
    &Mounted
}

impl Tree for Mounted {
    fn open(&self, path: String, flags: i32) -> Result<Arc<Description>> {
        match proc::find(&path) {
            Some(entry) => in_proc(entry?, path, flags),
            None => on_volume(path, flags),
        }
    }

    fn stat(&self, path: &str, follow: bool) -> Result<Stat> {
        match proc::find(path) {
            Some(entry) => stat_in_proc(entry?, path, follow),
            None => regular::stat(path, follow),
        }
    }

    fn read_link(&self, path: &str, into: &mut [u8]) -> Result<usize> {
        if let Some(entry) = proc::find(path) {
            let target = match entry? {
                Entry::Link(target) => target,
                Entry::Descriptor(description) => description.file().name(),
                Entry::Directory(_) | Entry::Text(_) => return Err(libc::EINVAL),
            };
            for (into, byte) in into.iter_mut().zip(target.as_bytes()) {
                *into = *byte;
            }
            return Ok(target.len().min(into.len()));
        }
        let _pin = pinned(Lent::to_write(into))?;
        let (room, into) = (into.len(), piece(into));
        match block(|rt, token| files::readlink(rt, path, into, token)) {
            Ok(len) => Ok(len.min(room)),
            // An error about a path component takes precedence.
            Err(errno) => regular::stat(path, false).and(Err(errno)),
        }
    }

    fn real(&self, path: &str) -> Result<String> {
        let mut bytes = vec![0; super::MAX_PATH];
        let piece = piece(&mut bytes);
        let len = block(|rt, token| files::realpath(rt, path, piece, token))?;
        bytes.truncate(len);
        String::from_utf8(bytes).map_err(|_| libc::EINVAL)
    }
}

/// Attributes of the object of `path` below `/proc` or `/dev/fd`.
fn stat_in_proc(entry: Entry, path: &str, follow: bool) -> Result<Stat> {
    let number = stat::number(path);
    match entry {
        Entry::Directory(_) => Ok(Stat {
            links: 2,
            ..Stat::special(libc::S_IFDIR, 0o555, number)
        }),
        Entry::Text(_) => Ok(Stat::special(libc::S_IFREG, 0o444, number)),
        Entry::Link(target) if follow => super::stat(&target, true),
        Entry::Descriptor(description) if follow => description.file().stat(),
        Entry::Link(_) | Entry::Descriptor(_) => Ok(Stat::special(libc::S_IFLNK, 0o777, number)),
    }
}

/// Opens the object of `path` below `/proc` or `/dev/fd`.
fn in_proc(entry: Entry, path: String, flags: i32) -> Result<Arc<Description>> {
    match entry {
        Entry::Link(_) | Entry::Descriptor(_) if flags & libc::O_NOFOLLOW != 0 => Err(libc::ELOOP),
        Entry::Link(target) => super::open(target, flags),
        Entry::Descriptor(description) => again(description, flags),
        Entry::Directory(_) if writes(flags) => Err(libc::EISDIR),
        Entry::Directory(entries) => Ok(Description::new(Directory::of(entries, path), flags)),
        Entry::Text(_) if flags & libc::O_DIRECTORY != 0 => Err(libc::ENOTDIR),
        Entry::Text(_) if writes(flags) => Err(libc::EACCES),
        Entry::Text(make) => Ok(Description::new(Text::new(make(), path), flags)),
    }
}

/// Opens the object of a descriptor. A file then has a separate position.
fn again(description: Arc<Description>, flags: i32) -> Result<Arc<Description>> {
    let file = description.file();
    let Some(path) = file.path() else {
        return Ok(description);
    };
    let now = super::stat(path, true)?;
    // Its name may belong to another file by now, and it can't be opened without one.
    if file.id()?.is_some_and(|id| id != now.id()) {
        return Err(libc::ENOENT);
    }
    super::open(path.into(), flags)
}

/// Whether the flags request writing.
fn writes(flags: i32) -> bool {
    flags & libc::O_ACCMODE != libc::O_RDONLY
}

/// Soil's flags for the flags of Linux. A call that creates or truncates a file must be able to
/// write it there.
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
    if flags & libc::O_NOFOLLOW != 0 && regular::stat(&path, false).is_ok_and(|stat| stat.is_link())
    {
        return Err(libc::ELOOP);
    }
    if flags & libc::O_DIRECTORY != 0 {
        return directory(path, flags);
    }
    let soil = soil_flags(flags);
    match block(|rt, token| files::open(rt, &path, soil, token)) {
        Ok(fd) => {
            let file = Regular::new(decode(fd)?, path);
            if flags & libc::O_APPEND != 0 {
                // In addition to the volume's own flag, which would stay: `fcntl` can clear this
                // one.
                file.set_append(true)?;
            }
            match is_socket_name(&file) {
                true => Err(libc::ENXIO),
                false => Ok(Description::new(file, flags)),
            }
        }
        Err(libc::EISDIR) if !creates && flags & libc::O_TRUNC == 0 => directory(path, flags),
        // An existing file that is only read needs no right to be created.
        Err(libc::EROFS) if creates && !writes(flags) && flags & libc::O_EXCL == 0 => {
            on_volume(path, flags & !libc::O_CREAT)
        }
        Err(errno) => Err(errno),
    }
}

/// Whether an open file is the name of a socket.
fn is_socket_name(file: &Regular) -> bool {
    process::with(|process| !process.socket_names.is_empty())
        && file.stat().is_ok_and(|stat| stat.is_socket())
}

fn directory(path: String, flags: i32) -> Result<Arc<Description>> {
    let fd = decode(block(|rt, token| files::directory(rt, &path, token))?)?;
    if writes(flags) {
        at_once(|rt| rt.close(fd))?;
        return Err(libc::EISDIR);
    }
    let path = Mounted.real(&path).unwrap_or(path);
    Ok(Description::new(Directory::new(fd, path), flags))
}
