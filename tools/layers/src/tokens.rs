//! Rust source as words: identifiers, `::` and single characters, without comments, strings,
//! numbers' suffixes and lifetimes.

/// Splits `text` into words.
pub fn words(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let (mut found, mut i) = (Vec::new(), 0);
    while i < text.len() {
        let c = text[i];
        if c == '/' && at(i + 1) == '/' {
            while i < text.len() && text[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(i), at(i + 1)) {
                    ('/', '*') => (depth, i) = (depth + 1, i + 2),
                    ('*', '/') => (depth, i) = (depth - 1, i + 2),
                    _ => i += 1,
                }
                if depth == 0 || i >= text.len() {
                    break;
                }
            }
        } else if let Some(end) = string(&text, i) {
            // The value of an attribute, such as `path = "…"`.
            found.push(text[i..end].iter().collect());
            i = end;
        } else if c == '\'' {
            i = match (at(i + 1), at(i + 2)) {
                ('\\', _) => i + 4 + text[i + 3..].iter().take_while(|c| **c != '\'').count(),
                (_, '\'') => i + 3,
                // A lifetime.
                _ => i + 1 + text[i + 1..].iter().take_while(|c| is_name(**c)).count(),
            };
        } else if is_name(c) || c == '$' && is_name(at(i + 1)) {
            let start = i;
            i += 1;
            while is_name(at(i)) {
                i += 1;
            }
            let word: String = text[start..i].iter().collect();
            found.push(word.strip_prefix("r#").map_or(word.clone(), String::from));
        } else if c == ':' && at(i + 1) == ':' {
            found.push("::".into());
            i += 2;
        } else {
            if !c.is_whitespace() {
                found.push(c.into());
            }
            i += 1;
        }
    }
    found
}

/// Whether a word can be a name.
pub fn is_identifier(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '$')
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The end of the string that starts at `start`, if one does.
fn string(text: &[char], start: usize) -> Option<usize> {
    let at = |index: usize| text.get(index).copied().unwrap_or('\0');
    let mut i = start;
    while matches!(at(i), 'b' | 'c') && i - start < 1 {
        i += 1;
    }
    let is_raw = at(i) == 'r';
    i += usize::from(is_raw);
    let hashes = if is_raw {
        text[i..].iter().take_while(|c| **c == '#').count()
    } else {
        0
    };
    i += hashes;
    if at(i) != '"' {
        return None;
    }
    i += 1;
    while i < text.len() {
        if at(i) == '\\' && !is_raw {
            i += 2;
        } else if at(i) == '"' && text[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes
        {
            return Some(i + 1 + hashes);
        } else {
            i += 1;
        }
    }
    Some(i)
}
