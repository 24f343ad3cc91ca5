//! Outstanding operations and their completions, descriptors, and the drivers of resources.

use crate::completions::{
    Completions, FIRST_OF_THREADS, Leader, SCHEDULER, scheduled_domain, waiter_of,
};
use crate::messages::Messages;
use crate::table::{ANY, Fd, Kind, Table};
use crate::{Interest, Resources};
use core::hash::{BuildHasherDefault, Hasher};
use hashbrown::HashMap;
use platform::error::{Answer, Error, Failure, Stop};
use platform::{Direction, System};

/// The largest token.
pub const MAX_TOKEN: u64 = 1 << 40;

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

/// Result of a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not complete, and its buffer is free.
    Done,
    /// It will complete.
    Later,
}

/// An outstanding operation.
enum Operation<R: Resources> {
    /// Parked on a descriptor.
    Parked {
        /// Its index in the table.
        index: u32,
        /// Whether to read or to write.
        direction: Direction,
    },
    /// Passed to a resource, which identifies it by its token.
    Given {
        /// Cancels it.
        cancel: fn(&mut Runtime<R>, u64) -> Cancelled,
    },
    /// Completed by [`Runtime::set_event`].
    Event,
    /// Has completed; the waiting thread takes the answer.
    Completed(Answer),
}

impl<R: Resources> Clone for Operation<R> {
    fn clone(&self) -> Operation<R> {
        *self
    }
}

impl<R: Resources> Copy for Operation<R> {}

/// A resource's (network, disks, …) part in the wait. Its first use registers it
/// ([`Runtime::register`]); nothing that is always linked names it, so that the linker drops it
/// from programs that never use it.
pub struct Driver<R: Resources> {
    /// Does a bounded amount of pending work at time `now` (ns).
    pub poll: fn(&mut Runtime<R>, u64),
    /// When it has to run again although nothing arrives: `Some(0)` = at once, `None` = never.
    pub deadline: fn(&mut Runtime<R>) -> Option<u64>,
    /// Adds the events that it waits for.
    pub interest: fn(&mut Runtime<R>, &mut Interest<R>),
    /// Finishes all work before exit: true when it is complete.
    pub finish: fn(&mut Runtime<R>) -> bool,
    /// Its share of a counter, identified by number.
    pub counter: fn(&mut Runtime<R>, isize) -> usize,
}

impl<R: Resources> Driver<R> {
    /// A driver that runs on events, and has nothing to finish or count.
    pub const fn of_events(
        poll: fn(&mut Runtime<R>, u64),
        interest: fn(&mut Runtime<R>, &mut Interest<R>),
    ) -> Self {
        Self {
            poll,
            deadline: |_| None,
            interest,
            finish: |_| true,
            counter: |_, _| 0,
        }
    }
}

/// Maximum number of drivers: console, network, guest agent, leases, disks, volumes, raw disks,
/// displays, the console on one, inputs, vsock, readiness for system calls, or in a process
/// descriptors of the system.
pub const MAX_DRIVERS: usize = 12;

/// The state of the reactor: operations, completions, descriptors and drivers.
pub struct Runtime<R: Resources> {
    /// Descriptors.
    pub table: Table<Runtime<R>>,
    /// Operations that have not completed, and those of threads until they are fetched.
    operations: TokenMap<Operation<R>>,
    /// The scheduler's completions that were not yet fetched, and the followers.
    pub(crate) completions: Completions,
    /// The lines of detail of failures.
    pub messages: Messages,
    /// The state of the resources.
    pub resources: R,
    /// Events that the last sleep waited for.
    pub interest: Interest<R>,
    drivers: [Option<&'static Driver<R>>; MAX_DRIVERS],
    started: bool,
    /// The state of the leader: the thread that runs the drivers for all waiting ones.
    pub(crate) leader: Leader,
    /// The waiter whose thread is the leader, or was the last one.
    pub(crate) led_by: u64,
    /// Number of times that a waiter began to lead.
    pub(crate) leads: usize,
    /// Until when a follower stands by ([`crate::wait`]), in monotonic nanoseconds; 0: none does.
    pub(crate) standby_until: u64,
    /// Several domains have schedulers.
    pub(crate) is_shared: bool,
    /// The current call has added to the sleeping leader's interest at most requests.
    pub(crate) adds_requests_only: bool,
    /// Number of forks when the leader began.
    pub(crate) led_in: u32,
    /// When the leader's last sleep began, in monotonic nanoseconds.
    pub(crate) asleep_since: u64,
    /// Number of sleeps.
    pub sleeps: usize,
    /// Nanoseconds slept since the last report to the network.
    pub slept_ns: u64,
    /// Number of stop requests passed on.
    pub(crate) stops: usize,
}

impl<R: Resources> Default for Runtime<R> {
    fn default() -> Runtime<R> {
        Runtime::new()
    }
}

impl<R: Resources> Runtime<R> {
    /// A new runtime. A program has one, in [`crate::cell::Cell`].
    pub const fn new() -> Runtime<R> {
        Runtime {
            table: Table::new(),
            operations: HashMap::with_hasher(BuildHasherDefault::new()),
            completions: Completions::new(),
            messages: Messages::new(),
            resources: R::NONE,
            interest: <Interest<R> as platform::Interest>::EMPTY,
            drivers: [None; MAX_DRIVERS],
            started: false,
            leader: Leader::Absent,
            led_by: SCHEDULER,
            leads: 0,
            standby_until: 0,
            is_shared: false,
            adds_requests_only: false,
            led_in: 0,
            asleep_since: 0,
            sleeps: 0,
            slept_ns: 0,
            stops: 0,
        }
    }

    /// Starts resources and platform, once. No device is touched.
    pub fn start(&mut self) -> Result<(), Stop> {
        if self.started {
            return Ok(());
        }
        R::start().or_else(|failure| self.fail(failure))?;
        R::Platform::start();
        self.started = true;
        Ok(())
    }

    /// Adds a driver to those that the wait runs.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyOpen`]: there are [`MAX_DRIVERS`].
    pub fn register(&mut self, driver: &'static Driver<R>) -> Result<(), Error> {
        let place = self.drivers.iter_mut().find(|place| place.is_none());
        *place.ok_or(Error::TooManyOpen)? = Some(driver);
        Ok(())
    }

    /// The registered drivers.
    pub fn drivers(&self) -> [Option<&'static Driver<R>>; MAX_DRIVERS] {
        self.drivers
    }

    /// The caller's token, if it is unused.
    pub fn new_token(&self, token: isize) -> Result<u64, Error> {
        let token = u64::try_from(token).map_err(|_| Error::Invalid)?;
        if !(1..=MAX_TOKEN).contains(&token) {
            return Err(Error::Invalid);
        }
        if self.operations.contains_key(&token) {
            Err(Error::Invalid)
        } else {
            Ok(token)
        }
    }

    /// Records an operation that its owner will complete.
    pub fn give(
        &mut self,
        token: u64,
        cancel: fn(&mut Runtime<R>, u64) -> Cancelled,
    ) -> Result<(), Error> {
        self.add(token, Operation::Given { cancel })
    }

    /// [`Runtime::give`] for an operation that its owner has begun, and cancels if there is no room
    /// to record it. Returns that it is pending.
    pub fn give_begun(
        &mut self,
        token: u64,
        cancel: fn(&mut Runtime<R>, u64) -> Cancelled,
    ) -> Answer {
        if let Err(error) = self.give(token, cancel) {
            cancel(self, token);
            return Err(error.into());
        }
        Err(Stop::Pending)
    }

    /// Removes an operation that its owner has answered at once.
    pub fn forget(&mut self, token: u64) {
        self.operations.remove(&token);
    }

    fn add(&mut self, token: u64, operation: Operation<R>) -> Result<(), Error> {
        self.operations
            .try_reserve(1)
            .map_err(|_| Error::OutOfMemory)?;
        self.completions.reserve(token, self.operations.len() + 1)?;
        self.operations.insert(token, operation);
        Ok(())
    }

    /// Completes an operation; a cancelled one is ignored.
    pub fn complete(&mut self, token: u64, answer: Answer) {
        end(&mut self.operations, &mut self.completions, token, answer);
    }

    /// Reports the `nth` request to stop.
    pub fn request_stop(&mut self, nth: usize) {
        self.completions.add::<R::Platform>((0, Ok(nth)));
    }

    /// Completes everything parked there, and everything that waits for a change of any descriptor.
    pub fn wake(&mut self, index: u32, direction: Direction) {
        let next = |table: &mut Table<Runtime<R>>| {
            let watcher = |table: &mut Table<Runtime<R>>| table.pop(ANY, Direction::Read);
            table.pop(index, direction).or_else(|| watcher(table))
        };
        while let Some(token) = next(&mut self.table) {
            self.complete(token, Ok(0));
        }
    }

    /// Completes one operation that is parked there, of a thread that sleeps, and everything that
    /// waits for a change of any descriptor; [`Runtime::wake`] if all these threads run. Returns
    /// whether others are still parked.
    pub fn wake_one(&mut self, index: u32, direction: Direction) -> bool {
        let Runtime {
            table,
            completions,
            leader,
            led_by,
            ..
        } = self;
        let of_leader = match leader {
            Leader::Awake => Some(2),
            Leader::Asleep | Leader::Nudged => Some(0),
            Leader::Absent => None,
        };
        let sleeps = |token| match waiter_of(token) {
            waiter if waiter == *led_by => of_leader,
            waiter => completions.follows(waiter).then_some(1),
        };
        let Some(token) = table.take(index, direction, sleeps) else {
            self.wake(index, direction);
            return false;
        };
        let is_leader = waiter_of(token) == *led_by;
        self.complete(token, Ok(0));
        if is_leader {
            self.renew_sleep();
        }
        self.wake(ANY, Direction::Read);
        self.table.has_waiters(index, direction)
    }

    /// Completes everything that waits for a change of any descriptor: something has become ready
    /// without [`Runtime::wake`].
    pub fn wake_watchers(&mut self) {
        self.wake(ANY, Direction::Read);
        self.renew_sleep();
    }

    /// Makes the leader recompute what it sleeps for, which a call of [`crate::cell::Cell::wait`]
    /// has changed: those of [`crate::cell::Cell::call`] do so anyway.
    pub fn renew_sleep(&mut self) {
        if self.leader == Leader::Asleep {
            self.nudge();
        }
    }

    /// Waits for a change of the readiness of any descriptor, as `poll` does after checking its
    /// own. [`Runtime::cancel`] ends it.
    pub fn watch(&mut self, token: isize) -> Answer {
        let token = self.new_token(token)?;
        self.park_at(ANY, Direction::Read, token)
    }

    /// The next completion of the domain's scheduler.
    pub fn next_completion(&mut self, domain: usize) -> Option<(u64, Answer)> {
        self.completions.next(domain)
    }

    /// See `soil_domain_call`.
    pub fn call_domain(&mut self, domain: usize) -> Answer {
        self.completions.call::<R::Platform>(domain)?;
        Ok(0)
    }

    /// The completion of the operation that a thread waits for.
    pub fn take_completion(&mut self, token: u64) -> Option<Answer> {
        match self.operations.get(&token) {
            Some(&Operation::Completed(answer)) => {
                self.operations.remove(&token);
                Some(answer)
            }
            _ => None,
        }
    }

    /// Whether there is an operation with this token that hasn't completed, or whose answer hasn't
    /// been fetched.
    pub fn is_outstanding(&self, token: u64) -> bool {
        self.operations.contains_key(&token)
    }

    /// Whether there is a completion for the waiter.
    pub(crate) fn is_due(&self, waiter: u64) -> bool {
        match scheduled_domain(waiter) {
            Some(domain) => self.completions.is_due(domain),
            None => matches!(self.operations.get(&waiter), Some(Operation::Completed(_))),
        }
    }

    /// Whether there are completions for the scheduler to fetch.
    pub fn has_completions(&self) -> bool {
        self.is_due(SCHEDULER)
    }

    /// See `soil_cancel`.
    pub fn cancel(&mut self, token: isize) -> Answer {
        let token = u64::try_from(token).map_err(|_| Error::Invalid)?;
        match self.operations.get(&token).copied() {
            None | Some(Operation::Completed(_)) => Ok(0),
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
            Some(Operation::Event) => {
                self.operations.remove(&token);
                Ok(1)
            }
        }
    }

    /// See `soil_event`.
    pub fn event(&mut self, token: isize) -> Answer {
        let token = self.new_token(token)?;
        self.add(token, Operation::Event)?;
        Err(Stop::Pending)
    }

    /// See `soil_event_set`.
    pub fn set_event(&mut self, token: isize) -> Answer {
        let token = u64::try_from(token).map_err(|_| Error::Invalid)?;
        let found = matches!(self.operations.get(&token), Some(Operation::Event));
        if found {
            self.complete(token, Ok(0));
        }
        Ok(usize::from(found))
    }

    /// Fails the current call, and keeps the detail for `soil_error_detail`.
    pub fn fail<T>(&mut self, failure: Failure) -> Result<T, Stop> {
        self.messages.set(failure.detail);
        Err(failure.error.into())
    }

    /// Completes an operation with a failure, and keeps its detail for `soil_error_detail_of`.
    pub fn complete_failed(&mut self, token: u64, failure: Failure) {
        if end(
            &mut self.operations,
            &mut self.completions,
            token,
            Err(failure.error.into()),
        ) {
            self.messages.keep(token, failure.detail);
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
    pub fn park(&mut self, fd: Fd, direction: Direction, token: isize) -> Answer {
        let (operations, key) = self.table.get(fd)?;
        let token = self.new_token(token)?;
        if (operations.ready)(self, key, direction)? {
            return Ok(0);
        }
        self.park_at(fd.index, direction, token)
    }

    fn park_at(&mut self, index: u32, direction: Direction, token: u64) -> Answer {
        self.add(token, Operation::Parked { index, direction })?;
        if let Err(error) = self.table.park(index, direction, token) {
            self.operations.remove(&token);
            return Err(error.into());
        }
        Err(Stop::Pending)
    }

    /// Whether another thread sleeps for all, so that a changed interest ends its sleep.
    pub fn is_slept_on(&self) -> bool {
        self.leader == Leader::Asleep
    }

    /// Records, if [`Runtime::is_slept_on`], that the current call has added nothing but requests of
    /// the platform to what is waited for: its end submits them, and the sleep goes on.
    pub fn note_requests_only(&mut self) {
        self.adds_requests_only = self.is_slept_on();
    }

    /// Whether reading or writing is worthwhile: data, room, end, or a pending error.
    pub fn is_ready(&mut self, fd: Fd, direction: Direction) -> Result<bool, Error> {
        let (operations, key) = self.table.get(fd)?;
        (operations.ready)(self, key, direction)
    }

    /// See `soil_fd_shutdown`.
    pub fn shutdown(&mut self, fd: Fd, how: isize) -> Answer {
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
            end(operations, completions, token, Err(Error::Closed.into()));
        });
        if let Some((operations, key)) = removed {
            (operations.close)(self, key);
        }
        Ok(0)
    }

    /// Number of operations that have not completed, or whose thread hasn't fetched the answer.
    pub fn outstanding(&self) -> usize {
        self.operations.len()
    }

    /// Number of the scheduler's operations that something besides its tasks may complete: all but
    /// those parked on pipes.
    pub fn outstanding_outside(&self) -> usize {
        let is_outside = |operation: &Operation<R>| match *operation {
            Operation::Parked { index, .. } => self.table.kind(index) != Some(Kind::Pipe),
            Operation::Given { .. } | Operation::Event => true,
            Operation::Completed(_) => false,
        };
        let all = self.operations.iter();
        all.filter(|&(&token, operation)| token < FIRST_OF_THREADS && is_outside(operation))
            .count()
    }

    /// The sum of the drivers' shares of a counter.
    pub fn counter(&mut self, which: isize) -> usize {
        let drivers = self.drivers;
        let shares = drivers
            .iter()
            .flatten()
            .map(|driver| (driver.counter)(self, which));
        shares.fold(0, usize::wrapping_add)
    }
}

/// Ends an operation; `false` if it has already ended, or was cancelled.
fn end<R: Resources>(
    operations: &mut TokenMap<Operation<R>>,
    completions: &mut Completions,
    token: u64,
    answer: Answer,
) -> bool {
    match operations.get_mut(&token) {
        None | Some(Operation::Completed(_)) => return false,
        Some(operation) if token >= FIRST_OF_THREADS => {
            *operation = Operation::Completed(answer);
            completions.wake::<R::Platform>(token);
        }
        Some(_) => {
            operations.remove(&token);
            completions.add::<R::Platform>((token, answer));
        }
    }
    true
}

#[cfg(test)]
pub mod tests;
