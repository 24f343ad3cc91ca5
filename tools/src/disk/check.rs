//! `soil disk check`: runs the file system's own checker, read-only.

use super::image::{self, Content};
use super::tool::{E2FSCK, FSCK_FAT};
use crate::cli::FileSystem;
use crate::failure::{Context as _, Failure};
use crate::messages::print_error;
use crate::{json, progress};
use serde::Serialize;
use std::path::Path;

/// The state of a file system in `--json`.
#[derive(Serialize)]
struct State<'a> {
    image: String,
    file_system: &'a str,
    clean: bool,
    /// The checker's output, if the file system isn't clean.
    report: &'a str,
}

pub fn run(path: &Path, partition: Option<&str>, json: bool) -> Result<String, Failure> {
    let bar = progress::busy("checking");
    let place = image::place(path, partition)?;
    let mut device = image::device(path, place, false)?;
    let what = image::content(&mut *device);
    let outcome = match what {
        Content::Tar => {
            image::mount(path, device, None)?;
            None
        }
        Content::Known(FileSystem::Ext4) => {
            let mut command = E2FSCK.command()?;
            let mut image = path.as_os_str().to_owned();
            if place.partition.is_some() {
                image.push(format!("?offset={}", place.start));
            }
            command.args(["-f", "-n"]).arg(image);
            Some(E2FSCK.run(command, "", &mut || {})?)
        }
        Content::Known(FileSystem::Fat) => {
            // If the contents aren't FAT, mounting fails with one line that names them.
            drop(image::mount(path, device, None)?);
            let mut command = FSCK_FAT.command()?;
            command.args(["-n", "-V"]);
            if place.partition.is_some() {
                let part = tempfile::NamedTempFile::new().on(std::env::temp_dir())?;
                image::copy_part(path, place, part.path())?;
                command.arg(part.path());
                Some(FSCK_FAT.run(command, "", &mut || {})?)
            } else {
                command.arg(path);
                Some(FSCK_FAT.run(command, "", &mut || {})?)
            }
        }
    };
    let name = match what {
        Content::Known(known) => known.name(),
        Content::Tar => "tar",
    };
    bar.finish_and_clear();
    let damage = outcome.filter(|outcome| outcome.status != 0);
    if json {
        json::print(&State {
            image: path.display().to_string(),
            file_system: name,
            clean: damage.is_none(),
            report: damage.as_ref().map_or("", |outcome| &outcome.text),
        })?;
    }
    let Some(damage) = damage else {
        return Ok(match json {
            true => String::new(),
            false => format!("{}: {name}, clean", path.display()),
        });
    };
    if !json {
        print_error(&damage.text);
    }
    let repair = match what {
        Content::Known(FileSystem::Ext4) => "e2fsck -f",
        _ => "fsck.fat -a",
    };
    Err(Failure::on(path, format!("{name}, damaged")).remedy(format!("repair it with {repair}")))
}
