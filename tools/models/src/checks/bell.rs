//! A doorbell, or an interrupt.

use loom::sync::{Condvar, Mutex};

/// Rung, or not.
pub struct Bell(Mutex<bool>, Condvar);

impl Bell {
    /// One that isn't rung.
    #[expect(clippy::new_without_default, reason = "loom's objects have none")]
    pub fn new() -> Bell {
        Bell(Mutex::new(false), Condvar::new())
    }

    /// Rings it, once or again.
    pub fn ring(&self) {
        *self.0.lock().expect("no panic") = true;
        self.1.notify_one();
    }

    /// Waits until it is rung, and stops it.
    pub fn wait(&self) {
        let mut rung = self.0.lock().expect("no panic");
        while !core::mem::replace(&mut *rung, false) {
            rung = self.1.wait(rung).expect("no panic");
        }
    }
}
