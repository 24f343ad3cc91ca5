//! Disks of the process: `SOIL_DISK_NAME=FILE` makes the file or block device FILE the disk `name` (in lower case), to be read and
//! written where this user may write to it; `SOIL_DISK_NAME=FILE,ro` only reads.
//!
//! Requests are done at once with `pread` and `pwrite`: from the page cache mostly, and for the rest the program stands still as long as
//! the host's disk takes.

use super::links::{OwnedFd, failure};
use super::{check, errno};
use crate::disks::{Device, Geometry, Request, Submitted};
use crate::error::{Error, Stop};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::CStr;
use core::ptr::NonNull;
use fs::BlockError;

/// What a sector is on a file.
const SECTOR: usize = 512;
/// The most bytes in one request: what a second of an old disk gives.
const MAX_BYTES: usize = 16 << 20;
/// The beginning of the variables' names.
const PREFIX: &str = "SOIL_DISK_";

/// See the head of this file.
struct FileDisk {
    name: String,
    path: String,
    only_read: bool,
    open: Option<(OwnedFd, Geometry)>,
}

/// The disks that the environment names, in the order of their names.
pub fn all() -> Vec<(String, Box<dyn Device>)> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut found = Vec::new();
    // SAFETY: `environ` is a list of strings that ends with a null pointer, and nobody changes it meanwhile.
    unsafe {
        let mut next = environ;
        while !next.is_null() && !(*next).is_null() {
            let word = CStr::from_ptr(*next).to_str().unwrap_or("");
            next = next.add(1);
            if let Some((name, path)) = word.strip_prefix(PREFIX).and_then(|w| w.split_once('=')) {
                let (path, only_read) = match path.strip_suffix(",ro") {
                    Some(path) => (path, true),
                    None => (path, false),
                };
                found.push(FileDisk {
                    name: name.to_ascii_lowercase(),
                    path: path.to_string(),
                    only_read,
                    open: None,
                });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
        .into_iter()
        .map(|d| (d.name.clone(), Box::new(d) as Box<dyn Device>))
        .collect()
}

impl FileDisk {
    fn open(&self) -> Result<(OwnedFd, Geometry), (Error, String)> {
        let what = format!("disk {}: {}", self.name, self.path);
        let path = CString::new(self.path.as_str())
            .map_err(|_| (Error::BadConfiguration, format!("{what}: not a path")))?;
        let mut read_only = self.only_read;
        // SAFETY: `path` ends with a zero byte.
        let open = |mode| unsafe { OwnedFd(libc::open(path.as_ptr(), mode | libc::O_CLOEXEC)) };
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
            let (error, detail) = failure(&what);
            return Err((
                if error == Error::NotFound {
                    Error::NoDevice
                } else {
                    error
                },
                detail,
            ));
        }
        // SAFETY: plain queries of a descriptor; the end of a block device is its size, too.
        let size = unsafe { libc::lseek(fd.0, 0, libc::SEEK_END) };
        let size = check(size as isize).map_err(|_| failure(&what))?;
        let sectors = (size / SECTOR) as u64;
        if sectors == 0 {
            return Err((
                Error::Invalid,
                format!("{what}: empty, or not a disk image"),
            ));
        }
        Ok((
            fd,
            Geometry {
                sector_size: SECTOR,
                sectors,
                read_only,
                max_bytes: MAX_BYTES,
            },
        ))
    }
}

/// Calls `step` with the rest of `len` bytes and their offset until all are done.
fn all_of(
    sector: u64,
    start: NonNull<u8>,
    len: usize,
    step: impl Fn(*mut u8, usize, i64) -> isize,
) -> Result<(), BlockError> {
    let offset = sector * SECTOR as u64;
    let mut done = 0;
    while done < len {
        // SAFETY: within the request's memory.
        let at = unsafe { start.add(done) };
        match check(step(at.as_ptr(), len - done, (offset + done as u64) as i64)) {
            // The file has become shorter.
            Ok(0) => return Err(BlockError::Io),
            Ok(n) => done += n,
            Err(Stop::WouldBlock) => (),
            Err(_) => return Err(BlockError::Io),
        }
    }
    Ok(())
}

impl Device for FileDisk {
    fn geometry(&mut self) -> Result<Geometry, (Error, String)> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        let geometry = open.1;
        self.open = Some(open);
        Ok(geometry)
    }

    fn submit(&mut self, request: Request, _: u64) -> Submitted {
        let Some((OwnedFd(fd), _)) = self.open else {
            return Submitted::Done(Err(BlockError::Io));
        };
        Submitted::Done(match request {
            Request::Read { sector, to, len } => all_of(sector, to, len, |to, len, offset| {
                // SAFETY: writes within the request's memory.
                unsafe { libc::pread(fd, to.cast(), len, offset) }
            }),
            Request::Write { sector, from, len } => {
                all_of(sector, from, len, |from, len, offset| {
                    // SAFETY: reads within the request's memory.
                    unsafe { libc::pwrite(fd, from.cast(), len, offset) }
                })
            }
            Request::Flush => {
                // SAFETY: a plain call.
                check(unsafe { libc::fdatasync(fd) } as isize)
                    .map(|_| ())
                    .map_err(|_| BlockError::Io)
            }
        })
    }

    fn arm(&mut self) -> bool {
        false
    }

    fn kick(&mut self) {}

    fn poll(&mut self, _: &mut dyn FnMut(u64, Result<(), BlockError>)) {}
}
