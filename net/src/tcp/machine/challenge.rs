//! One connection's limit of challenge acknowledgements (RFC 5961, 7). The stack's limit for all
//! connections is passed in; this one keeps the replies of one connection from revealing how many
//! another one sent.

const WINDOW_NS: u64 = 5_000_000_000;
const MAX_CHALLENGES: u8 = 10;

/// Ten in five seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionLimit {
    since_ns: u64,
    count: u8,
}

impl ConnectionLimit {
    /// Whether one more may be sent now; `stack` is called if this connection's own limit permits.
    pub(crate) fn allow(&mut self, stack: &mut dyn FnMut() -> bool, now_ns: u64) -> bool {
        if now_ns.wrapping_sub(self.since_ns) >= WINDOW_NS {
            self.since_ns = now_ns;
            self.count = 0;
        }
        if self.count >= MAX_CHALLENGES || !stack() {
            return false;
        }
        self.count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionLimit, WINDOW_NS};

    /// RFC 5961, 7.
    #[test]
    fn ten_in_five_seconds_if_the_stack_agrees() {
        let mut own = ConnectionLimit::default();
        let now_ns = 7 * WINDOW_NS;
        assert!(!own.allow(&mut || false, now_ns));
        assert_eq!(
            (0..100).filter(|_| own.allow(&mut || true, now_ns)).count(),
            10
        );
        assert!(!own.allow(&mut || true, now_ns + WINDOW_NS - 1));
        assert!(own.allow(&mut || true, now_ns + WINDOW_NS));
    }
}
