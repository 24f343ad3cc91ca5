//! Fibers: code that can be suspended in the middle of a call and resumed later, on a small stack
//! of its own.
//!
//! They let synchronous code (a file system) wait for a device while everything else continues: at
//! each request the fiber is *suspended*, which looks to it like a call that takes a while, and
//! [`Context::resume`] returns to its caller. A fiber is resumed from one place, never from another
//! fiber, and never moves to another thread while it is inside a call.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as processor;
#[cfg(target_arch = "x86_64")]
use x86_64 as processor;

use alloc::boxed::Box;
use core::cell::Cell;
use core::ptr::NonNull;
use processor::{prepare, switch};

/// The two sides of a fiber: the saved stack pointer of each.
pub struct Context {
    fiber: Cell<*mut usize>,
    driver: Cell<*mut usize>,
}

impl Context {
    /// A fiber that will call `entry(argument)` on its first [`resume`](Context::resume), on the
    /// stack that ends at `top`.
    ///
    /// # Safety
    /// `argument` is what `entry` expects, for as long as the fiber runs. The stack is the fiber's
    /// for good, as returned by [`platform::Memory::stack`].
    pub unsafe fn new(
        entry: extern "C" fn(*const ()) -> !,
        argument: *const (),
        top: NonNull<u8>,
    ) -> Box<Context> {
        // SAFETY: the caller's promise.
        let fiber = unsafe { prepare(top.as_ptr(), entry, argument) };
        Box::new(Context {
            fiber: Cell::new(fiber),
            driver: Cell::new(core::ptr::null_mut()),
        })
    }

    /// Runs the fiber until it suspends itself.
    ///
    /// # Safety
    /// The fiber is suspended, or new.
    pub unsafe fn resume(&self) {
        // SAFETY: the caller's promise.
        unsafe { switch(&self.driver, self.fiber.get()) }
    }

    /// Returns to the driver until it resumes the fiber.
    ///
    /// # Safety
    /// Called on the fiber's own stack.
    pub unsafe fn suspend(&self) {
        // SAFETY: the driver is inside `resume`, waiting for this.
        unsafe { switch(&self.fiber, self.driver.get()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Context;
    use host::Host;
    use platform::Memory;
    use std::boxed::Box;
    use std::cell::{Cell, OnceCell};

    struct Shared {
        context: OnceCell<Box<Context>>,
        value: Cell<f64>,
    }

    extern "C" fn count(argument: *const ()) -> ! {
        // SAFETY: the test passes its own.
        let shared = unsafe { &*argument.cast::<Shared>() };
        // State in registers and on the stack survives suspensions.
        let mut numbers = [0.0; 512];
        let mut step = 0.5;
        loop {
            for number in &mut numbers {
                *number += step;
            }
            step *= 2.0;
            // Inexact, as are most results, which must neither trap nor be rounded in another way.
            let third = core::hint::black_box(1.0) / core::hint::black_box(3.0);
            assert_eq!(third, 0.333_333_333_333_333_3);
            shared.value.set(numbers.iter().sum());
            // SAFETY: on the fiber's stack.
            unsafe {
                shared
                    .context
                    .get()
                    .expect("set before the start")
                    .suspend()
            };
        }
    }

    #[test]
    fn two_fibers_take_turns() {
        let make = || {
            let shared = Box::new(Shared {
                context: OnceCell::new(),
                value: Cell::new(0.0),
            });
            let top = Host::stack(64 << 10).expect("memory");
            // SAFETY: `count` expects this, and it stays where it is.
            let context = unsafe { Context::new(count, (&raw const *shared).cast(), top) };
            shared.context.set(context).ok().expect("unset");
            shared
        };
        let (a, b) = (make(), make());
        // SAFETY: new or suspended.
        let step = |shared: &Shared| unsafe {
            shared.context.get().expect("set").resume();
            shared.value.get()
        };
        assert_eq!(step(&a), 256.0);
        assert_eq!(step(&a), 256.0 + 512.0);
        assert_eq!(step(&b), 256.0);
        assert_eq!(step(&a), 256.0 + 512.0 + 1024.0);
        assert_eq!(step(&b), 256.0 + 512.0);
    }
}
