//! The stack: interfaces, time, and what is the same for all sockets.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::flow::Keyed;
use crate::ip::{FilterRule, Ip, LOOPBACK, Random};
use crate::loopback::Loopback;
use crate::shared::{Core, Socket, Turn};
use crate::{Config, Error, Handle, InterfaceConfig, InterfaceStatus, Link};

/// How often a link is looked at that is full, in case its wake-up was lost.
const FULL_NS: u64 = 10_000_000;
/// Rounds over all interfaces in one poll: the loopback answers itself.
const ROUNDS: usize = 4;

/// Names an interface; valid as long as the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InterfaceId(pub(crate) usize);

/// A route, as [`Stack::routes`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// An address of the network.
    pub network: IpAddr,
    /// The length of its prefix in bits.
    pub prefix_len: u8,
    /// Where packets leave.
    pub interface: InterfaceId,
    /// Who takes them; `None`: they are on the link itself.
    pub gateway: Option<IpAddr>,
}

/// What [`Stack::poll`] left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The budget was used up: call again without waiting.
    pub more_work: bool,
    /// When to call again even if nothing happens, in nanoseconds of the clock given to
    /// [`Stack::poll`]; `None`: only when a frame comes or an operation was made.
    pub next_deadline_ns: Option<u64>,
    /// Frames wait because a link answered `false` to [`Link::can_transmit`]: call again when it
    /// has room.
    pub transmit_blocked: bool,
}

/// What can be done with a socket without waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A read gives bytes, end of input or an error; an accept gives a connection; a datagram is
    /// there.
    pub readable: bool,
    /// A write takes bytes or gives an error; a connect has finished, well or not.
    pub writable: bool,
    /// Both directions of the connection are over.
    pub hangup: bool,
    /// The connection failed; [`Stack::socket_error`] tells why.
    pub error: bool,
}

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP listener.
    Listener,
    /// A TCP connection.
    Connection,
    /// A UDP socket.
    Udp,
    /// A socket for raw frames.
    Ethernet,
    /// An echo request.
    Echo,
}

/// A source of random numbers, 64 bits at a time.
pub type RandomBits = Box<dyn FnMut() -> u64 + Send>;

/// A TCP/IP stack. See the crate's description.
///
/// It can be moved to another thread with its links; it isn't `Sync`, since each call changes it.
pub struct Stack {
    pub(crate) ip: Ip,
    pub(crate) core: Core,
    generation: u32,
}

/// Time and interfaces.
impl Stack {
    /// A stack with the loopback interface (127.0.0.1/8, ::1/128) and no other.
    ///
    /// `source` is called twice. What it makes gives 64 bits a call, of a generator fit for keys:
    /// the keys of hash tables and sequence numbers are drawn from it, ports, temporary addresses,
    /// and identifiers of DHCP and fragments. No number given may tell anything of another, since
    /// peers see some of them.
    pub fn new(config: Config, source: &mut dyn FnMut() -> RandomBits) -> Stack {
        let mut core = Core::new(config, source());
        let keyed = Keyed::new(&mut core.random);
        let random = Random::new(source());
        let ip = Ip::new(Box::new(Loopback::default()), keyed, random);
        Stack {
            ip,
            core,
            generation: 0,
        }
    }

    /// Adds an interface. Its configuration begins with the next [`Stack::poll`].
    ///
    /// Fails with [`Error::InvalidArgument`] if the MAC address isn't unicast, or there are more
    /// fixed addresses, gateways or servers than [`InterfaceConfig`] says, or one of them isn't
    /// unicast.
    pub fn add_interface(
        &mut self,
        link: Box<dyn Link>,
        config: &InterfaceConfig,
    ) -> Result<InterfaceId, Error> {
        self.ip.add_interface(link, config)
    }

    /// Adds an interface for a VLAN (IEEE 802.1Q) of another interface's link, with its MAC address
    /// and MTU; `id` is 1 to 4094.
    ///
    /// Fails as [`Stack::add_interface`] does, and with [`Error::InvalidArgument`] if `parent` is a
    /// VLAN itself, or has one with this identifier.
    pub fn add_vlan(
        &mut self,
        parent: InterfaceId,
        id: u16,
        config: &InterfaceConfig,
    ) -> Result<InterfaceId, Error> {
        self.ip.add_vlan(parent, id, config)
    }

    /// Adds a route to a network (an address and the length of its prefix) over an interface, by
    /// way of a gateway or on the link itself. The longest prefix decides; among equals the
    /// interface whose address a packet is sent from.
    ///
    /// [`Error::InvalidArgument`] if families are mixed or there are more than 64.
    pub fn add_route(
        &mut self,
        network: (IpAddr, u8),
        interface: InterfaceId,
        gateway: Option<IpAddr>,
    ) -> Result<(), Error> {
        self.ip.net.add_route(network, interface, gateway)
    }

    /// Takes a route away that [`Stack::add_route`] added; `false` if there is none to this network
    /// over this interface.
    pub fn remove_route(&mut self, network: (IpAddr, u8), interface: InterfaceId) -> bool {
        self.ip.net.remove_route(network, interface)
    }

    /// The routes there are, from wherever they came.
    pub fn routes(&self) -> impl Iterator<Item = RouteInfo> + '_ {
        self.ip.net.routes.entries.iter().map(|entry| RouteInfo {
            network: entry.network,
            prefix_len: entry.prefix_len,
            interface: InterfaceId(entry.interface),
            gateway: entry.gateway,
        })
    }

    /// Puts rules in force for all packets from now on, instead of those before; see
    /// [`FilterRule`]. [`Error::InvalidArgument`] if there are more than 256, or a prefix or limit
    /// makes no sense.
    pub fn set_filter(&mut self, rules: &[FilterRule]) -> Result<(), Error> {
        self.ip.net.set_filter(rules)
    }

    /// How many packets were dropped for which reason, since the start. Counters wrap.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.ip.net.drops.iter()
    }

    /// The interfaces in the order in which they were added, without the loopback.
    pub fn interfaces(&self) -> Vec<InterfaceId> {
        (1..self.ip.net.interfaces.len()).map(InterfaceId).collect()
    }

    /// What is known about an interface now; `None` for an identifier of another stack.
    pub fn interface_status(&self, id: InterfaceId) -> Option<InterfaceStatus> {
        let interfaces = &self.ip.net.interfaces;
        interfaces.get(id.0).map(crate::ip::Interface::status)
    }

    /// Tells the servers of DHCP that the leases aren't needed any more (RFC 2131, 4.4.6; RFC 8415,
    /// 18.2.7), before the end: their addresses are not to be used after it. `false`: call again
    /// after the next [`Stack::poll`]; a second at most goes by.
    pub fn release_leases(&mut self) -> bool {
        self.ip.net.release_leases()
    }

    /// Whether the links have done with every frame; see [`crate::Link::is_drained`].
    pub fn is_drained(&mut self) -> bool {
        self.ip.is_drained()
    }

    /// Draws the keys again that sequence numbers, timestamps, ports and SYN cookies of connections
    /// to come are made with, for a machine that goes on from a snapshot: another may go on from
    /// the same. Connections stay.
    pub fn renew_keys(&mut self) {
        let Core { tcp, random, .. } = &mut self.core;
        tcp.renew_keys(random);
    }

    /// The address that packets to `remote` are sent from now; [`Error::Unreachable`] if there is
    /// no route.
    pub fn source_address(&self, remote: IpAddr) -> Result<IpAddr, Error> {
        self.ip.route(remote, 0, None).map(|route| route.source)
    }

    /// A number that changes whenever addresses, gateways or name servers change.
    pub fn configuration_generation(&self) -> u32 {
        self.generation
    }

    /// Bytes that the buffers of all TCP connections take now, of [`Config::tcp_memory`].
    pub fn tcp_memory_used(&self) -> usize {
        self.core.budget.used()
    }

    /// Says whether memory is short, apart from [`Config::tcp_memory`]. While it is, no connection
    /// begins and no socket is made, and connections take the minimum that each was promised;
    /// fragments are dropped, and datagrams for a socket that has one already.
    pub fn set_memory_short(&mut self, short: bool) {
        self.core.budget.short = short;
        self.ip.net.memory_short = short;
    }

    /// Bytes that connections were promised, whatever happens, and haven't taken.
    pub fn promised_memory(&self) -> usize {
        self.core.budget.promised()
    }

    /// Runs the stack: timers that are due, at most `budget` frames in for each interface (16 times
    /// as many that are shed under overload), and what the sockets have to send, at most about
    /// `budget` frames out.
    ///
    /// `now_ns` is a monotonic clock of the caller's choice; going back is read as standing still.
    /// Operations made since the last call take effect (are sent) here. Never blocks.
    pub fn poll(&mut self, now_ns: u64, budget: usize) -> Progress {
        let Stack {
            ip,
            core,
            generation,
        } = self;
        core.set_now(now_ns);
        let now_ns = core.clock_ns();
        ip.set_now(now_ns);
        core.run_timers();
        core.run_handshakes(&mut ip.net);
        let mut progress = Progress::default();
        let cookies = !core.tcp.half_open.has_room();
        ip.net.overload.begin(now_ns, cookies);
        let mut round = 0;
        let mut full = false;
        loop {
            // After the first round only the loopback may have news: what was just sent to it.
            let count = if round == 0 { ip.ports.len() } else { 1 };
            for port in 0..count {
                core.unblock(ip.take_unblocked(port));
                let more = ip.receive(port, budget, core);
                progress.more_work |= more;
                full |= more && port != LOOPBACK;
            }
            if round == 0 {
                ip.net.overload.end(full);
            }
            ip.maintain();
            for interface in 0..ip.net.interfaces.len() {
                core.unwait(ip.net.take_resolved(interface, 2 * core.sockets.len() + 64));
            }
            for error in ip.net.take_errors() {
                core.error(&mut ip.net, &error);
            }
            let lost = ip.net.take_lost();
            if !lost.is_empty() {
                core.addresses_lost(&ip.net, &lost);
            }
            if core::mem::take(&mut ip.net.changed) {
                *generation = generation.wrapping_add(1);
            }
            progress.more_work |= transmit(core, ip, budget);
            round += 1;
            if !ip.is_under_way() {
                break;
            }
            if round == ROUNDS {
                progress.more_work = true;
                break;
            }
        }
        progress.transmit_blocked = ip.flush();
        let full_ns = progress.transmit_blocked.then(|| now_ns + FULL_NS);
        let sockets = [
            core.timers.next_ns(),
            core.tcp.time_wait.next_ns(),
            core.tcp.half_open.next_ns(),
        ];
        let sockets_ns = sockets.into_iter().flatten().min();
        let sockets_ns = sockets_ns.map(|at_ns| at_ns.saturating_add(core.paused_ns));
        progress.next_deadline_ns = [ip.next_ns(), full_ns, sockets_ns]
            .into_iter()
            .flatten()
            .min();
        core.due_ns = match progress.more_work {
            true => Some(now_ns),
            false => progress.next_deadline_ns,
        };
        progress
    }

    /// Tells that the caller had nothing to do for `idle_ns` since it last told. A caller that does
    /// so has the answers to SYNs limited while there is little such time and more handshakes are
    /// under way than are remembered (`Config::half_open_max`).
    pub fn note_idle(&mut self, idle_ns: u64) {
        self.ip.net.overload.note_idle(idle_ns);
    }

    /// Sends the data that a connection has to send now, at time `now_ns`, rather than with the
    /// next [`Stack::poll`]: for who is about to wait for its peer while others still have work to
    /// do. Mere acknowledgements wait: by then they tell more. Nothing for other sockets. Never
    /// blocks.
    pub fn send_now(&mut self, handle: Handle, now_ns: u64) {
        let Stack { ip, core, .. } = self;
        match core.sockets.get(handle) {
            Some(Socket::Connection(connection))
                if connection.dirty
                    && connection
                        .machine
                        .as_ref()
                        .is_some_and(|machine| machine.wants_data()) => {}
            _ => return,
        }
        core.set_now(now_ns);
        ip.set_now(core.clock_ns());
        // It was listed last, mostly. Elsewhere it stays listed, and has nothing to send when its
        // turn comes.
        if core.dirty.back() == Some(&handle) {
            core.dirty.pop_back();
        }
        if let Turn::More(_) = core.send(ip, handle) {
            core.mark_dirty(handle);
        }
        ip.flush();
    }

    /// Calls `f` once for each socket that became ready since the last call.
    ///
    /// A socket is named when an operation on it answered [`Error::WouldBlock`] (or
    /// [`Stack::readiness`] found it not ready) and that may now be different, for reading or for
    /// writing. So: try, and wait for the event only after `WouldBlock`. Spurious events are
    /// possible, lost ones are not. Costs time for the sockets named only. To be called after each
    /// [`Stack::poll`]: names wait here until then, those of closed sockets too.
    pub fn take_events(&mut self, f: &mut dyn FnMut(Handle)) {
        let mut events = core::mem::take(&mut self.core.events);
        for handle in events.drain(..) {
            let wakes = match self.core.sockets.get_mut(handle) {
                Some(Socket::Connection(connection)) => &mut connection.wakes,
                Some(Socket::Listener(listener)) => &mut listener.wakes,
                Some(Socket::Udp(udp)) => &mut udp.wakes,
                Some(Socket::Ethernet(ethernet)) => &mut ethernet.wakes,
                Some(Socket::Echo(echo)) => &mut echo.wakes,
                None => continue,
            };
            wakes.listed = false;
            f(handle);
        }
        // Its memory is kept for the next events.
        self.core.events = events;
    }
}

/// Gives each socket that may have something to send its turn; tells whether there is more.
fn transmit(core: &mut Core, ip: &mut Ip, budget: usize) -> bool {
    let mut frames = 0;
    while let Some(handle) = core.dirty.pop_front() {
        match core.send(ip, handle) {
            Turn::Done(sent) | Turn::Blocked(sent) => frames += sent as usize,
            Turn::More(sent) => {
                frames += sent as usize;
                core.mark_dirty(handle);
            }
        }
        // A turn that sends nothing counts too: the work of one call is bounded.
        frames += 1;
        if frames >= budget.max(1) * 2 {
            break;
        }
    }
    !core.dirty.is_empty()
}

/// All sockets.
impl Stack {
    /// What a handle names; `None` if it was closed.
    pub fn kind(&self, handle: Handle) -> Option<Kind> {
        Some(match self.core.owned(handle)? {
            Socket::Listener(_) => Kind::Listener,
            Socket::Connection(_) => Kind::Connection,
            Socket::Udp(_) => Kind::Udp,
            Socket::Ethernet(_) => Kind::Ethernet,
            Socket::Echo(_) => Kind::Echo,
        })
    }

    /// What can be done without waiting.
    pub fn readiness(&mut self, handle: Handle) -> Result<Readiness, Error> {
        let (ready, wakes) = match self.core.owned_mut(handle) {
            Some(Socket::Connection(connection)) => (connection.readiness(), &mut connection.wakes),
            Some(Socket::Listener(listener)) => {
                let readable = !listener.queue.is_empty();
                (
                    Readiness {
                        readable,
                        ..Default::default()
                    },
                    &mut listener.wakes,
                )
            }
            Some(Socket::Udp(udp)) => (udp.readiness(), &mut udp.wakes),
            Some(Socket::Ethernet(ethernet)) => (ethernet.readiness(), &mut ethernet.wakes),
            Some(Socket::Echo(echo)) => (echo.readiness(), &mut echo.wakes),
            None => return Err(Error::BadHandle),
        };
        wakes.read |= !ready.readable;
        wakes.write |= !ready.writable;
        Ok(ready)
    }

    /// Why a connection failed; `None` as long as it didn't. An orderly end is no failure.
    pub fn socket_error(&self, handle: Handle) -> Result<Option<Error>, Error> {
        match self.core.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.error()),
            Some(Socket::Udp(udp)) => Ok(udp.error),
            Some(_) => Ok(None),
            None => Err(Error::BadHandle),
        }
    }

    /// The address of this end; of a listener or UDP socket the one that it is bound to.
    pub fn local_address(&self, handle: Handle) -> Result<SocketAddr, Error> {
        match self.core.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.local),
            Some(Socket::Listener(listener)) => Ok(listener.local),
            Some(Socket::Udp(udp)) => Ok(udp.local),
            Some(Socket::Ethernet(_) | Socket::Echo(_)) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// The address of the other end; [`Error::InvalidOperation`] where there is none.
    pub fn peer_address(&self, handle: Handle) -> Result<SocketAddr, Error> {
        match self.core.owned(handle) {
            Some(Socket::Connection(connection)) => Ok(connection.remote),
            Some(Socket::Udp(udp)) => udp.peer.ok_or(Error::InvalidOperation),
            Some(_) => Err(Error::InvalidOperation),
            None => Err(Error::BadHandle),
        }
    }

    /// Gives the handle back. Never waits, and the handle is unknown to the caller afterwards.
    ///
    /// - Connection: what was written is still delivered, then FIN, in the background, for at most
    ///   [`Config::linger_ns`]. If bytes of the peer are left unread, or come later, the peer gets
    ///   an RST once everything written was acknowledged (RFC 9293, 3.10.4 and RFC 1122, 4.2.2.13).
    /// - Listener: its port is free at once; connections not accepted yet are aborted.
    /// - UDP: its port is free at once; what was queued to be sent still leaves.
    /// - Echo request: cancelled.
    /// - Raw frames: what wasn't read is lost.
    pub fn close(&mut self, handle: Handle) -> Result<(), Error> {
        match self.kind(handle).ok_or(Error::BadHandle)? {
            Kind::Listener => self.core.close_listener(handle),
            Kind::Connection => self.core.close_connection(handle),
            Kind::Udp => self.core.close_udp(&mut self.ip, handle),
            Kind::Ethernet => self.core.close_ethernet(&mut self.ip.net, handle),
            Kind::Echo => self.core.close_echo(handle),
        }
        Ok(())
    }

    /// Like [`Stack::close`], but what was not sent yet is lost and the peer gets an RST.
    pub fn abort(&mut self, handle: Handle) -> Result<(), Error> {
        match self.kind(handle) {
            Some(Kind::Connection) => {
                self.core.abort_connection(handle);
                Ok(())
            }
            _ => self.close(handle),
        }
    }
}
