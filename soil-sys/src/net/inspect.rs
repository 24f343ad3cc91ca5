//! The table of sockets and the counters as text, for the program and for whoever looks at the console.

use super::{Net, stack};
use crate::error::Answer;
use crate::platform::{Current, Platform};
use crate::runtime::Runtime;
use ::net::Kind;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;

/// Sockets that a report on the console shows.
const SHOWN: usize = 200;

/// A line for each of at most `most` sockets: protocol, own end, other end or `-`, state or `-`, bytes unread, bytes unsent.
fn sockets(net: &Net, most: usize) -> String {
    let mut text = String::new();
    let mut count = 0;
    net.stack.sockets(&mut |info| {
        count += 1;
        if count > most {
            return;
        }
        let protocol = if info.kind == Kind::Udp { "udp" } else { "tcp" };
        // Writing to a string can't fail.
        let _ = write!(text, "{protocol} {} ", info.local);
        let _ = match info.remote {
            Some(remote) => write!(text, "{remote}"),
            None => write!(text, "-"),
        };
        let state = if info.state.is_empty() {
            "-"
        } else {
            info.state
        };
        let _ = writeln!(text, " {state} {} {}", info.unread, info.unsent);
    });
    if count > most {
        let _ = writeln!(text, "and {} more", count - most);
    }
    text
}

/// A line `name=value` for each counter.
fn counters(net: &Net) -> String {
    let mut text = String::new();
    net.stack.statistics(&mut |name, value| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name}={value}");
    });
    text
}

fn copy(text: &str, into: &mut [u8]) -> Answer {
    for (to, from) in into.iter_mut().zip(text.as_bytes()) {
        *to = *from;
    }
    Ok(text.len())
}

/// See `soil_net_connections`.
pub fn connections(rt: &mut Runtime, into: &mut [u8]) -> Answer {
    let net = stack(rt)?;
    copy(&sockets(net, usize::MAX), into)
}

/// See `soil_net_statistics`.
pub fn statistics(rt: &mut Runtime, into: &mut [u8]) -> Answer {
    let net = stack(rt)?;
    copy(&counters(net), into)
}

/// Prints both, if somebody asks for it.
pub fn poll(rt: &mut Runtime) {
    if !Current::report_requested() {
        return;
    }
    if let Some(net) = rt.net.as_deref() {
        let text = format!("{}{}", sockets(net, SHOWN), counters(net));
        for line in text.lines() {
            Current::log(format!("soil: {line}\n").as_bytes());
        }
    }
}
