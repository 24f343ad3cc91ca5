//! The terminal at standard input: whether our job is in its foreground, and the use of Ctrl-T.

use super::serial::REPORT;
use rustix::process::{Pid, getpgid, getpgrp, getppid, getsid};
use rustix::termios::{
    OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use std::io::stdin;
use std::sync::{Mutex, PoisonError};

/// Ctrl-T, which gets through at once while it is taken, as the end of a line would: terminals on
/// Linux have no key for it.
#[derive(Debug, Default)]
pub struct ReportKey(Mutex<Lent>);

#[derive(Debug, Default)]
struct Lent {
    /// The terminal's settings before, while the key is ours.
    before: Option<Termios>,
    over: bool,
}

impl ReportKey {
    /// Takes the key. Does nothing if it is taken or the run is over, if standard input is no
    /// terminal, or if others have it now.
    pub fn take(&self) {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lent.over || lent.before.is_some() || is_background() {
            return;
        }
        let Ok(before) = tcgetattr(stdin()) else {
            return;
        };
        let mut now = before.clone();
        now.special_codes[SpecialCodeIndex::VEOL] = REPORT;
        if tcsetattr(stdin(), OptionalActions::Now, &now).is_ok() {
            lent.before = Some(before);
        }
    }

    /// Gives the key back; it can be taken again.
    pub fn release(&self) {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = lent.before.take()
            && !is_background()
        {
            // The terminal may be gone.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
        }
    }

    /// Gives the key back for good.
    pub fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        self.release();
    }
}

/// Whether standard input is a terminal that others have now: reading or setting it would stop the
/// whole job (SIGTTIN, SIGTTOU).
pub fn is_background() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group != getpgrp())
}

/// Whether Ctrl-C reaches our children without us: they are in our group, in the foreground of the
/// session's terminal, whatever standard input is.
pub fn sends_signals_to_our_group() -> bool {
    std::fs::File::open("/dev/tty")
        .is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}

/// Whether a shell of our session can continue our job after Ctrl-Z. Linux ignores that key for
/// others (POSIX: an orphaned process group), which would stand still for ever.
pub fn can_be_continued() -> bool {
    let (group, session) = (getpgrp(), getsid(None));
    let mut ancestor = getppid();
    while let Some(pid) = ancestor {
        if getsid(Some(pid)) != session {
            return false;
        }
        if getpgid(Some(pid)) != Ok(group) {
            return true;
        }
        ancestor = parent(pid);
    }
    false
}

/// The parent of a process: proc_pid_stat(5), field 4, behind the name in brackets.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Pid::from_raw(fields.split(' ').nth(1)?.parse().ok()?)
}
