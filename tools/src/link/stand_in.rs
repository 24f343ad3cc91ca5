//! The program in an image's place that only says why there is none: `soil-cc` writes it and
//! `soil run` knows it, by what stands before and behind the reason in single quotes.

/// Before the reason.
pub const BEGINNING: &str = "#!/bin/sh\n# soil-cc made no image.\nprintf '%s: %s\\n' \"$0\" '";
/// Behind the reason.
pub const END: &str = "' >&2\nexit 126\n";
/// A single quote within the reason.
pub const QUOTE: &str = r"'\''";
