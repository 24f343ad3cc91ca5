//! A connection's turn to send.

use crate::ip::{Ip, Outcome as Resolved};
use crate::tcp::connection::Phase;
use crate::tcp::counters::count;
use crate::tcp::frames::SegmentOutput;
use crate::tcp::machine::{Outcome, State};

use crate::sockets::{Socket, Sockets, Turn};
use crate::types::{Error, Handle};

/// Maximum number of segments that one connection sends in one turn.
const MAX_SEGMENTS_PER_TURN: usize = 16;
/// R1 (RFC 9293, 3.8.3, MUST-20, SHLD-10): consecutive timeouts after which the neighbor, perhaps a
/// gateway, may be unreachable.
const R1: u8 = 3;

impl Sockets {
    /// Sends a connection's pending output.
    pub(crate) fn send_connection(&mut self, ip: &mut Ip, handle: Handle) -> Turn {
        let now_ns = self.now_ns;
        let Some(Socket::Connection(connection)) = self.table.get_mut(handle) else {
            return Turn::Done(0);
        };
        let Some(machine) = connection.machine.as_mut().filter(|_| !connection.over) else {
            return Turn::Done(0);
        };
        if !machine.wants_output() {
            // Already sent, or later events made it unnecessary; waiting tasks still have to be
            // notified.
            self.update(handle);
            return Turn::Done(0);
        }
        self.work += 1;
        if machine.timeouts_in_row() >= R1 {
            ip.net.negative_advice(&connection.route);
        }
        let resolved = ip.net.next_mac(&mut connection.route);
        let last = machine.state() == State::Closed;
        if last && resolved == Err(Resolved::Unreachable) {
            machine.discard_reset();
            self.update(handle);
            return Turn::Done(0);
        }
        // An aborted connection doesn't wait for its neighbor: the IP layer queues its reset.
        if resolved.is_err() && !last {
            if connection.phase == Phase::Connecting && !connection.sent {
                if resolved == Err(Resolved::Unreachable) {
                    count(&mut self.tcp.counters.failed_connects);
                    self.fail(handle, Error::Unreachable);
                    return Turn::Done(0);
                }
                let until_ns = now_ns.saturating_add(self.config.neighbor_timeout_ns);
                connection.neighbor_ns.get_or_insert(until_ns);
            }
            ip.net
                .wait_for_neighbor(&connection.route, &mut connection.waiting, handle);
            self.update(handle);
            return Turn::Done(0);
        }
        let mut output = SegmentOutput {
            ip,
            mac: resolved.ok(),
            route: &mut connection.route,
            ports: (connection.local.port(), connection.remote.port()),
            header_fields: connection.header_fields,
            wait: last,
            sent: 0,
        };
        let outcome = machine.output(now_ns, MAX_SEGMENTS_PER_TURN, &mut output);
        let sent = output.sent;
        connection.waiting = false;
        if sent > 0 {
            connection.sent = true;
            connection.neighbor_ns = None;
        }
        if outcome == Outcome::Blocked {
            let flag = &mut connection.blocked;
            ip.net.wait_for_room(&connection.route, flag, handle);
        }
        let counter = &mut self.tcp.counters.segments_out;
        *counter = counter.wrapping_add(u64::from(sent));
        self.update(handle);
        match outcome {
            Outcome::Done => Turn::Done(sent),
            Outcome::More => Turn::More(sent),
            Outcome::Blocked => Turn::Blocked(sent),
        }
    }
}
