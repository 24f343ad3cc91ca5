//! Finds the host's programs by name.

use std::path::{Path, PathBuf};

/// Debian's folders of administration commands, which some users lack in PATH.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Finds a program's file in PATH.
pub fn find_program(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Finds a program in PATH or in Debian's administration folders.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    find_program(Path::new(name)).or_else(|| {
        let places = FOLDERS.iter().map(|folder| Path::new(folder).join(name));
        places.into_iter().find(|file| file.is_file())
    })
}
