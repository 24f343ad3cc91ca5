//! Of `kernel`.

#[rustfmt::skip]
#[path = "../../../kernel/src/cell.rs"]
pub mod cell;
#[rustfmt::skip]
#[path = "../../../kernel/src/clock.rs"]
pub mod clock;
