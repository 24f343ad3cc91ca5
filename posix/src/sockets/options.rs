//! Options of sockets: the values that the program has set, and Linux's results for them.
//!
//! Source: socket(7), ip(7), ipv6(7), tcp(7); Linux's `net/core/sock.c`, `net/ipv4/ip_sockglue.c`,
//! `net/ipv4/tcp.c` and `net/ipv6/ipv6_sockglue.c`.

use super::attempts::Patience;
use crate::errors::{Errno, Result};
use platform::Clock;
use resources::current::Current;

/// The sockets with an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// All.
    Any,
    /// Internet sockets.
    Internet,
    /// IPv6 sockets.
    V6,
    /// TCP sockets.
    Tcp,
}

/// The range of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// 0, or 1 for every other number.
    Flag,
    /// From the first to the second.
    From(i32, i32),
    /// As [`Range::From`], or -1 for the default.
    OrDefault(i32, i32),
    /// The size of a buffer: at least the first, at most the second; Linux doubles it.
    Buffer(i32, i32),
}

/// An option with a numeric value.
struct Number {
    level: i32,
    option: i32,
    of: Of,
    range: Range,
    default: i32,
}

const fn number(level: i32, option: i32, of: Of, range: Range, default: i32) -> Number {
    Number {
        level,
        option,
        of,
        range,
        default,
    }
}

/// `net.core.rmem_max` and `wmem_max`.
const MAX_BUFFER: i32 = 212_992;
/// The initial sizes of buffers of TCP (`net.ipv4.tcp_rmem`, `tcp_wmem`).
const TCP_RECEIVE: i32 = 131_072;
const TCP_SEND: i32 = 16_384;
/// An unset hop limit.
const HOPS: i32 = 64;

const SOCKET: i32 = libc::SOL_SOCKET;
const IP: i32 = libc::IPPROTO_IP;
const V6: i32 = libc::IPPROTO_IPV6;
const TCP: i32 = libc::IPPROTO_TCP;

/// The numeric options.
const NUMBERS: [Number; 32] = [
    number(SOCKET, libc::SO_DEBUG, Of::Any, Range::Flag, 0),
    number(SOCKET, libc::SO_REUSEADDR, Of::Any, Range::Flag, 0),
    number(SOCKET, libc::SO_DONTROUTE, Of::Any, Range::Flag, 0),
    number(SOCKET, libc::SO_BROADCAST, Of::Any, Range::Flag, 0),
    number(
        SOCKET,
        libc::SO_SNDBUF,
        Of::Any,
        Range::Buffer(4608, MAX_BUFFER),
        MAX_BUFFER,
    ),
    number(
        SOCKET,
        libc::SO_RCVBUF,
        Of::Any,
        Range::Buffer(2304, MAX_BUFFER),
        MAX_BUFFER,
    ),
    number(SOCKET, libc::SO_KEEPALIVE, Of::Any, Range::Flag, 0),
    number(SOCKET, libc::SO_OOBINLINE, Of::Any, Range::Flag, 0),
    number(
        SOCKET,
        libc::SO_PRIORITY,
        Of::Any,
        Range::From(0, i32::MAX),
        0,
    ),
    number(SOCKET, libc::SO_REUSEPORT, Of::Any, Range::Flag, 0),
    number(
        SOCKET,
        libc::SO_RCVLOWAT,
        Of::Any,
        Range::From(i32::MIN, i32::MAX),
        1,
    ),
    number(
        SOCKET,
        libc::SO_MARK,
        Of::Any,
        Range::From(i32::MIN, i32::MAX),
        0,
    ),
    number(IP, libc::IP_TOS, Of::Internet, Range::From(0, 255), 0),
    number(
        IP,
        libc::IP_TTL,
        Of::Internet,
        Range::OrDefault(1, 255),
        HOPS,
    ),
    number(
        IP,
        libc::IP_MTU_DISCOVER,
        Of::Internet,
        Range::From(0, 5),
        1,
    ),
    number(
        IP,
        libc::IP_MULTICAST_TTL,
        Of::Internet,
        Range::OrDefault(0, 255),
        1,
    ),
    number(IP, libc::IP_MULTICAST_LOOP, Of::Internet, Range::Flag, 1),
    number(
        V6,
        libc::IPV6_UNICAST_HOPS,
        Of::V6,
        Range::OrDefault(0, 255),
        HOPS,
    ),
    number(
        V6,
        libc::IPV6_MULTICAST_HOPS,
        Of::V6,
        Range::OrDefault(0, 255),
        1,
    ),
    number(V6, libc::IPV6_MULTICAST_LOOP, Of::V6, Range::From(0, 1), 1),
    number(V6, libc::IPV6_V6ONLY, Of::V6, Range::Flag, 0),
    number(V6, libc::IPV6_TCLASS, Of::V6, Range::OrDefault(0, 255), 0),
    number(TCP, libc::TCP_NODELAY, Of::Tcp, Range::Flag, 0),
    number(TCP, libc::TCP_MAXSEG, Of::Tcp, Range::From(88, 32_767), 536),
    number(TCP, libc::TCP_CORK, Of::Tcp, Range::Flag, 0),
    number(
        TCP,
        libc::TCP_KEEPIDLE,
        Of::Tcp,
        Range::From(1, 32_767),
        7200,
    ),
    number(
        TCP,
        libc::TCP_KEEPINTVL,
        Of::Tcp,
        Range::From(1, 32_767),
        75,
    ),
    number(TCP, libc::TCP_KEEPCNT, Of::Tcp, Range::From(1, 127), 9),
    number(TCP, libc::TCP_SYNCNT, Of::Tcp, Range::From(1, 127), 6),
    number(TCP, libc::TCP_DEFER_ACCEPT, Of::Tcp, Range::From(0, 255), 0),
    number(TCP, libc::TCP_QUICKACK, Of::Tcp, Range::Flag, 1),
    number(
        TCP,
        libc::TCP_USER_TIMEOUT,
        Of::Tcp,
        Range::From(0, i32::MAX),
        0,
    ),
];

/// The kinds of sockets whose options differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP; IPv6 or not.
    Tcp(bool),
    /// UDP; IPv6 or not.
    Udp(bool),
    /// Unix-domain sockets.
    Unix,
}

impl Kind {
    /// The error for an unknown option: from `getsockopt`, or `setsockopt`.
    fn missing(self, level: i32, asked: bool) -> Errno {
        match self {
            Kind::Unix if level != SOCKET => libc::EOPNOTSUPP,
            Kind::Tcp(false) if asked && ![SOCKET, IP, TCP].contains(&level) => libc::EOPNOTSUPP,
            Kind::Udp(false) if asked && ![SOCKET, IP].contains(&level) => libc::EOPNOTSUPP,
            _ => libc::ENOPROTOOPT,
        }
    }

    fn has(self, of: Of) -> bool {
        match of {
            Of::Any => true,
            Of::Internet => self != Kind::Unix,
            Of::V6 => matches!(self, Kind::Tcp(true) | Kind::Udp(true)),
            Of::Tcp => matches!(self, Kind::Tcp(_)),
        }
    }
}

/// The options of a socket.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    kind: Kind,
    /// `None` for the default.
    numbers: [Option<i32>; NUMBERS.len()],
    /// Seconds of `SO_LINGER`, if it is on.
    pub linger: Option<i32>,
    /// Seconds and microseconds of `SO_RCVTIMEO` and `SO_SNDTIMEO`; zeros for none.
    timeouts: [[i64; 2]; 2],
}

/// The 32-bit number at the beginning of a value. [`libc::EINVAL`] if it is shorter.
pub fn integer(value: &[u8]) -> Result<i32> {
    let bytes = value.first_chunk::<4>().ok_or(libc::EINVAL)?;
    Ok(i32::from_le_bytes(*bytes))
}

/// As [`integer`], or the number of one byte, which options of IP may have.
fn short_integer(level: i32, value: &[u8]) -> Result<i32> {
    match value {
        [byte, rest @ ..] if level == IP && rest.len() < 3 => Ok(i32::from(*byte)),
        _ => integer(value),
    }
}

fn position(level: i32, option: i32) -> Option<usize> {
    let is_it = |number: &Number| number.level == level && number.option == option;
    NUMBERS.iter().position(is_it)
}

/// The timeout that an option sets.
fn timeout_of(level: i32, option: i32) -> Option<usize> {
    match (level, option) {
        (SOCKET, libc::SO_RCVTIMEO) => Some(0),
        (SOCKET, libc::SO_SNDTIMEO) => Some(1),
        _ => None,
    }
}

impl Options {
    /// The defaults of a kind of socket.
    pub const fn new(kind: Kind) -> Options {
        Options {
            kind,
            numbers: [None; NUMBERS.len()],
            linger: None,
            timeouts: [[0; 2]; 2],
        }
    }

    /// The number of an option, if the program has set it.
    pub fn chosen(&self, level: i32, option: i32) -> Option<i32> {
        let at = position(level, option)?;
        self.numbers.get(at).copied().flatten()
    }

    /// Whether a flag option is set.
    pub fn is_set(&self, level: i32, option: i32) -> bool {
        self.chosen(level, option).is_some_and(|value| value != 0)
    }

    /// The number of an option.
    pub fn number(&self, level: i32, option: i32) -> i32 {
        let default = match (self.kind, level, option) {
            (Kind::Tcp(_), SOCKET, libc::SO_SNDBUF) => TCP_SEND,
            (Kind::Tcp(_), SOCKET, libc::SO_RCVBUF) => TCP_RECEIVE,
            _ => {
                let at = position(level, option).and_then(|at| NUMBERS.get(at));
                at.map_or(0, |number| number.default)
            }
        };
        self.chosen(level, option).unwrap_or(default)
    }

    /// Sets an option stored here. [`libc::ENOPROTOOPT`] for others, and those of other kinds of
    /// sockets; [`libc::EINVAL`], [`libc::EDOM`] for values out of range.
    pub fn set(&mut self, level: i32, option: i32, value: &[u8]) -> Result<()> {
        if let Some(which) = timeout_of(level, option) {
            let (seconds, rest) = value.split_first_chunk::<8>().ok_or(libc::EINVAL)?;
            let parts = rest.first_chunk::<8>().ok_or(libc::EINVAL)?;
            let (seconds, parts) = (i64::from_le_bytes(*seconds), i64::from_le_bytes(*parts));
            if !(0..1_000_000).contains(&parts) {
                return Err(libc::EDOM);
            }
            if let Some(timeout) = self.timeouts.get_mut(which) {
                // As on Linux, a negative time is the shortest.
                *timeout = if seconds < 0 {
                    [0, 1]
                } else {
                    [seconds, parts]
                };
            }
            return Ok(());
        }
        if (level, option) == (SOCKET, libc::SO_LINGER) {
            let (on, seconds) = value.split_first_chunk::<4>().ok_or(libc::EINVAL)?;
            let seconds = integer(seconds)?;
            self.linger = (i32::from_le_bytes(*on) != 0).then_some(seconds);
            return Ok(());
        }
        let missing = self.kind.missing(level, false);
        let at = position(level, option).ok_or(missing)?;
        let (Some(number), Some(place)) = (NUMBERS.get(at), self.numbers.get_mut(at)) else {
            return Err(missing);
        };
        if !self.kind.has(number.of) {
            return Err(missing);
        }
        if (self.kind, level, option) == (Kind::Unix, SOCKET, libc::SO_REUSEPORT) {
            return Err(libc::EOPNOTSUPP);
        }
        let wanted = short_integer(level, value)?;
        *place = match number.range {
            Range::Flag => Some(i32::from(wanted != 0)),
            Range::OrDefault(..) if wanted == -1 => None,
            Range::From(least, most) | Range::OrDefault(least, most) => {
                if !(least..=most).contains(&wanted) {
                    return Err(libc::EINVAL);
                }
                Some(wanted)
            }
            Range::Buffer(least, most) => Some((wanted.clamp(0, most) * 2).max(least)),
        };
        Ok(())
    }

    /// Stores the value of an option stored here in `into`, as far as there is room; returns the
    /// number of bytes. [`libc::ENOPROTOOPT`] for others.
    pub fn get(&self, level: i32, option: i32, into: &mut [u8]) -> Result<usize> {
        if let Some(which) = timeout_of(level, option) {
            let [seconds, parts] = self.timeouts.get(which).copied().unwrap_or_default();
            let mut bytes = [0; 16];
            for (into, from) in bytes.chunks_exact_mut(8).zip([seconds, parts]) {
                into.copy_from_slice(&from.to_le_bytes());
            }
            return Ok(fill(into, &bytes));
        }
        if (level, option) == (SOCKET, libc::SO_LINGER) {
            let mut bytes = [0; 8];
            let values = [i32::from(self.linger.is_some()), self.linger.unwrap_or(0)];
            for (into, from) in bytes.chunks_exact_mut(4).zip(values) {
                into.copy_from_slice(&from.to_le_bytes());
            }
            return Ok(fill(into, &bytes));
        }
        let missing = self.kind.missing(level, true);
        let at = position(level, option).ok_or(missing)?;
        if !NUMBERS
            .get(at)
            .is_some_and(|number| self.kind.has(number.of))
        {
            return Err(missing);
        }
        Ok(put(into, self.number(level, option)))
    }

    /// The maximum wait of a call that begins now: receive or send.
    pub fn patience(&self, waits: bool, receives: bool) -> Patience {
        let [receive, send] = self.timeouts;
        match if receives { receive } else { send } {
            _ if !waits => Patience::None,
            [0, 0] => Patience::Signal,
            [seconds, parts] => {
                let span = (seconds as u64)
                    .saturating_mul(1_000_000_000)
                    .saturating_add(parts as u64 * 1000);
                Patience::Deadline(Current::monotonic_ns().saturating_add(span))
            }
        }
    }
}

/// Copies `bytes` as far as there is room; returns the number of bytes.
pub fn fill(into: &mut [u8], bytes: &[u8]) -> usize {
    let len = into.len().min(bytes.len());
    for (into, byte) in into.iter_mut().zip(bytes) {
        *into = *byte;
    }
    len
}

/// [`fill`] with a number.
pub fn put(into: &mut [u8], value: i32) -> usize {
    fill(into, &value.to_le_bytes())
}
