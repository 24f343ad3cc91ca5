//! The current directory of the process.

use crate::errors::Result;
use alloc::format;
use alloc::string::String;

/// It follows the directory's renames and its removal, as Linux's does, which holds the directory
/// and not its path.
#[derive(Debug)]
pub struct CurrentDirectory {
    /// The absolute path, without symbolic links; empty for the root.
    path: String,
    /// It was removed: the path is what it had last.
    removed: bool,
}

/// The path of what has this name, or path, in a folder. In images without files, `format!` would
/// be linked for it.
pub fn joined(folder: &str, name: &str) -> String {
    let mut path = String::with_capacity(folder.len() + 1 + name.len());
    path.push_str(folder);
    path.push('/');
    path.push_str(name);
    path
}

impl CurrentDirectory {
    /// The root.
    pub const ROOT: CurrentDirectory = CurrentDirectory {
        path: String::new(),
        removed: false,
    };

    /// The directory at this absolute path, which is without symbolic links.
    pub fn new(path: String) -> CurrentDirectory {
        CurrentDirectory {
            path: if path == "/" { String::new() } else { path },
            removed: false,
        }
    }

    /// Its path.
    ///
    /// # Errors
    /// ENOENT if it was removed.
    pub fn path(&self) -> Result<String> {
        match (self.removed, self.path.as_str()) {
            (true, _) => Err(libc::ENOENT),
            (false, "") => Ok("/".into()),
            (false, path) => Ok(path.into()),
        }
    }

    /// The absolute path for a relative one. It isn't normalised.
    ///
    /// # Errors
    /// ENOENT if the directory was removed, which leaves its parent only.
    pub fn absolute(&self, path: &str) -> Result<String> {
        if !self.removed {
            return Ok(joined(&self.path, path));
        }
        let mut rest = path;
        while let Some(("." | "", after)) = rest.split_once('/') {
            rest = after;
        }
        let (first, rest) = rest.split_once('/').unwrap_or((rest, ""));
        match self.path.rsplit_once('/') {
            Some((parent, _)) if first == ".." => Ok(joined(parent, rest)),
            _ => Err(libc::ENOENT),
        }
    }

    /// Whether it is the root, which neither moves nor is removed.
    pub fn is_root(&self) -> bool {
        self.path.is_empty()
    }

    /// Whether it is at this path, or below.
    pub fn is_in(&self, path: &str) -> bool {
        !self.removed && self.below(path).is_some()
    }

    /// The rest of its path behind `path`.
    fn below(&self, path: &str) -> Option<&str> {
        let rest = self.path.strip_prefix(path)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// Notes that the directory at `path` was removed.
    pub fn note_removal(&mut self, path: &str) {
        self.removed |= self.path == path;
    }

    /// Notes that the directory at `from` is at `to` now; both are without symbolic links.
    pub fn note_rename(&mut self, from: &str, to: &str) {
        if let Some(rest) = self.below(from) {
            self.path = format!("{to}{rest}");
        }
    }
}
