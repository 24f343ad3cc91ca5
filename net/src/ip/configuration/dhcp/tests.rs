use core::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr};

use super::{Client, Message, SECOND, routes};
use crate::ip::random::Random;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);

struct Lab {
    client: Client,
    random: Random,
    now_ns: u64,
}

impl Lab {
    fn new() -> Lab {
        Lab {
            client: Client::new(MAC, 0),
            random: Random::seeded(5),
            now_ns: 0,
        }
    }

    /// The next message that the client sends, and its contents.
    fn next(&mut self) -> (DhcpMessageType, Message) {
        loop {
            if let Some(message) = self.client.run(self.now_ns, &mut self.random) {
                let packet = DhcpPacket::new_checked(&message.payload[..]).unwrap();
                let kind = DhcpRepr::parse(&packet).unwrap().message_type;
                return (kind, message);
            }
            self.now_ns = self.client.next_ns().max(self.now_ns + 1);
        }
    }

    /// The server's reply: type, address, further options.
    fn answer(&mut self, kind: u8, options: &[u8]) {
        self.answer_with(kind, options, &[], &[]);
    }

    /// The same, with contents of the fields `sname` and `file`.
    fn answer_with(&mut self, kind: u8, options: &[u8], sname: &[u8], file: &[u8]) {
        let mut message = vec![0; 240];
        message[0] = 2;
        message[1] = 1;
        message[2] = 6;
        message[4..8].copy_from_slice(&self.client.xid.to_be_bytes());
        message[16..20].copy_from_slice(&[10, 0, 0, 7]);
        message[28..34].copy_from_slice(&MAC);
        message[44..44 + sname.len()].copy_from_slice(sname);
        message[108..108 + file.len()].copy_from_slice(file);
        message[236..240].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        message.extend([53, 1, kind, 54, 4]);
        message.extend(SERVER.octets());
        message.extend(options);
        message.push(255);
        self.client.input(&message, self.now_ns);
    }

    fn bound(seconds: u32) -> Lab {
        let mut lab = Lab::new();
        assert_eq!(lab.next().0, DhcpMessageType::Discover);
        lab.answer(2, &[]);
        assert_eq!(lab.next().0, DhcpMessageType::Request);
        let mut options = vec![1, 4, 255, 255, 255, 0, 51, 4];
        options.extend(seconds.to_be_bytes());
        lab.answer(5, &options);
        assert!(lab.client.lease.is_some());
        lab
    }
}

#[test]
fn rfc2131_section_4_4_5_renewing_rebinding_and_the_end() {
    let mut lab = Lab::bound(800);
    let (kind, renewal) = lab.next();
    assert_eq!((kind, renewal.to), (DhcpMessageType::Request, Some(SERVER)));
    assert_eq!(renewal.source, Ipv4Addr::new(10, 0, 0, 7));
    assert_eq!(lab.now_ns, 400 * SECOND);
    // Half of the time left until T2, but at most once a minute.
    assert!(lab.next().1.to.is_some() && lab.now_ns == 550 * SECOND);
    while lab.next().1.to.is_some() {}
    assert_eq!(lab.now_ns, 700 * SECOND);
    assert!(lab.client.lease.is_some());
    loop {
        let (kind, _) = lab.next();
        if kind == DhcpMessageType::Discover {
            break;
        }
    }
    assert_eq!((lab.now_ns, &lab.client.lease), (800 * SECOND, &None));
    // A reply in time renews the lease.
    let mut lab = Lab::bound(800);
    lab.next();
    lab.answer(5, &[1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 3, 32]);
    lab.next();
    assert_eq!(lab.now_ns, 800 * SECOND);
}

#[test]
fn rfc2131_section_4_1_retries_are_later_each_time() {
    let mut lab = Lab::new();
    let mut times = Vec::new();
    for _ in 0..8 {
        assert_eq!(lab.next().0, DhcpMessageType::Discover);
        times.push(lab.now_ns);
    }
    for (n, pair) in times.windows(2).enumerate() {
        let wait_ns = ((2 * SECOND) << n.min(5)).min(64 * SECOND);
        assert!(
            (pair[1] - pair[0]).abs_diff(wait_ns) <= SECOND / 2,
            "{times:?}"
        );
    }
}

#[test]
fn rfc2131_section_3_1_refusals() {
    // A NAK of the selected server.
    let mut lab = Lab::new();
    lab.next();
    lab.answer(2, &[]);
    assert_eq!(lab.next().0, DhcpMessageType::Request);
    lab.answer(6, &[]);
    assert_eq!(lab.next().0, DhcpMessageType::Discover);
    // A server that becomes silent after its offer.
    lab.answer(2, &[]);
    for _ in 0..4 {
        assert_eq!(lab.next().0, DhcpMessageType::Request);
    }
    assert_eq!(lab.next().0, DhcpMessageType::Discover);
    // A NAK during renewal removes the address.
    let mut lab = Lab::bound(800);
    lab.next();
    lab.answer(6, &[]);
    assert_eq!(lab.client.lease, None);
}

#[test]
fn rfc2131_section_4_4_4_decline() {
    let mut lab = Lab::bound(800);
    lab.client.conflict(lab.now_ns);
    let (kind, message) = lab.next();
    let packet = DhcpPacket::new_checked(&message.payload[..]).unwrap();
    let repr = DhcpRepr::parse(&packet).unwrap();
    assert_eq!(kind, DhcpMessageType::Decline);
    assert_eq!(repr.requested_ip, Some(Ipv4Addr::new(10, 0, 0, 7)));
    assert_eq!((repr.server_identifier, message.to), (Some(SERVER), None));
    assert_eq!(lab.client.lease, None);
    assert_eq!(lab.next().0, DhcpMessageType::Discover);
    assert!(lab.now_ns >= 10 * SECOND);
}

#[test]
fn options_of_a_lease() {
    let mut lab = Lab::new();
    lab.next();
    lab.answer(2, &[]);
    lab.next();
    let mut options = vec![51, 4, 255, 255, 255, 255, 1, 4, 255, 255, 0, 0];
    options.extend([3, 8, 10, 0, 0, 1, 10, 0, 0, 2, 6, 4, 10, 0, 0, 53]);
    options.extend([15, 3, b'a', b'.', b'b', 26, 2, 5, 0]);
    lab.answer(5, &options);
    let lease = lab.client.lease.clone().unwrap();
    assert_eq!(lease.address.prefix_len, 16);
    assert_eq!(lease.address.address, IpAddr::from([10, 0, 0, 7]));
    assert_eq!(lease.routers.len(), 2);
    assert_eq!(lease.dns_servers, [Ipv4Addr::new(10, 0, 0, 53)]);
    assert_eq!((lease.search, lease.mtu), (vec!["a.b".into()], Some(1280)));
    // Infinite.
    assert_eq!(lab.client.next_ns(), u64::MAX);
}

#[test]
fn rfc2132_section_9_3_options_are_read_from_all_fields_that_have_them() {
    let sname = [6, 4, 10, 0, 0, 53, 15, 3, b'a', b'.', b'b', 255];
    let file = [
        1, 4, 255, 255, 0, 0, 3, 4, 10, 0, 0, 1, 51, 4, 0, 0, 1, 0, 255,
    ];
    for (overload, expected) in [
        (1, Some((16, 1, 0, 0))),
        // The lease time is in `file`.
        (2, None),
        (3, Some((16, 1, 1, 1))),
        (0, None),
    ] {
        let mut lab = Lab::new();
        lab.next();
        lab.answer(2, &[]);
        lab.next();
        lab.answer_with(5, &[52, 1, overload], &sname, &file);
        let found = lab.client.lease.as_ref().map(|lease| {
            let (servers, search) = (lease.dns_servers.len(), lease.search.len());
            (
                lease.address.prefix_len,
                lease.routers.len(),
                servers,
                search,
            )
        });
        assert_eq!(found, expected, "overload {overload}");
    }
}

#[test]
fn rfc3396_parts_of_an_option_are_one() {
    let list = b"\x04corp\x07example\0\x03lab\xc0\x05";
    for at in 0..=list.len() {
        let mut lab = Lab::new();
        lab.next();
        lab.answer(2, &[]);
        lab.next();
        let mut options = vec![51, 4, 0, 0, 1, 0];
        for part in [&list[..at], &list[at..]] {
            options.extend([119, part.len() as u8]);
            options.extend(part);
        }
        lab.answer(5, &options);
        let lease = lab.client.lease.as_ref().expect("a lease");
        assert_eq!(
            lease.search,
            ["corp.example", "lab.example"],
            "split at {at}"
        );
    }
}

#[test]
fn a_domain_name_may_be_a_list_and_end_with_a_zero_byte() {
    let lease = |domain: &[u8]| {
        let mut lab = Lab::new();
        lab.next();
        lab.answer(2, &[]);
        lab.next();
        let mut options = vec![51, 4, 0, 0, 1, 0, 15, domain.len() as u8];
        options.extend(domain);
        lab.answer(5, &options);
        lab.client.lease.expect("a lease").search
    };
    assert_eq!(lease(b"corp.example\0"), ["corp.example"]);
    assert_eq!(
        lease(b"corp.example lab.corp.example"),
        ["corp.example", "lab.corp.example"]
    );
    assert_eq!(lease(b"a\x1b[2J b"), ["b"]);
    assert!(lease(b"\0").is_empty());
}

#[test]
fn rfc2131_section_4_1_the_broadcast_flag_alternates_until_it_is_answered() {
    let flag = |message: &Message| message.payload[10] == 0x80;
    let mut lab = Lab::new();
    let flags: Vec<bool> = (0..6).map(|_| flag(&lab.next().1)).collect();
    assert_eq!(flags, [false, true, false, true, false, true]);
    // The request has the flag of the discovery that was answered.
    lab.answer(2, &[]);
    let (kind, request) = lab.next();
    assert_eq!((kind, flag(&request)), (DhcpMessageType::Request, true));
    assert!(!flag(&lab.next().1));
}

#[test]
fn rfc3442_classless_routes_are_read() {
    let list = [
        0, 10, 0, 0, 1, 8, 10, 0, 0, 0, 0, 25, 10, 17, 0, 128, 10, 0, 0, 2, 33,
    ];
    assert_eq!(
        routes(&list),
        [
            (Ipv4Addr::UNSPECIFIED, 0, Ipv4Addr::new(10, 0, 0, 1)),
            (Ipv4Addr::new(10, 0, 0, 0), 8, Ipv4Addr::UNSPECIFIED),
            (
                Ipv4Addr::new(10, 17, 0, 128),
                25,
                Ipv4Addr::new(10, 0, 0, 2)
            ),
        ]
    );
    let mut lab = Lab::new();
    lab.next();
    lab.answer(2, &[]);
    lab.next();
    let mut options = vec![51, 4, 0, 0, 1, 0, 3, 4, 10, 0, 0, 9, 121, 5];
    options.extend(&list[..5]);
    lab.answer(5, &options);
    let lease = lab.client.lease.clone().unwrap();
    assert!(lease.routers.is_empty() && lease.routes.len() == 1);
}

proptest! {
    #[test]
    fn any_message_is_read(
        kind in 0..9u8,
        options in proptest::collection::vec(any::<u8>(), 0..300),
        raw in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut lab = Lab::new();
        lab.next();
        lab.client.input(&raw, 0);
        for _ in 0..3 {
            lab.answer(kind, &options);
            lab.answer(2, &[]);
            lab.next();
            lab.answer(5, &options);
        }
        routes(&options);
    }
}
