//! Copies the console to standard output and standard error.

use super::serial::Splitter;
use crate::messages::{say, write};
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

/// The state of the copying.
#[derive(Debug, Default)]
pub struct Progress {
    /// Whether any output has arrived.
    pub spoke: bool,
    /// Whether some of it isn't forwarded yet.
    pub pending: bool,
    /// The errors that ended standard output and standard error early.
    pub failed: [Option<Errno>; 2],
}

impl Progress {
    /// Returns the exit status of a program that ended with `status`: success only if all output
    /// was written.
    pub fn status(&self, status: u8) -> u8 {
        match self.failed.iter().flatten().next() {
            Some(error) if status == 0 => match *error {
                // The status of a program killed by SIGPIPE.
                Errno::PIPE => 128 + 13,
                // EX_IOERR of sysexits.h.
                _ => 74,
            },
            _ => status,
        }
    }
}

/// Copies the console until its end.
pub fn copy(mut from: impl Read, progress: &Mutex<Progress>) {
    let mut buffer = [0; 1 << 16];
    let mut splitter = Splitter::default();
    let with = |change: &dyn Fn(&mut Progress)| {
        change(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
    };
    // After an error, drops the output but lets the program run: its purpose may not be output.
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
