//! Name lookups.

use super::{address, error, stack};
use crate::error::{Answer, Error, Stop};
use crate::runtime::{Cancelled, Runtime};
use crate::ty::{Int, Piece};
use ::net::{AddressFamily, Handle};
use alloc::format;
use alloc::string::{String, ToString};

/// A lookup that has no answer yet.
pub struct Lookup {
    handle: Handle,
    token: u64,
    name: String,
    results: Piece,
}

/// See `soil_dns_lookup`.
pub fn lookup(rt: &mut Runtime, name: &str, family: Int, results: Piece, token: Int) -> Answer {
    let family = match family {
        0 => AddressFamily::Any,
        4 => AddressFamily::V4,
        6 => AddressFamily::V6,
        _ => return Err(Error::Invalid.into()),
    };
    let token = rt.new_token(token)?;
    let net = stack(rt)?;
    net.lookups.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    let handle = match net.stack.dns_lookup(name, family) {
        Ok(handle) => handle,
        Err(::net::Error::InvalidArgument) => {
            return rt.fail(
                Error::InvalidName,
                &format!("\"{name}\" is not a host name"),
            );
        }
        Err(failure) => {
            let detail = format!("{name}: {failure}: give SOIL_DNS, or let DHCP name one");
            return rt.fail(error(failure), &detail);
        }
    };
    // Numbers and localhost are answered at once.
    match net.stack.dns_result(handle) {
        Err(::net::Error::WouldBlock) => (),
        answer => {
            let _ = net.stack.close(handle);
            return answer
                .map(|found| put(&found, results))
                .map_err(|e| error(e).into());
        }
    }
    net.lookups.push(Lookup {
        handle,
        token,
        name: name.to_string(),
        results,
    });
    rt.give(token, cancel)?;
    Err(Stop::Pending)
}

fn cancel(rt: &mut Runtime, token: u64) -> Cancelled {
    if let Some(net) = rt.net.as_deref_mut()
        && let Some(place) = net.lookups.iter().position(|lookup| lookup.token == token)
    {
        let lookup = net.lookups.swap_remove(place);
        let _ = net.stack.close(lookup.handle);
    }
    Cancelled::Done
}

/// Writes the addresses; how many fitted.
fn put(found: &[core::net::IpAddr], results: Piece) -> usize {
    // SAFETY: the lookup has not completed.
    let into = unsafe { results.as_mut_slice() };
    let mut n = 0;
    for (into, address) in into.chunks_exact_mut(16).zip(found) {
        into.copy_from_slice(&address::octets(*address));
        n += 1;
    }
    n
}

/// A handle that is no socket became ready.
pub fn event(rt: &mut Runtime, handle: Handle) {
    let Some(net) = rt.net.as_deref_mut() else {
        return;
    };
    let Some(place) = net
        .lookups
        .iter()
        .position(|lookup| lookup.handle == handle)
    else {
        return;
    };
    let answer = net.stack.dns_result(handle);
    if answer == Err(::net::Error::WouldBlock) {
        return;
    }
    let lookup = net.lookups.swap_remove(place);
    let _ = net.stack.close(handle);
    match answer {
        Ok(found) => {
            let n = put(&found, lookup.results);
            rt.complete(lookup.token, Ok(n));
        }
        Err(failure) => {
            let detail = format!("{}: {failure}", lookup.name);
            rt.complete_with_detail(lookup.token, error(failure), &detail);
        }
    }
}
