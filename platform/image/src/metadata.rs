//! The machine's metadata: read from a labelled disk before the program starts, or set by the
//! network's client.

use crate::Image;
use crate::disks::{self, Direct, Disk};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::environment;
use metadata::Instance;
use platform::error::Failure;

/// The metadata, never freed; null if there are none. Written before the program starts.
static INSTANCE: AtomicPtr<Instance> = AtomicPtr::new(null_mut());

impl platform::Metadata for Image {
    fn instance() -> Result<Option<&'static Instance>, Failure> {
        // Acquire: pairs with `set`. SAFETY: only boxes that are never freed are stored there.
        Ok(unsafe { INSTANCE.load(Ordering::Acquire).as_ref() })
    }
}

/// Sets the metadata, adds the program's variables to the environment where the command line
/// doesn't set them, and its arguments if the command line has none. Only in a hook of the boot.
pub fn set(instance: Instance) {
    let instance: &'static Instance = Box::leak(Box::new(instance));
    // Release: the box is complete for who loads its address.
    INSTANCE.store(core::ptr::from_ref(instance).cast_mut(), Ordering::Release);
    let program = &instance.program;
    let variables: Vec<(&str, &str)> = program
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let arguments: Vec<&str> = program.arguments.iter().map(|word| word.as_str()).collect();
    if !variables.is_empty() || !arguments.is_empty() {
        environment::add(&variables, &arguments);
    }
}

/// Opens all disks, for the program, and returns the metadata of the first that has some, but
/// for a disk of which a partition is the program's. Problems are logged. Waits for the disks. Call
/// it once, in a hook of the boot.
pub fn read_disks() -> Option<Instance> {
    let opened = disks::open();
    let searched = |disk: &&Disk| !disk.is_partition();
    let found = opened.iter().filter(searched).find_map(|disk| {
        let direct = Direct::new(disk).ok()?;
        metadata::disk::read(&mut || Box::new(direct.clone())).unwrap_or_else(|error| {
            log::warn!("disk {}: {error}", disk.name);
            None
        })
    });
    disks::keep(opened);
    found
}
