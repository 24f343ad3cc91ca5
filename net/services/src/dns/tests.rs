//! Lookups against another stack as the server, in virtual time.

use core::net::{IpAddr, SocketAddr};

use super::message::{Message, RecordData, kind};
use super::name::Name;
use super::{DnsOptions, DnsRecord, Family, LookupError, LookupId, RecordType, Resolver};
use crate::testing::{MS, SECOND, address, randomness, ready};
use net::sim::{Cable, Impairment, Offloads, World};
use net::{Config, Handle, InterfaceConfig};

/// A server's response: bytes after the query's header and question, and the two flag bytes and the
/// counts of the header.
type Zone = Box<dyn FnMut(&str, u16, bool) -> Reply>;

#[derive(Clone, Default)]
struct Reply {
    flags: u16,
    /// Owner (`None`: the queried name), type, TTL, data.
    answers: Vec<(Option<&'static str>, u16, u32, Vec<u8>)>,
    /// Negative TTL of a SOA record.
    soa: Option<u32>,
    silent: bool,
    /// Changes the question to capitals.
    shouts: bool,
}

impl Reply {
    fn addresses(count: u8) -> Reply {
        let answers = (1..=count).map(|n| (None, kind::A, 60, vec![192, 0, 2, n]));
        Reply {
            answers: answers.collect(),
            ..Reply::default()
        }
    }

    fn code(flags: u16) -> Reply {
        Reply {
            flags,
            ..Reply::default()
        }
    }

    fn bytes(&self, query: &[u8]) -> Vec<u8> {
        let message = Message::new(query).expect("a query");
        let (name, asked, _) = message.question().expect("one question");
        let name = match self.shouts {
            true => Name::from_text(&name.text().to_ascii_uppercase()).expect("a name"),
            false => name,
        };
        let mut bytes = message.id().to_be_bytes().to_vec();
        bytes.extend((0x8180 | self.flags).to_be_bytes());
        bytes.extend([
            0,
            1,
            0,
            self.answers.len() as u8,
            0,
            u8::from(self.soa.is_some()),
            0,
            0,
        ]);
        bytes.extend(name.wire());
        bytes.extend(asked.to_be_bytes());
        bytes.extend([0, 1]);
        let mut put = |owner: Option<&str>, kind: u16, ttl: u32, data: &[u8]| {
            match owner {
                Some(owner) => bytes.extend(Name::from_text(owner).expect("a name").wire()),
                None => bytes.extend([0xc0, 12]),
            }
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1]);
            bytes.extend(ttl.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        };
        for (owner, kind, ttl, data) in &self.answers {
            put(*owner, *kind, *ttl, data);
        }
        if let Some(negative) = self.soa {
            let mut data = vec![0; 18];
            data.extend(negative.to_be_bytes());
            put(None, kind::SOA, 3600, &data);
        }
        bytes
    }
}

/// A client, stack 0, and a server, stack 1, at 10.0.0.2.
struct Lab {
    world: World,
    resolver: Resolver,
    zone: Zone,
    udp: Handle,
    listener: Handle,
    streams: Vec<(Handle, Vec<u8>)>,
    /// Name, type, over TCP, with EDNS0, and the port that each query came from.
    queries: Vec<(String, u16, bool, bool, u16)>,
}

fn lab(zone: impl FnMut(&str, u16, bool) -> Reply + 'static) -> Lab {
    lab_with(&["10.0.0.2".parse().expect("an address")], zone)
}

fn lab_with(servers: &[IpAddr], zone: impl FnMut(&str, u16, bool) -> Reply + 'static) -> Lab {
    let servers = servers.iter().map(|ip| SocketAddr::new(*ip, 53));
    lab_at(&servers.collect::<Vec<_>>(), zone)
}

fn lab_at(servers: &[SocketAddr], zone: impl FnMut(&str, u16, bool) -> Reply + 'static) -> Lab {
    let impairment = Impairment {
        delay_ns: MS,
        ..Default::default()
    };
    let mut world = World::new();
    let cable = Cable::new(impairment, 1);
    for end in 0..2 {
        let link = cable.link(end, World::mac(end), 1500, Offloads::default());
        let mut stack = world.stack(Config::default(), end as u64);
        let config = InterfaceConfig {
            addresses: vec![
                format!("10.0.0.{}/24", end + 1)
                    .parse()
                    .expect("an address"),
            ],
            dns_servers: servers.to_vec(),
            dad_transmits: 0,
            ..Default::default()
        };
        stack
            .add_interface(link, &config)
            .expect("a sound configuration");
        world.stacks.push(stack);
    }
    world.cables.push(cable);
    world.run_now();
    let at = address("10.0.0.2:53");
    let udp = world.stacks[1].udp_bind(at).expect("a free port");
    let listener = world.stacks[1].tcp_listen(at, 8).expect("a free port");
    Lab {
        world,
        resolver: Resolver::new(randomness(5)),
        zone: Box::new(zone),
        udp,
        listener,
        streams: Vec::new(),
        queries: Vec::new(),
    }
}

impl Lab {
    fn serve(&mut self) {
        let stack = &mut self.world.stacks[1];
        let mut answer = |query: &[u8], tcp: bool, port: u16, zone: &mut Zone| {
            let message = Message::new(query).expect("a query");
            let (name, kind, class) = message.question().expect("one question");
            assert!(message.is_query() && class == 1);
            let edns = query.get(10..12) == Some(&[0, 1]);
            self.queries.push((name.text(), kind, tcp, edns, port));
            let reply = zone(&name.text(), kind, tcp);
            (!reply.silent).then(|| reply.bytes(query))
        };
        let mut buffer = [0; 1500];
        while let Some((len, from)) = ready(stack.udp_recv_from(self.udp, &mut buffer)) {
            if let Some(reply) = answer(&buffer[..len], false, from.port(), &mut self.zone) {
                stack.udp_send_to(self.udp, &reply, from).expect("a route");
            }
        }
        while let Some(connection) = ready(stack.tcp_accept(self.listener)) {
            self.streams.push((connection, Vec::new()));
        }
        for (connection, query) in &mut self.streams {
            let mut buffer = [0; 1500];
            let Ok(len) = stack.tcp_read(*connection, &mut buffer) else {
                continue;
            };
            query.extend(&buffer[..len]);
            let whole = len > 0 && query.len() >= 2 && query.len() == 2 + query[1] as usize;
            if whole && let Some(reply) = answer(&query[2..], true, 0, &mut self.zone) {
                let mut framed = (reply.len() as u16).to_be_bytes().to_vec();
                framed.extend(reply);
                // In two pieces, split within the length.
                stack.tcp_write(*connection, &framed[..1]).expect("room");
                stack.tcp_write(*connection, &framed[1..]).expect("room");
            }
        }
    }

    /// Runs until the lookups have nothing more to do now.
    fn turn(&mut self) {
        loop {
            self.world.run_now();
            self.serve();
            let now_ns = self.world.now_ns;
            if !self.resolver.poll(&mut self.world.stacks[0], now_ns).sent {
                self.world.run_now();
                return;
            }
        }
    }

    fn finish(&mut self, lookup: LookupId) -> Result<Vec<DnsRecord>, LookupError> {
        let end_ns = self.world.now_ns + 60 * SECOND;
        loop {
            self.turn();
            let result = self.resolver.take(lookup);
            if result != Err(LookupError::Pending) {
                assert_eq!(self.resolver.take(lookup), Err(LookupError::Unknown));
                return result;
            }
            assert!(self.world.now_ns < end_ns, "no answer in a minute");
            let now_ns = self.world.now_ns;
            let polled = self.resolver.poll(&mut self.world.stacks[0], now_ns);
            let next = polled.next_ns.expect("a lookup is pending");
            self.world
                .step(next.saturating_sub(now_ns).clamp(1, SECOND));
        }
    }

    fn addresses(&mut self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let (stack, now_ns) = (&mut self.world.stacks[0], self.world.now_ns);
        let lookup = self.resolver.addresses(stack, now_ns, name, Family::V4)?;
        let address = |record: DnsRecord| match record.data {
            RecordData::Address(address) => address,
            other => panic!("{other:?}"),
        };
        Ok(self.finish(lookup)?.into_iter().map(address).collect())
    }

    fn records(&mut self, name: &str, kind: RecordType) -> Result<Vec<DnsRecord>, LookupError> {
        let (stack, now_ns) = (&mut self.world.stacks[0], self.world.now_ns);
        let lookup = self.resolver.records(stack, now_ns, name, kind)?;
        self.finish(lookup)
    }

    fn names(&self) -> Vec<&str> {
        self.queries.iter().map(|query| query.0.as_str()).collect()
    }
}

#[test]
fn what_does_not_fit_comes_over_tcp() {
    let mut lab = lab(|_, _, tcp| match tcp {
        true => Reply::addresses(30),
        false => Reply::code(0x0200),
    });
    assert_eq!(lab.addresses("many.example").expect("found").len(), 30);
    let kinds: Vec<_> = lab.queries.iter().map(|query| (query.2, query.3)).collect();
    assert_eq!(kinds, [(false, true), (true, true)]);
    assert!(lab.world.now_ns < SECOND);
}

#[test]
fn a_server_whose_tcp_is_silent_ends_in_time() {
    let mut lab = lab(|_, _, tcp| Reply {
        flags: 0x0200,
        silent: tcp,
        ..Reply::default()
    });
    assert_eq!(lab.addresses("many.example"), Err(LookupError::TimedOut));
    assert!(lab.world.now_ns < 22 * SECOND);
}

#[test]
fn a_server_that_refuses_tcp_is_not_asked_for_ever() {
    let mut lab = lab(|_, _, _| Reply::code(0x0200));
    let stack = &mut lab.world.stacks[1];
    stack.close(lab.listener).expect("the listener");
    let elsewhere = stack.tcp_listen(address("10.0.0.2:54"), 8);
    lab.listener = elsewhere.expect("a free port");
    assert_eq!(
        lab.addresses("many.example"),
        Err(LookupError::ServerFailure)
    );
    assert_eq!(lab.queries.len(), 2);
    assert!(lab.world.now_ns < SECOND);
}

#[test]
fn records_of_services_texts_and_pointers() {
    let mut lab = lab(|_, wanted, _| {
        let service = |priority: u8, target: &str| {
            let mut data = vec![0, priority, 0, 5, 1, 0xbb];
            data.extend(Name::from_text(target).expect("a name").wire());
            (None, kind::SRV, 60, data)
        };
        let answers = match wanted {
            kind::SRV => vec![service(9, "last.example"), service(1, "first.example")],
            kind::TXT => vec![(None, kind::TXT, 60, b"\x05hello\0\x01!".to_vec())],
            kind::PTR => vec![(None, kind::PTR, 60, b"\x01h\x07example\0".to_vec())],
            _ => vec![],
        };
        Reply {
            answers,
            ..Reply::default()
        }
    });
    let data = |records: Vec<DnsRecord>| records.into_iter().map(|r| r.data).collect::<Vec<_>>();
    let services = data(
        lab.records("_s._tcp.example", RecordType::Srv)
            .expect("found"),
    );
    let target = |n: usize| match &services[n] {
        RecordData::Service {
            target,
            port: 443,
            weight: 5,
            ..
        } => target.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!([target(0), target(1)], ["first.example", "last.example"]);
    let text = vec![b"hello".to_vec(), vec![], b"!".to_vec()];
    let texts = data(lab.records("example", RecordType::Txt).expect("found"));
    assert_eq!(texts, [RecordData::Text(text)]);
    let pointers = data(
        lab.records("1.2.0.192.in-addr.arpa", RecordType::Ptr)
            .expect("found"),
    );
    assert_eq!(pointers, [RecordData::Name("h.example".into())]);
    assert_eq!(
        lab.records("example", RecordType::Cname),
        Err(LookupError::NotFound)
    );
}

#[test]
fn answers_are_kept_as_long_as_they_say() {
    let mut lab = lab(|name, _, _| match name {
        "there.example" => Reply::addresses(1),
        _ => Reply {
            flags: 3,
            soa: Some(30),
            ..Reply::default()
        },
    });
    for _ in 0..3 {
        assert!(lab.addresses("there.example").is_ok());
        assert!(lab.addresses("THERE.example").is_ok());
        assert_eq!(lab.addresses("not.example"), Err(LookupError::NotFound));
    }
    assert_eq!(lab.names(), ["there.example", "not.example"]);
    lab.world.advance(31 * SECOND);
    assert_eq!(lab.addresses("not.example"), Err(LookupError::NotFound));
    assert!(lab.addresses("there.example").is_ok());
    assert_eq!(lab.queries.len(), 3);
    lab.world.advance(31 * SECOND);
    assert!(lab.addresses("there.example").is_ok());
    assert_eq!(lab.queries.len(), 4);
}

#[test]
fn aliases_of_other_zones_are_asked_for() {
    let mut lab = lab(|name, _, _| match name {
        "a.example" => Reply {
            answers: vec![(None, kind::CNAME, 20, b"\x01b\x04test\0".to_vec())],
            ..Reply::default()
        },
        _ => Reply::addresses(1),
    });
    let records = lab.records("a.example", RecordType::A).expect("found");
    assert_eq!(records[0].ttl, 20);
    assert_eq!(lab.names(), ["a.example", "b.test"]);
    // Another question, another port (RFC 5452).
    assert_ne!(lab.queries[0].4, lab.queries[1].4);
}

#[test]
fn aliases_in_a_circle_end() {
    let mut lab = lab(|name, _, _| {
        let (number, _) = name.split_once('.').expect("a dot");
        let next = (number.parse::<u32>().expect("a number") + 1) % 20;
        let target = Name::from_text(&format!("{next}.example")).expect("a name");
        Reply {
            answers: vec![(None, kind::CNAME, 20, target.wire().to_vec())],
            ..Reply::default()
        }
    });
    let failure = lab.addresses("0.example").expect_err("a circle");
    assert_eq!(failure, LookupError::TooManyAliases);
    assert!(failure.to_string().contains("16 aliases"), "{failure}");
    assert_eq!(lab.queries.len(), 17);
}

/// Whole chains in one response, or one alias in each; the records belong to the last name.
#[test]
fn sixteen_aliases_are_followed_across_responses() {
    for (each, count, expected) in [
        (1, 16, Ok(1)),
        (1, 17, Err(LookupError::TooManyAliases)),
        (5, 15, Ok(1)),
        (5, 20, Err(LookupError::TooManyAliases)),
    ] {
        let names: [&'static str; 21] = core::array::from_fn(|n| &*format!("n{n}.test").leak());
        let mut lab = lab(move |name, _, _| {
            let at = names.iter().position(|known| *known == name);
            let at = at.expect("a name of the chain");
            let end = (at + each).min(count);
            let target = |n: usize| Name::from_text(names[n]).expect("a name");
            let alias = |n: usize| {
                let data = target(n + 1).wire().to_vec();
                (Some(names[n]), kind::CNAME, 20, data)
            };
            match at == count {
                true => Reply::addresses(1),
                false => Reply {
                    answers: (at..end).map(alias).collect(),
                    ..Reply::default()
                },
            }
        });
        let found = lab.records("n0.test", RecordType::A);
        if let Ok(records) = &found {
            assert_eq!(*records[0].owner, *names[count]);
        }
        let found = found.map(|records| records.len());
        assert_eq!(found, expected, "{count} aliases, {each} at a time");
    }
}

/// With both types asked for, addresses of one are the answer, whatever comes of the other: an
/// error, no such name, a response of the other type, or none.
#[test]
fn a_failure_about_one_family_leaves_the_other() {
    type Refusal = (&'static str, fn() -> Reply);
    let refusals: [Refusal; 6] = [
        ("no such name", || Reply::code(3)),
        ("server failure", || Reply::code(2)),
        ("refused", || Reply::code(5)),
        ("not implemented", || Reply::code(4)),
        ("the other type", || Reply::addresses(1)),
        ("silence", || Reply {
            silent: true,
            ..Reply::default()
        }),
    ];
    for (what, refusal) in refusals {
        let mut lab = lab(move |_, wanted, _| match wanted {
            kind::A => Reply::addresses(2),
            _ => refusal(),
        });
        let (stack, now_ns) = (&mut lab.world.stacks[0], lab.world.now_ns);
        let lookup = lab
            .resolver
            .addresses(stack, now_ns, "host.example", Family::Both);
        let found = lab.finish(lookup.expect("begun"));
        assert_eq!(found.map(|records| records.len()), Ok(2), "{what}");
        // At most one timeout of a server later.
        assert!(lab.world.now_ns < 2 * SECOND, "{what}");
        let kinds: Vec<u16> = lab.queries.iter().take(2).map(|query| query.1).collect();
        assert_eq!(kinds, [kind::A, kind::AAAA], "both at once: {what}");
    }
}

#[test]
fn a_hundred_addresses_come_over_tcp_and_are_kept() {
    let mut lab = lab(|_, _, tcp| match tcp {
        true => Reply::addresses(100),
        false => Reply::code(0x0200),
    });
    for _ in 0..2 {
        assert_eq!(lab.addresses("many.example").expect("found").len(), 100);
    }
    assert_eq!(lab.queries.len(), 2);
}

/// The queries of the C library's own functions: any type, and the response as it is.
#[test]
fn a_query_of_another_resolver_gets_the_response_itself() {
    const MX: u16 = 15;
    let mut lab = lab(|name, wanted, tcp| match (name, wanted) {
        ("long.example", MX) if !tcp => Reply::code(0x0200),
        (_, MX) => Reply {
            answers: vec![(None, MX, 60, b"\0\x0a\x04mail\xc0\x0c".to_vec())],
            ..Reply::default()
        },
        _ => Reply::code(3),
    });
    let mut ask = |name: &str, wanted: u16| {
        let name = Name::from_text(name).expect("a name");
        let query = super::message::query(0x1234, &name, wanted, true, false);
        let (stack, now_ns) = (&mut lab.world.stacks[0], lab.world.now_ns);
        let lookup = lab.resolver.message(stack, now_ns, &query)?;
        let records = lab.finish(lookup)?;
        match &records[..] {
            [
                DnsRecord {
                    data: RecordData::Message(bytes),
                    ..
                },
            ] => Ok::<_, LookupError>(bytes.clone()),
            other => panic!("{other:?}"),
        }
    };
    for name in ["short.example", "long.example"] {
        let bytes = ask(name, MX).expect("a response");
        assert!(bytes.ends_with(b"\x04mail\xc0\x0c"), "{name}");
    }
    // No such name is a response, too.
    let missing = ask("short.example", kind::TXT).expect("a response");
    assert_eq!(missing[3] & 15, 3);
    let stack = &mut lab.world.stacks[0];
    for nonsense in [&b""[..], &[0; 12], &[0; 40], &[0xff; 40]] {
        let refused = lab.resolver.message(stack, 0, nonsense);
        assert_eq!(refused, Err(LookupError::InvalidName));
    }
}

#[test]
fn a_server_at_another_port_is_asked_there() {
    let mut lab = lab_at(&[address("10.0.0.2:5353")], |_, _, _| Reply::addresses(1));
    let stack = &mut lab.world.stacks[1];
    stack.close(lab.udp).expect("open");
    lab.udp = stack.udp_bind(address("10.0.0.2:5353")).expect("free");
    assert!(lab.addresses("www.example").is_ok());
}

#[test]
fn the_search_list_by_dots() {
    let zone = |name: &str, _, _| match name {
        "host.corp.example" | "a.b.example" | "full.test" => Reply::addresses(1),
        _ => Reply::code(3),
    };
    let mut lab = lab(zone);
    let options = DnsOptions {
        search: vec![
            "lab.example".into(),
            "corp.example".into(),
            "example".into(),
        ],
        ..DnsOptions::default()
    };
    lab.resolver
        .configure(options.clone())
        .expect("sound options");
    assert!(lab.addresses("host").is_ok());
    assert_eq!(lab.names(), ["host.lab.example", "host.corp.example"]);
    lab.queries.clear();
    assert!(lab.addresses("full.test").is_ok());
    assert_eq!(lab.names(), ["full.test"]);
    lab.queries.clear();
    assert!(lab.addresses("a.b").is_ok());
    assert_eq!(
        lab.names(),
        ["a.b", "a.b.lab.example", "a.b.corp.example", "a.b.example"]
    );
    lab.queries.clear();
    // A final dot marks a complete name.
    assert_eq!(lab.addresses("host."), Err(LookupError::NotFound));
    assert_eq!(lab.names(), ["host"]);
    let wrong = DnsOptions {
        search: vec!["a..b".into()],
        ..options
    };
    assert_eq!(lab.resolver.configure(wrong), Err(LookupError::InvalidName));
}

#[test]
fn servers_that_do_not_know_edns() {
    let seen = std::rc::Rc::new(core::cell::Cell::new(0));
    let count = seen.clone();
    let mut lab = lab(move |_, _, _| {
        count.set(count.get() + 1);
        match count.get() {
            1 => Reply::code(1),
            _ => Reply::addresses(1),
        }
    });
    assert!(lab.addresses("old.example").is_ok());
    let edns: Vec<_> = lab.queries.iter().map(|query| query.3).collect();
    assert_eq!(edns, [true, false]);
}

/// RFC 6891, 7: the same server once more, whatever others there are.
#[test]
fn a_server_that_does_not_know_edns_is_asked_once_more() {
    let servers = ["10.0.0.2", "10.0.0.3"].map(|server| server.parse().expect("an address"));
    let mut asked = 0;
    let mut lab = lab_with(&servers, move |_, _, _| {
        asked += 1;
        match asked {
            1 => Reply::code(1),
            _ => Reply::addresses(1),
        }
    });
    assert!(lab.addresses("old.example").is_ok());
    let edns: Vec<_> = lab.queries.iter().map(|query| query.3).collect();
    assert_eq!(edns, [true, false]);
    assert!(lab.world.now_ns < SECOND, "the other one is silent");
}

#[test]
fn servers_that_all_fail_are_not_asked_for_ever() {
    let mut lab = lab(|_, _, _| Reply::code(2));
    assert_eq!(
        lab.addresses("broken.example"),
        Err(LookupError::ServerFailure)
    );
    assert_eq!(lab.queries.len(), 2);
    assert!(lab.world.now_ns < SECOND);
}

/// Servers that fail now and then: a response about a name counts for that name, not for those that
/// it is an alias of.
#[test]
fn failures_begin_again_behind_an_alias() {
    for fails in [1, 2] {
        let mut asked = std::collections::HashMap::new();
        let mut lab = lab(move |name, _, _| {
            let count = asked.entry(name.to_string()).or_insert(0);
            *count += 1;
            let next = match name {
                "a.example" => b"\x01b\x04test\0".to_vec(),
                "b.test" => b"\x01c\x04test\0".to_vec(),
                _ if *count > fails => return Reply::addresses(1),
                _ => return Reply::code(2),
            };
            match *count {
                1 => Reply::code(2),
                _ => Reply {
                    answers: vec![(None, kind::CNAME, 20, next)],
                    ..Reply::default()
                },
            }
        });
        let found = lab.addresses("a.example");
        let expected = match fails {
            1 => Ok(vec!["192.0.2.1".parse().expect("an address")]),
            _ => Err(LookupError::ServerFailure),
        };
        assert_eq!((found, lab.queries.len()), (expected, 6));
    }
}

#[test]
fn mixed_case_is_repeated_or_not_believed() {
    let mut lab = lab(|name, _, _| Reply {
        shouts: name.starts_with(['l', 'L']),
        ..Reply::addresses(1)
    });
    let options = DnsOptions {
        mixed_case: true,
        ..DnsOptions::default()
    };
    lab.resolver.configure(options).expect("sound options");
    assert!(lab.addresses("quite-a-long-name.example").is_ok());
    let asked = &lab.queries[0].0;
    assert!(asked.bytes().any(|b| b.is_ascii_uppercase()), "{asked}");
    assert!(asked.bytes().any(|b| b.is_ascii_lowercase()), "{asked}");
    assert_eq!(
        lab.addresses("loud-and-long-name.example"),
        Err(LookupError::TimedOut)
    );
}

#[test]
fn a_forger_that_knows_the_port_must_guess_the_identifier() {
    let mut lab = lab(|_, _, _| Reply {
        silent: true,
        ..Reply::default()
    });
    let client = &mut lab.world.stacks[0];
    let lookup = lab.resolver.addresses(client, 0, "www.example", Family::V4);
    let lookup = lookup.expect("started");
    let poll = |lab: &mut Lab| {
        for _ in 0..2 {
            let now_ns = lab.world.now_ns;
            lab.resolver.poll(&mut lab.world.stacks[0], now_ns);
            lab.world.advance(10 * MS);
        }
    };
    poll(&mut lab);
    let server: SocketAddr = address("10.0.0.2:53");
    let stack = &mut lab.world.stacks[1];
    let mut query = [0; 512];
    let (len, from) = stack.udp_recv_from(lab.udp, &mut query).expect("a query");
    assert_eq!(stack.local_address(lab.udp), Ok(server));
    let right = Reply::addresses(1).bytes(&query[..len]);
    let forged: [(usize, u8); 5] = [
        // Identifier; not a response; another question: name, type, number of them.
        (0, 1),
        (2, 0x80),
        (14, 1),
        (26, 1),
        (5, 2),
    ];
    for (at, change) in forged {
        let mut wrong = right.clone();
        wrong[at] ^= change;
        stack.udp_send_to(lab.udp, &wrong, from).expect("a route");
    }
    let other = stack.udp_bind(address("10.0.0.2:54")).expect("a free port");
    stack.udp_send_to(other, &right, from).expect("a route");
    poll(&mut lab);
    assert_eq!(lab.resolver.take(lookup), Err(LookupError::Pending));
    let stack = &mut lab.world.stacks[1];
    stack.udp_send_to(lab.udp, &right, from).expect("a route");
    poll(&mut lab);
    assert!(lab.resolver.take(lookup).is_ok());
}

#[test]
fn hostile_answers_end_nothing_and_cost_little() {
    let mut random = net::sim::Random::new(7);
    let mut lab = lab(move |_, _, _| {
        let data = (0..40)
            .map(|_| random.bits() as u8 | 0xc0)
            .collect::<Vec<u8>>();
        let kinds = [kind::A, kind::CNAME, kind::PTR, kind::SOA];
        let answer = |n: usize| (None, kinds[n % 4], 60, data.clone());
        Reply {
            answers: (0..20).map(answer).collect(),
            ..Reply::default()
        }
    });
    for n in 0..20 {
        assert!(lab.addresses(&format!("n{n}.example")).is_err());
    }
}

#[test]
fn a_server_that_is_silent_is_passed_over() {
    let servers = ["10.0.0.3", "10.0.0.2"].map(|server| server.parse().expect("an address"));
    let mut lab = lab_with(&servers, |_, _, _| Reply::addresses(1));
    assert!(lab.addresses("www.example").is_ok());
    assert!(lab.world.now_ns < 2 * SECOND);
}

#[test]
fn an_unanswered_query_times_out() {
    let mut lab = lab(|_, _, _| Reply {
        silent: true,
        ..Reply::default()
    });
    assert_eq!(lab.addresses("www.example"), Err(LookupError::TimedOut));
    assert!((19 * SECOND..22 * SECOND).contains(&lab.world.now_ns));
    assert!(lab.queries.len() > 3, "it is asked again");
}

#[test]
fn names_that_need_no_server() {
    let mut lab = lab_with(&[], |_, _, _| Reply::default());
    let mut ask = |name: &str, family| {
        let stack = &mut lab.world.stacks[0];
        let lookup = lab.resolver.addresses(stack, 0, name, family)?;
        lab.resolver.take_addresses(lookup)
    };
    let one = |text: &str| Ok(vec![text.parse::<IpAddr>().expect("an address")]);
    assert_eq!(ask("192.0.2.7", Family::Any), one("192.0.2.7"));
    assert_eq!(ask("[2001:db8::7]", Family::V6), one("2001:db8::7"));
    assert_eq!(ask("192.0.2.7", Family::V6), Err(LookupError::NotFound));
    assert_eq!(ask("LocalHost.", Family::V4), one("127.0.0.1"));
    assert_eq!(ask("a.localhost", Family::Any).map(|all| all.len()), Ok(2));
    assert_eq!(ask("example.org", Family::Any), Err(LookupError::NoServer));
    let long = ["x".repeat(64), "x.".repeat(200)];
    for name in ["", ".", "a..b", "a b", "\u{e4}.example", &long[0], &long[1]] {
        assert_eq!(
            ask(name, Family::Any),
            Err(LookupError::InvalidName),
            "{name}"
        );
    }
}

#[test]
fn lookups_are_bounded_and_can_be_given_up() {
    let mut lab = lab(|_, _, _| Reply {
        silent: true,
        ..Reply::default()
    });
    let mut lookups = Vec::new();
    for n in 0..300 {
        let stack = &mut lab.world.stacks[0];
        let name = format!("n{n}.example");
        match lab.resolver.addresses(stack, 0, &name, Family::V4) {
            Ok(lookup) => lookups.push(lookup),
            Err(error) => assert_eq!(error, LookupError::TooMany),
        }
    }
    assert_eq!(lookups.len(), 256);
    lab.turn();
    for lookup in lookups {
        lab.resolver.cancel(&mut lab.world.stacks[0], lookup);
        assert_eq!(lab.resolver.take(lookup), Err(LookupError::Unknown));
    }
    let now_ns = lab.world.now_ns;
    let polled = lab.resolver.poll(&mut lab.world.stacks[0], now_ns);
    assert_eq!(polled.next_ns, None);
}
