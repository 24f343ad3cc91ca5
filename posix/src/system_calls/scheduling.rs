//! The process as programs with files use it: its user, its group, its scheduler, and `sysinfo`.

use super::program::{bytes, bytes_mut, store};
use crate::errors::Result;
use kernel::signals::PID;
use platform::{Clock, Memory};
use resources::current::Current;

/// `sysinfo`.
pub fn information(result: u64) -> Result<u64> {
    let [total, _, free, _] = Current::memory();
    let seconds = Current::monotonic_ns().div_ceil(1_000_000_000);
    // `struct sysinfo`: uptime, three loads, memory (total, free, shared, buffers), swap (total,
    // free), processes, high memory (total, free), the unit of memory.
    store(
        result,
        &[seconds, 0, 0, 0, total, free, 0, 0, 0, 0, 1, 0, 0, 1],
    )
}

/// Whether the number can't be that of the process or one of its threads.
fn is_elsewhere(process: u64) -> bool {
    (process as i32) < 0
}

/// `sched_getscheduler` and `sched_getparam`, whose result is at `parameters`: the ordinary
/// scheduler, whose only priority is 0.
pub fn scheduler(process: u64, parameters: Option<u64>) -> Result<u64> {
    match parameters {
        _ if is_elsewhere(process) => Err(libc::EINVAL),
        Some(0) => Err(libc::EINVAL),
        Some(at) => {
            bytes_mut(at, 4)?.fill(0);
            Ok(0)
        }
        None => Ok(libc::SCHED_OTHER as u64),
    }
}

/// `sched_setscheduler`, and with the same scheduler `sched_setparam`: EPERM for all but the one
/// that [`scheduler`] returns.
pub fn set_scheduler(process: u64, policy: i32, parameters: u64) -> Result<u64> {
    if is_elsewhere(process) || parameters == 0 {
        return Err(libc::EINVAL);
    }
    let [least, highest] = priorities(policy)?;
    let priority = *bytes(parameters, 4)?.first_chunk().ok_or(libc::EFAULT)?;
    match u32::from_le_bytes(priority) as u64 {
        priority if priority < least || priority > highest => Err(libc::EINVAL),
        _ if policy == libc::SCHED_OTHER => Ok(0),
        _ => Err(libc::EPERM),
    }
}

/// The minimum and the maximum priority of a scheduler.
pub fn priorities(policy: i32) -> Result<[u64; 2]> {
    match policy {
        libc::SCHED_FIFO | libc::SCHED_RR => Ok([1, 99]),
        libc::SCHED_OTHER | libc::SCHED_BATCH | libc::SCHED_IDLE => Ok([0, 0]),
        _ => Err(libc::EINVAL),
    }
}

/// `mlock`: no memory is ever swapped out.
pub fn lock(start: u64, len: u64) -> Result<u64> {
    const PAGE: u64 = 4096;
    let first = start & !(PAGE - 1);
    let end = start.checked_add(len).ok_or(libc::EINVAL)?;
    // It must be mapped.
    bytes(first, end - first).map_err(|_| libc::ENOMEM)?;
    Ok(0)
}

/// `setuid` and `setgid`: only the super-user exists.
pub fn set_identity(id: u64) -> Result<u64> {
    match id as u32 {
        0 => Ok(0),
        _ => Err(libc::EPERM),
    }
}

/// `getpgid` and `getsid`.
pub fn group_of(process: u64) -> Result<u64> {
    match u64::from(process as u32) {
        0 | PID => Ok(PID),
        _ => Err(libc::ESRCH),
    }
}
