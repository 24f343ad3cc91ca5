//! The network: the stack of the crate `net` behind descriptors.
//!
//! This file initialises it: the first call of `stack_for` creates the stack and registers its
//! driver; the first one that isn't only about the loopback opens the links.
//!
//! ```text
//!   a call                            the wait, or a tick
//!     │                                 │
//!   tcp, udp, echo, ethernet          driver     polls the stack: frames in and out, timers
//!     │                                 │
//!     └───────────▶ sockets ◀───────────┘        from a descriptor to the stack's handle;
//!                      │                         from a ready handle to the tasks that wait
//!               address, errors                  the forms in which both cross
//! ```

mod acceptors;
pub mod address;
pub mod bound;
mod configuration;
pub mod dns;
mod driver;
pub mod echo;
mod errors;
pub mod ethernet;
pub mod filter;
pub mod inspect;
pub mod interfaces;
mod ip_parameter;
mod mac;
pub mod mdns;
#[cfg(feature = "image")]
mod metadata;
mod offload;
mod recording;
pub mod requests;
mod services;
mod sockets;
mod status;
pub mod tcp;
pub mod udp;
pub mod urgent;
pub mod zero_copy;

pub use ::net::Readiness;
pub use driver::poll_until_idle;
pub use sockets::{failure, local, local_address, mark, peer, peer_address, readiness};
pub use status::{interface, interfaces, name_servers, up};

use crate::Runtime;
use crate::current::{Current, LinkWake, Transport};
use crate::types::Int;
use ::net::{Handle, Progress};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use driver::{DRIVER, TICKER, poll};
use platform::error::{Error, Failure, Stop};
use platform::link;
use platform::{Clock, Console, Entropy, Links, Memory, System, Wait};
use slab::Slab;
use sockets::Socket;

/// Maximum number of frames per direction and interface in one step.
const BUDGET: usize = 64;
/// Minimum memory for connections in bytes: two connections with full buffers.
const MIN_MEMORY: u64 = 1 << 20;
/// Maximum memory for connections in bytes.
const MAX_MEMORY: u64 = 256 << 20;

/// An interface: its name and its wake-up source.
struct Interface {
    name: String,
    /// `None` for a VLAN, which uses the link of another interface.
    wake: Option<LinkWake>,
    id: ::net::InterfaceId,
}

/// The stack and its state in the runtime.
pub struct Net {
    stack: Transport,
    interfaces: Vec<Interface>,
    /// Whether the links have been opened.
    attached: bool,
    sockets: Slab<Socket>,
    /// Maps the index of a handle to the key in `sockets`; `u32::MAX` for none.
    by_handle: Vec<u32>,
    lookups: Vec<dns::Lookup>,
    services: services::Services,
    named: Option<mdns::Named>,
    /// Tokens of the operations that wait for an address.
    waiting_for_address: Vec<u64>,
    /// Time when the links were opened, for the timeout of DHCP.
    started_ns: u64,
    progress: Progress,
    /// Whether the remaining connections have been aborted, at exit.
    aborted: bool,
    /// Whether the DHCP leases have been released, at exit.
    released: bool,
    /// Deadline at exit for cards to send their queued frames.
    drain_until: Option<u64>,
    /// Last value of [`Entropy::snapshots`].
    snapshots: u32,
    /// Scratch buffer, kept to reuse its allocation.
    events: Vec<Handle>,
    offers: Vec<acceptors::Offer>,
    zero_copy: zero_copy::ZeroCopy,
}

impl Net {
    /// Registers the interfaces of the system whose sockets the program uses.
    fn note_interfaces(&mut self) {
        if !Current::hosted() {
            return;
        }
        let ids = self.stack.interfaces().into_iter();
        let stack = &mut self.stack;
        let interface = |id| Interface {
            name: stack.interface_name(id),
            wake: None,
            id,
        };
        self.interfaces = ids.map(interface).collect();
    }
}

/// Returns 64 random bits.
fn random_bits() -> u64 {
    let mut bits = [0u8; 8];
    // The generator was seeded when the network started, and can't be exhausted.
    let _ = Current::random(&mut bits);
    u64::from_le_bytes(bits)
}

/// Returns the stack with its links; the first call starts both.
fn stack(rt: &mut Runtime) -> Result<&mut Net, Stop> {
    stack_for(rt, IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Returns the stack for calls about `address`: the loopback needs no link, and so doesn't start
/// passt.
fn stack_for(rt: &mut Runtime, address: IpAddr) -> Result<&mut Net, Stop> {
    if rt.resources.net.is_none() {
        start(rt)?;
    }
    let needed = || {
        // Filter rules also apply to the loopback, and the clock needs a server.
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

/// Reads the settings that the stack starts with, after a check of all others.
fn settings() -> Result<(::net::Congestion, services::Services), Failure> {
    configuration::read()?;
    let congestion = configuration::congestion(Current::variable)?;
    offload::read()?;
    Ok((congestion, services::Services::new()?))
}

fn start(rt: &mut Runtime) -> Result<(), Stop> {
    rt.start()?;
    // Before anything is opened: an invalid configuration must not leave the network half started.
    let (congestion, services) = settings().or_else(|failure| rt.fail(failure))?;
    let mut seed = [0u8; 8];
    crate::random::fill(rt, &mut seed)?;
    let memory = (Current::total_memory() / 4).clamp(MIN_MEMORY, MAX_MEMORY);
    let limits = ::net::Config {
        tcp_memory: memory as usize,
        congestion,
        ..::net::Config::default()
    };
    // Never freed, so that the program contains no code to shut it down.
    let net = Box::leak(Box::new(Net {
        stack: Current::transport(&mut rt.interest, limits, &mut || Box::new(random_bits)),
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
        aborted: false,
        released: false,
        drain_until: None,
        snapshots: Current::snapshots(),
        events: Vec::new(),
        offers: Vec::new(),
        zero_copy: zero_copy::ZeroCopy::new(),
    }));
    if let Some((domains, dots)) = net.stack.name_options() {
        let completed = configuration::complete_names(&mut net.services.resolver, domains, dots);
        completed.or_else(|failure| rt.fail(failure))?;
    }
    rt.register(&DRIVER)?;
    rt.resources.net = Some(net);
    crate::guest_agent::serve_network(rt, status::for_host)?;
    Current::take_report_requests();
    // A system moves the data of its sockets itself.
    if !Current::hosted() {
        #[cfg(feature = "image")]
        crate::current::part::keep(&driver::TICK);
        Current::start_ticker(&TICKER);
    }
    Ok(())
}

/// Opens the links.
fn attach(rt: &mut Runtime) -> Result<(), Stop> {
    crate::metadata::keep();
    #[cfg(feature = "image")]
    metadata::keep();
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
    net.note_interfaces();
    // After a failure, a later call tries again with the links that are missing.
    let added = net.interfaces.len();
    for (index, device) in devices.into_iter().enumerate().skip(added) {
        let mac = device.link.capabilities().mac;
        let interface = configuration.interface(index, mac);
        match net.stack.add_interface(device.link, &interface) {
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
    // Static addresses are configured after the first step.
    poll(rt, Current::monotonic_ns());
    Ok(())
}

/// Fails a call that the host's own sockets don't support.
fn needs_stack(rt: &mut Runtime, what: &str) -> Result<(), Stop> {
    if !Current::hosted() {
        return Ok(());
    }
    let detail = alloc::format!(
        "{what}: the host's own sockets (SOIL_NET=host) can't: give SOIL_NET=user or tap=DEVICE"
    );
    rt.fail(Failure::new(Error::Unsupported, detail))
}

/// Returns the interface with this number, in the order of discovery.
fn interface_id(rt: &mut Runtime, index: Int) -> Result<::net::InterfaceId, Stop> {
    let index = usize::try_from(index).map_err(|_| Error::Invalid)?;
    let interface = stack(rt)?.interfaces.get(index);
    Ok(interface.ok_or(Error::NoDevice)?.id)
}
