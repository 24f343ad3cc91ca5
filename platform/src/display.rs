//! Displays: what they are, the frame buffers that they show, and their cursors.
//!
//! A display is used from calls only. No call but [`DisplayDevice::open`] blocks:
//! [`DisplayDevice::present`] takes a tag, and [`DisplayDevice::poll`] reports its end. The device
//! may be slow, or never answer: the caller gives an operation up after [`TIMEOUT_NS`].
//!
//! # Memory
//! The device owns the memory of its buffers ([`Buffer`]), and the program draws into it. What the
//! program draws between [`present`](DisplayDevice::present) and the report of its end may or may
//! not be shown. The memory stays valid until [`release`](DisplayDevice::release), which the caller
//! makes when the program can reach it no more; the device frees it when nothing reads it any more.

use crate::error::Failure;
use crate::{Displays, Wait};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ptr::NonNull;

pub use device_types::display::{Mode, Rectangle};

/// How long a display may take for a request, in nanoseconds.
pub const TIMEOUT_NS: u64 = 10_000_000_000;

/// Width and height of a cursor's image, in pixels (virtio 1.2, 5.7.6.10).
pub const CURSOR_SIZE: usize = 64;

/// The most calls of [`DisplayDevice::present`] of a display that have not ended.
pub const MAX_PRESENTS: usize = 2;

/// The smallest and the largest width or height of a buffer, in pixels.
pub const BUFFER_SIDE: core::ops::RangeInclusive<u32> = 16..=8192;

/// The state of a display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether something shows the picture: a monitor that is plugged in, a window that is open.
    /// Without it a picture may be presented, too.
    pub connected: bool,
    /// The size that fits now, in pixels: of the window, or the monitor's own resolution. 0 while
    /// the display is not connected.
    pub width: u32,
    /// See [`State::width`].
    pub height: u32,
    /// The modes of the monitor by its EDID, the preferred one first; empty where there is no EDID.
    pub modes: Vec<Mode>,
    /// The monitor's name by its EDID.
    pub monitor: Option<String>,
    /// Width and height of the picture on the monitor in millimetres, by its EDID.
    pub size_mm: Option<(u32, u32)>,
    /// The EDID as it was received; empty where there is none.
    pub edid: Vec<u8>,
}

/// Number of a buffer of one display. It is not used again while the program runs.
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
    /// The first pixel of the upper row. Zeros (black) at first.
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
    /// The call of [`DisplayDevice::present`] with this tag has ended: the device has read the
    /// buffer and shows it, or why it doesn't.
    Presented(u64, Result<(), Failure>),
    /// [`DisplayDevice::state`] is another than before: connected, disconnected, or resized.
    Changed,
}

/// A display of platform `P`.
pub trait DisplayDevice<P: Displays> {
    /// Its name: `display0` and so on, in a fixed order.
    fn name(&self) -> &str;

    /// Its state as of the start or the last [`Event::Changed`].
    fn state(&self) -> &State;

    /// The program opens it. An image whose console is on it blocks meanwhile, until the device has
    /// told its displays, or for two seconds: then the state is that of before, and the answer
    /// comes as [`Event::Changed`].
    ///
    /// # Errors
    /// [`Io`](crate::error::Error::Io): the device is out of use.
    fn open(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// The program closes it, which was open: the console may be shown there again.
    fn close(&mut self) {}

    /// Makes a buffer. Any size within [`BUFFER_SIDE`] may be shown: the first
    /// [`present`](DisplayDevice::present) of a buffer of another size changes the mode.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Error::Invalid): a side is out of range;
    /// [`OutOfMemory`](crate::error::Error::OutOfMemory); [`Io`](crate::error::Error::Io): the
    /// device is out of use. What the device itself refuses, the next `present` reports.
    fn create(&mut self, width: u32, height: u32) -> Result<Buffer, Failure>;

    /// Gives a buffer back. The program can't reach its memory any more; a `present` of it may
    /// still be unfinished. If the buffer is shown, the picture stays or becomes black. An unknown
    /// number is ignored.
    fn release(&mut self, buffer: BufferId);

    /// Shows a buffer. The damage is what has changed in this buffer since it was presented last;
    /// a new one has changed everywhere, whatever the damage says. Rectangles are clipped. The
    /// device may begin only at the next [`kick`](DisplayDevice::kick). Ends as
    /// [`Event::Presented`], in the order of the calls.
    ///
    /// # Errors
    /// [`Busy`](crate::error::Error::Busy): [`MAX_PRESENTS`] have not ended yet; try again after
    /// one has. [`Invalid`](crate::error::Error::Invalid): there is no such buffer.
    /// [`Io`](crate::error::Error::Io): the device is out of use.
    fn present(&mut self, buffer: BufferId, damage: &[Rectangle], tag: u64) -> Result<(), Failure>;

    /// Shows nothing from now on, until the next [`present`](DisplayDevice::present).
    ///
    /// # Errors
    /// [`Io`](crate::error::Error::Io): the device is out of use.
    fn disable(&mut self) -> Result<(), Failure>;

    /// Sets the image of the cursor and shows it. Its pixels are `0xAARRGGBB`, row by row; the hot
    /// spot is the pixel of it that points. Of several calls in a short time the last one counts,
    /// which is so for the position, too.
    ///
    /// # Errors
    /// [`Unsupported`](crate::error::Error::Unsupported): the display has no cursor of its own.
    /// [`Invalid`](crate::error::Error::Invalid): the hot spot is outside of the image.
    /// [`OutOfMemory`](crate::error::Error::OutOfMemory); [`Io`](crate::error::Error::Io): the
    /// device is out of use.
    fn set_cursor(
        &mut self,
        image: &[u32; CURSOR_SIZE * CURSOR_SIZE],
        hot_spot: (u32, u32),
    ) -> Result<(), Failure>;

    /// Moves the hot spot of the cursor to a pixel of the display. The position counts for an
    /// image that is set later, too.
    fn move_cursor(&mut self, x: u32, y: u32);

    /// Hides the cursor, until its image is set again.
    fn hide_cursor(&mut self);

    /// Starts what was submitted.
    fn kick(&mut self);

    /// Before a wait: adds the event that [`poll`](DisplayDevice::poll) has something to report.
    fn arm(&mut self, interest: &mut <P as Wait>::Interest);

    /// Does what there is to do, and reports what has ended or changed. A device that breaks the
    /// protocol is reset: everything unfinished ends with [`Io`](crate::error::Error::Io), the
    /// display is disconnected, and the memory of buffers stays the program's.
    fn poll(&mut self, report: &mut dyn FnMut(Event));
}

/// The displays of a platform.
pub type All<P> = Vec<Box<dyn DisplayDevice<P>>>;
