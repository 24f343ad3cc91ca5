//! The name of this host on its links: a multicast DNS responder (RFC 6762).
//!
//! - `records`: the records of a link, and the messages;
//! - `link`: one link and family: probing, announcing, and the timing of responses.
//!
//! IPv4 and IPv6 of an interface are two links, because a host that queries over one may not
//! receive over the other. The name is the same on all links. After a conflict on one link, the
//! responder changes it on all of them.

mod link;
mod records;
#[cfg(test)]
mod tests;

use crate::Network;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::dns::message::Message;
use crate::dns::name::Name;
use crate::{Polled, Randomness};
use link::{ClaimEffect, Link, QueryOrigin};
use net::{Cidr, Error, Handle, InterfaceId, Received, Source};
use records::Records;

const PORT: u16 = 5353;
const GROUPS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)),
    IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb)),
];
const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
/// Maximum number of datagrams handled in one turn.
const DATAGRAMS_MAX: usize = 64;
/// Maximum size of a message (RFC 6762, 17).
const DATAGRAM: usize = 9000;
/// Maximum number of links with a name.
const LINKS_MAX: usize = 16;
/// After this many conflicts within this time, each further attempt waits this long (RFC 6762,
/// 8.1).
const CONFLICTS: u32 = 15;
const CONFLICTS_NS: u64 = 10 * SECOND;
const CONFLICTS_WAIT_NS: u64 = 5 * SECOND;
/// Maximum number of unicast responses per second; legitimate traffic stays below it.
const UNICAST_MAX: u32 = 100;
/// Interval between attempts to bind the port.
const RETRY_NS: u64 = 5 * SECOND;
const LABEL_MAX: usize = 63;

/// The responder. It sends nothing before the first [`Responder::poll`].
pub struct Responder {
    /// The label that the program chose, and the number appended to it; 1: none.
    label: String,
    number: u32,
    send_state: SendState,
    socket: Option<Handle>,
    /// The configuration of the stack that `links` were made from.
    generation: Option<u32>,
    links: Vec<Link>,
    /// When to retry the socket, or a link whose group couldn't be joined.
    again_ns: Option<u64>,
    /// Conflicts in the current window, and its start.
    conflicts: (u32, u64),
    /// Unicast responses in the current window, and its start.
    unicast: (u32, u64),
}

/// State that every link needs for sending.
struct SendState {
    /// The name that it has, or claims.
    host: Name,
    random: Randomness,
}

impl SendState {
    fn turn<'a>(&'a mut self, stack: &'a mut Network, socket: Handle, now_ns: u64) -> Turn<'a> {
        Turn {
            stack,
            random: &mut self.random,
            host: &self.host,
            socket,
            now_ns,
            sent: false,
        }
    }
}

/// Context of one turn.
struct Turn<'a> {
    stack: &'a mut Network,
    random: &'a mut Randomness,
    host: &'a Name,
    socket: Handle,
    now_ns: u64,
    sent: bool,
}

impl Turn<'_> {
    /// A random number of nanoseconds below `range`.
    fn below(&mut self, range: u64) -> u64 {
        (self.random)() % range
    }

    /// Sends to a group on a link; `false` if it has to be retried.
    fn multicast(&mut self, interface: InterfaceId, group: IpAddr, message: &[u8]) -> bool {
        let to = SocketAddr::new(group, PORT);
        let done = self.unicast(interface, to, message);
        done.is_ok()
    }

    /// Sends over a link.
    fn unicast(
        &mut self,
        interface: InterfaceId,
        to: SocketAddr,
        message: &[u8],
    ) -> Result<(), Error> {
        let source = Source {
            address: None,
            interface: Some(interface),
        };
        let done = self.stack.udp_send_from(self.socket, message, to, &source);
        self.sent |= done.is_ok();
        done
    }
}

/// The name with a number, unless that is 1.
fn host(label: &str, number: u32) -> Option<Name> {
    let mut text = String::from(label);
    if number > 1 {
        let mut digits = [0; 10];
        let mut len = 0;
        let mut rest = number;
        for place in digits.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
            len += 1;
            if rest == 0 {
                break;
            }
        }
        text.truncate(LABEL_MAX - 1 - len);
        text.push('-');
        let digits = digits.iter().skip(digits.len() - len);
        text.extend(digits.map(|digit| char::from(*digit)));
    }
    text.push_str(".local");
    Name::from_text(&text)
}

impl Responder {
    /// A responder that claims `label`.local. `None` unless it is a valid host label: letters,
    /// digits and inner hyphens, 63 at most (RFC 1123, 2.1).
    pub fn new(label: &str, random: Randomness) -> Option<Responder> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let hyphens = label.starts_with('-') || label.ends_with('-');
        if label.len() > LABEL_MAX || hyphens || !label.bytes().all(sound) {
            return None;
        }
        Some(Responder {
            send_state: SendState {
                host: host(label, 1)?,
                random,
            },
            label: String::from(label),
            number: 1,
            socket: None,
            generation: None,
            links: Vec::new(),
            again_ns: None,
            conflicts: (0, 0),
            unicast: (0, 0),
        })
    }

    /// The name, once all links have confirmed it: `soil.local`, or `soil-2.local`.
    pub fn name(&self) -> Option<String> {
        let established = !self.links.is_empty() && self.links.iter().all(Link::is_established);
        established.then(|| self.send_state.host.text())
    }

    /// Probes, announces and responds. Call it after each [`net::Transport::poll`].
    pub fn poll(&mut self, stack: &mut Network, now_ns: u64) -> Polled {
        let mut polled = Polled::default();
        let Some(socket) = self.open(stack, now_ns) else {
            polled.next_ns = self.again_ns;
            return polled;
        };
        let generation = stack.configuration_generation();
        let again = self.again_ns.is_some_and(|at_ns| at_ns <= now_ns);
        if self.generation != Some(generation) || again {
            self.generation = Some(generation);
            self.again_ns = None;
            polled.sent |= self.configure(stack, socket, now_ns);
        }
        let mut buffer = [0; DATAGRAM];
        let mut count = 0;
        while count < DATAGRAMS_MAX {
            // Ignores errors: a responder has no single peer to which an error could apply.
            let Ok(received) = stack.udp_receive(socket, &mut buffer) else {
                break;
            };
            count += 1;
            if let Some(datagram) = buffer.get(..received.len) {
                let mut turn = self.send_state.turn(stack, socket, now_ns);
                let links = &mut self.links;
                let effect = datagram_in(links, &mut self.unicast, &mut turn, datagram, &received);
                polled.sent |= turn.sent;
                if let ClaimEffect::Conflict(lost) = effect {
                    self.conflict(lost, now_ns);
                }
            }
        }
        let mut turn = self.send_state.turn(stack, socket, now_ns);
        let mut next_ns = self.again_ns;
        for link in &mut self.links {
            let at_ns = link.run(&mut turn);
            next_ns = [next_ns, at_ns].into_iter().flatten().min();
        }
        polled.sent |= turn.sent;
        polled.next_ns = match count {
            DATAGRAMS_MAX => Some(now_ns),
            _ => next_ns,
        };
        polled
    }

    /// Withdraws the name on all links (RFC 6762, 10.1). The next [`net::Transport::poll`] sends
    /// the queued messages. A further [`Responder::poll`] starts probing again.
    pub fn finish(&mut self, stack: &mut Network, now_ns: u64) {
        let Some(socket) = self.socket.take() else {
            return;
        };
        let mut turn = self.send_state.turn(stack, socket, now_ns);
        for link in &mut self.links {
            link.goodbye(&mut turn);
        }
        self.links.clear();
        self.generation = None;
        // The handle is ours.
        let _ = stack.close(socket);
    }

    fn open(&mut self, stack: &mut Network, now_ns: u64) -> Option<Handle> {
        if self.socket.is_none() && self.again_ns.is_none_or(|at_ns| at_ns <= now_ns) {
            let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), PORT);
            self.again_ns = None;
            match stack.udp_bind(any) {
                Ok(socket) => {
                    // RFC 6762, 11: 255, for unicast and multicast. The handle is ours.
                    let _ = stack.udp_set_multicast_hops(socket, 255);
                    let _ = stack.set_hop_limit(socket, 255);
                    self.socket = Some(socket);
                }
                // Another socket has the port.
                Err(_) => self.again_ns = Some(now_ns.saturating_add(RETRY_NS)),
            }
        }
        self.socket
    }

    /// Updates the links to the current addresses; returns whether something was sent.
    fn configure(&mut self, stack: &mut Network, socket: Handle, now_ns: u64) -> bool {
        let mut old = core::mem::take(&mut self.links);
        let mut sent = false;
        for interface in stack.interfaces() {
            let status = stack.interface_status(interface);
            let addresses: Vec<Cidr> = status.map(|s| s.addresses).unwrap_or_default();
            for group in GROUPS {
                let of_family = |cidr: &&Cidr| cidr.address.is_ipv4() == group.is_ipv4();
                if addresses.iter().find(of_family).is_none() || self.links.len() >= LINKS_MAX {
                    continue;
                }
                let place = old
                    .iter()
                    .position(|l| l.interface == interface && l.group == group);
                let records = Records::new(addresses.iter().map(|cidr| cidr.address));
                let mut turn = self.send_state.turn(stack, socket, now_ns);
                match place.map(|place| old.swap_remove(place)) {
                    Some(mut link) => {
                        link.change(&mut turn, records, &addresses);
                        self.links.push(link);
                    }
                    None if turn.stack.udp_join(socket, group, Some(interface)).is_ok() => {
                        let link = Link::new(&mut turn, interface, group, records, &addresses);
                        self.links.push(link);
                    }
                    None => self.again_ns = Some(now_ns.saturating_add(RETRY_NS)),
                }
                sent |= turn.sent;
            }
        }
        for link in old {
            // It was joined.
            let _ = stack.udp_leave(socket, link.group, Some(link.interface));
        }
        sent
    }

    /// Another host has the name. If it wasn't confirmed yet, it is changed; otherwise it is probed
    /// for again, and the host that doesn't yield keeps it (RFC 6762, 9).
    fn conflict(&mut self, lost: bool, now_ns: u64) {
        let (count, since_ns) = self.conflicts;
        self.conflicts = if now_ns >= since_ns.saturating_add(CONFLICTS_NS) {
            (1, now_ns)
        } else if count >= CONFLICTS {
            // Restarts after this long without a conflict.
            (count, now_ns)
        } else {
            (count + 1, since_ns)
        };
        let wait_ns = match self.conflicts.0 {
            0..CONFLICTS => 0,
            _ => CONFLICTS_WAIT_NS,
        };
        if lost {
            self.number = self.number.checked_add(1).unwrap_or(2);
            if let Some(host) = host(&self.label, self.number) {
                self.send_state.host = host;
            }
        }
        for link in &mut self.links {
            link.probe_from(now_ns.saturating_add(wait_ns));
        }
    }
}

/// Handles a datagram.
fn datagram_in(
    links: &mut [Link],
    unicast: &mut (u32, u64),
    turn: &mut Turn<'_>,
    datagram: &[u8],
    how: &Received,
) -> ClaimEffect {
    let source = how.from.ip();
    let ours = links.iter().any(|link| link.has_address(source));
    let link = links
        .iter_mut()
        .find(|l| l.interface == how.interface && l.group.is_ipv4() == source.is_ipv4());
    let (Some(link), Some(message)) = (link, Message::new(datagram)) else {
        return ClaimEffect::Nothing;
    };
    // Unicast datagrams may come from anywhere (RFC 6762, 5.5 and 11).
    let group = how.to == link.group;
    if ours || !group && !link.is_on_link(source) {
        return ClaimEffect::Nothing;
    }
    if message.is_response() {
        // RFC 6762, 6: from this port only.
        let sound = how.from.port() == PORT && message.code() == crate::dns::message::Code::NoError;
        return if sound {
            link.response(turn, &message)
        } else {
            ClaimEffect::Nothing
        };
    }
    if !message.is_query() {
        return ClaimEffect::Nothing;
    }
    let origin = QueryOrigin {
        from: how.from,
        group,
        may_unicast: link.is_on_link(source) && {
            if turn.now_ns >= unicast.1.saturating_add(SECOND) {
                *unicast = (0, turn.now_ns);
            }
            unicast.0 < UNICAST_MAX
        },
    };
    if link.query(turn, &message, &origin) {
        unicast.0 += 1;
    }
    ClaimEffect::Nothing
}
