//! Outlines and their painting.

use tiny_skia::{FillRule, LineCap, LineJoin, Path, PathBuilder, Stroke};

/// Maximum distance of a coordinate from the origin in pixels. Larger ones are clamped.
const MAX_COORDINATE: f32 = 32_000.0;

/// One step of an outline. Positions are in pixels from the upper left corner of the picture; the
/// middle of the first pixel is at (0.5, 0.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// Begins a subpath here.
    Move(f32, f32),
    /// A straight line to here.
    Line(f32, f32),
    /// A quadratic Bézier curve with this control point, to the second point.
    Quadratic([f32; 4]),
    /// A cubic Bézier curve with two control points, to the third point.
    Cubic([f32; 6]),
    /// A straight line to the beginning of the subpath.
    Close,
}

/// The painted part of an outline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Its inside, by the non-zero winding rule.
    Inside,
    /// Its inside, by the even-odd rule.
    EvenOdd,
    /// A line along it.
    Line {
        /// In pixels. Nothing is painted unless it is positive.
        width: f32,
        /// Whether caps and joins are round; otherwise caps are flat, and joins pointed.
        round: bool,
    },
}

/// The operation of tiny-skia.
pub(crate) enum Paint {
    Fill(FillRule),
    Stroke(Stroke),
}

impl Shape {
    pub(crate) fn paint(self) -> Paint {
        match self {
            Self::Inside => Paint::Fill(FillRule::Winding),
            Self::EvenOdd => Paint::Fill(FillRule::EvenOdd),
            Self::Line { width, round } => Paint::Stroke(Stroke {
                width: near(width),
                line_cap: if round { LineCap::Round } else { LineCap::Butt },
                line_join: if round {
                    LineJoin::Round
                } else {
                    LineJoin::Miter
                },
                ..Stroke::default()
            }),
        }
    }
}

/// The coordinate, clamped; NaN becomes 0.
fn near(coordinate: f32) -> f32 {
    if coordinate.is_nan() {
        return 0.0;
    }
    coordinate.clamp(-MAX_COORDINATE, MAX_COORDINATE)
}

/// The outline; `None` if it has no extent.
pub(crate) fn outline(commands: impl Iterator<Item = Command>) -> Option<Path> {
    let mut path = PathBuilder::new();
    for command in commands {
        match command {
            Command::Move(x, y) => path.move_to(near(x), near(y)),
            Command::Line(x, y) => path.line_to(near(x), near(y)),
            Command::Quadratic(points) => {
                let [a, b, x, y] = points.map(near);
                path.quad_to(a, b, x, y);
            }
            Command::Cubic(points) => {
                let [a, b, c, d, x, y] = points.map(near);
                path.cubic_to(a, b, c, d, x, y);
            }
            Command::Close => path.close(),
        }
    }
    path.finish()
}

#[cfg(test)]
mod tests {
    use super::{Command, outline};

    #[test]
    fn what_is_no_place_is_on_the_edge_or_the_corner() {
        let far = [
            Command::Move(f32::NAN, f32::INFINITY),
            Command::Line(-1e30, 5.0),
        ];
        let bounds = outline(far.into_iter()).unwrap().bounds();
        assert_eq!((bounds.left(), bounds.right()), (-32_000.0, 0.0));
        assert_eq!((bounds.top(), bounds.bottom()), (5.0, 32_000.0));
    }

    #[test]
    fn an_outline_without_lines_is_none() {
        assert!(outline([].into_iter()).is_none());
        assert!(outline([Command::Move(1.0, 1.0)].into_iter()).is_none());
        assert!(outline([Command::Close, Command::Close].into_iter()).is_none());
    }
}
