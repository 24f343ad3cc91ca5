//! `alloc::sync::Arc`.

use super::atomic::{AtomicU32, Ordering};

/// `alloc::sync::Arc` of a word. Loom knows the word from the start: the first thread to use it may
/// be another than its maker.
pub struct Arc<T>(std::sync::Arc<T>);

impl Arc<AtomicU32> {
    /// A new reference.
    pub fn new(word: AtomicU32) -> Arc<AtomicU32> {
        let word = std::sync::Arc::new(word);
        word.load(Ordering::Relaxed);
        Arc(word)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Arc<T> {
        Arc(self.0.clone())
    }
}

impl<T> core::ops::Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
