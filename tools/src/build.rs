//! `soil build`: builds both forms of everything in a workspace and lists the programs.

use crate::arch::Arch;
use crate::disk;
use crate::dune::{Stanza, Workspace};
use crate::failure::{Context as _, Failure};
use crate::json;
use crate::messages::print;
use crate::program::{self, Form};
use crate::progress;
use crate::strip;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A program and its built forms.
#[derive(Serialize)]
struct Built {
    /// Its folder and name.
    program: String,
    process: Option<Made>,
    image: Option<Made>,
    /// The image for another processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_image: Option<Made>,
}

/// One form of a program.
#[derive(Serialize)]
struct Made {
    path: String,
    bytes: u64,
    /// Size of an image without symbols and debugging information.
    stripped_bytes: Option<u64>,
}

/// Builds and prints the programs, with their sizes.
pub fn run(release: bool, json: bool) -> Result<(), Failure> {
    let workspace = Workspace::find()?;
    workspace.build(release)?;
    let (stanzas, foreign) = (workspace.stanzas(), workspace.foreign());
    let built = stanzas
        .iter()
        .filter(|stanza| !stanza.test)
        .map(|stanza| built(&workspace, foreign, stanza));
    let built: Result<Vec<Built>, Failure> =
        progress::during("measuring the programs", || built.collect());
    let built: Vec<Built> = built?
        .into_iter()
        .filter(|built| {
            [&built.process, &built.image, &built.other_image]
                .iter()
                .any(|made| made.is_some())
        })
        .collect();
    if json {
        return json::print(&built);
    }
    let rows = built.iter().flat_map(|built| {
        let row = |form, made: &Option<Made>| made.as_ref().map(|made| (form, line(made)));
        [
            row("process", &built.process),
            row("image", &built.image),
            row("image", &built.other_image),
        ]
    });
    let rows: Vec<(&str, (String, String))> = rows.flatten().collect();
    let width = rows.iter().map(|(_, (path, _))| path.chars().count()).max();
    for (form, (path, size)) in &rows {
        let width = width.unwrap_or(0);
        print(&format!("{path:<width$}  {form:<7}  {size}\n"))?;
    }
    Ok(())
}

/// The path and the size for display.
fn line(made: &Made) -> (String, String) {
    let size = disk::shown(made.bytes);
    let size = match made.stripped_bytes {
        Some(stripped) => format!("{size}, stripped {}", disk::shown(stripped)),
        None => size,
    };
    (made.path.clone(), size)
}

fn built(workspace: &Workspace, foreign: Option<Arch>, stanza: &Stanza) -> Result<Built, Failure> {
    let made = |form, file: PathBuf| {
        // For an image that it can't link, soil-cc writes a script and reports the reason itself.
        if !file.exists() || !program::inspect(&file).is_ok_and(|found| found.form == form) {
            return Ok(None);
        }
        let stripped_bytes = match form {
            Form::Image => Some(stripped(&file)?),
            Form::Process => None,
        };
        Ok(Some(Made {
            path: workspace.shown(&file),
            bytes: file.metadata().on(&file)?.len(),
            stripped_bytes,
        }))
    };
    let own = |form| made(form, workspace.executable(stanza, form));
    Ok(Built {
        program: stanza.shown(),
        process: own(Form::Process)?,
        image: own(Form::Image)?,
        other_image: match foreign {
            Some(arch) => made(Form::Image, workspace.image_for(stanza, arch))?,
            None => None,
        },
    })
}

fn stripped(image: &Path) -> Result<u64, Failure> {
    let copy = tempfile::NamedTempFile::new().on(std::env::temp_dir())?;
    strip::strip(image, copy.path())?;
    Ok(copy.path().metadata().on(copy.path())?.len())
}
