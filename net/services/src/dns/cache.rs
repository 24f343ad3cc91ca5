//! Cache of responses by their TTL (RFC 1035, 7.4; negative ones: RFC 2308).

use alloc::vec::Vec;

use super::name::Name;
use super::{DnsRecord, Missing};

/// Maximum number of names.
const ENTRIES_MAX: usize = 256;
/// Maximum number of bytes of names and data.
const BYTES_MAX: usize = 64 << 10;
/// Maximum TTL in seconds: one day.
const TTL_MAX: u32 = 86_400;
/// The same for negative responses (RFC 2308, 5: one to three hours).
const NEGATIVE_TTL_MAX: u32 = 3600;
const SECOND_NS: u64 = 1_000_000_000;

struct Entry {
    name: Name,
    kind: u16,
    kept_ns: u64,
    until_ns: u64,
    bytes: usize,
    answer: Result<Vec<DnsRecord>, Missing>,
}

/// Cached responses, positive and negative.
#[derive(Default)]
pub(super) struct Cache {
    entries: Vec<Entry>,
    bytes: usize,
}

impl Cache {
    /// Returns the cached response for the records of type `kind` of `name`, with the remaining
    /// TTLs.
    pub(super) fn get(
        &self,
        name: &Name,
        kind: u16,
        now_ns: u64,
    ) -> Option<Result<Vec<DnsRecord>, Missing>> {
        let entry = self
            .entries
            .iter()
            .find(|e| e.kind == kind && e.until_ns > now_ns && e.name == *name)?;
        let age = (now_ns.saturating_sub(entry.kept_ns) / SECOND_NS) as u32;
        let mut answer = entry.answer.clone();
        for found in answer.iter_mut().flatten() {
            found.ttl = found.ttl.saturating_sub(age);
        }
        Some(answer)
    }

    /// Caches a response for `ttl` seconds; those that expire first are evicted.
    pub(super) fn put(
        &mut self,
        name: &Name,
        kind: u16,
        answer: &Result<Vec<DnsRecord>, Missing>,
        ttl: u32,
        now_ns: u64,
    ) {
        self.remove(|e| e.until_ns <= now_ns || e.kind == kind && e.name == *name);
        let most = if answer.is_ok() {
            TTL_MAX
        } else {
            NEGATIVE_TTL_MAX
        };
        let data: usize = answer.iter().flatten().map(DnsRecord::bytes).sum();
        let owner = answer
            .iter()
            .flatten()
            .next()
            .map_or(0, |record| record.owner.len());
        let bytes = name.wire().len() + owner + data + size_of::<Entry>();
        if ttl == 0 || bytes > BYTES_MAX / 8 {
            return;
        }
        while self.entries.len() >= ENTRIES_MAX || self.bytes + bytes > BYTES_MAX {
            let Some(first) = self.entries.iter().map(|e| e.until_ns).min() else {
                break;
            };
            self.remove(|e| e.until_ns == first);
        }
        self.bytes += bytes;
        self.entries.push(Entry {
            name: name.clone(),
            kind,
            kept_ns: now_ns,
            until_ns: now_ns.saturating_add(u64::from(ttl.min(most)) * SECOND_NS),
            bytes,
            answer: answer.clone(),
        });
    }

    /// Clears the cache: the servers have changed.
    pub(super) fn clear(&mut self) {
        self.remove(|_| true);
    }

    fn remove(&mut self, mut which: impl FnMut(&Entry) -> bool) {
        let bytes = &mut self.bytes;
        self.entries.retain(|entry| {
            let goes = which(entry);
            if goes {
                *bytes -= entry.bytes;
            }
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, Cache, ENTRIES_MAX, SECOND_NS};
    use crate::dns::message::{RecordData, kind};
    use crate::dns::name::Name;
    use crate::dns::{DnsRecord, Missing};

    fn name(n: usize) -> Name {
        Name::from_text(&format!("n{n}.example")).expect("a name")
    }

    fn found(ttl: u32, len: usize) -> Result<Vec<DnsRecord>, Missing> {
        let data = RecordData::Text(vec![vec![0; len]]);
        Ok(vec![DnsRecord {
            owner: "n".into(),
            ttl,
            data,
        }])
    }

    #[test]
    fn answers_age_and_end() {
        let mut cache = Cache::default();
        cache.put(&name(1), kind::TXT, &found(60, 1), 60, 0);
        cache.put(&name(2), kind::TXT, &Err(Missing), 5, 0);
        let ttl = |cache: &Cache, at: u64| {
            let answer = cache.get(&name(1), kind::TXT, at * SECOND_NS)?;
            Some(answer.expect("found").first()?.ttl)
        };
        assert_eq!(ttl(&cache, 0), Some(60));
        assert_eq!(ttl(&cache, 59), Some(1));
        assert_eq!(ttl(&cache, 60), None);
        assert_eq!(cache.get(&name(1), kind::A, 0), None);
        assert_eq!(
            cache.get(&name(2), kind::TXT, 4 * SECOND_NS),
            Some(Err(Missing))
        );
        assert_eq!(cache.get(&name(2), kind::TXT, 5 * SECOND_NS), None);
        // A response with TTL 0 removes the cached one.
        cache.put(&name(1), kind::TXT, &found(0, 1), 0, 0);
        assert_eq!(ttl(&cache, 0), None);
        cache.clear();
        assert_eq!((cache.bytes, cache.entries.len()), (0, 0));
    }

    #[test]
    fn times_have_limits() {
        let mut cache = Cache::default();
        cache.put(&name(1), kind::TXT, &found(u32::MAX, 1), u32::MAX, 0);
        cache.put(&name(2), kind::TXT, &Err(Missing), u32::MAX, 0);
        assert!(cache.get(&name(1), kind::TXT, 86_399 * SECOND_NS).is_some());
        assert!(cache.get(&name(1), kind::TXT, 86_400 * SECOND_NS).is_none());
        assert!(cache.get(&name(2), kind::TXT, 3600 * SECOND_NS).is_none());
    }

    #[test]
    fn it_is_bounded() {
        let mut cache = Cache::default();
        for n in 0..1000 {
            cache.put(&name(n), kind::TXT, &found(60, 10), 60 + n as u32, 0);
        }
        assert_eq!(cache.entries.len(), ENTRIES_MAX);
        assert!(cache.get(&name(999), kind::TXT, 0).is_some());
        for n in 0..1000 {
            cache.put(&name(n), kind::TXT, &found(60, 1000), 60, 0);
            assert!(cache.bytes <= BYTES_MAX);
        }
        cache.put(&name(1), kind::TXT, &found(60, BYTES_MAX), 60, 0);
        assert!(cache.get(&name(1), kind::TXT, 0).is_none());
    }
}
