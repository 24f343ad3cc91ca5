//! `soil disk check`: what the file system's own checker says, without changing anything.

use super::image::{self, Content};
use super::tool::{E2FSCK, FSCK_FAT};
use crate::cli::FileSystem;
use std::path::Path;

pub fn run(path: &Path, partition: Option<&str>) -> Result<String, String> {
    let place = image::place(path, partition)?;
    let mut device = image::device(path, place, false)?;
    let what = image::content(&mut *device);
    let outcome = match what {
        Content::Tar => {
            image::mount(path, device, None)?;
            return Ok(format!("{}: tar, clean", path.display()));
        }
        Content::Known(FileSystem::Ext4) => {
            let mut command = E2FSCK.command()?;
            let mut image = path.as_os_str().to_owned();
            if place.partition.is_some() {
                image.push(format!("?offset={}", place.start));
            }
            command.args(["-f", "-n"]).arg(image);
            E2FSCK.run(command, "", &mut || {})?
        }
        Content::Known(FileSystem::Fat) => {
            // Fails with one line that names the contents, when they aren't FAT.
            drop(image::mount(path, device, None)?);
            let mut command = FSCK_FAT.command()?;
            command.args(["-n", "-V"]);
            if place.partition.is_some() {
                let part = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
                image::copy_part(path, place, part.path())?;
                command.arg(part.path());
                FSCK_FAT.run(command, "", &mut || {})?
            } else {
                command.arg(path);
                FSCK_FAT.run(command, "", &mut || {})?
            }
        }
    };
    let name = match what {
        Content::Known(known) => known.name(),
        Content::Tar => "tar",
    };
    if outcome.status == 0 {
        return Ok(format!("{}: {name}, clean", path.display()));
    }
    eprint!("{}", outcome.text);
    Err(format!(
        "{}: {name}, damaged: repair it with {}",
        path.display(),
        match what {
            Content::Known(FileSystem::Ext4) => "e2fsck -f",
            _ => "fsck.fat -a",
        }
    ))
}
