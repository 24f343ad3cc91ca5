//! Tickets: sealed sessions that clients store for the server (RFC 8446, 4.6.1; RFC 5077).

use crate::environment::Environment;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::server::ProducesTickets;
use sync::mutex::{Mutex, level};

/// Seconds for which a key seals tickets; for as long again it opens them.
const PERIOD: u64 = 6 * 3600;
/// Seconds by which the clock may go back while a key stays in use.
const STEP: u64 = 60;
/// Bytes of a key's name, at the start of a ticket.
const NAME: usize = 16;
/// Bytes of the nonce, after the name.
const NONCE: usize = 12;
/// Maximum size of an accepted ticket in bytes: a session with the client's certificates.
const MAX_TICKET: usize = 1 << 16;

struct Key {
    name: [u8; NAME],
    key: LessSafeKey,
    /// Until when it seals, in seconds since 1970.
    until: u64,
}

impl Key {
    fn new<E: Environment>(now: u64) -> Option<Key> {
        let (mut name, mut key) = ([0; NAME], [0; 32]);
        if !E::fill(&mut name) || !E::fill(&mut key) {
            return None;
        }
        Some(Key {
            name,
            key: LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).ok()?),
            until: now.saturating_add(PERIOD),
        })
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        if name != self.name {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = sealed.to_vec();
        let len = (self.key)
            .open_in_place(nonce, Aad::from(self.name), &mut session)
            .ok()?
            .len();
        session.truncate(len);
        Some(session)
    }
}

type Keys = [Option<Arc<Key>>; 2];

/// Seals tickets with a key that is replaced every six hours.
pub(crate) struct Ticketer<E> {
    /// The current key and the previous one.
    keys: Mutex<Keys, level::Tickets>,
    environment: PhantomData<E>,
}

impl<E: Environment> Ticketer<E> {
    pub(crate) fn new() -> Ticketer<E> {
        Ticketer {
            keys: Mutex::new([None, None]),
            environment: PhantomData,
        }
    }

    /// The keys that are valid now. The lock isn't held while a ticket is sealed or opened, or
    /// random numbers are waited for.
    fn keys(&self) -> Option<Keys> {
        let now = E::now()?;
        // A key of a clock that was ahead would seal until then, perhaps for decades.
        let latest = now.saturating_add(PERIOD + STEP);
        let is_over = |keys: &Keys| {
            (keys[0].as_ref()).is_none_or(|key| key.until <= now || key.until > latest)
        };
        let keys = self.keys.lock().clone();
        if !is_over(&keys) {
            return Some(keys);
        }
        let fresh = Arc::new(Key::new::<E>(now)?);
        let mut keys = self.keys.lock();
        // Another handshake may have replaced it meanwhile.
        if is_over(&keys) {
            let last = keys[0].replace(fresh);
            keys[1] = last.filter(|key| now < key.until.saturating_add(PERIOD));
        }
        Some(keys.clone())
    }
}

impl<E> fmt::Debug for Ticketer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticketer")
    }
}

impl<E: Environment> ProducesTickets for Ticketer<E> {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        2 * PERIOD as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE];
        if !E::fill(&mut nonce) {
            return None;
        }
        let [key, _] = self.keys()?;
        let key = key?;
        let mut sealed = plain.to_vec();
        let aad = Aad::from(key.name);
        let place = Nonce::assume_unique_for_key(nonce);
        (key.key)
            .seal_in_place_append_tag(place, aad, &mut sealed)
            .ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        if cipher.len() > MAX_TICKET {
            return None;
        }
        let keys = self.keys()?;
        keys.iter().flatten().find_map(|key| key.open(cipher))
    }
}

#[cfg(test)]
mod tests {
    use super::{Environment, PERIOD, Ticketer};
    use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
    use rustls::server::ProducesTickets as _;

    static NOW: AtomicU64 = AtomicU64::new(1_000_000);
    static COUNT: AtomicU64 = AtomicU64::new(0);

    #[derive(Debug)]
    struct Fake;

    impl Environment for Fake {
        fn now() -> Option<u64> {
            Some(NOW.load(Relaxed))
        }

        fn fill(into: &mut [u8]) -> bool {
            into.fill(COUNT.fetch_add(1, Relaxed) as u8);
            true
        }

        fn fast_aes() -> bool {
            true
        }

        fn thread() -> usize {
            0
        }
    }

    #[test]
    fn a_ticket_is_opened_for_two_periods_and_not_if_it_was_changed() {
        let tickets = Ticketer::<Fake>::new();
        let ticket = tickets.encrypt(b"session").unwrap();
        let opened = || tickets.decrypt(&ticket);
        assert_eq!(opened().as_deref(), Some(&b"session"[..]));
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "{at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "{at}");
        }
        NOW.fetch_add(PERIOD, Relaxed);
        assert_eq!(opened().as_deref(), Some(&b"session"[..]));
        NOW.fetch_add(PERIOD, Relaxed);
        assert_eq!(opened(), None);
    }

    /// An environment of a test's own: its time, and whether there are random numbers.
    macro_rules! environment {
        ($name:ident, $now:ident, $dry:ident) => {
            static $now: AtomicU64 = AtomicU64::new(1_000_000);
            static $dry: AtomicBool = AtomicBool::new(false);

            #[derive(Debug)]
            struct $name;

            impl Environment for $name {
                fn now() -> Option<u64> {
                    Some($now.load(Relaxed))
                }

                fn fill(into: &mut [u8]) -> bool {
                    into.fill(COUNT.fetch_add(1, Relaxed) as u8);
                    !$dry.load(Relaxed)
                }

                fn fast_aes() -> bool {
                    true
                }

                fn thread() -> usize {
                    0
                }
            }
        };
    }

    environment!(Idle, IDLE_NOW, IDLE_DRY);
    environment!(Dry, DRY_NOW, DRY_DRY);
    environment!(Ahead, AHEAD_NOW, AHEAD_DRY);

    /// The clock was wrong by decades when the first key was made.
    #[test]
    fn a_key_from_the_future_is_replaced_and_opens_for_a_period() {
        AHEAD_NOW.store(3_000_000_000, Relaxed);
        let tickets = Ticketer::<Ahead>::new();
        let name = |ticket: &[u8]| ticket[..super::NAME].to_vec();
        let first = tickets.encrypt(b"session").unwrap();
        AHEAD_NOW.fetch_sub(super::STEP, Relaxed);
        assert_eq!(name(&tickets.encrypt(b"session").unwrap()), name(&first));
        AHEAD_NOW.store(1_000_000, Relaxed);
        let second = tickets.encrypt(b"session").unwrap();
        assert_ne!(name(&second), name(&first));
        assert!(tickets.decrypt(&first).is_some());
        AHEAD_NOW.fetch_add(PERIOD, Relaxed);
        assert!(tickets.decrypt(&second).is_some());
        assert!(tickets.decrypt(&first).is_none());
    }

    /// No ticket was sealed or opened meanwhile.
    #[test]
    fn a_key_that_was_replaced_late_opens_nothing() {
        for (periods, opens) in [(1, true), (2, false), (3, false), (1, true)] {
            let tickets = Ticketer::<Idle>::new();
            let ticket = tickets.encrypt(b"session").unwrap();
            IDLE_NOW.fetch_add(periods * PERIOD, Relaxed);
            assert_eq!(tickets.decrypt(&ticket).is_some(), opens, "{periods}");
            let fresh = tickets.encrypt(b"session").unwrap();
            assert!(tickets.decrypt(&fresh).is_some(), "{periods}");
        }
    }

    /// Nothing is sealed by a key or a nonce that isn't random; existing keys continue once there
    /// are random numbers again.
    #[test]
    fn without_random_numbers_nothing_is_sealed() {
        let tickets = Ticketer::<Dry>::new();
        DRY_DRY.store(true, Relaxed);
        assert_eq!(tickets.encrypt(b"session"), None);
        DRY_DRY.store(false, Relaxed);
        let ticket = tickets.encrypt(b"session").unwrap();
        DRY_DRY.store(true, Relaxed);
        assert_eq!(tickets.encrypt(b"session"), None);
        assert!(tickets.decrypt(&ticket).is_some());
        DRY_NOW.fetch_add(PERIOD, Relaxed);
        assert_eq!(tickets.encrypt(b"session"), None);
        DRY_DRY.store(false, Relaxed);
        assert!(tickets.decrypt(&ticket).is_some());
    }
}
