//! Pictures and cursors, and the formats of their pixels.

use alloc::vec;
use alloc::vec::Vec;
use core::iter;
use device_types::display::Rectangle;

/// Width and height of a cursor, in pixels.
pub const CURSOR_SIDE: usize = 64;

/// A client's format of pixels (RFC 6143, 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    bytes: usize,
    big_endian: bool,
    /// Maximum and shift of red, green and blue.
    channels: [(u16, u8); 3],
}

impl Format {
    /// `0x00RRGGBB` in little-endian order.
    pub const NATIVE: Format = Format {
        bytes: 4,
        big_endian: false,
        channels: [(255, 16), (255, 8), (255, 0)],
    };

    /// The same as a message has it.
    pub const NATIVE_BYTES: [u8; 16] = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];

    /// Parses a format; `None` if it has a colour map or isn't valid.
    pub fn parse(bytes: &[u8]) -> Option<Format> {
        let bytes: &[u8; 16] = bytes.try_into().ok()?;
        let [bits, _, big, true_colour, ..] = *bytes;
        let [red, green, blue] = [4, 6, 8].map(|at| u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        let [r, g, b] = [bytes[10], bytes[11], bytes[12]];
        let is_valid = [8, 16, 32].contains(&bits) && true_colour != 0;
        (is_valid && [r, g, b].iter().all(|shift| *shift < bits)).then_some(Format {
            bytes: usize::from(bits / 8),
            big_endian: big != 0,
            channels: [(red, r), (green, g), (blue, b)],
        })
    }

    /// Bytes of a pixel.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends pixels `0xXXRRGGBB`.
    fn encode(&self, pixels: impl Iterator<Item = u32>, to: &mut Vec<u8>) {
        if *self == Format::NATIVE {
            return to.extend(pixels.flat_map(|pixel| (pixel & 0x00ff_ffff).to_le_bytes()));
        }
        for pixel in pixels {
            let [_, colours @ ..] = pixel.to_be_bytes();
            let channels = colours.iter().zip(self.channels);
            let word = channels.fold(0, |word, (colour, (maximum, shift))| {
                word | ((u32::from(*colour) * u32::from(maximum) + 127) / 255) << shift
            });
            let bytes = word.to_le_bytes().into_iter().take(self.bytes);
            match self.big_endian {
                true => to.extend(bytes.rev()),
                false => to.extend(bytes),
            }
        }
    }
}

/// A picture, of pixels `0xXXRRGGBB`.
pub struct Picture {
    width: u32,
    height: u32,
    pixels: Vec<u32>,
}

impl Picture {
    /// A black picture.
    pub fn black(width: u32, height: u32) -> Picture {
        let pixels = vec![0; width as usize * height as usize];
        Picture {
            width,
            height,
            pixels,
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels of this part of a row, as far as it is inside.
    pub fn row(&self, x: u32, y: u32, width: u32) -> &[u32] {
        let end = x.saturating_add(width).min(self.width) as usize;
        let row = self
            .pixels
            .chunks(self.width.max(1) as usize)
            .nth(y as usize);
        row.and_then(|row| row.get(x as usize..end))
            .unwrap_or_default()
    }

    /// Changes pixels of a row from column `x` on. Returns the part that has changed.
    pub fn put(&mut self, x: u32, y: u32, pixels: &[u32]) -> Option<Rectangle> {
        let rows = self.pixels.chunks_mut(self.width.max(1) as usize);
        let row = { rows }.nth(y as usize)?.get_mut(x as usize..)?;
        let pairs = || row.iter().zip(pixels);
        let first = pairs().position(|(old, new)| old != new)?;
        let last = pairs().rposition(|(old, new)| old != new)?;
        let changed = row.get_mut(first..=last)?;
        changed.copy_from_slice(pixels.get(first..=last)?);
        Some(Rectangle {
            x: x + first as u32,
            y,
            width: (last - first) as u32 + 1,
            height: 1,
        })
    }

    /// Appends a rectangle's pixels; outside of the picture they are black.
    pub(crate) fn encode(&self, part: Rectangle, format: Format, to: &mut Vec<u8>) {
        for y in part.y..part.y.saturating_add(part.height) {
            let row = self.row(part.x, y, part.width).iter().copied();
            format.encode(row.chain(iter::repeat(0)).take(part.width as usize), to);
        }
    }
}

/// The image of a cursor.
pub struct Cursor {
    /// Column and row of its hot spot.
    pub hot_spot: (u32, u32),
    /// [`CURSOR_SIDE`] rows of as many pixels `0xAARRGGBB`.
    pub image: Vec<u32>,
}

impl Cursor {
    /// Appends its pixels, and a mask of those that are rather opaque.
    pub(crate) fn encode(&self, format: Format, to: &mut Vec<u8>) {
        format.encode(self.image.iter().copied(), to);
        to.extend(self.image.chunks(8).map(|eight| {
            let bits = eight.iter().map(|pixel| (pixel >> 31) as u8);
            bits.fold(0, |byte, bit| byte << 1 | bit)
        }));
    }

    /// Appends red, green and blue, multiplied by the opacity, and the opacity.
    pub(crate) fn encode_alpha(&self, to: &mut Vec<u8>) {
        to.extend(self.image.iter().flat_map(|pixel| {
            let [opacity, colours @ ..] = pixel.to_be_bytes();
            let [red, green, blue] =
                colours.map(|colour| ((u16::from(colour) * u16::from(opacity) + 127) / 255) as u8);
            [red, green, blue, opacity]
        }));
    }
}
