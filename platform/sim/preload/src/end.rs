//! The end of the process.

use crate::kernel::now;
use crate::state::{self, State};

/// The most time that a process takes to end, in nanoseconds, while connections deliver.
const END_NS: u64 = 60_000_000_000;

/// Closes what the process has open, and waits until the peers have what it wrote: Linux delivers
/// it after the end of a process.
pub fn finish() {
    let until = now().saturating_add(END_NS);
    state::with(State::close_all);
    loop {
        let (delivers, wake) = state::with(|state| {
            state.poll();
            (state.delivers(), state.deadline())
        });
        if !delivers || now() >= until {
            return;
        }
        sim::wait(Some(until.min(wake)));
    }
}
