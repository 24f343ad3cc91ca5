//! A subset of YAML 1.2 for metadata: block and flow collections, plain and quoted scalars, literal
//! and folded block scalars, comments, one document.
//!
//! Anchors, aliases, tags, complex keys and duplicate keys are errors: none occurs in the documents
//! of metadata, and aliases let a short document stand for a huge one. Every scalar is a string,
//! except that `null`, `~` and nothing are null: a version `1.10` and a mode `0755` stay what was
//! written.

use crate::Error;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::{Map, Value};

/// Maximum depth of collections in collections.
const MAX_DEPTH: usize = 16;
/// Maximum number of values.
const MAX_VALUES: usize = 8192;

/// Parses a document of UTF-8.
///
/// # Errors
/// One line with the number of the wrong line.
pub fn parse(document: &[u8]) -> Result<Value, Error> {
    parse_part(document, 0)
}

/// As [`parse`], with all keys of all mappings in the order of the document, which mappings lose.
///
/// # Errors
/// As for [`parse`].
pub(crate) fn parse_with_keys(document: &[u8]) -> Result<(Value, Vec<String>), Error> {
    parse_all(document, 0)
}

/// Parses a part of a document of which `before` lines precede it.
///
/// # Errors
/// As for [`parse`].
pub(crate) fn parse_part(document: &[u8], before: usize) -> Result<Value, Error> {
    parse_all(document, before).map(|(value, _)| value)
}

fn parse_all(document: &[u8], before: usize) -> Result<(Value, Vec<String>), Error> {
    let text = core::str::from_utf8(document).map_err(|_| Error::new("not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser {
        raw: text.lines().collect(),
        lines: text.lines().map(Line::new).collect(),
        before,
        at: 0,
        values: 0,
        keys: Vec::new(),
    };
    parser.begin();
    let value = parser.node(0, 0)?;
    match parser.peek() {
        Some(_) => Err(parser.wrong("text after the end of a value")),
        None => Ok((value, parser.keys)),
    }
}

/// A line without its indentation and the blanks at its end.
#[derive(Clone, Copy)]
struct Line<'a> {
    indent: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn new(raw: &'a str) -> Self {
        let text = raw.trim_start_matches(' ');
        Self {
            indent: raw.len() - text.len(),
            text: text.trim_end(),
        }
    }

    fn is_blank(&self) -> bool {
        is_blank(self.text)
    }

    /// Whether it is an entry of a block sequence.
    fn is_entry(&self) -> bool {
        let rest = self.text.strip_prefix('-');
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
    }
}

/// Whether nothing is there but a comment.
fn is_blank(text: &str) -> bool {
    text.is_empty() || text.starts_with('#')
}

struct Parser<'a> {
    raw: Vec<&'a str>,
    lines: Vec<Line<'a>>,
    /// Number of lines in front of them.
    before: usize,
    /// The current line.
    at: usize,
    values: usize,
    /// The keys so far.
    keys: Vec<String>,
}

impl<'a> Parser<'a> {
    /// Skips what precedes the document.
    fn begin(&mut self) {
        while let Some(line) = self.lines.get(self.at) {
            if line.text == "---" {
                self.at += 1;
                return;
            }
            if !line.is_blank() && !line.text.starts_with('%') {
                return;
            }
            self.at += 1;
        }
    }

    /// The next line with content; `None` at the end of the document.
    fn peek(&mut self) -> Option<Line<'a>> {
        while let Some(line) = self.lines.get(self.at) {
            if line.indent == 0 && matches!(line.text, "---" | "...") {
                return None;
            }
            if !line.is_blank() {
                return Some(*line);
            }
            self.at += 1;
        }
        None
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(format!("line {}: {what}", self.before + self.at + 1))
    }

    /// Replaces the current line by a part of it.
    fn enter(&mut self, line: Line<'a>) {
        if let Some(current) = self.lines.get_mut(self.at) {
            *current = line;
        }
    }

    /// Counts a value at `depth`.
    fn count(&mut self, depth: usize) -> Result<(), Error> {
        self.values += 1;
        if depth > MAX_DEPTH {
            return Err(self.wrong("too many collections in collections"));
        }
        if self.values > MAX_VALUES {
            return Err(self.wrong("too many values"));
        }
        Ok(())
    }

    /// The block value whose lines have an indentation of at least `least`.
    fn node(&mut self, least: usize, depth: usize) -> Result<Value, Error> {
        self.count(depth)?;
        match self.peek() {
            Some(line) if line.indent >= least => {
                if line.text.starts_with('\t') {
                    Err(self.wrong("a tab in the indentation"))
                } else if line.is_entry() {
                    self.sequence(line.indent, depth)
                } else if self.key(line.text)?.is_some() {
                    self.mapping(line.indent, depth)
                } else {
                    self.scalar(least, depth)
                }
            }
            _ => Ok(Value::Null),
        }
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Result<Value, Error> {
        let mut values = Vec::new();
        while let Some(line) = self.peek() {
            if line.indent > indent {
                return Err(self.wrong("more indentation than the entries before"));
            }
            if line.indent < indent || !line.is_entry() {
                break;
            }
            let rest = line.text.get(1..).unwrap_or_default();
            values.push(self.value(line, rest, indent, depth, true)?);
        }
        Ok(Value::Array(values))
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Result<Value, Error> {
        let mut values = Map::new();
        while let Some(line) = self.peek() {
            if line.indent > indent {
                return Err(self.wrong("more indentation than the keys before"));
            }
            if line.indent < indent {
                break;
            }
            if line.is_entry() {
                return Err(self.wrong("an entry of a list among keys"));
            }
            let Some((key, rest)) = self.key(line.text)? else {
                return Err(self.wrong("not of the form KEY: VALUE"));
            };
            if values.contains_key(&key) {
                return Err(self.wrong(&format!("the key \"{key}\" a second time")));
            }
            self.keys.push(key.clone());
            let value = self.value(line, rest, indent, depth, false)?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }

    /// The value behind `-` or a key of the current line, whose collection has `indent`.
    fn value(
        &mut self,
        line: Line<'a>,
        rest: &'a str,
        indent: usize,
        depth: usize,
        in_sequence: bool,
    ) -> Result<Value, Error> {
        let text = rest.trim_start();
        if is_blank(text) {
            self.at += 1;
            // The entries of a key's list need no more indentation than the key.
            let same = |next: Line| next.indent == indent && next.is_entry();
            let least = match self.peek() {
                Some(next) if !in_sequence && same(next) => indent,
                _ => indent + 1,
            };
            return self.node(least, depth + 1);
        }
        if text.starts_with(['|', '>']) {
            self.count(depth)?;
            return self.block_scalar(text, indent);
        }
        self.enter(Line {
            indent: line.indent + (line.text.len() - text.len()),
            text,
        });
        if in_sequence {
            self.node(indent + 1, depth + 1)
        } else {
            self.count(depth + 1)?;
            self.scalar(indent + 1, depth + 1)
        }
    }

    /// The key at the start of `text`, and what follows its colon; `None` if there is none.
    fn key<'t>(&self, text: &'t str) -> Result<Option<(String, &'t str)>, Error> {
        if text.starts_with(['"', '\'']) {
            let mut line = OneLine(text);
            // A scalar that isn't closed on this line is no key.
            let Ok(key) = quoted(&mut line) else {
                return Ok(None);
            };
            let Some(rest) = line.0.trim_start().strip_prefix(':') else {
                return Ok(None);
            };
            return Ok(ends_word(rest).then_some((key, rest)));
        }
        if text.starts_with(['[', '{']) {
            return Ok(None);
        }
        let mut before = ' ';
        for (at, c) in text.char_indices() {
            let rest = text.get(at + c.len_utf8()..).unwrap_or_default();
            if c == '#' && before == ' ' {
                break;
            }
            if c == ':' && ends_word(rest) {
                let key = text.get(..at).unwrap_or_default().trim_end();
                if key.is_empty() || key.starts_with(['&', '*', '!', '?', '%', '@', '`']) {
                    return Err(self.wrong("not a plain key"));
                }
                return Ok(Some((String::from(key), rest)));
            }
            before = c;
        }
        Ok(None)
    }

    /// The scalar or flow collection that begins the current line; further lines of it have an
    /// indentation of at least `least`.
    fn scalar(&mut self, least: usize, depth: usize) -> Result<Value, Error> {
        let Some(line) = self.lines.get(self.at).copied() else {
            return Ok(Value::Null);
        };
        match line.text.chars().next() {
            Some('"' | '\'' | '[' | '{') => {
                let mut flow = Flow {
                    parser: self,
                    rest: line.text,
                    least,
                };
                let value = flow.value(depth)?;
                let rest = flow.rest;
                let blank = rest.trim_start();
                if !is_blank(blank) || blank.len() == rest.len() && !rest.is_empty() {
                    return Err(self.wrong("text after the end of a value"));
                }
                self.at += 1;
                Ok(value)
            }
            Some('&' | '*' | '!') => Err(self.wrong("anchors, aliases and tags are not supported")),
            Some('|' | '>' | '%' | '@' | '`') => Err(self.wrong("not a plain value")),
            Some('?') if ends_word(line.text.get(1..).unwrap_or_default()) => {
                Err(self.wrong("not a plain key"))
            }
            _ => self.plain(least),
        }
    }

    fn plain(&mut self, least: usize) -> Result<Value, Error> {
        let mut text = String::new();
        while let Some(line) = self.lines.get(self.at) {
            let line = *line;
            if line.is_blank() || !text.is_empty() && line.indent < least {
                break;
            }
            if line.indent == 0 && matches!(line.text, "---" | "...") {
                break;
            }
            if self.key(line.text)?.is_some() {
                return Err(self.wrong("a key within a value"));
            }
            if !text.is_empty() {
                text.push(' ');
            }
            let (plain, comment) = without_comment(line.text);
            text.push_str(plain);
            self.at += 1;
            if comment {
                break;
            }
        }
        Ok(plain_value(text))
    }

    /// A literal or folded scalar, whose header `text` is on the current line.
    fn block_scalar(&mut self, text: &str, indent: usize) -> Result<Value, Error> {
        let (header, _) = without_comment(text);
        let folded = header.starts_with('>');
        let (mut keep, mut strip, mut columns) = (false, false, None);
        for c in header.chars().skip(1) {
            match c {
                '+' => keep = true,
                '-' => strip = true,
                '1'..='9' => columns = c.to_digit(10).map(|digit| indent + digit as usize),
                _ => return Err(self.wrong("not a header of a block of text")),
            }
        }
        self.at += 1;
        let mut scalar = String::new();
        // Line breaks that are not yet part of the scalar.
        let mut breaks = 0;
        let mut indented_before = true;
        while let (Some(line), Some(raw)) = (self.lines.get(self.at), self.raw.get(self.at)) {
            if line.text.is_empty() {
                breaks += 1;
                self.at += 1;
                continue;
            }
            if line.indent <= indent {
                break;
            }
            let columns = *columns.get_or_insert(line.indent);
            if line.indent < columns {
                break;
            }
            let text = raw.get(columns..).unwrap_or_default();
            let indented = text.starts_with([' ', '\t']);
            // One break between two lines of a paragraph is a space.
            if folded && !indented && !indented_before && breaks > 0 {
                breaks -= 1;
                if breaks == 0 {
                    scalar.push(' ');
                }
            }
            scalar.extend(core::iter::repeat_n('\n', breaks));
            scalar.push_str(text.strip_suffix('\r').unwrap_or(text));
            breaks = 1;
            indented_before = indented;
            self.at += 1;
        }
        if keep {
            scalar.extend(core::iter::repeat_n('\n', breaks));
        } else if !strip && !scalar.is_empty() {
            scalar.push('\n');
        }
        Ok(Value::String(scalar))
    }
}

fn next_of(rest: &mut &str) -> Option<char> {
    let c = rest.chars().next()?;
    *rest = rest.get(c.len_utf8()..)?;
    Some(c)
}

/// Whether a colon before `rest` ends a key.
fn ends_word(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with([' ', '\t'])
}

/// A plain scalar without a comment behind it, and whether there was one.
fn without_comment(text: &str) -> (&str, bool) {
    match [" #", "\t#"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min()
    {
        Some(at) => (text.get(..at).unwrap_or_default().trim_end(), true),
        None => (text, false),
    }
}

fn plain_value(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        _ => Value::String(text),
    }
}

/// A flow collection or a quoted scalar, which may continue on further lines.
struct Flow<'p, 'a> {
    parser: &'p mut Parser<'a>,
    /// What is left of the current line.
    rest: &'a str,
    least: usize,
}

impl Flow<'_, '_> {
    /// The next character; `\n` at the end of a line that is continued.
    fn next_of_all(&mut self, within_quotes: bool) -> Option<char> {
        if let Some(c) = next_of(&mut self.rest) {
            return Some(c);
        }
        let line = *self.parser.lines.get(self.parser.at + 1)?;
        if line.indent < self.least && !line.text.is_empty() && !within_quotes {
            return None;
        }
        self.parser.at += 1;
        self.rest = line.text;
        Some('\n')
    }

    fn first(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Skips blanks, line breaks and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with('#') {
                self.rest = "";
            }
            if !self.rest.is_empty() || self.next_of_all(false).is_none() {
                return;
            }
        }
    }

    fn wrong(&self, what: &str) -> Error {
        self.parser.wrong(what)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        self.parser.count(depth)?;
        match self.first() {
            Some('[') => self.sequence(depth),
            Some('{') => self.mapping(depth),
            Some('"' | '\'') => Ok(Value::String(self.quoted()?)),
            Some('&' | '*' | '!') => Err(self.wrong("anchors, aliases and tags are not supported")),
            _ => Ok(plain_value(self.plain())),
        }
    }

    fn quoted(&mut self) -> Result<String, Error> {
        quoted(self).map_err(|what| self.wrong(what))
    }

    /// A plain scalar of one line.
    fn plain(&mut self) -> String {
        let mut before = ' ';
        let mut end = self.rest.len();
        for (at, c) in self.rest.char_indices() {
            let after = self.rest.get(at + c.len_utf8()..).unwrap_or_default();
            let colon = c == ':' && (ends_word(after) || after.starts_with([',', ']', '}']));
            if matches!(c, ',' | '[' | ']' | '{' | '}') || colon || c == '#' && before == ' ' {
                end = at;
                break;
            }
            before = c;
        }
        let (plain, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        String::from(plain.trim_end())
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, Error> {
        let mut values = Vec::new();
        self.next_of_all(false);
        loop {
            self.skip();
            if self.first() == Some(']') {
                self.next_of_all(false);
                return Ok(Value::Array(values));
            }
            values.push(self.value(depth + 1)?);
            self.separator(']')?;
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, Error> {
        let mut values = Map::new();
        self.next_of_all(false);
        loop {
            self.skip();
            if self.first() == Some('}') {
                self.next_of_all(false);
                return Ok(Value::Object(values));
            }
            let key = match self.first() {
                Some('"' | '\'') => self.quoted()?,
                _ => self.plain(),
            };
            if key.is_empty() {
                return Err(self.wrong("a key is missing"));
            }
            self.parser.keys.push(key.clone());
            self.skip();
            let mut value = Value::Null;
            if self.first() == Some(':') {
                self.next_of_all(false);
                self.skip();
                if !matches!(self.first(), Some(',' | '}')) {
                    value = self.value(depth + 1)?;
                }
            }
            if values.contains_key(&key) {
                return Err(self.wrong(&format!("the key \"{key}\" a second time")));
            }
            values.insert(key, value);
            self.separator('}')?;
        }
    }

    /// Skips the comma behind an element, unless `end` follows.
    fn separator(&mut self, end: char) -> Result<(), Error> {
        self.skip();
        match self.first() {
            Some(',') => {
                self.next_of_all(false);
                Ok(())
            }
            Some(c) if c == end => Ok(()),
            Some(_) => Err(self.wrong("a comma is missing")),
            None => Err(self.wrong(&format!("a {end} is missing"))),
        }
    }
}

/// The characters of a quoted scalar.
trait Characters {
    /// Takes the next one; `\n` at the end of a line that is continued.
    fn next(&mut self) -> Option<char>;

    /// The one that [`Characters::next`] would take.
    fn peek(&self) -> Option<char>;
}

/// Those of one line.
struct OneLine<'t>(&'t str);

impl Characters for OneLine<'_> {
    fn next(&mut self) -> Option<char> {
        next_of(&mut self.0)
    }

    fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }
}

impl Characters for Flow<'_, '_> {
    fn next(&mut self) -> Option<char> {
        self.next_of_all(true)
    }

    fn peek(&self) -> Option<char> {
        let continued = self.parser.lines.len() > self.parser.at + 1;
        self.first().or(continued.then_some('\n'))
    }
}

/// The scalar whose first quote is the next character; an error is what is wrong with it.
fn quoted(characters: &mut dyn Characters) -> Result<String, &'static str> {
    const OPEN: &str = "a quote is missing";
    let quote = characters.next().ok_or(OPEN)?;
    let mut text = String::new();
    loop {
        match characters.next().ok_or(OPEN)? {
            '\'' if quote == '\'' && characters.peek() == Some('\'') => {
                text.push('\'');
                characters.next();
            }
            c if c == quote => return Ok(text),
            '\\' if quote == '"' => match characters.next().ok_or(OPEN)? {
                '\n' => {}
                escape => text.push(unescape(escape, characters).ok_or("not an escape")?),
            },
            '\n' => {
                let kept = text.trim_end_matches([' ', '\t']).len();
                text.truncate(kept);
                let mut breaks = 0;
                while characters.peek() == Some('\n') {
                    characters.next();
                    breaks += 1;
                }
                match breaks {
                    0 => text.push(' '),
                    _ => text.extend(core::iter::repeat_n('\n', breaks)),
                }
            }
            c => text.push(c),
        }
    }
}

/// The character of an escape whose letter was read. A surrogate of JSON that has no second half
/// becomes U+FFFD.
fn unescape(escape: char, characters: &mut dyn Characters) -> Option<char> {
    Some(match escape {
        '"' | '\\' | '/' | ' ' => escape,
        'n' => '\n',
        't' | '\t' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'a' => '\u{7}',
        'e' => '\u{1b}',
        '0' => '\0',
        'x' => char::from_u32(hexadecimal(characters, 2)?)?,
        'u' => {
            let unit = hexadecimal(characters, 4)?;
            if unit & 0xfc00 != 0xd800 {
                return Some(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            if characters.next()? != '\\' || characters.next()? != 'u' {
                return None;
            }
            let low = hexadecimal(characters, 4)?;
            let both = 0x1_0000 + ((unit & 0x3ff) << 10) + (low & 0x3ff);
            let paired = low & 0xfc00 == 0xdc00;
            match paired {
                true => char::from_u32(both)?,
                false => char::REPLACEMENT_CHARACTER,
            }
        }
        'U' => char::from_u32(hexadecimal(characters, 8)?)?,
        _ => return None,
    })
}

fn hexadecimal(characters: &mut dyn Characters, digits: usize) -> Option<u32> {
    let mut number = 0u32;
    for _ in 0..digits {
        number = number << 4 | characters.next()?.to_digit(16)?;
    }
    Some(number)
}

#[cfg(test)]
mod tests;
