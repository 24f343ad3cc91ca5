//! Path resolution: from volume to volume over symbolic links, up to the file that the path names.

use super::request::{Op, Request};
use ::fs::walk::{Step, Walker};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use platform::error::{Error, Failure};

/// A path during resolution, and the operation at its end.
pub struct Resolution {
    walker: Walker,
    /// Length of the part of the walker's path that leads to the current volume, in bytes.
    offset: usize,
    op: Op,
    /// New path of a rename or a link, while the old one is being resolved.
    new: Option<Walker>,
    /// Old path, while the new one is being resolved.
    old: Option<Old>,
}

/// Resolved old path of a rename or a link.
struct Old {
    walker: Walker,
    /// As in [`Resolution`].
    offset: usize,
    volume: usize,
}

impl Old {
    /// Returns the path on the volume.
    fn rest(&self) -> &str {
        match path_of(&self.walker).get(self.offset..) {
            None | Some("") => "/",
            Some(rest) => rest,
        }
    }
}

/// Returns the part of a path to resolve next.
fn path_of(walker: &Walker) -> &str {
    match walker.step() {
        Step::Directory(path) | Step::Last(path) => path,
    }
}

impl Resolution {
    /// Starts the resolution of one path; `follow` selects whether to follow a link at its end.
    pub fn new(path: &str, follow: bool, op: Op) -> Result<Box<Resolution>, Error> {
        Ok(Box::new(Resolution {
            walker: Walker::new(path, follow).map_err(Error::from)?,
            offset: 0,
            op,
            new: None,
            old: None,
        }))
    }

    /// Starts the resolution of two paths: a file's and a new one for it. The old path in `op`,
    /// [`Op::Rename`] or [`Op::Link`], is filled in once it is resolved.
    pub fn pair(old: &str, new: &str, op: Op) -> Result<Box<Resolution>, Error> {
        let mut resolution = Resolution::new(old, false, op)?;
        resolution.new = Some(Walker::new(new, false).map_err(Error::from)?);
        Ok(resolution)
    }

    /// Returns the part of the path to resolve next, as a path of the whole tree.
    pub fn path(&self) -> &str {
        path_of(&self.walker)
    }

    /// Whether that is the whole path, and not a part before a `..`.
    pub fn is_last(&self) -> bool {
        matches!(self.walker.step(), Step::Last(_))
    }

    /// Returns the operation on the object that the path names.
    pub const fn op(&self) -> &Op {
        &self.op
    }

    /// Whether the current path is the old one of a rename or a link.
    pub const fn is_old(&self) -> bool {
        self.new.is_some()
    }

    /// Returns the new path, if one job on its volume could resolve both: neither has an unresolved
    /// `..`, or a final link to follow.
    pub fn new_path(&self) -> Option<&str> {
        match self.new.as_ref()?.step() {
            Step::Last(path) if self.is_last() && !self.walker.follows() => Some(path),
            _ => None,
        }
    }

    /// Continues with the new path: the old one is on this volume, after `offset` bytes.
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

    /// Returns to the old path, whose first `end` bytes on its volume are a link to `target`.
    pub fn link_old(&mut self, end: usize, target: &str) -> Result<(), Failure> {
        if let Some(old) = self.old.take() {
            self.new = Some(core::mem::replace(&mut self.walker, old.walker));
            self.offset = old.offset;
        }
        self.link(end, target)
    }

    /// Returns the request for `rest`, which begins after `offset` bytes of the path, to this
    /// volume.
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

    /// Replaces the first `end` bytes of the path on the volume, a link, by `target`.
    pub fn link(&mut self, end: usize, target: &str) -> Result<(), Failure> {
        let end = self.offset.saturating_add(end);
        let linked = self.walker.link(end, target);
        linked.map_err(|error| Error::from(error).into())
    }

    /// Applies a `..`: the part before it is a directory.
    pub fn up(&mut self) {
        self.walker.up();
    }

    /// Continues after the volume found no link in the current part of the path.
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
