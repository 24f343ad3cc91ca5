//! TCP (RFC 9293).
//!
//! - `machine`: one connection by itself;
//! - `connection`: one connection as the stack keeps it;
//! - `input`: the way of a segment to its connection, and what answers it if there is none;
//! - `passive`: handshakes that peers begin; `half_open`: those that aren't finished; `cookie`: those that
//!   there is no room to remember;
//! - `listener`: ports that are listened to, and their queues;
//! - `output`: what a connection sends; `frames`: its way onto the link;
//! - `life`: what becomes of a connection, and when it is looked at next;
//! - `time_wait`: what is left of it; `records`: small records by flow;
//! - `numbers`: initial sequence numbers, timestamps, ports; `limiter`: how many answers are given;
//! - `operations`: the public operations; `census`, `counters`: what there is and what happened.

mod census;
pub(crate) mod connection;
mod cookie;
mod counters;
mod frames;
mod half_open;
mod input;
mod lease;
mod life;
mod limiter;
pub(crate) mod listener;
pub(crate) mod machine;
mod numbers;
mod operations;
mod options;
mod output;
mod passive;
mod records;
mod time_wait;

pub use counters::TcpCounters;
pub use lease::Lease;
pub use options::ConnectOptions;

use crate::Config;
use crate::flow::Keyed;
use crate::index::Index;
use cookie::Cookies;
use half_open::HalfOpen;
use limiter::Limiter;
use numbers::Numbers;
use time_wait::TimeWait;

/// Resets in a second that answer segments which belong to nothing, and challenge acknowledgements.
const RESETS: u32 = 1000;
const CHALLENGES: u32 = 1000;

/// What all connections share.
pub(crate) struct Shared {
    /// Places of connections in the table of sockets, by the hash of their flow.
    pub(crate) flows: Index,
    pub(crate) keyed: Keyed,
    pub(crate) half_open: HalfOpen,
    pub(crate) time_wait: TimeWait,
    pub(crate) cookies: Cookies,
    pub(crate) numbers: Numbers,
    pub(crate) resets: Limiter,
    pub(crate) challenges: Limiter,
    pub(crate) counters: TcpCounters,
    /// Connections that were closed and still deliver.
    pub(crate) orphans: usize,
    /// Leases that are out.
    pub(crate) leases: usize,
}

impl Shared {
    pub(crate) fn new(config: &Config, random: &mut dyn FnMut() -> u64) -> Shared {
        let keyed = Keyed::new(random);
        Shared {
            flows: Index::new(),
            keyed,
            half_open: HalfOpen::new(keyed, config.half_open_max),
            time_wait: TimeWait::new(keyed, config.time_wait_ns, config.time_wait_max),
            cookies: Cookies::new(random),
            numbers: Numbers::new(random),
            resets: Limiter::new(RESETS),
            challenges: Limiter::new(CHALLENGES),
            counters: TcpCounters::default(),
            orphans: 0,
            leases: 0,
        }
    }
}
