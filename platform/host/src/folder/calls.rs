//! The system calls behind a folder of the host. Linux resolves every path from the folder's own
//! descriptor, neither through symbolic links nor out of the folder (`openat2` with
//! `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`), even under concurrent changes.

use super::results::{count, done, failed};
use super::transfer::{self, Traits, Transfer};
use crate::errno;
use crate::offload::Offload;
use crate::owned_fd::OwnedFd;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec;
use core::cell::Cell;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use fs::{Error, Kind, Stat, Time};
use platform::folders::Waiting;

/// Bytes of entries that are read at a time.
const ENTRIES: usize = 16 << 10;
/// Bytes of an entry before its name (`struct linux_dirent64`), and the offsets of its fields.
const ENTRY_HEAD: usize = 19;
const ENTRY_NEXT: usize = 8;
const ENTRY_LENGTH: usize = 16;
const ENTRY_KIND: usize = 18;

/// A text with a terminating zero byte.
pub fn text(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::InvalidName)
}

/// The folder itself.
pub struct Root {
    fd: OwnedFd,
    /// For calls that may block.
    pub transfer: Transfer,
    traits: Traits,
    /// Linux supports `RESOLVE_CACHED`: 5.12.
    asks: Cell<bool>,
}

impl Root {
    /// For an open folder.
    pub fn new(fd: OwnedFd, waiting: Waiting<Offload>) -> Root {
        Root {
            traits: transfer::traits(&fd),
            fd,
            transfer: Transfer::new(waiting),
            asks: Cell::new(true),
        }
    }

    /// Its descriptor.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

/// Opens a path below `root`; the root itself for an empty one.
pub fn open(root: &Root, path: &str, flags: i32, mode: u32) -> Result<OwnedFd, Error> {
    const RESOLVE: u64 =
        libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
    let path = path.trim_matches('/');
    let path = text(if path.is_empty() { "." } else { path })?;
    // SAFETY: numbers, of which zero is one.
    let mut how: libc::open_how = unsafe { MaybeUninit::zeroed().assume_init() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = u64::from(mode);
    // Linux refuses `RESOLVE_CACHED` for changes. They are offloaded if they may wait for a disk.
    let changes = flags & (libc::O_CREAT | libc::O_TRUNC) != 0;
    if changes && !root.traits.copies() {
        how.resolve = RESOLVE;
        return root.transfer.open(&root.fd, &path, &how);
    }
    loop {
        let asks = root.asks.get() && !changes;
        how.resolve = RESOLVE | if asks { libc::RESOLVE_CACHED } else { 0 };
        // SAFETY: a path with its zero byte, and a structure of that size.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                root.fd.0,
                path.as_ptr(),
                &raw const how,
                size_of_val(&how),
            )
        };
        if fd >= 0 {
            return Ok(OwnedFd(fd as i32));
        }
        match errno() {
            libc::EAGAIN if asks => {
                how.resolve = RESOLVE;
                return root.transfer.open(&root.fd, &path, &how);
            }
            libc::EINVAL if asks => root.asks.set(false),
            // EAGAIN: a rename happened during the resolution.
            libc::EINTR | libc::EAGAIN => {}
            _ => return Err(failed()),
        }
    }
}

/// Opens the object at a path with `O_PATH`, without following a symbolic link at its end.
pub fn locate(root: &Root, path: &str) -> Result<OwnedFd, Error> {
    open(root, path, libc::O_PATH | libc::O_NOFOLLOW, 0)
}

/// The parent folder of a path, and the name there.
pub fn above<'a>(root: &Root, path: &'a str) -> Result<(OwnedFd, &'a str), Error> {
    let (folder, name) = fs::path::split_last(path).ok_or(Error::Busy)?;
    let folder = open(root, folder, libc::O_PATH | libc::O_DIRECTORY, 0)?;
    Ok((folder, name))
}

/// Status of an open file (fstat(2)).
pub fn stat(fd: &OwnedFd) -> Result<libc::stat, Error> {
    let mut stat = MaybeUninit::zeroed();
    // SAFETY: room for the structure, of which zeros are one.
    unsafe {
        done(libc::fstat(fd.0, stat.as_mut_ptr()))?;
        Ok(stat.assume_init())
    }
}

fn time(seconds: i64, nanoseconds: i64) -> Time {
    Time {
        seconds,
        nanoseconds: nanoseconds as u32,
    }
}

/// The same as a [`Stat`].
pub fn known(stat: &libc::stat) -> Stat {
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Kind::Directory,
        libc::S_IFLNK => Kind::Symlink,
        _ => Kind::File,
    };
    #[allow(clippy::useless_conversion, reason = "nlink_t has 32 bits on arm64")]
    let links = u32::try_from(stat.st_nlink).unwrap_or(u32::MAX);
    Stat {
        kind,
        size: if kind == Kind::Directory {
            0
        } else {
            stat.st_size as u64
        },
        modified: time(stat.st_mtime, stat.st_mtime_nsec),
        accessed: time(stat.st_atime, stat.st_atime_nsec),
        changed: time(stat.st_ctime, stat.st_ctime_nsec),
        links,
        inode: stat.st_ino,
        read_only: stat.st_mode & 0o222 == 0,
    }
}

/// Whether it is a regular file, and not a device, a pipe or a socket.
pub fn is_regular(stat: &libc::stat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// Target of a symbolic link (readlinkat(2)).
pub fn target(link: &OwnedFd) -> Result<String, Error> {
    let mut text = vec![0u8; fs::path::MAX_PATH + 1];
    // SAFETY: room for that many bytes.
    let read = unsafe {
        let (into, room) = (text.as_mut_ptr().cast(), text.len());
        libc::readlinkat(link.0, c"".as_ptr(), into, room)
    };
    text.truncate(count(read)?.unwrap_or(0));
    String::from_utf8(text).map_err(|_| Error::InvalidName)
}

/// Passes entries of an open folder from the position `from` on to `visit`, as [`fs::Volume::list`]
/// does. Skips names that aren't UTF-8.
pub fn list(
    folder: &OwnedFd,
    from: u64,
    visit: &mut dyn FnMut(&CStr, &str, Option<Kind>) -> bool,
) -> Result<Option<u64>, Error> {
    // SAFETY: a plain call; positions come from Linux.
    done(unsafe { libc::lseek(folder.0, from as i64, libc::SEEK_SET) }.min(0) as i32)?;
    let mut entries = vec![0u8; ENTRIES];
    let room = entries.len();
    // SAFETY: room for that many bytes.
    let read = unsafe { libc::syscall(libc::SYS_getdents64, folder.0, entries.as_mut_ptr(), room) };
    let read = count(read as isize)?.unwrap_or(0);
    if read == 0 {
        return Ok(None);
    }
    let mut rest = entries.get(..read).unwrap_or_default();
    let mut place = from;
    while rest.len() > ENTRY_HEAD {
        let number = |at: usize| rest.get(at..at + 8)?.first_chunk::<8>().copied();
        let next = u64::from_le_bytes(number(ENTRY_NEXT).unwrap_or_default());
        let length = rest
            .get(ENTRY_LENGTH..)
            .and_then(|bytes| bytes.first_chunk::<2>());
        let length = usize::from(u16::from_le_bytes(length.copied().unwrap_or_default()));
        let kind = rest.get(ENTRY_KIND).and_then(|kind| match *kind {
            libc::DT_UNKNOWN => None,
            libc::DT_DIR => Some(Kind::Directory),
            libc::DT_LNK => Some(Kind::Symlink),
            _ => Some(Kind::File),
        });
        let (Some(entry), Some(after)) = (rest.get(ENTRY_HEAD..length), rest.get(length..)) else {
            return Err(Error::Io);
        };
        rest = after;
        let Ok(name) = CStr::from_bytes_until_nul(entry) else {
            return Err(Error::Io);
        };
        match name.to_str() {
            Ok("." | "..") => {}
            Ok(text) if !visit(name, text, kind) => return Ok(Some(place)),
            Ok(_) => {}
            Err(_) => log::debug!("a name that isn't UTF-8 is left out of a listing"),
        }
        place = next;
    }
    Ok(Some(place))
}
