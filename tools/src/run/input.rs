//! Our standard input, passed on to the console.

use super::serial::Origin;
use super::terminal::{ReportKey, is_background};
use crate::messages::say;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

/// The interval at which a terminal's foreground group is polled: no event tells of a change.
const LOOK: Duration = Duration::from_millis(500);

/// Copies standard input to `to`, framed, until it ends or nothing is taken any more.
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
        // A terminal goes on behind Ctrl-D, unless it was hung up.
        let goes_on = !failed && origin == Origin::Terminal && io::stdin().is_terminal();
        if count == 0 && !goes_on {
            // Kept open: QEMU takes a closed input for a console that hung up.
            return std::mem::forget(to);
        }
    }
}

/// One read, which waits for input; 0 at its end. Not by `io::stdin`, whose buffer takes more than
/// a machine that ends soon has asked for.
fn read(buffer: &mut [u8], origin: Origin, key: &ReportKey) -> rustix::io::Result<usize> {
    let stdin = io::stdin();
    loop {
        if origin == Origin::Terminal {
            wait_for_terminal(key);
        }
        match rustix::io::read(&stdin, &mut *buffer) {
            Err(Errno::INTR) => {}
            // The parent may have made it non-blocking, for itself.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None);
            }
            answer => return answer,
        }
    }
}

/// Waits until the terminal is ours and has something, so that no read is begun that would stop us
/// when the job is put into the background meanwhile.
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
