//! Shapes and text: decodes the program's numbers for the crate `draw`.

use crate::types::Int;
use draw::{Colour, Command, Font, Picture, Shape};
use platform::error::{Answer, Error};

/// Pixels, and the number of pixels in a row.
type Rows<'a> = (&'a mut [u32], usize);

/// Units per pixel in which outlines are given.
const UNITS: f32 = 1024.0;

fn picture((pixels, columns): Rows<'_>) -> Result<Picture<'_>, Error> {
    Picture::new(pixels, columns).ok_or(Error::Invalid)
}

fn colour(number: Int) -> Colour {
    // The lower 32 bits are the colour.
    Colour(number as u32)
}

/// Clamps a length to 0 and a limit larger than any picture.
fn side(number: Int) -> u32 {
    number.clamp(0, i32::MAX as Int) as u32
}

/// See `soil_draw_fill`.
pub fn fill(
    pixels: Rows<'_>,
    (x, y): (Int, Int),
    (width, height): (Int, Int),
    number: Int,
) -> Answer {
    let size = (side(width), side(height));
    picture(pixels)?.fill((x as i64, y as i64), size, colour(number));
    Ok(0)
}

/// See `soil_draw_path`.
pub fn path(
    pixels: Rows<'_>,
    words: &[Int],
    len: Int,
    (shape, width): (Int, Int),
    number: Int,
) -> Answer {
    let len = usize::try_from(len).map_err(|_| Error::Invalid)?;
    let words = words.get(..len).ok_or(Error::Invalid)?;
    let width = width as f32 / UNITS;
    let shape = match shape {
        0 => Shape::Inside,
        1 => Shape::EvenOdd,
        2 | 3 => Shape::Line {
            width,
            round: shape == 3,
        },
        _ => return Err(Error::Invalid.into()),
    };
    let mut picture = picture(pixels)?;
    if commands(words).any(|command| command.is_none()) {
        return Err(Error::Invalid.into());
    }
    picture.draw(commands(words).flatten(), shape, colour(number));
    Ok(0)
}

/// Decodes commands; yields `None` as the last item for an invalid or incomplete command.
fn commands(mut words: &[Int]) -> impl Iterator<Item = Option<Command>> {
    core::iter::from_fn(move || {
        let (&code, rest) = words.split_first()?;
        let command = next(code, rest);
        words = command.map_or(&[], |(_, rest)| rest);
        Some(command.map(|(command, _)| command))
    })
}

/// Decodes the command with this code; returns it and the words after its coordinates.
fn next(code: Int, words: &[Int]) -> Option<(Command, &[Int])> {
    fn places<const N: usize>(words: &[Int]) -> Option<([f32; N], &[Int])> {
        let (first, rest) = words.split_first_chunk::<N>()?;
        Some((first.map(|word| word as f32 / UNITS), rest))
    }
    Some(match code {
        0 => {
            let ([x, y], rest) = places(words)?;
            (Command::Move(x, y), rest)
        }
        1 => {
            let ([x, y], rest) = places(words)?;
            (Command::Line(x, y), rest)
        }
        2 => {
            let (points, rest) = places(words)?;
            (Command::Quadratic(points), rest)
        }
        3 => {
            let (points, rest) = places(words)?;
            (Command::Cubic(points), rest)
        }
        4 => (Command::Close, words),
        _ => return None,
    })
}

/// See `soil_draw_text`.
pub fn text(
    pixels: Rows<'_>,
    (x, y): (Int, Int),
    text: &[u8],
    (font, scale): (Int, Int),
    number: Int,
) -> Answer {
    let font = match font {
        0 => Font::Small,
        1 => Font::Medium,
        2 => Font::Bold,
        3 => Font::Large,
        _ => return Err(Error::Invalid.into()),
    };
    let text = core::str::from_utf8(text).map_err(|_| Error::InvalidName)?;
    picture(pixels)?.text(
        (x as i64, y as i64),
        text,
        font,
        side(scale),
        colour(number),
    );
    Ok(0)
}

/// See `soil_draw_copy`.
pub fn copy(pixels: Rows<'_>, (x, y): (Int, Int), (from, from_columns): Rows<'_>) -> Answer {
    picture(pixels)?.copy((x as i64, y as i64), from, from_columns);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{fill, path, text};
    use platform::error::{Error, Stop};
    use proptest::prelude::*;

    fn is_invalid(answer: super::Answer) -> bool {
        matches!(answer, Err(Stop::Error(Error::Invalid)))
    }

    #[test]
    fn what_is_no_outline_shape_or_font_is_refused() {
        let mut pixels = [0; 4];
        let half = [0, 0, 0, 1, 512];
        let none = [9, 1, 1];
        for words in [&half[..], &none[..]] {
            let len = words.len() as isize;
            assert!(
                is_invalid(path((&mut pixels, 2), words, len, (0, 0), 0)),
                "{words:?}"
            );
        }
        assert!(is_invalid(path((&mut pixels, 2), &[4], 2, (0, 0), 0)));
        assert!(is_invalid(path((&mut pixels, 2), &[4], -1, (0, 0), 0)));
        assert!(is_invalid(path((&mut pixels, 2), &[4], 1, (4, 0), 0)));
        assert!(is_invalid(text((&mut pixels, 2), (0, 0), b"a", (4, 1), 0)));
        let not_utf8 = text((&mut pixels, 2), (0, 0), b"\xFF", (0, 1), 0);
        assert!(matches!(not_utf8, Err(Stop::Error(Error::InvalidName))));
        assert!(is_invalid(fill((&mut pixels, 3), (0, 0), (1, 1), 0)));
        assert_eq!(pixels, [0; 4]);
    }

    #[test]
    fn a_triangle_is_painted_where_it_is() {
        let mut pixels = [0; 16];
        let corners = [0, 0, 0, 1, 4096, 0, 1, 0, 4096, 4];
        assert!(path((&mut pixels, 4), &corners, 10, (0, 0), 0xFF00_FF00).is_ok());
        assert_eq!((pixels[0] & 0xFF_FFFF, pixels[15] & 0xFF_FFFF), (0xFF00, 0));
    }

    #[test]
    fn sizes_are_positive_numbers() {
        let mut pixels = [0; 4];
        fill((&mut pixels, 2), (0, 0), (-1, isize::MAX), -1).unwrap();
        assert_eq!(pixels, [0; 4]);
        fill((&mut pixels, 2), (1, 0), (isize::MAX, 1), -1).unwrap();
        assert_eq!(pixels, [0, 0xFF_FFFF, 0, 0]);
    }

    proptest! {
        #[test]
        fn no_numbers_panic(
            words in prop::collection::vec(prop_oneof![0..6isize, any::<isize>()], 0..40),
            shape in -1..5isize,
            width in any::<isize>(),
        ) {
            let mut pixels = [0; 64];
            let len = words.len() as isize;
            let _ = path((&mut pixels, 8), &words, len, (shape, width), width);
        }
    }
}
