//! As in `kernel`: no signal arrives.
#![expect(missing_docs, reason = "as in `kernel`")]

pub fn exchange(_: &mut ()) {}

pub fn poll_power_button() {}

pub fn is_ready() -> bool {
    false
}
