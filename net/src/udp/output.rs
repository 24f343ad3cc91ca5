//! Sending datagrams.

use alloc::collections::VecDeque;

use super::{Outgoing, Udp};
use crate::Handle;
use crate::ip::{Ip, Outcome, Packet, UDP};
use crate::shared::{Core, Socket, Turn, park};

/// Datagrams that one socket may send before it is the next one's turn.
const TURN: u32 = 16;

impl Core {
    /// Sends what is queued in a socket.
    pub(crate) fn send_datagrams(&mut self, ip: &mut Ip, handle: Handle) -> Turn {
        let Some(Socket::Udp(udp)) = self.sockets.get_mut(handle) else {
            return Turn::Done(0);
        };
        let (sent, full) = udp.turn(ip, handle);
        self.work += u64::from(sent);
        let wake = udp.wakes.write && udp.has_room();
        udp.wakes.write &= !wake;
        let over = udp.closing && udp.outgoing.is_empty();
        let more = !full && !udp.waiting && !udp.outgoing.is_empty();
        if over {
            self.sockets.remove(handle);
        } else if wake {
            self.tell(handle);
        }
        match (full, more) {
            (true, _) => Turn::Blocked(sent),
            (false, true) => Turn::More(sent),
            (false, false) => Turn::Done(sent),
        }
    }
}

impl Udp {
    /// Sends up to a turn's number of datagrams; gives their number, and whether the link is full.
    /// One whose neighbour isn't known is kept by the IP layer, and holds up nobody; one from an
    /// address that isn't known to be ours yet stays here, and is passed by others.
    fn turn(&mut self, ip: &mut Ip, handle: Handle) -> (u32, bool) {
        let mut sent = 0;
        let mut stay = VecDeque::new();
        let mut full = false;
        while sent < TURN
            && let Some(mut datagram) = self.outgoing.pop_front()
        {
            match self.send(ip, &mut datagram) {
                Outcome::Full => {
                    if let Some(list) = ip.net.blocked(&datagram.route) {
                        park(list, &mut self.blocked, handle);
                    }
                    stay.push_back(datagram);
                    full = true;
                    break;
                }
                Outcome::Resolving => {
                    if let Some(list) = ip.net.waiting(&datagram.route) {
                        park(list, &mut self.waiting, handle);
                    }
                    stay.push_back(datagram);
                    continue;
                }
                Outcome::Unreachable => {
                    self.error.get_or_insert(crate::Error::Unreachable);
                }
                Outcome::Sent | Outcome::TooLong => {}
            }
            sent += 1;
            self.outgoing_bytes -= datagram.data.len();
        }
        while let Some(datagram) = stay.pop_back() {
            self.outgoing.push_front(datagram);
        }
        (sent, full)
    }

    fn send(&self, ip: &mut Ip, datagram: &mut Outgoing) -> Outcome {
        let mut header = [0; 8];
        header[..2].copy_from_slice(&self.local.port().to_be_bytes());
        header[2..4].copy_from_slice(&datagram.remote.port().to_be_bytes());
        // The largest datagram fits the field; see `LARGEST_V6`.
        header[4..6].copy_from_slice(&((datagram.data.len() + 8) as u16).to_be_bytes());
        let payload = [datagram.data.as_slice()];
        let packet = Packet::new(&datagram.route, UDP, datagram.marking, &header, &payload);
        ip.send(&mut datagram.route, &packet)
    }
}
