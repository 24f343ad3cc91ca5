//! TCP (RFC 9293).
//!
//! - `machine`: one connection by itself;
//! - `connection`: one connection as the stack keeps it;
//! - `input`: the way of a segment to its connection, and what answers it if there is none;
//! - `passive`: handshakes that peers begin; `half_open`: those that aren't finished; `cookie`:
//!   those that there is no room to remember;
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

    /// See [`crate::Stack::renew_keys`].
    pub(crate) fn renew_keys(&mut self, random: &mut dyn FnMut() -> u64) {
        self.cookies = Cookies::new(random);
        self.numbers = Numbers::new(random);
    }
}

#[cfg(test)]
mod tests {
    use super::Shared;
    use crate::Config;
    use crate::flow::FlowKey;
    use crate::tcp::numbers::counting_random;

    #[test]
    fn two_that_go_on_from_one_have_other_numbers() {
        let flow = FlowKey::new(([10, 0, 0, 1].into(), 7), ([10, 0, 0, 2].into(), 9));
        let mut random = counting_random();
        let [mut one, mut other] =
            [(); 2].map(|()| Shared::new(&Config::default(), &mut counting_random()));
        let numbers = |tcp: &mut Shared| {
            let cookie = tcp.cookies.make(&flow, 5, 1460, 0, &mut counting_random());
            let ports: Vec<u16> = tcp.numbers.ports(&flow).take(3).collect();
            let offset = tcp.numbers.timestamp_offset(&flow);
            (
                tcp.numbers.sequence(&flow, 0),
                cookie & 0x0fff_ffff,
                offset,
                ports,
            )
        };
        let before = numbers(&mut one);
        assert_eq!(before, numbers(&mut other));
        one.renew_keys(&mut random);
        other.renew_keys(&mut random);
        let all = [before, numbers(&mut one), numbers(&mut other)];
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let (a, b) = (&all[a], &all[b]);
            assert!(
                a.0 != b.0 && a.1 != b.1 && a.2 != b.2 && a.3 != b.3,
                "{all:?}"
            );
        }
    }
}
