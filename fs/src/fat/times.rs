//! Times of files that a program sets.

use hadris_fs::sync::FileSystem;
use hadris_fs::{DateTime, SetAttr};

use super::volume::{Change, FatVolume, Result};
use crate::{Error, Time, path};

/// Returns the nearest time that FAT can store.
fn date(time: Time) -> DateTime {
    // FAT has the years 1980 to 2107, and hadris-fat clamps other times to these.
    let seconds = time.seconds.clamp(0, 1 << 33);
    DateTime::from_unix_seconds(seconds).unwrap_or(DateTime::UNIX_EPOCH)
}

impl FatVolume {
    /// See [`crate::Volume::set_times`].
    pub fn set_times_of(
        &mut self,
        path: &str,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Result<()> {
        if path::split_last(path).is_none() {
            // The root has no entry, and so no times.
            return Err(Error::Unsupported);
        }
        let mut changes = SetAttr::new();
        if let Some(time) = accessed {
            changes = changes.with_accessed(date(time));
        }
        if let Some(time) = modified {
            changes = changes.with_modified(date(time));
        }
        self.in_parent(path, |volume, parent, name| {
            let node = volume.lookup(parent, name)?;
            let set = volume.begin(Change::Taking).and_then(|()| {
                let set = volume.fat.setattr(node, &changes);
                volume.done(set, "setting the times of a file")
            });
            volume.end();
            volume.fat.forget(node, 1);
            set
        })
    }
}
