//! The address space: which part is for what. [`super`] has the table.

use crate::arch::local;
use core::ops::Range;
use core::sync::atomic::Ordering;

/// Start of the direct map of all RAM.
pub const DIRECT: u64 = 0xffff_8000_0000_0000;
/// Start of the range of the kernel's heap.
pub const HEAP: u64 = 0xffff_9000_0000_0000;
/// Start of the threads' stacks for system calls.
pub const STACKS: u64 = 0xffff_9800_0000_0000;
/// Start of the windows of mapped device registers.
pub const DEVICES: u64 = 0xffff_a000_0000_0000;
/// Bytes of such a window.
pub const DEVICE_WINDOW: u64 = 1 << 44;
/// Number of windows, up to the end of the address space but for one.
pub const DEVICE_WINDOWS: usize = 5;
/// The program's part of the address space.
pub const PROGRAM: Range<u64> = 0x40_0000_0000..0x80_0000_0000;
/// The size of the program's stack, the usual `ulimit -s`.
pub const STACK_SIZE: u64 = 8 << 20;

/// One past the last byte of the program's stack.
pub fn stack_end() -> u64 {
    stack().end
}

/// Records that this processor runs the program on `stack` from now on. With interrupts disabled.
pub fn set_stack(stack: Range<u64>) {
    let [start, end] = &local::get().stack;
    start.store(stack.start, Ordering::Relaxed);
    end.store(stack.end, Ordering::Relaxed);
}

/// The addresses of the stack on which this processor runs the program: set at boot, and on a
/// thread switch. With interrupts disabled, or by the only thread.
pub fn stack() -> Range<u64> {
    let [start, end] = &local::get().stack;
    start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)
}

/// Address space below the stack that is never mapped: as much as on Linux, against large frames
/// that skip a guard page.
pub const STACK_GUARD: u64 = 1 << 20;
/// Bytes in a large page.
pub const LARGE_PAGE: u64 = 2 << 20;

unsafe extern "C" {
    static soil_image_start: u8;
    static soil_text_start: u8;
    static soil_text_end: u8;
    static soil_data_start: u8;
    static soil_image_end: u8;
}

/// The image's address ranges, from the linker script.
pub mod image {
    use crate::arch::start::image_physical;
    use core::ops::Range;

    /// The whole image with its zeroed data.
    pub fn all() -> Range<u64> {
        (&raw const super::soil_image_start) as u64..(&raw const super::soil_image_end) as u64
    }

    /// The physical addresses of the whole image.
    pub fn physical() -> Range<u64> {
        let all = all();
        image_physical(all.start)..image_physical(all.end)
    }

    /// Code.
    pub fn text() -> Range<u64> {
        (&raw const super::soil_text_start) as u64..(&raw const super::soil_text_end) as u64
    }

    /// Everything writable.
    pub fn data() -> Range<u64> {
        (&raw const super::soil_data_start) as u64..(&raw const super::soil_image_end) as u64
    }
}
