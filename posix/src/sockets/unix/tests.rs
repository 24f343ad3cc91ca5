//! Unix-domain sockets on the host.

use super::{Name, Unix};
use crate::descriptors::{Description, Object};
use crate::errors::Result;
use crate::sockets::{Received, Rights, Socket};
use alloc::boxed::Box;
use alloc::string::String;
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

#[test]
fn sockets_within_messages_are_closed_with_little_stack() {
    /// A socket whose queue has a socket whose queue has one, and so on.
    fn nested(depth: usize) {
        let open = |socket| Description::new(Object::Socket(socket), String::new(), 0);
        let mut rights = Rights::new();
        for _ in 0..depth {
            let [a, b] = Unix::pair(SOCK_STREAM).expect("a pair");
            assert_eq!(a.send_with(b"x", None, 0, &mut rights), Ok(1));
            assert!(rights.is_empty());
            rights.push(open(Box::new(b)));
        }
    }
    let small = thread::Builder::new().stack_size(256 << 10);
    let ran = small.spawn(|| nested(10_000)).expect("a thread").join();
    assert!(ran.is_ok());
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
    let [a, _b] = Unix::pair(SOCK_STREAM).expect("a pair");
    let sent = a.send(&vec![7; 1 << 20], None, MSG_DONTWAIT).expect("some");
    assert!(sent < 1 << 20, "{sent}");
    assert_eq!(a.send(b"x", None, MSG_DONTWAIT), Err(libc::EAGAIN));
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
    }
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
    let waiting = client(true).expect("a connection");
    drop(listener);
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
