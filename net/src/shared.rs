//! What all sockets of a stack share.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashMap;

use crate::budget::Budget;
use crate::flow::Keyed;
use crate::frame::{Class, Framing, PROTOCOL_TCP, PROTOCOL_UDP, classify};
use crate::handle::Table;
use crate::interface::{End, Interface};
use crate::ip::Origin;
use crate::link::RxMeta;
use crate::tcp::Shared;
use crate::tcp::connection::{Connection, Phase};
use crate::tcp::listener::Listener;
use crate::timers::Timers;
use crate::udp::{Fragments, Udp};
use crate::{Config, Error, Handle};

/// A call that comes later than this after it was due shows that the machine stood still.
const PAUSE_NS: u64 = 5_000_000_000;

/// What a handle names.
pub(crate) enum Socket {
    Listener(Listener),
    Connection(Box<Connection>),
    Udp(Box<Udp>),
}

impl Socket {
    fn is_owned(&self) -> bool {
        match self {
            Socket::Connection(connection) => {
                matches!(connection.phase, Phase::Connecting | Phase::Open)
            }
            Socket::Udp(udp) => !udp.closing,
            Socket::Listener(_) => true,
        }
    }
}

/// How the turn of a socket ended; the number counts the packets that it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing more to send now.
    Done(u32),
    /// More to send, but others come first.
    More(u32),
    /// The link has no room.
    Blocked(u32),
}

/// Sockets and the tables that lead to them.
pub(crate) struct Core {
    pub(crate) config: Config,
    /// The time of sockets: that of the caller, less [`Core::paused_ns`].
    pub(crate) now_ns: u64,
    /// How long in all nobody called although that was due: the machine stood still, and so did the time of sockets,
    /// so that nothing is given up before its peer could answer.
    pub(crate) paused_ns: u64,
    /// When the next call is due, in the time of the caller.
    pub(crate) due_ns: Option<u64>,
    pub(crate) random: Box<dyn FnMut() -> u64>,
    pub(crate) sockets: Table<Socket>,
    pub(crate) tcp: Shared,
    pub(crate) listeners: HashMap<u16, Vec<Handle>, Keyed>,
    pub(crate) udp_ports: HashMap<u16, Vec<Handle>, Keyed>,
    pub(crate) fragments: Fragments,
    pub(crate) timers: Timers,
    /// Sockets that may have something to send.
    pub(crate) dirty: VecDeque<Handle>,
    /// Sockets that became ready.
    pub(crate) events: Vec<Handle>,
    pub(crate) budget: Budget,
    /// Frames handled and turns to send: what a packet costs, for tests.
    pub(crate) work: u64,
}

impl Core {
    pub(crate) fn new(config: Config, mut random: Box<dyn FnMut() -> u64>) -> Core {
        let keyed = Keyed::new(&mut random);
        Core {
            now_ns: 0,
            paused_ns: 0,
            due_ns: None,
            sockets: Table::new(),
            tcp: Shared::new(&config, &mut random),
            listeners: HashMap::with_hasher(keyed),
            udp_ports: HashMap::with_hasher(keyed),
            fragments: Fragments::default(),
            timers: Timers::default(),
            dirty: VecDeque::new(),
            events: Vec::new(),
            budget: Budget::new(config.tcp_memory),
            work: 0,
            config,
            random,
        }
    }

    /// The time of the caller.
    pub(crate) fn clock_ns(&self) -> u64 {
        self.now_ns.saturating_add(self.paused_ns)
    }

    /// Sets the time to that of the caller.
    pub(crate) fn set_now(&mut self, now_ns: u64) {
        let due_ns = self.due_ns.unwrap_or(u64::MAX).max(self.clock_ns());
        let late_ns = now_ns.saturating_sub(due_ns);
        if late_ns > PAUSE_NS {
            self.paused_ns += late_ns;
        }
        self.now_ns = self.now_ns.max(now_ns.saturating_sub(self.paused_ns));
    }

    /// The socket of a handle that the program has: not one that it has closed and that is still
    /// delivering, nor one that it hasn't accepted yet.
    pub(crate) fn owned(&self, handle: Handle) -> Option<&Socket> {
        self.sockets.get(handle).filter(|socket| socket.is_owned())
    }

    /// The same, to change it.
    pub(crate) fn owned_mut(&mut self, handle: Handle) -> Option<&mut Socket> {
        self.sockets
            .get_mut(handle)
            .filter(|socket| socket.is_owned())
    }

    /// Lists a socket as one that may have something to send.
    pub(crate) fn mark_dirty(&mut self, handle: Handle) {
        let dirty = match self.sockets.get_mut(handle) {
            Some(Socket::Connection(connection)) => &mut connection.dirty,
            Some(Socket::Udp(udp)) => &mut udp.dirty,
            _ => return,
        };
        if !core::mem::replace(dirty, true) {
            self.dirty.push_back(handle);
        }
    }

    /// Lists a socket as an event.
    pub(crate) fn tell(&mut self, handle: Handle) {
        let listed = match self.sockets.get_mut(handle) {
            Some(Socket::Connection(connection)) => &mut connection.wakes.listed,
            Some(Socket::Listener(listener)) => &mut listener.wakes.listed,
            Some(Socket::Udp(udp)) => &mut udp.wakes.listed,
            None => return,
        };
        if !core::mem::replace(listed, true) {
            self.events.push(handle);
        }
    }

    /// The link of `end` has room again.
    pub(crate) fn unblock(&mut self, end: &mut End) {
        let mut list = core::mem::take(&mut end.blocked);
        for handle in list.drain(..) {
            match self.sockets.get_mut(handle) {
                Some(Socket::Connection(connection)) => connection.blocked = false,
                Some(Socket::Udp(udp)) => udp.blocked = false,
                _ => {}
            }
            self.mark_dirty(handle);
        }
        end.blocked = list;
    }

    /// An address on the link of `end` may have become known: those that wait for one try again.
    /// They stay on the list until they have sent something, since it may be another's address.
    pub(crate) fn unwait(&mut self, end: &mut End) {
        let mut list = core::mem::take(&mut end.waiting);
        list.retain(|handle| {
            let waiting = match self.sockets.get(*handle) {
                Some(Socket::Connection(connection)) => connection.waiting,
                Some(Socket::Udp(udp)) => udp.waiting,
                _ => false,
            };
            if waiting {
                self.mark_dirty(*handle);
            }
            waiting
        });
        end.waiting = list;
    }

    /// Handles one received frame.
    pub(crate) fn frame(
        &mut self,
        end: &mut End,
        interface: usize,
        frame: &mut [u8],
        meta: RxMeta,
    ) {
        let counters = &mut end.counters;
        counters.rx_frames = counters.rx_frames.wrapping_add(1);
        counters.rx_bytes = counters.rx_bytes.wrapping_add(frame.len() as u64);
        self.work += 1;
        match classify(frame, meta, end.profile.framing) {
            Class::Tcp(part) => {
                let origin = Origin {
                    interface,
                    mac: source_mac(frame, end.profile.framing),
                    local: part.local,
                    remote: part.remote,
                };
                let bytes = frame.get(part.bytes).unwrap_or_default();
                self.tcp_input(end, &origin, bytes);
            }
            Class::Udp(datagram) => self.udp_datagram(end, frame, &datagram),
            Class::UdpFragment(fragment) => self.udp_fragment(end, frame, &fragment),
            Class::Interface => end.feed_base(self.now_ns, frame),
            Class::Neighbor => {
                end.feed_base(self.now_ns, frame);
                end.learn(frame, self.now_ns);
                self.unwait(end);
            }
            Class::RouterAdvertisement(at) => {
                let from = frame
                    .get(22..38)
                    .and_then(|octets| octets.first_chunk::<16>());
                if let (Some(slaac), Some(from), Framing::Ethernet(_)) =
                    (&mut end.slaac, from, end.profile.framing)
                {
                    let from = core::net::Ipv6Addr::from_octets(*from);
                    let message = frame.get(at..).unwrap_or_default();
                    end.changed |= slaac.advertisement(from, message, self.now_ns);
                    end.hurry();
                }
            }
            Class::Error(report) => match report.protocol {
                PROTOCOL_TCP => self.tcp_error(&report),
                PROTOCOL_UDP => self.udp_unreachable(&report),
                _ => {}
            },
            Class::Drop => end.counters.rx_malformed = end.counters.rx_malformed.wrapping_add(1),
            Class::BadChecksum => {
                end.counters.rx_bad_checksum = end.counters.rx_bad_checksum.wrapping_add(1);
            }
        }
    }

    /// Calls `free` with candidate ports, from a random one on, until it agrees (RFC 6056, algorithm 2).
    pub(crate) fn ephemeral(&mut self, free: impl Fn(&Core, u16) -> bool) -> Result<u16, Error> {
        const FIRST: u16 = 32_768;
        let start = (self.random)() as u16 % FIRST;
        (0..FIRST)
            .map(|n| FIRST + (start + n) % FIRST)
            .find(|port| free(self, *port))
            .ok_or(Error::PortsExhausted)
    }

    /// A port that no UDP socket has.
    pub(crate) fn ephemeral_udp(&mut self) -> Result<u16, Error> {
        self.ephemeral(|core, port| !core.udp_ports.contains_key(&port))
    }

    /// Sends what a socket has to send.
    pub(crate) fn send(&mut self, interfaces: &mut [Interface], handle: Handle) -> Turn {
        match self.sockets.get_mut(handle) {
            Some(Socket::Connection(connection)) => {
                connection.dirty = false;
                self.send_connection(interfaces, handle)
            }
            Some(Socket::Udp(udp)) => {
                udp.dirty = false;
                self.send_datagrams(interfaces, handle)
            }
            _ => Turn::Done(0),
        }
    }

    /// Runs the timers that are due.
    pub(crate) fn run_timers(&mut self) {
        let now_ns = self.now_ns;
        self.tcp.time_wait.expire(now_ns);
        while let Some((at_ns, handle)) = self.timers.pop_due(now_ns) {
            match self.sockets.get_mut(handle) {
                Some(Socket::Connection(connection)) if connection.timer_ns == Some(at_ns) => {
                    connection.timer_ns = None;
                    self.connection_timer(handle);
                }
                Some(Socket::Udp(udp)) if udp.timer_ns == Some(at_ns) => {
                    udp.timer_ns = None;
                    self.mark_dirty(handle);
                }
                _ => {}
            }
        }
        let sockets = &self.sockets;
        self.timers
            .tidy(sockets.len(), |at_ns, handle| match sockets.get(handle) {
                Some(Socket::Connection(connection)) => connection.timer_ns == Some(at_ns),
                Some(Socket::Udp(udp)) => udp.timer_ns == Some(at_ns),
                _ => false,
            });
    }
}

/// The Ethernet address that a frame came from.
fn source_mac(frame: &[u8], framing: Framing) -> [u8; 6] {
    let source = frame.get(6..).and_then(|rest| rest.first_chunk());
    match framing {
        Framing::Ethernet(_) => source.copied().unwrap_or_default(),
        Framing::Ip => [0; 6],
    }
}

/// Lists a socket with its interface, unless it is listed already.
pub(crate) fn park(list: &mut Vec<Handle>, listed: &mut bool, handle: Handle) {
    if !core::mem::replace(listed, true) {
        list.push(handle);
    }
}

/// The interface and the address of this end to use towards `remote`. The loopback is number 0.
pub(crate) fn route(
    interfaces: &[Interface],
    remote: IpAddr,
    scope: u32,
) -> Result<(usize, IpAddr), Error> {
    let own = interfaces.iter().skip(1).any(|i| i.end.has_address(remote));
    if own {
        return Ok((0, remote));
    }
    let candidates = || interfaces.iter().enumerate().map(|(n, i)| (n, &i.end));
    let scoped = matches!(remote, IpAddr::V6(a) if a.is_unicast_link_local());
    let everywhere = match remote {
        IpAddr::V4(a) => a.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    let found = if scoped || remote.is_multicast() || everywhere {
        // Which link is meant, the address doesn't tell; the scope may (RFC 4007).
        candidates()
            .skip(1)
            .find(|(n, _)| scope == 0 || *n == scope as usize)
    } else {
        candidates()
            .find(|(_, end)| end.on_link(remote))
            .or_else(|| {
                candidates()
                    .skip(1)
                    .find(|(_, end)| end.has_gateway(remote))
            })
    };
    let (interface, end) = found.ok_or(Error::Unreachable)?;
    let source = end.source_address(remote).ok_or(Error::Unreachable)?;
    Ok((interface, source))
}
