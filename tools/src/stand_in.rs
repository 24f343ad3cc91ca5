//! The stand-in for an image that can't be linked: a script that prints the reason. `soil-cc`
//! writes it; `soil run` recognizes it by the text around the single-quoted reason.

/// The text before the reason.
pub const BEGINNING: &str = "#!/bin/sh\n# soil-cc made no image.\nprintf '%s: %s\\n' \"$0\" '";
/// The text after the reason.
pub const END: &str = "' >&2\nexit 126\n";
/// The escape for a single quote within the reason.
pub const QUOTE: &str = r"'\''";
