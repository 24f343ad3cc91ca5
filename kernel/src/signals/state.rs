//! The actions, masks and pending signals of the program and its threads. Pure bookkeeping.

use crate::arch::local::MAX;
use crate::errno::Errno;

/// Signal numbers are below this one.
pub const COUNT: usize = 65;
/// The handler `SIG_DFL`.
pub const DEFAULT: u64 = 0;
/// The handler `SIG_IGN`.
pub const IGNORE: u64 = 1;
const INTERRUPT: u64 = 2;
const KILL: u64 = 9;
/// SIGTERM.
pub const TERMINATE: u64 = 15;
const STOP: u64 = 19;
/// The signals that can be neither blocked nor handled.
const FIRM: u64 = bit(KILL) | bit(STOP);

/// The kernel's `struct sigaction`: handler, flags, restorer, mask.
pub type Action = [u64; 4];
/// `SA_ONSTACK`.
pub const ON_STACK: u64 = 0x0800_0000;
/// `SA_RESTART`.
pub const RESTART: u64 = 0x1000_0000;
const NO_DEFER: u64 = 0x4000_0000;
const RESET_HANDLER: u64 = 0x8000_0000;

/// `ss_flags` of `stack_t`.
const STACK_IN_USE: u64 = 1;
const STACK_DISABLED: u64 = 2;

/// `si_code` of a signal to the process, and of one to a thread.
pub const SENT_BY_KILL: u64 = 0;
const SENT_BY_TKILL: u64 = -6i32 as u32 as u64;

const fn bit(signal: u64) -> u64 {
    1 << (signal - 1)
}

/// Whether a signal with the default action does nothing: SIGCHLD, SIGCONT, SIGURG, SIGWINCH.
pub fn is_ignored_by_default(signal: u64) -> bool {
    (bit(17) | bit(18) | bit(23) | bit(28)) & bit(signal) != 0
}

/// # Errors
/// EINVAL for a number that is no signal, or one whose action can't be changed.
pub fn check_signal(signal: u64, change: bool) -> Result<(), Errno> {
    if signal == 0 || signal >= COUNT as u64 || change && bit(signal) & FIRM != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// The receiver of a signal.
#[derive(Debug)]
pub enum Target<'a> {
    /// The first thread that doesn't block it.
    Process,
    /// The running thread.
    Running,
    /// Another one.
    Thread(&'a mut Thread),
}

/// A signal whose handler is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub signal: u64,
    /// Its action.
    pub action: Action,
    /// The mask to restore afterwards.
    pub mask: u64,
    /// `si_code`.
    pub code: u64,
}

/// The effect of a signal on a waiting thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// Its handler runs: the wait is no system call.
    Program,
    /// It ends the wait, and its handler runs when the system call returns.
    Wait,
    /// Nothing: its handler runs when the system call returns.
    UninterruptibleWait,
}

/// The signals of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    during: During,
    mask: u64,
    /// The mask to restore after a wait with another one.
    saved_mask: Option<u64>,
    /// Signals that were sent to this thread, as `raise` does.
    pending: u64,
    /// Address and size of the alternate stack, which `sigaltstack` sets: size 0 for none.
    stack: [u64; 2],
    /// Of an idle processor: the signals that are blocked in the thread which ran last there.
    blocked_before: Option<u64>,
}

impl Thread {
    /// Nothing blocked or pending. All zeros, or an image would carry it.
    const NEW: Self = Self {
        during: During::Program,
        mask: 0,
        saved_mask: None,
        pending: 0,
        stack: [0; 2],
        blocked_before: None,
    };

    /// Those of a thread that has ended: all is blocked.
    pub const ENDED: Self = Self {
        mask: u64::MAX,
        blocked_before: Some(0),
        ..Self::NEW
    };

    /// Those of an idle processor on which `last` ran last: all is blocked.
    pub fn idle_after(last: &Self) -> Self {
        Self {
            blocked_before: Some(last.blocked()),
            ..Self::ENDED
        }
    }

    /// Those of a thread that this one creates: the mask alone is inherited (pthread_create(3)).
    pub fn child(&self) -> Self {
        Self {
            mask: self.mask,
            ..Self::NEW
        }
    }

    /// Whether the thread would handle one of `signals` now, or end its wait for one.
    pub fn accepts(&self, signals: u64) -> bool {
        signals & !self.mask != 0 && self.during != During::UninterruptibleWait
    }

    /// Signals that are blocked, or will be at the end of a wait with a mask of its own.
    fn blocked(&self) -> u64 {
        self.mask | self.saved_mask.unwrap_or(0)
    }

    /// The effect of a signal on the thread.
    pub fn during(&self) -> During {
        self.during
    }

    /// Sets what a signal does to the thread; returns what it did.
    pub fn set_during(&mut self, during: During) -> During {
        core::mem::replace(&mut self.during, during)
    }
}

/// The signals of the process and of the threads that run.
pub struct State {
    actions: [Action; COUNT],
    /// Signals that were sent to the process, for the first thread that doesn't block them.
    pending: u64,
    /// Those of the thread that runs, or ran last, on `processor`.
    thread: Thread,
    processor: u8,
    /// Of the other processors: the same.
    others: [Thread; MAX],
}

impl State {
    /// All actions default, nothing pending. All zeros, or an image would carry it.
    pub const fn new() -> Self {
        Self {
            actions: [[0; 4]; COUNT],
            pending: 0,
            thread: Thread::NEW,
            processor: 0,
            others: [Thread::NEW; MAX],
        }
    }

    /// Makes the thread of this processor the running one for what follows.
    pub fn set_processor(&mut self, processor: u8) {
        if self.processor != processor {
            self.exchange(processor);
        }
    }

    #[cold]
    #[inline(never)]
    fn exchange(&mut self, processor: u8) {
        let before = core::mem::replace(&mut self.processor, processor);
        for place in [before, processor] {
            let other = &mut self.others[usize::from(place) % MAX];
            core::mem::swap(&mut self.thread, other);
        }
    }

    /// The signals of the running thread.
    pub fn thread(&mut self) -> &mut Thread {
        &mut self.thread
    }

    /// Signals that were sent to the process and wait for a thread.
    pub fn process_pending(&self) -> u64 {
        self.pending
    }

    /// Sets the action of `signal`, which [`check_signal`] allows, to `new`, if that is given;
    /// returns the old one.
    pub fn set_action(&mut self, signal: u64, new: Option<Action>) -> Action {
        let action = &mut self.actions[signal as usize];
        let previous = *action;
        if let Some(new) = new {
            *action = new;
            if new[0] == IGNORE {
                self.pending &= !bit(signal);
                self.thread.pending &= !bit(signal);
            }
        }
        previous
    }

    /// Whether the program ignores `signal`, which [`check_signal`] allows.
    fn is_ignored(&self, signal: u64) -> bool {
        match self.actions[signal as usize][0] {
            DEFAULT => is_ignored_by_default(signal),
            handler => handler == IGNORE,
        }
    }

    /// Changes the mask by `set` as `how` says (`SIG_BLOCK`, `SIG_UNBLOCK`, `SIG_SETMASK`); returns
    /// the old one.
    ///
    /// # Errors
    /// EINVAL for another `how`.
    // Two calls, of which most images have one.
    #[inline(always)]
    pub fn change_mask(&mut self, how: u64, set: Option<u64>) -> Result<u64, Errno> {
        let previous = self.thread.mask;
        if let Some(set) = set {
            self.thread.mask = !FIRM
                & match how {
                    0 => previous | set,
                    1 => previous & !set,
                    2 => set,
                    _ => return Err(Errno::EINVAL),
                };
        }
        Ok(previous)
    }

    /// Sets the mask, at the end of a handler.
    pub fn restore_mask(&mut self, mask: u64) {
        self.thread.mask = mask & !FIRM;
    }

    /// Replaces the mask until the next signal is delivered, or none is found.
    pub fn replace_mask(&mut self, mask: u64) {
        let thread = &mut self.thread;
        thread.saved_mask = Some(core::mem::replace(&mut thread.mask, mask & !FIRM));
    }

    /// The blocked signals that are pending.
    pub fn blocked(&self) -> u64 {
        self.all_pending() & self.thread.mask
    }

    fn all_pending(&self) -> u64 {
        self.pending | self.thread.pending
    }

    /// Those of the signals `set` that the program ignores.
    fn ignored(&self, set: u64) -> u64 {
        let all = (1..COUNT as u64).filter(|signal| set & bit(*signal) != 0);
        all.filter(|signal| self.is_ignored(*signal))
            .fold(0, |ignored, signal| ignored | bit(signal))
    }

    /// Whether a signal is pending that isn't blocked.
    pub fn is_ready(&self) -> bool {
        let pending = self.all_pending();
        pending != 0 && self.thread.accepts(pending & !self.ignored(pending))
    }

    /// Sets the alternate stack to `new` (address, flags, size), if that is given, for a program
    /// whose stack pointer is `pointer`; returns the old one.
    ///
    /// # Errors
    /// EPERM while it is in use, ENOMEM for one that is too small, EINVAL for other flags.
    pub fn set_stack(&mut self, new: Option<[u64; 3]>, pointer: u64) -> Result<[u64; 3], Errno> {
        /// `MINSIGSTKSZ`.
        const MIN_SIZE: u64 = 2048;
        let [start, size] = self.thread.stack;
        let used = match self.is_on_stack(pointer) {
            true => STACK_IN_USE,
            false if size == 0 => STACK_DISABLED,
            false => 0,
        };
        if let Some([start, flags, size]) = new {
            self.thread.stack = match flags as u32 {
                _ if used == STACK_IN_USE => return Err(Errno::EPERM),
                2 => [0; 2],
                0 | 1 if size < MIN_SIZE => return Err(Errno::ENOMEM),
                0 | 1 => [start, size],
                _ => return Err(Errno::EINVAL),
            };
        }
        Ok([start, used, size])
    }

    /// The end of the alternate stack, if a handler with these flags begins there.
    pub fn other_stack(&self, flags: u64, pointer: u64) -> Option<u64> {
        let [start, size] = self.thread.stack;
        let used = flags & ON_STACK != 0 && size != 0 && !self.is_on_stack(pointer);
        used.then(|| start.wrapping_add(size))
    }

    fn is_on_stack(&self, pointer: u64) -> bool {
        let [start, size] = self.thread.stack;
        pointer > start && pointer - start <= size
    }

    /// Sends `signal` to the process or to a thread; 0 sends none. Returns whether it is pending
    /// now: an ignored one isn't.
    ///
    /// # Errors
    /// EINVAL for an invalid number, and for a signal that would stop the program: nothing could
    /// continue it.
    pub fn send(&mut self, signal: u64, target: Target) -> Result<bool, Errno> {
        if signal == 0 {
            return Ok(false);
        }
        let action = self.actions.get(signal as usize).ok_or(Errno::EINVAL)?;
        if action[0] == DEFAULT && (19..=22).contains(&signal) {
            return Err(Errno::EINVAL);
        }
        let ignored = self.ignored(bit(signal));
        let (blocked, pending) = match target {
            Target::Process => {
                let idle = self.thread.blocked_before;
                let blocked = idle.unwrap_or_else(|| self.thread.blocked());
                (blocked, &mut self.pending)
            }
            Target::Running => (self.thread.blocked(), &mut self.thread.pending),
            Target::Thread(thread) => (thread.blocked(), &mut thread.pending),
        };
        // A signal that is ignored but blocked can be waited for, as on Linux.
        *pending |= bit(signal) & (blocked | !ignored);
        Ok(*pending & bit(signal) != 0)
    }

    /// Sends the signal of the power button: SIGTERM, or SIGINT to a program that handles only
    /// that.
    pub fn request_stop(&mut self) {
        let handler = |signal: u64| self.actions[signal as usize][0];
        let handled = [TERMINATE, INTERRUPT]
            .into_iter()
            .find(|signal| handler(*signal) != DEFAULT);
        let signal = handled.unwrap_or(TERMINATE);
        if handler(signal) != IGNORE {
            self.pending |= bit(signal);
        }
    }

    /// Whether a signal of `set` is pending for the running thread.
    pub fn is_pending(&self, set: u64) -> bool {
        self.all_pending() & set != 0
    }

    /// Takes the pending signal of `set` with the lowest number, and its `si_code`.
    pub fn take(&mut self, set: u64) -> Option<(u64, u64)> {
        let ready = self.all_pending() & set;
        if ready == 0 {
            return None;
        }
        let one = ready & ready.wrapping_neg();
        let code = match self.thread.pending & one {
            0 => SENT_BY_KILL,
            _ => SENT_BY_TKILL,
        };
        match code {
            SENT_BY_KILL => self.pending &= !one,
            _ => self.thread.pending &= !one,
        }
        Some((u64::from(one.trailing_zeros()) + 1, code))
    }

    /// Takes the next signal that isn't blocked, the lowest number first.
    pub fn next(&mut self) -> Option<Delivery> {
        let Some((signal, code)) = self.take(!self.thread.mask) else {
            // A wait with another mask that ended by itself.
            let thread = &mut self.thread;
            thread.mask = thread.saved_mask.take().unwrap_or(thread.mask);
            return None;
        };
        let thread = &mut self.thread;
        let slot = &mut self.actions[signal as usize];
        let action @ [handler, flags, _, blocked] = *slot;
        let mut mask = 0;
        if handler > IGNORE {
            if flags & RESET_HANDLER != 0 {
                slot[0] = DEFAULT;
            }
            mask = thread.saved_mask.take().unwrap_or(thread.mask);
            thread.mask |= !FIRM
                & (blocked
                    | if flags & NO_DEFER == 0 {
                        bit(signal)
                    } else {
                        0
                    });
        }
        Some(Delivery {
            signal,
            action,
            mask,
            code,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        DEFAULT, During, IGNORE, NO_DEFER, ON_STACK, RESET_HANDLER, State, TERMINATE, Target,
        Thread, bit, check_signal,
    };
    use crate::errno::Errno;

    const HANDLER: u64 = 0x1000;
    const USER1: u64 = 10;
    const USER2: u64 = 12;

    fn with_handlers(flags: u64, blocked: u64) -> State {
        let mut state = State::new();
        for signal in [USER1, USER2] {
            let action = [HANDLER + signal, flags, 0, blocked];
            assert_eq!(state.set_action(signal, Some(action)), [0; 4]);
        }
        state
    }

    #[test]
    fn the_lowest_signal_is_delivered_first_and_blocks_itself() {
        let mut state = with_handlers(0, 0);
        assert_eq!(state.send(USER2, Target::Process), Ok(true));
        assert_eq!(state.send(USER1, Target::Running), Ok(true));
        let first = state.next().unwrap();
        assert_eq!(
            (first.signal, first.action[0], first.mask),
            (USER1, HANDLER + USER1, 0)
        );
        assert_eq!(first.code as u32 as i32, -6, "SI_TKILL");
        assert_eq!(state.send(USER1, Target::Process), Ok(true));
        let second = state.next().unwrap();
        assert_eq!(
            (second.signal, second.mask, second.code),
            (USER2, bit(USER1), 0)
        );
        assert_eq!(state.next(), None, "{USER1} is blocked by its handler");
        assert_eq!(state.blocked(), bit(USER1));
        state.restore_mask(0);
        assert_eq!(state.next().map(|next| next.signal), Some(USER1));
    }

    #[test]
    fn flags_of_an_action_are_followed() {
        let mut state = with_handlers(NO_DEFER | RESET_HANDLER, bit(USER2));
        state.send(USER1, Target::Process).unwrap();
        assert_eq!(state.next().map(|next| next.signal), Some(USER1));
        assert_eq!(
            state.change_mask(0, None),
            Ok(bit(USER2)),
            "not itself, but the other"
        );
        assert_eq!(state.set_action(USER1, None)[0], DEFAULT);
    }

    #[test]
    fn a_mask_for_one_wait_is_restored() {
        let mut state = with_handlers(0, 0);
        state.change_mask(2, Some(bit(USER1))).unwrap();
        state.send(USER1, Target::Process).unwrap();
        assert!(!state.is_ready());
        state.replace_mask(0);
        assert!(state.is_ready());
        assert_eq!(state.next().map(|next| next.mask), Some(bit(USER1)));
        // A wait that no signal ended.
        let mut state = with_handlers(0, 0);
        state.replace_mask(bit(USER1));
        assert_eq!((state.next(), state.change_mask(0, None)), (None, Ok(0)));
    }

    #[test]
    fn kill_and_stop_can_be_neither_blocked_nor_handled() {
        let mut state = State::new();
        assert_eq!(check_signal(9, true), Err(Errno::EINVAL));
        assert_eq!(check_signal(9, false), Ok(()));
        state.change_mask(2, Some(u64::MAX)).unwrap();
        state.send(9, Target::Process).unwrap();
        assert_eq!(state.next().map(|next| next.signal), Some(9));
        assert_eq!(
            state.send(19, Target::Process),
            Err(Errno::EINVAL),
            "nothing could continue it"
        );
        for signal in [0, 65] {
            assert_eq!(check_signal(signal, false), Err(Errno::EINVAL));
        }
        assert_eq!(state.change_mask(3, Some(0)), Err(Errno::EINVAL));
    }

    #[test]
    fn ignored_signals_are_dropped() {
        let mut state = with_handlers(0, 0);
        state.change_mask(2, Some(bit(USER1))).unwrap();
        state.send(USER1, Target::Process).unwrap();
        state.set_action(USER1, Some([IGNORE, 0, 0, 0]));
        assert_eq!(state.blocked(), 0, "setting SIG_IGN drops a pending signal");
        state.send(17, Target::Process).unwrap();
        state.send(17, Target::Running).unwrap();
        assert_eq!(state.blocked(), 0);
        state.restore_mask(0);
        state.send(USER1, Target::Process).unwrap();
        assert!(!state.is_ready(), "SIGCHLD is ignored by default");
        assert_eq!(state.next(), None);
    }

    #[test]
    fn an_idle_processor_drops_ignored_signals_of_the_process() {
        let mut state = State::new();
        state.change_mask(0, Some(bit(17))).expect("a mask");
        let mut thread = *state.thread();
        *state.thread() = Thread::idle_after(&thread);
        // SIGWINCH and SIGCHLD are ignored by default, and the thread blocks SIGCHLD.
        assert_eq!(state.send(28, Target::Process), Ok(false));
        assert_eq!(state.send(17, Target::Process), Ok(true));
        assert_eq!(state.send(TERMINATE, Target::Process), Ok(true));
        assert!(!state.is_ready(), "no thread runs");
        core::mem::swap(state.thread(), &mut thread);
        assert!(state.is_ready());
        *state.thread() = Thread::ENDED;
        assert_eq!(state.send(28, Target::Process), Ok(false));
    }

    /// sigwait(3) and signalfd(2) get them; handlers and waits don't.
    #[test]
    fn a_blocked_signal_is_kept_though_it_is_ignored() {
        const CHILD: u64 = 17;
        let mut state = with_handlers(0, 0);
        state.set_action(USER1, Some([IGNORE, 0, 0, 0]));
        state
            .change_mask(2, Some(bit(USER1) | bit(CHILD)))
            .expect("a mask");
        for signal in [USER1, CHILD] {
            assert_eq!(state.send(signal, Target::Process), Ok(true));
        }
        assert_eq!(state.blocked(), bit(USER1) | bit(CHILD));
        assert_eq!(state.take(bit(CHILD)), Some((CHILD, 0)));
        state.restore_mask(0);
        assert!(!state.is_ready(), "it ends no wait");
        assert_eq!(state.next().map(|next| next.action[0]), Some(IGNORE));
        assert_eq!(state.next(), None, "and is gone");
        let mut other = Thread::NEW;
        other.mask = bit(CHILD);
        state
            .send(CHILD, Target::Thread(&mut other))
            .expect("a thread");
        assert_eq!(other.pending, bit(CHILD));
    }

    #[test]
    fn the_button_sends_what_the_program_handles() {
        let mut state = State::new();
        state.request_stop();
        assert_eq!(state.next().map(|next| next.signal), Some(TERMINATE));
        state.set_action(2, Some([HANDLER, 0, 0, 0]));
        state.request_stop();
        assert_eq!(state.next().map(|next| next.signal), Some(2));
        state.set_action(TERMINATE, Some([HANDLER, 0, 0, 0]));
        state.request_stop();
        assert_eq!(state.next().map(|next| next.signal), Some(TERMINATE));
        state.set_action(TERMINATE, Some([IGNORE, 0, 0, 0]));
        state.request_stop();
        assert!(!state.is_ready());
    }

    #[test]
    fn a_signal_for_the_process_goes_to_the_thread_that_takes_it() {
        let mut state = with_handlers(0, 0);
        state.change_mask(0, Some(bit(USER1))).unwrap();
        let mut other = state.thread().child();
        other.mask = bit(USER2);
        state.send(USER1, Target::Process).unwrap();
        state.send(USER2, Target::Thread(&mut other)).unwrap();
        assert!(!state.is_ready() && other.accepts(state.process_pending()));
        core::mem::swap(state.thread(), &mut other);
        assert_eq!(state.next().map(|next| next.signal), Some(USER1));
        assert_eq!(state.blocked(), bit(USER2), "blocked by its own mask");
        core::mem::swap(state.thread(), &mut other);
        assert_eq!((state.next(), state.blocked()), (None, 0));
    }

    #[test]
    fn signals_of_a_set_are_taken_without_a_handler() {
        let mut state = with_handlers(0, 0);
        state.change_mask(2, Some(u64::MAX)).unwrap();
        state.send(USER2, Target::Running).unwrap();
        state.send(USER1, Target::Process).unwrap();
        let both = bit(USER1) | bit(USER2);
        assert!(state.is_pending(both) && !state.is_pending(!both));
        assert_eq!(state.take(bit(USER2)), Some((USER2, super::SENT_BY_TKILL)));
        assert_eq!(state.take(both), Some((USER1, super::SENT_BY_KILL)));
        assert_eq!((state.take(both), state.blocked()), (None, 0));
    }

    #[test]
    fn no_signal_ends_an_uninterruptible_wait() {
        let mut state = with_handlers(0, 0);
        state.send(USER1, Target::Process).unwrap();
        let before = state.thread().set_during(During::UninterruptibleWait);
        assert!(!state.is_ready() && !state.thread().accepts(bit(USER1)));
        assert_eq!(state.thread().child().during(), During::Program);
        state.thread().set_during(During::Wait);
        assert!(state.is_ready());
        state.thread().set_during(before);
        assert_eq!(state.next().map(|next| next.signal), Some(USER1));
    }

    #[test]
    fn the_alternate_stack_is_left_alone_while_it_is_in_use() {
        let mut state = State::new();
        let new = |flags, size| Some([0x5000, flags, size]);
        assert_eq!(state.set_stack(new(0, 2047), 0x100), Err(Errno::ENOMEM));
        assert_eq!(state.set_stack(new(4, 4096), 0x100), Err(Errno::EINVAL));
        assert_eq!(state.set_stack(new(0, 4096), 0x100), Ok([0, 2, 0]));
        assert_eq!(state.other_stack(0, 0x100), None);
        assert_eq!(state.other_stack(ON_STACK, 0x100), Some(0x6000));
        for (pointer, used) in [
            (0x5000, false),
            (0x5001, true),
            (0x6000, true),
            (0x6001, false),
        ] {
            assert_eq!(
                state.other_stack(ON_STACK, pointer).is_none(),
                used,
                "{pointer:#x}"
            );
        }
        assert_eq!(state.set_stack(new(2, 0), 0x5800), Err(Errno::EPERM));
        assert_eq!(state.set_stack(None, 0x5800), Ok([0x5000, 1, 4096]));
        assert_eq!(state.set_stack(new(2, 0), 0x100), Ok([0x5000, 0, 4096]));
        assert_eq!(state.other_stack(ON_STACK, 0x100), None);
    }
}
