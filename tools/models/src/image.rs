//! Of `kernel` and `platform/image`.

/// As in `kernel`.
pub type Handler = fn(u8);

#[rustfmt::skip]
#[path = "../../../kernel/src/cell.rs"]
pub mod cell;
#[rustfmt::skip]
#[path = "../../../kernel/src/clock.rs"]
pub mod clock;
#[rustfmt::skip]
#[path = "../../../kernel/src/interrupts/notes.rs"]
pub mod notes;
#[rustfmt::skip]
#[path = "../../../kernel/src/peers/shootdown.rs"]
pub mod shootdown;
#[rustfmt::skip]
#[path = "../../../kernel/src/threads/calls/lock.rs"]
pub mod lock;
#[rustfmt::skip]
#[path = "../../../kernel/src/threads/scheduler.rs"]
pub(crate) mod scheduler;

pub mod threads;
#[rustfmt::skip]
#[path = "../../../platform/image/src/guarded.rs"]
pub mod guarded;
