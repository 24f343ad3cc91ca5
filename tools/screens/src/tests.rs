//! A process that says anything.

use super::{Picture, Screens, Step};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recv, sendmsg, socketpair,
};
use std::fs::File;
use std::io::IoSlice;
use std::iter;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use viewer::evdev::{ABS, KEY, SYN, SYN_DROPPED};
use viewer::{Event, Kind, MAX_MESSAGE, Request};

fn start() -> (Screens, OwnedFd) {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("a socket");
    let screens = Screens::new(ours, &[(32, 16), (64, 48)]);
    for _ in 0..6 {
        event(&theirs);
    }
    (screens, theirs)
}

fn event(from: &OwnedFd) -> Event {
    next_event(from).expect("an event")
}

fn next_event(from: &OwnedFd) -> Option<Event> {
    let mut bytes = [0; MAX_MESSAGE];
    let (len, _) = recv(from, &mut bytes[..], RecvFlags::DONTWAIT).ok()?;
    Some(Event::decode(&bytes[..len]).expect("sense"))
}

fn send(to: &OwnedFd, request: &Request, file: Option<&File>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
    if !files.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    }
    let bytes = request.encode();
    sendmsg(
        to,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::empty(),
    )
    .expect("sent");
}

/// A buffer of 32 by 16 pixels with a stride of 40, each its number.
fn buffer(number: u32) -> (Request, File) {
    let file = File::from(memfd_create("buffer", MemfdFlags::CLOEXEC).expect("memory"));
    let words = (0..40 * 16).flat_map(|pixel: u32| (pixel + 1000 * number).to_le_bytes());
    file.write_all_at(&words.collect::<Vec<u8>>(), 0)
        .expect("room");
    let request = Request::Buffer {
        display: 0,
        buffer: number,
        width: 32,
        height: 16,
        stride: 40,
    };
    (request, file)
}

fn present(buffer: u32, frame: u64, damage: &[[u32; 4]]) -> Request {
    Request::Present {
        display: 0,
        buffer,
        frame,
        damage: damage.to_vec(),
    }
}

#[test]
fn a_frame_copies_its_damage_and_is_answered() {
    let (mut screens, process) = start();
    let (request, file) = buffer(1);
    send(&process, &request, Some(&file));
    assert_eq!(screens.step().expect("sense"), Some(Step::Nothing));
    let damage = [[0, 0, 1, 1]];
    send(&process, &present(1, 1, &damage), None);
    assert_eq!(screens.step().expect("sense"), Some(Step::Frame(0)));
    // It is answered when it is shown.
    assert_eq!(next_event(&process), None);
    screens.answer(1);
    assert_eq!(next_event(&process), None);
    screens.answer(0);
    screens.answer(0);
    let (display, frame) = (0, 1);
    assert_eq!(event(&process), Event::Presented { display, frame });
    assert_eq!(next_event(&process), None);
    let pixel = |screens: &Screens, x: usize, y: usize| {
        let picture = screens.picture(0).expect("a picture");
        picture.pixels()[y * 32 + x]
    };
    // A buffer that wasn't shown comes whole.
    assert_eq!(pixel(&screens, 31, 15), 1000 + 15 * 40 + 31);
    file.write_all_at(&[7; 40 * 16 * 4], 0).expect("room");
    send(
        &process,
        &present(1, 2, &[[30, 14, 9, 1], [0, 0, 1, u32::MAX]]),
        None,
    );
    screens.step().expect("sense");
    assert_eq!(pixel(&screens, 31, 14), 0x0707_0707);
    assert_eq!(pixel(&screens, 0, 15), 0x0707_0707);
    assert_eq!(pixel(&screens, 29, 14), 1000 + 14 * 40 + 29);
    let (request, file) = buffer(2);
    send(&process, &request, Some(&file));
    send(&process, &present(2, 3, &damage), None);
    screens.step().expect("sense");
    screens.step().expect("sense");
    assert_eq!(pixel(&screens, 31, 15), 2000 + 15 * 40 + 31);
    // The picture stays when its buffer goes, and each buffer has its own.
    let (display, buffer) = (0, 2);
    send(&process, &Request::Release { display, buffer }, None);
    screens.step().expect("sense");
    assert_eq!(pixel(&screens, 31, 15), 2000 + 15 * 40 + 31);
    send(&process, &present(1, 4, &[]), None);
    screens.step().expect("sense");
    assert_eq!(pixel(&screens, 31, 14), 0x0707_0707);
    send(&process, &Request::Disable { display }, None);
    assert_eq!(screens.step().expect("sense"), Some(Step::Black(0)));
    assert!(screens.picture(0).is_none());
    drop(process);
    assert_eq!(screens.step().expect("the end"), None);
}

#[test]
fn the_last_requests_of_a_process_count() {
    let (mut screens, process) = start();
    let (request, file) = buffer(1);
    send(&process, &request, Some(&file));
    send(&process, &present(1, 1, &[]), None);
    screens.step().expect("sense");
    screens.step().expect("sense");
    screens.answer(0);
    // It ends without reading that this frame is shown.
    let display = 0;
    send(&process, &Request::Disable { display }, None);
    drop(process);
    assert_eq!(screens.step().expect("sense"), Some(Step::Black(0)));
    assert!(screens.picture(0).is_none());
    assert_eq!(screens.step().expect("the end"), None);
}

const POINTER: Kind = Kind::Pointer { display: 1 };

fn key(code: u16, value: i32) -> Vec<(u16, u16, i32)> {
    vec![(KEY, code, value)]
}

#[test]
fn a_release_follows_a_press() {
    let (mut screens, process) = start();
    for (code, value) in [(30, 0), (30, 1), (30, 1), (31, 1), (30, 0), (30, 0)] {
        screens.input(Kind::Keyboard, key(code, value));
    }
    screens.input(POINTER, key(272, 1));
    screens.release_keys(Kind::Keyboard);
    screens.release_keys(Kind::Keyboard);
    screens.input(Kind::Keyboard, key(31, 0));
    let told: Vec<_> = iter::from_fn(|| next_event(&process)).collect();
    let of = |device, code, value| Event::Input {
        device,
        events: key(code, value),
    };
    let keys = [of(0, 30, 1), of(0, 31, 1), of(0, 30, 0)];
    assert_eq!(told[..3], keys);
    assert_eq!(told[3..], [of(2, 272, 1), of(0, 31, 0)]);
}

#[test]
fn a_process_that_does_not_read_holds_up_nothing() {
    let (mut screens, process) = start();
    screens.input(Kind::Keyboard, key(30, 1));
    screens.input(POINTER, key(272, 1));
    for place in 0..10_000 {
        screens.input(POINTER, vec![(ABS, 0, place)]);
    }
    for width in [100, 200] {
        screens.resize(1, (width, 100));
    }
    assert!(!screens.flush());
    let mut told = Vec::new();
    while !screens.flush() {
        told.extend(iter::from_fn(|| next_event(&process)));
    }
    told.extend(iter::from_fn(|| next_event(&process)));
    let lost = Event::Input {
        device: 2,
        events: vec![(SYN, SYN_DROPPED, 0)],
    };
    let (display, width, height) = (1, 200, 100);
    let resized = Event::Display {
        display,
        width,
        height,
    };
    assert_eq!(told.iter().filter(|event| **event == lost).count(), 1);
    assert_eq!(told[told.len() - 2..], [lost, resized]);
    // The button counts as released, the key doesn't.
    screens.input(POINTER, key(272, 0));
    screens.input(POINTER, key(272, 1));
    screens.input(Kind::Keyboard, key(30, 0));
    let (first, second) = (event(&process), event(&process));
    let of = |device, code, value| Event::Input {
        device,
        events: key(code, value),
    };
    assert_eq!([first, second], [of(2, 272, 1), of(0, 30, 0)]);
}

#[test]
fn nonsense_is_an_error() {
    let (request, file) = buffer(1);
    let odd = |change: &dyn Fn(&mut Request)| {
        let mut request = request.clone();
        change(&mut request);
        request
    };
    let wrong = [
        (present(1, 1, &[]), None),
        (
            Request::Release {
                display: 0,
                buffer: 9,
            },
            None,
        ),
        (Request::Disable { display: 2 }, None),
        (request.clone(), None),
        (
            odd(&|request| {
                if let Request::Buffer { stride, .. } = request {
                    *stride = 31;
                }
            }),
            Some(&file),
        ),
        (
            odd(&|request| {
                if let Request::Buffer { height, .. } = request {
                    *height = u32::MAX;
                }
            }),
            Some(&file),
        ),
        (
            Request::Cursor {
                display: 0,
                hot_spot: (0, 0),
                image: vec![0],
            },
            None,
        ),
    ];
    for (request, file) in wrong {
        let (mut screens, process) = start();
        send(&process, &request, file);
        assert!(screens.step().is_err(), "{request:?}");
    }
    // More frames than may be unanswered.
    let (mut screens, process) = start();
    let (request, whole) = buffer(1);
    send(&process, &request, Some(&whole));
    screens.step().expect("sense");
    for frame in 0..4 {
        send(&process, &present(1, frame, &[]), None);
        screens.step().expect("sense");
    }
    send(&process, &present(1, 4, &[]), None);
    assert!(screens.step().is_err());
    // A buffer that is shorter than it says.
    let (mut screens, process) = start();
    file.set_len(100).expect("cut");
    send(&process, &request, Some(&file));
    send(&process, &present(1, 1, &[]), None);
    assert_eq!(screens.step().expect("sense"), Some(Step::Nothing));
    assert!(screens.step().is_err());
}

#[test]
fn a_ppm_becomes_a_png() {
    let ppm = b"P6\n2 1\n255\n\x01\x02\x03\xff\x00\x80";
    let picture = Picture::read_ppm(&mut &ppm[..]).expect("a picture");
    assert_eq!(picture.pixels(), [0x0001_0203, 0x00ff_0080]);
    let mut file = Vec::new();
    picture.write_png(&mut file).expect("room");
    let decoder = png::Decoder::new(std::io::Cursor::new(file));
    let mut reader = decoder.read_info().expect("a PNG");
    let mut bytes = [0; 6];
    reader.next_frame(&mut bytes).expect("pixels");
    assert_eq!(bytes, [1, 2, 3, 255, 0, 128]);
    for wrong in [
        &b""[..],
        b"P5\n2 1\n255\n123456",
        b"P6\n2 1\n65535\n123456",
        b"P6\n0 1\n255\n",
        b"P6\n99999999999999 1\n255\n",
        b"P6\n2 2\n255\n123456",
    ] {
        assert!(Picture::read_ppm(&mut &wrong[..]).is_err());
    }
}
