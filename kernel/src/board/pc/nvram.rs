//! The clock chip's memory, which a reset leaves alone. Source: Motorola MC146818A data sheet.

use super::ports::Pair;
use x86_64::instructions::port::Port;

/// The first register that is used. The standard ones, and those of SeaBIOS, OVMF and QEMU, lie
/// before it (SeaBIOS, src/hw/rtc.h; QEMU, hw/i386/x86-common.c).
const FIRST: u8 = 0x60;
const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

/// Runs `access` with the data port for each of `len` registers.
fn each(len: usize, mut access: impl FnMut(usize, Port<u8>)) {
    for (number, register) in (0..len).zip(FIRST..0x80) {
        let _pair = Pair::begin();
        // SAFETY: the clock's index port; bit 7 masks the NMI meanwhile.
        unsafe { Port::new(INDEX).write(register | 0x80) };
        access(number, Port::new(DATA));
    }
}

/// The bytes that [`write`] wrote last; others where nothing did.
pub fn read<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    each(N, |number, mut port| {
        if let Some(byte) = bytes.get_mut(number) {
            // SAFETY: the port of a register without an effect, or of none.
            *byte = unsafe { port.read() };
        }
    });
    Some(bytes)
}

/// Stores a few bytes, on machines with the chip.
pub fn write(bytes: &[u8]) {
    each(bytes.len(), |number, mut port| {
        if let Some(byte) = bytes.get(number) {
            // SAFETY: as above.
            unsafe { port.write(*byte) };
        }
    });
}
