//! Codes of keys in Linux's `input-event-codes.h`, from a client's scan codes and symbols.

use core::ops::RangeInclusive;

/// Keys of a keyboard, from `KEY_ESC` to `KEY_MICMUTE`.
pub const KEYS: RangeInclusive<u16> = 1..=248;

/// Scan codes of set 1 without the prefix 0xe0, which is the highest bit, and their keys. All codes
/// up to `KEY_KPDOT`, and `KEY_102ND`, `KEY_F11` and `KEY_F12`, are the keys themselves.
#[rustfmt::skip]
const SCAN_CODES: [(u8, u16); 50] = [
    (0x54, 99), (0x59, 117), (0x70, 93), (0x71, 123), (0x72, 122), (0x73, 89), (0x77, 91),
    (0x78, 90), (0x79, 92), (0x7b, 94), (0x7d, 124), (0x7e, 121), (0x90, 165), (0x99, 163),
    (0x9c, 96), (0x9d, 97), (0xa0, 113), (0xa1, 140), (0xa2, 164), (0xa4, 166), (0xae, 114),
    (0xb0, 115), (0xb2, 172), (0xb5, 98), (0xb7, 99), (0xb8, 100), (0xc6, 119), (0xc7, 102),
    (0xc8, 103), (0xc9, 104), (0xcb, 105), (0xcd, 106), (0xce, 118), (0xcf, 107), (0xd0, 108),
    (0xd1, 109), (0xd2, 110), (0xd3, 111), (0xdb, 125), (0xdc, 126), (0xdd, 127), (0xde, 116),
    (0xdf, 142), (0xe3, 143), (0xe5, 217), (0xe6, 156), (0xe7, 173), (0xe9, 159), (0xea, 158),
    (0xec, 155),
];

/// The rows of a US keyboard: the first key's code, and the symbols without and with Shift.
const ROWS: [(u16, &str, &str); 5] = [
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (16, "qwertyuiop[]", "QWERTYUIOP{}"),
    (30, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (57, " ", " "),
];

/// Symbols of other keys (X11's `keysymdef.h`, less 0xff00).
#[rustfmt::skip]
const SYMBOLS: [(u8, u16); 74] = [
    (0x08, 14), (0x09, 15), (0x0d, 28), (0x13, 119), (0x14, 70), (0x15, 99), (0x1b, 1),
    (0x50, 102), (0x51, 105), (0x52, 103), (0x53, 106), (0x54, 108), (0x55, 104), (0x56, 109),
    (0x57, 107), (0x61, 99), (0x63, 110), (0x67, 127), (0x7e, 100), (0x7f, 69), (0x8d, 96),
    (0x95, 71), (0x96, 75), (0x97, 72), (0x98, 77), (0x99, 80), (0x9a, 73), (0x9b, 81),
    (0x9c, 79), (0x9d, 76), (0x9e, 82), (0x9f, 83), (0xaa, 55), (0xab, 78), (0xad, 74),
    (0xae, 83), (0xaf, 98), (0xb0, 82), (0xb1, 79), (0xb2, 80), (0xb3, 81), (0xb4, 75),
    (0xb5, 76), (0xb6, 77), (0xb7, 71), (0xb8, 72), (0xb9, 73), (0xbd, 117), (0xbe, 59),
    (0xbf, 60), (0xc0, 61), (0xc1, 62), (0xc2, 63), (0xc3, 64), (0xc4, 65), (0xc5, 66),
    (0xc6, 67), (0xc7, 68), (0xc8, 87), (0xc9, 88), (0xe1, 42), (0xe2, 54), (0xe3, 29),
    (0xe4, 97), (0xe5, 58), (0xe7, 125), (0xe8, 126), (0xe9, 56), (0xea, 100), (0xeb, 125),
    (0xec, 126), (0xed, 125), (0xee, 126), (0xff, 111),
];

/// The key of a scan code, as QEMU's extended key event has it.
pub fn of_scan_code(code: u32) -> Option<u16> {
    match code {
        1..=0x53 | 0x56..=0x58 => Some(code as u16),
        _ => find(&SCAN_CODES, u8::try_from(code).ok()?),
    }
}

/// The key of a US keyboard that has this symbol. Its client sends Shift itself.
pub fn of_symbol(symbol: u32) -> Option<u16> {
    match symbol {
        // ISO_Level3_Shift and ISO_Left_Tab.
        0xfe03 => Some(100),
        0xfe20 => Some(15),
        0xff00..=0xffff => find(&SYMBOLS, symbol as u8),
        _ => {
            let character = char::from_u32(symbol).filter(char::is_ascii)?;
            ROWS.iter().find_map(|(first, plain, shifted)| {
                let place = plain.find(character).or_else(|| shifted.find(character))?;
                Some(first + place as u16)
            })
        }
    }
}

fn find(table: &[(u8, u16)], wanted: u8) -> Option<u16> {
    let found = table.iter().find(|(from, _)| *from == wanted);
    found.map(|(_, key)| *key)
}
