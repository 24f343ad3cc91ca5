//! TCP sockets: their states for a program, over the connections and listeners of the network.
//!
//! Source: tcp(7), connect(2); Linux's `net/ipv4/af_inet.c` and `net/ipv4/tcp.c`.

use super::address::{self, Family, Name};
use super::attempts::{Attempt, Guarded, Halt, Patience, at_once, await_network, decode, halt};
use super::options::{Kind, Options, put};
use super::{Received, Socket, directions, gate, network_errno};
use crate::blocking::lent::Lent;
use crate::blocking::readiness::Events;
use crate::errors::{Errno, Result};
use alloc::boxed::Box;
use core::net::SocketAddr;
use platform::Direction;
use platform::error::{Error, Stop};
use reactor::table::Fd;
use resources::Runtime;
use resources::net::address::encode;
use resources::net::{self, bound, tcp};
use resources::types::Int;
use resources::types::constants as c;

const SOCKET: i32 = libc::SOL_SOCKET;
const TCP: i32 = libc::IPPROTO_TCP;

/// A TCP socket.
pub struct Tcp {
    family: Family,
    state: Guarded<State>,
}

/// The states of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Neither bound nor connected.
    Closed,
    /// Bound.
    Bound(Fd),
    /// Accepts connections.
    Listening(Fd),
    /// A connection is being established.
    Connecting(Fd),
    /// A connection, which may have ended.
    Connected(Fd),
    /// No connection could be established.
    Failed,
}

struct State {
    phase: Phase,
    /// The address of `bind`.
    bound: Option<SocketAddr>,
    /// Why no connection was established, until a call reports it.
    failure: Option<Errno>,
    /// A call has reported the reason for the connection's end.
    reported: bool,
    /// The directions that `shutdown` has ended: receive, send.
    ended: [bool; 2],
    /// Both ends of the connection are on this host.
    is_local: bool,
    /// How often the gate has kept `accept` from taking a connection: each is followed by an edge.
    held_back: u64,
    options: Options,
}

impl State {
    fn descriptor(&self) -> Option<Fd> {
        match self.phase {
            Phase::Closed | Phase::Failed => None,
            Phase::Bound(fd)
            | Phase::Listening(fd)
            | Phase::Connecting(fd)
            | Phase::Connected(fd) => Some(fd),
        }
    }

    /// The options that the first segment depends on, in the form of `soil_tcp_connect`.
    fn how(&self) -> Int {
        let hops = self.options.chosen(libc::IPPROTO_IP, libc::IP_TTL);
        let hops = hops.or(self
            .options
            .chosen(libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS));
        let class = self.options.number(libc::IPPROTO_IP, libc::IP_TOS)
            | self.options.number(libc::IPPROTO_IPV6, libc::IPV6_TCLASS);
        let size = self.options.chosen(TCP, libc::TCP_MAXSEG).unwrap_or(0);
        let only_v6 = self.options.is_set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
        (hops.unwrap_or(0) as Int)
            | (only_v6 as Int) << tcp::ONLY_V6
            | (class as Int & 0xfc) << 6
            | (size as Int) << 24
    }

    /// Passes an option on to a connection, if the program has set it.
    fn apply(&self, rt: &mut Runtime, level: i32, option: i32) {
        let (Phase::Connected(fd) | Phase::Connecting(fd)) = self.phase else {
            return;
        };
        let chosen = self.options.chosen(level, option);
        let set = |rt: &mut Runtime, option, value| _ = tcp::set(rt, fd, option, value);
        match (level, option, chosen) {
            // A connection that is over accepts no options.
            (TCP, libc::TCP_NODELAY, Some(value)) => set(rt, c::OPTION_NODELAY, value as u64),
            (TCP, libc::TCP_USER_TIMEOUT, Some(ms)) => {
                set(rt, c::OPTION_USER_TIMEOUT, ms as u64 * 1_000_000);
            }
            (SOCKET, libc::SO_SNDBUF, Some(bytes)) => {
                set(rt, c::OPTION_SEND_BUFFER, bytes as u64);
            }
            (SOCKET, libc::SO_RCVBUF, Some(bytes)) => {
                set(rt, c::OPTION_RECEIVE_BUFFER, bytes as u64);
            }
            (SOCKET, libc::SO_LINGER, _) => {
                let ns = |seconds: i32| (seconds.max(0) as u64).saturating_mul(1_000_000_000);
                let ns = self.options.linger.map_or_else(tcp::usual_linger, ns);
                set(rt, c::OPTION_LINGER, ns);
            }
            (SOCKET, libc::SO_KEEPALIVE, Some(_))
            | (TCP, libc::TCP_KEEPIDLE | libc::TCP_KEEPINTVL | libc::TCP_KEEPCNT, Some(_)) => {
                let ns = |option| self.options.number(TCP, option) as Int * 1_000_000_000;
                let on = self.options.is_set(SOCKET, libc::SO_KEEPALIVE);
                let idle = if on { ns(libc::TCP_KEEPIDLE) } else { 0 };
                let count = self.options.number(TCP, libc::TCP_KEEPCNT) as Int;
                let _ = tcp::keepalive(rt, fd, idle, ns(libc::TCP_KEEPINTVL), count);
            }
            (libc::IPPROTO_IP, libc::IP_TTL, value)
            | (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, value) => {
                let _ = net::mark(rt, fd, c::MARK_HOP_LIMIT, value.unwrap_or(0) as u8);
            }
            (libc::IPPROTO_IP, libc::IP_TOS, Some(value))
            | (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, Some(value)) => {
                let _ = net::mark(rt, fd, c::MARK_DSCP, value as u8 >> 2);
            }
            _ => {}
        }
    }

    /// Passes all options on, except those that a new connection has from its first segment.
    fn apply_all(&self, rt: &mut Runtime) {
        for (level, option) in [
            (TCP, libc::TCP_NODELAY),
            (TCP, libc::TCP_USER_TIMEOUT),
            (SOCKET, libc::SO_SNDBUF),
            (SOCKET, libc::SO_RCVBUF),
            (SOCKET, libc::SO_LINGER),
            (SOCKET, libc::SO_KEEPALIVE),
        ] {
            self.apply(rt, level, option);
        }
        // It may have been set after `bind`, which gave the first segment the options of its time.
        for (level, option) in [
            (libc::IPPROTO_IP, libc::IP_TTL),
            (libc::IPPROTO_IP, libc::IP_TOS),
            (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
        ] {
            if self.options.chosen(level, option).is_some() {
                self.apply(rt, level, option);
            }
        }
    }

    /// Binds to `address`.
    fn bind(&mut self, rt: &mut Runtime, address: SocketAddr) -> Attempt<Fd> {
        let bound = bound::bind(rt, &encode(address), self.how());
        let fd = decode(bound.map_err(|stop| Halt::Error(at_once(stop)))?)?;
        self.phase = Phase::Bound(fd);
        Ok(fd)
    }

    /// Starts to establish a connection.
    fn begin(&mut self, rt: &mut Runtime, peer: SocketAddr) -> Attempt<()> {
        if let (Some(address), Phase::Failed) = (self.bound, self.phase) {
            self.bind(rt, address)?;
        }
        let begun = match self.phase {
            Phase::Bound(fd) => bound::connect_to(rt, fd, peer),
            _ => tcp::connect_to(rt, peer, self.how()),
        };
        let fd = decode(begun.map_err(|stop| Halt::Error(at_once(stop)))?)?;
        self.phase = Phase::Connecting(fd);
        (self.failure, self.reported, self.ended) = (None, false, [false; 2]);
        self.note_ends(rt, fd);
        self.apply_all(rt);
        Ok(())
    }

    /// Records whether both ends of a connection are on this host.
    fn note_ends(&mut self, rt: &mut Runtime, fd: Fd) {
        let (local, peer) = (net::local_address(rt, fd), net::peer_address(rt, fd));
        self.is_local = match (local, peer) {
            (Ok(local), Ok(peer)) => local.ip() == peer.ip() || peer.ip().is_loopback(),
            _ => false,
        };
    }

    /// After data was sent: on this host it arrives before the call returns, as on Linux.
    fn deliver(&self, rt: &mut Runtime) {
        if self.is_local {
            net::poll_until_idle(rt);
        }
    }

    /// Checks whether the connection in progress is established. An error is stored in `failure`.
    fn progress(&mut self, rt: &mut Runtime) {
        let Phase::Connecting(fd) = self.phase else {
            return;
        };
        match tcp::connected(rt, fd) {
            Ok(_) => self.phase = Phase::Connected(fd),
            Err(Stop::Error(error)) => {
                self.phase = Phase::Failed;
                self.failure = Some(network_errno(error));
                let _ = rt.close(fd);
            }
            Err(_) => {}
        }
    }

    /// The connection's descriptor; `None` after a failed attempt. Without one, `missing` is the
    /// error.
    fn connection(&mut self, rt: &mut Runtime, missing: Errno) -> Attempt<Option<Fd>> {
        self.progress(rt);
        match self.phase {
            Phase::Connected(fd) => Ok(Some(fd)),
            Phase::Connecting(fd) => Err(Halt::Park(fd, Direction::Write)),
            Phase::Failed => match self.failure.take() {
                Some(errno) => Err(Halt::Error(errno)),
                None => Ok(None),
            },
            Phase::Closed | Phase::Bound(_) | Phase::Listening(_) => Err(Halt::Error(missing)),
        }
    }

    /// For an incomplete transfer; `None` if its error was reported before.
    fn halt(&mut self, stop: Stop, fd: Fd, direction: Direction) -> Option<Halt> {
        let halt = halt(stop, fd, direction);
        if matches!(halt, Halt::Error(errno) if errno != libc::EPIPE)
            && core::mem::replace(&mut self.reported, true)
        {
            return None;
        }
        Some(halt)
    }

    /// The error that `SO_ERROR` reports, once.
    fn take_error(&mut self, rt: &mut Runtime) -> Errno {
        self.progress(rt);
        match self.phase {
            Phase::Connected(fd) if !self.reported => match net::failure(rt, fd) {
                Ok(Some(error)) => {
                    self.reported = true;
                    network_errno(error)
                }
                _ => 0,
            },
            _ => self.failure.take().unwrap_or(0),
        }
    }

    fn events(&mut self, rt: &mut Runtime) -> Events {
        const IN: Events = Events::READABLE;
        const OUT: Events = Events::WRITABLE;
        self.progress(rt);
        let ready = |rt: &mut Runtime, fd| net::readiness(rt, fd).unwrap_or_default();
        match self.phase {
            Phase::Closed | Phase::Bound(_) => OUT | Events::HUP,
            Phase::Listening(fd) => {
                let has_connection = ready(rt, fd).readable;
                Events::when(has_connection && gate::is_open(rt), IN)
            }
            Phase::Connecting(_) => Events::empty(),
            Phase::Failed => {
                let error = Events::when(self.failure.is_some(), Events::ERR);
                IN | OUT | Events::RDHUP | Events::HUP | error
            }
            Phase::Connected(fd) => {
                let [receives_no_more, _] = self.ended;
                let ready = ready(rt, fd);
                let readable = ready.readable || receives_no_more || ready.hangup;
                let next = |rt| tcp::peek(rt, fd, &mut [0]);
                let ended = readable && !matches!(next(rt), Ok(1) | Err(Stop::WouldBlock));
                Events::when(readable, IN)
                    | Events::when(ended, Events::RDHUP)
                    | Events::when(ready.writable || ready.hangup, OUT)
                    | Events::when(ready.hangup, Events::HUP)
                    | Events::when(ready.error && !self.reported, Events::ERR)
            }
        }
    }
}

impl Tcp {
    /// `socket`.
    pub fn new(family: Family) -> Tcp {
        let options = Options::new(Kind::Tcp(family == Family::V6));
        Tcp::with(family, Phase::Closed, options)
    }

    fn with(family: Family, phase: Phase, options: Options) -> Tcp {
        Tcp {
            family,
            state: Guarded::new(State {
                phase,
                bound: None,
                failure: None,
                reported: false,
                ended: [false; 2],
                is_local: false,
                held_back: 0,
                options,
            }),
        }
    }

    fn patience(&self, waits: bool, receives: bool) -> Patience {
        self.state.lock().options.patience(waits, receives)
    }

    /// An address in the socket's family.
    fn name(&self, address: core::result::Result<SocketAddr, Error>) -> Attempt<Name> {
        match address {
            Ok(address) => Ok(Name::of(self.family, address)),
            Err(_) => Err(Halt::Error(libc::ENOTCONN)),
        }
    }
}

impl Socket for Tcp {
    fn kind(&self) -> [i32; 3] {
        [self.family.number(), libc::SOCK_STREAM, TCP]
    }

    fn bind(&self, address: &[u8]) -> Result<()> {
        let address = address::to_bind(self.family, address)?;
        if !address.ip().is_unspecified() && !address.ip().is_loopback() {
            await_network();
        }
        self.state.now(|rt, state| {
            if state.phase != Phase::Closed {
                return Err(Halt::Error(libc::EINVAL));
            }
            if address.ip().is_multicast() {
                return Err(Halt::Error(libc::EADDRNOTAVAIL));
            }
            state.bind(rt, address)?;
            state.bound = Some(address);
            Ok(())
        })
    }

    fn listen(&self, backlog: i32) -> Result<()> {
        self.state.now(|rt, state| {
            let fd = match state.phase {
                Phase::Bound(fd) | Phase::Listening(fd) => fd,
                Phase::Closed => state.bind(rt, self.family.any())?,
                _ => return Err(Halt::Error(libc::EINVAL)),
            };
            let backlog = (backlog as u32).clamp(1, libc::SOMAXCONN as u32);
            bound::listen(rt, fd, backlog as Int).map_err(|stop| Halt::Error(at_once(stop)))?;
            state.phase = Phase::Listening(fd);
            Ok(())
        })
    }

    fn accept(&self, waits: bool) -> Result<(Box<dyn Socket>, Name)> {
        let patience = self.patience(waits, true);
        self.state.retry(patience, |rt, state| {
            let Phase::Listening(fd) = state.phase else {
                return Err(Halt::Error(libc::EINVAL));
            };
            if !gate::is_open(rt) {
                state.held_back += 1;
                return Err(Halt::Gate);
            }
            let accepted = tcp::accept(rt, fd).map_err(|stop| halt(stop, fd, Direction::Read))?;
            gate::on_passed();
            let connection = decode(accepted)?;
            let socket = Tcp::with(self.family, Phase::Connected(connection), state.options);
            let mut accepted = socket.state.lock_new();
            accepted.note_ends(rt, connection);
            accepted.apply_all(rt);
            drop(accepted);
            let name = self.name(net::peer_address(rt, connection));
            Ok((
                Box::new(socket) as Box<dyn Socket>,
                name.unwrap_or(Name::NONE),
            ))
        })
    }

    fn connect(&self, address: &[u8], waits: bool) -> Result<()> {
        if address::family_of(address) == Some(libc::AF_UNSPEC) {
            self.close();
            return Ok(());
        }
        let peer = address::to_connect(self.family, address)?;
        if !peer.ip().is_loopback() {
            await_network();
        }
        let begun = self.state.now(|rt, state| match state.phase {
            Phase::Closed | Phase::Bound(_) | Phase::Failed => {
                state.begin(rt, peer)?;
                Ok(true)
            }
            Phase::Connecting(_) => Ok(false),
            Phase::Connected(_) | Phase::Listening(_) => Err(Halt::Error(libc::EISCONN)),
        })?;
        if begun && !waits {
            return Err(libc::EINPROGRESS);
        }
        let patience = self.patience(waits, false);
        let result = self.state.retry(patience, |rt, state| {
            match state.connection(rt, libc::ENOTCONN)? {
                Some(_) => Ok(()),
                None => Err(Halt::Error(libc::ECONNABORTED)),
            }
        });
        result.map_err(|errno| match errno {
            libc::EAGAIN if waits => libc::EINPROGRESS,
            libc::EAGAIN => libc::EALREADY,
            errno => errno,
        })
    }

    fn send(&self, from: &[u8], to: Option<&[u8]>, flags: i32) -> Result<usize> {
        if flags & libc::MSG_OOB != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        // As on Linux, a stream ignores an address.
        let _ = to;
        let patience = self.patience(flags & libc::MSG_DONTWAIT == 0, false);
        let mut done = 0;
        let sent = self
            .state
            .retry_with(patience, Lent::to_read(from), |rt, state| {
                let fd = match state.connection(rt, libc::EPIPE)? {
                    Some(fd) => fd,
                    None => return Err(Halt::Error(libc::EPIPE)),
                };
                loop {
                    let rest = from.get(done..).unwrap_or_default();
                    match rt.write(fd, rest) {
                        Ok(n) => {
                            done += n;
                            state.deliver(rt);
                        }
                        Err(stop) => {
                            let halt = state.halt(stop, fd, Direction::Write);
                            return Err(halt.unwrap_or(Halt::Error(libc::EPIPE)));
                        }
                    }
                    if done >= from.len() {
                        return Ok(());
                    }
                }
            });
        match sent {
            Err(errno) if done == 0 => Err(errno),
            _ => Ok(done),
        }
    }

    fn receive(&self, into: &mut [u8], flags: i32, from: Option<&mut Name>) -> Result<Received> {
        if flags & libc::MSG_OOB != 0 {
            return Err(libc::EINVAL);
        }
        if let Some(from) = from {
            *from = Name::NONE;
        }
        let patience = self.patience(flags & libc::MSG_DONTWAIT == 0, true);
        let peeks = flags & libc::MSG_PEEK != 0;
        let fills = flags & libc::MSG_WAITALL != 0 && !peeks;
        let mut done = 0;
        let lent = Lent::to_write(into);
        let received = self.state.retry_with(patience, lent, |rt, state| {
            let Some(fd) = state.connection(rt, libc::ENOTCONN)? else {
                return Ok(());
            };
            loop {
                let rest = into.get_mut(done..).unwrap_or_default();
                let room = rest.len();
                let read = match peeks {
                    true => tcp::peek(rt, fd, rest),
                    false => rt.read(fd, rest),
                };
                match read {
                    Ok(0) => return Ok(()),
                    Ok(n) => {
                        done += n;
                        if n < room {
                            // The next received data is an edge, although no read found it empty.
                            let _ = net::readiness(rt, fd);
                        }
                    }
                    Err(stop) => match state.halt(stop, fd, Direction::Read) {
                        Some(halt) => return Err(halt),
                        None => return Ok(()),
                    },
                }
                if !fills || done >= into.len() {
                    return Ok(());
                }
            }
        });
        match received {
            Err(errno) if done == 0 => Err(errno),
            _ => Ok(Received {
                len: done,
                whole: done,
            }),
        }
    }

    fn shutdown(&self, how: i32) -> Result<()> {
        let directions = directions(how)?;
        self.state.now(|rt, state| {
            state.progress(rt);
            match (state.phase, directions) {
                (Phase::Connected(fd), _) => {
                    for (ended, ends) in state.ended.iter_mut().zip(directions) {
                        *ended |= ends;
                    }
                    rt.shutdown(fd, how as isize)
                        .map_err(|_| Halt::Error(libc::ENOTCONN))?;
                    state.deliver(rt);
                    Ok(())
                }
                // The socket is no longer bound, but may listen again.
                (Phase::Listening(fd), [true, _]) => {
                    state.phase = Phase::Closed;
                    // Waiters check the socket again.
                    rt.wake(fd.index, Direction::Read);
                    let _ = rt.close(fd);
                    if let Some(address) = state.bound {
                        state.bind(rt, address)?;
                    }
                    Ok(())
                }
                (Phase::Listening(_), _) => Ok(()),
                (Phase::Connecting(fd), _) => {
                    state.phase = Phase::Failed;
                    state.failure = Some(libc::ECONNRESET);
                    rt.wake(fd.index, Direction::Write);
                    let _ = rt.close(fd);
                    Ok(())
                }
                _ => Err(Halt::Error(libc::ENOTCONN)),
            }
        })
    }

    fn local(&self) -> Result<Name> {
        self.state.now(|rt, state| match state.descriptor() {
            Some(fd) => self.name(net::local_address(rt, fd)),
            None => Ok(Name::of(
                self.family,
                state.bound.unwrap_or(self.family.any()),
            )),
        })
    }

    fn peer(&self) -> Result<Name> {
        self.state.now(|rt, state| {
            state.progress(rt);
            match state.phase {
                Phase::Connected(fd) if !net::readiness(rt, fd).is_ok_and(|ready| ready.error) => {
                    self.name(net::peer_address(rt, fd))
                }
                _ => Err(Halt::Error(libc::ENOTCONN)),
            }
        })
    }

    fn set(&self, level: i32, option: i32, value: &[u8]) -> Result<()> {
        self.state.now(|rt, state| {
            if (level, option) == (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)
                && state.phase != Phase::Closed
            {
                return Err(Halt::Error(libc::EINVAL));
            }
            state.options.set(level, option, value)?;
            state.apply(rt, level, option);
            Ok(())
        })
    }

    fn get(&self, level: i32, option: i32, into: &mut [u8]) -> Result<usize> {
        self.state.now(|rt, state| match (level, option) {
            (SOCKET, libc::SO_ERROR) => Ok(put(into, state.take_error(rt))),
            (SOCKET, libc::SO_ACCEPTCONN) => {
                let listens = matches!(state.phase, Phase::Listening(_));
                Ok(put(into, i32::from(listens)))
            }
            (TCP, libc::TCP_MAXSEG) => {
                let size = match state.phase {
                    Phase::Connected(fd) => tcp::info(rt, fd).map_or(0, |info| info.segment_size),
                    _ => 0,
                };
                let default = state.options.number(level, option);
                Ok(put(into, if size > 0 { size as i32 } else { default }))
            }
            _ => Ok(state.options.get(level, option, into)?),
        })
    }

    fn events(&self, rt: &mut Runtime) -> Events {
        self.state.lock().events(rt)
    }

    fn changes(&self, rt: &Runtime) -> u64 {
        let state = self.state.lock();
        let changes = state.descriptor().map_or(0, |fd| rt.table.changes(fd));
        changes.wrapping_add(state.held_back)
    }

    fn available(&self) -> Result<usize> {
        self.state.now(|rt, state| match state.phase {
            Phase::Connected(fd) => {
                let info = tcp::info(rt, fd).map_err(|stop| Halt::Error(at_once(stop)))?;
                Ok(info.unread as usize)
            }
            Phase::Listening(_) => Err(Halt::Error(libc::EINVAL)),
            _ => Ok(0),
        })
    }

    fn close(&self) {
        // Closing never fails.
        let _ = self.state.now(|rt, state| {
            if let Some(fd) = state.descriptor() {
                let _ = rt.close(fd);
                state.deliver(rt);
            }
            state.phase = Phase::Closed;
            state.bound = None;
            Ok(())
        });
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.close();
    }
}
