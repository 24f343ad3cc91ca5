//! Changes of a workspace's sources, by inotify(7). Between two builds nothing of dune runs, which
//! would lock the build folder.

use crate::failure::{Context as _, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A file's end of writing, and changes of names; not each write, since programs write to files of
/// the workspace, too, such as the image of a disk.
const WATCHED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);
/// An editor and git change several files, one after the other: a change counts when none has
/// followed for this time.
const QUIET: Duration = Duration::from_millis(50);

/// The folders of a workspace that dune reads, watched.
pub struct Sources {
    events: OwnedFd,
    root: PathBuf,
    /// By watch descriptor.
    folders: HashMap<i32, PathBuf>,
}

impl Sources {
    /// Watches the folders below `root`.
    pub fn watch(root: &Path) -> Result<Self, Failure> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let events = inotify::init(flags).map_err(|error| refused(root, error))?;
        let mut sources = Self {
            events,
            root: root.to_owned(),
            folders: HashMap::new(),
        };
        sources.add(root.to_owned())?;
        Ok(sources)
    }

    /// Watches a folder and those below. One that has gone meanwhile is none.
    fn add(&mut self, folder: PathBuf) -> Result<(), Failure> {
        let mut waiting = vec![folder];
        while let Some(folder) = waiting.pop() {
            let watch =
                match inotify::add_watch(&self.events, &folder, WATCHED | WatchFlags::ONLYDIR) {
                    Ok(watch) => watch,
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => continue,
                    Err(error) => return Err(refused(&folder, error)),
                };
            // Known already, by a symbolic link.
            if self.folders.insert(watch, folder.clone()).is_some() {
                continue;
            }
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let inside = entries.filter(|entry| is_source(&entry.file_name()));
            let paths = inside.map(|entry| entry.path());
            waiting.extend(paths.filter(|path| path.is_dir()));
        }
        Ok(())
    }

    /// Whether files have changed since the last call. Doesn't block.
    pub fn changed(&mut self) -> Result<bool, Failure> {
        let mut buffer = [MaybeUninit::uninit(); 16384];
        let (mut changed, mut new, mut again) = (false, Vec::new(), false);
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(refused(&self.root, error)),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                again = true;
                continue;
            }
            if event.events().contains(ReadFlags::IGNORED) {
                self.folders.remove(&event.wd());
                continue;
            }
            let name = OsStr::from_bytes(event.file_name().map_or(b"", CStr::to_bytes));
            if !is_source(name) {
                continue;
            }
            changed = true;
            // A folder that was moved has other paths below it.
            again |= event
                .events()
                .contains(ReadFlags::ISDIR | ReadFlags::MOVED_TO);
            if event.events().contains(ReadFlags::ISDIR)
                && let Some(folder) = self.folders.get(&event.wd())
            {
                new.push(folder.join(name));
            }
        }
        if again {
            self.folders.clear();
            new = vec![self.root.clone()];
        }
        for folder in new {
            self.add(folder)?;
        }
        Ok(changed || again)
    }

    /// Blocks until files have changed, and no more for a moment.
    pub fn wait(&mut self) -> Result<(), Failure> {
        while !self.changed()? {
            self.poll(None)?;
        }
        self.quiet()
    }

    /// Blocks until files haven't changed for a moment; for a second at most, in a workspace where
    /// a program writes on and on.
    pub fn quiet(&mut self) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end && self.poll(Some(QUIET))? {
            self.changed()?;
        }
        Ok(())
    }

    /// Whether there are events, at the latest after `limit`.
    fn poll(&self, limit: Option<Duration>) -> Result<bool, Failure> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        loop {
            match poll(
                &mut [PollFd::new(&self.events, PollFlags::IN)],
                limit.as_ref(),
            ) {
                Err(Errno::INTR) => {}
                result => return result.map(|count| count > 0).on(&self.root),
            }
        }
    }
}

/// Whether dune may read a file or folder of this name: none of `_build`, `.git`, and editors'
/// temporary files.
fn is_source(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.is_empty() && !matches!(name.first(), Some(b'.' | b'_' | b'#')) && !name.ends_with(b"~")
}

fn refused(folder: &Path, error: Errno) -> Failure {
    let limit = match error {
        Errno::NOSPC => "fs.inotify.max_user_watches",
        Errno::MFILE => "fs.inotify.max_user_instances",
        _ => return Failure::on(folder, format!("can't be watched: {error}")),
    };
    let reason = format!("can't be watched: this user's {limit} are in use");
    Failure::on(folder, reason).remedy(format!("raise it, as root: sysctl {limit}=1048576"))
}

#[cfg(test)]
mod tests {
    use super::{QUIET, Sources};
    use std::fs;

    #[test]
    fn changes_of_sources_are_seen_and_no_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for name in ["src", "_build/default", ".git"] {
            fs::create_dir_all(root.join(name)).expect("made");
        }
        std::os::unix::fs::symlink("../src", root.join("src/self")).expect("linked");
        fs::write(root.join("src/old.ml"), "").expect("written");
        let mut sources = Sources::watch(root).expect("watched");
        let mut changed = || sources.changed().expect("watched");
        assert!(!changed());
        for name in [
            "_build/default/main.exe",
            ".git/index",
            "src/.main.ml.swp",
            "src/main.ml~",
        ] {
            fs::write(root.join(name), "x").expect("written");
            assert!(!changed(), "{name}");
        }
        let change = |name: &str| fs::write(root.join(name), "x").expect("written");
        change("src/main.ml");
        assert!(changed() && !changed());
        change("src/main.ml");
        assert!(changed());
        fs::rename(root.join("src/main.ml"), root.join("src/other.ml")).expect("renamed");
        assert!(changed());
        fs::remove_file(root.join("src/other.ml")).expect("removed");
        assert!(changed());
        // New folders, made at once and moved here.
        fs::create_dir_all(root.join("new/inside")).expect("made");
        assert!(changed());
        change("new/inside/a.ml");
        assert!(changed());
        fs::rename(root.join("new"), root.join("newer")).expect("renamed");
        assert!(changed());
        change("newer/inside/a.ml");
        assert!(changed());
        fs::create_dir(root.join("newer/inside/b")).expect("made");
        assert!(changed());
        change("newer/inside/b/c.ml");
        assert!(changed());
        fs::remove_dir_all(root.join("newer")).expect("removed");
        assert!(changed());
    }

    #[test]
    fn a_file_that_stays_open_is_no_change() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().expect("a folder");
        let mut disk = fs::File::create(folder.path().join("data.img")).expect("made");
        let mut sources = Sources::watch(folder.path()).expect("watched");
        disk.write_all(b"sector").expect("written");
        assert!(!sources.changed().expect("watched"));
        drop(disk);
        assert!(sources.changed().expect("watched"));
    }

    #[test]
    fn a_wait_ends_when_changes_have_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sources = Sources::watch(folder.path()).expect("watched");
        let path = folder.path().join("a.ml");
        let writer = std::thread::spawn(move || {
            for _ in 0..4 {
                fs::write(&path, "x").expect("written");
                std::thread::sleep(QUIET / 4);
            }
        });
        sources.wait().expect("watched");
        writer.join().expect("no panic");
    }
}
