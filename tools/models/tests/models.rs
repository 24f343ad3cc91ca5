//! Each protocol under loom: no order of its threads, and no value that weakly ordered memory lets
//! a load see, breaks it; without any one of its orderings some do.

#![cfg(loom)]

use models::checks::{
    calls, event, kernel, lines, lock, nvme, once, queue, reactor, shootdown, threads, ticker,
    trace,
};
use sync::model::{check, fails, unneeded};

const NONE: [&str; 0] = [];

#[test]
fn a_lock_is_handed_over_and_needs_each_of_its_orderings() {
    assert_eq!(unneeded(3..=4, "sync/src/lock.rs", lock::hand_over), NONE);
}

#[test]
fn the_runtime_needs_each_ordering_of_its_lock() {
    assert_eq!(unneeded(3..=5, "sync/src/lock.rs", reactor::lock), NONE);
}

#[test]
fn the_hand_over_needs_each_ordering_of_the_lock() {
    assert_eq!(
        unneeded(2..=4, "sync/src/lock.rs", reactor::hand_over),
        NONE
    );
}

#[test]
fn a_queue_needs_each_of_its_orderings() {
    for model in [queue::by_events, queue::by_flags] {
        assert_eq!(unneeded(2..=4, "drivers/src/queue/ring.rs", model), NONE);
    }
}

#[test]
fn doorbells_and_interrupts_need_the_barrier() {
    for model in [queue::doorbells, queue::interrupts] {
        assert_eq!(unneeded(2..=4, "drivers/src/memory.rs", model), NONE);
    }
}

#[test]
fn a_cell_needs_each_of_its_orderings() {
    assert_eq!(unneeded(3..=5, "kernel/src/cell.rs", kernel::cell), NONE);
}

#[test]
fn no_thread_runs_in_place_of_one_that_uses_a_cell() {
    check(3..=4, kernel::preemption);
    assert!(fails(3..=4, kernel::uncounted));
}

#[test]
fn what_guards_a_device_needs_each_of_its_orderings() {
    assert_eq!(
        unneeded(3..=5, "kernel/src/guarded.rs", kernel::device),
        NONE
    );
}

#[test]
fn the_page_with_the_time_needs_each_of_its_orderings() {
    assert_eq!(unneeded(3..=5, "kernel/src/clock.rs", kernel::clock), NONE);
}

#[test]
fn queues_of_nvme_need_each_of_their_orderings() {
    assert_eq!(
        unneeded(2..=3, "drivers/src/nvme/queue.rs", nvme::commands),
        NONE
    );
}

#[test]
fn notes_of_interrupts_need_each_of_their_orderings() {
    assert_eq!(unneeded(2..=4, "interrupts/notes.rs", threads::notes), NONE);
}

#[test]
fn an_edge_is_lost_only_before_the_note() {
    for model in lines::LINES {
        check(2..=3, model);
    }
    for (at, model) in lines::FAULTY.into_iter().enumerate() {
        assert!(fails(2..=3, model), "{at}");
    }
}

#[test]
fn a_thread_that_waits_is_queued_or_sees_the_change() {
    for model in [
        threads::events,
        threads::any_event,
        threads::halting,
        threads::polling,
    ] {
        check(2..=4, model);
    }
    for (at, model) in threads::FAULTY.into_iter().enumerate() {
        assert!(fails(2..=4, model), "{at}");
    }
}

#[test]
fn requests_to_forget_translations_need_each_of_their_orderings() {
    assert_eq!(
        unneeded(3..=5, "smp/shootdown.rs", shootdown::requests),
        NONE
    );
}

#[test]
fn a_processor_that_its_host_took_away_uses_no_old_translation() {
    assert_eq!(
        unneeded(3..=5, "x86_64/host.rs", shootdown::preempted),
        NONE
    );
}

#[test]
fn the_lock_of_system_calls_needs_each_of_its_orderings() {
    assert_eq!(unneeded(3..=5, "sync/src/lock.rs", calls::calls), NONE);
}

#[test]
fn an_initialisation_needs_each_of_its_orderings() {
    assert_eq!(unneeded(3..=5, "sync/src/once.rs", once::once), NONE);
}

#[test]
fn the_ring_of_a_trace_needs_each_of_its_orderings() {
    assert_eq!(unneeded(3..=5, "reactor/src/trace.rs", trace::trace), NONE);
}

#[test]
fn the_ticker_ends_a_long_sleep_and_wakes_with_the_program() {
    check(2..=4, ticker::ticker);
}

#[test]
fn an_event_ends_each_sleep_once() {
    check(3..=5, event::event);
}
