//! Ending: exit status, power off, reset.
//!
//! The status goes to `soil run` as a line on the control channel, whole; `isa-debug-exit` carries seven bits of it for
//! who looks at QEMU's own status. Where neither is there, ACPI or a reset ends the machine.

use crate::console;
use core::fmt::Write;
use x86_64::instructions::port::Port;

/// QEMU's `isa-debug-exit`, as `soil run` sets it.
const EXIT_PORT: u16 = 0xf4;

/// Ends the machine with `status`, as a process would end.
pub fn exit(status: u8) -> ! {
    let mut text = Line {
        bytes: [0; 24],
        len: 0,
    };
    // The buffer is long enough for every status.
    let _ = writeln!(text, "SOIL-EXIT {status}");
    console::write_control(&text.bytes[..text.len]);
    // SAFETY: the port belongs to the device that ends QEMU, or to none.
    unsafe { Port::new(EXIT_PORT).write(u32::from(status)) };
    off()
}

struct Line {
    bytes: [u8; 24],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for (slot, byte) in self.bytes[self.len..].iter_mut().zip(text.bytes()) {
            *slot = byte;
            self.len += 1;
        }
        Ok(())
    }
}

/// Switches the machine off.
pub fn off() -> ! {
    reboot()
}

/// Resets the machine.
pub fn reboot() -> ! {
    // SAFETY: the keyboard controller's reset line, where there is such a controller.
    unsafe { Port::new(0x64).write(0xfe_u8) };
    // Without it: a fault that can't be delivered resets the processor (a triple fault).
    let nothing = x86_64::structures::DescriptorTablePointer {
        limit: 0,
        base: x86_64::VirtAddr::zero(),
    };
    loop {
        // SAFETY: this is the end in any case.
        unsafe {
            x86_64::instructions::tables::lidt(&nothing);
            core::arch::asm!("int3");
        }
    }
}
