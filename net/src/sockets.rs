//! The table of sockets, and the delivery of input from the IP layer to its socket.

mod ethernet;
mod ping;
mod table;
mod tcp;
mod timers;
mod udp;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::ethernet::Ethernet;
use crate::hash::KeyedHash;
use crate::ip::{HeaderFields, ICMP, ICMPV6, IcmpError, Input, Ip, Net, TCP, UDP, UpperLayer};
use crate::ping::Ping;
use crate::tcp::Tables;
use crate::tcp::budget::Budget;
use crate::tcp::connection::{Connection, Phase};
use crate::tcp::listener::Listener;
use crate::types::{Config, Error, Handle, RandomBits};
use crate::udp::Udp;
use table::Table;
pub(crate) use tcp::Admission;
use timers::Timers;

/// A call that comes this much after its deadline shows that the machine was suspended.
const PAUSE_NS: u64 = 5_000_000_000;

/// A socket, as a handle names it.
pub(crate) enum Socket {
    Listener(Box<Listener>),
    Connection(Box<Connection>),
    Udp(Box<Udp>),
    Ethernet(Box<Ethernet>),
    Ping(Box<Ping>),
}

impl Socket {
    fn is_owned(&self) -> bool {
        match self {
            Socket::Connection(connection) => {
                matches!(connection.phase, Phase::Connecting | Phase::Open)
            }
            Socket::Udp(udp) => !udp.closing,
            Socket::Listener(_) | Socket::Ethernet(_) | Socket::Ping(_) => true,
        }
    }
}

/// The result of a socket's turn, with the number of packets sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing more to send now.
    Done(u32),
    /// More to send after other sockets' turns.
    More(u32),
    /// The link has no room.
    Blocked(u32),
}

/// Sockets and the tables that find them.
pub(crate) struct Sockets {
    pub(crate) config: Config,
    /// The time of sockets: the caller's, less [`Sockets::paused_ns`].
    pub(crate) now_ns: u64,
    /// Total time for which no call came although it was due: the machine was suspended, and the
    /// time of sockets stopped, so that no timeout expires before the peer could reply.
    pub(crate) paused_ns: u64,
    /// When the next call is due, in the caller's time.
    pub(crate) due_ns: Option<u64>,
    pub(crate) random: RandomBits,
    pub(crate) table: Table<Socket>,
    pub(crate) tcp: Tables,
    pub(crate) listeners: HashMap<u16, Vec<Handle>, KeyedHash>,
    pub(crate) udp_ports: HashMap<u16, Vec<Handle>, KeyedHash>,
    /// Sockets for raw frames, by interface and type.
    pub(crate) ethernets: Vec<((usize, u16), Handle)>,
    /// Echo requests in progress.
    pub(crate) pings: Vec<Handle>,
    pub(crate) timers: Timers,
    /// Sockets that may have something to send.
    pub(crate) dirty: VecDeque<Handle>,
    /// Sockets that became ready.
    pub(crate) events: Vec<Handle>,
    pub(crate) budget: Budget,
    /// Frames handled and turns to send: the cost of packets, for tests.
    pub(crate) work: u64,
}

impl Sockets {
    pub(crate) fn new(config: Config, mut random: RandomBits) -> Sockets {
        let keyed = KeyedHash::new(&mut random);
        Sockets {
            now_ns: 0,
            paused_ns: 0,
            due_ns: None,
            table: Table::new(),
            tcp: Tables::new(&config, &mut random),
            listeners: HashMap::with_hasher(keyed),
            udp_ports: HashMap::with_hasher(keyed),
            ethernets: Vec::new(),
            pings: Vec::new(),
            timers: Timers::default(),
            dirty: VecDeque::new(),
            events: Vec::new(),
            budget: Budget::new(config.tcp_memory),
            work: 0,
            config,
            random,
        }
    }

    /// The caller's time.
    pub(crate) fn clock_ns(&self) -> u64 {
        self.now_ns.saturating_add(self.paused_ns)
    }

    /// Sets the caller's time.
    pub(crate) fn set_now(&mut self, now_ns: u64) {
        let due_ns = self.due_ns.unwrap_or(u64::MAX).max(self.clock_ns());
        let late_ns = now_ns.saturating_sub(due_ns);
        if late_ns > PAUSE_NS {
            self.paused_ns += late_ns;
        }
        self.now_ns = self.now_ns.max(now_ns.saturating_sub(self.paused_ns));
    }

    /// The socket of a handle that the program owns: neither one that it has closed and that is
    /// still delivering, nor one that it hasn't accepted yet.
    pub(crate) fn owned(&self, handle: Handle) -> Option<&Socket> {
        self.table.get(handle).filter(|socket| socket.is_owned())
    }

    /// The same, mutable.
    pub(crate) fn owned_mut(&mut self, handle: Handle) -> Option<&mut Socket> {
        self.table
            .get_mut(handle)
            .filter(|socket| socket.is_owned())
    }

    /// The header fields that a socket sends with.
    pub(crate) fn header_fields_mut(&mut self, handle: Handle) -> Result<&mut HeaderFields, Error> {
        match self.owned_mut(handle) {
            Some(Socket::Connection(connection)) => Ok(&mut connection.header_fields),
            Some(Socket::Listener(listener)) => Ok(&mut listener.header_fields),
            Some(Socket::Udp(udp)) => Ok(&mut udp.header_fields),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Adds a socket to the list of those that may have something to send.
    pub(crate) fn mark_dirty(&mut self, handle: Handle) {
        let dirty = match self.table.get_mut(handle) {
            Some(Socket::Connection(connection)) => &mut connection.dirty,
            Some(Socket::Udp(udp)) => &mut udp.dirty,
            Some(Socket::Ping(ping)) => &mut ping.dirty,
            _ => return,
        };
        if !core::mem::replace(dirty, true) {
            self.dirty.push_back(handle);
        }
    }

    /// Lists a socket as an event.
    pub(crate) fn queue_event(&mut self, handle: Handle) {
        let listed = match self.table.get_mut(handle) {
            Some(Socket::Connection(connection)) => &mut connection.wakes.listed,
            Some(Socket::Listener(listener)) => &mut listener.wakes.listed,
            Some(Socket::Udp(udp)) => &mut udp.wakes.listed,
            Some(Socket::Ethernet(ethernet)) => &mut ethernet.wakes.listed,
            Some(Socket::Ping(ping)) => &mut ping.wakes.listed,
            None => return,
        };
        if !core::mem::replace(listed, true) {
            self.events.push(handle);
        }
    }

    /// The link of a port has room again.
    pub(crate) fn unblock(&mut self, handles: Vec<Handle>) {
        for handle in handles {
            match self.table.get_mut(handle) {
                Some(Socket::Connection(connection)) => connection.blocked = false,
                Some(Socket::Udp(udp)) => udp.blocked = false,
                Some(Socket::Ping(ping)) => ping.blocked = false,
                Some(Socket::Ethernet(_)) => self.ethernet_unblocked(handle),
                _ => {}
            }
            self.mark_dirty(handle);
        }
    }

    /// Neighbors have changed: sockets that wait for one try again.
    pub(crate) fn on_neighbors_resolved(&mut self, handles: Vec<Handle>) {
        for handle in handles {
            match self.table.get_mut(handle) {
                Some(Socket::Connection(connection)) => {
                    connection.waiting = false;
                    connection.neighbor_ns = None;
                }
                Some(Socket::Udp(udp)) => udp.waiting = false,
                Some(Socket::Ping(ping)) => ping.waiting = false,
                _ => {}
            }
            self.mark_dirty(handle);
        }
    }

    /// Handles input from the IP layer.
    fn handle_input(&mut self, net: &mut Net, input: Input<'_>) {
        self.work += 1;
        match input {
            Input::Done => {}
            Input::Tcp(segment) => self.tcp_input(net, &segment),
            Input::Udp(datagram) => self.udp_datagram(net, &datagram),
            Input::Error(error) => self.error(net, &error),
            Input::Echo(echo) => self.ping_reply(&echo),
            Input::Ethernet(frame) => self.ethernet_frame(net, &frame),
            Input::Whole(origin, packet) => {
                // A whole packet is not a fragment: the recursion ends.
                let input = net.input_whole(origin, &packet);
                if !matches!(input, Input::Whole(..)) {
                    self.handle_input(net, input);
                }
            }
        }
    }

    /// Handles an ICMP error about a packet of a socket.
    pub(crate) fn error(&mut self, net: &mut Net, error: &IcmpError) {
        match error.protocol {
            TCP => self.tcp_error(net, error),
            UDP => self.udp_error(net, error),
            ICMP | ICMPV6 => self.ping_error(error),
            _ => {}
        }
    }

    /// Calls `free` with candidate ports, starting at a random one, until it returns true (RFC
    /// 6056, algorithm 2).
    pub(crate) fn ephemeral(&mut self, free: impl Fn(&Sockets, u16) -> bool) -> Result<u16, Error> {
        const FIRST: u16 = 32_768;
        let start = (self.random)() as u16 % FIRST;
        (0..FIRST)
            .map(|n| FIRST + (start + n) % FIRST)
            .find(|port| free(self, *port))
            .ok_or(Error::PortsExhausted)
    }

    /// An unused UDP port.
    pub(crate) fn ephemeral_udp(&mut self) -> Result<u16, Error> {
        self.ephemeral(|sockets, port| !sockets.udp_ports.contains_key(&port))
    }

    /// Sends a socket's pending output.
    pub(crate) fn send(&mut self, ip: &mut Ip, handle: Handle) -> Turn {
        match self.table.get_mut(handle) {
            Some(Socket::Connection(connection)) => {
                connection.dirty = false;
                self.send_connection(ip, handle)
            }
            Some(Socket::Udp(udp)) => {
                udp.dirty = false;
                self.send_datagrams(ip, handle)
            }
            Some(Socket::Ping(ping)) => {
                ping.dirty = false;
                self.send_ping(ip, handle)
            }
            _ => Turn::Done(0),
        }
    }

    /// Runs the timers that are due.
    pub(crate) fn run_timers(&mut self) {
        let now_ns = self.now_ns;
        self.tcp.time_wait.expire(now_ns);
        while let Some(handle) = self.timers.pop_due(now_ns) {
            self.connection_timer(handle);
        }
        self.timers.compact(self.table.len());
    }
}

impl UpperLayer for Sockets {
    fn input(&mut self, net: &mut Net, input: Input<'_>) {
        self.handle_input(net, input);
    }

    fn has_udp_port(&self, port: u16) -> bool {
        self.udp_ports.contains_key(&port)
    }
}
