//! The first Rust code of the other processors. Their first instructions are in `start.rs`:
//! firmware starts them with their MMU off.

use super::gates;
use super::image::image_physical;
use super::processor::Processor;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// The root of the page tables. Written by [`prepare`], read by the first instructions.
pub static ROOT: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    static soil_secondary: [u8; 0];
}

/// Prepares the start of processors, each of which runs its block's function, with interrupts
/// disabled, after it has set its vectors. Returns the physical address of their first instructions, which expect the
/// address of a block as their argument.
pub fn prepare() -> u64 {
    let root: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, ttbr0_el1", out(reg) root, options(nomem, nostack)) };
    ROOT.store(root, Ordering::Relaxed);
    // SAFETY: the writes come before the call of firmware that starts a processor, as all see them.
    unsafe { asm!("dsb sy", options(nostack)) };
    image_physical((&raw const soil_secondary) as u64)
}

/// Begins a processor, on its own stack and the real tables.
pub extern "C" fn begin(block: &'static Processor) -> ! {
    block.begin();
    gates::load();
    block.run()
}
