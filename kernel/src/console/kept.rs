//! The last error output, in a page that a reset of the machine keeps, for the boot after a
//! failure. Written from all contexts; with several processors at once lines may mix.

use crate::memory;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};

/// Bytes of the output.
const LEN: usize = memory::KEPT - 32;
/// Bytes of the record of [`crate::power`].
const RECORD: usize = 10;

/// The page.
#[repr(C)]
struct Page {
    /// Of all that follows, once sealed.
    checksum: AtomicU64,
    /// Number of bytes written; the last ones are at this number modulo the length.
    written: AtomicUsize,
    record: [AtomicU8; 16],
    text: [AtomicU8; LEN],
}

const _: () = assert!(size_of::<Page>() == memory::KEPT);

impl Page {
    /// FNV-1a, so that what firmware or other memory has here isn't taken for a report.
    fn sum(&self) -> u64 {
        let written = self.written.load(Ordering::Relaxed).to_le_bytes();
        let fields = self.record.iter().chain(&self.text);
        let bytes = fields.map(|byte| byte.load(Ordering::Relaxed));
        written
            .into_iter()
            .chain(bytes)
            .fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
                (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
            })
    }

    fn is_valid(&self) -> bool {
        self.checksum.load(Ordering::Relaxed) == self.sum()
    }

    /// The record, if the page is valid.
    fn record(&self) -> Option<[u8; RECORD]> {
        let mut bytes = [0; RECORD];
        for (to, from) in bytes.iter_mut().zip(&self.record) {
            *to = from.load(Ordering::Relaxed);
        }
        self.is_valid().then_some(bytes)
    }

    /// The output in order, if the page is valid; without the rest of a line that was overwritten.
    fn text(&self) -> Vec<u8> {
        let written = self.written.load(Ordering::Relaxed);
        if !self.is_valid() || written == 0 {
            return Vec::new();
        }
        let first = written.saturating_sub(LEN);
        let at = |place: usize| {
            self.text
                .get(place % LEN)
                .map(|byte| byte.load(Ordering::Relaxed))
        };
        let text: Vec<u8> = (first..written).filter_map(at).collect();
        let cut = text
            .iter()
            .position(|byte| *byte == b'\n')
            .filter(|_| first != 0);
        text.get(cut.map_or(0, |end| end + 1)..)
            .unwrap_or_default()
            .to_vec()
    }

    fn clear(&self) {
        self.checksum.store(0, Ordering::Relaxed);
        self.written.store(0, Ordering::Relaxed);
    }

    fn keep(&self, bytes: &[u8]) {
        let tail = bytes
            .get(bytes.len().saturating_sub(LEN)..)
            .unwrap_or_default();
        let at = self.written.fetch_add(tail.len(), Ordering::Relaxed);
        for (number, byte) in tail.iter().enumerate() {
            if let Some(place) = self.text.get(at.wrapping_add(number) % LEN) {
                place.store(*byte, Ordering::Relaxed);
            }
        }
    }

    fn seal(&self, record: &[u8; RECORD]) {
        for (to, from) in self.record.iter().zip(record) {
            to.store(*from, Ordering::Relaxed);
        }
        self.checksum.store(self.sum(), Ordering::Relaxed);
    }
}

/// The page from [`take`] on; null before. Written once, by the boot.
static PAGE: AtomicPtr<Page> = AtomicPtr::new(core::ptr::null_mut());

fn page() -> Option<&'static Page> {
    // Acquire: pairs with `take`. SAFETY: only the kept page is stored there, which is never freed,
    // and whose bytes are valid atomics whatever they are.
    unsafe { PAGE.load(Ordering::Acquire).as_ref() }
}

/// The record of the boot before, if [`take`] hasn't been called.
pub fn record() -> Option<[u8; RECORD]> {
    let place = memory::kept().cast::<Page>();
    // SAFETY: as above; null before memory is set up.
    unsafe { place.as_ref() }?.record()
}

/// Returns the output that the last boot left, and keeps this one's from now on. Once, by the boot.
pub fn take() -> Vec<u8> {
    let place = memory::kept().cast::<Page>();
    // SAFETY: as above.
    let Some(page) = (unsafe { place.as_ref() }) else {
        return Vec::new();
    };
    let text = page.text();
    page.clear();
    // Release: the page is clear for who sees it.
    PAGE.store(place, Ordering::Release);
    text
}

/// Keeps error output.
pub fn keep(bytes: &[u8]) {
    if let Some(page) = page() {
        page.keep(bytes);
    }
}

/// Makes the page valid for the next boot, with this record.
pub fn seal(record: &[u8; RECORD]) {
    if let Some(page) = page() {
        page.seal(record);
    }
}

#[cfg(test)]
mod tests {
    use super::{LEN, Page, RECORD};
    use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

    fn page(byte: u8) -> Box<Page> {
        Box::new(Page {
            checksum: AtomicU64::new(u64::from_le_bytes([byte; 8])),
            written: AtomicUsize::new(usize::from_le_bytes([byte; 8])),
            record: [const { AtomicU8::new(0) }; 16],
            text: [const { AtomicU8::new(0) }; LEN],
        })
    }

    #[test]
    fn the_last_output_is_kept_in_whole_lines() {
        let page = page(0);
        page.clear();
        page.keep(b"one\ntwo");
        page.keep(b"\n");
        assert_eq!((page.text(), page.record()), (vec![], None), "not sealed");
        page.seal(&[7; RECORD]);
        assert_eq!(
            (page.text(), page.record()),
            (b"one\ntwo\n".to_vec(), Some([7; RECORD]))
        );
        page.keep(b"more");
        assert_eq!(page.text(), b"", "changed");
        for number in 0..2000 {
            page.keep(format!("line {number}\n").as_bytes());
        }
        page.keep(&[b'x'; LEN + 5]);
        page.keep(b"\nlast\n");
        page.seal(&[7; RECORD]);
        assert_eq!(page.text(), b"last\n");
    }

    #[test]
    fn other_contents_are_no_report() {
        for byte in [0, 0x55, 0xff] {
            let page = page(byte);
            assert_eq!((page.text(), page.record()), (vec![], None), "{byte}");
        }
        let page = page(0);
        page.keep(b"text\n");
        page.seal(&[7; RECORD]);
        for place in [&page.text[3], &page.record[2], &page.text[LEN - 1]] {
            let old = place.fetch_xor(1, Ordering::Relaxed);
            assert_eq!(page.record(), None);
            place.store(old, Ordering::Relaxed);
        }
        assert_eq!(page.text(), b"text\n");
    }
}
