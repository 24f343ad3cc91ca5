//! ext4 with its journal, through rsext4.
//!
//! rsext4 knows the format and keeps the journal; here are the rules around it: which paths and
//! flags mean what, what stands between it and the device, which file systems are refused and
//! why, what happens to a corrupt one, and what the errors are called. The format is that of
//! Linux's `Documentation/filesystems/ext4`.

mod amend;
mod data;
mod device;
mod listing;
mod names;
mod operations;
mod places;
mod probe;
mod volume;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use rsext4::Ext4Result;
use rsext4::disknode::Ext4Timestamp;
use rsext4::runtime::{Event, JournalEvent, Observer};
use spin::Mutex;

pub use crate::VolumeOptions as Options;
use crate::cache::{Cache, Layout};
use crate::{Block, Clock, Error, MountError, Volume};
use device::Device;
use volume::Ext4Volume;

/// Mounts the ext4 file system on `device`, which is the whole disk or partition.
///
/// What the journal holds of an earlier, unclean end is replayed first; where nothing may be
/// written and there is something to replay, that is an error. A file system that is marked as
/// having errors is mounted read-only, with its [`Volume::health`] saying so. Dropping the volume
/// writes everything and leaves the journal empty.
pub fn mount(
    device: Box<dyn Block + Send>,
    options: Options,
) -> Result<Box<dyn Volume>, MountError> {
    Ok(Box::new(mount_volume(device, options)?))
}

fn mount_volume(
    mut device: Box<dyn Block + Send>,
    options: Options,
) -> Result<Ext4Volume, MountError> {
    let read_only = options.read_only || device.read_only();
    let mut found = probe::check(&mut *device, read_only)?;
    let writable = !read_only && !found.has_errors;
    let sector = device.sector_size();
    let sectors = device.sectors();
    let mut cache = Cache::new(device, &options);
    let layout = Layout {
        journaled: true,
        ..Layout::default()
    };
    cache
        .set_layout(layout)
        .map_err(|error| unreadable(&error))?;
    let cache = Arc::new(Mutex::new(cache));
    let device = Device::new(cache, sector, sectors, !writable, &mut found);
    let ext4 = volume::attach(&device, options.clock, found.journal, writable)
        .map_err(|error| refused(&error))?;
    if found.journal.is_none() && writable {
        log::warn!(
            "ext4 volume has no journal: a power cut can damage it; add one with tune2fs -j"
        );
    }
    let corrupt = found.has_errors.then(|| {
        let found = String::from("it is marked as having errors; repair it with e2fsck -f");
        log::error!("ext4 volume is read-only: {found}");
        found
    });
    Ok(Ext4Volume::new(
        ext4, device, &options, &found, !read_only, corrupt,
    ))
}

fn unreadable(error: &crate::BlockError) -> MountError {
    MountError {
        error: Error::Io,
        detail: format!("the disk can't be read: {error}; check the disk"),
    }
}

/// The one line that says why rsext4 wouldn't mount what looked right.
fn refused(found: &rsext4::Ext4Error) -> MountError {
    let error = names::error(found);
    let what = names::describe(found);
    let detail = match error {
        Error::Io => format!("the disk failed while mounting ({what}); check the disk"),
        Error::Unsupported => format!("an ext4 file system that can't be used: {what}"),
        Error::OutOfMemory => String::from("there is no memory for it; give the machine more"),
        _ => format!("the ext4 file system is corrupt: {what}; repair it with e2fsck -f"),
    };
    let error = match error {
        Error::Io | Error::Unsupported | Error::OutOfMemory => error,
        _ => Error::Corrupt,
    };
    MountError { error, detail }
}

/// The clock as rsext4 asks it.
pub(in crate::ext4) struct Time(Option<&'static Clock>);

impl rsext4::Clock for Time {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        let now = self.0.map_or(0, |clock| (clock.now)());
        Ok(Ext4Timestamp::new(now, 0))
    }
}

/// What rsext4 tells on the way, in the log.
pub(in crate::ext4) struct Notes;

impl Observer for Notes {
    fn event(&mut self, event: Event) {
        match event {
            Event::Journal(JournalEvent::ReplayRequested) => {
                log::info!("ext4 volume was not cleanly unmounted: replaying its journal");
            }
            event => log::debug!("ext4: {event:?}"),
        }
    }
}
