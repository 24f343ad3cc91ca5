//! One question: sent to one server after another until one answers.
//!
//! Each query has an identifier of its own, and all those of a question are sent from one random
//! port (RFC 5452). A response is accepted only if it comes from a queried server, to that port,
//! with the identifier of that query and the question repeated.

use crate::Network;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::answer::{Verdict, read};
use super::message::{CLASS_IN, Code, Message, RecordData, query};
use super::name::Name;
use super::stream::Stream;
use super::{ALIASES_MAX, DnsRecord, LookupError, Missing};
use net::{Error, Handle};

/// Multicast DNS (RFC 6762, 3).
const MULTICAST_PORT: u16 = 5353;
const MULTICAST: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)), MULTICAST_PORT),
    SocketAddr::new(
        IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb)),
        MULTICAST_PORT,
    ),
];
/// Maximum number of multicast queries for one question; then no host on the link has the name.
const MULTICAST_QUERIES: u32 = 3;
/// Timeout of a server in the first round; doubled after each round over all servers.
pub(super) const TIMEOUT_NS: u64 = 1_500_000_000;
/// The same for multicast (RFC 6762, 5.2: at least one second).
const MULTICAST_TIMEOUT_NS: u64 = 1_000_000_000;
/// Rounds over all servers after which failures of all of them end the question.
const FAILED_ROUNDS: u32 = 2;
/// Maximum number of queries that may still be answered.
const OUTSTANDING_MAX: usize = 16;
/// Maximum number of datagrams handled in one turn, so that a flood doesn't delay it.
const DATAGRAMS_MAX: usize = 32;

/// Context of one turn.
pub(super) struct Turn<'a> {
    pub(super) stack: &'a mut Network,
    pub(super) random: &'a mut dyn FnMut() -> u64,
    pub(super) now_ns: u64,
    /// Something was queued.
    pub(super) sent: bool,
}

/// Options of a lookup's questions.
pub(super) struct QueryOptions {
    /// Servers, in the order in which they are queried; empty for multicast.
    pub(super) servers: Vec<SocketAddr>,
    pub(super) mixed_case: bool,
}

impl QueryOptions {
    fn is_multicast(&self) -> bool {
        self.servers.is_empty()
    }
}

/// What a question returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The records of its type.
    #[default]
    Records,
    /// The response as it is.
    Message,
}

/// The result of a question.
pub(super) type Answer = Result<Vec<DnsRecord>, Missing>;

/// One question.
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: u16,
    wanted: Wanted,
    /// The name of the current query: the original name or the target of its alias, in the mixed
    /// case that was sent.
    query_name: Name,
    aliases: usize,
    /// Minimum TTL of the aliases so far.
    ttl: u32,
    socket: Option<Handle>,
    stream: Option<Stream>,
    /// Unanswered queries: server and identifier.
    outstanding: Vec<(SocketAddr, u16)>,
    /// Queries so far.
    queries: u32,
    /// Server failures since the last alias.
    failures: u32,
    edns: bool,
    again_ns: u64,
    /// Its result is in the cache.
    pub(super) kept: bool,
    /// The result and its TTL, or the error.
    pub(super) result: Option<Result<(Answer, u32), LookupError>>,
}

impl Question {
    pub(super) fn new(name: Name, kind: u16, wanted: Wanted) -> Question {
        Question {
            query_name: name.clone(),
            name,
            kind,
            wanted,
            aliases: 0,
            ttl: u32::MAX,
            socket: None,
            stream: None,
            outstanding: Vec::new(),
            queries: 0,
            failures: 0,
            // A caller that wants the response didn't ask for an OPT record in it.
            edns: wanted == Wanted::Records,
            again_ns: 0,
            kept: false,
            result: None,
        }
    }

    /// Whether it has found some.
    pub(super) fn has_records(&self) -> bool {
        matches!(self.result, Some(Ok((Ok(_), _))))
    }

    /// Releases its socket and stream.
    pub(super) fn close(&mut self, stack: &mut Network) {
        if let Some(socket) = self.socket.take() {
            // The handle is ours.
            let _ = stack.close(socket);
        }
        if let Some(stream) = self.stream.take() {
            stream.close(stack);
        }
    }

    /// Receives and sends. Returns the time of the next turn, `None` if it is complete.
    pub(super) fn run(&mut self, turn: &mut Turn<'_>, options: &QueryOptions) -> Option<u64> {
        let mut more = self.result.is_none() && self.listen(turn, options);
        if self.result.is_none() {
            self.run_stream(turn, options);
        }
        if self.result.is_none() && self.stream.is_none() && self.again_ns <= turn.now_ns {
            self.send_query(turn, options);
            // A transport may report what arrives only after a try to receive.
            more |= self.result.is_none() && self.listen(turn, options);
        }
        if self.result.is_some() {
            self.close(turn.stack);
            return None;
        }
        Some(match &self.stream {
            _ if more => turn.now_ns,
            Some(stream) => stream.deadline_ns,
            None => self.again_ns,
        })
    }

    /// Handles received datagrams; returns whether there may be more.
    fn listen(&mut self, turn: &mut Turn<'_>, options: &QueryOptions) -> bool {
        let Some(socket) = self.socket else {
            return false;
        };
        let mut buffer = [0; 1500];
        for _ in 0..DATAGRAMS_MAX {
            match turn.stack.udp_recv_from(socket, &mut buffer) {
                Ok((len, from)) => {
                    let cut = len > buffer.len();
                    let data = buffer.get(..len.min(buffer.len())).unwrap_or_default();
                    self.take(turn, options, data, cut, from);
                    // An alias has closed the socket.
                    if self.result.is_some() || self.stream.is_some() || self.socket.is_none() {
                        return false;
                    }
                }
                Err(Error::WouldBlock | Error::BadHandle) => return false,
                // An ICMP error: the server's timeout covers it.
                Err(_) => {}
            }
        }
        true
    }

    /// Whether `message` is a response to the question.
    fn is_answer(&self, options: &QueryOptions, message: &Message<'_>) -> bool {
        let same = |name: &Name| match options.mixed_case {
            true => name.wire() == self.query_name.wire(),
            false => *name == self.query_name,
        };
        message.is_response()
            && message.question().is_some_and(|(name, kind, class)| {
                kind == self.kind && class & 0x7fff == CLASS_IN && same(&name)
            })
    }

    fn take(
        &mut self,
        turn: &mut Turn<'_>,
        options: &QueryOptions,
        data: &[u8],
        cut: bool,
        from: SocketAddr,
    ) {
        let Some(message) = Message::new(data) else {
            return;
        };
        let id = message.id();
        let sought = |(server, query_name): &(SocketAddr, u16)| {
            // Any host on the link may answer a multicast query, and all are trusted alike.
            let same = if options.is_multicast() {
                server.port() == from.port()
            } else {
                server.ip() == from.ip() && server.port() == from.port()
            };
            same && *query_name == id
        };
        let Some(place) = self.outstanding.iter().position(sought) else {
            return;
        };
        if !self.is_answer(options, &message) {
            return;
        }
        if !options.is_multicast() {
            self.outstanding.swap_remove(place);
            if message.is_truncated() || cut {
                let query = query(id, &self.query_name, self.kind, true, self.edns);
                turn.sent = true;
                self.stream = Stream::new(turn.stack, from, id, &query, turn.now_ns);
                if self.stream.is_none() {
                    self.failed(turn, options);
                }
                return;
            }
        }
        self.read(turn, options, &message);
    }

    fn read(&mut self, turn: &mut Turn<'_>, options: &QueryOptions, message: &Message<'_>) {
        let usable = matches!(message.code(), Code::NoError | Code::NoName);
        if self.wanted == Wanted::Message && usable {
            let record = DnsRecord {
                owner: "".into(),
                ttl: 0,
                data: RecordData::Message(message.whole().to_vec()),
            };
            self.result = Some(Ok((Ok(alloc::vec![record]), 0)));
            return;
        }
        let left = ALIASES_MAX - self.aliases;
        match read(message, &self.query_name, self.kind, left) {
            // One host of many doesn't know the name: others may.
            Verdict::Answer(Err(Missing), _) if options.is_multicast() => {}
            Verdict::Answer(mut answer, ttl) => {
                for record in answer.iter_mut().flatten() {
                    record.ttl = record.ttl.min(self.ttl);
                }
                self.result = Some(Ok((answer, ttl.min(self.ttl))));
            }
            Verdict::TooManyAliases => self.result = Some(Err(LookupError::TooManyAliases)),
            Verdict::Alias(target, aliases, ttl) => {
                self.aliases += aliases;
                self.ttl = self.ttl.min(ttl);
                if target == self.name {
                    self.result = Some(Err(LookupError::TooManyAliases));
                    return;
                }
                self.query_name = target;
                // Another question: with another port.
                self.close(turn.stack);
                self.outstanding.clear();
                self.failures = 0;
                self.again_ns = turn.now_ns;
            }
            Verdict::NotUnderstood if self.edns => {
                // RFC 6891, 7: the same server once more, without it.
                self.edns = false;
                self.queries = self.queries.saturating_sub(1);
                self.again_ns = turn.now_ns;
            }
            Verdict::NotUnderstood | Verdict::Failure => {
                self.failed(turn, options);
            }
        }
    }

    /// A server failed: queries the next one at once, for a bounded number of rounds.
    fn failed(&mut self, turn: &Turn<'_>, options: &QueryOptions) {
        self.failures += 1;
        self.again_ns = turn.now_ns;
        if self.failures >= FAILED_ROUNDS * options.servers.len() as u32 {
            self.result = Some(Err(LookupError::ServerFailure));
        }
    }

    fn run_stream(&mut self, turn: &mut Turn<'_>, options: &QueryOptions) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        let id = stream.id;
        match stream.run(turn.stack, turn.now_ns) {
            Err(Error::WouldBlock) => {
                turn.sent |= stream.has_written();
                self.stream = Some(stream);
            }
            Err(error) => {
                // A server that timed out isn't retried soon.
                match error {
                    Error::TimedOut => self.again_ns = turn.now_ns,
                    _ => self.failed(turn, options),
                }
                stream.close(turn.stack);
            }
            Ok(answer) => {
                self.again_ns = turn.now_ns;
                let message = Message::new(answer)
                    .filter(|message| message.id() == id && self.is_answer(options, message));
                match message {
                    Some(message) => self.read(turn, options, &message),
                    None => self.failed(turn, options),
                }
                stream.close(turn.stack);
            }
        }
    }

    fn send_query(&mut self, turn: &mut Turn<'_>, options: &QueryOptions) {
        if options.is_multicast() && self.queries >= MULTICAST_QUERIES {
            self.result = Some(Ok((Err(Missing), 0)));
            return;
        }
        let socket = match self.socket {
            Some(socket) => socket,
            None => {
                let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
                match turn.stack.udp_bind(any) {
                    Ok(socket) => *self.socket.insert(socket),
                    Err(_) => {
                        // No port is left.
                        self.result = Some(Err(LookupError::TooMany));
                        return;
                    }
                }
            }
        };
        if options.mixed_case {
            self.query_name = self.query_name.with_mixed_case(turn.random);
        }
        let id = (turn.random)() as u16;
        let recursion = !options.is_multicast();
        let edns = self.edns && recursion;
        let query = query(id, &self.query_name, self.kind, recursion, edns);
        let count = options.servers.len().max(1);
        let round = (self.queries / count as u32).min(4);
        let timeout_ns = match options.is_multicast() {
            true => MULTICAST_TIMEOUT_NS,
            false => TIMEOUT_NS,
        };
        let next = options.servers.get(self.queries as usize % count);
        let servers = next.map_or(&MULTICAST[..], core::slice::from_ref);
        self.queries += 1;
        self.again_ns = turn.now_ns.saturating_add(timeout_ns << round);
        for server in servers.iter().copied() {
            if self.outstanding.len() >= OUTSTANDING_MAX {
                self.outstanding.remove(0);
            }
            self.outstanding.push((server, id));
            // An unreachable server counts as one that doesn't answer.
            turn.sent |= turn.stack.udp_send_to(socket, &query, server).is_ok();
        }
    }
}
