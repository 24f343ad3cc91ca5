//! The network: the stack of the crate `net` behind descriptors.
//!
//! Nothing of it exists before the first call of this file: [`stack_for`] makes the stack and
//! registers it in the runtime, and the first call that isn't about the loopback alone opens the
//! links.

pub mod address;
pub mod bound;
mod configuration;
pub mod dns;
pub mod echo;
pub mod ethernet;
pub mod filter;
pub mod inspect;
pub mod interfaces;
pub mod lease;
pub mod lend;
mod mac;
pub mod mdns;
mod offload;
mod recording;
mod services;
mod status;
pub mod tcp;
pub mod udp;
pub mod urgent;
mod zero_copy;

pub use status::{interface, interfaces, up};

use crate::Operations;
use crate::current::{Current, Interest, LinkWake};
use crate::ffi::Int;
use crate::ffi::constants::{
    COUNTER_CONNECTIONS, COUNTER_DROPS, COUNTER_FRAMES_IN, COUNTER_FRAMES_OUT, KIND_LISTENER,
    KIND_TCP, KIND_UDP, MARK_DSCP, MARK_HOP_LIMIT,
};
use crate::runtime;
use crate::{Driver, Runtime};
use ::net::{Handle, Progress, Stack};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use platform::Direction;
use platform::error::{Answer, Error, Failure, Stop};
use platform::link;
use platform::{Clock, Console, Entropy, Interest as _, Links, Memory, System, Ticker, Wait};
use reactor::table::Fd;
use slab::Slab;

/// Frames in each direction for each interface in one step.
const BUDGET: usize = 64;
/// The least memory for connections, in bytes: two connections with full buffers.
const LEAST_MEMORY: u64 = 1 << 20;
/// The most, in bytes.
const MOST_MEMORY: u64 = 256 << 20;
/// How long the end waits for cards that have frames to send, in ns.
const DRAIN_NS: u64 = 500_000_000;

/// An interface: its name and how to wait for it.
struct Interface {
    name: String,
    /// `None` for a VLAN, which is on the link of another one.
    wake: Option<LinkWake>,
    id: ::net::InterfaceId,
}

/// What a descriptor stands for.
struct Socket {
    handle: Handle,
    /// The place of its descriptor in the table.
    fd: u32,
    /// The reader has said that it wants no more.
    receive_ended: bool,
    /// There is urgent data that a reader wasn't told of.
    urgent: bool,
}

/// The stack and what belongs to it.
pub struct Net {
    stack: Stack,
    interfaces: Vec<Interface>,
    /// The links were opened.
    attached: bool,
    sockets: Slab<Socket>,
    /// Key in `sockets` of a handle, by the handle's index; `u32::MAX` = none.
    by_handle: Vec<u32>,
    lookups: Vec<dns::Lookup>,
    services: services::Services,
    named: Option<mdns::Named>,
    /// Tokens that wait for an address.
    waiting_for_address: Vec<u64>,
    /// When the links were opened, for the patience with DHCP.
    started_ns: u64,
    progress: Progress,
    /// The leases were given back, at the end.
    released: bool,
    /// When the end no longer waits for cards to take what they were given.
    drain_until: Option<u64>,
    /// What [`Entropy::snapshots`] said last.
    snapshots: u32,
    /// Kept for its memory.
    events: Vec<Handle>,
    zero_copy: zero_copy::ZeroCopy,
}

/// 64 random bits.
fn random_bits() -> u64 {
    let mut bits = [0u8; 8];
    // The generator has been seeded when the network started, and doesn't run dry.
    let _ = Current::random(&mut bits);
    u64::from_le_bytes(bits)
}

/// The stack with its links, both started by the first call.
fn stack(rt: &mut Runtime) -> Result<&mut Net, Stop> {
    stack_for(rt, IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The stack for what is about `address`: for the loopback no link is opened, and so no passt is
/// started.
fn stack_for(rt: &mut Runtime, address: IpAddr) -> Result<&mut Net, Stop> {
    if rt.resources.net.is_none() {
        start(rt)?;
    }
    let needed = || {
        // Rules hold for the loopback too; and the clock is set by a server.
        let asked = ["SOIL_FILTER", "SOIL_NTP"];
        !address.is_loopback() || asked.iter().any(|name| Current::variable(name).is_some())
    };
    if rt.resources.net.as_deref().is_some_and(|net| !net.attached) && needed() {
        attach(rt)?;
    }
    let net = rt.resources.net.as_deref_mut().ok_or(Error::NoNetwork)?;
    net.stack.note_idle(core::mem::take(&mut rt.slept_ns));
    net.stack.set_memory_short(Current::memory_short());
    Ok(net)
}

/// The settings that the stack starts with, after a look at all others.
fn settings() -> Result<(::net::Congestion, services::Services), Failure> {
    configuration::read()?;
    let congestion = configuration::congestion(Current::variable)?;
    offload::read()?;
    Ok((congestion, services::Services::new()?))
}

fn start(rt: &mut Runtime) -> Result<(), Stop> {
    rt.start()?;
    // Before anything is opened: a mistake in the configuration should not leave half a network.
    let (congestion, services) = settings().or_else(|failure| rt.fail(failure))?;
    let mut seed = [0u8; 8];
    crate::random::fill(rt, &mut seed)?;
    let total = Current::memory().first().copied().unwrap_or(0);
    let memory = (total / 4).clamp(LEAST_MEMORY, MOST_MEMORY);
    let limits = ::net::Config {
        tcp_memory: memory as usize,
        congestion,
        ..::net::Config::default()
    };
    // It stays for good; without the code that would take it down.
    let net = Box::leak(Box::new(Net {
        stack: Stack::new(limits, &mut || Box::new(random_bits)),
        interfaces: Vec::new(),
        attached: false,
        sockets: Slab::new(),
        by_handle: Vec::new(),
        lookups: Vec::new(),
        services,
        named: None,
        waiting_for_address: Vec::new(),
        started_ns: 0,
        progress: Progress::default(),
        released: false,
        drain_until: None,
        snapshots: Current::snapshots(),
        events: Vec::new(),
        zero_copy: zero_copy::ZeroCopy::new(),
    }));
    rt.register(Driver {
        poll,
        deadline,
        interest,
        finish,
        counter,
    })?;
    rt.resources.net = Some(net);
    Current::take_report_requests();
    Current::start_ticker(&TICKER);
    Ok(())
}

/// Opens the links.
fn attach(rt: &mut Runtime) -> Result<(), Stop> {
    let configuration = configuration::read().or_else(|failure| rt.fail(failure))?;
    let settings = offload::read().map(|offloads| link::Settings {
        offloads,
        mac: mac::choose,
    });
    let devices = settings.and_then(|settings| Current::links(&mut rt.interest, settings));
    let devices = devices.and_then(recording::record);
    let devices = devices.or_else(|failure| rt.fail(failure))?;
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return Err(Error::NoNetwork.into());
    };
    // After a failure it is tried again, with those that weren't added.
    let added = net.interfaces.len();
    for (index, device) in devices.into_iter().enumerate().skip(added) {
        match net
            .stack
            .add_interface(device.link, &configuration.interface(index))
        {
            Ok(id) => {
                net.interfaces.push(Interface {
                    name: device.name,
                    wake: Some(device.wake),
                    id,
                });
            }
            Err(error) => {
                let detail = alloc::format!("network interface {}: {error}", device.name);
                return rt.fail(Failure::new(Error::BadConfiguration, detail));
            }
        }
    }
    if let Some(rules) = Current::variable("SOIL_FILTER")
        && let Err(failure) = filter::apply(net, &rules)
    {
        return rt.fail(failure.within("SOIL_FILTER"));
    }
    net.attached = true;
    net.started_ns = Current::monotonic_ns();
    // Fixed addresses are there after the first step.
    poll(rt, Current::monotonic_ns());
    Ok(())
}

/// Polls the network while the program computes.
static TICKER: Ticker = Ticker {
    poll: || {
        runtime::tick(|rt| {
            poll(rt, Current::monotonic_ns());
            rt.interest.submit_all();
        });
    },
    lock: runtime::lock,
    unlock: runtime::unlock,
};

fn poll(rt: &mut Runtime, now: u64) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    let snapshots = Current::snapshots();
    if core::mem::replace(&mut net.snapshots, snapshots) != snapshots {
        net.stack.renew_keys();
    }
    net.stack.set_memory_short(Current::memory_short());
    net.progress = net.stack.poll(now, BUDGET);
    Current::promise_memory(net.stack.promised_memory());
    let mut events = core::mem::take(&mut net.events);
    net.stack.take_events(&mut |handle| events.push(handle));
    for handle in events.drain(..) {
        event(rt, handle);
    }
    if let Some(net) = rt.resources.net.as_deref_mut() {
        net.events = events;
    }
    services::poll(rt, now);
    inspect::poll(rt);
    status::check(rt, now);
}

/// A socket or a lookup became ready for something.
fn event(rt: &mut Runtime, handle: Handle) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    let key = net
        .by_handle
        .get(index_of(handle))
        .copied()
        .unwrap_or(u32::MAX);
    let Some(socket) = net
        .sockets
        .get_mut(key as usize)
        .filter(|socket| socket.handle == handle)
    else {
        // Of a service, which looks at its sockets in any case.
        return;
    };
    let fd = socket.fd;
    // Asking re-arms the direction that isn't ready.
    let ready = net.stack.readiness(handle).unwrap_or_default();
    // RFC 9293, 3.8.5, MUST-32: who waits to read hears of urgent data before it is there.
    let urgent = net.stack.tcp_urgent(handle).is_ok_and(|left| left > 0);
    socket.urgent |= urgent;
    if ready.readable || ready.hangup || ready.error || urgent {
        rt.wake(fd, Direction::Read);
    }
    if ready.writable || ready.hangup || ready.error {
        rt.wake(fd, Direction::Write);
    }
}

fn deadline(rt: &mut Runtime) -> Option<u64> {
    let patience = status::deadline(rt);
    let progress = rt.resources.net.as_deref()?.progress;
    let stack = if progress.more_work {
        Some(0)
    } else {
        progress.next_deadline_ns
    };
    let services = rt.resources.net.as_deref()?.services.next_ns;
    [stack, patience, services].into_iter().flatten().min()
}

fn interest(rt: &mut Runtime, interest: &mut Interest) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    interest.report();
    for wake in net.interfaces.iter().filter_map(|i| i.wake.as_ref()) {
        interest.link(wake, net.progress.transmit_blocked);
    }
}

fn finish(rt: &mut Runtime) -> bool {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return true;
    };
    if net.stack.undelivered() > 0 {
        return false;
    }
    if net.end_name(Current::monotonic_ns()) {
        net.progress.more_work = true;
        return false;
    }
    let done = net.stack.release_leases();
    // What that queued leaves at once.
    net.progress.more_work |= !core::mem::replace(&mut net.released, true) && !done;
    if !done {
        return false;
    }
    // Last words are still in the card's ring, and a machine that is switched off says them no
    // more.
    let now = Current::monotonic_ns();
    let until = *net.drain_until.get_or_insert(now.saturating_add(DRAIN_NS));
    if now >= until || net.stack.is_drained() {
        return true;
    }
    net.progress.more_work = true;
    false
}

fn counter(rt: &mut Runtime, which: Int) -> usize {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return 0;
    };
    if which == COUNTER_CONNECTIONS {
        return net.stack.connections();
    }
    let counters = net
        .interfaces
        .iter()
        .filter_map(|i| net.stack.interface_status(i.id));
    let count = |n: u64| n as usize;
    counters
        .map(|status| match which {
            COUNTER_FRAMES_IN => count(status.counters.rx_frames),
            COUNTER_FRAMES_OUT => count(status.counters.tx_frames),
            COUNTER_DROPS => count(
                status
                    .counters
                    .rx_malformed
                    .wrapping_add(status.counters.rx_bad_checksum),
            ),
            _ => 0,
        })
        .fold(0, usize::wrapping_add)
}

/// The index in a handle.
fn index_of(handle: Handle) -> usize {
    (handle.to_raw() & u64::from(u32::MAX)) as usize
}

/// Makes a descriptor for a handle; on failure the handle is closed.
fn open(rt: &mut Runtime, handle: Handle, operations: &'static Operations) -> Result<usize, Stop> {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return Err(Error::NoNetwork.into());
    };
    let key = net.sockets.insert(Socket {
        handle,
        fd: 0,
        receive_ended: false,
        urgent: false,
    });
    let inserted = rt.table.insert(operations, key as u32);
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return Err(Error::NoNetwork.into());
    };
    let index = index_of(handle);
    let room = (index + 1).saturating_sub(net.by_handle.len());
    match inserted {
        Ok(fd) if net.by_handle.try_reserve(room).is_ok() => {
            if room > 0 {
                net.by_handle.resize(index + 1, u32::MAX);
            }
            if let (Some(place), Some(socket)) =
                (net.by_handle.get_mut(index), net.sockets.get_mut(key))
            {
                *place = key as u32;
                socket.fd = fd.index;
            }
            Ok(fd.encode() as usize)
        }
        other => {
            net.sockets.try_remove(key);
            // It is ours and open.
            let _ = net.stack.abort(handle);
            if let Ok(fd) = other {
                rt.table.remove(fd, |_| ());
            }
            Err(other.err().unwrap_or(Error::OutOfMemory).into())
        }
    }
}

/// The stack and the socket of a descriptor's key.
fn socket(rt: &mut Runtime, key: u32) -> Result<(&mut Stack, &mut Socket), Error> {
    let net = rt.resources.net.as_deref_mut().ok_or(Error::Closed)?;
    let socket = net.sockets.get_mut(key as usize).ok_or(Error::Closed)?;
    Ok((&mut net.stack, socket))
}

/// Gives the object of a closed descriptor up.
fn close(rt: &mut Runtime, key: u32) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    if let Some(socket) = net.sockets.try_remove(key as usize) {
        // It is ours and open.
        let _ = net.stack.close(socket.handle);
    }
}

/// Whether trying is worthwhile.
fn ready(rt: &mut Runtime, key: u32, direction: Direction) -> Result<bool, Error> {
    let (stack, socket) = socket(rt, key)?;
    let ready = stack.readiness(socket.handle).map_err(error)?;
    Ok(match direction {
        Direction::Read => {
            let urgent = core::mem::take(&mut socket.urgent);
            ready.readable || ready.hangup || ready.error || socket.receive_ended || urgent
        }
        Direction::Write => ready.writable || ready.hangup || ready.error,
    })
}

/// The interface with this number in the order of their discovery.
fn interface_id(rt: &mut Runtime, index: Int) -> Result<::net::InterfaceId, Stop> {
    let index = usize::try_from(index).map_err(|_| Error::Invalid)?;
    let interface = stack(rt)?.interfaces.get(index);
    Ok(interface.ok_or(Error::NoDevice)?.id)
}

/// The key of a descriptor of any of the three kinds.
fn any_socket(rt: &Runtime, fd: Fd) -> Result<u32, Error> {
    let (operations, key) = rt.table.get(fd)?;
    match operations.kind {
        KIND_TCP | KIND_LISTENER | KIND_UDP => Ok(key),
        _ => Err(Error::WrongKind),
    }
}

/// See `soil_tcp_local`.
pub fn local(rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Answer {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    let endpoint = stack.local_address(socket.handle).map_err(error)?;
    into.copy_from_slice(&address::encode(endpoint));
    Ok(0)
}

/// See `soil_net_mark`.
pub fn mark(rt: &mut Runtime, fd: Fd, what: Int, value: u8) -> Answer {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    let done = match what {
        MARK_HOP_LIMIT => stack.set_hop_limit(socket.handle, value),
        MARK_DSCP => stack.set_dscp(socket.handle, value),
        _ => return Err(Error::Invalid.into()),
    };
    done.map_err(error)?;
    Ok(0)
}

/// See `soil_tcp_peer`.
pub fn peer(rt: &mut Runtime, fd: Fd, into: &mut [u8]) -> Answer {
    let key = any_socket(rt, fd)?;
    let (stack, socket) = socket(rt, key)?;
    let endpoint = stack.peer_address(socket.handle).map_err(error)?;
    into.copy_from_slice(&address::encode(endpoint));
    Ok(0)
}

/// The code of a failure of the stack.
fn refused(failure: ::net::Error) -> Failure {
    Failure::new(error(failure), format!("{failure}"))
}

fn error(error: ::net::Error) -> Error {
    use ::net::Error as E;
    match error {
        E::BadHandle => Error::Closed,
        E::InvalidOperation => Error::WrongKind,
        E::AddressInUse => Error::AddressInUse,
        E::AddressNotAvailable => Error::AddressNotAvailable,
        E::PortsExhausted => Error::TooManyOpen,
        E::ConnectionRefused => Error::ConnectionRefused,
        E::ConnectionReset | E::ConnectionAborted => Error::ConnectionReset,
        E::TimedOut => Error::TimedOut,
        E::Unreachable => Error::Unreachable,
        E::NotConnected => Error::NotConnected,
        E::BrokenPipe => Error::BrokenPipe,
        E::MessageTooLong => Error::MessageTooLong,
        E::OutOfMemory => Error::OutOfMemory,
        _ => Error::Invalid,
    }
}

/// The same where the stack may say "not yet".
fn stop(failure: ::net::Error) -> Stop {
    match failure {
        ::net::Error::WouldBlock => Stop::WouldBlock,
        failure => error(failure).into(),
    }
}
