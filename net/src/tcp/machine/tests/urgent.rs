//! Urgent data (RFC 9293, 3.8.5).

use super::super::{Flags, Header};
use super::script::{Script, header, ours, setup};

/// An eighth of all sequence numbers.
const EIGHTH: u32 = 1 << 29;

fn urgent(seq: i64, pointer: u16) -> Header {
    Header {
        urgent: pointer,
        ..header(Flags::ACK | Flags::URG, seq, 1)
    }
}

/// The pointer counts down as bytes are read and counts pushed-back bytes again; earlier pointers
/// are ignored.
#[test]
fn the_pointer_is_counted_from_what_was_read() {
    let mut script = Script::established(&setup());
    assert_eq!(script.machine.urgent_left(0), 0);
    script.give(&urgent(1, 5), b"hello");
    assert!(script.machine.take_urgent_advance() && !script.machine.take_urgent_advance());
    assert_eq!(script.machine.urgent_left(0), 5);
    script.machine.consume(&mut script.memory, 3, script.now_ns);
    assert_eq!(script.machine.urgent_left(0), 2);
    assert_eq!(script.machine.urgent_left(3), 5);
    // A pointer to the reader's position, and one without its flag.
    script.give(&urgent(1, 3), b"");
    let mut plain = urgent(6, 9);
    plain.flags = Flags::ACK;
    script.give(&plain, b"");
    assert!(!script.machine.take_urgent_advance());
    assert_eq!(script.read(), b"lo");
    assert_eq!(
        (script.machine.urgent_left(0), script.machine.urgent_left(2)),
        (0, 2)
    );
    // An equal pointer is ignored as well; a later one isn't.
    script.give(&urgent(6, 0), b"");
    assert!(!script.machine.take_urgent_advance());
    script.give(&urgent(6, 1), b"");
    assert!(script.machine.take_urgent_advance());
    assert_eq!(script.machine.urgent_left(0), 1);
    // After the peer's FIN nothing is urgent.
    script.give(&header(Flags::FIN | Flags::ACK, 6, 1), b"");
    script.give(&urgent(7, 50), b"");
    assert!(!script.machine.take_urgent_advance());
}

/// Half of all sequence numbers after a pointer it would lie ahead again: those of both directions
/// are discarded before.
#[test]
fn a_pointer_that_was_passed_stays_passed() {
    let mut script = Script::established(&setup());
    script.give(&urgent(1, 5), b"hello");
    script.machine.take_urgent_advance();
    script.read();
    script.write(b"bye");
    script.machine.send_urgent(0);
    let out = script.out();
    assert_eq!((out[0].0.flags.has(Flags::URG), out[0].0.urgent), (true, 3));
    script.give(&header(Flags::ACK, 6, 4), b"");
    assert_eq!(script.machine.urgent.snd_up, None);
    for _ in 0..8 {
        // Advances the sequence numbers as if the bytes had been received, read, sent and
        // acknowledged.
        let machine = &mut script.machine;
        machine.rcv_nxt += EIGHTH;
        machine.consume(&mut script.memory, 0, script.now_ns);
        assert_eq!(machine.urgent_left(0), 0);
        machine.snd_una += EIGHTH;
        assert_eq!(machine.urgent.snd_up, None);
    }
    // All numbers were used once: the next pointer is new.
    script.give(&urgent(6, 0), b"");
    script.give(&urgent(6, 2), b"");
    assert!(script.machine.take_urgent_advance());
    assert_eq!(script.machine.urgent_left(0), 2);
}

/// RFC 9293, 3.8.5, MUST-30: each segment has the distance to the end of the urgent bytes, as far
/// as 16 bits reach, until it is acknowledged. Data written later isn't urgent.
#[test]
fn segments_point_at_the_end_of_what_was_urgent() {
    let mut script = Script::established(&setup());
    // Nothing was written: nothing is urgent.
    script.machine.send_urgent(0);
    assert!(script.out().is_empty());
    let mut window = header(Flags::ACK, 1, 1);
    window.window = 3000;
    script.give(&window, b"");
    assert_eq!(script.write(&[7; 4000]), 4000);
    script.machine.send_urgent(0);
    script.write(&[8; 1000]);
    let pointers = |script: &mut Script| -> Vec<(u32, bool, u32)> {
        let out = script.out();
        out.iter()
            .map(|(header, _)| {
                let end = header.seq + u32::from(header.urgent);
                (ours(header.seq), header.flags.has(Flags::URG), ours(end))
            })
            .collect()
    };
    assert_eq!(pointers(&mut script), [(1, true, 4001), (1461, true, 4001)]);
    let mut more = header(Flags::ACK, 1, 2921);
    more.window = 60_000;
    script.receive(&more, b"");
    // The segment that begins after the end isn't marked.
    assert_eq!(
        pointers(&mut script),
        [(2921, true, 4001), (4381, false, 4381)]
    );
    script.give(&header(Flags::ACK, 1, 4001), b"");
    script.write(b"more");
    assert!(pointers(&mut script).iter().all(|(_, urgent, _)| !urgent));
    // Further ahead than a pointer reaches.
    let mut far = Script::established(&setup());
    far.machine.set_send_max(100_000);
    assert_eq!(far.write(&[1; 90_000]), 90_000);
    far.machine.send_urgent(0);
    let first = &far.out()[0].0;
    assert_eq!((ours(first.seq), first.urgent), (1, 0xffff));
}

/// A pointer that precedes its bytes is with each segment of them, also with one that is sent
/// before the last bytes are written. It doesn't move back.
#[test]
fn the_pointer_precedes_its_bytes() {
    let mut script = Script::established(&setup());
    script.machine.send_urgent(9);
    let pointer = |script: &mut Script| -> Vec<(usize, bool, u16)> {
        let out = script.out();
        out.iter()
            .map(|(header, data)| (data.len(), header.flags.has(Flags::URG), header.urgent))
            .collect()
    };
    assert_eq!(pointer(&mut script), [(0, true, 9)]);
    script.write(b"stop");
    assert_eq!(pointer(&mut script), [(4, true, 9)]);
    script.give(&header(Flags::ACK, 1, 5), b"");
    script.machine.send_urgent(2);
    assert_eq!(pointer(&mut script), [(0, true, 5)]);
    script.write(b" now!");
    assert_eq!(pointer(&mut script), [(5, true, 5)]);
    script.give(&header(Flags::ACK, 1, 10), b"");
    script.write(b"more");
    assert_eq!(pointer(&mut script), [(4, false, 0)]);
    // After the end nothing more comes.
    script.give(&header(Flags::ACK, 1, 14), b"");
    script.machine.shutdown_send();
    script.machine.send_urgent(u32::MAX);
    assert!(pointer(&mut script).iter().all(|(_, urgent, _)| !urgent));
}

/// A pointer into unread bytes is reported, even with a closed window.
#[test]
fn a_pointer_is_sent_even_to_a_closed_window() {
    let mut script = Script::established(&setup());
    script.give(&header(Flags::ACK, 1, 1), b"12345");
    script.give(&urgent(6, 2), b"67");
    assert!(script.machine.take_urgent_advance());
    assert_eq!(script.machine.urgent_left(0), 7);
    let mut closed = header(Flags::ACK, 8, 1);
    closed.window = 0;
    script.give(&closed, b"");
    script.write(b"now");
    assert!(script.out().is_empty());
    script.machine.send_urgent(0);
    let out = script.out();
    assert_eq!((out.len(), out[0].1.len(), out[0].0.urgent), (1, 0, 3));
    assert!(out[0].0.flags.has(Flags::URG));
}
