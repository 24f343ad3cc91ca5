//! Clients that are slow, many, or gone.

use super::{MAX_CLIENTS, OwnedFd, PATIENCE_NS, Screens, listener};
use crate::Host;
use core::ptr::NonNull;
use platform::Clock as _;
use platform::display::{Buffer, BufferId, Event, Rectangle};
use platform::input::{SYN_DROPPED, kind};
use std::io::{Read as _, Write as _};
use std::os::fd::IntoRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

/// What a client sends before its first request.
const OPENING: &[u8] = b"RFB 003.008\n\x01\x01";
const REQUEST: &[u8] = &[3, 1, 0, 0, 0, 0, 255, 255, 255, 255];

/// A display of 64 by 48 pixels, and the address of its socket.
fn start(name: &str) -> (Screens, SocketAddr) {
    let name = format!("soil-{name}-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).expect("short");
    let socket = UnixListener::bind_addr(&address).expect("an address");
    let mut screens = Screens::new(&[(64, 48)]);
    screens.screens[0].listen(listener(socket.into_raw_fd()).expect("a listener"));
    (screens, address)
}

fn client(address: &SocketAddr, messages: &[&[u8]]) -> UnixStream {
    let mut client = UnixStream::connect_addr(address).expect("room");
    client.set_nonblocking(true).expect("a socket");
    client.write_all(&messages.concat()).expect("room");
    client
}

/// Reads what was sent; whether the connection is open.
fn drain(client: &mut UnixStream) -> (usize, bool) {
    let (mut all, mut bytes) = (0, [0; 1 << 16]);
    loop {
        match client.read(&mut bytes) {
            Ok(0) => return (all, false),
            Ok(len) => all += len,
            Err(_) => return (all, true),
        }
    }
}

/// Shows a picture of this size and colour.
fn show(screens: &mut Screens, frame: u64, side: u32, colour: u32) {
    let mut pixels = vec![colour; (side * side) as usize];
    let buffer = Buffer {
        id: BufferId(frame as u32),
        pixels: NonNull::new(pixels.as_mut_ptr()).expect("memory"),
        width: side,
        height: side,
        stride: side,
    };
    let whole = [Rectangle::of(side, side)];
    screens.screens[0].present(&buffer, whole.into_iter(), frame);
}

fn events(screens: &mut Screens) -> Vec<Event> {
    screens.serve();
    core::mem::take(&mut screens.screens[0].events)
}

fn presented(frame: u64) -> Event {
    Event::Presented(frame, Ok(()))
}

#[test]
fn a_frame_waits_for_the_clients_that_take_updates() {
    let (mut screens, address) = start("pace");
    show(&mut screens, 1, 16, 1);
    assert_eq!(events(&mut screens), [presented(1)]);
    // Nothing waits for a client that has requested no update.
    let mut quick = client(&address, &[OPENING]);
    show(&mut screens, 2, 16, 2);
    assert_eq!(events(&mut screens), [presented(2)]);
    quick.write_all(REQUEST).expect("room");
    assert!(events(&mut screens).is_empty());
    assert!(drain(&mut quick).0 > 4 * 16 * 16);
    show(&mut screens, 3, 16, 3);
    show(&mut screens, 4, 16, 4);
    assert_eq!(events(&mut screens), []);
    assert!(screens.screens[0].deadline().is_some());
    quick.write_all(REQUEST).expect("room");
    assert_eq!(events(&mut screens), [presented(3), presented(4)]);
    assert_eq!(screens.screens[0].deadline(), None);
    // It isn't waited for for ever, and then not at all until its next request.
    show(&mut screens, 5, 16, 5);
    let now = Host::monotonic_ns();
    screens.screens[0].until_ns = now;
    assert_eq!(events(&mut screens), [presented(5)]);
    show(&mut screens, 6, 16, 6);
    assert!(screens.screens[0].until_ns >= now + PATIENCE_NS);
    assert_eq!(events(&mut screens), [presented(6)]);
    quick.write_all(REQUEST).expect("room");
    assert!(events(&mut screens).is_empty());
    show(&mut screens, 7, 16, 7);
    assert_eq!(events(&mut screens), []);
    drop(quick);
    assert_eq!(events(&mut screens), [presented(7)]);
}

#[test]
fn a_client_that_does_not_read_costs_a_part_of_an_update() {
    let (mut screens, address) = start("stall");
    let whole = [3, 0, 0, 0, 0, 0, 255, 255, 255, 255];
    let mut slow = client(&address, &[OPENING, &whole]);
    for frame in 1..20 {
        show(&mut screens, frame, 1024, frame as u32);
        screens.screens[0].until_ns = 0;
        assert_eq!(events(&mut screens), [presented(frame)]);
        assert!(screens.screens[0].clients[0].session.is_sending());
    }
    let mut all = 0;
    while screens.screens[0].waits() || screens.screens[0].clients[0].session.is_sending() {
        all += drain(&mut slow).0;
        screens.serve();
    }
    assert!((1..2 << 22).contains(&all), "{all} bytes");
}

#[test]
fn a_client_more_replaces_the_most_silent() {
    let (mut screens, address) = start("many");
    let mut clients = Vec::new();
    for _ in 0..MAX_CLIENTS {
        clients.push(client(&address, &[OPENING]));
        screens.serve();
    }
    clients[0].write_all(REQUEST).expect("room");
    screens.serve();
    let mut more = client(&address, &[OPENING]);
    screens.serve();
    let open: Vec<bool> = clients.iter_mut().map(|client| drain(client).1).collect();
    assert_eq!(open, [true, false, true, true]);
    assert!(drain(&mut more).1);
}

#[test]
fn a_client_that_sends_nonsense_is_closed_and_its_keys_released() {
    let (mut screens, address) = start("nonsense");
    let key = [4, 1, 0, 0, 0, 0, 0, 0x61];
    let mut bad = client(&address, &[OPENING, &key, &[5, 1, 0, 0, 0, 0]]);
    screens.serve();
    bad.write_all(&[99]).expect("room");
    screens.serve();
    assert!(!drain(&mut bad).1);
    let codes = |screens: &Screens, device: usize| -> Vec<(u16, u16, i32)> {
        let events = screens.devices[device].events.iter();
        events
            .map(|event| (event.kind, event.code, event.value))
            .collect()
    };
    assert_eq!(
        codes(&screens, 0),
        [(1, 30, 1), (0, 0, 0), (1, 30, 0), (0, 0, 0)]
    );
    let pointer = [
        (3, 0, 0),
        (3, 1, 0),
        (1, 0x110, 1),
        (0, 0, 0),
        (1, 0x110, 0),
        (0, 0, 0),
    ];
    assert_eq!(codes(&screens, 1), pointer);
    let times = |device: usize| {
        screens.devices[device]
            .events
            .iter()
            .map(|event| event.time_ns)
    };
    let (keys, moves): (Vec<u64>, Vec<u64>) = (times(0).collect(), times(1).collect());
    assert!(keys[0] < moves[0] && moves[3] < keys[2] && keys[2] < moves[4]);
}

#[test]
fn events_that_have_no_room_are_lost_with_a_notice() {
    let (mut screens, address) = start("lost");
    let mut client = client(&address, &[OPENING]);
    for x in 0..2000 {
        client
            .write_all(&[5, 0, 0, (x % 64) as u8, 0, 0])
            .expect("room");
        screens.serve();
    }
    let events = &screens.devices[1].events;
    assert!(events.len() <= 1024);
    let first = events.front().map(|event| (event.kind, event.code));
    assert_eq!(first, Some((kind::SYN, SYN_DROPPED)));
}

#[test]
fn a_size_is_the_clients_within_limits() {
    let (mut screens, address) = start("size");
    let mut client = client(&address, &[OPENING]);
    for (wanted, expected) in [((800, 600), (800, 600)), ((3, 9000), (16, 8192))] {
        let (width, height): (u16, u16) = wanted;
        let [w1, w2] = width.to_be_bytes();
        let [h1, h2] = height.to_be_bytes();
        let message = [251, 0, w1, w2, h1, h2, 0, 0];
        client
            .write_all(&[message, message].concat())
            .expect("room");
        assert_eq!(events(&mut screens), [Event::Changed]);
        let state = &screens.screens[0].state;
        assert_eq!((state.width, state.height), expected);
    }
}

#[test]
fn only_a_listening_socket_is_taken() {
    let (one, _other) = UnixStream::pair().expect("sockets");
    let fd = OwnedFd(one.into_raw_fd());
    assert!(listener(fd.0).is_err());
}
