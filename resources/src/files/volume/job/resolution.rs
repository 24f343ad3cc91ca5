//! The resolution of a path: from volume to volume over symbolic links, until the file is found
//! that the path names.

use super::request::{Op, Request};
use ::fs::walk::{Step, Walker};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use platform::error::{Error, Failure};

/// A path that is being resolved, and what is to be done at its end.
pub struct Resolution {
    walker: Walker,
    /// Bytes of the walker's path that lead to the volume that is being asked.
    offset: usize,
    op: Op,
    /// The new path of a rename or a link, while the old one is looked at.
    new: Option<Walker>,
    /// The old path, while the new one is looked at.
    old: Option<Old>,
}

/// The old path of a rename or a link, which leads to a volume.
struct Old {
    walker: Walker,
    /// As in [`Resolution`].
    offset: usize,
    volume: usize,
}

impl Old {
    /// The path on the volume.
    fn rest(&self) -> &str {
        match path_of(&self.walker).get(self.offset..) {
            None | Some("") => "/",
            Some(rest) => rest,
        }
    }
}

/// The part of a path that is to be looked at.
fn path_of(walker: &Walker) -> &str {
    match walker.step() {
        Step::Directory(path) | Step::Last(path) => path,
    }
}

impl Resolution {
    /// Of one path; a link at its end is followed if `follow` is set.
    pub fn new(path: &str, follow: bool, op: Op) -> Result<Box<Resolution>, Error> {
        Ok(Box::new(Resolution {
            walker: Walker::new(path, follow).map_err(Error::from)?,
            offset: 0,
            op,
            new: None,
            old: None,
        }))
    }

    /// Of the path of a file, and a new one for it. In `op`, [`Op::Rename`] or [`Op::Link`], the
    /// old path is filled in when it is known.
    pub fn pair(old: &str, new: &str, op: Op) -> Result<Box<Resolution>, Error> {
        let mut resolution = Resolution::new(old, false, op)?;
        resolution.new = Some(Walker::new(new, false).map_err(Error::from)?);
        Ok(resolution)
    }

    /// The part of the path that is to be looked at, in the one tree.
    pub fn path(&self) -> &str {
        path_of(&self.walker)
    }

    /// Whether that is all of it, and not what stands before a `..`.
    pub fn is_last(&self) -> bool {
        matches!(self.walker.step(), Step::Last(_))
    }

    /// The operation on the object that the path leads to.
    pub const fn op(&self) -> &Op {
        &self.op
    }

    /// Whether it is the old path of a rename or a link.
    pub const fn is_old(&self) -> bool {
        self.new.is_some()
    }

    /// The new path, if its volume could look at both paths in one job: in neither of them anything
    /// is to be found out first.
    pub fn new_path(&self) -> Option<&str> {
        match self.new.as_ref()?.step() {
            Step::Last(path) if self.is_last() && !self.walker.follows() => Some(path),
            _ => None,
        }
    }

    /// Goes on to the new path: the old one leads to this volume, after `offset` bytes.
    pub fn go_to_new(&mut self, volume: usize, offset: usize) {
        if let Some(new) = self.new.take() {
            let walker = core::mem::replace(&mut self.walker, new);
            self.old = Some(Old {
                walker,
                offset,
                volume,
            });
        }
    }

    /// The first `end` bytes of the old path on its volume are a link to `target`: goes back to
    /// that path.
    pub fn link_old(&mut self, end: usize, target: &str) -> Result<(), Failure> {
        if let Some(old) = self.old.take() {
            self.new = Some(core::mem::replace(&mut self.walker, old.walker));
            self.offset = old.offset;
        }
        self.link(end, target)
    }

    /// Returns the request to the volume that the path leads to, about `rest`, which begins after
    /// `offset` bytes of the path.
    pub fn request(&mut self, volume: usize, rest: String, offset: usize) -> Request {
        self.offset = offset;
        let is_last = self.is_last();
        let op = match (&self.new, &self.old) {
            _ if !is_last => Op::Directory,
            (None, None) => self.op.clone(),
            (None, Some(old)) if old.volume == volume => match self.op {
                Op::Link(_) => Op::Link(old.rest().to_string()),
                Op::Rename(_, how) => Op::Rename(old.rest().to_string(), how),
                _ => Op::Locate,
            },
            _ => Op::Locate,
        };
        Request::At {
            path: rest,
            follow: !is_last || self.walker.follows(),
            directory: is_last && self.walker.wants_directory(),
            op,
        }
    }

    /// The first `end` bytes of the path on the volume are a link to `target`.
    pub fn link(&mut self, end: usize, target: &str) -> Result<(), Failure> {
        let end = self.offset.saturating_add(end);
        let linked = self.walker.link(end, target);
        linked.map_err(|error| Error::from(error).into())
    }

    /// The part of the path that was looked at is a directory, and a `..` follows.
    pub fn up(&mut self) {
        self.walker.up();
    }

    /// The volume says that there is no link in the part of the path that was looked at.
    pub fn plain(&mut self, volume: usize) -> Result<(), Failure> {
        if !self.is_last() {
            self.up();
            return Ok(());
        }
        if self.new.is_none() {
            return Err(Error::CrossVolume.into());
        }
        self.go_to_new(volume, self.offset);
        Ok(())
    }
}
