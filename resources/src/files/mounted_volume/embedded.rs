//! Files embedded in the program, which registers them at start, before disks and mounts are known.

use super::specification::Specification;
use super::{Backing, Volume};
use crate::Runtime;
use ::fs::path;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use platform::error::{Answer, Error, Failure};

/// Embedded files that are registered but not mounted yet.
pub(crate) struct Embedded {
    /// Files of the next tree.
    files: Vec<(String, &'static [u8])>,
    /// Mount points and trees.
    trees: Vec<(String, Box<dyn ::fs::Volume>)>,
}

impl Embedded {
    /// Creates an empty registry.
    pub const fn new() -> Embedded {
        Embedded {
            files: Vec::new(),
            trees: Vec::new(),
        }
    }
}

/// See `soil_embed_file`.
pub fn add(rt: &mut Runtime, path: &str, contents: &'static [u8]) -> Answer {
    let files = &mut rt.resources.files.embedded.files;
    files.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    files.push((path.to_string(), contents));
    Ok(0)
}

/// See `soil_embed_mount`.
pub fn mount(rt: &mut Runtime, point: &str) -> Answer {
    let files = core::mem::take(&mut rt.resources.files.embedded.files);
    let point = match path::normalise(point) {
        Ok(plain) if point.starts_with('/') => plain,
        _ => {
            let detail = format!("{point} is no absolute path");
            return rt.fail(Failure::new(Error::Invalid, detail));
        }
    };
    let entries = files
        .iter()
        .map(|(path, contents)| (path.as_str(), *contents));
    let volume = match ::fs::embedded::new(entries) {
        Ok(volume) => volume,
        Err(refused) => {
            let detail = format!("{}; run soil embed again", refused.detail);
            return rt.fail(Failure::new(refused.error.into(), detail));
        }
    };
    let trees = &mut rt.resources.files.embedded.trees;
    if trees.iter().any(|(other, _)| *other == point) {
        let line = format!("two embedded trees are to be at {point}: give one another place");
        return rt.fail(Failure::new(Error::Exists, line));
    }
    trees.push((point, volume));
    if rt.resources.files.has_begun() {
        appear(rt);
    }
    Ok(0)
}

/// Mounts the registered trees, except at paths that are mount points already.
pub fn appear(rt: &mut Runtime) {
    let files = &mut rt.resources.files;
    for (point, tree) in files.embedded.trees.drain(..) {
        let volume = files.volumes.vacant_key();
        if files.mounts.add(&point, volume).is_ok() {
            let mut embedded = Volume::new(Specification {
                point,
                driver: Some("embed".into()),
                source: String::new(),
                read_only: true,
                grow: false,
            });
            embedded.backing = Backing::Immediate(tree);
            files.volumes.insert(embedded);
        }
    }
}
