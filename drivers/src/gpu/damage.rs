//! The parts of a picture that damage covers.

use device_types::display::Rectangle;

/// The most rectangles that are copied one by one; of more, the one around all is.
pub const MAX_RECTANGLES: usize = 16;

/// The parts of a picture that the damage covers: an array, and how many of it count.
pub fn merge(damage: &[Rectangle], picture: Rectangle) -> ([Rectangle; MAX_RECTANGLES], usize) {
    let mut parts = [Rectangle::of(0, 0); MAX_RECTANGLES];
    let mut count = 0;
    let clipped = |part: &Rectangle| part.clipped(picture.width, picture.height);
    for part in damage.iter().filter_map(clipped) {
        match parts.get_mut(count) {
            Some(place) => {
                *place = part;
                count += 1;
            }
            None => {
                parts[0] = parts.into_iter().fold(part, Rectangle::union);
                count = 1;
            }
        }
    }
    (parts, count)
}
