//! The firmware's frame buffer, as the image gets it: a word before the settings.
//!
//! `SOIL_FRAMEBUFFER=ADDRESS,WIDTHxHEIGHT,STRIDE,ORDER`, with the stride in pixels and the order
//! `bgr` or `rgb` (`drivers/src/linear.rs` reads it). Settings with the same name take precedence,
//! since they follow.

use core::fmt::{self, Write};

/// The order of the bytes of a pixel, in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Blue first.
    Bgr,
    /// Red first.
    Rgb,
}

/// A mode of the firmware's display, with its memory. Pixels have four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameBuffer {
    /// Physical address.
    pub address: u64,
    /// Length in bytes.
    pub len: u64,
    /// Width in pixels.
    pub width: u64,
    /// Height in pixels.
    pub height: u64,
    /// Pixels from the beginning of a row to that of the next.
    pub stride: u64,
    /// The order of a pixel's bytes.
    pub order: Order,
}

impl FrameBuffer {
    /// Whether the memory holds the picture.
    fn is_sound(&self) -> bool {
        let pixels = self.stride.checked_mul(self.height);
        let bytes = pixels.and_then(|pixels| pixels.checked_mul(4));
        let end = bytes.and_then(|bytes| self.address.checked_add(bytes));
        (1..=self.stride).contains(&self.width)
            && self.height > 0
            && self.address > 0
            && end.is_some_and(|end| end - self.address <= self.len)
    }

    /// Writes the word and a space to `line`; returns their length, 0 for a frame buffer that its
    /// own numbers contradict, and without room.
    pub fn write(&self, line: &mut [u8]) -> usize {
        let order = match self.order {
            Order::Bgr => "bgr",
            Order::Rgb => "rgb",
        };
        let (address, width, height) = (self.address, self.width, self.height);
        let mut text = Text { line, len: 0 };
        let written = self.is_sound().then(|| {
            write!(
                text,
                "SOIL_FRAMEBUFFER={address:#x},{width}x{height},{},{order} ",
                self.stride
            )
        });
        match written {
            Some(Ok(())) => text.len,
            _ => 0,
        }
    }
}

struct Text<'a> {
    line: &'a mut [u8],
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.line.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameBuffer, Order};

    const GOOD: FrameBuffer = FrameBuffer {
        address: 0x8000_0000,
        len: 832 * 600 * 4,
        width: 800,
        height: 600,
        stride: 832,
        order: Order::Rgb,
    };

    fn word(buffer: FrameBuffer, room: usize) -> String {
        let mut line = vec![0; room];
        let len = buffer.write(&mut line);
        String::from_utf8(line[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_mode_is_a_word() {
        let text = "SOIL_FRAMEBUFFER=0x80000000,800x600,832,rgb ";
        assert_eq!(word(GOOD, text.len()), text);
        assert_eq!(word(GOOD, text.len() - 1), "");
        let bgr = FrameBuffer {
            order: Order::Bgr,
            ..GOOD
        };
        assert_eq!(word(bgr, 100), text.replace("rgb", "bgr"));
    }

    #[test]
    fn numbers_that_contradict_each_other_are_left_out() {
        for bad in [
            FrameBuffer {
                stride: 799,
                ..GOOD
            },
            FrameBuffer { width: 0, ..GOOD },
            FrameBuffer { height: 0, ..GOOD },
            FrameBuffer { address: 0, ..GOOD },
            FrameBuffer {
                height: 601,
                ..GOOD
            },
            FrameBuffer {
                len: GOOD.len - 1,
                ..GOOD
            },
            FrameBuffer {
                stride: u64::MAX / 4,
                ..GOOD
            },
            FrameBuffer {
                address: u64::MAX,
                ..GOOD
            },
        ] {
            assert_eq!(word(bad, 100), "", "{bad:?}");
        }
    }
}
