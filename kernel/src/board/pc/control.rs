//! QEMU's `isa-debugcon`: the channel to `soil run`.

use x86_64::instructions::port::Port;

/// The port, as `soil run` sets it.
const PORT: u16 = 0xe9;

/// The device is known once [`super::set_up::late`] has run.
pub const IS_LATE: bool = false;

/// Whether the device exists.
pub fn probe() -> bool {
    // SAFETY: reading the port changes nothing. The device reads as the port's number.
    unsafe { Port::<u8>::new(PORT).read() == PORT as u8 }
}

/// Sends a byte, which has left the machine when this returns. The device exists.
pub fn send(byte: u8) {
    // SAFETY: writing to the port changes nothing in memory.
    unsafe { Port::new(PORT).write(byte) };
}
