//! epoll(7).

use crate::kernel;
use crate::memory::{load, store};
use crate::objects::{Epoll, Interest, Kind};
use crate::readiness::{Limit, arrivals, of_object, wait_for};
use crate::state::{self, State};

/// Bytes of `struct epoll_event`, which is packed.
const EVENT: usize = 12;
const DATA: usize = 4;

/// Reported without a request.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
/// Requests that are no events.
const MODES: u32 =
    (libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLEXCLUSIVE | libc::EPOLLWAKEUP) as u32;
/// Depth of epoll descriptors in one another.
pub const DEPTH: u32 = 4;
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
            arrivals: 0,
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
pub fn wait(fd: i32, at: usize, max: usize, limit: Limit) -> Result<isize, i32> {
    if max == 0 || max > i32::MAX as usize {
        return Err(libc::EINVAL);
    }
    wait_for(limit, |state| {
        let ready = collect(state, fd, max)?;
        for (i, (events, data)) in ready.iter().enumerate() {
            store(at + i * EVENT, *events);
            store(at + i * EVENT + DATA, *data);
        }
        Ok(ready.len())
    })
}

/// What an object has at this time.
struct Current {
    events: u32,
    arrivals: u64,
    writes: u64,
}

/// The same for an interest in `wanted`; `None` if the object's last descriptor is closed.
fn current(state: &mut State, key: (i32, u64), wanted: u32, depth: u32) -> Option<Current> {
    let (fd, id) = key;
    let writes = state.by_id(id)?.writes;
    let arrivals = match wanted & EDGE {
        0 => 0,
        _ => arrivals(state, fd, id, depth),
    };
    Some(Current {
        events: of_object(state, fd, id, depth),
        arrivals,
        writes,
    })
}

/// The events that an interest of the epoll object `id` requests.
fn wanted(state: &mut State, id: u64, key: (i32, u64)) -> Option<u32> {
    match &state.by_id(id)?.kind {
        Kind::Epoll(epoll) => epoll.interests.get(&key).map(|interest| interest.events),
        _ => None,
    }
}

/// Whether an interest of the epoll object `id` would be reported now; it isn't thereby.
pub fn is_ready(state: &mut State, id: u64, key: (i32, u64), depth: u32) -> bool {
    let wanted = wanted(state, id, key);
    let Some(now) = wanted.and_then(|wanted| current(state, key, wanted, depth)) else {
        return false;
    };
    match state.by_id(id).map(|object| &object.kind) {
        Some(Kind::Epoll(epoll)) => {
            let interest = epoll.interests.get(&key);
            interest.is_some_and(|interest| interest.fresh(&now) != 0)
        }
        _ => false,
    }
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
        let events = find(state, fd)?
            .interests
            .get(&key)
            .map_or(0, |one| one.events);
        let Some(now) = current(state, key, events, DEPTH) else {
            // Its last descriptor is closed.
            find(state, fd)?.interests.remove(&key);
            continue;
        };
        let Some(interest) = find(state, fd)?.interests.get_mut(&key) else {
            continue;
        };
        if let Some(event) = interest.report(&now) {
            ready.push((event, interest.data));
        }
    }
    Ok(ready)
}

impl Interest {
    /// Those of the requested events that are there.
    fn requested(&self, events: u32) -> u32 {
        if self.events & !MODES == 0 && self.events & ONCE != 0 {
            return 0;
        }
        events & (self.events & !MODES | ALWAYS)
    }

    /// Those that a report would be for.
    fn fresh(&self, now: &Current) -> u32 {
        let ready = self.requested(now.events);
        if self.events & EDGE == 0 {
            return ready;
        }
        let mut reported = self.reported;
        if self.arrivals != now.arrivals {
            reported &= !((libc::EPOLLIN | libc::EPOLLRDNORM) as u32);
        }
        if self.writes != now.writes {
            reported &= !((libc::EPOLLOUT | libc::EPOLLWRNORM) as u32);
        }
        ready & !reported
    }

    /// The events to report, if any.
    fn report(&mut self, now: &Current) -> Option<u32> {
        let fresh = self.fresh(now);
        self.reported = self.requested(now.events);
        (self.arrivals, self.writes) = (now.arrivals, now.writes);
        if fresh == 0 {
            return None;
        }
        let ready = self.reported;
        if self.events & ONCE != 0 {
            // Disabled until EPOLL_CTL_MOD.
            self.events = ONCE;
        }
        Some(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::{Current, EDGE, Interest, ONCE};

    const IN: u32 = libc::EPOLLIN as u32;
    const OUT: u32 = libc::EPOLLOUT as u32;

    fn interest(events: u32) -> Interest {
        Interest {
            events,
            data: 0,
            reported: 0,
            arrivals: 0,
            writes: 0,
        }
    }

    fn report(interest: &mut Interest, events: u32, arrivals: u64) -> Option<u32> {
        let now = Current {
            events,
            arrivals,
            writes: 0,
        };
        let is_ready = interest.fresh(&now) != 0;
        let reported = interest.report(&now);
        assert_eq!(reported.is_some(), is_ready);
        reported
    }

    #[test]
    fn a_level_is_reported_again() {
        let mut level = interest(IN);
        assert_eq!(report(&mut level, IN | OUT, 0), Some(IN));
        assert_eq!(report(&mut level, IN, 0), Some(IN));
        assert_eq!(report(&mut level, OUT, 0), None);
    }

    #[test]
    fn an_edge_is_reported_again_after_an_arrival() {
        let mut edge = interest(IN | OUT | EDGE);
        assert_eq!(report(&mut edge, OUT, 0), Some(OUT));
        assert_eq!(report(&mut edge, IN | OUT, 0), Some(IN | OUT));
        assert_eq!(report(&mut edge, IN | OUT, 0), None);
        assert_eq!(report(&mut edge, IN | OUT, 1), Some(IN | OUT));
        assert_eq!(report(&mut edge, OUT, 2), None);
        assert_eq!(report(&mut edge, IN | OUT, 2), Some(IN | OUT));
    }

    #[test]
    fn a_request_for_one_event_is_disabled_after_it() {
        let mut once = interest(IN | ONCE);
        assert_eq!(report(&mut once, IN, 0), Some(IN));
        assert_eq!(report(&mut once, IN, 0), None);
        let hangup = libc::EPOLLHUP as u32;
        assert_eq!(report(&mut once, hangup, 0), None);
    }
}
