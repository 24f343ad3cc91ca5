//! Memory of the program for operations, and memory of Soil that the program can read.

use super::Int;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use platform::error::Error;

/// Copies as much of `text` as fits into `into`. Returns its full length.
pub fn copy(text: &[u8], into: &mut [u8]) -> usize {
    for (to, from) in into.iter_mut().zip(text) {
        *to = *from;
    }
    text.len()
}

/// A range of the program's memory that outlives the call, for a device or a pending operation.
///
/// The OCaml side keeps the bigarray alive until the operation has completed, or its cancellation
/// has returned 1.
#[derive(Clone, Copy)]
pub struct Piece {
    start: NonNull<u8>,
    len: usize,
}

/// A list of the program's numbers that outlives the call, with the same lifetime as a [`Piece`].
#[derive(Clone, Copy)]
pub struct IntsPiece {
    start: NonNull<Int>,
    len: usize,
}

/// OCaml's reference count for bigarrays that share memory outside of OCaml's control (`struct
/// caml_ba_proxy`). The finaliser of a bigarray, and of each `sub` of it, decrements it, and the
/// last one frees the memory. We hold one reference, so that this never happens.
#[repr(C)]
pub struct Proxy {
    count: AtomicUsize,
    data: *mut u8,
    size: usize,
}

/// The fields of a bigarray before it pointed at leased memory.
#[derive(Clone, Copy)]
pub struct Before {
    data: *mut u8,
    proxy: *mut Proxy,
}

impl Proxy {
    /// Creates a proxy for memory without bigarrays.
    pub fn new(memory: NonNull<u8>, size: usize) -> Proxy {
        Proxy {
            count: AtomicUsize::new(1),
            data: memory.as_ptr(),
            size,
        }
    }

    /// Whether the program can't reach the memory any more.
    pub fn is_unused(&self) -> bool {
        // Acquire: the program's last access of the memory, before its decrement, is over.
        self.count.load(Ordering::Acquire) == 1
    }
}

/// A bigarray, as the fields that describe its memory.
pub struct View<'a> {
    /// Address of the first byte.
    pub data: &'a mut *mut u8,
    /// Reference count of the bigarrays that share the memory, if there is more than one.
    pub proxy: &'a mut *mut Proxy,
    /// Length in bytes.
    pub len: &'a mut usize,
}

impl View<'_> {
    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        *self.len == 0
    }

    /// Points an empty bigarray at the memory of `proxy`.
    ///
    /// # Safety
    /// The memory and the proxy stay valid and don't move until [`Proxy::is_unused`].
    pub unsafe fn lend(&mut self, proxy: NonNull<Proxy>) -> Before {
        let before = Before {
            data: *self.data,
            proxy: *self.proxy,
        };
        // SAFETY: the proxy is valid. The bigarray's own memory is kept alive by its own proxy,
        // whose count doesn't change.
        let counted = unsafe { proxy.as_ref() };
        counted.count.fetch_add(1, Ordering::AcqRel);
        *self.data = counted.data;
        *self.proxy = proxy.as_ptr();
        *self.len = counted.size;
        before
    }

    /// Points a bigarray that `proxy` counts at other memory of that proxy; [`Error::Invalid`] for
    /// any other bigarray.
    ///
    /// # Safety
    /// The `len` bytes at `memory` stay valid and don't move until [`Proxy::is_unused`].
    pub unsafe fn show(
        &mut self,
        proxy: NonNull<Proxy>,
        memory: NonNull<u8>,
        len: usize,
    ) -> Result<(), Error> {
        if *self.proxy != proxy.as_ptr() {
            return Err(Error::Invalid);
        }
        *self.data = memory.as_ptr();
        *self.len = len;
        Ok(())
    }

    /// Restores a bigarray that was lent memory of `proxy`; [`Error::Invalid`] for any other.
    pub fn restore(&mut self, proxy: NonNull<Proxy>, before: Before) -> Result<(), Error> {
        if *self.proxy != proxy.as_ptr() {
            return Err(Error::Invalid);
        }
        *self.data = before.data;
        *self.proxy = before.proxy;
        *self.len = 0;
        // SAFETY: the proxy is alive, because the bigarray points at it.
        unsafe { proxy.as_ref() }
            .count
            .fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }
}

impl Piece {
    /// Creates a piece of the `len` bytes at `start`.
    ///
    /// # Safety
    /// The program owns them, and keeps them until the operation that gets the piece has completed.
    pub unsafe fn new(start: NonNull<u8>, len: usize) -> Piece {
        Piece { start, len }
    }

    /// Creates a piece that isn't a bigarray's; the test keeps `bytes` alive.
    #[cfg(test)]
    pub fn of(bytes: &mut [u8]) -> Piece {
        Piece {
            start: NonNull::from(&mut *bytes).cast(),
            len: bytes.len(),
        }
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the address of the first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the `len` bytes from `off` on, truncated at the end of the piece.
    pub fn part(&self, off: usize, len: usize) -> Piece {
        let off = off.min(self.len);
        Piece {
            // SAFETY: within the piece, or one past its end.
            start: unsafe { self.start.add(off) },
            len: len.min(self.len - off),
        }
    }

    /// Returns the memory for reading.
    ///
    /// # Safety
    /// The operation that owns the piece has not completed.
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        // SAFETY: the OCaml side keeps the bigarray alive until the operation completes, and
        // doesn't change it.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Returns the memory.
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
    /// Creates a list of the `len` numbers at `start`.
    ///
    /// # Safety
    /// As for [`Piece::new`].
    pub unsafe fn new(start: NonNull<Int>, len: usize) -> IntsPiece {
        IntsPiece { start, len }
    }

    /// Creates a list that isn't a bigarray's; the test keeps the numbers alive.
    #[cfg(test)]
    pub fn of(numbers: &mut [Int]) -> IntsPiece {
        IntsPiece {
            start: NonNull::from(&mut *numbers).cast(),
            len: numbers.len(),
        }
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the address of number `index`, for OCaml's runtime, which reads lengths of bigarrays
    /// from memory.
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

/// Bigarrays of a test, which keeps their memory alive.
#[cfg(test)]
pub mod fake {
    use super::{Ordering, Proxy, View};
    use core::ptr::null_mut;
    use std::vec::Vec;

    /// Creates a bigarray of one dimension.
    pub struct Bigarray {
        data: *mut u8,
        proxy: *mut Proxy,
        len: usize,
    }

    impl Bigarray {
        /// One of bytes.
        pub fn of(bytes: &mut [u8]) -> Bigarray {
            Bigarray {
                data: bytes.as_mut_ptr(),
                proxy: null_mut(),
                len: bytes.len(),
            }
        }

        /// As a function gets it.
        pub fn view(&mut self) -> View<'_> {
            View {
                data: &mut self.data,
                proxy: &mut self.proxy,
                len: &mut self.len,
            }
        }

        /// The bytes that it shows now.
        pub fn shown(&self) -> Vec<u8> {
            // SAFETY: it shows the test's memory, or what it was lent.
            unsafe { core::slice::from_raw_parts(self.data, self.len) }.to_vec()
        }

        /// The proxy of it and its parts. It was lent memory before.
        pub fn parts(&self) -> Parts {
            Parts(self.proxy)
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
}
