//! Handles the signals that request `soil run` to stop its program.

use crate::failure::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::{Handle, Signals};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

/// The signals that request an end.
pub const ENDING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// Ends the forwarding on drop and restores the signals' default actions.
pub struct Stop {
    handle: Handle,
    over: Arc<AtomicBool>,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.handle.close();
    }
}

/// Converts these signals to events, except ignored ones, which the parent has disabled (`nohup`,
/// and Ctrl-C of a shell without job control).
pub fn forward<E: Send + 'static>(
    wanted: &[i32],
    events: Sender<E>,
    event: impl Fn(i32) -> E + Send + 'static,
) -> Result<Stop, Failure> {
    let fail = |error| Failure::new(format!("signals can't be handled: {error}"));
    let ignored = ignored();
    let wanted = wanted
        .iter()
        .filter(|signal| ignored >> (**signal - 1) & 1 == 0);
    let over = Arc::new(AtomicBool::new(false));
    for signal in wanted.clone() {
        register_conditional_default(*signal, Arc::clone(&over)).map_err(fail)?;
    }
    let mut signals = Signals::new(wanted).map_err(fail)?;
    let handle = signals.handle();
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if events.send(event(signal)).is_err() {
                return;
            }
        }
    });
    Ok(Stop { handle, over })
}

/// Returns the mask of ignored signals, starting with signal 1: proc_pid_status(5).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
