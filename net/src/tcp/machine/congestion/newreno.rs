//! Congestion avoidance of RFC 5681.

/// Acknowledged bytes that the window hasn't grown for yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NewReno {
    counted: u32,
}

impl NewReno {
    /// RFC 5681, 3.1: a segment for each acknowledged window of bytes.
    pub(super) fn growth(&mut self, cwnd: u32, acked: u32, mss: u32) -> u32 {
        self.counted = self.counted.saturating_add(acked);
        let windows = self.counted / cwnd.max(1);
        self.counted %= cwnd.max(1);
        windows.saturating_mul(mss)
    }

    /// RFC 5681, 3.1, equation 4.
    pub(super) fn reduce(&mut self, flight: u32) -> u32 {
        self.counted = 0;
        flight / 2
    }
}
