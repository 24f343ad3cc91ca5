//! Delivery of signals: a system call returns, and an interrupted thread resumes, through the
//! handlers of pending signals.

use crate::arch::gates::{Frame, SystemCallFrame};
use crate::arch::handler::Handler;
use crate::arch::signals::{FRAME, INFORMATION, MASK, Resumption};
use crate::errno::Errno;
use crate::memory::{load, store};
use crate::signals::{
    DEFAULT, Delivery, IGNORE, Origin, PID, RESTART, SENT_BY_KILL, is_ignored_by_default, next,
    other_stack,
};
use crate::{crash, end, signals, threads};

fn name(signal: u64) -> &'static str {
    match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        _ => "a signal",
    }
}

/// Lets the system call `number`, which is about to return `result` to the place in `call`, return
/// through the handlers of pending signals, if there are any; returns its result. The
/// program ends here if one of them ends it.
///
/// A wait that a signal ended ([`Errno::ERESTARTSYS`]) restarts by making the call once more, after
/// the handlers: if the first of them has SA_RESTART, or none is run. Else it is EINTR. Source:
/// Linux's `arch/x86/kernel/signal.c`.
pub fn deliver(call: &mut SystemCallFrame, result: i64) -> i64 {
    const RESTARTSYS: i64 = -(Errno::ERESTARTSYS as i64);
    let mut result = result;
    let decide = |resumption: &mut Resumption, result: &mut i64, restart: bool| {
        if *result == RESTARTSYS && restart {
            *result = resumption.restart() as i64;
        } else if *result == RESTARTSYS {
            *result = -(Errno::EINTR as i64);
        }
    };
    let mut resumption = Resumption::of_call(call);
    if let Some(frame) = resumption.ended_frame() {
        let Some(next) = next_handler(&resumption) else {
            resumption.leave();
            return result;
        };
        result = after_handler(frame, &next, &mut resumption, result as u64) as i64;
    }
    while let Some(next) = next_handler(&resumption) {
        let restart = next.action[1] & RESTART != 0;
        decide(&mut resumption, &mut result, restart);
        insert(&next, &mut resumption, result as u64);
    }
    decide(&mut resumption, &mut result, true);
    result
}

/// Lets the thread that `frame` interrupted resume through the handlers of pending signals, if
/// there are any.
pub fn deliver_interrupted(frame: &mut Frame) {
    let (mut resumption, result) = Resumption::of_interrupt(frame);
    while let Some(next) = next_handler(&resumption) {
        insert(&next, &mut resumption, result);
    }
}

/// Takes the next signal with a handler; those before it are ignored, or end the program.
fn next_handler(resumption: &Resumption) -> Option<Delivery> {
    loop {
        let next = next()?;
        match (next.action[0], next.signal) {
            (IGNORE, _) => {}
            (DEFAULT, signal) if is_ignored_by_default(signal) => {}
            (DEFAULT, signal @ (3 | 4 | 6 | 7 | 8 | 11)) => {
                let (at, stack) = (resumption.program_counter(), resumption.stack_pointer());
                crash::signal(signal, name(signal), at, stack)
            }
            (DEFAULT, signal) => end::by_signal(128 + (signal & 63) as u8),
            _ => return Some(next),
        }
    }
}

/// A handler has ended, its signal isn't blocked any more, and the program returns from that call
/// with this result: runs the handler of `next` with the same frame, since frames of signals that
/// come faster than their handlers end would fill any stack. Returns the result.
fn after_handler(frame: u64, next: &Delivery, resumption: &mut Resumption, result: u64) -> u64 {
    let stack = resumption.stack_pointer();
    let other = other_stack(next.action[1], stack);
    if other.is_some() {
        // Nothing is on that stack. The call is made once more after this handler.
        let result = resumption.restart();
        insert(next, resumption, result);
        return result;
    }
    let stored = load::<FRAME>(frame).and_then(|mut words| {
        handler(next).fill(&mut words, MASK, INFORMATION);
        store(frame, &words)
    });
    if stored.is_err() {
        no_stack(resumption);
    }
    resumption.enter_again();
    result
}

/// Takes the pending signal of `set` with the lowest number, whose handler doesn't run, and its
/// sender.
pub fn take(set: u64) -> Option<(u64, Origin)> {
    let (signal, code) = signals::take(set)?;
    Some((signal, origin(signal, code)))
}

/// The sender of `signal`, which the running thread takes and which has this `si_code` if it was
/// `kill` or `tkill`. If more than one timer has sent it, it is sent again.
fn origin(signal: u64, code: u64) -> Origin {
    threads::timer_of(signal, code != SENT_BY_KILL).unwrap_or(Origin {
        code,
        sender: PID,
        value: 0,
    })
}

fn handler(next: &Delivery) -> Handler {
    let sender = origin(next.signal, next.code);
    Handler {
        signal: next.signal,
        function: next.action[0],
        mask: next.mask,
        information: [sender.code, sender.sender, sender.value],
    }
}

fn no_stack(resumption: &Resumption) -> ! {
    let (at, stack) = (resumption.program_counter(), resumption.stack_pointer());
    crash::signal(11, "SIGSEGV: no stack for a signal's handler", at, stack)
}

/// Inserts the handler of `next` before the place where the program continues with this result.
fn insert(next: &Delivery, resumption: &mut Resumption, result: u64) {
    let stack = resumption.stack_pointer();
    let other = other_stack(next.action[1], stack);
    let mut frame = [0; FRAME];
    let at = resumption.frame(&handler(next), other, result, &mut frame);
    if store(at, &frame).is_err() {
        no_stack(resumption);
    }
    resumption.enter(at);
}
