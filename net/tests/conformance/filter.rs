//! The packet filter with the stack's own sockets as its connection state.

use std::net::SocketAddr;

use net::sim::packet::{self, ACK, FIN, Ip, RST, SYN, Tcp};
use net::{Error, FilterAction, FilterDirection, FilterRule, FilterState};

use crate::support::{FAMILIES, Family, MS, SECOND, Talk};

fn rule(action: FilterAction, state: Option<FilterState>) -> FilterRule {
    FilterRule {
        state,
        ..FilterRule::new(action, FilterDirection::In)
    }
}

/// No incoming flow may begin.
fn closed(family: Family) -> Talk {
    let mut talk = Talk::new(family);
    talk.stack()
        .set_filter(&[
            // Neighbor discovery.
            FilterRule {
                protocol: Some(58),
                ..rule(FilterAction::Allow, None)
            },
            rule(FilterAction::Allow, Some(FilterState::Established)),
            rule(FilterAction::Deny, None),
        ])
        .expect("sound rules");
    talk
}

fn filtered(talk: &mut Talk) -> u64 {
    let mut drops = talk.stack().drops();
    let found = drops.find(|(name, _)| *name == "drop.filtered");
    found.map_or(0, |(_, count)| count)
}

/// A segment without a connection isn't established, with any flags: scans reveal nothing.
#[test]
fn segments_of_no_connection_are_not_established() {
    for family in FAMILIES {
        let mut talk = closed(family).listening();
        for flags in [SYN, ACK, FIN | ACK, RST, SYN | ACK, FIN, 0] {
            let before = filtered(&mut talk);
            let segment = talk.segment().flags(flags);
            talk.send(&segment);
            assert!(talk.listen(100 * MS).is_empty(), "{flags:#x}");
            assert_eq!(filtered(&mut talk), before + 1, "{flags:#x}");
        }
    }
}

/// Replies to flows that this end opened pass, up to the end.
#[test]
fn connections_of_ours_pass() {
    for family in FAMILIES {
        let mut talk = closed(family);
        talk.connect();
        let answer = talk.segment().flags(SYN | ACK).mss(1440);
        talk.send(&answer);
        talk.seq = answer.end();
        talk.data(b"hello");
        assert_eq!(talk.read().0, b"hello");
        let handle = talk.handle();
        talk.stack().tcp_shutdown(handle).expect("open");
        talk.expect(SECOND, |segment| segment.has(FIN));
        talk.fin();
        assert!(talk.read().1);
        talk.stack().close(handle).expect("open");
        talk.listen(SECOND);
        // TIME-WAIT: the FIN is repeated.
        let again = talk
            .segment()
            .seq(talk.seq.wrapping_sub(1))
            .flags(FIN | ACK);
        talk.send(&again);
        assert!(talk.listen(SECOND).iter().any(|segment| segment.has(ACK)));
        assert_eq!(filtered(&mut talk), 0);
        // A flow similar to that connection.
        let other = Tcp::between(SocketAddr::new(talk.own.ip(), 4001), talk.other).flags(ACK);
        talk.send(&other);
        assert_eq!(filtered(&mut talk), 1);
    }
}

/// A permitted handshake continues: its later segments are established.
#[test]
fn connections_of_others_pass_once_begun() {
    let mut talk = Talk::new(FAMILIES[0]);
    talk.stack()
        .set_filter(&[
            rule(FilterAction::Allow, Some(FilterState::Established)),
            FilterRule {
                protocol: Some(6),
                local_port: Some(80..=80),
                limit: Some(net::FilterLimit {
                    per_second: 1,
                    burst: 1,
                    per_source: false,
                }),
                ..rule(FilterAction::Allow, Some(FilterState::New))
            },
            rule(FilterAction::Deny, None),
        ])
        .expect("sound rules");
    let talk = talk.listening();
    let syn = talk.syn().mss(1440);
    let mut talk = talk.accepted_with(syn);
    for _ in 0..10 {
        talk.data(b"x");
    }
    assert_eq!(talk.read().0.len(), 10);
    // A second one in the same second is dropped.
    let other = Tcp::between(SocketAddr::new(talk.own.ip(), 4001), talk.other).flags(SYN);
    talk.send(&other);
    assert_eq!(filtered(&mut talk), 1);
}

/// Replies to datagrams of ours pass for a minute, other datagrams don't; a socket with one peer
/// receives its datagrams.
#[test]
fn answers_to_our_datagrams_pass() {
    for family in FAMILIES {
        let mut talk = closed(family);
        let at = family.stack(5000);
        let socket = talk.stack().udp_bind(at).expect("free");
        let say = |talk: &mut Talk, from: SocketAddr| {
            let frame = packet::udp(talk.host.macs(), from, at, b"answer");
            talk.host.send_frame(&mut talk.world, &frame);
            talk.stack().udp_recv_from(socket, &mut [0; 9]).is_ok()
        };
        let asked = family.host(53);
        assert!(!say(&mut talk, asked));
        talk.stack()
            .udp_send_to(socket, b"question", asked)
            .expect("room");
        talk.host.expect(&mut talk.world, SECOND, |frame| {
            Ip::parse(frame).filter(|ip| ip.protocol == 17)
        });
        assert!(say(&mut talk, asked) && say(&mut talk, asked));
        assert!(!say(&mut talk, family.host(54)));
        let mut world_time = 0;
        while world_time < 61 {
            talk.listen(SECOND);
            world_time += 1;
        }
        assert!(!say(&mut talk, asked));
        talk.stack()
            .udp_connect(socket, Some(family.host(54)))
            .expect("a route");
        assert!(say(&mut talk, family.host(54)));
        assert_eq!(
            talk.stack().udp_recv_from(socket, &mut [0; 9]),
            Err(Error::WouldBlock)
        );
    }
}

/// An echo request is new.
#[test]
fn echo_requests_are_new() {
    let mut talk = closed(FAMILIES[0]);
    let (from, to) = (FAMILIES[0].host(0).ip(), FAMILIES[0].stack(0).ip());
    let echo = packet::icmp(talk.host.macs(), from, to, (8, 0), 1, b"ping");
    talk.host.send_frame(&mut talk.world, &echo);
    assert_eq!(filtered(&mut talk), 1);
}
