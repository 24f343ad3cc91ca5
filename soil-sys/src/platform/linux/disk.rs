//! Disks of the process: `SOIL_DISK_NAME=FILE` makes the file or block device FILE the disk `name` (in lower case), to be read and
//! written where this user may write to it; `SOIL_DISK_NAME=FILE,ro` only reads.
//!
//! What the page cache has is read at once; all else is done while other tasks run ([`queue`]).

mod aio;
mod queue;

use super::links::{OwnedFd, failure};
use super::{check, errno, ring};
use crate::disks::{Device, Geometry, Request, Submitted};
use crate::error::Error;
use crate::platform::Interest;
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::CStr;
use fs::BlockError;
use queue::Queue;

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
    ring: ring::Handle,
    open: Option<(Queue, Geometry)>,
}

/// The disks that the environment names, in the order of their names.
pub fn all(ring: &ring::Handle) -> Vec<(String, Box<dyn Device>)> {
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
                    ring: ring.clone(),
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
    fn open(&self) -> Result<(Queue, Geometry), (Error, String)> {
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
        let direct = open(libc::O_RDWR | libc::O_DIRECT);
        let direct = (!read_only && direct.0 >= 0).then_some(direct);
        Ok((
            Queue::new(fd, direct, &self.ring),
            Geometry {
                sector_size: SECTOR,
                sectors,
                read_only,
                max_bytes: MAX_BYTES,
            },
        ))
    }
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

    fn submit(&mut self, request: Request, tag: u64) -> Submitted {
        match &mut self.open {
            Some((queue, _)) => queue.submit(request, tag),
            None => Submitted::Done(Err(BlockError::Io)),
        }
    }

    fn arm(&mut self, interest: &mut Interest) {
        if let Some((queue, _)) = &mut self.open {
            queue.arm(interest);
        }
    }

    fn kick(&mut self) {
        if let Some((queue, _)) = &mut self.open {
            queue.kick();
        }
    }

    fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        if let Some((queue, _)) = &mut self.open {
            queue.poll(report);
        }
    }
}
