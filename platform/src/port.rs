//! Named ports of virtio-serial devices (virtio 1.2, 5.3): channels of bytes to the host.
//!
//! A port is used from calls only, and never blocks. The device may add and remove it at any time.

use crate::Wait;

/// A named port of platform `P`.
pub trait Port<P: Wait> {
    /// Reads available bytes; returns their number.
    fn read(&mut self, into: &mut [u8]) -> usize;

    /// Writes as many bytes as the device takes at once; returns their number: 0 while the host's
    /// end is closed.
    fn write(&mut self, from: &[u8]) -> usize;

    /// Processes the device's messages; returns whether the host has opened its end since the last
    /// call. That precedes all bytes that the new host sent, also those that
    /// [`read`](Port::read) has returned before this call.
    fn take_opened(&mut self) -> bool;

    /// Before a wait: adds the port's events to the awaited ones; input only if `reads`.
    fn arm(&mut self, interest: &mut <P as Wait>::Interest, reads: bool);
}
