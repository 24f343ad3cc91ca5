//! Leases between the stack and the program, in both directions. `soil_wait` maintains them after
//! the first one.

pub mod lease;
pub mod lend;

use super::Net;
use crate::{Driver, Runtime};
use ::net::Handle;
use platform::error::Error;
use slab::Slab;

/// State of the zero-copy calls, for the programs that use them.
pub(crate) struct ZeroCopy {
    /// Received bytes lent to the program.
    pub leases: Slab<lease::Out>,
    /// Bytes of the program lent to the stack.
    pub lent: Slab<lend::Lent>,
    /// Whether the stack got data since its last poll.
    pub given: bool,
    registered: bool,
}

impl ZeroCopy {
    /// Creates a state without leases.
    pub const fn new() -> ZeroCopy {
        ZeroCopy {
            leases: Slab::new(),
            lent: Slab::new(),
            given: false,
            registered: false,
        }
    }
}

/// Registers the driver that `soil_wait` runs.
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
        // The stack sends the new data in its next poll.
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

/// Returns the network, the handle of a descriptor's key, and whether receiving was shut down.
pub fn socket(rt: &mut Runtime, key: u32) -> Result<(&mut Net, Handle, bool), Error> {
    let net = rt.resources.net.as_deref_mut().ok_or(Error::Closed)?;
    let socket = net.sockets.get(key as usize).ok_or(Error::Closed)?;
    let (handle, ended) = (socket.handle, socket.receive_ended);
    Ok((net, handle, ended))
}
