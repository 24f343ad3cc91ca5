//! UDP sockets.
//!
//! Source: udp(7), connect(2); Linux's `net/ipv4/udp.c` and `net/ipv4/ip_sockglue.c`.

use super::address::{self, Family, LOOPBACK, Name};
use super::attempts::{Attempt, Guarded, Halt, Patience, at_once, await_network, decode, halt};
use super::options::{Kind, Options, integer, put};
use super::{Received, Socket, network_errno};
use crate::blocking::lent::Lent;
use crate::blocking::readiness::Events;
use crate::errors::Result;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use platform::Direction;
use reactor::table::Fd;
use resources::Runtime;
use resources::net::address::{encode, octets};
use resources::net::{self, udp};
use resources::types::Int;
use resources::types::constants as c;

const IP: i32 = libc::IPPROTO_IP;
const V6: i32 = libc::IPPROTO_IPV6;
/// The longest datagram, in bytes.
const MAX_DATAGRAM: usize = 1 << 16;

/// A UDP socket.
pub struct Udp {
    family: Family,
    state: Guarded<State>,
}

/// A peeked datagram.
struct Peeked {
    data: Vec<u8>,
    from: SocketAddr,
}

struct State {
    /// The socket of the network, once it has a port.
    fd: Option<Fd>,
    peer: Option<SocketAddr>,
    /// The source address for the peer.
    source: Option<IpAddr>,
    peeked: Option<Peeked>,
    /// The directions that `shutdown` has ended: receive, send.
    ended: [bool; 2],
    options: Options,
}

impl State {
    /// The socket of the network; binds it to a port if it has none.
    fn open(&mut self, rt: &mut Runtime, address: SocketAddr) -> Attempt<Fd> {
        if let Some(fd) = self.fd {
            return Ok(fd);
        }
        let only_v6 = self.options.is_set(V6, libc::IPV6_V6ONLY);
        let bound = udp::bind_family(rt, address, only_v6);
        let fd = decode(bound.map_err(|stop| Halt::Error(at_once(stop)))?)?;
        self.fd = Some(fd);
        for (level, option) in [
            (IP, libc::IP_TTL),
            (V6, libc::IPV6_UNICAST_HOPS),
            (IP, libc::IP_TOS),
            (V6, libc::IPV6_TCLASS),
            (IP, libc::IP_MULTICAST_TTL),
            (V6, libc::IPV6_MULTICAST_HOPS),
        ] {
            if self.options.chosen(level, option).is_some() {
                self.apply(rt, level, option);
            }
        }
        Ok(fd)
    }

    /// Passes an option on to the network, if the program has set it.
    fn apply(&self, rt: &mut Runtime, level: i32, option: i32) {
        let Some(fd) = self.fd else {
            return;
        };
        let chosen = self.options.chosen(level, option);
        // The socket is open.
        let _ = match (level, option, chosen) {
            // 0 is the default.
            (IP, libc::IP_TTL, value) | (V6, libc::IPV6_UNICAST_HOPS, value) => {
                net::mark(rt, fd, c::MARK_HOP_LIMIT, value.unwrap_or(0) as u8)
            }
            (IP, libc::IP_TOS, value) | (V6, libc::IPV6_TCLASS, value) => {
                net::mark(rt, fd, c::MARK_DSCP, value.unwrap_or(0) as u8 >> 2)
            }
            (IP, libc::IP_MULTICAST_TTL, value) | (V6, libc::IPV6_MULTICAST_HOPS, value) => {
                udp::multicast_hops(rt, fd, value.unwrap_or(1) as u8)
            }
            _ => Ok(0),
        };
    }

    /// Takes the oldest datagram: its whole length and its sender.
    fn take(&mut self, rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Attempt<(usize, SocketAddr)> {
        if let Some(Peeked { data, from }) = self.peeked.take() {
            super::options::fill(into, &data);
            return Ok((data.len(), from));
        }
        match udp::receive_from(rt, fd, into) {
            Ok(received) => Ok((received.len, received.from)),
            Err(_) if self.ended[0] => Ok((0, self.peer.unwrap_or(Family::V4.any()))),
            Err(stop) => Err(halt(stop, fd, Direction::Read)),
        }
    }

    /// Peeks at the oldest datagram.
    fn peek(&mut self, rt: &mut Runtime, fd: Fd) -> Attempt<&Peeked> {
        if self.peeked.is_none() {
            let mut data = vec![0; MAX_DATAGRAM];
            let (len, from) = self.take(rt, fd, &mut data)?;
            data.truncate(len);
            data.shrink_to_fit();
            self.peeked = Some(Peeked { data, from });
        }
        self.peeked.as_ref().ok_or(Halt::Error(libc::EAGAIN))
    }

    /// Joins or leaves a group, on an interface by its number: 0 is any and 1 the loopback.
    fn group(
        &mut self,
        rt: &mut Runtime,
        group: IpAddr,
        interface: u32,
        join: bool,
    ) -> Attempt<()> {
        if !group.is_multicast() {
            return Err(Halt::Error(libc::EINVAL));
        }
        let interface = match interface {
            0 => -1,
            // The links follow the loopback.
            number => number as Int - LOOPBACK as Int - 1,
        };
        let family = match group {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        };
        let fd = self.open(rt, family.any())?;
        match udp::group(rt, fd, &octets(group), interface, join) {
            Ok(_) => Ok(()),
            Err(_) if !join => Err(Halt::Error(libc::EADDRNOTAVAIL)),
            Err(_) => Err(Halt::Error(libc::ENODEV)),
        }
    }
}

/// The group and the interface of `struct ip_mreq` or `ip_mreqn`, and of `struct ipv6_mreq`.
fn membership(level: i32, value: &[u8]) -> Result<(IpAddr, u32)> {
    if level == IP {
        let (group, rest) = value.split_first_chunk::<4>().ok_or(libc::EINVAL)?;
        if rest.len() < 4 {
            return Err(libc::EINVAL);
        }
        let number = rest.get(4..).and_then(|rest| rest.first_chunk::<4>());
        let number = number.map_or(0, |number| u32::from_le_bytes(*number));
        Ok((IpAddr::from(*group), number))
    } else {
        let (group, rest) = value.split_first_chunk::<16>().ok_or(libc::EINVAL)?;
        Ok((IpAddr::from(*group), integer(rest)? as u32))
    }
}

/// The host itself, in the family of `address`.
fn loopback(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Family::V4.loopback(),
        IpAddr::V6(_) => Family::V6.loopback(),
    }
}

impl Udp {
    /// `socket`.
    pub fn new(family: Family) -> Udp {
        Udp {
            family,
            state: Guarded::new(State {
                fd: None,
                peer: None,
                source: None,
                peeked: None,
                ended: [false; 2],
                options: Options::new(Kind::Udp(family == Family::V6)),
            }),
        }
    }

    fn patience(&self, flags: i32, receives: bool) -> Patience {
        let state = self.state.lock();
        let waits = flags & libc::MSG_DONTWAIT == 0;
        state.options.patience(waits, receives)
    }

    /// The destination at `address`.
    fn destination(&self, address: &[u8]) -> Result<SocketAddr> {
        let mut to = address::parse(self.family, address)?;
        if to.port() == 0 {
            return Err(libc::EINVAL);
        }
        if to.ip().is_unspecified() {
            to.set_ip(loopback(to.ip()));
        }
        Ok(to)
    }
}

impl Socket for Udp {
    fn kind(&self) -> [i32; 3] {
        [self.family.number(), libc::SOCK_DGRAM, libc::IPPROTO_UDP]
    }

    fn bind(&self, address: &[u8]) -> Result<()> {
        let address = address::to_bind(self.family, address)?;
        if !address.ip().is_unspecified() && !address.ip().is_loopback() {
            await_network();
        }
        self.state.now(|rt, state| match state.fd {
            Some(_) => Err(Halt::Error(libc::EINVAL)),
            None => state.open(rt, address).map(|_| ()),
        })
    }

    fn listen(&self, _backlog: i32) -> Result<()> {
        Err(libc::EOPNOTSUPP)
    }

    fn accept(&self, _waits: bool) -> Result<(Box<dyn Socket>, Name)> {
        Err(libc::EOPNOTSUPP)
    }

    fn connect(&self, address: &[u8], _waits: bool) -> Result<()> {
        let peer = match address::family_of(address) {
            Some(libc::AF_UNSPEC) => None,
            _ => {
                let mut peer = address::parse(self.family, address)?;
                if peer.ip().is_unspecified() {
                    peer.set_ip(loopback(peer.ip()));
                }
                Some(peer)
            }
        };
        if peer.is_some_and(|peer| !peer.ip().is_loopback()) {
            await_network();
        }
        self.state.now(|rt, state| {
            if peer.is_none() && state.fd.is_none() {
                return Ok(());
            }
            let fd = state.open(rt, self.family.any())?;
            let endpoint = encode(peer.unwrap_or(self.family.any()));
            let error = |stop| Halt::Error(at_once(stop));
            state.source = match peer {
                Some(peer) => Some(udp::source_address(rt, peer).map_err(error)?),
                None => None,
            };
            udp::connect(rt, fd, &endpoint).map_err(error)?;
            state.peer = peer;
            Ok(())
        })
    }

    fn send(&self, from: &[u8], to: Option<&[u8]>, flags: i32) -> Result<usize> {
        if flags & libc::MSG_OOB != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        let to = to.map(|to| self.destination(to)).transpose()?;
        if to.is_some_and(|to| !to.ip().is_loopback()) {
            await_network();
        }
        let lent = Lent::to_read(from);
        lent.check()?;
        let patience = self.patience(flags, false);
        self.state.retry_with(patience, lent, |rt, state| {
            let to = to.or(state.peer).ok_or(libc::EDESTADDRREQ)?;
            if state.ended[1] {
                return Err(Halt::Error(libc::EPIPE));
            }
            let broadcast = matches!(to.ip(), IpAddr::V4(v4) if v4.is_broadcast());
            if broadcast {
                udp::source_address(rt, to).map_err(|stop| Halt::Error(at_once(stop)))?;
            }
            if broadcast && !state.options.is_set(libc::SOL_SOCKET, libc::SO_BROADCAST) {
                return Err(Halt::Error(libc::EACCES));
            }
            let fd = state.open(rt, self.family.any())?;
            let sent = udp::send_to(rt, fd, to, from).map_err(|stop| {
                match halt(stop, fd, Direction::Write) {
                    // There is no route.
                    Halt::Error(libc::EHOSTUNREACH) => Halt::Error(libc::ENETUNREACH),
                    halt => halt,
                }
            })?;
            if to.ip().is_loopback() || state.source == Some(to.ip()) {
                // On this host it arrives before the call returns, as on Linux.
                net::poll_until_idle(rt);
            }
            Ok(sent)
        })
    }

    fn receive(&self, into: &mut [u8], flags: i32, from: Option<&mut Name>) -> Result<Received> {
        if flags & libc::MSG_OOB != 0 {
            return Err(libc::EOPNOTSUPP);
        }
        let (patience, lent) = (self.patience(flags, true), Lent::to_write(into));
        let (whole, sender) = self.state.retry_with(patience, lent, |rt, state| {
            let fd = state.open(rt, self.family.any())?;
            if flags & libc::MSG_PEEK != 0 {
                let peeked = state.peek(rt, fd)?;
                super::options::fill(into, &peeked.data);
                return Ok((peeked.data.len(), peeked.from));
            }
            state.take(rt, fd, into)
        })?;
        if let Some(from) = from {
            *from = Name::of(self.family, sender);
        }
        Ok(Received {
            len: whole.min(into.len()),
            whole,
        })
    }

    fn shutdown(&self, how: i32) -> Result<()> {
        let directions = super::directions(how)?;
        self.state.now(|rt, state| {
            for (ended, ends) in state.ended.iter_mut().zip(directions) {
                *ended |= ends;
            }
            if let Some(fd) = state.fd {
                // Its readers check again.
                rt.wake(fd.index, Direction::Read);
            }
            match state.peer {
                Some(_) => Ok(()),
                None => Err(Halt::Error(libc::ENOTCONN)),
            }
        })
    }

    fn local(&self) -> Result<Name> {
        self.state.now(|rt, state| {
            let Some(fd) = state.fd else {
                return Ok(Name::of(self.family, self.family.any()));
            };
            let mut local = net::local_address(rt, fd).map_err(network_errno)?;
            if let Some(source) = state.source
                && local.ip().is_unspecified()
            {
                local.set_ip(source);
            }
            Ok(Name::of(self.family, local))
        })
    }

    fn peer(&self) -> Result<Name> {
        let peer = self.state.lock().peer.ok_or(libc::ENOTCONN)?;
        Ok(Name::of(self.family, peer))
    }

    fn set(&self, level: i32, option: i32, value: &[u8]) -> Result<()> {
        self.state.now(|rt, state| match (level, option) {
            (IP, libc::IP_ADD_MEMBERSHIP | libc::IP_DROP_MEMBERSHIP) => {
                let (group, interface) = membership(level, value)?;
                state.group(rt, group, interface, option == libc::IP_ADD_MEMBERSHIP)
            }
            (V6, libc::IPV6_ADD_MEMBERSHIP | libc::IPV6_DROP_MEMBERSHIP)
                if self.family == Family::V6 =>
            {
                let (group, interface) = membership(level, value)?;
                state.group(rt, group, interface, option == libc::IPV6_ADD_MEMBERSHIP)
            }
            (V6, libc::IPV6_V6ONLY) if state.fd.is_some() => Err(Halt::Error(libc::EINVAL)),
            _ => {
                state.options.set(level, option, value)?;
                state.apply(rt, level, option);
                Ok(())
            }
        })
    }

    fn get(&self, level: i32, option: i32, into: &mut [u8]) -> Result<usize> {
        self.state.now(|rt, state| match (level, option) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => {
                let error = state.fd.and_then(|fd| udp::take_failure(rt, fd));
                Ok(put(into, error.map_or(0, network_errno)))
            }
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => Ok(put(into, 0)),
            _ => Ok(state.options.get(level, option, into)?),
        })
    }

    fn events(&self, rt: &mut Runtime) -> Events {
        let state = self.state.lock();
        let [receives_no_more, sends_no_more] = state.ended;
        let ready = match state.fd {
            Some(fd) => net::readiness(rt, fd).unwrap_or_default(),
            None => net::Readiness {
                writable: true,
                ..Default::default()
            },
        };
        let readable = ready.readable || state.peeked.is_some() || receives_no_more;
        Events::when(readable, Events::READABLE)
            | Events::when(receives_no_more, Events::RDHUP)
            | Events::when(receives_no_more && sends_no_more, Events::HUP)
            | Events::when(ready.writable, Events::WRITABLE)
            | Events::when(ready.error, Events::ERR)
    }

    fn changes(&self, rt: &Runtime) -> u64 {
        self.state.lock().fd.map_or(0, |fd| rt.table.changes(fd))
    }

    fn available(&self) -> Result<usize> {
        let peeked = self.state.now(|rt, state| match state.fd {
            Some(fd) => Ok(state.peek(rt, fd)?.data.len()),
            None => Ok(0),
        });
        match peeked {
            Err(libc::EAGAIN) => Ok(0),
            other => other,
        }
    }

    fn close(&self) {
        // Closing never fails.
        let _ = self.state.now(|rt, state| {
            if let Some(fd) = state.fd.take() {
                let _ = rt.close(fd);
            }
            Ok(())
        });
    }
}

impl Drop for Udp {
    fn drop(&mut self) {
        self.close();
    }
}
