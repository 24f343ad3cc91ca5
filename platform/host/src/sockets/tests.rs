//! Linux's sockets over the loopback, with each kind of ring and with epoll.

mod datagrams;
mod received;

use super::watch::{self, Data, Place};
use super::{Sockets, calls};
use crate::sleep::tests::in_child;
use crate::{Host, Interest, Ring};
use net::{Congestion, Error, Handle, SendBuffer, Transport};
use platform::{Clock as _, Direction, Interest as _, Signals, Wait as _};
use rustix_uring::Errno;
use rustix_uring::cqueue::Flags;
use services::sntp::Client;
use services::{Family, LookupError, Polled, Resolver};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::vec::Vec;

/// Sockets with the events of their waits.
struct World {
    sockets: Sockets,
    interest: Interest,
}

/// Longer than any machine takes; it only ends hung tests.
const PATIENCE_NS: u64 = 60_000_000_000;

impl World {
    /// Waits until an operation completes.
    fn until<T>(
        &mut self,
        mut f: impl FnMut(&mut Sockets) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let end = Host::monotonic_ns() + PATIENCE_NS;
        loop {
            let now = Host::monotonic_ns();
            assert!(now < end, "nothing came");
            let progress = Transport::poll(&mut self.sockets, now, 64);
            self.sockets.take_events(&mut |_| ());
            match f(&mut self.sockets) {
                Err(Error::WouldBlock) => {}
                answer => return answer,
            }
            self.interest.clear();
            let until = progress.next_deadline_ns.unwrap_or(end);
            let mut sleep = Host::prepare(&mut self.interest, Some(until), Signals::End);
            Host::sleep(&mut sleep);
            Host::finish(&mut self.interest, sleep);
        }
    }

    fn listener(&mut self, address: &str) -> (Handle, SocketAddr) {
        let listener = self.sockets.bind(at(address), false).expect("a port");
        self.sockets.listen(listener, 4).expect("bound");
        let address = self.sockets.local_address(listener).expect("bound");
        (listener, address)
    }

    /// A client and its server.
    fn pair(&mut self) -> (Handle, Handle) {
        let (listener, address) = self.listener("127.0.0.1:0");
        let client = self.sockets.tcp_connect(address, None).expect("begun");
        assert_eq!(self.until(|s| s.connect_result(client)), Ok(()));
        let server = self.until(|s| s.accept(listener)).expect("a connection");
        self.sockets.close(listener).expect("open");
        (client, server)
    }

    fn read(&mut self, from: Handle) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; 1 << 16];
        let n = self.until(|s| s.read(from, &mut bytes, 0))?;
        bytes.truncate(n);
        Ok(bytes)
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Submits new requests, and handles received data.
fn step(world: &mut World) {
    world.interest.submit_all();
    Transport::poll(&mut world.sockets, Host::monotonic_ns(), 64);
}

/// Runs a test with rings of all threads and of one, if this kernel permits them, and with epoll.
fn with_each(test: fn(&mut World)) {
    let _alone = crate::ring::tests::alone();
    for ring in [Ring::default(), Ring::of_one_thread(), Ring::forbidden()] {
        let mut interest = Interest::EMPTY;
        interest.use_ring(ring);
        let sockets = Sockets::new(&mut interest, Congestion::Cubic);
        test(&mut World { sockets, interest });
    }
}

#[test]
fn what_was_sent_before_a_reset_is_read_before_it() {
    with_each(|world| {
        let (client, server) = world.pair();
        let address = world.sockets.local_address(client).expect("open");
        assert_eq!(world.sockets.write(client, b"last words"), Ok(10));
        // The server's own bytes are unread: a close is then a reset.
        assert_eq!(world.sockets.write(server, b"unread"), Ok(6));
        assert_eq!(world.read(server), Ok(b"last words".to_vec()));
        assert_eq!(world.sockets.abort(client), Ok(()));
        for _ in 0..2 {
            assert_eq!(world.read(server), Err(Error::ConnectionReset));
        }
        assert_eq!(
            world.sockets.write(server, b"x"),
            Err(Error::ConnectionReset)
        );
        assert_eq!(world.sockets.peer_address(server), Ok(address));
        assert_eq!(
            world.sockets.read(client, &mut [0], 0),
            Err(Error::BadHandle)
        );
    });
}

/// A sender sends without the sockets; only what it couldn't send comes back to them.
#[test]
fn a_sender_sends_without_the_sockets() {
    with_each(|world| {
        let (client, server) = world.pair();
        let piece = vec![7; 1 << 16];
        let mut total = 0;
        let full = loop {
            let sender = world.sockets.tcp_sender(client).expect("room");
            match sender.send(&piece) {
                Ok(sent) if sent == piece.len() => total += sent,
                sent => break sent,
            }
        };
        let rest = world.sockets.tcp_sent(client, full);
        total += rest.unwrap_or(0);
        assert_eq!(rest, full);
        // There is no room now, so a writer waits as without a sender.
        assert!(world.sockets.tcp_sender(client).is_none());
        assert_eq!(
            world.sockets.tcp_write(client, b"x"),
            Err(Error::WouldBlock)
        );
        let mut read = 0;
        while read < total {
            read += world.read(server).expect("bytes").len();
        }
        let answer = world.until(|s| s.tcp_write(client, b"y"));
        assert_eq!(answer, Ok(1));
        assert_eq!(world.read(server), Ok(b"y".to_vec()));
        // A failure of a send is the connection's; one after its end concerns no other.
        let sender = world.sockets.tcp_sender(client).expect("room");
        assert_eq!(world.sockets.abort(server), Ok(()));
        let failed = loop {
            match sender.send(b"z") {
                Ok(1) | Err(Error::WouldBlock) => step(world),
                failed => break failed,
            }
        };
        let reset = Err(Error::ConnectionReset);
        assert_eq!(world.sockets.tcp_sent(client, failed), reset);
        assert!(world.sockets.tcp_sender(client).is_none());
        assert_eq!(world.sockets.tcp_write(client, b"z"), reset);
        assert_eq!(world.sockets.close(client), Ok(()));
        let (other, _) = world.pair();
        assert_eq!(world.sockets.tcp_sent(client, Ok(0)), Err(Error::BadHandle));
        assert!(world.sockets.tcp_sender(other).is_some());
        // Nor after the end of sending, or while bytes are lent.
        assert_eq!(world.sockets.tcp_shutdown(other), Ok(()));
        assert!(world.sockets.tcp_sender(other).is_none());
    });
}

/// The peer reads, and its event is taken, between a send outside of the sockets and its record.
#[test]
fn a_sender_that_was_late_finds_room() {
    with_each(|world| {
        let (client, server) = world.pair();
        let piece = vec![7; 1 << 16];
        let mut total = 0;
        let full = loop {
            let sender = world.sockets.tcp_sender(client).expect("room");
            match sender.send(&piece) {
                Ok(sent) if sent == piece.len() => total += sent,
                sent => break sent,
            }
        };
        total += full.unwrap_or(0);
        let mut read = 0;
        while read < total {
            read += world.read(server).expect("bytes").len();
        }
        let end = Host::monotonic_ns() + PATIENCE_NS;
        let has_room = |s: &mut Sockets| {
            let socket = s.socket(client).expect("open");
            calls::is_ready(&socket.fd, Direction::Write)
        };
        while !has_room(&mut world.sockets) {
            assert!(Host::monotonic_ns() < end, "no acknowledgement");
            std::thread::yield_now();
        }
        step(world);
        assert_eq!(world.sockets.tcp_sent(client, full), full);
        assert!(world.sockets.readiness(client).expect("open").writable);
        assert_eq!(world.until(|s| s.tcp_write(client, b"x")), Ok(1));
    });
}

/// What a listener's ring has registered serves its connections when other threads are expected.
#[test]
fn a_ring_that_is_replaced_brings_what_is_received() {
    let _alone = crate::ring::tests::alone();
    let mut interest = Interest::EMPTY;
    let ring = Ring::of_one_thread();
    interest.use_ring(ring.clone());
    let sockets = Sockets::new(&mut interest, Congestion::Cubic);
    let mut world = World { sockets, interest };
    let brings = world.sockets.brings;
    let (listener, address) = world.listener("127.0.0.1:0");
    ring.with(crate::ring::tests::expect_others);
    for turn in 0..3 {
        let client = world.sockets.tcp_connect(address, None).expect("begun");
        assert_eq!(world.until(|s| s.connect_result(client)), Ok(()));
        let server = world.until(|s| s.accept(listener)).expect("a connection");
        for round in 0..80 {
            let text = vec![turn * 80 + round; 1000];
            assert_eq!(world.sockets.write(client, &text), Ok(1000));
            assert_eq!(world.read(server), Ok(text));
        }
    }
    assert_eq!(world.sockets.brings, brings);
    let used = ring.with(|ring| crate::ring::tests::uses_buffers(ring));
    assert!(!brings || used == Some(true), "the kernel has no buffers");
}

/// A request that ends with its thread leaves the socket as if it were ready.
#[test]
fn a_socket_whose_request_was_cancelled_is_asked_again() {
    let data = Data::new(Err(Errno::CANCELED), Flags::empty());
    assert!(!data.continues && data.failure.is_none() && data.buffer.is_none());
    with_each(|world| {
        // As a thread does that then ends.
        let end_request = |world: &mut World, of: Handle, request| {
            world.sockets.watch.submit();
            let place = Place {
                index: super::index(of) as u32,
                generation: (of.to_raw() >> 32) as u32,
            };
            world.sockets.watch.cancel(place, request);
            world.sockets.watch.submit();
        };
        let (listener, address) = world.listener("127.0.0.1:0");
        assert_eq!(world.sockets.accept(listener), Err(Error::WouldBlock));
        end_request(world, listener, watch::Request::Readable);
        let client = world.sockets.tcp_connect(address, None).expect("begun");
        assert_eq!(world.until(|s| s.connect_result(client)), Ok(()));
        let server = world.until(|s| s.accept(listener)).expect("a connection");
        let wait = world.sockets.read(server, &mut [0], 0);
        assert_eq!(wait, Err(Error::WouldBlock));
        end_request(world, server, watch::Request::Data);
        assert_eq!(world.sockets.write(client, b"x"), Ok(1));
        assert_eq!(world.read(server), Ok(b"x".to_vec()));
        for socket in [listener, server] {
            assert!(!world.sockets.socket(socket).expect("open").more_follows);
        }
    });
}

/// A child of a fork doesn't take the events of its parent.
#[test]
fn events_arrive_in_both_processes_of_a_fork() {
    crate::sleep::count_forks();
    with_each(|world| {
        let (client, server) = world.pair();
        let mut byte = [0];
        let mut poll = |sockets: &mut Sockets| {
            Transport::poll(sockets, Host::monotonic_ns(), 64);
            sockets.read(server, &mut byte, 0)
        };
        // No event is left: the next read is after one.
        for _ in 0..2 {
            assert_eq!(poll(&mut world.sockets), Err(Error::WouldBlock));
        }
        assert_eq!(world.sockets.write(client, b"x"), Ok(1));
        assert!(in_child(|| {
            Transport::poll(&mut world.sockets, Host::monotonic_ns(), 64);
            true
        }));
        assert_eq!(world.read(server), Ok(b"x".to_vec()));
    });
}

#[test]
fn the_end_of_one_direction_leaves_the_other() {
    with_each(|world| {
        let (client, server) = world.pair();
        assert_eq!(world.sockets.write(client, b"question"), Ok(8));
        assert_eq!(world.sockets.shutdown(client), Ok(()));
        assert_eq!(world.sockets.write(client, b"x"), Err(Error::BrokenPipe));
        assert_eq!(world.read(server), Ok(b"question".to_vec()));
        assert_eq!(world.read(server), Ok(vec![]));
        assert_eq!(world.sockets.write(server, b"answer"), Ok(6));
        assert_eq!(world.read(client), Ok(b"answer".to_vec()));
    });
}

#[test]
fn urgent_bytes_are_bytes_of_the_stream() {
    with_each(|world| {
        let (client, server) = world.pair();
        // Nothing has arrived: the initial events are over.
        assert_eq!(
            world.sockets.read(server, &mut [0], 0),
            Err(Error::WouldBlock)
        );
        let fd = world.sockets.socket(client).expect("open").fd.0;
        for (bytes, flags) in [(b"abc", libc::MSG_OOB), (b"def", 0)] {
            // SAFETY: reads the three bytes.
            let n = unsafe { libc::send(fd, bytes.as_ptr().cast(), 3, flags) };
            assert_eq!(n, 3);
        }
        let mut received = Vec::new();
        while received.len() < 6 {
            received.extend(world.read(server).expect("bytes"));
        }
        assert_eq!(received, b"abcdef");
    });
}

#[test]
fn a_writer_waits_for_room_and_loses_nothing() {
    with_each(|world| {
        let (client, server) = world.pair();
        let block: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let (mut sent, mut received): (Vec<u8>, Vec<u8>) = Default::default();
        while let Ok(n) = world.sockets.write(client, &block) {
            sent.extend(&block[..n]);
        }
        assert!(!world.sockets.readiness(client).expect("open").writable);
        while received.len() < sent.len() {
            received.extend(world.read(server).expect("bytes"));
        }
        assert!(sent == received);
        let more = world.until(|s| s.write(client, &block));
        assert!(more.is_ok_and(|n| n > 0));
    });
}

/// A server on another thread, which answers each datagram with what `answer` makes of it.
fn answering(address: &str, answer: fn(&[u8]) -> Vec<u8>) -> std::io::Result<SocketAddr> {
    let server = std::net::UdpSocket::bind(address)?;
    let address = server.local_addr()?;
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((len, from)) = server.recv_from(&mut query) {
            server.send_to(&answer(&query[..len]), from).expect("sent");
        }
    });
    Ok(address)
}

/// Polls a service until it is done, at a time that doesn't pass: only events, no timeouts. Returns
/// the number of waits.
fn waits_of(world: &mut World, mut poll: impl FnMut(&mut Sockets) -> (bool, Polled)) -> usize {
    let end = Host::monotonic_ns() + PATIENCE_NS;
    let mut waits = 0;
    loop {
        let mut progress = Transport::poll(&mut world.sockets, NOW_NS, 64);
        world.sockets.take_events(&mut |_| ());
        let (done, polled) = poll(&mut world.sockets);
        if done {
            return waits;
        }
        polled.send(&mut world.sockets, NOW_NS, 64, &mut progress);
        if progress.more_work {
            continue;
        }
        world.interest.clear();
        let mut sleep = Host::prepare(&mut world.interest, Some(end), Signals::End);
        Host::sleep(&mut sleep);
        Host::finish(&mut world.interest, sleep);
        assert!(Host::monotonic_ns() < end, "no event of the answer");
        waits += 1;
    }
}

const NOW_NS: u64 = 1_000_000_000;

/// More than a datagram of the resolver's queries may hold.
const MANY: u8 = 120;

/// A response with these flags and `count` answers about the question's name: 192.0.2.1 and so on,
/// for a minute.
fn addresses(query: &[u8], flags: u8, count: u8) -> Vec<u8> {
    let name = query[12..].iter().position(|byte| *byte == 0);
    let question = name.expect("a name") + 17;
    let header = [&query[..2], &[flags, 0x80, 0, 1, 0, count, 0, 0, 0, 0]].concat();
    let records = (1..=count)
        .flat_map(|n| [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, n])
        .collect::<Vec<u8>>();
    [&header[..], &query[12..question], &records].concat()
}

/// A name server's streams: answers the query of each with [`MANY`] addresses. Returns the number
/// of streams.
fn answering_streams(listener: std::net::TcpListener) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            counted.fetch_add(1, Ordering::Relaxed);
            let mut len = [0; 2];
            stream.read_exact(&mut len).expect("a length");
            let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut query).expect("a query");
            let answer = addresses(&query, 0x81, MANY);
            let len = (answer.len() as u16).to_be_bytes();
            stream
                .write_all(&[&len, &answer[..]].concat())
                .expect("sent");
            // Until the other end closes it.
            let _ = stream.read(&mut [0]);
        }
    });
    count
}

/// A query is sent in the turn that opens its socket, and the wait follows: the answer ends it, not
/// the query's timeout.
#[test]
fn answers_to_the_resolver_and_the_ntp_client_end_their_waits() {
    fn address(query: &[u8]) -> Vec<u8> {
        match query[12..].starts_with(b"\x04many") {
            true => addresses(query, 0x83, 0),
            false => addresses(query, 0x81, 1),
        }
    }
    fn time(query: &[u8]) -> Vec<u8> {
        let stamp = [0xee; 8];
        let cookie = &query[40..48];
        [&[4 << 3 | 4, 2][..], &[0; 22], cookie, &stamp, &stamp].concat()
    }
    let (name_server, streams) = loop {
        let at = answering("127.0.0.1:0", address).expect("a port");
        // Another program may have the port for TCP.
        if let Ok(listener) = std::net::TcpListener::bind(at) {
            break (at, listener);
        }
    };
    let connections = answering_streams(streams);
    // SAFETY: no other test of this crate reads the environment's name servers.
    unsafe { std::env::set_var("SOIL_DNS", name_server.to_string()) };
    // An address of our own of the loopback's, since the port is fixed.
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = std::format!("127.78.{high}.{low}");
    let ntp = answering(&std::format!("{host}:123"), time);
    with_each(|world| {
        let mut resolver = Resolver::new(std::boxed::Box::new(|| 7));
        let sockets = &mut world.sockets;
        let lookup = resolver.addresses(sockets, NOW_NS, "soil.test", Family::V4);
        let lookup = lookup.expect("begun");
        let mut found = Err(LookupError::Pending);
        let waits = waits_of(world, |sockets| {
            let polled = resolver.poll(sockets, NOW_NS);
            found = resolver.take_addresses(lookup);
            (found != Err(LookupError::Pending), polled)
        });
        assert_eq!(found, Ok(std::vec![[192, 0, 2, 1].into()]));
        // An initial event of each socket, and the answer.
        assert!(waits <= 3, "{waits} waits");
    });
    // By TCP after a truncated answer: the connection may be there as soon as it is begun, and the
    // answer as soon as the query is written.
    with_each(|world| {
        let mut resolver = Resolver::new(std::boxed::Box::new(|| 7));
        let lookup = resolver.addresses(&mut world.sockets, NOW_NS, "many.test", Family::V4);
        let lookup = lookup.expect("begun");
        let mut found = Err(LookupError::Pending);
        waits_of(world, |sockets| {
            let polled = resolver.poll(sockets, NOW_NS);
            found = resolver.take_addresses(lookup);
            (found != Err(LookupError::Pending), polled)
        });
        assert_eq!(found.map(|all| all.len()), Ok(usize::from(MANY)));
    });
    assert_eq!(connections.load(Ordering::Relaxed), 3);
    match ntp {
        // Ports below 1024 are root's.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return,
        bound => drop(bound.expect("a port")),
    }
    with_each(|world| {
        let [.., high, low] = std::process::id().to_be_bytes();
        let host = std::format!("127.78.{high}.{low}");
        let mut resolver = Resolver::new(std::boxed::Box::new(|| 7));
        let mut client = Client::new(&host, std::boxed::Box::new(|| 7));
        let waits = waits_of(world, |sockets| {
            let (sample, polled) = client.poll(sockets, &mut resolver, NOW_NS);
            (sample.is_some(), polled)
        });
        assert!(waits <= 3, "{waits} waits");
    });
}

#[test]
fn a_closed_port_is_free_at_once() {
    with_each(|world| {
        let (listener, address) = world.listener("127.0.0.1:0");
        // A poll for it is in flight.
        assert_eq!(world.sockets.accept(listener), Err(Error::WouldBlock));
        world.interest.submit_all();
        assert_eq!(world.sockets.bind(address, false), Err(Error::AddressInUse));
        assert_eq!(world.sockets.close(listener), Ok(()));
        let at_once = world.sockets.bind(address, false);
        // Other tests of this process fork: a child may have the listener.
        if crate::sleep::shares_descriptors() && at_once == Err(Error::AddressInUse) {
            let again = world.until(|s| match s.bind(address, false) {
                Err(Error::AddressInUse) => Err(Error::WouldBlock),
                answer => answer,
            });
            assert!(again.is_ok());
        } else {
            assert!(at_once.is_ok());
        }
    });
}

/// After an accept it is ready only for another connection, without an event.
#[test]
fn a_listener_is_ready_while_connections_wait() {
    with_each(|world| {
        let (listener, address) = world.listener("127.0.0.1:0");
        let connect = || std::net::TcpStream::connect(address).expect("accepted by the system");
        let clients = (connect(), connect());
        for more in [true, false] {
            let accepted = world.until(|s| s.accept(listener)).expect("a connection");
            let ready = world.sockets.readiness(listener).expect("a listener");
            assert_eq!(ready.readable, more);
            assert_eq!(Transport::close(&mut world.sockets, accepted), Ok(()));
        }
        drop(clients);
        let client = connect();
        assert!(world.until(|s| s.accept(listener)).is_ok());
        drop(client);
    });
}

#[test]
fn a_bound_port_connects_or_stays_bound() {
    with_each(|world| {
        let (listener, address) = world.listener("127.0.0.1:0");
        let bound = world
            .sockets
            .bind(at("127.0.0.1:0"), false)
            .expect("a port");
        let own = world.sockets.local_address(bound).expect("bound");
        assert_eq!(world.sockets.bind(own, false), Err(Error::AddressInUse));
        let nowhere = world.sockets.connect_bound(bound, at("[::1]:1"));
        assert_eq!(nowhere, Err(Error::AddressNotAvailable));
        let client = world.sockets.connect_bound(bound, address).expect("begun");
        assert_eq!(world.until(|s| s.connect_result(client)), Ok(()));
        let server = world.until(|s| s.accept(listener)).expect("a connection");
        assert_eq!(world.sockets.peer_address(server), Ok(own));
        assert_eq!(world.sockets.local_address(bound), Err(Error::BadHandle));
    });
}

#[test]
fn a_refused_connection_says_so() {
    with_each(|world| {
        let (listener, address) = world.listener("127.0.0.1:0");
        world.sockets.close(listener).expect("open");
        let client = world.sockets.tcp_connect(address, None).expect("begun");
        let refused = Err(Error::ConnectionRefused);
        assert_eq!(world.until(|s| s.connect_result(client)), refused);
        assert_eq!(world.sockets.connect_result(client), refused);
        let wrong = world.sockets.tcp_connect(at("127.0.0.1:0"), None);
        assert_eq!(wrong, Err(Error::InvalidArgument));
    });
}

/// Bytes that record their acknowledgement.
struct Lent(Vec<u8>, AtomicBool);

impl SendBuffer for Lent {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn acknowledged(&self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

#[test]
fn lent_bytes_are_sent_in_order_and_given_back() {
    with_each(|world| {
        let (client, server) = world.pair();
        let lent = Arc::new(Lent(vec![7; 8 << 20], AtomicBool::new(false)));
        assert_eq!(world.sockets.share(client, lent.clone()), Ok(()));
        // More than Linux accepts at once: the rest waits.
        assert_eq!(world.sockets.write(client, b"end"), Err(Error::WouldBlock));
        assert_eq!(world.sockets.shutdown(client), Ok(()));
        let mut received = 0;
        loop {
            let bytes = world.read(server).expect("bytes");
            if bytes.is_empty() {
                break;
            }
            assert!(bytes.iter().all(|byte| *byte == 7));
            received += bytes.len();
        }
        assert_eq!(received, 8 << 20);
        let released = |_: &mut Sockets| match Arc::strong_count(&lent) {
            1 => Ok(()),
            _ => Err(Error::WouldBlock),
        };
        assert_eq!(world.until(released), Ok(()));
        assert!(lent.1.load(Ordering::Relaxed));
    });
}

#[test]
fn a_closed_connection_sends_what_was_lent() {
    with_each(|world| {
        let (client, server) = world.pair();
        let lent = Arc::new(Lent(vec![7; 8 << 20], AtomicBool::new(false)));
        assert_eq!(world.sockets.share(client, lent), Ok(()));
        assert_eq!(world.sockets.close(client), Ok(()));
        assert_eq!(world.sockets.undelivered(), 1);
        let mut received = 0;
        while let Ok(bytes) = world.read(server)
            && !bytes.is_empty()
        {
            received += bytes.len();
        }
        assert_eq!((received, world.sockets.undelivered()), (8 << 20, 0));
    });
}
