//! What a window shows: the picture in its upper left corner, and the cursor.

use screens::{Picture, Screen};
use viewer::CURSOR_SIZE;

/// Composes the `pixels` of a window of this width.
pub fn compose(pixels: &mut [u32], width: u32, picture: Option<&Picture>, screen: Option<&Screen>) {
    pixels.fill(0);
    let width = (width as usize).max(1);
    if let Some(picture) = picture {
        let rows = picture.pixels().chunks((picture.width() as usize).max(1));
        for (to, from) in pixels.chunks_mut(width).zip(rows) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = from & 0x00ff_ffff;
            }
        }
    }
    let Some((image, hot_spot)) = screen.and_then(|screen| screen.cursor.as_ref()) else {
        return;
    };
    let at = screen.map_or((0, 0), |screen| screen.cursor_at);
    let place = |at: u32, hot: u32, offset: usize| (at as usize + offset).checked_sub(hot as usize);
    for (row, line) in image.chunks(CURSOR_SIZE).enumerate() {
        for (column, over) in line.iter().enumerate() {
            let x = place(at.0, hot_spot.0, column).filter(|x| *x < width);
            let y = place(at.1, hot_spot.1, row);
            let index = x
                .zip(y)
                .and_then(|(x, y)| y.checked_mul(width)?.checked_add(x));
            if let Some(pixel) = index.and_then(|index| pixels.get_mut(index)) {
                *pixel = blend(*pixel, *over);
            }
        }
    }
}

/// A pixel `0xAARRGGBB`, whose highest byte says how opaque it is, on another one.
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
    use super::{blend, compose};
    use screens::{Picture, Screen};

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
        let picture = Picture::black(20, 3);
        compose(&mut pixels, 10, Some(&picture), Some(&screen));
        let white: Vec<usize> = (0..50).filter(|place| pixels[*place] != 0).collect();
        assert_eq!(white, [0, 1]);
        screen.cursor_at = (u32::MAX, u32::MAX);
        compose(&mut pixels, 10, None, Some(&screen));
        assert!(pixels.iter().all(|pixel| *pixel == 0));
    }
}
