//! The events of the scheduler that `soil run --trace` reads ([`Trace`]).
//!
//! The launcher switches them on, too, by a word of [`STATE`]: the program has no code for either.

use crate::ffi::{Int, Text};
use platform::Clock;
use reactor::trace::Trace;
use resources::current::Current;

/// The state, by its name.
#[unsafe(export_name = "soil_trace_state")]
static STATE: Trace = Trace::new();

/// Whether `soil run --trace` listens: 1 or 0. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn soil_tracing() -> Int {
    Int::from(STATE.is_on())
}

/// Records an event of the scheduler, if `soil run --trace` listens: what `task` does, by one of
/// the `TRACE_*`, and a name, of which 16 bytes are kept. Of the thread with the scheduler.
#[unsafe(no_mangle)]
pub extern "C" fn soil_trace(kind: Int, task: Int, name: Text) -> Int {
    if STATE.is_on() {
        STATE.record(
            Current::monotonic_ns(),
            kind as u64,
            task as u64,
            name.all(),
        );
    }
    0
}
