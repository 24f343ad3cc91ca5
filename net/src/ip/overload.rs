//! Receive livelock (Mogul and Ramakrishnan, 1997): frames arrive faster than the stack can handle
//! them. The device's full queue then loses the frames that matter, and the program gets no CPU
//! time.
//!
//! When no poll has found a link's queue empty for [`MIN_BUSY_NS`], the stack sheds frames that a
//! sender needs no local state for, by their first bytes and before they cost anything: SYNs while
//! they are answered by cookies, fragments, and datagrams to unbound ports. It still serves a few
//! per poll, so that honest new clients get in and senders learn that a port is closed. It never
//! sheds segments of connections or unfragmented datagrams for local sockets.
//!
//! SYN-ACKs cost more than any other reply to an unknown peer. If the device delivers no more
//! frames than the stack handles, its queue repeatedly becomes empty, although frames are lost
//! before it. The stack therefore limits cookies by idle time: fewer while the machine is hardly
//! idle, and more while it is ([`Cookies`]). Half of the burst is reserved for SYNs that were shed
//! before ([`ShedSyns`]).

mod shed_syns;

use super::UpperLayer;
use super::configuration::{DHCP_PORTS, DHCP6_PORTS};
use super::wire::header::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, TCP, UDP};
use crate::types::be16;
use shed_syns::ShedSyns;

/// Time for which the queue must stay full. A burst of honest clients is over by then.
const MIN_BUSY_NS: u64 = 50_000_000;
/// Duration of shedding, and the number of shed frames in that time that prolongs it by as much. A
/// peer that sends datagrams in some tens of fragments stays below it.
const HOLD_NS: u64 = 100_000_000;
const MANY: u32 = 512;
/// Frames per class, link and poll that are served although they could be shed.
const SERVED: u32 = 8;
/// Fraction of a handled frame that a shed frame takes from the budget of a poll.
pub(super) const SHED_COST: usize = 1;
pub(super) const FRAME_COST: usize = 16;
/// Bytes after which a large frame counts once more. A poll of 64 frames then takes at most half a
/// MiB, which the program reads while it is in the processor's cache.
pub(super) const FRAME_BYTES: usize = 8192;

/// Window over which idle time is summed.
const WINDOW_NS: u64 = 50_000_000;
/// Minimum idle fraction of the window for more cookies.
const IDLE: u64 = 4;
/// Minimum and maximum interval between two cookies.
const MIN_INTERVAL_NS: u64 = 1_000;
const MAX_INTERVAL_NS: u64 = 1_000_000;
/// Maximum credit of unused cookies, as the time in which they accrue.
const BURST_NS: u64 = 20_000_000;

/// IPv6's next header for fragments (RFC 8200, 4.5).
const FRAGMENT: u8 = 44;
const FIN_SYN_RST_ACK: u8 = 0x17;
const SYN: u8 = 0x02;

/// Rate limit of SYN-ACKs for handshakes that aren't stored.
#[derive(Debug)]
struct Cookies {
    /// Interval between two cookies.
    interval_ns: u64,
    /// Credit: time without cookies.
    credit_ns: u64,
    /// When credit was last added.
    credited_ns: u64,
    /// The window: its start and its idle time. `None` until a caller reports idle time: then there
    /// is no limit.
    started_ns: u64,
    idle_ns: Option<u64>,
}

impl Default for Cookies {
    fn default() -> Self {
        Self {
            interval_ns: MIN_INTERVAL_NS,
            credit_ns: BURST_NS,
            credited_ns: 0,
            started_ns: 0,
            idle_ns: None,
        }
    }
}

impl Cookies {
    fn begin(&mut self, now_ns: u64) {
        let since_ns = now_ns.saturating_sub(self.credited_ns);
        self.credit_ns = self.credit_ns.saturating_add(since_ns).min(BURST_NS);
        self.credited_ns = now_ns;
        let window_ns = now_ns.saturating_sub(self.started_ns);
        let Some(idle_ns) = &mut self.idle_ns else {
            return;
        };
        if window_ns < WINDOW_NS {
            return;
        }
        let is_busy = core::mem::take(idle_ns).saturating_mul(IDLE) < window_ns;
        let interval_ns = match is_busy {
            true => self.interval_ns * 2,
            false => self.interval_ns - self.interval_ns / 8,
        };
        self.interval_ns = interval_ns.clamp(MIN_INTERVAL_NS, MAX_INTERVAL_NS);
        self.started_ns = now_ns;
    }

    /// Spends the credit of one cookie, if at least `least_ns` remain afterwards; returns whether
    /// it did.
    fn take(&mut self, least_ns: u64) -> bool {
        if self.idle_ns.is_none() {
            return true;
        }
        let left_ns = self.credit_ns.checked_sub(self.interval_ns);
        let left_ns = left_ns.filter(|left_ns| *left_ns >= least_ns);
        self.credit_ns = left_ns.unwrap_or(self.credit_ns);
        left_ns.is_some()
    }
}

/// State of load shedding.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    /// Time of the first of consecutive polls that left frames in a queue.
    full_since_ns: Option<u64>,
    /// End of shedding.
    until_ns: u64,
    now_ns: u64,
    /// SYNs are answered with cookies: new handshakes aren't stored.
    cookies: bool,
    limit: Cookies,
    shed_syns: ShedSyns,
    /// Remaining SYNs, fragments, and datagrams to closed ports to serve.
    syns: u32,
    fragments: u32,
    datagrams: u32,
    /// Frames shed in the period that ends at `until_ns`.
    shed: u32,
}

/// Class of a frame, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrameClass {
    /// A segment that opens a connection.
    Syn,
    /// A fragment.
    Fragment,
    /// An unfragmented datagram to this port.
    Datagram(u16),
    Other,
}

impl Overload {
    /// Call this at the start of a poll.
    pub(crate) fn begin(&mut self, now_ns: u64, cookies: bool) {
        self.now_ns = now_ns;
        self.cookies = cookies;
        self.limit.begin(now_ns);
        self.shed_syns.begin(now_ns);
        if now_ns >= self.until_ns {
            let shed = core::mem::take(&mut self.shed);
            if shed >= MANY && now_ns - self.until_ns < HOLD_NS {
                self.until_ns = now_ns + HOLD_NS;
            }
        }
    }

    /// Adds idle time.
    pub(crate) fn note_idle(&mut self, idle_ns: u64) {
        let known = self.limit.idle_ns.get_or_insert(0);
        *known = known.saturating_add(idle_ns);
    }

    /// Call this before receiving from a link.
    pub(super) fn begin_link(&mut self) {
        (self.syns, self.fragments, self.datagrams) = (SERVED, SERVED, SERVED);
    }

    /// Call this after receiving; `full`: the poll left frames in the queue of a link other than
    /// the loopback.
    pub(crate) fn end(&mut self, full: bool) {
        if !full {
            self.full_since_ns = None;
            return;
        }
        let since_ns = *self.full_since_ns.get_or_insert(self.now_ns);
        if self.now_ns.saturating_sub(since_ns) >= MIN_BUSY_NS {
            self.until_ns = self.now_ns + HOLD_NS;
        }
    }

    /// Whether to drop this frame at once.
    pub(super) fn should_shed(&mut self, frame: &[u8], sockets: &dyn UpperLayer) -> bool {
        let is_full = self.now_ns < self.until_ns;
        if !is_full && !self.cookies {
            return false;
        }
        let kind = kind(frame);
        let is_shed = match kind {
            Some(FrameClass::Syn) if self.cookies => !self.admits_syn(frame, is_full),
            Some(FrameClass::Fragment) if is_full => !take(&mut self.fragments),
            Some(FrameClass::Datagram(port)) if is_full && is_closed(port, sockets) => {
                !take(&mut self.datagrams)
            }
            _ => false,
        };
        if is_shed {
            self.shed = self.shed.saturating_add(u32::from(is_full));
            if kind == Some(FrameClass::Syn) {
                self.shed_syns.add(frame, self.now_ns);
            }
        }
        is_shed
    }

    /// Whether to answer a SYN with a cookie.
    fn admits_syn(&mut self, frame: &[u8], is_full: bool) -> bool {
        if self.shed_syns.contains(frame) {
            return self.limit.take(0);
        }
        (!is_full || take(&mut self.syns)) && self.limit.take(BURST_NS / 2)
    }
}

/// Takes one from the allowance, if any is left.
fn take(left: &mut u32) -> bool {
    let taken = left.checked_sub(1);
    *left = taken.unwrap_or(0);
    taken.is_some()
}

/// Whether no socket receives datagrams to this port.
fn is_closed(port: u16, sockets: &dyn UpperLayer) -> bool {
    ![DHCP_PORTS.1, DHCP6_PORTS.1].contains(&port) && !sockets.has_udp_port(port)
}

/// Returns the class of a frame; `None` if the frame is truncated.
fn kind(frame: &[u8]) -> Option<FrameClass> {
    let (mut ethertype, mut ip) = (be16(frame, 12)?, 14);
    if ethertype == ETHERTYPE_VLAN {
        (ethertype, ip) = (be16(frame, 16)?, 18);
    }
    let packet = frame.get(ip..)?;
    let (protocol, transport) = match ethertype {
        ETHERTYPE_IPV4 if be16(packet, 6)? & 0x3fff != 0 => return Some(FrameClass::Fragment),
        ETHERTYPE_IPV4 => (*packet.get(9)?, usize::from(packet.first()? & 15) * 4),
        ETHERTYPE_IPV6 => (*packet.get(6)?, 40),
        _ => return Some(FrameClass::Other),
    };
    Some(match protocol {
        TCP if packet.get(transport + 13)? & FIN_SYN_RST_ACK == SYN => FrameClass::Syn,
        UDP => FrameClass::Datagram(be16(packet, transport + 2)?),
        FRAGMENT if ethertype == ETHERTYPE_IPV6 => FrameClass::Fragment,
        _ => FrameClass::Other,
    })
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::ip::{Input, Net};

    /// UDP sockets with these ports.
    struct Ports(&'static [u16]);

    impl UpperLayer for Ports {
        fn input(&mut self, _: &mut Net, _: Input<'_>) {}

        fn has_udp_port(&self, port: u16) -> bool {
            self.0.contains(&port)
        }
    }

    const FULL: u64 = 7_000_000_000;

    fn ethernet(ethertype: u16, packet: &[u8]) -> Vec<u8> {
        [&[0; 12], &ethertype.to_be_bytes()[..], packet].concat()
    }

    /// An IPv4 packet with `words` of header and options, and this fragment field.
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
    fn frames_are_classified_by_their_first_bytes() {
        for words in [5, 6, 15] {
            let port = 53 + words as u16;
            let datagram = Some(FrameClass::Datagram(port));
            assert_eq!(kind(&v4(words, 0, UDP, &udp(port))), datagram);
            assert_eq!(kind(&v4(words, 0, TCP, &tcp(SYN))), Some(FrameClass::Syn));
            assert_eq!(
                kind(&v4(words, 0, TCP, &tcp(0x10))),
                Some(FrameClass::Other)
            );
        }
        assert_eq!(kind(&v6(UDP, &udp(53))), Some(FrameClass::Datagram(53)));
        // Options that a SYN requests (RFC 3168, 6.1.1) don't change its class; other flags do.
        for (flags, is) in [
            (0xc2, FrameClass::Syn),
            (0x0a, FrameClass::Syn),
            (0x12, FrameClass::Other),
            (0x03, FrameClass::Other),
            (0x06, FrameClass::Other),
            (0x00, FrameClass::Other),
        ] {
            assert_eq!(kind(&v4(5, 0, TCP, &tcp(flags))), Some(is));
            assert_eq!(kind(&v6(TCP, &tcp(flags))), Some(is));
        }
        // RFC 791, 3.1: more fragments, or an offset; neither "don't fragment" nor the reserved
        // bit.
        for (fragment, is) in [
            (0x2000, FrameClass::Fragment),
            (0x0001, FrameClass::Fragment),
            (0x1000, FrameClass::Fragment),
            (0x4000, FrameClass::Datagram(53)),
            (0x8000, FrameClass::Datagram(53)),
        ] {
            assert_eq!(kind(&v4(5, fragment, UDP, &udp(53))), Some(is));
        }
        assert_eq!(kind(&v6(FRAGMENT, &[0; 8])), Some(FrameClass::Fragment));
        assert_eq!(kind(&v4(5, 0, FRAGMENT, &[0; 8])), Some(FrameClass::Other));
        assert_eq!(kind(&v4(5, 0, 1, &[0; 8])), Some(FrameClass::Other));
        assert_eq!(kind(&ethernet(0x0806, &[0; 28])), Some(FrameClass::Other));
    }

    #[test]
    fn tagged_frames_and_short_ones() {
        let mut tagged = v4(5, 0, UDP, &udp(53));
        tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
        assert_eq!(kind(&tagged), Some(FrameClass::Datagram(53)));
        let frame = v4(5, 0, TCP, &tcp(SYN));
        for len in 0..14 + 20 + 14 {
            assert_eq!(kind(&frame[..len]), None, "{len}");
        }
        assert_eq!(kind(&frame[..14 + 20 + 14]), Some(FrameClass::Syn));
    }

    /// With a queue that was full for long enough, at [`FULL`].
    fn shedding(cookies: bool) -> Overload {
        let mut overload = Overload::default();
        overload.begin(FULL - MIN_BUSY_NS, cookies);
        overload.end(true);
        overload.begin(FULL, cookies);
        overload.end(true);
        overload.begin_link();
        overload
    }

    /// Of a hundred such frames, each from an address of its own, the number shed.
    fn shed(overload: &mut Overload, frame: &[u8]) -> usize {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut frame = frame.to_vec();
        (0..100)
            .filter(|_| {
                let address = NEXT.fetch_add(1, Ordering::Relaxed);
                frame[26..30].copy_from_slice(&address.to_be_bytes());
                overload.should_shed(&frame, &Ports(&[53]))
            })
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
        // SYNs are shed only once cookies are in use; other frames in any case.
        let mut overload = shedding(false);
        assert_eq!(shed(&mut overload, &kinds[0]), 0);
        assert_eq!(shed(&mut overload, &kinds[1]), 92);
    }

    /// Number of SYNs answered in a second of polls, one per millisecond, each with 100 SYNs and
    /// after `idle_ns` of idle time.
    fn answered(overload: &mut Overload, from_ns: u64, idle_ns: Option<u64>) -> usize {
        let frame = v4(5, 0, TCP, &tcp(SYN));
        let mut answered = 0;
        for turn in 0..1000 {
            if let Some(idle_ns) = idle_ns {
                overload.note_idle(idle_ns);
            }
            overload.begin(from_ns + turn * 1_000_000, true);
            overload.begin_link();
            answered += 100 - shed(overload, &frame);
            overload.end(false);
        }
        answered
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn cookies_become_few_where_they_leave_no_time() {
        let mut overload = Overload::default();
        // Idle time isn't reported: no limit.
        assert_eq!(answered(&mut overload, SECOND, None), 100_000);
        answered(&mut overload, 2 * SECOND, Some(100_000));
        let least = answered(&mut overload, 3 * SECOND, Some(100_000));
        assert!((990..=1020).contains(&least), "{least}");
        // A quarter of the time is enough for more.
        answered(&mut overload, 4 * SECOND, Some(250_000));
        let more = answered(&mut overload, 5 * SECOND, Some(250_000));
        assert!(more > 20 * least, "{more}");
        // And back.
        answered(&mut overload, 6 * SECOND, Some(0));
        assert!(answered(&mut overload, 7 * SECOND, Some(0)) <= 1020);
    }

    /// Number of answered SYNs of 100, from as many ports from this one on.
    fn answered_from(overload: &mut Overload, first: u16) -> usize {
        let frames = (first..first + 100).map(|port| {
            let mut header = tcp(SYN);
            header[..2].copy_from_slice(&port.to_be_bytes());
            v4(5, 0, TCP, &header)
        });
        frames
            .filter(|frame| !overload.should_shed(frame, &Ports(&[])))
            .count()
    }

    #[test]
    fn syns_that_come_again_have_cookies_of_their_own() {
        let mut overload = Overload::default();
        overload.note_idle(0);
        overload.limit.interval_ns = MAX_INTERVAL_NS;
        let later_ns = 5 * SECOND;
        overload.begin(later_ns, true);
        overload.begin_link();
        assert_eq!(answered_from(&mut overload, 1000), 10);
        assert_eq!(answered_from(&mut overload, 2000), 0);
        assert_eq!(answered_from(&mut overload, 1000), 10);
        overload.begin(later_ns + SECOND, true);
        overload.begin_link();
        assert_eq!(answered_from(&mut overload, 3000), 10);
        assert_eq!(answered_from(&mut overload, 2000), 10);
        // A queue that is also full.
        let mut overload = shedding(true);
        assert_eq!(answered_from(&mut overload, 1000), SERVED as usize);
        assert_eq!(answered_from(&mut overload, 1000), 92);
    }

    #[test]
    fn only_what_cookies_answer_is_limited() {
        let mut overload = Overload::default();
        for second in 1..4 {
            answered(&mut overload, second * SECOND, Some(0));
        }
        overload.begin(4 * SECOND, true);
        let other = [
            v4(5, 0, TCP, &tcp(0x10)),
            v4(5, 0x2000, UDP, &[0; 8]),
            v4(5, 0, UDP, &udp(54)),
        ];
        for frame in &other {
            assert_eq!(shed(&mut overload, frame), 0);
        }
        // Cookies are off.
        overload.begin(4 * SECOND, false);
        assert_eq!(shed(&mut overload, &v4(5, 0, TCP, &tcp(SYN))), 0);
    }

    #[test]
    fn unused_cookies_are_not_saved_for_long() {
        let mut overload = Overload::default();
        for second in 1..4 {
            answered(&mut overload, second * SECOND, Some(0));
        }
        overload.begin(100 * SECOND, true);
        let frame = v4(5, 0, TCP, &tcp(SYN));
        assert_eq!(100 - shed(&mut overload, &frame), 10);
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
        assert_eq!(poll(begun_ns + MIN_BUSY_NS - 1, true), 0);
        assert_eq!(poll(begun_ns + MIN_BUSY_NS - 1, false), 0);
        // Empty once: the time starts again.
        let begun_ns = begun_ns + MIN_BUSY_NS;
        assert_eq!(poll(begun_ns, true), 0);
        assert_eq!(poll(begun_ns + MIN_BUSY_NS - 1, true), 0);
        assert_eq!(poll(begun_ns + MIN_BUSY_NS, true), 0);
        let until_ns = begun_ns + MIN_BUSY_NS + HOLD_NS;
        assert_eq!(poll(until_ns - 1, false), 92);
        assert_eq!(poll(until_ns, false), 0);
    }

    #[test]
    fn shedding_continues_while_much_is_shed() {
        let frame = v4(5, 0x2000, UDP, &[0; 8]);
        let until_ns = FULL + HOLD_NS;
        for (many, later_ns, still_sheds) in [
            (MANY, 0, true),
            (MANY + 1, HOLD_NS - 1, true),
            (MANY, HOLD_NS, false),
            (MANY - 1, 0, false),
        ] {
            let mut overload = shedding(true);
            for _ in 0..many + SERVED {
                overload.should_shed(&frame, &Ports(&[]));
            }
            let now_ns = until_ns + later_ns;
            for (at_ns, still_sheds) in [
                (now_ns, still_sheds),
                (now_ns + HOLD_NS - 1, still_sheds),
                // Frames shed earlier don't count twice.
                (now_ns + HOLD_NS, false),
            ] {
                overload.begin(at_ns, true);
                overload.begin_link();
                let served = (0..SERVED).any(|_| overload.should_shed(&frame, &Ports(&[])));
                let shed = overload.should_shed(&frame, &Ports(&[]));
                assert_eq!((served, shed), (false, still_sheds), "{many} {later_ns}");
            }
        }
    }
}
