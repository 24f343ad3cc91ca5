//! Finds the host's programs by name.

use rustix::fs::{Access, access};
use std::path::{Path, PathBuf};

/// Debian's folders of administration commands, which some users lack in PATH.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Finds a program's file in PATH, as `execvp` does: a file that this user can't execute is none.
pub fn find_program(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return is_executable(name).then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    find_in(std::env::split_paths(&path), name)
}

/// Finds a program in PATH or in Debian's administration folders.
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    find_program(name).or_else(|| find_in(FOLDERS.map(PathBuf::from), name))
}

fn find_in(folders: impl IntoIterator<Item = PathBuf>, name: &Path) -> Option<PathBuf> {
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
}

/// Whether this user may execute a file (access(2)). Root needs one of its three permissions, too.
fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{find_in, find_program};
    use std::fs::{Permissions, create_dir_all, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    #[test]
    fn files_that_cannot_be_executed_are_no_programs() {
        let root = tempfile::tempdir().expect("a folder");
        let folders = ["folder", "none", "text", "program"].map(|name| root.path().join(name));
        let [folder, _, text, program] = folders.each_ref().map(|place| place.join("qemu"));
        create_dir_all(folder).expect("a folder");
        for (file, mode) in [(&text, 0o644), (&program, 0o755)] {
            create_dir_all(file.parent().expect("its folder")).expect("a folder");
            write(file, "#!/bin/sh\n").expect("written");
            set_permissions(file, Permissions::from_mode(mode)).expect("permissions");
        }
        let name = Path::new("qemu");
        assert_eq!(find_in(folders.clone(), name).as_ref(), Some(&program));
        assert_eq!(find_in(folders[..3].to_vec(), name), None);
        assert_eq!(find_program(&program).as_ref(), Some(&program));
        assert_eq!(find_program(&text), None);
    }
}
