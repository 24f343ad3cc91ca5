//! Fibers: code that can be suspended in the middle of a call and resumed later, on a small stack
//! of its own.
//!
//! They let synchronous code (a file system) wait for a device while everything else continues: at
//! each request the fiber is *suspended*, which looks to it like a call that takes a while, and
//! [`Context::resume`] returns to its caller. A fiber is resumed from one place, never from another
//! fiber, and never moves to another thread while it is inside a call.

use alloc::boxed::Box;
use core::cell::Cell;
use core::ptr::NonNull;

/// Words that [`switch`] saves on a stack: control words of the floating point units, six
/// registers, the return address.
const FRAME: usize = 8;

/// The two sides of a fiber: the saved stack pointer of each.
pub struct Context {
    fiber: Cell<*mut usize>,
    driver: Cell<*mut usize>,
}

/// Leaves the current stack, saves its stack pointer in `save`, and continues at `to`.
///
/// The saved stack has the callee-saved state of the System V ABI (x86-64, 3.2.1): rbx, rbp, r12 to
/// r15, and the control bits of mxcsr and of the x87 unit. All other registers are caller-saved
/// around any call.
///
/// # Safety
/// `to` was saved by this function on a stack that still exists and on which nothing has run since,
/// or prepared by [`prepare`].
#[unsafe(naked)]
unsafe extern "C" fn switch(save: *const Cell<*mut usize>, to: *mut usize) {
    core::arch::naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// The start of a new fiber: [`prepare`] has set r12 to the argument and r13 to the function.
#[unsafe(naked)]
unsafe extern "C" fn begin() {
    core::arch::naked_asm!("mov rdi, r12", "call r13", "ud2")
}

/// Writes the first frame to the stack that ends at `top`; returns the stack pointer to switch to.
///
/// # Safety
/// `top` is the end of a stack of at least a few hundred bytes, aligned to 16.
unsafe fn prepare(
    top: *mut u8,
    entry: extern "C" fn(*const ()) -> !,
    argument: *const (),
) -> *mut usize {
    // mxcsr 0x1f80 and x87 0x037f: all exceptions masked, round to nearest (the state in which the
    // ABI starts a program).
    const CONTROL: usize = 0x037f_0000_1f80;
    let begin = begin as *const () as usize;
    // r15, r14, r13, r12, rbx, rbp in the order of the pops.
    let frame: [usize; FRAME] = [
        CONTROL,
        0,
        0,
        entry as usize,
        argument as usize,
        0,
        0,
        begin,
    ];
    // SAFETY: within the stack. After the return to `begin`, the stack pointer is a multiple of 16,
    // as before a call.
    unsafe {
        let start = top.cast::<usize>().sub(2 + FRAME);
        start.cast::<[usize; FRAME]>().write(frame);
        start
    }
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
