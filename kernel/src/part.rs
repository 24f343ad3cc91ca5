//! Optional parts of an image: the one mechanism by which a lower module calls code that only some
//! programs contain.
//!
//! A lower module declares a *slot* with [`slot!`](crate::slot!): a type that names the slot and
//! the type of its parts, a function or a trait object. An upper module places a *part* in it with
//! [`part!`](crate::part!): a static that refers to the slot by its path, so "go to definition"
//! leads from each part to its slot. The compiler checks the type of the part. The lower module
//! calls [`Slot::parts`], which returns the linked ones.
//!
//! ```no_run
//! kernel::slot! {
//!     /// Functions that each image runs at noon.
//!     pub enum Noon: fn() = "noon";
//! }
//!
//! kernel::part! {
//!     /// The bell.
//!     static BELL: Noon = || (), in ".soil_part.noon.bell";
//! }
//!
//! kernel::part::keep(&BELL);
//! ```
//!
//! A part of another type doesn't compile:
//!
//! ```compile_fail,E0308
//! kernel::slot! {
//!     pub enum Noon: fn() = "noon";
//! }
//!
//! kernel::part! {
//!     static BELL: Noon = |_: u32| (), in ".soil_part.noon.bell";
//! }
//! ```
//!
//! Nor does a section of another slot:
//!
//! ```compile_fail,E0080
//! kernel::slot! {
//!     pub enum Noon: fn() = "noon";
//! }
//!
//! kernel::part! {
//!     static BELL: Noon = || (), in ".soil_part.boot.bell";
//! }
//! ```
//!
//! A part is linked in one of two cases:
//!
//! - Code that is linked refers to it ([`keep`]).
//! - It has a symbol (`as "soil_with_…"`), which the link driver asks for, since it sees from the
//!   program's objects that the program needs the part (`tools/src/link/parts.rs`).
//!
//! The linker script (`tools/src/link/image.ld`) has one line for each slot, which collects the
//! sections of its parts. A slot that has no line there doesn't link.
//!
//! # Parts
//!
//! A part saves an image 100 KB or more. Smaller code is in each image.
//!
//! | slot | parts | size, reason |
//! |---|---|---|
//! | [`syscall::SystemCalls`](crate::syscall::SystemCalls) | `posix`: the table of system calls | in each image: the crate is above this one |
//! | `posix::system_calls::parts::FilesSlot`, `posix::namespace::Trees`, [`end::Finishers`](crate::end::Finishers) | `posix`: system calls on files, their tree, and its end | 150 KB |
//! | `posix::system_calls::parts::SocketsSlot` | `posix`: system calls on sockets | 300 KB and more, with the network |
//! | [`boot::Hooks`](crate::boot::Hooks) | `resources`: metadata on disks, metadata of services | with disks and the network |
//! | the same | `libc-compat`: hooks of collections | in each image: the crate is above this one |
//! | [`wait::Ticks`](crate::wait::Ticks) | `resources`: the network; `platform/image`: the display of the console | with the network, with displays |
//! | [`console::Mirrors`](crate::console::Mirrors) | `platform/image`: the display of the console | with displays |
//! | [`console::Drivers`](crate::console::Drivers) | `platform/image`: virtio consoles | 39 KB: an image without devices stays near 400 KB |
//! | [`random::Sources`](crate::random::Sources) | `platform/image`: entropy devices | 43 KB: for the same reason |
//!
//! # Function pointers that are registered at run time
//!
//! A slot takes the place of a pointer that a program stores at run time. These stay:
//!
//! | pointer | reason |
//! |---|---|
//! | handlers of interrupts (`interrupts::set_handler`) | the vector is known at run time |
//! | the functions of gates (`arch::gates::set_up`) | `arch` uses nothing of the kernel; assembly calls them |
//! | the hooks of OCaml's collections (`libc-compat/src/collector.rs`) | variables of OCaml's runtime |
//!
//! `tools/layers/tests/limits.rs` counts them.

/// A place for parts. Declared by [`slot!`](crate::slot!).
pub trait Slot {
    /// The type of each part.
    type Part: 'static;

    /// The beginning of the names of its parts' sections.
    const SECTION: &'static str;

    /// The addresses between which the linker places the parts.
    fn bounds() -> [*const Self::Part; 2];

    /// The linked parts, in the order of the linker script.
    fn parts() -> &'static [Self::Part] {
        let [start, end] = Self::bounds();
        // Not by comparing the two: without parts they are equal, but never for Rust.
        let count = (end.addr() - start.addr()) / size_of::<Self::Part>();
        // SAFETY: the linker script places between the two the sections of this slot, each of which
        // has one value of this type: `part!` checks both.
        unsafe { core::slice::from_raw_parts(start, count) }
    }
}

/// Makes the linker keep a part wherever it keeps the caller.
#[inline(always)]
pub fn keep<T>(part: &'static T) {
    core::hint::black_box(core::ptr::from_ref(part));
}

/// Whether `section` is one of a slot whose sections begin with `beginning`.
#[doc(hidden)]
pub const fn is_within(section: &str, beginning: &str) -> bool {
    let (section, beginning) = (section.as_bytes(), beginning.as_bytes());
    let mut at = 0;
    while at < beginning.len() {
        if at == section.len() || section[at] != beginning[at] {
            return false;
        }
        at += 1;
    }
    at < section.len()
}

/// Declares a [`Slot`]: `pub enum SLOT: TYPE = "name";`. Its parts are in the sections
/// `.soil_part.name.…`.
#[macro_export]
macro_rules! slot {
    ($(#[$meta:meta])* $visibility:vis enum $slot:ident: $part:ty = $name:literal;) => {
        $(#[$meta])*
        $visibility enum $slot {}

        impl $crate::part::Slot for $slot {
            type Part = $part;

            const SECTION: &'static str = concat!(".soil_part.", $name, ".");

            fn bounds() -> [*const $part; 2] {
                unsafe extern "Rust" {
                    #[link_name = concat!("soil_part_", $name, "_start")]
                    static START: $part;
                    #[link_name = concat!("soil_part_", $name, "_end")]
                    static END: $part;
                }
                [&raw const START, &raw const END]
            }
        }
    };
}

/// Places a part: `static PART: SLOT = VALUE, in ".soil_part.slot.part";`, with
/// `as "symbol"` before the semicolon for a part that the link driver asks for.
#[macro_export]
macro_rules! part {
    (
        $(#[$meta:meta])* $visibility:vis static $part:ident: $slot:ty = $value:expr,
        in $section:literal $(as $symbol:literal)?;
    ) => {
        $(#[$meta])*
        $(#[unsafe(export_name = $symbol)])?
        #[unsafe(link_section = $section)]
        $visibility static $part: <$slot as $crate::part::Slot>::Part = $value;

        const _: () = assert!(
            $crate::part::is_within($section, <$slot as $crate::part::Slot>::SECTION),
            "the section is another slot's"
        );
    };
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn sections_belong_to_one_slot() {
        assert!(is_within(".soil_part.boot.disks", ".soil_part.boot."));
        assert!(!is_within(".soil_part.boots.disks", ".soil_part.boot."));
        assert!(!is_within(".soil_part.boot.", ".soil_part.boot."));
        assert!(!is_within(".soil_part", ".soil_part.boot."));
    }
}
