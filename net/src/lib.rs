//! TCP/IP for Soil, over Ethernet links given as a trait.
//!
//! - [`Link`]: a device that carries frames, with checksum and segmentation offload;
//! - [`Stack`]: interfaces with their addresses and routes, a demultiplexer that finds the one
//!   socket of a frame in constant time, TCP, UDP, ping, raw frames, DHCP, a packet filter;
//! - [`Handle`], [`Readiness`], [`Stack::take_events`]: sockets as small checked names, and which
//!   of them changed, in time proportional to the changes;
//! - `sim` (feature `sim`): a simulated link in virtual time, for tests.
//!
//! Nothing blocks and nothing runs by itself: everything happens inside [`Stack::poll`], which does
//! a bounded amount of work, and inside the operations, which only touch their own socket.
//! `net/README.md` tells the way of a packet.
#![cfg_attr(not(any(test, feature = "sim")), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod budget;
mod checksum;
mod config;
mod echo;
mod error;
mod ethernet;
mod flow;
mod handle;
mod index;
mod inspect;
mod ip;
mod link;
mod loopback;
mod marking;
mod shared;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod stack;
mod tcp;
#[cfg(test)]
mod tests;
mod timers;
mod udp;

pub use config::{Cidr, Config, Counters, Dhcp, InterfaceConfig, InterfaceStatus};
pub use echo::EchoReply;
pub use error::Error;
pub use handle::Handle;
pub use inspect::SocketInfo;
pub use ip::{FilterAction, FilterDirection, FilterLimit, FilterRule, FilterState};
pub use link::{
    Link, LinkCapabilities, PartialChecksum, RxChecksum, RxMeta, SegmentKind, Segmentation, TxMeta,
};
pub use stack::{InterfaceId, Kind, Progress, RandomBits, Readiness, RouteInfo, Stack};
pub use tcp::machine::{Congestion, Info as TcpInfo, Keepalive, SendBuffer, TcpOptions};
pub use tcp::{ConnectOptions, Lease, TcpCounters};
pub use udp::Received;
