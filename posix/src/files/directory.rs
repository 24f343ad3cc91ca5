//! Directories: `getdents64`, and `lseek` as used by `rewinddir` and `seekdir`.

use super::regular;
use crate::blocking::lent::{Lent, pinned};
use crate::blocking::lock::Lock;
use crate::blocking::operation::{at_once, block, piece};
use crate::errors::Result;
use crate::file::{File, Offset};
use crate::stat::{self, FileId, Stat};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use reactor::table::Fd;
use resources::files;
use resources::types::constants as c;

/// Bytes of entries requested at once; more than the longest entry.
const BATCH: usize = 4096;
/// Bytes of `struct linux_dirent64` before the name.
const HEADER: usize = 19;

/// An open directory.
pub struct Directory {
    path: String,
    /// It is on a volume; otherwise it is `/proc` or `/dev/fd`.
    on_volume: bool,
    /// Locked while a call waits for the disk: another thread's call on the same description waits
    /// meanwhile.
    listing: Lock<Listing>,
}

impl Directory {
    /// Creates one for the directory of a volume that is open as `fd`, without symbolic links in
    /// its path.
    pub fn new(fd: Fd, path: String) -> Directory {
        Directory {
            path,
            on_volume: true,
            listing: Lock::new(Listing::new(fd)),
        }
    }

    /// A directory with these entries, which isn't on a volume.
    pub fn of(entries: Vec<(u8, String)>, path: String) -> Directory {
        Directory {
            path,
            on_volume: false,
            listing: Lock::new(Listing::of(entries)),
        }
    }
}

impl File for Directory {
    fn stat(&self) -> Result<Stat> {
        match self.on_volume {
            true => regular::stat(&self.path, true),
            false => Ok(Stat {
                links: 2,
                ..Stat::special(libc::S_IFDIR, 0o555, stat::number(&self.path))
            }),
        }
    }

    fn name(&self) -> String {
        self.path.clone()
    }

    fn read(&self, _: &mut [u8], _: Offset, _: i32) -> Result<usize> {
        Err(libc::EISDIR)
    }

    fn write(&self, _: &[u8], _: Offset, _: i32) -> Result<usize> {
        Err(libc::EISDIR)
    }

    fn seek(&self, offset: i64, whence: i32) -> Result<u64> {
        self.listing
            .with(|listing| listing.seek(&self.path, offset, whence))
    }

    fn path(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn directory(&self) -> Result<&str> {
        Ok(&self.path)
    }

    fn list(&self, into: &mut [u8]) -> Result<usize> {
        let _pin = pinned(Lent::to_write(into))?;
        self.listing.with(|listing| listing.fill(into))
    }

    fn id(&self) -> Result<Option<FileId>> {
        self.stat().map(|stat| Some(stat.id()))
    }

    fn sync(&self) -> Result<()> {
        regular::sync(&self.path)
    }

    fn can_poll(&self) -> bool {
        false
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(fd) = self.listing.get_mut().fd {
            // Closing never fails.
            let _ = at_once(|rt| rt.close(fd));
        }
    }
}

/// The position in the listing of an open directory.
struct Listing {
    /// `None` once it couldn't be reopened.
    fd: Option<Fd>,
    /// Entries as packed by the volume; those from [`Listing::start`] on are still to be returned.
    packed: Vec<u8>,
    start: usize,
    /// Number of entries returned, including `.` and `..`.
    given: u64,
    /// `packed` has all entries.
    whole: bool,
}

impl Listing {
    /// From the start of an open directory.
    fn new(fd: Fd) -> Listing {
        Listing {
            fd: Some(fd),
            packed: Vec::new(),
            start: 0,
            given: 0,
            whole: false,
        }
    }

    /// All of these entries.
    fn of(entries: Vec<(u8, String)>) -> Listing {
        let mut packed = Vec::new();
        for (kind, name) in entries {
            let kind = match kind {
                libc::DT_DIR => c::ENTRY_DIRECTORY,
                libc::DT_LNK => c::ENTRY_SYMLINK,
                _ => c::ENTRY_FILE,
            };
            packed.push(kind as u8);
            packed.extend_from_slice(&(name.len() as u16).to_le_bytes());
            packed.extend_from_slice(name.as_bytes());
        }
        Listing {
            fd: None,
            packed,
            start: 0,
            given: 0,
            whole: true,
        }
    }

    /// The next entry: its kind (`DT_*`), and its name.
    fn next(&mut self) -> Result<Option<(u8, &[u8])>> {
        match self.given {
            0 => return Ok(Some((libc::DT_DIR, b"."))),
            1 => return Ok(Some((libc::DT_DIR, b".."))),
            _ => (),
        }
        if self.start >= self.packed.len() && !self.whole {
            let fd = self.fd.ok_or(libc::ENOENT)?;
            let mut packed = vec![0; BATCH];
            let into = piece(&mut packed);
            let len = block(|rt, token| files::directory_next(rt, fd, into, token))?;
            packed.truncate(len);
            (self.packed, self.start) = (packed, 0);
        }
        let Some([kind, low, high, rest @ ..]) = self.packed.get(self.start..) else {
            return Ok(None);
        };
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let name = rest.get(..len).ok_or(libc::EIO)?;
        let kind = match isize::from(*kind) {
            c::ENTRY_DIRECTORY => libc::DT_DIR,
            c::ENTRY_SYMLINK => libc::DT_LNK,
            _ => libc::DT_REG,
        };
        Ok(Some((kind, name)))
    }

    /// Consumes the entry that [`Listing::next`] returned.
    fn take(&mut self, name: usize) {
        if self.given >= 2 {
            self.start += 3 + name;
        }
        self.given += 1;
    }

    /// `getdents64`: as many entries as fit; 0 bytes at the end. [`libc::EINVAL`] if not even one
    /// fits.
    fn fill(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut used = 0;
        loop {
            let given = self.given;
            let (kind, name) = match self.next() {
                Ok(Some(entry)) => entry,
                Err(errno) if used == 0 => return Err(errno),
                _ => return Ok(used),
            };
            let len = (HEADER + name.len() + 1).next_multiple_of(8);
            let Some(record) = into.get_mut(used..used + len) else {
                return if used == 0 {
                    Err(libc::EINVAL)
                } else {
                    Ok(used)
                };
            };
            record.fill(0);
            // A non-zero number: some programs treat 0 as a removed entry.
            for (at, number) in [(0, 1), (8, given + 1)] {
                put(record, at, &u64::to_le_bytes(number));
            }
            put(record, 16, &(len as u16).to_le_bytes());
            put(record, 18, &[kind]);
            put(record, HEADER, name);
            let name = name.len();
            self.take(name);
            used += len;
        }
    }

    /// `lseek` to an offset that an entry had, or the start.
    fn seek(&mut self, path: &str, offset: i64, whence: i32) -> Result<u64> {
        let target = match whence {
            libc::SEEK_SET => offset,
            libc::SEEK_CUR => offset.saturating_add_unsigned(self.given),
            _ => return Err(libc::EINVAL),
        };
        let target = u64::try_from(target).map_err(|_| libc::EINVAL)?;
        if target < self.given && self.whole {
            (self.start, self.given) = (0, 0);
        } else if target < self.given {
            if let Some(fd) = self.fd.take() {
                at_once(|rt| rt.close(fd))?;
            }
            let opened = block(|rt, token| files::directory(rt, path, token))?;
            *self = Listing::new(regular::decode(opened)?);
        }
        while self.given < target {
            let Some((_, name)) = self.next()? else {
                break;
            };
            let name = name.len();
            self.take(name);
        }
        Ok(self.given)
    }
}

/// Writes `bytes` at byte `at` of a record that has room for them.
fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(into) = record.get_mut(at..at + bytes.len()) {
        into.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Directory;
    use crate::file::File;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_listing_waits_for_that_of_another_thread() {
        let names = ["one", "two"].map(|name| (libc::DT_REG, name.into()));
        let directory = Directory::of(names.into(), "/folder".into());
        let is_free = AtomicBool::new(false);
        let list = || {
            let listed = directory.list(&mut [0; 256]);
            (
                listed.is_ok_and(|len| len > 0),
                is_free.load(Ordering::SeqCst),
            )
        };
        let rewind = || directory.seek(0, libc::SEEK_SET);
        thread::scope(|scope| {
            // As while the other thread waits for the disk.
            let (lists, rewinds) = directory.listing.with(|_| {
                let waiters = (scope.spawn(list), scope.spawn(rewind));
                thread::sleep(Duration::from_millis(20));
                is_free.store(true, Ordering::SeqCst);
                waiters
            });
            assert_eq!(rewinds.join().expect("no panic"), Ok(0));
            assert_eq!(lists.join().expect("no panic"), (true, true));
        });
    }
}
