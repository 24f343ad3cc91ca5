//! Segments that the stack sends, and those that it accepts.

use std::net::SocketAddr;

use net::Error;
use net::sim::packet::{ACK, FIN, PSH, RST, SYN, Tcp};

use crate::support::{FAMILIES, MS, SECOND, Talk, V4, address, pattern, with_ip_options};

/// RFC 9293, 3.7.1 (MUST-65) and 3.1 (MUST-69): the MSS is in SYNs only, padding is zero; and each
/// segment of an established connection acknowledges.
#[test]
fn later_segments_carry_no_mss() {
    for family in FAMILIES {
        let mut talk = Talk::accepted_full(family);
        let handle = talk.handle();
        talk.stack()
            .tcp_write(handle, &pattern(5000))
            .expect("room");
        talk.data(&[1; 100]);
        talk.stack().tcp_shutdown(handle).expect("open");
        let received = talk.listen(SECOND);
        assert!(received.len() >= 4);
        for segment in received {
            assert_eq!((segment.found_mss(), segment.found_scale()), (None, None));
            assert!(segment.has(ACK));
            let end = segment.options.iter().position(|byte| *byte == 0);
            if let Some(end) = end.filter(|_| segment.found_timestamps().is_none()) {
                assert!(segment.options[end..].iter().all(|byte| *byte == 0));
            }
        }
    }
}

/// RFC 9293, 3.9.1.2 (MUST-60, MUST-61, SHLD-27, SHLD-28): written data is sent without a push
/// call, in segments as large as possible, and the last one has PSH.
#[test]
fn the_last_segment_is_pushed() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        talk.stack()
            .tcp_write(handle, &pattern(2500))
            .expect("room");
        let received = talk.listen(100 * MS);
        let lengths: Vec<_> = received
            .iter()
            .map(|segment| segment.payload.len())
            .collect();
        assert_eq!(lengths, [1440, 1060]);
        assert!(received[1].has(PSH));
    }
}

/// RFC 9293, 3.5.3 (SHLD-2): a reset may carry data, which is ignored.
#[test]
fn a_reset_with_data_is_a_reset() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let reset = talk.segment().flags(RST | ACK).payload(b"because");
        talk.send(&reset);
        assert_eq!(talk.error(), Some(Error::ConnectionReset));
        assert_eq!(talk.read().0, b"");
    }
}

/// RFC 9293, 3.10.7.4 (MUST-66) and 3.8.6.1: with a window of zero a reset, an acknowledgement and
/// a FIN's number are still processed.
#[test]
fn a_closed_window_accepts_resets_and_acknowledgements() {
    let mut talk = Talk::accepted(V4);
    let handle = talk.handle();
    let mut sent = 0;
    talk.listen(50 * MS);
    let mut window = 1000;
    while window > 0 {
        let len = window.min(1400) as usize;
        talk.data(&pattern(len));
        sent += len;
        talk.listen(300 * MS);
        window = talk.window;
        assert!(sent < 4 << 20);
    }
    talk.stack()
        .tcp_write(handle, b"acknowledge me")
        .expect("room");
    talk.expect(SECOND, |segment| segment.payload == b"acknowledge me");
    talk.acknowledge();
    assert!(talk.listen(5 * SECOND).is_empty(), "it was acknowledged");
    // A window probe that announces urgent data.
    let mut urgent = talk.segment().payload(b"x").flags(ACK | 0x20);
    urgent.urgent = 500;
    talk.send(&urgent);
    assert_eq!(talk.stack().tcp_urgent(handle), Ok(sent + 500));
    // RFC 5961, 3.2: a reset at any but the only remaining number is dropped, with its data.
    talk.listen(SECOND);
    for (offset, data) in [(1, &b"x"[..]), (1, b""), (u32::MAX, b"xy"), (100, b"x")] {
        let reset = talk.segment().payload(data).flags(RST | ACK);
        let seq = talk.seq.wrapping_add(offset);
        talk.send(&reset.seq(seq));
        assert_eq!((talk.error(), talk.receive().len()), (None, 0), "{offset}");
    }
    // At that number it is processed, with data or without.
    let reset = talk.segment().payload(b"x").flags(RST);
    talk.send(&reset);
    assert_eq!(talk.error(), Some(Error::ConnectionReset));
    assert_eq!(talk.read().0.len(), sent);
}

/// RFC 9293, 3.1 (MUST-2, MUST-3): a wrong checksum, a header beyond the segment, one below the
/// minimum length: silently dropped.
#[test]
fn broken_segments_are_dropped() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let good = talk.segment().payload(b"wrong").frame(talk.host.macs());
        let start = good.len() - 25;
        let mut broken = Vec::new();
        for (at, value) in [(16, good[start + 16] ^ 1), (24, b'!'), (0, 1)] {
            let mut frame = good.clone();
            frame[start + at] = value;
            broken.push(frame);
        }
        for offset in [0u8, 4, 7, 15] {
            let mut frame = good.clone();
            // The checksum is corrected.
            let old = frame[start + 12];
            frame[start + 12] = offset << 4;
            let old = u16::from_be_bytes([old, frame[start + 13]]);
            let new = u16::from_be_bytes([frame[start + 12], frame[start + 13]]);
            let sum = u16::from_be_bytes([frame[start + 16], frame[start + 17]]);
            let sum = u32::from(!sum) + u32::from(!old) + u32::from(new);
            let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
            frame[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
            broken.push(frame);
        }
        broken.push(good[..good.len() - 1].to_vec());
        for frame in broken {
            talk.host.send_frame(&mut talk.world, &frame);
            assert!(talk.listen(SECOND).is_empty());
        }
        assert_eq!(talk.read().0, b"");
        talk.data(b"right");
        assert_eq!(talk.read().0, b"right");
    }
}

/// RFC 9293, 3.9.1.1 (MUST-42, MUST-43, MUST-41): one port can be listened to at several addresses,
/// each with its own clients, while connections from that port exist.
#[test]
fn a_port_may_listen_at_several_addresses() {
    let mut talk = Talk::new(V4);
    let four = talk
        .stack()
        .tcp_listen(address("10.0.0.1:80"), 4)
        .expect("free");
    let six = talk
        .stack()
        .tcp_listen(address("[fd00::1]:80"), 4)
        .expect("free");
    talk.listener = Some(four);
    let syn = talk.syn().mss(1440);
    let mut talk = talk.accepted_with(syn);
    assert_eq!(talk.stack().tcp_accept(six), Err(Error::WouldBlock));
    // Another listener comes and goes: the connection remains.
    let other = talk
        .stack()
        .tcp_listen(address("10.0.0.1:81"), 4)
        .expect("free");
    talk.stack().close(other).expect("a handle");
    talk.stack().close(four).expect("a handle");
    talk.data(b"still here");
    assert_eq!(talk.read().0, b"still here");
}

/// RFC 9293, 3.9.1.1 (MUST-46) and 3.9.2 (MUST-44, MUST-45): a remote address is unicast; the
/// source address is of the same family and doesn't change.
#[test]
fn connects_go_to_one_host_from_one_address() {
    let mut talk = Talk::new(V4);
    for remote in [
        "224.0.0.1:80",
        "255.255.255.255:80",
        "0.0.0.0:80",
        "[ff02::1]:80",
        "[::]:80",
        "10.0.0.9:0",
    ] {
        let result = talk.stack().tcp_connect(address(remote), None);
        assert!(result.is_err(), "{remote}");
    }
    for family in FAMILIES {
        let mut talk = Talk::new(family);
        talk.connect();
        assert_eq!(talk.other.ip(), family.stack(0).ip());
        // A specified address and port.
        let mut talk = Talk::new(family);
        let (own, to) = (family.stack(5555), family.host(4000));
        talk.stack().tcp_connect(to, Some(own)).expect("a route");
        let syn = talk
            .host
            .expect_tcp(&mut talk.world, SECOND, |segment| segment.has(SYN));
        assert_eq!(syn.from, own);
        let nobody: SocketAddr = address("192.0.2.77:1");
        assert_eq!(
            talk.stack().tcp_connect(V4.host(4001), Some(nobody)),
            Err(Error::AddressNotAvailable)
        );
    }
}

/// RFC 5961, 5.2 and RFC 9293, 3.10.7.4: partly old text is trimmed, data beyond the window isn't
/// accepted, and a FIN after it is ignored.
#[test]
fn segments_are_cut_to_the_window() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        talk.data(b"0123456789");
        let seq = talk.seq;
        let overlap = talk
            .segment()
            .seq(seq.wrapping_sub(5))
            .payload(b"56789abcde");
        talk.send(&overlap);
        assert_eq!(talk.read().0, b"0123456789abcde");
        talk.seq = seq.wrapping_add(5);
        talk.listen(SECOND);
        // It reaches far beyond the window, and ends with a FIN.
        let window = talk.window;
        let near = talk.seq.wrapping_add(window).wrapping_sub(50);
        let beyond = talk
            .segment()
            .seq(near)
            .payload(&[7; 1000])
            .flags(FIN | ACK);
        talk.send(&beyond);
        talk.listen(SECOND);
        let (_, ended) = talk.read();
        assert!(!ended);
        assert_eq!(talk.error(), None);
        talk.data(b"fine");
        assert_eq!(talk.read().0, b"fine");
    }
}

/// RFC 9293, 3.4: numbers wrap during a transfer, in both directions.
#[test]
fn numbers_wrap_round() {
    for family in FAMILIES {
        let mut talk = Talk::new(family).listening();
        talk.seq = u32::MAX - 3000;
        let syn = talk.full_syn();
        let mut talk = talk.accepted_with(syn);
        for n in 0..20u8 {
            talk.data(&[n; 700]);
            assert_eq!(talk.read().0, [n; 700]);
        }
        talk.fin();
        assert!(talk.read().1);
    }
}

/// RFC 9293, 3.1 and RFC 9768: reserved bits and unknown combinations are no reason to drop.
#[test]
fn reserved_bits_are_ignored() {
    let mut talk = Talk::accepted(V4);
    let odd = Tcp {
        urgent: 9,
        ..talk.segment().payload(b"odd").flags(ACK | PSH | 0xc0)
    };
    let mut frame = odd.frame(talk.host.macs());
    let start = frame.len() - 23;
    frame[start + 12] |= 0x0e;
    let sum = u16::from_be_bytes([frame[start + 16], frame[start + 17]]);
    let sum = u32::from(!sum) + 0x0e00;
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    frame[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
    talk.host.send_frame(&mut talk.world, &frame);
    assert_eq!(talk.read().0, b"odd");
}

/// RFC 9293, 3.9.2 (MUST-50): IP options that TCP doesn't use are no reason to drop.
#[test]
fn options_of_ip_are_passed_over() {
    for family in FAMILIES {
        let mut talk = Talk::new(family).listening();
        let syn = talk.syn();
        let frame = with_ip_options(syn.frame(talk.host.macs()));
        talk.host.send_frame(&mut talk.world, &frame);
        talk.expect(SECOND, |segment| segment.has(SYN | ACK));
        talk.seq = syn.end();
        talk.acknowledge();
        let listener = talk.listener.expect("a listener");
        talk.handle = Some(talk.stack().tcp_accept(listener).expect("established"));
        let data = talk.segment().payload(b"beside them");
        let frame = with_ip_options(data.frame(talk.host.macs()));
        talk.host.send_frame(&mut talk.world, &frame);
        talk.seq = data.end();
        assert_eq!(talk.read().0, b"beside them");
    }
}
