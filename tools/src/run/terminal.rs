//! The terminal on standard input: checks whether our job is in the foreground, and enables Ctrl-T.

use super::serial::REPORT;
use rustix::process::{Pid, getpgid, getpgrp, getppid, getsid};
use rustix::termios::{
    OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use std::io::stdin;
use std::sync::{Mutex, PoisonError};

/// Enables Ctrl-T as an additional end-of-line character, so that it arrives at once: Linux
/// terminals have no such key.
#[derive(Debug, Default)]
pub struct ReportKey(Mutex<Lent>);

#[derive(Debug, Default)]
struct Lent {
    /// The terminal's previous settings while the key is enabled.
    before: Option<Termios>,
    over: bool,
}

impl ReportKey {
    /// Enables the key. Does nothing if it is enabled, if the run is over, if standard input isn't
    /// a terminal, or if our job is in the background.
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

    /// Restores the settings; the key can be enabled again.
    pub fn release(&self) {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = lent.before.take()
            && !is_background()
        {
            // Fails if the terminal has closed.
            let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
        }
    }

    /// Restores the settings permanently.
    pub fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        self.release();
    }
}

/// Whether standard input is a terminal with another job in the foreground: reading or setting it
/// would stop our whole job (SIGTTIN, SIGTTOU).
pub fn is_background() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group != getpgrp())
}

/// Whether Ctrl-C reaches our children directly: they are in our group, in the foreground of the
/// session's terminal, regardless of standard input.
pub fn sends_signals_to_our_group() -> bool {
    std::fs::File::open("/dev/tty")
        .is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}

/// Whether a shell of our session can continue our job after Ctrl-Z. For others (POSIX: an orphaned
/// process group) Linux ignores the key, because they would stay stopped forever.
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

/// Returns the parent of a process: proc_pid_stat(5), field 4, after the name in brackets.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    Pid::from_raw(fields.split(' ').nth(1)?.parse().ok()?)
}
