//! The node's TCP/IP stack.

use net::{Cidr, Config, Error, InterfaceConfig, Stack};
use sim::SimulatedLink;

/// Frames that one poll of the stack handles.
const BUDGET: usize = 64;
/// Limits of the memory for connections, in bytes.
const MIN_MEMORY: u64 = 4 << 20;
const MAX_MEMORY: u64 = 256 << 20;

/// The stack with the node's link.
pub struct Network {
    pub stack: Stack,
    /// When the stack has to be polled, if no frame arrives before.
    deadline: Option<u64>,
}

/// The values of a variable for the first interface.
fn values<T: std::str::FromStr>(variable: &str) -> Vec<T> {
    let text = std::env::var(variable).unwrap_or_default();
    let first = text.split(';').next().unwrap_or_default();
    let parse = |value: &str| {
        let parsed = value.parse().ok();
        if parsed.is_none() {
            sim::unowned(&format!("{variable}: {value} is no address"));
        }
        parsed
    };
    let given = first.split(',').map(str::trim);
    given
        .filter(|value| !value.is_empty())
        .filter_map(parse)
        .collect()
}

/// 64 random bits of the node's seed.
fn random_bits() -> u64 {
    let mut bits = [0; 8];
    sim::random(&mut bits);
    u64::from_le_bytes(bits)
}

impl Network {
    /// The stack with the addresses of `SOIL_IP` and the gateways of `SOIL_GATEWAY`.
    pub fn start() -> Network {
        let memory = sim::total_memory().unwrap_or(0) / 4;
        let limits = Config {
            tcp_memory: memory.clamp(MIN_MEMORY, MAX_MEMORY) as usize,
            ..Config::default()
        };
        let mut stack = Stack::new(limits, &mut || Box::new(random_bits));
        let config = InterfaceConfig {
            addresses: values::<Cidr>("SOIL_IP"),
            gateways: values("SOIL_GATEWAY"),
            ..InterfaceConfig::default()
        };
        let added = SimulatedLink::open().map(|link| stack.add_interface(Box::new(link), &config));
        if !matches!(added, Some(Ok(_))) {
            sim::unowned("SOIL_IP or SOIL_GATEWAY: an address that the network refuses");
        }
        Network {
            stack,
            deadline: None,
        }
    }

    /// Receives and sends until nothing is left to do at this time.
    pub fn poll(&mut self) {
        let now = sim::monotonic_ns().unwrap_or(0);
        loop {
            let progress = self.stack.poll(now, BUDGET);
            // A call that waits tries again after each poll, without events.
            self.stack.take_events(&mut |_| ());
            if !progress.more_work {
                self.deadline = progress.next_deadline_ns;
                return;
            }
        }
    }

    /// When [`Network::poll`] is due.
    pub fn deadline(&self) -> u64 {
        self.deadline.unwrap_or(u64::MAX)
    }
}

/// The error number of a failure.
pub fn number(error: Error) -> i32 {
    match error {
        Error::WouldBlock => libc::EAGAIN,
        Error::BadHandle => libc::EBADF,
        Error::AddressInUse => libc::EADDRINUSE,
        Error::AddressNotAvailable | Error::PortsExhausted => libc::EADDRNOTAVAIL,
        Error::ConnectionRefused => libc::ECONNREFUSED,
        Error::ConnectionReset => libc::ECONNRESET,
        Error::ConnectionAborted => libc::ECONNABORTED,
        Error::TimedOut => libc::ETIMEDOUT,
        Error::Unreachable => libc::EHOSTUNREACH,
        Error::NotConnected => libc::ENOTCONN,
        Error::BrokenPipe => libc::EPIPE,
        Error::MessageTooLong => libc::EMSGSIZE,
        Error::OutOfMemory => libc::ENOBUFS,
        Error::PermissionDenied => libc::EACCES,
        _ => libc::EINVAL,
    }
}
