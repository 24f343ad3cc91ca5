//! Services on top of the stack: the resolver, and the client that sets the clock (`SOIL_NTP`).

use super::{BUDGET, configuration, dns};
use crate::Runtime;
use crate::current::Current;
use ::services::Resolver;
use ::services::sntp::{Client, Sample};
use platform::error::Failure;
use platform::{Clock, System};

/// Later answers that differ by more are taken for an error of the server (RFC 5905, 11.2.1: panic
/// threshold).
const MAX_STEP_NS: u64 = 1_000_000_000_000;

/// The resolver and the NTP client.
pub struct Services {
    /// Resolves names.
    pub resolver: Resolver,
    ntp: Option<Client>,
    /// Whether the clock has been set.
    set: bool,
    /// Time of the next poll.
    pub next_ns: Option<u64>,
}

impl Services {
    /// Creates the configured services. Errors: `BadConfiguration`.
    pub fn new() -> Result<Services, Failure> {
        let random = || alloc::boxed::Box::new(super::random_bits);
        let mut resolver = Resolver::new(random());
        configuration::configure_names(&mut resolver)?;
        let ntp = Current::variable("SOIL_NTP");
        Ok(Services {
            resolver,
            ntp: ntp.map(|server| Client::new(&server, random())),
            set: false,
            next_ns: None,
        })
    }

    fn set_clock(&mut self, sample: Sample, now: u64) {
        let right = sample
            .wall_ns
            .saturating_add(now.saturating_sub(sample.at_ns));
        let offset = right.wrapping_sub(Current::wall_ns()) as i64;
        if self.set && offset.unsigned_abs() > MAX_STEP_NS {
            log::warn!(
                "SOIL_NTP: the server's time differs by {} s: not believed",
                offset / 1_000_000_000
            );
            return;
        }
        self.set = true;
        Current::adjust_wall(offset);
        log::info!("SOIL_NTP: clock moved by {} us", offset / 1000);
    }
}

/// Polls all of them, after the stack.
pub fn poll(rt: &mut Runtime, now: u64) {
    let Some(net) = rt.resources.net.as_deref_mut() else {
        return;
    };
    let mut polled = net.poll_name(now);
    let services = &mut net.services;
    if services.ntp.is_some() || !net.lookups.is_empty() {
        polled = polled.and(services.resolver.poll(&mut net.stack, now));
        // After the resolver, whose answer it may wait for.
        if let Some(client) = &mut services.ntp {
            let (sample, asked) = client.poll(&mut net.stack, &mut services.resolver, now);
            polled = polled.and(asked);
            if let Some(sample) = sample {
                services.set_clock(sample, now);
            }
        }
    }
    services.next_ns = polled.next_ns;
    polled.send(&mut net.stack, now, BUDGET, &mut net.progress);
    dns::check(rt);
}

#[cfg(test)]
mod tests {
    use super::super::{address, driver, random_bits, stack, tcp};
    use super::Client;
    use crate::Runtime;
    use crate::current::Current;
    use platform::Clock;
    use std::boxed::Box;
    use std::net::SocketAddr;

    /// What a service sends, the poll after it polls once more, which may take the events of what
    /// has arrived meanwhile: the wait polls again at once.
    #[test]
    fn what_a_service_sends_is_followed_by_another_poll() {
        let mut rt = Runtime::new();
        let any = address::encode(SocketAddr::from(([127, 0, 0, 1], 0)));
        tcp::listen(&mut rt, &any, 8, 0).expect("a port");
        let deadline = |rt: &mut Runtime| (driver::DRIVER.deadline)(rt);
        driver::poll(&mut rt, Current::monotonic_ns());
        assert_eq!(deadline(&mut rt), None, "nothing to do");
        let net = stack(&mut rt).expect("started");
        // Nothing answers, or not this.
        net.services.ntp = Some(Client::new("127.78.0.1", Box::new(random_bits)));
        driver::poll(&mut rt, Current::monotonic_ns());
        assert_eq!(deadline(&mut rt), Some(0));
        // Not for ever.
        driver::poll(&mut rt, Current::monotonic_ns());
        assert!(deadline(&mut rt) > Some(0));
    }
}
