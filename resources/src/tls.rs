//! TLS: sessions of the crate `tls`, by number, with the platform's clock and random numbers.
//!
//! Nothing here blocks or uses a descriptor: the program transfers the records.

use crate::Runtime;
use crate::current::Current;
use crate::types::{Int, copy};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;
use platform::error::{Answer, Error, Failure, Stop};
use platform::{Clock, Entropy, Memory, System};
use slab::Slab;
use sync::mutex::{Mutex, level};
use tls::{
    ClientOptions, Common, Config, Credentials, Environment, Kind, Read, ServerOptions, Session,
    Trust, Versions,
};

/// The platform's services for sessions.
#[derive(Debug)]
struct Machine;

impl Environment for Machine {
    fn now() -> Option<u64> {
        Some(Current::wall_ns() / 1_000_000_000)
    }

    fn fill(into: &mut [u8]) -> bool {
        Current::random(into).is_ok()
    }

    fn thread() -> usize {
        Current::thread()
    }

    #[cfg(target_arch = "x86_64")]
    fn fast_aes() -> bool {
        let features = core::arch::x86_64::__cpuid(1).ecx;
        // AES-NI and PCLMULQDQ (Intel SDM volume 2, CPUID).
        features & 1 << 25 != 0 && features & 1 << 1 != 0
    }

    #[cfg(target_arch = "aarch64")]
    fn fast_aes() -> bool {
        let features: u64;
        // SAFETY: reads an identification register, at EL0 by Linux's emulation.
        unsafe {
            core::arch::asm!("mrs {}, ID_AA64ISAR0_EL1", out(reg) features,
                options(nomem, nostack, preserves_flags));
        }
        // AES and PMULL (Arm ARM D24.2.83, field AES).
        features >> 4 & 0xf >= 2
    }
}

/// An object identified by a number.
enum Object {
    Credentials(Arc<Credentials>, Vec<Pair>),
    Options(Options),
    Config(Config),
    Session(Box<Session>, Begun),
}

/// Start of a session.
#[derive(Clone, Copy)]
struct Begun {
    /// Monotonic time in nanoseconds.
    at_ns: u64,
    /// See [`Entropy::snapshots`].
    snapshots: u32,
}

/// PEM texts of a certificate chain and its key.
type Pair = (Vec<u8>, Vec<u8>);

/// Options of a configuration under construction.
pub struct Options {
    credentials: Arc<Credentials>,
    /// Trust anchors of the configuration.
    pub trust: Trust,
    protocols: Vec<Vec<u8>>,
}

/// All objects of the program. They aren't in `Resources`, so that a program without TLS contains
/// none of this. Only calls use them, one at a time: the lock is never contended.
static OBJECTS: Mutex<Slab<Object>, level::Objects> = Mutex::new(Slab::new());

/// Server handshakes in progress, which unauthenticated peers have started.
struct Handshakes {
    /// Memory of these handshakes in bytes; see [`Session::handshake_memory`].
    bytes: usize,
    /// Sessions that were refused in favour of others, and whose tasks don't know it yet.
    refused: Vec<usize>,
}

/// Used like [`OBJECTS`].
static HANDSHAKES: Mutex<Handshakes, level::Handshakes> = Mutex::new(Handshakes {
    bytes: 0,
    refused: Vec::new(),
});

impl Handshakes {
    /// Returns the maximum memory of all handshakes in bytes: a part of the machine's memory.
    fn limit() -> usize {
        (Current::total_memory() as usize / 16).clamp(1 << 20, 64 << 20)
    }

    /// Records that a session's memory changed from `before` to `now`. If the total is too high, or
    /// memory is short, refuses the largest session, and among equals the oldest.
    fn changed(&mut self, objects: &mut Slab<Object>, before: usize, now: usize) {
        self.bytes = (self.bytes + now).saturating_sub(before);
        if now <= before {
            return;
        }
        while self.bytes > Self::limit() || self.bytes > 0 && Current::memory_short() {
            let sessions = objects
                .iter_mut()
                .filter_map(|(number, object)| match object {
                    Object::Session(session, begun) => Some((number, session, begun.at_ns)),
                    _ => None,
                });
            let largest = sessions.max_by_key(|(_, session, begun)| {
                (session.handshake_memory(), core::cmp::Reverse(*begun))
            });
            let Some((number, session, _)) = largest else {
                return;
            };
            let bytes = session.handshake_memory();
            if bytes == 0 || self.refused.try_reserve(1).is_err() {
                return;
            }
            session.refuse();
            self.bytes = self.bytes.saturating_sub(bytes);
            self.refused.push(number);
        }
    }
}

/// See `soil_tls_refused`.
pub fn refused() -> Answer {
    HANDSHAKES.lock().refused.pop().ok_or(Stop::WouldBlock)
}

fn add(object: Object) -> Answer {
    Ok(OBJECTS.lock().insert(object))
}

/// Adds a session, as the most recent one.
fn add_session(session: Session) -> Answer {
    let bytes = session.handshake_memory();
    let mut objects = OBJECTS.lock();
    let begun = Begun {
        at_ns: Current::monotonic_ns(),
        snapshots: Current::snapshots(),
    };
    let number = objects.insert(Object::Session(Box::new(session), begun));
    HANDSHAKES
        .lock_within(&objects)
        .changed(&mut objects, 0, bytes);
    Ok(number)
}

/// Returns the index of a number in [`OBJECTS`].
fn place(handle: Int) -> Result<usize, Error> {
    usize::try_from(handle).map_err(|_| Error::Invalid)
}

fn failed(rt: &mut Runtime, error: tls::Error) -> Stop {
    let code = match error.kind {
        Kind::Certificate => Error::Certificate,
        Kind::Truncated => Error::ConnectionReset,
        Kind::Protocol => Error::Tls,
        Kind::Configuration => Error::BadConfiguration,
        Kind::Environment => Error::NoEntropy,
        Kind::Busy => Error::Busy,
    };
    let Err(stop) = rt.fail::<Infallible>(Failure::new(code, error.detail));
    stop
}

/// See `soil_tls_credentials`.
pub fn credentials() -> Answer {
    let none = Credentials::new(&[]).map_err(|_| Error::Invalid)?;
    add(Object::Credentials(Arc::new(none), Vec::new()))
}

/// See `soil_tls_credentials_add`.
pub fn credentials_add(handle: Int, chain: &[u8], key: &[u8]) -> Answer {
    let mut objects = OBJECTS.lock();
    let index = place(handle)?;
    match objects.get_mut(index) {
        Some(Object::Credentials(_, pairs)) => pairs.push((chain.into(), key.into())),
        _ => return Err(Error::Invalid.into()),
    }
    Ok(0)
}

/// See `soil_tls_credentials_apply`.
pub fn credentials_apply(rt: &mut Runtime, handle: Int) -> Answer {
    let mut objects = OBJECTS.lock();
    let index = place(handle)?;
    let Some(Object::Credentials(credentials, pairs)) = objects.get_mut(index) else {
        return Err(Error::Invalid.into());
    };
    let pairs = core::mem::take(pairs);
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(a, b)| (&a[..], &b[..])).collect();
    credentials.replace(&pairs).map_err(|e| failed(rt, e))?;
    Ok(0)
}

/// See `soil_tls_options`.
pub fn options(credentials: Int) -> Answer {
    let pick = |object: &mut Object| match object {
        Object::Credentials(credentials, _) => Some(credentials.clone()),
        _ => None,
    };
    let index = place(credentials)?;
    let credentials = OBJECTS.lock().get_mut(index).and_then(pick);
    add(Object::Options(Options {
        credentials: credentials.ok_or(Error::Invalid)?,
        trust: Trust::default(),
        protocols: Vec::new(),
    }))
}

/// Calls `f` with the options of number `handle`.
pub fn with_options(handle: Int, f: impl FnOnce(&mut Options)) -> Answer {
    let index = place(handle)?;
    match OBJECTS.lock().get_mut(index) {
        Some(Object::Options(options)) => f(options),
        _ => return Err(Error::Invalid.into()),
    }
    Ok(0)
}

/// See `soil_tls_trust`.
pub fn trust(handle: Int, roots: &[u8]) -> Answer {
    with_options(handle, |options| options.trust.roots.push(roots.into()))
}

/// See `soil_tls_trust_mozilla`.
pub fn trust_mozilla(handle: Int) -> Answer {
    with_options(handle, |options| {
        options.trust.anchors.extend(tls::mozilla_roots());
    })
}

/// See `soil_tls_revoke`.
pub fn revoke(handle: Int, lists: &[u8]) -> Answer {
    with_options(handle, |options| options.trust.revoked.push(lists.into()))
}

/// See `soil_tls_protocol`.
pub fn protocol(handle: Int, name: &[u8]) -> Answer {
    if name.is_empty() || name.len() > 255 {
        return Err(Error::Invalid.into());
    }
    with_options(handle, |options| options.protocols.push(name.into()))
}

/// Removes the options of number `handle`.
fn take_options(handle: Int) -> Result<Options, Stop> {
    let mut objects = OBJECTS.lock();
    let index = place(handle)?;
    match objects.try_remove(index) {
        Some(Object::Options(options)) => Ok(options),
        Some(other) => {
            // Reuses the slot that was just freed.
            objects.insert(other);
            Err(Error::Invalid.into())
        }
        None => Err(Error::Invalid.into()),
    }
}

fn common(
    protocols: Vec<Vec<u8>>,
    versions: Int,
    sessions: Int,
    key_log: Int,
) -> Result<Common, Stop> {
    Ok(Common {
        versions: match versions {
            0 => Versions::Both,
            2 => Versions::Tls12,
            3 => Versions::Tls13,
            _ => return Err(Error::Invalid.into()),
        },
        protocols,
        key_log: key_log != 0,
        sessions: usize::try_from(sessions).map_err(|_| Error::Invalid)?,
    })
}

/// See `soil_tls_client`.
pub fn client(rt: &mut Runtime, handle: Int, versions: Int, sessions: Int, key_log: Int) -> Answer {
    let options = take_options(handle)?;
    let config = Config::client::<Machine>(ClientOptions {
        common: common(options.protocols, versions, sessions, key_log)?,
        trust: options.trust,
        credentials: options.credentials,
    });
    add(Object::Config(config.map_err(|e| failed(rt, e))?))
}

/// See `soil_tls_server`.
pub fn server(
    rt: &mut Runtime,
    handle: Int,
    versions: Int,
    sessions: Int,
    key_log: Int,
    clients: Int,
) -> Answer {
    let options = take_options(handle)?;
    let config = Config::server::<Machine>(ServerOptions {
        common: common(options.protocols, versions, sessions, key_log)?,
        credentials: options.credentials,
        clients: (clients > 0).then_some(options.trust),
        clients_optional: clients == 1,
    });
    add(Object::Config(config.map_err(|e| failed(rt, e))?))
}

/// Returns the configuration of number `handle`.
fn config(handle: Int) -> Result<Config, Stop> {
    let index = place(handle)?;
    match OBJECTS.lock().get(index) {
        Some(Object::Config(config)) => Ok(config.clone()),
        _ => Err(Error::Invalid.into()),
    }
}

/// See `soil_tls_key_log`.
pub fn key_log(handle: Int, into: &mut [u8]) -> Answer {
    Ok(config(handle)?.take_key_log(into))
}

/// See `soil_tls_connect`.
pub fn connect(rt: &mut Runtime, handle: Int, host: &str) -> Answer {
    let session = Session::client(&config(handle)?, host);
    add_session(session.map_err(|e| failed(rt, e))?)
}

/// See `soil_tls_accept`.
pub fn accept(rt: &mut Runtime, handle: Int) -> Answer {
    let session = Session::server(&config(handle)?);
    add_session(session.map_err(|e| failed(rt, e))?)
}

/// Calls `f` with the session of number `handle`.
pub fn with_session(handle: Int, f: impl FnOnce(&mut Session) -> Answer) -> Answer {
    let index = place(handle)?;
    let mut objects = OBJECTS.lock();
    let Some(Object::Session(session, begun)) = objects.get_mut(index) else {
        return Err(Error::Invalid.into());
    };
    let before = session.handshake_memory();
    let snapshots = Current::snapshots();
    if begun.snapshots != snapshots {
        begun.snapshots = snapshots;
        // Two sessions with the same keys and nonces would reveal their plaintexts.
        session.end("the machine goes on from a snapshot, of which others have the same keys");
    }
    let done = f(session);
    let now = session.handshake_memory();
    if now != before {
        HANDSHAKES
            .lock_within(&objects)
            .changed(&mut objects, before, now);
    }
    done
}

/// See `soil_tls_handshake`.
pub fn handshake(rt: &mut Runtime, handle: Int) -> Answer {
    with_session(handle, |session| {
        let done = session.handshake().map_err(|e| failed(rt, e))?;
        Ok(usize::from(done))
    })
}

/// See `soil_tls_read`.
pub fn read(rt: &mut Runtime, handle: Int, into: &mut [u8]) -> Answer {
    if into.is_empty() {
        return Err(Error::Invalid.into());
    }
    with_session(handle, |session| {
        match session.read(into).map_err(|e| failed(rt, e))? {
            Read::Bytes(n) => Ok(n),
            Read::End => Ok(0),
            Read::NeedsInput => Err(Stop::WouldBlock),
        }
    })
}

/// Number of bits for the length of the records in a result of [`write`].
const MADE: u32 = 24;

/// See `soil_tls_write`.
pub fn write(rt: &mut Runtime, handle: Int, from: &[u8], into: &mut [u8]) -> Answer {
    let most = (1 << MADE) - 1;
    let from = &from[..from.len().min(most)];
    let room = into.len().min(most);
    let into = &mut into[..room];
    with_session(handle, |session| {
        let (taken, made) = session.write(from, into).map_err(|e| failed(rt, e))?;
        Ok(taken << MADE | made)
    })
}

/// See `soil_tls_close_notify`.
pub fn close_notify(rt: &mut Runtime, handle: Int) -> Answer {
    with_session(handle, |session| {
        session.close_notify().map_err(|e| failed(rt, e))?;
        Ok(0)
    })
}

/// See `soil_tls_update_keys`.
pub fn update_keys(rt: &mut Runtime, handle: Int) -> Answer {
    with_session(handle, |session| {
        session.update_keys().map_err(|e| failed(rt, e))?;
        Ok(0)
    })
}

/// See `soil_tls_fact`.
pub fn fact(handle: Int, which: Int, into: &mut [u8]) -> Answer {
    with_session(handle, |session| match which {
        0 => Ok(copy(session.version().as_bytes(), into)),
        1 => Ok(copy(session.cipher_suite().as_bytes(), into)),
        2 => Ok(copy(session.protocol().unwrap_or_default(), into)),
        3 => Ok(usize::from(session.resumed())),
        4 => {
            let first = session.peer_certificates().first();
            let summary = first.and_then(|der| tls::certificate::Summary::of(der));
            let subject = summary.map_or("".into(), |c| c.subject);
            Ok(copy(subject.as_bytes(), into))
        }
        _ => Err(Error::Invalid.into()),
    })
}

/// See `soil_tls_peer_certificate`.
pub fn peer_certificate(handle: Int, index: Int, into: &mut [u8]) -> Answer {
    with_session(handle, |session| {
        let index = usize::try_from(index).map_err(|_| Error::Invalid)?;
        let certificate = session.peer_certificates().get(index);
        Ok(copy(certificate.map_or(&[][..], |der| der), into))
    })
}

/// See `soil_tls_free`.
pub fn free(handle: Int) -> Answer {
    let index = place(handle)?;
    let mut objects = OBJECTS.lock();
    let object = objects.try_remove(index).ok_or(Error::Invalid)?;
    if let Object::Session(session, _) = object {
        let mut handshakes = HANDSHAKES.lock_within(&objects);
        handshakes.refused.retain(|number| *number != index);
        handshakes.changed(&mut objects, session.handshake_memory(), 0);
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates sessions of unauthenticated peers, in order, each with this many bytes of a
    /// ClientHello.
    fn strangers(config: &Config, count: usize, bytes: usize) -> Vec<usize> {
        let begin = |_| {
            let number = add_session(Session::server(config).expect("a session")).expect("room");
            let feed = |session: &mut Session| Ok(usize::from(session.feed(&vec![0; bytes])));
            assert!(matches!(with_session(number as Int, feed), Ok(1)));
            number
        };
        (0..count).map(begin).collect()
    }

    #[test]
    fn handshakes_in_progress_have_one_budget_and_the_newest_goes_on() {
        let pair = (
            &include_bytes!("../../tls/tests/certificates/server.pem")[..],
            &include_bytes!("../../tls/tests/certificates/server.key")[..],
        );
        let config = Config::server::<Machine>(ServerOptions {
            common: common(Vec::new(), 0, 0, 0).expect("options"),
            credentials: Arc::new(Credentials::new(&[pair]).expect("certificates")),
            clients: None,
            clients_optional: false,
        });
        let config = config.expect("a configuration");
        let limit = Handshakes::limit();
        let each = (16 << 10) + (20 << 10);
        let fits = limit / each;
        let numbers = strangers(&config, fits, 20 << 10);
        assert!(matches!(refused(), Err(Stop::WouldBlock)));
        // Each new one displaces the first.
        let more = strangers(&config, 5, 20 << 10);
        let ended: Vec<usize> = core::iter::from_fn(|| refused().ok()).collect();
        assert!(ended.iter().rev().eq(&numbers[..5]), "{ended:?}");
        // A small one is refused last.
        let late = strangers(&config, 1, 500);
        let ended: Vec<usize> = core::iter::from_fn(|| refused().ok()).collect();
        assert!(!ended.contains(&late[0]), "{ended:?}");
        assert!(HANDSHAKES.lock().bytes <= limit);
        for number in numbers.into_iter().chain(more).chain(late) {
            assert!(free(number as Int).is_ok());
        }
        assert_eq!(HANDSHAKES.lock().bytes, 0);
    }
}
