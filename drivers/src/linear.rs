//! A frame buffer that the firmware has set up, such as that of UEFI's graphics output (UEFI 2.10,
//! 12.9): video memory at a physical address, in one mode, for good. It has no interrupts, no
//! cursor, no hot-plug and no registers.
//!
//! [`Mode::parse`] reads what the loader says of it. [`Linear`] has buffers for a program's
//! pictures, [`Picture`] one for a console; both draw in ordinary memory and copy the damaged parts
//! to video memory, which is slow to read.

use core::fmt;
use core::ptr::NonNull;

use crate::gpu::{Rectangle, SIDE};
use crate::shadow::Shadows;
use crate::{MemoryRef, Region};

/// Maximum of video memory, in bytes: the largest picture.
const MAX_VIDEO: u64 = 8192 * 8192 * 4;

/// The order of the bytes of a pixel, in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Blue first: `0xXXRRGGBB`, as in the buffers.
    Bgr,
    /// Red first.
    Rgb,
}

/// The mode and the place of a frame buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Physical address.
    pub address: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pixels of four bytes from the beginning of a row to that of the next.
    pub stride: u32,
    /// The order of a pixel's bytes.
    pub order: Order,
}

/// Reason for which an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinearError {
    /// The mode isn't `ADDRESS,WIDTHxHEIGHT,STRIDE,ORDER`.
    Malformed,
    /// A side that is out of [`SIDE`], or a stride less than the width, or too much video memory.
    Size,
    /// The address isn't a multiple of 4, or is memory of the program, or beyond the processor's.
    Address,
    /// Out of memory for a buffer.
    OutOfMemory,
    /// No such buffer, or a side that is out of [`SIDE`].
    Invalid,
    /// The picture is larger than the mode, which can't be changed.
    TooLarge {
        /// Width of the mode.
        width: u32,
        /// Height of the mode.
        height: u32,
    },
}

impl fmt::Display for LinearError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinearError::Malformed => f.write_str("not ADDRESS,WIDTHxHEIGHT,STRIDE and bgr or rgb"),
            LinearError::Size => f.write_str("an impossible size"),
            LinearError::Address => f.write_str("its address isn't that of video memory"),
            LinearError::OutOfMemory => f.write_str("not enough contiguous memory"),
            LinearError::Invalid => f.write_str("no such picture, or an impossible size"),
            LinearError::TooLarge { width, height } => write!(
                f,
                "the firmware's display has {width}x{height} pixels, and shows no larger picture"
            ),
        }
    }
}

impl Mode {
    /// Reads `ADDRESS,WIDTHxHEIGHT,STRIDE,ORDER`: the address in hexadecimal digits after `0x`, the
    /// stride in pixels, the order `bgr` or `rgb`.
    ///
    /// # Errors
    ///
    /// [`LinearError::Malformed`], [`LinearError::Size`], [`LinearError::Address`].
    ///
    /// ```
    /// use drivers::linear::{LinearError, Mode, Order};
    ///
    /// let mode = Mode::parse(b"0x80000000,800x600,832,bgr")?;
    /// assert_eq!((mode.width, mode.stride, mode.order), (800, 832, Order::Bgr));
    /// assert_eq!(Mode::parse(b"0x80000000,800x600,799,bgr"), Err(LinearError::Size));
    /// # Ok::<(), LinearError>(())
    /// ```
    pub fn parse(text: &[u8]) -> Result<Mode, LinearError> {
        let mode = Mode::read(text).ok_or(LinearError::Malformed)?;
        let is_side = |side: u32| SIDE.contains(&side);
        if !is_side(mode.width)
            || !is_side(mode.height)
            || mode.stride < mode.width
            || mode.bytes() > MAX_VIDEO
        {
            return Err(LinearError::Size);
        }
        let is_address = mode.address > 0 && mode.address.is_multiple_of(4);
        match is_address && mode.address.checked_add(mode.bytes()).is_some() {
            true => Ok(mode),
            false => Err(LinearError::Address),
        }
    }

    fn read(text: &[u8]) -> Option<Mode> {
        let text = core::str::from_utf8(text).ok()?;
        let mut parts = text.split(',');
        let mut next = || parts.next();
        let address = u64::from_str_radix(next()?.strip_prefix("0x")?, 16).ok()?;
        let (width, height) = next()?.split_once('x')?;
        let stride = next()?.parse().ok()?;
        let order = match next()? {
            "bgr" => Order::Bgr,
            "rgb" => Order::Rgb,
            _ => return None,
        };
        next().is_none().then_some(Mode {
            address,
            width: width.parse().ok()?,
            height: height.parse().ok()?,
            stride,
            order,
        })
    }

    /// Bytes of video memory.
    fn bytes(&self) -> u64 {
        u64::from(self.stride)
            .saturating_mul(u64::from(self.height))
            .saturating_mul(4)
    }
}

/// The video memory of a mode, mapped.
struct Video {
    memory: MemoryRef,
    mode: Mode,
    pixels: NonNull<u32>,
}

impl Video {
    fn new(memory: MemoryRef, mode: Mode) -> Result<Video, LinearError> {
        let len = usize::try_from(mode.bytes()).map_err(|_| LinearError::Size)?;
        let pixels = memory.map_video(mode.address, len);
        let pixels = pixels.ok_or(LinearError::Address)?.cast();
        Ok(Video {
            memory,
            mode,
            pixels,
        })
    }

    /// The first pixel of a row of the mode, from column `x` on.
    fn at(&mut self, x: u32, y: u32) -> NonNull<u32> {
        debug_assert!(x < self.mode.width && y < self.mode.height);
        let index = y as usize * self.mode.stride as usize + x as usize;
        // SAFETY: a pixel of the mode, whose rows are mapped for good.
        unsafe { self.pixels.add(index) }
    }

    /// Makes everything black.
    fn clear(&mut self) {
        for y in 0..self.mode.height {
            let row = self.at(0, y);
            // SAFETY: a row of the mode.
            unsafe { row.write_bytes(0, self.mode.width as usize) };
        }
        self.memory.barrier();
    }

    /// Copies a part of a buffer, which may have pixels outside the mode: those aren't shown. The
    /// buffer is at the upper left corner.
    ///
    /// # Safety
    ///
    /// Whole rows of `width` pixels are readable at `from`, up to the end of the part.
    unsafe fn copy(&mut self, from: NonNull<u32>, width: u32, part: Rectangle) {
        let Some(part) = part.clipped(self.mode.width.min(width), self.mode.height) else {
            return;
        };
        let len = part.width as usize;
        for y in part.y..part.y + part.height {
            let to = self.at(part.x, y);
            let start = y as usize * width as usize + part.x as usize;
            // SAFETY: the part lies in the mode and in the buffer; they don't overlap, since video
            // memory is no memory of the program. The picture may show what is drawn meanwhile.
            unsafe {
                let from = from.add(start);
                match self.mode.order {
                    Order::Bgr => to.copy_from_nonoverlapping(from, len),
                    Order::Rgb => {
                        for x in 0..len {
                            to.add(x).write(swapped(from.add(x).read()));
                        }
                    }
                }
            }
        }
    }
}

/// A pixel with red and blue exchanged.
fn swapped(pixel: u32) -> u32 {
    pixel.swap_bytes() >> 8
}

// SAFETY: video memory stays mapped for good, and may be written from any thread.
unsafe impl Send for Video {}

/// A frame buffer of the firmware for a program's pictures. Dropping it frees its buffers; the
/// picture stays.
pub struct Linear {
    video: Video,
    buffers: Shadows,
    /// The number of the buffer on display; 0: none.
    shown: u32,
}

impl Linear {
    /// Maps the frame buffer. The picture stays until the first [`present`](Linear::present).
    ///
    /// # Errors
    ///
    /// [`LinearError::Address`].
    pub fn new(memory: MemoryRef, mode: Mode) -> Result<Linear, LinearError> {
        Ok(Linear {
            video: Video::new(memory, mode)?,
            buffers: Shadows::new(memory),
            shown: 0,
        })
    }

    /// Allocates a black buffer. Returns its number, which is never reused, and its pixels, row by
    /// row. The caller may draw into the memory until [`release`](Linear::release).
    ///
    /// # Errors
    ///
    /// [`LinearError::Invalid`], [`LinearError::TooLarge`], [`LinearError::OutOfMemory`].
    pub fn create(&mut self, width: u32, height: u32) -> Result<(u32, NonNull<u32>), LinearError> {
        if !SIDE.contains(&width) || !SIDE.contains(&height) {
            return Err(LinearError::Invalid);
        }
        let mode = &self.video.mode;
        if width > mode.width || height > mode.height {
            return Err(LinearError::TooLarge {
                width: mode.width,
                height: mode.height,
            });
        }
        let created = self.buffers.create(width, height);
        created.ok_or(LinearError::OutOfMemory)
    }

    /// Frees a buffer, whose memory the caller must no longer use. The picture stays. An unknown
    /// number is ignored.
    pub fn release(&mut self, number: u32) {
        self.buffers.release(number);
    }

    /// Shows a buffer in the upper left corner, the rest black: copies the damaged parts, or all of
    /// it if another picture was shown. It is on the display when this returns.
    ///
    /// # Errors
    ///
    /// [`LinearError::Invalid`].
    pub fn present(&mut self, number: u32, damage: &[Rectangle]) -> Result<(), LinearError> {
        let buffer = self.buffers.find(number).ok_or(LinearError::Invalid)?;
        let (width, height) = (buffer.width, buffer.height);
        let whole = Rectangle::of(width, height);
        let is_new = self.shown != number;
        let mode = &self.video.mode;
        if is_new && (width, height) != (mode.width, mode.height) {
            self.video.clear();
        }
        self.shown = number;
        let parts = if is_new { &[whole][..] } else { damage };
        for part in parts.iter().filter_map(|part| part.clipped(width, height)) {
            // SAFETY: a part of the buffer, which lives until `release`.
            unsafe { self.video.copy(buffer.region.ptr(0).cast(), width, part) };
        }
        self.video.memory.barrier();
        Ok(())
    }

    /// Shows black until the next present.
    pub fn disable(&mut self) {
        self.forget();
        self.video.clear();
    }

    /// The next present shows everything: something else was drawn there.
    pub fn forget(&mut self) {
        self.shown = 0;
    }
}

/// A frame buffer of the firmware for one picture in memory of its own: that of a console. It
/// allocates nothing once it has its memory, so that a crash can be shown as well.
pub struct Picture {
    video: Video,
    pixels: Option<Region>,
    /// Whether it is on the display.
    is_shown: bool,
}

impl Picture {
    /// Maps the frame buffer.
    ///
    /// # Errors
    ///
    /// [`LinearError::Address`].
    pub fn new(memory: MemoryRef, mode: Mode) -> Result<Picture, LinearError> {
        Ok(Picture {
            video: Video::new(memory, mode)?,
            pixels: None,
            is_shown: false,
        })
    }

    /// Its mode.
    pub fn mode(&self) -> Mode {
        self.video.mode
    }

    /// Grows the memory to this many pixels; false if there is no memory.
    pub fn reserve(&mut self, pixels: usize) -> bool {
        let Some(bytes) = pixels.checked_mul(4).filter(|bytes| *bytes > 0) else {
            return false;
        };
        let memory = self.video.memory;
        if self.pixels().len() < pixels {
            match Region::new(memory, bytes, 4096) {
                Some(region) => self.pixels = Some(region),
                None => return false,
            }
        }
        true
    }

    /// The pixels, row by row.
    pub fn pixels(&mut self) -> &mut [u32] {
        let Some(region) = &mut self.pixels else {
            return &mut [];
        };
        // SAFETY: the region lives as long as `self`, is initialised, and is aligned to pages.
        unsafe { core::slice::from_raw_parts_mut(region.ptr(0).cast().as_ptr(), region.len() / 4) }
    }

    /// Shows the pixels as a picture of this size, in the upper left corner: copies the part, or
    /// all of it and black around it after [`forget`](Picture::forget).
    ///
    /// # Errors
    ///
    /// [`LinearError::Invalid`]: too few pixels.
    pub fn present(
        &mut self,
        (width, height): (u32, u32),
        part: Rectangle,
    ) -> Result<(), LinearError> {
        let from = NonNull::from(self.pixels());
        if width as usize * height as usize > from.len() {
            return Err(LinearError::Invalid);
        }
        let whole = Rectangle::of(width, height);
        let part = match core::mem::replace(&mut self.is_shown, true) {
            true => part.clipped(width, height),
            false => {
                self.video.clear();
                Some(whole)
            }
        };
        if let Some(part) = part {
            // SAFETY: a part of a picture that the pixels hold.
            unsafe { self.video.copy(from.cast(), width, part) };
        }
        self.video.memory.barrier();
        Ok(())
    }

    /// The next present shows everything: something else is drawn there meanwhile.
    pub fn forget(&mut self) {
        self.is_shown = false;
    }
}

#[cfg(test)]
mod tests;
