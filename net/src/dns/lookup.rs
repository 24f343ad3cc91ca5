//! One lookup: the names to try (RFC 1535, search list), a question for each type of record, and
//! what is told of the answers.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::{RecordData, kind};
use super::name::Name;
use super::question::{Manner, Question};
use super::{DnsOptions, DnsRecord, LOOKUPS_MAX, Missing, RecordType, order};
use crate::shared::Socket;
use crate::stack::AddressFamily;
use crate::tcp::connection::Wakes;
use crate::{Error, Handle, Stack};

/// Domains of the search list (resolv.conf(5)).
const SEARCH_MAX: usize = 6;

/// One lookup.
#[derive(Default)]
pub(crate) struct Lookup {
    /// Names that are still to be tried, the next one last.
    names: Vec<Name>,
    kinds: &'static [u16],
    questions: Vec<Question>,
    manner: Option<Manner>,
    /// The servers of the interfaces.
    servers: Vec<IpAddr>,
    deadline_ns: u64,
    result: Option<Result<Vec<DnsRecord>, Error>>,
    pub(crate) wakes: Wakes,
}

impl Lookup {
    fn done(addresses: Vec<IpAddr>) -> Lookup {
        let record = |address| DnsRecord {
            ttl: 0,
            data: RecordData::Address(address),
        };
        Lookup {
            result: Some(Ok(addresses.into_iter().map(record).collect())),
            ..Lookup::default()
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.result.is_some()
    }

    /// Begins with the next name; fails if no server is known for it.
    fn next_name(&mut self, stack: &Stack) -> Result<(), Error> {
        let name = self.names.pop().ok_or(Error::NameNotFound)?;
        let names = &stack.core.names;
        let known = |kind: &u16| {
            let mut question = Question::new(name.clone(), *kind);
            let cached = names.cache.get(&name, *kind, stack.core.now_ns);
            question.kept = cached.is_some();
            question.result = cached.map(|answer| Ok((answer, 0)));
            question
        };
        self.questions = self.kinds.iter().map(known).collect();
        let multicast = names.options.multicast && name.ends_with(b"local");
        if self.servers.is_empty() && !multicast && self.questions.iter().any(|q| !q.kept) {
            return Err(Error::NoNameServer);
        }
        self.manner = Some(Manner {
            servers: if multicast {
                Vec::new()
            } else {
                self.servers.clone()
            },
            mixed_case: names.options.mixed_case,
        });
        Ok(())
    }

    /// Moves on. Gives the time of the next turn, `None` if it is done.
    fn run(&mut self, stack: &mut Stack, now_ns: u64) -> Option<u64> {
        loop {
            let mut next = Some(self.deadline_ns);
            for question in &mut self.questions {
                let manner = self.manner.as_ref()?;
                if let Some(at_ns) = question.run(stack, manner, now_ns) {
                    next = next.min(Some(at_ns));
                }
                if let (Some(Ok((answer, ttl))), false) = (&question.result, question.kept) {
                    let (name, kind) = (&question.name, question.kind);
                    let cache = &mut stack.core.names.cache;
                    cache.put(name, kind, answer, *ttl, now_ns);
                    question.kept = true;
                }
            }
            if now_ns < self.deadline_ns && self.questions.iter().any(|q| q.result.is_none()) {
                return next;
            }
            let result = self.outcome();
            let missing = result == Err(Error::NameNotFound);
            self.close(stack);
            if missing && !self.names.is_empty() && self.next_name(stack).is_ok() {
                continue;
            }
            self.result = Some(result.map(|records| order::sorted(stack, records)));
            return None;
        }
    }

    /// What the questions gave: what was found wins over what failed.
    fn outcome(&mut self) -> Result<Vec<DnsRecord>, Error> {
        let mut found = Vec::new();
        let mut failure = None;
        for question in &mut self.questions {
            match question.result.take() {
                Some(Ok((Ok(records), _))) => found.extend(records),
                Some(Ok((Err(Missing), _))) => {}
                Some(Err(error)) => failure = Some(error),
                None => failure = Some(Error::TimedOut),
            }
        }
        if found.is_empty() {
            Err(failure.unwrap_or(Error::NameNotFound))
        } else {
            Ok(found)
        }
    }

    fn close(&mut self, stack: &mut Stack) {
        for mut question in self.questions.drain(..) {
            question.close(stack);
        }
    }
}

/// What has its turn in [`Stack::run_lookups`].
fn run_all(stack: &mut Stack) -> Option<u64> {
    let now_ns = stack.core.now_ns;
    let mut next = None;
    let mut at = 0;
    while let Some(&handle) = stack.core.names.running.get(at) {
        let mut lookup = match stack.core.sockets.get_mut(handle) {
            // Taken out, since it needs the other sockets.
            Some(Socket::Lookup(lookup)) => core::mem::take(lookup),
            _ => {
                stack.core.names.running.swap_remove(at);
                continue;
            }
        };
        let again = lookup.run(stack, now_ns);
        let waiting = again.is_none() && core::mem::take(&mut lookup.wakes.read);
        if let Some(Socket::Lookup(place)) = stack.core.sockets.get_mut(handle) {
            *place = lookup;
        }
        if waiting {
            stack.core.tell(handle);
        }
        match again {
            Some(at_ns) => {
                next = Some(next.map_or(at_ns, |next: u64| next.min(at_ns)));
                at += 1;
            }
            None => {
                stack.core.names.running.swap_remove(at);
            }
        }
    }
    next
}

/// Names.
impl Stack {
    /// Starts looking the addresses of a name up. Numeric addresses and `localhost` are answered
    /// without a server.
    ///
    /// The handle becomes readable when the answer (or failure) is there. Errors at once:
    /// [`Error::InvalidArgument`] (not a name), [`Error::NoNameServer`], [`Error::NameNotFound`] (a
    /// numeric address of the other family), [`Error::OutOfMemory`] (too many lookups).
    pub fn dns_lookup(&mut self, name: &str, family: AddressFamily) -> Result<Handle, Error> {
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
                Ok(self.add_lookup(Lookup::done(vec![address])))
            } else {
                Err(Error::NameNotFound)
            };
        }
        let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        // RFC 6761, 6.3: such names are never asked for.
        if plain == "localhost" || plain.ends_with(".localhost") {
            let all = [
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ];
            let found = all.into_iter().filter(wanted).collect();
            return Ok(self.add_lookup(Lookup::done(found)));
        }
        let kinds = match family {
            AddressFamily::Any if self.has_global_v6() => &[kind::A, kind::AAAA][..],
            AddressFamily::Any | AddressFamily::V4 => &[kind::A],
            AddressFamily::V6 => &[kind::AAAA],
        };
        self.new_lookup(name, kinds)
    }

    /// Starts looking records of a name up, which [`Stack::dns_records`] gives. Like
    /// [`Stack::dns_lookup`], but nothing is answered without a server or the cache.
    pub fn dns_query(&mut self, name: &str, records: RecordType) -> Result<Handle, Error> {
        let kinds = match records {
            RecordType::A => &[kind::A],
            RecordType::Aaaa => &[kind::AAAA],
            RecordType::Cname => &[kind::CNAME],
            RecordType::Ptr => &[kind::PTR],
            RecordType::Srv => &[kind::SRV],
            RecordType::Txt => &[kind::TXT],
        };
        self.new_lookup(name, kinds)
    }

    /// The addresses found, never none, in the order in which to try them (RFC 6724).
    /// [`Error::WouldBlock`] as long as servers are asked; [`Error::NameNotFound`],
    /// [`Error::NameServerFailure`] and [`Error::TimedOut`] tell how it failed. The answer stays
    /// until the handle is closed.
    pub fn dns_result(&mut self, lookup: Handle) -> Result<Vec<IpAddr>, Error> {
        let address = |record: DnsRecord| match record.data {
            RecordData::Address(address) => Some(address),
            _ => None,
        };
        let records = self.dns_records(lookup)?;
        Ok(records.into_iter().filter_map(address).collect())
    }

    /// The records found, never none; otherwise as [`Stack::dns_result`]. Those of SRV are in the
    /// order of RFC 2782 as far as priorities go.
    pub fn dns_records(&mut self, lookup: Handle) -> Result<Vec<DnsRecord>, Error> {
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

    /// Says how names are looked up from now on. [`Error::InvalidArgument`] if a domain isn't a name
    /// or there are too many.
    pub fn dns_configure(&mut self, options: DnsOptions) -> Result<(), Error> {
        let names = options.search.iter().map(|domain| Name::from_text(domain));
        let search: Option<Vec<Name>> = names.collect();
        let search = search.filter(|search| search.len() <= SEARCH_MAX);
        self.core.names.search = search.ok_or(Error::InvalidArgument)?;
        self.core.names.options = options;
        Ok(())
    }

    /// Ends a lookup, done or not.
    pub(crate) fn close_lookup(&mut self, handle: Handle) {
        if let Some(Socket::Lookup(mut lookup)) = self.core.sockets.remove(handle) {
            lookup.close(self);
        }
    }

    fn add_lookup(&mut self, lookup: Lookup) -> Handle {
        let running = !lookup.is_done();
        let handle = self.core.sockets.insert(Socket::Lookup(Box::new(lookup)));
        if running {
            self.core.names.running.push(handle);
        }
        handle
    }

    fn new_lookup(&mut self, name: &str, kinds: &'static [u16]) -> Result<Handle, Error> {
        let name_wire = Name::from_text(name).ok_or(Error::InvalidArgument)?;
        if self.core.names.running.len() >= LOOKUPS_MAX {
            return Err(Error::OutOfMemory);
        }
        let generation = self.configuration_generation();
        let names = &mut self.core.names;
        names.run = Some(run_all);
        if generation != names.generation {
            // Other servers may know other names.
            names.generation = generation;
            names.cache.clear();
        }
        let mut lookup = Lookup {
            names: candidates(name, name_wire, &names.search, &names.options),
            kinds,
            servers: self.name_servers(),
            deadline_ns: self
                .core
                .now_ns
                .saturating_add(self.core.config.dns_timeout_ns),
            ..Lookup::default()
        };
        lookup.next_name(self)?;
        if lookup.questions.iter().all(|question| question.kept) {
            // All of it is in the cache.
            lookup.run(self, self.core.now_ns);
        }
        Ok(self.add_lookup(lookup))
    }

    fn name_servers(&self) -> Vec<IpAddr> {
        let statuses = self.interfaces().into_iter();
        let statuses = statuses.filter_map(|id| self.interface_status(id));
        statuses.flat_map(|status| status.dns_servers).collect()
    }

    fn has_global_v6(&self) -> bool {
        let statuses = self.interfaces().into_iter();
        let mut statuses = statuses.filter_map(|id| self.interface_status(id));
        statuses.any(|status| {
            status.addresses.iter().any(|cidr| match cidr.address {
                IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
                IpAddr::V4(_) => false,
            })
        })
    }
}

/// The names to try for one that was given as `text`, the first one last.
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
