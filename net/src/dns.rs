//! Looking names up (RFC 1035, RFC 3596): one question for each family, asked of one server after
//! the other, from a random port and with a random identifier.
//!
//! The formats are smoltcp's; its DNS socket is not used because it stays 10 s with a server that
//! doesn't answer, and takes a server's failure for "no such name".

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smoltcp::wire::{
    DnsFlags, DnsOpcode, DnsPacket, DnsQueryType, DnsQuestion, DnsRcode, DnsRecord, DnsRecordData,
    DnsRepr,
};

use crate::interface::Interface;
use crate::shared::{Core, Socket};
use crate::stack::AddressFamily;
use crate::tcp::connection::Wakes;
use crate::{Error, Handle, Stack};

const PORT: u16 = 53;
/// How long a server may take the first time; doubled after each round over all servers.
const PATIENCE_NS: u64 = 1_500_000_000;
/// A name on the wire, with its terminator (RFC 1035, 3.1).
const NAME_MAX: usize = 255;
/// Aliases followed in one answer.
const ALIASES_MAX: usize = 8;
/// Addresses kept of one answer.
const ADDRESSES_MAX: usize = 16;
/// Lookups at a time.
const LOOKUPS_MAX: usize = 256;
/// A plain answer is at most 512 bytes (RFC 1035, 4.2.1).
const QUEUE: usize = 2048;

/// One lookup.
pub(crate) struct Lookup {
    name: Vec<u8>,
    questions: Vec<Question>,
    servers: Vec<IpAddr>,
    socket: Option<Handle>,
    deadline_ns: u64,
    result: Option<Result<Vec<IpAddr>, Error>>,
    pub(crate) wakes: Wakes,
}

struct Question {
    kind: DnsQueryType,
    id: u16,
    /// Servers asked so far, the rounds counted through.
    asked: u32,
    again_ns: u64,
    answer: Option<Result<Vec<IpAddr>, Error>>,
}

impl Lookup {
    fn done(addresses: Vec<IpAddr>) -> Lookup {
        Lookup {
            name: Vec::new(),
            questions: Vec::new(),
            servers: Vec::new(),
            socket: None,
            deadline_ns: 0,
            result: Some(Ok(addresses)),
            wakes: Wakes::default(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.result.is_some()
    }

    fn server(&self, asked: u32) -> Option<IpAddr> {
        self.servers
            .get(asked as usize % self.servers.len().max(1))
            .copied()
    }

    /// The result, once every question has its answer: what was found wins over what failed.
    fn finish(&mut self, now_ns: u64) {
        let mut found = Vec::new();
        let mut failure = None;
        for question in &self.questions {
            match &question.answer {
                Some(Ok(addresses)) => found.extend(addresses.iter().copied()),
                Some(Err(error)) => failure = Some(*error),
                None if now_ns >= self.deadline_ns => failure = Some(Error::TimedOut),
                None => return,
            }
        }
        self.result = Some(if found.is_empty() {
            Err(failure.unwrap_or(Error::NameNotFound))
        } else {
            Ok(found)
        });
    }

    fn answer(&mut self, data: &[u8], from: SocketAddr, now_ns: u64) {
        let Ok(packet) = DnsPacket::new_checked(data) else {
            return;
        };
        if from.port() != PORT
            || !self.servers.contains(&from.ip())
            || !packet.flags().contains(DnsFlags::RESPONSE)
            || packet.opcode() != DnsOpcode::Query
            || packet.question_count() != 1
        {
            return;
        }
        let name = &self.name;
        for question in &mut self.questions {
            if question.answer.is_some() || question.id != packet.transaction_id() {
                continue;
            }
            let Ok((records, asked)) = DnsQuestion::parse(packet.payload()) else {
                return;
            };
            if asked.type_ != question.kind || !same_name(&packet, asked.name, name) {
                return;
            }
            match packet.rcode() {
                DnsRcode::NoError => {
                    let addresses = addresses(&packet, records, name);
                    question.answer = Some(if addresses.is_empty() {
                        Err(Error::NameNotFound)
                    } else {
                        Ok(addresses)
                    });
                }
                DnsRcode::NXDomain => question.answer = Some(Err(Error::NameNotFound)),
                // The server can't tell: ask the next one at once.
                _ => question.again_ns = now_ns,
            }
            return;
        }
    }
}

/// Whether two names are the same, letter case aside. `a` and `b` may end in pointers into `packet`.
fn same_name(packet: &DnsPacket<&[u8]>, a: &[u8], b: &[u8]) -> bool {
    let (mut a, mut b) = (packet.parse_name(a), packet.parse_name(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(Ok(x)), Some(Ok(y))) if x.eq_ignore_ascii_case(y) => {}
            _ => return false,
        }
    }
}

/// The addresses that the answer section gives for `name`, over aliases.
fn addresses(packet: &DnsPacket<&[u8]>, records: &[u8], name: &[u8]) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut name = name;
    for _ in 0..ALIASES_MAX {
        let mut rest = records;
        let mut alias = None;
        for _ in 0..packet.answer_record_count() {
            let Ok((after, record)) = DnsRecord::parse(rest) else {
                break;
            };
            rest = after;
            if found.len() >= ADDRESSES_MAX || !same_name(packet, record.name, name) {
                continue;
            }
            match record.data {
                DnsRecordData::A(address) => found.push(IpAddr::V4(address)),
                DnsRecordData::Aaaa(address) => found.push(IpAddr::V6(address)),
                DnsRecordData::Cname(target) => alias = Some(target),
                DnsRecordData::Other(..) => {}
            }
        }
        match alias {
            Some(target) if found.is_empty() => name = target,
            _ => break,
        }
    }
    found
}

/// A host name as it is on the wire; a final dot is allowed.
fn encode(name: &str) -> Result<Vec<u8>, Error> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let printable = label.bytes().all(|b| b.is_ascii_graphic());
        if label.is_empty() || label.len() > 63 || !printable {
            return Err(Error::InvalidArgument);
        }
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    if wire.len() > NAME_MAX {
        Err(Error::InvalidArgument)
    } else {
        Ok(wire)
    }
}

impl Core {
    /// Asks and listens for all lookups. Gives the time of the next call.
    pub(crate) fn run_lookups(&mut self, interfaces: &[Interface]) -> Option<u64> {
        let mut next = None;
        let mut at = 0;
        while let Some(&handle) = self.lookups.get(at) {
            match self.run_lookup(interfaces, handle) {
                Some(at_ns) => {
                    next = Some(next.map_or(at_ns, |next: u64| next.min(at_ns)));
                    at += 1;
                }
                None => {
                    self.lookups.swap_remove(at);
                }
            }
        }
        next
    }

    /// `None` if the lookup is done or gone.
    fn run_lookup(&mut self, interfaces: &[Interface], handle: Handle) -> Option<u64> {
        let now_ns = self.now_ns;
        let mut lookup = match self.sockets.get_mut(handle) {
            // Taken out for a moment, since sending needs the other sockets.
            Some(Socket::Lookup(lookup)) => {
                core::mem::replace(lookup, Box::new(Lookup::done(Vec::new())))
            }
            _ => return None,
        };
        let mut next = None;
        if let Some(socket) = lookup.socket {
            let mut buffer = [0; 1500];
            loop {
                match self.recv_from(socket, &mut buffer) {
                    Ok((len, from)) => {
                        lookup.answer(&buffer[..len.min(1500)], from, now_ns);
                    }
                    Err(Error::WouldBlock) | Err(Error::BadHandle) => break,
                    // An ICMP error: the time that a server may take covers it.
                    Err(_) => {}
                }
            }
            for n in 0..lookup.questions.len() {
                if let Some((query, server)) = lookup.due(n, now_ns) {
                    // A server that can't be reached now is one that doesn't answer.
                    let _ = self.send_to(interfaces, socket, &query, server);
                }
            }
            lookup.finish(now_ns);
            let times = lookup.questions.iter().filter(|q| q.answer.is_none());
            next = times
                .map(|q| q.again_ns)
                .min()
                .map(|at_ns| at_ns.min(lookup.deadline_ns));
        }
        let done = lookup.is_done();
        if done && let Some(socket) = lookup.socket.take() {
            self.close_udp(socket);
        }
        let waiting = done && core::mem::take(&mut lookup.wakes.read);
        if let Some(Socket::Lookup(place)) = self.sockets.get_mut(handle) {
            *place = lookup;
        }
        if waiting {
            self.tell(handle);
        }
        if done { None } else { next }
    }

    fn new_lookup(
        &mut self,
        interfaces: &[Interface],
        name: &str,
        family: AddressFamily,
    ) -> Result<Lookup, Error> {
        let wanted = |address: &IpAddr| match family {
            AddressFamily::Any => true,
            AddressFamily::V4 => address.is_ipv4(),
            AddressFamily::V6 => address.is_ipv6(),
        };
        let literal = name
            .strip_prefix('[')
            .and_then(|n| n.strip_suffix(']'))
            .unwrap_or(name);
        if let Ok(address) = literal.parse::<IpAddr>() {
            return if wanted(&address) {
                Ok(Lookup::done(alloc::vec![address]))
            } else {
                Err(Error::NameNotFound)
            };
        }
        let wire = encode(name)?;
        let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        // RFC 6761, 6.3: such names are never asked for.
        if plain == "localhost" || plain.ends_with(".localhost") {
            let all = [
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ];
            return Ok(Lookup::done(all.into_iter().filter(wanted).collect()));
        }
        if self.lookups.len() >= LOOKUPS_MAX {
            return Err(Error::OutOfMemory);
        }
        let servers: Vec<IpAddr> = interfaces
            .iter()
            .flat_map(|interface| interface.end.dns_servers())
            .collect();
        if servers.is_empty() {
            return Err(Error::NoNameServer);
        }
        let global = interfaces
            .iter()
            .any(|interface| interface.end.has_global_v6());
        let kinds = match family {
            AddressFamily::Any if global => &[DnsQueryType::A, DnsQueryType::Aaaa][..],
            AddressFamily::Any | AddressFamily::V4 => &[DnsQueryType::A],
            AddressFamily::V6 => &[DnsQueryType::Aaaa],
        };
        let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        let socket = self.bind(interfaces, any, QUEUE)?;
        let questions = kinds
            .iter()
            .map(|kind| Question {
                kind: *kind,
                id: (self.random)() as u16,
                asked: 0,
                again_ns: 0,
                answer: None,
            })
            .collect();
        Ok(Lookup {
            name: wire,
            questions,
            servers,
            socket: Some(socket),
            deadline_ns: self.now_ns.saturating_add(self.config.dns_timeout_ns),
            result: None,
            wakes: Wakes::default(),
        })
    }

    pub(crate) fn close_lookup(&mut self, handle: Handle) {
        if let Some(Socket::Lookup(lookup)) = self.sockets.remove(handle)
            && let Some(socket) = lookup.socket
        {
            self.close_udp(socket);
        }
    }
}

impl Lookup {
    /// The query that question `n` is to send now, and to whom.
    fn due(&mut self, n: usize, now_ns: u64) -> Option<(Vec<u8>, SocketAddr)> {
        let servers = self.servers.len() as u32;
        let asked = self.questions.get(n)?.asked;
        let server = self.server(asked)?;
        let question = self.questions.get_mut(n)?;
        if question.answer.is_some() || question.again_ns > now_ns {
            return None;
        }
        question.asked += 1;
        let round = (asked / servers.max(1)).min(4);
        question.again_ns = now_ns.saturating_add(PATIENCE_NS << round);
        let repr = DnsRepr {
            transaction_id: question.id,
            opcode: DnsOpcode::Query,
            flags: DnsFlags::RECURSION_DESIRED,
            question: DnsQuestion {
                name: &self.name,
                type_: question.kind,
            },
        };
        let mut query = alloc::vec![0; repr.buffer_len()];
        repr.emit(&mut DnsPacket::new_unchecked(&mut query[..]));
        Some((query, SocketAddr::new(server, PORT)))
    }
}

/// Names.
impl Stack {
    /// Starts looking a name up. Numeric addresses and `localhost` are answered without a server.
    ///
    /// The handle becomes readable when the answer (or failure) is there. Errors at once:
    /// [`Error::InvalidArgument`] (not a name), [`Error::NoNameServer`], [`Error::NameNotFound`] (a
    /// numeric address of the other family), [`Error::OutOfMemory`].
    pub fn dns_lookup(&mut self, name: &str, family: AddressFamily) -> Result<Handle, Error> {
        let lookup = self.core.new_lookup(&self.interfaces, name, family)?;
        let running = !lookup.is_done();
        let handle = self.core.sockets.insert(Socket::Lookup(Box::new(lookup)));
        if running {
            self.core.lookups.push(handle);
        }
        Ok(handle)
    }

    /// The addresses found, IPv4 first, never none. [`Error::WouldBlock`] as long as servers are
    /// asked; [`Error::NameNotFound`] and [`Error::TimedOut`] tell how it failed. The answer stays
    /// until the handle is closed.
    pub fn dns_result(&mut self, lookup: Handle) -> Result<Vec<IpAddr>, Error> {
        match self.core.sockets.get_mut(lookup) {
            Some(Socket::Lookup(lookup)) => match &lookup.result {
                Some(result) => result.clone(),
                None => {
                    lookup.wakes.read = true;
                    Err(Error::WouldBlock)
                }
            },
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }
}
