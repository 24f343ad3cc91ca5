//! As in `kernel`: no signal arrives.
#![expect(missing_docs, reason = "as in `kernel`")]

#[derive(Clone)]
pub struct Thread;

impl Thread {
    pub const ENDED: Thread = Thread;
}

pub fn exchange(_: &mut Thread) {}

pub fn set_idle_after(_: &Thread) {}

pub fn poll_power_button() {}

pub fn is_ready() -> bool {
    false
}
