//! The DHCPv6 client (RFC 8415): one address, or only name servers, depending on the router's
//! flags.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use super::search_list::domain_names;
use crate::ip::random::Random;
use crate::ip::wire::header::{Mac, v6};
use crate::types::{be16, be32, put};

const SECOND: u64 = 1_000_000_000;

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;
const INFORMATION_REQUEST: u8 = 11;

const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const IA_NA: u16 = 3;
const IA_ADDRESS: u16 = 5;
const OPTION_REQUEST: u16 = 6;
const ELAPSED: u16 = 8;
const STATUS: u16 = 13;
const RAPID_COMMIT: u16 = 14;
const DNS_SERVERS: u16 = 23;
const DOMAIN_LIST: u16 = 24;
const REFRESH_TIME: u16 = 32;

/// REQ_MAX_RC of RFC 8415, 7.6.
const REQUESTS: u32 = 10;
/// IRT_DEFAULT and IRT_MINIMUM (RFC 8415, 7.6), in seconds.
const REFRESH_S: u32 = 86_400;
const REFRESH_MIN_S: u32 = 600;
/// SOL_MAX_DELAY and INF_MAX_DELAY: spreads hosts that start at the same time.
const DELAY_NS: u64 = SECOND;
const SERVERS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Neither flag is set.
    Idle,
    Informing,
    Informed,
    Soliciting,
    Requesting,
    Bound,
    Renewing,
    Rebinding,
    /// The address is being released; it has been released.
    Releasing,
    Released,
}

/// An address with its lifetimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leased {
    pub(crate) address: Ipv6Addr,
    pub(crate) preferred_until_ns: u64,
    pub(crate) valid_until_ns: u64,
}

/// The client of an interface.
#[derive(Debug)]
pub(crate) struct Client {
    mac: Mac,
    state: State,
    xid: u32,
    began_ns: u64,
    at_ns: u64,
    /// The retransmission timeout (RFC 8415, 15).
    wait_ns: u64,
    tries: u32,
    server: Vec<u8>,
    pub(crate) lease: Option<Leased>,
    declined: Option<Ipv6Addr>,
    released: Option<Ipv6Addr>,
    t2_ns: u64,
    pub(crate) dns_servers: Vec<Ipv6Addr>,
    pub(crate) search: Vec<String>,
}

/// The options of a message or of an option: code and content.
fn options(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let (code, len) = (be16(rest, 0)?, usize::from(be16(rest, 2)?));
        let content = rest.get(4..4 + len)?;
        rest = rest.get(4 + len..)?;
        Some((code, content))
    })
}

fn put_option(message: &mut Vec<u8>, code: u16, content: &[u8]) {
    message.extend(code.to_be_bytes());
    message.extend((content.len() as u16).to_be_bytes());
    message.extend_from_slice(content);
}

/// Whether a status code option is Success; its absence means success (RFC 8415, 21.13).
fn is_success(content: &[u8]) -> bool {
    options(content)
        .find(|(code, _)| *code == STATUS)
        .is_none_or(|(_, status)| be16(status, 0) == Some(0))
}

impl Client {
    pub(crate) fn new(mac: Mac) -> Client {
        Client {
            mac,
            state: State::Idle,
            xid: 0,
            began_ns: 0,
            at_ns: 0,
            wait_ns: 0,
            tries: 0,
            server: Vec::new(),
            lease: None,
            declined: None,
            released: None,
            t2_ns: 0,
            dns_servers: Vec::new(),
            search: Vec::new(),
        }
    }

    fn enter(&mut self, state: State, now_ns: u64) {
        self.state = state;
        self.tries = 0;
        self.began_ns = now_ns;
        self.at_ns = now_ns;
    }

    /// Applies the M and O flags of a router advertisement (RFC 4861, 4.2). An exchange in progress
    /// continues.
    pub(crate) fn flags(
        &mut self,
        (managed, other): (bool, bool),
        now_ns: u64,
        random: &mut Random,
    ) {
        let state = match self.state {
            State::Idle | State::Informed | State::Informing if managed => State::Soliciting,
            State::Idle if other => State::Informing,
            // An exchange in progress continues, and a released client stays so.
            _ => return,
        };
        self.enter(state, now_ns.saturating_add(random.below(DELAY_NS)));
    }

    /// Releases the address (RFC 8415, 18.2.7); returns whether there is one. It isn't used from
    /// now on.
    pub(crate) fn release(&mut self, now_ns: u64) -> bool {
        let address = self.lease.take().map(|lease| lease.address);
        if address.is_some() {
            self.declined = None;
            self.released = address;
            self.enter(State::Releasing, now_ns);
        } else if self.state != State::Releasing {
            self.state = State::Released;
        }
        address.is_some()
    }

    /// Whether a server has yet to confirm the release.
    pub(crate) fn is_releasing(&self) -> bool {
        self.state == State::Releasing
    }

    /// Another host has the address (RFC 8415, 18.2.8).
    pub(crate) fn conflict(&mut self, now_ns: u64) {
        self.declined = self.lease.take().map(|lease| lease.address);
        self.enter(State::Soliciting, now_ns.saturating_add(10 * SECOND));
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        if self.declined.is_some() {
            return Some(0);
        }
        let expiry = self.lease.map(|lease| lease.valid_until_ns);
        let quiet = matches!(self.state, State::Idle | State::Released);
        let at_ns = (!quiet).then_some(self.at_ns);
        [expiry, at_ns].into_iter().flatten().min()
    }

    /// The message to send now to all servers (ff02::1:2, port 547). Removes expired addresses.
    pub(crate) fn run(&mut self, now_ns: u64, random: &mut Random) -> Option<Vec<u8>> {
        if let Some(address) = self.declined.take() {
            self.xid = random.bits() as u32 & 0xff_ffff;
            return Some(self.message(DECLINE, now_ns, Some(address)));
        }
        if self
            .lease
            .is_some_and(|lease| lease.valid_until_ns <= now_ns)
        {
            self.lease = None;
            self.enter(State::Soliciting, now_ns);
        }
        let quiet = matches!(self.state, State::Idle | State::Released);
        if quiet || self.at_ns > now_ns {
            return None;
        }
        match self.state {
            State::Informed => self.enter(State::Informing, now_ns),
            State::Bound => self.enter(State::Renewing, now_ns),
            State::Renewing if now_ns >= self.t2_ns => self.enter(State::Rebinding, now_ns),
            State::Requesting if self.tries >= REQUESTS => self.enter(State::Soliciting, now_ns),
            _ => {}
        }
        // RFC 8415, 7.6: initial and maximum retransmission time.
        let (kind, first_s, most_s) = match self.state {
            State::Informing => (INFORMATION_REQUEST, 1, 3600),
            State::Requesting => (REQUEST, 1, 30),
            State::Renewing => (RENEW, 10, 600),
            State::Rebinding => (REBIND, 10, 600),
            State::Releasing => (RELEASE, 1, 1),
            _ => (SOLICIT, 1, 3600),
        };
        if self.tries == 0 {
            self.xid = random.bits() as u32 & 0xff_ffff;
            self.wait_ns = first_s * SECOND;
        } else {
            self.wait_ns = (self.wait_ns * 2).min(most_s * SECOND);
        }
        self.tries += 1;
        // Jitter of a tenth either way.
        let jitter_ns = random.below(self.wait_ns / 5);
        self.at_ns = now_ns + self.wait_ns - self.wait_ns / 10 + jitter_ns;
        if self.state == State::Renewing {
            self.at_ns = self.at_ns.min(self.t2_ns.max(now_ns + SECOND));
        }
        let leased = self.lease.map(|lease| lease.address);
        Some(self.message(kind, now_ns, leased.or(self.released)))
    }

    fn message(&self, kind: u8, now_ns: u64, address: Option<Ipv6Addr>) -> Vec<u8> {
        let mut message = (u32::from(kind) << 24 | self.xid).to_be_bytes().to_vec();
        // DUID-LL: Ethernet (RFC 8415, 11.4).
        let mut duid = [0, 3, 0, 1, 0, 0, 0, 0, 0, 0];
        put(&mut duid, 4, &self.mac);
        put_option(&mut message, CLIENT_ID, &duid);
        if matches!(kind, REQUEST | RENEW | RELEASE | DECLINE) {
            put_option(&mut message, SERVER_ID, &self.server);
        }
        let centis = now_ns.saturating_sub(self.began_ns) / 10_000_000;
        let centis = u16::try_from(centis).unwrap_or(u16::MAX);
        put_option(&mut message, ELAPSED, &centis.to_be_bytes());
        if !matches!(kind, DECLINE | RELEASE) {
            let mut wanted = [0; 6];
            put(&mut wanted, 0, &DNS_SERVERS.to_be_bytes());
            put(&mut wanted, 2, &DOMAIN_LIST.to_be_bytes());
            put(&mut wanted, 4, &REFRESH_TIME.to_be_bytes());
            // The last option is only for requests without an address (21.23).
            let len = if kind == INFORMATION_REQUEST { 6 } else { 4 };
            put_option(
                &mut message,
                OPTION_REQUEST,
                wanted.get(..len).unwrap_or_default(),
            );
        }
        if kind != INFORMATION_REQUEST {
            let mut ia = alloc::vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
            if let Some(address) = address {
                let mut content = address.octets().to_vec();
                content.extend([0; 8]);
                put_option(&mut ia, IA_ADDRESS, &content);
            }
            put_option(&mut message, IA_NA, &ia);
        }
        if kind == SOLICIT {
            put_option(&mut message, RAPID_COMMIT, &[]);
        }
        message
    }

    /// Handles a server's message (RFC 8415, 16, 18.2.9 and 18.2.10). Returns whether it replies to
    /// the current request.
    pub(crate) fn input(&mut self, message: &[u8], now_ns: u64) -> bool {
        let (Some(first), Some(rest)) = (be32(message, 0), message.get(4..)) else {
            return false;
        };
        let mut duid = [0, 3, 0, 1, 0, 0, 0, 0, 0, 0];
        put(&mut duid, 4, &self.mac);
        let find = |wanted| {
            options(rest)
                .find(|(code, _)| *code == wanted)
                .map(|(_, c)| c)
        };
        let (kind, xid) = ((first >> 24) as u8, first & 0xff_ffff);
        let Some(server) = find(SERVER_ID) else {
            return false;
        };
        if xid != self.xid || find(CLIENT_ID) != Some(&duid) || server.len() > 130 {
            return false;
        }
        match (self.state, kind) {
            (State::Soliciting, ADVERTISE)
                if self.tries > 0 && self.address_of(rest, now_ns).is_some() =>
            {
                self.server = server.to_vec();
                self.enter(State::Requesting, now_ns);
            }
            (State::Informing, REPLY) => {
                self.information(rest);
                self.state = State::Informed;
                let said = find(REFRESH_TIME).and_then(|time| be32(time, 0));
                self.at_ns = match said.unwrap_or(REFRESH_S) {
                    u32::MAX => u64::MAX,
                    seconds => {
                        let seconds = u64::from(seconds.max(REFRESH_MIN_S));
                        now_ns.saturating_add(seconds * SECOND)
                    }
                };
            }
            // With any status (18.2.10.2).
            (State::Releasing, REPLY) if self.tries > 0 => self.state = State::Released,
            // Without the rapid commit option a reply to a solicit is invalid (18.2.1).
            (State::Soliciting, REPLY) if find(RAPID_COMMIT).is_none() => {}
            (State::Soliciting | State::Requesting | State::Renewing | State::Rebinding, REPLY)
                if self.tries > 0 =>
            {
                let Some((lease, t1_ns, t2_ns)) = self.address_of(rest, now_ns) else {
                    // No address for us: retry with all servers, later.
                    if self.state != State::Soliciting {
                        self.lease = None;
                        self.enter(State::Soliciting, now_ns.saturating_add(SECOND));
                    }
                    return true;
                };
                self.server = server.to_vec();
                self.information(rest);
                self.lease = Some(lease);
                self.state = State::Bound;
                self.at_ns = t1_ns;
                self.t2_ns = t2_ns;
            }
            _ => {}
        }
        true
    }

    fn information(&mut self, rest: &[u8]) {
        for (code, content) in options(rest) {
            match code {
                DNS_SERVERS => {
                    let all = content.as_chunks::<16>().0.iter();
                    self.dns_servers = all
                        .map(|octets| Ipv6Addr::from_octets(*octets))
                        .filter(|a| !a.is_multicast() && !a.is_unspecified())
                        .take(SERVERS)
                        .collect();
                }
                DOMAIN_LIST => self.search = domain_names(content),
                _ => {}
            }
        }
    }

    /// The address in a message, with T1 and T2.
    fn address_of(&self, rest: &[u8], now_ns: u64) -> Option<(Leased, u64, u64)> {
        let until = |seconds: u32| match seconds {
            u32::MAX => u64::MAX,
            seconds => now_ns.saturating_add(u64::from(seconds) * SECOND),
        };
        if !is_success(rest) {
            return None;
        }
        let (_, ia) =
            options(rest).find(|(code, content)| *code == IA_NA && be32(content, 0) == Some(1))?;
        let (t1, t2) = (be32(ia, 4)?, be32(ia, 8)?);
        let inner = ia.get(12..)?;
        if !is_success(inner) {
            return None;
        }
        let (_, content) = options(inner).find(|(code, _)| *code == IA_ADDRESS)?;
        let address = v6(content, 0)?;
        let (preferred, valid) = (be32(content, 16)?, be32(content, 20)?);
        let usable = !address.is_multicast()
            && !address.is_unspecified()
            && !address.is_loopback()
            && !address.is_unicast_link_local();
        if !usable || valid == 0 || preferred > valid || !is_success(content.get(24..)?) {
            return None;
        }
        // RFC 8415, 21.4: zero leaves the times to the client: 0.5 and 0.8 of the preferred
        // lifetime.
        let part = |part: u32| match preferred {
            u32::MAX => preferred,
            preferred => (preferred / 10 * part).max(1),
        };
        let t1 = if t1 == 0 || t1 > valid { part(5) } else { t1 };
        let t2 = if t2 < t1 || t2 > valid {
            part(8).max(t1)
        } else {
            t2
        };
        let leased = Leased {
            address,
            preferred_until_ns: until(preferred),
            valid_until_ns: until(valid),
        };
        Some((leased, until(t1), until(t2)))
    }
}

#[cfg(test)]
mod tests;
