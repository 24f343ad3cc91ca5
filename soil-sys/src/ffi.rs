//! The FFI types. Only this module accesses OCaml's memory.
//!
//! The list is closed: the generator rejects a function whose signature contains any other type.
//! Each type is passed as one machine word, so that OCaml calls Rust directly, without a C stub.
//!
//! Only OCaml's calls of `soil_*` functions create values of the pointer types. This makes the
//! accessors below sound: the `external` on the OCaml side declares the matching OCaml type, both
//! come from the same generator, and the OCaml heap doesn't change during a `noalloc` external. The
//! accessors check offsets and lengths, which OCaml's types do *not* guarantee.

#[cfg(feature = "process")]
pub mod value;

use core::ptr::NonNull;
use platform::error::Error;
pub use resources::types::Int;
use resources::types::{IntsPiece, Piece, View};

/// Offset of a bigarray's data pointer from its value: the field after the custom block's
/// operations.
const BIGARRAY_DATA: usize = 8;
/// Offset of the proxy, the pointer to the reference count of bigarrays that share memory: after
/// data, number of dimensions and flags.
const BIGARRAY_PROXY: usize = 32;
/// Offset of the first dimension: after data, number of dimensions, flags and proxy.
const BIGARRAY_DIM0: usize = 40;
/// Offset of the second dimension.
const BIGARRAY_DIM1: usize = 48;
/// Bits below the word count in an OCaml block header (tag and colour).
const HEADER_SHIFT: u32 = 10;

/// Mask of the colour in a header, and the colour of blocks outside the heap (`NOT_MARKABLE` in
/// OCaml 5's shared_heap.h).
const COLOUR: usize = 3 << 8;
const STATIC_COLOUR: usize = 3 << 8;

/// An OCaml `bytes`, valid for the length of the call only (the collector may move it afterwards).
#[repr(transparent)]
pub struct Bytes(NonNull<u8>);

/// An OCaml `string`: read only, otherwise like [`Bytes`].
#[repr(transparent)]
pub struct Text(NonNull<u8>);

/// An OCaml `(char, int8_unsigned_elt, c_layout) Bigarray.Array1.t`: memory outside the OCaml heap,
/// which doesn't move while the caller keeps the bigarray alive.
#[repr(transparent)]
pub struct Buffer(NonNull<u8>);

/// An OCaml `(int, int_elt, c_layout) Bigarray.Array1.t`, for results of several numbers.
#[repr(transparent)]
pub struct Ints(NonNull<u8>);

/// An OCaml `(int32, int32_elt, c_layout) Bigarray.Array2.t`: rows of pixels.
#[repr(transparent)]
pub struct Pixels(NonNull<u8>);

/// An OCaml `array` of [`Buffer`]s, valid for the length of the call only.
#[repr(transparent)]
pub struct Buffers(NonNull<u8>);

/// Checks that `off..off + len` is within `total`; else [`Error::Invalid`].
pub fn checked_range(off: Int, len: Int, total: usize) -> Result<core::ops::Range<usize>, Error> {
    let off = usize::try_from(off).map_err(|_| Error::Invalid)?;
    let len = usize::try_from(len).map_err(|_| Error::Invalid)?;
    let end = off.checked_add(len).ok_or(Error::Invalid)?;
    if end > total {
        Err(Error::Invalid)
    } else {
        Ok(off..end)
    }
}

/// Returns the length in bytes of the OCaml string at `value`, from its header and its last byte.
///
/// # Safety
/// `value` is a live OCaml `string` or `bytes`.
unsafe fn string_length(value: NonNull<u8>) -> usize {
    // SAFETY: every OCaml block is preceded by its header word.
    let header = unsafe { value.cast::<usize>().sub(1).read() };
    let last = (header >> HEADER_SHIFT) * size_of::<usize>() - 1;
    // SAFETY: a string block has at least one word, and its last byte holds the padding.
    last - usize::from(unsafe { value.add(last).read() })
}

impl Bytes {
    /// Returns the bytes `off..off + len`.
    pub fn range(&mut self, off: Int, len: Int) -> Result<&mut [u8], Error> {
        // SAFETY: OCaml's type of the argument is `bytes`.
        let range = checked_range(off, len, unsafe { string_length(self.0) })?;
        // SAFETY: the range lies within the block, which nothing else accesses during a noalloc
        // call.
        Ok(unsafe {
            core::slice::from_raw_parts_mut(self.0.add(range.start).as_ptr(), range.len())
        })
    }
}

impl Text {
    /// Returns the whole string.
    pub fn all(&self) -> &[u8] {
        // SAFETY: OCaml's type of the argument is `string`; it is immutable and outlives the call.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr(), string_length(self.0)) }
    }

    /// Returns the whole string for the rest of the program's run: in place if it is static data,
    /// which the collector neither moves nor frees; else a copy.
    pub fn for_good(&self) -> &'static [u8] {
        // SAFETY: every OCaml block is preceded by its header word.
        let header = unsafe { self.0.cast::<usize>().sub(1).read() };
        if header & COLOUR == STATIC_COLOUR {
            let all = self.all();
            // SAFETY: static data isn't freed, and strings are immutable.
            unsafe { core::slice::from_raw_parts(all.as_ptr(), all.len()) }
        } else {
            alloc::boxed::Box::leak(self.all().into())
        }
    }

    /// Returns the bytes `off..off + len`.
    pub fn range(&self, off: Int, len: Int) -> Result<&[u8], Error> {
        let all = self.all();
        let range = checked_range(off, len, all.len())?;
        all.get(range).ok_or(Error::Invalid)
    }

    /// Returns the whole string as UTF-8, the encoding of paths, names and options.
    pub fn utf8(&self) -> Result<&str, Error> {
        core::str::from_utf8(self.all()).map_err(|_| Error::InvalidName)
    }
}

/// Returns data pointer and first dimension of a bigarray.
///
/// # Safety
/// `value` is a live OCaml bigarray of at least one dimension.
unsafe fn bigarray(value: NonNull<u8>) -> (*mut u8, usize) {
    // SAFETY: the layout of `struct caml_ba_array` behind the custom operations, stable since OCaml
    // 3.
    unsafe {
        let data = value.add(BIGARRAY_DATA).cast::<*mut u8>().read();
        let dim = value.add(BIGARRAY_DIM0).cast::<isize>().read();
        (data, usize::try_from(dim).unwrap_or(0))
    }
}

/// Returns the fields of a bigarray that describe its memory.
///
/// # Safety
/// `value` is a live OCaml bigarray of at least one dimension, and nothing else accesses it while
/// the result is used, as during a noalloc call.
unsafe fn view<'a>(value: NonNull<u8>) -> View<'a> {
    // SAFETY: the fields of `struct caml_ba_array`, as in `bigarray`.
    unsafe {
        View {
            data: value.add(BIGARRAY_DATA).cast().as_mut(),
            proxy: value.add(BIGARRAY_PROXY).cast().as_mut(),
            len: value.add(BIGARRAY_DIM0).cast().as_mut(),
        }
    }
}

impl Buffer {
    /// Returns the bytes `off..off + len`, for the length of the call.
    pub fn range(&mut self, off: Int, len: Int) -> Result<&mut [u8], Error> {
        let piece = self.piece(off, len)?;
        // SAFETY: a checked part of the bigarray, borrowed for this call only.
        Ok(unsafe { piece.as_mut_slice() })
    }

    /// Returns the bytes `off..off + len`, for an operation that outlives the call.
    pub fn piece(&self, off: Int, len: Int) -> Result<Piece, Error> {
        // SAFETY: OCaml's type of the argument is a one-dimensional bigarray of bytes.
        let (data, total) = unsafe { bigarray(self.0) };
        let range = checked_range(off, len, total)?;
        let data = NonNull::new(data).unwrap_or(NonNull::dangling());
        // SAFETY: within the bigarray, or one past its end for an empty piece; the caller keeps it
        // alive as the head of `abi.rs` requires.
        Ok(unsafe { Piece::new(data.add(range.start), range.len()) })
    }

    /// Returns the fields of the bigarray.
    pub fn view(&mut self) -> View<'_> {
        // SAFETY: OCaml's type of the argument is a bigarray; the borrow is for the call.
        unsafe { view(self.0) }
    }
}

impl Pixels {
    /// Returns the address of the pixels, their number, and the number of pixels per row.
    fn memory(&self) -> (*mut u32, usize, usize) {
        // SAFETY: OCaml's type of the argument is a two-dimensional bigarray of 32-bit numbers; its
        // size in bytes is below `isize::MAX`, as OCaml checked.
        unsafe {
            let (data, rows) = bigarray(self.0);
            let columns = self.0.add(BIGARRAY_DIM1).cast::<usize>().read();
            (data.cast(), rows.saturating_mul(columns), columns)
        }
    }

    /// Returns all pixels and their number per row, for the length of the call.
    pub fn rows(&mut self) -> (&mut [u32], usize) {
        let (data, count, columns) = self.memory();
        match NonNull::new(data) {
            Some(data) => {
                // SAFETY: the pixels of a bigarray, which nothing else accesses during the call.
                let pixels = unsafe { core::slice::from_raw_parts_mut(data.as_ptr(), count) };
                (pixels, columns)
            }
            None => (&mut [], columns),
        }
    }

    /// Whether the memory of both overlaps.
    pub fn overlaps(&self, other: &Self) -> bool {
        let range = |(data, count, _): (*mut u32, usize, usize)| {
            data.addr()..data.addr().saturating_add(count.saturating_mul(4))
        };
        let (a, b) = (range(self.memory()), range(other.memory()));
        a.start < b.end && b.start < a.end
    }

    /// Returns all pixels, for the length of the call.
    pub fn all(&mut self) -> &[u32] {
        self.rows().0
    }

    /// Returns the fields of the bigarray, with the number of rows as its length, and the number of
    /// columns.
    pub fn view(&mut self) -> (View<'_>, &mut usize) {
        // SAFETY: a bigarray of two dimensions, as above.
        unsafe { (view(self.0), self.0.add(BIGARRAY_DIM1).cast().as_mut()) }
    }
}

impl Buffers {
    /// Returns the number of bigarrays.
    fn count(&self) -> usize {
        // SAFETY: every OCaml block is preceded by its header word; an empty array is a block of
        // zero words.
        unsafe { self.0.cast::<usize>().sub(1).read() >> HEADER_SHIFT }
    }

    /// Returns bigarray `index`.
    fn get(&self, index: usize) -> Option<Buffer> {
        // SAFETY: OCaml's type of the argument is an array of bigarrays, so each of its words is a
        // bigarray.
        (index < self.count())
            .then(|| Buffer(unsafe { self.0.cast::<NonNull<u8>>().add(index).read() }))
    }

    /// Returns the piece of each that `ranges` selects by pairs of offset and length;
    /// [`Error::Invalid`] if there are too few pairs.
    pub fn pieces<'a>(
        &'a self,
        ranges: &'a mut Ints,
    ) -> Result<impl ExactSizeIterator<Item = Result<Piece, Error>> + 'a, Error> {
        let ranges = ranges.all();
        if ranges.len() / 2 < self.count() {
            return Err(Error::Invalid);
        }
        let ranges = ranges.chunks_exact(2).take(self.count());
        Ok(ranges.enumerate().map(|(n, range)| {
            let [off, len] = range else {
                return Err(Error::Invalid);
            };
            self.get(n).ok_or(Error::Invalid)?.piece(*off, *len)
        }))
    }
}

impl Ints {
    /// Returns the whole list.
    pub fn all(&mut self) -> &mut [Int] {
        // SAFETY: OCaml's type of the argument is a one-dimensional bigarray of native words
        // (`int_elt`).
        let (data, len) = unsafe { bigarray(self.0) };
        match NonNull::new(data) {
            // SAFETY: `len` words at `data`, aligned by malloc, which nothing else accesses during
            // the call.
            Some(data) => unsafe { core::slice::from_raw_parts_mut(data.cast().as_ptr(), len) },
            None => &mut [],
        }
    }

    /// Returns the whole list, for an operation that outlives the call.
    pub fn piece(&mut self) -> IntsPiece {
        let all = self.all();
        // SAFETY: the numbers of a bigarray, which the caller keeps alive as the head of `abi.rs`
        // requires.
        unsafe { IntsPiece::new(NonNull::from(&mut *all).cast(), all.len()) }
    }

    /// Writes as many of `values` as fit.
    pub fn fill(&mut self, values: &[Int]) {
        for (into, value) in self.all().iter_mut().zip(values) {
            *into = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BIGARRAY_DATA, BIGARRAY_DIM0, BIGARRAY_PROXY, HEADER_SHIFT};
    use super::{Buffer, Buffers, Int, Ints, checked_range};
    use core::ptr::{NonNull, null_mut, without_provenance_mut};
    use platform::error::Error;
    use proptest::prelude::{any, proptest};
    use proptest::prop_assert_eq;

    /// A word of OCaml memory, which may be a pointer.
    type Word = *mut u8;

    const DATA: usize = BIGARRAY_DATA / size_of::<Word>();
    const PROXY: usize = BIGARRAY_PROXY / size_of::<Word>();
    const DIM0: usize = BIGARRAY_DIM0 / size_of::<Word>();

    /// A bigarray of one dimension in OCaml's layout.
    struct Bigarray([Word; DIM0 + 1]);

    impl Bigarray {
        fn new(data: Word, len: usize) -> Bigarray {
            let mut block = [null_mut(); DIM0 + 1];
            block[DATA] = data;
            block[DIM0] = without_provenance_mut(len);
            Bigarray(block)
        }

        fn block(&mut self) -> NonNull<u8> {
            NonNull::from(&mut self.0).cast()
        }
    }

    #[test]
    fn a_view_is_the_fields_of_the_bigarray() {
        let mut bytes = [1, 2, 3];
        let mut array = Bigarray::new(bytes.as_mut_ptr(), 3);
        let mut buffer = Buffer(array.block());
        assert_eq!(buffer.range(0, 3), Ok(&mut [1, 2, 3][..]));
        assert_eq!(buffer.range(1, 3), Err(Error::Invalid));
        let mut other = [7; 5];
        let view = buffer.view();
        assert_eq!(*view.len, 3);
        *view.data = other.as_mut_ptr();
        *view.len = 5;
        *view.proxy = without_provenance_mut(64);
        assert_eq!(buffer.range(0, 5), Ok(&mut [7; 5][..]));
        assert_eq!(array.0[PROXY].addr(), 64);
    }

    #[test]
    fn each_bigarray_of_an_array_has_a_range() {
        let mut bytes = [[0u8; 8], [1; 8]];
        let mut arrays = bytes
            .each_mut()
            .map(|all| Bigarray::new(all.as_mut_ptr(), 8));
        let header = without_provenance_mut(2 << HEADER_SHIFT);
        let [first, second] = arrays.each_mut().map(|array| array.block().as_ptr());
        let mut array: [Word; 3] = [header, first, second];
        let buffers = Buffers(NonNull::from(&mut array[1]).cast());
        let pieces = |ranges: &mut [Int]| {
            let mut numbers = Bigarray::new(ranges.as_mut_ptr().cast(), ranges.len());
            let mut ints = Ints(numbers.block());
            let pieces = buffers.pieces(&mut ints)?;
            let lengths = pieces.map(|piece| piece.map(|piece| piece.len()));
            lengths.collect::<Result<std::vec::Vec<_>, _>>()
        };
        let invalid = Err(Error::Invalid);
        assert_eq!(pieces(&mut [0, 8, 8, 0]), Ok(std::vec![8, 0]));
        // Numbers after those of the last bigarray are ignored.
        assert_eq!(pieces(&mut [1, 2, 3, 4, -1, 9]), Ok(std::vec![2, 4]));
        assert_eq!(pieces(&mut [0, 8, 0]), invalid);
        assert_eq!(pieces(&mut [0, 8, 0, 9]), invalid);
        assert_eq!(pieces(&mut [0, 8, -1, 2]), invalid);
    }

    proptest! {
        /// Any range that OCaml passes is either within the buffer or rejected.
        #[test]
        fn ranges_stay_within(off in any::<isize>(), len in any::<isize>(), total in 0..64usize) {
            let wide = i128::try_from(off).expect("fits") + i128::try_from(len).expect("fits");
            let fits = off >= 0 && len >= 0 && wide <= total as i128;
            prop_assert_eq!(checked_range(off, len, total).is_ok(), fits);
        }

        /// The same where most of them fit.
        #[test]
        fn small_ranges_stay_within(off in -4..70isize, len in -4..70isize, total in 0..64usize) {
            let fits = off >= 0 && len >= 0 && (off + len) as usize <= total;
            let range = checked_range(off, len, total);
            prop_assert_eq!(range.is_ok(), fits);
            if let Ok(range) = range {
                prop_assert_eq!((range.start, range.len()), (off as usize, len as usize));
            }
        }
    }
}
