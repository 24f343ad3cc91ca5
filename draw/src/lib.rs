//! Shapes and text in pictures of 32-bit pixels, as displays have them in memory.
//!
//! [`Picture`] borrows the memory; every function draws at once and keeps nothing. Shapes have
//! smooth edges, by tiny-skia. Text is set in fixed-width bitmap fonts, those of
//! embedded-graphics.
//!
//! # Pixels
//! A pixel is `0xXXRRGGBB` (DRM's `XRGB8888`); the highest byte is neither used nor kept. A
//! [`Colour`] is `0xAARRGGBB`, whose highest byte says how opaque it is: 0 is invisible, 255 covers
//! what was there.
//!
//! # Bounds
//! What isn't on the picture is left out, however far away it is. The time of a call is bounded by
//! the size of the picture and the number of [`Command`]s.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod path;
mod picture;
mod text;

pub use path::{Command, Shape};
pub use picture::{Colour, Picture};
pub use text::{Font, size};
