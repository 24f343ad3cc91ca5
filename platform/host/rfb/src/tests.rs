//! Clients of all versions, and clients that send anything.

use super::{
    CURSOR_SIDE, Cursor, Input, Invalid, MAX_OUTPUT, POINTER_RANGE, Picture, Session, keys,
};
use alloc::vec;
use alloc::vec::Vec;
use device_types::display::Rectangle;
use proptest::prelude::*;

/// Everything that a client sends before its first request, with these encodings.
fn opening(encodings: &[i32]) -> Vec<u8> {
    let count = (encodings.len() as u16).to_be_bytes();
    let encodings = encodings.iter().flat_map(|encoding| encoding.to_be_bytes());
    let fixed = b"RFB 003.008\n\x01\x01\x02\x00".iter().copied();
    fixed.chain(count).chain(encodings).collect()
}

const REQUEST: [u8; 10] = [3, 1, 0, 0, 0, 0, 255, 255, 255, 255];

/// A session with a picture of 4 by 2 pixels, after the greeting.
fn start(encodings: &[i32]) -> (Session, Picture) {
    let mut session = Session::new(b"name", (4, 2));
    let picture = Picture::black(4, 2);
    assert_eq!(feed(&mut session, &opening(encodings)), Ok(vec![]));
    let greeting = take(&mut session, &picture, None);
    assert_eq!(greeting[12..18], [1, 1, 0, 0, 0, 0]);
    assert_eq!(greeting[18..22], [0, 4, 0, 2]);
    assert_eq!(greeting[38..], *b"\0\0\0\x04name");
    (session, picture)
}

fn feed(session: &mut Session, bytes: &[u8]) -> Result<Vec<Input>, Invalid> {
    let mut inputs = Vec::new();
    session.receive(bytes, &mut |input| inputs.push(input))?;
    Ok(inputs)
}

/// All that the session has to send.
fn take(session: &mut Session, picture: &Picture, cursor: Option<&Cursor>) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = session.output(picture, cursor).to_vec();
        if bytes.is_empty() {
            return all;
        }
        assert!(bytes.len() <= MAX_OUTPUT);
        // A socket takes part of it.
        let now = bytes.len().div_ceil(2);
        all.extend_from_slice(&bytes[..now]);
        session.sent(now);
    }
}

fn update(session: &mut Session, picture: &Picture) -> Vec<u8> {
    assert_eq!(feed(session, &REQUEST), Ok(vec![Input::Request]));
    take(session, picture, None)
}

#[test]
fn older_versions_are_spoken() {
    let mut session = Session::new(b"", (4, 2));
    let picture = Picture::black(4, 2);
    assert!(feed(&mut session, b"RFB 003.003\n\x01").is_ok());
    let sent = take(&mut session, &picture, None);
    assert_eq!(sent[..20], *b"RFB 003.008\n\0\0\0\x01\0\x04\0\x02");
    let mut session = Session::new(b"", (4, 2));
    assert!(feed(&mut session, b"RFB 003.007\n\x01\x01").is_ok());
    assert_eq!(
        take(&mut session, &picture, None)[12..18],
        *b"\x01\x01\0\x04\0\x02"
    );
    assert_eq!(feed(&mut session, b"\x02"), Ok(vec![]));
    for wrong in [&b"GET / HTTP/1"[..], b"RFB 003.008\n\x02"] {
        assert_eq!(feed(&mut Session::new(b"", (4, 2)), wrong), Err(Invalid));
    }
}

#[test]
fn an_update_is_the_damage_once_it_is_requested() {
    let (mut session, mut picture) = start(&[]);
    session.damage(Rectangle::of(1, 1));
    assert!(take(&mut session, &picture, None).is_empty());
    assert!(!session.is_current());
    let changed = picture.put(1, 1, &[0, 0x99aa_bbcc, 0]).expect("a change");
    assert_eq!(
        changed,
        Rectangle {
            x: 2,
            y: 1,
            width: 1,
            height: 1
        }
    );
    session.damage(changed);
    let sent = update(&mut session, &picture);
    assert_eq!(sent[..16], [0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0]);
    assert_eq!(sent[16..36], [0; 20]);
    assert_eq!(sent[36..], [0xcc, 0xbb, 0xaa, 0]);
    assert!(session.is_current());
    // Nothing has changed; the request stays.
    assert!(update(&mut session, &picture).is_empty());
    session.damage(Rectangle::of(1, 1));
    assert_eq!(take(&mut session, &picture, None).len(), 16 + 4);
    // A request of all of a part.
    let all = [3, 0, 0, 1, 0, 0, 0, 200, 0, 1];
    assert!(feed(&mut session, &all).is_ok());
    assert_eq!(take(&mut session, &picture, None).len(), 16 + 12);
}

#[test]
fn a_large_picture_comes_in_parts_of_one_format() {
    let mut session = Session::new(b"", (1000, 100));
    let mut picture = Picture::black(1000, 100);
    assert!(feed(&mut session, &opening(&[])).is_ok());
    take(&mut session, &picture, None);
    session.damage(Rectangle::of(1000, 100));
    assert!(feed(&mut session, &REQUEST).is_ok());
    let first = session.output(&picture, None).to_vec();
    session.sent(first.len());
    assert_eq!(
        (first[..4].to_vec(), first.len()),
        (vec![0, 0, 0, 7], 4 + 12 + 16 * 4000)
    );
    // Neither another format nor another picture changes the number of parts.
    let byte = [0, 0, 0, 0, 8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6, 0, 0, 0];
    assert!(feed(&mut session, &byte).is_ok());
    picture = Picture::black(16, 16);
    session.damage(Rectangle::of(16, 16));
    let rest = take(&mut session, &picture, None);
    assert_eq!(rest.len(), 6 * 12 + 84 * 4000);
}

#[test]
fn pixels_have_the_format_of_the_client() {
    let formats: [(&[u8; 16], &[u8]); 3] = [
        // 16 bits of 5, 6 and 5, most significant byte first.
        (
            &[16, 16, 1, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0],
            &[0xf8, 0x10],
        ),
        // 8 bits of 2, 3 and 3.
        (
            &[8, 8, 0, 1, 0, 7, 0, 7, 0, 3, 0, 3, 6, 0, 0, 0],
            &[0b10_000_111],
        ),
        (
            &[32, 24, 1, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0],
            &[0, 0x84, 0, 0xff],
        ),
    ];
    for (format, expected) in formats {
        let (mut session, mut picture) = start(&[]);
        picture.put(0, 0, &[0x77ff_0084]);
        session.damage(Rectangle::of(1, 1));
        assert!(feed(&mut session, &[&[0, 0, 0, 0], &format[..]].concat()).is_ok());
        assert_eq!(update(&mut session, &picture)[16..], *expected);
    }
    let (mut session, _) = start(&[]);
    for wrong in [[24, 24, 0, 1], [8, 8, 0, 0]] {
        let message = [&[0; 4][..], &wrong, &[0, 1, 0, 1, 0, 1, 0, 1, 2, 0, 0, 0]].concat();
        assert_eq!(feed(&mut session, &message), Err(Invalid));
    }
    let wide_shift = [0, 0, 0, 0, 8, 8, 0, 1, 0, 1, 0, 1, 0, 1, 8, 1, 2, 0, 0, 0];
    assert_eq!(feed(&mut session, &wide_shift), Err(Invalid));
}

#[test]
fn a_size_is_requested_and_announced() {
    let (mut session, _) = start(&[-223, -308]);
    let sized = |x, y, w, h| vec![0, 0, 0, 1, 0, x, 0, y, 0, w, 0, h, 255, 255, 254, 204];
    let picture = Picture::black(4, 2);
    assert_eq!(update(&mut session, &picture)[..16], sized(0, 0, 4, 2));
    let wanted = [251, 0, 3, 0, 2, 0, 2, 0];
    let size = Input::Size {
        width: 768,
        height: 512,
    };
    assert_eq!(
        feed(&mut session, &[&wanted[..], &[9; 32]].concat()),
        Ok(vec![size])
    );
    // The request is forwarded.
    let sent = update(&mut session, &picture);
    assert_eq!(sent[..16], sized(1, 4, 4, 2));
    assert_eq!(
        sent[16..],
        [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 2, 0, 0, 0, 0]
    );
    let picture = Picture::black(3, 5);
    session.damage(Rectangle::of(9, 9));
    let sent = update(&mut session, &picture);
    assert_eq!(sent[..16], sized(0, 0, 3, 5));
    assert_eq!(
        sent[36..52],
        [0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 5, 0, 0, 0, 0]
    );
    // Any other client gets a part of a larger picture, and a smaller one with a border.
    let (mut session, _) = start(&[]);
    let mut picture = Picture::black(2, 9);
    picture.put(1, 1, &[7]);
    session.damage(Rectangle::of(9, 9));
    let sent = update(&mut session, &picture);
    assert_eq!(sent[..12], [0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 0, 2]);
    let pixels: Vec<u8> = sent[16..].iter().step_by(4).copied().collect();
    assert_eq!(pixels, [0, 0, 0, 0, 0, 7, 0, 0]);
}

#[test]
fn a_cursor_has_opacity_or_a_mask() {
    let mut image = vec![0; CURSOR_SIDE * CURSOR_SIDE];
    image[..2].copy_from_slice(&[0x80ff_0040, 0x7fff_ffff]);
    let cursor = Cursor {
        hot_spot: (3, 5),
        image,
    };
    let head = |encoding: i32| {
        let head = [0, 0, 0, 1, 0, 3, 0, 5, 0, 64, 0, 64];
        [&head[..], &encoding.to_be_bytes()].concat()
    };
    for (encodings, kind) in [(&[-239, -314][..], -314), (&[-239], -239), (&[], 0)] {
        let (mut session, picture) = start(encodings);
        // The client has its own until then.
        assert!(update(&mut session, &picture).is_empty());
        session.cursor_changed();
        assert!(feed(&mut session, &REQUEST).is_ok());
        let sent = take(&mut session, &picture, Some(&cursor));
        match kind {
            -314 => {
                assert_eq!(sent[..16], head(-314));
                assert_eq!(
                    sent[16..28],
                    [0, 0, 0, 0, 128, 0, 32, 128, 127, 127, 127, 127]
                );
                assert_eq!(sent.len(), 20 + 4 * 64 * 64);
            }
            -239 => {
                assert_eq!(sent[..16], head(-239));
                assert_eq!(sent[16..24], [64, 0, 255, 0, 255, 255, 255, 0]);
                let mask = 16 + 4 * 64 * 64;
                assert_eq!((sent[mask], sent.len()), (0x80, mask + 8 * 64));
            }
            _ => assert!(sent.is_empty()),
        }
        // A hidden one has no pixels.
        session.cursor_changed();
        let sent = update(&mut session, &picture);
        assert_eq!(sent.get(8..12), (kind != 0).then_some(&[0; 4][..]));
    }
}

/// A key event with QEMU's scan code.
fn scan(code: u32, symbol: u32, down: bool) -> Vec<u8> {
    [
        &[255, 0, 0, down.into()][..],
        &symbol.to_be_bytes(),
        &code.to_be_bytes(),
    ]
    .concat()
}

#[test]
fn keys_have_codes_by_scan_code_or_symbol() {
    let (mut session, picture) = start(&[-258, -316]);
    let sent = update(&mut session, &picture);
    assert_eq!(sent[..4], [0, 0, 0, 2]);
    let key = |code, down| Ok(vec![Input::Key { code, down }]);
    assert_eq!(feed(&mut session, &scan(0x1e, 0x61, true)), key(30, true));
    // A repetition, and one that isn't pressed.
    assert_eq!(feed(&mut session, &scan(0x1e, 0x61, true)), Ok(vec![]));
    assert_eq!(feed(&mut session, &scan(0x30, 0x62, false)), Ok(vec![]));
    assert_eq!(feed(&mut session, &scan(0xc8, 0, true)), key(103, true));
    assert_eq!(feed(&mut session, &scan(0, 0xff1b, true)), key(1, true));
    assert_eq!(feed(&mut session, &scan(0xffff, 0, true)), Ok(vec![]));
    let symbol = [&[4, 1, 0, 0][..], &0x7e_u32.to_be_bytes()].concat();
    assert_eq!(feed(&mut session, &symbol), key(41, true));
    // Its end releases them.
    let mut ended = Vec::new();
    session.release(&mut |input| ended.push(input));
    let released = [1, 30, 41, 103].map(|code| Input::Key { code, down: false });
    assert_eq!(ended, released);
}

#[test]
fn tables_of_keys_are_of_known_keys() {
    for (code, key) in [
        (0x01, 1),
        (0x53, 83),
        (0x56, 86),
        (0x58, 88),
        (0x9c, 96),
        (0xdb, 125),
    ] {
        assert_eq!(keys::of_scan_code(code), Some(key), "{code:#x}");
    }
    let symbols = [
        (0x20, 57),
        (0x41, 30),
        (0x22, 40),
        (0xffbe, 59),
        (0xffc9, 88),
        (0xfe03, 100),
    ];
    for (symbol, key) in symbols {
        assert_eq!(keys::of_symbol(symbol), Some(key), "{symbol:#x}");
    }
    assert_eq!((keys::of_symbol(0xe9), keys::of_scan_code(0)), (None, None));
    let all = (0..=0x1_0000).flat_map(|n| [keys::of_symbol(n), keys::of_scan_code(n)]);
    assert!(all.flatten().all(|key| super::KEYS.contains(&key)));
}

#[test]
fn a_pointer_is_at_a_share_of_the_picture() {
    let (mut session, _) = start(&[-316]);
    let at = |x, y, buttons| {
        Ok(vec![Input::Pointer {
            at: (x, y),
            buttons,
        }])
    };
    let end = POINTER_RANGE;
    assert_eq!(feed(&mut session, &[5, 1, 0, 0, 0, 0]), at(0, 0, 1));
    assert_eq!(
        feed(&mut session, &[5, 0, 0, 1, 0, 1]),
        at((end + 1) / 3, end, 0)
    );
    assert_eq!(feed(&mut session, &[5, 4, 255, 0, 255, 0]), at(end, end, 4));
    // With the eighth and ninth button.
    assert_eq!(
        feed(&mut session, &[5, 0x82, 0, 0, 0, 0, 3]),
        at(0, 0, 0x182)
    );
    let mut ended = Vec::new();
    session.release(&mut |input| ended.push(input));
    assert_eq!(
        ended,
        [Input::Pointer {
            at: (0, 0),
            buttons: 0
        }]
    );
    let (mut session, _) = start(&[]);
    assert_eq!(feed(&mut session, &[5, 0x82, 0, 0, 0, 0]), at(0, 0, 0x82));
}

#[test]
fn a_clipboard_is_skipped() {
    let (mut session, _) = start(&[]);
    assert_eq!(feed(&mut session, &[6, 0, 0, 0, 0, 0, 1, 0]), Ok(vec![]));
    assert_eq!(feed(&mut session, &[255; 200]), Ok(vec![]));
    assert_eq!(feed(&mut session, &[255; 56]), Ok(vec![]));
    assert_eq!(feed(&mut session, &REQUEST), Ok(vec![Input::Request]));
    for wrong in [&[7][..], &[1], &[255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(feed(&mut start(&[]).0, wrong), Err(Invalid));
    }
}

/// Messages, and beginnings of them with anything behind.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(vec![0_u8, 2, 3, 4, 5, 6, 251, 255]);
    let any = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        any.clone(),
        (kinds, any).prop_map(|(kind, mut rest)| {
            rest.insert(0, kind);
            rest
        }),
        Just(REQUEST.to_vec()),
        Just(opening(&[-223, -239, -258, -308, -314, -316])[14..].to_vec()),
    ]
}

proptest! {
    /// Whatever a client sends, in whatever parts, the outcome is the same, and what the session
    /// keeps is bounded.
    #[test]
    fn a_client_may_send_anything(
        messages in prop::collection::vec(message(), 0..20),
        has_greeted: bool,
        cuts in prop::collection::vec(1..50_usize, 1..10),
    ) {
        let mut bytes = if has_greeted { opening(&[])[..14].to_vec() } else { vec![] };
        bytes.extend(messages.concat());
        let picture = Picture::black(40, 30);
        let mut whole = Session::new(b"name", (40, 30));
        let mut inputs = Vec::new();
        let result = whole.receive(&bytes, &mut |input| inputs.push(input));
        let mut parts = Session::new(b"name", (40, 30));
        let (mut outcome, mut rest, mut turn) = (Ok(()), &bytes[..], cuts.iter().cycle());
        let mut told = Vec::new();
        while outcome.is_ok() && !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*turn.next().unwrap_or(&1)));
            outcome = parts.receive(now, &mut |input| told.push(input));
            rest = later;
            prop_assert!(parts.partial.len() < 20);
        }
        prop_assert_eq!(outcome, result);
        prop_assert_eq!(told, inputs);
        parts.damage(Rectangle::of(40, 30));
        prop_assert!(parts.output(&picture, None).len() <= MAX_OUTPUT);
        if result.is_ok() {
            take(&mut parts, &picture, None);
        }
    }
}
