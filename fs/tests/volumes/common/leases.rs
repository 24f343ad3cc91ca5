//! Leases of a volume, each with its contents when it was taken.

use fs::{FileId, Lease, Volume};

/// Leases that are held while the volume is used.
#[derive(Default)]
pub struct Leases(Vec<(Lease, Vec<u8>)>);

impl Leases {
    /// Leases `len` bytes at `offset` of a file that holds `contents`, and holds the lease. Drops
    /// the oldest lease.
    pub fn lend(
        &mut self,
        volume: &mut dyn Volume,
        file: FileId,
        (offset, len): (usize, usize),
        contents: &[u8],
    ) {
        let mut lent = Vec::new();
        volume
            .lend(file, offset as u64, len, &mut lent)
            .unwrap_or_else(|error| panic!("lend {len} at {offset}: {error}"));
        let rest = contents.get(offset..).unwrap_or_default();
        let rest = &rest[..rest.len().min(len)];
        let bytes: Vec<u8> = lent.iter().flat_map(|lent| lent.to_vec()).collect();
        assert!(lent.iter().all(|lent| !lent.is_empty()), "an empty slice");
        assert_eq!(bytes.is_empty(), rest.is_empty(), "{len} at {offset}");
        assert!(rest.starts_with(&bytes), "lend {len} at {offset}");
        self.0.extend(lent.into_iter().map(|lent| {
            let before = lent.to_vec();
            (lent, before)
        }));
        self.check();
        let over = self.0.len().saturating_sub(12);
        self.0.drain(..over);
    }

    /// Checks that the leases haven't changed.
    pub fn check(&self) {
        for (lent, before) in &self.0 {
            assert!(**lent == before[..], "what was lent has changed");
        }
    }
}
