//! Turns of the dunes in one build folder. Dune locks it with flock(2) for as long as it runs, and
//! a second one fails at once. Soil's commands wait for each other, and for a dune that builds.

use crate::messages::say;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The time between two attempts.
const AGAIN: Duration = Duration::from_millis(100);
/// The attempts before a line says what is waited for.
const SILENT: u32 = 10;

/// The right to run dune in a build folder, given back on drop.
pub struct Turn {
    /// The build folder itself, locked; `None` where that can't be.
    _folder: Option<File>,
}

/// What others do in a build folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nothing.
    Nothing,
    /// A dune builds, or another of Soil's commands has its turn.
    Build,
    /// `dune build --watch` runs there, which rebuilds, and answers to other dunes.
    Watch,
}

/// Takes the turn, if there is nobody else's.
pub fn take(folder: &Path) -> Result<Turn, Others> {
    // Fails where dune will say why.
    let _ = std::fs::create_dir_all(folder);
    let locked = match File::open(folder) {
        Ok(file) => match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(file),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Others::Build),
            // No locks on this file system: as without this module.
            Err(_) => None,
        },
        Err(_) => None,
    };
    match dunes(folder) {
        Others::Nothing => Ok(Turn { _folder: locked }),
        others => Err(others),
    }
}

/// What dunes do in a build folder that Soil's commands didn't start.
pub fn dunes(folder: &Path) -> Others {
    // Dune's own lock. Held for so short a time here that a dune doesn't meet it.
    let is_locked = File::open(folder.join(".lock")).is_ok_and(|file| {
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    });
    match is_locked {
        false => Others::Nothing,
        true if UnixStream::connect(folder.join(".rpc/dune")).is_ok() => Others::Watch,
        true => Others::Build,
    }
}

/// Waits for the turn. A `dune build --watch` isn't waited for: the next dune says what it makes of
/// it.
pub fn wait(folder: &Path) -> Turn {
    // The dune around this command would wait for it.
    let is_inside = std::env::var_os("INSIDE_DUNE").is_some();
    for attempt in 0.. {
        match take(folder) {
            Ok(turn) => return turn,
            Err(Others::Watch) => break,
            Err(_) if is_inside => break,
            Err(_) => {}
        }
        if attempt == SILENT {
            let folder = folder.display();
            say(&format!(
                "{folder}: another build runs there: waiting for its end"
            ));
        }
        std::thread::sleep(AGAIN);
    }
    Turn { _folder: None }
}

#[cfg(test)]
mod tests {
    use super::{Others, dunes, take, wait};
    use rustix::fs::{FlockOperation, flock};
    use std::fs::File;
    use std::os::unix::net::UnixListener;

    #[test]
    fn one_at_a_time_has_its_turn() {
        let folder = tempfile::tempdir().expect("a folder");
        let build = folder.path().join("_build");
        let turn = take(&build).unwrap_or_else(|others| panic!("{others:?}"));
        assert_eq!(take(&build).err(), Some(Others::Build));
        drop(turn);
        drop(wait(&build));
        assert!(take(&build).is_ok());
    }

    #[test]
    fn a_dune_is_known_by_its_lock_and_a_watching_one_by_its_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let build = folder.path();
        let lock = File::create(build.join(".lock")).expect("made");
        assert_eq!(dunes(build), Others::Nothing);
        flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("free");
        assert_eq!(take(build).err(), Some(Others::Build));
        std::fs::create_dir(build.join(".rpc")).expect("made");
        let server = UnixListener::bind(build.join(".rpc/dune")).expect("bound");
        assert_eq!(take(build).err(), Some(Others::Watch));
        // Returns: its own dune gets the answer.
        drop(wait(build));
        // A socket that an ended dune has left.
        drop(server);
        assert_eq!(dunes(build), Others::Build);
        drop(lock);
        assert!(take(build).is_ok());
    }
}
