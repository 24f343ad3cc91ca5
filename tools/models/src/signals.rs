//! As in `kernel`: no signal arrives.
#![expect(missing_docs, reason = "as in `kernel`")]

use crate::arch::gates::Frame;

pub fn exchange(_: &mut ()) {}

pub fn poll_power_button() {}

pub fn is_ready() -> bool {
    false
}

pub fn deliver_interrupted(_: &mut Frame) {}
