//! What the stack calls: frames in, timers, and the end of a round.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::{Input, Ip, Net};
use crate::Handle;
use crate::link::RxMeta;

impl Ip {
    /// Sets the clock; it never goes back.
    pub(crate) fn set_now(&mut self, now_ns: u64) {
        self.net.now_ns = self.net.now_ns.max(now_ns);
    }

    /// Receives up to `budget` frames of a port, and gives `f` what is for sockets. Gives their
    /// number; `budget` means that there may be more.
    pub(crate) fn receive(
        &mut self,
        port: usize,
        budget: usize,
        f: &mut dyn FnMut(&mut Net, Input<'_>),
    ) -> usize {
        for count in 0..budget {
            // Answers that wait for room come first, lest the next ones have no place.
            if !self.drain(port) {
                return 0;
            }
            let Ip { ports, net } = self;
            let Some(port) = ports.get_mut(port) else {
                return 0;
            };
            let received = port.link.receive(&mut |frame, meta| {
                let input = net.input(0, frame, meta);
                f(net, input);
            });
            if !received {
                return count;
            }
        }
        self.drain(port);
        budget
    }

    /// Runs the timers that are due: neighbours, addresses, leases, groups, fragments. Gives the time
    /// of the next one.
    pub(crate) fn maintain(&mut self) -> Option<u64> {
        None
    }

    /// Tells the links about what was queued. Tells whether something waits for room.
    pub(crate) fn flush(&mut self) -> bool {
        let mut blocked = false;
        for (port, queue) in self.ports.iter_mut().zip(&mut self.net.queues) {
            if core::mem::take(&mut queue.dirty) {
                port.link.flush();
            }
            blocked |= !queue.is_empty() || !queue.blocked.is_empty();
        }
        blocked
    }

    /// The sockets that waited for room in a port that has some now.
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
    /// Handles a frame of a port: what is for sockets is given back, the rest is done here.
    pub(crate) fn input<'a>(
        &mut self,
        _port: usize,
        _frame: &'a mut [u8],
        _meta: RxMeta,
    ) -> Input<'a> {
        Input::Done
    }

    /// Handles a packet that was put together from fragments.
    pub(crate) fn input_whole<'a>(&mut self, _interface: usize, _packet: &'a [u8]) -> Input<'a> {
        Input::Done
    }

    /// The sockets that wait for a neighbour of an interface, if there was news about one since the
    /// last call. Those that still have to wait put themselves on the list again.
    pub(crate) fn take_resolved(&mut self, interface: usize) -> Vec<Handle> {
        if let Some(interface) = self.interfaces.get_mut(interface)
            && core::mem::take(&mut interface.neighbors.news)
        {
            return core::mem::take(&mut interface.waiting);
        }
        Vec::new()
    }

    /// Addresses that this machine has lost since the last call: connections from them are over.
    pub(crate) fn take_lost(&mut self) -> Vec<IpAddr> {
        Vec::new()
    }
}
