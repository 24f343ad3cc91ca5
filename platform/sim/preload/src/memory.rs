//! The program's memory, at the addresses that its calls have as arguments. As in the kernel's
//! interface an address may be null; unlike there an invalid one ends the process (SIGSEGV),
//! instead of `EFAULT`.

use std::ffi::CStr;
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

/// The most bytes that one call transfers, as on Linux.
const MAX: usize = 0x7fff_f000;

/// Reads a value.
pub fn load<T: Copy>(address: usize) -> T {
    // SAFETY: an argument of the program's call, with such a value.
    unsafe { with_exposed_provenance::<T>(address).read_unaligned() }
}

/// Writes a value, unless the address is null.
pub fn store<T>(address: usize, value: T) {
    if address != 0 {
        // SAFETY: an argument of the program's call, with room for the value.
        unsafe { with_exposed_provenance_mut::<T>(address).write_unaligned(value) };
    }
}

/// The bytes at an address.
pub fn bytes<'a>(address: usize, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: an argument of the program's call, with as many bytes.
    unsafe { std::slice::from_raw_parts(with_exposed_provenance(address), len) }
}

/// Writes bytes.
pub fn copy_to(address: usize, from: &[u8]) {
    if address != 0 {
        let to = with_exposed_provenance_mut::<u8>(address);
        // SAFETY: an argument of the program's call, with room for the bytes.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
    }
}

/// The text at an address, up to a zero byte.
pub fn text(address: usize) -> String {
    if address == 0 {
        return String::new();
    }
    // SAFETY: an argument of the program's call, which ends with a zero byte.
    let text = unsafe { CStr::from_ptr(with_exposed_provenance(address)) };
    text.to_string_lossy().into_owned()
}

/// Pieces of memory that one call fills or empties in order.
pub struct Pieces(Vec<(usize, usize)>);

impl Pieces {
    /// One piece.
    pub fn one(address: usize, len: usize) -> Pieces {
        Pieces(vec![(address, len.min(MAX))])
    }

    /// Those of an array of `struct iovec`.
    pub fn of_array(array: usize, count: usize) -> Pieces {
        let mut left = MAX;
        let piece = |i: usize| {
            let [start, len]: [usize; 2] = load(array + i * size_of::<[usize; 2]>());
            let len = len.min(left);
            left -= len;
            (start, len)
        };
        Pieces((0..count.min(1024)).map(piece).collect())
    }

    /// Their bytes in total.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, len)| len).sum()
    }

    /// Up to `max` bytes of what they contain, after the first `skipped` ones.
    pub fn gather(&self, mut skipped: usize, max: usize) -> Vec<u8> {
        let mut gathered = Vec::new();
        for &(start, len) in &self.0 {
            let before = skipped.min(len);
            skipped -= before;
            let len = (len - before).min(max - gathered.len());
            gathered.extend_from_slice(bytes(start + before, len));
        }
        gathered
    }

    /// Fills them with as many bytes of `from` as fit.
    pub fn scatter(&self, mut from: &[u8]) {
        for &(start, len) in &self.0 {
            let (first, rest) = from.split_at(len.min(from.len()));
            copy_to(start, first);
            from = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pieces;

    #[test]
    fn pieces_are_filled_in_order() {
        let (mut a, mut b) = ([0u8; 3], [0u8; 4]);
        let array = [
            [a.as_mut_ptr().expose_provenance(), a.len()],
            [b.as_mut_ptr().expose_provenance(), b.len()],
        ];
        let pieces = Pieces::of_array(array.as_ptr().expose_provenance(), 2);
        assert_eq!(pieces.len(), 7);
        pieces.scatter(b"hello");
        assert_eq!((&a, &b), (b"hel", b"lo\0\0"));
        assert_eq!(pieces.gather(0, 9), b"hello\0\0");
        assert_eq!(pieces.gather(4, 2), b"o\0");
        assert_eq!(pieces.gather(2, 2), b"ll");
    }
}
