//! The signals that ask `soil run` to stop what it runs.

use super::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::sync::mpsc::Sender;

/// Ends the forwarding when it is dropped.
pub struct Stop(Handle);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP arrive as events.
pub fn forward<E: Send + 'static>(
    events: Sender<E>,
    event: impl Fn(i32) -> E + Send + 'static,
) -> Result<Stop, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
        .map_err(|error| Failure::start(format!("signals can't be handled: {error}")))?;
    let handle = signals.handle();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if events.send(event(signal)).is_err() {
                return;
            }
        }
    });
    Ok(Stop(handle))
}
