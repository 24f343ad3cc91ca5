//! The stack: its poll and its events. The operations are in the modules, by protocol.

mod ethernet;
mod header_fields;
mod interfaces;
mod multicast;
mod ping;
mod sockets;
mod statistics;
mod tcp;
mod tcp_lease;
mod tcp_options;
mod udp;

pub use interfaces::RouteInfo;
pub use statistics::SocketInfo;

use alloc::boxed::Box;

use crate::hash::Keyed;
use crate::ip::{Ip, LOOPBACK, Loopback, Random};
use crate::sockets::{Socket, Sockets, Turn};
use crate::types::{Config, Handle, RandomBits};

/// Interval at which a full link is polled, in case its wake-up was lost.
const FULL_NS: u64 = 10_000_000;
/// Rounds over all interfaces in one poll: the loopback answers itself.
const ROUNDS: usize = 4;

/// Work that [`Stack::poll`] left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The budget was used up: call again without waiting.
    pub more_work: bool,
    /// When to call again even if nothing happens, in nanoseconds of the clock given to
    /// [`Stack::poll`]; `None`: only when a frame comes or an operation was made.
    pub next_deadline_ns: Option<u64>,
    /// Frames wait because a link answered `false` to
    /// [`Link::can_transmit`](crate::Link::can_transmit): call again when it has room.
    pub transmit_blocked: bool,
}

/// A TCP/IP stack. See the crate's description.
///
/// It can be moved to another thread with its links; it isn't `Sync`, since each call changes it.
pub struct Stack {
    pub(crate) ip: Ip,
    pub(crate) sockets: Sockets,
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
        let mut sockets = Sockets::new(config, source());
        let keyed = Keyed::new(&mut sockets.random);
        let random = Random::new(source());
        let ip = Ip::new(Box::new(Loopback::default()), keyed, random);
        Stack {
            ip,
            sockets,
            generation: 0,
        }
    }

    /// Draws the keys again that sequence numbers, timestamps, ports and SYN cookies of connections
    /// to come are made with, for a machine that goes on from a snapshot: another may go on from
    /// the same. Connections stay.
    pub fn renew_keys(&mut self) {
        let Sockets { tcp, random, .. } = &mut self.sockets;
        tcp.renew_keys(random);
    }

    /// A number that changes whenever addresses, gateways or name servers change.
    pub fn configuration_generation(&self) -> u32 {
        self.generation
    }

    /// Bytes that the buffers of all TCP connections take now, of [`Config::tcp_memory`].
    pub fn tcp_memory_used(&self) -> usize {
        self.sockets.budget.used()
    }

    /// Says whether memory is short, apart from [`Config::tcp_memory`]. While it is, no connection
    /// begins and no socket is made, and connections take the minimum that each was promised;
    /// fragments are dropped, and datagrams for a socket that has one already.
    pub fn set_memory_short(&mut self, short: bool) {
        self.sockets.budget.short = short;
        self.ip.net.memory_short = short;
    }

    /// Bytes that connections were promised, whatever happens, and haven't taken.
    pub fn promised_memory(&self) -> usize {
        self.sockets.budget.promised()
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
            sockets,
            generation,
        } = self;
        sockets.set_now(now_ns);
        let now_ns = sockets.clock_ns();
        ip.set_now(now_ns);
        sockets.run_timers();
        sockets.run_handshakes(&mut ip.net);
        let mut progress = Progress::default();
        let cookies = !sockets.tcp.half_open.has_room();
        ip.net.overload.begin(now_ns, cookies);
        let mut round = 0;
        let mut full = false;
        loop {
            // After the first round only the loopback may have news: what was just sent to it.
            let count = if round == 0 { ip.ports.len() } else { 1 };
            for port in 0..count {
                sockets.unblock(ip.take_unblocked(port));
                let more = ip.receive(port, budget, sockets);
                progress.more_work |= more;
                full |= more && port != LOOPBACK;
            }
            if round == 0 {
                ip.net.overload.end(full);
            }
            ip.maintain();
            for interface in 0..ip.net.interfaces.len() {
                sockets.unwait(
                    ip.net
                        .take_resolved(interface, 2 * sockets.table.len() + 64),
                );
            }
            for error in ip.net.take_errors() {
                sockets.error(&mut ip.net, &error);
            }
            let lost = ip.net.take_lost();
            if !lost.is_empty() {
                sockets.addresses_lost(&ip.net, &lost);
            }
            if core::mem::take(&mut ip.net.changed) {
                *generation = generation.wrapping_add(1);
            }
            progress.more_work |= transmit(sockets, ip, budget);
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
        let deadlines = [
            sockets.timers.next_ns(),
            sockets.tcp.time_wait.next_ns(),
            sockets.tcp.half_open.next_ns(),
        ];
        let sockets_ns = deadlines.into_iter().flatten().min();
        let sockets_ns = sockets_ns.map(|at_ns| at_ns.saturating_add(sockets.paused_ns));
        progress.next_deadline_ns = [ip.next_ns(), full_ns, sockets_ns]
            .into_iter()
            .flatten()
            .min();
        sockets.due_ns = match progress.more_work {
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

    /// Sends the pending data of a connection at `now_ns` instead of with the next [`Stack::poll`].
    /// For a task that is about to wait for its peer while others still have work to do. Pure
    /// acknowledgements still wait, because a later one covers more. Does nothing for other
    /// sockets. Never blocks.
    pub fn send_now(&mut self, handle: Handle, now_ns: u64) {
        let Stack { ip, sockets, .. } = self;
        match sockets.table.get(handle) {
            Some(Socket::Connection(connection))
                if connection.dirty
                    && connection
                        .machine
                        .as_ref()
                        .is_some_and(|machine| machine.wants_data()) => {}
            _ => return,
        }
        sockets.set_now(now_ns);
        ip.set_now(sockets.clock_ns());
        // It was listed last, mostly. Elsewhere it stays listed, and has nothing to send when its
        // turn comes.
        if sockets.dirty.back() == Some(&handle) {
            sockets.dirty.pop_back();
        }
        if let Turn::More(_) = sockets.send(ip, handle) {
            sockets.mark_dirty(handle);
        }
        ip.flush();
    }

    /// Calls `f` once for each socket that became ready since the last call.
    ///
    /// A socket is named when an operation on it answered
    /// [`Error::WouldBlock`](crate::Error::WouldBlock) (or [`Stack::readiness`] found it not ready)
    /// and that may now be different, for reading or for writing. So: try, and wait for the event
    /// only after `WouldBlock`. Spurious events are possible, lost ones are not. Costs time for the
    /// sockets named only. To be called after each
    /// [`Stack::poll`]: names wait here until then, those of closed sockets too.
    pub fn take_events(&mut self, f: &mut dyn FnMut(Handle)) {
        let mut events = core::mem::take(&mut self.sockets.events);
        for handle in events.drain(..) {
            let wakes = match self.sockets.table.get_mut(handle) {
                Some(Socket::Connection(connection)) => &mut connection.wakes,
                Some(Socket::Listener(listener)) => &mut listener.wakes,
                Some(Socket::Udp(udp)) => &mut udp.wakes,
                Some(Socket::Ethernet(ethernet)) => &mut ethernet.wakes,
                Some(Socket::Ping(ping)) => &mut ping.wakes,
                None => continue,
            };
            wakes.listed = false;
            f(handle);
        }
        // Its memory is kept for the next events.
        self.sockets.events = events;
    }
}

/// Gives each socket that may have something to send its turn; tells whether there is more.
fn transmit(sockets: &mut Sockets, ip: &mut Ip, budget: usize) -> bool {
    let mut frames = 0;
    while let Some(handle) = sockets.dirty.pop_front() {
        match sockets.send(ip, handle) {
            Turn::Done(sent) | Turn::Blocked(sent) => frames += sent as usize,
            Turn::More(sent) => {
                frames += sent as usize;
                sockets.mark_dirty(handle);
            }
        }
        // A turn that sends nothing counts too: the work of one call is bounded.
        frames += 1;
        if frames >= budget.max(1) * 2 {
            break;
        }
    }
    !sockets.dirty.is_empty()
}
