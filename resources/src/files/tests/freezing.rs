//! Freezes for the host's copies of the disks.

use super::*;
use crate::files::engine::freezing::{self, freeze, thaw};

/// Later than any deadline.
const LATE: u64 = u64::MAX / 2;

fn steps(rt: &mut Runtime) {
    for _ in 0..200 {
        step(rt);
    }
}

fn create(rt: &mut Runtime, path: &str) -> Fd {
    let answer = open(rt, path, MODE, 1);
    Fd::decode(result(rt, 1, answer)).expect("opened")
}

fn check(orders: &Orders) {
    changed_by("freeze", &orders.data.borrow(), &["e2fsck", "-fn"]);
}

/// Jobs that change the volume wait for the thaw, in order, and a close for those of its file;
/// others run.
#[test]
fn changes_wait_for_the_thaw() {
    let (mut rt, orders) = ext4_runtime("held");
    let rt = &mut rt;
    let (a, b) = (create(rt, "/data/a"), create(rt, "/data/b"));
    let mut text = vec![5; 300_000];
    let answer = write(rt, a, Piece::of(&mut text), 0, 1);
    assert_eq!(result(rt, 1, answer), 300_000);
    freeze(rt);
    steps(rt);
    check(&orders);
    let frozen = orders.data.borrow().clone();
    assert_eq!(write(rt, a, Piece::of(&mut text), 0, 2), Err(Stop::Pending));
    assert_eq!(open(rt, "/data/c", MODE, 3), Err(Stop::Pending));
    assert_eq!(unlink(rt, "/data/b", 4), Err(Stop::Pending));
    let answer = file_sync(rt, b, 5);
    assert_eq!(result(rt, 5, answer), 0);
    let mut back = vec![0; 300_000];
    let answer = read(rt, a, Piece::of(&mut back), 0, 6);
    assert_eq!(result(rt, 6, answer), 300_000);
    assert!(back == text);
    let answer = open(rt, "/data/b", OPEN_READ, 7);
    let again = Fd::decode(result(rt, 7, answer)).expect("opened");
    for fd in [a, b, again] {
        assert_eq!(rt.close(fd), Ok(0));
    }
    // A change that was withdrawn doesn't happen.
    assert_eq!(rt.cancel(3), Ok(1));
    steps(rt);
    assert_eq!(completed(rt), []);
    assert!(*orders.data.borrow() == frozen, "written while frozen");
    assert_eq!(thaw(rt), 1);
    steps(rt);
    assert_eq!(completed(rt), [(2, 300_000), (4, 0)]);
    for (path, found) in [("/data/c", false), ("/data/b", false), ("/data/a", true)] {
        let answer = open(rt, path, OPEN_READ, 8);
        assert_eq!(result(rt, 8, answer) > 0, found, "{path}");
    }
    assert_eq!(thaw(rt), 0);
}

/// Nothing is opened while another volume is frozen, since that writes to the disk.
#[test]
fn a_volume_is_opened_after_the_thaw() {
    let ext4 = changed_by("first", &vec![0; 16 << 20], &["mkfs.ext4", "-q"]);
    let fat = changed_by("late", &vec![0; 2 << 20], &["mkfs.fat"]);
    let ((_, first), (orders, late)) = (slow(ext4), slow(fat));
    let rt = &mut Runtime::new();
    let disks = vec![("data".to_string(), first), ("late".to_string(), late)];
    install(rt, disks).expect("room");
    drivers::register(rt, drivers::EXT4).expect("room");
    // Nothing is open: there is nothing to freeze, and nothing is held.
    freeze(rt);
    assert_eq!(thaw(rt), 0);
    freeze(rt);
    create(rt, "/data/a");
    freeze(rt);
    steps(rt);
    assert_eq!(mount(rt, "/late=late", 2), Err(Stop::Pending));
    assert_eq!(open(rt, "/late/a", OPEN_READ, 3), Err(Stop::Pending));
    steps(rt);
    assert_eq!(completed(rt), []);
    assert_eq!(*orders.log.borrow(), "");
    assert_eq!(thaw(rt), 1);
    steps(rt);
    assert_eq!(completed(rt), [(2, 0), (3, -(Error::NotFound as Int))]);
}

/// A host that doesn't thaw is given up.
#[test]
fn a_freeze_ends_by_itself() {
    let (mut rt, orders) = ext4_runtime("forgotten");
    let rt = &mut rt;
    let a = create(rt, "/data/a");
    freeze(rt);
    steps(rt);
    let mut text = vec![5; 300_000];
    assert_eq!(write(rt, a, Piece::of(&mut text), 0, 2), Err(Stop::Pending));
    assert!(deadline(rt).is_some_and(|at| at > Current::monotonic_ns()));
    steps(rt);
    assert_eq!(completed(rt), []);
    step_at(rt, LATE);
    steps(rt);
    assert_eq!(completed(rt), [(2, 300_000)]);
    assert_eq!(thaw(rt), 0);
    let answer = sync(rt, 3);
    assert_eq!(result(rt, 3, answer), 0);
    assert_eq!(rt.close(a), Ok(0));
    let answer = unmount(rt, "/data", 4);
    assert_eq!(result(rt, 4, answer), 0);
    check(&orders);
}

/// The volumes have a minute to become consistent, and are frozen for ten from then on; the
/// program's end leaves 5 s.
#[test]
fn the_deadline_of_a_freeze_moves() {
    const SECOND_NS: u64 = 1_000_000_000;
    let (mut rt, orders) = ext4_runtime("moves");
    let rt = &mut rt;
    let a = create(rt, "/data/a");
    let mut text = vec![5; 300_000];
    let answer = write(rt, a, Piece::of(&mut text), 0, 1);
    assert_eq!(result(rt, 1, answer), 300_000);
    let check_lies = |rt: &mut Runtime, seconds: u64, change: &mut dyn FnMut(&mut Runtime)| {
        let before = Current::monotonic_ns();
        change(rt);
        let until = freezing::deadline(rt).expect("a freeze");
        let after = Current::monotonic_ns();
        let lies = (before..=after).contains(&(until - seconds * SECOND_NS));
        assert!(lies, "{seconds} s: {until} after {before}..{after}");
    };
    orders.hold.set(true);
    check_lies(rt, 60, &mut |rt| freeze(rt));
    orders.hold.set(false);
    check_lies(rt, 600, &mut |rt| steps(rt));
    check_lies(rt, 5, &mut |rt| assert!(!finish(rt)));
    // Later polls of the end don't extend it.
    let until = freezing::deadline(rt);
    assert!(!finish(rt));
    assert_eq!(freezing::deadline(rt), until);
    thaw(rt);
    assert_eq!(freezing::deadline(rt), None);
    for _ in 0..1000 {
        step(rt);
    }
    assert!(finish(rt));
    check(&orders);
}

/// A disk that doesn't become consistent in time: nothing stays frozen, whether the freeze's job
/// has begun or waits behind another one.
#[test]
fn a_freeze_that_takes_too_long_is_given_up() {
    for behind in [false, true] {
        let (mut rt, orders) = ext4_runtime("slow");
        let rt = &mut rt;
        let a = create(rt, "/data/a");
        let mut text = vec![5; 300_000];
        let answer = write(rt, a, Piece::of(&mut text), 0, 1);
        assert_eq!(result(rt, 1, answer), 300_000);
        orders.hold.set(true);
        if behind {
            assert_eq!(file_sync(rt, a, 2), Err(Stop::Pending));
        }
        freeze(rt);
        steps(rt);
        assert_eq!(write(rt, a, Piece::of(&mut text), 0, 3), Err(Stop::Pending));
        // Before the disk's own timeout.
        crate::files::engine::freezing::poll(rt, LATE);
        orders.hold.set(false);
        steps(rt);
        let mut ended = completed(rt);
        ended.retain(|(token, _)| *token != 2);
        assert_eq!(ended, [(3, 300_000)], "behind: {behind}");
        assert_eq!(thaw(rt), 0);
        assert_eq!(rt.close(a), Ok(0));
        let answer = unmount(rt, "/data", 4);
        assert_eq!(result(rt, 4, answer), 0);
        check(&orders);
    }
}

/// A volume whose job of an earlier freeze ends meanwhile isn't frozen yet.
#[test]
fn a_job_of_an_earlier_freeze_does_not_count() {
    let (mut rt, orders) = ext4_runtime("earlier");
    let rt = &mut rt;
    let a = create(rt, "/data/a");
    let mut text = vec![5; 300_000];
    let answer = write(rt, a, Piece::of(&mut text), 0, 1);
    assert_eq!(result(rt, 1, answer), 300_000);
    orders.hold.set(true);
    freeze(rt);
    steps(rt);
    assert_eq!(thaw(rt), 0);
    freeze(rt);
    orders.hold.set(false);
    steps(rt);
    assert_eq!(thaw(rt), 1, "one volume, once");
    steps(rt);
    assert_eq!(rt.close(a), Ok(0));
    let answer = unmount(rt, "/data", 2);
    assert_eq!(result(rt, 2, answer), 0);
    check(&orders);
}

/// The program's end: what it has written is unmounted after the thaw.
#[test]
fn the_end_waits_for_the_thaw() {
    for by_host in [false, true] {
        let (mut rt, orders) = ext4_runtime("end");
        let rt = &mut rt;
        let a = create(rt, "/data/a");
        freeze(rt);
        steps(rt);
        let mut text = vec![5; 300_000];
        assert_eq!(write(rt, a, Piece::of(&mut text), 0, 2), Err(Stop::Pending));
        for _ in 0..100 {
            assert!(!finish(rt));
            step(rt);
        }
        match by_host {
            true => assert_eq!(thaw(rt), 1),
            false => step_at(rt, LATE),
        }
        for _ in 0..1000 {
            step(rt);
        }
        assert!(finish(rt));
        assert_eq!(completed(rt), [(2, 300_000)]);
        check(&orders);
    }
}

/// A disk that fails: the freeze fails, and holds nothing.
#[test]
fn a_failed_freeze_holds_nothing() {
    let (mut rt, orders) = runtime("fails");
    let rt = &mut rt;
    let a = create(rt, "/data/a");
    let mut text = vec![5; 300_000];
    let answer = write(rt, a, Piece::of(&mut text), 0, 1);
    assert_eq!(result(rt, 1, answer), 300_000);
    orders.fail_flush.set(true);
    freeze(rt);
    steps(rt);
    assert_eq!(thaw(rt), 0);
    orders.fail_flush.set(false);
    // The volume may have lost a write, and then refuses this one: it is answered.
    let answer = write(rt, a, Piece::of(&mut text), 0, 2);
    result(rt, 2, answer);
    assert_eq!(rt.close(a), Ok(0));
    let answer = unmount(rt, "/data", 3);
    assert_eq!(result(rt, 3, answer), 0);
}
