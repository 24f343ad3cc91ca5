//! The opening handshake.

use net::sim::packet::{ACK, FIN, RST, SYN, Tcp};
use net::{ConnectOptions, Error, TcpOptions};

use crate::support::{FAMILIES, Family, MS, SECOND, Talk, V4, V6, pattern};

/// RFC 9293, 3.7.1 (MUST-14, SHLD-5); RFC 7323, 1.3 and 3.2; RFC 2018, 2: the SYN-ACK has no option
/// that wasn't offered, and each one that was.
#[test]
fn options_are_answered_only_where_they_were_offered() {
    for (family, mss) in [(V4, 1460), (V6, 1440)] {
        let mut talk = Talk::new(family).listening();
        talk.send(&talk.syn());
        let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
        assert_eq!(answer.found_mss(), Some(mss));
        assert_eq!(answer.found_scale(), None);
        assert_eq!(answer.found_timestamps(), None);
        assert_eq!(answer.find(4), None);

        let mut talk = Talk::new(family).listening();
        talk.send(&talk.full_syn());
        let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
        assert_eq!(answer.found_mss(), Some(mss));
        assert!(answer.found_scale().is_some_and(|scale| scale <= 14));
        assert_eq!(answer.found_timestamps().map(|(_, echo)| echo), Some(5000));
        assert!(answer.find(4).is_some());
    }
}

/// RFC 7323, 2.2 and 3.2; RFC 2018, 2; RFC 9293, 3.7.1: all of them are offered.
#[test]
fn a_client_offers_all_options() {
    for (family, mss) in [(V4, 1460), (V6, 1440)] {
        let (_, syn) = Talk::connecting(family);
        assert_eq!(syn.found_mss(), Some(mss));
        assert!(syn.found_scale().is_some_and(|scale| scale <= 14));
        assert_eq!(syn.found_timestamps().map(|(_, echo)| echo), Some(0));
        assert!(syn.find(4).is_some());
        assert_eq!(syn.ack, 0);
    }
}

/// RFC 9293, 3.7.1 (MUST-15, MUST-16) and RFC 6691: the effective send MSS.
#[test]
fn segments_keep_to_the_mss_of_the_peer() {
    for (family, default) in [(V4, 536), (V6, 1220)] {
        for (mss, stamps, expected) in [
            (None, false, default),
            (Some(1000), false, 1000),
            (Some(1000), true, 988),
            (
                Some(65_000),
                false,
                if family.host == V4.host { 1460 } else { 1440 },
            ),
        ] {
            let talk = Talk::new(family).listening();
            let mut syn = talk.syn();
            if let Some(mss) = mss {
                syn = syn.mss(mss);
            }
            if stamps {
                syn = syn.timestamps(1, 0);
            }
            let mut talk = talk.accepted_with(syn);
            let handle = talk.handle();
            talk.stack().tcp_write(handle, &[1; 4000]).expect("room");
            let first = talk.expect(SECOND, |segment| !segment.payload.is_empty());
            assert_eq!(
                first.payload.len(),
                expected,
                "MSS {mss:?}, stamps {stamps}"
            );
        }
    }
}

/// RFC 9293, 3.7.1: an invalid MSS is harmless, both in time and in memory.
#[test]
fn a_tiny_mss_does_no_harm() {
    for mss in [0, 1, 8, 40] {
        let talk = Talk::new(V4).listening();
        let syn = talk.syn().mss(mss).timestamps(1, 0);
        let mut talk = talk.accepted_with(syn);
        let handle = talk.handle();
        let polls = talk.world.polls;
        talk.stack().tcp_write(handle, &[1; 2000]).expect("room");
        let mut received = 0;
        for _ in 0..3000 {
            received += talk
                .listen(MS)
                .iter()
                .map(|segment| segment.payload.len())
                .sum::<usize>();
            talk.acknowledge();
            if received >= 2000 {
                break;
            }
        }
        assert!(received >= 2000, "{received} bytes with an MSS of {mss}");
        assert!(talk.world.polls - polls < 40_000);
    }
}

/// RFC 9293, 3.2 (MUST-4 to MUST-7) and 3.1: options of any kind and wrong lengths cause no
/// failure, and are skipped if possible.
#[test]
fn unknown_and_broken_options_are_skipped() {
    let odd: [(&[u8], bool); 8] = [
        (&[253, 4, 1, 2, 2, 4, 5, 0], true),
        (&[1, 1, 1, 1, 1, 2, 4, 5, 0], true),
        (&[2, 4, 5, 0, 0, 99, 99, 99], true),
        (&[34, 2, 2, 4, 5, 0], true),
        (&[2, 3, 5, 2, 4, 5, 0, 0], false),
        (&[253, 0, 2, 4, 5, 0], false),
        (&[253, 1, 2, 4, 5, 0], false),
        (&[8, 40, 2, 4, 5, 0], false),
    ];
    for (options, readable) in odd {
        let mut talk = Talk::new(V4).listening();
        let syn = talk.syn().option(options);
        talk.send(&syn);
        let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
        assert_eq!(answer.ack, syn.end(), "{options:?}");
        talk.seq = syn.end();
        talk.acknowledge();
        let listener = talk.listener.expect("a listener");
        let handle = talk.stack().tcp_accept(listener).expect("a connection");
        talk.stack().tcp_write(handle, &[1; 4000]).expect("room");
        let first = talk.expect(SECOND, |segment| !segment.payload.is_empty());
        if readable {
            assert_eq!(first.payload.len(), 1280, "{options:?}");
        }
    }
}

/// RFC 7323, 2.3: a shift above 14 is read as 14.
#[test]
fn a_window_scale_above_14_is_14() {
    let talk = Talk::new(V4).listening();
    let syn = talk.syn().mss(1460).scale(15).window(8);
    let mut talk = talk.accepted_with(syn);
    let segment = talk.segment().window(1);
    talk.send(&segment);
    let handle = talk.handle();
    talk.stack().tcp_write(handle, &[1; 40_000]).expect("room");
    let mut received = 0;
    for segment in talk.listen(100 * MS) {
        received += segment.payload.len();
    }
    // The initial window allows ten segments, and 1 << 14 bytes are a little more than eleven.
    assert!((2000..=16_384).contains(&received), "{received}");
    talk.acknowledge();
    assert_eq!(talk.error(), None);
}

/// RFC 9293, 3.5, figure 7: both send a SYN at once.
#[test]
fn both_open_at_once() {
    for family in FAMILIES {
        let (mut talk, syn) = Talk::connecting(family);
        let own = talk.syn().mss(1440);
        talk.send(&own);
        talk.seq = own.end();
        let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
        assert_eq!((answer.seq, answer.ack), (syn.seq, own.end()));
        talk.ack = answer.end();
        // The peer's SYN-ACK repeats its SYN.
        let segment = own.clone().ack(answer.end());
        talk.send(&segment);
        talk.listen(50 * MS);
        talk.acknowledge();
        let handle = talk.handle();
        assert_eq!(
            talk.stack().tcp_connect_result(handle),
            Ok(()),
            "{family:?}"
        );
        talk.data(b"hello");
        assert_eq!(talk.read().0, b"hello");
    }
}

/// RFC 6298, 2.1, 5.5 and 5.7; RFC 9293, 3.8.3: the SYN is retransmitted after a second, then at
/// doubled intervals.
#[test]
fn an_unanswered_syn_is_sent_again_with_backoff() {
    let (mut talk, syn) = Talk::connecting(V4);
    let mut times = vec![talk.world.now_ns];
    for _ in 0..4 {
        let again = talk.expect(20 * SECOND, |segment| segment.has(SYN));
        assert_eq!((again.seq, again.flags & SYN), (syn.seq, SYN));
        times.push(talk.world.now_ns);
    }
    let pauses: Vec<_> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / (100 * MS))
        .collect();
    assert!((9..=12).contains(&pauses[0]), "{pauses:?} tenths");
    for pair in pauses.windows(2) {
        assert!((18..=22).contains(&(pair[1] * 10 / pair[0])), "{pauses:?}");
    }
}

/// RFC 9293, 3.8.3: so is the SYN-ACK; and a repeated SYN gets another one.
#[test]
fn a_syn_ack_is_sent_again() {
    let mut talk = Talk::new(V4).listening();
    let syn = talk.syn().mss(1460);
    talk.send(&syn);
    let first = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
    let second = talk.expect(4 * SECOND, |segment| segment.has(SYN | ACK));
    assert_eq!((first.seq, first.ack), (second.seq, second.ack));
    talk.send(&syn);
    let third = talk.expect(100 * MS, |segment| segment.ack == syn.end());
    assert!(third.seq == first.seq || third.seq == first.end());
}

/// RFC 9293, 3.5.1, figure 10, with RFC 5961, 4: a restarted peer gets a challenge, and its reset
/// then ends the old connection.
#[test]
fn a_restarted_peer_gets_rid_of_the_old_connection() {
    let mut talk = Talk::accepted(V4);
    let syn = talk.syn().seq(talk.seq.wrapping_add(77_777)).mss(1460);
    talk.send(&syn);
    let challenge = talk.expect(SECOND, |_| true);
    assert_eq!(challenge.flags, ACK);
    assert_eq!(challenge.ack, talk.seq);
    let reset = talk.segment().flags(RST).seq(challenge.ack);
    talk.send(&reset);
    assert_eq!(talk.error(), Some(Error::ConnectionReset));
    talk.send(&syn);
    talk.expect(SECOND, |segment| {
        segment.has(SYN | ACK) && segment.ack == syn.end()
    });
}

/// RFC 9293, 3.10.7.4: data and FIN in the segment that completes the handshake are processed.
#[test]
fn data_with_the_last_segment_of_the_handshake_is_delivered() {
    for family in FAMILIES {
        let mut talk = Talk::new(family).listening();
        let syn = talk.syn();
        talk.send(&syn);
        talk.expect(SECOND, |segment| segment.has(SYN | ACK));
        talk.seq = syn.end();
        let last = talk.segment().payload(b"all at once").flags(ACK | 1);
        talk.send(&last);
        let listener = talk.listener.expect("a listener");
        let handle = talk.stack().tcp_accept(listener).expect("a connection");
        talk.handle = Some(handle);
        assert_eq!(talk.read(), (b"all at once".to_vec(), true));
        talk.expect(SECOND, |segment| segment.ack == last.end());
    }
}

/// RFC 9293, 3.10.7.2 and 3.5: data in a SYN isn't lost; a peer that keeps it retransmits it.
#[test]
fn data_in_a_syn_is_delivered_once() {
    let mut talk = Talk::new(V4).listening();
    let syn = talk.syn().payload(b"early ");
    talk.send(&syn);
    let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
    let begin = syn.seq.wrapping_add(1);
    assert!(answer.ack == begin || answer.ack == syn.end());
    talk.seq = begin;
    let rest = talk.segment().payload(b"early and late");
    talk.send(&rest);
    let listener = talk.listener.expect("a listener");
    talk.handle = Some(talk.stack().tcp_accept(listener).expect("a connection"));
    assert_eq!(talk.read().0, b"early and late");
}

/// RFC 6528, 3: numbers of the same connection advance with the clock, those of others reveal
/// nothing.
#[test]
fn initial_sequence_numbers_are_by_the_clock_and_a_secret() {
    let mut talk = Talk::new(V4).listening();
    let mut number = |port: u16, wait_ns: u64| {
        talk.listen(wait_ns);
        talk.own.set_port(port);
        let syn = talk.syn().mss(1460);
        talk.send(&syn);
        let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
        let reset = syn.clone().flags(RST).seq(syn.end());
        talk.send(&reset);
        answer.seq
    };
    let same: Vec<_> = (0..10).map(|_| number(5000, SECOND)).collect();
    for pair in same.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]);
        // 4 µs per step, to 64 ns as in Linux.
        assert!((200_000..20_000_000).contains(&step), "{same:?}");
    }
    let others: Vec<_> = (0..64).map(|n| number(6000 + n, 0)).collect();
    let mut near = 0;
    for (n, one) in others.iter().enumerate() {
        for other in &others[..n] {
            near += usize::from(one.abs_diff(*other) < 1 << 20);
        }
    }
    // 2016 pairs, of which one is expected to be that close.
    assert!(near < 8, "{near} pairs of {others:?}");
}

/// RFC 9293, 3.9.2.3 (MUST-57) and RFC 1122, 4.2.3.10: TCP has no multicast and no broadcast.
#[test]
fn segments_from_or_to_many_are_ignored() {
    let mut talk = Talk::new(V4).listening();
    let everyone = [0xff; 6];
    let cases = [
        ("10.0.0.9", "10.0.0.255", everyone),
        ("10.0.0.9", "255.255.255.255", everyone),
        ("10.0.0.9", "224.0.0.1", [1, 0, 0x5e, 0, 0, 1]),
        ("10.0.0.255", "10.0.0.1", [2, 0, 0, 0, 0, 1]),
        ("224.0.0.1", "10.0.0.1", [2, 0, 0, 0, 0, 1]),
        ("255.255.255.255", "10.0.0.1", [2, 0, 0, 0, 0, 1]),
        ("127.0.0.1", "10.0.0.1", [2, 0, 0, 0, 0, 1]),
        ("0.0.0.0", "10.0.0.1", [2, 0, 0, 0, 0, 1]),
        ("fd00::9", "ff02::1", [0x33, 0x33, 0, 0, 0, 1]),
        ("ff02::1", "fd00::1", [2, 0, 0, 0, 0, 1]),
        ("::1", "fd00::1", [2, 0, 0, 0, 0, 1]),
        ("::", "fd00::1", [2, 0, 0, 0, 0, 1]),
    ];
    for (from, to, mac) in cases {
        for flags in [SYN, ACK] {
            let mut segment = talk.syn().flags(flags);
            segment.from.set_ip(from.parse().expect("an address"));
            segment.to.set_ip(to.parse().expect("an address"));
            let frame = segment.frame((talk.host.mac, mac));
            talk.host.send_frame(&mut talk.world, &frame);
        }
        let received = talk.host.listen(&mut talk.world, 2 * SECOND);
        assert!(received.is_empty(), "{from} to {to}: {received:?}");
    }
    // An Ethernet broadcast isn't for TCP either (RFC 1122, 3.3.6).
    let frame = talk.syn().frame((talk.host.mac, everyone));
    talk.host.send_frame(&mut talk.world, &frame);
    let received = talk.host.listen(&mut talk.world, 2 * SECOND);
    assert!(received.is_empty(), "{received:?}");
}

/// RFC 9293, 3.10.1: a SYN-ACK from elsewhere, or a late one, isn't for our SYN.
#[test]
fn a_refused_connect_says_so_and_a_stray_answer_does_not() {
    let (mut talk, syn) = Talk::connecting(V4);
    let mut stray = talk.segment().flags(SYN | ACK);
    stray.from.set_port(4001);
    talk.send(&stray);
    let handle = talk.handle();
    assert_eq!(
        talk.stack().tcp_connect_result(handle),
        Err(Error::WouldBlock)
    );
    let refusal = talk.segment().flags(RST).seq(0).ack(syn.end());
    talk.send(&refusal);
    assert_eq!(
        talk.stack().tcp_connect_result(handle),
        Err(Error::ConnectionRefused)
    );
}

/// Each option by itself, for a connection that begins here and for one that a listener
/// establishes: an option that isn't offered isn't accepted, and one that isn't negotiated isn't
/// used.
#[test]
fn options_can_be_switched_off() {
    let all = TcpOptions::default();
    let cases = [
        TcpOptions {
            timestamps: false,
            ..all
        },
        TcpOptions { sack: false, ..all },
        TcpOptions {
            window_scaling: false,
            ..all
        },
        TcpOptions { mss: 700, ..all },
        TcpOptions { mss: 1, ..all },
        TcpOptions { mss: 9000, ..all },
        all,
    ];
    let fits = |syn: &Tcp, options: &TcpOptions, family: Family| {
        let most = if family.stack.contains(':') {
            1440
        } else {
            1460
        };
        let mss = match options.mss {
            0 => most,
            mss => mss.clamp(88, most),
        };
        assert_eq!(syn.found_timestamps().is_some(), options.timestamps);
        assert_eq!(syn.find(4).is_some(), options.sack);
        assert_eq!(syn.found_scale().is_some(), options.window_scaling);
        assert_eq!(syn.find(2), Some(&mss.to_be_bytes()[..]));
        let stamps = if options.timestamps { 12 } else { 0 };
        usize::from(mss.min(1440)) - stamps
    };
    for family in FAMILIES {
        for options in cases {
            let mut talk = Talk::new(family);
            let begun = ConnectOptions {
                tcp: options,
                ..ConnectOptions::default()
            };
            let syn = talk.connect_with(&begun);
            fits(&syn, &options, family);
            let handle = talk.handle();
            let in_force = talk.stack().tcp_options(handle).expect("open");
            assert_eq!(in_force.timestamps, options.timestamps);

            let mut talk = Talk::new(family).listening();
            let listener = talk.listener.expect("a listener");
            talk.stack()
                .tcp_set_options(listener, &options)
                .expect("open");
            assert_eq!(talk.stack().tcp_options(listener), Ok(options));
            let syn = talk.full_syn();
            talk.send(&syn);
            let answer = talk.expect(SECOND, |segment| segment.has(SYN | ACK));
            let size = fits(&answer, &options, family);
            // The options in the SYN-ACK stay in force, whatever the listener's are by now.
            let other = TcpOptions {
                timestamps: !options.timestamps,
                sack: !options.sack,
                window_scaling: !options.window_scaling,
                ..options
            };
            talk.stack()
                .tcp_set_options(listener, &other)
                .expect("open");
            talk.seq = syn.end();
            talk.stamp = answer.found_timestamps().map(|(value, _)| (5000, value));
            talk.acknowledge();
            talk.handle = talk.stack().tcp_accept(listener).ok();
            let handle = talk.handle();
            let info = talk.stack().tcp_info(handle).expect("open");
            assert_eq!(
                (info.timestamps, info.sack),
                (options.timestamps, options.sack)
            );
            assert_eq!(info.scales.is_some(), options.window_scaling);
            talk.stack()
                .tcp_write(handle, &pattern(3000))
                .expect("room");
            let data = talk.expect(SECOND, |segment| !segment.payload.is_empty());
            assert_eq!(data.payload.len(), size);
            assert_eq!(data.found_timestamps().is_some(), options.timestamps);
            // Data out of order is reported, or not.
            for _ in 0..20 {
                talk.listen(100 * MS);
                talk.acknowledge();
            }
            let late = talk.segment().payload(b"late");
            let seq = talk.seq.wrapping_add(100);
            talk.send(&late.seq(seq));
            let answer = talk.expect(SECOND, |segment| segment.payload.is_empty());
            assert_eq!(answer.find(5).is_some(), options.sack);
        }
    }
}

/// Unfinished handshakes and TIME-WAIT records are listed.
#[test]
fn embryos_and_what_is_left_are_shown() {
    for family in FAMILIES {
        let mut talk = Talk::new(family).listening();
        let syn = talk.full_syn();
        talk.send(&syn);
        let shown = |talk: &mut Talk| {
            let (own, other) = (talk.own, talk.other);
            let mut found = Vec::new();
            talk.stack().sockets(&mut |info| {
                if info.local == other && info.remote == Some(own) {
                    found.push(info.state);
                }
            });
            found
        };
        assert_eq!(shown(&mut talk), ["SYN-RECEIVED"]);
        let mut talk = Talk::accepted(family);
        assert_eq!(shown(&mut talk), ["ESTABLISHED"]);
        let handle = talk.handle();
        talk.stack().close(handle).expect("open");
        talk.expect(SECOND, |segment| segment.has(FIN));
        talk.fin();
        talk.listen(SECOND);
        assert_eq!(shown(&mut talk), ["TIME-WAIT"]);
        talk.listen(62 * SECOND);
        assert!(shown(&mut talk).is_empty());
    }
}
