//! The font: embedded-graphics' 8 by 13 pixels, plain and bold, as bits.
//!
//! Its bitmaps are read once, at the start: reading single pixels is slow.

use crate::filled;
use alloc::vec::Vec;
use embedded_graphics::geometry::{Dimensions as _, Point};
use embedded_graphics::image::GetPixel as _;
use embedded_graphics::mono_font::{MonoFont, iso_8859_1};
use embedded_graphics::pixelcolor::BinaryColor;

/// Width of a character in pixels.
pub const WIDTH: u32 = 8;
/// Height of a character in pixels.
pub const HEIGHT: u32 = 13;
/// The row of pixels in which a character is underlined.
pub const UNDERLINE: usize = 11;
/// The glyph for characters missing from the font: a box.
const BOX: u16 = 0;
/// Offset from the number of a plain glyph to the bold one.
pub const BOLD: u16 = 256;

type Glyph = [u8; HEIGHT as usize];

/// The glyphs: those of ISO 8859-1 by their code, then the same in bold.
pub struct Font(Vec<Glyph>);

impl Font {
    /// Reads the font; `None` if there is no memory for it.
    #[must_use]
    pub fn new() -> Option<Self> {
        let mut glyphs = filled([0; HEIGHT as usize], 2 * usize::from(BOLD))?;
        let fonts = [&iso_8859_1::FONT_8X13, &iso_8859_1::FONT_8X13_BOLD];
        for (font, glyphs) in fonts.into_iter().zip(glyphs.chunks_mut(usize::from(BOLD))) {
            for (code, glyph) in (0u8..=255).zip(glyphs) {
                *glyph = match code {
                    b' '..0x7F | 0xA0.. => read(font, char::from(code)),
                    _ => [
                        0, 0, 0x7E, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x42, 0x7E, 0, 0,
                    ],
                };
            }
        }
        Some(Self(glyphs))
    }

    /// The rows of a glyph from the top; in each, the left pixel is the highest bit.
    pub(crate) fn glyph(&self, number: u16) -> &Glyph {
        const NONE: &Glyph = &[0; HEIGHT as usize];
        self.0.get(usize::from(number)).unwrap_or(NONE)
    }
}

fn read(font: &MonoFont<'_>, character: char) -> Glyph {
    let columns = (font.image.bounding_box().size.width / WIDTH).max(1);
    let index = font.glyph_mapping.index(character) as u32;
    let (left, top) = (index % columns * WIDTH, index / columns * HEIGHT);
    let mut glyph = [0; HEIGHT as usize];
    for (row, bits) in (top..).zip(&mut glyph) {
        for column in left..left + WIDTH {
            let place = Point::new(column as i32, row as i32);
            let set = font.image.pixel(place) == Some(BinaryColor::On);
            *bits = *bits << 1 | u8::from(set);
        }
    }
    glyph
}

/// The plain glyph of a character.
pub(crate) fn glyph_of(character: char) -> u16 {
    let like = match character {
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201C}' | '\u{201D}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2500}' | '\u{2501}' | '\u{2550}' => '-',
        '\u{2502}' | '\u{2503}' | '\u{2551}' => '|',
        // Corners and crossings of boxes.
        '\u{250C}'..='\u{254B}' | '\u{2552}'..='\u{256C}' => '+',
        '\u{2022}' => '\u{B7}',
        '\u{2026}' => '.',
        '\u{2190}' => '<',
        '\u{2192}' => '>',
        other => other,
    };
    match u32::from(like) {
        code @ (0x20..0x7F | 0xA0..0x100) => code as u16,
        _ => BOX,
    }
}

#[cfg(test)]
mod tests {
    use super::{Font, glyph_of};

    fn shown(character: char) -> Vec<String> {
        let font = Font::new().unwrap();
        let rows = font.glyph(glyph_of(character)).iter();
        rows.map(|bits| format!("{bits:08b}").replace('0', ".").replace('1', "#"))
            .collect()
    }

    #[test]
    fn a_letter_is_its_picture() {
        let expected = [
            "........", "........", "#######.", "...#....", "...#....", "...#....", "...#....",
            "...#....", "...#....", "...#....", "...#....", "........", "........",
        ];
        assert_eq!(shown('T'), expected);
    }

    #[test]
    fn latin_letters_are_there_and_others_are_like_them_or_boxes() {
        assert_ne!(shown('é'), shown('e'));
        assert_eq!(shown('─'), shown('-'));
        assert_eq!(shown('漢'), shown('\u{80}'));
        assert_ne!(shown('漢'), shown('?'));
        let blank = shown(' ');
        for code in (0x21..0x7F).chain(0xA1..0x100u32) {
            let character = char::from_u32(code).unwrap();
            assert!(code == 0xAD || shown(character) != blank, "{character}");
        }
    }
}
