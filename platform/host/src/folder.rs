//! A folder of the host as a volume: `/data=host:FOLDER`, only in the process form. Nothing outside
//! the folder can be reached through it (`calls`), Linux keeps the guarantees about times, space,
//! links and durability, and others may change it meanwhile.
//!
//! Reads of uncached data, and syncs, are offloaded (`transfer`): sequentially, except syncs.
//! Changes of names only are made at once.

pub(crate) mod calls;
mod results;
mod transfer;

use crate::offload::{Call, Offload};
use crate::owned_fd::OwnedFd;
use crate::{Host, errno};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use calls::{Root, above, known, locate, stat, text};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use fs::handles::Handles;
use fs::{
    Cursor, DirEntry, Error, Fallocate, FileId, Health, Kind, MountError, OpenFlags, Renaming,
    Seek, Space, Stat, Time, Volume, VolumeOptions, Walk,
};
use platform::folders::{Folders, Mounted, Waiting};
use results::{done, failed};
use transfer::Traits;

impl platform::Folders for Host {
    const FOLDERS: Option<Folders<Offload>> = Some(FOLDERS);
}

/// The driver of host folders.
const FOLDERS: Folders<Offload> = Folders {
    // As FAT; the C library and Linux use little of it.
    stack: 64 << 10,
    mount,
};

/// Permission bits of new files and folders, before the process's umask.
const FILE_MODE: u32 = 0o666;
const FOLDER_MODE: u32 = 0o777;

struct Folder {
    root: Root,
    read_only: bool,
    open: Handles<Open>,
}

struct Open {
    fd: OwnedFd,
    flags: OpenFlags,
    traits: Traits,
}

fn mount(source: &str, options: &VolumeOptions, waiting: Waiting<Offload>) -> Mounted {
    let refused = |error, what: &str| Err(MountError::new(error, format!("{source}: {what}")));
    let Ok(path) = text(source) else {
        return refused(Error::InvalidName, "not a path");
    };
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `path` ends with a zero byte.
    let root = OwnedFd(unsafe { libc::open(path.as_ptr(), flags) });
    if root.0 < 0 {
        let error = failed();
        return refused(error, "can't be opened as a folder of the host");
    }
    let root = Root::new(root, waiting);
    if locate(&root, "").is_err() {
        return refused(
            Error::Unsupported,
            "folders of the host need openat2: Linux 5.6 or newer, not forbidden",
        );
    }
    let mut folder = Folder {
        root,
        read_only: options.read_only,
        open: Handles::default(),
    };
    folder.read_only |= folder
        .status()
        .is_ok_and(|status| status.f_flag & libc::ST_RDONLY != 0);
    Ok(Box::new(folder))
}

impl Folder {
    fn status(&self) -> Result<libc::statvfs, Error> {
        let mut status = MaybeUninit::zeroed();
        // SAFETY: room for the structure, of which zeros are one.
        unsafe {
            done(libc::fstatvfs(self.root.fd().0, status.as_mut_ptr()))?;
            Ok(status.assume_init())
        }
    }

    fn writable(&self) -> Result<(), Error> {
        if self.read_only {
            Err(Error::ReadOnly)
        } else {
            Ok(())
        }
    }

    /// An open file that may be used in this way.
    fn file(&self, file: FileId, needs: OpenFlags) -> Result<&Open, Error> {
        let open = self.open.get(file)?;
        if open.flags.contains(needs) {
            Ok(open)
        } else {
            Err(Error::PermissionDenied)
        }
    }

    /// Calls `f` with the parent folder and the last name of a path.
    fn change(
        &self,
        path: &str,
        call: impl FnOnce(i32, &CStr) -> libc::c_int,
    ) -> Result<(), Error> {
        self.writable()?;
        let (folder, name) = above(&self.root, path)?;
        let name = text(name)?;
        done(call(folder.0, &name))
    }

    /// The same with two paths.
    fn change_two(
        &self,
        old: &str,
        new: &str,
        call: impl FnOnce((i32, &CStr), (i32, &CStr)) -> libc::c_int,
    ) -> Result<(), Error> {
        self.writable()?;
        let (from, old) = above(&self.root, old)?;
        let (to, new) = above(&self.root, new)?;
        let (old, new): (CString, CString) = (text(old)?, text(new)?);
        done(call((from.0, &old), (to.0, &new)))
    }
}

impl Volume for Folder {
    fn open(&mut self, path: &str, flags: OpenFlags) -> Result<FileId, Error> {
        flags.check()?;
        self.open.check_room()?;
        let has = |flag, number| if flags.contains(flag) { number } else { 0 };
        if flags.contains(OpenFlags::DIRECTORY) {
            let fd = calls::open(&self.root, path, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
            let traits = Traits::default();
            return Ok(self.open.add(Open { fd, flags, traits }));
        }
        if flags.contains(OpenFlags::WRITE) {
            self.writable()?;
        }
        // A device or a pipe isn't even opened.
        match locate(&self.root, path).and_then(|found| stat(&found)) {
            Ok(_) if flags.contains(OpenFlags::EXCLUSIVE) => return Err(Error::Exists),
            Ok(found) if known(&found).kind == Kind::Directory => return Err(Error::IsDirectory),
            Ok(found) if !calls::is_regular(&found) => return Err(Error::Unsupported),
            Ok(_) => {}
            Err(Error::NotFound) if flags.contains(OpenFlags::CREATE) => {}
            Err(error) => return Err(error),
        }
        let access = match (
            flags.contains(OpenFlags::READ),
            flags.contains(OpenFlags::WRITE),
        ) {
            (true, true) => libc::O_RDWR,
            (false, true) => libc::O_WRONLY,
            _ => libc::O_RDONLY,
        };
        let words = access
            | libc::O_NONBLOCK
            | libc::O_NOCTTY
            | has(OpenFlags::CREATE, libc::O_CREAT)
            | has(OpenFlags::EXCLUSIVE, libc::O_EXCL)
            | has(OpenFlags::TRUNCATE, libc::O_TRUNC)
            | has(OpenFlags::APPEND, libc::O_APPEND);
        let mode = has(OpenFlags::CREATE, FILE_MODE as i32) as u32;
        let fd = calls::open(&self.root, path, words, mode)?;
        // It may have been replaced meanwhile.
        if !calls::is_regular(&stat(&fd)?) {
            return Err(Error::Unsupported);
        }
        // The ring doesn't wait for a file with `O_NONBLOCK`.
        let kept = words & libc::O_APPEND;
        // SAFETY: a plain call.
        done(unsafe { libc::fcntl(fd.0, libc::F_SETFL, kept) })?;
        let traits = transfer::traits(&fd);
        Ok(self.open.add(Open { fd, flags, traits }))
    }

    fn close(&mut self, file: FileId) -> Result<(), Error> {
        self.open.remove(file).map(drop)
    }

    fn read_at(&mut self, file: FileId, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        let Open { fd, traits, .. } = self.file(file, OpenFlags::READ)?;
        self.root.transfer.read(fd, traits, offset, buf)
    }

    fn write_at(&mut self, file: FileId, offset: u64, buf: &[u8]) -> Result<usize, Error> {
        let Open { fd, traits, .. } = self.file(file, OpenFlags::WRITE)?;
        self.root.transfer.write(fd, traits, offset, buf)
    }

    fn size(&mut self, file: FileId) -> Result<u64, Error> {
        stat(&self.open.get(file)?.fd).map(|stat| stat.st_size as u64)
    }

    fn truncate(&mut self, file: FileId, size: u64) -> Result<(), Error> {
        let open = self.file(file, OpenFlags::WRITE)?;
        let size = i64::try_from(size).map_err(|_| Error::TooLarge)?;
        // SAFETY: a plain call.
        done(unsafe { libc::ftruncate(open.fd.0, size) })
    }

    fn fallocate(
        &mut self,
        file: FileId,
        how: Fallocate,
        offset: u64,
        len: u64,
    ) -> Result<(), Error> {
        let open = self.file(file, OpenFlags::WRITE)?;
        let mode = match how {
            Fallocate::Allocate => 0,
            Fallocate::KeepSize => libc::FALLOC_FL_KEEP_SIZE,
            Fallocate::PunchHole => libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
            Fallocate::ZeroRange => libc::FALLOC_FL_ZERO_RANGE,
        };
        let [offset, len] = [offset, len].map(i64::try_from);
        let (offset, len) = (
            offset.map_err(|_| Error::TooLarge)?,
            len.map_err(|_| Error::TooLarge)?,
        );
        // SAFETY: a plain call.
        done(unsafe { libc::fallocate(open.fd.0, mode, offset, len) })
    }

    fn seek(&mut self, file: FileId, to: Seek, offset: u64) -> Result<Option<u64>, Error> {
        let open = self.file(file, OpenFlags::empty())?;
        let whence = match to {
            Seek::Data => libc::SEEK_DATA,
            Seek::Hole => libc::SEEK_HOLE,
        };
        let Ok(offset) = i64::try_from(offset) else {
            return Ok(None);
        };
        // SAFETY: a plain call. Reads and writes don't use the descriptor's own position.
        let found = unsafe { libc::lseek(open.fd.0, offset, whence) };
        match u64::try_from(found) {
            Ok(found) => Ok(Some(found)),
            Err(_) if errno() == libc::ENXIO => Ok(None),
            Err(_) => Err(failed()),
        }
    }

    fn stat_file(&mut self, file: FileId) -> Result<Stat, Error> {
        stat(&self.open.get(file)?.fd).map(|stat| known(&stat))
    }

    fn stat(&mut self, path: &str) -> Result<Stat, Error> {
        let found = locate(&self.root, path)?;
        stat(&found).map(|stat| known(&stat))
    }

    fn list(
        &mut self,
        directory: FileId,
        from: Cursor,
        visit: &mut dyn FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<Option<Cursor>, Error> {
        let open = self.file(directory, OpenFlags::DIRECTORY)?;
        calls::list(&open.fd, from, &mut |raw, name, known| {
            // It may have been removed since.
            let Some(kind) = known.or_else(|| kind_of(&open.fd, raw)) else {
                return true;
            };
            visit(&DirEntry { name, kind })
        })
    }

    fn mkdir(&mut self, path: &str) -> Result<(), Error> {
        if fs::path::split_last(path).is_none() {
            return Err(Error::Exists);
        }
        // SAFETY: a name with its zero byte, as in the calls below.
        self.change(path, |folder, name| unsafe {
            libc::mkdirat(folder, name.as_ptr(), FOLDER_MODE)
        })
    }

    fn rmdir(&mut self, path: &str) -> Result<(), Error> {
        self.change(path, |folder, name| {
            // SAFETY: as above.
            unsafe { libc::unlinkat(folder, name.as_ptr(), libc::AT_REMOVEDIR) }
        })
    }

    fn unlink(&mut self, path: &str) -> Result<(), Error> {
        if self.stat(path)?.kind == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        // SAFETY: as above.
        self.change(path, |folder, name| unsafe {
            libc::unlinkat(folder, name.as_ptr(), 0)
        })
    }

    fn rename_as(&mut self, from: &str, to: &str, how: Renaming) -> Result<(), Error> {
        let flags = match how {
            Renaming::Replace => 0,
            Renaming::NoReplace => libc::RENAME_NOREPLACE,
            Renaming::Exchange => libc::RENAME_EXCHANGE,
        };
        self.change_two(from, to, |(old, from), (new, to)| {
            // SAFETY: as above.
            unsafe {
                if flags == 0 {
                    return libc::renameat(old, from.as_ptr(), new, to.as_ptr());
                }
                let call = libc::SYS_renameat2;
                libc::syscall(call, old, from.as_ptr(), new, to.as_ptr(), flags) as libc::c_int
            }
        })
    }

    fn link(&mut self, path: &str, new: &str) -> Result<(), Error> {
        if self.stat(path)?.kind == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        self.change_two(path, new, |(old, from), (new, to)| {
            // SAFETY: as above; a link at the end isn't followed.
            unsafe { libc::linkat(old, from.as_ptr(), new, to.as_ptr(), 0) }
        })
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), Error> {
        let target = text(target)?;
        self.change(path, |folder, name| {
            // SAFETY: as above.
            unsafe { libc::symlinkat(target.as_ptr(), folder, name.as_ptr()) }
        })
    }

    fn set_times(
        &mut self,
        path: &str,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Result<(), Error> {
        let words = [accessed, modified].map(|time| libc::timespec {
            tv_sec: time.map_or(0, |time| time.seconds),
            tv_nsec: time.map_or(libc::UTIME_OMIT, |time| time.nanoseconds.into()),
        });
        self.change(path, |folder, name| {
            let flags = libc::AT_SYMLINK_NOFOLLOW;
            // SAFETY: as above, and two structures.
            unsafe { libc::utimensat(folder, name.as_ptr(), words.as_ptr(), flags) }
        })
    }

    fn resolve(&mut self, path: &str, last: bool) -> Result<Walk, Error> {
        let asked = match fs::path::split_last(path) {
            Some((folder, _)) if !last => folder,
            Some(_) => path,
            None => return Ok(Walk::Plain),
        };
        let is_link = |path: &str| {
            let found = locate(&self.root, path)?;
            Ok(match known(&stat(&found)?).kind {
                Kind::Symlink => Some(found),
                _ => None,
            })
        };
        let mut end = match is_link(asked) {
            Ok(Some(_)) => asked.len(),
            // A link before the end: the search goes for the first one.
            Err(Error::TooManyLinks) => 0,
            // An object that can't be examined isn't a link to follow; the operation itself reports
            // the error.
            Ok(None) | Err(_) => return Ok(Walk::Plain),
        };
        if end == 0 {
            for name in fs::path::names(asked) {
                end += 1 + name.len();
                match is_link(asked.get(..end).unwrap_or(asked)) {
                    Ok(Some(_)) => break,
                    Ok(None) => {}
                    Err(_) => return Ok(Walk::Plain),
                }
            }
        }
        match is_link(asked.get(..end).unwrap_or(asked)) {
            Ok(Some(link)) => Ok(Walk::Link {
                end,
                target: calls::target(&link)?,
            }),
            _ => Ok(Walk::Plain),
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.root.transfer.sync(self.root.fd(), Call::SyncAll)
    }

    fn sync_file(&mut self, file: FileId) -> Result<(), Error> {
        let fd = &self.open.get(file)?.fd;
        self.root.transfer.sync(fd, Call::Sync)
    }

    fn space(&mut self) -> Result<Space, Error> {
        let status = self.status()?;
        Ok(Space {
            total: status.f_blocks.saturating_mul(status.f_frsize),
            free: status.f_bfree.saturating_mul(status.f_frsize),
            available: status.f_bavail.saturating_mul(status.f_frsize),
            unit: u32::try_from(status.f_frsize).unwrap_or(u32::MAX),
        })
    }

    fn health(&self) -> Health {
        if self.read_only {
            Health::ReadOnly
        } else {
            Health::Writable
        }
    }
}

/// The kind of a directory entry, if it is known.
fn kind_of(folder: &OwnedFd, name: &CStr) -> Option<Kind> {
    let mut stat = MaybeUninit::zeroed();
    // SAFETY: a name with its zero byte, and room for the structure, of which zeros are one.
    let stat = unsafe {
        let flags = libc::AT_SYMLINK_NOFOLLOW;
        done(libc::fstatat(
            folder.0,
            name.as_ptr(),
            stat.as_mut_ptr(),
            flags,
        ))
        .ok()?;
        stat.assume_init()
    };
    Some(known(&stat).kind)
}

#[cfg(test)]
mod tests;
