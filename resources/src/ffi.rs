//! The FFI types, and the only place that reads OCaml's memory.
//!
//! The list is closed: the generator refuses a function whose signature names any other type. Each
//! type is passed as one machine word, so that OCaml calls Rust directly, without a C stub in
//! between.
//!
//! A value of a pointer type is only ever made by OCaml's own call of a `soil_*` function, which is
//! what makes the accessors below sound: the OCaml side's `external` declares the matching OCaml
//! type, both come from the same generator, and a `noalloc` external runs with the OCaml heap
//! standing still. What OCaml's types do *not* promise, offsets and lengths, is checked here.

pub mod constants;
pub mod records;

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use platform::error::Error;

/// An OCaml `int`, untagged: 63 significant bits.
pub type Int = isize;

/// Offset of a bigarray's data pointer from its value: the field after the custom block's
/// operations.
const BIGARRAY_DATA: usize = 8;
/// Offset of the pointer to what counts the bigarrays of the same memory: after data, number of
/// dimensions and flags.
const BIGARRAY_PROXY: usize = 32;
/// Offset of the first dimension: after data, number of dimensions, flags and proxy.
const BIGARRAY_DIM0: usize = 40;
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
/// which stays where it is for as long as the caller keeps the bigarray alive.
#[repr(transparent)]
pub struct Buffer(NonNull<u8>);

/// An OCaml `(int, int_elt, c_layout) Bigarray.Array1.t`, for results of several numbers.
#[repr(transparent)]
pub struct Ints(NonNull<u8>);

/// An OCaml `array` of what a [`Buffer`] is, valid for the length of the call only.
#[repr(transparent)]
pub struct Buffers(NonNull<u8>);

/// A checked piece of a [`Buffer`] that outlives the call: what a device or a parked operation
/// works on.
///
/// The OCaml side keeps the bigarray alive until the operation's completion, or a cancellation that
/// answered 1, has been seen.
#[derive(Clone, Copy)]
pub struct Piece {
    start: NonNull<u8>,
    len: usize,
}

/// An [`Ints`] that outlives the call, under the same agreement as a [`Piece`].
#[derive(Clone, Copy)]
pub struct IntsPiece {
    start: NonNull<Int>,
    len: usize,
}

/// The bounds of `off..off + len` within `total`, or [`Error::Invalid`].
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

/// The length in bytes of the OCaml string at `value`, from its header and its last byte.
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
    /// The bytes `off..off + len`.
    pub fn range(&mut self, off: Int, len: Int) -> Result<&mut [u8], Error> {
        // SAFETY: OCaml's type of the argument is `bytes`.
        let range = checked_range(off, len, unsafe { string_length(self.0) })?;
        // SAFETY: the range lies within the block, which nothing else touches during a noalloc call.
        Ok(unsafe {
            core::slice::from_raw_parts_mut(self.0.add(range.start).as_ptr(), range.len())
        })
    }
}

impl Text {
    /// All of it.
    pub fn all(&self) -> &[u8] {
        // SAFETY: OCaml's type of the argument is `string`; it is immutable and outlives the call.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr(), string_length(self.0)) }
    }

    /// All of it, for as long as the program runs: where it lies if it is static data of the
    /// program, which the collector neither moves nor frees, else copied.
    pub fn for_good(&self) -> &'static [u8] {
        // SAFETY: every OCaml block is preceded by its header word.
        let header = unsafe { self.0.cast::<usize>().sub(1).read() };
        if header & COLOUR == STATIC_COLOUR {
            let all = self.all();
            // SAFETY: it stays, and strings are immutable.
            unsafe { core::slice::from_raw_parts(all.as_ptr(), all.len()) }
        } else {
            alloc::boxed::Box::leak(self.all().into())
        }
    }

    /// The bytes `off..off + len`.
    pub fn range(&self, off: Int, len: Int) -> Result<&[u8], Error> {
        let all = self.all();
        let range = checked_range(off, len, all.len())?;
        all.get(range).ok_or(Error::Invalid)
    }

    /// All of it as UTF-8, which paths, names and options are.
    pub fn utf8(&self) -> Result<&str, Error> {
        core::str::from_utf8(self.all()).map_err(|_| Error::InvalidName)
    }
}

/// Data pointer and first dimension of a bigarray.
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

impl Buffer {
    /// The bytes `off..off + len`, for the length of the call.
    pub fn range(&mut self, off: Int, len: Int) -> Result<&mut [u8], Error> {
        let piece = self.piece(off, len)?;
        // SAFETY: a checked part of the bigarray, borrowed for this call only.
        Ok(unsafe { core::slice::from_raw_parts_mut(piece.start.as_ptr(), piece.len) })
    }

    /// The bytes `off..off + len`, for an operation that outlives the call.
    pub fn piece(&self, off: Int, len: Int) -> Result<Piece, Error> {
        // SAFETY: OCaml's type of the argument is a one-dimensional bigarray of bytes.
        let (data, total) = unsafe { bigarray(self.0) };
        let range = checked_range(off, len, total)?;
        let data = NonNull::new(data).unwrap_or(NonNull::dangling());
        // SAFETY: within the bigarray, or one past its end for an empty piece.
        let start = unsafe { data.add(range.start) };
        Ok(Piece {
            start,
            len: range.len(),
        })
    }
}

/// OCaml's reference count of the bigarrays on one piece of memory, for memory that isn't OCaml's
/// (`struct caml_ba_proxy`): the finaliser of a bigarray, and of each `sub` of it, takes one off,
/// and only the last one would free the memory. One of the count is ours, so that it never does.
#[repr(C)]
pub struct Proxy {
    count: AtomicUsize,
    data: *mut u8,
    size: usize,
}

/// The fields of an OCaml bigarray before it was pointed at leased memory.
#[derive(Clone, Copy)]
pub struct Before {
    data: *mut u8,
    proxy: *mut u8,
}

impl Proxy {
    /// A proxy for memory that no bigarray refers to.
    pub fn new(memory: NonNull<u8>, size: usize) -> Proxy {
        Proxy {
            count: AtomicUsize::new(1),
            data: memory.as_ptr(),
            size,
        }
    }

    /// Whether OCaml can reach the memory no more.
    pub fn is_unused(&self) -> bool {
        self.count.load(Ordering::Acquire) == 1
    }
}

impl Buffer {
    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        // SAFETY: OCaml's type of the argument is a one-dimensional bigarray of bytes.
        unsafe { bigarray(self.0) }.1 == 0
    }

    /// Points an empty bigarray at the memory of `proxy`.
    ///
    /// # Safety
    /// The memory and the proxy stay valid, and where they are, until [`Proxy::is_unused`].
    pub unsafe fn lend(&mut self, proxy: NonNull<Proxy>) -> Before {
        // SAFETY: fields of the bigarray, as in `bigarray`; nothing else reads it during a
        // noalloc call. Its own memory is kept alive by its own proxy, whose count stays as it is.
        unsafe {
            let data = self.0.add(BIGARRAY_DATA).cast::<*mut u8>();
            let place = self.0.add(BIGARRAY_PROXY).cast::<*mut u8>();
            let before = Before {
                data: data.read(),
                proxy: place.read(),
            };
            let size = (*proxy.as_ptr()).size;
            data.write((*proxy.as_ptr()).data);
            place.write(proxy.as_ptr().cast());
            self.0.add(BIGARRAY_DIM0).cast::<usize>().write(size);
            (*proxy.as_ptr()).count.fetch_add(1, Ordering::AcqRel);
            before
        }
    }

    /// Points a bigarray that was lent memory of `proxy` at other memory that it counts for;
    /// [`Error::Invalid`] if it wasn't.
    ///
    /// # Safety
    /// The `len` bytes at `memory` stay valid, and where they are, until [`Proxy::is_unused`].
    pub unsafe fn show(
        &mut self,
        proxy: NonNull<Proxy>,
        memory: NonNull<u8>,
        len: usize,
    ) -> Result<(), Error> {
        // SAFETY: as in `lend`.
        unsafe {
            if self.0.add(BIGARRAY_PROXY).cast::<*mut u8>().read() != proxy.as_ptr().cast() {
                return Err(Error::Invalid);
            }
            let data = self.0.add(BIGARRAY_DATA).cast::<*mut u8>();
            data.write(memory.as_ptr());
            self.0.add(BIGARRAY_DIM0).cast::<usize>().write(len);
        }
        Ok(())
    }

    /// Makes a bigarray what it was before it was lent the memory of `proxy`; [`Error::Invalid`] if
    /// it wasn't.
    pub fn take_back(&mut self, proxy: NonNull<Proxy>, before: Before) -> Result<(), Error> {
        // SAFETY: as in `lend`; the proxy is alive, for the bigarray points at it.
        unsafe {
            let place = self.0.add(BIGARRAY_PROXY).cast::<*mut u8>();
            if place.read() != proxy.as_ptr().cast() {
                return Err(Error::Invalid);
            }
            self.0.add(BIGARRAY_DATA).cast().write(before.data);
            place.write(before.proxy);
            self.0.add(BIGARRAY_DIM0).cast::<usize>().write(0);
            (*proxy.as_ptr()).count.fetch_sub(1, Ordering::AcqRel);
        }
        Ok(())
    }
}

impl Buffers {
    /// Number of bigarrays.
    pub fn count(&self) -> usize {
        // SAFETY: every OCaml block is preceded by its header word; an empty array is one of no
        // words.
        unsafe { self.0.cast::<usize>().sub(1).read() >> HEADER_SHIFT }
    }

    /// Bigarray `index`.
    pub fn get(&self, index: usize) -> Option<Buffer> {
        // SAFETY: OCaml's type of the argument is an array of bigarrays, so each of its words is
        // one.
        (index < self.count())
            .then(|| Buffer(unsafe { self.0.cast::<NonNull<u8>>().add(index).read() }))
    }
}

impl Ints {
    /// All of it.
    pub fn all(&mut self) -> &mut [Int] {
        // SAFETY: OCaml's type of the argument is a one-dimensional bigarray of native words
        // (`int_elt`).
        let (data, len) = unsafe { bigarray(self.0) };
        match NonNull::new(data) {
            // SAFETY: `len` words at `data`, aligned by malloc, used by nobody else during the
            // call.
            Some(data) => unsafe { core::slice::from_raw_parts_mut(data.cast().as_ptr(), len) },
            None => &mut [],
        }
    }

    /// All of it, for an operation that outlives the call.
    pub fn piece(&mut self) -> IntsPiece {
        let all = self.all();
        IntsPiece {
            start: NonNull::from(&mut *all).cast(),
            len: all.len(),
        }
    }

    /// Writes as many of `values` as fit.
    pub fn fill(&mut self, values: &[Int]) {
        for (into, value) in self.all().iter_mut().zip(values) {
            *into = *value;
        }
    }
}

impl Piece {
    /// A piece that is no bigarray's; the test keeps `bytes` alive.
    #[cfg(test)]
    pub fn of(bytes: &mut [u8]) -> Piece {
        Piece {
            start: NonNull::from(&mut *bytes).cast(),
            len: bytes.len(),
        }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Address of the first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `len` bytes from `off` on, as far as they are there.
    pub fn part(&self, off: usize, len: usize) -> Piece {
        let off = off.min(self.len);
        Piece {
            // SAFETY: within the piece, or one past its end.
            start: unsafe { self.start.add(off) },
            len: len.min(self.len - off),
        }
    }

    /// The memory, to be read.
    ///
    /// # Safety
    /// The operation that owns the piece has not completed.
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        // SAFETY: the OCaml side keeps the bigarray alive until the operation completes, and
        // doesn't change it.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The memory itself.
    ///
    /// # Safety
    /// The operation that owns the piece has not completed, and no other slice of the same memory
    /// is in use.
    pub unsafe fn as_mut_slice<'a>(self) -> &'a mut [u8] {
        // SAFETY: the OCaml side keeps the bigarray alive until the operation completes.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl IntsPiece {
    /// Numbers that are no bigarray's; the test keeps them alive.
    #[cfg(test)]
    pub fn of(numbers: &mut [Int]) -> IntsPiece {
        IntsPiece {
            start: NonNull::from(&mut *numbers).cast(),
            len: numbers.len(),
        }
    }

    /// Where number `index` is, for OCaml's runtime, which makes bigarrays of a length in memory.
    pub fn address_of(&self, index: usize) -> Int {
        let first = self.start.as_ptr().expose_provenance();
        (first + index * size_of::<Int>()) as Int
    }

    /// Writes as many of `values` as fit.
    ///
    /// # Safety
    /// The operation that owns the piece has not completed.
    pub unsafe fn fill(self, values: &[Int]) {
        // SAFETY: the OCaml side keeps the bigarray alive until the operation completes.
        let all = unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) };
        for (into, value) in all.iter_mut().zip(values) {
            *into = *value;
        }
    }
}

/// Bigarrays and arrays laid out as OCaml has them. The test keeps them and their memory alive.
#[cfg(test)]
pub mod fake {
    use super::{BIGARRAY_DATA, BIGARRAY_DIM0, BIGARRAY_PROXY, Buffer, Buffers, HEADER_SHIFT};
    use super::{Int, Ints, Ordering, Proxy};
    use core::ptr::{NonNull, without_provenance_mut};
    use std::boxed::Box;
    use std::vec::Vec;

    /// A word of OCaml's, which may be a pointer.
    type Word = *mut u8;

    const DATA: usize = BIGARRAY_DATA / size_of::<Word>();
    const PROXY: usize = BIGARRAY_PROXY / size_of::<Word>();
    const DIM0: usize = BIGARRAY_DIM0 / size_of::<Word>();

    /// A bigarray of one dimension.
    pub struct Bigarray(Box<[Word; DIM0 + 1]>);

    impl Bigarray {
        fn new(data: Word, len: usize) -> Bigarray {
            let mut block = Box::new([core::ptr::null_mut(); DIM0 + 1]);
            block[DATA] = data;
            block[DIM0] = without_provenance_mut(len);
            Bigarray(block)
        }

        /// One of bytes.
        pub fn of(bytes: &mut [u8]) -> Bigarray {
            Bigarray::new(bytes.as_mut_ptr(), bytes.len())
        }

        /// One of `int`s.
        pub fn of_ints(numbers: &mut [Int]) -> Bigarray {
            Bigarray::new(numbers.as_mut_ptr().cast(), numbers.len())
        }

        fn block(&mut self) -> NonNull<u8> {
            NonNull::from(&mut *self.0).cast()
        }

        /// As a function gets it.
        pub fn buffer(&mut self) -> Buffer {
            Buffer(self.block())
        }

        /// The same of a bigarray of `int`s.
        pub fn ints(&mut self) -> Ints {
            Ints(self.block())
        }

        /// What it shows now.
        pub fn shown(&mut self) -> Vec<u8> {
            let len = self.0[DIM0].addr() as Int;
            self.buffer().range(0, len).expect("all of it").to_vec()
        }

        /// What counts it and its parts. It was lent something.
        pub fn parts(&self) -> Parts {
            Parts(self.0[PROXY].cast())
        }
    }

    /// The bigarrays of the same memory.
    pub struct Parts(*mut Proxy);

    impl Parts {
        /// There is one more, as after `sub`.
        pub fn add(&self) {
            // SAFETY: the proxy is there for as long as any of them is.
            unsafe { &*self.0 }.count.fetch_add(1, Ordering::AcqRel);
        }

        /// One is finalised.
        pub fn end(&self) {
            // SAFETY: as above.
            unsafe { &*self.0 }.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// An array of bigarrays: its header, and a word for each.
    pub struct Array(Vec<Word>);

    impl Array {
        /// One of these.
        pub fn of(bigarrays: &mut [Bigarray]) -> Array {
            let header = without_provenance_mut(bigarrays.len() << HEADER_SHIFT);
            let blocks = bigarrays.iter_mut().map(|one| one.block().as_ptr());
            // A word more: an empty one has a place behind its header, too.
            let end = core::ptr::null_mut();
            Array([header].into_iter().chain(blocks).chain([end]).collect())
        }

        /// As a function gets it.
        pub fn buffers(&mut self) -> Buffers {
            let header = NonNull::from(&mut *self.0).cast::<Word>();
            // SAFETY: there is a word behind the header.
            Buffers(unsafe { header.add(1) }.cast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::checked_range;
    use proptest::prelude::{any, proptest};
    use proptest::prop_assert_eq;

    proptest! {
        /// Whatever OCaml passes, a range is one of the buffer or refused.
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
