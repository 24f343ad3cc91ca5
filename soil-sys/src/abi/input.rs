//! Keyboards, pointers, touch screens.

use crate::ffi::{Bytes, Int, Ints};
use resources::inputs as glue;
use resources::runtime::call;

/// Opens the input devices; the result is their number. Their events are those from now on. Errors:
/// `No_device` with a detail that says what to do; `Busy` when they are open; `Bad_configuration`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_input_open() -> Int {
    call(glue::open)
}

/// Closes the input devices. A waiting operation ends with `Closed`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_input_close() -> Int {
    call(glue::close)
}

/// Copies the description of device `device` (from 0) to `into[off .. off + len]`, cut where it
/// doesn't fit, and returns its whole length. Each line is a word and numbers, or text: `ids`, bus,
/// vendor, product, version; `properties`, `keys`, `relative`, `switches`, `leds`, the codes of
/// evdev; for each axis `absolute`, code, minimum, maximum, fuzz, flat, resolution; `repeats`, 1 if
/// held keys are to be repeated; `serial`; `name`. Errors: `Not_found` after the last device.
#[unsafe(no_mangle)]
pub extern "C" fn soil_input_describe(device: Int, mut into: Bytes, off: Int, len: Int) -> Int {
    call(|rt| glue::describe(rt, device, into.range(off, len)?))
}

/// Waits for events and fills `into` with five numbers for each: device, monotonic nanoseconds,
/// type, code and value as in evdev. The result is their number. Errors: `Invalid` (no room for
/// one), `Busy` (another operation waits), `Closed`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_input_next(mut into: Ints, token: Int) -> Int {
    call(|rt| glue::next(rt, into.piece(), token))
}

/// Switches light `led` of a device on (1) or off (0). Errors: `Not_found`, `Unsupported` (the
/// device has no such light), `Io`, `Closed`.
#[unsafe(no_mangle)]
pub extern "C" fn soil_input_set_led(device: Int, led: Int, on: Int) -> Int {
    call(|rt| glue::set_led(rt, device, led, on != 0))
}
