//! Stacks over simulated cables, in virtual time: for this crate's tests, and for other people's.
//!
//! Nothing here depends on real time or on real randomness, so that a run is repeated exactly by
//! its seeds. The parts, which can be used apart from each other:
//!
//! - [`Pipe`]: one direction of a link that delays, limits, loses (at random, in bursts, at the
//!   tail), reorders, doubles and corrupts what goes through, as its [`Impairment`] says. It knows
//!   nothing of the rest: the example `relay` puts two of them between two real TAPs.
//! - [`Cable`]: two pipes, and the devices at its ends, with or without offloads. A device
//!   completes checksums and cuts large frames as hardware does, and panics where the stack hands
//!   it something that hardware wouldn't stand; every checksum of every frame sent is verified.
//! - [`Script`]: an end of a cable that is played by hand, with whole Ethernet frames.
//! - [`Host`]: the same with segments and datagrams; it answers ARP and neighbor solicitations.
//! - [`packet`]: frames built and read without any code of the stack.
//! - [`World`]: a clock, stacks and cables. It stands still until
//!   [`advance`](World::advance), and jumps from event to event.
//!
//! ```
//! use net::sim::packet::{ACK, SYN, Tcp};
//! use net::sim::{Bench, Host};
//!
//! // A stack at 10.0.0.1 and fd00::1, and a host at 10.0.0.9 and fd00::9 played by hand.
//! let Bench { mut world, mut host } = Bench::new(1);
//! let listener = world.stacks[0].tcp_listen("[::]:80".parse().unwrap(), 8).unwrap();
//! let syn = Tcp::between("10.0.0.9:4000".parse().unwrap(), "10.0.0.1:80".parse().unwrap())
//!     .flags(SYN)
//!     .seq(1000);
//! host.send(&mut world, &syn);
//! let answer = host.expect_tcp(&mut world, 1_000_000, |segment| segment.flags == SYN | ACK);
//! assert_eq!(answer.ack, 1001);
//! host.send(&mut world, &syn.reply_to(&answer));
//! assert!(world.stacks[0].tcp_accept(listener).is_ok());
//! ```

mod cable;
mod device;
mod host;
mod impairment;
pub mod packet;
mod pipe;
mod random;
mod wire;
mod world;

pub use cable::{Cable, CableStatistics, Script};
pub use device::Offloads;
pub use host::{Bench, Host};
pub use impairment::{Burst, Impairment, Tail};
pub use pipe::{Pipe, PipeStatistics};
pub use random::Random;
pub use world::World;
