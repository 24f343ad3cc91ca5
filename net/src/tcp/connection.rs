//! One connection.

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::Socket as AnySocket;
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::time::Duration;

use crate::device::Sent;
use crate::flow::FlowKey;
use crate::frame::is_after;
use crate::{Error, Handle, Readiness};

/// Acknowledgements of small segments wait this long for data to travel with.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// Whose the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The listener's, in handshake.
    HalfOpen(Handle),
    /// The listener's, waiting to be accepted.
    Queued(Handle),
    /// The program's, in handshake.
    Connecting,
    /// The program's.
    Open,
    /// Nobody's: closed by the program, still delivering.
    Orphan,
}

/// Who waits for what.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wakes {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// The handle is in the list of events.
    pub(crate) listed: bool,
}

/// smoltcp's half, with the buffers.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) set: SocketSet<'static>,
    handle: SocketHandle,
    /// Size of each of the two buffers, as taken from the budget.
    pub(crate) buffer: usize,
}

impl Io {
    /// A closed socket with two buffers of this size, which is counted already.
    pub(crate) fn new(buffer: usize) -> Io {
        let ring = || SocketBuffer::new(vec![0; buffer]);
        Io::around(Socket::new(ring(), ring()), buffer)
    }

    /// The same buffers for another connection: what is in them is out of reach.
    pub(crate) fn renew(mut self) -> Io {
        // `Closed`: smoltcp resets the rest when the socket connects or listens.
        self.socket_mut().abort();
        match self.set.remove(self.handle) {
            AnySocket::Tcp(socket) => Io::around(socket, self.buffer),
            _ => Io::new(self.buffer),
        }
    }

    fn around(mut socket: Socket<'static>, buffer: usize) -> Io {
        socket.set_congestion_control(CongestionControl::Reno);
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(ACK_DELAY));
        socket.set_keep_alive(None);
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Io {
            set,
            handle,
            buffer,
        }
    }

    pub(crate) fn socket(&self) -> &Socket<'static> {
        self.set.get(self.handle)
    }

    pub(crate) fn socket_mut(&mut self) -> &mut Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Whether the window that smoltcp announces is 0: less is free than a unit of its scale.
    pub(crate) fn window_is_closed(&self) -> bool {
        let socket = self.socket();
        let capacity = socket.recv_capacity();
        let free = capacity - socket.recv_queue().min(capacity);
        let bits = usize::BITS - capacity.leading_zeros();
        free >> bits.saturating_sub(16) == 0
    }

    /// Whether the peer owes an answer: data, a SYN or a FIN is on its way or waits to be sent.
    pub(crate) fn outstanding(&self) -> bool {
        let socket = self.socket();
        socket.send_queue() > 0
            || matches!(
                socket.state(),
                State::SynSent
                    | State::SynReceived
                    | State::FinWait1
                    | State::Closing
                    | State::LastAck
            )
    }

    /// A segment larger than the MTU is many that the device joined: smoltcp would put off the one
    /// acknowledgement of all of them, and the peer's window would stand still meanwhile.
    pub(crate) fn expect(&mut self, joined: bool) {
        self.socket_mut()
            .set_ack_delay(Some(if joined { Duration::ZERO } else { ACK_DELAY }));
    }
}

/// One connection, from the first SYN to the last use of its handle.
#[derive(Debug)]
pub(crate) struct Connection {
    /// `None` once the connection is over and everything received was read.
    pub(crate) io: Option<Io>,
    pub(crate) phase: Phase,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) key: FlowKey,
    pub(crate) interface: usize,
    pub(crate) error: Option<Error>,
    pub(crate) wakes: Wakes,
    /// The handle is in the list of sockets to be sent from.
    pub(crate) dirty: bool,
    /// The handle is in its interface's list of those without room.
    pub(crate) blocked: bool,
    /// The handle is in its interface's list of those without neighbour.
    pub(crate) waiting: bool,
    /// Nothing is sent or received any more; there may be something to read.
    pub(crate) over: bool,
    /// Earliest entry in the heap of timers.
    pub(crate) timer_ns: Option<u64>,
    /// When the present phase (handshake, lingering) is given up.
    pub(crate) limit_ns: Option<u64>,
    /// When it began.
    pub(crate) began_ns: u64,
    /// When the peer was heard last.
    pub(crate) heard_ns: u64,
    /// Since when the peer owes an answer.
    pub(crate) owed_ns: Option<u64>,
    pub(crate) keepalive_ns: Option<u64>,
    /// SND.MAX, the furthest that was sent, and the last acknowledgement sent.
    pub(crate) send_max: Option<u32>,
    pub(crate) last_ack: u32,
    /// Sequence numbers after the last byte that the program wrote, and of the first one that it
    /// hasn't read. smoltcp's own numbers are private.
    pub(crate) written: u32,
    pub(crate) unread: u32,
    /// The peer's FIN was accepted.
    pub(crate) peer_ended: bool,
}

impl Connection {
    pub(crate) fn new(
        io: Io,
        phase: Phase,
        local: SocketAddr,
        remote: SocketAddr,
        interface: usize,
        now_ns: u64,
    ) -> Connection {
        Connection {
            io: Some(io),
            phase,
            local,
            remote,
            key: FlowKey::new((local.ip(), local.port()), (remote.ip(), remote.port())),
            interface,
            error: None,
            wakes: Wakes::default(),
            dirty: false,
            blocked: false,
            waiting: false,
            over: false,
            timer_ns: None,
            limit_ns: None,
            began_ns: now_ns,
            heard_ns: now_ns,
            owed_ns: None,
            keepalive_ns: None,
            send_max: None,
            last_ack: 0,
            written: 0,
            unread: 0,
            peer_ended: false,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.io
            .as_ref()
            .map_or(State::Closed, |io| io.socket().state())
    }

    /// Notes what was sent.
    pub(crate) fn note(&mut self, sent: &Sent) {
        let Some((end, ack)) = sent.last else { return };
        match self.send_max {
            // Its SYN: what will be written comes after it.
            None => {
                self.send_max = Some(end);
                self.written = end;
            }
            Some(max) if is_after(end, max) => self.send_max = Some(end),
            Some(_) => {}
        }
        self.last_ack = ack;
    }

    /// RCV.NXT.
    pub(crate) fn receive_next(&self) -> u32 {
        let queued = self.io.as_ref().map_or(0, |io| io.socket().recv_queue());
        self.unread
            .wrapping_add(queued as u32)
            .wrapping_add(u32::from(self.peer_ended))
    }

    /// SND.UNA, a FIN of ours not counted.
    pub(crate) fn unacknowledged(&self) -> u32 {
        let queued = self.io.as_ref().map_or(0, |io| io.socket().send_queue());
        self.written.wrapping_sub(queued as u32)
    }

    /// Whether the last acknowledgement of the connection, the one of the peer's FIN, was sent.
    pub(crate) fn fin_acknowledged(&self) -> bool {
        self.peer_ended && self.last_ack == self.receive_next()
    }

    /// What can be done now. `room`: how many bytes of room in the send buffer count as writable.
    pub(crate) fn readiness(&self, room: usize) -> Readiness {
        let connecting = self.phase == Phase::Connecting && self.error.is_none();
        let error = self.error.is_some();
        let Some(io) = &self.io else {
            return Readiness {
                readable: true,
                writable: true,
                hangup: true,
                error,
            };
        };
        let socket = io.socket();
        let over = socket.state() == State::Closed;
        Readiness {
            readable: !connecting && (socket.can_recv() || !socket.may_recv() || error),
            writable: !connecting
                && (error
                    || !socket.may_send()
                    || socket.send_capacity() - socket.send_queue() >= room),
            hangup: over || (!connecting && !socket.may_send() && !socket.may_recv()),
            error,
        }
    }

    /// Room in the send buffer that is worth waking a writer for.
    fn low_water(&self) -> usize {
        self.io
            .as_ref()
            .map_or(1, |io| (io.buffer / 4).clamp(1, 64 << 10))
    }

    /// Whether somebody who waits is to be told; told once.
    pub(crate) fn take_wake(&mut self) -> bool {
        if !self.wakes.read && !self.wakes.write {
            return false;
        }
        let ready = self.readiness(self.low_water());
        let read = self.wakes.read && ready.readable;
        let write = self.wakes.write && ready.writable;
        self.wakes.read &= !read;
        self.wakes.write &= !write;
        read || write
    }
}
