//! The file of a recording of the network.

use crate::owned_fd::OwnedFd;
use crate::{check, failure};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use platform::error::{Error, Failure, Stop};
use platform::link::RecordingSink;

/// Creates or truncates the file `name`; returns the sink of its bytes.
pub fn open(name: &str) -> Result<RecordingSink, Failure> {
    let path =
        CString::new(name).map_err(|_| Failure::new(Error::BadConfiguration, "SOIL_PCAP"))?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC;
    // SAFETY: `path` ends with a zero byte.
    let fd = OwnedFd(unsafe { libc::open(path.as_ptr(), flags, 0o644) });
    if fd.0 < 0 {
        return Err(failure(&format!("SOIL_PCAP: {name}")));
    }
    let mut file = Some(fd);
    Ok(Box::new(move |bytes| {
        let Some(fd) = &file else {
            return;
        };
        if !write(fd, bytes) {
            log::warn!("SOIL_PCAP: writing failed: the recording ends here");
            file = None;
        }
    }))
}

/// Writes all of it; false if that fails.
fn write(fd: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: reads within `bytes`.
        let written = unsafe { libc::write(fd.0, bytes.as_ptr().cast(), bytes.len()) };
        match check(written) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            // A signal: a regular file never returns EAGAIN.
            Err(Stop::WouldBlock) => {}
            Err(_) => return false,
        }
    }
    true
}
