//! Helpers of the tests.

use core::net::SocketAddr;

use crate::Randomness;
use net::sim::{Impairment, Offloads, Random, World};
use net::{Config, Error};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1000 * MS;

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Two stacks over a lossless cable of 100 µs.
pub(crate) fn pair() -> World {
    let impairment = Impairment {
        delay_ns: 100_000,
        ..Default::default()
    };
    World::pair(Config::default(), impairment, [Offloads::default(); 2], 1)
}

/// The value, or `None` for `WouldBlock`.
pub(crate) fn ready<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::WouldBlock) => None,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn randomness(seed: u64) -> Randomness {
    let mut random = Random::new(seed);
    Box::new(move || random.bits())
}
