//! Displays.

/// Resolution and refresh rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Refresh rate in thousandths of a hertz; 0: not known.
    pub refresh_mhz: u32,
}

/// Rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// Column of its left edge.
    pub x: u32,
    /// Row of its upper edge.
    pub y: u32,
    /// Width in pixels; 0: it is empty.
    pub width: u32,
    /// Height in pixels; 0: it is empty.
    pub height: u32,
}

impl Rectangle {
    /// The rectangle of a whole picture.
    #[must_use]
    pub fn of(width: u32, height: u32) -> Rectangle {
        Rectangle {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    /// The part inside a picture of this size, unless that is empty.
    #[must_use]
    pub fn clipped(self, width: u32, height: u32) -> Option<Rectangle> {
        let (x, y) = (self.x.min(width), self.y.min(height));
        let part = Rectangle {
            x,
            y,
            width: self.width.min(width - x),
            height: self.height.min(height - y),
        };
        (part.width > 0 && part.height > 0).then_some(part)
    }

    /// The smallest rectangle around two non-empty ones.
    #[must_use]
    pub fn union(self, other: Rectangle) -> Rectangle {
        let right = |of: Rectangle| of.x.saturating_add(of.width);
        let lower = |of: Rectangle| of.y.saturating_add(of.height);
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        Rectangle {
            x,
            y,
            width: right(self).max(right(other)) - x,
            height: lower(self).max(lower(other)) - y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rectangle;

    fn rectangle(x: u32, y: u32, width: u32, height: u32) -> Rectangle {
        Rectangle {
            x,
            y,
            width,
            height,
        }
    }

    #[test]
    fn a_rectangle_is_clipped_to_the_picture() {
        let all = rectangle(0, 0, u32::MAX, u32::MAX);
        assert_eq!(all.clipped(640, 480), Some(Rectangle::of(640, 480)));
        let corner = rectangle(630, 470, 100, 100).clipped(640, 480);
        assert_eq!(corner, Some(rectangle(630, 470, 10, 10)));
        let outside = rectangle(u32::MAX, 10, u32::MAX, 5).clipped(640, 480);
        assert_eq!(outside, None);
    }

    #[test]
    fn a_union_covers_both() {
        let both = rectangle(5, 9, 10, 1).union(rectangle(7, 2, 1, 3));
        assert_eq!(both, rectangle(5, 2, 10, 8));
        let huge = rectangle(1, 1, u32::MAX, 1).union(rectangle(0, 0, 1, 1));
        assert_eq!(huge, rectangle(0, 0, u32::MAX, 2));
    }
}
