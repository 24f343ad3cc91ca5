//! Folders of the host in the runtime: which operations wait, and which don't.

use crate::Runtime;
use crate::current::Current;
use crate::files::{file_sync, mount, open, read, sync, unmount, write};
use crate::runtime::{encode, next_completion};
use crate::types::constants::{OPEN_CREATE, OPEN_READ, OPEN_WRITE};
use crate::types::{Int, Piece};
use host::Ring;
use platform::Clock;
use platform::error::{Answer, Error, Stop};
use reactor::table::Fd;
use reactor::wait::wait;
use std::collections::HashMap;
use std::path::PathBuf;
use std::{env, format, fs, process, vec};

/// Creates a new folder, which is deleted at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = env::temp_dir().join(format!("soil-folder-{name}-{}", process::id()));
        // Left by a killed process with the same number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Collects completions in `found`, by token, until `enough` returns true.
fn complete(
    rt: &mut Runtime,
    found: &mut HashMap<Int, Int>,
    enough: impl Fn(&HashMap<Int, Int>) -> bool,
) {
    let until = Current::monotonic_ns() + 100_000_000_000;
    while !enough(found) {
        assert!(Current::monotonic_ns() < until, "only {found:?} completed");
        wait(rt, Some(until)).expect("a wait");
        let completed = core::iter::from_fn(|| next_completion(rt, 0));
        found.extend(completed.map(|(token, result)| (token as Int, result)));
    }
}

/// Waits for this number of completions.
fn completions(rt: &mut Runtime, many: usize) -> HashMap<Int, Int> {
    let mut found = HashMap::new();
    complete(rt, &mut found, |found| found.len() >= many);
    found
}

fn result(rt: &mut Runtime, token: Int, answer: Answer) -> Int {
    if answer == Err(Stop::Pending) {
        return completions(rt, 1)[&token];
    }
    encode(answer)
}

/// During syncs the folder is read and written, and it is unmounted only after all of them have
/// completed.
fn syncs_hold_nobody_up(name: &str, ring: Ring) {
    let scratch = Scratch::new(name);
    fs::write(scratch.0.join("a"), vec![7; 100_000]).expect("a file");
    let rt = &mut Runtime::new();
    rt.interest.use_ring(ring);
    let word = format!("/f=host:{}", scratch.0.display());
    let answer = mount(rt, &word, 1);
    assert_eq!(result(rt, 1, answer), 0);
    let mode = OPEN_READ | OPEN_WRITE | OPEN_CREATE;
    let answer = open(rt, "/f/a", mode, 2);
    let fd = Fd::decode(result(rt, 2, answer)).expect("opens");
    let mut text = vec![8; 100_000];
    let mut found = HashMap::new();
    for token in 10..40 {
        assert_eq!(file_sync(rt, fd, token), Err(Stop::Pending));
        // At once, unless the page is being written to the disk.
        match write(rt, fd, Piece::of(&mut text[..5000]), 0, 3) {
            Err(Stop::Pending) => {
                complete(rt, &mut found, |found| found.contains_key(&3));
                assert_eq!(found.remove(&3), Some(5000));
            }
            answer => assert_eq!(answer, Ok(5000)),
        }
        if token == 20 {
            // Beyond the maximum number, the volume waits for one to complete.
            break;
        }
    }
    let mut back = vec![0; 200_000];
    assert_eq!(read(rt, fd, Piece::of(&mut back), 0, 4), Ok(100_000));
    assert_eq!((back[4999], back[5000]), (8, 7));
    assert_eq!(sync(rt, 5), Err(Stop::Pending));
    assert_eq!(rt.close(fd), Ok(0));
    assert_eq!(unmount(rt, "/f", 6), Err(Stop::Pending));
    complete(rt, &mut found, |found| found.len() >= 13);
    assert!(found.values().all(|result| *result == 0), "{found:?}");
    let answer = open(rt, "/f/a", mode, 7);
    assert_eq!(result(rt, 7, answer), -(Error::NotFound as Int));
    // Again, on the same fiber.
    let answer = mount(rt, &word, 8);
    assert_eq!(result(rt, 8, answer), 0);
    let answer = open(rt, "/f/a", mode, 9);
    let fd = Fd::decode(result(rt, 9, answer)).expect("opens");
    // Many at once: all complete.
    for token in 100..200 {
        assert_eq!(file_sync(rt, fd, token), Err(Stop::Pending));
    }
    let found = completions(rt, 100);
    assert!(found.values().all(|result| *result == 0), "{found:?}");
}

/// Data that isn't in the page cache is read while the program runs, or in a blocking call where
/// the file system can't report whether a read would block.
fn what_is_on_the_disk_comes_back(name: &str, ring: Ring) {
    use std::os::fd::AsRawFd;
    let scratch = Scratch::new(name);
    let path = scratch.0.join("a");
    let bytes: vec::Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    fs::write(&path, &bytes).expect("a file");
    let file = fs::File::open(&path).expect("opens");
    file.sync_all().expect("syncs");
    // SAFETY: advice on our own file.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    let rt = &mut Runtime::new();
    rt.interest.use_ring(ring);
    let answer = mount(rt, &format!("/f=host:{}", scratch.0.display()), 1);
    assert_eq!(result(rt, 1, answer), 0);
    let answer = open(rt, "/f/a", OPEN_READ, 2);
    let fd = Fd::decode(result(rt, 2, answer)).expect("opens");
    let mut back = vec![0; 4_000_000];
    let answer = read(rt, fd, Piece::of(&mut back), 0, 3);
    assert_eq!(result(rt, 3, answer), 3_000_000);
    assert!(back.starts_with(&bytes));
}

#[test]
fn works_on_a_ring() {
    syncs_hold_nobody_up("jobs-ring", Ring::default());
    what_is_on_the_disk_comes_back("cold-ring", Ring::default());
}

#[test]
fn works_without_a_ring() {
    syncs_hold_nobody_up("jobs-thread", Ring::forbidden());
    what_is_on_the_disk_comes_back("cold-thread", Ring::forbidden());
}
