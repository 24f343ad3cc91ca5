//! The table of leases: file contents that OCaml reads in place, like received bytes
//! (`crate::net::zero_copy::lease`).

use crate::types::{Before, Int, Proxy, View};
use ::fs::Lease;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use platform::error::{Error, Failure};
use slab::Slab;

/// Maximum number of leases at a time.
pub const MAX_LEASES: usize = 256;

/// An active lease.
struct Out {
    slices: Vec<Lease>,
    /// Index of the next slice to show.
    next: usize,
    /// Boxed, because OCaml keeps its address; one for all slices.
    proxy: NonNull<Proxy>,
    state: State,
}

/// How OCaml uses a lease.
enum State {
    /// OCaml has only its number.
    New,
    /// A bigarray shows a slice; the field is its original state.
    Shown(Before),
    /// The lease has ended, but parts of its bigarray may be alive.
    Over,
}

/// All active leases.
pub struct Leases {
    out: Slab<Out>,
    /// Total bytes, except those embedded in the program.
    bytes: usize,
}

impl Leases {
    /// Creates an empty table.
    pub const fn new() -> Leases {
        Leases {
            out: Slab::new(),
            bytes: 0,
        }
    }

    /// Adds slices lent by a volume, unless the total would exceed `limit` bytes. Returns the
    /// number of the lease, or 0 without slices.
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

    /// Points `into` at the next slice of a lease. Returns its length in bytes, 0 after the last
    /// one.
    pub fn show_next(&mut self, lease: Int, into: &mut View<'_>) -> Result<usize, Error> {
        let out = find(&mut self.out, lease)?;
        let Some(slice) = out.slices.get(out.next) else {
            return Ok(0);
        };
        match out.state {
            State::New if into.is_empty() => {
                // SAFETY: the table keeps slices and proxy until `sweep` finds that no bigarray
                // uses them.
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

    /// Ends a lease. Its memory is released once no part of `buffer` can be reached.
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

    /// Releases leases that OCaml can't reach any more.
    fn sweep(&mut self) {
        for key in 0..self.out.capacity() {
            let Some(out) = self.out.get(key) else {
                continue;
            };
            // SAFETY: the proxy was created in `take`, and is freed only below, with its entry.
            let is_unused = unsafe { out.proxy.as_ref() }.is_unused();
            if !matches!(out.state, State::New)
                && is_unused
                && let Some(out) = self.out.try_remove(key)
            {
                self.bytes = self.bytes.saturating_sub(bytes(&out.slices));
                // SAFETY: it came from a box, and no bigarray points at it.
                drop(unsafe { Box::from_raw(out.proxy.as_ptr()) });
            }
        }
    }
}

/// Returns the bytes of memory that these slices keep in use.
fn bytes(slices: &[Lease]) -> usize {
    let slices = slices.iter().filter(|slice| !slice.is_always());
    slices.map(|slice| slice.len()).sum()
}

/// Returns the lease with this number.
fn find(out: &mut Slab<Out>, lease: Int) -> Result<&mut Out, Error> {
    let key = usize::try_from(lease).map_err(|_| Error::Invalid)?;
    out.get_mut(key.wrapping_sub(1)).ok_or(Error::Invalid)
}

#[cfg(test)]
mod tests;
