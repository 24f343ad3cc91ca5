//! Progress bars for long work, on a terminal only.

use crate::messages::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The delay before a bar appears: short work shows none.
const SOON: Duration = Duration::from_millis(300);

/// The time between two lines of progress where no terminal shows it.
const LINES: Duration = Duration::from_secs(10);

/// Progress of long work as one line: on a terminal as it changes, elsewhere every 10 s.
pub struct Line {
    bar: ProgressBar,
    text: Arc<Mutex<String>>,
    /// Writes the lines where there is no terminal, until the sender is dropped.
    writer: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Line {
    /// Begins with the text `what`.
    pub fn new(what: &str) -> Self {
        let bar = busy(what);
        let is_hidden = bar.is_hidden();
        let mut line = Self {
            bar,
            text: Arc::new(Mutex::new(what.to_owned())),
            writer: None,
        };
        if is_hidden {
            line.write(LINES, say);
        }
        line
    }

    /// Starts a thread that calls `say` with the text and the time so far, once every `period`.
    fn write(&mut self, period: Duration, say: impl Fn(&str) + Send + 'static) {
        let text = Arc::clone(&self.text);
        let (end, over) = channel::<()>();
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            while over.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
                let line = text.lock().unwrap_or_else(PoisonError::into_inner).clone();
                say(&format!("{line}, {} s", began.elapsed().as_secs()));
            }
        });
        self.writer = Some((end, thread));
    }

    /// Replaces the text.
    pub fn set(&self, text: String) {
        self.bar.set_message(text.clone());
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// Writes a line of its own.
    pub fn note(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.writer.take() {
            drop(end);
            // It panics only if `say` does.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

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

#[cfg(test)]
mod tests {
    use super::Line;
    use indicatif::ProgressBar;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn lines_come_again_and_again_while_nothing_changes() {
        let (lines, said) = channel();
        let mut line = Line {
            bar: ProgressBar::hidden(),
            text: Default::default(),
            writer: None,
        };
        line.set("run 1".to_owned());
        line.write(Duration::from_millis(1), move |text| {
            let _ = lines.send(text.to_owned());
        });
        for _ in 0..2 {
            assert!(said.recv().expect("a line").starts_with("run 1, "));
        }
        line.set("run 2".to_owned());
        while !said.recv().expect("a line").starts_with("run 2, ") {}
        drop(line);
        // The thread has ended.
        while said.try_recv().is_ok() {}
        assert!(said.recv().is_err());
    }
}
