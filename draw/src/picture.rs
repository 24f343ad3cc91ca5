//! Pictures: memory to draw in.

use crate::path::{Command, Paint, Shape, outline};
use crate::text::{self, Font};
use tiny_skia::{BlendMode, PixmapMut, Transform};

/// `0xAARRGGBB`, not premultiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub u32);

impl Colour {
    fn opacity(self) -> u32 {
        self.0 >> 24
    }

    /// In tiny-skia's form, whose pixels have red in the lowest byte: red and blue are swapped.
    fn swapped(self) -> tiny_skia::Color {
        let [blue, green, red, alpha] = self.0.to_le_bytes();
        tiny_skia::Color::from_rgba8(blue, green, red, alpha)
    }

    /// This colour over a pixel.
    fn over(self, pixel: u32) -> u32 {
        let part = |shift: u32| {
            let (new, old) = (self.0 >> shift & 255, pixel >> shift & 255);
            let both = new * self.opacity() + old * (255 - self.opacity());
            ((both + 127) / 255) << shift
        };
        part(0) | part(8) | part(16)
    }
}

/// Rows of pixels in memory, from the top; in each, pixels from the left.
#[derive(Debug)]
pub struct Picture<'a> {
    pixels: &'a mut [u32],
    width: u32,
    height: u32,
}

impl<'a> Picture<'a> {
    /// Rows of `width` pixels. `None` if there is no pixel, the last row is incomplete, or a side
    /// is longer than 32767 pixels.
    pub fn new(pixels: &'a mut [u32], width: usize) -> Option<Self> {
        let height = pixels.len().checked_div(width)?;
        let side = |pixels: usize| i16::try_from(pixels).ok().map(i16::unsigned_abs);
        if height == 0 || !pixels.len().is_multiple_of(width) {
            return None;
        }
        Some(Picture {
            width: side(width)?.into(),
            height: side(height)?.into(),
            pixels,
        })
    }

    /// The columns, or rows, from `start` on that lie within a side of this length.
    fn part(start: i64, length: u32, side: u32) -> core::ops::Range<usize> {
        let on_side = |place: i64| usize::try_from(place.clamp(0, side.into())).unwrap_or(0);
        on_side(start)..on_side(start.saturating_add(length.into()))
    }

    /// Paints whole pixels: `width` columns from `x` on, in `height` rows from `y` on.
    pub fn fill(&mut self, (x, y): (i64, i64), (width, height): (u32, u32), colour: Colour) {
        let columns = Self::part(x, width, self.width);
        let stride = self.width as usize;
        for row in Self::part(y, height, self.height) {
            let row = &mut self.pixels[row * stride..][columns.clone()];
            if colour.opacity() == 255 {
                row.fill(colour.0 & 0xFF_FFFF);
            } else {
                for pixel in row {
                    *pixel = colour.over(*pixel);
                }
            }
        }
    }

    /// Copies another picture to (`x`, `y`), the position of its upper left corner.
    pub fn copy(&mut self, (x, y): (i64, i64), from: &[u32], from_width: usize) {
        let Some(from_height) = from.len().checked_div(from_width) else {
            return;
        };
        let size = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let columns = Self::part(x, size(from_width), self.width);
        let rows = Self::part(y, size(from_height), self.height);
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        // Both are non-negative: a non-empty part begins at the corner, or right of it.
        let distance = |place: usize, corner: i64| (place as i64).abs_diff(corner) as usize;
        let (left, top) = (distance(columns.start, x), distance(rows.start, y));
        let stride = self.width as usize;
        for (n, row) in rows.enumerate() {
            let source = &from[(top + n) * from_width + left..][..columns.len()];
            self.pixels[row * stride..][columns.clone()].copy_from_slice(source);
        }
    }

    /// Paints an outline. Coordinates are clamped to 32000 pixels from the corner.
    pub fn draw(&mut self, path: impl Iterator<Item = Command>, shape: Shape, colour: Colour) {
        let (Some(path), size) = (outline(path), (self.width, self.height)) else {
            return;
        };
        let bytes = bytemuck::cast_slice_mut(self.pixels);
        let Some(mut pixmap) = PixmapMut::from_bytes(bytes, size.0, size.1) else {
            return;
        };
        let mut paint = tiny_skia::Paint {
            blend_mode: BlendMode::SourceOver,
            anti_alias: true,
            ..tiny_skia::Paint::default()
        };
        paint.set_color(colour.swapped());
        match shape.paint() {
            Paint::Fill(rule) => pixmap.fill_path(&path, &paint, rule, Transform::identity(), None),
            Paint::Stroke(stroke) if stroke.width > 0.0 => {
                pixmap.stroke_path(&path, &paint, &stroke, Transform::identity(), None);
            }
            Paint::Stroke(_) => {}
        }
    }

    /// Draws text, whose upper left corner is at (`x`, `y`), each pixel of the font as a square of
    /// `scale` pixels. A line feed begins the next line; a character missing from the font is `?`.
    pub fn text(&mut self, corner: (i64, i64), text: &str, font: Font, scale: u32, colour: Colour) {
        text::each_run(text, font, |column, row, length| {
            let place = |start: i64, pixels: u32| {
                start.saturating_add(i64::from(pixels) * i64::from(scale))
            };
            let corner = (place(corner.0, column), place(corner.1, row));
            self.fill(corner, (length.saturating_mul(scale), scale), colour);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Colour, Command, Picture, Shape};
    use crate::Font;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const RED: Colour = Colour(0xFFFF_0000);

    fn picture(width: usize, height: usize, draw: impl FnOnce(&mut Picture)) -> Vec<u32> {
        let mut pixels = vec![0; width * height];
        draw(&mut Picture::new(&mut pixels, width).unwrap());
        pixels
    }

    fn square(x: f32, y: f32, side: f32) -> impl Iterator<Item = Command> {
        [
            Command::Move(x, y),
            Command::Line(x + side, y),
            Command::Line(x + side, y + side),
            Command::Line(x, y + side),
            Command::Close,
        ]
        .into_iter()
    }

    #[test]
    fn memory_has_to_be_whole_rows() {
        for (pixels, width) in [(0, 1), (1, 0), (7, 2), (32_768, 32_768), (65_536, 2)] {
            let mut pixels = vec![0; pixels];
            assert!(Picture::new(&mut pixels, width).is_none(), "{width}");
        }
    }

    #[test]
    fn rectangles_are_clipped() {
        let drawn = picture(3, 2, |to| to.fill((-5, 1), (7, u32::MAX), RED));
        assert_eq!(drawn, [0, 0, 0, 0xFF_0000, 0xFF_0000, 0]);
        let drawn = picture(2, 1, |to| to.fill((i64::MAX, i64::MIN), (9, 9), RED));
        assert_eq!(drawn, [0, 0]);
    }

    #[test]
    fn what_is_half_opaque_is_mixed() {
        let drawn = picture(1, 1, |to| {
            to.fill((0, 0), (1, 1), Colour(0xFF00_00FF));
            to.fill((0, 0), (1, 1), Colour(0x80FF_0000));
        });
        assert_eq!(drawn, [0x80_007F]);
    }

    #[test]
    fn a_copy_is_clipped_on_all_sides() {
        let from: Vec<u32> = (1..=9).collect();
        let drawn = picture(3, 3, |to| to.copy((-1, 1), &from, 3));
        assert_eq!(drawn, [0, 0, 0, 2, 3, 0, 5, 6, 0]);
        let drawn = picture(3, 3, |to| to.copy((1, -2), &from, 3));
        assert_eq!(drawn, [0, 7, 8, 0, 0, 0, 0, 0, 0]);
        let drawn = picture(1, 1, |to| to.copy((1, i64::MIN), &from, 3));
        assert_eq!(drawn, [0]);
    }

    #[test]
    fn shapes_have_their_colour_and_smooth_edges() {
        let drawn = picture(4, 4, |to| {
            to.draw(square(0.5, 1.0, 2.0), Shape::Inside, RED)
        });
        let row: Vec<_> = drawn[4..8].iter().map(|pixel| pixel & 0xFF_FFFF).collect();
        assert_eq!(row[1], 0xFF_0000);
        assert_eq!((row[0] & 0xFFFF, row[3]), (0, 0));
        assert!((0x78..0x88).contains(&(row[0] >> 16)), "{row:x?}");
        assert_eq!(drawn[0] & 0xFF_FFFF, 0);
    }

    #[test]
    fn an_outline_inside_of_another_is_a_hole_by_the_even_odd_rule() {
        let path = || square(0.0, 0.0, 6.0).chain(square(2.0, 2.0, 2.0));
        let solid = picture(6, 6, |to| to.draw(path(), Shape::Inside, RED));
        let hole = picture(6, 6, |to| to.draw(path(), Shape::EvenOdd, RED));
        assert_eq!(solid[2 * 6 + 2] & 0xFF_FFFF, 0xFF_0000);
        assert_eq!(hole[2 * 6 + 2] & 0xFF_FFFF, 0);
        assert_eq!(hole[0] & 0xFF_FFFF, 0xFF_0000);
    }

    #[test]
    fn lines_have_their_width() {
        let path = || [Command::Move(0.0, 3.0), Command::Line(8.0, 3.0)].into_iter();
        for width in [2.0, 4.0] {
            let round = false;
            let shape = Shape::Line { width, round };
            let drawn = picture(8, 6, |to| to.draw(path(), shape, RED));
            let rows = (0..6).filter(|row| drawn[row * 8 + 4] != 0).count();
            assert_eq!(rows, width as usize);
        }
        for width in [0.0, -1.0, f32::NAN] {
            let round = true;
            let drawn = picture(8, 6, |to| {
                to.draw(path(), Shape::Line { width, round }, RED)
            });
            assert_eq!(drawn, vec![0; 48]);
        }
    }

    #[test]
    fn text_is_set_from_its_corner() {
        let drawn = picture(6, 10, |to| to.text((0, 0), "I", Font::Small, 1, RED));
        assert!(drawn.contains(&0xFF_0000) && drawn.contains(&0));
        let twice = picture(12, 20, |to| to.text((0, 0), "I", Font::Small, 2, RED));
        let every_other = |n: usize| twice[n / 6 * 2 * 12 + n % 6 * 2];
        assert_eq!(drawn, (0..60).map(every_other).collect::<Vec<_>>());
        let moved = picture(6, 10, |to| {
            to.text((i64::MAX, i64::MIN), "I", Font::Small, 9, RED)
        });
        assert_eq!(moved, vec![0; 60]);
    }

    /// Numbers near the picture, far away, and NaN.
    fn place() -> impl Strategy<Value = f32> {
        prop_oneof![
            4 => -20.0..60.0f32,
            1 => -1e9..1e9f32,
            1 => any::<f32>(),
        ]
    }

    fn command() -> impl Strategy<Value = Command> {
        prop_oneof![
            (place(), place()).prop_map(|(x, y)| Command::Move(x, y)),
            (place(), place()).prop_map(|(x, y)| Command::Line(x, y)),
            prop::array::uniform4(place()).prop_map(Command::Quadratic),
            prop::array::uniform6(place()).prop_map(Command::Cubic),
            Just(Command::Close),
        ]
    }

    fn shape() -> impl Strategy<Value = Shape> {
        prop_oneof![
            Just(Shape::Inside),
            Just(Shape::EvenOdd),
            (place(), any::<bool>()).prop_map(|(width, round)| Shape::Line { width, round }),
        ]
    }

    proptest! {
        #[test]
        fn no_outline_panics_or_leaves_the_invisible_visible(
            commands in prop::collection::vec(command(), 0..12),
            shape in shape(),
            width in 1..40usize,
            height in 1..40usize,
        ) {
            let drawn = picture(width, height, |to| {
                to.draw(commands.iter().copied(), shape, Colour(0x00FF_FFFF));
            });
            prop_assert!(drawn.iter().all(|pixel| pixel & 0xFF_FFFF == 0));
            picture(width, height, |to| to.draw(commands.iter().copied(), shape, RED));
        }

        #[test]
        fn no_rectangle_copy_or_text_panics(
            x in any::<i64>(),
            y in -50..50i64,
            size in any::<(u32, u32)>(),
            colour in any::<u32>(),
            text in "\\PC{0,8}",
            scale in any::<u32>(),
        ) {
            let from = [1; 12];
            picture(9, 9, |to| {
                to.fill((x, y), size, Colour(colour));
                to.fill((y, x), size, Colour(colour));
                to.copy((x, y), &from, 4);
                to.copy((y, y), &from, 4);
                to.text((y, y), &text, Font::Large, scale, Colour(colour));
                to.text((x, y), &text, Font::Small, scale, Colour(colour));
            });
        }
    }
}
