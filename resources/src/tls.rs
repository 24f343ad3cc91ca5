//! TLS: sessions of the crate `tls`, by number, with the platform's clock and random numbers.
//!
//! Nothing here blocks or uses a descriptor: the program transfers the records. Nor does it need
//! the runtime: domains seal records and shake hands at once, each on its sessions.

use crate::current::Current;
use crate::runtime;
use crate::types::{Int, copy};
use alloc::sync::Arc;
use alloc::vec::Vec;
use platform::error::{Error, Failure, Stop};
use platform::{Clock, Entropy, Memory, System};
use slab::Slab;
use sync::mutex::{Mutex, MutexGuard, level};
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
    /// With its number.
    Session(usize, Arc<Connection>),
}

/// A session and what its calls need. No one waits for it: a program uses it from one domain at a
/// time.
type Connection = Mutex<Inner, level::Connection>;

struct Inner {
    session: Session,
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

/// Why a call gives no number.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Without a detail.
    Stop(Stop),
    /// With a detail, or none.
    Failure(Failure),
}

/// A result of the functions here.
pub type Outcome = Result<usize, Fault>;

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Fault {
        Fault::Stop(stop)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Stop(error.into())
    }
}

impl From<tls::Error> for Fault {
    fn from(error: tls::Error) -> Fault {
        let code = match error.kind {
            Kind::Certificate => Error::Certificate,
            Kind::Truncated => Error::ConnectionReset,
            Kind::Protocol => Error::Tls,
            Kind::Configuration => Error::BadConfiguration,
            Kind::Environment => Error::NoEntropy,
            Kind::Busy => Error::Busy,
        };
        Fault::Failure(Failure::new(code, error.detail))
    }
}

/// Runs `f`, and encodes its answer. Doesn't enter the runtime, except to record a failure: a
/// handshake takes milliseconds, for which every call of another domain would wait. `Busy` for
/// domains that the runtime doesn't serve.
pub fn call(f: impl FnOnce() -> Outcome) -> Int {
    match runtime::serves() {
        true => answer(f()),
        false => runtime::encode(Err(Error::Busy.into())),
    }
}

/// Encodes an answer. Not inline: each function of the boundary has a copy of [`call`].
#[inline(never)]
fn answer(outcome: Outcome) -> Int {
    runtime::encode(outcome.map_err(recorded))
}

/// Records a failure, as the last one of the thread.
fn recorded(fault: Fault) -> Stop {
    let (error, detail) = match fault {
        Fault::Stop(Stop::Error(error)) => (error, None),
        Fault::Stop(stop) => return stop,
        Fault::Failure(failure) => (failure.error, Some(failure)),
    };
    // Within a call of the runtime (an OCaml finalizer's) the record stays that call's.
    let _ = runtime::enter(|rt| match detail {
        Some(failure) => rt.fail(failure),
        None => Err(error.into()),
    });
    error.into()
}

/// All objects of the program.
struct Objects {
    all: Slab<Object>,
    /// How many sessions were made.
    sessions: usize,
}

/// Bits of a number for the index in [`Objects::all`]. Those of a session above them are never the
/// same as another session's: another domain may still have the number of a session that was given
/// back, and of a refused one.
const PLACE: u32 = 20;

/// They aren't in `Resources`, so that a program without TLS contains none of this. Held to find an
/// object, never during cryptography.
static OBJECTS: Mutex<Objects, level::Objects> = Mutex::new(Objects {
    all: Slab::new(),
    sessions: 0,
});

impl Objects {
    /// The index of a number; `Invalid` if no object has this number.
    fn place(&self, handle: Int) -> Result<usize, Error> {
        let number = usize::try_from(handle).map_err(|_| Error::Invalid)?;
        let place = number & ((1 << PLACE) - 1);
        let own = match self.all.get(place) {
            Some(Object::Session(own, _)) => *own,
            Some(_) => place,
            None => return Err(Error::Invalid),
        };
        (own == number).then_some(place).ok_or(Error::Invalid)
    }

    fn get(&mut self, handle: Int) -> Result<&mut Object, Error> {
        let place = self.place(handle)?;
        Ok(&mut self.all[place])
    }

    /// The index of the next object.
    fn next(&self) -> Result<usize, Error> {
        let place = self.all.vacant_key();
        (place >> PLACE == 0)
            .then_some(place)
            .ok_or(Error::TooManyOpen)
    }

    fn add(&mut self, object: Object) -> Outcome {
        self.next()?;
        Ok(self.all.insert(object))
    }

    fn add_session(&mut self, connection: Arc<Connection>) -> Outcome {
        let place = self.next()?;
        self.sessions += 1;
        // A positive integer of OCaml.
        let number = (self.sessions << PLACE | place) & (usize::MAX >> 2);
        self.all.insert(Object::Session(number, connection));
        Ok(number)
    }
}

/// A server's handshake in progress, which an unauthenticated peer has started.
struct Handshake {
    number: usize,
    /// See [`Session::handshake_memory`]; not 0.
    bytes: usize,
    connection: Arc<Connection>,
}

/// All of them, and those that were refused in favour of others.
struct Handshakes {
    /// The sum of their memory.
    bytes: usize,
    /// By number: oldest first.
    open: Vec<Handshake>,
    /// The numbers of refused sessions whose tasks don't know it yet.
    refused: Vec<usize>,
}

/// Held for the accounts only. Who refuses another's session, or ends a call of a handshake, holds
/// it until the session is free again: so a session that is in use when it is refused finds that
/// out at the end of its call, if not before.
static HANDSHAKES: Mutex<Handshakes, level::Handshakes> = Mutex::new(Handshakes {
    bytes: 0,
    open: Vec::new(),
    refused: Vec::new(),
});

impl Handshakes {
    /// Returns the maximum memory of all handshakes in bytes: a part of the machine's memory.
    fn limit() -> usize {
        (Current::total_memory() as usize / 16).clamp(1 << 20, 64 << 20)
    }

    /// The index of a session in [`Handshakes::open`], or where it would be.
    fn place(&self, number: usize) -> Result<usize, usize> {
        self.open
            .binary_search_by_key(&number, |handshake| handshake.number)
    }

    fn begin(&mut self, handshake: Handshake) {
        self.bytes += handshake.bytes;
        if let Err(place) = self.place(handshake.number) {
            self.open.insert(place, handshake);
        }
        self.make_room();
    }

    /// Records that a session's memory is `now`, 0 at the end of the handshake. False: the session
    /// has been refused, just now or during the call that ends here.
    fn changed(&mut self, number: usize, now: usize) -> bool {
        let Ok(place) = self.place(number) else {
            return false;
        };
        let before = core::mem::replace(&mut self.open[place].bytes, now);
        self.bytes = self.bytes - before + now;
        if now == 0 {
            self.open.remove(place);
        } else if now > before {
            self.make_room();
            return self.place(number).is_ok();
        }
        true
    }

    /// The session was given back.
    fn end(&mut self, number: usize) {
        self.refused.retain(|refused| *refused != number);
        self.changed(number, 0);
    }

    /// While the total is too high, or memory is short, refuses the largest session, and among
    /// equals the oldest.
    fn make_room(&mut self) {
        while self.bytes > Self::limit() || self.bytes > 0 && Current::memory_short() {
            let all = self.open.iter().enumerate();
            let largest =
                all.max_by_key(|(place, handshake)| (handshake.bytes, core::cmp::Reverse(*place)));
            let Some((place, _)) = largest else {
                return;
            };
            if self.refused.try_reserve(1).is_err() {
                return;
            }
            let handshake = self.open.remove(place);
            self.bytes -= handshake.bytes;
            self.refused.push(handshake.number);
            // One that is in use frees its memory at the end of its call.
            if let Some(mut inner) = handshake.connection.try_lock() {
                inner.session.refuse();
            }
        }
    }
}

/// See `soil_tls_refused`.
pub fn refused() -> Outcome {
    let number = HANDSHAKES.lock().refused.pop();
    number.ok_or(Stop::WouldBlock.into())
}

/// Adds a session, as the most recent one.
fn add_session(session: Session) -> Outcome {
    let bytes = session.handshake_memory();
    let connection = Arc::new(Mutex::new(Inner {
        session,
        snapshots: Current::snapshots(),
    }));
    let number = OBJECTS.lock().add_session(connection.clone())?;
    if bytes > 0 {
        HANDSHAKES.lock().begin(Handshake {
            number,
            bytes,
            connection,
        });
    }
    Ok(number)
}

/// See `soil_tls_credentials`.
pub fn credentials() -> Outcome {
    let none = Credentials::new(&[]).map_err(|_| Error::Invalid)?;
    let none = Object::Credentials(Arc::new(none), Vec::new());
    OBJECTS.lock().add(none)
}

/// See `soil_tls_credentials_add`.
pub fn credentials_add(handle: Int, chain: &[u8], key: &[u8]) -> Outcome {
    let pair = (chain.into(), key.into());
    match OBJECTS.lock().get(handle)? {
        Object::Credentials(_, pairs) => pairs.push(pair),
        _ => return Err(Error::Invalid.into()),
    }
    Ok(0)
}

/// See `soil_tls_credentials_apply`.
pub fn credentials_apply(handle: Int) -> Outcome {
    let (credentials, pairs) = match OBJECTS.lock().get(handle)? {
        Object::Credentials(credentials, pairs) => (credentials.clone(), core::mem::take(pairs)),
        _ => return Err(Error::Invalid.into()),
    };
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(a, b)| (&a[..], &b[..])).collect();
    credentials.replace(&pairs)?;
    Ok(0)
}

/// See `soil_tls_options`.
pub fn options(credentials: Int) -> Outcome {
    let mut objects = OBJECTS.lock();
    let credentials = match objects.get(credentials)? {
        Object::Credentials(credentials, _) => credentials.clone(),
        _ => return Err(Error::Invalid.into()),
    };
    objects.add(Object::Options(Options {
        credentials,
        trust: Trust::default(),
        protocols: Vec::new(),
    }))
}

/// Calls `f`, which is short, with the options of number `handle`.
pub fn with_options(handle: Int, f: impl FnOnce(&mut Options)) -> Outcome {
    match OBJECTS.lock().get(handle)? {
        Object::Options(options) => f(options),
        _ => return Err(Error::Invalid.into()),
    }
    Ok(0)
}

/// See `soil_tls_trust`.
pub fn trust(handle: Int, roots: &[u8]) -> Outcome {
    let roots = roots.into();
    with_options(handle, |options| options.trust.roots.push(roots))
}

/// See `soil_tls_trust_mozilla`.
pub fn trust_mozilla(handle: Int) -> Outcome {
    let roots = tls::mozilla_roots();
    with_options(handle, |options| options.trust.anchors.extend(roots))
}

/// See `soil_tls_revoke`.
pub fn revoke(handle: Int, lists: &[u8]) -> Outcome {
    let lists = lists.into();
    with_options(handle, |options| options.trust.revoked.push(lists))
}

/// See `soil_tls_protocol`.
pub fn protocol(handle: Int, name: &[u8]) -> Outcome {
    if name.is_empty() || name.len() > 255 {
        return Err(Error::Invalid.into());
    }
    let name = name.into();
    with_options(handle, |options| options.protocols.push(name))
}

/// Removes the options of number `handle`.
fn take_options(handle: Int) -> Result<Options, Fault> {
    let mut objects = OBJECTS.lock();
    let place = objects.place(handle)?;
    if let Object::Options(_) = objects.all[place]
        && let Object::Options(options) = objects.all.remove(place)
    {
        return Ok(options);
    }
    Err(Error::Invalid.into())
}

fn common(
    protocols: Vec<Vec<u8>>,
    versions: Int,
    sessions: Int,
    key_log: Int,
) -> Result<Common, Fault> {
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
pub fn client(handle: Int, versions: Int, sessions: Int, key_log: Int) -> Outcome {
    let options = take_options(handle)?;
    let config = Config::client::<Machine>(ClientOptions {
        common: common(options.protocols, versions, sessions, key_log)?,
        trust: options.trust,
        credentials: options.credentials,
    })?;
    OBJECTS.lock().add(Object::Config(config))
}

/// See `soil_tls_server`.
pub fn server(handle: Int, versions: Int, sessions: Int, key_log: Int, clients: Int) -> Outcome {
    let options = take_options(handle)?;
    let config = Config::server::<Machine>(ServerOptions {
        common: common(options.protocols, versions, sessions, key_log)?,
        credentials: options.credentials,
        clients: (clients > 0).then_some(options.trust),
        clients_optional: clients == 1,
    })?;
    OBJECTS.lock().add(Object::Config(config))
}

/// Returns the configuration of number `handle`.
fn config(handle: Int) -> Result<Config, Fault> {
    match OBJECTS.lock().get(handle)? {
        Object::Config(config) => Ok(config.clone()),
        _ => Err(Error::Invalid.into()),
    }
}

/// See `soil_tls_key_log`.
pub fn key_log(handle: Int, into: &mut [u8]) -> Outcome {
    Ok(config(handle)?.take_key_log(into))
}

/// See `soil_tls_connect`.
pub fn connect(handle: Int, host: &str) -> Outcome {
    add_session(Session::client(&config(handle)?, host)?)
}

/// See `soil_tls_accept`.
pub fn accept(handle: Int) -> Outcome {
    add_session(Session::server(&config(handle)?)?)
}

/// A session in use.
type InUse<'a> = MutexGuard<'a, Inner, level::Connection>;

/// The session of number `handle`.
fn find(handle: Int) -> Result<(usize, Arc<Connection>), Fault> {
    match OBJECTS.lock().get(handle)? {
        Object::Session(number, connection) => Ok((*number, connection.clone())),
        _ => Err(Error::Invalid.into()),
    }
}

/// Begins a call of a session. `Busy`: one is inside already, of another domain or around this one.
fn begin(connection: &Connection) -> Result<InUse<'_>, Fault> {
    let mut inner = connection.try_lock();
    if inner.is_none() {
        // It may be just being refused, which is over then.
        drop(HANDSHAKES.lock());
        inner = connection.try_lock();
    }
    inner.ok_or(Error::Busy.into())
}

impl Inner {
    /// Ends a session that a copy of this machine has, too.
    fn check_copies(&mut self) {
        let snapshots = Current::snapshots();
        if core::mem::replace(&mut self.snapshots, snapshots) != snapshots {
            // Two sessions with the same keys and nonces would reveal their plaintexts.
            let why = "the machine goes on from a snapshot, of which others have the same keys";
            self.session.end(why);
        }
    }
}

/// Ends a call of a handshake.
fn end(number: usize, mut inner: InUse<'_>) {
    let mut handshakes = HANDSHAKES.lock_within(&inner);
    let now = inner.session.handshake_memory();
    if !handshakes.changed(number, now) {
        inner.session.refuse();
    }
    // Before the accounts are free for who refuses it next, see `HANDSHAKES`.
    drop(inner);
}

/// Calls `f` with the session of number `handle`. No other call waits for it.
pub fn with_session(handle: Int, f: impl FnOnce(&mut Session) -> Outcome) -> Outcome {
    let (number, connection) = find(handle)?;
    let mut inner = begin(&connection)?;
    let is_handshake = inner.session.handshake_memory() > 0;
    inner.check_copies();
    let done = f(&mut inner.session);
    if is_handshake {
        end(number, inner);
    }
    done
}

/// See `soil_tls_handshake`.
pub fn handshake(handle: Int) -> Outcome {
    with_session(handle, |session| Ok(usize::from(session.handshake()?)))
}

/// See `soil_tls_read`.
pub fn read(handle: Int, into: &mut [u8]) -> Outcome {
    if into.is_empty() {
        return Err(Error::Invalid.into());
    }
    with_session(handle, |session| match session.read(into)? {
        Read::Bytes(n) => Ok(n),
        Read::End => Ok(0),
        Read::NeedsInput => Err(Stop::WouldBlock.into()),
    })
}

/// Number of bits for the length of the records in a result of [`write`].
const MADE: u32 = 24;

/// See `soil_tls_write`.
pub fn write(handle: Int, from: &[u8], into: &mut [u8]) -> Outcome {
    let most = (1 << MADE) - 1;
    let from = &from[..from.len().min(most)];
    let room = into.len().min(most);
    let into = &mut into[..room];
    with_session(handle, |session| {
        let (taken, made) = session.write(from, into)?;
        Ok(taken << MADE | made)
    })
}

/// See `soil_tls_close_notify`.
pub fn close_notify(handle: Int) -> Outcome {
    with_session(handle, |session| {
        session.close_notify()?;
        Ok(0)
    })
}

/// See `soil_tls_update_keys`.
pub fn update_keys(handle: Int) -> Outcome {
    with_session(handle, |session| {
        session.update_keys()?;
        Ok(0)
    })
}

/// See `soil_tls_fact`.
pub fn fact(handle: Int, which: Int, into: &mut [u8]) -> Outcome {
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
pub fn peer_certificate(handle: Int, index: Int, into: &mut [u8]) -> Outcome {
    with_session(handle, |session| {
        let index = usize::try_from(index).map_err(|_| Error::Invalid)?;
        let certificate = session.peer_certificates().get(index);
        Ok(copy(certificate.map_or(&[][..], |der| der), into))
    })
}

/// See `soil_tls_free`. A call of another domain that is inside the session goes on.
pub fn free(handle: Int) -> Outcome {
    let object = {
        let mut objects = OBJECTS.lock();
        let place = objects.place(handle)?;
        objects.all.remove(place)
    };
    if let Object::Session(number, _) = object {
        HANDSHAKES.lock().end(number);
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
