//! The table of descriptors, and the open file descriptions behind them (POSIX.1-2024, 3.241).

use crate::attributes;
use crate::blocking::at_once;
use crate::directory::Listing;
use crate::epoll::Epoll;
use crate::errors::Result;
use crate::eventfd::Counter;
use crate::locks;
use crate::proc::Text;
use crate::signalfd::Signals;
use crate::socket_names::File;
use crate::sockets::Socket;
use crate::timerfd::Timer;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use reactor::table::Fd;
use resources::files;
use spin::Mutex;

/// The most descriptors that can be open: the limit that `getrlimit` answers.
pub const MAX_OPEN: usize = 1 << 16;
/// The program's own limit (`RLIMIT_NOFILE`): numbers are below it.
static LIMIT: AtomicUsize = AtomicUsize::new(MAX_OPEN);

/// Sets the program's limit. Larger numbers that are open stay so.
pub fn set_most(most: usize) {
    LIMIT.store(most.min(MAX_OPEN), Ordering::Relaxed);
}

/// The program's limit.
pub fn most() -> usize {
    LIMIT.load(Ordering::Relaxed)
}

/// The object of an open file description.
pub enum Object {
    /// One of the program's standard streams: 0 to 2.
    Console(u64),
    /// The console in both directions.
    Terminal,
    /// Takes everything, and is at its end.
    Null,
    /// Takes everything, and gives zeros.
    Zero,
    /// Takes everything, and gives random bytes.
    Random,
    /// A file of a volume.
    File(Fd),
    /// A directory. The lock is held while a call waits for the disk: another thread's call on the
    /// same description fails meanwhile with [`libc::EAGAIN`].
    Directory(Mutex<Listing>),
    /// A text of `/proc`.
    Text(Text),
    /// An end of a pipe.
    Pipe(Fd),
    /// A socket.
    Socket(Box<dyn Socket>),
    /// A counter of `eventfd`.
    Counter(Counter),
    /// A timer of `timerfd_create`.
    Timer(Timer),
    /// Signals of `signalfd`.
    Signals(Signals),
    /// A set of descriptors of `epoll_create`.
    Epoll(Epoll),
}

/// An open file description: descriptors that were duplicated share it, with its position and its
/// flags.
pub struct Description {
    /// Its object.
    pub object: Object,
    /// The absolute path that it was opened by; empty for what has none.
    pub path: String,
    /// Access mode and status flags (`O_APPEND`, `O_NONBLOCK`), as `fcntl` gives them.
    flags: AtomicI32,
    /// See [`Description::file`].
    file: Mutex<Option<File>>,
}

impl Description {
    /// Of an object, with the flags of `open` that stay.
    pub fn new(object: Object, path: String, flags: i32) -> Arc<Description> {
        const KEPT: i32 = libc::O_ACCMODE | libc::O_APPEND | libc::O_NONBLOCK | LARGE_FILE;
        Arc::new(Description {
            object,
            path,
            flags: AtomicI32::new(flags & KEPT),
            file: Mutex::new(None),
        })
    }

    /// Which file of a volume it is, whatever names it has by now; `None` for other objects. Waits
    /// for the disk the first time.
    pub fn file(&self) -> Result<Option<File>> {
        match self.object {
            Object::File(_) => {}
            // A directory is known by its path.
            Object::Directory(_) => {
                return attributes::stat_open(self).map(|stat| Some(stat.file()));
            }
            _ => return Ok(None),
        }
        let known = *self.file.lock();
        match known {
            Some(_) => Ok(known),
            None => {
                // Not under the lock, because it waits.
                let file = attributes::stat_open(self)?.file();
                Ok(Some(*self.file.lock().insert(file)))
            }
        }
    }

    /// Access mode and status flags.
    pub fn flags(&self) -> i32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Sets the status flags; the access mode stays.
    pub fn set_flags(&self, flags: i32) {
        const CHANGED: i32 = libc::O_APPEND | libc::O_NONBLOCK;
        let kept = self.flags() & !CHANGED;
        self.flags.store(kept | flags & CHANGED, Ordering::Relaxed);
    }

    /// Fails with [`libc::EBADF`] where it can't be read.
    pub fn check_readable(&self) -> Result<()> {
        match self.flags() & libc::O_ACCMODE {
            libc::O_WRONLY => Err(libc::EBADF),
            _ => Ok(()),
        }
    }

    /// Fails with [`libc::EBADF`] where it can't be written.
    pub fn check_writable(&self) -> Result<()> {
        match self.flags() & libc::O_ACCMODE {
            libc::O_RDONLY => Err(libc::EBADF),
            _ => Ok(()),
        }
    }
}

/// `O_LARGEFILE` of x86-64's kernel; the C library's constant is 0.
const LARGE_FILE: i32 = 0o100_000;

impl Drop for Description {
    fn drop(&mut self) {
        locks::release(self);
        let fd = match &self.object {
            Object::File(fd) | Object::Pipe(fd) => Some(*fd),
            Object::Directory(listing) => listing.lock().descriptor(),
            _ => None,
        };
        if let Some(fd) = fd {
            // Closing never fails.
            let _ = at_once(|rt| rt.close(fd));
        }
    }
}

/// An entry of the table.
struct Slot {
    /// None of a number that is [`Reserved`].
    description: Option<Arc<Description>>,
    close_on_exec: bool,
}

static TABLE: Mutex<Option<Vec<Option<Slot>>>> = Mutex::new(None);

/// Runs `f` on the table, which begins with the three standard streams.
fn with<T>(f: impl FnOnce(&mut Vec<Option<Slot>>) -> T) -> T {
    f(TABLE.lock().get_or_insert_with(|| {
        let stream = |stream| {
            Some(Slot {
                description: Some(Description::new(
                    Object::Console(stream),
                    String::new(),
                    libc::O_RDWR,
                )),
                close_on_exec: false,
            })
        };
        (0..3).map(stream).collect()
    }))
}

fn slot(table: &mut [Option<Slot>], descriptor: u64) -> Result<&mut Slot> {
    let index = usize::try_from(descriptor).map_err(|_| libc::EBADF)?;
    let slot = table.get_mut(index).and_then(Option::as_mut);
    slot.filter(|slot| slot.description.is_some())
        .ok_or(libc::EBADF)
}

/// The description of an open descriptor in the table.
fn described(table: &mut [Option<Slot>], descriptor: u64) -> Result<Arc<Description>> {
    let slot = slot(table, descriptor)?;
    slot.description.clone().ok_or(libc::EBADF)
}

/// The description of a descriptor; [`libc::EBADF`].
pub fn get(descriptor: u64) -> Result<Arc<Description>> {
    with(|table| described(table, descriptor))
}

/// The numbers of all open descriptors, in order.
pub fn open() -> impl Iterator<Item = usize> {
    let is_open = |(number, slot): (usize, &mut Option<Slot>)| {
        let description = slot.as_ref().and_then(|slot| slot.description.as_ref());
        description.map(|_| number)
    };
    let open: Vec<usize> = with(|table| table.iter_mut().enumerate().filter_map(is_open).collect());
    open.into_iter()
}

/// Gives `description` the lowest free number from `least` on; [`libc::EMFILE`].
pub fn insert(description: Arc<Description>, least: usize, close_on_exec: bool) -> Result<u64> {
    // If there is no number, the description is dropped outside of the table's lock.
    Ok(Reserved::new(least)?.fill(description, close_on_exec))
}

/// A number that no other call gets, for a description that is still to be made. It isn't open
/// before it is filled.
pub struct Reserved(usize);

impl Reserved {
    /// The lowest free number from `least` on; [`libc::EMFILE`].
    pub fn new(least: usize) -> Result<Reserved> {
        with(|table| {
            let free = table.iter().skip(least).position(Option::is_none);
            let index = free.map_or(table.len().max(least), |free| least + free);
            if index >= most() {
                return Err(libc::EMFILE);
            }
            let reserved = Slot {
                description: None,
                close_on_exec: false,
            };
            put(table, index, reserved)?;
            Ok(Reserved(index))
        })
    }

    /// Gives the number to a description.
    pub fn fill(self, description: Arc<Description>, close_on_exec: bool) -> u64 {
        with(|table| {
            if let Some(Some(slot)) = table.get_mut(self.0) {
                slot.description = Some(description);
                slot.close_on_exec = close_on_exec;
            }
        });
        let number = self.0 as u64;
        core::mem::forget(self);
        number
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        with(|table| {
            if let Some(place) = table.get_mut(self.0) {
                *place = None;
            }
        });
    }
}

/// Puts an entry into a place below [`MAX_OPEN`]; what was there before. [`libc::ENOMEM`].
fn put(table: &mut Vec<Option<Slot>>, index: usize, slot: Slot) -> Result<Option<Slot>> {
    let missing = (index + 1).saturating_sub(table.len());
    table.try_reserve(missing).map_err(|_| libc::ENOMEM)?;
    if missing > 0 {
        table.resize_with(index + 1, || None);
    }
    let place = table.get_mut(index).ok_or(libc::ENOMEM)?;
    Ok(place.replace(slot))
}

/// Drops what was an entry of the table.
fn leave(slot: Option<Slot>) {
    if let Some(description) = slot.and_then(|slot| slot.description) {
        locks::close(&description);
        release(description);
    }
}

/// Drops a reference to a description, which may be the last one outside of messages.
pub fn release(description: Arc<Description>) {
    let collector = match &description.object {
        Object::Socket(socket) => socket.collector(),
        _ => None,
    };
    drop(description);
    if let Some(collect) = collector {
        collect();
    }
}

/// `close`.
pub fn close(descriptor: u64) -> Result<u64> {
    // The description is dropped outside of the table's lock: that closes the file.
    let closed: Option<Slot> = with(|table| -> Result<Option<Slot>> {
        slot(table, descriptor)?;
        let place = table.get_mut(descriptor as usize);
        Ok(place.and_then(Option::take))
    })?;
    leave(closed);
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
    for number in open().filter(within) {
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
    if new >= most() as u64 {
        return Err(libc::EBADF);
    }
    let replaced = with(|table| {
        let copy = Slot {
            description: Some(described(table, old)?),
            close_on_exec,
        };
        let place = table.get(new as usize);
        if matches!(
            place,
            Some(Some(Slot {
                description: None,
                ..
            }))
        ) {
            return Err(libc::EBUSY);
        }
        put(table, new as usize, copy)
    })?;
    // Outside of the table's lock, as in `close`: other threads may run before the file is closed,
    // and find the new description.
    leave(replaced);
    Ok(new)
}

/// `fcntl`, with what the C library passes as its argument.
pub fn control(descriptor: u64, command: u64, argument: u64) -> Result<u64> {
    let description = get(descriptor)?;
    match command as i32 {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => {
            let least = usize::try_from(argument).map_err(|_| libc::EINVAL)?;
            if least >= most() {
                return Err(libc::EINVAL);
            }
            insert(description, least, command as i32 == libc::F_DUPFD_CLOEXEC)
        }
        libc::F_GETFD => with(|table| Ok(u64::from(slot(table, descriptor)?.close_on_exec))),
        libc::F_SETFD => with(|table| {
            slot(table, descriptor)?.close_on_exec = argument as i32 & libc::FD_CLOEXEC != 0;
            Ok(0)
        }),
        libc::F_GETFL => Ok(description.flags() as u64),
        libc::F_SETFL => {
            let flags = argument as i32;
            if let Object::File(fd) = &description.object {
                at_once(|rt| files::set_append(rt, *fd, flags & libc::O_APPEND != 0))?;
            }
            description.set_flags(flags);
            Ok(0)
        }
        _ => Err(libc::EINVAL),
    }
}

/// Closes the sockets, at the program's end: their peers learn of it.
pub fn close_sockets() {
    let count = with(|table| table.len());
    for descriptor in 0..count as u64 {
        if let Ok(description) = get(descriptor)
            && let Object::Socket(socket) = &description.object
        {
            socket.close();
        }
    }
}

/// Closes everything, for a test that begins.
#[cfg(test)]
pub fn reset() {
    let table = TABLE.lock().take();
    drop(table);
}
