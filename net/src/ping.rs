//! An echo request (RFC 792; RFC 4443, 4.1): ping.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::ip::{EchoInput, HeaderFields, ICMP, ICMPV6, Ip, Outcome, Packet, Route};
use crate::types::{Error, Readiness, WakeFlags};

/// The reply to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingReply {
    /// The time from request to reply, in nanoseconds.
    pub rtt_ns: u64,
    /// TTL or hop limit of the reply.
    pub hop_limit: u8,
}

/// One request.
pub(crate) struct Ping {
    pub(crate) route: Route,
    pub(crate) remote: IpAddr,
    pub(crate) identifier: u16,
    pub(crate) len: usize,
    pub(crate) sent_ns: Option<u64>,
    pub(crate) result: Option<Result<PingReply, Error>>,
    pub(crate) blocked: bool,
    pub(crate) waiting: bool,
    pub(crate) dirty: bool,
    pub(crate) wakes: WakeFlags,
}

/// Byte `n` of a request's payload.
fn pattern(n: usize) -> u8 {
    (n % 251) as u8
}

impl Ping {
    /// A request to be sent, with `len` bytes.
    pub(crate) fn new(route: Route, remote: IpAddr, identifier: u16, len: usize) -> Ping {
        Ping {
            route,
            remote,
            identifier,
            len,
            sent_ns: None,
            result: None,
            blocked: false,
            waiting: false,
            dirty: false,
            wakes: WakeFlags::default(),
        }
    }

    /// Whether a reply has the payload of the request.
    pub(crate) fn is_answered_by(&self, reply: &EchoInput<'_>) -> bool {
        let mut bytes = reply.payload.iter().enumerate();
        reply.sequence == 1
            && reply.payload.len() == self.len
            && bytes.all(|(n, byte)| *byte == pattern(n))
    }

    /// Sends the request.
    pub(crate) fn send(&mut self, ip: &mut Ip) -> Outcome {
        let payload: Vec<u8> = (0..self.len).map(pattern).collect();
        let [high, low] = self.identifier.to_be_bytes();
        let v4 = self.remote.is_ipv4();
        let header = [if v4 { 8 } else { 128 }, 0, 0, 0, high, low, 0, 1];
        let protocol = if v4 { ICMP } else { ICMPV6 };
        let pieces = [payload.as_slice()];
        let packet = Packet::new(
            &self.route,
            protocol,
            HeaderFields::default(),
            &header,
            &pieces,
        );
        ip.send(&mut self.route, &packet)
    }

    pub(crate) fn readiness(&self) -> Readiness {
        Readiness {
            readable: self.result.is_some(),
            ..Default::default()
        }
    }
}
