//! Rate limits by token buckets.

/// A token bucket: a rate and a burst.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_second: u64,
    burst: u64,
    tokens: u64,
    since_ns: u64,
}

impl TokenBucket {
    pub(crate) const fn new(per_second: u64, burst: u64) -> TokenBucket {
        TokenBucket {
            per_second,
            burst,
            tokens: burst,
            since_ns: 0,
        }
    }

    /// Takes `cost` tokens if the bucket has them.
    pub(crate) fn take(&mut self, now_ns: u64, cost: u64) -> bool {
        const SECOND: u64 = 1_000_000_000;
        let passed_ns = now_ns.saturating_sub(self.since_ns);
        let new = u128::from(passed_ns) * u128::from(self.per_second) / u128::from(SECOND);
        if new > 0 {
            let new = u64::try_from(new).unwrap_or(u64::MAX);
            self.tokens = self.tokens.saturating_add(new).min(self.burst);
            // Keeps the fraction of a token for the next call.
            let used_ns = new.saturating_mul(SECOND) / self.per_second.max(1);
            self.since_ns = self.since_ns.saturating_add(used_ns).min(now_ns);
        }
        let enough = self.tokens >= cost;
        if enough {
            self.tokens -= cost;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::TokenBucket;

    #[test]
    fn a_bucket_holds_its_rate() {
        let mut bucket = TokenBucket::new(100, 10);
        let mut taken = 0;
        for ms in 0..2000 {
            for _ in 0..3 {
                taken += u64::from(bucket.take(ms * 1_000_000, 1));
            }
        }
        assert!((205..=210).contains(&taken), "{taken}");
    }

    /// The time between calls is no multiple of a token's.
    #[test]
    fn fractions_of_tokens_are_kept() {
        for (per_second, step_ms, expected) in [(3, 400, 300), (3, 700, 300), (7, 99, 700)] {
            let mut bucket = TokenBucket::new(per_second, 5);
            while bucket.take(0, 1) {}
            let steps = (1..)
                .map(|step| step * step_ms)
                .take_while(|ms| *ms <= 100_000);
            let taken = steps.map(|ms| {
                let take = |_: &u32| bucket.take(ms * 1_000_000, 1);
                (0..9).take_while(take).count()
            });
            let taken = taken.sum::<usize>();
            assert!(
                (expected - 4..=expected).contains(&taken),
                "{per_second}: {taken}"
            );
        }
    }
}
