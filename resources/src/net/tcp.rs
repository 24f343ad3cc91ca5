//! TCP connections and listeners.

use super::errors::{error, refused, stop};
use super::requests::enter_on;
use super::sockets::{close, event, open, ready, socket};
use super::{acceptors, address, needs_stack, stack_for};
use crate::Operations;
use crate::Runtime;
use crate::current::Current;
use crate::runtime;
use crate::types::Int;
use crate::types::constants::{
    OPTION_CONGESTION, OPTION_DELAYED_ACK, OPTION_LINGER, OPTION_MSS, OPTION_NODELAY,
    OPTION_PACING, OPTION_RECEIVE_BUFFER, OPTION_SACK, OPTION_SEND_BUFFER, OPTION_TIMESTAMPS,
    OPTION_USER_TIMEOUT, OPTION_WINDOW_SCALING,
};
use crate::types::records::TcpInfo;
use ::net::{Congestion, ConnectOptions, Handle, Keepalive, Sender, TcpOptions};
use alloc::sync::Arc;
use core::net::SocketAddr;
use platform::Clock;
use platform::Direction;
use platform::error::{Answer, Error, Stop};
use reactor::table::{Fd, Kind};

pub(super) static CONNECTION: Operations = Operations {
    kind: Kind::Tcp,
    read: |rt, key, into| {
        let (stack, socket) = socket(rt, key)?;
        if socket.receive_ended {
            return Ok(0);
        }
        stack.tcp_read(socket.handle, into).map_err(stop)
    },
    write: |rt, key, from| {
        let (stack, socket) = socket(rt, key)?;
        stack.tcp_write(socket.handle, from).map_err(stop)
    },
    ready: |rt, key, direction| {
        let is_ready = ready(rt, key, direction)?;
        if !is_ready {
            // A task that waits has finished writing: the data is sent while other tasks run.
            let (stack, socket) = socket(rt, key)?;
            stack.send_now(socket.handle, Current::monotonic_ns());
        }
        Ok(is_ready)
    },
    shutdown: |rt, key, receive, send| {
        let (stack, socket) = socket(rt, key)?;
        let fd = socket.fd;
        socket.receive_ended |= receive;
        if send {
            stack.tcp_shutdown(socket.handle).map_err(error)?;
        }
        if receive {
            rt.wake(fd, Direction::Read);
        }
        Ok(0)
    },
    close,
};

/// [`Runtime::write`] of a call. The runtime's lock is free while Linux sends, if several domains
/// use it.
pub fn write(fd: Int, from: Result<&[u8], Error>) -> Answer {
    let mut direct = None;
    let answer = enter_on(fd, |rt, fd| {
        let from = from?;
        if runtime::is_shared() {
            direct = sender(rt, fd).map(|(sender, handle)| (sender, handle, from));
        }
        match direct {
            Some(_) => Ok(0),
            None => rt.write(fd, from),
        }
    });
    let Some((sender, handle, from)) = direct else {
        return answer;
    };
    match sender.send(from) {
        Ok(sent) if sent == from.len() => Ok(sent),
        sent => runtime::enter(|rt| {
            let net = rt.resources.net.as_deref_mut().ok_or(Error::Closed)?;
            net.stack.tcp_sent(handle, sent).map_err(stop)
        }),
    }
}

/// How to send on a connection without the runtime, and its handle.
fn sender(rt: &mut Runtime, fd: Fd) -> Option<(Arc<dyn Sender>, Handle)> {
    let (operations, key) = rt.table.get(fd).ok()?;
    if operations.kind != Kind::Tcp {
        return None;
    }
    let (stack, socket) = socket(rt, key).ok()?;
    Some((stack.tcp_sender(socket.handle)?, socket.handle))
}

pub(super) static LISTENER: Operations = Operations::without_data(Kind::Listener, ready, close);

/// Bit of `how` that makes `[::]` IPv6-only.
pub const ONLY_V6: u32 = 22;

/// Decodes the options that affect a SYN: `how` of `soil_tcp_connect`.
fn chosen(how: Int) -> Result<ConnectOptions, Error> {
    let bits = u64::try_from(how).map_err(|_| Error::Invalid)?;
    let bit = |n: u32| bits >> n & 1 != 0;
    let usual = TcpOptions::default();
    Ok(ConnectOptions {
        hop_limit: bits as u8,
        dscp: (bits >> 8) as u8 & 63,
        ecn: match bits >> 16 & 3 {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return Err(Error::Invalid),
        },
        tcp: TcpOptions {
            timestamps: !bit(18),
            sack: !bit(19),
            window_scaling: !bit(20),
            pacing: !bit(21),
            mss: (bits >> 24) as u16,
            delayed_ack_ns: match bits >> 40 {
                0 => usual.delayed_ack_ns,
                more => (more - 1) * 1000,
            },
            ..usual
        },
    })
}

/// Fails if `options` require settings of the host's own sockets that Linux has only globally.
fn check_options(rt: &mut Runtime, options: &ConnectOptions) -> Result<(), Stop> {
    let usual = TcpOptions {
        mss: options.tcp.mss,
        ..TcpOptions::default()
    };
    if options.tcp != usual || options.ecn.is_some() {
        needs_stack(rt, "options of TCP other than segment_size")?;
    }
    Ok(())
}

/// Binds with the initial options of the connections. A connecting peer decides on ECN.
pub(super) fn bind_with(rt: &mut Runtime, endpoint: &[u8], how: Int) -> Result<Handle, Stop> {
    let endpoint = address::decode(endpoint)?;
    let options = chosen(how)?;
    check_options(rt, &options)?;
    let net = stack_for(rt, endpoint.ip())?;
    let v6_only = how >> ONLY_V6 & 1 != 0;
    let bound = net.stack.tcp_bind_family(endpoint, v6_only);
    let bound = bound.and_then(|handle| {
        net.stack.set_hop_limit(handle, options.hop_limit)?;
        net.stack.set_dscp(handle, options.dscp)?;
        net.stack.tcp_set_options(handle, &options.tcp)?;
        Ok(handle)
    });
    match bound {
        Ok(handle) => Ok(handle),
        Err(failure) => rt.fail(refused(failure)),
    }
}

/// See `soil_tcp_listen`.
pub(super) fn backlog_of(backlog: Int) -> Result<usize, Error> {
    usize::try_from(backlog).map_err(|_| Error::Invalid)
}

/// See `soil_tcp_listen`.
pub fn listen(rt: &mut Runtime, endpoint: &[u8], backlog: Int, how: Int) -> Answer {
    let backlog = backlog_of(backlog)?;
    let handle = bind_with(rt, endpoint, how)?;
    let fd = open(rt, handle, &LISTENER)?;
    if let Some(net) = rt.resources.net.as_deref_mut() {
        net.stack.tcp_listen_bound(handle, backlog).map_err(error)?;
    }
    Ok(fd)
}

/// See `soil_tcp_accept`.
pub fn accept(rt: &mut Runtime, listener: Fd) -> Answer {
    let key = rt.table.key_of(listener, &LISTENER)?;
    let (stack, socket) = socket(rt, key)?;
    let (handle, index) = (socket.handle, socket.fd);
    let accepted = stack.tcp_accept(handle).map_err(stop);
    acceptors::take(rt, handle);
    if accepted != Err(Stop::WouldBlock) && rt.table.has_waiters(index, Direction::Read) {
        // There may be more connections, and this task need not come back.
        event(rt, handle);
    }
    open(rt, accepted?, &CONNECTION)
}

/// See `soil_tcp_refused`.
pub fn refused_of(rt: &mut Runtime, listener: Fd) -> Answer {
    let key = rt.table.key_of(listener, &LISTENER)?;
    let (stack, socket) = socket(rt, key)?;
    let earlier = core::mem::take(&mut socket.refused) as usize;
    let now = stack.tcp_refused(socket.handle).map_err(stop)?;
    Ok(earlier + now)
}

/// See `soil_tcp_connect`.
pub fn connect(rt: &mut Runtime, endpoint: &[u8], how: Int) -> Answer {
    connect_to(rt, address::decode(endpoint)?, how)
}

/// [`connect`] to an address that may have a zone.
pub fn connect_to(rt: &mut Runtime, endpoint: SocketAddr, how: Int) -> Answer {
    let options = chosen(how)?;
    check_options(rt, &options)?;
    let net = stack_for(rt, endpoint.ip())?;
    match net.stack.tcp_connect_with(endpoint, None, &options) {
        Ok(handle) => open(rt, handle, &CONNECTION),
        Err(failure) => rt.fail(refused(failure)),
    }
}

/// See `soil_tcp_connected`.
pub fn connected(rt: &mut Runtime, fd: Fd) -> Answer {
    let key = rt.table.key_of(fd, &CONNECTION)?;
    let (stack, socket) = socket(rt, key)?;
    stack
        .tcp_connect_result(socket.handle)
        .map(|()| 0)
        .map_err(stop)
}

/// Copies received bytes without consuming them. Returns 0 at the end of the stream.
pub fn peek(rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Answer {
    let key = rt.table.key_of(fd, &CONNECTION)?;
    let (stack, socket) = socket(rt, key)?;
    if socket.receive_ended {
        return Ok(0);
    }
    stack.tcp_peek(socket.handle, into).map_err(stop)
}

/// Converts a size, which the stack clamps to its range.
fn bytes(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// See `soil_tcp_set`: what a listener passes on to its connections.
fn set_agreed(rt: &mut Runtime, fd: Fd, option: Int, value: u64) -> Answer {
    let listener = rt.table.key_of(fd, &LISTENER);
    let key = listener.or_else(|_| rt.table.key_of(fd, &CONNECTION))?;
    if option != OPTION_MSS {
        needs_stack(rt, "options of TCP other than segment_size")?;
    }
    let (stack, socket) = socket(rt, key)?;
    let mut options = stack.tcp_options(socket.handle).map_err(stop)?;
    match option {
        OPTION_TIMESTAMPS => options.timestamps = value != 0,
        OPTION_SACK => options.sack = value != 0,
        OPTION_WINDOW_SCALING => options.window_scaling = value != 0,
        OPTION_PACING => options.pacing = value != 0,
        OPTION_DELAYED_ACK => options.delayed_ack_ns = value,
        _ => options.mss = u16::try_from(value).map_err(|_| Error::Invalid)?,
    }
    let done = stack.tcp_set_options(socket.handle, &options);
    done.map(|()| 0).map_err(stop)
}

/// Returns the default time in nanoseconds for which a closed connection delivers data in the
/// background.
pub fn usual_linger() -> u64 {
    ::net::Config::default().linger_ns
}

/// See `soil_tcp_set`.
pub fn set(rt: &mut Runtime, fd: Fd, option: Int, value: u64) -> Answer {
    if (OPTION_TIMESTAMPS..=OPTION_MSS).contains(&option) {
        return set_agreed(rt, fd, option, value);
    }
    let key = rt.table.key_of(fd, &CONNECTION)?;
    let (stack, socket) = socket(rt, key)?;
    let handle = socket.handle;
    let done = match option {
        OPTION_NODELAY => stack.tcp_set_nodelay(handle, value != 0),
        OPTION_USER_TIMEOUT => stack.tcp_set_user_timeout(handle, value),
        OPTION_LINGER => stack.tcp_set_linger(handle, value),
        OPTION_CONGESTION if value == 0 => stack.tcp_set_congestion(handle, Congestion::Cubic),
        OPTION_CONGESTION if value == 1 => stack.tcp_set_congestion(handle, Congestion::NewReno),
        OPTION_SEND_BUFFER => stack.tcp_set_send_buffer(handle, bytes(value)),
        OPTION_RECEIVE_BUFFER => stack.tcp_set_receive_buffer(handle, bytes(value)),
        _ => return Err(Error::Invalid.into()),
    };
    done.map(|()| 0).map_err(stop)
}

/// See `soil_tcp_keepalive`.
pub fn keepalive(rt: &mut Runtime, fd: Fd, idle: Int, interval: Int, count: Int) -> Answer {
    let time = |ns: Int| u64::try_from(ns).map_err(|_| Error::Invalid);
    let count = u8::try_from(count).map_err(|_| Error::Invalid)?;
    let (idle_ns, interval_ns) = (time(idle)?, time(interval)?);
    if interval_ns == 0 || count == 0 {
        return Err(Error::Invalid.into());
    }
    let key = rt.table.key_of(fd, &CONNECTION)?;
    let (stack, socket) = socket(rt, key)?;
    let keepalive = Keepalive {
        idle_ns,
        interval_ns,
        probes: count,
    };
    let chosen = (idle_ns > 0).then_some(keepalive);
    stack
        .tcp_set_keepalive(socket.handle, chosen)
        .map_err(error)?;
    Ok(0)
}

/// See `soil_tcp_info`.
pub fn info(rt: &mut Runtime, fd: Fd) -> Result<TcpInfo, Stop> {
    let key = rt.table.key_of(fd, &CONNECTION)?;
    let (stack, socket) = socket(rt, key)?;
    let info = stack.tcp_info(socket.handle).map_err(stop)?;
    let (own_window_shift, peer_window_shift) = info.scales.unwrap_or_default();
    Ok(TcpInfo {
        rtt: int(info.rtt_ns),
        rtt_variation: int(info.rtt_variation_ns),
        rtt_min: int(info.rtt_min_ns),
        retransmission_timeout: int(info.rto_ns),
        segment_size: info.mss as Int,
        congestion_window: info.cwnd as Int,
        slow_start_threshold: info.ssthresh as Int,
        send_window: info.send_window as Int,
        receive_window: info.receive_window as Int,
        in_flight: info.in_flight as Int,
        unacknowledged: info.unacknowledged as Int,
        unread: info.unread as Int,
        out_of_order: info.out_of_order as Int,
        retransmitted: info.retransmitted as Int,
        timeouts: info.timeouts as Int,
        phase: match info.phase {
            "Open" => 0,
            "Recovery" => 1,
            _ => 2,
        },
        sacked: info.sacked as Int,
        lost: info.lost as Int,
        reordering: info.reordering.into(),
        peer_segment_size: info.peer_mss as Int,
        path_mtu: info.path_mtu as Int,
        timestamps: info.timestamps.into(),
        sack: info.sack.into(),
        ecn: info.ecn.into(),
        window_scaling: info.scales.is_some().into(),
        own_window_shift: own_window_shift.into(),
        peer_window_shift: peer_window_shift.into(),
        loss_probes: info.probes as Int,
        spurious_recoveries: info.spurious as Int,
        bytes_acknowledged: int(info.bytes_acknowledged),
        bytes_received: int(info.bytes_received),
    })
}

/// Converts a number, clamped to OCaml's range.
fn int(n: u64) -> Int {
    Int::try_from(n).unwrap_or(Int::MAX >> 1)
}

/// See `soil_tcp_abort`: closes the descriptor and sends an RST.
pub fn abort(rt: &mut Runtime, fd: Fd) -> Answer {
    let key = rt.table.key_of(fd, &CONNECTION)?;
    let (stack, socket) = socket(rt, key)?;
    stack.abort(socket.handle).map_err(error)?;
    rt.close(fd)
}
