//! The idle thread of each processor, which the processor runs while it has no other.

use super::dispatch::{Caller, end_switch, switch};
use super::notify::with;
use super::program_timers::send_expired;
use super::{interrupt_for_process, own};
use crate::arch::gates::{self, Context, SystemCallFrame};
use crate::arch::{host, interrupts, local};
use crate::errno::Errno;
use crate::halt::{self, polling};
use crate::{memory, signals, smp, time};
use sync::atomic::Ordering;

/// An idle thread.
#[derive(Clone, Copy)]
pub(super) struct Idle {
    /// Valid while another thread runs on its processor.
    pub context: Context,
    /// The end of its stack.
    pub kernel_stack: u64,
}

impl Idle {
    /// None, or of a processor that runs it.
    pub const NONE: Idle = Idle {
        context: Context::RUNNING,
        kernel_stack: 0,
    };
}

/// Makes the idle thread of the boot processor, which has run the program's only thread until now.
///
/// # Errors
/// EAGAIN: memory is short.
pub(super) fn make() -> Result<(), Errno> {
    let kernel_stack = memory::kernel_stack().ok_or(Errno::EAGAIN)?;
    // SAFETY: nothing else uses the stack.
    let context = unsafe { Context::new(SystemCallFrame::new(0, 0), kernel_stack, begin) };
    with(|state| {
        state.idle[0] = Idle {
            context,
            kernel_stack,
        };
    });
    Ok(())
}

/// Begins after the switch to it.
extern "C" fn begin() {
    end_switch();
    wait();
    run()
}

/// Becomes the idle thread of a processor that has run none, for good. With interrupts disabled.
pub fn run_processor() -> ! {
    with(|state| {
        state.scheduler.set_smp();
        state.idle[own()].kernel_stack = gates::system_call_stack();
    });
    signals::exchange(&mut signals::Thread::ENDED.clone());
    if local::is_smp() {
        smp::set_idle(false);
    }
    run()
}

fn run() -> ! {
    loop {
        switch(time::monotonic_ns(), Caller::Idle);
        wait();
    }
}

/// Waits on a processor that has found no thread, until there may be one or something else is to be
/// done.
pub(super) fn wait() {
    let began = time::monotonic_ns();
    let own_local = local::get();
    let is_smp = local::is_smp();
    if is_smp {
        smp::set_idle(true);
        poll(began);
    }
    let (halts, earliest, quiet) = with(|state| {
        let halts = state.scheduler.halt(own());
        let earliest = if halts { state.alarm() } else { None };
        (halts, earliest, state.polling > 0)
    });
    if halts {
        halt::sleep(earliest, quiet);
        with(|state| state.scheduler.wake_processor(own()));
    }
    if is_smp {
        smp::set_idle(false);
        let waited = time::monotonic_ns() - began;
        let poll_ns = polling::next(own_local.poll_ns.load(Ordering::Relaxed), waited);
        own_local.poll_ns.store(poll_ns, Ordering::Relaxed);
    }
    send_expired();
    signals::poll_power_button();
    interrupt_for_process();
}

/// Polls for a thread for a while: other processors need no interrupt for it.
fn poll(now: u64) {
    let own = local::get();
    let taken = host::taken_ns();
    let before = own.taken_ns.load(Ordering::Relaxed);
    own.taken_ns.store(taken, Ordering::Relaxed);
    // A halt may take a little, too.
    if taken.saturating_sub(before) > polling::MAX_NS {
        return;
    }
    let end = now + own.poll_ns.load(Ordering::Relaxed);
    interrupts::enable();
    while !own.called.load(Ordering::Relaxed) && time::monotonic_ns() < end {
        sync::hint::spin_loop();
    }
    interrupts::disable();
}
