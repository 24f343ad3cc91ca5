//! When a driver reads registers of a device that completes nothing: the read is an exit, but only
//! it tells a device that failed or was removed.

/// Polls without a completion until the next check.
const POLLS: u32 = 64;

/// Polls of a device with commands in flight.
#[derive(Default)]
pub(crate) struct Idle {
    /// Polls without a completion.
    polls: u32,
    /// The device has completed a command since the program last waited without any in flight.
    is_answering: bool,
}

impl Idle {
    /// The device has completed a command.
    pub fn answered(&mut self) {
        (self.polls, self.is_answering) = (0, true);
    }

    /// The program is about to wait, with commands in flight or not.
    pub fn wait(&mut self, is_busy: bool) {
        self.is_answering &= is_busy;
    }

    /// Whether to check the device, at a poll without a completion while commands are in flight.
    pub fn is_due(&mut self) -> bool {
        self.polls = self.polls.wrapping_add(1);
        // The first comes before a wait, and the second often after one that timed out. A request
        // after the other doesn't need the check.
        match self.polls % POLLS {
            1 => !self.is_answering,
            2 => true,
            _ => false,
        }
    }
}
