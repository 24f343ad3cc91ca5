//! `reactor`'s cell, and what `kernel` has under the same name.

#[rustfmt::skip]
#[path = "../../../reactor/src/cell.rs"]
mod reactor;

pub use crate::image::cell::any_in_use;
pub use reactor::*;
