//! What descriptors are ready for: poll(2), select(2).

use crate::epoll;
use crate::kernel;
use crate::memory::{load, store};
use crate::network::number;
use crate::objects::{Kind, Phase};
use crate::sockets::established;
use crate::state::State;
use crate::wait::{Interrupted, block_as};

const READ: u32 = (libc::POLLIN | libc::POLLRDNORM) as u32;
const WRITE: u32 = (libc::POLLOUT | libc::POLLWRNORM) as u32;
const ERROR: u32 = libc::POLLERR as u32;
const HANGUP: u32 = libc::POLLHUP as u32;
const PEER_SHUT: u32 = libc::POLLRDHUP as u32;

/// The events of a descriptor, as poll(2) has them.
pub fn events(state: &mut State, fd: i32) -> u32 {
    match state.id(fd) {
        Some(id) => of_object(state, fd, id, epoll::DEPTH + 1),
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
            let mut ready = |key| depth > 0 && epoll::is_ready(state, id, key, depth - 1);
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

/// What ends a wait for descriptors.
#[derive(Clone, Copy)]
pub struct Limit {
    pub until: u64,
    /// The signals that are blocked meanwhile, if the call has a mask.
    pub mask: Option<u64>,
}

/// Calls `count` until descriptors are ready or the time comes; the number of ready ones.
pub fn wait_for(
    Limit { until, mask }: Limit,
    mut count: impl FnMut(&mut State) -> Result<usize, i32>,
) -> Result<isize, i32> {
    let ready = block_as(Interrupted::Fails, mask, until, |state| {
        match count(state)? {
            0 => Err(libc::EAGAIN),
            count => Ok(count as isize),
        }
    });
    match ready {
        Err(libc::EAGAIN) => Ok(0),
        other => other,
    }
}

/// Bytes of `struct pollfd`, and offsets in it.
const POLLED: usize = 8;
const REQUESTED: usize = 4;
const RETURNED: usize = 6;

/// poll(2): the array at `at`.
pub fn poll(at: usize, len: usize, limit: Limit) -> Result<isize, i32> {
    let always = ERROR | HANGUP | libc::POLLNVAL as u32;
    wait_for(limit, |state| {
        let mut count = 0;
        for entry in (0..len).map(|i| at + i * POLLED) {
            let fd: i32 = load(entry);
            let wanted = u32::from(load::<u16>(entry + REQUESTED));
            let ready = if fd < 0 {
                0
            } else {
                events(state, fd) & (wanted | always)
            };
            store(entry + RETURNED, ready as u16);
            count += usize::from(ready != 0);
        }
        Ok(count)
    })
}

/// Bits in a word of `fd_set`.
const BITS: usize = 64;

/// select(2): the sets at `sets` (null: none) with `len` descriptors.
pub fn select(len: usize, sets: [usize; 3], limit: Limit) -> Result<isize, i32> {
    let len = len.min(libc::FD_SETSIZE);
    let words = len.div_ceil(BITS);
    let word = |set: usize, i: usize| set + i * size_of::<u64>();
    let read = |set: usize| -> Vec<u64> {
        let one = |i| if set == 0 { 0 } else { load(word(set, i)) };
        (0..words).map(one).collect()
    };
    let wanted = sets.map(read);
    let mut ready = wanted.each_ref().map(|_| vec![0u64; words]);
    let conditions = [READ | ERROR | HANGUP, WRITE | ERROR, libc::POLLPRI as u32];
    let result = wait_for(limit, |state| {
        let mut count = 0;
        for fd in 0..len {
            let (i, bit) = (fd / BITS, 1u64 << (fd % BITS));
            if wanted.iter().all(|set| set[i] & bit == 0) {
                continue;
            }
            let events = events(state, fd as i32);
            if events & libc::POLLNVAL as u32 != 0 {
                return Err(libc::EBADF);
            }
            for (which, condition) in conditions.into_iter().enumerate() {
                if wanted[which][i] & bit != 0 && events & condition != 0 {
                    ready[which][i] |= bit;
                    count += 1;
                }
            }
        }
        Ok(count)
    })?;
    for (set, bits) in sets.into_iter().zip(ready) {
        if set != 0 {
            bits.into_iter()
                .enumerate()
                .for_each(|(i, bits)| store(word(set, i), bits));
        }
    }
    Ok(result)
}
