//! `sendmsg`, `recvmsg` and their forms for several messages: `struct msghdr` and control messages
//! (cmsg(3)).

use super::super::program::{bytes, bytes_mut, load};
use super::{address, receive_with, send_with};
use crate::errors::Result;
use crate::file::Description;
use crate::process;
use crate::sockets::address::Name;
use crate::sockets::{Rights, Socket};
use alloc::sync::Arc;
use kernel::time;

/// Bytes of `struct cmsghdr`: length, level and type.
const HEADER: usize = 16;
/// Maximum number of descriptors of a message (`SCM_MAX_FD`).
const MAX_RIGHTS: usize = 253;
/// Bytes of `struct mmsghdr`, and the offset of its length.
const MANY: u64 = 64;
const LENGTH: u64 = 56;
/// Maximum number of messages of one call (`UIO_MAXIOV`).
const MAX_MESSAGES: u64 = 1024;

/// `struct msghdr`.
struct Header {
    /// The address's location and capacity.
    name: [u64; 2],
    /// The location and the number of the pieces.
    pieces: [u64; 2],
    /// The control messages' location and capacity.
    control: [u64; 2],
}

fn header(start: u64) -> Result<Header> {
    let [name, name_len, pieces, count, control, control_len] = load(start)?;
    Ok(Header {
        name: [name, u64::from(name_len as u32)],
        pieces: [pieces, count],
        control: [control, control_len],
    })
}

fn pieces<'a>([start, count]: [u64; 2]) -> Result<&'a [[u64; 2]]> {
    if count > MAX_MESSAGES {
        return Err(libc::EMSGSIZE);
    }
    super::super::transfer::vectors(start, count)
}

/// A control message: level, type and data, and the bytes after it.
type Control<'a> = (i32, i32, &'a [u8], &'a [u8]);

/// The next control message.
fn next(control: &[u8]) -> Result<Option<Control<'_>>> {
    let Some((header, _)) = control.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let number = |at: usize| i32::from_le_bytes(core::array::from_fn(|i| header[at + i]));
    let len = usize::from_le_bytes(core::array::from_fn(|i| header[i]));
    let data = control.get(HEADER..len).ok_or(libc::EINVAL)?;
    let rest = control.get(len.next_multiple_of(8)..).unwrap_or_default();
    Ok(Some((number(8), number(12), data, rest)))
}

/// The descriptions in control messages of `SCM_RIGHTS`.
fn rights([start, len]: [u64; 2]) -> Result<Rights> {
    let mut control = if len == 0 {
        &[][..]
    } else {
        bytes(start, len)?
    };
    let mut rights = Rights::new();
    while let Some((level, kind, data, rest)) = next(control)? {
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for number in data.chunks_exact(4) {
                    let number = crate::sockets::options::integer(number)?;
                    let number = u64::try_from(number).map_err(|_| libc::EBADF)?;
                    rights.push(process::get(number)?);
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {}
            (libc::SOL_SOCKET, _) => return Err(libc::EINVAL),
            // Options of one datagram.
            _ => {}
        }
        control = rest;
    }
    match rights.len() {
        0..=MAX_RIGHTS => Ok(rights),
        _ => Err(libc::EINVAL),
    }
}

/// `sendmsg`.
pub fn send(socket: &dyn Socket, start: u64, flags: i32) -> Result<u64> {
    let header = header(start)?;
    let [name, name_len] = header.name;
    let to = match name {
        0 => None,
        name => Some(address(name, name_len)?),
    };
    let mut rights = rights(header.control)?;
    let list = pieces(header.pieces)?;
    let sent = send_with(socket, list, to, flags, &mut rights)?;
    Ok(sent as u64)
}

/// Assigns descriptors to the descriptions, as far as there is room for their numbers at `start`;
/// returns the number of bytes of control messages, and the flags of the message.
fn deliver(rights: &Rights, [start, room]: [u64; 2], flags: i32) -> (usize, i32) {
    if rights.is_empty() {
        return (0, 0);
    }
    let fit = (room as usize).saturating_sub(HEADER) / 4;
    let room_for = HEADER + 4 * fit.min(rights.len());
    let into = match fit {
        0 => Err(libc::ENOBUFS),
        _ => bytes_mut(start, room_for as u64),
    };
    // As on Linux, descriptors without memory or a number are dropped: the bytes have been
    // received.
    let Ok((header, numbers)) = into.map(|into| into.split_at_mut(HEADER)) else {
        return (0, libc::MSG_CTRUNC);
    };
    let close_on_exec = flags & libc::MSG_CMSG_CLOEXEC != 0;
    let mut count = 0;
    for (into, description) in numbers.chunks_exact_mut(4).zip(rights) {
        let Ok(number) = process::insert(Arc::clone(description), 0, close_on_exec) else {
            break;
        };
        into.copy_from_slice(&(number as u32).to_le_bytes());
        count += 1;
    }
    let cut = match count == rights.len() {
        true => 0,
        false => libc::MSG_CTRUNC,
    };
    if count == 0 {
        return (0, cut);
    }
    let len = HEADER + 4 * count;
    let words = [
        len as u64,
        (libc::SOL_SOCKET as u64) | (libc::SCM_RIGHTS as u64) << 32,
    ];
    for (into, word) in header.chunks_exact_mut(8).zip(words) {
        into.copy_from_slice(&word.to_le_bytes());
    }
    (len.next_multiple_of(8).min(room as usize), cut)
}

/// `recvmsg`.
pub fn receive(socket: &dyn Socket, start: u64, flags: i32) -> Result<u64> {
    let header = header(start)?;
    let list = pieces(header.pieces)?;
    let mut from = Name::NONE;
    let mut rights = Rights::new();
    let received = receive_with(socket, list, flags, Some(&mut from), &mut rights)?;
    let [name, room] = header.name;
    if name != 0 {
        let copied = from.bytes().get(..room as usize).unwrap_or(from.bytes());
        bytes_mut(name, copied.len() as u64)?.copy_from_slice(copied);
        put(start + 8, from.bytes().len() as u32)?;
    }
    let (control, mut told) = deliver(&rights, header.control, flags);
    rights.into_iter().for_each(Description::release);
    if received.whole > received.len {
        told |= libc::MSG_TRUNC;
    }
    bytes_mut(start + 40, 8)?.copy_from_slice(&(control as u64).to_le_bytes());
    put(start + 48, told as u32)?;
    let whole = flags & libc::MSG_TRUNC != 0;
    Ok(if whole { received.whole } else { received.len } as u64)
}

fn put(at: u64, value: u32) -> Result<()> {
    bytes_mut(at, 4)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// `sendmmsg`.
pub fn send_many(socket: &dyn Socket, start: u64, count: u64, flags: i32) -> Result<u64> {
    for_each(start, count, |at, _| send(socket, at, flags))
}

/// `recvmmsg`.
pub fn receive_many(
    socket: &dyn Socket,
    start: u64,
    count: u64,
    flags: i32,
    timeout: u64,
) -> Result<u64> {
    let deadline = match timeout {
        0 => None,
        timeout => {
            let [seconds, ns] = load(timeout)?;
            let span = seconds.saturating_mul(1_000_000_000).saturating_add(ns);
            Some(time::monotonic_ns().saturating_add(span))
        }
    };
    for_each(start, count, |at, is_first| {
        // As on Linux, only checked between two messages.
        if !is_first && deadline.is_some_and(|deadline| time::monotonic_ns() >= deadline) {
            return Err(libc::EAGAIN);
        }
        let waits = is_first || flags & libc::MSG_WAITFORONE == 0;
        let more = if waits { 0 } else { libc::MSG_DONTWAIT };
        receive(socket, at, (flags & !libc::MSG_WAITFORONE) | more)
    })
}

/// Runs `one` on each message until one fails, whose error is returned if it is the first;
/// otherwise returns the number of successful ones.
fn for_each(start: u64, count: u64, mut one: impl FnMut(u64, bool) -> Result<u64>) -> Result<u64> {
    for done in 0..count.min(MAX_MESSAGES) {
        let at = start + done * MANY;
        match one(at, done == 0) {
            Ok(len) => put(at + LENGTH, len as u32)?,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done),
        }
    }
    Ok(count.min(MAX_MESSAGES))
}
