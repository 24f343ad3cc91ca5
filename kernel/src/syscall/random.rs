//! `getrandom`, and `/dev/urandom`.

use crate::errno::Errno;
use crate::memory::bytes_mut;
use crate::{console, random};
use core::sync::atomic::{AtomicBool, Ordering};

/// The descriptor of `/dev/urandom`: above all numbers that a descriptor table gives.
pub(super) const DESCRIPTOR: u64 = 0x7fff_0000;

/// A failure was logged.
static LOGGED: AtomicBool = AtomicBool::new(false);

/// Fills `len` bytes of the program at `start`.
///
/// # Errors
/// EIO where there is no source of random numbers; the first time a line says so.
pub(super) fn fill(start: u64, len: u64) -> Result<u64, Errno> {
    let buffer = bytes_mut(start, len)?;
    if random::fill(buffer) {
        return Ok(len);
    }
    if !LOGGED.swap(true, Ordering::Relaxed) {
        log_failure();
    }
    Err(Errno::EIO)
}

fn log_failure() {
    console::line(format_args!(
        "no random numbers: this processor has no RDRAND or RDSEED and no virtio-rng is in use \
         (soil run adds one; -cpu max has RDRAND)"
    ));
}
