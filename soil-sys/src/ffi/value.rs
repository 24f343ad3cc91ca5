//! Calling convention of bytecode: all arguments and the result are tagged values, and a function
//! with more than five arguments gets one array of them (section "Interfacing C with OCaml" of the
//! manual).
//!
//! `bytecode.rs` is generated and has a stub for each function of `abi`; native code calls those
//! functions directly.

use super::{Buffer, Buffers, Bytes, Int, Ints, Pixels, Text};
use core::ptr::NonNull;

/// An OCaml value: an integer with a tag in its lowest bit, or a pointer.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Value(*const u8);

impl From<Int> for Value {
    fn from(number: Int) -> Value {
        Value(core::ptr::without_provenance(
            ((number << 1) | 1).cast_unsigned(),
        ))
    }
}

/// A type of the parent module that can be converted from an argument's tagged value.
pub trait Argument {
    /// Converts the argument.
    ///
    /// # Safety
    /// The value has the OCaml type that corresponds to `Self`.
    unsafe fn of(value: Value) -> Self;
}

impl Argument for Int {
    unsafe fn of(value: Value) -> Int {
        value.0.addr().cast_signed() >> 1
    }
}

macro_rules! pointers {
    ($($name:ident)*) => {
        $(impl Argument for $name {
            unsafe fn of(value: Value) -> $name {
                // SAFETY: values of this type are pointers to blocks, which aren't null.
                $name(unsafe { NonNull::new_unchecked(value.0.cast_mut()) })
            }
        })*
    };
}

pointers! { Bytes Text Buffer Buffers Ints Pixels }

/// Defines the stubs of functions with up to five arguments, and after `vectors` of those with
/// more.
macro_rules! stubs {
    ($(fn $stub:ident = $name:ident($($argument:ident),*);)* vectors
     $(fn $vector:ident = $long:ident($($element:ident),*);)*) => {
        $(#[unsafe(no_mangle)]
        #[allow(unused_unsafe, reason = "some functions have no argument")]
        unsafe extern "C" fn $stub($($argument: Value),*) -> Value {
            // SAFETY: the generated `external` declares the argument types of `abi`.
            Value::from(unsafe { crate::abi::$name($(Argument::of($argument)),*) })
        })*
        $(#[unsafe(no_mangle)]
        unsafe extern "C" fn $vector(
            arguments: *const Value,
            _: core::ffi::c_int,
        ) -> Value {
            const COUNT: usize = [$(stringify!($element)),*].len();
            // SAFETY: the interpreter passes as many values as the `external` has arguments, with
            // the types of `abi`.
            unsafe {
                let [$($element),*] = arguments.cast::<[Value; COUNT]>().read();
                Value::from(crate::abi::$long($(Argument::of($element)),*))
            }
        })*
    };
}
pub(crate) use stubs;

unsafe extern "C" {
    fn caml_print_exception_backtrace();
    fn caml_ba_alloc(flags: Int, dimensions: Int, data: *mut u8, dim: *const Int) -> Value;
}

/// Stub of `caml_print_exception_backtrace`, which native code calls directly. Argument and result
/// are meaningless integers.
#[unsafe(no_mangle)]
unsafe extern "C" fn soil_print_backtrace_bytecode(nothing: Value) -> Value {
    // SAFETY: a function of OCaml's runtime without arguments, called by its thread.
    unsafe { caml_print_exception_backtrace() };
    nothing
}

/// Stub of `caml_ba_alloc`, which native code calls directly: flags, number of dimensions, and the
/// addresses of the data and of the dimensions as `nativeint`s.
///
/// # Safety
/// The values have these types, and the addresses are valid for `caml_ba_alloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn soil_ba_alloc_bytecode(
    flags: Value,
    dimensions: Value,
    data: Value,
    dim: Value,
) -> Value {
    // SAFETY: the number of a `nativeint`, a custom block, follows its operations.
    unsafe {
        let address = |boxed: Value| boxed.0.cast::<*mut u8>().add(1).read();
        let (data, dim) = (address(data), address(dim));
        caml_ba_alloc(Int::of(flags), Int::of(dimensions), data, dim.cast())
    }
}
