//! What the loader hands over: a device tree.

use super::seed;
use super::survey::Survey;
use crate::acpi;
use crate::memory::DIRECT;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use firmware::fdt::{self, Fdt, HEADER};
use firmware::memory::{MemoryMap, Physical, Region};

/// What the message of a failure names.
pub const NAME: &str = "device tree";

/// The device tree, in place: its memory is never used for anything else.
pub struct Handover {
    pub(super) survey: Survey<'static>,
    /// Its physical addresses.
    place: Region,
    /// The place of the initrd, empty without one.
    pub initrd: Region,
}

/// The tree's address in the direct map; null before [`Handover::keep`]. Written once.
static TREE: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// Its length in bytes. Written before [`TREE`].
static TREE_LEN: AtomicUsize = AtomicUsize::new(0);

/// Reads the device tree at this physical address, on the boot tables, which map it; `None` if it
/// is invalid. Takes the random bytes out of it.
pub fn read(tree: u64) -> Option<Handover> {
    const ALIGNMENT: u64 = 8;
    if tree == 0 || !tree.is_multiple_of(ALIGNMENT) || tree >> 39 != 0 {
        return None;
    }
    let bytes = (DIRECT + tree) as *mut u8;
    // SAFETY: the boot tables map what lies at the address and in the 2 MiB after it, which is the
    // maximum size that `size` allows. Memory of the loader that isn't used otherwise, see
    // `usable`.
    let bytes = unsafe {
        let header = core::slice::from_raw_parts(bytes, HEADER);
        core::slice::from_raw_parts_mut(bytes, fdt::size(header)?)
    };
    seed::keep(bytes);
    let bytes: &[u8] = bytes;
    let parsed = Fdt::parse(bytes)?;
    let place = Region {
        start: tree,
        end: tree + parsed.used() as u64,
    };
    let survey = Survey::new(parsed);
    Some(Handover {
        initrd: survey.initrd(),
        survey,
        place,
    })
}

impl MemoryMap for Handover {
    fn usable<M: Physical>(&self, _: &M) -> impl Iterator<Item = Region> {
        self.survey.usable(self.place)
    }
}

impl Handover {
    /// Keeps the tree, for [`tree`].
    pub(super) fn keep(&self) {
        TREE_LEN.store(self.survey.tree.used(), Ordering::Relaxed);
        let tree = (DIRECT + self.place.start) as *mut u8;
        // Release: pairs with the load in `tree`.
        TREE.store(tree, Ordering::Release);
    }

    /// The command line; empty if there is none.
    pub fn command_line<'a>(&self, _: &'a impl Physical) -> &'a [u8] {
        let chosen = self.survey.chosen;
        chosen
            .and_then(|node| node.string("bootargs"))
            .unwrap_or(&[])
    }
}

/// The device tree; `None` before [`Handover::keep`].
pub(super) fn tree() -> Option<Fdt<'static>> {
    // Acquire: pairs with the store in `Handover::keep`.
    let bytes = TREE.load(Ordering::Acquire);
    let len = TREE_LEN.load(Ordering::Relaxed);
    // SAFETY: a tree that `read` has accepted, mapped and unchanged for good.
    let bytes = (!bytes.is_null()).then(|| unsafe { core::slice::from_raw_parts(bytes, len) })?;
    Fdt::parse(bytes)
}

/// The physical address of the machine's identifier, which changes when it resumes from a snapshot:
/// ACPI's "VM generation ID", or the tree's.
pub fn machine_id() -> Option<u64> {
    acpi::tables().machine_id.or_else(|| {
        let node = tree()?.compatible(&["microsoft,vmgenid"])?;
        node.registers().next().map(|(address, _)| address)
    })
}
