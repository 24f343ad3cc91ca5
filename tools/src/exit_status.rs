//! Exit statuses of `soil run` that aren't the program's (see `soil run --help`).

use crate::failure::Failure;

/// The program ran for longer than `--timeout`.
pub const TIMED_OUT: u8 = 124;
/// The program couldn't be started. Also the default status of failures.
pub const NOT_STARTED: u8 = 125;
/// The machine ended without reporting the program's status.
pub const NO_STATUS: u8 = 126;
/// The program doesn't exist.
pub const NOT_FOUND: u8 = 127;
/// The program crashed: 128 + SIGABRT, as in a shell.
pub const CRASHED: u8 = 134;

impl Failure {
    /// Sets an exit status other than the command's default.
    pub fn with_status(mut self, status: u8) -> Self {
        self.status = Some(status);
        self
    }
}
