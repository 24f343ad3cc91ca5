//! Composes a window's contents: the picture, scaled to fit, and the cursor.

use screens::{Picture, Screen};
use viewer::{CURSOR_SIZE, POINTER_RANGE};

/// The area of a window that shows the picture, in the window's pixels. The rest is black.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Place {
    /// The largest area with the picture's aspect ratio; the whole window without a picture.
    pub fn new(window: (u32, u32), picture: Option<&Picture>) -> Self {
        let (width, height) = (window.0.max(1), window.1.max(1));
        let (wide, high) = picture.map_or((width, height), |picture| {
            (picture.width().max(1), picture.height().max(1))
        });
        // `side` times the ratio, capped at `most`.
        let scaled = |side: u32, by: u32, to: u32, most: u32| {
            let (side, by, to) = (u64::from(side), u64::from(by), u64::from(to));
            let scaled = (side * by + to / 2) / to;
            u32::try_from(scaled).unwrap_or(most).clamp(1, most)
        };
        let is_wider = u64::from(wide) * u64::from(height) >= u64::from(high) * u64::from(width);
        let (across, down) = match is_wider {
            true => (width, scaled(high, width, wide, height)),
            false => (scaled(wide, height, high, width), height),
        };
        Self {
            left: (width - across) / 2,
            top: (height - down) / 2,
            width: across,
            height: down,
        }
    }

    /// Converts a pointer position in the window to the picture's range, from 0 to
    /// [`POINTER_RANGE`]. Clamps positions outside the picture to its edge.
    pub fn shares(&self, x: f64, y: f64) -> (i32, i32) {
        let share = |at: f64, start: u32, all: u32| {
            let last = f64::from(all.max(2) - 1);
            let at = (at - f64::from(start)).clamp(0.0, last);
            (at * f64::from(POINTER_RANGE) / last).round() as i32
        };
        (
            share(x, self.left, self.width),
            share(y, self.top, self.height),
        )
    }
}

/// A visible cursor.
struct Cursor<'a> {
    image: &'a [u32],
    /// The hot spot's column and row on the picture.
    at: (u32, u32),
    hot_spot: (u32, u32),
}

impl Cursor<'_> {
    /// Returns the cursor's row at this row of the picture.
    fn row(&self, y: usize) -> Option<&[u32]> {
        let row = offset(y, self.at.1, self.hot_spot.1)?;
        self.image.chunks(CURSOR_SIZE).nth(row)
    }

    /// Returns the pixel of `row` at this column of the picture.
    fn pixel(&self, row: &[u32], x: usize) -> Option<u32> {
        row.get(offset(x, self.at.0, self.hot_spot.0)?).copied()
    }
}

/// Converts a column or row of the picture to one of the cursor.
fn offset(of: usize, at: u32, hot: u32) -> Option<usize> {
    (of + hot as usize).checked_sub(at as usize)
}

/// Composes the `pixels` of a window of this size; each samples the nearest pixel of the picture.
pub fn compose(
    pixels: &mut [u32],
    window: (u32, u32),
    picture: Option<&Picture>,
    screen: Option<&Screen>,
) {
    pixels.fill(0);
    let place = Place::new(window, picture);
    let (wide, high) = picture.map_or((place.width, place.height), |picture| {
        (picture.width(), picture.height())
    });
    let below = |at: u32, all: u32, of: u32| {
        let below = u64::from(at) * u64::from(of) / u64::from(all);
        usize::try_from(below).unwrap_or(usize::MAX)
    };
    let columns: Vec<usize> = (0..place.width)
        .map(|x| below(x, place.width, wide))
        .collect();
    let cursor = screen.and_then(|screen| {
        let (image, hot_spot) = screen.cursor.as_ref()?;
        Some(Cursor {
            image,
            at: screen.cursor_at,
            hot_spot: *hot_spot,
        })
    });
    let lines = pixels.chunks_mut((window.0 as usize).max(1));
    for (line, row) in lines.skip(place.top as usize).zip(0..place.height) {
        let y = below(row, place.height, high);
        let line = line.iter_mut().skip(place.left as usize).zip(&columns);
        let from = picture.and_then(|picture| {
            let mut rows = picture.pixels().chunks((picture.width() as usize).max(1));
            rows.nth(y)
        });
        let over = cursor
            .as_ref()
            .and_then(|cursor| Some((cursor, cursor.row(y)?)));
        for (to, x) in line {
            if let Some(pixel) = from.and_then(|from| from.get(*x)) {
                *to = pixel & 0x00ff_ffff;
            }
            if let Some(pixel) = over.and_then(|(cursor, row)| cursor.pixel(row, *x)) {
                *to = blend(*to, pixel);
            }
        }
    }
}

/// Blends a pixel `0xAARRGGBB`, whose highest byte is its opacity, over another one.
fn blend(under: u32, over: u32) -> u32 {
    let opacity = over >> 24;
    let channel = |shift: u32| {
        let (a, b) = (under >> shift & 0xff, over >> shift & 0xff);
        ((a * (255 - opacity) + b * opacity + 127) / 255) << shift
    };
    channel(16) | channel(8) | channel(0)
}

#[cfg(test)]
mod tests {
    use super::{Place, blend, compose};
    use screens::{Picture, Screen};
    use viewer::POINTER_RANGE;

    /// A PPM picture whose pixels have the blue values 1, 2, 3 …
    fn picture(width: u32, height: u32) -> Picture {
        let mut file = format!("P6 {width} {height} 255\n").into_bytes();
        file.extend((1..=width * height).flat_map(|pixel| [0, 0, pixel as u8]));
        Picture::read_ppm(&mut file.as_slice()).expect("a picture")
    }

    #[test]
    fn a_cursor_is_blended_by_its_opacity() {
        assert_eq!(blend(0x0010_2030, 0x00ff_ffff), 0x0010_2030);
        assert_eq!(blend(0x0010_2030, 0xff40_5060), 0x0040_5060);
        assert_eq!(blend(0, 0x80ff_0002), 0x0080_0001);
    }

    #[test]
    fn a_cursor_at_the_edge_is_cut() {
        let mut pixels = vec![7; 10 * 5];
        let mut screen = Screen::default();
        screen.cursor = Some((vec![0xffff_ffff; 64 * 64], (62, 63)));
        screen.cursor_at = (0, 0);
        let white = |pixels: &[u32]| -> Vec<usize> {
            (0..50).filter(|place| pixels[*place] != 0).collect()
        };
        compose(
            &mut pixels,
            (10, 5),
            Some(&Picture::black(10, 5)),
            Some(&screen),
        );
        assert_eq!(white(&pixels), [0, 1]);
        // The cursor scales with the picture.
        compose(
            &mut pixels,
            (10, 5),
            Some(&Picture::black(5, 2)),
            Some(&screen),
        );
        assert_eq!(white(&pixels), [0, 1, 2, 3, 10, 11, 12, 13]);
        screen.cursor_at = (u32::MAX, u32::MAX);
        compose(&mut pixels, (10, 5), None, Some(&screen));
        assert!(pixels.iter().all(|pixel| *pixel == 0));
    }

    #[test]
    fn a_picture_is_as_large_as_its_window_lets_it_be() {
        let shown = |width: u32, height: u32, of: &Picture| {
            let mut pixels = vec![9; width as usize * height as usize];
            compose(&mut pixels, (width, height), Some(of), None);
            pixels
        };
        assert_eq!(shown(2, 2, &picture(2, 2)), [1, 2, 3, 4]);
        #[rustfmt::skip]
        assert_eq!(shown(6, 4, &picture(2, 2)), [
            0, 1, 1, 2, 2, 0,
            0, 1, 1, 2, 2, 0,
            0, 3, 3, 4, 4, 0,
            0, 3, 3, 4, 4, 0,
        ]);
        // Black above and below; too large a picture is scaled down.
        assert_eq!(shown(2, 3, &picture(4, 2)), [0, 0, 1, 3, 0, 0]);
        assert_eq!(shown(1, 1, &picture(100, 1)), [1]);
        assert_eq!(shown(1, 2, &picture(1, 100)), [1, 51]);
    }

    #[test]
    fn a_pointer_is_at_a_share_of_the_picture() {
        let place = Place::new((1280, 800), Some(&picture(16, 16)));
        let end = POINTER_RANGE;
        assert_eq!(place.shares(240.0, 0.0), (0, 0));
        assert_eq!(place.shares(1039.0, 799.0), (end, end));
        assert_eq!(
            place.shares(239.0 + 400.5, 399.5),
            (end / 2 + 1, end / 2 + 1)
        );
        // Positions outside the picture are clamped to its edge.
        assert_eq!(place.shares(3.0, 900.0), (0, end));
        assert_eq!(place.shares(f64::from(u32::MAX), -5.0), (end, 0));
        let whole = Place::new((101, 51), None);
        assert_eq!(whole.shares(100.0, 25.0), (end, (end + 1) / 2));
    }
}
