//! Entry points for the stack's poll: frames in, timers, the end of a round.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::drops::DropReason;
use super::overload::{FRAME_BYTES, FRAME_COST, SHED_COST};
use super::{IcmpError, Ip, LOOPBACK, Net, UpperLayer};
use crate::types::Handle;

/// Maximum rounds of configuration in one poll: due work may make more due at once.
const ROUNDS: usize = 8;

impl Ip {
    /// Sets the clock, which never goes back.
    pub(crate) fn set_now(&mut self, now_ns: u64) {
        self.net.now_ns = self.net.now_ns.max(now_ns);
    }

    /// Receives up to `budget` frames of a port, not counting most shed ones, and passes input to
    /// the sockets. Returns whether there may be more.
    pub(crate) fn receive(
        &mut self,
        port: usize,
        budget: usize,
        sockets: &mut dyn UpperLayer,
    ) -> bool {
        let mut left = budget * FRAME_COST;
        self.net.overload.begin_link();
        while left > 0 {
            // Replies that wait for room are sent first, so that the next ones have a place.
            if !self.drain(port) {
                return false;
            }
            let number = port;
            let Ip { ports, net } = self;
            let Some(port) = ports.get_mut(port) else {
                return false;
            };
            let mut cost = FRAME_COST;
            let received = port.link.receive(&mut |frame, meta| {
                if number != LOOPBACK && net.overload.should_shed(frame, sockets) {
                    net.drops.count(DropReason::Overload);
                    cost = SHED_COST;
                    return;
                }
                cost += frame.len() / FRAME_BYTES * FRAME_COST;
                let input = net.input(number, frame, meta);
                sockets.input(net, input);
            });
            if !received {
                return false;
            }
            left = left.saturating_sub(cost);
        }
        self.drain(port);
        true
    }

    /// Runs the timers that are due: neighbors, addresses, leases, groups, fragments.
    pub(crate) fn maintain(&mut self) {
        self.net.maintain();
        for port in 0..self.ports.len() {
            self.drain(port);
        }
    }

    /// Whether a packet is still in flight on the loopback: it will be received.
    pub(crate) fn is_under_way(&self) -> bool {
        self.net
            .interfaces
            .first()
            .is_some_and(|i| i.counters.tx_frames != i.counters.rx_frames)
    }

    /// The next deadline of [`Ip::maintain`].
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let neighbors = self
            .net
            .interfaces
            .iter()
            .filter_map(|i| i.neighbors.next_ns());
        let due = self.net.interfaces.iter().map(|i| i.due_ns);
        neighbors
            .chain(due.filter(|at_ns| *at_ns != u64::MAX))
            .chain(self.net.reassembly.next_ns())
            .chain(self.net.redirects.next_ns())
            .chain(
                self.net
                    .release_until_ns
                    .filter(|at_ns| *at_ns > self.net.now_ns),
            )
            .min()
    }

    /// Notifies the links of queued frames. Returns whether something waits for room.
    pub(crate) fn flush(&mut self) -> bool {
        let mut blocked = false;
        for (port, queue) in self.ports.iter_mut().zip(&mut self.net.queues) {
            // Sockets may have solicited neighbors during their turn.
            port.drain(queue);
            if core::mem::take(&mut queue.dirty) {
                port.link.flush();
            }
            blocked |= !queue.is_empty() || !queue.blocked.is_empty();
        }
        blocked
    }

    /// Whether all queued frames have been sent.
    pub(crate) fn is_drained(&mut self) -> bool {
        let queues = &self.net.queues;
        let mut ports = self.ports.iter_mut().zip(queues);
        ports.all(|(port, queue)| queue.is_empty() && port.link.is_drained())
    }

    /// The sockets that waited for room in a port that now has some.
    pub(crate) fn take_unblocked(&mut self, port: usize) -> Vec<Handle> {
        if let (Some(port), Some(queue)) = (self.ports.get_mut(port), self.net.queues.get_mut(port))
            && !queue.blocked.is_empty()
            && port.link.can_transmit()
        {
            return core::mem::take(&mut queue.blocked);
        }
        Vec::new()
    }
}

impl Net {
    fn maintain(&mut self) {
        let now_ns = self.now_ns;
        for n in 1..self.interfaces.len() {
            for _ in 0..ROUNDS {
                if self.interfaces.get(n).is_none_or(|i| i.due_ns > now_ns) {
                    break;
                }
                if let Some(i) = self.interfaces.get_mut(n) {
                    i.due_ns = u64::MAX;
                }
                let at_ns = self.run_configuration(n).unwrap_or(u64::MAX);
                if let Some(i) = self.interfaces.get_mut(n) {
                    i.due_ns = i.due_ns.min(at_ns);
                }
            }
            self.run_neighbors(n);
        }
        if self.redirects.expire(now_ns) {
            self.routes.generation = self.routes.generation.wrapping_add(1);
        }
        let fragments = self.reassembly.next_ns();
        if fragments.is_some_and(|at_ns| at_ns <= now_ns) {
            self.expire_fragments();
        }
    }

    /// Retransmits solicitations, and fails neighbors that don't reply.
    #[cold]
    fn run_neighbors(&mut self, interface: usize) {
        let now_ns = self.now_ns;
        let mut lost = Vec::new();
        let Some(i) = self.interfaces.get_mut(interface) else {
            return;
        };
        let solicitations = i.neighbors.run(now_ns, &mut lost);
        if i.neighbors.changed {
            // An unreachable gateway is avoided if there is another one (RFC 4861, 6.3.6).
            self.routes.generation = self.routes.generation.wrapping_add(1);
        }
        for solicitation in solicitations {
            self.solicit_neighbor(interface, solicitation.address, solicitation.mac);
        }
        for packet in lost {
            self.drops.count(DropReason::NeighborGone);
            self.undeliverable(interface, &packet);
        }
    }

    /// The sockets that wait for a neighbor of an interface, if a neighbor has changed since the
    /// last call, or if there are more than `most`, so that many may be closed. Sockets that still
    /// have to wait are listed again.
    pub(crate) fn take_resolved(&mut self, interface: usize, most: usize) -> Vec<Handle> {
        if let Some(interface) = self.interfaces.get_mut(interface)
            && (core::mem::take(&mut interface.neighbors.changed) || interface.waiting.len() > most)
        {
            return core::mem::take(&mut interface.waiting);
        }
        Vec::new()
    }

    /// Addresses that this host has lost since the last call: connections from them end.
    pub(crate) fn take_lost(&mut self) -> Vec<IpAddr> {
        core::mem::take(&mut self.lost)
    }

    /// Locally detected errors, reported to sockets like ICMP errors: neighbors that don't reply.
    pub(crate) fn take_errors(&mut self) -> Vec<IcmpError> {
        core::mem::take(&mut self.errors)
    }
}
