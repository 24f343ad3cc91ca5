//! The messages that start a processor. Source: Intel SDM volume 3, 10.4.4.1.

use crate::arch::apic::Command;

/// How long a processor takes from its reset to the message that starts it, unless it is a virtual
/// one, and how long it has after that before another one is sent, in nanoseconds.
const RESET_NS: u64 = 10_000_000;
const START_NS: u64 = 200_000;

/// Sends what starts a processor, or all of those that haven't been started: `start` twice, unless
/// one more has come in between, since the first may be lost. One that runs ignores it. `wait`
/// waits for so many nanoseconds, or until its condition holds.
pub fn start_by(
    start: Command,
    is_virtual: bool,
    came: impl Fn() -> u32,
    mut send: impl FnMut(Command),
    mut wait: impl FnMut(u64, &dyn Fn() -> bool),
) {
    let before = came();
    let has_come = || came() != before;
    send(Command::Init);
    if !is_virtual {
        wait(RESET_NS, &has_come);
    }
    send(start);
    wait(START_NS, &has_come);
    if !has_come() {
        send(start);
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, RESET_NS, START_NS, start_by};
    use core::cell::{Cell, RefCell};

    const START: Command = Command::Start(3);

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Step {
        Sent(Command),
        Waited(u64),
    }

    /// The steps for a processor that comes after so many messages to start.
    fn steps(is_virtual: bool, comes_after: usize) -> Vec<Step> {
        let (steps, starts) = (RefCell::new(Vec::new()), Cell::new(0));
        let send = |command| {
            starts.set(starts.get() + usize::from(command == START));
            steps.borrow_mut().push(Step::Sent(command));
        };
        let wait = |ns, done: &dyn Fn() -> bool| {
            if !done() {
                steps.borrow_mut().push(Step::Waited(ns));
            }
        };
        let came = || 7 + u32::from(starts.get() >= comes_after);
        start_by(START, is_virtual, came, send, wait);
        steps.into_inner()
    }

    #[test]
    fn a_processor_that_does_not_come_is_sent_for_again() {
        let (init, start) = (Step::Sent(Command::Init), Step::Sent(START));
        assert_eq!(steps(true, 1), [init, start]);
        let again = [init, start, Step::Waited(START_NS), start];
        assert_eq!(steps(true, 2), again);
        let reset = Step::Waited(RESET_NS);
        assert_eq!(steps(false, 2), [&[init, reset], &again[1..]].concat());
        assert_eq!(steps(false, 1), [init, reset, start]);
    }
}
