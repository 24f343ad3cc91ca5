//! Path MTU discovery: by ICMP (RFC 1191, 8201), and without it by probes and by the loss of large
//! segments (RFC 4821, 8899).

use super::seq::Seq;

/// Interval between probes of a larger size (PMTU_RAISE_TIMER of RFC 8899, 5.1.1; RFC 1191, 6.3:
/// not sooner).
const PMTU_RAISE_NS: u64 = 600_000_000_000;
/// Consecutive timeouts after which the path counts as a black hole for large segments.
const BLACK_HOLE: u8 = 2;
/// Payloads assumed to pass: IPv6's minimum MTU, then that of today's IPv4 networks.
const BASES: [u16; 2] = [1220, 512];
/// The search ends at this distance.
const CLOSE: u16 = 32;
/// MTUs of old and new links (RFC 1191, 7.1), for routers that don't report theirs.
const PLATEAUS: [u32; 8] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 576];

/// Sizes are payloads without options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pmtu {
    /// The segment size in use.
    mss: u16,
    /// The most that both ends' links allow.
    most: u16,
    /// Upper bound of the search.
    upper: u16,
    least: u16,
    ip_header: u8,
    /// A probe larger than `mss`: its bytes, and its size.
    probe: Option<(Seq, Seq, u16)>,
    /// When to probe a larger size.
    try_ns: Option<u64>,
}

impl Pmtu {
    /// `most`: the maximum of both ends' links; `path`: the known limit of the path.
    pub(crate) fn new(most: u16, path: u16, ip_header: u8, now_ns: u64) -> Pmtu {
        let least = if ip_header > 20 { 1220 } else { 512 };
        let mss = most.min(path.max(least));
        Pmtu {
            mss,
            most,
            upper: most,
            least,
            ip_header,
            probe: None,
            try_ns: (mss < most).then(|| now_ns.saturating_add(PMTU_RAISE_NS)),
        }
    }

    /// Limits segments to `most` from now on.
    pub(crate) fn limit(&mut self, most: u16) {
        self.most = self.most.min(most);
        self.upper = self.upper.min(self.most);
        self.mss = self.mss.min(self.most);
        self.probe = self.probe.filter(|(_, _, size)| *size <= self.most);
    }

    /// Payload bytes of a full segment without options.
    pub(crate) fn mss(&self) -> u16 {
        self.mss
    }

    /// A router reports that the next link carries `mtu` bytes (0: unknown). Returns whether
    /// segments become smaller.
    pub(crate) fn too_big(&mut self, mtu: u32, now_ns: u64) -> bool {
        let headers = u32::from(self.ip_header) + 20;
        let now = u32::from(self.mss) + headers;
        let mtu = match mtu {
            0 => PLATEAUS
                .into_iter()
                .find(|plateau| *plateau < now)
                .unwrap_or(0),
            mtu => mtu,
        };
        // RFC 1191, 6.3 and 8201, 4: an ICMP error can neither force tiny segments nor enlarge
        // them.
        let mss = mtu.saturating_sub(headers).max(u32::from(self.least));
        if mss >= u32::from(self.mss) {
            return false;
        }
        self.mss = mss as u16;
        self.upper = self.mss;
        self.probe = None;
        self.try_ns = Some(now_ns.saturating_add(PMTU_RAISE_NS));
        true
    }

    /// The retransmission timer expired `timeouts` times in a row, with `largest` payload bytes in
    /// the retransmitted segment. Returns whether segments become smaller (RFC 8899, 4.3; RFC 4821,
    /// 7.7).
    pub(crate) fn timeout(&mut self, timeouts: u8, now_ns: u64) -> bool {
        self.probe = None;
        if timeouts < BLACK_HOLE {
            return false;
        }
        let base = BASES
            .into_iter()
            .find(|base| *base < self.mss && *base >= self.least.min(self.mss));
        let Some(base) = base else { return false };
        self.upper = self.mss - 1;
        self.mss = base;
        // Once the path works, sizes in between are probed soon.
        self.try_ns = Some(now_ns.saturating_add(PMTU_RAISE_NS / 60));
        true
    }

    /// Whether a larger size is to be tried.
    fn due(&self, now_ns: u64) -> bool {
        self.try_ns.is_some_and(|at| at <= now_ns)
    }

    /// The size to try now, if one is.
    pub(crate) fn wants_probe(&mut self, now_ns: u64) -> Option<u16> {
        if self.probe.is_some() || !self.due(now_ns) {
            return None;
        }
        if self.upper <= self.mss {
            // A size that failed long ago may pass now.
            self.upper = self.most;
        }
        if self.upper - self.mss <= CLOSE && self.upper != self.most {
            self.upper = self.mss;
            self.try_ns = Some(now_ns.saturating_add(PMTU_RAISE_NS));
            return None;
        }
        if self.most == self.mss {
            self.try_ns = None;
            return None;
        }
        let size = if self.upper == self.most {
            self.most
        } else {
            self.mss + (self.upper - self.mss).div_ceil(2)
        };
        Some(size)
    }

    /// The bytes of the probe in flight.
    pub(crate) fn probe(&self) -> Option<(Seq, Seq)> {
        self.probe.map(|(first, end, _)| (first, end))
    }

    /// A probe of that size was sent.
    pub(crate) fn probing(&mut self, first: Seq, end: Seq, size: u16) {
        self.probe = Some((first, end, size));
    }

    /// Everything up to `ack` was received.
    pub(crate) fn acknowledged(&mut self, ack: Seq, now_ns: u64) -> bool {
        match self.probe {
            Some((_, end, size)) if ack.at_least(end) => {
                self.probe = None;
                self.mss = size;
                self.upper = self.upper.max(size);
                self.try_ns = (size < self.most).then_some(now_ns);
                true
            }
            _ => false,
        }
    }

    /// `first..end` was lost. Returns whether that is the probe, whose loss isn't a sign of
    /// congestion (RFC 4821, 7.5).
    pub(crate) fn lost(&mut self, first: Seq, end: Seq, now_ns: u64) -> bool {
        match self.probe {
            Some((lower, upper, size)) if lower.at_most(first) && end.at_most(upper) => {
                self.probe = None;
                self.upper = size - 1;
                self.try_ns = Some(now_ns);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PMTU_RAISE_NS, Pmtu};
    use crate::tcp::machine::seq::Seq;

    /// RFC 1191, 6.3 and 7; RFC 8201, 4.
    #[test]
    fn routers_make_segments_smaller_never_larger_nor_tiny() {
        let mut path = Pmtu::new(1460, 1460, 20, 0);
        assert!(!path.too_big(1500, 0) && !path.too_big(9000, 0));
        assert!(path.too_big(1400, 0));
        assert_eq!(path.mss(), 1360);
        assert!(path.too_big(0, 0), "the plateau below 1400 is 1006");
        assert_eq!(path.mss(), 966);
        assert!(path.too_big(68, 0));
        assert_eq!(path.mss(), 512);
        let mut path = Pmtu::new(1440, 1440, 40, 0);
        assert!(path.too_big(600, 0));
        assert_eq!(path.mss(), 1220);
    }

    /// RFC 4821, 7.7 and 7.3: a path that drops everything larger than 1300 bytes.
    #[test]
    fn a_black_hole_is_found_and_measured() {
        let mut path = Pmtu::new(1460, 1460, 20, 0);
        assert!(!path.timeout(1, 0));
        assert!(path.timeout(2, 0));
        assert_eq!(path.mss(), 1220);
        assert_eq!(path.wants_probe(0), None);
        let mut now_ns = PMTU_RAISE_NS / 60;
        let mut probes = 0;
        while let Some(size) = path.wants_probe(now_ns) {
            probes += 1;
            path.probing(Seq(0), Seq(u32::from(size)), size);
            assert_eq!(path.wants_probe(now_ns), None);
            if size <= 1300 {
                assert!(path.acknowledged(Seq(u32::from(size)), now_ns));
            } else {
                assert!(path.lost(Seq(0), Seq(9), now_ns));
            }
            assert!(probes < 10);
        }
        assert!((1268..=1300).contains(&path.mss()), "{}", path.mss());
        // Ten minutes later the path has improved.
        now_ns += PMTU_RAISE_NS;
        let size = path.wants_probe(now_ns).unwrap();
        assert_eq!(size, 1460);
        path.probing(Seq(0), Seq(1460), size);
        assert!(path.acknowledged(Seq(1460), now_ns));
        assert_eq!(
            (path.mss(), path.wants_probe(now_ns + 2 * PMTU_RAISE_NS)),
            (1460, None)
        );
    }
}
