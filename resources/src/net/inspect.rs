//! The socket table and the counters as text, for the program and the console.

use super::{Net, stack};
use crate::Runtime;
use crate::current::Current;
use crate::types::copy;
use ::net::{SocketKind, TcpInfo};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use platform::Console;
use platform::error::Answer;

/// Maximum number of sockets in a report on the console.
const SHOWN: usize = 200;

/// Appends the details of a connection that `ss -ti` shows, with the same names where they exist:
/// times in ms, sizes in bytes, without zeros.
fn details(info: &TcpInfo, text: &mut String) {
    text.push_str("   ");
    let switches = [
        (info.timestamps, " ts"),
        (info.sack, " sack"),
        (info.ecn, " ecn"),
        (info.reordering, " reordering"),
        (info.phase != "Open", " repairing"),
    ];
    for (_, name) in switches.iter().filter(|(on, _)| *on) {
        text.push_str(name);
    }
    // Writing to a string can't fail.
    if let Some((own, peer)) = info.scales {
        let _ = write!(text, " wscale:{peer},{own}");
    }
    let times = [
        ("rto", info.rto_ns),
        ("rtt", info.rtt_ns),
        ("rttvar", info.rtt_variation_ns),
        ("minrtt", info.rtt_min_ns),
    ];
    for (name, ns) in times.iter().filter(|(_, ns)| *ns > 0) {
        let us = ns / 1000;
        let _ = write!(text, " {name}:{}.{:03}", us / 1000, us % 1000);
    }
    let ssthresh = Some(info.ssthresh).filter(|&bytes| bytes < u32::MAX);
    let counts = [
        ("mss", u64::from(info.mss)),
        ("advmss", u64::from(info.peer_mss)),
        ("pmtu", u64::from(info.path_mtu)),
        ("cwnd", u64::from(info.cwnd)),
        ("ssthresh", u64::from(ssthresh.unwrap_or(0))),
        ("snd_wnd", u64::from(info.send_window)),
        ("rcv_wnd", u64::from(info.receive_window)),
        ("inflight", u64::from(info.in_flight)),
        ("unacked", u64::from(info.unacknowledged)),
        ("sacked", u64::from(info.sacked)),
        ("lost", u64::from(info.lost)),
        ("rcv_ooo", u64::from(info.out_of_order)),
        ("retrans", u64::from(info.retransmitted)),
        ("timeouts", u64::from(info.timeouts)),
        ("tlp", u64::from(info.probes)),
        ("spurious", u64::from(info.spurious)),
        ("bytes_acked", info.bytes_acknowledged),
        ("bytes_received", info.bytes_received),
    ];
    for (name, count) in counts.iter().filter(|(_, count)| *count > 0) {
        let _ = write!(text, " {name}:{count}");
    }
    text.push('\n');
}

/// Returns a line for each of at most `most` sockets: protocol, local address, remote address or
/// `-`, state or `-`, unread bytes, unsent bytes; with `detailed`, a second line for each
/// connection.
fn sockets(net: &mut Net, most: usize, detailed: bool) -> String {
    let mut text = String::new();
    let mut count = 0;
    net.stack.sockets(&mut |info| {
        count += 1;
        if count > most {
            return;
        }
        let protocol = if info.kind == SocketKind::Udp {
            "udp"
        } else {
            "tcp"
        };
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
        if let Some(tcp) = info.tcp.as_ref().filter(|_| detailed) {
            details(tcp, &mut text);
        }
    });
    if count > most {
        let _ = writeln!(text, "and {} more", count - most);
    }
    text
}

/// Returns a line `name=value` for each counter.
fn counters(net: &mut Net) -> String {
    let mut text = String::new();
    net.stack.statistics(&mut |name, value| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name}={value}");
    });
    text
}

/// Appends a line for each counter, and for the number of sockets in each state; see
/// `soil_statistics`.
pub fn statistics_of(net: &mut Net, text: &mut String) {
    net.stack.statistics(&mut |name, value| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "net {name} {value}");
    });
    let mut states: Vec<(&str, &str, usize)> = Vec::new();
    net.stack.sockets(&mut |info| {
        let (protocol, state) = match info.kind {
            SocketKind::Udp => ("udp", "-"),
            _ => ("tcp", info.state),
        };
        let known = states
            .iter_mut()
            .find(|known| (known.0, known.1) == (protocol, state));
        match known {
            Some((.., number)) => *number += 1,
            None => states.push((protocol, state, 1)),
        }
    });
    for (protocol, state, number) in states {
        let _ = writeln!(text, "socket {protocol} {state} {number}");
    }
}

/// See `soil_net_connections`.
pub fn connections(rt: &mut Runtime, into: &mut [u8]) -> Answer {
    let net = stack(rt)?;
    Ok(copy(sockets(net, usize::MAX, false).as_bytes(), into))
}

/// See `soil_net_statistics`.
pub fn statistics(rt: &mut Runtime, into: &mut [u8]) -> Answer {
    let net = stack(rt)?;
    Ok(copy(counters(net).as_bytes(), into))
}

/// Logs both after a request for a report.
pub fn poll(rt: &mut Runtime) {
    if !Current::report_requested() {
        return;
    }
    if let Some(net) = rt.resources.net.as_deref_mut() {
        let text = format!("{}{}", sockets(net, SHOWN, true), counters(net));
        for line in text.lines() {
            Current::log(format!("soil: {line}\n").as_bytes());
        }
    }
}
