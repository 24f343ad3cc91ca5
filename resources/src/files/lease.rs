//! Contents of files that OCaml reads where they lie, as it does received bytes
//! (`crate::net::zero_copy::lease`).

use super::job::Ended;
use super::options::leasable;
use super::request::Value;
use crate::Runtime;
use crate::types::{Before, Int, Proxy, View};
use ::fs::Lease;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use platform::error::{Answer, Error, Failure};
use slab::Slab;

/// Leases that may be out at a time.
const MAX_LEASES: usize = 256;

/// Bytes of one lease at most.
pub const MAX_LEASE: usize = 1 << 20;

/// A lease that is out.
struct Out {
    slices: Vec<Lease>,
    /// The slice that is shown next.
    next: usize,
    /// At a place of its own, for OCaml has its address; one for all slices.
    proxy: NonNull<Proxy>,
    state: State,
}

/// OCaml's use of a lease.
enum State {
    /// Its number only.
    New,
    /// A bigarray that shows a slice, and was this before.
    Shown(Before),
    /// No bigarray of this lease, but perhaps parts of it.
    Over,
}

/// All that are out.
pub(crate) struct Leases {
    out: Slab<Out>,
    /// Bytes in them, but for those that are part of the program.
    bytes: usize,
}

impl Leases {
    /// None.
    pub const fn new() -> Leases {
        Leases {
            out: Slab::new(),
            bytes: 0,
        }
    }

    /// Lets go of what OCaml can't reach any more.
    fn sweep(&mut self) {
        for key in 0..self.out.capacity() {
            let Some(out) = self.out.get(key) else {
                continue;
            };
            // SAFETY: the proxy was made in `take`, and is given up below only, with its entry.
            let is_unused = unsafe { out.proxy.as_ref() }.is_unused();
            if !matches!(out.state, State::New)
                && is_unused
                && let Some(out) = self.out.try_remove(key)
            {
                self.bytes = self.bytes.saturating_sub(bytes(&out.slices));
                // SAFETY: it is a box's, and no bigarray points at it.
                drop(unsafe { Box::from_raw(out.proxy.as_ptr()) });
            }
        }
    }
}

/// Bytes of memory that stay in use for them.
fn bytes(slices: &[Lease]) -> usize {
    let slices = slices.iter().filter(|slice| !slice.is_always());
    slices.map(|slice| slice.len()).sum()
}

fn too_much() -> Failure {
    Failure::new(
        Error::OutOfMemory,
        "as much of files is leased as may be: leases have to be released first",
    )
}

/// Keeps what a volume has lent; its number, or 0 for nothing.
pub fn take(rt: &mut Runtime, value: Value) -> Ended {
    let (Value::Leases(slices), Some(files)) = (value, rt.resources.files.as_deref_mut()) else {
        return Err(Error::Closed.into());
    };
    let Some(first) = slices.first() else {
        return Ok(0);
    };
    files.leases.sweep();
    let more = bytes(&slices);
    if files.leases.out.len() >= MAX_LEASES || more > 0 && files.leases.bytes + more > leasable() {
        return Err(too_much());
    }
    let memory = NonNull::from(&**first).cast();
    let proxy = Box::new(Proxy::new(memory, first.len()));
    files.leases.bytes += more;
    let key = files.leases.out.insert(Out {
        slices,
        next: 0,
        proxy: NonNull::from(Box::leak(proxy)),
        state: State::New,
    });
    Ok(key + 1)
}

fn find(rt: &mut Runtime, lease: Int) -> Result<&mut Out, Error> {
    let key = usize::try_from(lease).map_err(|_| Error::Invalid)?;
    let files = rt.resources.files.as_deref_mut().ok_or(Error::Invalid)?;
    let out = files.leases.out.get_mut(key.wrapping_sub(1));
    out.ok_or(Error::Invalid)
}

/// See `soil_file_lease_next`.
pub fn next(rt: &mut Runtime, lease: Int, into: &mut View<'_>) -> Answer {
    let out = find(rt, lease)?;
    let Some(slice) = out.slices.get(out.next) else {
        return Ok(0);
    };
    match out.state {
        State::New if into.is_empty() => {
            // SAFETY: slices and proxy are kept in the table until `sweep` finds that no bigarray
            // uses them.
            out.state = State::Shown(unsafe { into.lend(out.proxy) });
        }
        State::Shown(_) => (),
        State::New | State::Over => return Err(Error::Invalid.into()),
    }
    let memory = NonNull::from(&**slice).cast();
    // SAFETY: as above.
    unsafe { into.show(out.proxy, memory, slice.len()) }?;
    out.next += 1;
    Ok(slice.len())
}

/// See `soil_file_lease_end`.
pub fn end(rt: &mut Runtime, lease: Int, buffer: &mut View<'_>) -> Answer {
    let out = find(rt, lease)?;
    match out.state {
        State::New => (),
        State::Shown(before) => buffer.restore(out.proxy, before)?,
        State::Over => return Err(Error::Invalid.into()),
    }
    out.state = State::Over;
    if let Some(files) = rt.resources.files.as_deref_mut() {
        files.leases.sweep();
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
