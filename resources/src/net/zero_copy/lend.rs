//! Sending from the program's memory: leases of bigarrays to the stack.

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

/// The most at a time.
const MAX_LENT: usize = 1024;
/// Bytes of a part: the stack drops a part as a whole.
const PART: usize = 64 << 10;

/// Where the bytes are.
enum Memory {
    Lent(Piece),
    /// A copy, after the program has taken its memory back.
    Own(Vec<u8>),
}

/// A part of the bytes, as the stack has it.
struct Part {
    /// Changed only by [`reclaim`], which has the runtime, so that the stack doesn't read it
    /// meanwhile.
    memory: UnsafeCell<Memory>,
    acknowledged: AtomicBool,
}

// SAFETY: only the holder of the runtime uses parts, one at a time (`runtime.rs`); the memory that
// they refer to doesn't depend on the thread.
unsafe impl Send for Part {}
// SAFETY: as above.
unsafe impl Sync for Part {}

impl SendBuffer for Part {
    fn bytes(&self) -> &[u8] {
        // SAFETY: not changed while it is read: see `memory`.
        match unsafe { &*self.memory.get() } {
            // SAFETY: the operation completes, or is taken back, only after the stack has dropped
            // the part or `reclaim` replaced this.
            Memory::Lent(piece) => unsafe { piece.as_slice() },
            Memory::Own(bytes) => bytes,
        }
    }

    fn acknowledged(&self) {
        self.acknowledged.store(true, Ordering::Relaxed);
    }
}

/// An operation.
pub struct Lent {
    token: u64,
    handle: Handle,
    piece: Piece,
    /// Bytes of it that the stack was given.
    given: usize,
    /// Parts that the stack has, the oldest first.
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

/// Gives the stack as much as it takes.
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

/// Returns to the program the parts that the stack has dropped; the operation's answer, once there
/// are no others.
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
    // Its descriptor was closed: what the stack has is delivered without the program.
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

/// Looks after the operations, after the stack had its turn.
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
                // To the place that it was just taken from.
                None => drop(net.zero_copy.lent.insert(lent)),
            }
        }
        key += 1;
    }
}

/// The bytes that the stack still has are copied, and the program's memory is its own again.
fn reclaim(part: &Part) -> Result<(), Error> {
    let mut copy = Vec::new();
    let bytes = part.bytes();
    copy.try_reserve_exact(bytes.len())
        .map_err(|_| Error::OutOfMemory)?;
    copy.extend_from_slice(bytes);
    // SAFETY: the runtime is ours, so that the stack doesn't look; the slice above is used no more.
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

/// Ends an operation for its program; the stack goes on sending what it was given.
fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return Cancelled::Done;
    };
    let mut all = net.zero_copy.lent.iter_mut();
    let Some((key, lent)) = all.find(|(_, lent)| lent.token == token) else {
        return Cancelled::Done;
    };
    // No more of it is given, should it have to wait.
    lent.failure.get_or_insert(Error::Cancelled);
    if take_all_back(lent).is_err() {
        return Cancelled::Later;
    }
    net.zero_copy.lent.try_remove(key);
    Cancelled::Done
}
