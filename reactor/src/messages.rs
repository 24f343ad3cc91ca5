//! Error messages: the detail of the last failed call, and those of failed operations until OCaml
//! asks for them.

use alloc::collections::VecDeque;
use alloc::string::String;

/// Number of operations whose details are kept; the oldest is dropped first.
const KEPT: usize = 64;
/// Length limit of a detail, in bytes.
const LONGEST: usize = 512;

/// The details that were not yet asked for.
pub struct Messages {
    /// Detail of the last call that failed with one.
    last: String,
    /// Whether `last` belongs to the call that is being made.
    fresh: bool,
    kept: VecDeque<(u64, String)>,
}

/// Cuts `text` to the length limit, at a character's boundary.
fn cut(mut text: String) -> String {
    let mut end = text.len().min(LONGEST);
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

impl Messages {
    /// No messages.
    pub(crate) const fn new() -> Messages {
        Messages {
            last: String::new(),
            fresh: false,
            kept: VecDeque::new(),
        }
    }

    /// Keeps the detail of the current call, which fails.
    pub fn set(&mut self, text: String) {
        self.last = cut(text);
        self.fresh = true;
    }

    /// Notes that the current call fails, so that it isn't given an earlier call's detail.
    pub fn failed(&mut self) {
        if !core::mem::take(&mut self.fresh) {
            self.last.clear();
        }
    }

    /// Keeps the detail of an operation that failed, unless it is empty.
    pub fn keep(&mut self, token: u64, text: String) {
        if text.is_empty() {
            return;
        }
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        if self.kept.try_reserve(1).is_ok() {
            self.kept.push_back((token, cut(text)));
        }
    }

    /// See `soil_error_detail`.
    pub fn last(&self, into: &mut [u8]) -> usize {
        put(&self.last, into)
    }

    /// See `soil_error_detail_of`.
    pub fn take(&mut self, token: isize, into: &mut [u8]) -> usize {
        let found = self
            .kept
            .iter()
            .position(|(of, _)| isize::try_from(*of) == Ok(token));
        match found.and_then(|i| self.kept.remove(i)) {
            Some((_, text)) => put(&text, into),
            None => 0,
        }
    }
}
