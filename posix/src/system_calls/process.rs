//! The process: its end, identity, limits, and use of the machine.

use super::program::{bytes_mut, load, store};
use crate::errors::{Errno, Result};
use crate::process as state;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::arch::cpu::NAME;
use kernel::memory::STACK_SIZE;
pub use kernel::signals::PID;
use kernel::{console, end, halt, random, threads};

/// `exit`: the end of a thread; the last one ends the program.
pub fn exit(status: u64) -> ! {
    threads::end_thread();
    end::exit(status as u8)
}

/// `exit_group`.
pub fn exit_group(status: u64) -> ! {
    end::exit_group(status as u8)
}

/// The error of a call that would create a process; its first use is logged with its reason.
pub fn no_process() -> Errno {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if !LOGGED.swap(true, Ordering::Relaxed) {
        console::line(format_args!(
            "processes can't be created: an image is one process (use threads or tasks)"
        ));
    }
    libc::ENOSYS
}

/// `uname`: `struct utsname`, six fields of 65 bytes.
pub fn uname(to: u64) -> Result<u64> {
    const FIELDS: [&str; 6] = ["Linux", "soil", "6.0.0-soil", "Soil", NAME, "(none)"];
    let target = bytes_mut(to, 6 * 65)?;
    target.fill(0);
    for (slot, text) in target.chunks_exact_mut(65).zip(FIELDS) {
        slot.iter_mut()
            .zip(text.bytes())
            .for_each(|(to, from)| *to = from);
    }
    Ok(0)
}

/// `getrusage`. There are no children.
pub fn usage(of: u64, to: u64) -> Result<u64> {
    let used = match of as i32 {
        libc::RUSAGE_SELF => halt::process_ns(),
        libc::RUSAGE_THREAD => threads::used_ns(),
        libc::RUSAGE_CHILDREN => 0,
        _ => return Err(libc::EINVAL),
    };
    // `struct rusage`: all the time is the program's, none the system's.
    let mut words = [0; 18];
    words[0] = used / 1_000_000_000;
    words[1] = used / 1000 % 1_000_000;
    words[4] = kernel::memory::statistics().in_use / 1024;
    store(to, &words)
}

/// `getrandom`.
pub fn random(to: u64, len: u64) -> Result<u64> {
    // The first request may wait for a device, while another thread takes the memory away.
    if !random::fill(&mut []) || !random::fill(bytes_mut(to, len)?) {
        return Err(libc::EIO);
    }
    Ok(len)
}

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
    let set = state::with(|process| process.limits.get(index).copied()).ok_or(libc::EINVAL)?;
    let before = set.unwrap_or([default(index); 2]);
    if new != 0 {
        let [soft, hard] = load(new)?;
        if soft > hard {
            return Err(libc::EINVAL);
        }
        if hard > before[1] {
            return Err(libc::EPERM);
        }
        state::with(|process| {
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
