//! Services on top of the stack: the resolver, and the client that sets the clock (`SOIL_NTP`).

use super::{BUDGET, configuration, dns};
use crate::Runtime;
use crate::current::Current;
use ::services::sntp::{Client, Sample};
use ::services::{Polled, Resolver};
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
    let named = net.poll_name(now);
    let services = &mut net.services;
    services.next_ns = named.next_ns;
    if services.ntp.is_none() && net.lookups.is_empty() && !named.sent {
        return;
    }
    let mut ntp = Polled::default();
    if let Some(client) = &mut services.ntp {
        let (sample, polled) = client.poll(&mut net.stack, &mut services.resolver, now);
        ntp = polled;
        if let Some(sample) = sample {
            services.set_clock(sample, now);
        }
    }
    let names = services.resolver.poll(&mut net.stack, now);
    let next = [ntp.next_ns, names.next_ns, named.next_ns];
    services.next_ns = next.into_iter().flatten().min();
    if ntp.sent || names.sent || named.sent {
        let more_work = net.progress.more_work;
        net.progress = net.stack.poll(now, BUDGET);
        net.progress.more_work |= more_work;
    }
    dns::check(rt);
}
