//! The processor's use of page tables: the root, and the translations that it caches.

use super::paging::PAGE;
use core::arch::asm;
use core::ops::Range;

/// A flush is for all processors.
pub const BROADCASTS: bool = true;

/// Translates both halves of the address space by the tables below the frame `root` from now on.
///
/// # Safety
/// They map all code and data in use as the current ones do.
pub unsafe fn activate(root: u64) {
    // SAFETY: the caller's promise.
    unsafe { soil_tables(root) };
}

unsafe extern "C" {
    /// Switches this processor from the boot tables to the tables below the frame `root`.
    ///
    /// # Safety
    /// As for [`activate`]. This code and the boot stack are in the lower half.
    fn soil_tables(root: u64);
}

// The same addresses have blocks in the boot tables and pages in the others. A processor that has
// both cached may report a conflict or use a mixture (Arm ARM, D8.16, "break-before-make"), so they
// are never valid at the same time. In the lower half, where this runs, the boot entries are those
// of ASID 0 (NOT_GLOBAL), and the real ones are looked up with ASID 1 from the moment at which one
// register gets both the ASID and the root. The upper half uses the same ASID, but another
// register: its walks are disabled (TCR_EL1.EPD1) until the boot entries are flushed.
core::arch::global_asm!(
    r#"
    .pushsection .text.soil_tables, "ax", @progbits
    .globl soil_tables
soil_tables:
    dsb ishst
    mrs x1, tcr_el1
    orr x1, x1, #(1 << 23)
    msr tcr_el1, x1
    isb
    msr ttbr1_el1, x0
    orr x0, x0, #(1 << 48)
    msr ttbr0_el1, x0
    isb
    tlbi vmalle1
    dsb nsh
    isb
    bic x1, x1, #(1 << 23)
    msr tcr_el1, x1
    isb
    ret
    .popsection
    "#
);

/// Makes an entry that was invalid before, and has been written, be used by accesses from now on.
pub fn publish() {
    // SAFETY: barriers.
    unsafe { asm!("dsb ishst", "isb", options(nostack)) };
}

/// Flushes the translation of one page.
pub fn flush(address: u64) {
    flush_each([address].into_iter());
}

/// Flushes the translations of some pages. Waits once for all processors.
pub fn flush_each(addresses: impl Iterator<Item = u64>) {
    // SAFETY: translations are read from the tables again, which were written before.
    unsafe { asm!("dsb ishst", options(nostack)) };
    for address in addresses {
        // Bits 55 to 12 of the address; ASID and level are those of any.
        let page = address >> 12 & ((1 << 44) - 1);
        // SAFETY: as above.
        unsafe { asm!("tlbi vaae1is, {}", in(reg) page, options(nostack)) };
    }
    // SAFETY: as above.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
}

/// Flushes all translations. QEMU's software TLB grows only here, see `memory::tlb`.
pub fn flush_all() {
    // SAFETY: as for `flush`.
    unsafe {
        asm!(
            "dsb ishst",
            "tlbi vmalle1is",
            "dsb ish",
            "isb",
            options(nostack)
        )
    };
}

/// Flushes the translations of these addresses.
pub fn flush_range(range: Range<u64>) {
    /// From this many pages on, flushing all translations is cheaper than flushing each.
    const EACH: u64 = 64;
    if range.end - range.start > EACH * PAGE {
        return flush_all();
    }
    flush_each(range.step_by(PAGE as usize));
}

/// Whether the program may read, or write, at `address` by the page tables as they are now. The
/// processor may report a fault although another one has mapped the page before: what orders their
/// other accesses doesn't order the walk of the tables (Arm ARM, D8.16, FEAT_ETS2).
pub fn translates(address: u64, write: bool) -> bool {
    let result: u64;
    // SAFETY: translates, and reads the result.
    unsafe {
        match write {
            true => asm!("at s1e1w, {}", in(reg) address, options(nostack)),
            false => asm!("at s1e1r, {}", in(reg) address, options(nostack)),
        }
        asm!("isb", "mrs {}, par_el1", out(reg) result, options(nostack));
    }
    result & 1 == 0
}

/// Whether page tables can translate `address`: as on x86-64, its upper 17 bits are equal. The two
/// halves share one root, whose first 256 entries are the lower half's.
pub fn is_canonical(address: u64) -> bool {
    matches!(address >> 47, 0 | 0x1_ffff)
}
