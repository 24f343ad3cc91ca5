//! The palette: the 256 colours of xterm.

/// The default background, also around the text.
pub const BLACK: u8 = 0;
/// The default foreground.
pub const WHITE: u8 = 7;

/// The first 16, as on Linux's console: dark, then bright.
const FIRST: [u32; 16] = [
    0x00_0000, 0xAA_0000, 0x00_AA00, 0xAA_5500, 0x00_00AA, 0xAA_00AA, 0x00_AAAA, 0xAA_AAAA,
    0x55_5555, 0xFF_5555, 0x55_FF55, 0xFF_FF55, 0x55_55FF, 0xFF_55FF, 0x55_FFFF, 0xFF_FFFF,
];
/// Levels of a component of the cube's colours.
const STEPS: [u32; 6] = [0, 95, 135, 175, 215, 255];
/// The number of the cube's first colour, and of the first grey after the cube.
const CUBE: u8 = 16;
const GREYS: u8 = 232;

/// The pixel of a colour.
pub fn rgb(colour: u8) -> u32 {
    match colour {
        0..CUBE => FIRST[usize::from(colour)],
        CUBE..GREYS => {
            let number = colour - CUBE;
            let step = |part: u8| STEPS[usize::from(part % 6)];
            step(number / 36) << 16 | step(number / 6) << 8 | step(number)
        }
        GREYS.. => (u32::from(colour - GREYS) * 10 + 8) * 0x01_0101,
    }
}

/// The nearest colour of the cube to these components.
pub fn nearest(parts: [u16; 3]) -> u8 {
    let step = |part: u16| {
        let part = u32::from(part.min(255));
        let steps = STEPS.iter().zip(0u8..);
        let nearest = steps.min_by_key(|(step, _)| step.abs_diff(part));
        nearest.map_or(0, |(_, number)| number)
    };
    let [red, green, blue] = parts.map(step);
    CUBE + red * 36 + green * 6 + blue
}

#[cfg(test)]
mod tests {
    use super::{nearest, rgb};

    #[test]
    fn colours_are_those_of_xterm() {
        assert_eq!(rgb(16), 0);
        assert_eq!(rgb(231), 0xFF_FFFF);
        assert_eq!(rgb(208), 0xFF_8700);
        assert_eq!((rgb(232), rgb(255)), (0x08_0808, 0xEE_EEEE));
        for colour in 16..232u8 {
            let pixel = rgb(colour);
            let part = |shift: u32| (pixel >> shift & 255) as u16;
            assert_eq!(nearest([part(16), part(8), part(0)]), colour);
        }
        assert_eq!(rgb(nearest([u16::MAX, 130, 10])), 0xFF_8700);
    }
}
