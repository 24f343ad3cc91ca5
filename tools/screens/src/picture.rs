//! A picture, and files of it.

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use viewer::Rectangle;

/// The largest side of a picture that is read.
const MAX_SIDE: u32 = 16384;

/// Rows of pixels, `0xXXRRGGBB`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    pixels: Vec<u32>,
}

impl Picture {
    /// A black one.
    pub fn black(width: u32, height: u32) -> Self {
        Self {
            width,
            pixels: vec![0; width as usize * height as usize],
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        let rows = self.pixels.len().checked_div(self.width as usize);
        u32::try_from(rows.unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// The pixels, row by row.
    pub fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// Copies a rectangle, as far as it is on the picture, from a file of rows of `stride` pixels.
    ///
    /// # Errors
    /// The file's, which may be shorter than it should be.
    pub fn copy(
        &mut self,
        from: &File,
        stride: u32,
        [x, y, width, height]: Rectangle,
    ) -> io::Result<()> {
        let end = x.saturating_add(width).min(self.width);
        let below = y.saturating_add(height).min(self.height());
        let mut bytes = vec![0; 4 * end.saturating_sub(x) as usize];
        for row in y..below {
            let first = u64::from(row) * u64::from(stride) + u64::from(x);
            from.read_exact_at(&mut bytes, 4 * first)?;
            let first = row as usize * self.width as usize;
            let pixels = self
                .pixels
                .get_mut(first + x as usize..first + end as usize);
            let (words, _) = bytes.as_chunks();
            for (pixel, word) in pixels.into_iter().flatten().zip(words) {
                *pixel = u32::from_le_bytes(*word);
            }
        }
        Ok(())
    }

    /// Reads a PPM (`P6` with 255 levels), QEMU's format of screenshots.
    ///
    /// # Errors
    /// Those of the input, and `InvalidData`.
    pub fn read_ppm(from: &mut impl BufRead) -> io::Result<Self> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not a picture in PPM's format");
        let mut word = || {
            let mut text = String::new();
            loop {
                let mut byte = [0];
                from.read_exact(&mut byte)?;
                match byte {
                    [byte] if !byte.is_ascii_whitespace() && text.len() < 8 => {
                        text.push(char::from(byte));
                    }
                    _ if text.is_empty() => (),
                    _ => return Ok::<_, io::Error>(text),
                }
            }
        };
        let head = [word()?, word()?, word()?, word()?];
        let side = |text: &str| {
            text.parse()
                .ok()
                .filter(|side| (1..=MAX_SIDE).contains(side))
        };
        let [kind, width, height, levels] = &head;
        let (Some(width), Some(height)) = (side(width), side(height)) else {
            return Err(wrong());
        };
        if kind != "P6" || levels != "255" {
            return Err(wrong());
        }
        let mut bytes = vec![0; 3 * width as usize * height as usize];
        from.read_exact(&mut bytes)?;
        let (colours, _) = bytes.as_chunks();
        let pixel = |[red, green, blue]: &[u8; 3]| u32::from_be_bytes([0, *red, *green, *blue]);
        Ok(Self {
            width,
            pixels: colours.iter().map(pixel).collect(),
        })
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    /// Those of the output.
    pub fn write_png(&self, to: impl Write) -> io::Result<()> {
        let mut encoder = png::Encoder::new(BufWriter::new(to), self.width, self.height());
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        let bytes = self.pixels.iter().flat_map(|pixel| {
            let [_, red, green, blue] = pixel.to_be_bytes();
            [red, green, blue]
        });
        writer.write_image_data(&bytes.collect::<Vec<u8>>())?;
        writer.finish()?;
        Ok(())
    }
}
