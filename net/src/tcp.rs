//! TCP (RFC 9293).
//!
//! Connections and their shared state. This module uses the IP layer, and no table of sockets:
//! `sockets::tcp` finds the connection of a segment and runs it, `stack::tcp` has the operations.
//!
//! - `machine`: the state machine of one connection, without addresses, as RFC 9293 has it;
//! - `connection`: one connection in the table of sockets; `listener`: a port that accepts;
//! - `half_open`: unfinished handshakes; `cookie`: handshakes without stored state;
//! - `time_wait`: connections in TIME-WAIT; `records`: small records by flow (`flow`);
//! - `frames`: segments handed to the IP layer;
//! - `budget`: the memory of all connections; `orphans`: closed ones that hold some; `lease`:
//!   received blocks that the program holds;
//! - `numbers`: initial sequence numbers, timestamps, ports; `limiter`: a rate limit of replies;
//! - `options`: options set before the SYN; `counters`: statistics.

pub(crate) mod budget;
pub(crate) mod connection;
pub(crate) mod cookie;
pub(crate) mod counters;
pub(crate) mod flow;
pub(crate) mod frames;
pub(crate) mod half_open;
pub(crate) mod lease;
mod limiter;
pub(crate) mod listener;
pub(crate) mod machine;
mod numbers;
mod options;
pub(crate) mod orphans;
pub(crate) mod records;
pub(crate) mod time_wait;

pub use counters::TcpCounters;
pub use lease::Lease;
pub use options::ConnectOptions;

use crate::hash::{Index, KeyedHash};
use crate::types::Config;
use cookie::Cookies;
use half_open::HalfOpen;
use limiter::Limiter;
use numbers::Numbers;
use orphans::Orphans;
use time_wait::TimeWait;

/// Maximum number per second of resets for segments without a connection, and of challenge
/// acknowledgements.
const RESETS: u32 = 1000;
const CHALLENGES: u32 = 1000;

/// Tables, keys and counters that all connections share.
pub(crate) struct Tables {
    /// Indices of connections in the table of sockets, by the hash of their flow.
    pub(crate) flows: Index,
    pub(crate) keyed: KeyedHash,
    pub(crate) half_open: HalfOpen,
    pub(crate) time_wait: TimeWait,
    pub(crate) cookies: Cookies,
    pub(crate) numbers: Numbers,
    pub(crate) resets: Limiter,
    pub(crate) challenges: Limiter,
    pub(crate) counters: TcpCounters,
    /// Connections that were closed and still deliver.
    pub(crate) orphans: Orphans,
    /// Leases in use.
    pub(crate) leases: usize,
}

impl Tables {
    pub(crate) fn new(config: &Config, random: &mut dyn FnMut() -> u64) -> Tables {
        let keyed = KeyedHash::new(random);
        Tables {
            flows: Index::new(),
            keyed,
            half_open: HalfOpen::new(keyed, config.half_open_max),
            time_wait: TimeWait::new(keyed, config.time_wait_ns, config.time_wait_max),
            cookies: Cookies::new(random),
            numbers: Numbers::new(random),
            resets: Limiter::new(RESETS),
            challenges: Limiter::new(CHALLENGES),
            counters: TcpCounters::default(),
            orphans: Orphans::default(),
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
    use super::Tables;
    use crate::tcp::flow::FlowKey;
    use crate::tcp::numbers::counting_random;
    use crate::types::Config;

    #[test]
    fn two_that_go_on_from_one_have_other_numbers() {
        let flow = FlowKey::new(([10, 0, 0, 1].into(), 7), ([10, 0, 0, 2].into(), 9));
        let mut random = counting_random();
        let [mut one, mut other] =
            [(); 2].map(|()| Tables::new(&Config::default(), &mut counting_random()));
        let numbers = |tcp: &mut Tables| {
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
