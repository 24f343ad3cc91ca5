//! Time and random numbers, in the form that rustls requires.

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use rustls::crypto::{GetRandomFailed, SecureRandom};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// Services that sessions need from the machine.
pub trait Environment: fmt::Debug + Send + Sync + 'static {
    /// Seconds since 1970, UTC; `None` without a clock.
    fn now() -> Option<u64>;

    /// Fills `into` with random bytes fit for keys; false if there are none.
    fn fill(into: &mut [u8]) -> bool;

    /// Whether the processor has instructions for AES-GCM. Otherwise ChaCha20-Poly1305 is several
    /// times as fast, and preferred.
    fn fast_aes() -> bool;

    /// A number of the running thread, which differs from those of the threads that use sessions
    /// meanwhile.
    fn thread() -> usize;
}

/// An [`Environment`] as rustls' sources.
pub(crate) struct Sources<E>(PhantomData<E>);

impl<E> Sources<E> {
    /// The only value.
    pub(crate) const NEW: Sources<E> = Sources(PhantomData);
}

impl<E> fmt::Debug for Sources<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl<E: Environment> SecureRandom for Sources<E> {
    fn fill(&self, into: &mut [u8]) -> Result<(), GetRandomFailed> {
        E::fill(into).then_some(()).ok_or(GetRandomFailed)
    }
}

impl<E: Environment> TimeProvider for Sources<E> {
    fn current_time(&self) -> Option<UnixTime> {
        E::now().map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
