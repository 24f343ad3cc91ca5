//! `core::sync::atomic`, by loom.

use super::explore::{self, order};
use std::cell::UnsafeCell;

pub use std::sync::atomic::Ordering;

/// `core::sync::atomic::fence`.
#[track_caller]
pub fn fence(ordering: Ordering) {
    match order(ordering) {
        Ordering::Relaxed => {}
        ordering => loom::sync::atomic::fence(ordering),
    }
}

macro_rules! atomics {
    ($($name:ident $(<$of:ident>)? of $value:ty),*) => {$(
        /// As in `core`.
        #[repr(transparent)]
        pub struct $name $(<$of>)? (UnsafeCell<$value>);

        // SAFETY: loom runs a model's threads on one of the system's, and the value is only read.
        unsafe impl $(<$of>)? Sync for $name $(<$of>)? {}

        #[expect(missing_docs, reason = "as in `core`")]
        #[allow(dead_code, reason = "not of all types")]
        impl $(<$of: 'static>)? $name $(<$of>)? {
            pub const fn new(value: $value) -> Self {
                $name(UnsafeCell::new(value))
            }

            /// # Safety
            /// As in `core`.
            pub const unsafe fn from_ptr<'a>(at: *mut $value) -> &'a Self {
                // SAFETY: the caller's promise; the layout is the same.
                unsafe { &*at.cast::<Self>() }
            }

            pub const fn as_ptr(&self) -> *mut $value {
                self.0.get()
            }

            fn object(&self) -> std::rc::Rc<loom::sync::atomic::$name $(<$of>)?> {
                let at = self.0.get();
                // SAFETY: nothing writes there.
                let first = unsafe { *at };
                explore::object(at.addr(), || loom::sync::atomic::$name::new(first))
            }

            #[track_caller]
            pub fn load(&self, ordering: Ordering) -> $value {
                self.object().load(order(ordering))
            }

            #[track_caller]
            pub fn store(&self, value: $value, ordering: Ordering) {
                self.object().store(value, order(ordering));
            }

            #[track_caller]
            pub fn swap(&self, value: $value, ordering: Ordering) -> $value {
                self.object().swap(value, order(ordering))
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let (success, failure) = (order(success), order(failure));
                self.object().compare_exchange(current, new, success, failure)
            }
        }

        impl $(<$of>)? Drop for $name $(<$of>)? {
            fn drop(&mut self) {
                explore::forget(self.0.get().addr());
            }
        }
    )*};
}

macro_rules! integers {
    ($($name:ident of $value:ty),*) => {$(
        #[expect(missing_docs, reason = "as in `core`")]
        impl $name {
            #[track_caller]
            pub fn fetch_add(&self, by: $value, ordering: Ordering) -> $value {
                self.object().fetch_add(by, order(ordering))
            }

            #[track_caller]
            pub fn fetch_and(&self, mask: $value, ordering: Ordering) -> $value {
                self.object().fetch_and(mask, order(ordering))
            }

            #[track_caller]
            pub fn fetch_or(&self, bits: $value, ordering: Ordering) -> $value {
                self.object().fetch_or(bits, order(ordering))
            }
        }
    )*};
}

atomics!(
    AtomicBool of bool,
    AtomicI8 of i8,
    AtomicU8 of u8,
    AtomicU16 of u16,
    AtomicI32 of i32,
    AtomicU32 of u32,
    AtomicU64 of u64,
    AtomicUsize of usize,
    AtomicPtr<T> of *mut T
);
integers!(AtomicU32 of u32, AtomicU64 of u64, AtomicUsize of usize);
