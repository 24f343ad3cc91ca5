//! The one global of Soil: descriptors, outstanding operations and their completions, and the
//! owners of devices.

use crate::console::Console;
use crate::current::{Current, Interest};
use crate::error::{Answer, Error, Failure, Stop};
use crate::ffi::Int;
use crate::ffi::constants::{
    COUNTER_BLOCK_REQUESTS, COUNTER_CONNECTIONS, COUNTER_DESCRIPTORS, COUNTER_MEMORY,
    COUNTER_OPERATIONS, COUNTER_SLEEPS, MAX_TOKEN, PENDING, WOULD_BLOCK,
};
use crate::lock::Lock;
use crate::messages::Messages;
use crate::pipe::Pipes;
use crate::table::{Direction, Fd, Table};
use alloc::collections::VecDeque;
use core::cell::UnsafeCell;
use core::hash::{BuildHasherDefault, Hasher};
use core::sync::atomic::{AtomicUsize, Ordering};
use hashbrown::HashMap;
use platform::{Interest as _, Memory, System};

/// The runtime behind its lock.
struct RuntimeCell {
    lock: Lock,
    runtime: UnsafeCell<Runtime>,
}

// SAFETY: the runtime is only reached through `call` and `beside`, one at a time, with what it
// owns: what isn't `Send` of that doesn't depend on the thread, only on there being one.
unsafe impl Sync for RuntimeCell {}

static RUNTIME: RuntimeCell = RuntimeCell {
    lock: Lock::new(),
    runtime: UnsafeCell::new(Runtime::new()),
};

/// The thread that called `soil_start`, to which the runtime belongs; 0 before that.
static OWNER: AtomicUsize = AtomicUsize::new(0);

/// Makes the running thread the one that [`call`] serves.
pub fn own() {
    OWNER.store(Current::thread(), Ordering::Relaxed);
}

/// Lets a call of the owner's in.
#[inline(never)]
fn enter() -> bool {
    let owner = OWNER.load(Ordering::Relaxed);
    (owner == 0 || owner == Current::thread()) && RUNTIME.lock.enter()
}

/// The form in which an answer crosses the boundary.
pub fn encode(answer: Answer) -> Int {
    match answer {
        Ok(n) => Int::try_from(n).unwrap_or(Int::MAX >> 1),
        Err(Stop::Error(error)) => -(error as Int),
        Err(Stop::WouldBlock) => WOULD_BLOCK,
        Err(Stop::Pending) => PENDING,
    }
}

/// Runs `f` on the runtime and encodes its answer. A call from within a call (an OCaml finaliser),
/// or from a thread that isn't the owner, is `Busy`: it never disturbs one of the owner's.
pub fn call(f: impl FnOnce(&mut Runtime) -> Answer) -> Int {
    if enter() {
        inside(f)
    } else {
        encode(Err(Error::Busy.into()))
    }
}

/// [`call`] in whichever thread ends the program.
pub fn call_at_exit(f: impl FnOnce(&mut Runtime) -> Answer) -> Int {
    if RUNTIME.lock.enter() {
        inside(f)
    } else {
        encode(Err(Error::Busy.into()))
    }
}

/// The lock is taken.
fn inside(f: impl FnOnce(&mut Runtime) -> Answer) -> Int {
    // SAFETY: the lock is ours until this borrow has ended; with panic=abort there is no other way
    // out.
    let rt = unsafe { &mut *RUNTIME.runtime.get() };
    fs::set_memory_short(Current::memory_short());
    let answer = f(rt);
    if matches!(answer, Err(Stop::Error(_))) {
        rt.messages.failed();
    }
    let answer = encode(answer);
    RUNTIME.lock.leave();
    answer
}

/// Runs `f` on the runtime for what interrupts the program or runs beside it; does nothing while a
/// call is inside.
pub fn beside(f: impl FnOnce(&mut Runtime)) {
    if RUNTIME.lock.enter_beside() {
        // SAFETY: as in `call`.
        f(unsafe { &mut *RUNTIME.runtime.get() });
        RUNTIME.lock.leave_beside();
    }
}

/// Whether the program is in no call, as in `fork` on its own thread. The caller has to [`unlock`].
pub fn lock() -> bool {
    RUNTIME.lock.enter()
}

/// See [`lock`].
pub fn unlock() {
    RUNTIME.lock.leave();
}

/// Tokens are small numbers of the caller's choice: one multiplication spreads them (Knuth, TAOCP
/// 6.4).
#[derive(Default)]
pub struct TokenHasher(u64);

impl Hasher for TokenHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

/// A map from small numbers.
pub type TokenMap<T> = HashMap<u64, T, BuildHasherDefault<TokenHasher>>;

/// What was done to cancel an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not complete, and its buffer is free.
    Done,
    /// It will complete.
    Later,
}

/// An outstanding operation.
#[derive(Clone, Copy)]
pub enum Operation {
    /// Parked on a descriptor.
    Parked {
        /// Its place in the table.
        index: u32,
        /// What for.
        direction: Direction,
    },
    /// Given to an owner, who knows it by its token.
    Given {
        /// How to take it back.
        cancel: fn(&mut Runtime, u64) -> Cancelled,
    },
}

/// What one part of the runtime (network, disks) does in `soil_wait`; registered by its first use,
/// so that a program that never uses it doesn't carry it.
#[derive(Clone, Copy)]
pub struct Driver {
    /// Does a bounded amount of what can be done at time `now` (ns).
    pub poll: fn(&mut Runtime, u64),
    /// When it wants to run again although nothing arrives: `Some(0)` = at once, `None` = never.
    pub deadline: fn(&mut Runtime) -> Option<u64>,
    /// Adds what it waits for.
    pub interest: fn(&mut Runtime, &mut Interest),
    /// Brings everything to an end before exit: true when there is nothing more to do.
    pub finish: fn(&mut Runtime) -> bool,
    /// Its share of a counter (`COUNTER_*`).
    pub counter: fn(&mut Runtime, Int) -> usize,
}

/// The most drivers: network, what is sent and received without copies, disks, volumes, what of
/// disks is used as it is.
const MAX_DRIVERS: usize = 5;

/// See the head of this file.
pub struct Runtime {
    /// Descriptors.
    pub table: Table,
    /// Operations that have not completed.
    operations: TokenMap<Operation>,
    /// Completions that nobody has fetched.
    completions: VecDeque<(u64, Int)>,
    /// The lines of detail of failures.
    pub messages: Messages,
    /// The pipes.
    pub pipes: Pipes,
    /// The console.
    pub console: Console,
    /// The network, once it was used.
    pub net: Option<&'static mut crate::net::Net>,
    /// The disks, once one was used.
    pub disks: Option<&'static mut crate::disks::Disks>,
    /// Disks that are open as they are.
    pub blocks: slab::Slab<crate::blocks::Raw>,
    /// The volumes, once one was used.
    pub files: Option<&'static mut crate::files::Files>,
    /// The file-system drivers that the program has.
    pub file_systems: alloc::vec::Vec<crate::files::drivers::FileSystem>,
    /// Files that are part of the program.
    pub embedded: crate::files::embedded::Embedded,
    /// What the last sleep waited for.
    pub interest: Interest,
    drivers: [Option<Driver>; MAX_DRIVERS],
    started: bool,
    /// How often `soil_wait` slept.
    pub sleeps: usize,
    /// For how long, in nanoseconds, since the network was told.
    pub slept_ns: u64,
    /// How many requests to stop have been passed on.
    pub stops: usize,
}

impl Runtime {
    /// One in which nothing has happened; there is one of it but in tests.
    pub const fn new() -> Runtime {
        Runtime {
            table: Table::new(),
            operations: HashMap::with_hasher(BuildHasherDefault::new()),
            completions: VecDeque::new(),
            messages: Messages::new(),
            pipes: Pipes::new(),
            console: Console::new(),
            net: None,
            disks: None,
            blocks: slab::Slab::new(),
            files: None,
            file_systems: alloc::vec::Vec::new(),
            embedded: crate::files::embedded::Embedded::new(),
            interest: Interest::EMPTY,
            drivers: [None; MAX_DRIVERS],
            started: false,
            sleeps: 0,
            slept_ns: 0,
            stops: 0,
        }
    }

    /// See `soil_start`.
    pub fn start(&mut self) -> Result<(), Stop> {
        if self.started {
            return Ok(());
        }
        crate::log_sink::start().or_else(|failure| self.fail(failure))?;
        Current::start();
        self.started = true;
        Ok(())
    }

    /// Adds a part to what `soil_wait` runs.
    pub fn register(&mut self, driver: Driver) -> Result<(), Error> {
        let place = self.drivers.iter_mut().find(|place| place.is_none());
        *place.ok_or(Error::TooManyOpen)? = Some(driver);
        Ok(())
    }

    /// The registered parts.
    pub fn drivers(&self) -> [Option<Driver>; MAX_DRIVERS] {
        self.drivers
    }

    /// A token from the caller that is free to use.
    pub fn new_token(&self, token: Int) -> Result<u64, Error> {
        if !(1..=MAX_TOKEN).contains(&token) {
            return Err(Error::Invalid);
        }
        let token = token as u64;
        if self.operations.contains_key(&token) {
            Err(Error::Invalid)
        } else {
            Ok(token)
        }
    }

    /// Notes an operation that its owner will complete.
    pub fn give(
        &mut self,
        token: u64,
        cancel: fn(&mut Runtime, u64) -> Cancelled,
    ) -> Result<(), Error> {
        self.add(token, Operation::Given { cancel })
    }

    /// Takes an operation back that its owner has answered at once.
    pub fn forget(&mut self, token: u64) {
        self.operations.remove(&token);
    }

    fn add(&mut self, token: u64, operation: Operation) -> Result<(), Error> {
        self.operations
            .try_reserve(1)
            .map_err(|_| Error::OutOfMemory)?;
        // Room for the completion of every outstanding operation and the request to stop:
        // completing never fails.
        let room = self.operations.len() + 2;
        self.completions
            .try_reserve(room)
            .map_err(|_| Error::OutOfMemory)?;
        self.operations.insert(token, operation);
        Ok(())
    }

    /// Completes an operation; one that was taken back is ignored.
    pub fn complete(&mut self, token: u64, answer: Answer) {
        if self.operations.remove(&token).is_some() {
            self.completions.push_back((token, encode(answer)));
        }
    }

    /// Says that the machine is asked to stop, for the `nth` time.
    pub fn request_stop(&mut self, nth: usize) {
        self.completions.push_back((0, nth as Int));
    }

    /// Completes everything that is parked there.
    pub fn wake(&mut self, index: u32, direction: Direction) {
        while let Some(token) = self.table.pop(index, direction) {
            self.complete(token, Ok(0));
        }
    }

    /// The next completion.
    pub fn next_completion(&mut self) -> Option<(u64, Int)> {
        self.completions.pop_front()
    }

    /// Whether there are completions to fetch.
    pub fn has_completions(&self) -> bool {
        !self.completions.is_empty()
    }

    /// See `soil_cancel`.
    pub fn cancel(&mut self, token: Int) -> Answer {
        let token = u64::try_from(token).map_err(|_| Error::Invalid)?;
        match self.operations.get(&token).copied() {
            None => Ok(0),
            Some(Operation::Parked { index, direction }) => {
                self.operations.remove(&token);
                self.table.unpark(index, direction, token);
                Ok(1)
            }
            Some(Operation::Given { cancel }) => match cancel(self, token) {
                Cancelled::Done => {
                    self.operations.remove(&token);
                    Ok(1)
                }
                Cancelled::Later => Err(Stop::Pending),
            },
        }
    }

    /// Fails the current call, and keeps the detail for `soil_error_detail`.
    pub fn fail<T>(&mut self, failure: Failure) -> Result<T, Stop> {
        self.messages.set(failure.detail);
        Err(failure.error.into())
    }

    /// Completes an operation with a failure, and keeps its detail for `soil_error_detail_of`.
    pub fn complete_failed(&mut self, token: u64, failure: Failure) {
        if self.operations.contains_key(&token) {
            self.messages.keep(token, failure.detail);
            self.complete(token, Err(failure.error.into()));
        }
    }

    /// See `soil_fd_read`.
    pub fn read(&mut self, fd: Fd, into: &mut [u8]) -> Answer {
        let (operations, key) = self.table.get(fd)?;
        (operations.read)(self, key, into)
    }

    /// See `soil_fd_write`.
    pub fn write(&mut self, fd: Fd, from: &[u8]) -> Answer {
        let (operations, key) = self.table.get(fd)?;
        (operations.write)(self, key, from)
    }

    /// See `soil_fd_park`.
    pub fn park(&mut self, fd: Fd, direction: Direction, token: Int) -> Answer {
        let (operations, key) = self.table.get(fd)?;
        let token = self.new_token(token)?;
        if (operations.ready)(self, key, direction)? {
            return Ok(0);
        }
        self.add(
            token,
            Operation::Parked {
                index: fd.index,
                direction,
            },
        )?;
        if let Err(error) = self.table.park(fd.index, direction, token) {
            self.operations.remove(&token);
            return Err(error.into());
        }
        Err(Stop::Pending)
    }

    /// See `soil_fd_shutdown`.
    pub fn shutdown(&mut self, fd: Fd, how: Int) -> Answer {
        let (operations, key) = self.table.get(fd)?;
        let (receive, send) = match how {
            0 => (true, false),
            1 => (false, true),
            2 => (true, true),
            _ => return Err(Error::Invalid.into()),
        };
        (operations.shutdown)(self, key, receive, send)
    }

    /// See `soil_fd_close`.
    pub fn close(&mut self, fd: Fd) -> Answer {
        let Runtime {
            table,
            operations,
            completions,
            ..
        } = self;
        let removed = table.remove(fd, |token| {
            if operations.remove(&token).is_some() {
                completions.push_back((token, -(Error::Closed as Int)));
            }
        });
        if let Some((operations, key)) = removed {
            (operations.close)(self, key);
        }
        Ok(0)
    }

    /// See `soil_fd_kind`.
    pub fn kind(&self, fd: Fd) -> Answer {
        let (operations, _) = self.table.get(fd)?;
        Ok(operations.kind as usize)
    }

    /// See `soil_counters`.
    pub fn counter(&mut self, which: Int) -> Answer {
        let own = match which {
            COUNTER_MEMORY => Current::memory().get(1).copied().unwrap_or(0) as usize,
            COUNTER_DESCRIPTORS => self.table.len(),
            COUNTER_OPERATIONS => self.operations.len(),
            COUNTER_SLEEPS => self.sleeps,
            COUNTER_CONNECTIONS..=COUNTER_BLOCK_REQUESTS => 0,
            _ => return Err(Error::Invalid.into()),
        };
        let drivers = self.drivers;
        let shares = drivers
            .iter()
            .flatten()
            .map(|driver| (driver.counter)(self, which));
        Ok(shares.fold(own, usize::wrapping_add))
    }
}

#[cfg(test)]
mod tests;
