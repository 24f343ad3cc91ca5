//! The state of the one process, like Linux's `task_struct`: its descriptors, locks, current
//! directory, limits. One owner, one lock.
//!
//! The lock is held for one lookup or change. No file is read, closed or dropped under it.

use crate::console::Console;
use crate::current_directory::CurrentDirectory;
use crate::errors::Result;
use crate::file::Description;
use crate::locks::Locks;
use crate::mappings::Mappings;
use crate::stat::FileId;
use crate::table::Table;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use sync::mutex::{Mutex, level};

/// A limit of a resource, soft and hard.
pub type Limit = [u64; 2];

/// Number of resources with limits (`RLIMIT_NLIMITS`).
const RESOURCES: usize = 16;

/// The state of the process.
pub struct Process {
    /// Its descriptors, initially the three standard streams.
    pub table: Table,
    /// Locks of files.
    pub locks: Locks,
    /// Shared mappings of files.
    pub mappings: Mappings,
    /// The current directory.
    pub directory: CurrentDirectory,
    /// The mask of modes, which no volume stores.
    pub umask: u32,
    /// Limits that the program has set.
    pub limits: [Option<Limit>; RESOURCES],
    /// The files that are names of Unix-domain sockets. A volume stores an empty file for such a
    /// name; this set is kept while the program runs.
    pub socket_names: Vec<FileId>,
}

static PROCESS: Mutex<Option<Process>, level::Process> = Mutex::new(None);

impl Process {
    fn new() -> Process {
        let mut table = Table::new();
        for stream in [Console::Input, Console::Output, Console::Error] {
            // The first three numbers are free. Without memory for them there are no streams.
            if let Ok(number) = table.reserve(0) {
                table.fill(number, Description::new(stream, libc::O_RDWR), false);
            }
        }
        Process {
            table,
            locks: Locks::new(),
            mappings: Mappings::new(),
            directory: CurrentDirectory::ROOT,
            umask: 0o022,
            limits: [None; RESOURCES],
            socket_names: Vec::new(),
        }
    }
}

/// Runs `f` on the process's state.
pub fn with<T>(f: impl FnOnce(&mut Process) -> T) -> T {
    f(PROCESS.lock().get_or_insert_with(Process::new))
}

/// The description of a descriptor; [`libc::EBADF`].
pub fn get(descriptor: u64) -> Result<Arc<Description>> {
    with(|process| process.table.get(descriptor).cloned())
}

/// The numbers of all open descriptors, in order.
pub fn descriptors() -> Vec<usize> {
    with(|process| process.table.numbers())
}

/// Assigns the lowest free number from `least` on to `description`; [`libc::EMFILE`].
pub fn insert(description: Arc<Description>, least: usize, close_on_exec: bool) -> Result<u64> {
    // If there is no number, the description is dropped outside of the lock.
    Ok(Reserved::new(least)?.fill(description, close_on_exec))
}

/// Assigns the lowest free number to a new description, with `O_CLOEXEC` of `flags`;
/// [`libc::EMFILE`].
pub fn install(description: Arc<Description>, flags: i32) -> Result<u64> {
    insert(description, 0, flags & libc::O_CLOEXEC != 0)
}

/// As [`install`] for two new descriptions, whose numbers it stores in the 8 bytes of `into`;
/// neither stays open if it fails.
pub fn install_pair(
    into: &mut [u8],
    [first, second]: [Arc<Description>; 2],
    flags: i32,
) -> Result<u64> {
    let first = install(first, flags)?;
    let second = install(second, flags).inspect_err(|_| {
        let _ = close(first);
    })?;
    for (into, number) in into.chunks_exact_mut(4).zip([first, second]) {
        into.copy_from_slice(&(number as u32).to_le_bytes());
    }
    Ok(0)
}

/// A reserved number for a description that isn't created yet. It isn't open before it is filled.
pub struct Reserved(usize);

impl Reserved {
    /// The lowest free number from `least` on; [`libc::EMFILE`].
    pub fn new(least: usize) -> Result<Reserved> {
        with(|process| process.table.reserve(least)).map(Reserved)
    }

    /// Assigns the number to a description.
    pub fn fill(self, description: Arc<Description>, close_on_exec: bool) -> u64 {
        let number = ManuallyDrop::new(self).0;
        with(|process| process.table.fill(number, description, close_on_exec));
        number as u64
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        with(|process| process.table.free(self.0));
    }
}

/// A descriptor of a description was closed: removes the process's records on its file, as POSIX
/// requires.
fn closed(description: Arc<Description>) {
    if with(|process| process.locks.has_records())
        && let Ok(Some(file)) = description.file().id()
        && let Some(wake_waiters) = with(|process| process.locks.release_records(file))
    {
        wake_waiters();
    }
    description.release();
}

/// `close`.
pub fn close(descriptor: u64) -> Result<u64> {
    let description = with(|process| process.table.take(descriptor))?;
    closed(description);
    Ok(0)
}

/// `close_range`.
pub fn close_range(first: u64, last: u64, flags: u64) -> Result<u64> {
    /// `CLOSE_RANGE_UNSHARE`: there is one table.
    const UNSHARE: u32 = 2;
    const ON_EXEC: u32 = 4;
    let (first, last, flags) = (first as u32, last as u32, flags as u32);
    if first > last || flags & !(UNSHARE | ON_EXEC) != 0 {
        return Err(libc::EINVAL);
    }
    let within = |number: &usize| (first as usize..=last as usize).contains(number);
    for number in descriptors().into_iter().filter(within) {
        // Another thread may have closed it.
        let _ = match flags & ON_EXEC {
            0 => close(number as u64),
            _ => control(number as u64, libc::F_SETFD as u64, libc::FD_CLOEXEC as u64),
        };
    }
    Ok(0)
}

/// `dup2` and `dup3`, for two descriptors that differ.
pub fn replace(old: u64, new: u64, close_on_exec: bool) -> Result<u64> {
    let replaced = with(|process| process.table.replace(old, new, close_on_exec))?;
    // Other threads may run before the file is closed, and find the new description.
    if let Some(description) = replaced {
        closed(description);
    }
    Ok(new)
}

/// `fcntl` of a descriptor and its flags, with the C library's argument.
pub fn control(descriptor: u64, command: u64, argument: u64) -> Result<u64> {
    let description = get(descriptor)?;
    match command as i32 {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => {
            let least = usize::try_from(argument).map_err(|_| libc::EINVAL)?;
            if least >= with(|process| process.table.limit()) {
                return Err(libc::EINVAL);
            }
            insert(description, least, command as i32 == libc::F_DUPFD_CLOEXEC)
        }
        libc::F_GETFD => with(|process| {
            let close_on_exec = *process.table.close_on_exec(descriptor)?;
            Ok(u64::from(close_on_exec))
        }),
        libc::F_SETFD => with(|process| {
            let close_on_exec = argument as i32 & libc::FD_CLOEXEC != 0;
            *process.table.close_on_exec(descriptor)? = close_on_exec;
            Ok(0)
        }),
        libc::F_GETFL => Ok(description.flags() as u64),
        libc::F_SETFL => {
            let flags = argument as i32;
            description.file().set_append(flags & libc::O_APPEND != 0)?;
            description.set_flags(flags);
            Ok(0)
        }
        _ => Err(libc::EINVAL),
    }
}

/// At the program's end: notifies the peers of its sockets.
pub fn shut_down() {
    for descriptor in descriptors() {
        if let Ok(description) = get(descriptor as u64) {
            description.file().shut_down();
        }
    }
}

/// Closes everything and returns to the root, at the start of a test.
#[cfg(test)]
pub fn reset() {
    let process = PROCESS.lock().take();
    drop(process);
}
