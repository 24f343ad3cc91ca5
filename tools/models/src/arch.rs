//! As in `kernel`; threads stand for processors.

pub use kernel::arch::{host, interrupts};

/// As in `kernel`.
pub mod local {
    pub use kernel::arch::local::{Local, get, is_smp, of, set_smp};
    pub use kernel::arch::model::{PROCESSORS as MAX, begin};
}

/// As in `kernel`: a processor's only thread, and its idle one.
#[expect(missing_docs, reason = "as in `kernel`")]
pub mod gates {
    pub struct Frame;

    pub struct SystemCallFrame;

    impl SystemCallFrame {
        pub fn new(_: u64, _: u64) -> Self {
            Self
        }
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Context {
        Idle,
        Program,
    }

    impl Context {
        pub const RUNNING: Context = Context::Idle;

        /// # Safety
        /// It has no preconditions.
        pub unsafe fn new(_: SystemCallFrame, _: u64, _: extern "C" fn()) -> Self {
            Self::Idle
        }
    }

    /// # Safety
    /// It has no preconditions.
    pub unsafe fn switch(_: *mut Context, to: Context, _: u64, _: u64) {
        if to == Context::Idle {
            crate::image::threads::be_idle();
        }
    }

    /// # Safety
    /// It has no preconditions.
    pub unsafe fn move_frame(frame: &mut Frame, _: u64) -> *mut Frame {
        frame
    }

    pub fn system_call_stack() -> u64 {
        0
    }
}

/// As in `kernel`.
pub mod float {
    /// Runs `f`.
    pub fn preserving(f: fn()) {
        f();
    }
}
