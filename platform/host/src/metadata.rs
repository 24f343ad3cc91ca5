//! The metadata of a process: those on the disk image that `SOIL_METADATA` names.

use crate::owned_fd::OwnedFd;
use crate::{Host, check, errno};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use fs::{Block, BlockError};
use instance::Instance;
use platform::System;
use platform::error::{Error, Failure};

/// The environment variable.
const VARIABLE: &str = "SOIL_METADATA";
/// Bytes of a sector.
const SECTOR: usize = 512;

/// The metadata, never freed; null before they are read. Written by calls only.
static INSTANCE: AtomicPtr<Option<Instance>> = AtomicPtr::new(null_mut());

impl platform::Metadata for Host {
    fn instance() -> Result<Option<&'static Instance>, Failure> {
        // SAFETY: only boxes that are never freed are stored there.
        if let Some(known) = unsafe { INSTANCE.load(Ordering::Acquire).as_ref() } {
            return Ok(known.as_ref());
        }
        let read: &'static Option<Instance> = Box::leak(Box::new(read()?));
        INSTANCE.store(core::ptr::from_ref(read).cast_mut(), Ordering::Release);
        if let Some(ignored) = read.as_ref().map(|instance| &instance.ignored)
            && !ignored.is_empty()
        {
            log::warn!("{VARIABLE}: ignored: {}", ignored.join("; "));
        }
        Ok(read.as_ref())
    }
}

fn read() -> Result<Option<Instance>, Failure> {
    let path = match Host::variable(VARIABLE) {
        Some(path) if path != "none" => path,
        _ => return Ok(None),
    };
    let wrong = |error, detail| Failure::new(error, format!("{VARIABLE}: {path}: {detail}"));
    let image = Image::open(&path).map_err(|detail| wrong(Error::BadConfiguration, detail))?;
    let found = instance::disk::read(&mut || Box::new(image.clone()), Some(fs::fat::mount))
        .map_err(|error| wrong(Error::BadConfiguration, format!("{error}")))?;
    found.map(Some).ok_or_else(|| {
        let detail =
            "no file system with the label cidata or config-2: make one with cloud-localds";
        wrong(Error::BadConfiguration, String::from(detail))
    })
}

/// A file that is read as a disk.
#[derive(Clone)]
struct Image {
    fd: Arc<OwnedFd>,
    sectors: u64,
}

impl Image {
    fn open(path: &str) -> Result<Self, String> {
        let name = CString::new(path).map_err(|_| String::from("a NUL in the name"))?;
        // SAFETY: `name` ends with a zero byte.
        let fd = OwnedFd(unsafe { libc::open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) });
        if fd.0 < 0 {
            let reason = match errno() {
                libc::ENOENT => "no such file",
                libc::EACCES => "permission denied",
                _ => "the file can't be opened",
            };
            return Err(String::from(reason));
        }
        // SAFETY: a plain query of a descriptor, whose file offset is unused.
        let size = check(unsafe { libc::lseek(fd.0, 0, libc::SEEK_END) } as isize);
        let size = size.map_err(|_| String::from("not a disk image, but a folder or a pipe"))?;
        Ok(Self {
            fd: Arc::new(fd),
            sectors: (size / SECTOR) as u64,
        })
    }
}

impl Block for Image {
    fn sector_size(&self) -> usize {
        SECTOR
    }

    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read(&mut self, first_sector: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        let mut offset = first_sector
            .checked_mul(SECTOR as u64)
            .and_then(|offset| i64::try_from(offset).ok())
            .ok_or(BlockError::OutOfRange)?;
        let mut rest = buffer;
        while !rest.is_empty() {
            // SAFETY: writes within `rest`.
            let read =
                unsafe { libc::pread(self.fd.0, rest.as_mut_ptr().cast(), rest.len(), offset) };
            match check(read) {
                Ok(0) => return Err(BlockError::OutOfRange),
                Ok(count) => {
                    offset += count as i64;
                    rest = rest.get_mut(count..).unwrap_or_default();
                }
                Err(_) => return Err(BlockError::Io),
            }
        }
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), BlockError> {
        Err(BlockError::ReadOnly)
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        Ok(())
    }
}
