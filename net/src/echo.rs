//! Asking another machine for an echo (RFC 792; RFC 4443, 4.1): ping.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use crate::ip::{
    EchoInput, ErrorKind, ICMP, ICMPV6, IcmpError, Ip, Marking, Outcome, Packet, Route,
};
use crate::shared::{Core, Socket, Turn, park};
use crate::tcp::connection::Wakes;
use crate::udp::scope_of;
use crate::{Error, Handle, Readiness, Stack};

/// Requests at a time.
const ECHOES: usize = 64;
/// Bytes of a request.
const PAYLOAD_MAX: usize = 65_000;

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoReply {
    /// The time from request to answer, in nanoseconds.
    pub rtt_ns: u64,
    /// TTL or hop limit of the answer.
    pub hop_limit: u8,
}

/// One request.
pub(crate) struct Echo {
    route: Route,
    remote: IpAddr,
    identifier: u16,
    len: usize,
    sent_ns: Option<u64>,
    result: Option<Result<EchoReply, Error>>,
    pub(crate) blocked: bool,
    pub(crate) waiting: bool,
    pub(crate) dirty: bool,
    pub(crate) wakes: Wakes,
}

/// Byte `n` of a request's payload.
fn pattern(n: usize) -> u8 {
    (n % 251) as u8
}

impl Echo {
    pub(crate) fn readiness(&self) -> Readiness {
        Readiness {
            readable: self.result.is_some(),
            ..Default::default()
        }
    }
}

impl Core {
    fn echo_of(&self, identifier: u16, remote: IpAddr) -> Option<Handle> {
        let asked = |handle: &&Handle| {
            matches!(self.sockets.get(**handle), Some(Socket::Echo(echo))
                if echo.identifier == identifier && echo.remote == remote)
        };
        self.echoes.iter().find(asked).copied()
    }

    fn echo_done(&mut self, handle: Handle, result: Result<EchoReply, Error>) {
        if let Some(Socket::Echo(echo)) = self.sockets.get_mut(handle)
            && echo.result.is_none()
        {
            echo.result = Some(result);
            if core::mem::take(&mut echo.wakes.read) {
                self.tell(handle);
            }
        }
    }

    /// Handles an answer: it must be to one of ours, and have its bytes.
    pub(crate) fn echo_reply(&mut self, reply: &EchoInput<'_>) {
        let Some(handle) = self.echo_of(reply.identifier, reply.origin.remote) else {
            return;
        };
        let now_ns = self.now_ns;
        if let Some(Socket::Echo(echo)) = self.sockets.get(handle)
            && let Some(sent_ns) = echo.sent_ns
            && reply.sequence == 1
            && reply.payload.len() == echo.len
            && reply
                .payload
                .iter()
                .enumerate()
                .all(|(n, byte)| *byte == pattern(n))
        {
            let result = EchoReply {
                rtt_ns: now_ns.saturating_sub(sent_ns),
                hop_limit: reply.hop_limit,
            };
            self.echo_done(handle, Ok(result));
        }
    }

    /// An ICMP error about a request.
    pub(crate) fn echo_error(&mut self, report: &IcmpError) {
        if matches!(report.kind, ErrorKind::PacketTooBig(_)) {
            return;
        }
        if let Some(handle) = self.echo_of(report.local.1, report.remote.0) {
            self.echo_done(handle, Err(Error::Unreachable));
        }
    }

    /// Sends a request.
    pub(crate) fn send_echo(&mut self, ip: &mut Ip, handle: Handle) -> Turn {
        let now_ns = self.now_ns;
        let Some(Socket::Echo(echo)) = self.sockets.get_mut(handle) else {
            return Turn::Done(0);
        };
        if echo.sent_ns.is_some() {
            return Turn::Done(0);
        }
        let payload: alloc::vec::Vec<u8> = (0..echo.len).map(pattern).collect();
        let [high, low] = echo.identifier.to_be_bytes();
        let v4 = echo.remote.is_ipv4();
        let header = [if v4 { 8 } else { 128 }, 0, 0, 0, high, low, 0, 1];
        let protocol = if v4 { ICMP } else { ICMPV6 };
        let pieces = [payload.as_slice()];
        let packet = Packet::new(&echo.route, protocol, Marking::default(), &header, &pieces);
        let outcome = ip.send(&mut echo.route, &packet);
        match outcome {
            Outcome::Sent => {
                echo.sent_ns = Some(now_ns);
                return Turn::Done(1);
            }
            Outcome::Full => {
                if let Some(list) = ip.net.blocked(&echo.route) {
                    park(list, &mut echo.blocked, handle);
                }
                return Turn::Blocked(0);
            }
            Outcome::Resolving => {
                if let Some(list) = ip.net.waiting(&echo.route) {
                    park(list, &mut echo.waiting, handle);
                }
            }
            Outcome::Unreachable => self.echo_done(handle, Err(Error::Unreachable)),
            Outcome::TooLong => self.echo_done(handle, Err(Error::MessageTooLong)),
        }
        Turn::Done(0)
    }

    pub(crate) fn close_echo(&mut self, handle: Handle) {
        self.sockets.remove(handle);
        self.echoes.retain(|other| *other != handle);
    }
}

/// Ping.
impl Stack {
    /// Sends an echo request with `len` bytes to `remote`, whose port is of no meaning. The handle
    /// becomes readable when the answer is there, or it is known that none will come; nobody waits
    /// for ever but who doesn't close it.
    ///
    /// Errors: [`Error::InvalidArgument`], [`Error::Unreachable`] (no route),
    /// [`Error::OutOfMemory`] (more than 64 at a time), [`Error::MessageTooLong`] (more than 65 000
    /// bytes).
    pub fn echo(&mut self, remote: SocketAddr, len: usize) -> Result<Handle, Error> {
        let address = remote.ip();
        if address.is_multicast() || address.is_unspecified() {
            return Err(Error::InvalidArgument);
        }
        if len > PAYLOAD_MAX {
            return Err(Error::MessageTooLong);
        }
        let core = &mut self.core;
        if core.echoes.len() >= ECHOES {
            return Err(Error::OutOfMemory);
        }
        let route = self.ip.route(address, scope_of(remote), None)?;
        let mut identifier = (core.random)() as u16;
        while core.echo_of(identifier, address).is_some() {
            identifier = identifier.wrapping_add(1);
        }
        let handle = core.sockets.insert(Socket::Echo(Box::new(Echo {
            route,
            remote: address,
            identifier,
            len,
            sent_ns: None,
            result: None,
            blocked: false,
            waiting: false,
            dirty: false,
            wakes: Wakes::default(),
        })));
        core.echoes.push(handle);
        core.mark_dirty(handle);
        Ok(handle)
    }

    /// The answer; [`Error::WouldBlock`] as long as there is none, [`Error::Unreachable`] if there
    /// won't be.
    pub fn echo_result(&mut self, echo: Handle) -> Result<EchoReply, Error> {
        match self.core.owned_mut(echo) {
            Some(Socket::Echo(echo)) => match echo.result {
                Some(result) => result,
                None => {
                    echo.wakes.read = true;
                    Err(Error::WouldBlock)
                }
            },
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }
}
