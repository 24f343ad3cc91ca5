//! Calls on descriptors of any kind: close(2), dup(2), fcntl(2), ioctl(2), fstat(2).

use crate::files;
use crate::kernel;
use crate::memory::{load, store};
use crate::objects::{Kind, Object};
use crate::state::{self, State};
use crate::transfer;
use crate::wait::{NOT, block};

/// A descriptor is about to be closed; the caller closes Linux's.
pub fn close(fd: i32) {
    if !state::with(|state| state.id(fd).is_some()) {
        return;
    }
    let forget = |state: &mut State| {
        state.forget(fd);
        Ok(())
    };
    // It always succeeds.
    let _ = block(NOT, forget);
}

/// A call that duplicates the descriptor `old`.
pub fn duplicate(number: i64, arguments: &[usize; 6]) -> isize {
    let new = kernel::pass(number, arguments);
    if new >= 0 {
        state::with(|state| state.share(arguments[0] as i32, new as i32));
    }
    new
}

fn access(object: &Object) -> i32 {
    match &object.kind {
        Kind::End(end) if end.output.is_none() => libc::O_RDONLY,
        Kind::End(end) if end.input.is_none() => libc::O_WRONLY,
        _ => libc::O_RDWR,
    }
}

/// fcntl(2).
pub fn control(arguments: &[usize; 6]) -> isize {
    let [fd, command, value, ..] = arguments.map(|argument| argument as i32);
    if matches!(command, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) {
        return duplicate(libc::SYS_fcntl, arguments);
    }
    let flags = |object: &mut Object| {
        let nonblocking = if object.nonblocking {
            libc::O_NONBLOCK
        } else {
            0
        };
        Some((access(object) | nonblocking) as isize)
    };
    let set = |object: &mut Object| {
        object.nonblocking = value & libc::O_NONBLOCK != 0;
        Some(0)
    };
    let own = state::with(|state| match (command, state.object(fd)) {
        (libc::F_GETFL, Ok(object)) => flags(object),
        (libc::F_SETFL, Ok(object)) => set(object),
        _ => None,
    });
    own.unwrap_or_else(|| kernel::pass(libc::SYS_fcntl, arguments))
}

/// Bytes that a read would return now.
fn unread(state: &mut State, fd: i32) -> Result<i32, i32> {
    let object = state.object(fd)?;
    let len = match &object.kind {
        Kind::End(end) => end.unread(),
        Kind::Socket(_) => {
            let (socket, network) = state.socket(fd)?;
            match socket.handle {
                Some(handle) if socket.stream => network
                    .stack
                    .tcp_info(handle)
                    .map_or(0, |info| info.unread as usize),
                Some(_) => transfer::unread_datagram(state, fd),
                None => 0,
            }
        }
        _ => return Err(libc::ENOTTY),
    };
    Ok(len as i32)
}

/// ioctl(2) on an object of this crate; `None` for others.
pub fn device(fd: i32, request: u64, at: usize) -> Option<Result<isize, i32>> {
    state::with(|state| state.id(fd))?;
    match request {
        libc::FIONBIO => {
            let on: i32 = load(at);
            let set = |state: &mut State| {
                state.object(fd)?.nonblocking = on != 0;
                Ok(0)
            };
            Some(state::with(set))
        }
        libc::FIONREAD => {
            let len = block(NOT, |state| unread(state, fd));
            Some(len.map(|len| {
                store(at, len);
                0
            }))
        }
        libc::FIOCLEX | libc::FIONCLEX => None,
        _ => Some(Err(libc::ENOTTY)),
    }
}

/// The type and the permissions of an object, if it isn't Linux's.
fn mode(state: &mut State, fd: i32) -> Option<u32> {
    match &state.object(fd).ok()?.kind {
        Kind::Socket(_) | Kind::Local => Some(libc::S_IFSOCK | 0o777),
        Kind::End(end) if end.socket => Some(libc::S_IFSOCK | 0o777),
        Kind::End(_) => Some(libc::S_IFIFO | 0o600),
        _ => None,
    }
}

/// fstat(2).
pub fn status(fd: i32, to: usize) -> isize {
    let Some(mode) = state::with(|state| mode(state, fd)) else {
        let result = kernel::pass(libc::SYS_fstat, &[fd as usize, to, 0, 0, 0, 0]);
        if result == 0 {
            files::correct(&load(to), to);
        }
        return result;
    };
    // SAFETY: numbers, of which 0 is valid.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    status.st_mode = mode;
    status.st_nlink = 1;
    status.st_blksize = 4096;
    store(to, status);
    0
}

/// Whether lseek(2) fails on a descriptor, as on sockets and pipes.
pub fn is_stream(fd: i32) -> bool {
    state::with(|state| match state.object(fd) {
        Ok(object) => !matches!(object.kind, Kind::Console(_)),
        Err(_) => false,
    })
}
