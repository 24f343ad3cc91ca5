//! Displays: their state, the frame buffers that they show, and their cursors.
//!
//! A display is used from calls only. No call except [`DisplayDevice::open`] blocks:
//! [`DisplayDevice::present`] takes a tag, and [`DisplayDevice::poll`] reports its completion. The
//! device may be slow, or never respond: the caller abandons an operation after [`TIMEOUT_NS`].
//!
//! # Memory
//! The device owns the memory of its buffers ([`Buffer`]), and the program draws into it. What the
//! program draws between [`present`](DisplayDevice::present) and the report of its completion may
//! or may not be shown. The memory stays valid until [`release`](DisplayDevice::release), which the
//! caller calls when the program can no longer access it; the device frees it when nothing reads it
//! any more.

use crate::error::Failure;
use crate::{Displays, Wait};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ptr::NonNull;

pub use device_types::display::{Mode, Rectangle};

/// Timeout of a display's request, in nanoseconds.
pub const TIMEOUT_NS: u64 = 10_000_000_000;

/// Width and height of a cursor's image, in pixels (virtio 1.2, 5.7.6.10).
pub const CURSOR_SIZE: usize = 64;

/// Maximum number of [`DisplayDevice::present`] calls of a display in progress.
pub const MAX_PRESENTS: usize = 2;

/// Minimum and maximum width or height of a buffer, in pixels.
pub const BUFFER_SIDE: core::ops::RangeInclusive<u32> = 16..=8192;

/// The state of a display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether the picture is visible: a connected monitor, an open window. A picture may be
    /// presented in any case.
    pub connected: bool,
    /// The fitting size, in pixels: the window's, or the monitor's native resolution. 0 while the
    /// display is not connected.
    pub width: u32,
    /// See [`State::width`].
    pub height: u32,
    /// The modes in the monitor's EDID, the preferred one first; empty without an EDID.
    pub modes: Vec<Mode>,
    /// The monitor's name in its EDID.
    pub monitor: Option<String>,
    /// Width and height of the picture on the monitor in millimetres, from its EDID.
    pub size_mm: Option<(u32, u32)>,
    /// The EDID as received; empty without one.
    pub edid: Vec<u8>,
}

/// Number of a buffer of one display. It is never reused while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(pub u32);

/// A frame buffer: `height` rows of `stride` pixels in memory, of which `width` are shown.
///
/// A pixel is a 32-bit number in the machine's (little-endian) order, `0xXXRRGGBB`; the highest
/// byte is ignored (`XRGB8888` of DRM, `B8G8R8X8_UNORM` of virtio).
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Its number.
    pub id: BufferId,
    /// The first pixel of the upper row. Initially zeros (black).
    pub pixels: NonNull<u32>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pixels from the beginning of a row to that of the next, at least `width`.
    pub stride: u32,
}

/// A change that [`DisplayDevice::poll`] reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The call of [`DisplayDevice::present`] with this tag has completed: the device has read the
    /// buffer and shows it, or the reason why not.
    Presented(u64, Result<(), Failure>),
    /// [`DisplayDevice::state`] has changed: connected, disconnected, or resized.
    Changed,
}

/// A display of platform `P`.
pub trait DisplayDevice<P: Displays> {
    /// Its name: `display0` and so on, in a fixed order.
    fn name(&self) -> &str;

    /// Its state as of the start or the last [`Event::Changed`].
    fn state(&self) -> &State;

    /// The program opens it. In an image with the console on it this blocks until the device has
    /// reported its displays, or for two seconds: then the state is the previous one, and the
    /// result is reported as [`Event::Changed`].
    ///
    /// # Errors
    /// [`Io`](crate::error::Error::Io): the device is out of use.
    fn open(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// The program closes an open display: the console may be shown there again.
    fn close(&mut self) {}

    /// Creates a buffer. Any size within [`BUFFER_SIDE`] may be shown: the first
    /// [`present`](DisplayDevice::present) of a buffer of another size changes the mode.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid): a side is out of range;
    /// [`OutOfMemory`](crate::error::Error::OutOfMemory); [`Io`](crate::error::Error::Io): the
    /// device is out of use. Refusals of the device itself are reported by the next `present`.
    fn create(&mut self, width: u32, height: u32) -> Result<Buffer, Failure>;

    /// Releases a buffer. The program can no longer access its memory; a `present` of it may still
    /// be in progress. If the buffer is shown, the picture stays or becomes black. An unknown
    /// number is ignored.
    fn release(&mut self, buffer: BufferId);

    /// Shows a buffer. The damage is what has changed in this buffer since its last present; all of
    /// a new one counts as changed. Rectangles are clipped. The device may begin only at the next
    /// [`kick`](DisplayDevice::kick). Completes as [`Event::Presented`], in the order of the calls.
    ///
    /// # Errors
    /// [`Busy`](crate::error::Error::Busy): [`MAX_PRESENTS`] are in progress; retry after one has
    /// completed. [`Invalid`](crate::error::Error::Invalid): no such buffer.
    /// [`Io`](crate::error::Error::Io): the device is out of use.
    fn present(&mut self, buffer: BufferId, damage: &[Rectangle], tag: u64) -> Result<(), Failure>;

    /// Shows nothing from now on, until the next [`present`](DisplayDevice::present).
    ///
    /// # Errors
    /// [`Io`](crate::error::Error::Io): the device is out of use.
    fn disable(&mut self) -> Result<(), Failure>;

    /// Sets the image of the cursor and shows it. Its pixels are `0xAARRGGBB`, row by row. Of
    /// several calls in quick succession the last one counts, for the position as well.
    ///
    /// # Errors
    /// [`Unsupported`](crate::error::Error::Unsupported): the display has no cursor of its own.
    /// [`Invalid`](crate::error::Error::Invalid): the hot spot is outside the image.
    /// [`OutOfMemory`](crate::error::Error::OutOfMemory); [`Io`](crate::error::Error::Io): the
    /// device is out of use.
    fn set_cursor(
        &mut self,
        image: &[u32; CURSOR_SIZE * CURSOR_SIZE],
        hot_spot: (u32, u32),
    ) -> Result<(), Failure>;

    /// Moves the hot spot of the cursor to a pixel of the display. The position also applies to an
    /// image that is set later.
    fn move_cursor(&mut self, x: u32, y: u32);

    /// Hides the cursor, until its image is set again.
    fn hide_cursor(&mut self);

    /// Starts submitted operations.
    fn kick(&mut self);

    /// The time of the next [`poll`](DisplayDevice::poll) without an event, in nanoseconds of the
    /// monotonic clock.
    fn deadline(&self) -> Option<u64> {
        None
    }

    /// Before a wait: adds events of [`poll`](DisplayDevice::poll) to the awaited ones.
    fn arm(&mut self, interest: &mut <P as Wait>::Interest);

    /// Does pending work, and reports completions and changes. A device that breaks the protocol is
    /// reset: all unfinished work ends with [`Io`](crate::error::Error::Io), the display is
    /// disconnected, and the memory of buffers stays the program's.
    fn poll(&mut self, report: &mut dyn FnMut(Event));
}

/// The displays of a platform.
pub type All<P> = Vec<Box<dyn DisplayDevice<P>>>;
