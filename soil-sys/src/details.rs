//! Texts of failures: of the last failed call, and of failed operations until they are asked for.

use crate::ty::Int;
use alloc::collections::VecDeque;
use alloc::string::String;

/// How many texts of operations are kept; the oldest goes first.
const KEPT: usize = 64;
/// The longest text, in bytes.
const LONGEST: usize = 512;

/// See the head of this file.
pub struct Details {
    last: String,
    /// Whether `last` belongs to the call that is being made.
    fresh: bool,
    kept: VecDeque<(u64, String)>,
}

/// `text`, cut to the longest allowed.
fn cut(mut text: String) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// Copies as much as fits; the length copied.
fn put(text: &str, into: &mut [u8]) -> usize {
    let n = text.len().min(into.len());
    for (to, from) in into.iter_mut().zip(text.as_bytes()) {
        *to = *from;
    }
    n
}

impl Details {
    /// None yet.
    pub const fn new() -> Details {
        Details {
            last: String::new(),
            fresh: false,
            kept: VecDeque::new(),
        }
    }

    /// Notes the text of the call that fails now.
    pub fn set(&mut self, text: String) {
        self.last = cut(text);
        self.fresh = true;
    }

    /// The current call fails: a text of an earlier one is not its own.
    pub fn failed(&mut self) {
        if !core::mem::take(&mut self.fresh) {
            self.last.clear();
        }
    }

    /// Notes the text of an operation that failed.
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
    pub fn take(&mut self, token: Int, into: &mut [u8]) -> usize {
        let found = self
            .kept
            .iter()
            .position(|(of, _)| Int::try_from(*of) == Ok(token));
        match found.and_then(|i| self.kept.remove(i)) {
            Some((_, text)) => put(&text, into),
            None => 0,
        }
    }
}
