//! Entries of page tables: four levels, 4 KiB pages, 48-bit addresses (Arm ARM, D8.3).
//!
//! The processor doesn't record which pages it has written ([`RECORDS_WRITES`]): a page that is
//! writable, but not written since [`clear_written`], is read-only for it, and the fault of the
//! next write calls [`set_written`].

pub use crate::arch::page::{Kind, PAGE};

/// The processor itself records that a page was written.
pub const RECORDS_WRITES: bool = false;

const VALID: u64 = 1;
/// A table at the levels above the last, a page at the last one.
const TABLE: u64 = 1 << 1;
/// The index of the memory type in MAIR_EL1, see [`super::start`].
const DEVICE: u64 = 1 << 2;
/// AP\[2\].
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
/// Without it the first access faults.
const ACCESSED: u64 = 1 << 10;
/// PXN: not executable at EL1.
const NO_EXECUTE: u64 = 1 << 53;
/// UXN: nothing runs at EL0.
const NO_EXECUTE_EL0: u64 = 1 << 54;
/// Software bits: 55 to 58.
const WRITABLE: u64 = 1 << 55;
const WRITTEN: u64 = 1 << 56;
/// The entry holds a frame although it isn't valid (memory that mprotect has made inaccessible).
const RETAINED: u64 = 1 << 57;
/// The frame must not be freed with the mapping (device memory).
const BORROWED: u64 = 1 << 58;

const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// The entry of a 2 MiB page of this use that begins with `frame`.
pub const fn large_page(frame: u64, kind: Kind) -> u64 {
    let memory = INNER_SHAREABLE;
    let write = WRITABLE | WRITTEN;
    frame
        | VALID
        | ACCESSED
        | NO_EXECUTE_EL0
        | match kind {
            Kind::Code => READ_ONLY | memory,
            Kind::Constant => READ_ONLY | NO_EXECUTE | memory,
            Kind::Data => write | NO_EXECUTE | memory,
            Kind::Registers => write | NO_EXECUTE | DEVICE | BORROWED,
            Kind::Firmware => READ_ONLY | NO_EXECUTE | memory | BORROWED,
            Kind::Video => write | NO_EXECUTE | memory | BORROWED,
        }
}

/// The entry of a 4 KiB page of this use in `frame`. A writable one counts as written.
pub const fn page(frame: u64, kind: Kind) -> u64 {
    large_page(frame, kind) | TABLE
}

/// `entry` of a page with memory, as a page of this use; whether it was written is kept.
pub const fn change(entry: u64, kind: Kind) -> u64 {
    let new = page(frame_of(entry), kind);
    match is_written(entry) {
        true => set_written(new),
        false => clear_written(new),
    }
}

/// `entry` of a page with memory as an inaccessible one, which holds its frame; whether it was
/// written is kept.
pub const fn retain(entry: u64) -> u64 {
    entry & (ADDRESS | WRITTEN) | RETAINED
}

/// `entry` as one that the processor doesn't use; the rest is kept.
pub const fn close(entry: u64) -> u64 {
    entry & !VALID
}

/// What replaces an entry that is to be `new`: the processor changes none.
pub const fn with_records(_: u64, _: u64, new: u64) -> u64 {
    new
}

/// The entry of a table.
pub const fn table(frame: u64) -> u64 {
    frame | VALID | TABLE
}

/// The frame that `entry` points to.
pub const fn frame_of(entry: u64) -> u64 {
    entry & ADDRESS
}

/// Whether the processor uses `entry`.
pub const fn is_present(entry: u64) -> bool {
    entry & VALID != 0
}

/// Whether `entry`, above the last level, is a page.
pub const fn is_large(entry: u64) -> bool {
    entry & (VALID | TABLE) == VALID
}

/// Whether the page may be written.
pub const fn is_writable(entry: u64) -> bool {
    entry & WRITABLE != 0
}

/// The bits of a page for how it is cached.
pub const fn caching(entry: u64) -> u64 {
    entry & DEVICE
}

/// Whether the frame must not be freed with the mapping.
pub const fn is_borrowed(entry: u64) -> bool {
    entry & BORROWED != 0
}

/// Whether the page was written since [`clear_written`], or since it was mapped.
pub const fn is_written(entry: u64) -> bool {
    entry & WRITTEN != 0
}

/// The entry of the same page, as written: a writable one can be written without a fault.
pub const fn set_written(entry: u64) -> u64 {
    match is_writable(entry) {
        true => (entry | WRITTEN) & !READ_ONLY,
        false => entry | WRITTEN,
    }
}

/// The entry of the same page, as not written: the next write faults.
pub const fn clear_written(entry: u64) -> u64 {
    let read_only = if is_present(entry) { READ_ONLY } else { 0 };
    entry & !WRITTEN | read_only
}

#[cfg(test)]
mod tests {
    use super::{
        Kind, PAGE, change, clear_written, frame_of, is_borrowed, is_large, is_present,
        is_writable, is_written, large_page, page, retain, set_written, table,
    };

    const READ_ONLY: u64 = 1 << 7;
    /// Attributes without the software's.
    const HARDWARE: u64 = 0x0060_0000_0000_0fff;

    #[test]
    fn entries_are_as_the_architecture_has_them() {
        let data = page(0x1234_5000, Kind::Data);
        // Page, inner shareable, accessed, read-write at EL1, PXN and UXN.
        assert_eq!(data & HARDWARE, 0x0060_0000_0000_0703);
        assert_eq!(frame_of(data), 0x1234_5000);
        assert_eq!(page(PAGE, Kind::Code) & HARDWARE, 0x0040_0000_0000_0783);
        assert_eq!(page(PAGE, Kind::Constant) & HARDWARE, 0x0060_0000_0000_0783);
        let registers = page(0x900_0000, Kind::Registers);
        assert_eq!(registers & HARDWARE, 0x0060_0000_0000_0407);
        assert!(is_borrowed(registers) && !is_borrowed(data));
        let tables = page(0, Kind::Firmware);
        assert_eq!(tables & HARDWARE, 0x0060_0000_0000_0783);
        assert!(is_borrowed(tables) && !is_writable(tables));
        assert_eq!(page(0, Kind::Video) & HARDWARE, 0x0060_0000_0000_0703);
        assert_eq!(table(PAGE), PAGE | 3);
        assert!(is_large(large_page(2 << 20, Kind::Data)) && !is_large(table(PAGE)));
    }

    #[test]
    fn the_first_write_faults_once_cleared() {
        let entry = page(PAGE, Kind::Data);
        assert!(is_written(entry) && entry & READ_ONLY == 0);
        let clean = clear_written(entry);
        assert!(!is_written(clean) && is_writable(clean) && clean & READ_ONLY != 0);
        assert_eq!(set_written(clean), entry);
        // A page that may not be written stays so.
        let code = set_written(page(PAGE, Kind::Code));
        assert!(!is_writable(code) && code & READ_ONLY != 0);
    }

    #[test]
    fn changes_keep_what_was_written() {
        let entry = page(0x5000, Kind::Data);
        let retained = retain(entry);
        assert!(!is_present(retained) && !is_large(retained) && retained != 0);
        assert!(frame_of(retained) == 0x5000 && is_written(retained));
        assert_eq!(change(retained, Kind::Data), entry);
        let clean = change(retain(clear_written(entry)), Kind::Data);
        assert!(!is_written(clean) && clean & READ_ONLY != 0);
        let constant = change(entry, Kind::Constant);
        assert!(is_written(constant) && constant & READ_ONLY != 0);
        assert_eq!(change(constant, Kind::Data), entry);
        assert_eq!(change(change(clean, Kind::Constant), Kind::Data), clean);
    }
}
