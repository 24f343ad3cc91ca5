//! `soil disk check`: runs the file system's own checker, read-only.

use super::image::{self, Content};
use super::tool::{E2FSCK, FSCK_FAT};
use crate::cli::FileSystem;
use crate::failure::{Context as _, Failure};
use std::path::Path;

pub fn run(path: &Path, partition: Option<&str>) -> Result<String, Failure> {
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
                let part = tempfile::NamedTempFile::new().on(std::env::temp_dir())?;
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
    let repair = match what {
        Content::Known(FileSystem::Ext4) => "e2fsck -f",
        _ => "fsck.fat -a",
    };
    Err(Failure::on(path, format!("{name}, damaged")).remedy(format!("repair it with {repair}")))
}
