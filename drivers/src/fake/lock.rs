//! The lock of a device that its driver and the test share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a device. One that panicked has failed its test already.
pub(super) fn lock<T>(model: &Mutex<T>) -> MutexGuard<'_, T> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}
