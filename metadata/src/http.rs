//! A response of HTTP/1.1, as metadata services send it: on a connection that the server closes.
//!
//! Source: RFC 9112, sections 4 to 7.

use crate::{Error, MAX_DOCUMENT};
use alloc::format;
use alloc::vec::Vec;

/// Maximum number of bytes of the status line and the headers.
const MAX_HEAD: usize = 8 << 10;
/// Maximum number of bytes of the line with the size of a chunk.
const MAX_CHUNK_LINE: usize = 64;
/// Maximum number of bytes of a response, with the lengths of its chunks.
const MAX_RESPONSE: usize = MAX_HEAD + 2 * MAX_DOCUMENT;

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Whether it has the header `Metadata-Flavor: Google`.
    pub of_google: bool,
    /// The body.
    pub body: Vec<u8>,
}

/// How the length of a body is known (RFC 9112, section 6.3).
enum Length {
    Bytes(usize),
    Chunked,
    UntilClose,
}

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The status line and the headers.
    Head,
    /// So many bytes of the body.
    Bytes(usize),
    /// The rest of the body.
    UntilClose,
    /// The line with the size of a chunk (section 7.1).
    Size,
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The line break after a chunk.
    AfterChunk,
    Complete,
}

/// A parser of one response, which looks at each byte once, in whatever pieces they come.
#[derive(Debug)]
pub struct Parser {
    state: State,
    /// The unparsed beginning of the head or of a line.
    line: Vec<u8>,
    /// The number of bytes so far.
    received: usize,
    response: Response,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser before the first byte.
    pub fn new() -> Parser {
        Parser {
            state: State::Head,
            line: Vec::new(),
            received: 0,
            response: Response {
                status: 0,
                of_google: false,
                body: Vec::new(),
            },
        }
    }

    /// Parses what has come since the last call. `None`: more is to come, or the
    /// [end](Parser::end). Bytes after the response are ignored.
    ///
    /// # Errors
    /// One line: what isn't a response, or exceeds a bound.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Option<Response>, Error> {
        self.received = self.received.saturating_add(bytes.len());
        while self.state != State::Complete && !bytes.is_empty() {
            bytes = self.advance(bytes)?;
        }
        if self.state == State::Complete {
            return Ok(Some(self.take()));
        }
        match self.received > MAX_RESPONSE {
            true => Err(too_large()),
            false => Ok(None),
        }
    }

    /// Ends a response: the server has closed the connection.
    ///
    /// # Errors
    /// One line: the response isn't complete.
    pub fn end(mut self) -> Result<Response, Error> {
        match self.state {
            State::UntilClose | State::Complete => Ok(self.take()),
            _ => Err(Error::new("the connection ended before the answer did")),
        }
    }

    fn take(&mut self) -> Response {
        Response {
            body: core::mem::take(&mut self.response.body),
            ..self.response
        }
    }

    /// Parses a part of `bytes`, and returns the rest.
    fn advance<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        let wrong = || Error::new("not a chunk of an answer");
        let (state, rest) = match self.state {
            State::Head => match self.take_until(b"\r\n\r\n", MAX_HEAD, bytes) {
                Taken::All(rest) => {
                    let (status, of_google, length) = head_of(&self.line)?;
                    self.line.clear();
                    self.response.status = status;
                    self.response.of_google = of_google;
                    (body_of(&length)?, rest)
                }
                Taken::Part => return Ok(&[]),
                Taken::TooLong => return Err(Error::new("headers of more than 8 KiB")),
            },
            State::Bytes(len) => match self.take_body(len, bytes)? {
                (0, rest) => (State::Complete, rest),
                (left, rest) => (State::Bytes(left), rest),
            },
            State::UntilClose => {
                let (_, rest) = self.take_body(bytes.len(), bytes)?;
                (State::UntilClose, rest)
            }
            State::Size => match self.take_until(b"\r\n", MAX_CHUNK_LINE, bytes) {
                Taken::All(rest) => {
                    let len = size_of(&self.line).ok_or_else(wrong)?;
                    self.line.clear();
                    if len > MAX_DOCUMENT.saturating_sub(self.response.body.len()) {
                        return Err(too_large());
                    }
                    match len {
                        0 => (State::Complete, rest),
                        len => (State::Chunk(len), rest),
                    }
                }
                Taken::Part => return Ok(&[]),
                Taken::TooLong => return Err(wrong()),
            },
            State::Chunk(len) => match self.take_body(len, bytes)? {
                (0, rest) => (State::AfterChunk, rest),
                (left, rest) => (State::Chunk(left), rest),
            },
            State::AfterChunk => match self.take_until(b"\r\n", 2, bytes) {
                Taken::All(rest) => {
                    self.line.clear();
                    (State::Size, rest)
                }
                Taken::Part => return Ok(&[]),
                Taken::TooLong => return Err(wrong()),
            },
            State::Complete => (State::Complete, bytes),
        };
        self.state = state;
        Ok(rest)
    }

    /// Appends to the body; how many of `len` bytes are missing, and the rest.
    fn take_body<'a>(&mut self, len: usize, bytes: &'a [u8]) -> Result<(usize, &'a [u8]), Error> {
        let (part, rest) = bytes
            .split_at_checked(len)
            .unwrap_or((bytes, Default::default()));
        if part.len() > MAX_DOCUMENT.saturating_sub(self.response.body.len()) {
            return Err(too_large());
        }
        self.response.body.extend_from_slice(part);
        Ok((len - part.len(), rest))
    }

    /// Appends to the line, up to and with `end`, and at most `max` bytes.
    fn take_until<'a>(&mut self, end: &[u8], max: usize, bytes: &'a [u8]) -> Taken<'a> {
        let before = self.line.len();
        let part = bytes.get(..max.saturating_sub(before)).unwrap_or(bytes);
        self.line.extend_from_slice(part);
        // Its first bytes may have come before.
        let from = before.saturating_sub(end.len() - 1);
        let new = self.line.get(from..).unwrap_or_default();
        match new.windows(end.len()).position(|bytes| bytes == end) {
            Some(at) => {
                let len = from + at + end.len();
                self.line.truncate(len);
                Taken::All(bytes.get(len - before..).unwrap_or_default())
            }
            None if self.line.len() >= max => Taken::TooLong,
            None => Taken::Part,
        }
    }
}

/// What became of a line.
enum Taken<'a> {
    /// It is complete; the rest.
    All(&'a [u8]),
    /// Its end is missing.
    Part,
    TooLong,
}

fn body_of(length: &Length) -> Result<State, Error> {
    match length {
        Length::Bytes(0) => Ok(State::Complete),
        Length::Bytes(len) if *len > MAX_DOCUMENT => Err(too_large()),
        Length::Bytes(len) => Ok(State::Bytes(*len)),
        Length::Chunked => Ok(State::Size),
        Length::UntilClose => Ok(State::UntilClose),
    }
}

/// The size in the line before a chunk, without its extensions.
fn size_of(line: &[u8]) -> Option<usize> {
    let digits = line.split(|byte| matches!(byte, b';' | b'\r')).next()?;
    usize::from_str_radix(core::str::from_utf8(digits).ok()?.trim(), 16).ok()
}

fn too_large() -> Error {
    Error::new("a response larger than 256 KiB")
}

/// The status, the flavor, and the length of the body.
fn head_of(head: &[u8]) -> Result<(u16, bool, Length), Error> {
    let wrong = || Error::new("not an HTTP/1.1 response");
    let head = core::str::from_utf8(head).map_err(|_| wrong())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| {
        let rest = line.strip_prefix("HTTP/1.")?.get(1..)?.strip_prefix(' ')?;
        let status: u16 = rest.split(' ').next()?.parse().ok()?;
        (200..600).contains(&status).then_some(status)
    });
    let status = status.ok_or_else(wrong)?;
    let mut of_google = false;
    let mut length = match status {
        204 | 304 => Length::Bytes(0),
        _ => Length::UntilClose,
    };
    let fixed = matches!(length, Length::Bytes(_));
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("metadata-flavor") {
            of_google = value == "Google";
        } else if name.eq_ignore_ascii_case("transfer-encoding") && !fixed {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(Error::new(format!(
                    "the transfer encoding {value} is not supported"
                )));
            }
            length = Length::Chunked;
        } else if name.eq_ignore_ascii_case("content-length") && !fixed {
            let given: usize = value.parse().map_err(|_| wrong())?;
            match length {
                // Chunks take precedence, in whatever order the headers are.
                Length::Chunked => {}
                Length::Bytes(other) if other != given => return Err(wrong()),
                _ => length = Length::Bytes(given),
            }
        }
    }
    Ok((status, of_google, length))
}

#[cfg(test)]
mod tests {
    use super::{Error, MAX_HEAD, Parser, Response, State};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn response(status: u16, body: &str) -> Response {
        Response {
            status,
            of_google: false,
            body: body.into(),
        }
    }

    /// The result of `pieces`; `closed`: nothing follows.
    fn parse<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        closed: bool,
    ) -> Result<Option<Response>, Error> {
        let mut parser = Parser::new();
        for piece in pieces {
            if let Some(response) = parser.push(piece)? {
                return Ok(Some(response));
            }
        }
        match closed {
            true => parser.end().map(Some),
            false => Ok(None),
        }
    }

    #[test]
    fn the_length_is_given_or_chunked_or_ends_with_the_connection() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\ntransfer-encoding: Chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n",
            "HTTP/1.0 200 OK\r\n\r\nhello",
        ] {
            let closed = parse([text.as_bytes()], true);
            assert_eq!(closed, Ok(Some(response(200, "hello"))), "{text}");
            let bytes = parse(text.as_bytes().chunks(1), true);
            assert_eq!(bytes, closed, "{text}");
            let early = &text.as_bytes()[..text.find("llo").unwrap() + 1];
            assert_eq!(parse([early], false), Ok(None), "{text}");
            if text.contains("HTTP/1.1") {
                let error = parse([early], true).unwrap_err().to_string();
                assert_eq!(error, "the connection ended before the answer did");
            }
        }
        let empty: &[u8] = b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(parse([empty], false), Ok(Some(response(204, ""))));
        let google: &[u8] =
            b"HTTP/1.1 404 NO\r\nmetadata-flavor: Google\r\nContent-Length: 0\r\n\r\n";
        assert!(parse([google], false).unwrap().unwrap().of_google);
    }

    #[test]
    fn what_is_no_response_or_too_large_is_refused() {
        let of = |text: &str| {
            let whole = parse([text.as_bytes()], false).expect_err(text).to_string();
            let pieces = parse(text.as_bytes().chunks(7), false);
            assert_eq!(pieces.expect_err(text).to_string(), whole);
            whole
        };
        for text in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 99 OK\r\n\r\n",
            "HTTP/1.1 99999 OK\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert_eq!(of(text), "not an HTTP/1.1 response");
        }
        let ok = "HTTP/1.1 200 OK\r\n";
        let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
        for text in [
            format!("{ok}Content-Length: 262145\r\n\r\n"),
            format!("{ok}Content-Length: 1\r\n\r\n").replace(": 1", ": 18446744073709551615"),
            format!("{ok}\r\n{}", "x".repeat(262_145)),
            format!("{chunked}ffffffffffffffff\r\n"),
            chunked.clone() + &format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(65),
            // Sizes take as much as what they are of.
            chunked.clone() + &format!("1;{}\r\nx\r\n", "y".repeat(50)).repeat(10_000),
        ] {
            assert_eq!(of(&text), "a response larger than 256 KiB");
        }
        assert_eq!(of(&"x".repeat(9000)), "headers of more than 8 KiB");
        for chunk in ["x\r\n", "\r\n", "1\r\nabc", &"1".repeat(80)] {
            let text = format!("{chunked}{chunk}");
            assert_eq!(of(&text), "not a chunk of an answer", "{chunk}");
        }
    }

    /// A parser that began again at each piece would keep what it has parsed.
    #[test]
    fn nothing_is_parsed_twice() {
        let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "y".repeat(MAX_HEAD - 100));
        let chunk = format!("10;x\r\n{}\r\n", "x".repeat(16));
        let text = head + "Transfer-Encoding: chunked\r\n\r\n" + &chunk.repeat(10_000) + "0\r\n";
        let mut parser = Parser::new();
        let mut last = None;
        for byte in text.as_bytes().chunks(1) {
            last = parser.push(byte).unwrap();
            let max = match parser.state {
                State::Head => MAX_HEAD,
                _ => "10;x\r\n".len(),
            };
            assert!(parser.line.len() <= max, "{} bytes", parser.line.len());
        }
        assert_eq!(last.unwrap().body.len(), 160_000);
    }

    proptest! {
        #[test]
        fn accepts_anything_in_any_pieces(
            head in "(HTTP/1.1 200 OK\r\n)?([A-Za-z-]{1,20}: [a-z0-9]{0,8}\r\n){0,3}\
                     (transfer-encoding: chunked\r\n)?\r\n",
            chunks in "([0-9a-f]{1,2}\r\n[a-f]{0,20}\r\n){0,4}",
            body in proptest::collection::vec(any::<u8>(), 0..100),
            size in 1..20_usize,
            closed: bool,
        ) {
            for text in [
                [head.as_bytes(), &body].concat(),
                [head.as_bytes(), chunks.as_bytes(), &body].concat(),
                body,
            ] {
                let whole = parse([text.as_slice()], closed);
                prop_assert_eq!(parse(text.chunks(size), closed), whole);
            }
        }
    }
}
