//! Datagrams with their addresses on this host: `IP_PKTINFO` (ip(7)) and `IPV6_PKTINFO` (RFC 3542,
//! 6.1 and 6.2).

use super::address::Name;
use super::calls::{self, check};
use crate::owned_fd::OwnedFd;
use core::mem::{size_of, zeroed};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::ptr::null_mut;
use libc::{IPPROTO_IP, IPPROTO_IPV6};
use net::{Error, InterfaceId, Received, Source};

/// Room for the control messages of one datagram: at most one of each family, each with its header.
/// The alignment is that of `struct cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Room([u8; 96]);

/// The control message that selects where a datagram leaves from.
pub enum Control {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Control {
    /// `None` if the system chooses.
    pub fn from(source: &Source, remote: IpAddr) -> Result<Option<Control>, Error> {
        // A unicast destination has a route, also for replies over another interface.
        let linked = match remote {
            IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_multicast() || v6.is_unicast_link_local(),
        };
        let link = source.interface.filter(|_| linked);
        if source.address.is_none() && link.is_none() {
            return Ok(None);
        }
        let index = link.map_or(0, InterfaceId::to_raw);
        let control = match (remote, source.address) {
            (IpAddr::V4(_), None | Some(IpAddr::V4(_))) => {
                // SAFETY: numbers only.
                let mut info: libc::in_pktinfo = unsafe { zeroed() };
                info.ipi_ifindex = index as i32;
                if let Some(IpAddr::V4(own)) = source.address {
                    info.ipi_spec_dst.s_addr = u32::from_ne_bytes(own.octets());
                }
                Control::V4(info)
            }
            (IpAddr::V6(_), None | Some(IpAddr::V6(_))) => {
                // SAFETY: numbers only.
                let mut info: libc::in6_pktinfo = unsafe { zeroed() };
                info.ipi6_ifindex = index as _;
                if let Some(IpAddr::V6(own)) = source.address {
                    info.ipi6_addr.s6_addr = own.octets();
                }
                Control::V6(info)
            }
            _ => return Err(Error::InvalidArgument),
        };
        Ok(Some(control))
    }

    /// Writes it to the control messages of `message`, which have room for one.
    fn write(&self, message: &mut libc::msghdr) {
        match self {
            Control::V4(info) => put(message, IPPROTO_IP, libc::IP_PKTINFO, *info),
            Control::V6(info) => put(message, IPPROTO_IPV6, libc::IPV6_PKTINFO, *info),
        }
    }
}

/// Makes a value the only control message of `message`, which has room for it.
fn put<T>(message: &mut libc::msghdr, level: i32, kind: i32, value: T) {
    let len = size_of::<T>() as u32;
    // SAFETY: the room of `message` holds the largest of the values with its header: see `Room`.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(len) as _;
        let header = libc::CMSG_FIRSTHDR(message);
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(len) as _;
        libc::CMSG_DATA(header).cast::<T>().write_unaligned(value);
    }
}

/// A message with one buffer and room for control messages; valid as long as they are.
fn header(name: &mut Name, data: &mut libc::iovec, room: &mut Room) -> libc::msghdr {
    let (address, len) = name.parts();
    // SAFETY: numbers and pointers, which may be null.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = address.cast();
    message.msg_namelen = len;
    message.msg_iov = data;
    message.msg_iovlen = 1;
    message.msg_control = room.0.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Room>() as _;
    message
}

/// Receives a datagram: its whole length, its sender, where it was sent to.
pub fn receive(fd: &OwnedFd, into: &mut [u8]) -> Result<Received, Error> {
    let (mut name, mut room) = (Name::room(), Room([0; 96]));
    let mut data = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let mut message = header(&mut name, &mut data, &mut room);
    // SAFETY: writes within `into`, the address and the room.
    let len = check(unsafe { libc::recvmsg(fd.0, &raw mut message, libc::MSG_TRUNC) })?;
    let mut received = Received {
        len,
        from: name.address(),
        to: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        local: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        interface: InterfaceId::from_raw(0),
    };
    // SAFETY: Linux has written control messages within the room.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(&raw const message);
        while !at.is_null() {
            note(&mut received, &*at, libc::CMSG_DATA(at));
            at = libc::CMSG_NXTHDR(&raw const message, at);
        }
    }
    Ok(received)
}

/// Notes what a control message says.
///
/// # Safety
/// `data` is the data of the control message.
unsafe fn note(received: &mut Received, control: &libc::cmsghdr, data: *const u8) {
    match (control.cmsg_level, control.cmsg_type) {
        (IPPROTO_IP, libc::IP_PKTINFO) => {
            // SAFETY: of this type.
            let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
            let ip = |address: libc::in_addr| Ipv4Addr::from(address.s_addr.to_ne_bytes());
            received.to = ip(info.ipi_addr).into();
            received.local = ip(info.ipi_spec_dst).into();
            received.interface = InterfaceId::from_raw(info.ipi_ifindex as usize);
        }
        (IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: of this type.
            let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
            let to = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            // An IPv4 datagram has its own message.
            if to.to_ipv4_mapped().is_none() {
                received.to = to.into();
                received.local = if to.is_multicast() {
                    Ipv6Addr::UNSPECIFIED.into()
                } else {
                    to.into()
                };
                received.interface = InterfaceId::from_raw(info.ipi6_ifindex as usize);
            }
        }
        _ => {}
    }
}

/// Sends a datagram.
pub fn send(fd: &OwnedFd, from: &[u8], to: &Name, control: Option<&Control>) -> Result<(), Error> {
    let mut room = Room([0; 96]);
    let mut data = libc::iovec {
        iov_base: from.as_ptr().cast_mut().cast(),
        iov_len: from.len(),
    };
    let mut name = to.clone();
    let mut message = header(&mut name, &mut data, &mut room);
    match control {
        Some(control) => control.write(&mut message),
        None => (message.msg_control, message.msg_controllen) = (null_mut(), 0),
    }
    // SAFETY: reads `from`, the address and the control message.
    let sent = unsafe { libc::sendmsg(fd.0, &raw const message, libc::MSG_NOSIGNAL) };
    check(sent).map(|_| ())
}

/// Whether an address isn't of this host, for which Linux's errors of [`send`] depend on its
/// version.
pub fn is_strange(address: IpAddr) -> bool {
    let v6 = address.is_ipv6();
    let bound = calls::socket(v6, libc::SOCK_DGRAM)
        .and_then(|fd| calls::bind(&fd, SocketAddr::new(address, 0), v6));
    bound == Err(Error::AddressNotAvailable)
}
