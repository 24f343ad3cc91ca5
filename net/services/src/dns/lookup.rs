//! Lookups: the names to try (RFC 1535, search list), a question per record type, and the combined
//! result.

use crate::Network;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::cache::Cache;
use super::message::{CLASS_IN, Message, RecordData, kind};
use super::name::Name;
use super::question::{self, QueryOptions, Question, Turn, Wanted};
use super::{DnsOptions, DnsRecord, Family, LOOKUPS_MAX, LookupError, Missing, RecordType, order};
use crate::{Polled, Randomness};

/// Maximum number of search domains (resolv.conf(5)).
const SEARCH_MAX: usize = 6;
/// Maximum time for all servers together.
const TIMEOUT_NS: u64 = 20_000_000_000;

/// Identifies a lookup of a resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupId(u64);

/// One lookup.
#[derive(Default)]
struct Lookup {
    id: u64,
    /// Remaining names to try, the next one last.
    names: Vec<Name>,
    kinds: Kinds,
    questions: Vec<Question>,
    options: Option<QueryOptions>,
    /// The servers of the interfaces.
    servers: Vec<SocketAddr>,
    deadline_ns: u64,
    /// When it ends without further records, once it has some.
    found_by_ns: Option<u64>,
    result: Option<Result<Vec<DnsRecord>, LookupError>>,
}

/// The types of a lookup's questions.
#[derive(Clone, Copy)]
enum Kinds {
    /// The records of these.
    Records(&'static [u16]),
    /// The response about this one.
    Message(u16),
}

impl Default for Kinds {
    fn default() -> Kinds {
        Kinds::Records(&[])
    }
}

/// State shared by all lookups.
#[derive(Default)]
struct Shared {
    cache: Cache,
    options: DnsOptions,
    search: Vec<Name>,
}

/// The resolver of one stack.
pub struct Resolver {
    lookups: Vec<Lookup>,
    next_id: u64,
    shared: Shared,
    /// [`net::Transport::configuration_generation`] that the cache belongs to.
    generation: u32,
    random: Randomness,
}

impl Lookup {
    /// Starts the next name; fails if no server is known for it.
    fn next_name(&mut self, shared: &Shared, now_ns: u64) -> Result<(), LookupError> {
        let name = self.names.pop().ok_or(LookupError::NotFound)?;
        let known = |kind: &u16| {
            let mut question = Question::new(name.clone(), *kind, Wanted::Records);
            let cached = shared.cache.get(&name, *kind, now_ns);
            question.kept = cached.is_some();
            question.result = cached.map(|answer| Ok((answer, 0)));
            question
        };
        self.questions = match self.kinds {
            Kinds::Records(kinds) => kinds.iter().map(known).collect(),
            Kinds::Message(kind) => vec![Question::new(name.clone(), kind, Wanted::Message)],
        };
        let multicast = shared.options.multicast && name.ends_with(b"local");
        if self.servers.is_empty() && !multicast && self.questions.iter().any(|q| !q.kept) {
            return Err(LookupError::NoServer);
        }
        self.options = Some(QueryOptions {
            servers: if multicast {
                Vec::new()
            } else {
                self.servers.clone()
            },
            mixed_case: shared.options.mixed_case,
        });
        Ok(())
    }

    /// Advances the lookup. Returns the time of the next turn, `None` if it is complete.
    fn run(&mut self, shared: &mut Shared, turn: &mut Turn<'_>) -> Option<u64> {
        loop {
            let mut next = Some(self.deadline_ns);
            for question in &mut self.questions {
                let options = self.options.as_ref()?;
                if let Some(at_ns) = question.run(turn, options) {
                    next = next.min(Some(at_ns));
                }
                if let (Some(Ok((answer, ttl))), Kinds::Records(_), false) =
                    (&question.result, self.kinds, question.kept)
                {
                    let (name, kind) = (&question.name, question.kind);
                    shared.cache.put(name, kind, answer, *ttl, turn.now_ns);
                    question.kept = true;
                }
            }
            if self.questions.iter().any(Question::has_records) {
                // The others get the timeout of one more server: some never answer for AAAA.
                let end_ns = turn.now_ns.saturating_add(question::TIMEOUT_NS);
                let found_by_ns = *self.found_by_ns.get_or_insert(end_ns);
                self.deadline_ns = self.deadline_ns.min(found_by_ns);
                next = next.min(Some(self.deadline_ns));
            }
            let open = self.questions.iter().any(|q| q.result.is_none());
            if open && turn.now_ns < self.deadline_ns {
                return next;
            }
            let result = self.outcome();
            let missing = result == Err(LookupError::NotFound);
            self.close(turn.stack);
            if missing && self.next_name(shared, turn.now_ns).is_ok() {
                continue;
            }
            self.result = Some(result.map(|mut records| {
                order::sort(turn.stack, &mut records);
                records
            }));
            return None;
        }
    }

    /// Combines the results of all questions: records win over failures.
    fn outcome(&mut self) -> Result<Vec<DnsRecord>, LookupError> {
        let mut found = Vec::new();
        let mut failure = None;
        for question in &mut self.questions {
            match question.result.take() {
                Some(Ok((Ok(records), _))) => found.extend(records),
                Some(Ok((Err(Missing), _))) => {}
                Some(Err(error)) => failure = Some(error),
                None => failure = Some(LookupError::TimedOut),
            }
        }
        if found.is_empty() {
            Err(failure.unwrap_or(LookupError::NotFound))
        } else {
            Ok(found)
        }
    }

    fn close(&mut self, stack: &mut Network) {
        for mut question in self.questions.drain(..) {
            question.close(stack);
        }
    }
}

impl Resolver {
    /// A resolver with an empty cache.
    pub fn new(random: Randomness) -> Resolver {
        Resolver {
            lookups: Vec::new(),
            next_id: 0,
            shared: Shared::default(),
            generation: 0,
            random,
        }
    }

    /// Sets the options of lookups from now on. [`LookupError::InvalidName`] if a domain isn't a
    /// name, [`LookupError::TooMany`] if there are more than six.
    pub fn configure(&mut self, options: DnsOptions) -> Result<(), LookupError> {
        let names = options.search.iter().map(|domain| Name::from_text(domain));
        let search = names.collect::<Option<Vec<Name>>>();
        let search = search.ok_or(LookupError::InvalidName)?;
        if search.len() > SEARCH_MAX {
            return Err(LookupError::TooMany);
        }
        self.shared.search = search;
        self.shared.options = options;
        Ok(())
    }

    /// Starts a lookup of the addresses of a name. Numeric addresses and `localhost` are resolved
    /// at once, without a server.
    ///
    /// Immediate errors: [`LookupError::InvalidName`], [`LookupError::NoServer`],
    /// [`LookupError::NotFound`] (a numeric address of the other family), [`LookupError::TooMany`].
    pub fn addresses(
        &mut self,
        stack: &mut Network,
        now_ns: u64,
        name: &str,
        family: Family,
    ) -> Result<LookupId, LookupError> {
        let wanted = |address: &IpAddr| match family {
            Family::Any | Family::Both => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        };
        let literal = name
            .strip_prefix('[')
            .and_then(|n| n.strip_suffix(']'))
            .unwrap_or(name);
        if let Ok(address) = literal.parse::<IpAddr>() {
            return if wanted(&address) {
                self.add_known(&[address])
            } else {
                Err(LookupError::NotFound)
            };
        }
        let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        // RFC 6761, 6.3: never queried.
        if plain == "localhost" || plain.ends_with(".localhost") {
            let all = [
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ];
            let found: Vec<IpAddr> = all.into_iter().filter(wanted).collect();
            return self.add_known(&found);
        }
        let kinds = match family {
            Family::Both => &[kind::A, kind::AAAA][..],
            Family::Any if has_global_v6(stack) => &[kind::A, kind::AAAA],
            Family::Any | Family::V4 => &[kind::A],
            Family::V6 => &[kind::AAAA],
        };
        self.start(stack, now_ns, name, Kinds::Records(kinds))
    }

    /// Starts a query for what another resolver asks: `query` is a message with one question of any
    /// type. The result is one record with the response, under the identifier of `query`.
    /// [`LookupError::InvalidName`] for anything else.
    pub fn message(
        &mut self,
        stack: &mut Network,
        now_ns: u64,
        query: &[u8],
    ) -> Result<LookupId, LookupError> {
        let question = Message::new(query).filter(Message::is_query);
        let question = question.and_then(|message| message.question());
        let (name, kind, _) = question
            .filter(|(.., class)| *class == CLASS_IN)
            .ok_or(LookupError::InvalidName)?;
        self.start_names(stack, now_ns, vec![name], Kinds::Message(kind))
    }

    /// Starts a lookup of records of a name. Like [`Resolver::addresses`], but always uses a server
    /// or the cache.
    pub fn records(
        &mut self,
        stack: &mut Network,
        now_ns: u64,
        name: &str,
        records: RecordType,
    ) -> Result<LookupId, LookupError> {
        let kinds = match records {
            RecordType::A => &[kind::A],
            RecordType::Aaaa => &[kind::AAAA],
            RecordType::Cname => &[kind::CNAME],
            RecordType::Ptr => &[kind::PTR],
            RecordType::Srv => &[kind::SRV],
            RecordType::Txt => &[kind::TXT],
        };
        self.start(stack, now_ns, name, Kinds::Records(kinds))
    }

    /// Takes the result: the records (never none) in the order in which to use them (addresses by
    /// RFC 6724, services by priority), the error, or [`LookupError::Pending`]. The lookup is
    /// removed, unless it is pending.
    pub fn take(&mut self, id: LookupId) -> Result<Vec<DnsRecord>, LookupError> {
        let place = self.place(id).ok_or(LookupError::Unknown)?;
        let lookup = self.lookups.get(place).ok_or(LookupError::Unknown)?;
        if lookup.result.is_none() {
            return Err(LookupError::Pending);
        }
        let lookup = self.lookups.swap_remove(place);
        lookup.result.unwrap_or(Err(LookupError::Unknown))
    }

    /// [`Resolver::take`] for a lookup of addresses.
    pub fn take_addresses(&mut self, id: LookupId) -> Result<Vec<IpAddr>, LookupError> {
        let address = |record: DnsRecord| match record.data {
            RecordData::Address(address) => Some(address),
            _ => None,
        };
        Ok(self.take(id)?.into_iter().filter_map(address).collect())
    }

    /// Ends a lookup, complete or not.
    pub fn cancel(&mut self, stack: &mut Network, id: LookupId) {
        if let Some(place) = self.place(id) {
            self.lookups.swap_remove(place).close(stack);
        }
    }

    /// Sends and receives for all pending lookups. Call it after each [`net::Transport::poll`]
    /// while there are any.
    pub fn poll(&mut self, stack: &mut Network, now_ns: u64) -> Polled {
        let mut turn = Turn {
            stack,
            random: &mut self.random,
            now_ns,
            sent: false,
        };
        let mut next_ns: Option<u64> = None;
        for lookup in self.lookups.iter_mut().filter(|l| l.result.is_none()) {
            let again = lookup.run(&mut self.shared, &mut turn);
            next_ns = [next_ns, again].into_iter().flatten().min();
        }
        Polled {
            sent: turn.sent,
            next_ns,
        }
    }

    fn place(&self, id: LookupId) -> Option<usize> {
        self.lookups.iter().position(|lookup| lookup.id == id.0)
    }

    fn add(&mut self, mut lookup: Lookup) -> Result<LookupId, LookupError> {
        if self.lookups.len() >= LOOKUPS_MAX {
            return Err(LookupError::TooMany);
        }
        self.next_id += 1;
        lookup.id = self.next_id;
        self.lookups.push(lookup);
        Ok(LookupId(self.next_id))
    }

    fn add_known(&mut self, addresses: &[IpAddr]) -> Result<LookupId, LookupError> {
        let record = |address: &IpAddr| DnsRecord {
            owner: "".into(),
            ttl: 0,
            data: RecordData::Address(*address),
        };
        self.add(Lookup {
            result: Some(Ok(addresses.iter().map(record).collect())),
            ..Lookup::default()
        })
    }

    fn start(
        &mut self,
        stack: &mut Network,
        now_ns: u64,
        name: &str,
        kinds: Kinds,
    ) -> Result<LookupId, LookupError> {
        let wire = Name::from_text(name).ok_or(LookupError::InvalidName)?;
        let search = self.search(stack);
        let names = candidates(name, wire, &search, &self.shared.options);
        self.start_names(stack, now_ns, names, kinds)
    }

    /// The search domains: the configured ones, or those that the interfaces have learned.
    fn search(&self, stack: &mut Network) -> Vec<Name> {
        match self.shared.search.is_empty() {
            true => learned_domains(stack),
            false => self.shared.search.clone(),
        }
    }

    /// The same as text.
    pub fn search_domains(&self, stack: &mut Network) -> Vec<String> {
        self.search(stack).iter().map(Name::text).collect()
    }

    fn start_names(
        &mut self,
        stack: &mut Network,
        now_ns: u64,
        names: Vec<Name>,
        kinds: Kinds,
    ) -> Result<LookupId, LookupError> {
        let shared = &mut self.shared;
        let generation = stack.configuration_generation();
        if generation != self.generation {
            // Other servers may know other names.
            self.generation = generation;
            shared.cache.clear();
        }
        let mut lookup = Lookup {
            names,
            kinds,
            servers: name_servers(stack),
            deadline_ns: now_ns.saturating_add(TIMEOUT_NS),
            ..Lookup::default()
        };
        lookup.next_name(shared, now_ns)?;
        if lookup.questions.iter().all(|question| question.kept) {
            // The whole result is in the cache.
            let mut turn = Turn {
                stack,
                random: &mut self.random,
                now_ns,
                sent: false,
            };
            lookup.run(shared, &mut turn);
        }
        self.add(lookup)
    }
}

/// The name servers that lookups use, in this order.
pub fn name_servers(stack: &mut Network) -> Vec<SocketAddr> {
    if let Some(servers) = stack.name_servers() {
        return servers;
    }
    let statuses = stack.interfaces().into_iter();
    let statuses = statuses.filter_map(|id| stack.interface_status(id));
    statuses.flat_map(|status| status.dns_servers).collect()
}

/// The search domains that the interfaces have learned. What isn't a name is ignored.
fn learned_domains(stack: &mut Network) -> Vec<Name> {
    let statuses = stack.interfaces().into_iter();
    let statuses = statuses.filter_map(|id| stack.interface_status(id));
    let domains = statuses.flat_map(|status| status.search_domains);
    let names = domains.filter_map(|domain| Name::from_text(&domain));
    names.take(SEARCH_MAX).collect()
}

fn has_global_v6(stack: &mut Network) -> bool {
    let statuses = stack.interfaces().into_iter();
    let mut statuses = statuses.filter_map(|id| stack.interface_status(id));
    statuses.any(|status| {
        status.addresses.iter().any(|cidr| match cidr.address {
            IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
            IpAddr::V4(_) => false,
        })
    })
}

/// The names to try for `text`, the first one last.
fn candidates(text: &str, name: Name, search: &[Name], options: &DnsOptions) -> Vec<Name> {
    if text.ends_with('.') {
        return vec![name];
    }
    let dots = name.labels().count().saturating_sub(1);
    let below = search.iter().rev().filter_map(|suffix| name.below(suffix));
    let mut names: Vec<Name> = below.collect();
    if dots >= options.ndots {
        names.push(name);
    } else {
        names.insert(0, name);
    }
    names
}
