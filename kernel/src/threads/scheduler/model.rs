//! Mutexes, condition variables, waits with deadlines and waits for a device over the real
//! scheduler, under a model checker: programs for a [`machine`], with each fault that they have to
//! show. Shuttle tries interleavings, and reports a deadlock.

mod machine;

use machine::{Body, ELSEWHERE, EVENTS, Fault, IDLE, Program, RECYCLED, UNSAVED, run};
use std::panic::catch_unwind;
use std::vec::Vec;

/// Schedules that each test tries, of a kind. Long runs try more.
const SCHEDULES: usize = 100;
const LONG: usize = 2000;
/// Schedules one of which has to show a fault.
const FAULTY: usize = 4000;

const MUTEX: usize = 0;
const CHANGED: usize = 1;
const ITEMS: usize = 2;
const TAKEN: usize = 3;
const WOKEN: usize = 4;
const EXPIRED: usize = 5;

/// Items that each producer makes.
const EACH: u32 = 2;

/// Makes an item, or takes it, once there are `before` of them.
fn change<const N: usize>(program: &Program<N>, before: u32) {
    program.lock(MUTEX);
    while program.step(|machine, _| machine.words[ITEMS]) != before {
        program.await_condition(CHANGED, MUTEX);
    }
    program.swap(ITEMS, 1 - before);
    if before == 1 {
        program.step(|machine, _| machine.words[TAKEN] += 1);
    }
    program.broadcast(CHANGED, MUTEX);
    program.unlock(MUTEX);
}

fn produce<const N: usize>(program: &Program<N>) {
    (0..EACH).for_each(|_| change(program, 0));
}

fn consume<const N: usize>(program: &Program<N>) {
    (0..EACH).for_each(|_| change(program, 1));
}

fn hand_over<const N: usize>(fault: Fault) {
    let bodies: Vec<Body<N>> = vec![produce, consume, produce, consume];
    let words = run(fault, 12, 0, bodies);
    assert_eq!(words[TAKEN], 2 * EACH);
}

fn wait_until_two<const N: usize>(program: &Program<N>) {
    let counter = match program.wait(CHANGED, 0, Some(2)) {
        true => EXPIRED,
        false => WOKEN,
    };
    program.step(|machine, _| machine.words[counter] += 1);
}

fn wake_one<const N: usize>(program: &Program<N>) {
    let woken = program.wake(CHANGED, 1) as u32;
    program.step(|machine, _| machine.words[TAKEN] += woken);
}

fn expiry<const N: usize>(fault: Fault) {
    let bodies: Vec<Body<N>> = vec![wait_until_two, wake_one, wait_until_two];
    let words = run(fault, 4, 0, bodies);
    assert_eq!(words[WOKEN], words[TAKEN], "as many as were counted");
    assert_eq!(words[WOKEN] + words[EXPIRED], 2);
}

/// Interrupts of the device that are waited for.
const INTERRUPTS: u32 = 2;

fn await_events<const N: usize>(program: &Program<N>) {
    while program.step(|machine, _| machine.words[EVENTS]) < INTERRUPTS {
        program.await_device();
    }
}

fn take_item<const N: usize>(program: &Program<N>) {
    change(program, 1);
}

/// Creates threads, which end while it creates others.
fn create<const N: usize>(program: &Program<N>) {
    program.spawn(take_item);
    change(program, 0);
    program.spawn(take_item);
    change(program, 0);
}

fn creation<const N: usize>(fault: Fault) {
    let bodies: Vec<Body<N>> = vec![create, await_events];
    let words = run(fault, 6, INTERRUPTS as usize, bodies);
    assert_eq!(words[TAKEN], 2);
}

/// Nothing else wakes the thread.
fn device<const N: usize>(fault: Fault) {
    let bodies: Vec<Body<N>> = vec![await_events];
    let words = run(fault, 0, INTERRUPTS as usize, bodies);
    assert_eq!(words[EVENTS], INTERRUPTS);
}

/// Changes processors while others wait for it, and for a moment is for all.
fn move_about<const N: usize>(program: &Program<N>) {
    for processor in 0..N as u64 {
        program.restrict(1 << processor);
        change(program, processor as u32 % 2);
    }
    program.restrict(u64::MAX);
    program.step(|machine, _| machine.words[WOKEN] += 1);
}

/// The same in the other order.
fn move_back<const N: usize>(program: &Program<N>) {
    for processor in (0..N as u64).rev() {
        program.restrict(1 << processor);
        change(program, 1 - processor as u32 % 2);
    }
    program.step(|machine, _| machine.words[WOKEN] += 1);
}

fn moves<const N: usize>(fault: Fault) {
    let bodies: Vec<Body<N>> = vec![move_about, move_back];
    let words = run(fault, 6, 0, bodies);
    assert_eq!((words[WOKEN], words[TAKEN]), (2, N as u32));
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
fn mutexes_and_conditions_lose_no_wake_up() {
    check(|| hand_over::<1>(Fault::None));
    check(|| hand_over::<2>(Fault::None));
    check(|| hand_over::<3>(Fault::None));
}

#[test]
fn a_wait_either_expires_or_takes_its_wake_up() {
    check(|| expiry::<1>(Fault::None));
    check(|| expiry::<2>(Fault::None));
}

#[test]
fn an_interrupt_wakes_the_thread_that_waits_for_it() {
    check(|| device::<1>(Fault::None));
    check(|| device::<2>(Fault::None));
}

#[test]
fn threads_begin_and_end_on_stacks_that_others_have_left() {
    check(|| creation::<1>(Fault::None));
    check(|| creation::<2>(Fault::None));
    check(|| creation::<3>(Fault::None));
}

#[test]
fn threads_run_on_their_processors_only() {
    check(|| moves::<2>(Fault::None));
    check(|| moves::<4>(Fault::None));
}

/// Whether the first schedule of `model` that fails with this fault does so with this message, or
/// by the deadlock that the fault leads to in other schedules.
fn is_seen(fault: Fault, model: fn(Fault), message: &str) -> bool {
    let failure = catch_unwind(|| {
        shuttle::check_random(move || model(fault), FAULTY);
        shuttle::check_pct(move || model(fault), FAULTY, 3);
    });
    let failure = failure.err();
    let text = failure.as_ref().and_then(|failure| {
        let text = failure.downcast_ref::<std::string::String>();
        let literal = || failure.downcast_ref::<&str>().copied();
        text.map(std::string::String::as_str).or_else(literal)
    });
    text.is_some_and(|text| text.contains(message) || text.contains("deadlock"))
}

#[test]
fn the_model_sees_faults_of_a_futex() {
    for fault in [Fault::NoCompare, Fault::NoRequeue, Fault::NoWake] {
        assert!(is_seen(fault, hand_over::<1>, "deadlock"), "{fault:?}");
        assert!(is_seen(fault, hand_over::<2>, "deadlock"), "{fault:?}");
    }
}

#[test]
fn the_model_sees_faults_between_processors() {
    let sees = |fault, model: fn(Fault), message| {
        assert!(is_seen(fault, model, message), "{fault:?}");
    };
    sees(Fault::PublishedUnsaved, hand_over::<2>, UNSAVED);
    sees(Fault::StackRecycled, creation::<2>, RECYCLED);
    sees(Fault::KickLost, hand_over::<2>, IDLE);
    sees(Fault::HaltUnasked, hand_over::<2>, IDLE);
    sees(Fault::ComparedOutside, hand_over::<2>, "deadlock");
    sees(Fault::NotedOutside, device::<2>, "deadlock");
    sees(Fault::NotMoved, moves::<2>, ELSEWHERE);
}
