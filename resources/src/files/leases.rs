//! The table of leases: contents of files that OCaml reads in place, as it does received bytes
//! (`crate::net::zero_copy::lease`).

use crate::types::{Before, Int, Proxy, View};
use ::fs::Lease;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use platform::error::{Error, Failure};
use slab::Slab;

/// Leases that may be out at a time.
pub const MAX_LEASES: usize = 256;

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
pub struct Leases {
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

    /// Keeps what a volume has lent, unless all leases would have more than `limit` bytes; its
    /// number, or 0 for nothing.
    pub fn take(&mut self, slices: Vec<Lease>, limit: usize) -> Result<usize, Failure> {
        let Some(first) = slices.first() else {
            return Ok(0);
        };
        self.sweep();
        let more = bytes(&slices);
        if self.out.len() >= MAX_LEASES || more > 0 && self.bytes + more > limit {
            return Err(Failure::new(
                Error::OutOfMemory,
                "as much of files is leased as may be: leases have to be released first",
            ));
        }
        let memory = NonNull::from(&**first).cast();
        let proxy = Box::new(Proxy::new(memory, first.len()));
        self.bytes += more;
        let key = self.out.insert(Out {
            slices,
            next: 0,
            proxy: NonNull::from(Box::leak(proxy)),
            state: State::New,
        });
        Ok(key + 1)
    }

    /// Shows the next slice of a lease in `into`; its bytes, 0 after the last one.
    pub fn show_next(&mut self, lease: Int, into: &mut View<'_>) -> Result<usize, Error> {
        let out = find(&mut self.out, lease)?;
        let Some(slice) = out.slices.get(out.next) else {
            return Ok(0);
        };
        match out.state {
            State::New if into.is_empty() => {
                // SAFETY: slices and proxy are kept in the table until `sweep` finds that no
                // bigarray uses them.
                out.state = State::Shown(unsafe { into.lend(out.proxy) });
            }
            State::Shown(_) => (),
            State::New | State::Over => return Err(Error::Invalid),
        }
        let memory = NonNull::from(&**slice).cast();
        // SAFETY: as above.
        unsafe { into.show(out.proxy, memory, slice.len()) }?;
        out.next += 1;
        Ok(slice.len())
    }

    /// Ends a lease. Its memory is given up when no part of `buffer` can be reached.
    pub fn end(&mut self, lease: Int, buffer: &mut View<'_>) -> Result<(), Error> {
        let out = find(&mut self.out, lease)?;
        match out.state {
            State::New => (),
            State::Shown(before) => buffer.restore(out.proxy, before)?,
            State::Over => return Err(Error::Invalid),
        }
        out.state = State::Over;
        self.sweep();
        Ok(())
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

/// The lease with this number.
fn find(out: &mut Slab<Out>, lease: Int) -> Result<&mut Out, Error> {
    let key = usize::try_from(lease).map_err(|_| Error::Invalid)?;
    out.get_mut(key.wrapping_sub(1)).ok_or(Error::Invalid)
}

#[cfg(test)]
mod tests;
