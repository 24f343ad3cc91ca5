//! User data: cloud-init's formats, of which the key `soil` of a `#cloud-config` is for the
//! program.
//!
//! User data is a `#cloud-config`, or a MIME multipart message with such parts. Scripts, includes,
//! other keys and everything else are for a Linux distribution: they are ignored.
//!
//! Sources: cloud-init's documentation, "User-data formats"; RFC 2045, section 6.7 and RFC 2046,
//! section 5.1. Where messages violate them, Python's `email`, by which cloud-init reads them.

use crate::value::{list, text, text_at};
use crate::{Error, MAX_DOCUMENT, base64, yaml};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::Value;

/// Maximum depth of multipart messages in multipart messages.
const MAX_DEPTH: usize = 4;
/// Maximum number of parts of all of them.
const MAX_PARTS: usize = 64;
/// Maximum number of bytes of the headers of a part.
const MAX_HEADERS: usize = 8 << 10;
/// Maximum number of arguments, of environment variables and of files.
const MAX_ENTRIES: usize = 256;
/// Maximum number of bytes of all arguments and variables: they are on the program's stack.
const MAX_WORDS: usize = 64 << 10;
/// Maximum number of bytes of the contents of all files.
const MAX_FILES: usize = 256 << 10;
/// Maximum number of bytes of a file's path.
const MAX_PATH: usize = 255;
/// Variables that select the metadata itself.
const RESERVED: &str = "SOIL_METADATA";

/// The program's section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Arguments: what follows `--` on a command line.
    pub arguments: Vec<String>,
    /// Environment variables and their values, in the order of the names.
    pub environment: Vec<(String, String)>,
    /// Files, in the order of the document; no two have the same path.
    pub files: Vec<File>,
}

/// A file for the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// A relative path: names with single slashes between them, none of them `.` or `..`.
    pub path: String,
    /// Its contents.
    pub contents: Vec<u8>,
}

/// Reads the program's section of user data; `ignore` gets what is ignored.
pub fn read(user_data: &[u8], ignore: &mut dyn FnMut(String)) -> Program {
    let mut reader = Reader {
        program: Program::default(),
        parts: 0,
        ignore,
    };
    if user_data.len() > MAX_DOCUMENT {
        reader.ignore("user data of more than 256 KiB");
    } else {
        reader.part(user_data, None, 0);
    }
    reader.program
}

struct Reader<'a> {
    program: Program,
    parts: usize,
    ignore: &'a mut dyn FnMut(String),
}

/// The headers of a MIME part, as far as they matter here.
#[derive(Default)]
struct Headers<'a> {
    /// The media type, and the line's parameters.
    content_type: Option<&'a str>,
    encoding: Option<&'a str>,
}

impl Reader<'_> {
    fn ignore(&mut self, what: &str) {
        (self.ignore)(String::from(what));
    }

    /// Reads user data, or a part of it, whose media type is known if it is in a message.
    fn part(&mut self, bytes: &[u8], media: Option<&str>, depth: usize) {
        if depth > MAX_DEPTH || self.parts >= MAX_PARTS {
            return self.ignore("user data with too many parts");
        }
        self.parts += 1;
        let media = media.unwrap_or("text/plain");
        if starts_with(media, "multipart/") {
            return self.multipart(bytes, media, depth);
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let first = bytes.trim_ascii_start();
        let begins = |word: &str| first.starts_with(word.as_bytes());
        let kind = media.split(';').next().unwrap_or_default().trim();
        let is_cloud_config = kind.eq_ignore_ascii_case("text/cloud-config");
        if begins("#cloud-config\n")
            || begins("#cloud-config\r")
            || begins("#cloud-config ")
            || first == b"#cloud-config"
            || is_cloud_config
        {
            return self.cloud_config(first);
        }
        if depth == 0
            && let Some((headers, body)) = headers(without_envelope(first))
        {
            return self.message(&headers, body, depth);
        }
        let what = match media {
            _ if begins("## template: jinja") => "a template (## template: jinja) in user data",
            _ if begins("#!") => "a script (#!) in user data",
            _ if begins("#include") => "an #include in user data",
            _ if begins("#cloud-") => "a #cloud- format other than #cloud-config in user data",
            _ if first.starts_with(&[0x1f, 0x8b]) => "compressed user data",
            _ if media == "text/plain" => "user data that is no #cloud-config",
            other => return (self.ignore)(format!("a part of user data of type {other}")),
        };
        self.ignore(what);
    }

    /// Reads the body of a part with headers.
    fn message(&mut self, headers: &Headers, body: &[u8], depth: usize) {
        let encoding = headers.encoding.unwrap_or("7bit").trim();
        let is = |name: &str| encoding.eq_ignore_ascii_case(name);
        let decoded;
        let body = if is("base64") {
            let Some(bytes) = base64::decode(body) else {
                return self.ignore("a part of user data that is not valid base64");
            };
            decoded = bytes;
            &decoded[..]
        } else if is("quoted-printable") {
            decoded = of_quoted_printable(body);
            &decoded[..]
        } else if is("7bit") || is("8bit") || is("binary") {
            body
        } else {
            return (self.ignore)(format!("a part of user data in the encoding {encoding}"));
        };
        self.part(
            body,
            Some(headers.content_type.unwrap_or("text/plain")),
            depth + 1,
        );
    }

    fn multipart(&mut self, body: &[u8], media: &str, depth: usize) {
        let Some(boundary) = parameter(media, "boundary").filter(|boundary| !boundary.is_empty())
        else {
            return self.ignore("a multipart message without a boundary in user data");
        };
        // The start of the current part; `None` before the first one.
        let mut start = None;
        for (at, line) in lines(body) {
            let Some(rest) = line.strip_prefix(b"--").and_then(|line| {
                let rest = line.strip_prefix(boundary.as_bytes())?;
                matches!(rest.trim_ascii(), b"" | b"--").then_some(rest.trim_ascii())
            }) else {
                continue;
            };
            if let Some(part) = start.and_then(|start| body.get(start..at)) {
                self.enclosed(part, depth);
            }
            if rest == b"--" {
                return;
            }
            start = Some(at + line.len());
        }
        // Without the last boundary the part ends with the message.
        self.ignore("the end of a multipart message in user data: its last boundary is missing");
        if let Some(part) = start.and_then(|start| body.get(start..)) {
            self.enclosed(part, depth);
        }
    }

    /// Reads a part of a multipart message.
    fn enclosed(&mut self, part: &[u8], depth: usize) {
        match headers(part) {
            Some((headers, body)) => self.message(&headers, body, depth),
            None => self.part(part, None, depth + 1),
        }
    }

    fn cloud_config(&mut self, document: &[u8]) {
        let (section, others) = match section(document) {
            Ok(found) => found,
            Err(error) => return (self.ignore)(format!("{}", error.within("user data"))),
        };
        if !others.is_empty() {
            let others = others.join(", ");
            (self.ignore)(format!("cloud-config keys that are not Soil's: {others}"));
        }
        let Some(section) = section else {
            return;
        };
        match of_section(&section).and_then(|program| self.merged(program)) {
            Ok(program) => self.program = program,
            Err(error) => (self.ignore)(format!("{}", error.within("user data: soil"))),
        }
    }

    /// The program's section with that of a later part, which takes precedence.
    fn merged(&self, later: Program) -> Result<Program, Error> {
        let mut program = self.program.clone();
        if !later.arguments.is_empty() {
            program.arguments = later.arguments;
        }
        program
            .environment
            .retain(|(name, _)| later.environment.iter().all(|(new, _)| new != name));
        program.environment.extend(later.environment);
        program
            .files
            .retain(|file| later.files.iter().all(|new| new.path != file.path));
        program.files.extend(later.files);
        check(&program)?;
        Ok(program)
    }
}

/// Refuses a section that is too large.
fn check(program: &Program) -> Result<(), Error> {
    let pairs = program.environment.iter();
    let words = pairs
        .flat_map(|(name, value)| [name, value])
        .chain(&program.arguments);
    if words.map(|word| word.len() + 1).sum::<usize>() > MAX_WORDS {
        return Err(Error::new("arguments and environment of more than 64 KiB"));
    }
    let sizes = program.files.iter().map(|file| file.contents.len());
    if sizes.sum::<usize>() > MAX_FILES {
        return Err(Error::new("files of more than 256 KiB"));
    }
    for (what, count) in [
        ("arguments", program.arguments.len()),
        ("environment", program.environment.len()),
        ("files", program.files.len()),
    ] {
        if count > MAX_ENTRIES {
            return Err(Error::new(format!("{what} has more than 256 entries")));
        }
    }
    Ok(())
}

/// The key `soil` of a `#cloud-config`, and the names of the others. Only that key is parsed, so
/// the others may use all of YAML; JSON is parsed as a whole.
fn section(document: &[u8]) -> Result<(Option<Value>, Vec<String>), Error> {
    let mut contents = lines(document).map(|(_, line)| line.trim_ascii_start());
    let first = contents.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    if first.is_some_and(|line| line.starts_with(b"{")) {
        let value = yaml::parse(document)?;
        let keys = value.as_object().into_iter().flatten();
        let others = keys.map(|(key, _)| key.clone());
        let others = others.filter(|key| key != "soil").take(MAX_ENTRIES);
        return Ok((value.get("soil").cloned(), others.collect()));
    }
    let mut others = Vec::new();
    let mut found: Option<(usize, usize)> = None;
    let mut open = false;
    for (at, line) in lines(document) {
        let begins_key = line.first().is_some_and(|byte| {
            !matches!(
                byte,
                b' ' | b'\t' | b'\r' | b'\n' | b'#' | b'-' | b'}' | b']' | b'.'
            )
        });
        if !begins_key {
            continue;
        }
        if open && let Some((_, end)) = &mut found {
            *end = at;
        }
        open = false;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let key = line.get(..colon).unwrap_or_default().trim_ascii();
        let unquoted = |quote: &[u8]| key.strip_prefix(quote)?.strip_suffix(quote);
        let key = unquoted(b"\"").or_else(|| unquoted(b"'")).unwrap_or(key);
        if key == b"soil" {
            if found.is_some() {
                return Err(Error::new("the key \"soil\" a second time"));
            }
            found = Some((at, document.len()));
            open = true;
        } else if others.len() < MAX_ENTRIES {
            others.push(String::from_utf8_lossy(key).into_owned());
        }
    }
    let (Some(text), Some(before)) = (
        found.and_then(|(start, end)| document.get(start..end)),
        found.and_then(|(start, _)| document.get(..start)),
    ) else {
        return Ok((None, others));
    };
    let value = yaml::parse_part(text, lines(before).count());
    let value = value.map_err(|error| error.within("soil"))?;
    Ok((value.get("soil").cloned(), others))
}

fn of_section(section: &Value) -> Result<Program, Error> {
    let mut program = Program::default();
    let Some(keys) = section.as_object() else {
        return match section.is_null() {
            true => Ok(program),
            false => Err(Error::new("not a mapping")),
        };
    };
    for key in keys.keys() {
        if !matches!(key.as_str(), "arguments" | "environment" | "files") {
            return Err(Error::new(format!(
                "unknown key \"{key}\": give arguments, environment or files"
            )));
        }
    }
    let word = |text: &str| match text.contains('\0') {
        true => Err(Error::new("a word contains a NUL")),
        false => Ok(()),
    };
    for argument in entries(section, "arguments")? {
        let argument = text(argument).ok_or_else(|| Error::new("an argument is not a scalar"))?;
        word(&argument)?;
        program.arguments.push(argument);
    }
    let environment = section.get("environment").filter(|value| !value.is_null());
    if let Some(environment) = environment {
        let variables = environment.as_object();
        let variables = variables.ok_or_else(|| Error::new("environment is not a mapping"))?;
        for (name, value) in variables {
            let value = match value {
                Value::Null => String::new(),
                value => text(value)
                    .ok_or_else(|| Error::new(format!("the value of {name} is not a scalar")))?,
            };
            if !is_variable(name) || name == RESERVED {
                return Err(Error::new(format!(
                    "\"{name}\" is not a variable that can be set"
                )));
            }
            word(&value)?;
            program.environment.push((name.clone(), value));
        }
    }
    for file in entries(section, "files")? {
        let file = of_file(file)?;
        if program.files.iter().any(|other| other.path == file.path) {
            return Err(Error::new(format!(
                "the file \"{}\" a second time",
                file.path
            )));
        }
        program.files.push(file);
    }
    Ok(program)
}

/// The entries of a list; not too many, because a search for duplicates follows.
fn entries<'a>(section: &'a Value, key: &str) -> Result<&'a [Value], Error> {
    let entries = list(section, key);
    if section
        .get(key)
        .is_some_and(|value| !value.is_array() && !value.is_null())
    {
        return Err(Error::new(format!("{key} is not a list")));
    }
    if entries.len() > MAX_ENTRIES {
        return Err(Error::new(format!("{key} has more than 256 entries")));
    }
    Ok(entries)
}

fn of_file(file: &Value) -> Result<File, Error> {
    let path = text_at(file, "path").ok_or_else(|| Error::new("a file has no path"))?;
    let is_name = |name: &str| !matches!(name, "" | "." | "..");
    let valid = !path.contains(['\0', '\\']) && path.len() <= MAX_PATH;
    if !valid || !path.split('/').all(is_name) {
        return Err(Error::new(format!(
            "\"{path}\" is not a path relative to the folder of files"
        )));
    }
    let content = text_at(file, "content").unwrap_or_default();
    let encoding = text_at(file, "encoding");
    let contents = match encoding.as_deref() {
        None | Some("text/plain") => content.into_bytes(),
        Some("b64" | "base64") => base64::decode(content.as_bytes())
            .ok_or_else(|| Error::new(format!("the content of \"{path}\" is not base64")))?,
        Some(other) => {
            return Err(Error::new(format!(
                "the encoding \"{other}\" of \"{path}\" is unknown; give b64 or none"
            )));
        }
    };
    Ok(File { path, contents })
}

/// Whether `name` can be a variable's (POSIX, XBD 8.1).
fn is_variable(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Lines with their line breaks, and their offsets.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(move |line| {
            let start = at;
            at += line.len();
            (start, line)
        })
}

/// The headers at the start of a part, and its body; `None` if it doesn't begin with headers.
fn headers(part: &[u8]) -> Option<(Headers<'_>, &[u8])> {
    let mut headers = Headers::default();
    let mut last = None;
    for (at, line) in lines(part) {
        let rest = part.get(at + line.len()..)?;
        if line.trim_ascii().is_empty() {
            return last.map(|_| (headers, rest));
        }
        if at + line.len() > MAX_HEADERS {
            return None;
        }
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        let start = match last {
            Some(start) if folded => start,
            _ if folded => return None,
            _ => at,
        };
        // A folded header is one text from its first line on.
        let text = core::str::from_utf8(part.get(start..at + line.len())?).ok()?;
        let (name, value) = text.split_once(':')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        if name.eq_ignore_ascii_case("content-type") {
            headers.content_type = Some(value.trim());
        } else if name.eq_ignore_ascii_case("content-transfer-encoding") {
            headers.encoding = Some(value.trim());
        }
        last = Some(start);
    }
    None
}

/// Whether `text` begins with `word`, in any case.
fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// A message without the line `From SENDER TIME` of a mailbox, which `make-mime` writes as well.
fn without_envelope(message: &[u8]) -> &[u8] {
    match lines(message).next() {
        Some((_, line)) if line.starts_with(b"From ") => {
            message.get(line.len()..).unwrap_or_default()
        }
        _ => message,
    }
}

/// Decodes quoted-printable (RFC 2045, section 6.7). What isn't valid stays as it is.
fn of_quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    for (_, line) in lines(text) {
        let blanks = b" \t\r\n";
        let kept = line.iter().rposition(|byte| !blanks.contains(byte));
        let kept = kept.map_or(0, |last| last + 1);
        let (mut rest, is_soft) = match line.get(..kept).unwrap_or_default() {
            [rest @ .., b'='] => (rest, true),
            rest => (rest, false),
        };
        while let [first, after @ ..] = rest {
            let digits = after.get(..2).filter(|_| *first == b'=');
            let digits = digits.and_then(|digits| core::str::from_utf8(digits).ok());
            let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
            match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) => {
                    decoded.push(byte);
                    rest = after.get(2..).unwrap_or_default();
                }
                None => {
                    decoded.push(*first);
                    rest = after;
                }
            }
        }
        if !is_soft && line.ends_with(b"\n") {
            decoded.push(b'\n');
        }
    }
    decoded
}

/// The value of a parameter of a header (RFC 2045, section 5.1).
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (found, value) = rest.split_once('=')?;
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let (mut value, mut chars) = (String::new(), quoted.chars());
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    value.push(if c == '\\' { chars.next()? } else { c });
                }
                (value, chars.as_str())
            }
            None => {
                let (value, after) = value.split_once(';').unwrap_or((value, ""));
                (String::from(value.trim()), after)
            }
        };
        if found
            .trim_matches([';', ' ', '\t', '\r', '\n'])
            .eq_ignore_ascii_case(name)
        {
            return Some(value);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests;
