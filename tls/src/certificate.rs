//! The parts of an X.509 certificate that identify it to people (RFC 5280).
//!
//! For messages, and for the time after which sessions aren't resumed: webpki decides whether a
//! certificate is valid.

use crate::der::Der;
use crate::key::Unsupported;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Maximum length of names in messages, in bytes; longer ones are truncated.
const MAX_NAME: usize = 200;

/// The parts of a certificate that messages name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The subject, as "CN=www.example.com, O=Example", with values escaped by RFC 4514.
    pub subject: String,
    /// The issuer, in the same form.
    pub issuer: String,
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// The beginning of its validity, as "2026-01-31 12:00:00 UTC".
    pub not_before: String,
    /// The end of its validity, in the same form.
    pub not_after: String,
    /// It is a certification authority's (basicConstraints).
    pub authority: bool,
    /// The kind of its key, if that isn't supported.
    pub(crate) key: Option<Unsupported>,
}

impl Summary {
    /// The summary of a certificate in DER; `None` if it isn't one.
    pub fn of(der: &[u8]) -> Option<Summary> {
        let mut certificate = Der(Der(der).sequence()?);
        let mut body = Der(certificate.sequence()?);
        body.optional(VERSION);
        let serial = hexadecimal(body.expect_tag(INTEGER)?);
        body.sequence()?;
        let issuer = name(body.sequence()?);
        let mut validity = Der(body.sequence()?);
        let not_before = time(validity.next()?)?;
        let not_after = time(validity.next()?)?;
        let subject = name(body.sequence()?);
        let mut key = Der(body.sequence()?);
        let key = Unsupported::of_algorithm(key.sequence()?);
        let mut authority = false;
        while let Some((tag, contents)) = body.next() {
            if tag == EXTENSIONS {
                authority = is_authority(contents).unwrap_or(false);
            }
        }
        Some(Summary {
            subject,
            issuer,
            serial,
            not_before,
            not_after,
            authority,
            key,
        })
    }

    /// Whether subject and issuer are the same.
    pub fn self_signed(&self) -> bool {
        self.subject == self.issuer
    }
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// Attribute types in messages (X.520), in their order.
const ATTRIBUTES: [(&[u8], &str); 4] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
];

/// The text of a distinguished name.
fn name(der: &[u8]) -> String {
    let mut found: [Option<String>; ATTRIBUTES.len()] = Default::default();
    let mut sets = Der(der);
    while let Some(set) = sets.expect_tag(SET) {
        let Some(mut attribute) = Der(set).sequence().map(Der) else {
            continue;
        };
        let (Some(kind), Some((_, value))) = (attribute.object_identifier(), attribute.next())
        else {
            continue;
        };
        for ((oid, _), place) in ATTRIBUTES.iter().zip(&mut found) {
            if *oid == kind && place.is_none() {
                *place = Some(text(value));
            }
        }
    }
    let known = ATTRIBUTES.iter().zip(found);
    let parts: Vec<String> = known
        .filter_map(|((_, label), value)| Some(format!("{label}={}", value?)))
        .collect();
    if parts.is_empty() {
        "(no name)".to_string()
    } else {
        parts.join(", ")
    }
}

/// A peer's text, truncated, with a question mark for each control character, and escaped as a
/// value of a distinguished name (RFC 4514, 2.4): its contents can't be mistaken for another
/// attribute.
fn text(value: &[u8]) -> String {
    let cut = value.get(..MAX_NAME).unwrap_or(value);
    let shown = |c: char| if c.is_control() { '?' } else { c };
    let text: String = String::from_utf8_lossy(cut).chars().map(shown).collect();
    let mut escaped = String::with_capacity(text.len());
    let last = text.char_indices().last().map(|(at, _)| at);
    for (at, c) in text.char_indices() {
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || at == 0 && c == '#'
            || c == ' ' && (at == 0 || Some(at) == last);
        if special {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(20) {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// The text of a UTCTime or a GeneralizedTime (RFC 5280, 4.1.2.5).
fn time((tag, value): (u8, &[u8])) -> Option<String> {
    let digits = core::str::from_utf8(value.strip_suffix(b"Z")?).ok()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (century, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) if digits < "50" => ("20", digits),
        (UTC_TIME, 12) => ("19", digits),
        (GENERALIZED_TIME, 14) => digits.split_at(2),
        _ => return None,
    };
    let part = |from: usize| rest.get(from..from + 2).unwrap_or_default();
    let [year, month, day, hour, minute, second] = [0, 2, 4, 6, 8, 10].map(part);
    Some(format!(
        "{century}{year}-{month}-{day} {hour}:{minute}:{second} UTC"
    ))
}

/// Whether basicConstraints marks an authority's certificate.
fn is_authority(extensions: &[u8]) -> Option<bool> {
    const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
    let mut list = Der(Der(extensions).sequence()?);
    while let Some(extension) = list.sequence() {
        let mut extension = Der(extension);
        if extension.object_identifier()? != BASIC_CONSTRAINTS {
            continue;
        }
        extension.optional(BOOLEAN);
        let mut value = Der(Der(extension.expect_tag(OCTET_STRING)?).sequence()?);
        return Some(value.expect_tag(BOOLEAN) == Some(&[0xff]));
    }
    None
}

/// The text of a time in seconds since 1970.
pub fn format_time(seconds: u64) -> String {
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Years begin in March here, so that a leap day is the last of its year (Hinnant,
    // "chrono-Compatible Low-Level Date Algorithms").
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::{Summary, format_time, text, time};
    use proptest::prelude::{any, proptest};

    #[test]
    fn moments_are_written_as_dates() {
        assert_eq!(format_time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(format_time(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(format_time(4_102_444_799), "2099-12-31 23:59:59 UTC");
    }

    #[test]
    fn both_forms_of_times_are_read() {
        let read = |tag, text: &str| time((tag, text.as_bytes()));
        let first = read(0x17, "491231235959Z");
        assert_eq!(first.as_deref(), Some("2049-12-31 23:59:59 UTC"));
        let second = read(0x17, "500101000000Z");
        assert_eq!(second.as_deref(), Some("1950-01-01 00:00:00 UTC"));
        let third = read(0x18, "20500101000000Z");
        assert_eq!(third.as_deref(), Some("2050-01-01 00:00:00 UTC"));
        assert_eq!(read(0x17, "4912312359Z"), None);
        assert_eq!(read(0x17, "49123123595é"), None);
    }

    #[test]
    fn a_value_is_no_second_attribute() {
        for (value, escaped) in [
            ("alice", "alice"),
            ("alice, O=Admins", "alice\\, O=Admins"),
            ("a+b;c<d>e\"f\\g", "a\\+b\\;c\\<d\\>e\\\"f\\\\g"),
            ("#a#", "\\#a#"),
            (" a b ", "\\ a b\\ "),
            (" ", "\\ "),
            ("a\nb", "a?b"),
        ] {
            assert_eq!(text(value.as_bytes()), escaped, "{value:?}");
        }
    }

    proptest! {
        /// Any bytes that a peer sends as its certificate have a summary or none.
        #[test]
        fn no_certificate_panics(der in any::<Vec<u8>>()) {
            Summary::of(&der);
        }
    }
}
