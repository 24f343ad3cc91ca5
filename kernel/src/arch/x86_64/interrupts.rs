//! The processor's interrupt flag, and its halted state.

pub use x86_64::instructions::hlt as halt;
pub use x86_64::instructions::interrupts::{
    are_enabled, disable, enable, enable_and_hlt as enable_and_halt, without_interrupts,
};
