//! Displays.

use crate::ffi::{Bytes, Int, Ints, Pixels, Text};
use resources::displays as glue;
use resources::runtime::call;

/// Copies the name of display `display` (from 0) to `into[off .. off + len]`, cut where it doesn't
/// fit; returns its whole length. The first use of displays opens them. Errors: `Not_found` after
/// the last display; `Bad_configuration`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_name(display: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::name(rt, display, into.range(off, len)?))
}

/// Opens the display `name`, or the first one for an empty name; the result is its place (from 0).
/// Errors: `No_device` with a detail that says what to do, or lists the displays there are; `Busy`
/// when it is open; `Bad_configuration`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_open(name: Text) -> Int {
    call(|rt| glue::open(rt, name.utf8()?))
}

/// Closes a display. Waiting operations end with `Closed`. The picture stays, the cursor is hidden,
/// and the program keeps the memory of its buffers for as long as it can reach it.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_close(display: Int) -> Int {
    call(|rt| glue::close(rt, display))
}

/// Fills `into` with: whether the display is connected (1); the width and height that fit it now,
/// in pixels; width and height of its picture in millimetres, 0 if not known; the number of its
/// modes; the number of changes of all this so far; the number of the last frame, 0 if there is
/// none yet.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_info(display: Int, mut into: Ints) -> Int {
    call(|rt| {
        into.fill(&glue::info(rt, display)?);
        Ok(0)
    })
}

/// Fills `into` with width, height and refresh rate (in thousandths of a hertz, 0 if not known) of
/// mode `mode` (from 0; the preferred one first). Errors: `Not_found` after the last mode.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_mode(display: Int, mode: Int, mut into: Ints) -> Int {
    call(|rt| {
        into.fill(&glue::mode(rt, display, mode)?);
        Ok(0)
    })
}

/// Copies the monitor's name as [`soil_display_name`] does; 0 if it has none.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_monitor(display: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::monitor(rt, display, into.range(off, len)?))
}

/// Copies the monitor's EDID as [`soil_display_name`] does; 0 if it has none.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_edid(display: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::edid(rt, display, into.range(off, len)?))
}

/// Waits until there were more or fewer changes than `seen`; the result is their number.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_changed(display: Int, seen: Int, token: Int) -> Int {
    call(|rt| glue::changed(rt, display, seen, token))
}

/// Makes a frame buffer of black pixels and points `into`, an empty bigarray that isn't used for
/// anything else, at its memory: a row for each line, of which the first `width` pixels are shown.
/// A pixel is `0xXXRRGGBB`. The result is the buffer's number. Errors: `Invalid` (a side isn't
/// within 16 and 8192, or `into` isn't empty), `Out_of_memory`, `Io`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_buffer(
    display: Int,
    width: Int,
    height: Int,
    mut into: Pixels,
) -> Int {
    call(|rt| {
        let (mut view, columns) = into.view();
        glue::create(rt, display, (width, height), &mut view, columns)
    })
}

/// Ends the use of a buffer: `pixels`, the bigarray that showed it, is empty from now on. The
/// memory is used again once no part of it can be reached and the display shows another buffer.
/// Errors: `Closed` (there is no such buffer), `Invalid` (it is another one's bigarray).
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_release(display: Int, buffer: Int, mut pixels: Pixels) -> Int {
    call(|rt| glue::release(rt, display, buffer, &mut pixels.view().0))
}

/// Shows a buffer. `damage` has the rectangles that have changed in it since it was shown last:
/// column, row, width and height of each. The result is the number of the frame, from 1 on. Errors:
/// `Busy` (two frames haven't ended), `Invalid`, `Closed`, `Io`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_present(display: Int, buffer: Int, mut damage: Ints) -> Int {
    call(|rt| glue::present(rt, display, buffer, damage.all()))
}

/// Waits until a frame has ended: the display has read the buffer and shows it. Errors: `Io`, and
/// `Timed_out` when the display doesn't answer within ten seconds.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_await(display: Int, frame: Int, token: Int) -> Int {
    call(|rt| glue::await_frame(rt, display, frame, token))
}

/// Shows nothing until the next frame. Errors: `Io`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_disable(display: Int) -> Int {
    call(|rt| glue::disable(rt, display))
}

/// Sets the cursor's image, 64 rows of 64 pixels `0xAARRGGBB`, and shows it; `x` and `y` are the
/// pixel of it that points. Errors: `Invalid`, `Unsupported` (the display has no cursor), `Io`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_set_cursor(display: Int, mut image: Pixels, x: Int, y: Int) -> Int {
    call(|rt| glue::set_cursor(rt, display, image.all(), (x, y)))
}

/// Moves the cursor to a pixel of the display. Errors: `Invalid` (a negative number).
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_move_cursor(display: Int, x: Int, y: Int) -> Int {
    call(|rt| glue::move_cursor(rt, display, x, y))
}

/// Hides the cursor until its image is set.
#[unsafe(no_mangle)]
pub extern "C" fn soil_display_hide_cursor(display: Int) -> Int {
    call(|rt| glue::hide_cursor(rt, display))
}
