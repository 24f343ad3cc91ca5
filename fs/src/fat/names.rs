//! Names: their validity, and their short forms ("FAT Long Directory Entries").

use alloc::format;
use alloc::string::String;

use super::slots::{ENTRY_FREE, MAX_UNITS, ShortEntry};
use crate::Error;

/// Whether FAT can store `name`, under long-name rules: no control characters, none of
/// `"*/:<>?\|`, no space or dot at the end, and at most 255 UTF-16 units.
pub(super) fn check(name: &str) -> Result<(), Error> {
    // Compares bytes: all of these are ASCII, which never occurs inside another character.
    let refused = |byte| byte < b' ' || byte == b'\x7f' || b"\"*/:<>?\\|".contains(&byte);
    if name.is_empty() || name.ends_with([' ', '.']) || name.bytes().any(refused) {
        return Err(Error::InvalidName);
    }
    if is_too_long(name) {
        return Err(Error::NameTooLong);
    }
    Ok(())
}

fn is_too_long(name: &str) -> bool {
    name.encode_utf16().count() > MAX_UNITS
}

/// Returns the error for a missing `name`.
pub(super) fn absent(name: &str) -> Error {
    if is_too_long(name) {
        Error::NameTooLong
    } else {
        Error::NotFound
    }
}

/// Whether a listing may show a name from the disk: invalid ones would name a file elsewhere.
pub(super) fn is_shown(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['\0', '/'])
}

/// Returns the upper case of a UTF-16 unit, if that is one unit.
pub(super) fn fold(unit: u16) -> u16 {
    let mut upper = char::from_u32(unit.into())
        .into_iter()
        .flat_map(char::to_uppercase);
    match (upper.next(), upper.next()) {
        (Some(letter), None) => u16::try_from(u32::from(letter)).unwrap_or(unit),
        _ => unit,
    }
}

/// Characters of the bytes from 0x80 on in short names: code page 437.
const LETTERS: &str = "\
    ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
    └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// `DIR_NTRes` bits: the base, or the extension, is in lower case.
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

/// Iterates over the characters of a short name as displayed.
pub(super) fn shown(entry: &ShortEntry) -> impl Iterator<Item = char> {
    let (mut stored, case) = (entry.name(), entry.nt_case());
    if stored[0] == 0x05 {
        // Replaces the byte that marks a free slot.
        stored[0] = ENTRY_FREE;
    }
    let len = |part: &[u8]| part.trim_ascii_end().len();
    let (base, extension) = (len(&stored[..8]), len(&stored[8..]));
    let dot = (extension > 0).then_some('.');
    let letter = move |at: usize, lower: u8| {
        let byte = stored.get(at).copied().unwrap_or(b' ');
        match byte.checked_sub(0x80) {
            Some(high) => LETTERS.chars().nth(high.into()).unwrap_or('_'),
            None if case & lower != 0 => byte.to_ascii_lowercase().into(),
            None => byte.into(),
        }
    };
    let base = (0..base).map(move |at| letter(at, LOWER_BASE));
    let extension = (8..8 + extension).map(move |at| letter(at, LOWER_EXTENSION));
    base.chain(dot).chain(extension)
}

/// Returns the byte of a short name for a character.
fn stored_letter(letter: char) -> u8 {
    if letter.is_ascii_alphanumeric() || "$%'-_@~`!(){}^#&".contains(letter) {
        return letter.to_ascii_uppercase() as u8;
    }
    let unit = u16::try_from(u32::from(letter)).unwrap_or(0);
    let upper = char::from_u32(fold(unit).into());
    let found = LETTERS.chars().position(|other| Some(other) == upper);
    found.map_or(b'_', |high| high as u8 | 0x80)
}

/// Returns a short name for `name` ("Generating 8.3 names"): without a tail, with the tails `~1` to
/// `~4`, and from 5 on with four digits of a hash, as Windows does, so that few attempts are
/// needed.
pub(super) fn short_name(name: &str, tail: u8) -> [u8; 11] {
    let (base, extension) = match name.rsplit_once('.') {
        Some((base, extension)) if !base.trim_matches(['.', ' ']).is_empty() => (base, extension),
        Some((_, rest)) => (rest, ""),
        None => (name, ""),
    };
    let (most, tail) = match tail {
        0 => (8, String::new()),
        1..=4 => (6, format!("~{tail}")),
        _ => {
            let hash = name.bytes().fold(u16::from(tail), |hash, byte| {
                hash.wrapping_mul(37).wrapping_add(byte.into())
            });
            (2, format!("{hash:04X}~1"))
        }
    };
    let mut stored = [b' '; 11];
    let kept = |letter: &char| !matches!(letter, '.' | ' ');
    let base = base.chars().filter(kept).map(stored_letter).take(most);
    for (place, byte) in stored.iter_mut().zip(base.chain(tail.bytes())) {
        *place = byte;
    }
    let extension = extension.chars().filter(kept).map(stored_letter);
    for (place, byte) in stored.iter_mut().skip(8).zip(extension) {
        *place = byte;
    }
    if stored[0] == ENTRY_FREE {
        stored[0] = 0x05;
    }
    stored
}

/// Returns `DIR_NTRes` for a name that a short entry expresses apart from its case; `None` if a
/// part has mixed case.
pub(super) fn case_bits(name: &str) -> Option<u8> {
    let (base, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let bits = |part: &str, lower| {
        let has = |is: fn(&u8) -> bool| part.as_bytes().iter().any(is);
        match (has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase)) {
            (true, true) => None,
            (true, false) => Some(lower),
            _ => Some(0),
        }
    };
    Some(bits(base, LOWER_BASE)? | bits(extension, LOWER_EXTENSION)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_which_names_fit() {
        for name in [
            "a",
            "A.B",
            ".hidden",
            "naïve Übung.txt",
            "日本語",
            "a b",
            "+,;=[]",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in ["", "a.", "a ", "."] {
            assert_eq!(check(name), Err(Error::InvalidName), "{name}");
        }
        for c in (0..0x20)
            .chain([0x7f])
            .chain(*b"\"*/:<>?\\|")
            .map(char::from)
        {
            let name = format!("a{c}b");
            assert_eq!(check(&name), Err(Error::InvalidName), "{name:?}");
        }
        assert_eq!(check(&"x".repeat(255)), Ok(()));
        assert_eq!(check(&"x".repeat(256)), Err(Error::NameTooLong));
        assert_eq!(check(&"😀".repeat(128)), Err(Error::NameTooLong));
    }

    #[test]
    fn a_name_that_is_too_long_is_no_absent_one() {
        assert_eq!(absent(&"x".repeat(255)), Error::NotFound);
        assert_eq!(absent("a:b"), Error::NotFound);
        assert_eq!(absent(&"x".repeat(256)), Error::NameTooLong);
    }

    #[test]
    fn every_letter_of_a_short_name_is_stored_as_it_was() {
        assert_eq!(LETTERS.chars().count(), 128);
        for (n, letter) in LETTERS.chars().enumerate() {
            let mut units = [0; 2];
            let units = letter.encode_utf16(&mut units);
            let upper = char::from_u32(fold(units[0]).into()).unwrap();
            // A lower-case letter is stored in upper case, if the code page has it.
            let expected = match LETTERS.chars().position(|other| other == upper) {
                Some(place) => place as u8 + 0x80,
                None => b'_',
            };
            assert_eq!(stored_letter(letter), expected, "{letter} {n:#x}");
        }
        for (unit, capital) in [(0x61, 0x41), (0xe9, 0xc9), (0xdf, 0xdf), (0xd801, 0xd801)] {
            assert_eq!(fold(unit), capital);
        }
    }

    /// "FAT Long Directory Entries": the base, three characters after the last dot, and a tail.
    #[test]
    fn short_names_are_made_of_long_ones() {
        for (name, tail, expected) in [
            ("Readme.txt", 0, b"README  TXT"),
            ("two words.text", 0, b"TWOWORDSTEX"),
            ("a+b.c.d", 0, b"A_BC    D  "),
            (".hidden", 0, b"HIDDEN     "),
            (". .x", 0, b"X          "),
            ("\u{fc}\u{65e5}.\u{e9}", 0, b"\x9a_      \x90  "),
            ("a", 1, b"A~1        "),
            ("same beginning", 4, b"SAMEBE~4   "),
        ] {
            assert_eq!(short_name(name, tail), *expected, "{name} {tail}");
        }
        let tails: alloc::collections::BTreeSet<_> = (0..=u8::MAX)
            .map(|tail| short_name("same beginning.text", tail))
            .collect();
        assert_eq!(tails.len(), 256);
        assert!(tails.iter().all(|name| name.ends_with(b"TEX")));
    }

    #[test]
    fn the_case_of_a_short_name_is_that_of_its_parts() {
        for (name, bits) in [
            ("README.TXT", Some(0)),
            ("readme.TXT", Some(LOWER_BASE)),
            ("README.txt", Some(LOWER_EXTENSION)),
            ("readme.txt", Some(LOWER_BASE | LOWER_EXTENSION)),
            ("12", Some(0)),
            ("Readme", None),
            ("a.Bc", None),
        ] {
            assert_eq!(case_bits(name), bits, "{name}");
        }
        for (stored, case, expected) in [
            (b"README  TXT", 0, "README.TXT"),
            (b"README  TXT", LOWER_BASE, "readme.TXT"),
            (b"A          ", LOWER_EXTENSION, "A"),
            (b"\x05B      C  ", 0, "\u{3c3}B.C"),
            (b"A B     C D", 0, "A B.C D"),
        ] {
            let mut entry = ShortEntry::new(*stored, 0);
            entry.set_nt_case(case);
            assert_eq!(shown(&entry).collect::<String>(), expected);
        }
    }
}
