//! CUBIC (RFC 9438) in whole numbers: bytes and milliseconds. C = 0.4 segments/s³, β = 0.7.

/// Times beyond this change nothing that matters, and the cube still fits.
const T_MAX_MS: u64 = 100_000;
const MS: u64 = 1_000_000;

/// State between two reductions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cubic {
    /// W_max: the window at the last reduction, in bytes.
    maximum: u32,
    /// cwnd_prior: until there, the estimate of Reno grows by less than a segment (4.3).
    prior: u32,
    /// When this epoch began; `None`: with the next acknowledgement.
    epoch_ns: Option<u64>,
    /// K, in milliseconds.
    k: u64,
    /// W_est, in bytes, and bytes that didn't make it grow yet.
    reno: u32,
    reno_counted: u64,
    /// The part of growth that is less than a byte.
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
        let begun = match self.epoch_ns {
            Some(begun) => begun,
            None => {
                // 4.2: K = cbrt((W_max - cwnd_epoch) / C). Without a loss before, the plateau is
                // here (4.10).
                self.maximum = self.maximum.max(cwnd);
                let below = wide(self.maximum - cwnd);
                self.k = cube_root(below * 2_500_000_000 / wide(mss));
                self.reno = cwnd;
                self.reno_counted = 0;
                self.rest = 0;
                *self.epoch_ns.insert(now_ns)
            }
        };
        // W_est (4.3): α = 3(1-β)/(1+β) = 9/17 until the window before the reduction is reached,
        // then 1.
        let (upper, lower) = if self.reno < self.prior {
            (9, 17)
        } else {
            (1, 1)
        };
        self.reno_counted += wide(acked) * wide(mss) * upper;
        let unit = wide(cwnd) * lower;
        self.reno = self.reno.saturating_add((self.reno_counted / unit) as u32);
        self.reno_counted %= unit;

        // The target is W_cubic one round trip from now, within cwnd and 1.5 · cwnd (4.2).
        let t = (now_ns.saturating_sub(begun).saturating_add(rtt_ns) / MS).min(T_MAX_MS);
        let distance = t.abs_diff(self.k).min(T_MAX_MS);
        let offset = (distance * distance * distance / 1_000_000) * 4 * wide(mss) / 10_000;
        let target = if t >= self.k {
            wide(self.maximum) + offset
        } else {
            wide(self.maximum).saturating_sub(offset)
        };
        let target = target.clamp(wide(cwnd), wide(cwnd) + wide(cwnd) / 2);
        self.rest += (target - wide(cwnd)) * wide(acked);
        let growth = (self.rest / wide(cwnd)) as u32;
        self.rest %= wide(cwnd);
        // 4.3: never less than Reno.
        growth.max(self.reno.saturating_sub(cwnd))
    }

    /// The threshold after a loss (4.6, 4.7).
    pub(super) fn reduce(&mut self, cwnd: u32, mss: u32) -> u32 {
        self.prior = cwnd;
        // Fast convergence; a segment less is no sign of another flow.
        self.maximum = if cwnd.saturating_add(mss) < self.maximum {
            (u64::from(cwnd) * 17 / 20) as u32
        } else {
            cwnd
        };
        self.epoch_ns = None;
        (u64::from(cwnd) * 7 / 10) as u32
    }

    /// Restarts the epoch with the next acknowledgement.
    pub(super) fn forget_epoch(&mut self) {
        self.epoch_ns = None;
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
