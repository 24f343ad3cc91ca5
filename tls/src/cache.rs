//! Bounded caches of sessions for resumption.

use crate::certificate::format_time;
use crate::names;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::server::StoresServerSessions;
use sync::mutex::{Mutex, level};

/// A map that evicts the oldest entry when it is full.
struct Bounded<K, V> {
    entries: BTreeMap<K, V>,
    /// The keys, oldest first; removed ones stay until their turn.
    order: VecDeque<K>,
    capacity: usize,
}

impl<K: Ord + Clone, V> Bounded<K, V> {
    fn new(capacity: usize) -> Bounded<K, V> {
        Bounded {
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    /// The value of `key`, created by `make` if missing; `None` if nothing is to be stored.
    fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> Option<&mut V> {
        if self.capacity == 0 {
            return None;
        }
        if !self.entries.contains_key(&key) {
            while self.order.len() >= self.capacity {
                let oldest = self.order.pop_front()?;
                self.entries.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        Some(self.entries.entry(key).or_insert_with(make))
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let value = self.entries.remove(key)?;
        self.order.retain(|other| other != key);
        Some(value)
    }
}

/// A server's sessions by identifier (RFC 5246, F.1.4).
pub(crate) struct ServerSessions(Mutex<Bounded<Vec<u8>, Vec<u8>>, level::Sessions>, usize);

impl ServerSessions {
    /// A cache of at most `capacity` sessions.
    pub(crate) fn new(capacity: usize) -> ServerSessions {
        ServerSessions(Mutex::new(Bounded::new(capacity)), capacity)
    }
}

impl fmt::Debug for ServerSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSessions")
    }
}

impl StoresServerSessions for ServerSessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut sessions = self.0.lock();
        match sessions.entry(key, Vec::new) {
            Some(place) => *place = value,
            None => return false,
        }
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().entries.get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().remove(&key.into())
    }

    fn can_cache(&self) -> bool {
        self.1 > 0
    }
}

/// Maximum number of TLS 1.3 tickets of one server; each is used once (RFC 8446, C.4).
const TICKETS: usize = 8;

/// Adds a ticket; evicts the oldest.
fn keep<T>(tickets: &mut VecDeque<T>, ticket: T) {
    if tickets.len() >= TICKETS {
        tickets.pop_front();
    }
    tickets.push_back(ticket);
}

/// A client's data about a server.
#[derive(Default)]
struct Server {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
    /// The first end that hasn't passed of the certificates by which the server was verified, in the
    /// form of [`format_time`]; empty if that is unknown, which ends each session at once.
    expires: String,
}

impl Server {
    fn has_expired(&self, now: Option<u64>) -> bool {
        now.is_some_and(|now| format_time(now) > self.expires)
    }

    /// Forgets the sessions if a certificate has expired at `now`.
    fn expire(&mut self, now: Option<u64>) {
        if self.has_expired(now) {
            self.tls12 = None;
            self.tls13.clear();
        }
    }
}

/// A client's sessions by server.
///
/// A resumed session doesn't verify the server again, and gets new tickets, without an end. The end
/// of the server's certificate ends its sessions, too (RFC 8446, 4.6.1).
pub(crate) struct ClientSessions {
    servers: Mutex<Bounded<String, Server>, level::Sessions>,
    /// Seconds since 1970; `None` without a clock.
    now: fn() -> Option<u64>,
}

impl ClientSessions {
    /// A cache of the sessions with at most `capacity` servers.
    pub(crate) fn new(capacity: usize, now: fn() -> Option<u64>) -> ClientSessions {
        ClientSessions {
            servers: Mutex::new(Bounded::new(capacity)),
            now,
        }
    }

    /// Called when a server was verified by certificates the first of which `expires` then, in the
    /// form of [`format_time`]; empty if that is unknown.
    pub(crate) fn verified(&self, name: &ServerName<'_>, expires: String) {
        let now = (self.now)();
        self.change(name, |server| {
            // Tickets of a connection that began with the certificates before may still come.
            let is_first = server.expires.is_empty() || server.has_expired(now);
            if is_first || expires < server.expires {
                server.expires = expires;
            }
        });
    }

    fn change(&self, name: &ServerName<'_>, change: impl FnOnce(&mut Server)) {
        let key = names::text(name);
        if let Some(server) = self.servers.lock().entry(key, Server::default) {
            change(server);
        }
    }

    fn with<T>(
        &self,
        name: &ServerName<'_>,
        f: impl FnOnce(&mut Server) -> Option<T>,
    ) -> Option<T> {
        let now = (self.now)();
        let mut servers = self.servers.lock();
        let server = servers.entries.get_mut(&names::text(name))?;
        server.expire(now);
        f(server)
    }
}

impl fmt::Debug for ClientSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSessions")
    }
}

impl ClientSessionStore for ClientSessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.change(&server_name, |server| server.group = Some(group));
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(server_name, |server| server.group)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.change(&server_name, |server| server.tls12 = Some(value));
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(server_name, |server| server.tls12.clone())
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.with(server_name, |server| server.tls12.take());
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.change(&server_name, |server| {
            keep(&mut server.tls13, value);
        });
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.with(server_name, |server| server.tls13.pop_back())
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientSessions, ServerSessions, TICKETS, keep};
    use alloc::collections::VecDeque;
    use rustls::pki_types::ServerName;
    use rustls::server::StoresServerSessions as _;

    #[test]
    fn the_oldest_session_makes_room() {
        let sessions = ServerSessions::new(2);
        for key in 1..=3 {
            assert!(sessions.put(vec![key], vec![key]));
        }
        assert_eq!(sessions.get(&[1]), None);
        assert_eq!(sessions.get(&[2]), Some(vec![2]));
        assert_eq!(sessions.take(&[2]), Some(vec![2]));
        assert_eq!(sessions.get(&[2]), None);
        // A removed session leaves room.
        assert!(sessions.put(vec![4], vec![4]));
        assert_eq!(sessions.get(&[3]), Some(vec![3]));
    }

    /// It was added, removed and added again: its first turn is over.
    #[test]
    fn a_session_that_comes_back_is_the_youngest() {
        let sessions = ServerSessions::new(3);
        let put = |key| assert!(sessions.put(vec![key], vec![key]));
        let kept = || [1, 2, 3, 4].map(|key| sessions.get(&[key]).is_some());
        put(1);
        assert_eq!(sessions.take(&[1]), Some(vec![1]));
        put(2);
        put(1);
        put(3);
        assert_eq!(kept(), [true, true, true, false]);
        // A new value for an existing key takes no room.
        assert!(sessions.put(vec![1], vec![7]));
        put(4);
        assert_eq!(kept(), [true, false, true, true]);
        assert_eq!(sessions.get(&[1]), Some(vec![7]));
    }

    /// However many tickets a server sends.
    #[test]
    fn the_oldest_ticket_makes_room() {
        let mut tickets = VecDeque::new();
        for ticket in 0..3 * TICKETS {
            keep(&mut tickets, ticket);
        }
        assert!(tickets.into_iter().eq(2 * TICKETS..3 * TICKETS));
    }

    /// 2026-01-01.
    const NOW: u64 = 1_767_225_600;

    #[test]
    fn the_first_end_of_certificates_counts_until_it_has_passed() {
        let sessions = ClientSessions::new(1, || Some(NOW));
        let name = ServerName::try_from("server.test").unwrap();
        let after = |expires: &str| {
            sessions.verified(&name, expires.into());
            let servers = sessions.servers.lock();
            servers.entries["server.test"].expires.clone()
        };
        let [passed, first, later] = [
            "2025-12-31 23:59:59 UTC",
            "2026-01-31 12:00:00 UTC",
            "2027-01-31 12:00:00 UTC",
        ];
        assert_eq!(after(passed), passed);
        assert_eq!(after(later), later);
        assert_eq!(after(first), first);
        // Of a renewed certificate.
        assert_eq!(after(later), first);
        assert_eq!(after(""), "");
        assert_eq!(after(later), later);
    }

    #[test]
    fn a_cache_of_none_keeps_none() {
        let sessions = ServerSessions::new(0);
        assert!(!sessions.can_cache());
        assert!(!sessions.put(vec![1], vec![1]));
    }
}
