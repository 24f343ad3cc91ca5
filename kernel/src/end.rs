//! The end of the program.

use crate::halt::For;
use crate::part::Slot as _;
use crate::{console, interrupts, memory, power, threads, time, wait};

crate::slot! {
    /// Functions that write the program's data back at its end, in a system call.
    pub enum Finishers: fn() = "finish";
}

/// Ends the program with `status`, after the parts have written its data back.
pub fn exit_group(status: u8) -> ! {
    finish();
    exit(status)
}

/// Ends the program with `status`.
pub fn exit(status: u8) -> ! {
    /// The status after an uncaught exception, such as the one for a refused request of memory.
    const UNCAUGHT_EXCEPTION: u8 = 2;
    if status == UNCAUGHT_EXCEPTION && memory::was_refused() {
        console::line(format_args!(
            "a request for memory was refused before this end: give the machine more (soil run \
            --mem)"
        ));
    }
    console::drain_with(wait_for_console);
    power::exit(status)
}

/// Ends the program with `status` for a signal, after the parts have written its data back. No
/// system call runs at the same time.
pub fn by_signal(status: u8) -> ! {
    threads::begin_call();
    finish();
    power::exit(status)
}

fn finish() {
    Finishers::parts().iter().for_each(|finish| finish());
}

/// Halts until the console's transmitter may have room again.
fn wait_for_console() {
    let poll_at = time::monotonic_ns() + console::POLL_NS;
    wait::pause_until(For::Interrupt(interrupts::events()), Some(poll_at));
}
