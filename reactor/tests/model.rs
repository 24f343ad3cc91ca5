//! Leader, followers and hand-over under a model checker: the real `Cell` on a [`machine`] whose
//! steps are shuttle's, which tries interleavings and reports a deadlock.
//!
//! Threads run on as many processors as there are, in domains with a lock of OCaml's each, and all
//! of them stop where one domain collects garbage. They are switched before each acquisition of the
//! runtime's lock, inside of it, and at each step of the machine.

#[path = "model/machine.rs"]
mod machine;

use machine::{
    COMPARED_OUTSIDE, DOMAINS, Device, HALTS_UNASKED, KEEPS_OCAML, KICK_LOST, Last, Model,
    NO_NUDGE, NO_SIGNALS, NO_WAKE, NONE, NOTED_LATE, NOTED_OUTSIDE, OCAML_INSIDE, ONE_NOTE, World,
    await_world, change, collect, dawdle, give_ocaml, join_domain, take_ocaml,
};
use platform::error::{Answer, Error, Stop};
use reactor::cell::Cell;
use reactor::wait::{FIRST_OF_THREADS, SCHEDULER, scheduler};
use reactor::{Cancelled, Driver, Runtime};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread::{self, JoinHandle};
use std::panic::catch_unwind;

/// Schedules that each test tries, of a kind. Long runs try more.
const SCHEDULES: usize = 200;
const LONG: usize = 4000;
/// Schedules one of which has to show a fault.
const FAULTY: usize = 4000;

const PENDING: Answer = Err(Stop::Pending);
/// An event's token.
const EVENT: u64 = FIRST_OF_THREADS + 100;

type Shared<const FAULT: u8> = Arc<Cell<Device<FAULT>>>;

/// The first domain's runtime with this driver and `events` events, from [`EVENT`] on.
fn runtime<const FAULT: u8>(
    driver: &'static Driver<Device<FAULT>>,
    events: usize,
) -> Shared<FAULT> {
    let cell: Shared<FAULT> = Arc::new(Cell::new());
    assert!(cell.join());
    let registered = cell.call(|rt| Ok(rt.register(driver).map(|()| 0)?));
    assert_eq!(registered, Ok(0));
    for event in 0..events {
        assert_eq!(
            cell.call(|rt| rt.event(EVENT as isize + event as isize)),
            PENDING
        );
    }
    cell
}

fn driver<const FAULT: u8>() -> &'static Driver<Device<FAULT>> {
    &Driver {
        poll: |rt, _| {
            let finished = change(|world| {
                world.queued = true;
                core::mem::take(&mut world.finished)
            });
            for token in finished {
                rt.complete(token, Ok(token as usize));
            }
        },
        deadline: |_| None,
        interest: |_, interest| {
            let outstanding =
                |world: &mut World| !world.submitted.is_empty() || !world.finished.is_empty();
            interest.device |= change(outstanding);
        },
        finish: |_| true,
        counter: |_, _| 0,
    }
}

/// A driver whose requests any sleep covers, also those that are submitted meanwhile.
fn covering<const FAULT: u8>() -> &'static Driver<Device<FAULT>> {
    &Driver {
        poll: |rt, now| (driver::<FAULT>().poll)(rt, now),
        deadline: |_| None,
        interest: |_, interest| interest.device = true,
        finish: |_| true,
        counter: |_, _| 0,
    }
}

/// Submits a request to the device.
fn submit<const FAULT: u8>(rt: &mut Runtime<Device<FAULT>>, token: u64) -> Answer {
    rt.give(token, |_, _| Cancelled::Later)?;
    change(|world| world.submitted.push(token));
    Err(Stop::Pending)
}

/// Waits for the thread's operation as `soil_await` does, until a time if it is given.
fn await_token_until<const FAULT: u8>(
    cell: &Shared<FAULT>,
    token: u64,
    until: Option<u64>,
) -> Answer {
    let fetch = |rt: &mut Runtime<_>| rt.take_completion(token).unwrap_or(Err(Stop::Pending));
    cell.wait(token, until, fetch)
}

/// Waits for the thread's operation.
fn await_token<const FAULT: u8>(cell: &Shared<FAULT>, token: u64) -> usize {
    loop {
        match await_token_until(cell, token, None) {
            Ok(result) => return result,
            stop => assert_eq!(stop, PENDING),
        }
    }
}

/// Sets an event as `soil_event_set` does.
fn set_from_anywhere<const FAULT: u8>(cell: &Shared<FAULT>, event: u64) -> Answer {
    cell.call_from_anywhere(|rt| rt.set_event(event as isize), |answer| answer)
}

/// Runs `f` in a thread of the first domain, which has OCaml's lock.
fn in_ocaml<const FAULT: u8>(
    cell: &Shared<FAULT>,
    f: impl FnOnce(&Shared<FAULT>) + Send + 'static,
) -> JoinHandle<()> {
    in_domain(0, cell, f)
}

/// The same in another domain.
fn in_domain<const FAULT: u8>(
    domain: usize,
    cell: &Shared<FAULT>,
    f: impl FnOnce(&Shared<FAULT>) + Send + 'static,
) -> JoinHandle<()> {
    let cell = cell.clone();
    thread::spawn(move || {
        join_domain(domain);
        take_ocaml();
        f(&cell);
        give_ocaml();
    })
}

/// Waits for the end of all threads, beside the timer.
fn join<const FAULT: u8>(threads: Vec<JoinHandle<()>>) {
    let timer = thread::spawn(Model::<FAULT>::run_timer);
    for thread in threads {
        thread.join().expect("no panic");
    }
    change(|world| world.over = true);
    timer.join().expect("no panic");
}

/// Threads that wait for the device, for each other, for another domain and for the scheduler's
/// tasks.
fn program<const FAULT: u8>() {
    const THREADS: u64 = 2;
    const ROUNDS: u64 = 2;
    const OF_DOMAIN: u64 = EVENT + 1;
    let cell = runtime(driver::<FAULT>(), 2);
    let mut threads = vec![
        thread::spawn(|| Model::<FAULT>::serve(((THREADS + 1) * ROUNDS) as usize)),
        // Ticks.
        thread::spawn({
            let cell = cell.clone();
            move || {
                for _ in 0..30 {
                    cell.tick(|rt| (driver::<FAULT>().poll)(rt, 0));
                    thread::yield_now();
                }
            }
        }),
        // The scheduler's thread: its operations complete in batches.
        in_ocaml(&cell, move |cell| {
            let mut seen = 0;
            for token in 1..=ROUNDS {
                assert_eq!(cell.call(|rt| submit(rt, token)), PENDING);
            }
            while seen < ROUNDS {
                let fetch = |rt: &mut Runtime<_>| {
                    let completions = core::iter::from_fn(|| rt.next_completion(0));
                    Ok(completions
                        .inspect(|(token, answer)| assert_eq!(*answer, Ok(*token as usize)))
                        .count())
                };
                seen += cell.wait(SCHEDULER, None, fetch).expect("it waits") as u64;
            }
            assert_eq!(cell.call(|rt| rt.set_event(EVENT as isize)), Ok(1));
        }),
        in_ocaml(&cell, |cell| {
            assert_eq!(await_token(cell, EVENT), 0);
            assert_eq!(await_token(cell, OF_DOMAIN), 0);
        }),
        in_domain(1, &cell, |cell| {
            assert_eq!(cell.call(|_| Ok(0)), Err(Error::Busy.into()));
            dawdle();
            assert_eq!(set_from_anywhere(cell, OF_DOMAIN), Ok(1));
        }),
    ];
    for thread in 1..=THREADS {
        threads.push(in_ocaml(&cell, move |cell| {
            for round in 0..ROUNDS {
                let token = FIRST_OF_THREADS + thread;
                if round > 0 {
                    // As a thread that computes.
                    give_ocaml();
                    take_ocaml();
                }
                assert_eq!(cell.call(|rt| submit(rt, token)), PENDING);
                assert_eq!(await_token(cell, token), token as usize);
            }
        }));
    }
    join::<FAULT>(threads);
    assert_eq!(cell.call(|rt| Ok(rt.outstanding())), Ok(0));
}

/// A thread of the first domain waits for what the others do, which also collect garbage.
fn domains<const FAULT: u8>() {
    let cell = runtime(driver::<FAULT>(), DOMAINS - 1);
    let mut threads = vec![in_ocaml(&cell, |cell| {
        for event in 0..DOMAINS as u64 - 1 {
            assert_eq!(await_token(cell, EVENT + event), 0);
        }
    })];
    for domain in 1..DOMAINS {
        threads.push(in_domain(domain, &cell, move |cell| {
            let event = EVENT + domain as u64 - 1;
            dawdle();
            assert_eq!(set_from_anywhere(cell, event), Ok(1));
            collect();
            assert_eq!(set_from_anywhere(cell, event), Ok(0));
        }));
    }
    join::<FAULT>(threads);
}

/// Each domain has a scheduler with a request of its own, and calls the next domain's, whose wait
/// ends by both.
fn schedulers<const FAULT: u8>() {
    let cell = runtime(driver::<FAULT>(), 0);
    let calls = Arc::new(Mutex::new([false; DOMAINS]));
    let mut threads = vec![thread::spawn(|| Model::<FAULT>::serve(DOMAINS))];
    for domain in 0..DOMAINS {
        let calls = calls.clone();
        threads.push(in_domain(domain, &cell, move |cell| {
            assert!(cell.join());
            let token = scheduler(domain) + 1;
            assert_eq!(cell.call(|rt| submit(rt, token)), PENDING);
            let next = (domain + 1) % DOMAINS;
            calls.lock().expect("no panic")[next] = true;
            let call = |rt: &mut Runtime<_>| rt.call_domain(next);
            assert_eq!(cell.call_from_anywhere(call, |answer| answer), Ok(0));
            let mut completed = false;
            while !(completed && calls.lock().expect("no panic")[domain]) {
                let fetch = |rt: &mut Runtime<_>| {
                    let next = rt.next_completion(domain);
                    if let Some(completion) = next {
                        assert_eq!(completion, (token, Ok(token as usize)));
                    }
                    Ok(usize::from(next.is_some()))
                };
                completed |= cell.wait(scheduler(domain), None, fetch) == Ok(1);
            }
        }));
    }
    join::<FAULT>(threads);
    assert_eq!(cell.call(|rt| Ok(rt.outstanding())), Ok(0));
}

/// Schedulers that have led, or stood by, compute until another one's request has completed, for
/// which none of them waits any more.
fn standbys<const FAULT: u8>() {
    const ROUNDS: u64 = 2;
    let cell = runtime(driver::<FAULT>(), 0);
    let over = Arc::new((Mutex::new(false), Condvar::new()));
    let request = |cell: &Cell<_>, domain, round| {
        let token = scheduler(domain) + round;
        assert_eq!(cell.call(|rt| submit(rt, token)), PENDING);
        let fetch = |rt: &mut Runtime<_>| match rt.next_completion(domain) {
            Some((_, answer)) => answer,
            None => Ok(0),
        };
        while cell.wait(scheduler(domain), None, fetch) != Ok(token as usize) {}
    };
    let requests = 1 + (DOMAINS - 1) * ROUNDS as usize;
    let mut threads = vec![thread::spawn(move || Model::<FAULT>::serve(requests))];
    for domain in 1..DOMAINS {
        let over = over.clone();
        threads.push(in_domain(domain, &cell, move |cell| {
            assert!(cell.join());
            for round in 1..=ROUNDS {
                request(cell, domain, round);
            }
            give_ocaml();
            let mut is_over = over.0.lock().expect("no panic");
            while !*is_over {
                is_over = over.1.wait(is_over).expect("no panic");
            }
            drop(is_over);
            take_ocaml();
        }));
    }
    threads.push(in_domain(0, &cell, move |cell| {
        request(cell, 0, 1);
        *over.0.lock().expect("no panic") = true;
        over.1.notify_all();
    }));
    join::<FAULT>(threads);
}

/// While one domain waits for another, that one's calls add requests only, which end no sleep.
fn requests(driver: &'static Driver<Device<NONE>>) {
    const ROUNDS: u64 = 2;
    let cell = runtime(driver, 1);
    let threads = vec![
        thread::spawn(|| Model::<NONE>::serve(ROUNDS as usize)),
        in_ocaml(&cell, |cell| assert_eq!(await_token(cell, EVENT), 0)),
        in_domain(1, &cell, |cell| {
            assert!(cell.join());
            for token in FIRST_OF_THREADS..FIRST_OF_THREADS + ROUNDS {
                let submit = |rt: &mut Runtime<_>| {
                    rt.note_requests_only();
                    submit(rt, token)
                };
                assert_eq!(cell.call(submit), PENDING);
                assert_eq!(await_token(cell, token), token as usize);
            }
            assert_eq!(set_from_anywhere(cell, EVENT), Ok(1));
        }),
    ];
    join::<NONE>(threads);
}

/// Threads come and go, whose waits end at a time: each may lead, or be made the leader as its time
/// comes. One waits for the device meanwhile.
fn deadlines<const FAULT: u8>() {
    const THREADS: u64 = 2;
    let cell = runtime(driver::<FAULT>(), THREADS as usize);
    let mut threads = vec![
        thread::spawn(|| Model::<FAULT>::serve(1)),
        in_ocaml(&cell, |cell| {
            let token = FIRST_OF_THREADS + 1;
            assert_eq!(cell.call(|rt| submit(rt, token)), PENDING);
            assert_eq!(await_token(cell, token), token as usize);
        }),
    ];
    for thread in 0..THREADS {
        threads.push(in_ocaml(&cell, move |cell| {
            let token = EVENT + thread;
            assert_eq!(await_token_until(cell, token, Some(1)), PENDING);
            assert_eq!(await_token_until(cell, token, Some(2)), PENDING);
            assert_eq!(cell.call(|rt| rt.cancel(token as isize)), Ok(1));
        }));
    }
    join::<FAULT>(threads);
}

/// A call waits for a device of its own, with the runtime's lock, beside a leader.
fn wait_in_a_call<const FAULT: u8>() {
    let cell = runtime(driver::<FAULT>(), 1);
    join::<FAULT>(vec![
        thread::spawn(|| {
            await_world(|world| world.asked.then(|| world.answered = true));
            Model::<FAULT>::event();
        }),
        in_ocaml(&cell, |cell| {
            assert_eq!(await_token(cell, EVENT), 0);
        }),
        in_ocaml(&cell, |cell| {
            let ask = |_: &mut Runtime<_>| {
                change(|world| world.asked = true);
                while !change(|world| world.answered) {
                    Model::<FAULT>::await_device();
                }
                Ok(0)
            };
            assert_eq!(cell.call(ask), Ok(0));
            assert_eq!(cell.call(|rt| rt.set_event(EVENT as isize)), Ok(1));
        }),
    ]);
}

/// The token of the write at the program's end.
const LAST: u64 = 1;

/// The program ends, in another domain, while another thread leads, asleep, for an event that only
/// occurs afterwards.
fn end<const FAULT: u8>() {
    let flushing: &'static Driver<Device<FAULT>> = &Driver {
        poll: |_, _| {
            change(|world| {
                if world.finished.pop() == Some(LAST) {
                    world.last = Last::Written;
                }
            });
        },
        finish: |_| {
            change(|world| {
                if world.last == Last::Unasked {
                    world.last = Last::Submitted;
                    world.submitted.push(LAST);
                }
                world.last == Last::Written
            })
        },
        deadline: |_| None,
        interest: |_, interest| {
            interest.device |= change(|world| world.last == Last::Submitted);
        },
        counter: |_, _| 0,
    };
    let cell = runtime(flushing, 1);
    let threads = [
        thread::spawn(|| Model::<FAULT>::serve(1)),
        in_ocaml(&cell, |cell| {
            assert_eq!(await_token(cell, EVENT), 0);
        }),
        in_domain(1, &cell, |cell| {
            assert_eq!(cell.finish(1), Ok(0));
            assert_eq!(set_from_anywhere(cell, EVENT), Ok(1));
        }),
    ];
    // Time stands still.
    for thread in threads {
        thread.join().expect("no panic");
    }
}

fn check(model: fn()) {
    let schedules = match std::env::var_os("SOIL_TEST_LONG") {
        Some(_) => LONG,
        None => SCHEDULES,
    };
    shuttle::check_random(model, schedules);
    shuttle::check_pct(model, schedules, 3);
}

#[test]
fn every_wait_ends() {
    check(program::<NONE>);
}

#[test]
fn a_wait_ends_by_other_domains_and_delays_no_collection() {
    check(domains::<NONE>);
}

#[test]
fn each_scheduler_hears_of_its_operations_and_of_other_domains() {
    check(schedulers::<NONE>);
}

#[test]
fn a_standby_leads_while_the_others_compute() {
    check(standbys::<NO_SIGNALS>);
}

#[test]
fn requests_that_end_no_sleep_are_covered_by_it() {
    check(|| requests(covering()));
}

#[test]
fn a_request_that_no_sleep_covers_is_found() {
    assert_deadlocks(&[|| requests(driver())]);
}

#[test]
fn a_wait_that_ends_at_a_time_passes_the_lead_on() {
    check(deadlines::<NONE>);
}

#[test]
fn a_call_waits_for_its_device_beside_the_leader() {
    check(wait_in_a_call::<NONE>);
}

#[test]
fn the_end_of_the_program_takes_over_from_a_leader_that_sleeps() {
    check(end::<NONE>);
}

/// Checks that a schedule of each model ends in a deadlock.
fn assert_deadlocks(models: &[fn()]) {
    for (at, model) in models.iter().copied().enumerate() {
        let failure = catch_unwind(|| {
            shuttle::check_random(model, FAULTY);
            shuttle::check_pct(model, FAULTY, 3);
        });
        let failure = failure.expect_err("a schedule that fails");
        let text = failure.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| failure.downcast_ref::<&str>().copied());
        assert!(
            text.is_some_and(|text| text.contains("deadlock")),
            "{at}: {text:?}"
        );
    }
}

#[test]
fn a_lost_nudge_is_found() {
    assert_deadlocks(&[program::<NO_NUDGE>, domains::<NO_NUDGE>, end::<NO_NUDGE>]);
}

#[test]
fn a_lost_wake_up_is_found() {
    assert_deadlocks(&[
        program::<NO_WAKE>,
        schedulers::<NO_WAKE>,
        deadlines::<NO_WAKE>,
        end::<NO_WAKE>,
    ]);
}

#[test]
fn a_sleep_that_keeps_ocaml_is_found() {
    assert_deadlocks(&[program::<KEEPS_OCAML>, domains::<KEEPS_OCAML>]);
}

#[test]
fn waiting_for_ocaml_with_the_runtimes_lock_is_found() {
    assert_deadlocks(&[program::<OCAML_INSIDE>, domains::<OCAML_INSIDE>]);
}

#[test]
fn a_note_that_is_taken_before_the_sleep_is_found() {
    assert_deadlocks(&[domains::<NOTED_OUTSIDE>]);
}

#[test]
fn a_note_that_follows_its_wake_up_is_found() {
    assert_deadlocks(&[wait_in_a_call::<NOTED_LATE>]);
}

#[test]
fn a_note_for_the_leader_and_a_call_is_found() {
    assert_deadlocks(&[wait_in_a_call::<ONE_NOTE>]);
}

#[test]
fn a_word_that_is_compared_before_the_sleep_is_found() {
    assert_deadlocks(&[program::<COMPARED_OUTSIDE>]);
}

#[test]
fn a_lost_kick_is_found() {
    assert_deadlocks(&[
        program::<KICK_LOST>,
        domains::<KICK_LOST>,
        deadlines::<KICK_LOST>,
        wait_in_a_call::<KICK_LOST>,
        end::<KICK_LOST>,
    ]);
}

#[test]
fn a_halt_after_the_wake_up_is_found() {
    assert_deadlocks(&[
        program::<HALTS_UNASKED>,
        domains::<HALTS_UNASKED>,
        wait_in_a_call::<HALTS_UNASKED>,
        end::<HALTS_UNASKED>,
    ]);
}
