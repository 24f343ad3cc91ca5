//! The packet filter between stacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{MS, address, ip, pair, ready};
use crate::Error;
use crate::ip::{FilterAction, FilterDirection, FilterRule, FilterState};

#[test]
fn the_filter_drops_and_counts() {
    let mut world = pair();
    let rule = |action, direction| FilterRule::new(action, direction);
    world.stacks[1]
        .set_filter(&[
            FilterRule {
                protocol: Some(6),
                local_port: Some(80..=80),
                state: Some(FilterState::New),
                ..rule(FilterAction::Deny, FilterDirection::In)
            },
            FilterRule {
                protocol: Some(17),
                remote_port: Some(7..=7),
                ..rule(FilterAction::Deny, FilterDirection::Out)
            },
        ])
        .unwrap();
    for port in [80, 81] {
        let server = address(&format!("10.0.0.2:{port}"));
        world.stacks[1].tcp_listen(server, 8).unwrap();
        let client = world.stacks[0].tcp_connect(server, None).unwrap();
        world.advance(10 * MS);
        let result = world.stacks[0].tcp_connect_result(client);
        assert_eq!(result.is_ok(), port == 81, "{result:?}");
    }
    let socket = world.stacks[1].udp_bind(address("0.0.0.0:5")).unwrap();
    world.stacks[1]
        .udp_send_to(socket, b"x", address("10.0.0.1:7"))
        .unwrap();
    world.advance(10 * MS);
    assert!(ready(world.stacks[1].udp_recv_from(socket, &mut [0; 9])).is_none());
    let filtered = world.stacks[1]
        .drops()
        .find(|(name, _)| *name == "drop.filtered")
        .unwrap()
        .1;
    assert!(filtered >= 2, "{filtered}");
    let bad = FilterRule {
        remote: Some((ip("10.0.0.0"), 33)),
        ..rule(FilterAction::Deny, FilterDirection::In)
    };
    assert_eq!(
        world.stacks[1].set_filter(&[bad]),
        Err(Error::InvalidArgument)
    );
}

#[test]
fn what_may_not_leave_does_not_wait_for_a_neighbor_either() {
    let mut world = pair();
    let deny = FilterRule {
        remote_port: Some(7..=7),
        ..FilterRule::new(FilterAction::Deny, FilterDirection::Out)
    };
    world.stacks[1].set_filter(&[deny]).unwrap();
    let peer = world.stacks[0].udp_bind(address("0.0.0.0:7")).unwrap();
    let socket = world.stacks[1].udp_bind(address("0.0.0.0:5")).unwrap();
    world.stacks[1]
        .udp_send_to(socket, b"x", address("10.0.0.1:7"))
        .unwrap();
    world.stacks[1]
        .tcp_connect(address("10.0.0.1:7"), None)
        .unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    world.cables[0].set_filter(0, move |frame| {
        count.fetch_add(usize::from(frame[12..14] == [8, 0]), Relaxed);
        true
    });
    world.advance(10 * MS);
    assert!(ready(world.stacks[0].udp_recv_from(peer, &mut [0; 9])).is_none());
    assert_eq!(seen.load(Relaxed), 0, "IPv4 packets that left");
}
