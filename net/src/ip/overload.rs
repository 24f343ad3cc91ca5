//! Receive livelock (Mogul and Ramakrishnan, 1997): frames come faster than they can be handled, so that the ones that
//! count are lost in the device's full queue, and the program gets no turn.
//!
//! When no poll has found a link's queue empty for [`PATIENCE_NS`], what needs no state of ours to be sent is shed by
//! its first bytes, before it costs anything: SYNs while cookies answer them, fragments, and datagrams to ports that no
//! socket has. A few of each poll are still served, so that honest newcomers get in and senders learn that a port is
//! closed. Segments of connections and whole datagrams for sockets are never shed here.

use super::Sockets;
use super::configure::{DHCP_PORTS, DHCP6_PORTS};
use super::header::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, TCP, UDP, be16};

/// How long the queue has to be full. A burst of honest clients is over by then.
const PATIENCE_NS: u64 = 50_000_000;
/// How long shedding goes on, and how many frames it has to shed in that time to go on for as long again. A peer that
/// sends datagrams in some tens of fragments stays below that.
const HOLD_NS: u64 = 100_000_000;
const MANY: u32 = 512;
/// What may be shed and is served all the same, of each kind, from one link in one poll.
const SERVED: u32 = 8;
/// A shed frame counts for this part of a handled one in the budget of a poll.
pub(super) const SHED_COST: usize = 1;
pub(super) const FRAME_COST: usize = 16;
/// A large frame counts once more for each of so many bytes. A poll of 64 frames then takes half a
/// MiB at most: the program reads that while it is in the processor's cache.
pub(super) const FRAME_BYTES: usize = 8192;

/// IPv6's next header for fragments (RFC 8200, 4.5).
const FRAGMENT: u8 = 44;
const FIN_SYN_RST_ACK: u8 = 0x17;
const SYN: u8 = 0x02;

/// Whether frames are shed now.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    /// The first of the polls in a row that left frames in a queue.
    full_since_ns: Option<u64>,
    /// Shedding goes on until then.
    until_ns: u64,
    now_ns: u64,
    /// SYNs are answered with cookies: none of those to come is remembered.
    cookies: bool,
    /// How many SYNs, fragments, and datagrams to closed ports may still be served.
    syns: u32,
    fragments: u32,
    datagrams: u32,
    /// Frames that were shed in the time that `until_ns` ends.
    shed: u32,
}

/// What the first bytes of a frame tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A segment that begins a connection.
    Syn,
    /// A part of a packet.
    Fragment,
    /// A whole datagram to this port.
    Datagram(u16),
    Other,
}

impl Overload {
    /// To be called at the start of a poll.
    pub(crate) fn begin(&mut self, now_ns: u64, cookies: bool) {
        self.now_ns = now_ns;
        self.cookies = cookies;
        if now_ns >= self.until_ns {
            let shed = core::mem::take(&mut self.shed);
            if shed >= MANY && now_ns - self.until_ns < HOLD_NS {
                self.until_ns = now_ns + HOLD_NS;
            }
        }
    }

    /// To be called before a link is received from.
    pub(super) fn begin_link(&mut self) {
        (self.syns, self.fragments, self.datagrams) = (SERVED, SERVED, SERVED);
    }

    /// To be called when the poll has received; `full`: it left frames in the queue of a link, the loopback's apart.
    pub(crate) fn end(&mut self, full: bool) {
        if !full {
            self.full_since_ns = None;
            return;
        }
        let since_ns = *self.full_since_ns.get_or_insert(self.now_ns);
        if self.now_ns.saturating_sub(since_ns) >= PATIENCE_NS {
            self.until_ns = self.now_ns + HOLD_NS;
        }
    }

    /// Whether this frame is to be dropped at once.
    pub(super) fn sheds(&mut self, frame: &[u8], sockets: &dyn Sockets) -> bool {
        if self.now_ns >= self.until_ns {
            return false;
        }
        let served = match kind(frame) {
            Some(Kind::Syn) if self.cookies => &mut self.syns,
            Some(Kind::Fragment) => &mut self.fragments,
            Some(Kind::Datagram(port)) if is_closed(port, sockets) => &mut self.datagrams,
            _ => return false,
        };
        match served.checked_sub(1) {
            Some(left) => *served = left,
            None => {
                self.shed = self.shed.saturating_add(1);
                return true;
            }
        }
        false
    }
}

/// Whether nothing here takes datagrams to this port.
fn is_closed(port: u16, sockets: &dyn Sockets) -> bool {
    ![DHCP_PORTS.1, DHCP6_PORTS.1].contains(&port) && !sockets.has_udp_port(port)
}

/// What a frame is; `None`: it ends too early.
fn kind(frame: &[u8]) -> Option<Kind> {
    let (mut ethertype, mut ip) = (be16(frame, 12)?, 14);
    if ethertype == ETHERTYPE_VLAN {
        (ethertype, ip) = (be16(frame, 16)?, 18);
    }
    let packet = frame.get(ip..)?;
    let (protocol, transport) = match ethertype {
        ETHERTYPE_IPV4 if be16(packet, 6)? & 0x3fff != 0 => return Some(Kind::Fragment),
        ETHERTYPE_IPV4 => (*packet.get(9)?, usize::from(packet.first()? & 15) * 4),
        ETHERTYPE_IPV6 => (*packet.get(6)?, 40),
        _ => return Some(Kind::Other),
    };
    Some(match protocol {
        TCP if packet.get(transport + 13)? & FIN_SYN_RST_ACK == SYN => Kind::Syn,
        UDP => Kind::Datagram(be16(packet, transport + 2)?),
        FRAGMENT if ethertype == ETHERTYPE_IPV6 => Kind::Fragment,
        _ => Kind::Other,
    })
}
