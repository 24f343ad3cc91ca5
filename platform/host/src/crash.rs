//! The report of a crash: of a fault of the program, in code of any language, or its `abort`.
//!
//! It is the report of an image (`kernel/src/crash.rs`), with the names of the functions where
//! their files have symbols: what happened, registers, and the call stacks of this thread and of
//! those that wait. The trace is every word on the stack that points after a call instruction: it
//! may contain a function too many, and misses none. Addresses are those in the file, so that `soil
//! symbolize` adds lines of source.
//!
//! After it the signal has its default action, at the instruction that raised it: the exit status
//! and the core are those of a program without the handler.
//!
//! The handler may interrupt any code, with any lock held, on the stack for handlers of OCaml's
//! thread: it allocates nothing, takes no lock, and calls async-signal-safe functions only. It
//! continues on a stack of its own, which has room for it. A fault during the report ends the
//! process, because the signal is blocked.
//!
//! OCaml has a handler of SIGSEGV, which turns the overflow of a stack into `Stack_overflow`. It
//! runs first; where it gives up, the report follows.

mod fault;
mod machine;
mod maps;
mod output;
mod symbols;
mod threads;
mod trace;

use crate::signals;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use fault::{Cause, Fault};
use maps::Modules;
use output::line;

const SIGNALS: [(i32, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGABRT, "SIGABRT"),
];

/// Bytes of the report's stack.
const STACK: usize = 1 << 16;

// All are relaxed: they are written before any handler runs, or by the one thread that reports.

/// Set by the first report.
static REPORTING: AtomicBool = AtomicBool::new(false);
/// The action of SIGSEGV before: the handler, and its flags.
static BEFORE: (AtomicUsize, AtomicI32) = (AtomicUsize::new(libc::SIG_DFL), AtomicI32::new(0));

/// A handler in `struct sigaction` (sigaction(2)), whose flags say which of these it is.
#[derive(Clone, Copy)]
union Handler {
    address: usize,
    simple: extern "C" fn(i32),
    with_details: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void),
}

#[repr(C, align(16))]
struct Room {
    stack: [u8; STACK],
    modules: Modules,
}

struct Own(UnsafeCell<Room>);

// SAFETY: only the thread that has set `REPORTING` uses it.
unsafe impl Sync for Own {}

static OWN: Own = Own(UnsafeCell::new(Room {
    stack: [0; STACK],
    modules: Modules::new(),
}));

/// What the kernel gives a handler.
struct Event {
    signal: i32,
    info: *const libc::siginfo_t,
    context: *const libc::ucontext_t,
}

/// Handles the signals of faults, unless the program has handlers for them. OCaml's runtime has
/// installed its own before.
pub fn install() {
    for (signal, _) in SIGNALS {
        let before = signals::whole_action(signal);
        let own = handle as *const () as usize;
        if before.sa_sigaction == libc::SIG_DFL {
            signals::take_with_details(signal, own);
        } else if signal == libc::SIGSEGV && before.sa_sigaction != own {
            BEFORE.0.store(before.sa_sigaction, Ordering::Relaxed);
            BEFORE.1.store(before.sa_flags, Ordering::Relaxed);
            if before.sa_sigaction != libc::SIG_IGN {
                signals::take_with_details(signal, own);
            }
        }
    }
}

/// Restores the actions before [`install`]: a node of a simulation may not make the report's calls.
pub fn remove() {
    for (signal, _) in SIGNALS {
        let is_own = signals::whole_action(signal).sa_sigaction == handle as *const () as usize;
        match BEFORE.0.load(Ordering::Relaxed) {
            _ if !is_own => (),
            before if signal == libc::SIGSEGV => {
                signals::set(signal, before, BEFORE.1.load(Ordering::Relaxed));
            }
            _ => signals::set(signal, libc::SIG_DFL, 0),
        }
    }
}

extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    if signal == libc::SIGSEGV && is_handled(info, context) {
        return;
    }
    if REPORTING.swap(true, Ordering::Relaxed) {
        // The thread that reports ends the process.
        loop {
            // SAFETY: it has no preconditions; all signals are blocked.
            unsafe { libc::pause() };
        }
    }
    let event = Event {
        signal,
        info,
        context: context.cast(),
    };
    // SAFETY: the stack is this thread's, which has set `REPORTING`; `run` gets the event.
    unsafe {
        let stack = (&raw mut (*OWN.0.get()).stack).cast::<u8>().add(STACK);
        machine::on_stack(stack, run, (&raw const event).cast_mut().cast());
    }
    signals::set(signal, libc::SIG_DFL, 0);
    // SAFETY: the kernel's information. A signal that was sent doesn't come again by itself; it is
    // delivered when the handler has returned.
    unsafe {
        if (*info).si_code <= 0 {
            libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal);
        }
    }
}

extern "C" fn run(event: *mut c_void) {
    // SAFETY: `handle` passes an event of its own, which lives meanwhile.
    report(unsafe { &*event.cast::<Event>() });
}

/// Whether the handler before, OCaml's, has handled this fault. Else it has restored the default
/// action.
fn is_handled(info: *mut libc::siginfo_t, context: *mut c_void) -> bool {
    let (handler, flags) = (&BEFORE.0, &BEFORE.1);
    let (handler, flags) = (
        handler.load(Ordering::Relaxed),
        flags.load(Ordering::Relaxed),
    );
    // SAFETY: the kernel's context of this thread.
    let has_stack = unsafe { (*context.cast::<libc::ucontext_t>()).uc_stack.ss_size > 0 };
    // OCaml's reads the state of an OCaml thread; others have no stack for handlers.
    if handler == libc::SIG_DFL || flags & libc::SA_ONSTACK != 0 && !has_stack {
        return false;
    }
    let handler = Handler { address: handler };
    // SAFETY: a handler of the program's, called with the arguments that its flags ask for.
    unsafe {
        if flags & libc::SA_SIGINFO != 0 {
            (handler.with_details)(libc::SIGSEGV, info, context);
        } else {
            (handler.simple)(libc::SIGSEGV);
        }
    }
    signals::whole_action(libc::SIGSEGV).sa_sigaction != libc::SIG_DFL
}

fn report(event: &Event) {
    // SAFETY: see `Own`. The stack is another part of it.
    let modules = unsafe { &mut (*OWN.0.get()).modules };
    // SAFETY: the kernel's context, which nothing else changes.
    let context = unsafe { &*event.context };
    modules.read();
    reason(event, context);
    if let Some(id) = modules.build_id() {
        line(format_args!("  build-id {}", Hexadecimal(id)));
    }
    // SAFETY: it has no preconditions.
    let own = unsafe { libc::gettid() };
    let has_threads = threads::has_others(own);
    if has_threads {
        line(format_args!("  thread {own}"));
    }
    machine::registers(context, &mut |name, value| {
        line(format_args!("  register {name} {value:#018x}"));
    });
    let leaf = machine::caller(context);
    trace::print(
        modules,
        machine::instruction(context),
        leaf,
        machine::stack(context),
    );
    if has_threads {
        threads::print(modules, own);
    }
}

/// The line that says what happened.
fn reason(event: &Event, context: &libc::ucontext_t) {
    let name = SIGNALS.iter().find(|(signal, _)| *signal == event.signal);
    let name = name.map_or("a signal", |(_, name)| name);
    // SAFETY: the kernel's information, whose fields are those of this code.
    let (code, sender, address) = unsafe {
        let info = &*event.info;
        (info.si_code, info.si_pid(), info.si_addr() as u64)
    };
    // SAFETY: it has no preconditions.
    let own = unsafe { libc::getpid() };
    line(format_args!(""));
    if code <= 0 && sender == own {
        return line(format_args!(
            "soil: crash: the program ended itself by {name}"
        ));
    }
    if code <= 0 {
        return line(format_args!("soil: crash: process {sender} sent {name}"));
    }
    let fault = Fault {
        signal: event.signal,
        code,
        address,
        instruction: machine::instruction(context),
        stack: machine::stack(context),
    };
    match fault.cause(trace::is_readable) {
        Cause::Instruction(what, at) => {
            line(format_args!("soil: crash: {name}: {what} at {at:#x}"));
        }
        Cause::Access(what) => {
            let access = machine::access(context);
            line(format_args!(
                "soil: crash: {name}: {access} at {address:#x}: {what}"
            ));
        }
    }
}

struct Hexadecimal<'a>(&'a [u8]);

impl core::fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests;
