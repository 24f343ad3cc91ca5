//! Received bytes that OCaml reads in place.

use super::super::Net;
use super::super::errors::stop;
use super::super::tcp::CONNECTION;
use super::{register, socket};
use crate::Runtime;
use crate::types::{Before, Int, Proxy, View};
use ::net::Lease;
use alloc::boxed::Box;
use core::ptr::NonNull;
use platform::error::{Answer, Error};
use reactor::table::Fd;

/// An active lease.
pub struct Out {
    lease: Lease,
    /// Boxed, because OCaml keeps its address.
    proxy: NonNull<Proxy>,
    /// `None` after the lease has ended; parts of its bigarray may be alive.
    before: Option<Before>,
}

/// See `soil_tcp_lease`.
pub fn begin(rt: &mut Runtime, fd: Fd, into: &mut View<'_>) -> Answer {
    let key = rt.table.key_of(fd, &CONNECTION)?;
    register(rt)?;
    let (net, handle, ended) = socket(rt, key)?;
    sweep(net);
    if !into.is_empty() {
        return Err(Error::Invalid.into());
    }
    if ended {
        return Ok(0);
    }
    let Some(mut lease) = net.stack.tcp_read_lease(handle).map_err(stop)? else {
        return Ok(0);
    };
    let bytes = lease.bytes_mut();
    let proxy = Proxy::new(NonNull::from(&mut *bytes).cast(), bytes.len());
    let proxy = NonNull::from(Box::leak(Box::new(proxy)));
    // SAFETY: the table keeps memory and proxy until `sweep` finds that no bigarray uses them.
    let before = unsafe { into.lend(proxy) };
    let key = net.zero_copy.leases.insert(Out {
        lease,
        proxy,
        before: Some(before),
    });
    Ok(key + 1)
}

/// See `soil_tcp_lease_end`.
pub fn end(rt: &mut Runtime, lease: Int, buffer: &mut View<'_>) -> Answer {
    let key = usize::try_from(lease).map_err(|_| Error::Invalid)?;
    let net = rt.resources.net.as_deref_mut().ok_or(Error::Invalid)?;
    let out = net.zero_copy.leases.get_mut(key.wrapping_sub(1));
    let out = out.ok_or(Error::Invalid)?;
    let before = out.before.ok_or(Error::Invalid)?;
    buffer.restore(out.proxy, before)?;
    out.before = None;
    sweep(net);
    Ok(0)
}

/// Returns memory that OCaml can't reach any more to the stack.
pub fn sweep(net: &mut Net) {
    for key in 0..net.zero_copy.leases.capacity() {
        let Some(out) = net.zero_copy.leases.get(key) else {
            continue;
        };
        // SAFETY: the proxy was created in `begin`, and is freed only below, with its entry.
        if unsafe { out.proxy.as_ref() }.is_unused()
            && let Some(out) = net.zero_copy.leases.try_remove(key)
        {
            net.stack.tcp_return(out.lease);
            // SAFETY: it came from a box, and no bigarray points at it.
            drop(unsafe { Box::from_raw(out.proxy.as_ptr()) });
        }
    }
}
