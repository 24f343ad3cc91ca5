//! Forwards standard input to the console.

use super::serial::Origin;
use super::terminal::{ReportKey, is_background};
use crate::messages::say;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

/// The polling interval for a terminal's foreground group, whose changes raise no event.
const LOOK: Duration = Duration::from_millis(500);

/// Copies standard input to `to`, framed, until end of input or a write error.
pub fn copy(mut to: impl Write, origin: Origin, key: &ReportKey) {
    let mut buffer = [0; 4096];
    loop {
        let (count, failed) = match read(&mut buffer, origin, key) {
            Ok(count) => (count, false),
            Err(error) => {
                let error = io::Error::from(error);
                say(&format!(
                    "standard input: {error}: the program sees its end"
                ));
                (0, true)
            }
        };
        let framed = origin.framed(buffer.get(..count).unwrap_or_default());
        if to.write_all(&framed).and_then(|()| to.flush()).is_err() {
            return;
        }
        // A terminal continues after Ctrl-D, unless it was hung up.
        let goes_on = !failed && origin == Origin::Terminal && io::stdin().is_terminal();
        if count == 0 && !goes_on {
            // Kept open: QEMU treats a closed input as a hung-up console.
            return std::mem::forget(to);
        }
    }
}

/// Reads once, blocking; returns 0 at end of input. Avoids `io::stdin`, whose buffer would consume
/// input that a machine that ends soon doesn't read.
fn read(buffer: &mut [u8], origin: Origin, key: &ReportKey) -> rustix::io::Result<usize> {
    let stdin = io::stdin();
    loop {
        if origin == Origin::Terminal {
            wait_for_terminal(key);
        }
        match rustix::io::read(&stdin, &mut *buffer) {
            Err(Errno::INTR) => {}
            // The parent may have made the shared descriptor non-blocking.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None);
            }
            answer => return answer,
        }
    }
}

/// Waits until our job is in the foreground and input is ready. A read that blocks instead would
/// stop us (SIGTTIN) if the job moved to the background meanwhile.
fn wait_for_terminal(key: &ReportKey) {
    let stdin = io::stdin();
    let timeout = Timespec::try_from(LOOK).ok();
    loop {
        if is_background() {
            std::thread::sleep(LOOK);
            continue;
        }
        key.take();
        let ready = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], timeout.as_ref());
        if !matches!(ready, Ok(0) | Err(Errno::INTR)) && !is_background() {
            return;
        }
    }
}
