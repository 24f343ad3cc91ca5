//! `core::cell`. Each [`UnsafeCell::get`] counts as a write of the value: loom reports two that no
//! ordering separates.

use super::explore;

/// `core::cell::UnsafeCell`.
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// The value's address.
    pub fn get(&self) -> *mut T {
        let place = self.0.get();
        let cell = explore::object(place.addr(), || loom::cell::UnsafeCell::new(()));
        cell.with_mut(|_| ());
        place
    }
}
