//! Frames built and parsed by hand, for scripts.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, IpRepr, TcpPacket, TcpRepr,
    UdpPacket, UdpRepr,
};

use super::MAC;
use crate::ip::wire::checksum;

/// The MAC address of scripts.
pub(crate) const SCRIPT: [u8; 6] = [2, 0, 0, 0, 9, 9];

fn ethernet(to: [u8; 6], ethertype: EthernetProtocol, len: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + len];
    let mut header = EthernetFrame::new_unchecked(&mut frame[..]);
    header.set_src_addr(EthernetAddress(SCRIPT));
    header.set_dst_addr(EthernetAddress(to));
    header.set_ethertype(ethertype);
    frame
}

fn ip(from: IpAddr, to: IpAddr, protocol: IpProtocol, mac: [u8; 6], len: usize) -> Vec<u8> {
    let repr = IpRepr::new(from.into(), to.into(), protocol, len, 64);
    let ethertype = match from {
        IpAddr::V4(_) => EthernetProtocol::Ipv4,
        IpAddr::V6(_) => EthernetProtocol::Ipv6,
    };
    let mut frame = ethernet(mac, ethertype, repr.buffer_len());
    repr.emit(&mut frame[14..], &ChecksumCapabilities::default());
    frame
}

/// A datagram in a frame.
pub(crate) fn udp(from: SocketAddr, to: SocketAddr, mac: [u8; 6], payload: &[u8]) -> Vec<u8> {
    let mut frame = ip(from.ip(), to.ip(), IpProtocol::Udp, mac, payload.len() + 8);
    let at = frame.len() - payload.len() - 8;
    let repr = UdpRepr {
        src_port: from.port(),
        dst_port: to.port(),
    };
    repr.emit(
        &mut UdpPacket::new_unchecked(&mut frame[at..]),
        &from.ip().into(),
        &to.ip().into(),
        payload.len(),
        |buffer| buffer.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    frame
}

/// A segment in a frame.
pub(crate) fn tcp(from: IpAddr, to: IpAddr, mac: [u8; 6], repr: &TcpRepr<'_>) -> Vec<u8> {
    let mut frame = ip(from, to, IpProtocol::Tcp, mac, repr.buffer_len());
    let at = frame.len() - repr.buffer_len();
    let packet = &mut TcpPacket::new_unchecked(&mut frame[at..]);
    repr.emit(
        packet,
        &from.into(),
        &to.into(),
        &ChecksumCapabilities::default(),
    );
    frame
}

/// An ARP reply: `ip` is at the script, to the sender of `request`.
pub(crate) fn arp_reply(request: &[u8]) -> Option<Vec<u8>> {
    if request.get(12..14)? != [8, 6] || request.get(20..22)? != [0, 1] {
        return None;
    }
    // Probes and announcements (RFC 5227) need no reply from others.
    if request.get(28..32)? == [0; 4] || request.get(28..32)? == request.get(38..42)? {
        return None;
    }
    let mac: [u8; 6] = request[6..12].try_into().ok()?;
    let mut frame = ethernet(mac, EthernetProtocol::Arp, 28);
    frame[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 2]);
    frame[22..28].copy_from_slice(&SCRIPT);
    frame[28..32].copy_from_slice(&request[38..42]);
    frame[32..38].copy_from_slice(&mac);
    frame[38..42].copy_from_slice(&request[28..32]);
    Some(frame)
}

/// Source, destination and payload of an IPv4 datagram.
pub(crate) fn parse_udp(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
    if frame.get(12..14)? != [8, 0] || frame[23] != 17 {
        return None;
    }
    let address = |at: usize| -> Ipv4Addr {
        Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3])
    };
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    Some((
        SocketAddr::new(IpAddr::V4(address(26)), port(34)),
        SocketAddr::new(IpAddr::V4(address(30)), port(36)),
        frame[42..].to_vec(),
    ))
}

/// An ICMPv6 message to all nodes or to one, from fe80::9 at the script.
pub(crate) fn icmp6(to: &str, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let to: Ipv6Addr = to.parse().expect("an address");
    let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
    let mut addresses = from.octets().to_vec();
    addresses.extend(to.octets());
    let mut message = message.to_vec();
    let pseudo = checksum::pseudo_header(&addresses, 58, message.len());
    let sum = !checksum::add(pseudo, checksum::sum(&message));
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let [.., a, b, c, d] = to.octets();
    let mut frame = if to.is_multicast() {
        vec![0x33, 0x33, a, b, c, d]
    } else {
        MAC.to_vec()
    };
    frame.extend(SCRIPT);
    frame.extend([
        0x86,
        0xdd,
        0x60,
        0,
        0,
        0,
        0,
        message.len() as u8,
        58,
        hop_limit,
    ]);
    frame.extend(addresses);
    frame.extend(message);
    frame
}

/// A router advertisement from fe80::9.
pub(crate) fn advertisement(lifetime_s: u16, flags: u8, options: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, flags];
    message.extend(lifetime_s.to_be_bytes());
    message.extend([0; 8]);
    options.iter().for_each(|option| message.extend(*option));
    icmp6("ff02::1", 255, &message)
}

pub(crate) fn prefix(text: &str, valid_s: u32) -> Vec<u8> {
    let mut option = vec![3, 4, 64, 0xc0];
    option.extend(valid_s.to_be_bytes());
    option.extend(valid_s.to_be_bytes());
    option.extend([0; 4]);
    option.extend(text.parse::<Ipv6Addr>().expect("a prefix").octets());
    option
}
