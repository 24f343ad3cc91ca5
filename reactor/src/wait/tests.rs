//! Waits of runtimes with fake drivers.

use super::{
    FINISH, FIRST_OF_THREADS, From, LEADS, Leader, Next, continue_wait, scheduler, stand_by, wait,
};
use crate::Cancelled;
use crate::cell::Cell;
use crate::runtime::tests::{Driver, Fake, Runtime};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use host::{Host, Requests, Ring};
use platform::error::{Error, Stop};
use platform::{Clock, Wait as _};
use std::thread;
use std::time::{Duration, Instant};

/// A driver that does nothing.
const IDLE: Driver = Driver {
    poll: |_, _| (),
    deadline: |_| None,
    interest: |_, _| (),
    finish: |_| true,
    counter: |_, _| 0,
};

fn with_drivers(drivers: &[&'static Driver]) -> Runtime {
    let mut rt = Runtime::new();
    for driver in drivers {
        rt.register(driver).expect("room");
    }
    rt
}

fn cell_with(drivers: &[&'static Driver]) -> Cell<Fake> {
    let cell = Cell::new();
    for driver in drivers {
        let registered = cell.call(|rt| Ok(rt.register(driver).map(|()| 0)?));
        assert_eq!(registered, Ok(0), "room");
    }
    cell
}

/// A deadline: the monotonic time in `ms` milliseconds.
fn in_ms(ms: u64) -> Option<u64> {
    Some(Host::monotonic_ns() + ms * 1_000_000)
}

#[test]
fn wakes_for_the_earliest_deadline() {
    static DUE: AtomicU64 = AtomicU64::new(0);
    let timely: &Driver = &Driver {
        poll: |rt, now| {
            if now >= DUE.load(Ordering::Relaxed) {
                rt.complete(1, Ok(7));
            }
        },
        deadline: |_| Some(DUE.load(Ordering::Relaxed)),
        ..IDLE
    };
    let late: &Driver = &Driver {
        deadline: |_| in_ms(60_000),
        ..IDLE
    };
    for order in [[timely, late], [late, timely]] {
        let mut rt = with_drivers(&order);
        rt.give(1, |_, _| Cancelled::Done).expect("memory");
        DUE.store(in_ms(20).expect("a time"), Ordering::Relaxed);
        let start = Instant::now();
        assert_eq!(wait(&mut rt, in_ms(60_000)), Ok(()));
        assert!(start.elapsed() < Duration::from_secs(50));
        assert_eq!(rt.next_completion(0), Some((1, Ok(7))));
        assert!(Host::monotonic_ns() >= DUE.load(Ordering::Relaxed));
    }
    // The caller's own deadline.
    let start = Instant::now();
    let mut rt = with_drivers(&[late]);
    assert_eq!(wait(&mut rt, in_ms(20)), Ok(()));
    assert!(!rt.has_completions());
    assert!((20..50_000).contains(&start.elapsed().as_millis()));
}

#[test]
fn every_driver_finishes_before_the_end() {
    static LEFT: AtomicUsize = AtomicUsize::new(5);
    let busy: &Driver = &Driver {
        deadline: |_| Some(0),
        finish: |_| {
            let left = LEFT.load(Ordering::Relaxed);
            LEFT.store(left.saturating_sub(1), Ordering::Relaxed);
            left == 0
        },
        ..IDLE
    };
    assert_eq!(cell_with(&[busy, &IDLE]).finish(60_000_000_000), Ok(0));
    assert_eq!(LEFT.load(Ordering::Relaxed), 0);
    let never: &Driver = &Driver {
        finish: |_| false,
        ..IDLE
    };
    let start = Instant::now();
    let late = Err(Stop::Error(Error::TimedOut));
    assert_eq!(cell_with(&[never, &IDLE]).finish(20_000_000), late);
    assert!((20..50_000).contains(&start.elapsed().as_millis()));
}

/// A wait can change the interest of another thread's sleep without ending that sleep: then the
/// leader is nudged, once, and only while it sleeps.
#[test]
fn a_change_within_a_wait_renews_the_sleep_of_the_leader() {
    let changes: [fn(&mut Runtime); 2] = [Runtime::wake_watchers, Runtime::renew_sleep];
    for (way, change) in changes.into_iter().enumerate() {
        for watches in [false, true] {
            for leader in [
                Leader::Absent,
                Leader::Awake,
                Leader::Asleep,
                Leader::Nudged,
            ] {
                let mut rt = with_drivers(&[&IDLE]);
                if watches {
                    assert_eq!(rt.watch(7), Err(Stop::Pending));
                }
                (rt.leader, rt.led_in) = (leader, Host::forks());
                change(&mut rt);
                let sleeps = matches!(leader, Leader::Asleep | Leader::Nudged);
                assert!((rt.leader == Leader::Nudged) == sleeps, "{way}");
                assert!(sleeps || rt.leader == leader);
                let woken = (watches && way == 0).then_some((7, Ok(0)));
                assert_eq!(rt.next_completion(0), woken);
            }
        }
    }
}

/// A signal ends the wait, with and without a ring, so that the OCaml runtime can run its handler.
#[test]
fn a_signal_ends_the_wait() {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: a handler that does nothing, for a signal that nothing else in this process uses.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGUSR1, &action, core::ptr::null_mut());
    }
    for ring in [false, true] {
        let mut rt = Runtime::new();
        let handle = Ring::default();
        let owner = ring.then(|| handle.open(Requests::Lasting));
        rt.interest.use_ring(handle);
        // SAFETY: this thread's own handle, used while it lives.
        let waiter = unsafe { libc::pthread_self() } as usize;
        let (done, stopped) = std::sync::mpsc::channel::<()>();
        let sender = thread::spawn(move || {
            // Repeatedly: the first may arrive before the wait.
            while stopped.recv_timeout(Duration::from_millis(20)).is_err() {
                // SAFETY: the thread waits for this one.
                unsafe { libc::pthread_kill(waiter as libc::pthread_t, libc::SIGUSR1) };
            }
        });
        let start = Instant::now();
        assert_eq!(wait(&mut rt, in_ms(60_000)), Ok(()));
        assert!(start.elapsed() < Duration::from_secs(50), "ring: {ring}");
        done.send(()).expect("it runs");
        sender.join().expect("it ends");
        drop(owner);
    }
}

/// A fork leaves the child without followers and without the leader: the child's only thread leads,
/// and passes the lead on to none of them.
#[test]
fn a_forked_child_forgets_the_threads_of_its_parent() {
    for follower in [FIRST_OF_THREADS, FINISH] {
        let mut rt = with_drivers(&[&IDLE]);
        rt.completions.follow(follower).expect("memory");
        rt.leader = Leader::Asleep;
        rt.led_in = Host::forks().wrapping_sub(1);
        assert_eq!(wait(&mut rt, Some(0)), Ok(()));
        assert!(rt.leader == Leader::Absent, "follower {follower}");
        assert!(!rt.completions.has_finisher());
    }
}

/// With several domains, the lead is with a scheduler that runs, and there is always a thread that
/// watches the devices for those that wait.
#[test]
fn the_lead_is_with_the_domains_that_run() {
    let mut rt = Runtime::new();
    rt.is_shared = true;
    let [first, second, third] = [0, 1, 2].map(scheduler);
    let complete = |rt: &mut Runtime, waiter: u64| {
        let token = waiter + 1;
        rt.give(token, |_, _| Cancelled::Done).expect("memory");
        rt.complete(token, Ok(7));
    };
    let begin = |rt: &mut Runtime, waiter| continue_wait(rt, waiter, None, From::Call);
    let Ok(Next::Sleep(sleep)) = begin(&mut rt, first) else {
        panic!("it doesn't lead");
    };
    let (Ok(Next::Follow(word, None)), Ok(Next::Follow(last, None))) =
        (begin(&mut rt, second), begin(&mut rt, third))
    else {
        panic!("they don't follow");
    };
    // A call for the second one, which nudges the leader.
    complete(&mut rt, second);
    rt.nudge();
    let Ok(Next::Follow(first_word, Some(standby))) =
        continue_wait(&mut rt, first, None, From::Sleep(sleep))
    else {
        panic!("the first one doesn't stand by");
    };
    assert!(rt.leader == Leader::Absent);
    let resumed = continue_wait(&mut rt, second, None, From::Following(word, None));
    assert!(matches!(resumed, Ok(Next::Return)));
    assert_eq!(rt.next_completion(1), Some((second + 1, Ok(7))));
    // It leads, with work for itself and for the first one, which stands by.
    for waiter in [first, second] {
        complete(&mut rt, waiter);
    }
    assert!(matches!(begin(&mut rt, second), Ok(Next::Return)));
    assert!(rt.leader == Leader::Absent);
    // That one's wait is over: another one takes its place.
    let resumed = continue_wait(
        &mut rt,
        first,
        None,
        From::Following(first_word, Some(standby)),
    );
    assert!(matches!(resumed, Ok(Next::Return)));
    assert_eq!(last.load(Ordering::Relaxed), LEADS);
    let leads = continue_wait(&mut rt, third, None, From::Following(last, None));
    assert!(matches!(leads, Ok(Next::Sleep(_))));
}

/// One whose time to stand by is over goes on standing by only while no other thread watches the
/// devices: a leader runs their drivers, or a domain computes and leads none.
#[test]
fn a_follower_stands_by_on_while_no_leader_sleeps() {
    for (leader, stands_by) in [
        (Leader::Absent, true),
        (Leader::Awake, true),
        (Leader::Asleep, false),
        (Leader::Nudged, false),
    ] {
        let mut rt = Runtime::new();
        rt.is_shared = true;
        let [first, second] = [0, 1].map(scheduler);
        let over = stand_by(&mut rt, 0);
        assert_eq!(rt.standby_until, over.until);
        let word = rt.completions.follow(second).expect("memory");
        // Another thread has led since.
        (rt.leads, rt.leader) = (rt.leads.wrapping_add(1), leader);
        (rt.led_by, rt.led_in) = (first, Host::forks());
        let begun_at = Host::monotonic_ns();
        let next = continue_wait(&mut rt, second, None, From::Following(word, Some(over)));
        let Ok(Next::Follow(_, watch)) = next else {
            panic!("it doesn't follow");
        };
        let until = watch.map(|standby| standby.until);
        assert!(until.is_some() == stands_by && until.is_none_or(|until| until > begun_at));
    }
}
