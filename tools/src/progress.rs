//! Progress bars for long work, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// The delay before a bar appears: short work shows none.
const SOON: Duration = Duration::from_millis(300);

/// A bar that counts bytes up to `total`; hidden unless standard error is a terminal.
pub fn bytes(what: &str, total: u64) -> ProgressBar {
    bar(
        what,
        total,
        "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    )
}

/// A bar that counts `total` items.
pub fn count(what: &str, total: usize) -> ProgressBar {
    let total = u64::try_from(total).unwrap_or(u64::MAX);
    bar(what, total, "{msg} [{bar:30}] {pos}/{len}")
}

/// A spinner for work of unknown length.
pub fn busy(what: &str) -> ProgressBar {
    let bar = bar(what, 0, "{spinner} {msg}");
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar
}

/// Does work that is usually short, and shows a spinner if it takes longer.
pub fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    std::thread::scope(|scope| {
        let (done, over) = channel::<()>();
        scope.spawn(move || {
            if over.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout) {
                let bar = busy(what);
                // Blocks until the sender is dropped.
                let _ = over.recv();
                bar.finish_and_clear();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn bar(what: &str, total: u64, template: &str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    bar
}
