//! A response of HTTP/1.1, as metadata services send it: whole, in memory, on a connection that the
//! server closes.
//!
//! Source: RFC 9112, sections 4 to 7.

use crate::{Error, MAX_DOCUMENT};
use alloc::format;
use alloc::vec::Vec;

/// Maximum number of bytes of the status line and the headers.
const MAX_HEAD: usize = 8 << 10;
/// Maximum number of bytes of a response, with the lengths of its chunks.
pub const MAX_RESPONSE: usize = MAX_HEAD + 2 * MAX_DOCUMENT;

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

/// Parses a response that may still be incomplete, which is `None`; `closed` means that nothing
/// follows.
///
/// # Errors
/// One line: what isn't a response, or exceeds a bound.
pub fn parse(bytes: &[u8], closed: bool) -> Result<Option<Response>, Error> {
    let start = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    let Some(end) = start.windows(4).position(|end| end == b"\r\n\r\n") else {
        return match (bytes.len() > MAX_HEAD, closed) {
            (true, _) => Err(Error::new("headers of more than 8 KiB")),
            (false, true) => Err(cut_off()),
            (false, false) => Ok(None),
        };
    };
    let (head, rest) = bytes.split_at_checked(end + 4).unwrap_or_default();
    let (status, of_google, length) = head_of(head)?;
    let body = match length {
        Length::Bytes(len) if len > MAX_DOCUMENT => return Err(too_large()),
        Length::Bytes(len) => rest.get(..len).map(Vec::from),
        Length::Chunked => chunked(rest)?,
        Length::UntilClose if rest.len() > MAX_DOCUMENT => return Err(too_large()),
        Length::UntilClose => closed.then(|| Vec::from(rest)),
    };
    match body {
        Some(body) => Ok(Some(Response {
            status,
            of_google,
            body,
        })),
        None if closed => Err(cut_off()),
        None if bytes.len() > MAX_RESPONSE => Err(too_large()),
        None => Ok(None),
    }
}

fn cut_off() -> Error {
    Error::new("the connection ended before the answer did")
}

fn too_large() -> Error {
    Error::new("an answer of more than 256 KiB")
}

/// The status, the flavor, and the length of the body.
fn head_of(head: &[u8]) -> Result<(u16, bool, Length), Error> {
    let wrong = || Error::new("not an answer of HTTP/1.1");
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

/// The body of chunks (section 7.1); `None` while some are missing.
fn chunked(mut rest: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let wrong = || Error::new("not a chunk of an answer");
    let mut body = Vec::new();
    loop {
        let line = rest.get(..64).unwrap_or(rest);
        let Some(end) = line.windows(2).position(|end| end == b"\r\n") else {
            return match rest.len() >= 64 {
                true => Err(wrong()),
                false => Ok(None),
            };
        };
        let (line, after) = rest.split_at_checked(end + 2).unwrap_or_default();
        let digits = line.split(|byte| matches!(byte, b';' | b'\r')).next();
        let digits = core::str::from_utf8(digits.unwrap_or_default()).map_err(|_| wrong())?;
        let len = usize::from_str_radix(digits.trim(), 16).map_err(|_| wrong())?;
        if len == 0 {
            return Ok(Some(body));
        }
        if len > MAX_DOCUMENT || body.len() + len > MAX_DOCUMENT {
            return Err(too_large());
        }
        let Some((chunk, after)) = after.split_at_checked(len) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        match after.split_at_checked(2) {
            Some((b"\r\n", after)) => rest = after,
            Some(_) => return Err(wrong()),
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Response, parse};
    use proptest::prelude::{any, proptest};

    fn response(status: u16, body: &str) -> Response {
        Response {
            status,
            of_google: false,
            body: body.into(),
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
            let closed = parse(text.as_bytes(), true);
            assert_eq!(closed, Ok(Some(response(200, "hello"))), "{text}");
            let early = text.find("llo").unwrap() + 1;
            assert_eq!(parse(&text.as_bytes()[..early], false), Ok(None), "{text}");
            if text.contains("HTTP/1.1") {
                assert!(parse(&text.as_bytes()[..early], true).is_err(), "{text}");
            }
        }
        let empty = parse(
            b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
            false,
        );
        assert_eq!(empty, Ok(Some(response(204, ""))));
        let google = parse(
            b"HTTP/1.1 404 NO\r\nmetadata-flavor: Google\r\nContent-Length: 0\r\n\r\n",
            false,
        );
        assert!(google.unwrap().unwrap().of_google);
    }

    #[test]
    fn what_is_no_response_or_too_large_is_refused() {
        let of = |text: &str| parse(text.as_bytes(), false).expect_err(text).to_string();
        for text in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 99 OK\r\n\r\n",
            "HTTP/1.1 99999 OK\r\n\r\n",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ] {
            assert_eq!(of(text), "not an answer of HTTP/1.1");
        }
        let ok = "HTTP/1.1 200 OK\r\n";
        for text in [
            format!("{ok}Content-Length: 262145\r\n\r\n"),
            format!("{ok}Content-Length: 1\r\n\r\n").replace(": 1", ": 18446744073709551615"),
            format!("{ok}\r\n{}", "x".repeat(262_145)),
            format!("{ok}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
            format!(
                "{ok}Transfer-Encoding: chunked\r\n\r\n{}",
                "1000\r\n".to_string() + &"x".repeat(4096) + "\r\n"
            )
            .repeat(1)
                + &format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(64),
        ] {
            assert_eq!(of(&text), "an answer of more than 256 KiB");
        }
        assert_eq!(of(&"x".repeat(9000)), "headers of more than 8 KiB");
        for chunk in ["x\r\n", "\r\n", "1\r\nabc", &"1".repeat(80)] {
            let text = format!("{ok}Transfer-Encoding: chunked\r\n\r\n{chunk}");
            assert_eq!(of(&text), "not a chunk of an answer", "{chunk}");
        }
    }

    proptest! {
        #[test]
        fn accepts_anything(
            head in "(HTTP/1.1 200 OK\r\n)?([A-Za-z-]{1,20}: [a-z0-9]{0,8}\r\n){0,3}\r\n",
            body in proptest::collection::vec(any::<u8>(), 0..100),
            closed: bool,
        ) {
            let _ = parse(&[head.as_bytes(), &body].concat(), closed);
            let _ = parse(&body, closed);
        }
    }
}
