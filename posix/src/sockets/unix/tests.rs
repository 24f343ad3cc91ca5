//! Unix-domain sockets on the host.

use super::{Name, Unix};
use crate::blocking::operation::now;
use crate::errors::{Errno, Result};
use crate::file::Description;
use crate::process;
use crate::sockets::{Received, Rights, Socket, SocketFile};
use crate::table::MAX_OPEN;
use crate::tests::begin;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use libc::{MSG_DONTWAIT, MSG_PEEK, SHUT_RD, SHUT_WR, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};
use std::vec::Vec;
use std::{thread, vec};

fn abstract_name(text: &str) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_le_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn read(socket: &dyn Socket, len: usize, flags: i32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let Received { len, .. } = socket.receive(&mut bytes, flags, None)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// What an entry of epoll compares.
fn changes(socket: &Unix) -> u64 {
    now(|rt| Ok::<_, Errno>(socket.changes(rt))).expect("the runtime")
}

#[test]
fn a_stream_takes_no_notice_of_bounds() {
    let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
    assert_eq!(a.send(b"one", None, 0), Ok(3));
    assert_eq!(a.send(b"two", None, 0), Ok(3));
    assert_eq!(b.available(), Ok(6));
    assert_eq!(read(&b, 4, MSG_PEEK), Ok(b"onet".to_vec()));
    assert_eq!(read(&b, 4, 0), Ok(b"onet".to_vec()));
    assert_eq!(read(&b, 9, 0), Ok(b"wo".to_vec()));
    assert_eq!(read(&b, 9, MSG_DONTWAIT), Err(libc::EAGAIN));
    assert_eq!(a.shutdown(SHUT_WR), Ok(()));
    assert_eq!(read(&b, 9, 0), Ok(vec![]));
    assert_eq!(a.send(b"x", None, 0), Err(libc::EPIPE));
    assert_eq!(b.send(b"back", None, 0), Ok(4));
    drop(b);
    assert_eq!(read(&a, 9, 0), Ok(b"back".to_vec()));
    assert_eq!(read(&a, 9, 0), Ok(vec![]));
}

#[test]
fn a_peer_that_leaves_bytes_unread_resets() {
    let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
    assert_eq!(a.send(b"x", None, 0), Ok(1));
    drop(b);
    assert_eq!(read(&a, 9, 0), Err(libc::ECONNRESET));
    assert_eq!(read(&a, 9, 0), Ok(vec![]));
    assert_eq!(a.send(b"x", None, 0), Err(libc::EPIPE));
}

#[test]
fn a_write_to_a_peer_that_left_bytes_unread_has_linuxs_error() {
    for (kind, errors) in [
        (SOCK_STREAM, [libc::EPIPE, libc::EPIPE]),
        (SOCK_SEQPACKET, [libc::ECONNRESET, libc::EPIPE]),
    ] {
        let [a, b] = Unix::pair(kind).expect("a pair");
        assert_eq!(a.send(b"x", None, 0), Ok(1));
        drop(b);
        for error in errors {
            assert_eq!(a.send(b"x", None, 0), Err(error), "{kind}");
        }
        let read = read(&a, 9, 0);
        assert_eq!(
            read.err(),
            (kind == SOCK_STREAM).then_some(libc::ECONNRESET)
        );
    }
}

#[test]
fn no_bytes_are_no_message_of_a_stream() {
    let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
    for part in [&b"one"[..], b"", b"two", b""] {
        assert_eq!(a.send(part, None, 0), Ok(part.len()));
    }
    assert_eq!(read(&b, 9, 0), Ok(b"onetwo".to_vec()));
    assert_eq!(read(&b, 9, MSG_DONTWAIT), Err(libc::EAGAIN));
    while a.send(&[0; 1000], None, MSG_DONTWAIT).is_ok() {}
    assert_eq!(a.send(b"", None, 0), Ok(0), "no room is needed");
    drop(b);
    assert_eq!(a.send(b"", None, 0), Err(libc::EPIPE));
    let [a, b] = Unix::pair(SOCK_SEQPACKET).expect("a pair");
    assert_eq!(a.send(b"", None, 0), Ok(0));
    assert_eq!(read(&b, 9, MSG_DONTWAIT), Ok(vec![]));
}

fn described(socket: Unix) -> Arc<Description> {
    Description::new(SocketFile(Box::new(socket)), 0)
}

/// A descriptor of a socket, and a flag for whether the socket is open.
fn opened(socket: Unix) -> (u64, Weak<Description>) {
    let description = described(socket);
    let weak = Arc::downgrade(&description);
    let number = process::insert(description, 0, false).expect("a number");
    (number, weak)
}

/// Sends the objects of descriptors.
fn pass(from: &dyn Socket, numbers: &[u64]) -> Result<usize> {
    let mut rights = Rights::new();
    for number in numbers {
        rights.push(process::get(*number)?);
    }
    from.send_with(b"x", None, 0, &mut rights)
}

fn is_open(socket: &Weak<Description>) -> bool {
    socket.strong_count() > 0
}

/// Receives one description by a socket, with a byte.
fn receive_one(description: &Description) -> Arc<Description> {
    let SocketFile(socket) = description.downcast().expect("a socket");
    let mut rights = Rights::new();
    let one = Received { len: 1, whole: 1 };
    let received = socket.receive_with(&mut [0], MSG_DONTWAIT, None, &mut rights);
    assert_eq!(received, Ok(one));
    assert_eq!(rights.len(), 1);
    rights.remove(0)
}

/// Runs `f` on a thread with a small stack.
fn with_little_stack(f: fn()) {
    let small = thread::Builder::new().stack_size(256 << 10);
    assert!(small.spawn(f).expect("a thread").join().is_ok());
}

/// A socket whose queue has a socket whose queue has one, and so on; and the peer of the innermost.
fn nested(depth: usize) -> (Arc<Description>, Unix) {
    let [peer, innermost] = Unix::pair(SOCK_STREAM).expect("a pair");
    let mut outermost = described(innermost);
    for _ in 1..depth {
        let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
        let mut rights = vec![outermost];
        assert_eq!(a.send_with(b"x", None, 0, &mut rights), Ok(1));
        assert!(rights.is_empty());
        outermost = described(b);
    }
    (outermost, peer)
}

#[test]
fn sockets_within_messages_are_closed_with_little_stack() {
    let _one = begin("nested");
    with_little_stack(|| {
        let (outermost, peer) = nested(10_000);
        drop(outermost);
        assert_eq!(read(&peer, 9, MSG_DONTWAIT), Ok(vec![]));
    });
}

#[test]
fn a_ring_of_sockets_within_messages_is_closed_with_little_stack() {
    let _one = begin("ring");
    with_little_stack(|| {
        let (outermost, peer) = nested(10_000);
        let number = process::insert(outermost, 0, false).expect("a number");
        assert_eq!(pass(&peer, &[number]), Ok(1));
        assert_eq!(read(&peer, 9, MSG_DONTWAIT), Err(libc::EAGAIN));
        assert_eq!(process::close(number), Ok(0));
        assert_eq!(read(&peer, 9, MSG_DONTWAIT), Ok(vec![]));
    });
}

#[test]
fn a_socket_in_its_own_queue_is_closed_with_its_last_descriptor() {
    let _one = begin("itself");
    let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
    let (number, socket) = opened(b);
    assert_eq!(pass(&a, &[number, number]), Ok(1));
    let other = process::control(number, libc::F_DUPFD as u64, 0).expect("a number");
    assert_eq!(process::close(number), Ok(0));
    assert_eq!(read(&a, 9, MSG_DONTWAIT), Err(libc::EAGAIN));
    // As with `dup2` onto it.
    assert_eq!(process::replace(0, other, false), Ok(other));
    assert!(!is_open(&socket));
    assert_eq!(read(&a, 9, MSG_DONTWAIT), Ok(vec![]));

    let address = abstract_name("itself");
    let datagrams = || {
        let socket = Unix::new(SOCK_DGRAM).expect("a socket");
        socket.bind(&address).map(|()| socket)
    };
    let (number, socket) = opened(datagrams().expect("a name"));
    let description = process::get(number).expect("open");
    let SocketFile(itself) = description.downcast().expect("a socket");
    let mut rights = vec![Arc::clone(&description)];
    assert_eq!(
        itself.send_with(b"x", Some(&address), 0, &mut rights),
        Ok(1)
    );
    assert_eq!(datagrams().err(), Some(libc::EADDRINUSE));
    drop(description);
    assert_eq!(process::close(number), Ok(0));
    assert!(!is_open(&socket));
    assert!(datagrams().is_ok());
}

#[test]
fn sockets_in_each_others_queues_are_open_as_long_as_something_leads_to_them() {
    let _one = begin("each other");
    let [a, b, c, d] = [(); 4].map(|()| Unix::pair(SOCK_STREAM).expect("a pair"));
    let [[a, one], [b, other], [c, third], [d, last]] = [a, b, c, d];
    let ((one, first), (other, second)) = (opened(one), opened(other));
    let ((third, within), (last, reader)) = (opened(third), opened(last));
    // Each of two sockets holds the other, and one of them a third one, which holds none.
    assert_eq!(pass(&a, &[other]), Ok(1));
    assert_eq!(pass(&b, &[one]), Ok(1));
    assert_eq!(pass(&a, &[third]), Ok(1));
    // The last one's queue has the second, too.
    assert_eq!(pass(&d, &[other]), Ok(1));
    for number in [one, other, third] {
        assert_eq!(process::close(number), Ok(0));
        assert!(
            [&first, &second, &within].into_iter().all(is_open),
            "{number}"
        );
    }
    let description = receive_one(&process::get(last).expect("open"));
    assert!(core::ptr::eq(Arc::as_ptr(&description), second.as_ptr()));
    let other = process::insert(description, 0, false).expect("a number");
    assert!([&first, &second, &within].into_iter().all(is_open));
    assert_eq!(b.send(b"unread", None, 0), Ok(6));
    assert_eq!(process::close(other), Ok(0));
    assert!(![&first, &second, &within].into_iter().any(is_open));
    assert_eq!(read(&a, 9, MSG_DONTWAIT), Ok(vec![]));
    // As on Linux, unread data with it causes no error.
    assert_eq!(read(&b, 9, MSG_DONTWAIT), Ok(vec![]));
    assert_eq!(read(&c, 9, MSG_DONTWAIT), Ok(vec![]));
    assert!(is_open(&reader));
    assert_eq!(pass(&d, &[last]), Ok(1));
    assert_eq!(process::close(last), Ok(0));
    assert!(!is_open(&reader));
}

/// Small messages of a stream are merged, but never across descriptions: these are received with
/// their own first byte, whatever is sent before and after them.
#[test]
fn descriptions_come_with_the_bytes_they_were_sent_with() {
    let _one = begin("with bytes");
    for at_once in [1, 2, 9] {
        let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
        let passed = [(); 3].map(|()| {
            let [one, _] = Unix::pair(SOCK_STREAM).expect("a pair");
            opened(one).0
        });
        let sent: &[&[u64]] = &[&[], &[], &passed[..1], &[], &passed[1..], &[], &[]];
        for numbers in sent {
            assert_eq!(pass(&a, numbers), Ok(1));
        }
        let mut got = Vec::new();
        while got.len() < sent.len() {
            let (mut rights, mut bytes) = (Rights::new(), vec![0; at_once]);
            let received = b.receive_with(&mut bytes, MSG_DONTWAIT, None, &mut rights);
            got.push(rights.len());
            got.resize(got.len() + received.expect("bytes").len - 1, 0);
        }
        let expected: Vec<_> = sent.iter().map(|numbers| numbers.len()).collect();
        assert_eq!(got, expected, "{at_once}");
    }
}

/// Any number of sockets in flight, received in any order: each is tracked until then, so that
/// those left in their own queues are closed.
#[test]
fn sockets_in_flight_are_received_in_any_order() {
    let _one = begin("in any order");
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for (order, taken) in orders
        .into_iter()
        .flat_map(|order| [(order, 1), (order, 2)])
    {
        // Each is in its own queue, and in that of another socket, which can be read.
        let sockets = [(); 3].map(|()| {
            let [peer, socket] = Unix::pair(SOCK_STREAM).expect("a pair");
            let [sender, reader] = Unix::pair(SOCK_STREAM).expect("a pair");
            let (number, socket) = opened(socket);
            assert_eq!(pass(&sender, &[number]), Ok(1));
            (number, socket, sender, described(reader), peer)
        });
        for at in &order[..taken] {
            drop(receive_one(&sockets[*at].3));
        }
        for (number, _, _, _, peer) in &sockets {
            assert_eq!(pass(peer, &[*number]), Ok(1));
            assert_eq!(process::close(*number), Ok(0));
        }
        for (at, (_, socket, _, reader, _)) in sockets.iter().enumerate() {
            assert_eq!(
                is_open(socket),
                !order[..taken].contains(&at),
                "{order:?} {at}"
            );
            if is_open(socket) {
                let number = process::insert(receive_one(reader), 0, false).expect("room");
                assert_eq!(process::close(number), Ok(0));
            }
            assert!(!is_open(socket), "{order:?} {at}");
        }
    }
}

#[test]
fn sockets_that_only_a_closed_queue_led_to_are_closed() {
    let _one = begin("given up");
    for reads in [false, true] {
        let [[a, one], [b, other]] = [(); 2].map(|()| Unix::pair(SOCK_STREAM).expect("a pair"));
        let ((one, socket), (other, _)) = (opened(one), opened(other));
        assert_eq!(pass(&a, &[one]), Ok(1));
        assert_eq!(pass(&b, &[one]), Ok(1));
        assert_eq!(process::close(one), Ok(0));
        assert!(is_open(&socket));
        if reads {
            // Descriptions received by a plain read are closed.
            let other = process::get(other).expect("open");
            let SocketFile(reader) = other.downcast().expect("a socket");
            assert_eq!(read(&**reader, 9, 0), Ok(b"x".to_vec()));
        } else {
            assert_eq!(process::close(other), Ok(0));
        }
        assert!(!is_open(&socket), "{reads}");
        assert_eq!(read(&a, 9, MSG_DONTWAIT), Ok(vec![]));
    }
}

#[test]
fn a_listener_in_the_queue_of_its_own_connection_is_closed() {
    let _one = begin("connection");
    let address = abstract_name("connection");
    let listener = Unix::new(SOCK_STREAM).expect("a socket");
    assert_eq!(listener.bind(&address), Ok(()));
    assert_eq!(listener.listen(1), Ok(()));
    let [client, idle] = [(); 2].map(|()| {
        let client = Unix::new(SOCK_STREAM).expect("a socket");
        assert_eq!(client.connect(&address, false), Ok(()));
        client
    });
    let (number, socket) = opened(listener);
    assert_eq!(pass(&client, &[number]), Ok(1));
    assert_eq!(process::close(number), Ok(0));
    assert!(!is_open(&socket));
    for client in [client, idle] {
        assert_eq!(read(&client, 9, MSG_DONTWAIT), Err(libc::ECONNRESET));
    }
}

#[test]
fn messages_hold_as_many_descriptions_as_the_program_can_have_descriptors() {
    let _one = begin("too many");
    let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
    let [c, d] = Unix::pair(SOCK_STREAM).expect("a pair");
    let (b, d) = (described(b), described(d));
    let mut rights = vec![Arc::clone(&b); MAX_OPEN - 1];
    assert_eq!(a.send_with(b"x", None, 0, &mut rights), Ok(1));
    let mut rights = vec![Arc::clone(&d); 2];
    let refused = c.send_with(b"x", None, 0, &mut rights);
    assert_eq!((refused, rights.len()), (Err(libc::ETOOMANYREFS), 2));
    rights.truncate(1);
    assert_eq!(c.send_with(b"x", None, 0, &mut rights), Ok(1));
    assert_eq!(c.send(b"bytes", None, 0), Ok(5), "without descriptions");
    let _ = receive_one(&d);
    // The end of a call leaves a socket in its own queue: closing it makes room.
    drop(b);
    let mut rights = vec![Arc::clone(&d); 2];
    assert_eq!(c.send_with(b"x", None, 0, &mut rights), Ok(1));
    // Waits: the call of another test may be the one that closes it.
    assert_eq!(read(&a, 9, 0), Ok(vec![]));
}

#[test]
fn a_full_queue_makes_the_sender_wait() {
    let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
    let sender = thread::spawn(move || a.send(&vec![7; 1 << 20], None, 0));
    let mut count = 0;
    while count < 1 << 20 {
        count += read(&b, 1 << 16, 0).expect("bytes").len();
    }
    assert_eq!(sender.join().expect("no panic"), Ok(1 << 20));
    let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
    let sent = a.send(&vec![7; 1 << 20], None, MSG_DONTWAIT).expect("some");
    assert!(sent < 1 << 20, "{sent}");
    assert_eq!(a.send(b"x", None, MSG_DONTWAIT), Err(libc::EAGAIN));
    let before = changes(&a);
    assert_eq!(read(&b, 9, MSG_PEEK).map(|bytes| bytes.len()), Ok(9));
    assert_eq!(changes(&a), before, "there is no more room");
    assert_eq!(read(&b, 9, 0).map(|bytes| bytes.len()), Ok(9));
    assert!(changes(&a) > before, "an edge of epoll");
}

#[test]
fn packets_keep_their_bounds() {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let [a, b] = Unix::pair(kind).expect("a pair");
        assert_eq!(a.send(b"one", None, 0), Ok(3));
        assert_eq!(a.send(b"two", None, 0), Ok(3));
        let mut bytes = [0; 2];
        let cut = Received { len: 2, whole: 3 };
        assert_eq!(b.receive(&mut bytes, 0, None), Ok(cut));
        assert_eq!(read(&b, 9, 0), Ok(b"two".to_vec()));
        assert_eq!(a.send(&vec![0; 1 << 20], None, 0), Err(libc::EMSGSIZE));
        assert_eq!(b.shutdown(SHUT_RD), Ok(()));
        drop(b);
        let gone = if kind == SOCK_DGRAM {
            libc::ECONNREFUSED
        } else {
            libc::EPIPE
        };
        assert_eq!(a.send(b"x", None, 0), Err(gone));
        // The error of a datagram's peer ends the association.
        let then = if kind == SOCK_DGRAM {
            libc::ENOTCONN
        } else {
            libc::EPIPE
        };
        assert_eq!(a.send(b"x", None, 0), Err(then));
        assert_eq!(
            a.peer().err(),
            (kind == SOCK_DGRAM).then_some(libc::ENOTCONN)
        );
    }
}

/// As on Linux: a read of no bytes takes the descriptions, and leaves the bytes.
#[test]
fn a_read_of_no_bytes_takes_descriptions() {
    let _one = begin("no bytes");
    let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
    let [one, _] = Unix::pair(SOCK_STREAM).expect("a pair");
    assert_eq!(pass(&a, &[opened(one).0]), Ok(1));
    let mut rights = Rights::new();
    let none = Received { len: 0, whole: 0 };
    assert_eq!(
        b.receive_with(&mut [], MSG_DONTWAIT, None, &mut rights),
        Ok(none)
    );
    assert_eq!(rights.len(), 1);
    assert_eq!(read(&b, 9, MSG_DONTWAIT), Ok(b"x".to_vec()));
}

#[test]
fn a_listener_accepts_in_order_up_to_its_backlog() {
    let address = abstract_name("listener");
    let listener = Unix::new(SOCK_STREAM).expect("a socket");
    let client = |waits| {
        let client = Unix::new(SOCK_STREAM).expect("a socket");
        client.connect(&address, waits).map(|()| client)
    };
    assert_eq!(client(true).err(), Some(libc::ECONNREFUSED));
    assert_eq!(listener.bind(&address), Ok(()));
    assert_eq!(client(true).err(), Some(libc::ECONNREFUSED));
    assert_eq!(listener.accept(true).err(), Some(libc::EINVAL));
    assert_eq!(listener.listen(0), Ok(()));
    let first = client(true).expect("a connection");
    assert_eq!(client(false).err(), Some(libc::EAGAIN));
    assert_eq!(first.send(b"hello", None, 0), Ok(5));
    let (server, peer) = listener.accept(true).expect("a connection");
    assert_eq!(peer.bytes().len(), 2);
    assert_eq!(first.peer(), listener.local());
    assert_eq!(server.local(), listener.local());
    assert_eq!(read(&*server, 9, 0), Ok(b"hello".to_vec()));
    assert_eq!(listener.accept(false).err(), Some(libc::EAGAIN));
    let other = Unix::new(SOCK_STREAM).expect("a socket");
    assert_eq!(other.bind(&address), Err(libc::EADDRINUSE));
    // A further call sets another limit, up or down.
    let full = client(true).expect("a connection");
    for (backlog, more) in [(2, 2), (0, 0)] {
        assert_eq!(listener.listen(backlog), Ok(()));
        let clients: Vec<_> = core::iter::from_fn(|| client(false).ok()).collect();
        assert_eq!(clients.len(), more);
        for _ in 0..more {
            listener.accept(true).expect("a connection");
        }
    }
    drop(full);
    listener.accept(true).expect("a closed one");
    let waiting = client(true).expect("a connection");
    let before = changes(&waiting);
    drop(listener);
    assert!(changes(&waiting) > before, "an edge of epoll");
    assert_eq!(read(&waiting, 9, 0), Err(libc::ECONNRESET));
    assert_eq!(client(true).err(), Some(libc::ECONNREFUSED));
    assert_eq!(other.bind(&address), Ok(()));
}

#[test]
fn datagrams_name_their_senders() {
    let (to, from) = (abstract_name("to"), abstract_name("from"));
    let [server, client] = [0; 2].map(|_| Unix::new(SOCK_DGRAM).expect("a socket"));
    assert_eq!(client.send(b"x", Some(&to), 0), Err(libc::ECONNREFUSED));
    assert_eq!(client.send(b"x", None, 0), Err(libc::ENOTCONN));
    assert_eq!(server.bind(&to), Ok(()));
    assert_eq!(client.bind(&from), Ok(()));
    assert_eq!(client.bind(&from), Err(libc::EINVAL));
    assert_eq!(client.send(b"x", Some(&to), 0), Ok(1));
    let mut sender = Name::NONE;
    let one = Received { len: 1, whole: 1 };
    assert_eq!(server.receive(&mut [0; 9], 0, Some(&mut sender)), Ok(one));
    assert_eq!(sender.bytes(), from);
    assert_eq!(client.connect(&to, true), Ok(()));
    assert_eq!(client.send(b"y", None, 0), Ok(1));
    drop(server);
    assert_eq!(client.send(b"z", None, 0), Err(libc::ECONNREFUSED));
    let stream = Unix::new(SOCK_STREAM).expect("a socket");
    assert_eq!(stream.connect(&from, true), Err(libc::EPROTOTYPE));
}
