//! Reading and writing: bytes, datagrams, messages.

use crate::address::{self, Given};
use crate::memory::{Pieces, load, store};
use crate::network::number;
use crate::objects::{Kind, Socket};
use crate::signals;
use crate::sockets::{bind_any, established, until};
use crate::state::{self, State};
use crate::wait::{NOT, block};
use net::Error;
use std::net::SocketAddr;

/// The most bytes of a datagram.
const DATAGRAM: usize = 65_535;
/// The most bytes that a write copies at once, more than a datagram has; a read allocates as many
/// without knowing that there are some.
const CHUNK: usize = 64 << 10;
/// What `net` counts for each unread datagram beside its bytes.
const COST: usize = 32;

/// Offsets in `struct msghdr`, in words, and in bytes for the flags.
const NAME: usize = 0;
const NAME_LEN: usize = 1;
const PIECES: usize = 2;
const PIECE_COUNT: usize = 3;
const CONTROL_LEN: usize = 5;
const FLAGS: usize = 48;
/// Bytes of `struct mmsghdr`, and of the `struct msghdr` in it.
const ONE_OF_MANY: usize = 64;
const MESSAGE: usize = 56;

/// What a read returns.
#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    from: Option<SocketAddr>,
    /// Bytes of the whole datagram.
    len: usize,
}

impl Received {
    fn bytes(bytes: Vec<u8>) -> Received {
        let len = bytes.len();
        Received {
            bytes,
            from: None,
            len,
        }
    }
}

/// A wait for what the process itself would have to do: it has one thread, which waits.
fn deadlock(what: &str) -> i32 {
    sim::unowned(&format!(
        "{what}, which another thread would have to end: a node has one thread"
    ));
    libc::EDEADLK
}

fn read_once(state: &mut State, fd: i32, max: usize, flags: i32) -> Result<Received, i32> {
    let peek = flags & libc::MSG_PEEK != 0;
    let object = state.object(fd)?;
    match &mut object.kind {
        Kind::Socket(_) => read_socket(state, fd, max, peek),
        Kind::End(end) => end.read(max, peek).map(Received::bytes),
        Kind::Counter { .. } | Kind::Timer(_) if max < 8 => Err(libc::EINVAL),
        Kind::Counter { value: 0, .. } => Err(libc::EAGAIN),
        Kind::Counter { value, semaphore } => {
            let taken = if *semaphore { 1 } else { *value };
            *value -= taken;
            Ok(Received::bytes(taken.to_ne_bytes().to_vec()))
        }
        Kind::Timer(timer) => match timer.expirations() {
            0 => Err(libc::EAGAIN),
            count => {
                object.arrivals += 1;
                Ok(Received::bytes(count.to_ne_bytes().to_vec()))
            }
        },
        Kind::Console(_) => Ok(Received::default()),
        Kind::Epoll(_) | Kind::Local => Err(libc::EINVAL),
    }
}

fn read_socket(state: &mut State, fd: i32, max: usize, peek: bool) -> Result<Received, i32> {
    if !state.socket(fd)?.0.stream {
        bind_any(state, fd)?;
        return read_datagram(state, fd, max, peek);
    }
    let connected = established(state, fd);
    let (socket, network) = state.socket(fd)?;
    match connected {
        // A connect that failed.
        Err(error) if error != libc::EAGAIN && error != libc::ENOTCONN => {
            return at_failure(socket, error);
        }
        other => other?,
    };
    let handle = socket.handle.ok_or(libc::ENOTCONN)?;
    // By what there is, as the program may have room for far more. After the end of a connection
    // the stack doesn't tell.
    let unread = network.stack.tcp_info(handle).map_or(0, |info| info.unread);
    let mut bytes = vec![0; max.min((unread as usize).max(CHUNK))];
    let read = match peek {
        true => network.stack.tcp_peek(handle, &mut bytes),
        false => network.stack.tcp_read(handle, &mut bytes),
    };
    match read {
        Ok(len) => bytes.truncate(len),
        Err(Error::WouldBlock) if socket.read_shut => bytes.clear(),
        Err(Error::WouldBlock) => return Err(libc::EAGAIN),
        Err(error) => return at_failure(socket, number(error)),
    }
    Ok(Received::bytes(bytes))
}

/// A read from a connection that has failed: one call returns the error, and others find the end.
fn at_failure(socket: &mut Socket, error: i32) -> Result<Received, i32> {
    match socket.take_failure() {
        true => Err(error),
        false => Ok(Received::default()),
    }
}

/// Bytes of the datagram that a read would return now.
pub fn unread_datagram(state: &mut State, fd: i32) -> usize {
    read_datagram(state, fd, 0, true).map_or(0, |received| received.len)
}

fn read_datagram(state: &mut State, fd: i32, max: usize, peek: bool) -> Result<Received, i32> {
    let (socket, network) = state.socket(fd)?;
    let (mut bytes, from) = match socket.peeked.take() {
        Some(peeked) => peeked,
        None => {
            let handle = socket.handle.ok_or(libc::ENOTCONN)?;
            let mut bytes = vec![0; DATAGRAM];
            let read = network.stack.udp_recv_from(handle, &mut bytes);
            let (len, from) = read.map_err(number)?;
            bytes.truncate(len);
            socket.taken += (len + COST) as u64;
            (bytes, from)
        }
    };
    if peek {
        socket.peeked = Some((bytes.clone(), from));
    }
    let len = bytes.len();
    bytes.truncate(max);
    Ok(Received {
        bytes,
        from: Some(from),
        len,
    })
}

/// Whether only this process ends a wait for the descriptor.
fn is_internal(state: &mut State, fd: i32) -> bool {
    let kind = state.object(fd).map(|object| &object.kind);
    matches!(kind, Ok(Kind::End(_) | Kind::Counter { .. }))
}

fn is_shut(state: &mut State, fd: i32) -> bool {
    state.socket(fd).is_ok_and(|(socket, _)| socket.read_shut)
}

/// Reads into the pieces.
fn receive(fd: i32, pieces: &Pieces, flags: i32) -> Result<Received, i32> {
    if flags & (libc::MSG_OOB | libc::MSG_ERRQUEUE) != 0 {
        return Err(if flags & libc::MSG_OOB != 0 {
            libc::EINVAL
        } else {
            libc::EAGAIN
        });
    }
    let until = until(fd, flags, true)?;
    let whole = flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0;
    let mut all = Received::default();
    let result = block(until, |state| {
        let received = match read_once(state, fd, pieces.len() - all.bytes.len(), flags) {
            Err(libc::EAGAIN) if until != NOT && is_internal(state, fd) => {
                return Err(deadlock(
                    "a read of an empty pipe, pair of sockets or eventfd",
                ));
            }
            // Datagrams that come after SHUT_RD are read, but not waited for.
            Err(libc::EAGAIN) if until != NOT && is_shut(state, fd) => return Ok(()),
            received => received?,
        };
        let at_end = received.bytes.is_empty() || received.from.is_some();
        all.bytes.extend_from_slice(&received.bytes);
        all.from = received.from;
        all.len += received.len;
        if whole && !at_end && all.bytes.len() < pieces.len() {
            return Err(libc::EAGAIN);
        }
        Ok(())
    });
    match result {
        Err(error) if all.bytes.is_empty() => return Err(error),
        _ => pieces.scatter(&all.bytes),
    }
    Ok(all)
}

/// read(2), readv(2), and recvfrom(2) with the addresses for the sender.
pub fn read(
    fd: i32,
    pieces: &Pieces,
    flags: i32,
    (from_at, len_at): (usize, usize),
) -> Result<isize, i32> {
    let received = receive(fd, pieces, flags)?;
    if received.from.is_some() {
        address::write(from_at, len_at, received.from);
    } else if len_at != 0 {
        store(len_at, 0u32);
    }
    let whole = flags & libc::MSG_TRUNC != 0 && received.from.is_some();
    Ok(if whole {
        received.len
    } else {
        received.bytes.len()
    } as isize)
}

/// recvmsg(2).
pub fn read_message(fd: i32, message: usize, flags: i32) -> Result<isize, i32> {
    let [name, name_len, pieces, count]: [usize; 4] = load(message);
    let pieces = Pieces::of_array(pieces, count);
    let received = receive(fd, &pieces, flags)?;
    let len = match received.from {
        Some(_) if name != 0 => address::put(name, name_len as u32, received.from),
        _ => 0,
    };
    store(message + NAME_LEN * size_of::<usize>(), len);
    store(message + CONTROL_LEN * size_of::<usize>(), 0usize);
    let cut = received.from.is_some() && received.len > received.bytes.len();
    store(message + FLAGS, if cut { libc::MSG_TRUNC } else { 0 });
    let whole = flags & libc::MSG_TRUNC != 0 && received.from.is_some();
    Ok(if whole {
        received.len
    } else {
        received.bytes.len()
    } as isize)
}

fn write_once(
    state: &mut State,
    fd: i32,
    from: &[u8],
    to: Option<SocketAddr>,
) -> Result<usize, i32> {
    let object = state.object(fd)?;
    let result = match &mut object.kind {
        Kind::Socket(_) => write_socket(state, fd, from, to),
        Kind::End(end) => end.write(from),
        Kind::Counter { value, .. } => {
            // Of more bytes, older Linux takes the first ones.
            let added = <[u8; 8]>::try_from(from).map(u64::from_ne_bytes);
            match added.map_err(|_| libc::EINVAL)? {
                u64::MAX => Err(libc::EINVAL),
                added => match value.checked_add(added) {
                    None | Some(u64::MAX) => Err(libc::EAGAIN),
                    Some(sum) => {
                        *value = sum;
                        object.arrivals += 1;
                        Ok(8)
                    }
                },
            }
        }
        Kind::Console(stream) => {
            sim::console(*stream, from);
            Ok(from.len())
        }
        Kind::Local => Err(libc::ENOTCONN),
        Kind::Timer(_) | Kind::Epoll(_) => Err(libc::EINVAL),
    };
    if matches!(result, Ok(_) | Err(libc::EAGAIN)) {
        state.object(fd)?.writes += 1;
    }
    result
}

fn write_socket(
    state: &mut State,
    fd: i32,
    from: &[u8],
    to: Option<SocketAddr>,
) -> Result<usize, i32> {
    if !state.socket(fd)?.0.stream {
        bind_any(state, fd)?;
        let (socket, network) = state.socket(fd)?;
        if socket.write_shut {
            return Err(libc::EPIPE);
        }
        let handle = socket.handle.ok_or(libc::ENOTCONN)?;
        let peer = || network.stack.peer_address(handle).ok();
        let to = to.or_else(peer).ok_or(libc::EDESTADDRREQ)?;
        network
            .stack
            .udp_send_to(handle, from, to)
            .map_err(number)?;
        return Ok(from.len());
    }
    let connected = established(state, fd);
    let (socket, network) = state.socket(fd)?;
    let handle = socket.handle.ok_or(libc::EPIPE)?;
    let written = match connected {
        Ok(_) => network.stack.tcp_write(handle, from).map_err(number),
        Err(libc::ENOTCONN) => Err(libc::EPIPE),
        Err(error) => Err(error),
    };
    match written {
        Err(error) if error != libc::EAGAIN && error != libc::EPIPE => {
            // A connection that has failed: one call returns the error.
            Err(if socket.take_failure() {
                error
            } else {
                libc::EPIPE
            })
        }
        other => other,
    }
}

/// write(2), writev(2), and sendto(2) with an address.
pub fn write(fd: i32, pieces: &Pieces, flags: i32, to: Option<SocketAddr>) -> Result<isize, i32> {
    if flags & libc::MSG_OOB != 0 {
        return Err(libc::EOPNOTSUPP);
    }
    let until = until(fd, flags, false)?;
    let total = pieces.len();
    let mut done = 0;
    let result = block(until, |state| {
        loop {
            // Datagrams of more than this are too long.
            let next = pieces.gather(done, CHUNK);
            done += match write_once(state, fd, &next, to) {
                Err(libc::EAGAIN) if until != NOT && is_internal(state, fd) => {
                    return Err(deadlock(
                        "a write to a full pipe, pair of sockets or eventfd",
                    ));
                }
                written => written?,
            };
            if done >= total {
                return Ok(());
            }
        }
    });
    match result {
        Err(error) if done == 0 => {
            let datagrams = |state: &mut State| {
                let socket = state.socket(fd);
                socket.is_ok_and(|(socket, _)| !socket.stream)
            };
            let is_silent = flags & libc::MSG_NOSIGNAL != 0 || state::with(datagrams);
            if error == libc::EPIPE && !is_silent {
                signals::raise(libc::SIGPIPE);
            }
            Err(error)
        }
        _ => Ok(done as isize),
    }
}

/// The address that an argument gives, if any.
///
/// # Errors
/// As [`address::read`].
pub fn target(at: usize, len: usize) -> Result<Option<SocketAddr>, i32> {
    if at == 0 || len == 0 {
        return Ok(None);
    }
    match address::read(at, len)? {
        Given::Internet(address) => Ok(Some(address)),
        Given::None => Ok(None),
        Given::Path(_) => Err(libc::EAFNOSUPPORT),
    }
}

/// sendmsg(2).
pub fn write_message(fd: i32, message: usize, flags: i32) -> Result<isize, i32> {
    let words: [usize; 6] = load(message);
    let pieces = Pieces::of_array(words[PIECES], words[PIECE_COUNT]);
    let to = target(words[NAME], words[NAME_LEN] as u32 as usize)?;
    write(fd, &pieces, flags, to)
}

/// sendmmsg(2), or recvmmsg(2): a call for one message, for each; the first one alone waits.
pub fn many(
    one: fn(i32, usize, i32) -> Result<isize, i32>,
    fd: i32,
    (messages, count): (usize, usize),
    flags: i32,
) -> Result<isize, i32> {
    let mut done = 0;
    while done < count {
        let message = messages + done * ONE_OF_MANY;
        let flags = if done == 0 {
            flags
        } else {
            flags | libc::MSG_DONTWAIT
        };
        match one(fd, message, flags) {
            Ok(len) => store(message + MESSAGE, len as u32),
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        done += 1;
    }
    Ok(done as isize)
}
