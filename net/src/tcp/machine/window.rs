//! The receive window. It grows with the bytes that the application reads in a round trip (dynamic
//! right-sizing).

use super::budget::{GUARANTEED, Pressure};
use super::seq::Seq;

/// Scale of a window of at most `max` bytes: the smallest with which it fits 16 bits (RFC 7323,
/// 2.2).
pub(crate) fn scale_for(max: u32) -> u8 {
    let mut scale = 0;
    while scale < super::options::SCALE_MAX && (max >> scale) > u32::from(u16::MAX) {
        scale += 1;
    }
    scale
}

/// The offered window and its limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// The right edge: the highest sequence number plus one that was ever offered.
    edge: Seq,
    /// Bytes that may wait for the application.
    limit: u32,
    max: u32,
    initial: u32,
    /// Shift of the windows sent; 0 unless both ends scale.
    pub(crate) scale: u8,
    /// Size of the peer's segments, as observed.
    pub(crate) mss: u16,
    /// Bytes read by the application since `since_ns`, and in the round before.
    taken: u32,
    taken_before: u32,
    since_ns: u64,
    /// The round-trip time as measured by the receiver; 0: unknown.
    rtt_ns: u64,
    /// End and start of a measurement, which waits for a window of data.
    measure: Option<(Seq, u64)>,
}

impl Window {
    pub(crate) fn new(initial: u32, max: u32, mss: u16) -> Window {
        let max = max.clamp(GUARANTEED as u32, 1 << 30);
        let initial = initial.clamp(GUARANTEED as u32, max);
        Window {
            edge: Seq(0),
            limit: initial,
            max,
            initial,
            scale: scale_for(max),
            mss,
            taken: 0,
            taken_before: 0,
            since_ns: 0,
            rtt_ns: 0,
            measure: None,
        }
    }

    /// The peer's initial sequence number is known: the first window begins at `next`.
    pub(crate) fn begin(&mut self, next: Seq) {
        self.edge = next;
    }

    /// Without scaling the window has 16 bits (RFC 7323, 2.2).
    pub(crate) fn no_scale(&mut self) {
        self.scale = 0;
        self.max = self.max.min(u32::from(u16::MAX));
        self.limit = self.limit.min(self.max);
        self.initial = self.initial.min(self.max);
    }

    /// Changes the maximum of bytes that wait for the application, as far as the negotiated scale
    /// allows. An offered window is never taken back.
    pub(crate) fn set_max(&mut self, max: u32) {
        let most = u32::from(u16::MAX) << self.scale;
        self.max = max.clamp(GUARANTEED as u32, most);
        self.initial = self.initial.min(self.max);
        self.limit = self.limit.min(self.max);
    }

    /// Bytes that may wait for the application.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Bytes of the offered window that the peer may still send.
    pub(crate) fn offered(&self, next: Seq) -> u32 {
        self.edge.beyond(next)
    }

    /// The right edge that would be offered now.
    fn wanted(&self, next: Seq, unread: u32) -> Seq {
        let free = self.limit.saturating_sub(unread);
        let candidate = next + (free >> self.scale << self.scale);
        // RFC 9293, 3.8.6.2.2: not by less than a segment or half the buffer.
        let step = u32::from(self.mss).min(self.limit / 2).max(1);
        if candidate.beyond(self.edge) >= step {
            candidate
        } else {
            self.edge
        }
    }

    /// The window for a header that is about to be sent, which then counts as offered. The right
    /// edge never moves left (RFC 9293, 3.8.6, SHLD-14): if it isn't a multiple of the scale away
    /// it is rounded up.
    pub(crate) fn offer(&mut self, next: Seq, unread: u32) -> u16 {
        let edge = self.wanted(next, unread);
        let unit = 1u32 << self.scale;
        let field = edge.beyond(next).div_ceil(unit).min(u32::from(u16::MAX));
        self.edge = self.edge.max(next + field * unit);
        field as u16
    }

    /// The window in the header of a SYN: never scaled (RFC 7323, 2.2).
    pub(crate) fn offer_syn(&mut self, next: Seq) -> u16 {
        let field = self.limit.min(u32::from(u16::MAX));
        self.edge = self.edge.max(next + field);
        field as u16
    }

    /// The window last offered, as a header field.
    pub(crate) fn field(&self, next: Seq) -> u16 {
        (self.offered(next) >> self.scale).min(u32::from(u16::MAX)) as u16
    }

    /// Whether to send a window update: less than half of the possible window is offered.
    pub(crate) fn wants_update(&self, next: Seq, unread: u32) -> bool {
        let could = self.wanted(next, unread).beyond(next);
        let offered = self.offered(next);
        could > offered && offered <= could / 2
    }

    /// Takes a sample of the round trip, by timestamps or by the handshake.
    pub(crate) fn rtt(&mut self, rtt_ns: u64) {
        let rtt_ns = rtt_ns.max(1);
        // It includes the time for which the peer had nothing to send: the minimum counts, and it
        // rises slowly.
        self.rtt_ns = if self.rtt_ns == 0 || rtt_ns < self.rtt_ns {
            rtt_ns
        } else {
            self.rtt_ns + (rtt_ns - self.rtt_ns) / 64
        };
    }

    /// Measures the round trip without timestamps: a window of data takes at most one round trip.
    pub(crate) fn arrived(&mut self, next: Seq, now_ns: u64) {
        match self.measure {
            Some((end, _)) if next.before(end) => {}
            Some((_, since)) => {
                self.rtt(now_ns.saturating_sub(since));
                self.measure = Some((self.edge, now_ns));
            }
            None => self.measure = Some((self.edge, now_ns)),
        }
    }

    /// The application read `bytes`. In each round trip the window grows to a little more than
    /// twice the bytes read in the last one. The peer's slow start is never limited, and
    /// a slow reader keeps a small window.
    pub(crate) fn consumed(&mut self, bytes: u32, pressure: Pressure, now_ns: u64) {
        self.taken = self.taken.saturating_add(bytes);
        if self.rtt_ns == 0 || now_ns.saturating_sub(self.since_ns) < self.rtt_ns {
            return;
        }
        match pressure {
            Pressure::None if self.taken > self.taken_before => {
                let wanted = self
                    .taken
                    .saturating_mul(2)
                    .saturating_add(16 * u32::from(self.mss));
                self.limit = self.limit.max(wanted.min(self.max));
            }
            Pressure::None => {}
            Pressure::Moderate => self.limit = (self.limit / 2).max(self.initial.min(self.limit)),
            Pressure::Hard => self.limit = (self.limit / 2).max(GUARANTEED as u32),
        }
        if pressure == Pressure::None {
            self.limit = self.limit.max(self.initial);
        }
        self.taken_before = self.taken;
        self.taken = 0;
        self.since_ns = now_ns;
    }
}

#[cfg(test)]
mod tests {
    use super::{Window, scale_for};
    use crate::tcp::machine::budget::Pressure;
    use crate::tcp::machine::seq::Seq;
    use proptest::prelude::{any, prop, proptest};

    const MS: u64 = 1_000_000;

    #[test]
    fn scales() {
        assert_eq!(
            [65_535, 65_536, 4 << 20, u32::MAX].map(scale_for),
            [0, 1, 7, 14]
        );
    }

    /// RFC 9293, 3.8.6.2.2: silly windows aren't offered.
    #[test]
    fn the_edge_moves_by_a_segment_at_least() {
        let mut window = Window::new(65_536, 65_536, 1460);
        window.begin(Seq(0));
        let full = u32::from(window.offer(Seq(0), 0)) << window.scale;
        assert_eq!(full, 65_536);
        let next = Seq(full);
        assert_eq!(window.offer(next, 65_536), 0);
        assert_eq!(window.offer(next, 65_536 - 1459), 0);
        assert!(!window.wants_update(next, 65_536 - 1400));
        assert!(window.wants_update(next, 65_536 - 1460));
        assert_eq!(window.offer(next, 65_536 - 1460) as u32 * 2, 1460);
    }

    #[test]
    fn the_window_follows_the_application() {
        let mut window = Window::new(65_536, 4 << 20, 1460);
        window.rtt(50 * MS);
        let mut now_ns = 100 * MS;
        for _ in 0..20 {
            window.consumed(window.limit(), Pressure::None, now_ns);
            now_ns += 51 * MS;
        }
        assert_eq!(window.limit(), 4 << 20);
        for _ in 0..20 {
            window.consumed(1000, Pressure::Moderate, now_ns);
            now_ns += 51 * MS;
        }
        assert_eq!(window.limit(), 65_536);
        window.consumed(1000, Pressure::Hard, now_ns);
        assert_eq!(window.limit(), 32_768);
    }

    /// Consumption counts once per round trip, and only if it exceeds that of the one before; a
    /// window that shrinks is halved.
    #[test]
    fn the_window_grows_by_more_and_shrinks_by_half() {
        let mut window = Window::new(65_536, 4 << 20, 1460);
        window.rtt(50 * MS);
        window.consumed(100_000, Pressure::None, 60 * MS);
        let grown = 200_000 + 16 * 1460;
        assert_eq!(window.limit(), grown);
        window.limit = 65_536;
        window.consumed(50_000, Pressure::None, 109 * MS);
        window.consumed(50_000, Pressure::None, 110 * MS);
        assert_eq!(window.limit(), 65_536, "as much as before");
        window.consumed(100_001, Pressure::None, 160 * MS);
        assert_eq!(window.limit(), grown + 2);
        window.limit = 4 << 20;
        window.consumed(1, Pressure::Moderate, 210 * MS);
        assert_eq!(window.limit(), 2 << 20);
    }

    /// An update is worth a segment when the peer knows of half the window at most.
    #[test]
    fn an_update_is_sent_at_half_the_window() {
        let mut window = Window::new(60_000, 60_000, 1000);
        window.begin(Seq(0));
        assert_eq!(window.offer(Seq(0), 0), 60_000);
        for (next, update) in [(29_999, false), (30_000, true), (60_000, true)] {
            assert_eq!(window.wants_update(Seq(next), 0), update, "{next}");
        }
        let mut window = Window::new(4 << 20, 4 << 20, 1460);
        window.begin(Seq(0));
        let field = window.offer(Seq(0), 0);
        assert_eq!((window.scale, field), (7, 1 << 15));
        assert_eq!(window.field(Seq(0)), field);
        assert_eq!(window.field(Seq(1 << 21)), field / 2);
    }

    /// A shorter round trip is believed at once, a longer one slowly; without timestamps a window's
    /// worth of data measures it.
    #[test]
    fn the_receiver_measures_the_round_trip() {
        let mut window = Window::new(65_535, 65_535, 1460);
        for (measured, believed) in [(6400, 6400), (12_800, 6500), (6000, 6000), (6001, 6000)] {
            window.rtt(measured);
            assert_eq!(window.rtt_ns, believed);
        }
        let mut window = Window::new(65_535, 65_535, 1460);
        window.begin(Seq(0));
        window.offer(Seq(0), 0);
        window.arrived(Seq(1000), 5 * MS);
        window.arrived(Seq(65_534), 10 * MS);
        assert_eq!(window.rtt_ns, 0);
        window.arrived(Seq(65_535), 25 * MS);
        assert_eq!(window.rtt_ns, 20 * MS);
        window.offer(Seq(65_535), 0);
        window.arrived(Seq(66_000), 30 * MS);
        assert_eq!(window.rtt_ns, 5 * MS, "what was offered had arrived");
        window.arrived(Seq(67_000), 31 * MS);
        assert_eq!(window.rtt_ns, 5 * MS, "a window later");
    }

    proptest! {
        /// RFC 9293, 3.8.6: MUST NOT shrink, whatever arrives and is read.
        #[test]
        fn the_right_edge_never_goes_back(
            start in any::<u32>(), max in 8192u32..1 << 22,
            steps in prop::collection::vec((0u32..3000, 0u32..5000, any::<bool>()), 1..300),
        ) {
            let mut window = Window::new(65_536, max, 1460);
            let mut next = Seq(start);
            window.begin(next);
            let mut edge = next + (u32::from(window.offer(next, 0)) << window.scale);
            let mut unread = 0u32;
            for (arrive, take, pressure) in steps {
                let arrive = arrive.min(edge - next);
                next += arrive;
                unread += arrive;
                let take = take.min(unread);
                unread -= take;
                window.rtt(1);
                window.consumed(
                    take,
                    if pressure { Pressure::Hard } else { Pressure::None },
                    u64::from(next.0),
                );
                let offered = next + (u32::from(window.offer(next, unread)) << window.scale);
                assert!(offered.at_least(edge));
                edge = offered;
            }
        }
    }
}
