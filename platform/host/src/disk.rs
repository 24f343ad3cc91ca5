//! Disks of the process: `SOIL_DISK_NAME=FILE` makes the file or block device FILE the disk `name`
//! (in lower case), to be read and written where this user may write to it;
//! `SOIL_DISK_NAME=FILE,ro` only reads. A file has sectors of 512 bytes, or of 4096 with
//! `,sector=4096`; a block device has its own.
//!
//! A read of cached data completes at once; all other requests complete while other tasks run
//! ([`queue`]). A disk in use is locked, as QEMU locks its disks ([`lock`]).

mod aio;
mod queue;
mod request;
mod unflushed;

use crate::owned_fd::OwnedFd;
use crate::{Host, Interest, check, errno, failure, ring};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::CStr;
use fs::BlockError;
use lock::{Refusal, Usage};
use platform::Disks;
use platform::disk::{
    BlockDevice, Capabilities, Geometry, Named, Request, Submitted, TIMEOUT_VARIABLE,
};
use platform::error::{Error, Failure, Stop};
use queue::Queue;

/// Default sector size of a file, in bytes.
const SECTOR: usize = 512;
/// Maximum sector size, in bytes.
const MAX_SECTOR: usize = 4096;
/// Prefix of the option that gives a file's sector size.
const SECTOR_OPTION: &str = ",sector=";
/// Maximum number of bytes in one request: what an old disk transfers in a second.
const MAX_BYTES: usize = 16 << 20;
/// The prefix of the variables' names.
const PREFIX: &str = "SOIL_DISK_";

/// A disk of the process: a file or block device of Linux.
struct Disk {
    name: String,
    path: String,
    only_read: bool,
    /// The sector size in the option, in bytes.
    sector: Option<String>,
    ring: ring::Handle,
    open: Option<Open>,
    /// Its locks are held, as far as its file system has any.
    locked: bool,
}

/// An open file.
struct Open {
    queue: Queue,
    geometry: Geometry,
    /// Bytes of the file, when it was last read.
    size: u64,
    /// The size was read since the last wait.
    seen: bool,
}

impl Disks for Host {
    fn disks(interest: &mut Interest) -> Result<Named<Host>, Failure> {
        Ok(sim::disks().unwrap_or_else(|| all(&interest.ring())))
    }
}

/// The disks that the environment names, in the order of their names.
fn all(ring: &ring::Handle) -> Named<Host> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut found = Vec::new();
    // SAFETY: `environ` is a list of strings that ends with a null pointer, and isn't changed
    // meanwhile.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            let word = CStr::from_ptr(*next).to_str().unwrap_or("");
            next = next.add(1);
            if let Some((name, path)) = named(word) {
                let (path, only_read) = match path.strip_suffix(",ro") {
                    Some(path) => (path, true),
                    None => (path, false),
                };
                let (path, sector) = match path.rsplit_once(SECTOR_OPTION) {
                    Some((path, sector)) => (path, Some(sector.to_string())),
                    None => (path, None),
                };
                found.push(Disk {
                    name: name.to_ascii_lowercase(),
                    path: path.to_string(),
                    only_read,
                    sector,
                    ring: ring.clone(),
                    open: None,
                    locked: false,
                });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
        .into_iter()
        .map(|d| (d.name.clone(), Box::new(d) as Box<dyn BlockDevice<Host>>))
        .collect()
}

/// The name and the value of a disk in a word of the environment; none for other words, and for an
/// empty value, as with all variables. A disk called `timeout` is `SOIL_DISK_timeout`.
fn named(word: &str) -> Option<(&str, &str)> {
    let (variable, value) = word.split_once('=')?;
    let name = variable.strip_prefix(PREFIX)?;
    (variable != TIMEOUT_VARIABLE && !value.is_empty()).then_some((name, value))
}

/// Opens a disk's file without updates of its access time, if this user may request that. An update
/// waits for the journal of the host's file system even in a non-blocking read (`IORING_OP_READ`
/// that finds its bytes in the page cache), so that a stalled disk of the host would stop the whole
/// process.
fn open(path: &CStr, mode: i32) -> OwnedFd {
    // SAFETY: `path` ends with a zero byte.
    let open = |mode| unsafe { OwnedFd(libc::open(path.as_ptr(), mode | libc::O_CLOEXEC)) };
    let fd = open(mode | libc::O_NOATIME);
    // Only the owner of a file may request that (open(2)).
    if fd.0 < 0 && errno() == libc::EPERM {
        return open(mode);
    }
    fd
}

/// The size of a file or block device in bytes.
fn size(fd: i32) -> Result<u64, Stop> {
    // SAFETY: a plain query of a descriptor, whose file offset is unused; the end of a block device
    // is its size, too.
    check(unsafe { libc::lseek(fd, 0, libc::SEEK_END) } as isize).map(|size| size as u64)
}

impl Disk {
    /// Locks it, unless it is already locked.
    fn lock(&mut self, open: &Open) -> Result<(), Failure> {
        if self.locked {
            return Ok(());
        }
        let usage = match open.geometry.read_only {
            true => Usage::Read,
            false => Usage::Write,
        };
        let what = format!("disk {}: {}", self.name, self.path);
        match lock::take(open.queue.file(), usage) {
            Ok(()) => {
                if let Some(fd) = open.queue.direct_file() {
                    lock::take_also(fd, usage);
                }
            }
            Err(Refusal::Unsupported(number)) => {
                log::warn!(
                    "{what}: can't be locked (error {number} of its file system): \
                    make sure that no other program uses it"
                );
            }
            Err(Refusal::InUse(other)) => {
                let detail = format!("{what}: {}: {}", other.text(), other.remedy(usage));
                return Err(Failure::new(Error::Busy, detail));
            }
        }
        self.locked = true;
        Ok(())
    }

    /// Bytes of a sector.
    fn sector(&self, fd: i32) -> Result<usize, Failure> {
        let mut own: libc::c_int = 0;
        // SAFETY: writes an integer, and only for a block device.
        let is_device = unsafe { libc::ioctl(fd, libc::BLKSSZGET, &raw mut own) } == 0;
        let own = if is_device { own as usize } else { SECTOR };
        let bytes = match &self.sector {
            Some(text) => text.parse().unwrap_or(0),
            None => own,
        };
        if !bytes.is_power_of_two() || !(SECTOR..=MAX_SECTOR).contains(&bytes) {
            let said = self.sector.as_deref().unwrap_or("more than that");
            let detail = format!("sectors of {said} bytes: 512, 1024, 2048 or 4096 are supported");
            return Err(Failure::new(Error::BadConfiguration, detail));
        }
        if bytes < own {
            let detail = format!("sectors of {bytes} bytes: the device has larger ones, of {own}");
            return Err(Failure::new(Error::BadConfiguration, detail));
        }
        Ok(bytes)
    }

    fn open(&self) -> Result<Open, Failure> {
        let what = format!("disk {}: {}", self.name, self.path);
        let path = CString::new(self.path.as_str())
            .map_err(|_| Failure::new(Error::BadConfiguration, format!("{what}: not a path")))?;
        let mut read_only = self.only_read;
        let open = |mode| open(&path, mode);
        let mut fd = open(if read_only {
            libc::O_RDONLY
        } else {
            libc::O_RDWR
        });
        if fd.0 < 0 && matches!(errno(), libc::EACCES | libc::EPERM | libc::EROFS) {
            read_only = true;
            fd = open(libc::O_RDONLY);
        }
        if fd.0 < 0 {
            let mut failure = failure(&what);
            if failure.error == Error::NotFound {
                failure.error = Error::NoDevice;
            }
            return Err(failure);
        }
        let sector_size = self.sector(fd.0).map_err(|failure| failure.within(&what))?;
        let size = size(fd.0).map_err(|_| failure(&what))?;
        let sectors = size / sector_size as u64;
        if sectors == 0 {
            let detail = format!("{what}: empty, or not a disk image");
            return Err(Failure::new(Error::Invalid, detail));
        }
        let direct = open(libc::O_RDWR | libc::O_DIRECT);
        let direct = (!read_only && direct.0 >= 0).then_some(direct);
        Ok(Open {
            queue: Queue::new(fd, sector_size, direct, &self.ring),
            geometry: Geometry {
                sector_size,
                sectors,
                read_only,
                flushes: true,
                max_bytes: MAX_BYTES,
            },
            size,
            seen: true,
        })
    }
}

impl Open {
    /// Reads the size of the file, once between two waits.
    fn refresh_size(&mut self) {
        if self.seen {
            return;
        }
        if let Ok(size) = size(self.queue.file()) {
            self.size = size;
            self.geometry.sectors = size / self.geometry.sector_size as u64;
        }
        self.seen = true;
    }
}

impl BlockDevice<Host> for Disk {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durable: true,
            discard: true,
            write_zeroes: true,
        }
    }

    fn geometry(&mut self) -> Result<Geometry, Failure> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let locked = self.lock(&open);
        open.seen = false;
        open.refresh_size();
        let geometry = open.geometry;
        self.open = Some(open);
        locked.map(|()| geometry)
    }

    fn released(&mut self) {
        // Abandoned requests that the kernel still has may write.
        if let Some(Open { queue, .. }) = self.open.as_ref().filter(|open| open.queue.is_idle()) {
            for fd in queue.direct_file().into_iter().chain([queue.file()]) {
                lock::unlock(fd);
            }
            self.locked = false;
        }
    }

    fn submit(&mut self, request: Request, tag: u64) -> Submitted {
        match &mut self.open {
            Some(open) => {
                open.refresh_size();
                open.queue.submit(request, tag, open.size)
            }
            None => Submitted::Done(Err(BlockError::Io)),
        }
    }

    fn arm(&mut self, interest: &mut Interest) {
        if let Some(Open { queue, .. }) = &mut self.open {
            queue.arm(interest);
        }
    }

    fn kick(&mut self) {
        if let Some(Open { queue, .. }) = &mut self.open {
            queue.kick();
        }
    }

    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        if let Some(open) = &mut self.open {
            open.seen = false;
            open.queue.poll(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Disk, named, ring};
    use platform::disk::BlockDevice;
    use platform::error::{Error, Failure};
    use std::{env, format, fs, process, string::ToString};

    #[test]
    fn a_disk_is_anothers_until_it_is_given_back() {
        let path = env::temp_dir().join(format!("soil-disk-lock-{}", process::id()));
        fs::write(&path, [0; 4096]).expect("a disk");
        let disk = |name: &str, only_read| Disk {
            name: name.to_string(),
            path: path.to_str().expect("ASCII").to_string(),
            only_read,
            sector: None,
            ring: ring::Handle::default(),
            open: None,
            locked: false,
        };
        let (mut one, mut two, mut reader) =
            (disk("one", false), disk("two", false), disk("three", true));
        assert!(one.geometry().is_ok());
        assert!(one.geometry().is_ok(), "asked again");
        for (other, remedy) in [(&mut two, "copy"), (&mut reader, "copy")] {
            let Failure { error, detail } = other.geometry().expect_err("it is locked");
            assert_eq!(error, Error::Busy);
            for text in [other.name.as_str(), "writes to it", remedy] {
                assert!(detail.contains(text), "{detail}");
            }
        }
        one.released();
        assert!(reader.geometry().is_ok());
        let Failure { detail, .. } = two.geometry().expect_err("it is read");
        assert!(
            detail.contains("reads it") && detail.contains(",ro"),
            "{detail}"
        );
        drop(reader);
        assert!(two.geometry().is_ok());
        let _ = fs::remove_file(&path);
    }

    #[test]
    fn only_disks_are_disks() {
        for (word, disk) in [
            ("SOIL_DISK_DATA=/d.img,ro", Some(("DATA", "/d.img,ro"))),
            ("SOIL_DISK_data=a=b", Some(("data", "a=b"))),
            ("SOIL_DISK_TIMEOUT=60", None),
            ("SOIL_DISK_timeout=/d.img", Some(("timeout", "/d.img"))),
            ("SOIL_DISK_TIMEOUTS=/d.img", Some(("TIMEOUTS", "/d.img"))),
            ("SOIL_DISK_DATA=", None),
            ("SOIL_DISKS=/d.img", None),
            ("SOIL_DISK_data", None),
        ] {
            assert_eq!(named(word), disk, "{word}");
        }
    }
}
