//! As in `kernel`, in a program with threads.

pub use crate::image::threads::sleep;
pub use kernel::wait::polling;

use crate::image::threads::{Fault, has};
use kernel::interrupts::{take_pending, take_pending_for_call};

/// As in `kernel`.
#[expect(missing_docs, reason = "as in `kernel`")]
#[derive(Clone, Copy, PartialEq)]
pub enum For {
    Time,
    Interrupt,
    Devices,
    Call,
}

/// As in `kernel`.
#[expect(missing_docs, reason = "as in `kernel`")]
#[derive(Clone, Copy, PartialEq)]
pub enum Interrupt {
    Timer,
    Device,
    Peer,
}

/// As in `kernel`.
pub mod timer {
    /// No slice ends.
    pub const SLICE_NS: u64 = u64::MAX;
}

/// As in `kernel`.
pub fn take_note(wait: For) -> bool {
    match wait {
        _ if has(Fault::NotedOutside) => false,
        For::Time | For::Interrupt => false,
        For::Devices => take_pending(),
        For::Call => take_pending_for_call(),
    }
}

/// No timer is set.
pub fn resume(_: u64) {}

/// As above.
pub fn resume_with(_: u64, _: Option<u64>, _: bool) {}

/// As above.
pub fn limit_turn() {}
