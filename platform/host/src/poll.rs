//! Waiting for descriptors by ppoll(2).

use crate::errno;
use core::time::Duration;

/// Waits as ppoll(2) does, with the signal mask `mask` if one is given; returns whether a signal
/// ended it.
pub fn poll(
    fds: &mut [libc::pollfd],
    time: Option<Duration>,
    mask: Option<&libc::sigset_t>,
) -> bool {
    let timeout = time.map(timespec);
    let timeout = timeout
        .as_ref()
        .map_or(core::ptr::null(), core::ptr::from_ref);
    let mask = mask.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: `fds`, `timeout` and `mask` are valid, or null.
    let n = unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout, mask) };
    n < 0 && errno() == libc::EINTR
}

/// As the C library has it.
pub fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}
