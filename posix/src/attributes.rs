//! Attributes: `stat`, `access`, times, modes and owners, `statfs`.

use crate::blocking::block;
use crate::descriptors::{Description, Object};
use crate::errors::Result;
use crate::io::piece;
use crate::paths;
use crate::proc::{self, Entry};
use crate::socket_names;
use core::ptr::NonNull;
use resources::files;
use resources::types::constants as c;
use resources::types::{Int, IntsPiece, records};

/// Attributes of a file, of which only the super-user is the owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Number of the volume.
    pub device: u64,
    /// Number of the file, unique on its volume.
    pub inode: u64,
    /// Number of names.
    pub links: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// Times of the last access, of the last change of the contents and of the attributes, as
    /// seconds and nanoseconds.
    pub times: [[i64; 2]; 3],
}

/// The preferred size of a read, in bytes.
const BLOCK: u64 = 4096;

impl Stat {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }

    /// The numbers of the volume and of the file.
    pub fn file(&self) -> socket_names::File {
        (self.device, self.inode)
    }

    /// Whether it is the name of a Unix-domain socket.
    pub fn is_socket(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFSOCK
    }

    /// `struct statx` (Linux's `include/uapi/linux/stat.h`), with all basic attributes.
    pub fn extended(&self) -> [u64; 32] {
        /// `STATX_BASIC_STATS`.
        const BASIC: u64 = 0x7ff;
        let mut words = [0; 32];
        words[0] = BASIC | BLOCK << 32;
        words[2] = self.links;
        words[3] = u64::from(self.mode) << 32;
        words[4] = self.inode;
        words[5] = self.size;
        words[6] = self.size.div_ceil(512);
        let [accessed, modified, changed] = self.times;
        // The time of creation, which no volume has, is between the first two.
        for (at, [seconds, ns]) in [(8, accessed), (12, changed), (14, modified)] {
            words[at] = seconds as u64;
            words[at + 1] = ns as u64;
        }
        // `makedev`: the number as its minor and major.
        let (major, minor) = (self.device >> 8 & 0xfff, self.device & 0xff);
        words[17] = major | minor << 32;
        words
    }

    /// `struct stat` of x86-64 (Linux's `arch/x86/include/uapi/asm/stat.h`).
    pub fn words(&self) -> [u64; 18] {
        let mut words = [0; 18];
        words[0] = self.device;
        words[1] = self.inode;
        words[2] = self.links;
        words[3] = u64::from(self.mode);
        words[6] = self.size;
        words[7] = BLOCK;
        words[8] = self.size.div_ceil(512);
        let times = words.iter_mut().skip(9);
        for (into, time) in times.zip(self.times.as_flattened()) {
            *into = *time as u64;
        }
        words
    }
}

/// A record that an operation fills.
fn record<const N: usize>(
    fill: impl FnOnce(IntsPiece) -> Result<usize>,
) -> Result<([Int; N], usize)> {
    let mut numbers = [0; N];
    // SAFETY: `fill` waits for the operation's end.
    let piece = unsafe { IntsPiece::new(NonNull::from(&mut numbers).cast(), N) };
    let result = fill(piece)?;
    Ok((numbers, result))
}

/// A number for a file whose file system has none (FAT): a hash of its path (FNV-1a).
fn number(path: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    path.bytes().fold(0xcbf2_9ce4_8422_2325, step) >> 1 | 1
}

fn decode(numbers: [Int; records::Stat::LENGTH], path: &str) -> Stat {
    let [
        size,
        kind,
        modified,
        modified_ns,
        accessed,
        changed,
        links,
        inode,
        read_only,
        accessed_ns,
        changed_ns,
        volume,
    ] = numbers;
    let mode = match kind {
        c::ENTRY_DIRECTORY => libc::S_IFDIR | 0o755,
        c::ENTRY_SYMLINK => libc::S_IFLNK | 0o777,
        _ if read_only != 0 => libc::S_IFREG | 0o444,
        _ => libc::S_IFREG | 0o644,
    };
    let device = volume as u64 + 1;
    let inode = match inode {
        0 => number(path),
        inode => inode as u64,
    };
    let mode = match socket_names::contains((device, inode)) {
        true => libc::S_IFSOCK | 0o755,
        false => mode,
    };
    Stat {
        device,
        inode,
        links: links as u64,
        mode,
        size: size as u64,
        times: [
            [accessed as i64, accessed_ns as i64],
            [modified as i64, modified_ns as i64],
            [changed as i64, changed_ns as i64],
        ],
    }
}

/// Attributes of a device, a console or a pipe.
fn special(kind: u32, permissions: u32, number: u64) -> Stat {
    Stat {
        inode: number,
        links: 1,
        mode: kind | permissions,
        ..Stat::default()
    }
}

/// `stat`, or without `follow` `lstat`, of an absolute path.
pub fn stat(path: &str, follow: bool) -> Result<Stat> {
    if paths::device(path).is_some() {
        return Ok(special(libc::S_IFCHR, 0o666, number(path)));
    }
    if let Some(entry) = proc::find(path) {
        return match entry? {
            Entry::Directory(_) => Ok(Stat {
                links: 2,
                ..special(libc::S_IFDIR, 0o555, number(path))
            }),
            Entry::Text(_) => Ok(special(libc::S_IFREG, 0o444, number(path))),
            Entry::Link(target) if follow => stat(&target, true),
            Entry::Descriptor(description) if follow => stat_open(&description),
            Entry::Link(_) | Entry::Descriptor(_) => {
                Ok(special(libc::S_IFLNK, 0o777, number(path)))
            }
        };
    }
    let (numbers, _) =
        record(|into| block(|rt, token| files::stat(rt, path, follow, into, token)))?;
    Ok(decode(numbers, path))
}

/// `fstat`, of all but the console.
pub fn stat_open(description: &Description) -> Result<Stat> {
    match &description.object {
        Object::File(fd) => {
            let (numbers, _) =
                record(|into| block(|rt, token| files::file_stat(rt, *fd, into, token)))?;
            Ok(decode(numbers, &description.path))
        }
        Object::Directory(_) => stat(&description.path, true),
        Object::Socket(_) => {
            let number = core::ptr::from_ref(description) as u64 | 1;
            Ok(special(libc::S_IFSOCK, 0o777, number))
        }
        Object::Pipe(fd) => Ok(special(libc::S_IFIFO, 0o600, fd.encode() as u64 | 1)),
        Object::Text(_) => Ok(special(libc::S_IFREG, 0o444, number(&description.path))),
        Object::Counter(_) | Object::Timer(_) | Object::Signals(_) | Object::Epoll(_) => {
            Ok(special(0, 0o600, 1))
        }
        _ => Ok(special(libc::S_IFCHR, 0o666, 1)),
    }
}

/// Whether an open file is the name of a socket.
pub fn is_socket(file: &Description) -> bool {
    socket_names::any() && stat_open(file).is_ok_and(|stat| stat.is_socket())
}

/// `faccessat`: the super-user may do everything but execute a file.
pub fn access(path: &str, mode: i32, follow: bool) -> Result<u64> {
    if mode & !(libc::R_OK | libc::W_OK | libc::X_OK) != 0 {
        return Err(libc::EINVAL);
    }
    let stat = stat(path, follow)?;
    if mode & libc::X_OK != 0 && !stat.is_directory() {
        return Err(libc::EACCES);
    }
    Ok(0)
}

/// `chmod` and `fchmod`: no volume stores modes, so that a file has the one that is asked for, or
/// it can't get it.
pub fn set_mode(stat: &Stat, mode: u32) -> Result<u64> {
    if stat.mode & 0o7777 == mode & 0o7777 {
        Ok(0)
    } else {
        Err(libc::EPERM)
    }
}

/// `chown` and its like: the super-user owns everything.
pub fn set_owner(user: u32, group: u32) -> Result<u64> {
    if matches!(user, 0 | u32::MAX) && matches!(group, 0 | u32::MAX) {
        Ok(0)
    } else {
        Err(libc::EPERM)
    }
}

/// `utimensat` of an absolute path, with access and modification time as seconds and nanoseconds;
/// `None`: the time stays.
pub fn set_times(path: &str, times: [Option<[i64; 2]>; 2], follow: bool) -> Result<u64> {
    let time = |time: Option<[i64; 2]>| match time {
        Some([seconds, ns]) => {
            let ns = if (0..1_000_000_000).contains(&ns) {
                ns
            } else {
                return Err(libc::EINVAL);
            };
            files::time(seconds as Int, ns as Int).map_err(crate::errors::errno)
        }
        None => Ok(None),
    };
    let times = [time(times[0])?, time(times[1])?];
    block(|rt, token| files::set_times(rt, path, follow, times, token))?;
    Ok(0)
}

/// `statfs` of an absolute path: the words of `struct statfs`.
pub fn space(path: &str) -> Result<[u64; 15]> {
    // A volume tells its space for any path.
    stat(path, true)?;
    let mut text = [0; 256];
    let text = piece(&mut text);
    let (numbers, _) = record::<{ records::Space::LENGTH }>(|into| {
        block(|rt, token| files::space(rt, path, into, text, token))
    })?;
    let [total, free, unit, _, available] = numbers.map(|number| number as u64);
    let unit = unit.max(1);
    let mut words = [0; 15];
    /// `EXT4_SUPER_MAGIC`, for want of a better number.
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
