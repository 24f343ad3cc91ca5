//! Options of sockets.

use crate::memory::{load, store};
use crate::network::{Network, number};
use crate::objects::{Kind, Phase, Socket};
use crate::state::State;
use net::{Error, Keepalive};

const SECOND: u64 = 1_000_000_000;

/// Numbers that are kept and returned, beside those with an effect: a node has one interface, and
/// its stack sizes its buffers itself.
const KEPT: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_BROADCAST),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_SNDLOWAT),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE),
    (libc::SOL_SOCKET, libc::SO_PRIORITY),
    (libc::SOL_SOCKET, libc::SO_DONTROUTE),
    (libc::IPPROTO_IP, libc::IP_TOS),
    (libc::IPPROTO_IP, libc::IP_TTL),
    (libc::IPPROTO_IP, libc::IP_RECVERR),
    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
    (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
    (libc::IPPROTO_TCP, libc::TCP_CORK),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT),
];

const NODELAY: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
const KEEPALIVE: (i32, i32) = (libc::SOL_SOCKET, libc::SO_KEEPALIVE);
const IDLE: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE);
const INTERVAL: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL);
const PROBES: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_KEEPCNT);
const USER_TIMEOUT: (i32, i32) = (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);

/// Those with an effect on connections ([`apply`]).
const APPLIED: &[(i32, i32)] = &[NODELAY, KEEPALIVE, IDLE, INTERVAL, PROBES, USER_TIMEOUT];

/// What a program gets that hasn't set them.
fn default(option: (i32, i32)) -> i32 {
    match option {
        IDLE => 7200,
        INTERVAL => 75,
        PROBES => 9,
        (libc::SOL_SOCKET, libc::SO_SNDBUF | libc::SO_RCVBUF) => 212_992,
        (libc::IPPROTO_IP, libc::IP_TTL) => 64,
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => 1460,
        _ => 0,
    }
}

fn get_number(socket: &Socket, option: (i32, i32)) -> i32 {
    let numbers = &socket.options.numbers;
    numbers
        .get(&option)
        .copied()
        .unwrap_or_else(|| default(option))
}

/// Gives a connection the socket's options.
pub fn apply(socket: &Socket, network: &mut Network) {
    let Some(handle) = socket.handle.filter(|_| socket.stream) else {
        return;
    };
    let get = |option| get_number(socket, option);
    let seconds = |option| u64::try_from(get(option)).unwrap_or(0) * SECOND;
    let keepalive = (get(KEEPALIVE) != 0).then(|| Keepalive {
        idle_ns: seconds(IDLE),
        interval_ns: seconds(INTERVAL),
        probes: u8::try_from(get(PROBES)).unwrap_or(u8::MAX),
    });
    let stack = &mut network.stack;
    // A connection has them all, unless it has failed.
    let _ = stack.tcp_set_nodelay(handle, get(NODELAY) != 0);
    let _ = stack.tcp_set_keepalive(handle, keepalive);
    let defaults = net::Config::default();
    if let Some(timeout) = socket.options.numbers.get(&USER_TIMEOUT) {
        let timeout = match u64::try_from(*timeout) {
            Ok(ms @ 1..) => ms * 1_000_000,
            _ => defaults.send_timeout_ns,
        };
        let _ = stack.tcp_set_user_timeout(handle, timeout);
    }
    let linger = socket.options.linger;
    let linger = linger.map_or(defaults.linger_ns, |seconds| u64::from(seconds) * SECOND);
    let _ = stack.tcp_set_linger(handle, linger);
}

/// Whether the socket has a connection.
fn is_connection(socket: &Socket) -> bool {
    matches!(socket.phase, Phase::Connecting | Phase::Connected)
}

/// setsockopt(2).
pub fn set(
    state: &mut State,
    fd: i32,
    option: (i32, i32),
    (at, len): (usize, usize),
) -> Result<isize, i32> {
    if matches!(state.object(fd)?.kind, Kind::End(_) | Kind::Local) {
        return Ok(0);
    }
    let (socket, network) = state.socket(fd)?;
    let pair = || match len {
        16.. => Ok(load::<[i64; 2]>(at)),
        _ => Err(libc::EINVAL),
    };
    let nanoseconds = |[seconds, micros]: [i64; 2]| {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        match u64::try_from(micros) {
            Ok(micros @ ..1_000_000) => {
                Ok(seconds.saturating_mul(SECOND).saturating_add(micros * 1000))
            }
            _ => Err(libc::EDOM),
        }
    };
    match option {
        (libc::SOL_SOCKET, libc::SO_LINGER) => {
            if len < 8 {
                return Err(libc::EINVAL);
            }
            let [on, seconds]: [i32; 2] = load(at);
            socket.options.linger = (on != 0).then_some(seconds as u32);
        }
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => {
            socket.options.receive_timeout = nanoseconds(pair()?)?;
        }
        (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => {
            socket.options.send_timeout = nanoseconds(pair()?)?;
        }
        option if KEPT.contains(&option) || APPLIED.contains(&option) => {
            let value = match len {
                4.. => load::<i32>(at),
                1..4 => i32::from(load::<u8>(at)),
                0 => return Err(libc::EINVAL),
            };
            socket.options.numbers.insert(option, value);
        }
        _ => return Err(libc::ENOPROTOOPT),
    }
    if is_connection(socket) {
        apply(socket, network);
    }
    Ok(0)
}

/// The error of a socket, which SO_ERROR fetches once.
fn fetch_error(socket: &mut Socket, network: &mut Network) -> i32 {
    let Some(handle) = socket.handle else {
        return 0;
    };
    if !socket.stream {
        let error = network.stack.udp_take_error(handle);
        return error.ok().flatten().map_or(0, number);
    }
    let failed = match network.stack.socket_error(handle) {
        Ok(Some(error)) => Some(error),
        _ => match network.stack.tcp_connect_result(handle) {
            Err(Error::WouldBlock | Error::InvalidOperation) | Ok(()) => None,
            Err(error) => Some(error),
        },
    };
    match failed {
        Some(error) if socket.take_failure() => number(error),
        _ => 0,
    }
}

/// getsockopt(2).
pub fn get(
    state: &mut State,
    fd: i32,
    option: (i32, i32),
    (at, len_at): (usize, usize),
) -> Result<isize, i32> {
    let room = load::<u32>(len_at) as usize;
    let put = |bytes: &[u8]| {
        let fits = bytes.get(..room).unwrap_or(bytes);
        crate::memory::copy_to(at, fits);
        store(len_at, fits.len() as u32);
        Ok(0)
    };
    if matches!(state.object(fd)?.kind, Kind::End(_) | Kind::Local) {
        let value = match option {
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_UNIX,
            _ => 0,
        };
        return put(&value.to_ne_bytes());
    }
    let (socket, network) = state.socket(fd)?;
    let time = |ns: u64| {
        [ns / SECOND, ns % SECOND / 1000]
            .map(u64::to_ne_bytes)
            .concat()
    };
    let value = match option {
        (libc::SOL_SOCKET, libc::SO_LINGER) => {
            let (on, seconds) = match socket.options.linger {
                Some(seconds) => (1, seconds),
                None => (0u32, 0),
            };
            return put(&[on, seconds].map(u32::to_ne_bytes).concat());
        }
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => return put(&time(socket.options.receive_timeout)),
        (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => return put(&time(socket.options.send_timeout)),
        (libc::SOL_SOCKET, libc::SO_ERROR) => fetch_error(socket, network),
        (libc::SOL_SOCKET, libc::SO_TYPE) => match socket.stream {
            true => libc::SOCK_STREAM,
            false => libc::SOCK_DGRAM,
        },
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => libc::AF_INET,
        (libc::SOL_SOCKET, libc::SO_PROTOCOL) => match socket.stream {
            true => libc::IPPROTO_TCP,
            false => libc::IPPROTO_UDP,
        },
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => i32::from(socket.phase == Phase::Listening),
        option if KEPT.contains(&option) || APPLIED.contains(&option) => get_number(socket, option),
        _ => return Err(libc::ENOPROTOOPT),
    };
    put(&value.to_ne_bytes())
}
