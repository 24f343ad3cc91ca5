//! SNTP client (RFC 4330, 5; RFC 5905, 14).
//!
//! It uses the public operations of the stack and has no clock of its own: a [`Sample`] relates the
//! time of day to the stack's monotonic clock.

use crate::Network;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use net::{Error, Handle};

use crate::{Family, LookupError, LookupId, Polled, Randomness, Resolver};

const PORT: u16 = 123;
const LEN: usize = 48;
const SECOND_NS: u64 = 1_000_000_000;
/// Seconds from 1900, where NTP begins, to 1970.
const TO_1970: u64 = 2_208_988_800;
/// Timeout of a server.
const TIMEOUT_NS: u64 = 5 * SECOND_NS;
/// Minimum (RFC 4330, 10: at least 15 s) and maximum interval between two queries.
const INTERVAL_MIN_NS: u64 = 16 * SECOND_NS;
const INTERVAL_MAX_NS: u64 = 1024 * SECOND_NS;
/// Retry interval while nothing can be sent, and nothing changes at the network.
const NOT_YET_NS: u64 = SECOND_NS;
/// Root delay and dispersion from which a server counts as unsynchronized (RFC 5905, `MAXDISP`), in
/// seconds.
const ROOT_MAX: u32 = 16;

/// One measurement from a server's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Time of the clock that [`net::Transport::poll`] gets, in nanoseconds.
    pub at_ns: u64,
    /// The time of day at `at_ns`: nanoseconds since 1970-01-01 00:00 UTC.
    pub wall_ns: u64,
    /// Network delay: the error is at most half of it, plus the server's own.
    pub delay_ns: u64,
}

enum State {
    /// Until then.
    Idle(u64),
    /// The network isn't up: until then, or the next poll, which its configuration leads to.
    NotUp(u64),
    /// Its name is being looked up.
    Naming(LookupId),
    Asking {
        socket: Handle,
        server: SocketAddr,
        cookie: [u8; 8],
        sent_ns: u64,
    },
}

/// A client of one server, which may have several addresses.
pub struct Client {
    server: String,
    state: State,
    addresses: Vec<IpAddr>,
    interval_ns: u64,
    /// The server denies service (RFC 4330, 8).
    refused: bool,
    random: Randomness,
}

impl Client {
    /// A client of the host `server` (a name or an address).
    pub fn new(server: &str, random: Randomness) -> Client {
        Client {
            server: server.to_string(),
            state: State::Idle(0),
            addresses: Vec::new(),
            interval_ns: INTERVAL_MIN_NS,
            refused: false,
            random,
        }
    }

    /// Sends and receives; returns a new sample. Call it after each [`net::Transport::poll`], and
    /// after the resolver's poll.
    pub fn poll(
        &mut self,
        stack: &mut Network,
        resolver: &mut Resolver,
        now_ns: u64,
    ) -> (Option<Sample>, Polled) {
        let mut sample = None;
        let mut polled = Polled::default();
        match self.state {
            _ if self.refused => {}
            State::Idle(at_ns) if at_ns > now_ns => {}
            State::Idle(_) | State::NotUp(_) => self.start(stack, resolver, now_ns, &mut polled),
            State::Naming(lookup) => self.named(stack, resolver, lookup, now_ns, &mut polled),
            State::Asking { .. } => {}
        }
        // Also right after a query: a transport may report what arrives only after a try to
        // receive.
        if let State::Asking {
            socket,
            server,
            cookie,
            sent_ns,
        } = self.state
        {
            sample = self.listen(stack, socket, server, cookie, sent_ns, now_ns);
            let over = now_ns >= sent_ns.saturating_add(TIMEOUT_NS);
            if sample.is_some() || over || self.refused {
                // The handle is ours.
                let _ = stack.close(socket);
                let wait_ns = match sample {
                    Some(_) => INTERVAL_MAX_NS,
                    None => self.interval_ns,
                };
                self.interval_ns = (wait_ns * 2).min(INTERVAL_MAX_NS);
                self.state = State::Idle(sent_ns.saturating_add(wait_ns));
            }
        }
        polled.next_ns = match self.state {
            _ if self.refused => None,
            State::Idle(at_ns) | State::NotUp(at_ns) => Some(at_ns),
            // The resolver's timeout covers it.
            State::Naming(_) => None,
            State::Asking { sent_ns, .. } => Some(sent_ns.saturating_add(TIMEOUT_NS)),
        };
        (sample, polled)
    }

    fn start(
        &mut self,
        stack: &mut Network,
        resolver: &mut Resolver,
        now_ns: u64,
        polled: &mut Polled,
    ) {
        if !self.addresses.is_empty() {
            return self.send_query(stack, now_ns, polled);
        }
        match resolver.addresses(stack, now_ns, &self.server, Family::Any) {
            Ok(lookup) => {
                self.state = State::Naming(lookup);
                // The resolver has something to send.
                polled.sent = true;
                self.named(stack, resolver, lookup, now_ns, polled);
            }
            // Most likely there is no name server yet.
            Err(_) => self.state = State::NotUp(now_ns.saturating_add(NOT_YET_NS)),
        }
    }

    fn named(
        &mut self,
        stack: &mut Network,
        resolver: &mut Resolver,
        lookup: LookupId,
        now_ns: u64,
        polled: &mut Polled,
    ) {
        match resolver.take_addresses(lookup) {
            Err(LookupError::Pending) => {}
            Ok(mut addresses) => {
                // The first is taken from the end.
                addresses.reverse();
                self.addresses = addresses;
                self.send_query(stack, now_ns, polled);
            }
            Err(_) => self.state = State::Idle(now_ns.saturating_add(INTERVAL_MIN_NS)),
        }
    }

    fn send_query(&mut self, stack: &mut Network, now_ns: u64, polled: &mut Polled) {
        let next_ns = now_ns.saturating_add(NOT_YET_NS);
        self.state = State::Idle(next_ns);
        let Some(address) = self.addresses.pop() else {
            return;
        };
        let server = SocketAddr::new(address, PORT);
        let any = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        let Ok(socket) = stack.udp_bind(any) else {
            return;
        };
        // A random cookie, not our time: it reveals nothing, and a forger has to guess it.
        let cookie = (self.random)().to_be_bytes();
        let mut query = [0; LEN];
        // Version 4, client (RFC 5905, 7.3).
        query[0] = 4 << 3 | 3;
        query[LEN - 8..].copy_from_slice(&cookie);
        if stack.udp_send_to(socket, &query, server).is_err() {
            // The handle is ours.
            let _ = stack.close(socket);
            self.state = State::NotUp(next_ns);
            return;
        }
        polled.sent = true;
        self.state = State::Asking {
            socket,
            server,
            cookie,
            sent_ns: now_ns,
        };
    }

    fn listen(
        &mut self,
        stack: &mut Network,
        socket: Handle,
        server: SocketAddr,
        cookie: [u8; 8],
        sent_ns: u64,
        now_ns: u64,
    ) -> Option<Sample> {
        let mut buffer = [0; LEN];
        // More than can arrive meanwhile, but bounded.
        for _ in 0..64 {
            match stack.udp_recv_from(socket, &mut buffer) {
                Ok((len, from)) if len >= LEN && from == server => match read(&buffer, cookie) {
                    Some(Answer::Time(received, sent)) => {
                        let server_ns = sent.saturating_sub(received);
                        return Some(Sample {
                            at_ns: sent_ns + (now_ns - sent_ns) / 2,
                            wall_ns: received + server_ns / 2,
                            delay_ns: (now_ns - sent_ns).saturating_sub(server_ns),
                        });
                    }
                    Some(Answer::GoAway) => {
                        self.refused = true;
                        return None;
                    }
                    None => {}
                },
                Ok(_) => {}
                Err(Error::WouldBlock) => return None,
                // An ICMP error: the server's timeout covers it.
                Err(_) => {}
            }
        }
        None
    }
}

/// A valid response.
#[derive(Debug, PartialEq)]
enum Answer {
    /// When the query arrived and the response left: nanoseconds since 1970.
    Time(u64, u64),
    /// DENY or RSTR (RFC 5905, 7.4).
    GoAway,
}

/// A timestamp as nanoseconds since 1970. Those without the first bit are after 2036 (RFC 4330, 3).
fn timestamp(bytes: &[u8; 8]) -> u64 {
    let stamp = u64::from_be_bytes(*bytes);
    let (seconds, fraction) = (stamp >> 32, stamp & 0xffff_ffff);
    let era = if seconds >> 31 == 0 { 1 << 32 } else { 0 };
    let seconds = (seconds + era).saturating_sub(TO_1970);
    seconds * SECOND_NS + ((fraction * SECOND_NS) >> 32)
}

/// Parses and checks a response (RFC 4330, 5).
fn read(answer: &[u8; LEN], cookie: [u8; 8]) -> Option<Answer> {
    let [first, stratum, ..] = *answer;
    let stamp = |at: usize| answer.get(at..)?.first_chunk::<8>();
    let seconds = |at: usize| Some(u32::from_be_bytes(*answer.get(at..)?.first_chunk()?) >> 16);
    let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
    if mode != 4 || !(3..=4).contains(&version) || *stamp(24)? != cookie {
        return None;
    }
    if stratum == 0 {
        let go_away = matches!(answer.get(12..16)?, b"DENY" | b"RSTR");
        return go_away.then_some(Answer::GoAway);
    }
    let known = leap != 3 && stratum < 16 && seconds(4)? < ROOT_MAX && seconds(8)? < ROOT_MAX;
    let (received, sent) = (stamp(32)?, stamp(40)?);
    if !known || *received == [0; 8] || *sent == [0; 8] {
        return None;
    }
    let (received, sent) = (timestamp(received), timestamp(sent));
    // Rejects a server that responds before the query, or takes longer than our timeout.
    (received <= sent && sent - received < TIMEOUT_NS).then_some(Answer::Time(received, sent))
}

#[cfg(test)]
mod tests {
    use super::{Answer, Client, LEN, SECOND_NS, Sample, read, timestamp};
    use crate::Resolver;
    use crate::testing::{MS, SECOND, address, pair, randomness, ready};
    use net::Handle;
    use net::sim::World;
    use proptest::prelude::{any, prop, proptest};
    use proptest::prop_assert;

    /// 2026-01-01 00:00:00 UTC.
    const NEW_YEAR: u64 = 1_767_225_600;

    fn stamp(seconds: u64) -> [u8; 8] {
        ((seconds + 2_208_988_800) << 32).to_be_bytes()
    }

    fn answer(query: &[u8], seconds: u64) -> [u8; LEN] {
        let mut answer = [0; LEN];
        answer[0] = 4 << 3 | 4;
        answer[1] = 2;
        answer[24..32].copy_from_slice(&query[40..48]);
        answer[32..40].copy_from_slice(&stamp(seconds));
        answer[40..48].copy_from_slice(&stamp(seconds));
        answer
    }

    #[test]
    fn time_stamps_of_both_eras() {
        assert_eq!(timestamp(&stamp(NEW_YEAR)), NEW_YEAR * SECOND_NS);
        // 2036-02-07 06:28:16 UTC is second 0 of era 1, and half a second.
        let overflow = (1u64 << 32) - 2_208_988_800;
        assert_eq!(
            timestamp(&[0, 0, 0, 0, 0x80, 0, 0, 0]),
            overflow * SECOND_NS + SECOND_NS / 2
        );
        assert_eq!(timestamp(&stamp(overflow + 5)), (overflow + 5) * SECOND_NS);
    }

    #[test]
    fn answers_are_checked() {
        let mut query = [7; LEN];
        query[40..].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let cookie = [1, 2, 3, 4, 5, 6, 7, 8];
        let right = answer(&query, NEW_YEAR);
        let time = NEW_YEAR * SECOND_NS;
        assert_eq!(read(&right, cookie), Some(Answer::Time(time, time)));
        let wrong: [(usize, u8, &str); 9] = [
            (0, 4 << 3 | 3, "a client's"),
            (0, 4 << 3 | 5, "a broadcast"),
            (0, 0xc0 | 4 << 3 | 4, "the server's clock isn't set"),
            (0, 1 << 3 | 4, "of an old version"),
            (1, 16, "a server that isn't synchronized"),
            (5, 16, "root delay"),
            (9, 16, "root dispersion"),
            (24, 9, "an answer to something else"),
            (43, 0xff, "it takes a minute"),
        ];
        for (at, value, why) in wrong {
            let mut changed = right;
            changed[at] = value;
            assert_eq!(read(&changed, cookie), None, "{why}");
        }
        let mut never = right;
        never[40..].fill(0);
        assert_eq!(read(&never, cookie), None);
        let mut kiss = right;
        kiss[1] = 0;
        kiss[12..16].copy_from_slice(b"RATE");
        assert_eq!(read(&kiss, cookie), None);
        kiss[12..16].copy_from_slice(b"DENY");
        assert_eq!(read(&kiss, cookie), Some(Answer::GoAway));
    }

    /// Runs a client of 10.0.0.2, whose responses `serve` makes; returns the samples and the times
    /// of queries.
    fn run(
        duration_ns: u64,
        mut serve: impl FnMut(&[u8]) -> Option<[u8; LEN]>,
    ) -> (Vec<Sample>, Vec<u64>) {
        let mut world = pair();
        world.run_now();
        let server: Handle = world.stacks[1]
            .udp_bind(address("10.0.0.2:123"))
            .expect("free");
        let mut client = Client::new("10.0.0.2", randomness(3));
        let mut resolver = Resolver::new(randomness(4));
        let (mut samples, mut queries) = (Vec::new(), Vec::new());
        let end_ns = world.now_ns + duration_ns;
        let mut at = |world: &mut World| {
            let mut buffer = [0; 100];
            let stack = &mut world.stacks[1];
            while let Some((len, from)) = ready(stack.udp_recv_from(server, &mut buffer)) {
                queries.push(world.now_ns);
                if let Some(answer) = serve(&buffer[..len]) {
                    stack.udp_send_to(server, &answer, from).expect("a route");
                }
            }
            let (sample, polled) = client.poll(&mut world.stacks[0], &mut resolver, world.now_ns);
            samples.extend(sample);
            world.run_now();
            polled.next_ns.unwrap_or(u64::MAX)
        };
        while world.now_ns < end_ns {
            world.run_now();
            let next = at(&mut world);
            let step = next.saturating_sub(world.now_ns).clamp(1, SECOND);
            world.step(step);
        }
        (samples, queries)
    }

    #[test]
    fn the_time_of_a_server() {
        let (samples, queries) = run(2000 * SECOND, |query| Some(answer(query, NEW_YEAR)));
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[0].wall_ns, NEW_YEAR * SECOND_NS);
        assert!(samples[0].delay_ns < MS && samples[0].at_ns < MS);
        // The first query is delayed by neighbor resolution.
        assert!(queries[1] - queries[0] >= 1024 * SECOND - MS);
    }

    #[test]
    fn a_query_leaves_as_soon_as_the_network_is_up() {
        let mut world = pair();
        world.run_now();
        let mut client = Client::new("192.0.2.1", randomness(3));
        let mut resolver = Resolver::new(randomness(4));
        let mut poll = |world: &mut World| {
            let now_ns = world.now_ns;
            let (_, polled) = client.poll(&mut world.stacks[0], &mut resolver, now_ns);
            (polled.sent, polled.next_ns.map(|next_ns| next_ns - now_ns))
        };
        assert_eq!(
            poll(&mut world),
            (true, Some(SECOND)),
            "its name is an address"
        );
        world.step(10 * MS);
        assert_eq!(poll(&mut world), (true, Some(SECOND)));
        let gateway = "10.0.0.2".parse().expect("an address");
        let any = "0.0.0.0".parse().expect("an address");
        world.stacks[0]
            .add_route((any, 0), net::InterfaceId::from_raw(1), Some(gateway))
            .expect("room");
        let (sent, next_ns) = poll(&mut world);
        assert!(sent && next_ns > Some(SECOND), "{next_ns:?}");
    }

    #[test]
    fn silence_and_refusal_are_respected() {
        let (samples, queries) = run(3000 * SECOND, |_| None);
        assert!(
            samples.is_empty() && (6..=10).contains(&queries.len()),
            "{queries:?}"
        );
        assert!(
            queries
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= 15 * SECOND)
        );
        let (samples, queries) = run(3000 * SECOND, |query| {
            let mut kiss = answer(query, NEW_YEAR);
            kiss[1] = 0;
            kiss[12..16].copy_from_slice(b"RSTR");
            Some(kiss)
        });
        assert_eq!((samples.len(), queries.len()), (0, 1));
    }

    proptest! {
        #[test]
        fn hostile_answers_are_harmless(
            bytes in prop::array::uniform32(any::<u8>()),
            rest in prop::array::uniform16(any::<u8>()),
        ) {
            let mut answer = [0; LEN];
            answer[..32].copy_from_slice(&bytes);
            answer[32..].copy_from_slice(&rest);
            if let Some(Answer::Time(received, sent)) = read(
                &answer,
                bytes[24..].try_into().expect("8 bytes"),
            ) {
                prop_assert!(received <= sent);
            }
        }
    }
}
