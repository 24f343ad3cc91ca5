//! A responder, a scripted host, and messages.

use core::net::{IpAddr, SocketAddr};

use net::sim::packet::{self, Ip};
use net::sim::{Bench, Host, World};

use super::super::Responder;
use crate::dns::message::{Message, kind};
use crate::dns::name::Name;
use crate::testing::{SECOND, randomness};

pub(super) const OTHER: &str = "10.0.0.9:5353";
pub(super) const FLUSH: u16 = 0x8001;

/// A message that the responder sent.
pub(super) struct Sent {
    pub(super) at_ns: u64,
    pub(super) to: SocketAddr,
    pub(super) hops: u8,
    pub(super) bytes: Vec<u8>,
}

impl Sent {
    pub(super) fn message(&self) -> Message<'_> {
        Message::new(&self.bytes).expect("a message")
    }

    /// Owner, type, class and TTL of the records of a section.
    pub(super) fn section(&self, n: usize) -> Vec<(String, u16, u16, u32)> {
        let sections = self.message().records();
        let row = |record: &crate::dns::message::Record| {
            (record.name.text(), record.kind, record.class, record.ttl)
        };
        sections[n].iter().map(row).collect()
    }

    pub(super) fn kinds(&self, n: usize) -> Vec<u16> {
        self.section(n).iter().map(|row| row.1).collect()
    }

    pub(super) fn is_to_all(&self) -> bool {
        self.to.ip().is_multicast()
    }
}

pub(super) struct Lab {
    pub(super) world: World,
    pub(super) host: Host,
    pub(super) responder: Responder,
    /// Counts only messages over this family.
    pub(super) v4: bool,
}

pub(super) fn lab_with(label: &str, v4: bool, seed: u64) -> Lab {
    let Bench { world, host } = Bench::new(seed);
    Lab {
        world,
        host,
        responder: Responder::new(label, randomness(seed)).expect("a label"),
        v4,
    }
}

pub(super) fn lab() -> Lab {
    lab_with("soil", true, 1)
}

/// One whose name has been confirmed for some time.
pub(super) fn established() -> Lab {
    let mut lab = lab();
    lab.pass(40 * SECOND);
    assert_eq!(lab.responder.name().as_deref(), Some("soil.local"));
    lab
}

impl Lab {
    /// Advances the time; returns the messages sent.
    pub(super) fn pass(&mut self, duration_ns: u64) -> Vec<Sent> {
        let end_ns = self.world.now_ns + duration_ns;
        let mut said = Vec::new();
        loop {
            self.world.run_now();
            let now_ns = self.world.now_ns;
            let polled = self.responder.poll(&mut self.world.stacks[0], now_ns);
            let frames = self.host.take(&mut self.world);
            said.extend(frames.iter().filter_map(|frame| self.read(frame)));
            if now_ns >= end_ns {
                return said;
            }
            let next_ns = polled.next_ns.unwrap_or(u64::MAX).max(now_ns + 1);
            self.world.step(next_ns.min(end_ns) - now_ns);
        }
    }

    pub(super) fn read(&self, frame: &[u8]) -> Option<Sent> {
        let ip = Ip::parse(frame).filter(|ip| ip.protocol == 17)?;
        let port = |at: usize| u16::from_be_bytes([ip.payload[at], ip.payload[at + 1]]);
        (port(0) == 5353 && ip.from.is_ipv4() == self.v4).then(|| Sent {
            at_ns: self.world.now_ns,
            to: SocketAddr::new(ip.to, port(2)),
            hops: ip.hop_limit,
            bytes: ip.payload[8..].to_vec(),
        })
    }

    /// Another host multicasts a message.
    pub(super) fn receive(&mut self, from: &str, bytes: &[u8]) {
        self.receive_at(from, "224.0.0.251:5353", bytes);
    }

    pub(super) fn receive_at(&mut self, from: &str, to: &str, bytes: &[u8]) {
        let (from, to): (SocketAddr, SocketAddr) = (
            from.parse().expect("an address"),
            to.parse().expect("an address"),
        );
        let mac = match to.ip() {
            IpAddr::V4(group) if group.is_multicast() => [1, 0, 0x5e, 0, 0, 0xfb],
            IpAddr::V6(group) if group.is_multicast() => [0x33, 0x33, 0, 0, 0, 0xfb],
            _ => World::mac(0),
        };
        let macs = (self.host.mac, mac);
        let frame = packet::udp(macs, from, to, bytes);
        self.host.send_frame(&mut self.world, &frame);
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::from_text(text).expect("a name")
}

/// A question: name, type, class. A record: name, type, class, TTL, data.
pub(super) type Question<'a> = (&'a str, u16, u16);
pub(super) type Row<'a> = (&'a str, u16, u16, u32, &'a [u8]);

pub(super) fn message(
    flags: u16,
    questions: &[Question<'_>],
    sections: [&[Row<'_>]; 3],
) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34];
    bytes.extend(flags.to_be_bytes());
    bytes.extend((questions.len() as u16).to_be_bytes());
    for section in sections {
        bytes.extend((section.len() as u16).to_be_bytes());
    }
    for (owner, kind, class) in questions {
        bytes.extend(name(owner).wire());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(class.to_be_bytes());
    }
    for (owner, kind, class, ttl, data) in sections.into_iter().flatten() {
        bytes.extend(name(owner).wire());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(class.to_be_bytes());
        bytes.extend(ttl.to_be_bytes());
        bytes.extend((data.len() as u16).to_be_bytes());
        bytes.extend(*data);
    }
    bytes
}

pub(super) fn ask(questions: &[Question<'_>]) -> Vec<u8> {
    message(0, questions, [&[], &[], &[]])
}

pub(super) fn knowing(questions: &[Question<'_>], known: &[Row<'_>]) -> Vec<u8> {
    message(0, questions, [known, &[], &[]])
}

pub(super) fn say(records: &[Row<'_>]) -> Vec<u8> {
    message(0x8400, &[], [records, &[], &[]])
}

pub(super) const OWN_A: Row<'static> = ("soil.local", kind::A, FLUSH, 120, &[10, 0, 0, 1]);
pub(super) const OTHERS_A: Row<'static> = ("soil.local", kind::A, FLUSH, 120, &[10, 0, 0, 9]);
pub(super) const ASK_A: Question<'static> = ("soil.local", kind::A, 1);
pub(super) const REVERSE: &str = "1.0.0.10.in-addr.arpa";
