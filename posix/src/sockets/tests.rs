//! Sockets on the host, over the loopback of the stack.

use super::address::{Family, Name, parse};
use super::tcp::Tcp;
use super::udp::Udp;
use super::{Received, Socket};
use crate::blocking::lent::Lent;
use crate::blocking::operation::now;
use crate::blocking::readiness::{Events, wait_for};
use crate::errors::{Errno, Result};
use libc::{MSG_DONTWAIT, MSG_PEEK, SHUT_RD, SHUT_RDWR, SHUT_WR, SOL_SOCKET};
use resources::Runtime;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, Once};
use std::time::Duration;
use std::vec::Vec;
use std::{format, thread, vec};

/// Images have Soil's stack, and a process on the host Linux's sockets by default.
static STACK: Once = Once::new();

/// The stack is shared by the process: a test's connection may be polled by another test's wait.
static ONE: Mutex<()> = Mutex::new(());

pub(crate) fn begin() -> MutexGuard<'static, ()> {
    set_up();
    ONE.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Selects the network of the process's stack.
pub(crate) fn set_up() {
    // SAFETY: every test that could read the environment calls this first.
    STACK.call_once(|| unsafe { std::env::set_var("SOIL_NET", "none") });
}

fn name(text: &str) -> Vec<u8> {
    let address: SocketAddr = text.parse().expect("an address");
    let family = match address {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    };
    Name::of(family, address).bytes().to_vec()
}

fn port(family: Family, name: Result<Name>) -> u16 {
    parse(family, name.expect("a name").bytes())
        .expect("an address")
        .port()
}

/// A listener on the loopback and its address.
pub(super) fn listener() -> (Tcp, Vec<u8>) {
    let listener = Tcp::new(Family::V4);
    assert_eq!(listener.bind(&name("127.0.0.1:0")), Ok(()));
    assert_eq!(listener.listen(5), Ok(()));
    let address = listener.local().expect("bound").bytes().to_vec();
    (listener, address)
}

/// A socket that doesn't listen and its address. While it lives no client gets its port, which
/// would connect to itself.
fn closed() -> (Tcp, Vec<u8>) {
    let socket = Tcp::new(Family::V4);
    assert_eq!(socket.bind(&name("127.0.0.1:0")), Ok(()));
    let address = socket.local().expect("bound").bytes().to_vec();
    (socket, address)
}

fn pair() -> (Tcp, std::boxed::Box<dyn Socket>) {
    let (listener, address) = listener();
    let client = Tcp::new(Family::V4);
    assert_eq!(client.connect(&address, true), Ok(()));
    let (server, peer) = listener.accept(true).expect("a connection");
    assert_eq!(client.local(), Ok(peer));
    assert_eq!(client.peer(), server.local());
    (client, server)
}

fn read(socket: &dyn Socket, len: usize, flags: i32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let Received { len, .. } = socket.receive(&mut bytes, flags, None)?;
    bytes.truncate(len);
    Ok(bytes)
}

fn integer(socket: &dyn Socket, level: i32, option: i32) -> Result<i32> {
    let mut bytes = [0; 4];
    socket.get(level, option, &mut bytes)?;
    Ok(i32::from_le_bytes(bytes))
}

#[test]
fn a_connection_carries_bytes_both_ways() {
    let _one = begin();
    let (client, server) = pair();
    assert_eq!(client.send(b"hello", None, 0), Ok(5));
    assert_eq!(read(&*server, 3, MSG_PEEK), Ok(b"hel".to_vec()));
    assert_eq!(read(&*server, 3, 0), Ok(b"hel".to_vec()));
    assert_eq!(server.available(), Ok(2));
    assert_eq!(read(&*server, 10, 0), Ok(b"lo".to_vec()));
    assert_eq!(read(&*server, 10, MSG_DONTWAIT), Err(libc::EAGAIN));
    assert_eq!(server.send(b"bye", None, 0), Ok(3));
    assert_eq!(client.shutdown(SHUT_WR), Ok(()));
    assert_eq!(read(&*server, 10, 0), Ok(vec![]));
    assert_eq!(client.send(b"x", None, 0), Err(libc::EPIPE));
    assert_eq!(read(&client, 10, 0), Ok(b"bye".to_vec()));
    drop(server);
    assert_eq!(read(&client, 10, 0), Ok(vec![]));
}

#[test]
fn a_blocking_send_takes_everything() {
    let _one = begin();
    let (client, server) = pair();
    let sender = thread::spawn(move || client.send(&vec![7; 1 << 20], None, 0));
    let mut count = 0;
    while count < 1 << 20 {
        let bytes = read(&*server, 1 << 16, 0).expect("bytes");
        assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 7));
        count += bytes.len();
    }
    assert_eq!(sender.join().expect("no panic"), Ok(1 << 20));
}

#[test]
fn a_refused_connection_says_so_once_and_can_be_tried_again() {
    let _one = begin();
    let (_closed, address) = closed();
    let client = Tcp::new(Family::V4);
    assert_eq!(client.connect(&address, true), Err(libc::ECONNREFUSED));
    assert_eq!(integer(&client, SOL_SOCKET, libc::SO_ERROR), Ok(0));
    assert_eq!(client.connect(&address, false), Err(libc::EINPROGRESS));
    assert_eq!(client.send(b"x", None, 0), Err(libc::ECONNREFUSED));
    assert_eq!(client.send(b"x", None, 0), Err(libc::EPIPE));
    assert_eq!(read(&client, 1, 0), Ok(vec![]));
    let (listener, address) = listener();
    assert_eq!(client.connect(&address, true), Ok(()));
    assert_eq!(client.connect(&address, true), Err(libc::EISCONN));
    assert!(listener.accept(true).is_ok());
}

#[test]
fn states_have_their_errors() {
    let _one = begin();
    let socket = Tcp::new(Family::V4);
    assert_eq!(socket.send(b"x", None, 0), Err(libc::EPIPE));
    assert_eq!(read(&socket, 1, 0), Err(libc::ENOTCONN));
    assert_eq!(socket.accept(true).err(), Some(libc::EINVAL));
    assert_eq!(socket.shutdown(SHUT_RDWR), Err(libc::ENOTCONN));
    assert_eq!(socket.peer(), Err(libc::ENOTCONN));
    assert_eq!(port(Family::V4, socket.local()), 0);
    assert_eq!(socket.bind(&name("127.0.0.1:0")), Ok(()));
    assert_eq!(socket.bind(&name("127.0.0.1:0")), Err(libc::EINVAL));
    assert_ne!(port(Family::V4, socket.local()), 0);
    let other = Tcp::new(Family::V4);
    let taken = socket.local().expect("bound");
    assert_eq!(other.bind(taken.bytes()), Err(libc::EADDRINUSE));
    assert_eq!(other.bind(&name("192.0.2.1:0")), Err(libc::EADDRNOTAVAIL));
    assert_eq!(socket.listen(0), Ok(()));
    assert_eq!(socket.accept(false).err(), Some(libc::EAGAIN));
    assert_eq!(read(&socket, 1, 0), Err(libc::ENOTCONN));
    assert_eq!(socket.connect(taken.bytes(), true), Err(libc::EISCONN));
    assert_eq!(socket.shutdown(SHUT_RD), Ok(()));
    assert_eq!(socket.accept(true).err(), Some(libc::EINVAL));
}

#[test]
fn datagrams_keep_their_bounds_and_senders() {
    let _one = begin();
    let (server, client) = (Udp::new(Family::V4), Udp::new(Family::V4));
    assert_eq!(server.bind(&name("127.0.0.1:0")), Ok(()));
    let to = server.local().expect("bound").bytes().to_vec();
    assert_eq!(client.send(b"x", None, 0), Err(libc::EDESTADDRREQ));
    for text in [&b"one"[..], b"", b"three"] {
        assert_eq!(client.send(text, Some(&to), 0), Ok(text.len()));
    }
    let mut bytes = [0; 2];
    let mut from = Name::NONE;
    let cut = Received { len: 2, whole: 3 };
    let port = port(Family::V4, client.local());
    for flags in [MSG_PEEK, 0] {
        assert_eq!(server.receive(&mut bytes, flags, Some(&mut from)), Ok(cut));
        assert_eq!(
            (&bytes, from.bytes()),
            (b"on", &*name(&format!("127.0.0.1:{port}")))
        );
    }
    assert_eq!(read(&server, 9, 0), Ok(vec![]));
    assert_eq!(server.available(), Ok(5));
    assert_eq!(read(&server, 9, 0), Ok(b"three".to_vec()));
    assert_eq!(read(&server, 9, MSG_DONTWAIT), Err(libc::EAGAIN));
}

#[test]
fn a_connected_datagram_socket_hears_of_refusals() {
    let _one = begin();
    let (closed, client) = (Udp::new(Family::V4), Udp::new(Family::V4));
    assert_eq!(closed.bind(&name("127.0.0.1:0")), Ok(()));
    let to = closed.local().expect("bound").bytes().to_vec();
    // While the port is taken: the client gets another.
    assert_eq!(client.bind(&name("127.0.0.1:0")), Ok(()));
    drop(closed);
    assert_eq!(client.connect(&to, true), Ok(()));
    assert_eq!(client.peer().expect("connected").bytes(), to);
    assert_eq!(client.send(b"x", None, 0), Ok(1));
    assert_eq!(read(&client, 9, 0), Err(libc::ECONNREFUSED));
    assert_eq!(read(&client, 9, MSG_DONTWAIT), Err(libc::EAGAIN));
    let nowhere = (libc::AF_UNSPEC as u16).to_le_bytes();
    assert_eq!(client.connect(&nowhere, true), Ok(()));
    assert_eq!(client.peer(), Err(libc::ENOTCONN));
}

#[test]
fn options_are_kept_and_checked() {
    let _one = begin();
    let (tcp, udp) = (Tcp::new(Family::V4), Udp::new(Family::V6));
    let on = 1_i32.to_le_bytes();
    let set = |socket: &dyn Socket, level, option, value: i32| {
        socket.set(level, option, &value.to_le_bytes())?;
        integer(socket, level, option)
    };
    assert_eq!(integer(&tcp, libc::IPPROTO_TCP, libc::TCP_NODELAY), Ok(0));
    assert_eq!(set(&tcp, libc::IPPROTO_TCP, libc::TCP_NODELAY, 7), Ok(1));
    assert_eq!(set(&tcp, SOL_SOCKET, libc::SO_RCVBUF, 10_000), Ok(20_000));
    assert_eq!(set(&tcp, SOL_SOCKET, libc::SO_RCVBUF, 1), Ok(2304));
    assert_eq!(
        set(&tcp, libc::IPPROTO_IP, libc::IP_TTL, 256),
        Err(libc::EINVAL)
    );
    assert_eq!(set(&tcp, libc::IPPROTO_IP, libc::IP_TTL, 5), Ok(5));
    assert_eq!(set(&tcp, libc::IPPROTO_IP, libc::IP_TTL, -1), Ok(64));
    let not_there = Err(libc::ENOPROTOOPT);
    assert_eq!(
        tcp.set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &on),
        not_there
    );
    assert_eq!(
        udp.set(libc::IPPROTO_TCP, libc::TCP_NODELAY, &on),
        not_there
    );
    assert_eq!(tcp.set(SOL_SOCKET, libc::SO_ERROR, &on), not_there);
    assert_eq!(tcp.set(SOL_SOCKET, 9999, &on), not_there);
    // It would have no effect.
    assert_eq!(udp.set(libc::IPPROTO_IP, libc::IP_PKTINFO, &on), not_there);
    assert_eq!(udp.set(SOL_SOCKET, libc::SO_TIMESTAMP, &on), not_there);
    assert_eq!(
        tcp.set(SOL_SOCKET, libc::SO_KEEPALIVE, &on[..3]),
        Err(libc::EINVAL)
    );
    assert_eq!(set(&udp, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1), Ok(1));
    let mut time = [0; 16];
    (time[0], time[8]) = (1, 5);
    assert_eq!(tcp.set(SOL_SOCKET, libc::SO_RCVTIMEO, &time), Ok(()));
    let mut got = [9; 16];
    assert_eq!(tcp.get(SOL_SOCKET, libc::SO_RCVTIMEO, &mut got), Ok(16));
    assert_eq!(got, time);
}

#[test]
fn both_families_have_a_port_each_if_ipv6_is_alone() {
    let _one = begin();
    let on = 1_i32.to_le_bytes();
    let bound = |family, only_v6, name: &[u8]| {
        let socket = Tcp::new(family);
        if only_v6 {
            socket.set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &on)?;
        }
        socket.bind(name).map(|()| socket)
    };
    let v4 = bound(Family::V4, false, &name("0.0.0.0:0")).expect("a port");
    let port = port(Family::V4, v4.local());
    let all = name(&format!("[::]:{port}"));
    let (v6, again) = (Family::V6, Err(libc::EADDRINUSE));
    assert_eq!(bound(v6, false, &all).map(|_| ()), again);
    let alone = bound(v6, true, &all).expect("the same port");
    assert_eq!(bound(v6, true, &all).map(|_| ()), again);
    assert_eq!((v4.listen(1), alone.listen(1)), (Ok(()), Ok(())));
    let client = Tcp::new(v6);
    let mapped = name(&format!("[::ffff:127.0.0.1]:{port}"));
    assert_eq!(client.connect(&mapped, true), Ok(()));
    assert_eq!(alone.accept(false).err(), Some(libc::EAGAIN));
    assert!(v4.accept(true).is_ok());
    assert_eq!(client.peer().map(|name| name.bytes().to_vec()), Ok(mapped));
}

#[test]
fn a_timeout_ends_a_wait() {
    let _one = begin();
    let (client, server) = pair();
    let mut time = [0; 16];
    time[8] = 100;
    assert_eq!(client.set(SOL_SOCKET, libc::SO_RCVTIMEO, &time), Ok(()));
    assert_eq!(read(&client, 1, 0), Err(libc::EAGAIN));
    assert_eq!(server.send(b"x", None, 0), Ok(1));
    time = [0; 16];
    assert_eq!(client.set(SOL_SOCKET, libc::SO_RCVTIMEO, &time), Ok(()));
    assert_eq!(read(&client, 1, 0), Ok(b"x".to_vec()));
}

/// A server that has responded checks for the next request without another poll of the network; for
/// a program that only tries, each try polls it.
#[test]
fn the_network_is_polled_for_a_try_only_without_progress() {
    use super::attempts::{Halt, Patience, decode, retry};
    let _guard = begin();
    let tries = |succeeds: bool| {
        let mut count = 0;
        let outcome = retry(Patience::None, Lent::NONE, |_| {
            count += 1;
            match succeeds {
                true => Ok(()),
                false => Err(Halt::Park(decode(0)?, platform::Direction::Read)),
            }
        });
        assert_eq!(outcome.is_ok(), succeeds);
        count
    };
    tries(false);
    assert_eq!([tries(false), tries(false)], [2, 2]);
    assert_eq!([tries(true), tries(false), tries(false)], [1, 1, 2]);
}

#[test]
fn the_shutdown_of_a_listener_ends_the_wait_for_a_connection() {
    let _one = begin();
    let (listener, _) = listener();
    thread::scope(|scope| {
        let accepting = scope.spawn(|| listener.accept(true).err());
        let watching = scope.spawn(|| {
            let poll = |rt: &mut Runtime| Ok(Some(listener.events(rt)).filter(|it| !it.is_empty()));
            wait_for(None, libc::EINTR, poll)
        });
        thread::sleep(Duration::from_millis(20));
        assert_eq!(listener.shutdown(SHUT_RDWR), Ok(()));
        assert_eq!(accepting.join().expect("no panic"), Some(libc::EINVAL));
        let events = watching.join().expect("no panic");
        assert_eq!(events, Ok(Some(Events::WRITABLE | Events::HUP)));
    });
    assert_eq!(listener.listen(5), Ok(()), "it may listen again");
}

#[test]
fn the_shutdown_of_an_attempt_to_connect_is_a_reset() {
    let _one = begin();
    let (listener, address) = listener();
    let mut errors = vec![];
    // The network is polled concurrently: an attempt may have succeeded.
    while !errors.contains(&Ok(libc::ECONNRESET)) {
        let client = Tcp::new(Family::V4);
        assert_eq!(client.connect(&address, false), Err(libc::EINPROGRESS));
        let again = client.connect(&address, false);
        assert!(matches!(again, Err(libc::EALREADY) | Ok(())), "{again:?}");
        assert_eq!(client.shutdown(SHUT_WR), Ok(()));
        let error = || integer(&client, SOL_SOCKET, libc::SO_ERROR);
        errors.push(error());
        assert_eq!(error(), Ok(0), "it was told");
        assert!(errors.len() < 100, "{errors:?}");
        let _ = listener.accept(false);
    }
}

#[test]
fn a_listener_that_was_shut_down_keeps_its_port_but_takes_no_connections() {
    let _one = begin();
    let (other, address) = listener();
    drop(other);
    for is_bound in [true, false] {
        let listener = Tcp::new(Family::V4);
        if is_bound {
            assert_eq!(listener.bind(&address), Ok(()));
        }
        assert_eq!(listener.listen(5), Ok(()));
        let there = listener.local().expect("bound").bytes().to_vec();
        // While the port is taken: the client gets another.
        let client = Tcp::new(Family::V4);
        assert_eq!(client.bind(&name("127.0.0.1:0")), Ok(()));
        assert_eq!(integer(&listener, SOL_SOCKET, libc::SO_ACCEPTCONN), Ok(1));
        assert_eq!(listener.shutdown(SHUT_WR), Ok(()), "it never sends");
        assert_eq!(integer(&listener, SOL_SOCKET, libc::SO_ACCEPTCONN), Ok(1));
        assert_eq!(listener.shutdown(SHUT_RD), Ok(()));
        assert_eq!(integer(&listener, SOL_SOCKET, libc::SO_ACCEPTCONN), Ok(0));
        assert_eq!(listener.accept(false).err(), Some(libc::EINVAL));
        assert_eq!(listener.shutdown(SHUT_RD), Err(libc::ENOTCONN));
        let to = if is_bound { &address } else { &there };
        assert_eq!(client.connect(to, true), Err(libc::ECONNREFUSED));
        // It prevents a free port from being chosen again.
        let holder = Tcp::new(Family::V4);
        let taken = holder.bind(to).err();
        assert_eq!(taken, is_bound.then_some(libc::EADDRINUSE));
        assert_eq!(listener.listen(5), Ok(()));
        let to = listener.local().expect("bound").bytes().to_vec();
        assert_eq!(to == there, is_bound);
        assert_eq!(client.connect(&to, true), Ok(()));
        assert!(listener.accept(true).is_ok());
    }
}

fn events(socket: &dyn Socket) -> Events {
    now(|rt| Ok::<_, Errno>(socket.events(rt))).expect("the runtime")
}

/// Linux's `tcp_poll`.
#[test]
fn a_connection_has_linuxs_events() {
    const IN: Events = Events::READABLE;
    const OUT: Events = Events::WRITABLE;
    const ENDED: Events = Events::READABLE.union(Events::RDHUP);
    let _one = begin();
    let new = Tcp::new(Family::V4);
    assert_eq!(
        new.kind(),
        [libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP]
    );
    assert_eq!(events(&new), OUT | Events::HUP);
    let (client, server) = pair();
    assert_eq!(events(&client), OUT);
    assert_eq!(server.send(b"x", None, 0), Ok(1));
    assert_eq!(events(&client), IN | OUT);
    assert_eq!(server.shutdown(SHUT_WR), Ok(()));
    assert_eq!(events(&client), IN | OUT, "the byte comes first");
    assert_eq!(read(&client, 1, 0), Ok(b"x".to_vec()));
    assert_eq!(events(&client), ENDED | OUT);
    assert_eq!(events(&*server), OUT);
    assert_eq!(server.shutdown(SHUT_RD), Ok(()));
    assert_eq!(events(&*server), ENDED | OUT);
    // Unread bytes are lost with the connection: it is reset.
    let (client, server) = pair();
    assert_eq!(client.send(b"x", None, 0), Ok(1));
    server.close();
    let reset = ENDED | OUT | Events::HUP;
    assert_eq!(events(&client), reset | Events::ERR);
    let error = || integer(&client, SOL_SOCKET, libc::SO_ERROR);
    assert_eq!([error(), error()], [Ok(libc::ECONNRESET), Ok(0)]);
    assert_eq!(events(&client), reset);
    // A connection that is refused.
    let (_closed, address) = closed();
    let client = Tcp::new(Family::V4);
    assert_eq!(client.connect(&address, false), Err(libc::EINPROGRESS));
    while events(&client).is_empty() {
        thread::yield_now();
    }
    assert_eq!(events(&client), reset | Events::ERR);
    let error = || integer(&client, SOL_SOCKET, libc::SO_ERROR);
    assert_eq!([error(), error()], [Ok(libc::ECONNREFUSED), Ok(0)]);
    assert_eq!(events(&client), reset);
}

/// A read of less than the requested length means that there is no more (epoll(7)): no further read
/// needs to fail before the next edge.
#[test]
fn each_arrival_is_an_edge() {
    let _one = begin();
    let (client, server) = pair();
    let changes = || now(|rt| Ok::<_, Errno>(client.changes(rt))).expect("the runtime");
    let mut before = changes();
    for _ in 0..2 {
        assert_eq!(changes(), before);
        assert_eq!(server.send(b"x", None, 0), Ok(1));
        assert_ne!(changes(), before);
        assert_eq!(read(&client, 9, 0), Ok(b"x".to_vec()));
        before = changes();
    }
}

fn set_timeout(socket: &dyn Socket, option: i32, ms: u64) {
    let mut time = [0; 16];
    time[8..].copy_from_slice(&(ms * 1000).to_le_bytes());
    assert_eq!(socket.set(SOL_SOCKET, option, &time), Ok(()));
}

#[test]
fn what_was_transferred_before_a_wait_failed_is_told() {
    let _one = begin();
    let (client, server) = pair();
    assert_eq!(client.send(b"abc", None, 0), Ok(3));
    let wait = libc::MSG_WAITALL;
    assert_eq!(read(&*server, 8, wait | MSG_PEEK), Ok(b"abc".to_vec()));
    set_timeout(&*server, libc::SO_RCVTIMEO, 20);
    assert_eq!(read(&*server, 8, wait), Ok(b"abc".to_vec()));
    assert_eq!(read(&*server, 8, wait), Err(libc::EAGAIN));
    set_timeout(&*server, libc::SO_RCVTIMEO, 0);
    thread::scope(|scope| {
        let reading = scope.spawn(|| read(&*server, 4, wait));
        for part in [b"ab", b"cd", b"ef"] {
            thread::sleep(Duration::from_millis(5));
            assert_eq!(client.send(part, None, 0), Ok(2));
        }
        assert_eq!(reading.join().expect("no panic"), Ok(b"abcd".to_vec()));
    });
    assert_eq!(read(&*server, 9, 0), Ok(b"ef".to_vec()));
    let much = vec![0; 64 << 20];
    for flags in [0, MSG_DONTWAIT] {
        let (client, _server) = pair();
        set_timeout(&client, libc::SO_SNDTIMEO, 20);
        // The receiver's memory takes some of it before it is full.
        let mut sent = vec![];
        let failed = loop {
            match client.send(&much, None, flags) {
                Ok(n) => sent.push(n),
                Err(errno) => break errno,
            }
        };
        assert_eq!(failed, libc::EAGAIN);
        assert!(!sent.is_empty() && !sent.contains(&0), "{sent:?}");
        assert!(sent.iter().sum::<usize>() < much.len(), "{sent:?}");
    }
}

#[test]
fn a_connection_has_a_segment_size_and_a_peer_until_its_reset() {
    let _one = begin();
    let size = |socket: &dyn Socket| integer(socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG);
    let (listener, address) = listener();
    assert_eq!(listener.available(), Err(libc::EINVAL));
    let mut sizes = vec![];
    for most in [0_i32, 1000] {
        let client = Tcp::new(Family::V4);
        let initial = size(&client);
        if most > 0 {
            let value = most.to_le_bytes();
            let set = client.set(libc::IPPROTO_TCP, libc::TCP_MAXSEG, &value);
            assert_eq!((initial, set), (Ok(536), Ok(())));
        }
        assert_eq!(client.connect(&address, false), Err(libc::EINPROGRESS));
        let (server, _) = listener.accept(true).expect("a connection");
        assert_eq!(client.connect(&address, true), Ok(()));
        sizes.extend([size(&client), size(&*server)]);
        assert!(client.peer().is_ok());
        assert_eq!(client.send(b"unread", None, 0), Ok(6));
        server.close();
        assert_eq!(client.peer(), Err(libc::ENOTCONN));
    }
    let [free, _, bounded, at_server] = sizes[..] else {
        return;
    };
    assert!(free > Ok(1000), "{sizes:?}");
    assert!(bounded <= Ok(1000) && at_server <= Ok(1000), "{sizes:?}");
}

#[test]
fn a_bound_socket_connects_from_its_port() {
    let _one = begin();
    let (listener, address) = listener();
    let client = Tcp::new(Family::V4);
    assert_eq!(client.bind(&name("127.0.0.1:0")), Ok(()));
    let from = client.local();
    assert_eq!(client.connect(&address, true), Ok(()));
    assert_eq!(client.local(), from);
    let (server, peer) = listener.accept(true).expect("a connection");
    assert_eq!((Ok(peer), server.peer()), (from, from));
}

/// Linux's loopback delivers before the call returns.
#[test]
fn what_is_sent_to_the_host_itself_has_arrived() {
    let _one = begin();
    let (client, server) = pair();
    for (from, to) in [(&client as &dyn Socket, &*server), (&*server, &client)] {
        // A successful attempt isn't followed by another poll of the network.
        assert_eq!(from.send(b"x", None, 0), Ok(1));
        assert_eq!(read(to, 9, MSG_DONTWAIT), Ok(b"x".to_vec()));
    }
    assert_eq!(server.shutdown(SHUT_WR), Ok(()));
    assert_eq!(read(&client, 1, MSG_DONTWAIT), Ok(vec![]));
    client.close();
    assert_eq!(read(&*server, 1, MSG_DONTWAIT), Ok(vec![]));
}

/// A program that only tries polls the network.
#[test]
fn tries_alone_establish_a_connection() {
    let _one = begin();
    let (listener, address) = listener();
    let client = Tcp::new(Family::V4);
    assert_eq!(client.connect(&address, false), Err(libc::EINPROGRESS));
    let tries = (0..3).map(|_| listener.accept(false).is_ok());
    assert_eq!(tries.filter(|done| *done).count(), 1);
    assert_eq!(client.connect(&address, false), Ok(()));
}
