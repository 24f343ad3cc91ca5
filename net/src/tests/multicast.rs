//! Multicast: what is told of groups, and their datagrams.

use super::{SECOND, address, fixed, frames, ip, ready, scripted, wire};
use crate::Error;
use crate::ip::checksum;

#[test]
fn rfc3376_and_rfc3810_groups_are_reported_and_their_datagrams_received() {
    for (group, to, kind) in [
        ("239.1.2.3", "224.0.0.22", 0x22),
        ("ff05::1:3", "ff02::16", 143),
    ] {
        let (mut world, scripts, _) = scripted(&[fixed(&["10.0.0.1/24", "fd00::1/64"])]);
        world.advance(10 * SECOND);
        frames(&scripts[0]);
        let stack = &mut world.stacks[0];
        let any = if group.contains(':') {
            "[::]:5353"
        } else {
            "0.0.0.0:5353"
        };
        let socket = stack.udp_bind(address(any)).unwrap();
        let group = ip(group);
        let from = if group.is_ipv4() {
            "10.0.0.9:7"
        } else {
            "[fd00::9]:7"
        };
        let mac = crate::ip::group_mac(group).unwrap();
        let datagram = wire::udp(
            address(from),
            core::net::SocketAddr::new(group, 5353),
            mac,
            b"x",
        );
        let mut buffer = [0; 10];
        // Not joined yet.
        scripts[0].inject(&datagram);
        world.settle();
        assert!(ready(world.stacks[0].udp_recv_from(socket, &mut buffer)).is_none());
        world.stacks[0].udp_join(socket, group, None).unwrap();
        world.advance(5 * SECOND);
        let reports = |frames: &[Vec<u8>], record: u8| -> usize {
            let v4 = group.is_ipv4();
            let (ttl, l4) = if v4 { (22, 38) } else { (21, 62) };
            let report = |frame: &&Vec<u8>| {
                frame.len() > l4 + 9
                    && frame[ttl] == 1
                    && frame[l4] == kind
                    && frame[l4 + 8] == record
            };
            frames.iter().filter(report).count()
        };
        let to = crate::ip::group_mac(ip(to)).unwrap();
        let seen = frames(&scripts[0]);
        assert_eq!(reports(&seen, 4), 2, "twice, as robustness has it");
        assert!(seen.iter().filter(|f| f[..6] == to).count() >= 2);
        scripts[0].inject(&datagram);
        world.settle();
        assert_eq!(
            world.stacks[0]
                .udp_recv_from(socket, &mut buffer)
                .unwrap()
                .0,
            1
        );
        // A general query is answered.
        let query = if group.is_ipv4() {
            let mut query = wire::udp(
                address("10.0.0.9:1"),
                address("224.0.0.1:1"),
                [1, 0, 0x5e, 0, 0, 1],
                &[0; 4],
            );
            query[23] = 2;
            query[24..26].fill(0);
            let sum = !checksum::sum(&query[14..34]);
            query[24..26].copy_from_slice(&sum.to_be_bytes());
            query[34..46].copy_from_slice(&[0x11, 10, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0]);
            let sum = !checksum::sum(&query[34..46]);
            query[36..38].copy_from_slice(&sum.to_be_bytes());
            query
        } else {
            let mut message = vec![130, 0, 0, 0, 3, 0xe8, 0, 0];
            message.extend([0; 16]);
            message.extend([2, 125, 0, 0]);
            wire::icmp6("ff02::1", 1, &message)
        };
        scripts[0].inject(&query);
        world.advance(2 * SECOND);
        assert_eq!(reports(&frames(&scripts[0]), 2), 1);
        // Left with the socket.
        world.stacks[0].close(socket).unwrap();
        world.advance(5 * SECOND);
        assert_eq!(reports(&frames(&scripts[0]), 3), 2);
        let socket = world.stacks[0].udp_bind(address(any)).unwrap();
        assert_eq!(
            world.stacks[0].udp_join(socket, ip("10.0.0.2"), None),
            Err(Error::InvalidArgument)
        );
    }
}
