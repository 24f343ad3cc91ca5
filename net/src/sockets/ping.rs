//! Echo requests of the socket table.

use core::net::IpAddr;

use super::{Socket, Sockets, Turn};
use crate::ip::{EchoInput, ErrorKind, IcmpError, Ip, Outcome};
use crate::ping::PingReply;
use crate::types::{Error, Handle};

impl Sockets {
    pub(crate) fn ping_of(&self, identifier: u16, remote: IpAddr) -> Option<Handle> {
        let asked = |handle: &&Handle| {
            matches!(self.table.get(**handle), Some(Socket::Ping(ping))
                if ping.identifier == identifier && ping.remote == remote)
        };
        self.pings.iter().find(asked).copied()
    }

    fn ping_done(&mut self, handle: Handle, result: Result<PingReply, Error>) {
        if let Some(Socket::Ping(ping)) = self.table.get_mut(handle)
            && ping.result.is_none()
        {
            ping.result = Some(result);
            if core::mem::take(&mut ping.wakes.read) {
                self.queue_event(handle);
            }
        }
    }

    /// Handles a reply: it must match one of our requests, with its payload.
    pub(crate) fn ping_reply(&mut self, reply: &EchoInput<'_>) {
        let Some(handle) = self.ping_of(reply.identifier, reply.origin.remote) else {
            return;
        };
        let now_ns = self.now_ns;
        if let Some(Socket::Ping(ping)) = self.table.get(handle)
            && let Some(sent_ns) = ping.sent_ns
            && ping.is_answered_by(reply)
        {
            let result = PingReply {
                rtt_ns: now_ns.saturating_sub(sent_ns),
                hop_limit: reply.hop_limit,
            };
            self.ping_done(handle, Ok(result));
        }
    }

    /// An ICMP error about a request.
    pub(crate) fn ping_error(&mut self, report: &IcmpError) {
        if matches!(report.kind, ErrorKind::PacketTooBig(_)) {
            return;
        }
        if let Some(handle) = self.ping_of(report.local.1, report.remote.0) {
            self.ping_done(handle, Err(Error::Unreachable));
        }
    }

    /// Sends a request.
    pub(crate) fn send_ping(&mut self, ip: &mut Ip, handle: Handle) -> Turn {
        let now_ns = self.now_ns;
        let Some(Socket::Ping(ping)) = self.table.get_mut(handle) else {
            return Turn::Done(0);
        };
        if ping.sent_ns.is_some() {
            return Turn::Done(0);
        }
        match ping.send(ip) {
            Outcome::Sent => {
                ping.sent_ns = Some(now_ns);
                return Turn::Done(1);
            }
            Outcome::Full => {
                ip.net.wait_for_room(&ping.route, &mut ping.blocked, handle);
                return Turn::Blocked(0);
            }
            Outcome::Resolving => {
                ip.net
                    .wait_for_neighbor(&ping.route, &mut ping.waiting, handle);
            }
            Outcome::Unreachable => self.ping_done(handle, Err(Error::Unreachable)),
            Outcome::TooLong => self.ping_done(handle, Err(Error::MessageTooLong)),
        }
        Turn::Done(0)
    }

    pub(crate) fn close_ping(&mut self, handle: Handle) {
        self.table.remove(handle);
        self.pings.retain(|other| *other != handle);
    }
}
