//! UDP on Linux's sockets (udp(7)).

use super::address::Name;
use super::messages::{self, Control};
use super::{Kind, Socket, Sockets, calls};
use crate::owned_fd::OwnedFd;
use alloc::vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use libc::{IPPROTO_IP, IPPROTO_IPV6};
use net::{Error, Handle, InterfaceId, Received, Source};
use platform::Direction;

/// `IPV6_MULTICAST_ALL` (linux/in6.h).
const IPV6_MULTICAST_ALL: i32 = 29;
/// The largest datagram.
const MAX_DATAGRAM: usize = 65_535;

/// A UDP socket's own address, and the peer that it is restricted to.
pub struct Peer {
    local: SocketAddr,
    peer: Option<SocketAddr>,
}

impl Socket {
    fn udp(&mut self) -> Result<(&OwnedFd, &mut Peer, bool), Error> {
        match &mut self.kind {
            Kind::Udp(peer) => Ok((&self.fd, peer, self.v6)),
            _ => Err(Error::InvalidOperation),
        }
    }
}

impl Sockets {
    /// See `Stack::udp_bind_family`.
    pub fn udp_open(&mut self, local: SocketAddr, v6_only: bool) -> Result<Handle, Error> {
        let open = |local: SocketAddr| {
            let v6 = local.is_ipv6();
            let fd = calls::socket(v6, libc::SOCK_DGRAM)?;
            if v6 {
                let only = i32::from(v6_only);
                calls::set(&fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, &only)?;
                // Unsupported before Linux 4.20.
                let _ = calls::set(&fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &0i32);
                calls::set(&fd, IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &1i32)?;
            }
            calls::set(&fd, IPPROTO_IP, libc::IP_PKTINFO, &1i32)?;
            calls::set(&fd, IPPROTO_IP, libc::IP_MULTICAST_ALL, &0i32)?;
            calls::set(&fd, libc::SOL_SOCKET, libc::SO_BROADCAST, &1i32)?;
            calls::bind(&fd, local, v6)?;
            Ok((fd, v6))
        };
        let (fd, v6) = calls::with_either_family(local, v6_only, open)?;
        let local = calls::local(&fd)?;
        self.insert(fd, v6, Kind::Udp(Peer { local, peer: None }))
    }

    /// See `Stack::udp_connect`.
    pub fn udp_restrict(&mut self, handle: Handle, to: Option<SocketAddr>) -> Result<(), Error> {
        let (fd, peer, v6) = self.socket(handle)?.udp()?;
        match to {
            Some(to) => calls::connect(fd, &Name::new(to, v6))?,
            None if peer.peer.is_some() => {
                calls::connect(fd, &Name::none())?;
                // Linux has released a port that it had chosen itself.
                if calls::local(fd)?.port() == 0 {
                    calls::bind(fd, peer.local, v6)?;
                }
            }
            None => {}
        }
        peer.peer = to;
        Ok(())
    }

    /// See `Stack::udp_send_from`.
    pub fn udp_send(
        &mut self,
        handle: Handle,
        data: &[u8],
        remote: SocketAddr,
        source: &Source,
    ) -> Result<(), Error> {
        let socket = self.socket(handle)?;
        let (_, _, v6) = socket.udp()?;
        if !v6 && remote.is_ipv6() {
            return Err(Error::Unreachable);
        }
        let (name, control) = (Name::new(remote, v6), Control::from(source, remote.ip())?);
        let answer = socket.attempt(
            Direction::Write,
            |fd| messages::send(fd, data, &name, control.as_ref()),
            |()| false,
        );
        match answer {
            Err(Error::WouldBlock) => {
                self.arm(handle, Direction::Write);
                answer
            }
            Err(_) if source.address.is_some_and(messages::is_strange) => {
                Err(Error::AddressNotAvailable)
            }
            answer => answer,
        }
    }

    /// See `Stack::udp_receive`.
    pub fn udp_take(&mut self, handle: Handle, into: &mut [u8]) -> Result<Received, Error> {
        loop {
            let socket = self.socket(handle)?;
            let only = socket.udp()?.1.peer;
            let answer =
                socket.attempt(Direction::Read, |fd| messages::receive(fd, into), |_| false);
            match answer {
                // It arrived before the socket was restricted.
                Ok(received) if only.is_some_and(|only| only != received.from) => {}
                Err(Error::WouldBlock) => {
                    self.arm(handle, Direction::Read);
                    return answer;
                }
                answer => return answer,
            }
        }
    }

    /// See `Stack::udp_recv_batch`.
    pub fn udp_take_batch(
        &mut self,
        handle: Handle,
        most: usize,
        f: &mut dyn FnMut(&[u8], SocketAddr),
    ) -> Result<usize, Error> {
        let mut room = vec![0; MAX_DATAGRAM];
        let mut count = 0;
        while count < most {
            match self.udp_take(handle, &mut room) {
                Ok(Received { len, from, .. }) => f(room.get(..len).unwrap_or_default(), from),
                Err(failure) if count == 0 => return Err(failure),
                Err(_) => break,
            }
            count += 1;
        }
        Ok(count)
    }

    /// See `Stack::udp_join` and `Stack::udp_leave`.
    pub fn udp_member(
        &mut self,
        handle: Handle,
        group: IpAddr,
        interface: Option<InterfaceId>,
        join: bool,
    ) -> Result<(), Error> {
        if !group.is_multicast() {
            return Err(Error::InvalidArgument);
        }
        let (fd, _, _) = self.socket(handle)?.udp()?;
        let index = interface.map_or(0, InterfaceId::to_raw);
        let done = match group {
            IpAddr::V4(v4) => {
                let request = libc::ip_mreqn {
                    imr_multiaddr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(v4.octets()),
                    },
                    imr_address: libc::in_addr { s_addr: 0 },
                    imr_ifindex: index as i32,
                };
                let option = match join {
                    true => libc::IP_ADD_MEMBERSHIP,
                    false => libc::IP_DROP_MEMBERSHIP,
                };
                calls::set(fd, IPPROTO_IP, option, &request)
            }
            IpAddr::V6(v6) => {
                let request = libc::ipv6_mreq {
                    ipv6mr_multiaddr: libc::in6_addr {
                        s6_addr: v6.octets(),
                    },
                    ipv6mr_interface: index as u32,
                };
                let option = match join {
                    true => libc::IPV6_ADD_MEMBERSHIP,
                    false => libc::IPV6_DROP_MEMBERSHIP,
                };
                calls::set(fd, IPPROTO_IPV6, option, &request)
            }
        };
        match done {
            Err(Error::AddressInUse) if join => Ok(()),
            // No such interface, or no suitable one.
            Err(Error::InvalidArgument) if join => Err(Error::Unreachable),
            Err(_) if !join => Err(Error::InvalidArgument),
            done => done,
        }
    }

    /// See `Stack::udp_set_multicast_hops`.
    pub fn udp_set_group_hops(&mut self, handle: Handle, hops: u8) -> Result<(), Error> {
        let (fd, _, v6) = self.socket(handle)?.udp()?;
        let hops = i32::from(hops);
        if v6 {
            calls::set(fd, IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, &hops)?;
        }
        calls::set(fd, IPPROTO_IP, libc::IP_MULTICAST_TTL, &hops)
    }

    /// The peer that a socket is restricted to.
    pub fn udp_peer(&mut self, handle: Handle) -> Result<Option<SocketAddr>, Error> {
        Ok(self.socket(handle)?.udp()?.1.peer)
    }
}

/// See `Stack::source_address`: the choice of connect(2).
pub fn source_address(remote: IpAddr) -> Result<IpAddr, Error> {
    let v6 = remote.is_ipv6();
    let fd = calls::socket(v6, libc::SOCK_DGRAM).map_err(|_| Error::Unreachable)?;
    let any = remote.is_unspecified();
    let remote = if any {
        Ipv6Addr::LOCALHOST.into()
    } else {
        remote
    };
    calls::connect(&fd, &Name::new(SocketAddr::new(remote, 9), v6))
        .map_err(|_| Error::Unreachable)?;
    Ok(calls::local(&fd)?.ip())
}
