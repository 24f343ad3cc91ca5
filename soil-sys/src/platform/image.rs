//! The image: `kernel`.
