//! Attributes of files, as in stat(2). The super-user owns everything.

use core::mem::offset_of;

/// A file of a volume: the numbers of the volume and of the file. Neither a path nor a descriptor
/// identifies one: a name may belong to another file by now, and a file may have several.
pub type FileId = (u64, u64);

/// Attributes of a file.
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
/// Words of `struct stat`.
const STAT: usize = size_of::<libc::stat>() / 8;

impl Stat {
    /// For a file that isn't on a volume: its type (`S_IFCHR` …), permissions and number.
    pub fn special(kind: u32, permissions: u32, inode: u64) -> Stat {
        Stat {
            inode,
            links: 1,
            mode: kind | permissions,
            ..Stat::default()
        }
    }

    /// Whether it is of this type (`S_IFDIR` …).
    fn is(&self, kind: u32) -> bool {
        self.mode & libc::S_IFMT == kind
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.is(libc::S_IFDIR)
    }

    /// Whether it is a symbolic link.
    pub fn is_link(&self) -> bool {
        self.is(libc::S_IFLNK)
    }

    /// Whether it is the name of a Unix-domain socket.
    pub fn is_socket(&self) -> bool {
        self.is(libc::S_IFSOCK)
    }

    /// The numbers of the volume and of the file.
    pub fn id(&self) -> FileId {
        (self.device, self.inode)
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
        // The time of creation, which no volume stores, is between the first two.
        for (at, [seconds, ns]) in [(8, accessed), (12, changed), (14, modified)] {
            words[at] = seconds as u64;
            words[at + 1] = ns as u64;
        }
        // `makedev`: the number as its minor and major.
        let (major, minor) = (self.device >> 8 & 0xfff, self.device & 0xff);
        words[17] = major | minor << 32;
        words
    }

    /// `struct stat`, whose fields have other places and sizes on other processors.
    pub fn words(&self) -> [u64; STAT] {
        let mut words = [0; STAT];
        let mut put = |at: usize, value: u64| words[at / 8] |= value << (8 * (at % 8));
        put(offset_of!(libc::stat, st_dev), self.device);
        put(offset_of!(libc::stat, st_ino), self.inode);
        put(offset_of!(libc::stat, st_nlink), self.links);
        put(offset_of!(libc::stat, st_mode), u64::from(self.mode));
        put(offset_of!(libc::stat, st_size), self.size);
        put(offset_of!(libc::stat, st_blksize), BLOCK);
        put(offset_of!(libc::stat, st_blocks), self.size.div_ceil(512));
        let times = words.iter_mut().skip(offset_of!(libc::stat, st_atime) / 8);
        for (into, time) in times.zip(self.times.as_flattened()) {
            *into = *time as u64;
        }
        words
    }

    /// `chmod` and `fchmod`: no volume stores modes, so the call succeeds only if the file already
    /// has the requested one.
    pub fn set_mode(&self, mode: u32) -> crate::errors::Result<u64> {
        match self.mode & 0o7777 == mode & 0o7777 {
            true => Ok(0),
            false => Err(libc::EPERM),
        }
    }

    /// `access` with `R_OK`, `W_OK`, `X_OK`: the super-user may do everything except execute a
    /// file.
    pub fn access(&self, mode: i32) -> crate::errors::Result<u64> {
        if mode & !(libc::R_OK | libc::W_OK | libc::X_OK) != 0 {
            return Err(libc::EINVAL);
        }
        match mode & libc::X_OK != 0 && !self.is_directory() {
            true => Err(libc::EACCES),
            false => Ok(0),
        }
    }
}

/// `chown` and its like: the super-user owns everything.
pub fn set_owner(user: u32, group: u32) -> crate::errors::Result<u64> {
    match matches!(user, 0 | u32::MAX) && matches!(group, 0 | u32::MAX) {
        true => Ok(0),
        false => Err(libc::EPERM),
    }
}

/// A number for a file whose file system has none (FAT), or that isn't on a volume: a hash of its
/// path (FNV-1a).
pub fn number(path: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    path.bytes().fold(0xcbf2_9ce4_8422_2325, step) >> 1 | 1
}
