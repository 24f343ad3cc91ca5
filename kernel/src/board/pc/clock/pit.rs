//! The programmable interval timer's channel 2, which counts without interrupts. Source: Intel 8254
//! data sheet.

use x86_64::instructions::port::Port;

/// Rate of the counter in Hz.
pub const HZ: u64 = 1_193_182;

/// Starts channel 2: it repeatedly counts down from 2^16.
pub fn start() {
    // SAFETY: ports of the PIT and of its gate; the speaker stays off.
    unsafe {
        let mut gate = Port::<u8>::new(0x61);
        let before = gate.read();
        gate.write(before & !2 | 1);
        Port::new(0x43).write(0xb4_u8); // channel 2, both bytes, mode 2, from 2^16 down
        Port::new(0x42).write(0_u8);
        Port::new(0x42).write(0_u8);
    }
}

/// The 16-bit count. Interrupts are disabled: the latch holds one count for two reads.
pub fn count() -> u64 {
    // SAFETY: as for `start`; the first write latches the count for the two reads.
    unsafe {
        Port::new(0x43).write(0x80_u8);
        let mut count = Port::<u8>::new(0x42);
        let low = count.read();
        u64::from(u16::from_le_bytes([low, count.read()]))
    }
}
