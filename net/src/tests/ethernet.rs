//! VLANs and raw frames.

use super::{MAC, address, fixed, frames, ready, scripted, wire};
use crate::{Error, InterfaceConfig};

#[test]
fn ieee8021q_tags_are_put_on_and_taken_off() {
    let (mut world, scripts, ids) = scripted(&[fixed(&["10.0.0.1/24"])]);
    let stack = &mut world.stacks[0];
    let vlan = stack.add_vlan(ids[0], 7, &fixed(&["10.0.7.1/24"])).unwrap();
    for id in [0, 7, 4095] {
        assert_eq!(
            stack.add_vlan(ids[0], id, &InterfaceConfig::default()),
            Err(Error::InvalidArgument)
        );
    }
    assert!(
        stack
            .add_vlan(vlan, 8, &InterfaceConfig::default())
            .is_err()
    );
    let socket = stack.udp_bind(address("0.0.0.0:9")).unwrap();
    let tagged = |id: u8, from: &str, to: &str| {
        let mut frame = wire::udp(address(from), address(to), MAC, b"hello");
        frame.splice(12..12, [0x81, 0, 0x60, id]);
        frame
    };
    world.run_now();
    frames(&scripts[0]);
    for frame in [
        tagged(7, "10.0.7.9:5", "10.0.7.1:9"),
        // A VLAN that doesn't exist here, and an address of the other interface.
        tagged(8, "10.0.7.9:5", "10.0.7.1:9"),
        tagged(7, "10.0.0.9:5", "10.0.0.1:9"),
        // Only a priority: no VLAN.
        tagged(0, "10.0.0.9:6", "10.0.0.1:9"),
    ] {
        scripts[0].inject(&frame);
    }
    world.run_now();
    let stack = &mut world.stacks[0];
    let mut senders = Vec::new();
    while let Some((_, from)) = ready(stack.udp_recv_from(socket, &mut [0; 9])) {
        senders.push(from);
    }
    assert_eq!(senders, [address("10.0.7.9:5"), address("10.0.0.9:6")]);
    stack.udp_send_to(socket, b"back", senders[0]).unwrap();
    world.run_now();
    let asked = frames(&scripts[0]).pop().unwrap();
    assert_eq!(asked[12..18], [0x81, 0, 0, 7, 8, 6]);
    let mut untagged = asked.clone();
    untagged.drain(12..16);
    let mut reply = wire::arp_reply(&untagged).unwrap();
    reply.splice(12..12, [0x81, 0, 0, 7]);
    scripts[0].inject(&reply);
    world.run_now();
    let sent = frames(&scripts[0]).pop().unwrap();
    assert_eq!(sent[12..18], [0x81, 0, 0, 7, 8, 0]);
    assert_eq!(sent[sent.len() - 4..], *b"back");
}

#[test]
fn raw_frames_of_a_type_go_both_ways() {
    let (mut world, scripts, ids) = scripted(&[fixed(&["10.0.0.1/24"])]);
    let stack = &mut world.stacks[0];
    for own in [0x0800, 0x86dd, 0x0806, 0x8100, 46] {
        assert_eq!(
            stack.ethernet_open(ids[0], own),
            Err(Error::InvalidArgument)
        );
    }
    let socket = stack.ethernet_open(ids[0], 0x88b5).unwrap();
    assert_eq!(
        stack.ethernet_open(ids[0], 0x88b5),
        Err(Error::AddressInUse)
    );
    stack.ethernet_send(socket, [0xff; 6], b"to all").unwrap();
    assert_eq!(
        stack.ethernet_send(socket, [0xff; 6], &[0; 1501]),
        Err(Error::MessageTooLong)
    );
    world.run_now();
    let sent = frames(&scripts[0])
        .into_iter()
        .find(|f| f[12..14] == [0x88, 0xb5])
        .unwrap();
    assert_eq!((&sent[6..12], &sent[14..]), (&MAC[..], &b"to all"[..]));
    let mut buffer = [0; 3];
    assert_eq!(
        world.stacks[0].ethernet_recv(socket, &mut buffer),
        Err(Error::WouldBlock)
    );
    let mut frame = MAC.to_vec();
    frame.extend(wire::SCRIPT);
    frame.extend([0x88, 0xb5, 1, 2, 3, 4]);
    for _ in 0..1000 {
        scripts[0].inject(&frame);
    }
    world.run_now();
    let mut events = Vec::new();
    world.stacks[0].take_events(&mut |handle| events.push(handle));
    assert_eq!(events, [socket]);
    let got = world.stacks[0].ethernet_recv(socket, &mut buffer).unwrap();
    assert_eq!((got, buffer), ((4, wire::SCRIPT, MAC), [1, 2, 3]));
    let mut count = 1;
    while world.stacks[0].ethernet_recv(socket, &mut buffer).is_ok() {
        count += 1;
    }
    assert_eq!(count, 256, "the queue is bounded");
    world.stacks[0].close(socket).unwrap();
    world.stacks[0].ethernet_open(ids[0], 0x88b5).unwrap();
}
