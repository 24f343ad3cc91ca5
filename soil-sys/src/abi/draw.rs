//! Shapes and text in pixels of any memory.
//!
//! What needs no memory of Soil's can be called in every domain.
//!
//! A colour is `0xAARRGGBB`; its highest byte says how opaque it is. Positions are in pixels from
//! the left upper corner. What isn't on the picture is left out. A function answers `Invalid` where
//! a side of the picture is longer than 32767 pixels.

use crate::ffi::{Int, Ints, Pixels, Text};
use platform::error::Error;
use resources::draw as glue;
use resources::runtime::{call, encode};

/// Paints `width` columns from `x` on in `height` rows from `y` on.
#[unsafe(no_mangle)]
pub extern "C" fn soil_draw_fill(
    mut pixels: Pixels,
    x: Int,
    y: Int,
    width: Int,
    height: Int,
    colour: Int,
) -> Int {
    encode(glue::fill(pixels.rows(), (x, y), (width, height), colour))
}

/// Paints the outline that the first `len` numbers of `commands` are: 0 and a point (move), 1 and a
/// point (line), 2 and two points (quadratic curve), 3 and three points (cubic curve), 4 (close).
/// They and `width` are in 1024ths of a pixel. `shape` is 0 for what the outline encloses, 1 for
/// what it encloses an odd number of times, 2 for a line of `width` along it, 3 for one with round
/// ends and corners. Errors: `Invalid` (another number in the place of these); `Busy` as every call
/// of the runtime.
#[unsafe(no_mangle)]
pub extern "C" fn soil_draw_path(
    mut pixels: Pixels,
    mut commands: Ints,
    len: Int,
    shape: Int,
    width: Int,
    colour: Int,
) -> Int {
    // The heap is the runtime's: a tick may come at any time.
    call(|_| glue::path(pixels.rows(), commands.all(), len, (shape, width), colour))
}

/// Sets text from its left upper corner, each pixel of the font as a square of `scale` pixels.
/// `font` is 0 for 6 by 10, 1 for 8 by 13, 2 for 8 by 13 in bold, 3 for 10 by 20 pixels. Errors:
/// `Invalid` (no such font), `Invalid_name` (the text isn't UTF-8).
#[unsafe(no_mangle)]
pub extern "C" fn soil_draw_text(
    mut pixels: Pixels,
    x: Int,
    y: Int,
    text: Text,
    font: Int,
    scale: Int,
    colour: Int,
) -> Int {
    encode(glue::text(
        pixels.rows(),
        (x, y),
        text.all(),
        (font, scale),
        colour,
    ))
}

/// Copies a picture, whose left upper corner comes to (`x`, `y`). Errors: `Invalid` (they are in
/// the same memory).
#[unsafe(no_mangle)]
pub extern "C" fn soil_draw_copy(mut pixels: Pixels, x: Int, y: Int, mut from: Pixels) -> Int {
    if pixels.overlaps(&from) {
        return encode(Err(Error::Invalid.into()));
    }
    encode(glue::copy(pixels.rows(), (x, y), from.rows()))
}
