//! Descriptors and their objects.

use crate::kernel;
use crate::network::Network;
use crate::objects::{Kind, Object, Socket};
use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// What this crate knows of the process.
pub struct State {
    /// The objects of descriptors, by number.
    descriptors: BTreeMap<i32, u64>,
    objects: BTreeMap<u64, Object>,
    /// Number of objects so far.
    opened: u64,
    network: Network,
}

struct Slot {
    in_use: AtomicBool,
    state: UnsafeCell<Option<State>>,
}

// SAFETY: `with` admits one user at a time.
unsafe impl Sync for Slot {}

static SLOT: Slot = Slot {
    in_use: AtomicBool::new(false),
    state: UnsafeCell::new(None),
};

/// Whether a call is inside of [`with`]: a handler of signals has interrupted it.
pub fn is_in_use() -> bool {
    SLOT.in_use.load(Ordering::Relaxed)
}

/// Calls `f` with the state.
///
/// # Panics
/// If a call is inside.
pub fn with<T>(f: impl FnOnce(&mut State) -> T) -> T {
    let in_use = SLOT.in_use.swap(true, Ordering::Acquire);
    assert!(!in_use, "soil: simulation: a call within a call");
    // SAFETY: the flag admits one user.
    let state = unsafe { &mut *SLOT.state.get() };
    let result = f(state.get_or_insert_with(State::new));
    SLOT.in_use.store(false, Ordering::Release);
    result
}

impl State {
    /// The descriptors of a process at its start, the console's, and the stack: it answers others,
    /// even if the program opens no socket.
    fn new() -> State {
        let mut state = State {
            descriptors: BTreeMap::new(),
            objects: BTreeMap::new(),
            opened: 0,
            network: Network::start(),
        };
        for stream in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            state.insert(stream, Kind::Console(stream as u8), false);
        }
        state
    }

    /// Adds an object whose descriptor was reserved.
    pub fn insert(&mut self, fd: i32, kind: Kind, nonblocking: bool) {
        self.opened += 1;
        let object = Object {
            references: 1,
            nonblocking,
            arrivals: 0,
            writes: 0,
            kind,
        };
        self.objects.insert(self.opened, object);
        self.descriptors.insert(fd, self.opened);
    }

    /// Adds an object with a new descriptor; `flags` are `O_CLOEXEC` and `O_NONBLOCK`.
    pub fn add(&mut self, kind: Kind, flags: i32) -> Result<i32, i32> {
        let fd = kernel::reserve(flags & libc::O_CLOEXEC != 0)?;
        self.insert(fd, kind, flags & libc::O_NONBLOCK != 0);
        Ok(fd)
    }

    /// The number of a descriptor's object.
    pub fn id(&self, fd: i32) -> Option<u64> {
        self.descriptors.get(&fd).copied()
    }

    /// The object with a number.
    pub fn by_id(&mut self, id: u64) -> Option<&mut Object> {
        self.objects.get_mut(&id)
    }

    /// A descriptor's object.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn object(&mut self, fd: i32) -> Result<&mut Object, i32> {
        let id = self.id(fd).ok_or(libc::EBADF)?;
        self.objects.get_mut(&id).ok_or(libc::EBADF)
    }

    /// A descriptor's socket, and the stack.
    ///
    /// # Errors
    /// `EBADF`, or `ENOTSOCK`.
    pub fn socket(&mut self, fd: i32) -> Result<(&mut Socket, &mut Network), i32> {
        let id = self.descriptors.get(&fd).ok_or(libc::EBADF)?;
        match self.objects.get_mut(id).map(|object| &mut object.kind) {
            Some(Kind::Socket(socket)) => Ok((socket, &mut self.network)),
            _ => Err(libc::ENOTSOCK),
        }
    }

    /// Makes `new` a second descriptor of the object of `old`, if that has one; `new` names nothing
    /// else afterwards.
    pub fn share(&mut self, old: i32, new: i32) {
        if old == new {
            return;
        }
        let id = self.id(old);
        if let Some(object) = id.and_then(|id| self.objects.get_mut(&id)) {
            object.references += 1;
        }
        self.forget(new);
        if let Some(id) = id {
            self.descriptors.insert(new, id);
        }
    }

    /// A descriptor is closed: the object ends with its last one.
    pub fn forget(&mut self, fd: i32) {
        let Some(id) = self.descriptors.remove(&fd) else {
            return;
        };
        let last = self.objects.get_mut(&id).is_some_and(|object| {
            object.references -= 1;
            object.references == 0
        });
        if last && let Some(object) = self.objects.remove(&id) {
            self.end(object);
        }
    }

    fn end(&mut self, object: Object) {
        match object.kind {
            Kind::Socket(socket) => {
                if let Some(handle) = socket.handle {
                    // The stack knows the handle: sockets alone close theirs.
                    let _ = self.network.stack.close(handle);
                }
            }
            Kind::End(end) => {
                if let Some(input) = end.input {
                    input.borrow_mut().reader_gone = true;
                }
                if let Some(output) = end.output {
                    output.borrow_mut().writer_gone = true;
                }
            }
            _ => (),
        }
    }

    /// Closes all descriptors, as the end of the process does.
    pub fn close_all(&mut self) {
        let all: Vec<i32> = self.descriptors.keys().copied().collect();
        all.into_iter().for_each(|fd| self.forget(fd));
    }

    /// Whether closed connections have something to deliver.
    pub fn delivers(&self) -> bool {
        self.network.stack.undelivered() > 0
    }

    /// Has the stack receive and send.
    pub fn poll(&mut self) {
        self.network.poll();
    }

    /// The time at which something may change without an event: of the stack, or of a timer.
    pub fn deadline(&self) -> u64 {
        let now = kernel::now();
        let timer = |object: &Object| match &object.kind {
            // An expired timer changes by a read only: a wait for other things would spin.
            Kind::Timer(timer) => timer.next.filter(|next| *next > now),
            _ => None,
        };
        let timers = self.objects.values().filter_map(timer);
        timers.fold(self.network.deadline(), u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::State;
    use crate::objects::{Kind, Timer};

    #[test]
    fn an_expired_timer_wakes_no_wait() {
        let mut state = State::new();
        let mut add = |next| {
            let timer = Timer {
                clock: libc::CLOCK_MONOTONIC,
                next: Some(next),
                interval: 3,
            };
            state.insert(100 + next as i32, Kind::Timer(timer), false);
            state.deadline()
        };
        // Without a coordinator it is always 0.
        assert_eq!(add(0), u64::MAX);
        assert_eq!(add(7), 7);
    }
}
