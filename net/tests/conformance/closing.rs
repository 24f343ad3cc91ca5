//! Closing: FIN, RST, TIME-WAIT.

use net::Error;
use net::sim::packet::{ACK, FIN, PSH, RST, SYN, Tcp};

use crate::support::{FAMILIES, MS, SECOND, Talk, V4};

fn close(talk: &mut Talk) {
    let handle = talk.handle();
    talk.stack().close(handle).expect("an open handle");
}

/// A connection that the stack closed first, now in TIME-WAIT; returns the host's FIN.
fn time_wait(mut talk: Talk) -> (Talk, Tcp) {
    close(&mut talk);
    talk.expect(SECOND, |segment| segment.has(FIN));
    let fin = talk.segment().flags(FIN | ACK);
    talk.send(&fin);
    talk.seq = fin.end();
    talk.expect(SECOND, |segment| segment.ack == fin.end());
    (talk, fin)
}

/// RFC 9293, 3.10.7.4, eighth: data received before the FIN, or with it, is read before the end.
#[test]
fn bytes_before_a_fin_are_delivered() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        talk.data(b"before ");
        let last = talk.segment().payload(b"with").flags(FIN | PSH | ACK);
        talk.send(&last);
        talk.world.advance(SECOND);
        assert_eq!(talk.read(), (b"before with".to_vec(), true));
        assert_eq!(talk.read(), (Vec::new(), true));
    }
}

/// The same if the FIN overtakes the data, which arrives in pieces and twice.
#[test]
fn bytes_overtaken_by_a_fin_are_delivered() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let base = talk.segment();
        let at = |offset: u32, text: &[u8], flags: u8| {
            let seq = base.seq.wrapping_add(offset);
            base.clone().seq(seq).payload(text).flags(flags | ACK)
        };
        talk.send(&at(10, b"kl", FIN));
        assert_eq!(talk.read(), (Vec::new(), false));
        talk.send(&at(4, b"efgh", 0));
        talk.send(&at(6, b"ghij", PSH));
        talk.send(&at(0, b"abcdef", 0));
        assert_eq!(talk.read(), (b"abcdefghijkl".to_vec(), true));
        let received = talk.listen(SECOND);
        let ack = received.last().map(|segment| segment.ack);
        assert_eq!(ack, Some(base.seq.wrapping_add(13)));
    }
}

/// RFC 9293, 3.10.7.4, second: data received before an RST is read before the error.
#[test]
fn bytes_before_a_reset_are_delivered() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        talk.data(&[9; 1000]);
        talk.data(&[9; 500]);
        let reset = talk.segment().flags(RST);
        talk.send(&reset);
        talk.world.advance(SECOND);
        assert_eq!(talk.read().0, [9; 1500]);
        let handle = talk.handle();
        assert_eq!(
            talk.stack().tcp_read(handle, &mut [0; 8]),
            Err(Error::ConnectionReset)
        );
    }
}

/// RFC 9293, 3.6: one half closed, the other one continues, for any time.
#[test]
fn a_half_closed_connection_still_receives() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        talk.stack().tcp_write(handle, b"request").expect("room");
        talk.stack().tcp_shutdown(handle).expect("open");
        talk.expect(SECOND, |segment| segment.has(FIN));
        talk.acknowledge();
        for _ in 0..10 {
            talk.listen(300 * SECOND);
            talk.data(b"answer ");
        }
        talk.fin();
        assert_eq!(talk.read(), (b"answer ".repeat(10), true));
        assert_eq!(talk.stack().tcp_write(handle, b"x"), Err(Error::BrokenPipe));
    }
}

/// RFC 9293, 3.6, case 3 and figure 13: both close at once, and both wait.
#[test]
fn both_close_at_once() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        close(&mut talk);
        let theirs = talk.expect(SECOND, |segment| segment.has(FIN));
        let fin = talk.segment().flags(FIN).ack(theirs.seq);
        talk.send(&fin);
        let answer = talk.expect(SECOND, |segment| segment.ack == fin.end());
        assert!(answer.has(ACK) && !answer.has(RST));
        talk.seq = fin.end();
        talk.acknowledge();
        assert!(talk.listen(10 * SECOND).is_empty());
        // TIME-WAIT: a repeated FIN is acknowledged again.
        talk.send(&fin);
        let again = talk.expect(SECOND, |_| true);
        assert_eq!((again.flags, again.ack), (ACK, fin.end()));
        assert_eq!(talk.stack().tcp_memory_used(), 0);
    }
}

/// RFC 9293, 3.4.2 and 3.6.1 (MUST-13): TIME-WAIT lasts two maximum segment lifetimes, acknowledges
/// late segments, and restarts with each FIN.
#[test]
fn time_wait_answers_and_ends() {
    for family in FAMILIES {
        let (mut talk, fin) = time_wait(Talk::accepted(family));
        talk.listen(50 * SECOND);
        talk.send(&fin);
        assert_eq!(talk.expect(SECOND, |_| true).flags, ACK);
        talk.listen(50 * SECOND);
        talk.send(&fin);
        assert_eq!(talk.expect(SECOND, |_| true).flags, ACK);
        talk.listen(62 * SECOND);
        talk.send(&fin);
        assert_eq!(talk.expect(SECOND, |_| true).flags & RST, RST);
    }
}

/// RFC 1337, 3: a reset doesn't end TIME-WAIT.
#[test]
fn a_reset_does_not_assassinate_time_wait() {
    let (mut talk, fin) = time_wait(Talk::accepted(V4));
    let reset = talk.segment().flags(RST);
    talk.send(&reset);
    talk.listen(SECOND);
    talk.send(&fin);
    let answer = talk.expect(SECOND, |_| true);
    assert_eq!((answer.flags, answer.ack), (ACK, fin.end()));
}

/// RFC 6191, 2: a SYN with a newer timestamp opens a new connection, with any number; one with an
/// older timestamp doesn't.
#[test]
fn a_newer_timestamp_reopens_in_time_wait() {
    for family in FAMILIES {
        for (stamp, offset, opens) in [
            (5002u32, 1000u32, true),
            (5002, 0u32.wrapping_sub(100_000), true),
            (4000, 0u32.wrapping_sub(100_000), false),
        ] {
            let mut talk = Talk::accepted_full(family);
            talk.stamp = talk.stamp.map(|(_, echo)| (5001, echo));
            let (mut talk, _) = time_wait(talk);
            talk.listen(SECOND);
            let syn = talk
                .syn()
                .seq(talk.seq.wrapping_add(offset))
                .mss(1440)
                .timestamps(stamp, 0);
            let old = talk.ack;
            talk.send(&syn);
            let answer = talk.expect(SECOND, |_| true);
            if opens {
                assert_eq!(
                    answer.flags & (SYN | ACK | RST),
                    SYN | ACK,
                    "{stamp}, {offset}"
                );
                assert_eq!(answer.ack, syn.end());
                // RFC 9293, 3.6.1: beyond what the old incarnation used.
                assert!(answer.seq.wrapping_sub(old) < 1 << 31);
            } else {
                assert_eq!(answer.flags, ACK, "{stamp}, {offset}");
            }
        }
    }
}

/// RFC 1122, 4.2.2.13: without timestamps, a higher number opens a new connection.
#[test]
fn a_higher_number_reopens_in_time_wait() {
    let (mut talk, _) = time_wait(Talk::accepted(V4));
    let syn = talk.syn().seq(talk.seq.wrapping_add(100_000)).mss(1440);
    talk.send(&syn);
    talk.expect(SECOND, |segment| {
        segment.has(SYN | ACK) && segment.ack == syn.end()
    });
}

/// RFC 1122, 4.2.2.13, and RFC 2525, 2.17: a close with unread bytes, or bytes after the close,
/// cause a reset, so that the peer doesn't assume that they were read.
#[test]
fn unread_data_is_answered_by_a_reset() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        talk.data(b"unread");
        close(&mut talk);
        talk.expect(SECOND, |segment| segment.has(RST));

        let mut talk = Talk::accepted(family);
        close(&mut talk);
        talk.expect(SECOND, |segment| segment.has(FIN));
        talk.data(b"too late");
        talk.expect(SECOND, |segment| segment.has(RST));
    }
}

/// RFC 9293, 3.10.4: close in SYN-SENT deletes the connection, and sends nothing.
#[test]
fn close_in_syn_sent_is_silent() {
    let (mut talk, syn) = Talk::connecting(V4);
    close(&mut talk);
    assert!(talk.listen(30 * SECOND).is_empty());
    // Late segments find no connection.
    let late = talk.segment().flags(SYN).ack(syn.end());
    talk.send(&late);
    let reset = talk.expect(SECOND, |_| true);
    assert_eq!((reset.flags, reset.seq), (RST, syn.end()));
}

/// RFC 9293, 3.10.5: abort sends a reset that the peer accepts.
#[test]
fn abort_sends_a_reset() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        talk.stack().tcp_write(handle, &[1; 100]).expect("room");
        talk.receive();
        talk.stack().abort(handle).expect("a handle");
        let reset = talk.expect(SECOND, |segment| segment.has(RST));
        assert_eq!(reset.seq, talk.ack);
        assert_eq!(talk.stack().tcp_memory_used(), 0);
    }
}

/// RFC 9293, 3.10.4: written data is delivered after the close, despite losses.
#[test]
fn close_delivers_what_was_written() {
    for family in FAMILIES {
        let mut talk = Talk::accepted(family);
        let handle = talk.handle();
        talk.stack().tcp_write(handle, &[5; 3000]).expect("room");
        close(&mut talk);
        // At first everything is lost.
        let begin = talk.ack;
        talk.receive();
        talk.ack = begin;
        let mut got = 0;
        let end = loop {
            let segment = talk.expect(30 * SECOND, |segment| {
                segment.seq == begin.wrapping_add(got)
            });
            got += segment.payload.len() as u32;
            talk.ack = begin.wrapping_add(got);
            if segment.has(FIN) {
                break segment;
            }
            talk.acknowledge();
        };
        assert_eq!(end.end(), begin.wrapping_add(3001));
    }
}

/// RFC 9293, 3.8.3 and 3.10.7.4: the FIN is retransmitted until it is acknowledged.
#[test]
fn a_fin_is_sent_again() {
    let mut talk = Talk::accepted(V4);
    close(&mut talk);
    let first = talk.expect(SECOND, |segment| segment.has(FIN));
    for _ in 0..3 {
        let again = talk.expect(10 * SECOND, |segment| segment.has(FIN));
        assert_eq!(again.seq, first.seq);
    }
}

/// A peer that never closes, or has disappeared, holds nothing forever: FIN-WAIT-2, FIN-WAIT-1 and
/// LAST-ACK end after the linger time.
#[test]
fn closed_connections_do_not_linger_for_ever() {
    for kind in 0..3 {
        let mut talk = Talk::accepted(V4);
        if kind == 2 {
            talk.fin();
            assert!(talk.read().1);
        }
        close(&mut talk);
        talk.expect(SECOND, |segment| segment.has(FIN));
        if kind == 0 {
            talk.acknowledge();
        }
        talk.listen(200 * SECOND);
        assert_eq!(talk.stack().tcp_memory_used(), 0);
        talk.listen(200 * SECOND);
        let late = talk.segment().flags(FIN | ACK);
        talk.send(&late);
        let answer = talk.expect(SECOND, |_| true);
        assert!(answer.has(RST), "kind {kind}: {answer:?}");
    }
}

/// A second client is accepted, and a third one, whatever happened to earlier ones.
#[test]
fn the_next_client_is_always_accepted() {
    let mut talk = Talk::new(V4).listening();
    for port in 5000..5040 {
        talk.own.set_port(port);
        talk.seq = 1_000_000;
        let syn = talk.syn().mss(1440);
        talk = talk.accepted_with(syn);
        match port % 4 {
            0 => close(&mut talk),
            1 => {
                let reset = talk.segment().flags(RST);
                talk.send(&reset);
            }
            2 => talk.fin(),
            _ => {}
        }
        talk.listen(10 * MS);
    }
}

/// RFC 5961, 4.2: in TIME-WAIT, a SYN without a listener is challenged, with any number, and so is
/// a SYN with a FIN; neither ends TIME-WAIT.
#[test]
fn a_syn_without_a_listener_is_challenged_in_time_wait() {
    for family in FAMILIES {
        for (flags, listening) in [(SYN, false), (SYN | FIN, true), (SYN | FIN, false)] {
            let (mut talk, fin) = time_wait(Talk::accepted(family));
            if let Some(listener) = talk.listener.filter(|_| !listening) {
                talk.stack().close(listener).expect("an open handle");
            }
            for offset in [1000, 0, 0u32.wrapping_sub(1000)] {
                let syn = talk.syn().seq(talk.seq.wrapping_add(offset)).flags(flags);
                talk.send(&syn);
                let answer = talk.expect(SECOND, |_| true);
                assert_eq!((answer.flags, answer.ack), (ACK, fin.end()), "{flags}");
            }
        }
    }
}

/// RFC 9293, 3.10.7.4, first and fifth: an acknowledgement of unsent data, in the window, is
/// acknowledged, as by Linux and FreeBSD; a FIN without ACK is not, and doesn't extend TIME-WAIT.
/// The end of the window is advertised scaled.
#[test]
fn time_wait_answers_by_number_and_by_ack() {
    for family in FAMILIES {
        let (mut talk, fin) = time_wait(Talk::accepted_full(family));
        let ahead = talk.segment().seq(talk.seq.wrapping_add(2000));
        talk.send(&ahead);
        let answer = talk.expect(SECOND, |_| true);
        assert_eq!((answer.flags, answer.ack), (ACK, fin.end()));
        let bare = fin.clone().seq(talk.seq.wrapping_add(60_000)).flags(FIN);
        talk.listen(50 * SECOND);
        talk.send(&bare);
        assert!(talk.receive().is_empty(), "it lies in the window");
        talk.listen(12 * SECOND);
        talk.send(&fin);
        assert_eq!(talk.expect(SECOND, |_| true).flags & RST, RST, "it is over");
    }
}

/// A reset in LAST-ACK is reported to the program, as in Linux (RFC 9293, 3.10.7.4 leaves it out);
/// that all was received before stays true.
#[test]
fn a_reset_instead_of_the_last_acknowledgement_is_reported() {
    for family in FAMILIES {
        for missing in [false, true] {
            let mut talk = Talk::accepted(family);
            let handle = talk.handle();
            talk.data(b"all");
            talk.fin();
            talk.stack().tcp_write(handle, b"answer").expect("room");
            talk.expect(SECOND, |segment| segment.payload == b"answer");
            if !missing {
                talk.acknowledge();
            }
            talk.stack().tcp_shutdown(handle).expect("open");
            talk.expect(SECOND, |segment| segment.has(FIN));
            let reset = talk.segment().flags(RST);
            talk.send(&reset);
            assert_eq!(talk.error(), Some(Error::ConnectionReset));
            let mut buffer = [0; 8];
            assert_eq!(talk.stack().tcp_read(handle, &mut buffer), Ok(3));
            for _ in 0..2 {
                let end = talk.stack().tcp_read(handle, &mut buffer);
                let expected = match missing {
                    true => Err(Error::ConnectionReset),
                    false => Ok(0),
                };
                assert_eq!(end, expected);
            }
        }
    }
}
