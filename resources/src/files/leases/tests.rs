//! A lease lasts exactly until OCaml can't reach it any more.

use super::MAX_LEASES;
use crate::Runtime;
use crate::disks::install;
use crate::files::calls::leases::MAX_LEASE;
use crate::files::mounted_volume::options::leasable;
use crate::files::{drivers, embedded, lease_end, lease_next, lend, mount, open, write};
use crate::types::constants::{OPEN_CREATE, OPEN_READ, OPEN_WRITE};
use crate::types::fake::Bigarray;
use crate::types::{Int, Piece};
use platform::error::{Answer, Error, Stop};
use reactor::table::Fd;
use std::vec;
use std::vec::Vec;

const fn no(error: Error) -> Answer {
    Err(Stop::Error(error))
}

/// Creates a runtime with the file `/m/f` that contains `text`. Returns its descriptor.
fn runtime(text: &mut [u8]) -> (Runtime, Fd) {
    let mut rt = Runtime::new();
    install(&mut rt, vec![]).expect("room");
    drivers::register(&mut rt, drivers::MEMORY).expect("room");
    assert_eq!(mount(&mut rt, "/m=memory", 1), Ok(0));
    let flags = OPEN_READ | OPEN_WRITE | OPEN_CREATE;
    let fd = open(&mut rt, "/m/f", flags, 1).expect("opened") as Int;
    let fd = Fd::decode(fd).expect("a descriptor");
    let written = write(&mut rt, fd, Piece::of(text), 0, 1);
    assert_eq!(written, Ok(text.len()));
    (rt, fd)
}

/// Returns the number of active leases, and the bytes that they keep.
fn out(rt: &Runtime) -> (usize, usize) {
    let lent = &rt.resources.files.leases;
    (lent.out.len(), lent.bytes)
}

fn lease(rt: &mut Runtime, fd: Fd, position: Int, len: Int) -> Int {
    lend(rt, fd, position, len, 1).expect("lent") as Int
}

/// Returns all slices of a lease.
fn shown(rt: &mut Runtime, lease: Int, array: &mut Bigarray) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match lease_next(rt, lease, &mut array.view()).expect("shown") {
            0 => return all,
            n => all.push(array.shown()[..n].to_vec()),
        }
    }
}

#[test]
fn a_lease_shows_the_bytes_that_were_there() {
    let mut text: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let (mut rt, fd) = runtime(&mut text);
    let rt = &mut rt;
    let mut array = Bigarray::of(&mut []);
    let key = lease(rt, fd, 10, 70_000);
    let (leases, bytes) = out(rt);
    assert!(leases == 1 && (1..=70_000).contains(&bytes), "{bytes}");
    // A lease doesn't show later writes.
    assert_eq!(write(rt, fd, Piece::of(&mut [9; 5000]), 0, 1), Ok(5000));
    let pieces = shown(rt, key, &mut array);
    assert!(pieces.len() > 1);
    let seen = pieces.concat();
    assert_eq!(seen.len(), bytes);
    assert!(seen == text[10..10 + seen.len()]);
    // A part of the bigarray keeps the whole memory.
    array.parts().add();
    let mut another = Bigarray::of(&mut []);
    assert_eq!(lease_end(rt, key, &mut another.view()), no(Error::Invalid));
    assert_eq!(lease_end(rt, key, &mut array.view()), Ok(0));
    assert!(array.shown().is_empty());
    assert_eq!(out(rt), (1, bytes));
    assert_eq!(lease_end(rt, key, &mut array.view()), no(Error::Invalid));
    // A lease that has ended shows nothing more.
    let key = lease(rt, fd, 0, 70_000);
    let shown = lease_next(rt, key, &mut array.view()).expect("shown");
    assert!(shown > 0);
    array.parts().add();
    assert_eq!(lease_end(rt, key, &mut array.view()), Ok(0));
    assert_eq!(lease_next(rt, key, &mut array.view()), no(Error::Invalid));
}

#[test]
fn what_nothing_looks_at_is_given_back() {
    let (mut rt, fd) = runtime(b"hello world".to_vec().as_mut_slice());
    let rt = &mut rt;
    let mut arrays: [_; 3] = core::array::from_fn(|_| Bigarray::of(&mut []));
    let keys = arrays.each_mut().map(|array| {
        let key = lease(rt, fd, 6, 100);
        assert_eq!(shown(rt, key, array), [b"world".to_vec()]);
        key
    });
    assert_eq!((keys, out(rt)), ([1, 2, 3], (3, 15)));
    // The middle one has a part that outlives it; the last is finalised without an explicit end.
    let parts = arrays[1].parts();
    parts.add();
    arrays[2].parts().end();
    assert_eq!(lease_end(rt, 1, &mut arrays[0].view()), Ok(0));
    assert_eq!(out(rt), (1, 5), "the first and the last are over");
    assert_eq!(lease_end(rt, 2, &mut arrays[1].view()), Ok(0));
    assert_eq!(out(rt), (1, 5));
    parts.end();
    // One that has been created, but not shown yet, stays.
    let fresh = lease(rt, fd, 0, 5);
    assert_eq!(out(rt), (1, 5));
    let other = lease(rt, fd, 0, 4);
    assert_eq!(out(rt), (2, 9));
    let mut array = Bigarray::of(&mut []);
    assert_eq!(shown(rt, fresh, &mut array), [b"hello".to_vec()]);
    assert_eq!(lease_end(rt, fresh, &mut array.view()), Ok(0));
    assert_eq!(lease_end(rt, other, &mut array.view()), Ok(0));
    assert_eq!(out(rt), (0, 0));
}

#[test]
fn what_is_asked_for_is_checked() {
    let (mut rt, fd) = runtime(&mut vec![7; MAX_LEASE + 5000]);
    let rt = &mut rt;
    for (position, len, expected) in [
        (-1, 1, no(Error::Invalid)),
        (0, -1, no(Error::Invalid)),
        (0, 0, no(Error::Invalid)),
        (Int::MAX, 1, Ok(0)),
        (MAX_LEASE as Int + 5000, 1, Ok(0)),
    ] {
        assert_eq!(lend(rt, fd, position, len, 1), expected, "{position} {len}");
    }
    let mut array = Bigarray::of(&mut []);
    let key = lease(rt, fd, 0, Int::MAX);
    let most = shown(rt, key, &mut array).concat().len();
    assert!((1..=MAX_LEASE).contains(&most), "{most}");
    // It is always shown through the same empty bigarray.
    let mut bytes = [0; 4];
    let mut full = Bigarray::of(&mut bytes);
    assert_eq!(lease_next(rt, key, &mut array.view()), Ok(0));
    assert_eq!(lease_end(rt, key, &mut full.view()), no(Error::Invalid));
    let fresh = lease(rt, fd, 0, 100);
    assert_eq!(lease_next(rt, fresh, &mut full.view()), no(Error::Invalid));
    for key in [-1, 0, 3, 99] {
        assert_eq!(
            lease_next(rt, key, &mut array.view()),
            no(Error::Invalid),
            "{key}"
        );
        assert_eq!(
            lease_end(rt, key, &mut array.view()),
            no(Error::Invalid),
            "{key}"
        );
    }
}

#[test]
fn no_more_is_lent_than_may_be() {
    let (mut rt, fd) = runtime(&mut [1; 100]);
    let rt = &mut rt;
    static PART: [u8; 50] = [2; 50];
    assert_eq!(embedded::add(rt, "f", &PART), Ok(0));
    assert_eq!(embedded::mount(rt, "/e"), Ok(0));
    let always = open(rt, "/e/f", OPEN_READ, 1).expect("there") as Int;
    let always = Fd::decode(always).expect("a descriptor");
    assert!(leasable() > 1 << 20);
    // All but 60 bytes are lent.
    rt.resources.files.leases.bytes = leasable() - 60;
    assert_eq!(lease(rt, fd, 0, 40), 1);
    assert_eq!(lend(rt, fd, 0, 21, 1), no(Error::OutOfMemory));
    let mut line = [0; 100];
    rt.messages.failed(1);
    let len = rt.messages.last(1, &mut line);
    let line = core::str::from_utf8(&line[..len]).expect("UTF-8");
    assert!(line.contains("released"), "{line}");
    assert_eq!(lease(rt, fd, 0, 20), 2);
    assert_eq!(lend(rt, fd, 0, 1, 1), no(Error::OutOfMemory));
    // Embedded contents take no memory, only an entry, so the limit of bytes doesn't apply to them.
    let before = leasable() + 1000;
    rt.resources.files.leases.bytes = before;
    for key in 3..=MAX_LEASES as Int {
        assert_eq!(lease(rt, always, 0, 50), key);
    }
    assert_eq!(out(rt), (MAX_LEASES, before));
    assert_eq!(lend(rt, always, 0, 50, 1), no(Error::OutOfMemory));
    let mut array = Bigarray::of(&mut []);
    assert_eq!(lease_end(rt, 1, &mut array.view()), Ok(0));
    assert_eq!(out(rt), (MAX_LEASES - 1, before - 40));
    assert_eq!(lease(rt, always, 0, 50), 1);
}
