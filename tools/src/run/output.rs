//! Copying the console to standard output and error output; and the lines of `soil run` itself.

use super::serial::Splitter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most bytes that a pipe takes without blocking once poll says that it takes some (POSIX,
/// PIPE_BUF).
const AT_ONCE: usize = 4096;

/// The state of the copying.
#[derive(Debug, Default)]
pub struct Progress {
    /// Whether anything came.
    pub spoke: bool,
    /// Whether something that came isn't passed on yet.
    pub pending: bool,
    /// The errors that ended standard output and error output early.
    pub failed: [Option<Errno>; 2],
}

impl Progress {
    /// The exit status of a program that ended with `status`: success only if its output got there.
    pub fn status(&self, status: u8) -> u8 {
        match self.failed.iter().flatten().next() {
            Some(error) if status == 0 => match *error {
                // The status of a program that SIGPIPE ends.
                Errno::PIPE => 128 + 13,
                // EX_IOERR of sysexits.h.
                _ => 74,
            },
            _ => status,
        }
    }
}

/// Copies the console as it comes, until its end.
pub fn copy(mut from: impl Read, progress: &Mutex<Progress>) {
    let mut buffer = [0; 1 << 16];
    let mut splitter = Splitter::default();
    let with = |change: &dyn Fn(&mut Progress)| {
        change(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
    };
    // After an error output is dropped and the program goes on, as its work may not be its output.
    let mut failed = [None; 2];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                with(&|progress| (progress.spoke, progress.pending) = (true, true));
                splitter.feed(buffer.get(..count).unwrap_or_default(), |error, piece| {
                    let [output, errors] = &mut failed;
                    if error {
                        pass_on(io::stderr(), "error output", piece, errors);
                    } else {
                        pass_on(io::stdout(), "standard output", piece, output);
                    }
                });
                with(&|progress| (progress.failed, progress.pending) = (failed, false));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn pass_on(to: impl AsFd, name: &str, piece: &[u8], failed: &mut Option<Errno>) {
    if failed.is_some() {
        return;
    }
    *failed = write(to, piece, None).err();
    if let Some(error) = failed.filter(|error| *error != Errno::PIPE) {
        let error = io::Error::from(error);
        say(&format!(
            "{name}: {error}: what the program writes there from now on is lost"
        ));
    }
}

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
