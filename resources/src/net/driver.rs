//! The network's hooks in the wait, and its tick during computations.

use super::{BUDGET, acceptors, inspect, services, sockets, status};
use crate::current::{Current, Interest};
use crate::runtime;
use crate::types::Int;
use crate::types::constants::{
    COUNTER_CONNECTIONS, COUNTER_DROPS, COUNTER_FRAMES_IN, COUNTER_FRAMES_OUT,
};
use crate::{Driver, Runtime};
use platform::{Clock, Entropy, Interest as _, Memory, Ticker};

/// Time in nanoseconds that exit waits for cards to send queued frames.
const DRAIN_NS: u64 = 500_000_000;

/// Driver of the network in the runtime.
pub static DRIVER: Driver = Driver {
    poll,
    deadline,
    interest,
    finish,
    counter,
};

/// Polls the network during computations.
pub static TICKER: Ticker = Ticker {
    poll: tick,
    lock: runtime::lock,
    unlock: runtime::unlock,
};

#[cfg(feature = "image")]
crate::current::part! {
    /// Polls the network during computations of an image.
    pub static TICK: crate::current::Ticks = tick, in ".soil_part.ticks.network";
}

fn tick() {
    runtime::tick(|rt| {
        poll(rt, Current::monotonic_ns());
        rt.interest.submit_all();
    });
}

/// Receives frames, sends due ones, and wakes the tasks whose sockets became ready.
pub fn poll(rt: &mut Runtime, now: u64) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    let snapshots = Current::snapshots();
    if core::mem::replace(&mut net.snapshots, snapshots) != snapshots {
        net.stack.renew_keys();
    }
    net.stack.set_memory_short(Current::memory_short());
    net.stack
        .set_program_nearly_full(Current::memory_nearly_full());
    net.progress = net.stack.poll(now, BUDGET);
    Current::promise_memory(net.stack.promised_memory());
    let mut events = core::mem::take(&mut net.events);
    net.stack.take_events(&mut |handle| events.push(handle));
    for handle in events.drain(..) {
        sockets::event(rt, handle);
    }
    if let Some(net) = rt.resources.net.as_deref_mut() {
        net.events = events;
    }
    while let Some(listener) = acceptors::next_late(rt, now) {
        sockets::event(rt, listener);
    }
    services::poll(rt, now);
    inspect::poll(rt);
    status::check(rt, now);
}

/// Polls the network within a call until nothing is left to do at once, so that data sent to this
/// host has arrived.
pub fn poll_until_idle(rt: &mut Runtime) {
    /// Limits the work of one call.
    const ROUNDS: usize = 8;
    for _ in 0..ROUNDS {
        poll(rt, Current::monotonic_ns());
        let net = rt.resources.net.as_deref();
        if !net.is_some_and(|net| net.progress.more_work) {
            return;
        }
    }
}

fn deadline(rt: &mut Runtime) -> Option<u64> {
    let patience = status::deadline(rt);
    let offers = acceptors::deadline(rt);
    let progress = rt.resources.net.as_deref()?.progress;
    let stack = if progress.more_work {
        Some(0)
    } else {
        progress.next_deadline_ns
    };
    let services = rt.resources.net.as_deref()?.services.next_ns;
    [stack, patience, offers, services]
        .into_iter()
        .flatten()
        .min()
}

fn interest(rt: &mut Runtime, interest: &mut Interest) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    interest.report();
    for wake in net.interfaces.iter().filter_map(|i| i.wake.as_ref()) {
        interest.link(wake, net.progress.transmit_blocked);
    }
}

fn finish(rt: &mut Runtime) -> bool {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return true;
    };
    if net.stack.undelivered() > 0 {
        return false;
    }
    if net.end_name(Current::monotonic_ns()) {
        net.progress.more_work = true;
        return false;
    }
    if !core::mem::replace(&mut net.aborted, true) {
        net.stack.abort_all();
        net.progress.more_work = true;
        return false;
    }
    let done = net.stack.release_leases();
    // Sends the frames that this queued without delay.
    net.progress.more_work |= !core::mem::replace(&mut net.released, true) && !done;
    if !done {
        return false;
    }
    // The final frames are still in the card's ring, and a machine that is powered off no longer
    // sends them.
    let now = Current::monotonic_ns();
    let until = *net.drain_until.get_or_insert(now.saturating_add(DRAIN_NS));
    if now >= until || net.stack.is_drained() {
        return true;
    }
    net.progress.more_work = true;
    false
}

fn counter(rt: &mut Runtime, which: Int) -> usize {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return 0;
    };
    if which == COUNTER_CONNECTIONS {
        return net.stack.connections();
    }
    let counters = net
        .interfaces
        .iter()
        .filter_map(|i| net.stack.interface_status(i.id));
    let count = |n: u64| n as usize;
    counters
        .map(|status| match which {
            COUNTER_FRAMES_IN => count(status.counters.rx_frames),
            COUNTER_FRAMES_OUT => count(status.counters.tx_frames),
            COUNTER_DROPS => count(
                status
                    .counters
                    .rx_malformed
                    .wrapping_add(status.counters.rx_bad_checksum),
            ),
            _ => 0,
        })
        .fold(0, usize::wrapping_add)
}
