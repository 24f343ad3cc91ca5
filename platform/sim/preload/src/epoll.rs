//! epoll(7).

use crate::kernel;
use crate::memory::{load, store};
use crate::objects::{Epoll, Interest, Kind};
use crate::readiness::{of_object, wait_for};
use crate::state::{self, State};

/// Bytes of `struct epoll_event`, which is packed.
const EVENT: usize = 12;
const DATA: usize = 4;

/// Reported without a request.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
/// Requests that are no events.
const MODES: u32 =
    (libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLEXCLUSIVE | libc::EPOLLWAKEUP) as u32;
const EDGE: u32 = libc::EPOLLET as u32;
const ONCE: u32 = libc::EPOLLONESHOT as u32;

/// epoll_create1(2).
pub fn create(flags: i32) -> Result<i32, i32> {
    state::with(|state| state.add(Kind::Epoll(Epoll::default()), flags))
}

fn find(state: &mut State, fd: i32) -> Result<&mut Epoll, i32> {
    match &mut state.object(fd)?.kind {
        Kind::Epoll(epoll) => Ok(epoll),
        _ => Err(libc::EINVAL),
    }
}

/// epoll_ctl(2).
pub fn control(fd: i32, operation: i32, target: i32, event: usize) -> Result<isize, i32> {
    state::with(|state| {
        let Some(id) = state.id(target) else {
            // As for files, which are always ready.
            return Err(if kernel::is_open(target) {
                libc::EPERM
            } else {
                libc::EBADF
            });
        };
        if state.id(fd) == Some(id) {
            return Err(libc::EINVAL);
        }
        let interests = &mut find(state, fd)?.interests;
        let key = (target, id);
        let interest = || Interest {
            events: load(event),
            data: load(event + DATA),
            reported: 0,
            reads: 0,
            writes: 0,
        };
        match operation {
            libc::EPOLL_CTL_ADD if interests.contains_key(&key) => return Err(libc::EEXIST),
            libc::EPOLL_CTL_ADD => interests.insert(key, interest()),
            _ if !interests.contains_key(&key) => return Err(libc::ENOENT),
            libc::EPOLL_CTL_MOD => interests.insert(key, interest()),
            libc::EPOLL_CTL_DEL => interests.remove(&key),
            _ => return Err(libc::EINVAL),
        };
        Ok(0)
    })
}

/// epoll_wait(2): the array at `at` has room for `max` events.
pub fn wait(fd: i32, at: usize, max: usize, until: u64) -> Result<isize, i32> {
    if max == 0 || max > i32::MAX as usize {
        return Err(libc::EINVAL);
    }
    wait_for(until, |state| {
        let ready = collect(state, fd, max)?;
        for (i, (events, data)) in ready.iter().enumerate() {
            store(at + i * EVENT, *events);
            store(at + i * EVENT + DATA, *data);
        }
        Ok(ready.len())
    })
}

/// Up to `max` events with their data, which are thereby reported.
fn collect(state: &mut State, fd: i32, max: usize) -> Result<Vec<(u32, u64)>, i32> {
    let epoll = find(state, fd)?;
    let after = epoll.interests.range(epoll.next..).map(|(key, _)| *key);
    let before = epoll.interests.range(..epoll.next).map(|(key, _)| *key);
    let keys: Vec<(i32, u64)> = after.chain(before).collect();
    let mut ready = Vec::new();
    for key in keys {
        if ready.len() == max {
            find(state, fd)?.next = key;
            break;
        }
        let Some((reads, writes)) = state
            .by_id(key.1)
            .map(|object| (object.reads, object.writes))
        else {
            // Its last descriptor is closed.
            find(state, fd)?.interests.remove(&key);
            continue;
        };
        let events = of_object(state, key.0, key.1, 4);
        let Some(interest) = find(state, fd)?.interests.get_mut(&key) else {
            continue;
        };
        if let Some(event) = interest.report(events, reads, writes) {
            ready.push((event, interest.data));
        }
    }
    Ok(ready)
}

impl Interest {
    /// The events to report, if any; `reads` and `writes` are the object's counts.
    fn report(&mut self, events: u32, reads: u64, writes: u64) -> Option<u32> {
        if self.events & !MODES == 0 && self.events & ONCE != 0 {
            return None;
        }
        let ready = events & (self.events & !MODES | ALWAYS);
        if self.reads != reads {
            self.reported &= !((libc::EPOLLIN | libc::EPOLLRDNORM) as u32);
        }
        if self.writes != writes {
            self.reported &= !((libc::EPOLLOUT | libc::EPOLLWRNORM) as u32);
        }
        (self.reads, self.writes) = (reads, writes);
        let fresh = match self.events & EDGE {
            0 => ready,
            _ => ready & !self.reported,
        };
        self.reported = ready;
        if fresh == 0 {
            return None;
        }
        if self.events & ONCE != 0 {
            // Disabled until EPOLL_CTL_MOD.
            self.events = ONCE;
        }
        Some(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::{EDGE, Interest, ONCE};

    const IN: u32 = libc::EPOLLIN as u32;
    const OUT: u32 = libc::EPOLLOUT as u32;

    fn interest(events: u32) -> Interest {
        Interest {
            events,
            data: 0,
            reported: 0,
            reads: 0,
            writes: 0,
        }
    }

    #[test]
    fn a_level_is_reported_again() {
        let mut level = interest(IN);
        assert_eq!(level.report(IN | OUT, 0, 0), Some(IN));
        assert_eq!(level.report(IN, 0, 0), Some(IN));
        assert_eq!(level.report(OUT, 0, 0), None);
    }

    #[test]
    fn an_edge_is_reported_again_after_a_read() {
        let mut edge = interest(IN | OUT | EDGE);
        assert_eq!(edge.report(OUT, 0, 0), Some(OUT));
        assert_eq!(edge.report(IN | OUT, 0, 0), Some(IN | OUT));
        assert_eq!(edge.report(IN | OUT, 0, 0), None);
        assert_eq!(edge.report(IN | OUT, 1, 0), Some(IN | OUT));
        assert_eq!(edge.report(OUT, 2, 0), None);
        assert_eq!(edge.report(IN | OUT, 2, 0), Some(IN | OUT));
    }

    #[test]
    fn a_request_for_one_event_is_disabled_after_it() {
        let mut once = interest(IN | ONCE);
        assert_eq!(once.report(IN, 0, 0), Some(IN));
        assert_eq!(once.report(IN, 0, 0), None);
        let hangup = libc::EPOLLHUP as u32;
        assert_eq!(once.report(hangup, 0, 0), None);
    }
}
