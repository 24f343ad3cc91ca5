//! Leases between the stack and the program, both ways: maintained in `soil_wait`, from the first
//! one on.

pub mod lease;
pub mod lend;

use super::Net;
use crate::{Driver, Runtime};
use ::net::Handle;
use platform::error::Error;
use slab::Slab;

/// The part of the network that is only used by programs that send and receive without copies.
pub(crate) struct ZeroCopy {
    /// Received bytes that the program has.
    pub leases: Slab<lease::Out>,
    /// Bytes of the program that the stack has.
    pub lent: Slab<lend::Lent>,
    /// Something was given to the stack since it ran.
    pub given: bool,
    registered: bool,
}

impl ZeroCopy {
    /// Nothing is lent.
    pub const fn new() -> ZeroCopy {
        ZeroCopy {
            leases: Slab::new(),
            lent: Slab::new(),
            given: false,
            registered: false,
        }
    }
}

/// Makes it a part of what `soil_wait` runs.
pub fn register(rt: &mut Runtime) -> Result<(), Error> {
    let net = rt.resources.net.as_deref_mut().ok_or(Error::Closed)?;
    if net.zero_copy.registered {
        return Ok(());
    }
    rt.register(&Driver {
        poll: |rt, _| {
            if let Some(net) = rt.resources.net.as_deref_mut() {
                net.zero_copy.given = false;
                if !net.zero_copy.leases.is_empty() {
                    lease::sweep(net);
                }
            }
            lend::poll(rt);
        },
        // The stack sends the given bytes in its next turn.
        deadline: |rt| {
            let given = rt
                .resources
                .net
                .as_deref()
                .is_some_and(|net| net.zero_copy.given);
            given.then_some(0)
        },
        interest: |_, _| (),
        finish: |_| true,
        counter: |_, _| 0,
    })?;
    if let Some(net) = rt.resources.net.as_deref_mut() {
        net.zero_copy.registered = true;
    }
    Ok(())
}

/// The network, the handle of a descriptor's key, and whether its reader wants no more.
pub fn socket(rt: &mut Runtime, key: u32) -> Result<(&mut Net, Handle, bool), Error> {
    let net = rt.resources.net.as_deref_mut().ok_or(Error::Closed)?;
    let socket = net.sockets.get(key as usize).ok_or(Error::Closed)?;
    let (handle, ended) = (socket.handle, socket.receive_ended);
    Ok((net, handle, ended))
}
