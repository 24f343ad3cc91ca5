//! The thread that submits requests for threads that may end.

use crate::{Host, thread};
use alloc::sync::Arc;
use platform::Wait;
use rustix_uring::IoUring;
use sync::atomic::{AtomicU32, Ordering};

/// A thread that submits requests: Linux cancels the requests of a thread that ends.
pub struct Starter {
    uring: Arc<IoUring>,
    /// Changes when there are requests to submit.
    turn: AtomicU32,
}

impl Starter {
    /// Bytes of the thread's stack.
    const STACK: usize = 64 << 10;

    pub fn make(uring: &Arc<IoUring>) -> Option<Arc<Starter>> {
        let starter = Arc::new(Starter {
            uring: uring.clone(),
            turn: AtomicU32::new(0),
        });
        let argument = Arc::into_raw(starter.clone());
        if thread::make(Starter::run, argument.cast_mut().cast(), Starter::STACK) == 0 {
            return Some(starter);
        }
        // SAFETY: no thread was created, so the reference is still this function's.
        drop(unsafe { Arc::from_raw(argument) });
        None
    }

    /// Submits the ring's added requests, soon.
    pub fn begin(&self) {
        // Release: the requests are in the ring before the number changes.
        self.turn.fetch_add(1, Ordering::Release);
        Host::wake(&self.turn);
    }

    extern "C" fn run(argument: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: what `make` gave.
        let starter = unsafe { Arc::from_raw(argument.cast_const().cast::<Starter>()) };
        loop {
            // Acquire: pairs with `begin`; a request of a later number ends the wait at once.
            let turn = starter.turn.load(Ordering::Acquire);
            let _ = starter.uring.submitter().submit();
            Host::await_change(&starter.turn, turn, None);
        }
    }
}
