//! The DHCPv4 client (RFC 2131): its states and messages.

mod reply;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress};

use self::reply::Reply;
use super::search_list::{NAME_MAX, NAMES, domain_names};
use crate::ip::random::Random;
use crate::ip::wire::header::Mac;
use crate::types::{Cidr, is_unicast_v4};

const SECOND: u64 = 1_000_000_000;
/// Timeout of the first request; it doubles each time. RFC 2131, 4.1 begins with 4 s, but the first
/// packets of a machine are often lost while its switch port comes up.
const RETRY_NS: u64 = 2 * SECOND;
const RETRY_MAX_NS: u64 = 64 * SECOND;
/// Unanswered requests before the client restarts.
const REQUESTS: u32 = 4;
/// Delay after a decline (RFC 2131, 3.1 (5)).
const DECLINE_NS: u64 = 10 * SECOND;
/// Minimum interval between renewals, which are repeated after half of the remaining time (RFC
/// 2131, 4.4.5).
const RENEW_NS: u64 = 60 * SECOND;
/// Minimum lease time; shorter leases are extended to it.
const LEASE_MIN_S: u32 = 10;
const ROUTERS: usize = 4;
const SERVERS: usize = 4;
const ROUTES: usize = 16;

/// Requested options: mask, classless routes (before the router, RFC 3442), router, servers,
/// domain, MTU, broadcast address, times, search list.
const PARAMETERS: [u8; 10] = [1, 121, 3, 6, 15, 26, 51, 58, 59, 119];

/// Messages of servers (RFC 2132, 9.6).
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// A lease as the server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Cidr,
    pub(crate) routers: Vec<Ipv4Addr>,
    /// Destination, length of its prefix, router; an unspecified router: on the link (RFC 3442).
    pub(crate) routes: Vec<(Ipv4Addr, u8, Ipv4Addr)>,
    pub(crate) dns_servers: Vec<Ipv4Addr>,
    pub(crate) search: Vec<String>,
    pub(crate) mtu: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Looking for offers.
    Selecting,
    /// An offer was selected.
    Requesting {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
    Bound,
    Renewing,
    Rebinding,
    /// The address was released.
    Released,
}

/// A message to be sent.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) payload: Vec<u8>,
    pub(crate) source: Ipv4Addr,
    /// `None`: broadcast.
    pub(crate) to: Option<Ipv4Addr>,
}

/// The client of an interface.
#[derive(Debug)]
pub(crate) struct Client {
    mac: Mac,
    state: State,
    xid: u32,
    began_ns: u64,
    /// When a message is due, or the lease ends.
    at_ns: u64,
    tries: u32,
    /// Whether requests of a client without an address ask for broadcast replies (RFC 2131, 4.1).
    /// Some servers answer only these, others only those without the flag: it alternates until one
    /// answers.
    broadcast: bool,
    pub(crate) lease: Option<Lease>,
    server: Ipv4Addr,
    t2_ns: u64,
    until_ns: u64,
    /// The server and the address to decline, because another host uses it.
    decline: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Client {
    pub(crate) fn new(mac: Mac, now_ns: u64) -> Client {
        Client {
            mac,
            state: State::Selecting,
            xid: 0,
            began_ns: now_ns,
            at_ns: now_ns,
            tries: 0,
            broadcast: false,
            lease: None,
            server: Ipv4Addr::UNSPECIFIED,
            t2_ns: 0,
            until_ns: 0,
            decline: None,
        }
    }

    /// Restarts at `at_ns`.
    fn restart(&mut self, at_ns: u64) {
        self.state = State::Selecting;
        self.tries = 0;
        self.at_ns = at_ns;
        self.began_ns = at_ns;
        self.lease = None;
    }

    /// Another host on the link has the address (RFC 2131, 4.4.4).
    pub(crate) fn conflict(&mut self, now_ns: u64) {
        if let Some(lease) = self.lease.take()
            && let IpAddr::V4(address) = lease.address.address
        {
            self.decline = Some((address, self.server));
        }
        self.restart(now_ns.saturating_add(DECLINE_NS));
    }

    /// Releases the address (RFC 2131, 4.4.6); returns the message for the server. The lease is
    /// kept, since the message is sent from its address; nothing else will be sent.
    pub(crate) fn release(&mut self, now_ns: u64, random: &mut Random) -> Option<Message> {
        self.state = State::Released;
        self.at_ns = u64::MAX;
        let IpAddr::V4(address) = self.lease.as_ref()?.address.address else {
            return None;
        };
        let server = self.server;
        let message = self.message(
            random.bits() as u32,
            DhcpMessageType::Release,
            now_ns,
            |repr| {
                repr.client_ip = address;
                repr.server_identifier = Some(server);
            },
        )?;
        Some(Message {
            source: address,
            to: Some(server),
            ..message
        })
    }

    pub(crate) fn next_ns(&self) -> u64 {
        match self.decline {
            Some(_) => 0,
            None => self.at_ns,
        }
    }

    /// Whether a reply may arrive for an address that isn't ours yet.
    pub(crate) fn awaits(&self) -> bool {
        matches!(self.state, State::Selecting | State::Requesting { .. })
    }

    /// The message to send now. Removes an expired lease.
    pub(crate) fn run(&mut self, now_ns: u64, random: &mut Random) -> Option<Message> {
        if let Some((address, server)) = self.decline.take() {
            let xid = random.bits() as u32;
            return self.message(xid, DhcpMessageType::Decline, now_ns, |repr| {
                repr.requested_ip = Some(address);
                repr.server_identifier = Some(server);
            });
        }
        if self.at_ns > now_ns {
            return None;
        }
        match self.state {
            State::Selecting => {
                if self.tries == 0 {
                    self.xid = random.bits() as u32;
                    self.began_ns = now_ns;
                }
                self.put_off(now_ns, random);
                let broadcast = self.broadcast;
                self.message(self.xid, DhcpMessageType::Discover, now_ns, |repr| {
                    repr.broadcast = broadcast;
                })
            }
            State::Requesting { .. } if self.tries >= REQUESTS => {
                self.restart(now_ns);
                self.run(now_ns, random)
            }
            State::Requesting { address, server } => {
                self.put_off(now_ns, random);
                let broadcast = self.broadcast;
                self.message(self.xid, DhcpMessageType::Request, now_ns, |repr| {
                    repr.broadcast = broadcast;
                    repr.requested_ip = Some(address);
                    repr.server_identifier = Some(server);
                })
            }
            State::Bound => {
                self.xid = random.bits() as u32;
                self.began_ns = now_ns;
                self.state = State::Renewing;
                self.renew(now_ns)
            }
            State::Renewing | State::Rebinding if now_ns >= self.until_ns => {
                self.restart(now_ns);
                self.run(now_ns, random)
            }
            State::Renewing if now_ns >= self.t2_ns => {
                self.state = State::Rebinding;
                self.renew(now_ns)
            }
            State::Renewing | State::Rebinding => self.renew(now_ns),
            State::Released => None,
        }
    }

    /// Schedules the next try with backoff and jitter, so that hosts don't stay in step (RFC 2131,
    /// 4.1).
    fn put_off(&mut self, now_ns: u64, random: &mut Random) {
        let wait_ns = (RETRY_NS << self.tries.min(5)).min(RETRY_MAX_NS);
        // The last one wasn't answered.
        self.broadcast ^= self.tries > 0;
        self.tries += 1;
        self.at_ns = now_ns + wait_ns - SECOND / 2 + random.below(SECOND);
    }

    /// A request of a client that has an address (RFC 2131, 4.3.2): to its server, later to any.
    fn renew(&mut self, now_ns: u64) -> Option<Message> {
        let rebinding = self.state == State::Rebinding;
        let end_ns = if rebinding { self.until_ns } else { self.t2_ns };
        let half_ns = end_ns.saturating_sub(now_ns) / 2;
        self.at_ns = now_ns.saturating_add(half_ns.max(RENEW_NS)).min(end_ns);
        let IpAddr::V4(address) = self.lease.as_ref()?.address.address else {
            return None;
        };
        let message = self.message(self.xid, DhcpMessageType::Request, now_ns, |repr| {
            repr.client_ip = address;
        })?;
        Some(Message {
            source: address,
            to: (!rebinding).then_some(self.server),
            ..message
        })
    }

    fn message(
        &self,
        xid: u32,
        kind: DhcpMessageType,
        now_ns: u64,
        change: impl FnOnce(&mut DhcpRepr<'_>),
    ) -> Option<Message> {
        let seconds = now_ns.saturating_sub(self.began_ns) / SECOND;
        let ends = [DhcpMessageType::Decline, DhcpMessageType::Release];
        let asks = !ends.contains(&kind);
        let mut repr = DhcpRepr {
            message_type: kind,
            transaction_id: xid,
            secs: u16::try_from(seconds).unwrap_or(u16::MAX),
            client_hardware_address: EthernetAddress(self.mac),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: Some(EthernetAddress(self.mac)),
            server_identifier: None,
            parameter_request_list: asks.then_some(&PARAMETERS),
            dns_servers: None,
            max_size: asks.then_some(1472),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        change(&mut repr);
        let mut payload = alloc::vec![0; repr.buffer_len()];
        repr.emit(&mut DhcpPacket::new_unchecked(&mut payload[..]))
            .ok()?;
        // Old relays and servers require a message of BOOTP's size (RFC 1542, 2.1).
        payload.resize(payload.len().max(300), 0);
        Some(Message {
            payload,
            source: Ipv4Addr::UNSPECIFIED,
            to: None,
        })
    }

    /// Handles a server's message.
    pub(crate) fn input(&mut self, payload: &[u8], now_ns: u64) {
        let Some(reply) = Reply::parse(payload) else {
            return;
        };
        if reply.xid != self.xid || reply.hardware != self.mac {
            return;
        }
        let server = reply.address(54);
        match (self.state, reply.byte(53)) {
            (State::Selecting, Some(OFFER)) if self.tries > 0 => {
                let Some(server) = server else { return };
                if is_leasable(reply.address) && is_unicast_v4(server) {
                    self.state = State::Requesting {
                        address: reply.address,
                        server,
                    };
                    self.tries = 0;
                    self.at_ns = now_ns;
                }
            }
            // Ignores other servers about this one's offer.
            (State::Requesting { server: chosen, .. }, _) if server != Some(chosen) => {}
            (State::Requesting { .. } | State::Renewing | State::Rebinding, Some(NAK)) => {
                // RFC 2131, 3.1 (4) and 4.4.5: at once. The delay bounds the rate for a server that
                // does nothing else.
                self.restart(now_ns.saturating_add(SECOND));
            }
            (State::Requesting { .. } | State::Renewing | State::Rebinding, Some(ACK)) => {
                self.acknowledged(&reply, now_ns);
            }
            _ => {}
        }
    }

    fn acknowledged(&mut self, reply: &Reply, now_ns: u64) {
        let Some(lease_s) = reply.u32(51) else {
            return;
        };
        let Some(lease) = lease(reply) else {
            return;
        };
        let lease_s = lease_s.max(LEASE_MIN_S);
        let time = |seconds: u32| {
            if seconds == u32::MAX {
                u64::MAX
            } else {
                now_ns.saturating_add(u64::from(seconds) * SECOND)
            }
        };
        // RFC 2131, 4.4.5: by default T1 is half of the lease, T2 seven eighths.
        let t2_s = reply
            .u32(59)
            .filter(|t2| (2..lease_s).contains(t2))
            .unwrap_or(if lease_s == u32::MAX {
                lease_s
            } else {
                lease_s - lease_s / 8
            });
        let t1_s =
            reply
                .u32(58)
                .filter(|t1| (1..t2_s).contains(t1))
                .unwrap_or(if lease_s == u32::MAX {
                    lease_s
                } else {
                    lease_s / 2
                });
        self.until_ns = time(lease_s);
        self.t2_ns = time(t2_s);
        self.at_ns = time(t1_s);
        self.server = reply.address(54).unwrap_or(self.server);
        self.lease = Some(lease);
        self.state = State::Bound;
        self.tries = 0;
    }
}

/// The lease in an acknowledgement.
fn lease(reply: &Reply) -> Option<Lease> {
    let mask = reply.address(1).unwrap_or_else(|| classful(reply.address));
    // A non-contiguous mask is ignored.
    let prefix_len = mask.to_bits().leading_ones() as u8;
    if mask.to_bits().count_ones() != u32::from(prefix_len) {
        return None;
    }
    let list = |code| reply.get(code).unwrap_or_default();
    let mut lease = Lease {
        address: Cidr::new(IpAddr::V4(reply.address), prefix_len)
            .ok()
            .filter(|_| is_leasable(reply.address))?,
        routers: addresses(list(3), ROUTERS),
        routes: routes(list(121)),
        dns_servers: addresses(list(6), SERVERS),
        search: domain_names(list(119)),
        // RFC 2132, 5.1 allows 68, which leaves too little room for data in practice.
        mtu: reply.u16(26).map(usize::from).filter(|mtu| *mtu >= 576),
    };
    if lease.search.is_empty() {
        lease.search = words(list(15));
    }
    if !lease.routes.is_empty() {
        // RFC 3442: the router option is then ignored.
        lease.routers.clear();
    }
    Some(lease)
}

/// Whether a host may have this address on a link.
fn is_leasable(address: Ipv4Addr) -> bool {
    is_unicast_v4(address) && !address.is_loopback()
}

/// The classful mask of an address without one (RFC 791, 2.3).
fn classful(address: Ipv4Addr) -> Ipv4Addr {
    match address.octets()[0] {
        0..=127 => Ipv4Addr::new(255, 0, 0, 0),
        128..=191 => Ipv4Addr::new(255, 255, 0, 0),
        _ => Ipv4Addr::new(255, 255, 255, 0),
    }
}

fn addresses(data: &[u8], limit: usize) -> Vec<Ipv4Addr> {
    let all = data.as_chunks::<4>().0.iter();
    all.map(|octets| Ipv4Addr::from_octets(*octets))
        .filter(|address| is_unicast_v4(*address))
        .take(limit)
        .collect()
}

/// The domain name of option 15, up to a zero byte. Servers that can't send option 119 put a list
/// of domains there, separated by spaces.
fn words(data: &[u8]) -> Vec<String> {
    let data = data.split(|byte| *byte == 0).next().unwrap_or_default();
    let words = data.split(|byte| *byte == b' ').filter(|word| {
        (1..=NAME_MAX).contains(&word.len()) && word.iter().all(u8::is_ascii_graphic)
    });
    let text = |word: &[u8]| word.iter().map(|byte| char::from(*byte)).collect();
    words.map(text).take(NAMES).collect()
}

/// Classless static routes (RFC 3442): prefix length, significant octets of the destination, and a
/// router.
fn routes(mut data: &[u8]) -> Vec<(Ipv4Addr, u8, Ipv4Addr)> {
    let mut routes = Vec::new();
    while let Some((&len, rest)) = data.split_first()
        && len <= 32
        && routes.len() < ROUTES
    {
        let significant = usize::from(len.div_ceil(8));
        let Some((prefix, rest)) = rest.split_at_checked(significant) else {
            break;
        };
        let Some((router, rest)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let mut octets = [0; 4];
        for (to, from) in octets.iter_mut().zip(prefix) {
            *to = *from;
        }
        let mask = u32::MAX.unbounded_shl(u32::from(32 - len));
        let network = Ipv4Addr::from_bits(u32::from_be_bytes(octets) & mask);
        let router = Ipv4Addr::from_octets(*router);
        if router.is_unspecified() || is_unicast_v4(router) {
            routes.push((network, len, router));
        }
        data = rest;
    }
    routes
}

#[cfg(test)]
mod tests;
