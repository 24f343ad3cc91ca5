//! Operations of every kind, for devices that fail under them.

use fs::fake::{Disk, State};
use fs::{Error, OpenFlags, Volume};

use super::{FileSystem, NEW, read_file, write_file};

/// Runs operations that may fail, but not panic. `links` adds those on links.
pub fn operations(volume: &mut dyn Volume, links: bool) -> Result<(), Error> {
    volume.mkdir("dir")?;
    write_file(volume, "dir/a file with a long name", &[3; 30_000])?;
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::APPEND;
    let log = volume.open("log", flags)?;
    let logged = (0..20).try_for_each(|_| volume.write_at(log, 0, &[4; 700]).map(|_| ()));
    let synced = volume.sync_file(log);
    volume.close(log)?;
    logged.and(synced)?;
    volume.rename("dir/a file with a long name", "renamed")?;
    volume.rename("log", "renamed")?;
    if links {
        volume.link("renamed", "dir/linked")?;
        volume.symlink("renamed", "dir/link")?;
    }
    read_file(volume, "renamed")?;
    volume.space()?;
    let file = volume.open("renamed", OpenFlags::WRITE)?;
    let resized = volume
        .truncate(file, 100)
        .and_then(|()| volume.truncate(file, 50_000));
    volume.close(file)?;
    resized?;
    volume.unlink("renamed")?;
    if links {
        volume.unlink("dir/linked")?;
        volume.unlink("dir/link")?;
    }
    volume.rmdir("dir")?;
    volume.sync()
}

/// Creates a disk with a synced file, which no fault may change.
pub fn with_witness(file_system: &FileSystem, image: &[u8]) -> Disk {
    let disk = Disk::new(image.to_vec(), 512);
    let mut volume = file_system.mount(&disk);
    write_file(&mut *volume, "witness", &[9; 12_345]).unwrap();
    volume.sync().unwrap();
    drop(volume);
    disk
}

pub fn check_witness(file_system: &FileSystem, bytes: Vec<u8>, when: &str) {
    let mut volume = file_system.mount(&Disk::new(bytes, 512));
    let found = read_file(&mut *volume, "witness");
    assert!(found.as_deref() == Ok(&[9; 12_345][..]), "{when}");
}

/// Makes the `nth` request of a kind fail: 0 for reads, 1 for writes, 2 for flushes.
pub fn fail(state: &mut State, kind: u32, nth: u64) {
    let countdown = match kind {
        0 => &mut state.fail_read,
        1 => &mut state.fail_write,
        _ => &mut state.fail_flush,
    };
    *countdown = Some(nth);
}

/// Whether that request has failed.
pub fn has_failed(state: &State) -> bool {
    let left = state.fail_read.or(state.fail_write).or(state.fail_flush);
    left.is_none()
}

/// Fills a volume with one file, and returns its size.
pub fn fill(volume: &mut dyn Volume, path: &str, step: usize) -> u64 {
    let filler = volume.open(path, NEW).unwrap();
    let chunk = vec![7; step];
    let mut at = 0;
    loop {
        match volume.write_at(filler, at, &chunk) {
            Ok(count) => at += count as u64,
            Err(error) => {
                assert_eq!(error, Error::NoSpace);
                break;
            }
        }
    }
    assert_eq!(
        volume.size(filler),
        Ok(at),
        "what was written counts, no more"
    );
    volume.close(filler).unwrap();
    at
}
