//! Impairments of a link: loss, delay, reordering.

/// Impairments of one direction of a link. The default is a perfect link: no delay, no limit.
///
/// Probabilities are in millionths. If several impairments apply to a frame, they do so in the
/// order of the fields: first the losses, then the queue, then those in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Frames lost independently.
    pub loss: u32,
    /// Frames lost in bursts.
    pub burst: Option<Burst>,
    /// The last frames of a flight lost.
    pub tail: Option<Tail>,
    /// Bits per second of the link (Ethernet header included, without preamble, FCS and gap); 0
    /// means no limit.
    pub rate: u64,
    /// Maximum number of bytes queued for a link with a rate; a frame that doesn't fit is lost. 0
    /// means no limit.
    pub queue: usize,
    /// Delay of each frame in nanoseconds, after it was put on the link.
    pub delay_ns: u64,
    /// Random extra delay, uniform below this. It lets frames overtake each other, unless
    /// `in_order`.
    pub jitter_ns: u64,
    /// Frames never overtake each other by jitter: one that would arrives with the previous one.
    pub in_order: bool,
    /// Frames that are delayed by `reorder_ns`, so that later ones overtake them.
    pub reorder: u32,
    /// The delay in nanoseconds.
    pub reorder_ns: u64,
    /// Frames delivered twice.
    pub duplicate: u32,
    /// Frames in which one random bit is flipped.
    pub corrupt: u32,
}

/// Loss in bursts: the Gilbert-Elliott model, of two states between which each frame may switch.
/// The mean length of a burst is 1 000 000 / `leave` frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Probability of a change from the good state to the bad one, per frame, in millionths.
    pub enter: u32,
    /// Probability of the change back, per frame, in millionths.
    pub leave: u32,
    /// Loss in the bad state, in millionths.
    pub loss: u32,
}

/// Loss of the last frames of a flight, which no later ones reveal (RFC 8985, 7.1).
///
/// Frames within `gap_ns` of each other are a flight. Whether a frame is among the last is known
/// when it is due, so `delay_ns` must be at least as long as a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Affected flights, in millionths.
    pub chance: u32,
    /// Number of frames lost at the end.
    pub frames: u32,
    /// Pause that ends a flight, in nanoseconds.
    pub gap_ns: u64,
}

impl Impairment {
    /// A perfect link with a delay of `delay_ns` in each direction.
    pub fn delay(delay_ns: u64) -> Impairment {
        Impairment {
            delay_ns,
            ..Default::default()
        }
    }
}
