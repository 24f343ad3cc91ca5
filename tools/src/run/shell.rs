//! Formats commands for a shell, for `--dry-run`.

use std::ffi::{OsStr, OsString};

/// Formats a command in shell syntax.
pub fn shown(program: &OsStr, arguments: &[OsString]) -> String {
    let mut line = quoted(program);
    let mut rest = arguments.iter().peekable();
    while let Some(word) = rest.next() {
        line.push_str(" \\\n  ");
        line.push_str(&quoted(word));
        // Keeps an option and its value on one line.
        if word.as_encoded_bytes().starts_with(b"-")
            && let Some(value) = rest.next_if(|next| !next.as_encoded_bytes().starts_with(b"-"))
        {
            line.push(' ');
            line.push_str(&quoted(value));
        }
    }
    line
}

/// Quotes a word with single quotes if needed.
pub fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{quoted, shown};
    use std::ffi::OsStr;

    #[test]
    fn what_is_shown_can_be_pasted() {
        assert_eq!(quoted(OsStr::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(OsStr::new("")), "''");
        let shown = shown(OsStr::new("q"), &["-M".into(), "a b".into(), "-S".into()]);
        assert_eq!(shown, "q \\\n  -M 'a b' \\\n  -S");
    }
}
