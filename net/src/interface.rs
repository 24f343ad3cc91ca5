//! One interface: a link, smoltcp's interface upon it, and its addresses from whichever source.

mod addresses;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::iface::{Config, Interface as Smoltcp, SocketSet};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress};

use crate::config::{Cidr, Counters, InterfaceConfig};
use crate::device::{Out, Port, Profile, Sent, Staged};
use crate::dhcp::Client;
use crate::error::Error;
use crate::frame::Framing;
use crate::handle::Handle;
use crate::link::{Link, TxMeta};
use crate::neighbor::{Announcements, Asked, Known, announcement, question, said};
use crate::slaac::Slaac;

/// smoltcp counts microseconds.
pub(crate) fn instant(now_ns: u64) -> Instant {
    Instant::from_micros((now_ns / 1000).min(i64::MAX as u64 / 2) as i64)
}

/// The time of `at` in nanoseconds.
pub(crate) fn nanoseconds(at: Instant) -> u64 {
    (at.total_micros().max(0) as u64).saturating_mul(1000)
}

/// A link and what belongs to it. Apart from each other because the link is borrowed while it hands
/// a frame over.
pub(crate) struct Interface {
    pub(crate) link: Box<dyn Link>,
    pub(crate) end: End,
}

/// Our end of a link.
pub(crate) struct End {
    smoltcp: Smoltcp,
    pub(crate) profile: Profile,
    pub(crate) staged: Staged,
    /// A set without sockets, for what smoltcp answers by itself.
    base: SocketSet<'static>,
    config: InterfaceConfig,
    pub(crate) dhcp: Option<Client>,
    pub(crate) slaac: Option<Slaac>,
    /// Sockets that wait for an address of the link to become known.
    pub(crate) waiting: Vec<Handle>,
    /// Sockets that wait for room in the link's queue.
    pub(crate) blocked: Vec<Handle>,
    pub(crate) counters: Counters,
    mtu: usize,
    /// Set when addresses, gateways or name servers changed; taken by the stack.
    pub(crate) changed: bool,
    /// Something was queued on the link since its last flush.
    pub(crate) dirty: bool,
    /// When [`End::maintain`] has something to do; 0: now.
    maintain_ns: Option<u64>,
    asked: Asked,
    known: Known,
    announcements: Announcements,
}

impl Interface {
    pub(crate) fn new(
        link: Box<dyn Link>,
        config: &InterfaceConfig,
        seed: u64,
        now_ns: u64,
    ) -> Result<Interface, Error> {
        let caps = link.capabilities();
        let mac = EthernetAddress(caps.mac);
        let families = |v4| config.gateways.iter().filter(|g| g.is_ipv4() == v4).count();
        if !mac.is_unicast()
            || caps.mac == [0; 6]
            || config.addresses.len() > 4
            || families(true) > 1
            || families(false) > 1
            || config
                .gateways
                .iter()
                .any(|gateway| Cidr::new(*gateway, 0).is_err())
            || config
                .addresses
                .iter()
                .any(|c| Cidr::new(c.address, c.prefix_len).is_err())
        {
            return Err(Error::InvalidArgument);
        }
        let framing = Framing::Ethernet(caps.mac);
        let mut end = End::new(
            link.as_ref(),
            framing,
            HardwareAddress::Ethernet(mac),
            seed,
            now_ns,
        );
        end.config = config.clone();
        end.dhcp = config.dhcp.then(Client::new);
        end.slaac = config.slaac.then(|| Slaac::new(caps.mac));
        end.configure();
        Ok(Interface { link, end })
    }

    /// The interface of the machine to itself; it takes packets for every address.
    pub(crate) fn loopback(link: Box<dyn Link>, seed: u64, now_ns: u64) -> Interface {
        let mut end = End::new(
            link.as_ref(),
            Framing::Ip,
            HardwareAddress::Ip,
            seed,
            now_ns,
        );
        end.config.addresses = alloc::vec![
            Cidr {
                address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                prefix_len: 8
            },
            Cidr {
                address: IpAddr::V6(Ipv6Addr::LOCALHOST),
                prefix_len: 128
            },
        ];
        end.smoltcp.set_any_ip(true);
        end.configure();
        Interface { link, end }
    }

    /// One call of smoltcp's egress for a set: at most one packet.
    pub(crate) fn send(&mut self, now_ns: u64, set: &mut SocketSet<'static>) -> Sent {
        let Interface { link, end } = self;
        end.send(link.as_mut(), now_ns, set)
    }

    /// Sees to it that the neighbour through which `remote` is reached is asked for: smoltcp wanted
    /// to send to it, and sent `sent`.
    pub(crate) fn ask(&mut self, now_ns: u64, remote: IpAddr, sent: &Sent) {
        let Interface { link, end } = self;
        if sent.frames == 0 {
            end.ask(link.as_mut(), now_ns, remote);
        }
    }

    /// The Ethernet address that packets for `remote` go to, if it is known; otherwise it is asked for.
    pub(crate) fn neighbor(&mut self, remote: IpAddr, now_ns: u64) -> Option<[u8; 6]> {
        let Interface { link, end } = self;
        if end.profile.framing == Framing::Ip {
            return Some([0; 6]);
        }
        let hop = end.next_hop(remote)?;
        let (mac, fresh) = end.known.find(hop, now_ns);
        if !fresh {
            end.ask(link.as_mut(), now_ns, remote);
        }
        mac
    }

    /// Sends the rest of a datagram that is being cut into fragments; `false` if the link is full.
    pub(crate) fn send_fragments(&mut self, now_ns: u64) -> bool {
        let Interface { link, end } = self;
        let mut base = SocketSet::new(Vec::new());
        while end.smoltcp.poll_at(instant(now_ns), &base).is_some() {
            if end.send(link.as_mut(), now_ns, &mut base).refused {
                return false;
            }
        }
        true
    }
}

impl End {
    fn new(
        link: &dyn Link,
        framing: Framing,
        hardware: HardwareAddress,
        seed: u64,
        now_ns: u64,
    ) -> End {
        let caps = link.capabilities();
        let profile = Profile::new(&caps, framing);
        let mut config = Config::new(hardware);
        config.random_seed = seed;
        let mut sent = Sent::default();
        let mut port = Port {
            profile: &profile,
            frame: None,
            out: Out::Nowhere,
            sent: &mut sent,
        };
        let smoltcp = Smoltcp::new(config, &mut port, instant(now_ns));
        End {
            smoltcp,
            mtu: profile.smoltcp.ip_mtu(),
            profile,
            staged: Staged::default(),
            base: SocketSet::new(Vec::new()),
            config: InterfaceConfig::default(),
            dhcp: None,
            slaac: None,
            waiting: Vec::new(),
            blocked: Vec::new(),
            counters: Counters::default(),
            changed: true,
            dirty: false,
            maintain_ns: Some(0),
            asked: Asked::default(),
            known: Known::default(),
            announcements: Announcements::default(),
        }
    }

    /// Gives a received frame to smoltcp with the one set that it is for. An answer is staged.
    pub(crate) fn feed(&mut self, now_ns: u64, frame: &[u8], set: &mut SocketSet<'static>) -> Sent {
        let mut sent = Sent::default();
        let mut port = Port {
            profile: &self.profile,
            frame: Some(frame),
            out: Out::Stage(&mut self.staged),
            sent: &mut sent,
        };
        // Its result only says that there was a frame.
        self.smoltcp
            .poll_ingress_single(instant(now_ns), &mut port, set);
        self.count(&sent);
        sent
    }

    /// Gives a frame to smoltcp that no socket is for.
    pub(crate) fn feed_base(&mut self, now_ns: u64, frame: &[u8]) {
        let mut base = core::mem::replace(&mut self.base, SocketSet::new(Vec::new()));
        self.feed(now_ns, frame, &mut base);
        self.base = base;
    }

    fn send(&mut self, link: &mut dyn Link, now_ns: u64, set: &mut SocketSet<'static>) -> Sent {
        let mut sent = Sent::default();
        let mut port = Port {
            profile: &self.profile,
            frame: None,
            out: Out::Link(link, &mut self.staged),
            sent: &mut sent,
        };
        self.smoltcp.poll_egress(instant(now_ns), &mut port, set);
        self.count(&sent);
        sent
    }

    fn count(&mut self, sent: &Sent) {
        self.counters.tx_frames = self.counters.tx_frames.wrapping_add(u64::from(sent.frames));
        self.counters.tx_bytes = self.counters.tx_bytes.wrapping_add(sent.bytes as u64);
        self.dirty |= sent.frames > 0;
    }

    /// When a set wants to send next; a time that is not after `now_ns` means at once.
    pub(crate) fn poll_at(&mut self, now_ns: u64, set: &SocketSet<'static>) -> Option<u64> {
        self.smoltcp.poll_at(instant(now_ns), set).map(nanoseconds)
    }

    /// Keeps addresses up to date: DHCP, router solicitations and lifetimes. Gives the time of the
    /// next call.
    pub(crate) fn maintain(&mut self, link: &mut dyn Link, now_ns: u64) -> Option<u64> {
        let due = self.maintain_ns.is_some_and(|at_ns| at_ns <= now_ns);
        if !due && !self.changed {
            return self.maintain_ns;
        }
        let mut next = None;
        if let Some(mut client) = self.dhcp.take() {
            let sent = self.send(link, now_ns, &mut client.set);
            if client.update() {
                self.changed = true;
            }
            next = self
                .poll_at(now_ns, &client.set)
                .map(|at| at.max(now_ns + 1_000_000));
            if sent.refused {
                next = Some(now_ns + 1_000_000);
            }
            self.dhcp = Some(client);
        }
        if let Some(mut slaac) = self.slaac.take() {
            self.changed |= slaac.expire(now_ns);
            if slaac.solicitation_due(now_ns) && link.can_transmit() && self.staged.send(link) {
                let frame = slaac.solicitation(now_ns);
                self.send_frame(link, &frame);
            }
            next = [next, slaac.next_ns()].into_iter().flatten().min();
            self.slaac = Some(slaac);
        }
        if self.changed {
            self.configure();
        }
        next = [next, self.announce(link, now_ns)]
            .into_iter()
            .flatten()
            .min();
        self.maintain_ns = next;
        next
    }

    /// Tells neighbours of new addresses. Gives the time of the next call.
    fn announce(&mut self, link: &mut dyn Link, now_ns: u64) -> Option<u64> {
        let Framing::Ethernet(mac) = self.profile.framing else {
            return None;
        };
        for address in self.announcements.take_due(now_ns) {
            // One that finds no room is made again in the next round.
            if self.staged.send(link) {
                self.send_frame(link, &announcement(mac, address));
            }
        }
        self.announcements.next_ns()
    }

    fn send_frame(&mut self, link: &mut dyn Link, frame: &[u8]) {
        self.staged.put(frame.len(), |buffer| {
            buffer.copy_from_slice(frame);
            TxMeta::default()
        });
        self.staged.send(link);
        self.count_sent(frame.len());
    }

    /// Counts a frame that was sent.
    pub(crate) fn count_sent(&mut self, len: usize) {
        self.counters.tx_frames = self.counters.tx_frames.wrapping_add(1);
        self.counters.tx_bytes = self.counters.tx_bytes.wrapping_add(len as u64);
        self.dirty = true;
    }

    /// Asks for the address of the neighbour through which `remote` is reached.
    fn ask(&mut self, link: &mut dyn Link, now_ns: u64, remote: IpAddr) {
        let Framing::Ethernet(mac) = self.profile.framing else {
            return;
        };
        if let Some(neighbor) = self.next_hop(remote)
            && let Some(source) = self.source_address(neighbor)
            && let Some(frame) = question(mac, source, neighbor)
            && self.asked.due(neighbor, now_ns)
            && self.staged.send(link)
        {
            self.send_frame(link, &frame);
        }
    }

    /// The neighbour through which `remote` is reached.
    fn next_hop(&self, remote: IpAddr) -> Option<IpAddr> {
        let same_family = |gateway: &IpAddr| gateway.is_ipv4() == remote.is_ipv4();
        match self.on_link(remote) {
            true => Some(remote),
            false => self.gateways().into_iter().find(same_family),
        }
    }

    /// Learns from ARP and neighbour discovery which Ethernet addresses neighbours have.
    pub(crate) fn learn(&mut self, frame: &[u8], now_ns: u64) {
        if let Some((address, mac, target)) = said(frame)
            && target.is_none_or(|target| self.has_address(target))
        {
            self.known.learn(address, mac, now_ns);
        }
    }

    /// The largest payload of a TCP segment from this address (RFC 6691).
    pub(crate) fn mss(&self, local: IpAddr) -> u16 {
        let headers = if local.is_ipv4() { 40 } else { 60 };
        self.mtu.saturating_sub(headers).clamp(1, 0xffff) as u16
    }

    /// DHCP or a router has told something.
    pub(crate) fn hurry(&mut self) {
        self.maintain_ns = Some(0);
    }

    /// Whether a packet is still on its way, on the loopback: what was sent will be received.
    pub(crate) fn is_under_way(&self) -> bool {
        self.counters.tx_frames != self.counters.rx_frames
    }

    /// Whether something waits for room in the link.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.blocked.is_empty() || self.staged.is_full()
    }

    pub(crate) fn mtu(&self) -> usize {
        self.mtu
    }
}
