//! Registers of a device in memory.

use crate::arch::counter;
use core::sync::atomic::{AtomicPtr, Ordering};
use drivers::register::{self, Width};

/// Where the registers of one device are mapped; none at first.
pub struct Registers(AtomicPtr<u8>);

impl Registers {
    /// Of a device that isn't known.
    pub const fn none() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Sets the place.
    ///
    /// # Safety
    /// The device's registers are mapped there, up to the last that is used, as long as they are
    /// used, and no access to them affects memory that is in use.
    pub unsafe fn set(&self, base: *mut u8) {
        // Release: who sees the address sees the mapping.
        self.0.store(base, Ordering::Release);
    }

    fn base(&self) -> Option<*mut u8> {
        // Acquire: pairs with the store in `set`.
        let base = self.0.load(Ordering::Acquire);
        (!base.is_null()).then_some(base)
    }

    /// Whether the device is known.
    pub fn exist(&self) -> bool {
        self.base().is_some()
    }

    /// The address of the register at this offset.
    pub fn address(&self, offset: usize) -> Option<*mut u8> {
        // SAFETY: the promise of `set`.
        self.base().map(|base| unsafe { base.add(offset) })
    }

    /// Reads the register at this offset, a multiple of its size; 0 without a device.
    pub fn read<T: Width + Default>(&self, offset: usize) -> T {
        self.base().map_or(T::default(), |base| {
            // SAFETY: the promise of `set`.
            unsafe { register::read(base.add(offset).cast::<T>()) }
        })
    }

    /// Writes the register at this offset, a multiple of its size; does nothing without a device.
    pub fn write<T: Width>(&self, offset: usize, value: T) {
        if let Some(base) = self.base() {
            // SAFETY: the promise of `set`.
            unsafe { register::write(base.add(offset).cast::<T>(), value) };
        }
    }
}

/// Calls `done` until it returns true, for at most a second: devices answer within moments or not
/// at all. Returns whether it did.
pub fn await_until(mut done: impl FnMut() -> bool) -> bool {
    let start = counter::counter();
    let second = match counter::hz() {
        // Firmware didn't set it: of the fastest.
        0 => 1_000_000_000,
        hz => hz,
    };
    loop {
        // The counter is read first: after the limit `done` is called once more.
        let is_late = counter::counter().wrapping_sub(start) > second;
        if done() {
            return true;
        }
        if is_late {
            return false;
        }
        core::hint::spin_loop();
    }
}
