//! A rate limit that an attacker can't measure.

/// Rate limit of challenge acknowledgements (RFC 5961, section 7). An attacker could use up a fixed
/// limit that all connections share, count the rest, and so learn about another host's connection
/// (CVE-2016-5696). The limit therefore varies from second to second, between half and three halves
/// of the configured one.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: u32,
    second: Option<u64>,
    left: u32,
}

impl Limiter {
    /// `limit`: replies per second, on average.
    pub(crate) fn new(limit: u32) -> Limiter {
        Limiter {
            limit,
            second: None,
            left: 0,
        }
    }

    /// Whether one more may be sent now.
    pub(crate) fn allow(&mut self, now_ns: u64, random: &mut dyn FnMut() -> u64) -> bool {
        let second = now_ns / 1_000_000_000;
        if self.second != Some(second) {
            self.second = Some(second);
            let spread = u64::from(self.limit).max(1);
            self.left = self.limit.div_ceil(2) + (random() % spread) as u32;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::Limiter;
    use crate::tcp::numbers::counting_random;
    use std::collections::BTreeSet;

    #[test]
    fn the_number_allowed_differs_from_second_to_second() {
        let mut random = counting_random();
        let mut limiter = Limiter::new(1000);
        let mut seen = BTreeSet::new();
        for second in 0..100 {
            let allowed = (0..5000)
                .filter(|_| limiter.allow(second * 1_000_000_000 + 7, &mut random))
                .count();
            assert!((500..1500).contains(&allowed), "{allowed}");
            seen.insert(allowed);
        }
        assert!(seen.len() > 80);
    }
}
