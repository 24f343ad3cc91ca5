//! A viewer that doesn't read, and one that ends.

use super::{ENDED, MAX_BUFFERS, MAX_EVENTS, Memory, OTHER_VERSION, OwnedFd, Peer, Viewer, send};
use platform::display;
use platform::error::{Error, Stop};
use platform::input::{SYN_DROPPED, SYN_REPORT, kind};
use std::vec::Vec;
use viewer::{Event, Kind, MAX_MESSAGE, Request};

/// The process's end, once the viewer has announced a display and two devices.
fn connect() -> (Peer, OwnedFd) {
    let mut ends = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `ends` has room for both.
    let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
    assert_eq!(made, 0);
    let [ours, theirs] = ends;
    let theirs = OwnedFd(theirs);
    let (device, kind) = (0, Kind::Keyboard);
    put(&theirs, &Event::Device { device, kind });
    let (device, kind) = (1, Kind::Pointer { display: 0 });
    put(&theirs, &Event::Device { device, kind });
    let (display, width, height) = (0, 640, 480);
    put(
        &theirs,
        &Event::Display {
            display,
            width,
            height,
        },
    );
    put(&theirs, &Event::Ready);
    (Viewer::connect(ours).expect("a viewer"), theirs)
}

fn put(to: &OwnedFd, event: &Event) {
    send(to.0, &event.encode(), None).expect("room");
}

/// Takes the requests that have arrived, and then those that were held back.
fn take_all(from: &OwnedFd, peer: &Peer) -> Vec<Request> {
    let mut all = Vec::new();
    let mut bytes = [0; MAX_MESSAGE];
    loop {
        let flags = libc::MSG_DONTWAIT;
        // SAFETY: writes within `bytes`.
        let len = unsafe { libc::recv(from.0, bytes.as_mut_ptr().cast(), bytes.len(), flags) };
        match usize::try_from(len) {
            Ok(len) => all.push(Request::decode(&bytes[..len]).expect("a request")),
            Err(_) if peer.borrow().unsent.is_empty() => return all,
            Err(_) => peer.borrow_mut().flush(),
        }
    }
}

fn cursor_at(x: u32) -> Request {
    let (display, y) = (0, 0);
    Request::Move { display, x, y }
}

fn buffer(buffer: u32) -> Request {
    let (display, width, height, stride) = (0, 16, 16, 16);
    Request::Buffer {
        display,
        buffer,
        width,
        height,
        stride,
    }
}

fn present(buffer: u32) -> Request {
    let (display, frame, damage) = (0, buffer.into(), Vec::new());
    Request::Present {
        display,
        buffer,
        frame,
        damage,
    }
}

#[test]
fn a_cursor_may_move_faster_than_the_viewer_reads() {
    let (peer, theirs) = connect();
    for x in 0..10_000 {
        peer.borrow_mut().send(cursor_at(x));
    }
    assert_eq!(peer.borrow().check(), Ok(()));
    assert_eq!(peer.borrow().unsent.len(), 1);
    assert_eq!(take_all(&theirs, &peer).last(), Some(&cursor_at(9999)));
}

#[test]
fn of_requests_that_replace_each_other_the_last_one_waits() {
    let (peer, theirs) = connect();
    let memory = Memory::new(4096).expect("memory");
    let add = |number| peer.borrow_mut().add_buffer(buffer(number), &memory);
    let mut filling = 0;
    while peer.borrow().unsent.is_empty() {
        peer.borrow_mut().send(cursor_at(filling));
        filling += 1;
    }
    let display = 0;
    let cursor = |pixel| Request::Cursor {
        display,
        hot_spot: (0, 0),
        image: alloc::vec![pixel; 64 * 64],
    };
    add(1).expect("room");
    for request in [
        cursor(1),
        Request::Hide { display },
        present(1),
        Request::Disable { display },
        cursor_at(7),
        Request::Disable { display: 1 },
        Request::Disable { display },
        cursor(2),
    ] {
        peer.borrow_mut().send(request);
    }
    // The viewer needn't know of a buffer that is released before it was announced.
    add(2).expect("room");
    peer.borrow_mut().release_buffer(display, 2);
    // A frame is acknowledged, even if its buffer is released.
    peer.borrow_mut().release_buffer(display, 1);
    let all = take_all(&theirs, &peer);
    let expected = [
        buffer(1),
        present(1),
        cursor_at(7),
        Request::Disable { display: 1 },
        Request::Disable { display },
        cursor(2),
        Request::Release { display, buffer: 1 },
    ];
    assert_eq!(all[filling as usize - 1..], expected);
}

#[test]
fn a_process_has_as_many_buffers_as_the_viewer_takes() {
    let (peer, theirs) = connect();
    let memory = Memory::new(4096).expect("memory");
    let add = |number| peer.borrow_mut().add_buffer(buffer(number), &memory);
    for number in 0..MAX_BUFFERS as u32 {
        add(number).expect("room");
    }
    let refused = add(1000).expect_err("too many");
    assert_eq!(refused.error, Error::TooManyOpen);
    assert_eq!(peer.borrow().check(), Ok(()));
    peer.borrow_mut().release_buffer(0, 3);
    add(1001).expect("room again");
    assert_eq!(take_all(&theirs, &peer).len(), MAX_BUFFERS + 2);
}

#[test]
fn what_a_viewer_sent_before_its_end_counts() {
    // Its end is detected by its messages, and by messages that it no longer accepts.
    let notice: [fn(&mut Viewer); 2] = [Viewer::receive, |viewer| viewer.send(cursor_at(2))];
    for notice in notice {
        let (peer, theirs) = connect();
        peer.borrow_mut().displays[0].presents.extend([5, 6]);
        let (display, frame) = (0, 5);
        put(&theirs, &Event::Presented { display, frame });
        // The socket is closed with an unread request.
        peer.borrow_mut().send(cursor_at(1));
        drop(theirs);
        let mut peer = peer.borrow_mut();
        notice(&mut peer);
        let failure = peer.check().expect_err("the viewer has ended");
        assert_eq!(failure.detail, ENDED);
        let display = &peer.displays[0];
        assert!(!display.state.connected);
        let expected = [
            display::Event::Presented(5, Ok(())),
            display::Event::Presented(6, Err(failure)),
            display::Event::Changed,
        ];
        assert_eq!(display.events, expected);
    }
}

#[test]
fn events_that_have_no_room_are_lost_with_a_notice() {
    let (peer, theirs) = connect();
    let mut peer = peer.borrow_mut();
    let device = 0;
    let key = |n| (1, n as u16, 1);
    for n in 0..2 * MAX_EVENTS {
        let events = alloc::vec![key(n)];
        put(&theirs, &Event::Input { device, events });
        peer.receive();
        assert!(peer.devices[0].events.len() <= MAX_EVENTS);
    }
    let events = &peer.devices[0].events;
    let groups: Vec<_> = events
        .iter()
        .map(|event| (event.kind, event.code))
        .collect();
    let dropped = [(kind::SYN, SYN_DROPPED), (kind::SYN, SYN_REPORT)];
    assert_eq!(groups[..2], dropped, "what was kept before counts as lost");
    let (kept, last) = (&groups[2..], 2 * MAX_EVENTS as u16);
    let expected = (last - kept.len() as u16 / 2..last).flat_map(|n| [(1, n), dropped[1]]);
    assert!(kept.iter().copied().eq(expected), "{kept:?}");
}

#[test]
fn events_of_all_devices_are_in_one_order() {
    let (peer, theirs) = connect();
    for number in 0..100 {
        let (device, events) = (number % 2, alloc::vec![(1, number as u16, 1)]);
        put(&theirs, &Event::Input { device, events });
    }
    let mut peer = peer.borrow_mut();
    peer.receive();
    let all = peer.devices.iter().flat_map(|device| &device.events);
    let mut keys: Vec<_> = all.filter(|event| event.kind == 1).collect();
    keys.sort_by_key(|event| event.time_ns);
    assert!(keys.windows(2).all(|two| two[0].time_ns < two[1].time_ns));
    assert!(keys.iter().map(|event| event.code).eq(0..100));
}

#[test]
fn a_viewer_that_is_not_understood_is_left() {
    let (peer, theirs) = connect();
    assert_ne!(send(theirs.0, &[9, 9], None), Err(Stop::WouldBlock));
    peer.borrow_mut().receive();
    let failure = peer.borrow().check().expect_err("nonsense");
    assert_eq!(failure.detail, OTHER_VERSION);
    // Nothing is sent any more, and nothing is pending.
    peer.borrow_mut().send(cursor_at(1));
    assert!(peer.borrow().unsent.is_empty());
}
