//! The reactor driver of the file layer, which the first call registers.

use super::freezing;
use crate::current::Current;
use crate::disks;
use crate::files::mounted_volume::{Volume, drivers, embedded};
use crate::files::namespace;
use crate::{Driver, Runtime, guest_agent};
use platform::Folders;
use platform::error::Stop;

/// Reads the volumes from `SOIL_MOUNT` at the first call.
pub fn begin(rt: &mut Runtime) -> Result<(), Stop> {
    if rt.resources.files.has_begun {
        return Ok(());
    }
    // The disks have to be discovered before the volumes are read.
    disks::disks(rt)?;
    drivers::register(rt, drivers::FAT)?;
    if let Some(folders) = Current::FOLDERS {
        drivers::register(rt, drivers::host(folders))?;
    }
    let timeout_ns = disks::timeout().or_else(|failure| rt.fail(failure))?;
    let (mounts, volumes) = namespace::mounts::read().or_else(|failure| rt.fail(failure))?;
    rt.register(&Driver {
        poll,
        deadline,
        interest: |_, _| (),
        finish,
        counter: |_, _| 0,
    })?;
    let files = &mut rt.resources.files;
    files.has_begun = true;
    files.timeout_ns = timeout_ns;
    files.mounts = mounts;
    files.volumes = volumes;
    embedded::appear(rt);
    guest_agent::serve_volumes(rt, &freezing::VOLUMES)?;
    Ok(())
}

/// Resumes volumes that yielded, times out disks, and ends freezes.
fn poll(rt: &mut Runtime, now: u64) {
    freezing::poll(rt, now);
    for index in 0..rt.resources.files.volumes.capacity() {
        super::poll(rt, index, now);
    }
}

pub fn deadline(rt: &mut Runtime) -> Option<u64> {
    let thaw = freezing::deadline(rt);
    let volumes = rt.resources.files.volumes.iter();
    let wanted = volumes.filter_map(|(_, Volume { schedule, .. })| {
        let now = schedule.is_runnable().then_some(0);
        now.or_else(|| schedule.due())
    });
    wanted.chain(thaw).min()
}

/// Called before exit: unmounts all volumes once. Returns whether they are idle.
pub fn finish(rt: &mut Runtime) -> bool {
    freezing::shorten(rt);
    let volumes = &mut rt.resources.files.volumes;
    for (_, volume) in volumes.iter_mut() {
        if volume.is_open() {
            volume.schedule.exit();
        }
    }
    volumes.iter().all(|(_, volume)| volume.schedule.is_idle())
}
