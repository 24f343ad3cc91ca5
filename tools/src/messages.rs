//! Lines of the command itself on its error output, and writes that wait for their reader.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The most bytes that a pipe takes without blocking once poll says that it takes some (POSIX,
/// PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Writes all bytes, blocking until `until` or as long as it takes. Doesn't use `io::stdout`, whose
/// lock other threads would wait for. Errors: write(2)'s, TIMEDOUT.
pub fn write(to: impl AsFd, mut bytes: &[u8], until: Option<Instant>) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        if until.is_some() {
            wait_writable(&to, until)?;
        }
        let most = until.map_or(bytes.len(), |_| bytes.len().min(AT_ONCE));
        match rustix::io::write(&to, bytes.get(..most).unwrap_or(bytes)) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // The parent may have made it non-blocking, for itself.
            Err(Errno::AGAIN) => wait_writable(&to, until)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_writable(to: impl AsFd, until: Option<Instant>) -> rustix::io::Result<()> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&to, PollFlags::OUT)], left.as_ref()) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Err(Errno::INTR) => {}
            answer => return answer.map(drop),
        }
    }
}

/// Writes a line to the error output; errors are ignored.
pub fn say(text: &str) {
    let _ = write(io::stderr(), format!("soil: {text}\n").as_bytes(), None);
}

/// As [`say`], but for 500 ms at most: the caller has more urgent work.
pub fn say_soon(text: &str) {
    let until = Instant::now() + Duration::from_millis(500);
    let _ = write(
        io::stderr(),
        format!("soil: {text}\n").as_bytes(),
        Some(until),
    );
}
