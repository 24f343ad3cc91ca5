//! The i8042 keyboard controller, as far as a keyboard's scan codes need it. Source: IBM PC/AT
//! Technical Reference, "Keyboard Controller".

use x86_64::instructions::port::Port;

const DATA: u16 = 0x60;
/// Status when read, commands when written.
const COMMAND: u16 = 0x64;

/// Status: the data port has a byte.
const OUTPUT_FULL: u8 = 1;
const READ_CONFIGURATION: u8 = 0x20;
const WRITE_CONFIGURATION: u8 = 0x60;
/// Keyboard interrupts, self-test passed, no mouse. Without the translation to scan code set 1: the
/// keyboard's own set is 2, and Firecracker's controller never translates.
const CONFIGURATION: u8 = 1 | 1 << 2 | 1 << 5;
/// Polls for the controller's answer, which emulated controllers give at once.
const MAX_POLLS: u32 = 1000;

fn read(port: u16) -> u8 {
    // SAFETY: the controller's ports, which no other driver reads.
    unsafe { Port::new(port).read() }
}

fn write(port: u16, value: u8) {
    // SAFETY: as for `read`; no command that is used here resets the machine.
    unsafe { Port::new(port).write(value) }
}

/// Lets the keyboard interrupt; false if there is no controller. Drops keys of before.
pub fn set_up() -> bool {
    // Without a controller the port reads as ones, or as zeros. A key in between is read instead of
    // the configuration.
    read(COMMAND) != 0xff
        && (0..3).any(|_| {
            while_ready(|_| {});
            write(COMMAND, WRITE_CONFIGURATION);
            write(DATA, CONFIGURATION);
            write(COMMAND, READ_CONFIGURATION);
            (0..MAX_POLLS).any(|_| read(COMMAND) & OUTPUT_FULL != 0) && read(DATA) == CONFIGURATION
        })
}

/// Calls `f` with each byte of the keyboard that is available.
pub fn while_ready(mut f: impl FnMut(u8)) {
    /// More than the buffers of controller and keyboard hold.
    const MAX: u32 = 256;
    for _ in 0..MAX {
        if read(COMMAND) & OUTPUT_FULL == 0 {
            return;
        }
        f(read(DATA));
    }
}
