//! Stacks over simulated cables, in virtual time.
//!
//! A [`World`] has a clock, stacks, and [`Cable`]s between them. Nothing depends on real time or on
//! real randomness: a run is repeated exactly by its seed. The far end of a cable may also be a
//! [`Script`], which sends and receives frames by hand.
//!
//! A cable delays, loses, doubles and reorders frames as its [`Impairment`] says; and it stands in
//! for the device, too: where an end offers offloads it completes checksums and cuts large frames,
//! and it checks every checksum of every frame that it carries.

mod cable;
mod random;
mod world;

pub use cable::{Cable, CableStatistics, Impairment, Offloads, Script};
pub use random::Random;
pub use world::World;
