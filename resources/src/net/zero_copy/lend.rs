//! Zero-copy sends: lends bigarrays of the program to the stack.

use super::super::Net;
use super::super::errors::error;
use super::super::tcp::CONNECTION;
use super::{register, socket};
use crate::Runtime;
use crate::types::{Int, Piece};
use ::net::{Handle, SendBuffer};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use platform::error::{Answer, Error, Stop};
use reactor::Cancelled;
use reactor::table::Fd;

/// Maximum number of operations at a time.
const MAX_LENT: usize = 1024;
/// Bytes per part: the stack releases a part as a whole.
const PART: usize = 64 << 10;

/// Memory that holds the bytes.
enum Memory {
    Lent(Piece),
    /// A copy, after the program reclaimed its memory.
    Own(Vec<u8>),
}

/// A part of the bytes, shared with the stack.
struct Part {
    /// Only [`reclaim`] changes it, while it holds the runtime, so that the stack can't read it
    /// meanwhile.
    memory: UnsafeCell<Memory>,
    acknowledged: AtomicBool,
}

// SAFETY: only the holder of the runtime uses parts, one at a time (`runtime.rs`); their memory
// isn't bound to a thread.
unsafe impl Send for Part {}
// SAFETY: as above.
unsafe impl Sync for Part {}

impl SendBuffer for Part {
    fn bytes(&self) -> &[u8] {
        // SAFETY: it doesn't change during the read: see `memory`.
        match unsafe { &*self.memory.get() } {
            // SAFETY: the operation completes, or is cancelled, only after the stack has released
            // the part or `reclaim` has replaced this.
            Memory::Lent(piece) => unsafe { piece.as_slice() },
            Memory::Own(bytes) => bytes,
        }
    }

    fn acknowledged(&self) {
        self.acknowledged.store(true, Ordering::Relaxed);
    }
}

/// A pending send.
pub struct Lent {
    token: u64,
    handle: Handle,
    piece: Piece,
    /// Number of bytes that the stack got.
    given: usize,
    /// Parts that the stack holds, the oldest first.
    parts: VecDeque<Arc<Part>>,
    failure: Option<Error>,
}

/// See `soil_tcp_send_shared`.
pub fn send(rt: &mut Runtime, fd: Fd, piece: Piece, token: Int) -> Answer {
    let key = rt.table.key_of(fd, &CONNECTION)?;
    let token = rt.new_token(token)?;
    register(rt)?;
    let (net, handle, _) = socket(rt, key)?;
    if piece.is_empty() {
        return Ok(0);
    }
    if net.zero_copy.lent.len() >= MAX_LENT {
        return Err(Error::TooManyOpen.into());
    }
    let mut lent = Lent {
        token,
        handle,
        piece,
        given: 0,
        parts: VecDeque::new(),
        failure: None,
    };
    give(net, &mut lent);
    match lent.failure {
        Some(failure) if lent.parts.is_empty() => return Err(failure.into()),
        _ => (),
    }
    net.zero_copy.lent.insert(lent);
    rt.give_begun(token, cancel)
}

/// Passes as many bytes to the stack as it accepts.
fn give(net: &mut Net, lent: &mut Lent) {
    while lent.failure.is_none() && lent.given < lent.piece.len() {
        let piece = lent.piece.part(lent.given, PART);
        let part = Arc::new(Part {
            memory: UnsafeCell::new(Memory::Lent(piece)),
            acknowledged: AtomicBool::new(false),
        });
        match net.stack.tcp_write_shared(lent.handle, part.clone()) {
            Ok(()) => {
                net.zero_copy.given = true;
                lent.given += piece.len();
                lent.parts.push_back(part);
            }
            Err(::net::Error::WouldBlock) => return,
            Err(failure) => lent.failure = Some(error(failure)),
        }
    }
}

/// Hands the parts that the stack has released back to the program. Returns the operation's result
/// once no part is left.
fn collect(net: &mut Net, lent: &mut Lent) -> Option<Result<usize, Error>> {
    while let Some(part) = lent.parts.front()
        && Arc::strong_count(part) == 1
    {
        if !part.acknowledged.load(Ordering::Relaxed) && lent.failure.is_none() {
            let why = net.stack.socket_error(lent.handle).map_err(error);
            lent.failure = Some(match why {
                Ok(Some(failure)) => error(failure),
                _ => Error::Closed,
            });
        }
        lent.parts.pop_front();
    }
    // The descriptor was closed: the stack delivers the rest without the program.
    if !lent.parts.is_empty()
        && net.stack.socket_error(lent.handle).is_err()
        && take_all_back(lent).is_ok()
    {
        lent.parts.clear();
        lent.failure = Some(Error::Closed);
    }
    match lent.failure {
        Some(failure) if lent.parts.is_empty() => Some(Err(failure)),
        None if lent.parts.is_empty() && lent.given == lent.piece.len() => Some(Ok(lent.given)),
        _ => None,
    }
}

/// Advances the operations, after the stack was polled.
pub fn poll(rt: &mut Runtime) {
    if rt
        .resources
        .net
        .as_deref()
        .is_none_or(|net| net.zero_copy.lent.is_empty())
    {
        return;
    }
    let mut key = 0;
    while let Some(net) = rt.resources.net.as_deref_mut()
        && key < net.zero_copy.lent.capacity()
    {
        if let Some(mut lent) = net.zero_copy.lent.try_remove(key) {
            give(net, &mut lent);
            match collect(net, &mut lent) {
                Some(answer) => rt.complete(lent.token, answer.map_err(Stop::from)),
                // Into the slot from which it was just removed.
                None => drop(net.zero_copy.lent.insert(lent)),
            }
        }
        key += 1;
    }
}

/// Copies the bytes that the stack still holds, so that the program gets its memory back.
fn reclaim(part: &Part) -> Result<(), Error> {
    let mut copy = Vec::new();
    let bytes = part.bytes();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_| Error::OutOfMemory)?;
    copy.extend_from_slice(bytes);
    // SAFETY: we hold the runtime, so the stack can't read this; the slice above is no longer used.
    unsafe { *part.memory.get() = Memory::Own(copy) };
    Ok(())
}

fn take_all_back(lent: &Lent) -> Result<(), Error> {
    let held = |part: &&Arc<Part>| Arc::strong_count(part) > 1;
    lent.parts
        .iter()
        .filter(held)
        .try_for_each(|part| reclaim(part))
}

/// Ends an operation for the program; the stack continues to send the bytes that it got.
fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return Cancelled::Done;
    };
    let mut all = net.zero_copy.lent.iter_mut();
    let Some((key, lent)) = all.find(|(_, lent)| lent.token == token) else {
        return Cancelled::Done;
    };
    // If the operation has to wait, no more bytes go to the stack.
    lent.failure.get_or_insert(Error::Cancelled);
    if take_all_back(lent).is_err() {
        return Cancelled::Later;
    }
    net.zero_copy.lent.try_remove(key);
    Cancelled::Done
}
