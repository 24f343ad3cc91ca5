//! Rectangles of pixels, and the parts of a picture that damage covers.

/// The most rectangles that are copied one by one; of more, the one around all is.
pub const MAX_RECTANGLES: usize = 16;

/// Rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// Column of its left edge.
    pub x: u32,
    /// Row of its upper edge.
    pub y: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Rectangle {
    /// A whole picture.
    pub fn of(width: u32, height: u32) -> Rectangle {
        Rectangle {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    /// The part of it that is on a picture, unless that is empty.
    pub fn on(self, picture: Rectangle) -> Option<Rectangle> {
        let (x, y) = (self.x.min(picture.width), self.y.min(picture.height));
        let part = Rectangle {
            x,
            y,
            width: self.width.min(picture.width - x),
            height: self.height.min(picture.height - y),
        };
        (part.width > 0 && part.height > 0).then_some(part)
    }

    /// The rectangle around both, which are on one picture.
    pub fn around(self, other: Rectangle) -> Rectangle {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let lower = (self.y + self.height).max(other.y + other.height);
        Rectangle {
            x,
            y,
            width: right - x,
            height: lower - y,
        }
    }
}

/// The parts of a picture that the damage covers: an array, and how many of it count.
pub fn merge(damage: &[Rectangle], picture: Rectangle) -> ([Rectangle; MAX_RECTANGLES], usize) {
    let mut parts = [Rectangle::of(0, 0); MAX_RECTANGLES];
    let mut count = 0;
    for part in damage.iter().filter_map(|part| part.on(picture)) {
        match parts.get_mut(count) {
            Some(place) => {
                *place = part;
                count += 1;
            }
            None => {
                parts[0] = parts.into_iter().fold(part, Rectangle::around);
                count = 1;
            }
        }
    }
    (parts, count)
}
