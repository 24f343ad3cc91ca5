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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::{Input, Net};

    /// Sockets of UDP with these ports.
    struct Ports(&'static [u16]);

    impl Sockets for Ports {
        fn input(&mut self, _: &mut Net, _: Input<'_>) {}

        fn has_udp_port(&self, port: u16) -> bool {
            self.0.contains(&port)
        }
    }

    const FULL: u64 = 7_000_000_000;

    fn ethernet(ethertype: u16, packet: &[u8]) -> Vec<u8> {
        [&[0; 12], &ethertype.to_be_bytes()[..], packet].concat()
    }

    /// An IPv4 packet with `words` of header and of options, and its third pair of bytes.
    fn v4(words: usize, fragment: u16, protocol: u8, transport: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; words * 4];
        packet[0] = 0x40 | words as u8;
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = protocol;
        ethernet(ETHERTYPE_IPV4, &[&packet, transport].concat())
    }

    fn v6(next: u8, transport: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        packet[6] = next;
        ethernet(ETHERTYPE_IPV6, &[&packet, transport].concat())
    }

    fn tcp(flags: u8) -> Vec<u8> {
        let mut header = vec![0; 20];
        header[13] = flags;
        header
    }

    fn udp(port: u16) -> Vec<u8> {
        let [a, b] = port.to_be_bytes();
        vec![0x30, 0x39, a, b, 0, 8, 0, 0]
    }

    #[test]
    fn frames_are_told_by_their_first_bytes() {
        for words in [5, 6, 15] {
            let port = 53 + words as u16;
            let datagram = Some(Kind::Datagram(port));
            assert_eq!(kind(&v4(words, 0, UDP, &udp(port))), datagram);
            assert_eq!(kind(&v4(words, 0, TCP, &tcp(SYN))), Some(Kind::Syn));
            assert_eq!(kind(&v4(words, 0, TCP, &tcp(0x10))), Some(Kind::Other));
        }
        assert_eq!(kind(&v6(UDP, &udp(53))), Some(Kind::Datagram(53)));
        // What else a SYN may ask for (RFC 3168, 6.1.1) makes it no other; what it comes with does.
        for (flags, is) in [
            (0xc2, Kind::Syn),
            (0x0a, Kind::Syn),
            (0x12, Kind::Other),
            (0x03, Kind::Other),
            (0x06, Kind::Other),
            (0x00, Kind::Other),
        ] {
            assert_eq!(kind(&v4(5, 0, TCP, &tcp(flags))), Some(is));
            assert_eq!(kind(&v6(TCP, &tcp(flags))), Some(is));
        }
        // RFC 791, 3.1: more of them, or an offset; "don't fragment" and the reserved bit are neither.
        for (fragment, is) in [
            (0x2000, Kind::Fragment),
            (0x0001, Kind::Fragment),
            (0x1000, Kind::Fragment),
            (0x4000, Kind::Datagram(53)),
            (0x8000, Kind::Datagram(53)),
        ] {
            assert_eq!(kind(&v4(5, fragment, UDP, &udp(53))), Some(is));
        }
        assert_eq!(kind(&v6(FRAGMENT, &[0; 8])), Some(Kind::Fragment));
        assert_eq!(kind(&v4(5, 0, FRAGMENT, &[0; 8])), Some(Kind::Other));
        assert_eq!(kind(&v4(5, 0, 1, &[0; 8])), Some(Kind::Other));
        assert_eq!(kind(&ethernet(0x0806, &[0; 28])), Some(Kind::Other));
    }

    #[test]
    fn tagged_frames_and_short_ones() {
        let mut tagged = v4(5, 0, UDP, &udp(53));
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
        assert_eq!(kind(&tagged), Some(Kind::Datagram(53)));
        let frame = v4(5, 0, TCP, &tcp(SYN));
        for len in 0..14 + 20 + 14 {
            assert_eq!(kind(&frame[..len]), None, "{len}");
        }
        assert_eq!(kind(&frame[..14 + 20 + 14]), Some(Kind::Syn));
    }

    /// With a queue that was found full for long enough, at [`FULL`].
    fn shedding(cookies: bool) -> Overload {
        let mut overload = Overload::default();
        overload.begin(FULL - PATIENCE_NS, cookies);
        overload.end(true);
        overload.begin(FULL, cookies);
        overload.end(true);
        overload.begin_link();
        overload
    }

    /// Of a hundred such frames those that are shed.
    fn shed(overload: &mut Overload, frame: &[u8]) -> usize {
        (0..100)
            .filter(|_| overload.sheds(frame, &Ports(&[53])))
            .count()
    }

    #[test]
    fn some_of_each_kind_are_served_on_each_link() {
        let mut overload = shedding(true);
        let kinds = [
            v4(5, 0, TCP, &tcp(SYN)),
            v4(5, 0x2000, UDP, &[0; 8]),
            v4(5, 0, UDP, &udp(54)),
        ];
        for _ in 0..2 {
            for frame in &kinds {
                assert_eq!(shed(&mut overload, frame), 92);
                assert_eq!(shed(&mut overload, frame), 100);
            }
            overload.begin_link();
        }
        for port in [53, 68, 546] {
            let frame = v4(5, 0, UDP, &udp(port));
            assert_eq!(shed(&mut overload, &frame), 0, "port {port}");
        }
        assert_eq!(shed(&mut overload, &v4(5, 0, TCP, &tcp(0x10))), 0);
        // SYNs that are remembered aren't shed, other frames are.
        let mut overload = shedding(false);
        assert_eq!(shed(&mut overload, &kinds[0]), 0);
        assert_eq!(shed(&mut overload, &kinds[1]), 92);
    }

    #[test]
    fn a_queue_has_to_be_full_for_long() {
        let frame = v4(5, 0x2000, UDP, &[0; 8]);
        let mut overload = Overload::default();
        let mut poll = |now_ns, full| {
            overload.begin(now_ns, true);
            overload.begin_link();
            let shed = shed(&mut overload, &frame);
            overload.end(full);
            shed
        };
        let begun_ns = 3_000_000_000;
        assert_eq!(poll(begun_ns, true), 0);
        assert_eq!(poll(begun_ns + PATIENCE_NS - 1, true), 0);
        assert_eq!(poll(begun_ns + PATIENCE_NS - 1, false), 0);
        // Empty once: from the start again.
        let begun_ns = begun_ns + PATIENCE_NS;
        assert_eq!(poll(begun_ns, true), 0);
        assert_eq!(poll(begun_ns + PATIENCE_NS - 1, true), 0);
        assert_eq!(poll(begun_ns + PATIENCE_NS, true), 0);
        let until_ns = begun_ns + PATIENCE_NS + HOLD_NS;
        assert_eq!(poll(until_ns - 1, false), 92);
        assert_eq!(poll(until_ns, false), 0);
    }

    #[test]
    fn shedding_goes_on_while_much_is_shed() {
        let frame = v4(5, 0x2000, UDP, &[0; 8]);
        let until_ns = FULL + HOLD_NS;
        for (many, later_ns, goes_on) in [
            (MANY, 0, true),
            (MANY + 1, HOLD_NS - 1, true),
            (MANY, HOLD_NS, false),
            (MANY - 1, 0, false),
        ] {
            let mut overload = shedding(true);
            for _ in 0..many + SERVED {
                overload.sheds(&frame, &Ports(&[]));
            }
            let now_ns = until_ns + later_ns;
            for (at_ns, goes_on) in [
                (now_ns, goes_on),
                (now_ns + HOLD_NS - 1, goes_on),
                // What was shed before doesn't count twice.
                (now_ns + HOLD_NS, false),
            ] {
                overload.begin(at_ns, true);
                overload.begin_link();
                let served = (0..SERVED).any(|_| overload.sheds(&frame, &Ports(&[])));
                let shed = overload.sheds(&frame, &Ports(&[]));
                assert_eq!((served, shed), (false, goes_on), "{many} {later_ns}");
            }
        }
    }
}
