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
}
