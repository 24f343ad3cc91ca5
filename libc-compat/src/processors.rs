//! The processors for C code that runs functions on them, without threads.

use kernel::arch::interrupts::enable;
use kernel::processors::{Work, number, start, wake};

/// See [`start`]. Interrupts are enabled from then on, so that any processor can be stopped; not in
/// a system call.
#[unsafe(no_mangle)]
extern "C" fn soil_processors_start(wanted: usize) -> usize {
    let running = start(wanted);
    enable();
    running
}

/// See [`number`].
#[unsafe(no_mangle)]
extern "C" fn soil_processors_number() -> usize {
    number()
}

/// See [`wake`].
#[unsafe(no_mangle)]
extern "C" fn soil_processors_wake(number: usize, work: Work) -> bool {
    wake(number, work)
}
