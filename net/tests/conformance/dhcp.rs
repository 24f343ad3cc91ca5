//! DHCP for IPv4 (RFC 2131), with the server played by hand.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use net::sim::packet::{self, ACK, Ip, SYN, Tcp};
use net::sim::{Bench, Host, Offloads, World};
use net::{Config, Dhcp, Error, InterfaceConfig, InterfaceStatus};

use crate::neighbors::{arp, arps};
use crate::support::{MS, SECOND};

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACKNOWLEDGE: u8 = 5;
const REFUSE: u8 = 6;
const RELEASE: u8 = 7;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);

/// A message of the client.
#[derive(Clone, Debug)]
struct Message {
    ip: Ip,
    to_mac: [u8; 6],
    kind: u8,
    xid: [u8; 4],
    client: Ipv4Addr,
    hardware: Vec<u8>,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
}

fn option(payload: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = payload.get(240..)?;
    loop {
        match *rest.first()? {
            0 => rest = &rest[1..],
            255 => return None,
            kind => {
                let len = usize::from(*rest.get(1)?);
                if kind == wanted {
                    return rest.get(2..2 + len);
                }
                rest = rest.get(2 + len..)?;
            }
        }
    }
}

fn parse(frame: &[u8]) -> Option<Message> {
    let ip = Ip::parse(frame)?;
    if ip.protocol != 17 || ip.payload.get(..4)? != [0, 68, 0, 67] {
        return None;
    }
    let payload = ip.payload.get(8..)?.to_vec();
    let len = u16::from_be_bytes([ip.payload[4], ip.payload[5]]);
    assert_eq!(usize::from(len), ip.payload.len(), "the length of UDP");
    assert_eq!(payload[..3], [1, 1, 6], "a request over Ethernet");
    assert_eq!(payload[236..240], [99, 130, 83, 99], "the magic cookie");
    assert!(payload.len() >= 240, "the fixed part");
    let address = |bytes: &[u8]| {
        let four: [u8; 4] = bytes.try_into().expect("four bytes");
        Ipv4Addr::from(four)
    };
    Some(Message {
        to_mac: frame[..6].try_into().ok()?,
        kind: option(&payload, 53)?[0],
        xid: payload[4..8].try_into().ok()?,
        client: address(&payload[12..16]),
        hardware: payload[28..34].to_vec(),
        requested: option(&payload, 50).map(address),
        server: option(&payload, 54).map(address),
        ip,
    })
}

/// The options of an answer.
fn options(kind: u8, lease: u32) -> Vec<u8> {
    let mut options = vec![53, 1, kind, 54, 4];
    options.extend(SERVER.octets());
    if kind != REFUSE {
        options.extend([1, 4, 255, 255, 255, 0, 3, 4]);
        options.extend(SERVER.octets());
        options.extend([6, 4]);
        options.extend(SERVER.octets());
        options.extend([51, 4]);
        options.extend(lease.to_be_bytes());
    }
    options
}

/// An answer to `message`, with these options.
fn answer(message: &Message, address: Ipv4Addr, options: &[u8]) -> Vec<u8> {
    let mut payload = vec![2, 1, 6, 0];
    payload.extend(message.xid);
    payload.extend([0; 8]);
    payload.extend(address.octets());
    payload.extend(SERVER.octets());
    payload.extend([0; 4]);
    payload.extend(&message.hardware);
    payload.extend([0; 10 + 64 + 128]);
    payload.extend([99, 130, 83, 99]);
    payload.extend(options);
    payload.push(255);
    let everyone = SocketAddr::from(([255, 255, 255, 255], 68));
    packet::udp(
        ([2, 0, 0, 0, 9, 9], [0xff; 6]),
        SocketAddr::new(IpAddr::V4(SERVER), 67),
        everyone,
        &payload,
    )
}

fn next(host: &mut Host, world: &mut World, limit_ns: u64) -> Message {
    host.expect(world, limit_ns, parse)
}

fn begin() -> (World, Host) {
    let interface = InterfaceConfig {
        dhcp: true,
        ..Default::default()
    };
    let Bench { world, host } =
        Bench::unconfigured(Config::default(), &interface, 1500, Offloads::default(), 11);
    (world, host)
}

fn status(world: &World) -> InterfaceStatus {
    let stack = &world.stacks[0];
    stack
        .interface_status(stack.interfaces()[0])
        .expect("an interface")
}

fn leased(world: &World) -> bool {
    let mut addresses = status(world).addresses.into_iter();
    addresses.any(|cidr| cidr.address == IpAddr::V4(LEASED))
}

/// Answers until the address is in use.
fn bind(world: &mut World, host: &mut Host, lease: u32) {
    let discover = next(host, world, 20 * SECOND);
    assert_eq!(discover.kind, DISCOVER);
    host.send_frame(world, &answer(&discover, LEASED, &options(OFFER, lease)));
    let request = next(host, world, 5 * SECOND);
    assert_eq!(request.kind, REQUEST);
    host.send_frame(
        world,
        &answer(&request, LEASED, &options(ACKNOWLEDGE, lease)),
    );
    // The client may check that the address is unused (RFC 5227).
    host.listen(world, 10 * SECOND);
    assert!(leased(world), "{:?}", status(world));
    assert_eq!(status(world).dhcp, Dhcp::Bound);
}

/// RFC 2131, 3.1, 4.3.2 and 4.4.1, table 5: the four messages and their contents.
#[test]
fn four_messages_give_an_address() {
    let (mut world, mut host) = begin();
    let discover = next(&mut host, &mut world, 20 * SECOND);
    assert_eq!(discover.kind, DISCOVER);
    assert_eq!(discover.ip.from, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    assert_eq!(discover.ip.to, IpAddr::V4(Ipv4Addr::BROADCAST));
    assert_eq!(discover.to_mac, [0xff; 6]);
    assert_eq!(discover.hardware, World::mac(0));
    assert_eq!(
        (discover.client, discover.server),
        (Ipv4Addr::UNSPECIFIED, None)
    );
    host.send_frame(
        &mut world,
        &answer(&discover, LEASED, &options(OFFER, 3600)),
    );
    let request = next(&mut host, &mut world, 5 * SECOND);
    assert_eq!(request.kind, REQUEST);
    assert_eq!(request.xid, discover.xid);
    assert_eq!(request.requested, Some(LEASED));
    assert_eq!(request.server, Some(SERVER));
    assert_eq!(request.client, Ipv4Addr::UNSPECIFIED);
    assert_eq!(request.ip.to, IpAddr::V4(Ipv4Addr::BROADCAST));
    assert!(!leased(&world));
    host.send_frame(
        &mut world,
        &answer(&request, LEASED, &options(ACKNOWLEDGE, 3600)),
    );
    host.listen(&mut world, 10 * SECOND);
    let status = status(&world);
    assert_eq!(status.dhcp, Dhcp::Bound);
    assert_eq!(status.gateways, [IpAddr::V4(SERVER)]);
    assert_eq!(
        status.dns_servers,
        [SocketAddr::new(IpAddr::V4(SERVER), 53)]
    );
    assert!(leased(&world));
}

/// RFC 2131, 4.1: an unanswered message is repeated, at growing randomized intervals, and without
/// end.
#[test]
fn silence_is_met_with_patience() {
    let (mut world, mut host) = begin();
    let mut times = Vec::new();
    while world.now_ns < 600 * SECOND {
        let message = next(&mut host, &mut world, 200 * SECOND);
        assert_eq!(message.kind, DISCOVER);
        times.push(world.now_ns / SECOND);
    }
    assert!((6..=60).contains(&times.len()), "{times:?}");
    let last = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(last >= Some(10), "{times:?}");
}

/// RFC 2131, 4.4.5: the client renews with the server after half of the lease, by unicast, and the
/// lease restarts.
#[test]
fn a_lease_is_renewed_at_half_its_time() {
    let (mut world, mut host) = begin();
    bind(&mut world, &mut host, 1000);
    for _ in 0..5 {
        let before_ns = world.now_ns;
        let renewal = next(&mut host, &mut world, 600 * SECOND);
        let after = (world.now_ns - before_ns) / SECOND;
        assert!((450..=560).contains(&after), "{after} s");
        assert_eq!(renewal.kind, REQUEST);
        assert_eq!(renewal.client, LEASED);
        assert_eq!((renewal.requested, renewal.server), (None, None));
        assert_eq!(renewal.ip.from, IpAddr::V4(LEASED));
        assert_eq!(renewal.ip.to, IpAddr::V4(SERVER));
        let renewed = answer(&renewal, LEASED, &options(ACKNOWLEDGE, 1000));
        host.send_frame(&mut world, &renewed);
        assert!(leased(&world));
    }
}

/// RFC 2131, 4.4.5: after seven eighths the client asks any server, and at the end the address is
/// removed, and its users get an error.
#[test]
fn a_lease_is_rebound_and_in_the_end_lost() {
    let (mut world, mut host) = begin();
    bind(&mut world, &mut host, 1000);
    let at_ns = world.now_ns;
    let listener = world.stacks[0]
        .tcp_listen("0.0.0.0:80".parse().expect("an address"), 4)
        .expect("free");
    let own = SocketAddr::from(([10, 0, 0, 9], 4000));
    let syn = Tcp::between(own, SocketAddr::new(IpAddr::V4(LEASED), 80))
        .seq(7)
        .flags(SYN);
    host.send(&mut world, &syn);
    let reply = host.expect_tcp(&mut world, SECOND, |segment| segment.has(SYN | ACK));
    host.send(&mut world, &syn.reply_to(&reply));
    let connection = world.stacks[0].tcp_accept(listener).expect("a connection");
    // The server has disappeared: renewals, then a broadcast.
    let rebind = loop {
        let message = next(&mut host, &mut world, 900 * SECOND);
        assert_eq!((message.kind, message.client), (REQUEST, LEASED));
        if message.ip.to == IpAddr::V4(Ipv4Addr::BROADCAST) {
            break message;
        }
    };
    let after = (world.now_ns - at_ns) / SECOND;
    assert!((855..=900).contains(&after), "{after} s");
    assert_eq!((rebind.requested, rebind.server), (None, None));
    assert!(leased(&world));
    let discover = loop {
        let message = next(&mut host, &mut world, 400 * SECOND);
        if message.kind == DISCOVER {
            break message;
        }
    };
    let after = (world.now_ns - at_ns) / SECOND;
    assert!((980..=1100).contains(&after), "{after} s");
    assert!(!leased(&world));
    assert_eq!(discover.ip.from, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    assert_eq!(status(&world).dhcp, Dhcp::Searching);
    let result = world.stacks[0].tcp_read(connection, &mut [0; 8]);
    assert!(
        matches!(
            result,
            Err(Error::ConnectionAborted | Error::AddressNotAvailable)
        ),
        "{result:?}"
    );
    // And it finds another one.
    host.send_frame(
        &mut world,
        &answer(&discover, LEASED, &options(OFFER, 1000)),
    );
    assert_eq!(next(&mut host, &mut world, 5 * SECOND).kind, REQUEST);
}

/// RFC 2131, 3.1 (5): requests that aren't answered end, and the client begins as at first, with
/// another identifier.
#[test]
fn a_server_that_is_silent_after_its_offer_is_given_up() {
    let (mut world, mut host) = begin();
    let discover = next(&mut host, &mut world, 20 * SECOND);
    let offer = answer(&discover, LEASED, &options(OFFER, 3600));
    host.send_frame(&mut world, &offer);
    for _ in 0..4 {
        assert_eq!(next(&mut host, &mut world, 70 * SECOND).kind, REQUEST);
    }
    let again = next(&mut host, &mut world, 70 * SECOND);
    assert_eq!(again.kind, DISCOVER);
    assert_ne!(again.xid, discover.xid);
    let before_ns = world.now_ns;
    assert_eq!(next(&mut host, &mut world, 70 * SECOND).kind, DISCOVER);
    assert!(
        world.now_ns - before_ns < 3 * SECOND,
        "not the last interval"
    );
}

/// RFC 2131, 3.2 and 4.4.5: after a DHCPNAK the client releases the address at once and restarts.
#[test]
fn a_refusal_ends_the_lease() {
    let (mut world, mut host) = begin();
    bind(&mut world, &mut host, 100);
    let renewal = next(&mut host, &mut world, 100 * SECOND);
    let refusal = answer(&renewal, Ipv4Addr::UNSPECIFIED, &options(REFUSE, 0));
    host.send_frame(&mut world, &refusal);
    world.advance(MS);
    assert!(!leased(&world));
    let again = next(&mut host, &mut world, 30 * SECOND);
    assert_eq!(again.kind, DISCOVER);
}

/// RFC 2131, 3.1 (5) and 4.4.1, RFC 5227: the client declines an address that is in use, and
/// requests another one after ten seconds at the earliest.
#[test]
fn an_address_in_use_is_declined() {
    let (mut world, mut host) = begin();
    let discover = next(&mut host, &mut world, 20 * SECOND);
    host.send_frame(
        &mut world,
        &answer(&discover, LEASED, &options(OFFER, 3600)),
    );
    let request = next(&mut host, &mut world, 5 * SECOND);
    host.send_frame(
        &mut world,
        &answer(&request, LEASED, &options(ACKNOWLEDGE, 3600)),
    );
    // The host with the address answers the probe.
    let probe = host.expect(&mut world, 10 * SECOND, |frame| {
        (frame[12..14] == [8, 6] && frame[38..42] == LEASED.octets()).then(|| frame.to_vec())
    });
    assert_eq!(probe[28..32], [0; 4], "a probe is from nobody");
    let claim = [
        &[0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 8, 8][..],
        &LEASED.octets(),
        &World::mac(0),
        &[0; 4],
    ]
    .concat();
    let claim = packet::ethernet([2, 0, 0, 0, 8, 8], World::mac(0), 0x0806, &claim);
    host.send_frame(&mut world, &claim);
    let declined = next(&mut host, &mut world, 10 * SECOND);
    assert_eq!(declined.kind, DECLINE);
    assert_eq!(
        (declined.requested, declined.server),
        (Some(LEASED), Some(SERVER))
    );
    assert!(!leased(&world));
    let before_ns = world.now_ns;
    let again = next(&mut host, &mut world, 60 * SECOND);
    assert_eq!(again.kind, DISCOVER);
    assert!(world.now_ns - before_ns >= 9 * SECOND);
}

/// RFC 5227, 2.4 (b): a leased address is defended once in ten seconds, and declined at the second
/// claim.
#[test]
fn a_lease_is_defended_once_and_then_declined() {
    let (mut world, mut host) = begin();
    bind(&mut world, &mut host, 3600);
    let ours = LEASED.octets();
    let everyone = [0xff; 6];
    let claim = arp(1, ([2, 0, 0, 0, 8, 8], ours), ([0; 6], ours), everyone);
    for _ in 0..2 {
        host.take(&mut world);
        host.send_frame(&mut world, &claim);
        assert_eq!(arps(&host.take(&mut world)).len(), 1, "a defence");
        assert!(leased(&world));
        world.advance(10 * SECOND);
    }
    host.send_frame(&mut world, &claim);
    world.advance(10 * SECOND - 1);
    host.take(&mut world);
    host.send_frame(&mut world, &claim);
    assert!(!leased(&world));
    assert_eq!(next(&mut host, &mut world, SECOND).kind, DECLINE);
}

/// RFC 2131, 4.1: a reply may be sent to the address that it leases, as long as one is expected; no
/// other packets may.
#[test]
fn an_answer_to_the_offered_address_is_taken() {
    let (mut world, mut host) = begin();
    let to_leased = |mut frame: Vec<u8>, port: u8| {
        frame[..6].copy_from_slice(&World::mac(0));
        frame[30..34].copy_from_slice(&LEASED.octets());
        frame[37] = port;
        // No UDP checksum; IP's is recomputed.
        frame[40..42].fill(0);
        frame[24..26].fill(0);
        let sum = !packet::sum(0, &frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let not_for_us = |world: &World| {
        let mut drops = world.stacks[0].drops();
        let found = drops.find(|(name, _)| *name == "drop.not-for-us");
        found.expect("a reason").1
    };
    let discover = next(&mut host, &mut world, 20 * SECOND);
    let offer = answer(&discover, LEASED, &options(OFFER, 3600));
    host.send_frame(&mut world, &to_leased(offer.clone(), 69));
    assert_eq!(not_for_us(&world), 1);
    host.send_frame(&mut world, &to_leased(offer, 68));
    let request = next(&mut host, &mut world, SECOND);
    assert_eq!(request.kind, REQUEST);
    let taken = answer(&request, LEASED, &options(ACKNOWLEDGE, 3600));
    host.send_frame(&mut world, &to_leased(taken.clone(), 68));
    host.listen(&mut world, SECOND);
    assert!(leased(&world));
    assert_eq!(not_for_us(&world), 1);
    // No reply is expected any more: a packet to another address is for another host.
    let mut late = to_leased(taken, 68);
    late[33] ^= 1;
    late[24..26].fill(0);
    let sum = !packet::sum(0, &late[14..34]);
    late[24..26].copy_from_slice(&sum.to_be_bytes());
    host.send_frame(&mut world, &late);
    assert_eq!(not_for_us(&world), 2);
}

/// RFC 3442: routes of the lease, through a gateway or on-link; they take precedence over its
/// routers.
#[test]
fn the_routes_of_a_lease_are_taken() {
    let (mut world, mut host) = begin();
    let mut offer = options(OFFER, 3600);
    // 10.9.0.0/16 is on-link, 172.16.0.0/12 through 10.0.0.8.
    offer.extend([121, 14, 16, 10, 9, 0, 0, 0, 0, 12, 172, 16, 10, 0, 0, 8]);
    for kind in [OFFER, ACKNOWLEDGE] {
        let message = next(&mut host, &mut world, 20 * SECOND);
        offer[2] = kind;
        host.send_frame(&mut world, &answer(&message, LEASED, &offer));
    }
    host.listen(&mut world, SECOND);
    let routes: Vec<_> = world.stacks[0].routes();
    let found = |network: [u8; 4], len| {
        let mut of = routes.iter();
        let route = of.find(|r| r.network == IpAddr::from(network) && r.prefix_len == len);
        route.map(|route| route.gateway)
    };
    assert_eq!(found([10, 9, 0, 0], 16), Some(None));
    assert_eq!(found([172, 16, 0, 0], 12), Some(Some([10, 0, 0, 8].into())));
}

/// Google's, Hetzner's and OVH's networks: an address of its own prefix, /32, with a gateway
/// outside of it, by the router option or by routes (RFC 3442). Packets leave by the gateway.
#[test]
fn a_gateway_outside_of_the_prefix_is_a_neighbor() {
    let gateway = [10, 128, 0, 1];
    let router = [&[3, 4], &gateway[..]].concat();
    let host_route = [&[121, 14, 32], &gateway[..], &[0; 4], &[0], &gateway[..]].concat();
    let default_only = [&[121, 5, 0], &gateway[..]].concat();
    for option in [router, host_route, default_only] {
        let (mut world, mut host) = begin();
        host.addresses = vec![gateway.into()];
        let mut lease = vec![53, 1, OFFER, 54, 4];
        lease.extend(SERVER.octets());
        lease.extend([1, 4, 255, 255, 255, 255, 51, 4, 0, 0, 14, 16]);
        lease.extend(&option);
        for kind in [OFFER, ACKNOWLEDGE] {
            let message = next(&mut host, &mut world, 20 * SECOND);
            lease[2] = kind;
            host.send_frame(&mut world, &answer(&message, LEASED, &lease));
        }
        host.listen(&mut world, 10 * SECOND);
        let port = world.stacks[0].udp_bind("0.0.0.0:9".parse().expect("an address"));
        let to = "192.0.2.1:9".parse().expect("an address");
        let sent = world.stacks[0].udp_send_to(port.expect("free"), b"out", to);
        assert_eq!(sent, Ok(()), "{option:?}");
        let packet = host.expect(&mut world, SECOND, |frame| {
            Ip::parse(frame).filter(|ip| ip.payload.ends_with(b"out"))
        });
        assert_eq!(packet.from, IpAddr::V4(LEASED), "{option:?}");
    }
}

/// RFC 2131, 4.1 and 4.4.1; RFC 2132, 9.3: replies to others, broken ones, and ones with invalid
/// contents.
#[test]
fn nonsense_is_ignored() {
    let (mut world, mut host) = begin();
    let discover = next(&mut host, &mut world, 20 * SECOND);
    let good = options(OFFER, 3600);
    let mut frames = Vec::new();
    let mut other = discover.clone();
    other.xid[0] ^= 1;
    frames.push(answer(&other, LEASED, &good));
    other = discover.clone();
    other.hardware[5] ^= 1;
    frames.push(answer(&other, LEASED, &good));
    for address in [[0; 4], [255; 4], [127, 0, 0, 1], [224, 0, 0, 1]] {
        frames.push(answer(&discover, Ipv4Addr::from(address), &good));
    }
    frames.push(answer(&discover, LEASED, &[53, 0]));
    frames.push(answer(&discover, LEASED, &[53, 1, 99, 54, 4, 10, 0, 0, 9]));
    frames.push(answer(&discover, LEASED, &[53, 200, 2]));
    // Without the server identifier there is no server to request from.
    frames.push(answer(
        &discover,
        LEASED,
        &[53, 1, OFFER, 51, 4, 0, 0, 14, 16],
    ));
    for frame in frames {
        host.send_frame(&mut world, &frame);
        let found: Vec<_> = host
            .take(&mut world)
            .iter()
            .filter_map(|frame| parse(frame))
            .filter(|message| message.kind != DISCOVER)
            .collect();
        assert!(found.is_empty(), "{found:?}");
    }
    host.send_frame(&mut world, &answer(&discover, LEASED, &good));
    assert_eq!(next(&mut host, &mut world, 5 * SECOND).kind, REQUEST);
}

/// RFC 2131, 3.3 and RFC 2132, 9.2: leases of no time, of a second, and infinite ones are harmless.
#[test]
fn extreme_lease_times_are_survived() {
    for lease in [0, 1, u32::MAX] {
        let (mut world, mut host) = begin();
        let discover = next(&mut host, &mut world, 20 * SECOND);
        host.send_frame(
            &mut world,
            &answer(&discover, LEASED, &options(OFFER, lease)),
        );
        let mut messages = 0;
        let begun_ns = world.now_ns;
        let polls = world.polls;
        while world.now_ns - begun_ns < 300 * SECOND {
            world.advance(SECOND);
            for frame in host.take(&mut world) {
                let Some(message) = parse(&frame) else {
                    continue;
                };
                messages += 1;
                let kind = match message.kind {
                    DISCOVER => OFFER,
                    _ => ACKNOWLEDGE,
                };
                host.send_frame(&mut world, &answer(&message, LEASED, &options(kind, lease)));
            }
        }
        assert!(messages < 2000, "lease {lease}: {messages} messages");
        assert!(world.polls - polls < 20_000, "lease {lease}");
        if lease == u32::MAX {
            assert!(leased(&world));
        }
    }
}

/// RFC 2131, 4.4.6: at the end the server gets a release, from the leased address to the server's;
/// no request follows.
#[test]
fn the_lease_is_given_back() {
    let (mut world, mut host) = begin();
    bind(&mut world, &mut host, 3600);
    assert!(!world.stacks[0].release_leases());
    let release = next(&mut host, &mut world, SECOND);
    assert_eq!((release.kind, release.client), (RELEASE, LEASED));
    assert_eq!((release.server, release.requested), (Some(SERVER), None));
    assert_eq!(release.ip.from, IpAddr::V4(LEASED));
    assert_eq!(release.ip.to, IpAddr::V4(SERVER));
    assert_eq!(release.hardware, World::mac(0));
    assert!(world.stacks[0].release_leases());
    host.listen(&mut world, 7200 * SECOND);
    assert!(
        host.take(&mut world)
            .iter()
            .all(|frame| parse(frame).is_none())
    );
    // Without a lease there is nothing to release.
    let (mut world, _) = begin();
    world.advance(SECOND);
    assert!(world.stacks[0].release_leases());
}

/// A missing server delays the end for a second at most.
#[test]
fn giving_back_is_bounded_in_time() {
    let (mut world, mut host) = begin();
    bind(&mut world, &mut host, 36_000);
    // The server's address no longer resolves, and the stack has removed its neighbor.
    host.addresses.clear();
    host.listen(&mut world, 600 * SECOND);
    let began_ns = world.now_ns;
    while !world.stacks[0].release_leases() {
        world.step(10 * SECOND);
        assert!(world.now_ns - began_ns <= 2 * SECOND);
    }
    assert!(world.now_ns - began_ns >= SECOND / 2);
}

/// A filter that rejects new incoming flows passes replies to requests.
#[test]
fn the_filter_lets_answers_in() {
    let (mut world, mut host) = begin();
    let rule = |action, state| net::FilterRule {
        state,
        ..net::FilterRule::new(action, net::FilterDirection::In)
    };
    let established = Some(net::FilterState::Established);
    let rules = [
        rule(net::FilterAction::Allow, established),
        rule(net::FilterAction::Deny, None),
    ];
    world.stacks[0].set_filter(&rules).expect("sound rules");
    bind(&mut world, &mut host, 3600);
}
