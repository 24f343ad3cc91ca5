//! System calls on sockets, with the errors of `net`. None of them blocks.

use super::address::Name;
use crate::errno;
use crate::owned_fd::OwnedFd;
use crate::poll::poll;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use net::Error;
use platform::Direction;

/// The nearest error of `net` for an `errno`.
pub fn error(errno: i32) -> Error {
    match errno {
        libc::EAGAIN | libc::EINTR | libc::EINPROGRESS => Error::WouldBlock,
        libc::ECONNREFUSED => Error::ConnectionRefused,
        libc::ECONNRESET => Error::ConnectionReset,
        libc::ECONNABORTED => Error::ConnectionAborted,
        libc::ETIMEDOUT => Error::TimedOut,
        libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => {
            Error::Unreachable
        }
        libc::EADDRINUSE => Error::AddressInUse,
        libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT => Error::AddressNotAvailable,
        libc::ENOTCONN => Error::NotConnected,
        libc::EPIPE => Error::BrokenPipe,
        libc::EMSGSIZE => Error::MessageTooLong,
        libc::EMFILE | libc::ENFILE => Error::PortsExhausted,
        libc::ENOMEM | libc::ENOBUFS => Error::OutOfMemory,
        libc::EACCES | libc::EPERM => Error::PermissionDenied,
        _ => Error::InvalidArgument,
    }
}

/// The result of a call that returns -1 and sets `errno`.
pub fn check(result: isize) -> Result<usize, Error> {
    usize::try_from(result).map_err(|_| error(errno()))
}

/// A non-blocking socket that child programs don't inherit.
pub fn socket(v6: bool, kind: i32) -> Result<OwnedFd, Error> {
    let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: a call without pointers.
    let fd = unsafe { libc::socket(family, kind, 0) };
    check(fd as isize)?;
    Ok(OwnedFd(fd))
}

/// Sets an option; see setsockopt(2).
pub fn set<T>(fd: &OwnedFd, level: i32, option: i32, value: &T) -> Result<(), Error> {
    let value_at: *const T = value;
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: reads `value`.
    let done = unsafe { libc::setsockopt(fd.0, level, option, value_at.cast(), len) };
    check(done as isize).map(|_| ())
}

/// A numeric option.
pub fn number(fd: &OwnedFd, level: i32, option: i32) -> Result<i32, Error> {
    let (mut value, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
    let place = (&raw mut value).cast();
    // SAFETY: writes at most a number.
    let done = unsafe { libc::getsockopt(fd.0, level, option, place, &raw mut len) };
    check(done as isize).map(|_| value)
}

/// Whether a read or accept, or a write, would not block.
pub fn is_ready(fd: &OwnedFd, direction: Direction) -> bool {
    let mut fds = [libc::pollfd {
        fd: fd.0,
        events: match direction {
            Direction::Read => libc::POLLIN,
            Direction::Write => libc::POLLOUT,
        },
        revents: 0,
    }];
    poll(&mut fds, Some(Duration::ZERO), None);
    fds[0].revents != 0
}

/// Takes the pending error of a socket.
pub fn take_error(fd: &OwnedFd) -> Option<Error> {
    match number(fd, libc::SOL_SOCKET, libc::SO_ERROR) {
        Ok(0) => None,
        Ok(errno) => Some(error(errno)),
        Err(failure) => Some(failure),
    }
}

/// Binds to an address.
pub fn bind(fd: &OwnedFd, local: SocketAddr, v6: bool) -> Result<(), Error> {
    let name = Name::new(local, v6);
    // SAFETY: reads the address.
    let done = unsafe { libc::bind(fd.0, name.pointer(), name.len()) };
    check(done as isize).map(|_| ())
}

/// Connects, or begins to.
pub fn connect(fd: &OwnedFd, name: &Name) -> Result<(), Error> {
    // SAFETY: reads the address.
    let done = unsafe { libc::connect(fd.0, name.pointer(), name.len()) };
    check(done as isize).map(|_| ())
}

/// The local address.
pub fn local(fd: &OwnedFd) -> Result<SocketAddr, Error> {
    let mut name = Name::room();
    let (address, len) = name.places();
    // SAFETY: writes an address and its length.
    let done = unsafe { libc::getsockname(fd.0, address, len) };
    check(done as isize).map(|_| name.address())
}

/// The peer's address.
pub fn peer(fd: &OwnedFd) -> Result<SocketAddr, Error> {
    let mut name = Name::room();
    let (address, len) = name.places();
    // SAFETY: writes an address and its length.
    let done = unsafe { libc::getpeername(fd.0, address, len) };
    check(done as isize).map(|_| name.address())
}

/// Accepts a connection; returns it and its peer's address.
pub fn accept(fd: &OwnedFd) -> Result<(OwnedFd, SocketAddr), Error> {
    let mut name = Name::room();
    let (address, len) = name.places();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: writes an address and its length.
    let taken = unsafe { libc::accept4(fd.0, address, len, flags) };
    check(taken as isize)?;
    Ok((OwnedFd(taken), name.address()))
}

/// Receives; see recv(2).
pub fn receive(fd: &OwnedFd, into: &mut [u8], flags: i32) -> Result<usize, Error> {
    // SAFETY: writes within `into`.
    check(unsafe { libc::recv(fd.0, into.as_mut_ptr().cast(), into.len(), flags) })
}

/// Sends; see send(2). A closed peer is an error, not a signal.
pub fn send(fd: &OwnedFd, from: &[u8]) -> Result<usize, Error> {
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: reads within `from`.
    check(unsafe { libc::send(fd.0, from.as_ptr().cast(), from.len(), flags) })
}

/// A number that ioctl(2) returns about a socket.
pub fn count(fd: &OwnedFd, what: libc::Ioctl) -> usize {
    let mut count = 0i32;
    // SAFETY: writes a number.
    let done = unsafe { libc::ioctl(fd.0, what, &raw mut count) };
    let count = usize::try_from(count).unwrap_or(0);
    if done < 0 { 0 } else { count }
}

/// Opens a socket for `local`; `[::]` for both families is `0.0.0.0` if the system has no IPv6.
pub fn with_either_family<T>(
    local: SocketAddr,
    v6_only: bool,
    mut open: impl FnMut(SocketAddr) -> Result<T, Error>,
) -> Result<T, Error> {
    match open(local) {
        Err(Error::AddressNotAvailable)
            if local.is_ipv6() && local.ip().is_unspecified() && !v6_only =>
        {
            open(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                local.port(),
            ))
        }
        answer => answer,
    }
}

/// Sets hop limit (0: the system's) and DSCP of what a socket sends.
pub fn mark(fd: &OwnedFd, v6: bool, hops: u8, dscp: u8) -> Result<(), Error> {
    set_hops(fd, v6, hops)?;
    set_dscp(fd, v6, dscp)
}

/// Sets the hop limit; 0: the system's.
pub fn set_hops(fd: &OwnedFd, v6: bool, hops: u8) -> Result<(), Error> {
    let hops = if hops == 0 { -1 } else { i32::from(hops) };
    if v6 {
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &hops)?;
    }
    // An IPv6 socket also sends to IPv4 addresses.
    set(fd, libc::IPPROTO_IP, libc::IP_TTL, &hops)
}

/// Sets the DSCP.
pub fn set_dscp(fd: &OwnedFd, v6: bool, dscp: u8) -> Result<(), Error> {
    if dscp > 63 {
        return Err(Error::InvalidArgument);
    }
    let class = i32::from(dscp) << 2;
    if v6 {
        set(fd, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class)?;
    }
    set(fd, libc::IPPROTO_IP, libc::IP_TOS, &class)
}

/// Sets whether a close sends a reset (`resets`), or delivers in the background.
pub fn set_linger(fd: &OwnedFd, resets: bool) -> Result<(), Error> {
    let linger = libc::linger {
        l_onoff: i32::from(resets),
        l_linger: 0,
    };
    set(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}
