//! The machine's host name on its links: the mDNS responder of `services`, which is polled after
//! the stack once the program has started it.

use super::{Net, needs_stack, stack};
use crate::Runtime;
use crate::current::{Current, Transport};
use crate::types::copy;
use ::services::Polled;
use ::services::mdns::Responder;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use platform::error::{Answer, Error, Failure};
use platform::{Clock, System};

/// The responder, as pointers to its functions, so that other programs don't contain its code.
pub struct Named {
    responder: Box<Responder>,
    poll: fn(&mut Named, &mut Transport, u64) -> Polled,
    finish: fn(&mut Named, &mut Transport, u64),
    /// The last name that was logged.
    told: Option<String>,
}

fn poll(named: &mut Named, stack: &mut Transport, now: u64) -> Polled {
    let polled = named.responder.poll(stack, now);
    let name = named.responder.name();
    if name != named.told {
        if let Some(name) = &name {
            log::info!("SOIL_MDNS: this machine is {name}");
        }
        named.told = name;
    }
    polled
}

fn finish(named: &mut Named, stack: &mut Transport, now: u64) {
    named.responder.finish(stack, now);
}

impl Net {
    /// Polls the responder, if there is one.
    pub(super) fn poll_name(&mut self, now: u64) -> Polled {
        match &mut self.named {
            Some(named) => (named.poll)(named, &mut self.stack, now),
            None => Polled::default(),
        }
    }

    /// Withdraws the name; returns whether there was one.
    pub(super) fn end_name(&mut self, now: u64) -> bool {
        let named = self.named.take();
        if let Some(mut named) = named {
            (named.finish)(&mut named, &mut self.stack, now);
            // Never freed, like everything of the network, so that the program contains no code to
            // shut it down.
            core::mem::forget(named);
            return true;
        }
        false
    }
}

/// See `soil_mdns_start`.
pub fn start(rt: &mut Runtime, name: &str) -> Answer {
    let variable = Current::variable("SOIL_MDNS").unwrap_or_default();
    let given = if name.is_empty() { &variable } else { name };
    if given.is_empty() {
        return Ok(0);
    }
    if stack(rt)?.named.is_some() {
        return Ok(1);
    }
    needs_stack(rt, "a name of the machine's own")?;
    let Some(responder) = Responder::new(given, Box::new(super::random_bits)) else {
        let detail = format!(
            "SOIL_MDNS: \"{given}\" is not a host's name such as soil: letters, digits and inner \
            hyphens, 63 at most, without .local"
        );
        return rt.fail(Failure::new(Error::InvalidName, detail));
    };
    stack(rt)?.named = Some(Named {
        responder: Box::new(responder),
        poll,
        finish,
        told: None,
    });
    // The first poll returns the time of the next one.
    super::driver::poll(rt, Current::monotonic_ns());
    Ok(1)
}

/// See `soil_mdns_name`.
pub fn name(rt: &mut Runtime, into: &mut [u8]) -> usize {
    let named = rt
        .resources
        .net
        .as_deref()
        .and_then(|net| net.named.as_ref());
    let name = named.and_then(|named| named.told.as_deref());
    let name = name.unwrap_or_default();
    copy(name.as_bytes(), into)
}
