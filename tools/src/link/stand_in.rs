//! The stand-in for an image that can't be linked: a script that prints the reason. `soil-cc`
//! writes it, and `soil run` recognizes it by the text around the reason, which is in single
//! quotes.

/// Before the reason.
pub const BEGINNING: &str = "#!/bin/sh\n# soil-cc made no image.\nprintf '%s: %s\\n' \"$0\" '";
/// Behind the reason.
pub const END: &str = "' >&2\nexit 126\n";
/// A single quote within the reason.
pub const QUOTE: &str = r"'\''";
