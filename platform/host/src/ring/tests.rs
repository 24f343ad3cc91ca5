//! Unit tests of the ring.

use super::sleep::Entrance;
use super::{Handle, Owner, Requests, Ring, Sleep};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use rustix_uring::{Errno, opcode, types::Fd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

fn pipe() -> [i32; 2] {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for both.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    ends
}

fn put(fd: i32) {
    // SAFETY: reads one byte.
    assert_eq!(unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) }, 1);
}

/// The next completion with its tag.
fn ended(owner: &Owner) -> Option<(u64, Result<u32, Errno>)> {
    owner.ended().map(|ended| (ended.tag, ended.result))
}

/// Keeps other tests from opening a ring of one thread: a process has one such thread, whose
/// handler enters the last opened ring.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on the ring is as if other threads waited.
pub(crate) fn expect_others(ring: &mut Ring) {
    ring.is_shared = || true;
}

/// Whether the kernel has used one of the registered buffers.
pub(crate) fn uses_buffers(ring: &Ring) -> bool {
    ring.buffers.as_ref().is_some_and(|buffers| buffers.used)
}

/// Runs a test on a ring of all threads, and on one of this thread.
fn with_both(test: fn(Handle)) {
    let _alone = alone();
    for handle in [Handle::default(), Handle::of_one_thread()] {
        if handle.open(Requests::Lasting).is_none() {
            return println!("this kernel has no io_uring for us: not tested");
        }
        test(handle);
    }
}

#[test]
fn waits_for_descriptors_requests_and_the_time() {
    with_both(waits);
}

fn waits(handle: Handle) {
    let owner = handle.open(Requests::Lasting).expect("a ring");
    let wait = |fds: &mut [libc::pollfd], ms| {
        let time = Duration::from_millis(ms);
        handle.with(|ring| ring.wait(fds, Some(time)))
    };
    let [reader, writer] = pipe();
    let mut fds = [libc::pollfd {
        fd: reader,
        events: libc::POLLIN,
        revents: 0,
    }];
    let start = Instant::now();
    assert_eq!(wait(&mut fds, 20), Some(false));
    assert!(start.elapsed() >= Duration::from_millis(20));
    // The request of the first wait is still pending, and serves the second.
    assert_eq!(fds[0].revents, 0);
    put(writer);
    assert_eq!(wait(&mut fds, 10_000), Some(true));
    assert_eq!(fds[0].revents, libc::POLLIN);
    // It is still ready.
    assert_eq!(wait(&mut fds, 10_000), Some(true));

    let mut byte = 0u8;
    let read = opcode::Read::new(Fd(reader), &raw mut byte, 1).build();
    // SAFETY: `byte` lives until the end of the test, and the request ends before.
    assert!(unsafe { owner.push(read, 7, false) });
    assert_eq!(ended(&owner), None);
    assert_eq!(wait(&mut [], 10_000), Some(true));
    assert_eq!((ended(&owner), ended(&owner)), (Some((7, Ok(1))), None));
    assert_eq!(byte, b'x');
    // Descriptors were polled at most once for each of the three waits.
    assert_eq!(wait(&mut [], 0), Some(false));
}

/// A read of one byte.
fn read_of(fd: i32, byte: &mut u8) -> rustix_uring::squeue::Entry {
    opcode::Read::new(Fd(fd), byte, 1).build()
}

#[test]
fn a_child_does_not_touch_its_parents_ring() {
    with_both(|handle| {
        let Some(owner) = handle.open(Requests::Lasting) else {
            return;
        };
        let ([reader, writer], mut byte) = (pipe(), 0);
        put(writer);
        // SAFETY: `byte` lives until the end of the test, and the request ends before.
        assert!(unsafe { owner.push(read_of(reader, &mut byte), 1, true) });
        handle.with(super::Ring::submit_urgent);
        // SAFETY: the child calls nothing that another thread's locks could block, and exits.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let left_alone =
                    ended(&owner).is_none() && handle.open(Requests::Lasting).is_none();
                libc::_exit(i32::from(!left_alone));
            }
            let mut status = -1;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 0);
        }
        assert_eq!(ended(&owner), Some((1, Ok(1))));
    });
}

#[test]
fn what_is_not_urgent_begins_with_the_second_chance() {
    with_both(|handle| {
        let Some(owner) = handle.open(Requests::Lasting) else {
            return;
        };
        let ([reader, writer], mut byte) = (pipe(), 0);
        put(writer);
        for urgent in [true, false] {
            // SAFETY: `byte` lives until the end of the test, and the requests end before.
            assert!(unsafe { owner.push(read_of(reader, &mut byte), 1, urgent) });
            handle.with(super::Ring::submit_urgent);
            if !urgent {
                assert_eq!(ended(&owner), None);
                handle.with(super::Ring::submit_urgent);
            }
            assert_eq!(ended(&owner), Some((1, Ok(1))), "urgent: {urgent}");
            put(writer);
        }
    });
}

#[test]
fn nobody_sleeps_on_what_another_has_found() {
    with_both(|handle| {
        let (Some(one), Some(other)) = (
            handle.open(Requests::Lasting),
            handle.open(Requests::Lasting),
        ) else {
            return;
        };
        let ([reader, writer], mut byte) = (pipe(), 0);
        put(writer);
        // SAFETY: `byte` lives until the end of the test, and the request ends before.
        assert!(unsafe { one.push(read_of(reader, &mut byte), 1, true) });
        handle.with(super::Ring::submit_urgent);
        assert_eq!(ended(&other), None);
        let start = Instant::now();
        let time = Duration::from_secs(20);
        let waited = handle.with(|ring| ring.wait(&mut [], Some(time)));
        assert_eq!(waited, Some(true));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(ended(&one), Some((1, Ok(1))));
    });
}

#[test]
fn what_ends_at_once_ends_no_wait() {
    with_both(|handle| {
        let (Some(quiet), Some(loud)) =
            (handle.open(Requests::Quiet), handle.open(Requests::Lasting))
        else {
            return;
        };
        let ([reader, writer], mut byte) = (pipe(), 0);
        let wait = |ms| {
            let time = Duration::from_millis(ms);
            handle.with(|ring| ring.wait(&mut [], Some(time)))
        };
        for _ in 0..3 {
            let write = opcode::Write::new(Fd(writer), b"x".as_ptr(), 1).build();
            // SAFETY: static memory.
            assert!(unsafe { quiet.push(write, 5, true) });
            let start = Instant::now();
            assert_eq!(wait(20), Some(false));
            assert!(start.elapsed() >= Duration::from_millis(20));
            assert_eq!(ended(&quiet), Some((5, Ok(1))));
        }
        // SAFETY: `byte` lives until the end of the test, and the request ends before.
        assert!(unsafe { loud.push(read_of(reader, &mut byte), 1, false) });
        assert_eq!(wait(20_000), Some(true));
    });
}

/// Used by one thread at a time.
struct Passed(Handle);

/// The same.
struct Shared(Owner);

// SAFETY: the test's threads use it one after another.
unsafe impl Sync for Shared {}

// SAFETY: the test's threads use it one after another.
unsafe impl Send for Passed {}

#[test]
fn a_request_outlives_the_thread_that_began_it() {
    let handle = Handle::default();
    let Some(owner) = handle.open(Requests::Lasting) else {
        return;
    };
    let ([reader, writer], mut byte) = (pipe(), 0);
    // SAFETY: `byte` lives until the end of the test, and the request ends before.
    assert!(unsafe { owner.push(read_of(reader, &mut byte), 1, true) });
    handle.with(|ring| ring.may_end = || std::thread::current().name() == Some("ends"));
    let passed = Passed(handle.clone());
    let begin = move || {
        let passed = passed;
        let time = Some(Duration::from_millis(50));
        passed.0.with(|ring| ring.wait(&mut [], time))
    };
    let ends = std::thread::Builder::new().name("ends".into());
    let waited = ends
        .spawn(begin)
        .expect("a thread")
        .join()
        .expect("no panic");
    assert_eq!(waited, Some(false));
    put(writer);
    let time = Some(Duration::from_secs(20));
    assert_eq!(handle.with(|ring| ring.wait(&mut [], time)), Some(true));
    assert_eq!(ended(&owner), Some((1, Ok(1))));
}

/// Lets another thread use a handle, while this one doesn't.
fn on_another_thread<T: Send>(handle: &Handle, f: impl FnOnce(&Handle) -> T + Send) -> T {
    let passed = Passed(handle.clone());
    let run = move || {
        let passed = passed;
        f(&passed.0)
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("no panic"))
}

#[test]
fn another_thread_waits_on_the_ring_of_one() {
    with_both(|handle| {
        let owner = handle.open(Requests::Lasting).expect("a ring");
        let ([reader, writer], mut byte) = (pipe(), 0);
        // SAFETY: `byte` lives until the end of the test, and the request ends before.
        assert!(unsafe { owner.push(read_of(reader, &mut byte), 1, true) });
        on_another_thread(&handle, |handle| {
            put(writer);
            let end = Instant::now() + Duration::from_secs(20);
            while handle.with(|ring| ring.owners[1].ended.is_empty()) == Some(true) {
                assert!(Instant::now() < end, "nothing came");
                let time = Some(Duration::from_secs(20));
                handle.with(|ring| ring.wait(&mut [], time));
            }
        });
        assert_eq!(ended(&owner), Some((1, Ok(1))));
        // Nothing is pending now: the timeout ends it.
        let start = Instant::now();
        on_another_thread(&handle, |handle| {
            let mut left = Duration::from_millis(20);
            while left > Duration::ZERO {
                handle.with(|ring| ring.wait(&mut [], Some(left)));
                left = Duration::from_millis(20).saturating_sub(start.elapsed());
            }
        });
        assert_eq!(ended(&owner), None);
    });
}

/// The ring of one thread becomes one of all when others are expected: not while the kernel has a
/// request of it.
#[test]
fn a_ring_of_one_thread_is_replaced_when_others_wait() {
    let _alone = alone();
    let handle = Handle::of_one_thread();
    let Some(owner) = handle.open(Requests::Lasting) else {
        return println!("this kernel has no io_uring for us: not tested");
    };
    let is_of_one = || handle.with(|ring| ring.issuer.is_some()) == Some(true);
    if !is_of_one() {
        return println!("this kernel has no ring of one thread: not tested");
    }
    let wait = |ms| {
        let [reader, writer] = pipe();
        put(writer);
        let mut fds = [libc::pollfd {
            fd: reader,
            events: libc::POLLIN,
            revents: 0,
        }];
        let time = Some(Duration::from_millis(ms));
        assert_eq!(handle.with(|ring| ring.wait(&mut fds, time)), Some(true));
        assert_eq!(fds[0].revents, libc::POLLIN);
    };
    let ([reader, writer], mut byte) = (pipe(), 0);
    // SAFETY: `byte` lives until the end of the test, and the request ends before.
    assert!(unsafe { owner.push(read_of(reader, &mut byte), 1, true) });
    handle.with(expect_others);
    wait(20_000);
    assert!(is_of_one(), "a request is in flight");
    put(writer);
    handle.with(|ring| ring.wait(&mut [], Some(Duration::from_secs(20))));
    assert_eq!(ended(&owner), Some((1, Ok(1))));
    wait(20_000);
    assert!(!is_of_one());
    // SAFETY: as above.
    assert!(unsafe { owner.push(read_of(reader, &mut byte), 2, true) });
    put(writer);
    on_another_thread(&handle, |handle| {
        handle.with(|ring| ring.wait(&mut [], Some(Duration::from_secs(20))));
    });
    assert_eq!(ended(&owner), Some((2, Ok(1))));
}

/// Linux cancels what such a thread has submitted, some of it only at its event. So it submits only
/// what its owner makes again.
#[test]
fn a_thread_that_ends_leaves_lasting_requests_to_the_starter() {
    let handle = Handle::default();
    let kinds = [Requests::Repeated, Requests::Lasting].map(|kind| handle.open(kind));
    let [Some(repeated), Some(lasting)] = kinds else {
        return println!("this kernel has no io_uring for us: not tested");
    };
    let [reader, writer] = pipe();
    let submit = |owner: Owner| {
        let owner = Shared(owner);
        let used = &owner;
        on_another_thread(&handle, |handle| {
            let poll = opcode::PollAdd::new(Fd(reader), libc::POLLIN as u32).build();
            // SAFETY: a request without memory.
            assert!(unsafe { used.0.push(poll, 1, true) });
            let mut slept = handle.with(|ring| {
                ring.may_end = || true;
                ring.prepare(&[])
            });
            slept
                .as_mut()
                .expect("a ring")
                .sleep(Some(Duration::ZERO), None);
            handle.with(|ring| {
                ring.may_end = || false;
                ring.finish(&mut [], slept.expect("a ring"));
                assert_eq!(ring.starter.is_some(), used.0.kind == Requests::Lasting);
            });
        });
        owner.0
    };
    let (repeated, lasting) = (submit(repeated), submit(lasting));
    put(writer);
    let (mut results, end) = ([None; 2], Instant::now() + Duration::from_secs(20));
    while results.contains(&None) && Instant::now() < end {
        handle.with(|ring| ring.wait(&mut [], Some(Duration::from_millis(100))));
        for (owner, result) in [&repeated, &lasting].into_iter().zip(&mut results) {
            *result = result.or_else(|| ended(owner));
        }
    }
    let ready = Ok(libc::POLLIN as u32);
    assert_eq!(results, [Some((1, Err(Errno::CANCELED))), Some((1, ready))]);
}

#[test]
fn more_requests_than_the_queue_holds_all_end() {
    const COUNT: u64 = 2000;
    with_both(|handle| {
        let owner = Shared(handle.open(Requests::Lasting).expect("a ring"));
        let push = |_: &Handle| {
            let owner = &owner;
            for tag in 0..COUNT {
                // SAFETY: a request without memory.
                assert!(unsafe { owner.0.push(opcode::Nop::new().build(), tag, false) });
            }
        };
        // Only the issuer submits them, which does other work meanwhile.
        on_another_thread(&handle, push);
        let mut found = 0;
        let end = Instant::now() + Duration::from_secs(20);
        while found < COUNT {
            assert!(Instant::now() < end, "{found} requests ended");
            let time = Some(Duration::from_secs(20));
            handle.with(|ring| ring.wait(&mut [], time));
            while let Some((_, result)) = ended(&owner.0) {
                assert_eq!(result, Ok(0));
                found += 1;
            }
        }
    });
}

#[test]
fn what_is_due_is_seen_without_a_wait() {
    with_both(|handle| {
        let owner = handle.open(Requests::Lasting).expect("a ring");
        let ([reader, writer], mut byte) = (pipe(), 0);
        for _ in 0..3 {
            // SAFETY: `byte` lives until the end of the test, and the request ends before.
            assert!(unsafe { owner.push(read_of(reader, &mut byte), 1, true) });
            handle.with(Ring::submit_urgent);
            assert_eq!(ended(&owner), None);
            put(writer);
            // As in a busy program: its waits end at once.
            handle.with(Ring::submit_urgent);
            assert_eq!(ended(&owner), Some((1, Ok(1))));
        }
        // More than the kernel has room for at a time.
        for tag in 0..2000 {
            // SAFETY: a request without memory.
            assert!(unsafe { owner.push(opcode::Nop::new().build(), tag, true) });
        }
        let mut found = 0;
        for _ in 0..1000 {
            handle.with(Ring::submit_urgent);
            found += core::iter::from_fn(|| ended(&owner)).count();
        }
        assert_eq!(found, 2000);
    });
}

/// A sleeping thread uses the ring while another adds requests.
#[test]
fn a_sleep_that_begins_takes_no_request_back() {
    const ROUNDS: u64 = 500_000;
    let handle = Handle::default();
    let Some(owner) = handle.open(Requests::Lasting) else {
        return;
    };
    let (sleeps, rounds) = (AtomicBool::new(true), AtomicU64::new(0));
    let (mut pushed, mut found) = (0, 0);
    std::thread::scope(|scope| {
        let uring = handle.with(|ring| ring.uring.clone()).expect("a ring");
        let (sleeps, rounds) = (&sleeps, &rounds);
        scope.spawn(move || {
            while sleeps.load(Ordering::Relaxed) {
                let mut sleep = Sleep {
                    uring: uring.clone(),
                    entrance: Entrance::Itself,
                    queued: false,
                    want: 1,
                    event: true,
                };
                sleep.sleep(None, None);
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        while rounds.load(Ordering::Relaxed) < ROUNDS {
            // SAFETY: a request without memory.
            assert!(unsafe { owner.push(opcode::Nop::new().build(), pushed, false) });
            pushed += 1;
            found += core::iter::from_fn(|| ended(&owner)).count() as u64;
        }
        sleeps.store(false, Ordering::Relaxed);
    });
    owner.submit();
    while handle.with(|ring| ring.wait(&mut [], Some(Duration::from_millis(100)))) == Some(true) {
        found += core::iter::from_fn(|| ended(&owner)).count() as u64;
    }
    assert_eq!(found, pushed);
}
