//! Data that a thread collects.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The data collected by a thread.
pub struct Gathered<T> {
    state: Arc<Mutex<T>>,
    /// Disconnected when the thread is done.
    done: Receiver<()>,
}

/// The thread's side of the data; the thread is done when it drops this.
pub struct Gatherer<T> {
    state: Arc<Mutex<T>>,
    _done: Sender<()>,
}

impl<T> Gatherer<T> {
    /// The data.
    pub fn state(&self) -> &Mutex<T> {
        &self.state
    }
}

impl<T: Default + Send + 'static> Gathered<T> {
    /// Both sides.
    pub fn pair() -> (Self, Gatherer<T>) {
        let state = Arc::new(Mutex::new(T::default()));
        let (sender, done) = channel();
        let gatherer = Gatherer {
            state: Arc::clone(&state),
            _done: sender,
        };
        (Self { state, done }, gatherer)
    }

    /// Runs `gather` in a thread.
    pub fn by(gather: impl FnOnce(&Mutex<T>) + Send + 'static) -> Self {
        let (gathered, gatherer) = Self::pair();
        std::thread::spawn(move || gather(gatherer.state()));
        gathered
    }

    /// Accesses the data while the thread may still run.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the data when the thread is done, or at `end`.
    pub fn take(&self, end: Instant) -> T {
        let left = end.saturating_duration_since(Instant::now());
        // The thread only disconnects; it sends nothing.
        let _ = self.done.recv_timeout(left);
        self.with(std::mem::take)
    }
}
