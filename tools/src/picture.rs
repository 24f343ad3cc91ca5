//! The picture of a display: read as PPM, written as PNG.

use std::io::{self, BufRead, BufWriter, Write};

/// The largest side of a picture that is read.
const MAX_SIDE: u32 = 16384;

/// Rows of pixels, `0xXXRRGGBB`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    pixels: Vec<u32>,
}

impl Picture {
    /// Reads a PPM (`P6` with 255 levels), the format of QEMU's screenshots and of a process's.
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
            height,
            pixels: colours.iter().map(pixel).collect(),
        })
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    /// Those of the output.
    pub fn write_png(&self, to: impl Write) -> io::Result<()> {
        let mut encoder = png::Encoder::new(BufWriter::new(to), self.width, self.height);
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

#[cfg(test)]
mod tests {
    use super::Picture;

    #[test]
    fn a_ppm_becomes_a_png() {
        let ppm = b"P6\n    2     1\n255\n\x01\x02\x03\xff\x00\x80";
        let picture = Picture::read_ppm(&mut &ppm[..]).expect("a picture");
        assert_eq!(picture.pixels, [0x0001_0203, 0x00ff_0080]);
        let mut file = Vec::new();
        picture.write_png(&mut file).expect("room");
        let decoder = png::Decoder::new(std::io::Cursor::new(file));
        let mut reader = decoder.read_info().expect("a PNG");
        let mut bytes = [0; 6];
        reader.next_frame(&mut bytes).expect("pixels");
        assert_eq!(bytes, [1, 2, 3, 255, 0, 128]);
        for wrong in [
            &b""[..],
            b"P5\n2 1\n255\n123456",
            b"P6\n2 1\n65535\n123456",
            b"P6\n0 1\n255\n",
            b"P6\n99999999999999 1\n255\n",
            b"P6\n2 2\n255\n123456",
        ] {
            assert!(Picture::read_ppm(&mut &wrong[..]).is_err());
        }
    }
}
