//! Interrupts from one processor to another (IPIs), by the interrupt controller.

use super::{cpu, gic};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicPtr, Ordering};
use drivers::register;

/// The interrupts by which another processor wakes this one, or stops it.
pub const WAKE: u32 = 0;
/// See [`WAKE`].
pub const STOP: u32 = 1;

/// GICv2's register that sends interrupts; null for GICv3, which has one of the processor's.
/// Written once, at boot.
static REGISTER: AtomicPtr<u32> = AtomicPtr::new(null_mut());

/// Sends interrupts by this register of GICv2's distributor, from now on.
///
/// # Safety
/// The register is mapped there, for good.
pub unsafe fn send_by(register: *mut u32) {
    // Release: who sees the address sees the mapping.
    REGISTER.store(register, Ordering::Release);
}

/// Ends a halt of the processor `id`, or its next one. With interrupts disabled.
pub fn wake(id: u64) {
    send(id, WAKE);
}

/// As [`wake`], all processors but this one at once; false if each is to be woken.
pub fn wake_others() -> bool {
    false
}

/// Interrupts the processor `id` to stop it, once it has interrupts enabled. With interrupts
/// disabled.
pub fn stop(id: u64) {
    send(id, STOP);
}

fn send(id: u64, number: u32) {
    // Acquire: pairs with `send_by`.
    match NonNull::new(REGISTER.load(Ordering::Acquire)) {
        None => gic::send((id as u32).to_le_bytes(), number),
        Some(place) => {
            // The stores before come first, for the other processor.
            cpu::barrier();
            // SAFETY: the promise of `send_by`.
            unsafe { register::write(place.as_ptr(), ((id as u32) & 0xff) << 16 | number) };
        }
    }
}
