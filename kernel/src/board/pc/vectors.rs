//! Interrupt vectors that this kernel assigns, above the processor's exceptions.

pub use crate::arch::apic::{SPURIOUS, TIMER, WAKE};

use crate::arch::gates::{FIRST_INTERRUPT, VECTORS};

/// Number of vectors.
pub const COUNT: usize = VECTORS;
/// The power button.
pub const POWER: u8 = FIRST_INTERRUPT + 1;
/// The first serial port.
pub const SERIAL: u8 = FIRST_INTERRUPT + 2;
/// The keyboard.
pub const KEYBOARD: u8 = FIRST_INTERRUPT + 3;
/// The first vector for virtio devices.
pub const FIRST_VIRTIO: u8 = FIRST_INTERRUPT + 4;
/// The last vector for virtio devices.
pub const LAST_VIRTIO: u8 = WAKE - 1;
