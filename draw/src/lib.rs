//! Shapes and text in pictures of 32-bit pixels, the memory format of displays.
//!
//! [`Picture`] borrows the memory; every function draws at once and retains nothing. Shapes have
//! smooth edges, by tiny-skia. Text uses fixed-width bitmap fonts, those of embedded-graphics.
//!
//! # Pixels
//! A pixel is `0xXXRRGGBB` (DRM's `XRGB8888`); the highest byte is neither used nor preserved. A
//! [`Colour`] is `0xAARRGGBB`, whose highest byte is its opacity: 0 is invisible, 255 opaque.
//!
//! # Bounds
//! Everything outside the picture is clipped, at any distance. The time of a call is bounded by the
//! size of the picture and the number of [`Command`]s.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod path;
mod picture;
mod text;

pub use path::{Command, Shape};
pub use picture::{Colour, Picture};
pub use text::{Font, size};
