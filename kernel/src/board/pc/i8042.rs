//! The i8042 keyboard controller, as far as a keyboard's scan codes need it. Source: IBM PC/AT
//! Technical Reference, "Keyboard Controller".

use x86_64::instructions::port::Port;

const DATA: u16 = 0x60;
/// Status when read, commands when written.
const COMMAND: u16 = 0x64;

fn read(port: u16) -> u8 {
    // SAFETY: the controller's ports, which no other driver reads.
    unsafe { Port::new(port).read() }
}

/// Lets the keyboard interrupt, if there is a controller.
pub fn set_up() {
    const WRITE_CONFIGURATION: u8 = 0x60;
    /// Keyboard interrupts, self-test passed, no mouse. Without the translation to scan code set 1:
    /// the keyboard's own set is 2, and Firecracker's controller never translates.
    const CONFIGURATION: u8 = 1 | 1 << 2 | 1 << 5;
    // SAFETY: this command doesn't reset the machine. Without a controller nothing happens.
    unsafe {
        Port::new(COMMAND).write(WRITE_CONFIGURATION);
        Port::new(DATA).write(CONFIGURATION);
    }
}

/// Calls `f` with each byte of the keyboard that is available.
pub fn while_ready(mut f: impl FnMut(u8)) {
    const OUTPUT_FULL: u8 = 1;
    /// More than the buffer of a controller or keyboard holds (QEMU's: 256); without a controller
    /// there seems to be a byte all the time.
    const MAX: u32 = 300;
    for _ in 0..MAX {
        let status = read(COMMAND);
        if status & OUTPUT_FULL == 0 || status == 0xff {
            return;
        }
        f(read(DATA));
    }
}
