//! Merging of damaged parts of a picture.

use device_types::display::Rectangle;

/// Maximum number of rectangles that are copied one by one; beyond it, the rectangle around all of
/// them is copied.
pub const MAX_RECTANGLES: usize = 16;

/// The damaged parts inside the picture: an array, and the number of valid entries.
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
