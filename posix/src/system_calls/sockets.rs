//! The system calls on sockets: a separate part, linked into programs that create sockets.

pub mod messages;

use super::parts::{Sockets, SocketsSlot};
use super::program::{bytes, bytes_mut};
use super::transfer::{Piece, gather, room_for, scatter};
use crate::blocking::lent;
use crate::blocking::signals;
use crate::errors::Result;
use crate::file::Description;
use crate::process::{self, Reserved};
use crate::sockets::address::{Family, MAX_ADDRESS, Name};
use crate::sockets::tcp::Tcp;
use crate::sockets::udp::Udp;
use crate::sockets::unix::{MAX_QUEUE, Unix};
use crate::sockets::{Received, Rights, Socket, SocketFile, message_flags, resolver};
use alloc::boxed::Box;
use alloc::sync::Arc;
use kernel::syscall::SystemCall;

kernel::part! {
    static PART: SocketsSlot = &Part, in ".soil_part.sockets.calls" as "soil_with_sockets";
}

struct Part;

impl Sockets for Part {
    fn row(&self, number: u64) -> Option<SystemCall> {
        super::row_of_sockets(number)
    }

    fn update_resolver(&self) {
        resolver::update();
    }
}

/// `bind`.
pub fn bind(it: u64, name: u64, len: u64) -> Result<u64> {
    with(it, |_, it| it.bind(address(name, len)?).map(|()| 0))
}

/// `listen`.
pub fn listen(it: u64, most: i32) -> Result<u64> {
    with(it, |_, it| it.listen(most).map(|()| 0))
}

/// `connect`.
pub fn connect(it: u64, name: u64, len: u64) -> Result<u64> {
    with(it, |description, it| {
        let waits = message_flags(description.flags()) == 0;
        it.connect(address(name, len)?, waits).map(|()| 0)
    })
}

/// `sendto`.
pub fn send_to([it, from, len, flags, name, name_len]: [u64; 6]) -> Result<u64> {
    messages(it, flags, |it, flags| {
        let to = match name {
            0 => None,
            _ => Some(address(name, name_len)?),
        };
        send(it, &[[from, len]], to, flags).map(|len| len as u64)
    })
}

/// `recvfrom`.
pub fn receive_from([it, to, len, flags, name, name_len]: [u64; 6]) -> Result<u64> {
    messages(it, flags, |it, flags| {
        let mut from = Name::NONE;
        let wanted = (name != 0).then_some(&mut from);
        let received = receive(it, &[[to, len]], flags, wanted)?;
        if name != 0 {
            put_name(&from, name, name_len)?;
        }
        let is_whole = flags & libc::MSG_TRUNC != 0;
        Ok(if is_whole {
            received.whole
        } else {
            received.len
        } as u64)
    })
}

/// Runs `f` on a socket, with the flags of a message: these, and the descriptor's.
pub fn messages(
    it: u64,
    flags: u64,
    f: impl FnOnce(&dyn Socket, i32) -> Result<u64>,
) -> Result<u64> {
    with(it, |description, it| {
        f(it, flags as i32 | message_flags(description.flags()))
    })
}

/// `shutdown`.
pub fn shut_down(it: u64, how: i32) -> Result<u64> {
    with(it, |_, it| it.shutdown(how).map(|()| 0))
}

/// `getsockname`.
pub fn local_name(it: u64, to: u64, len: u64) -> Result<u64> {
    with(it, |_, it| put_name(&it.local()?, to, len))
}

/// `getpeername`.
pub fn peer_name(it: u64, to: u64, len: u64) -> Result<u64> {
    with(it, |_, it| put_name(&it.peer()?, to, len))
}

/// `setsockopt`.
pub fn set_option(it: u64, level: i32, option: i32, from: u64, len: u64) -> Result<u64> {
    with(it, |_, it| {
        let len = u64::try_from(len as i32).map_err(|_| libc::EINVAL)?;
        it.set(level, option, bytes(from, len)?).map(|()| 0)
    })
}

/// `getsockopt`.
pub fn option(it: u64, level: i32, option: i32, to: u64, len: u64) -> Result<u64> {
    with(it, |_, it| get(it, level, option, to, len))
}

/// The addresses of the name of `len` bytes at `name`, at `start`, where there is `room`.
pub fn resolve(name: u64, len: u64, family: i32, start: u64, room: u64) -> Result<u64> {
    let name = core::str::from_utf8(bytes(name, len)?).map_err(|_| libc::ENOENT)?;
    let found = resolver::resolve(name, family, bytes_mut(start, room)?)?;
    Ok(found as u64)
}

/// The response to the DNS query of `len` bytes at `query`, at `start`, where there is `room`.
pub fn exchange(query: u64, len: u64, start: u64, room: u64) -> Result<u64> {
    let found = resolver::exchange(bytes(query, len)?, bytes_mut(start, room)?)?;
    Ok(found as u64)
}

/// Runs `f` on the socket of a descriptor; [`libc::ENOTSOCK`] for other descriptors.
fn with(descriptor: u64, f: impl FnOnce(&Description, &dyn Socket) -> Result<u64>) -> Result<u64> {
    let description = process::get(descriptor)?;
    let SocketFile(socket) = description.downcast().ok_or(libc::ENOTSOCK)?;
    f(&description, &**socket)
}

/// The address of `len` bytes at `start`.
fn address<'a>(start: u64, len: u64) -> Result<&'a [u8]> {
    match usize::try_from(len as i32) {
        Ok(len) if len <= MAX_ADDRESS => bytes(start, len as u64),
        _ => Err(libc::EINVAL),
    }
}

/// Stores an address at `start`, as far as there is room, and its length at `len_at`, which
/// contains the room.
fn put_name(name: &Name, start: u64, len_at: u64) -> Result<u64> {
    let len = bytes_mut(len_at, 4)?;
    let room = i32::from_le_bytes(*len.first_chunk::<4>().ok_or(libc::EFAULT)?);
    let room = usize::try_from(room).map_err(|_| libc::EINVAL)?;
    let copied = name.bytes().get(..room).unwrap_or(name.bytes());
    bytes_mut(start, copied.len() as u64)?.copy_from_slice(copied);
    len.copy_from_slice(&(name.bytes().len() as u32).to_le_bytes());
    Ok(0)
}

/// Assigns the lowest free descriptor to a socket. `flags`: `SOCK_CLOEXEC`, `SOCK_NONBLOCK`.
fn open(socket: Box<dyn Socket>, flags: i32) -> Result<u64> {
    // `SOCK_CLOEXEC` is `O_CLOEXEC`.
    process::install(describe(socket, flags), flags)
}

fn describe(socket: Box<dyn Socket>, flags: i32) -> Arc<Description> {
    let access = libc::O_RDWR | flags & libc::SOCK_NONBLOCK;
    Description::new(SocketFile(socket), access)
}

/// Flags in the type of `socket`.
const FLAGS: i32 = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

/// `socketpair`.
pub fn pair(domain: i32, kind: i32, protocol: i32, result: u64) -> Result<u64> {
    match domain {
        libc::AF_UNIX if protocol == 0 || protocol == libc::AF_UNIX => {}
        libc::AF_UNIX => return Err(libc::EPROTONOSUPPORT),
        libc::AF_INET | libc::AF_INET6 => return Err(libc::EOPNOTSUPP),
        _ => return Err(libc::EAFNOSUPPORT),
    }
    let into = bytes_mut(result, 8)?;
    let pair = Unix::pair(kind & !FLAGS)?.map(|end| describe(Box::new(end), kind));
    process::install_pair(into, pair, kind)
}

/// `socket`.
pub fn create(domain: i32, kind: i32, protocol: i32) -> Result<u64> {
    let family = match domain {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        libc::AF_UNIX if protocol != 0 && protocol != libc::AF_UNIX => {
            return Err(libc::EPROTONOSUPPORT);
        }
        libc::AF_UNIX => return open(Box::new(Unix::new(kind & !FLAGS)?), kind),
        _ => return Err(libc::EAFNOSUPPORT),
    };
    let socket: Box<dyn Socket> = match (kind & !FLAGS, protocol) {
        (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Box::new(Tcp::new(family)),
        (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Box::new(Udp::new(family)),
        (libc::SOCK_STREAM | libc::SOCK_DGRAM, _) => return Err(libc::EPROTONOSUPPORT),
        (libc::SOCK_RAW, _) => return Err(libc::EPERM),
        (1..=10, _) => return Err(libc::ESOCKTNOSUPPORT),
        _ => return Err(libc::EINVAL),
    };
    open(socket, kind)
}

/// `accept4`.
pub fn accept(descriptor: u64, start: u64, len_at: u64, flags: i32) -> Result<u64> {
    if flags & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) != 0 {
        return Err(libc::EINVAL);
    }
    with(descriptor, |description, it| {
        // First, so that a connection without a free number stays in the queue.
        let number = Reserved::new(0)?;
        let (socket, peer) = it.accept(message_flags(description.flags()) == 0)?;
        if start != 0 {
            put_name(&peer, start, len_at)?;
        }
        Ok(number.fill(describe(socket, flags), flags & libc::SOCK_CLOEXEC != 0))
    })
}

/// The value of an option.
fn get(socket: &dyn Socket, level: i32, option: i32, start: u64, len_at: u64) -> Result<u64> {
    let len = bytes_mut(len_at, 4)?;
    let room = i32::from_le_bytes(*len.first_chunk::<4>().ok_or(libc::EFAULT)?);
    let room = u64::try_from(room).map_err(|_| libc::EINVAL)?;
    let into = bytes_mut(start, room)?;
    let [domain, kind, protocol] = socket.kind();
    let known = match (level, option) {
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => Some(domain),
        (libc::SOL_SOCKET, libc::SO_TYPE) => Some(kind),
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => Some(protocol),
        (libc::SOL_SOCKET, libc::SO_SNDLOWAT) => Some(1),
        _ => None,
    };
    let copied = match known {
        Some(value) => crate::sockets::options::put(into, value),
        None => socket.get(level, option, into)?,
    };
    len.copy_from_slice(&(copied as u32).to_le_bytes());
    Ok(0)
}

/// [`send_with`] without descriptors.
pub fn send(socket: &dyn Socket, pieces: &[Piece], to: Option<&[u8]>, flags: i32) -> Result<usize> {
    send_with(socket, pieces, to, flags, &mut Rights::new())
}

/// Sends pieces of memory: a stream's one after another, a datagram's as one.
pub fn send_with(
    socket: &dyn Socket,
    pieces: &[Piece],
    to: Option<&[u8]>,
    flags: i32,
    rights: &mut Rights,
) -> Result<usize> {
    let sent = match pieces {
        [[start, len]] => socket.send_with(bytes(*start, *len)?, to, flags, rights),
        _ if is_stream(socket) => send_all(socket, pieces, to, flags, rights),
        _ => {
            let datagram = gather(pieces, MAX_QUEUE)?.ok_or(libc::EMSGSIZE)?;
            socket.send_with(&datagram, to, flags, rights)
        }
    };
    if is_stream(socket) {
        or_signal(sent, flags)
    } else {
        sent
    }
}

/// Sends the pieces of a stream, until one isn't accepted completely. An error after the first is
/// reported by the next call.
fn send_all(
    socket: &dyn Socket,
    pieces: &[Piece],
    to: Option<&[u8]>,
    flags: i32,
    rights: &mut Rights,
) -> Result<usize> {
    let mut done = 0;
    for index in 0..pieces.len() {
        let piece = nth(pieces, index).and_then(|[start, len]| bytes(start, len));
        if done > 0 && piece.is_ok_and(<[u8]>::is_empty) {
            continue;
        }
        match piece.and_then(|piece| socket.send_with(piece, to, flags, rights)) {
            Ok(sent) => {
                done += sent;
                if piece.is_ok_and(|piece| sent < piece.len()) {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// One of the pieces, whose list may have gone while one before was waited for.
fn nth(pieces: &[Piece], index: usize) -> Result<Piece> {
    if index > 0 {
        lent::check(pieces, false)?;
    }
    pieces.get(index).copied().ok_or(libc::EFAULT)
}

/// Raises SIGPIPE if nothing reads the written data, unless the flags prevent it.
fn or_signal<T>(written: Result<T>, flags: i32) -> Result<T> {
    if matches!(written, Err(libc::EPIPE)) && flags & libc::MSG_NOSIGNAL == 0 {
        signals::raise(libc::SIGPIPE);
    }
    written
}

/// [`receive_with`] without descriptors.
pub fn receive(
    socket: &dyn Socket,
    pieces: &[Piece],
    flags: i32,
    from: Option<&mut Name>,
) -> Result<Received> {
    let mut rights = Rights::new();
    let received = receive_with(socket, pieces, flags, from, &mut rights);
    rights.into_iter().for_each(Description::release);
    received
}

/// Receives into pieces of memory: a stream's one after another without waiting for the second, a
/// datagram's at once.
pub fn receive_with(
    socket: &dyn Socket,
    pieces: &[Piece],
    flags: i32,
    from: Option<&mut Name>,
    rights: &mut Rights,
) -> Result<Received> {
    if let [[start, len]] = pieces {
        return socket.receive_with(bytes_mut(*start, *len)?, flags, from, rights);
    }
    if is_stream(socket) && flags & libc::MSG_PEEK == 0 {
        return receive_all(socket, pieces, flags, rights);
    }
    let mut datagram = room_for(pieces, MAX_QUEUE)?;
    let received = socket.receive_with(&mut datagram, flags, from, rights)?;
    scatter(datagram.get(..received.len).unwrap_or_default(), pieces)?;
    Ok(received)
}

/// Receives into the pieces of a stream, until one isn't filled.
fn receive_all(
    socket: &dyn Socket,
    pieces: &[Piece],
    flags: i32,
    rights: &mut Rights,
) -> Result<Received> {
    let (mut done, mut flags) = (0, flags);
    for index in 0..pieces.len() {
        let piece = nth(pieces, index);
        if matches!(piece, Ok([_, 0])) {
            continue;
        }
        let len = piece.map_or(0, |[_, len]| len);
        let into = piece.and_then(|[start, len]| bytes_mut(start, len));
        match into.and_then(|into| socket.receive_with(into, flags, None, rights)) {
            Ok(received) => {
                done += received.len;
                if (received.len as u64) < len {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
        if flags & libc::MSG_WAITALL == 0 {
            flags |= libc::MSG_DONTWAIT;
        }
    }
    Ok(Received {
        len: done,
        whole: done,
    })
}

fn is_stream(socket: &dyn Socket) -> bool {
    let [_, kind, _] = socket.kind();
    kind == libc::SOCK_STREAM
}
