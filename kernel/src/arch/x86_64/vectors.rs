//! Interrupt vectors: the processor's, and those that this kernel assigns.

/// The first vector of devices; those below are the processor's exceptions.
pub const FIRST_DEVICE: u8 = 32;
/// Vectors with a gate.
pub const COUNT: usize = 96;
/// The local APIC's timer.
pub const TIMER: u8 = FIRST_DEVICE;
/// The power button.
pub const POWER: u8 = FIRST_DEVICE + 1;
/// The first serial port.
pub const SERIAL: u8 = FIRST_DEVICE + 2;
/// The keyboard.
pub const KEYBOARD: u8 = FIRST_DEVICE + 3;
/// The first vector for virtio devices.
pub const FIRST_VIRTIO: u8 = FIRST_DEVICE + 4;
/// The last vector for virtio devices.
pub const LAST_VIRTIO: u8 = SPURIOUS - 1;
/// Spurious interrupts of the local APIC, which need no end-of-interrupt.
pub const SPURIOUS: u8 = 95;

/// Non-maskable interrupt.
pub const NON_MASKABLE: u64 = 2;
/// An exception during the delivery of another.
pub const DOUBLE_FAULT: u64 = 8;
/// Page fault; CR2 has the address.
pub const PAGE_FAULT: u64 = 14;
/// Machine check.
pub const MACHINE_CHECK: u64 = 18;
