//! Reset by means that every PC has.

use x86_64::instructions::port::Port;

/// Resets the machine without tables or locks, which may be broken.
pub fn reset() -> ! {
    // SAFETY: the keyboard controller's reset line, if there is such a controller.
    unsafe { Port::new(0x64).write(0xfe_u8) };
    // Without one: a fault that can't be delivered resets the processor (a triple fault).
    let nothing = x86_64::structures::DescriptorTablePointer {
        limit: 0,
        base: x86_64::VirtAddr::zero(),
    };
    loop {
        // SAFETY: nothing runs after this.
        unsafe {
            x86_64::instructions::tables::lidt(&nothing);
            core::arch::asm!("int3");
        }
    }
}
