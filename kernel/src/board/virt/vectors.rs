//! Numbers of interrupts as this kernel has them; [`super::irq`] maps lines and messages to them.

/// Number of vectors.
pub const COUNT: usize = 64;
/// Another processor has something to do for this one. It has no handler.
pub const WAKE: u8 = COUNT as u8;
/// The processor's timer.
pub const TIMER: u8 = 0;
/// The power button.
pub const POWER: u8 = 1;
/// The first serial port.
pub const SERIAL: u8 = 2;
/// The keyboard, which these machines have as a virtio device only.
pub const KEYBOARD: u8 = 3;
/// The first vector for virtio devices.
pub const FIRST_VIRTIO: u8 = 4;
/// The last vector for virtio devices.
pub const LAST_VIRTIO: u8 = COUNT as u8 - 1;
