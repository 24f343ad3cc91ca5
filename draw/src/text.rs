//! Text in fixed-width bitmap fonts.

use embedded_graphics::geometry::{Dimensions, Point};
use embedded_graphics::image::GetPixel;
use embedded_graphics::mono_font::{MonoFont, iso_8859_1};
use embedded_graphics::pixelcolor::BinaryColor;

/// The fonts: characters of ISO 8859-1 in cells of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Font {
    /// 6 by 10 pixels.
    Small,
    /// 8 by 13 pixels.
    Medium,
    /// 8 by 13 pixels, bold.
    Bold,
    /// 10 by 20 pixels.
    Large,
}

impl Font {
    fn glyphs(self) -> &'static MonoFont<'static> {
        match self {
            Self::Small => &iso_8859_1::FONT_6X10,
            Self::Medium => &iso_8859_1::FONT_8X13,
            Self::Bold => &iso_8859_1::FONT_8X13_BOLD,
            Self::Large => &iso_8859_1::FONT_10X20,
        }
    }

    /// Width and height of a character, in pixels.
    #[must_use]
    pub fn cell(self) -> (u32, u32) {
        let size = self.glyphs().character_size;
        (size.width, size.height)
    }
}

/// Width and height of a text in characters: its longest line, and the number of lines.
#[must_use]
pub fn size(text: &str) -> (usize, usize) {
    let longest = text.split('\n').map(|line| line.chars().count()).max();
    (longest.unwrap_or(0), text.split('\n').count())
}

/// Calls `paint` with column, row and length of each painted run of pixels, from the upper left
/// corner of the text.
pub(crate) fn each_run(text: &str, font: Font, mut paint: impl FnMut(u32, u32, u32)) {
    let (width, height) = font.cell();
    for (line, characters) in (0u32..).zip(text.split('\n')) {
        for (n, character) in (0u32..).zip(characters.chars()) {
            each_run_of(character, font, |column, row, length| {
                let column = n.saturating_mul(width).saturating_add(column);
                paint(
                    column,
                    line.saturating_mul(height).saturating_add(row),
                    length,
                );
            });
        }
    }
}

/// The same for one character.
fn each_run_of(character: char, font: Font, mut paint: impl FnMut(u32, u32, u32)) {
    let font = font.glyphs();
    let (width, height) = (font.character_size.width, font.character_size.height);
    // Missing characters become a question mark.
    let index = font.glyph_mapping.index(character);
    let columns = font.image.bounding_box().size.width / width;
    let (Ok(index), true) = (u32::try_from(index), columns > 0) else {
        return;
    };
    let (left, top) = (index % columns * width, index / columns * height);
    let is_set = |column: u32, row: u32| {
        let place = Point::new((left + column) as i32, (top + row) as i32);
        font.image.pixel(place) == Some(BinaryColor::On)
    };
    for row in 0..height {
        let mut column = 0;
        while column < width {
            let length = (column..width)
                .take_while(|&column| is_set(column, row))
                .count() as u32;
            if length > 0 {
                paint(column, row, length);
            }
            column += length + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Font, each_run, size};
    use alloc::string::String;
    use alloc::vec;

    /// The text as rows of `#` and `.`.
    fn shown(text: &str, font: Font) -> String {
        let (columns, lines) = size(text);
        let (width, height) = font.cell();
        let (width, height) = (columns * width as usize, lines * height as usize);
        let mut rows = vec![vec!['.'; width]; height];
        each_run(text, font, |column, row, length| {
            rows[row as usize][column as usize..][..length as usize].fill('#');
        });
        let rows = rows.into_iter().map(|row| row.into_iter().collect());
        rows.collect::<alloc::vec::Vec<String>>().join("\n")
    }

    #[test]
    fn a_letter_is_its_picture() {
        let expected = "\
......
#####.
..#...
..#...
..#...
..#...
..#...
..#...
......
......";
        assert_eq!(shown("T", Font::Small), expected);
    }

    #[test]
    fn accents_are_there_and_others_are_question_marks() {
        assert_ne!(shown("é", Font::Large), shown("e", Font::Large));
        assert_eq!(shown("→", Font::Medium), shown("?", Font::Medium));
        assert_ne!(shown("?", Font::Medium), shown(" ", Font::Medium));
    }

    #[test]
    fn lines_are_below_each_other() {
        assert_eq!(size("ab\n\nabc"), (3, 3));
        assert_eq!(size(""), (0, 1));
        let below = shown(" \nx", Font::Bold);
        let alone = shown("x", Font::Bold);
        assert!(below.ends_with(&alone) && below.len() > alone.len());
    }
}
