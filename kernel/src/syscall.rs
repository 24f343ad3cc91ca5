//! The gate of Linux's system calls. The crate `posix` has their table, with the handlers; the kernel
//! has operations on memory, signals, time and threads, whose arguments and results have Rust's
//! types. An unknown call is ENOSYS, and one line names it.
//!
//! A call runs with interrupts disabled, on its thread's stack of the kernel; a wait in it lets other
//! threads run. The [`Order`] of a call says whether other calls run at the same time, on other
//! processors.

use crate::arch::gates::SystemCallFrame;
use crate::arch::local;
use crate::arch::numbers as n;
use crate::errno::Errno;
use crate::part::Slot as _;
use crate::{console, delivery, threads, wait};
use core::sync::atomic::{AtomicU64, Ordering};

/// The result of a handler. An error is a number of errno(3).
pub type Answer = Result<u64, i32>;

/// The code of a system call.
#[derive(Clone, Copy)]
pub enum Handler {
    /// It takes the arguments.
    Arguments(fn([u64; 6]) -> Answer),
    /// It takes the registers that the program's entry saved.
    Frame(fn(&mut SystemCallFrame) -> Answer),
}

/// The order of a system call relative to others.
#[derive(Clone, Copy)]
pub enum Order {
    /// One of these runs at a time (`threads/calls.rs`), but for the waits of others.
    Serial,
    /// It runs at the same time as any other.
    Concurrent,
    /// The same if the arguments meet this condition; else it is serial.
    ConcurrentIf(fn([u64; 6]) -> bool),
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct SystemCall {
    /// Whether others run at the same time.
    pub order: Order,
    /// Its code.
    pub handler: Handler,
}

crate::slot! {
    /// The table: a function from numbers to rows.
    pub enum SystemCalls: fn(u64) -> Option<SystemCall> = "system_calls";
}

/// Handles the system call that saved `call`; returns its result. Pending signals are delivered
/// on the way back.
pub extern "C" fn enter(call: &mut SystemCallFrame) -> i64 {
    let result = match answer(call) {
        Ok(value) => value as i64,
        Err(errno) => -i64::from(errno),
    };
    delivery::deliver(call, result)
}

/// Handles a system call, during which interrupts are disabled.
fn answer(call: &mut SystemCallFrame) -> Answer {
    let table = SystemCalls::parts().first();
    let found = table.and_then(|row| row(call.number()));
    let is_concurrent = local::is_smp()
        && found.is_some_and(|found| match found.order {
            Order::Serial => false,
            Order::Concurrent => true,
            Order::ConcurrentIf(condition) => condition(call.arguments()),
        });
    if !is_concurrent {
        threads::begin_call();
    }
    let result = match found.map(|found| found.handler) {
        Some(Handler::Arguments(handler)) => handler(call.arguments()),
        Some(Handler::Frame(handler)) => handler(call),
        None => Err(unknown(call.number())),
    };
    threads::end_call();
    if wait::has_threads() || wait::has_ticks() {
        // Also after the call in which the threads or the ticks began.
        call.enable_interrupts();
    }
    result
}

/// One bit per unknown system call that was logged. Set by system calls.
static LOGGED: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// True on the first call with `number`.
fn first_time(number: u64) -> bool {
    let bit = 1 << (number % 64);
    let word = LOGGED.get((number / 64) as usize);
    word.is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
}

/// ENOSYS, the error of a call that isn't in the image; the first one is logged.
pub fn unknown(number: u64) -> i32 {
    if first_time(number) {
        let name = n::name(number).unwrap_or("?");
        console::line(format_args!(
            "unsupported system call {name} ({number}): ENOSYS"
        ));
    }
    Errno::ENOSYS.into()
}
