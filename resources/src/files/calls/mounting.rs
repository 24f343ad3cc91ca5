//! Calls on whole volumes.

use crate::Runtime;
use crate::current::Current;
use crate::files::engine::answer::Sync;
use crate::files::engine::caller::Caller;
use crate::files::engine::driver::begin;
use crate::files::engine::{run, submit};
use crate::files::mounted_volume::drivers::{self, INITRD};
use crate::files::mounted_volume::job::request::Request;
use crate::files::mounted_volume::job::{Job, Waiter};
use crate::files::mounted_volume::specification::Specification;
use crate::files::namespace::mounts;
use crate::types::Int;
use ::fs::path;
use alloc::format;
use alloc::vec::Vec;
use platform::System as _;
use platform::error::{Answer, Error, Failure, Stop};
use reactor::Cancelled;

/// See `soil_fs_mount`.
pub fn mount(rt: &mut Runtime, word: &str, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let specification = Specification::parse(word).or_else(|failure| rt.fail(failure))?;
    let point = specification.point.clone();
    begin(rt)?;
    let files = &mut rt.resources.files;
    let volume = files.add(specification);
    if let Err(failure) = files.mounts.add(&point, volume) {
        files.volumes.try_remove(volume);
        let line = match failure {
            ::fs::Error::Exists => format!("something is mounted at {point} already"),
            failure => format!("{point}: {failure}"),
        };
        return rt.fail(Failure::new(Error::from(failure), line));
    }
    submit(rt, volume, Waiter::Mount(token), Request::Mount)
}

/// Makes the initrd one of the file systems that can be mounted, and mounts the
/// machine's at `/`, unless something is mounted there.
pub fn use_initrd(rt: &mut Runtime) -> Answer {
    drivers::register(rt, INITRD)?;
    crate::initrd::keep();
    if Current::initrd().is_some() {
        complete_tree(rt, "/=initrd")?;
    }
    Ok(0)
}

/// Completes the tree for a program without mounts of its own; see [`mounts::complete`].
pub fn complete_tree(rt: &mut Runtime, root: &str) -> Result<bool, Stop> {
    begin(rt)?;
    mounts::complete(rt, root).or_else(|failure| rt.fail(failure))
}

/// See `soil_fs_unmount`.
pub fn unmount(rt: &mut Runtime, point: &str, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let point = path::normalise(point).map_err(Error::from)?;
    begin(rt)?;
    let files = &mut rt.resources.files;
    let mounted = files.mounts.iter().any(|(other, _)| other == point);
    if !mounted {
        let line = format!("nothing is mounted at {point}");
        return rt.fail(Failure::new(Error::NotFound, line));
    }
    if let Some(below) = files.mounts.below(&point) {
        let line = format!("{below} is mounted below it");
        return rt.fail(Failure::new(Error::Busy, line));
    }
    // From here on no path leads to the volume.
    let Some(volume) = files.mounts.remove(&point) else {
        return Err(Error::NotFound.into());
    };
    submit(rt, volume, Waiter::Unmount(token), Request::Unmount)
}

/// See `soil_fs_sync`.
pub fn sync(rt: &mut Runtime, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    begin(rt)?;
    let volumes = rt.resources.files.volumes.iter();
    let open = volumes.filter_map(|(index, volume)| volume.is_open().then_some(index));
    let open: Vec<usize> = open.collect();
    if open.is_empty() {
        return Ok(0);
    }
    rt.give(token, |_, _| Cancelled::Later)?;
    let files = &mut rt.resources.files;
    let mut sync = Sync {
        token,
        remaining: open.len(),
        failed: None,
    };
    for index in &open {
        let job = Job::new(Waiter::Sync(token), Request::Sync);
        let volume = files.volumes.get_mut(*index);
        if let Err(error) = volume.map_or(Ok(()), |volume| volume.schedule.push(job)) {
            sync.remaining -= 1;
            sync.failed = Some(Failure::from(error));
        }
    }
    if sync.remaining == 0 {
        rt.forget(token);
        return Err(Error::OutOfMemory.into());
    }
    files.syncs.push(sync);
    let mut caller = Caller::new(token);
    for index in open {
        run(rt, index, &mut caller);
    }
    caller.answer(rt)
}
