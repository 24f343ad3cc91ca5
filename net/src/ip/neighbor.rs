//! Neighbors: the Ethernet addresses of IP addresses, and neighbor unreachability detection.
//!
//! One state machine serves IPv6 (RFC 4861, 7.3.2) and IPv4, whose RFC 826 has no timeouts (RFC
//! 1122, 2.3.2.1 asks for some). The table is bounded. An entry is created only when we have a
//! packet for the address, or when a neighbor solicits us; entries of the second kind are few and
//! evict only each other (RFC 6583).
//!
//! [`arp`] and [`nd`] are the protocols that fill the table.

mod arp;
mod nd;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashMap;

use super::wire::header::Mac;
use crate::hash::KeyedHash;

const SECOND: u64 = 1_000_000_000;
/// RETRANS_TIMER of RFC 4861, 10, and the bounds of a router's value.
const RETRANSMIT_NS: u64 = SECOND;
const RETRANSMIT_MIN_NS: u64 = SECOND / 10;
const RETRANSMIT_MAX_NS: u64 = 10 * SECOND;
/// MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT.
const SOLICITATIONS: u8 = 3;
/// DELAY_FIRST_PROBE_TIME.
const DELAY_NS: u64 = 5 * SECOND;
/// REACHABLE_TIME, before randomization (6.3.2).
const REACHABLE_NS: u64 = 30 * SECOND;
/// How long a neighbor that didn't reply isn't solicited again.
const FAILED_NS: u64 = SECOND;
/// Maximum number of neighbors of one interface.
const ENTRIES: usize = 512;
/// Of these, entries that neighbors' solicitations created.
const PASSIVE: usize = 128;
/// Maximum number of packets queued for one neighbor (at least one: RFC 4861, 7.2.2), and of their
/// bytes for all.
const PENDING: usize = 64;
const PENDING_BYTES: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Incomplete,
    Reachable,
    Stale,
    Delay,
    Probe,
    Failed,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    mac: Mac,
    state: State,
    /// When the state ends or the next solicitation is due.
    at_ns: u64,
    solicitations: u8,
    used_ns: u64,
    /// Nothing was sent to it.
    passive: bool,
    router: bool,
    pending: VecDeque<Vec<u8>>,
}

impl Entry {
    /// The retransmission timer; a router may set the one of IPv6.
    fn wait_ns(&self, v6_ns: u64) -> u64 {
        match self.address {
            IpAddr::V4(_) => RETRANSMIT_NS,
            IpAddr::V6(_) => v6_ns,
        }
    }
}

/// The result of a neighbor lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its address.
    At(Mac),
    /// Being resolved; `true`: a solicitation is due now.
    Asking(bool),
    /// It doesn't reply.
    Gone,
}

/// A solicitation that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Solicitation {
    pub(crate) address: IpAddr,
    /// To this address; `None`: multicast or broadcast.
    pub(crate) mac: Option<Mac>,
}

/// A neighbor advertisement (RFC 4861, 7.2.5).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advert {
    pub(crate) address: IpAddr,
    pub(crate) mac: Option<Mac>,
    pub(crate) solicited: bool,
    pub(crate) replace: bool,
    pub(crate) router: bool,
}

/// The neighbors of an interface.
#[derive(Debug)]
pub(crate) struct Neighbors {
    entries: Vec<Option<Entry>>,
    index: HashMap<IpAddr, u32, KeyedHash>,
    free: Vec<u32>,
    passive: usize,
    pending_bytes: usize,
    reachable_ns: u64,
    /// For IPv6.
    retransmit_ns: u64,
    /// The earliest `at_ns` that [`Neighbors::run`] has to handle.
    next_ns: Option<u64>,
    /// A neighbor was resolved or failed since this was last taken.
    pub(crate) changed: bool,
}

impl Neighbors {
    pub(crate) fn new(keyed: KeyedHash) -> Neighbors {
        Neighbors {
            entries: Vec::new(),
            index: HashMap::with_hasher(keyed),
            free: Vec::new(),
            passive: 0,
            pending_bytes: 0,
            reachable_ns: REACHABLE_NS,
            retransmit_ns: RETRANSMIT_NS,
            next_ns: None,
            changed: false,
        }
    }

    /// Sets the reachable time that a router advertised, randomized (RFC 4861, 6.3.4): `unit` is a
    /// number below 1000.
    pub(crate) fn set_reachable(&mut self, base_ns: u64, unit: u64) {
        let base_ns = base_ns.clamp(SECOND, 3600 * SECOND);
        self.reachable_ns = base_ns / 2 + base_ns / 1000 * unit.min(999);
    }

    /// Sets the retransmission timer that a router advertised (RFC 4861, 6.3.4), within bounds.
    pub(crate) fn set_retransmit(&mut self, retransmit_ns: u64) {
        self.retransmit_ns = retransmit_ns.clamp(RETRANSMIT_MIN_NS, RETRANSMIT_MAX_NS);
    }

    /// The retransmission timer of IPv6 neighbors.
    pub(crate) fn retransmit_ns(&self) -> u64 {
        self.retransmit_ns
    }

    /// Whether packets wait for a neighbor.
    pub(crate) fn has_pending(&self) -> bool {
        self.pending_bytes > 0
    }

    fn slot_of(&self, address: IpAddr) -> Option<u32> {
        self.index.get(&address).copied()
    }

    fn entry_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.entries.get_mut(slot as usize)?.as_mut()
    }

    fn wake_at(&mut self, at_ns: u64) {
        self.next_ns = Some(self.next_ns.map_or(at_ns, |next| next.min(at_ns)));
    }

    /// Looks up `address` as a next hop. `slot` is the entry of the previous lookup and is updated.
    pub(crate) fn lookup(&mut self, address: IpAddr, slot: &mut u32, now_ns: u64) -> Known {
        let here = self
            .entries
            .get(*slot as usize)
            .and_then(Option::as_ref)
            .is_some_and(|entry| entry.address == address);
        if !here {
            match self.slot_of(address) {
                Some(found) => *slot = found,
                None => {
                    *slot = self.insert(address, State::Incomplete, [0; 6], false, now_ns);
                    self.begin(*slot, now_ns);
                    return Known::Asking(true);
                }
            }
        }
        let slot = *slot;
        let Some(entry) = self.entry_mut(slot) else {
            return Known::Gone;
        };
        entry.used_ns = now_ns;
        let was_passive = core::mem::take(&mut entry.passive);
        let known = match entry.state {
            State::Reachable if now_ns < entry.at_ns => Known::At(entry.mac),
            State::Reachable | State::Stale => {
                entry.state = State::Delay;
                entry.at_ns = now_ns.saturating_add(DELAY_NS);
                let (at_ns, mac) = (entry.at_ns, entry.mac);
                self.wake_at(at_ns);
                Known::At(mac)
            }
            State::Delay | State::Probe => Known::At(entry.mac),
            State::Incomplete => Known::Asking(false),
            State::Failed if now_ns < entry.at_ns => Known::Gone,
            State::Failed => {
                self.begin(slot, now_ns);
                Known::Asking(true)
            }
        };
        if was_passive {
            self.passive -= 1;
        }
        known
    }

    /// Starts resolution; the caller sends the first solicitation.
    fn begin(&mut self, slot: u32, now_ns: u64) {
        let retransmit_ns = self.retransmit_ns;
        if let Some(entry) = self.entry_mut(slot) {
            entry.state = State::Incomplete;
            entry.solicitations = 1;
            entry.at_ns = now_ns.saturating_add(entry.wait_ns(retransmit_ns));
            let at_ns = entry.at_ns;
            self.wake_at(at_ns);
        }
    }

    fn insert(
        &mut self,
        address: IpAddr,
        state: State,
        mac: Mac,
        passive: bool,
        now_ns: u64,
    ) -> u32 {
        if passive && self.passive >= PASSIVE {
            self.evict(true);
        }
        if self.index.len() >= ENTRIES {
            self.evict(false);
        }
        self.passive += usize::from(passive);
        let entry = Some(Entry {
            address,
            mac,
            state,
            at_ns: now_ns,
            solicitations: 0,
            used_ns: now_ns,
            passive,
            router: false,
            pending: VecDeque::new(),
        });
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.entries.get_mut(slot as usize) {
                    *place = entry;
                }
                slot
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.index.insert(address, slot);
        slot
    }

    /// Evicts the least useful entry: an unresolved one before one not confirmed lately, before
    /// others; among those the least recently used.
    fn evict(&mut self, passive: bool) {
        let order = |entry: &Entry| {
            let class = match entry.state {
                State::Failed => 0,
                State::Incomplete => 1,
                State::Stale => 2,
                _ => 3,
            };
            (!entry.passive, class, entry.used_ns)
        };
        let victim = self
            .entries
            .iter()
            .flatten()
            .filter(|entry| entry.passive || !passive)
            .min_by_key(|entry| order(entry))
            .map(|entry| entry.address);
        if let Some(address) = victim {
            self.remove(address);
        }
    }

    /// Forgets a neighbor.
    pub(crate) fn remove(&mut self, address: IpAddr) {
        if let Some(slot) = self.index.remove(&address)
            && let Some(entry) = self.entries.get_mut(slot as usize).and_then(Option::take)
        {
            self.passive -= usize::from(entry.passive);
            self.pending_bytes -= entry.pending.iter().map(Vec::len).sum::<usize>();
            self.free.push(slot);
        }
    }

    /// Queues an IP packet until its neighbor is resolved. The oldest one is dropped to make room
    /// (RFC 4861, 7.2.2); returns whether none was.
    pub(crate) fn hold(&mut self, address: IpAddr, packet: Vec<u8>) -> bool {
        let Some(slot) = self.slot_of(address) else {
            return false;
        };
        let mut bytes = self.pending_bytes + packet.len();
        let Some(entry) = self.entry_mut(slot) else {
            return false;
        };
        let mut lost = false;
        while (entry.pending.len() >= PENDING || bytes > PENDING_BYTES)
            && let Some(oldest) = entry.pending.pop_front()
        {
            bytes -= oldest.len();
            lost = true;
        }
        if bytes > PENDING_BYTES {
            bytes -= packet.len();
            lost = true;
        } else {
            entry.pending.push_back(packet);
        }
        self.pending_bytes = bytes;
        !lost
    }

    /// Moves the packets queued for a neighbor to `ready`, with its address.
    fn release(&mut self, slot: u32, ready: &mut Vec<(Mac, Vec<u8>)>) {
        let Some(entry) = self.entry_mut(slot) else {
            return;
        };
        let mac = entry.mac;
        let pending = core::mem::take(&mut entry.pending);
        self.pending_bytes -= pending.iter().map(Vec::len).sum::<usize>();
        ready.extend(pending.into_iter().map(|packet| (mac, packet)));
        self.changed = true;
    }

    /// Handles a neighbor solicitation or an ARP request with the sender's address (RFC 4861,
    /// 7.2.3; RFC 826). Packets queued for it are moved to `ready`.
    pub(crate) fn on_solicitation(
        &mut self,
        address: IpAddr,
        mac: Mac,
        now_ns: u64,
        ready: &mut Vec<(Mac, Vec<u8>)>,
    ) {
        let Some(slot) = self.slot_of(address) else {
            self.insert(address, State::Stale, mac, true, now_ns);
            return;
        };
        let Some(entry) = self.entry_mut(slot) else {
            return;
        };
        if entry.mac != mac || matches!(entry.state, State::Incomplete | State::Failed) {
            entry.mac = mac;
            entry.state = State::Stale;
            self.release(slot, ready);
        }
    }

    /// A frame sent to `mac` reached this neighbor. Does nothing if it is known already.
    pub(crate) fn reached(&mut self, address: IpAddr, mac: Mac, now_ns: u64) {
        if self.slot_of(address).is_none() {
            self.insert(address, State::Stale, mac, true, now_ns);
        }
    }

    /// Packets to this neighbor remain unanswered: it is no longer reachable, and is probed at
    /// once.
    pub(crate) fn negative_advice(&mut self, address: IpAddr, now_ns: u64) {
        if let Some(slot) = self.slot_of(address)
            && let Some(entry) = self.entry_mut(slot)
            && matches!(entry.state, State::Reachable | State::Stale)
        {
            entry.state = State::Delay;
            entry.at_ns = now_ns;
            self.wake_at(now_ns);
        }
    }

    /// Handles a neighbor advertisement or an ARP reply (RFC 4861, 7.2.5). Ignores a
    /// neighbor that has no entry. Returns whether the neighbor was known as a router before.
    pub(crate) fn advertised(
        &mut self,
        advert: &Advert,
        now_ns: u64,
        ready: &mut Vec<(Mac, Vec<u8>)>,
    ) -> bool {
        let until_ns = now_ns.saturating_add(self.reachable_ns);
        let Some(slot) = self.slot_of(advert.address) else {
            return false;
        };
        let Some(entry) = self.entry_mut(slot) else {
            return false;
        };
        let was_router = entry.router;
        if matches!(entry.state, State::Incomplete | State::Failed) {
            let Some(mac) = advert.mac else {
                return was_router;
            };
            entry.mac = mac;
            entry.router = advert.router;
            entry.state = if advert.solicited {
                State::Reachable
            } else {
                State::Stale
            };
            entry.at_ns = until_ns;
            self.release(slot, ready);
            return was_router;
        }
        let other = advert.mac.is_some_and(|mac| mac != entry.mac);
        if other && !advert.replace {
            if entry.state == State::Reachable {
                entry.state = State::Stale;
            }
            return was_router;
        }
        if let Some(mac) = advert.mac {
            entry.mac = mac;
        }
        if advert.solicited {
            entry.state = State::Reachable;
            entry.at_ns = until_ns;
        } else if other {
            entry.state = State::Stale;
        }
        entry.router = advert.router;
        was_router
    }

    /// Whether the neighbor is known not to reply.
    pub(crate) fn is_gone(&self, address: IpAddr) -> bool {
        self.slot_of(address)
            .and_then(|slot| self.entries.get(slot as usize)?.as_ref())
            .is_some_and(|entry| entry.state == State::Failed)
    }

    /// Returns the solicitations that are due, and removes neighbors that answered none. The
    /// packets queued for those are moved to `lost`.
    pub(crate) fn run(&mut self, now_ns: u64, lost: &mut Vec<Vec<u8>>) -> Vec<Solicitation> {
        let mut solicitations = Vec::new();
        if self.next_ns.is_none_or(|at_ns| at_ns > now_ns) {
            return solicitations;
        }
        let mut next = None::<u64>;
        let mut gone = Vec::new();
        for entry in self.entries.iter_mut().flatten() {
            let waits = matches!(entry.state, State::Incomplete | State::Delay | State::Probe);
            if !waits {
                continue;
            }
            if entry.at_ns <= now_ns {
                match entry.state {
                    State::Delay => {
                        entry.state = State::Probe;
                        entry.solicitations = 0;
                    }
                    State::Incomplete if entry.solicitations >= SOLICITATIONS => {
                        entry.state = State::Failed;
                        entry.at_ns = now_ns.saturating_add(FAILED_NS);
                        self.pending_bytes -= entry.pending.iter().map(Vec::len).sum::<usize>();
                        lost.extend(entry.pending.drain(..));
                        self.changed = true;
                        continue;
                    }
                    State::Probe if entry.solicitations >= SOLICITATIONS => {
                        gone.push(entry.address);
                        continue;
                    }
                    _ => {}
                }
                entry.solicitations += 1;
                entry.at_ns = now_ns.saturating_add(entry.wait_ns(self.retransmit_ns));
                solicitations.push(Solicitation {
                    address: entry.address,
                    mac: (entry.state == State::Probe).then_some(entry.mac),
                });
            }
            next = Some(next.map_or(entry.at_ns, |next| next.min(entry.at_ns)));
        }
        self.next_ns = next;
        for address in gone {
            self.remove(address);
        }
        solicitations
    }

    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }
}

#[cfg(test)]
mod tests;
