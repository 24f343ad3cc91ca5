//! Impairments of a link: loss, delay, reordering.

/// Impairments of one direction of a link. The default is a perfect link: no delay, no limit.
///
/// Chances are in millionths. Where several apply to a frame, they apply in the order of the
/// fields: first the losses, then the queue, then what happens under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Frames lost, each by itself.
    pub loss: u32,
    /// Frames lost in bursts.
    pub burst: Option<Burst>,
    /// The last frames of a flight lost.
    pub tail: Option<Tail>,
    /// Bits per second that the link carries (Ethernet header included, without preamble, FCS and
    /// gap); 0 means no limit.
    pub rate: u64,
    /// Bytes that may wait for the link where it has a rate; a frame that doesn't fit is lost. 0
    /// means no limit.
    pub queue: usize,
    /// Time that each frame takes, in nanoseconds, after it was put on the link.
    pub delay_ns: u64,
    /// Random extra time, evenly below this. Frames overtake each other by it, unless `in_order`.
    pub jitter_ns: u64,
    /// Frames never overtake each other by jitter: one that would arrives with the one before it.
    pub in_order: bool,
    /// Frames that are held back by `reorder_ns`, so that later ones overtake them.
    pub reorder: u32,
    /// How long, in nanoseconds.
    pub reorder_ns: u64,
    /// Frames delivered twice.
    pub duplicate: u32,
    /// Frames of which one random bit is changed.
    pub corrupt: u32,
}

/// Loss in bursts: the model of Gilbert and Elliott, of two states between which each frame may
/// switch. The mean length of a burst is 1 000 000 / `leave` frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Chance to go from the good state to the bad one, for each frame, in millionths.
    pub enter: u32,
    /// Chance to go back, for each frame, in millionths.
    pub leave: u32,
    /// Loss in the bad state, in millionths.
    pub loss: u32,
}

/// Loss of the last frames of a flight, which nothing after them reveals (RFC 8985, 7.1).
///
/// Frames that follow each other within `gap_ns` are a flight. Whether a frame is among the last is
/// known when it is due, so `delay_ns` has to be at least as long as a flight takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Flights hit, in millionths.
    pub chance: u32,
    /// How many frames from the end are lost.
    pub frames: u32,
    /// Pause that ends a flight, in nanoseconds.
    pub gap_ns: u64,
}

impl Impairment {
    /// A perfect link that takes `delay_ns` in each direction.
    pub fn delay(delay_ns: u64) -> Impairment {
        Impairment {
            delay_ns,
            ..Default::default()
        }
    }
}
