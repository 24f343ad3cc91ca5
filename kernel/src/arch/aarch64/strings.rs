//! `memcpy` and similar functions: musl's, which need no preparation here.

/// Nothing.
pub fn set_up() {}
