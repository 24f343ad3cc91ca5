//! Redirects (RFC 1122, 3.2.2.2; RFC 4861, 8).

use std::net::{IpAddr, SocketAddr};

use net::sim::packet::{self, Ip};
use net::sim::{Bench, Offloads, World};
use net::{Config, Handle, InterfaceConfig};

use crate::support::{MS, SECOND, address};

/// The better router.
const BETTER: [u8; 6] = [2, 0, 0, 0, 7, 7];

/// A stack with a gateway, and a socket.
struct Lab {
    bench: Bench,
    socket: Handle,
    v4: bool,
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl Lab {
    fn new(v4: bool) -> Lab {
        let interface = InterfaceConfig {
            addresses: ["10.0.0.1/24", "fd00::1/64"]
                .map(|text| text.parse().expect("an address"))
                .to_vec(),
            gateways: vec![ip("10.0.0.9"), ip("fe80::9")],
            dad_transmits: 0,
            ..Default::default()
        };
        let mut bench = Bench::with(Config::default(), &interface, 1500, Offloads::default(), 3);
        bench.host.addresses.push(ip("fe80::9"));
        let any = address("[::]:5000");
        let socket = bench.world.stacks[0].udp_bind(any).expect("free");
        Lab { bench, socket, v4 }
    }

    /// Addresses of this family: stack, gateway, better gateway, remote host.
    fn names(&self) -> [IpAddr; 4] {
        match self.v4 {
            true => ["10.0.0.1", "10.0.0.9", "10.0.0.8", "192.0.2.1"].map(ip),
            false => ["fd00::1", "fe80::9", "fe80::8", "2001:db8::1"].map(ip),
        }
    }

    /// Sends a datagram; returns its Ethernet destination.
    fn hop(&mut self, to: IpAddr) -> Option<[u8; 6]> {
        let Bench { world, host } = &mut self.bench;
        world.stacks[0]
            .udp_send_to(self.socket, b"x", SocketAddr::new(to, 9))
            .expect("room");
        // New neighbors are solicited, and reply.
        for _ in 0..20 {
            world.advance(MS);
            for frame in host.take(world) {
                if suggests_better(&frame) {
                    host.inject(&better_is_here(&frame));
                } else if Ip::parse(&frame).is_some_and(|ip| ip.protocol == 17) {
                    return frame[..6].try_into().ok();
                }
            }
        }
        None
    }

    fn redirect(&mut self, from: IpAddr, target: IpAddr, to: IpAddr) {
        let [own, ..] = self.names();
        let quoted = packet::udp(
            self.bench.host.macs(),
            SocketAddr::new(own, 5000),
            SocketAddr::new(to, 9),
            b"x",
        );
        self.redirect_about(from, target, to, &quoted[14..], own);
    }

    fn redirect_about(
        &mut self,
        from: IpAddr,
        target: IpAddr,
        to: IpAddr,
        quoted: &[u8],
        own: IpAddr,
    ) {
        let Bench { world, host } = &mut self.bench;
        let macs = (host.mac, World::mac(0));
        let frame = match (target, to) {
            (IpAddr::V4(target), _) => {
                let rest = u32::from(target);
                packet::icmp(macs, from, own, (5, 1), rest, &quoted[..28])
            }
            (IpAddr::V6(target), IpAddr::V6(to)) => {
                let mut rest = target.octets().to_vec();
                rest.extend(to.octets());
                rest.extend([2, 1]);
                rest.extend(BETTER);
                packet::icmp(macs, from, own, (137, 0), 0, &rest)
            }
            _ => unreachable!("one family"),
        };
        host.send_frame(world, &frame);
    }

    fn dropped(&self) -> u64 {
        let mut drops = self.bench.world.stacks[0].drops();
        let found = drops.find(|(name, _)| *name == "drop.bad-redirect");
        found.map_or(0, |(_, count)| count)
    }
}

fn suggests_better(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6] && frame[38..42] == [10, 0, 0, 8]
}

fn better_is_here(question: &[u8]) -> Vec<u8> {
    let rest = [
        &[0, 1, 8, 0, 6, 4, 0, 2],
        &BETTER[..],
        &[10, 0, 0, 8],
        &question[22..32],
    ]
    .concat();
    packet::ethernet(BETTER, World::mac(0), 0x0806, &rest)
}

/// RFC 1122, 3.2.2.2 and 3.3.1.2; RFC 4861, 8.3: the gateway's redirect is followed, for that
/// destination.
#[test]
fn the_gateways_redirect_is_followed() {
    for v4 in [true, false] {
        let mut lab = Lab::new(v4);
        let [_, gateway, better, far] = lab.names();
        let first = Some(lab.bench.host.mac);
        assert_eq!(lab.hop(far), first);
        lab.redirect(gateway, better, far);
        assert_eq!(lab.hop(far), Some(BETTER));
        let other = ip(if v4 { "192.0.2.2" } else { "2001:db8::2" });
        assert_eq!(lab.hop(other), first);
        if v4 {
            // The better one redirects to one that is better still: the gateway.
            lab.redirect(better, gateway, far);
            assert_eq!(lab.hop(far), first);
        }
        assert_eq!(lab.dropped(), 0);
    }
}

/// A connection changes its route as well.
#[test]
fn connections_follow_redirects() {
    let mut lab = Lab::new(true);
    let [_, gateway, better, far] = lab.names();
    let Bench { world, host } = &mut lab.bench;
    let to = SocketAddr::new(far, 80);
    world.stacks[0].tcp_connect(to, None).expect("a route");
    let syn = host.expect(world, SECOND, |frame| {
        (frame[23] == 6).then(|| frame.to_vec())
    });
    assert_eq!(syn[..6], host.mac);
    let [own, ..] = lab.names();
    lab.redirect_about(gateway, better, far, &syn[14..], own);
    let Bench { world, host } = &mut lab.bench;
    let question = host.expect(world, 5 * SECOND, |frame| {
        suggests_better(frame).then(|| frame.to_vec())
    });
    host.inject(&better_is_here(&question));
    let again = host.expect(world, 5 * SECOND, |frame| {
        (frame[23] == 6).then(|| frame.to_vec())
    });
    assert_eq!(again[..6], BETTER);
}

/// RFC 1122, 3.2.2.2 and RFC 4861, 8.1: ignores redirects from other than the first hop, to targets
/// off the link, and about packets of others.
#[test]
fn redirects_without_authority_are_dropped() {
    for v4 in [true, false] {
        let mut lab = Lab::new(v4);
        let [own, gateway, better, far] = lab.names();
        let first = Some(lab.bench.host.mac);
        lab.hop(far);
        let not_on_link = ip(if v4 { "172.16.0.1" } else { "2001:db8:7::1" });
        let group = ip(if v4 { "224.0.0.5" } else { "ff02::5" });
        let local = ip(if v4 { "10.0.0.77" } else { "fd00::77" });
        let wrong = [
            (better, gateway, far),
            (gateway, not_on_link, far),
            (gateway, own, far),
            (gateway, gateway, far),
            (gateway, group, far),
            (gateway, better, group),
            // No gateway can redirect for the link itself.
            (gateway, better, local),
        ];
        for (n, (from, target, to)) in wrong.into_iter().enumerate() {
            lab.redirect(from, target, to);
            assert_eq!(lab.dropped(), n as u64 + 1, "{n}");
        }
        assert_eq!(lab.hop(far), first);
    }
    // RFC 1122, 3.2.2: about a packet that isn't ours.
    let mut lab = Lab::new(true);
    let [own, gateway, better, far] = lab.names();
    let foreign = packet::udp(
        lab.bench.host.macs(),
        address("10.0.0.3:5000"),
        SocketAddr::new(far, 9),
        b"x",
    );
    lab.redirect_about(gateway, better, far, &foreign[14..], own);
    assert_eq!(lab.dropped(), 1);
    // RFC 4861, 8.1: only from a router's link-local address, and not through a router.
    let mut lab = Lab::new(false);
    let [_, _, better, far] = lab.names();
    lab.redirect(ip("fd00::9"), better, far);
    assert_eq!(lab.hop(far), Some(lab.bench.host.mac));
}

/// RFC 4861, 8.3: the destination itself is on the link.
#[test]
fn a_destination_on_the_link() {
    let mut lab = Lab::new(false);
    let [_, gateway, _, far] = lab.names();
    lab.hop(far);
    lab.redirect(gateway, far, far);
    assert_eq!(lab.hop(far), Some(BETTER));
}

/// RFC 1122, 3.3.1.4: if the better one disappears, packets go to the gateway again.
#[test]
fn a_redirect_to_nowhere_is_passed_over() {
    let mut lab = Lab::new(true);
    let [_, gateway, _, far] = lab.names();
    let first = Some(lab.bench.host.mac);
    lab.hop(far);
    lab.redirect(gateway, ip("10.0.0.66"), far);
    assert_eq!(lab.hop(far), None);
    lab.bench.world.advance(4 * SECOND);
    assert_eq!(lab.hop(far), first);
}

/// It expires, and a flood is bounded (`ip::route::redirect`).
#[test]
fn redirects_are_forgotten() {
    let mut lab = Lab::new(true);
    let [_, gateway, better, far] = lab.names();
    lab.hop(far);
    lab.redirect(gateway, better, far);
    assert_eq!(lab.hop(far), Some(BETTER));
    lab.bench.host.listen(&mut lab.bench.world, 601 * SECOND);
    assert_eq!(lab.hop(far), Some(lab.bench.host.mac));
    lab.redirect(gateway, better, far);
    for n in 0..100 {
        lab.redirect(gateway, better, ip(&format!("198.51.100.{n}")));
    }
    assert_eq!(lab.hop(far), Some(lab.bench.host.mac));
    assert_eq!(lab.hop(ip("198.51.100.99")), Some(BETTER));
}
