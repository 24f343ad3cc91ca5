//! Operations on paths: from volume to volume over symbolic links, until what is meant is found.

use super::mounting::{self, Place};
use super::open::insert_names;
use super::volumes::{Job, Then};
use super::work::{Op, Work};
use super::{Ended, fill_stat};
use crate::error::{Answer, Error, Failure, Stop};
use crate::runtime::Runtime;
use ::fs::walk::{Step, Walker};
use ::fs::{OpenFlags, Stat, Time};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

/// A path on its way, and what is to be done at its end.
pub struct Walking {
    walker: Walker,
    /// Bytes of the walker's path that lead to the volume that is being asked.
    offset: usize,
    op: Op,
    /// The new path of a rename or a link, before the old one has been found.
    other: Option<Walker>,
    /// The old path: its volume, and the path there.
    found: Option<(usize, String)>,
}

/// Where an operation is.
pub enum Advanced {
    /// It stands in the queue of a volume.
    Queued(usize),
    /// It is done.
    Done(usize),
}

impl Walking {
    /// With one path; a link at its end is followed if `follow` is set.
    pub fn new(path: &str, follow: bool, op: Op) -> Result<Box<Walking>, Error> {
        Ok(Box::new(Walking {
            walker: Walker::new(path, follow).map_err(mounting::error)?,
            offset: 0,
            op,
            other: None,
            found: None,
        }))
    }

    /// With two: of what is there, and a new one. `op` makes the operation of the first one's
    /// place.
    pub fn of_two(old: &str, new: &str, op: Op) -> Result<Box<Walking>, Error> {
        let mut walking = Walking::new(old, false, op)?;
        walking.other = Some(Walker::new(new, false).map_err(mounting::error)?);
        Ok(walking)
    }

    /// The path where it has come to, in the one tree.
    pub fn path(&self) -> &str {
        match self.walker.step() {
            Step::Directory(path) | Step::Last(path) => path,
        }
    }

    /// What the next volume is asked, and whether it is about the path's end.
    fn next(&mut self, volume: usize) -> (bool, Op) {
        if matches!(self.walker.step(), Step::Directory(_)) {
            return (true, Op::Directory);
        }
        let op = match (&self.other, &self.found) {
            (Some(_), _) => Op::Locate,
            (None, None) => self.op.clone(),
            (None, Some((other, _))) if *other != volume => Op::Locate,
            (None, Some((_, old))) => match self.op {
                Op::Link(_) => Op::Link(old.clone()),
                Op::Rename(_, how) => Op::Rename(old.clone(), how),
                _ => Op::Locate,
            },
        };
        (self.walker.follows(), op)
    }

    /// The first `end` bytes of the path on the volume are a link to `target`.
    pub fn link(&mut self, end: usize, target: &str) -> Result<(), Failure> {
        let end = self.offset.saturating_add(end);
        let linked = self.walker.link(end, target);
        linked.map_err(|error| mounting::error(error).into())
    }

    /// The volume says that there is no link on the way of what it was asked.
    pub fn plain(&mut self, volume: usize) -> Result<(), Failure> {
        if let Step::Directory(_) = self.walker.step() {
            self.walker.up();
            return Ok(());
        }
        let Some(other) = self.other.take() else {
            return Err(Error::CrossVolume.into());
        };
        let rest = self.path().get(self.offset..).unwrap_or("/");
        let rest = if rest.is_empty() { "/" } else { rest };
        self.found = Some((volume, rest.to_string()));
        self.walker = other;
        Ok(())
    }
}

/// Takes an operation to the next volume that has to be asked.
pub fn advance(
    rt: &mut Runtime,
    token: u64,
    then: Then,
    mut walking: Box<Walking>,
) -> Result<Advanced, Failure> {
    loop {
        let path = walking.path().to_string();
        let is_last = matches!(walking.walker.step(), Step::Last(_));
        match mounting::locate(rt, &path)? {
            Place::On {
                volume,
                rest,
                offset,
            } => {
                walking.offset = offset;
                if is_last {
                    guard(rt, &path, &walking)?;
                }
                let (follow, op) = walking.next(volume);
                let work = Work::At {
                    path: rest,
                    follow,
                    directory: is_last && walking.walker.wants_directory(),
                    op,
                };
                let job = Job {
                    token,
                    work,
                    then,
                    walking: Some(walking),
                };
                let files = rt.files.as_deref_mut().ok_or(Error::Closed)?;
                let queue = files.volumes.get_mut(volume).ok_or(Error::Closed)?;
                queue.push(job)?;
                return Ok(Advanced::Queued(volume));
            }
            Place::Above(_) if !is_last => walking.walker.up(),
            Place::Above(names) => {
                return above(rt, &path, then, &walking, names).map(Advanced::Done);
            }
        }
    }
}

/// Names above mount points stay as they are.
fn guard(rt: &mut Runtime, path: &str, walking: &Walking) -> Result<(), Failure> {
    let moves = walking.other.is_some() && matches!(walking.op, Op::Rename(..))
        || matches!(walking.op, Op::Rmdir);
    let files = rt.files.as_deref();
    match files.and_then(|files| files.mounts.below(path)) {
        Some(point) if moves => {
            let line = format!("{point} is mounted below it");
            Err(Failure::new(Error::Busy, line))
        }
        _ => Ok(()),
    }
}

/// What can be done with a directory that only leads to mount points.
fn above(
    rt: &mut Runtime,
    path: &str,
    then: Then,
    walking: &Walking,
    names: alloc::vec::Vec<String>,
) -> Ended {
    match (&walking.op, then) {
        (Op::Stat, Then::Fill(into)) => {
            fill_stat(into, &DIRECTORY);
            Ok(0)
        }
        (Op::Stat, Then::Text(into)) => {
            // SAFETY: the operation has not completed.
            Ok(super::copy(path, unsafe { into.as_mut_slice() }))
        }
        (Op::Open(flags), _) if flags.contains(OpenFlags::DIRECTORY) => {
            Ok(insert_names(rt, names)?)
        }
        (Op::Open(_), _) => Err(Error::IsDirectory.into()),
        (Op::Readlink, _) => Err(Error::Invalid.into()),
        (Op::Mkdir | Op::Symlink(_), _) => Err(Error::Exists.into()),
        _ => {
            let line = format!("{path} is there for what is mounted below it only");
            Err(Failure::new(Error::ReadOnly, line))
        }
    }
}

/// What is known of such a directory.
const DIRECTORY: Stat = Stat {
    kind: ::fs::Kind::Directory,
    size: 0,
    modified: Time::from_seconds(0),
    accessed: Time::from_seconds(0),
    changed: Time::from_seconds(0),
    links: 1,
    inode: 0,
    read_only: true,
};

/// Begins an operation on paths.
pub fn start(rt: &mut Runtime, token: u64, then: Then, walking: Box<Walking>) -> Answer {
    // The volumes are known from here on.
    super::files(rt)?;
    rt.give(token, super::cancel)?;
    if let Some(files) = rt.files.as_deref_mut() {
        files.submitting = Some((token, None));
    }
    let advanced = advance(rt, token, then, walking);
    if let Ok(Advanced::Queued(volume)) = advanced {
        super::volumes::run(rt, volume);
    }
    let submitted = rt
        .files
        .as_deref_mut()
        .and_then(|files| files.submitting.take());
    let answer = match advanced {
        Ok(Advanced::Queued(_)) => submitted.and_then(|(_, answer)| answer),
        Ok(Advanced::Done(n)) => Some(Ok(n)),
        Err(failed) => Some(Err(failed)),
    };
    match answer {
        None => Err(Stop::Pending),
        Some(answer) => {
            rt.forget(token);
            super::said(rt, answer)
        }
    }
}
