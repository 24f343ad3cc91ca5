//! Sending datagrams.
//!
//! A smoltcp socket keeps its order: a datagram whose neighbour isn't known would hold up all that
//! come after it, to whomever they go. So smoltcp is given one datagram at a time, and one that gets
//! stuck is put aside with its socket until the neighbour answers or the time is up.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp::{Socket as UdpSocket, UdpMetadata};
use smoltcp::wire::IpEndpoint;

use super::{QUEUE_MIN, Udp, ring, smoltcp_socket};
use crate::Handle;
use crate::interface::Interface;
use crate::shared::{Core, Socket, Turn, park};

/// Datagrams that one socket may send before it is the next one's turn.
const TURN: u32 = 16;
/// Neighbours for which datagrams of one socket may wait; the oldest makes room.
const STUCK: usize = 16;

/// A datagram that waits to be sent.
pub(crate) struct Outgoing {
    pub(crate) interface: usize,
    pub(crate) source: IpAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) data: Vec<u8>,
}

/// A smoltcp socket with room for one datagram.
pub(crate) struct Sender {
    set: SocketSet<'static>,
    handle: SocketHandle,
    room: usize,
    interface: usize,
    remote: IpAddr,
    since_ns: u64,
    /// Datagrams for the same neighbour, while it waits.
    behind: VecDeque<Outgoing>,
}

impl Sender {
    fn new(local: SocketAddr, room: usize) -> Sender {
        let (set, handle) = smoltcp_socket(local, ring(0, 0), ring(1, room));
        Sender {
            set,
            handle,
            room,
            interface: 0,
            remote: local.ip(),
            since_ns: 0,
            behind: VecDeque::new(),
        }
    }

    /// Gives smoltcp a datagram, which fits.
    fn load(&mut self, datagram: &Outgoing) {
        self.interface = datagram.interface;
        self.remote = datagram.remote.ip();
        let remote = IpEndpoint::new(self.remote.into(), datagram.remote.port());
        let mut metadata = UdpMetadata::from(remote);
        metadata.local_address = Some(datagram.source.into());
        // The socket is empty and large enough, and the addresses were checked.
        let _ = self
            .set
            .get_mut::<UdpSocket<'_>>(self.handle)
            .send_slice(&datagram.data, metadata);
    }

    fn send(&mut self, interface: &mut Interface, now_ns: u64) -> Outcome {
        // smoltcp has one place for a datagram in fragments, and forgets what is there for the next
        // one: all must be out before.
        if !interface.send_fragments(now_ns) {
            return Outcome::Full;
        }
        let sent = interface.send(now_ns, &mut self.set);
        if sent.datagrams > 0 {
            return Outcome::Sent;
        }
        if sent.refused {
            return Outcome::Full;
        }
        if sent.tokens > 0 {
            interface.ask(now_ns, self.remote, &sent);
        }
        Outcome::Stuck
    }
}

enum Outcome {
    /// Out, but for fragments that may be left.
    Sent,
    /// The neighbour isn't known.
    Stuck,
    /// The link has no room.
    Full,
}

impl Udp {
    /// A socket of smoltcp with room for `len` bytes.
    fn sender_for(&mut self, len: usize) -> Sender {
        match self.sender.take().filter(|sender| sender.room >= len) {
            Some(sender) => sender,
            None => Sender::new(self.local, len.max(QUEUE_MIN)),
        }
    }

    /// A datagram is smoltcp's now, or lost.
    fn taken(&mut self, datagram: &Outgoing) {
        self.outgoing_bytes -= datagram.data.len();
        self.outgoing_packets -= 1;
    }

    fn put_aside(&mut self, sender: Sender) {
        if self.stuck.len() >= STUCK
            && let Some(oldest) = self.stuck.pop_front()
        {
            oldest
                .behind
                .iter()
                .for_each(|datagram| self.taken(datagram));
        }
        self.stuck.push_back(sender);
    }

    /// Sends what a sender has, and what is behind it. `false` if the link is full.
    fn run(&mut self, mut sender: Sender, run: &mut Run<'_>) -> bool {
        loop {
            let Some(interface) = run.interfaces.get_mut(sender.interface) else {
                return true;
            };
            run.work += 1;
            match sender.send(interface, run.now_ns) {
                Outcome::Sent => {
                    run.sent += 1;
                    if !interface.send_fragments(run.now_ns) {
                        self.cutting = Some(sender.interface);
                    }
                    let Some(next) = sender.behind.pop_front() else {
                        self.sender = Some(sender);
                        return self.cutting.is_none();
                    };
                    self.taken(&next);
                    if next.data.len() > sender.room {
                        let behind = sender.behind;
                        sender = Sender {
                            behind,
                            ..Sender::new(self.local, next.data.len())
                        };
                    }
                    sender.load(&next);
                    sender.since_ns = run.now_ns;
                }
                Outcome::Stuck => {
                    let until_ns = sender.since_ns.saturating_add(run.patience_ns);
                    if run.now_ns >= until_ns {
                        // Nobody answers: what is here is lost.
                        sender
                            .behind
                            .iter()
                            .for_each(|datagram| self.taken(datagram));
                    } else {
                        park(&mut interface.end.waiting, &mut self.waiting, run.handle);
                        self.put_aside(sender);
                    }
                    return true;
                }
                Outcome::Full => {
                    park(&mut interface.end.blocked, &mut self.blocked, run.handle);
                    self.stuck.push_front(sender);
                    return false;
                }
            }
        }
    }
}

/// What one turn of a socket has at hand.
struct Run<'a> {
    interfaces: &'a mut [Interface],
    handle: Handle,
    now_ns: u64,
    patience_ns: u64,
    sent: u32,
    work: u64,
}

impl Core {
    /// Sends what is queued in a socket.
    pub(crate) fn send_datagrams(&mut self, interfaces: &mut [Interface], handle: Handle) -> Turn {
        let now_ns = self.now_ns;
        let Some(Socket::Udp(udp)) = self.sockets.get_mut(handle) else {
            return Turn::Done(0);
        };
        let patience_ns = self.config.neighbor_timeout_ns;
        let mut run = Run {
            interfaces,
            handle,
            now_ns,
            patience_ns,
            sent: 0,
            work: 0,
        };
        let full = !udp.turn(&mut run);
        if udp.stuck.is_empty() {
            udp.waiting = false;
        } else {
            // smoltcp asks a neighbour again after a second.
            self.timers
                .set(&mut udp.timer_ns, now_ns + 1_000_000_000, handle);
        }
        let more = !full && !udp.outgoing.is_empty();
        let (sent, work) = (run.sent, run.work);
        let wake = udp.wakes.write && udp.has_room();
        udp.wakes.write &= !wake;
        let over = udp.closing && udp.is_idle();
        self.work += work;
        if over {
            self.sockets.remove(handle);
        } else if wake {
            self.tell(handle);
        }
        match (full, more) {
            (true, _) => Turn::Blocked(sent),
            (false, true) => Turn::More(sent),
            (false, false) => Turn::Done(sent),
        }
    }
}

impl Udp {
    /// First the fragments of the last datagram, then what waits for neighbours, then what is new.
    /// `false` if the link is full.
    fn turn(&mut self, run: &mut Run<'_>) -> bool {
        if let Some(number) = self.cutting
            && let Some(interface) = run.interfaces.get_mut(number)
        {
            if !interface.send_fragments(run.now_ns) {
                park(&mut interface.end.blocked, &mut self.blocked, run.handle);
                return false;
            }
            self.cutting = None;
        }
        for _ in 0..self.stuck.len() {
            let Some(sender) = self.stuck.pop_front() else {
                break;
            };
            if !self.run(sender, run) {
                return self.cut_later(run);
            }
        }
        while run.sent < TURN
            && let Some(datagram) = self.outgoing.pop_front()
        {
            let remote = datagram.remote.ip();
            if let Some(sender) = self.stuck.iter_mut().find(|sender| sender.remote == remote) {
                sender.behind.push_back(datagram);
                continue;
            }
            self.taken(&datagram);
            let mut sender = self.sender_for(datagram.data.len());
            sender.load(&datagram);
            sender.since_ns = run.now_ns;
            if !self.run(sender, run) {
                return self.cut_later(run);
            }
        }
        true
    }

    /// The link is full; if that was in the middle of a datagram, its fragments are first next time.
    fn cut_later(&mut self, run: &mut Run<'_>) -> bool {
        if let Some(number) = self.cutting
            && let Some(interface) = run.interfaces.get_mut(number)
        {
            park(&mut interface.end.blocked, &mut self.blocked, run.handle);
        }
        false
    }
}
