//! epoll(7).

use crate::kernel;
use crate::memory::{load, store};
use crate::objects::{Epoll, Interest, Kind};
use crate::poll::{Limit, wait_for};
use crate::readiness::{DEPTH, current};
use crate::state::{self, State};

/// Bytes of `struct epoll_event`, which is packed.
const EVENT: usize = 12;
const DATA: usize = 4;

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

/// Reports up to `max` events: returns them with their data.
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
