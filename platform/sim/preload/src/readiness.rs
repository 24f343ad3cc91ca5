//! What descriptors are ready for, also epoll descriptors, which wait for others.

use crate::kernel;
use crate::network::number;
use crate::objects::{Interest, Kind, Phase};
use crate::sockets::established;
use crate::state::State;

pub const READ: u32 = (libc::POLLIN | libc::POLLRDNORM) as u32;
pub const WRITE: u32 = (libc::POLLOUT | libc::POLLWRNORM) as u32;
pub const ERROR: u32 = libc::POLLERR as u32;
pub const HANGUP: u32 = libc::POLLHUP as u32;
const PEER_SHUT: u32 = libc::POLLRDHUP as u32;

/// Reported without a request.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
/// Requests that are no events.
const MODES: u32 =
    (libc::EPOLLET | libc::EPOLLONESHOT | libc::EPOLLEXCLUSIVE | libc::EPOLLWAKEUP) as u32;
/// Depth of epoll descriptors in one another.
pub const DEPTH: u32 = 4;
const EDGE: u32 = libc::EPOLLET as u32;
const ONCE: u32 = libc::EPOLLONESHOT as u32;

/// The events of a descriptor, as poll(2) has them.
pub fn events(state: &mut State, fd: i32) -> u32 {
    match state.id(fd) {
        Some(id) => of_object(state, fd, id, DEPTH + 1),
        // Files are always ready.
        None if kernel::is_open(fd) => READ | WRITE,
        None => libc::POLLNVAL as u32,
    }
}

/// The events of an object, one of whose descriptors is `fd`.
pub fn of_object(state: &mut State, fd: i32, id: u64, depth: u32) -> u32 {
    // After dup2(2) the number may name another one.
    let names_it = state.id(fd) == Some(id);
    let Some(object) = state.by_id(id).filter(|_| names_it) else {
        return 0;
    };
    match &object.kind {
        Kind::Socket(_) => of_socket(state, fd).unwrap_or(ERROR),
        Kind::Local => WRITE | HANGUP,
        Kind::End(end) => end.events(),
        Kind::Counter { value, .. } => match value {
            0 => WRITE,
            _ => READ | WRITE,
        },
        Kind::Timer(timer) => match timer.has_expired() {
            true => READ,
            false => 0,
        },
        Kind::Epoll(own) => {
            let waited: Vec<_> = own.interests.keys().copied().collect();
            let mut ready = |key| depth > 0 && is_ready(state, id, key, depth - 1);
            if waited.into_iter().any(&mut ready) {
                READ
            } else {
                0
            }
        }
        Kind::Console(_) => WRITE,
    }
}

/// A number that changes when something arrives at an object, one of whose descriptors is `fd`.
pub fn arrivals(state: &mut State, fd: i32, id: u64, depth: u32) -> u64 {
    let Some(object) = state.by_id(id) else {
        return 0;
    };
    let count = object.arrivals;
    match &object.kind {
        Kind::Socket(_) => of_stack(state, fd).unwrap_or(0),
        Kind::End(end) => end.arrivals(),
        Kind::Timer(timer) => count + u64::from(timer.has_expired()),
        Kind::Epoll(own) if depth > 0 => {
            let waited: Vec<_> = own.interests.keys().copied().collect();
            let counts = waited
                .into_iter()
                .map(|(fd, id)| arrivals(state, fd, id, depth - 1));
            counts.fold(0, u64::wrapping_add)
        }
        _ => count,
    }
}

/// The same for a socket.
fn of_stack(state: &mut State, fd: i32) -> Result<u64, i32> {
    let (socket, network) = state.socket(fd)?;
    let Some(handle) = socket.handle else {
        return Ok(0);
    };
    let stack = &network.stack;
    if socket.stream && socket.phase != Phase::Listening {
        // Both are 0 once the connection is over, which is an arrival, too.
        let info = stack.tcp_info(handle).unwrap_or_default();
        let has_ended = matches!(info.state, "CLOSE-WAIT" | "CLOSING" | "LAST-ACK");
        return Ok(info.bytes_received + u64::from(has_ended));
    }
    // The stack has no lookup by handle; bound addresses are unique.
    let kind = stack.kind(handle);
    let local = stack.local_address(handle).map_err(number)?;
    let mut unread = 0;
    stack.sockets(&mut |info| {
        if Some(info.kind) == kind && info.local == local {
            unread = info.unread as u64;
        }
    });
    Ok(socket.taken + unread)
}

fn of_socket(state: &mut State, fd: i32) -> Result<u32, i32> {
    let (socket, _) = state.socket(fd)?;
    if socket.phase == Phase::Connecting && established(state, fd) == Err(libc::EAGAIN) {
        return Ok(0);
    }
    let (socket, network) = state.socket(fd)?;
    let handle = match socket.handle {
        Some(handle) if !socket.stream || socket.phase != Phase::Idle => handle,
        _ if socket.stream => return Ok(WRITE | HANGUP),
        _ => return Ok(WRITE),
    };
    let mut events = 0;
    let Ok(ready) = network.stack.readiness(handle) else {
        return Ok(ERROR | HANGUP);
    };
    if ready.readable || socket.peeked.is_some() || socket.read_shut {
        events |= READ;
    }
    if ready.writable {
        events |= WRITE;
    }
    if socket.read_shut {
        events |= PEER_SHUT | if socket.write_shut { HANGUP } else { 0 };
    }
    if socket.stream && socket.phase == Phase::Connected {
        if ready.readable && network.stack.tcp_peek(handle, &mut [0]) == Ok(0) {
            events |= PEER_SHUT;
        }
        if ready.hangup {
            events |= HANGUP | PEER_SHUT;
        }
    }
    if ready.error {
        events |= READ | WRITE;
        if socket.stream {
            events |= HANGUP | PEER_SHUT;
        }
        if !socket.error_fetched {
            events |= ERROR;
        }
    }
    Ok(events)
}

/// What an object has at this time.
pub struct Current {
    events: u32,
    arrivals: u64,
    writes: u64,
}

/// The same for an interest in `wanted`; `None` if the object's last descriptor is closed.
pub fn current(state: &mut State, key: (i32, u64), wanted: u32, depth: u32) -> Option<Current> {
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

/// Returns whether the next wait reports an interest of the epoll object `id`. Reports nothing
/// itself.
fn is_ready(state: &mut State, id: u64, key: (i32, u64), depth: u32) -> bool {
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
    pub fn report(&mut self, now: &Current) -> Option<u32> {
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
