//! As in `kernel`; threads stand for processors.

pub use kernel::arch::interrupts;

/// As in `kernel`.
pub mod local {
    pub use kernel::arch::local::{Local, get, of, set_several, several};
    pub use kernel::arch::model::{PROCESSORS as MAX, begin};
}

/// As in `kernel`: no thread is switched to.
#[expect(missing_docs, reason = "as in `kernel`")]
pub mod gates {
    pub struct Frame;

    #[derive(Clone, Copy)]
    pub struct Context;

    impl Context {
        pub const RUNNING: Context = Context;
    }

    /// # Safety
    /// It has no preconditions.
    pub unsafe fn switch(_: *mut Context, _: Context, _: u64, _: u64) {
        unreachable!("each thread stays on its processor")
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
