//! Error messages: the detail of each thread's last failed call, and those of failed operations
//! until OCaml fetches them.

use alloc::string::String;
use alloc::vec::Vec;

/// Number of operations whose details are kept, and of threads; the oldest is dropped first.
const MAX_DETAILS: usize = 64;
/// Length limit of a detail, in bytes.
const MAX_DETAIL: usize = 512;

/// The details that were not yet fetched.
pub struct Messages {
    /// The detail of the current call.
    fresh: Option<String>,
    /// Details of the last calls that failed, each with the number of its thread.
    last: Vec<(u64, String)>,
    /// Details of operations, each with its token.
    kept: Vec<(u64, String)>,
}

/// Truncates `text` to the length limit, at a character boundary.
fn cut(mut text: String) -> String {
    let mut end = text.len().min(MAX_DETAIL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Copies what fits; returns the number of bytes copied.
fn put(text: &str, into: &mut [u8]) -> usize {
    let n = text.len().min(into.len());
    for (to, from) in into.iter_mut().zip(text.as_bytes()) {
        *to = *from;
    }
    n
}

/// The index of the detail of `number`.
fn place(details: &[(u64, String)], number: u64) -> Option<usize> {
    details.iter().position(|(of, _)| *of == number)
}

/// Adds a detail if there is memory.
fn add(details: &mut Vec<(u64, String)>, number: u64, text: String) {
    if details.len() >= MAX_DETAILS {
        details.remove(0);
    }
    if details.try_reserve(1).is_ok() {
        details.push((number, text));
    }
}

impl Messages {
    /// No messages.
    pub(crate) const fn new() -> Messages {
        Messages {
            fresh: None,
            last: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Stores the detail of the current call, which fails.
    pub fn set(&mut self, text: String) {
        self.fresh = Some(cut(text));
    }

    /// Records that the current call, of `thread`, fails, so that it doesn't get an earlier call's
    /// detail.
    pub fn failed(&mut self, thread: usize) {
        let (thread, detail) = (thread as u64, self.fresh.take());
        if let Some(at) = place(&self.last, thread) {
            self.last[at].1 = detail.unwrap_or_default();
        } else if let Some(detail) = detail {
            add(&mut self.last, thread, detail);
        }
    }

    /// Stores the detail of a failed operation, unless it is empty.
    pub fn keep(&mut self, token: u64, text: String) {
        if !text.is_empty() {
            add(&mut self.kept, token, cut(text));
        }
    }

    /// See `soil_error_detail`; of `thread`.
    pub fn last(&self, thread: usize, into: &mut [u8]) -> usize {
        place(&self.last, thread as u64).map_or(0, |at| put(&self.last[at].1, into))
    }

    /// See `soil_error_detail_of`.
    pub fn take(&mut self, token: isize, into: &mut [u8]) -> usize {
        // No token is negative.
        place(&self.kept, token as u64).map_or(0, |at| put(&self.kept.remove(at).1, into))
    }
}

#[cfg(test)]
mod tests {
    use super::Messages;
    use std::string::{String, ToString};

    fn last(messages: &Messages, thread: usize) -> String {
        let mut line = [0; 64];
        let n = messages.last(thread, &mut line);
        String::from_utf8_lossy(&line[..n]).to_string()
    }

    #[test]
    fn each_thread_has_the_detail_of_its_own_failure() {
        let mut messages = Messages::new();
        for thread in 1..=2 {
            messages.set(std::format!("of {thread}"));
            messages.failed(thread);
        }
        // A failure without a detail.
        messages.failed(3);
        let details = [1, 2, 3].map(|thread| last(&messages, thread));
        assert_eq!(details, ["of 1", "of 2", ""]);
        messages.failed(1);
        assert_eq!([last(&messages, 1), last(&messages, 2)], ["", "of 2"]);
        for thread in 100..200 {
            messages.set(thread.to_string());
            messages.failed(thread);
        }
        let ends = [2, 135, 136, 199].map(|thread| last(&messages, thread));
        assert_eq!(ends, ["", "", "136", "199"]);
    }
}
