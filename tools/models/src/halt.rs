//! As in `kernel`: no timer is set.

pub use crate::image::threads::sleep;
pub use kernel::model::polling;

/// As in `kernel`.
#[expect(missing_docs, reason = "as in `kernel`")]
#[derive(Clone, Copy, PartialEq)]
pub enum For {
    Time,
    Interrupt(u64),
    Devices,
    Call,
}

/// As in `kernel`.
#[expect(missing_docs, reason = "as in `kernel`")]
#[derive(Clone, Copy, PartialEq)]
pub enum Interrupt {
    Timer,
    Device,
    Ipi,
}

/// As in `kernel`.
pub mod timer {
    /// No slice ends.
    pub const SLICE_NS: u64 = u64::MAX;
}

/// No timer is set.
pub fn resume_with(_: u64, _: Option<u64>, _: bool) {}
