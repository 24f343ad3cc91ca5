//! TCP/IP for Soil, over Ethernet links that implement a trait.
//!
//! - [`Link`]: a device that carries frames, with checksum and segmentation offload;
//! - [`Stack`]: interfaces with their addresses and routes, constant-time lookup of a frame's
//!   socket, TCP, UDP, ping, raw frames, DHCP, a packet filter;
//! - [`Handle`], [`Readiness`], [`Stack::take_events`]: checked socket handles, and the sockets
//!   that changed, in time proportional to the changes;
//! - `sim` (feature `sim`): a simulated link in virtual time, for tests.
//!
//! Nothing blocks and nothing runs on its own: all work happens inside [`Stack::poll`], which does
//! a bounded amount, and inside the operations, which only touch their own socket. `net/README.md`
//! has the path of a packet.
//!
//! # Layers
//!
//! Each module imports from those below it only (a test in `tools/layers` finds circles):
//!
//! ```text
//! transport                      the same operations as a trait
//! stack                          public operations, poll
//! sockets                        the table of sockets: demultiplexing, timers, turns to send
//! tcp    udp    ping    ethernet protocols, side by side
//! ip                             interfaces, addresses, routes, neighbors, ICMP
//! types  hash                    errors, handles, configuration, links; keyed hash tables
//! ```
#![cfg_attr(not(any(test, feature = "sim")), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod ethernet;
mod hash;
mod ip;
mod ping;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod sockets;
mod stack;
mod tcp;
#[cfg(test)]
mod tests;
mod transport;
mod types;
mod udp;

pub use ip::{FilterAction, FilterDirection, FilterLimit, FilterRule, FilterState};
pub use ping::PingReply;
pub use stack::{Progress, RouteInfo, SocketInfo, Stack};
pub use tcp::machine::{Info as TcpInfo, SendBuffer, TcpOptions};
pub use tcp::{ConnectOptions, Lease, TcpCounters};
pub use transport::Transport;
pub use types::{
    Cidr, Config, Congestion, Counters, Dhcp, Error, Handle, InterfaceConfig, InterfaceId,
    InterfaceStatus, Keepalive, Link, LinkCapabilities, PartialChecksum, RandomBits, Readiness,
    RxChecksum, RxMeta, SegmentKind, Segmentation, Sender, SocketKind, TxMeta, name_server,
};
pub use udp::{Received, Source};
