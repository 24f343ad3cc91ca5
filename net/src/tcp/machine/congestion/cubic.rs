//! CUBIC (RFC 9438) in whole numbers: bytes and milliseconds. C = 0.4 segments/s³, β = 0.7.

/// Largest time since the epoch: its cube fits 64 bits.
const T_MAX_MS: u64 = 100_000;
const MS: u64 = 1_000_000;

/// State between two reductions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cubic {
    /// The window at the last reduction, in bytes.
    w_max: u32,
    /// The window before the last reduction: below it the estimate of Reno grows by less than a
    /// segment in a round trip (4.3).
    cwnd_prior: u32,
    /// Start of the epoch; `None`: the next acknowledgement.
    epoch_start_ns: Option<u64>,
    /// K.
    k_ms: u64,
    /// The estimate of Reno's window, in bytes, and the remainder of its growth.
    w_est: u32,
    w_est_rest: u64,
    /// The remainder of growth, less than a byte.
    rest: u64,
}

/// The cube root, rounded down.
fn cube_root(n: u64) -> u64 {
    let mut root = 0u64;
    for bit in (0..21).rev() {
        let next = root | 1 << bit;
        if next * next * next <= n {
            root = next;
        }
    }
    root
}

impl Cubic {
    /// Bytes by which the window grows for `acked` bytes (4.2 to 4.5).
    pub(super) fn growth(
        &mut self,
        cwnd: u32,
        acked: u32,
        mss: u32,
        rtt_ns: u64,
        now_ns: u64,
    ) -> u32 {
        let wide = u64::from;
        let (mss, cwnd) = (mss.max(1), cwnd.max(1));
        let begun = match self.epoch_start_ns {
            Some(begun) => begun,
            None => {
                // 4.2: K = cbrt((W_max - cwnd_epoch) / C). Without a loss before, the plateau is
                // here (4.10).
                self.w_max = self.w_max.max(cwnd);
                let below = wide(self.w_max - cwnd);
                self.k_ms = cube_root(below * 2_500_000_000 / wide(mss));
                self.w_est = cwnd;
                self.w_est_rest = 0;
                self.rest = 0;
                *self.epoch_start_ns.insert(now_ns)
            }
        };
        // W_est (4.3): α = 3(1-β)/(1+β) = 9/17 until the window before the reduction is reached,
        // then 1.
        let (upper, lower) = if self.w_est < self.cwnd_prior {
            (9, 17)
        } else {
            (1, 1)
        };
        self.w_est_rest += wide(acked) * wide(mss) * upper;
        let unit = wide(cwnd) * lower;
        self.w_est = self.w_est.saturating_add((self.w_est_rest / unit) as u32);
        self.w_est_rest %= unit;

        // The target is W_cubic one round trip from now, within cwnd and 1.5 · cwnd (4.2).
        let t = (now_ns.saturating_sub(begun).saturating_add(rtt_ns) / MS).min(T_MAX_MS);
        let distance = t.abs_diff(self.k_ms).min(T_MAX_MS);
        let offset = (distance * distance * distance / 1_000_000) * 4 * wide(mss) / 10_000;
        let target = if t >= self.k_ms {
            wide(self.w_max) + offset
        } else {
            wide(self.w_max).saturating_sub(offset)
        };
        let target = target.clamp(wide(cwnd), wide(cwnd) + wide(cwnd) / 2);
        self.rest += (target - wide(cwnd)) * wide(acked);
        let growth = (self.rest / wide(cwnd)) as u32;
        self.rest %= wide(cwnd);
        // 4.3: never less than Reno.
        growth.max(self.w_est.saturating_sub(cwnd))
    }

    /// The threshold after a loss (4.6, 4.7).
    pub(super) fn reduce(&mut self, cwnd: u32, mss: u32) -> u32 {
        self.cwnd_prior = cwnd;
        // Fast convergence; one segment less doesn't indicate another flow.
        self.w_max = if cwnd.saturating_add(mss) < self.w_max {
            (u64::from(cwnd) * 17 / 20) as u32
        } else {
            cwnd
        };
        self.epoch_start_ns = None;
        (u64::from(cwnd) * 7 / 10) as u32
    }

    /// Restarts the epoch with the next acknowledgement.
    pub(super) fn forget_epoch(&mut self) {
        self.epoch_start_ns = None;
    }
}

#[cfg(test)]
mod tests {
    use super::cube_root;

    #[test]
    fn cube_roots() {
        for n in [0u64, 1, 7, 8, 26, 27, 1_000_000, 749_999_999_999, 1 << 62] {
            let root = cube_root(n);
            assert!(
                root * root * root <= n && (root + 1).pow(3) > n,
                "{n}: {root}"
            );
        }
    }
}
