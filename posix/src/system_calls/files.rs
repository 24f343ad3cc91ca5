//! The system calls of programs with files: a separate part, linked into programs that open files,
//! pipes, timers and the like.

use super::descriptors::{
    HERE, OF_PATH, absolute, check_flags, find_stat, is_of_descriptor, on, with,
};
use super::parts::{Files, FilesSlot};
use super::program::{bytes_mut, load, path};
use super::{locks, poll};
use crate::blocking::signals::within_call;
use crate::errors::{Errno, Result};
use crate::files::pipe;
use crate::namespace::{self, Trees, file_tree, names};
use crate::stat::set_owner;
use crate::{mapping, process};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::end::Finishers;
use kernel::part::keep;
use kernel::syscall::SystemCall;

kernel::part! {
    static PART: FilesSlot = &Part, in ".soil_part.files.calls" as "soil_with_files";
}

kernel::part! {
    /// The tree of volumes.
    static TREE: Trees = file_tree::tree, in ".soil_part.tree.volumes";
}

kernel::part! {
    /// The end of the program waits for its disks.
    static FINISH: Finishers = finish, in ".soil_part.finish.files";
}

struct Part;

impl Files for Part {
    fn row(&self, number: u64) -> Option<SystemCall> {
        // The linker takes all or none.
        resources::initrd::keep();
        keep(&TREE);
        keep(&FINISH);
        super::row_of_files(number)
    }

    fn lock(&self, descriptor: u64, command: i32, record: u64) -> Result<u64> {
        locks::control(descriptor, command, record)
    }

    fn poll(&self, arguments: [u64; 6]) -> Result<u64> {
        poll::ppoll(arguments)
    }

    fn map(&self, arguments: [u64; 6]) -> Result<u64> {
        mapping::map(arguments)
    }

    fn leave(&self, start: u64, len: u64) -> bool {
        mapping::leave(start, len)
    }

    fn forget(&self, start: u64, len: u64) -> Result<()> {
        match mapping::is_any() {
            true => mapping::forget(start, len),
            false => Ok(()),
        }
    }

    fn is_shared(&self, start: u64, len: u64) -> bool {
        mapping::is_shared(start, len)
    }
}

/// Maximum time in nanoseconds that the end of a program waits for its disks: as in one that uses
/// the library `soil`.
const GRACE_NS: u64 = 10_000_000_000;

/// Writes the program's data back.
fn finish() {
    // A failure is logged.
    let _ = mapping::write_back();
    process::shut_down();
    let _ = within_call(false, || resources::runtime::finish(GRACE_NS));
}

/// The error of `execve`, whose first use is logged with its reason.
pub fn no_execution() -> Errno {
    static LOGGED: AtomicBool = AtomicBool::new(false);
    if !LOGGED.swap(true, Ordering::Relaxed) {
        log::warn!(
            "no other program can be executed: an image is one program (call a library, or a \
             server over the network)"
        );
    }
    libc::ENOSYS
}

/// `sync`: of mappings, and of everything on all volumes.
pub fn sync_all() -> Result<u64> {
    mapping::write_back()?;
    names::sync()
}

/// `pipe2`.
pub fn open_pipe(result: u64, flags: i32) -> Result<u64> {
    if flags & !(libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
        return Err(libc::EINVAL);
    }
    let into = bytes_mut(result, 8)?;
    process::install_pair(into, pipe::open(flags)?, flags)
}

/// `fchmodat`.
pub fn set_mode(descriptor: u64, start: u64, mode: u64) -> Result<u64> {
    on(descriptor, start, |path| {
        namespace::stat(path, true)?.set_mode(mode as u32)
    })
}

/// `fchmodat` with flags; symbolic links have no modes in Linux.
pub fn set_mode_at(descriptor: u64, start: u64, mode: u64, flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH)?;
    let stat = find_stat(descriptor, start, flags)?;
    match stat.is_link() {
        true => Err(libc::EOPNOTSUPP),
        false => stat.set_mode(mode as u32),
    }
}

/// `chown`, and `lchown` if `follow` is false.
pub fn set_owner_of(start: u64, follow: bool, user: u64, group: u64) -> Result<u64> {
    on(HERE, start, |path| own(path, follow, user, group))
}

fn own(path: &str, follow: bool, user: u64, group: u64) -> Result<u64> {
    namespace::stat(path, follow)?;
    set_owner(user as u32, group as u32)
}

/// `fchownat`.
pub fn set_owner_at(
    descriptor: u64,
    start: u64,
    [user, group]: [u64; 2],
    flags: i32,
) -> Result<u64> {
    check_flags(flags, OF_PATH)?;
    if is_of_descriptor(start, flags) {
        return with(descriptor, |_| set_owner(user as u32, group as u32));
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    on(descriptor, start, |path| own(path, follow, user, group))
}

/// `unlinkat`.
pub fn remove_at(descriptor: u64, start: u64, flags: i32) -> Result<u64> {
    check_flags(flags, libc::AT_REMOVEDIR)?;
    let remove = match flags {
        0 => names::remove,
        _ => names::remove_directory,
    };
    on(descriptor, start, remove)
}

/// `utimensat`.
pub fn set_times(descriptor: u64, start: u64, times: u64, flags: i32) -> Result<u64> {
    check_flags(flags, OF_PATH)?;
    let now = kernel::time::wall_ns();
    let now = [(now / 1_000_000_000) as i64, (now % 1_000_000_000) as i64];
    let time = |[seconds, ns]: [u64; 2]| match ns as i64 {
        libc::UTIME_NOW => Some(now),
        libc::UTIME_OMIT => None,
        ns => Some([seconds as i64, ns]),
    };
    let times = match times {
        0 => [Some(now); 2],
        start => {
            let [a, b, c, d] = load(start)?;
            [time([a, b]), time([c, d])]
        }
    };
    if times == [None; 2] {
        // Linux doesn't even look up the file.
        return Ok(0);
    }
    if start == 0 || is_of_descriptor(start, flags) {
        return with(descriptor, |it| {
            names::set_times(it.file().path().unwrap_or_default(), times, true)
        });
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    on(descriptor, start, |path| {
        names::set_times(path, times, follow)
    })
}

/// `renameat2`.
pub fn rename(from: u64, old: u64, to: u64, new: u64, flags: u32) -> Result<u64> {
    let from = absolute(from, old)?;
    on(to, new, |to| names::rename(&from, to, flags))
}

/// `linkat`.
pub fn link(from: u64, old: u64, to: u64, new: u64, flags: i32) -> Result<u64> {
    check_flags(flags, libc::AT_SYMLINK_FOLLOW)?;
    let mut from = absolute(from, old)?;
    if flags & libc::AT_SYMLINK_FOLLOW != 0 {
        from = namespace::real(&from)?;
    }
    on(to, new, |to| names::link(&from, to))
}

/// `symlinkat`.
pub fn symlink(target: u64, descriptor: u64, new: u64) -> Result<u64> {
    on(descriptor, new, |new| names::symlink(path(target)?, new))
}

/// `getdents64`.
pub fn list(descriptor: u64, to: u64, room: u64) -> Result<u64> {
    with(descriptor, |it| {
        it.file().list(bytes_mut(to, room)?).map(|len| len as u64)
    })
}

/// `umask`.
pub fn set_mask(mask: u64) -> u64 {
    process::with(|process| {
        let before = core::mem::replace(&mut process.umask, mask as u32 & 0o777);
        u64::from(before)
    })
}

/// `getxattr` and its like: no volume stores extended attributes.
pub fn no_attributes(start: u64) -> Result<u64> {
    on(HERE, start, |path| {
        namespace::stat(path, true)?;
        Err(libc::EOPNOTSUPP)
    })
}
