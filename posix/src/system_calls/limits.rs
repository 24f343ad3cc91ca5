//! The program's limits: `getrlimit` and its like.

use super::memory::{load, store};
use crate::errors::Result;
use crate::process;
use kernel::memory::STACK_SIZE;
use kernel::signals::PID;

/// The limit of a resource (`RLIMIT_STACK` …) that the program hasn't set.
fn default(resource: usize) -> u64 {
    match resource as u32 {
        libc::RLIMIT_STACK => STACK_SIZE,
        libc::RLIMIT_NOFILE => crate::table::MAX_OPEN as u64,
        _ => u64::MAX,
    }
}

/// `prlimit64`, and by it `getrlimit` and `setrlimit`. The limit of descriptors is enforced; others
/// are only stored.
pub fn limit(process: u64, resource: u64, new: u64, old: u64) -> Result<u64> {
    if !matches!(process as u32 as u64, 0 | PID) {
        return Err(libc::ESRCH);
    }
    let index = resource as u32 as usize;
    let set = process::with(|process| process.limits.get(index).copied()).ok_or(libc::EINVAL)?;
    let before = set.unwrap_or([default(index); 2]);
    if new != 0 {
        let [soft, hard] = load(new)?;
        if soft > hard {
            return Err(libc::EINVAL);
        }
        if hard > before[1] {
            return Err(libc::EPERM);
        }
        process::with(|process| {
            if index == libc::RLIMIT_NOFILE as usize {
                process.table.set_limit(soft as usize);
            }
            if let Some(place) = process.limits.get_mut(index) {
                *place = Some([soft, hard]);
            }
        });
    }
    match old {
        0 => Ok(0),
        old => store(old, &before),
    }
}
