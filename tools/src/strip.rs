//! `soil strip`: makes a stripped copy of an image for deployment.

use crate::failure::{Context as _, Failure};
use crate::flat;
use crate::program::{self, Form};
use std::path::Path;
use std::process::Command;

/// Writes `output` and returns a message with its size.
pub fn strip(image: &Path, output: &Path) -> Result<String, Failure> {
    let program = program::inspect(image)?;
    if program.form != Form::Image {
        return Err(Failure::on(image, "no image").remedy("name one below _build/soil"));
    }
    if !program.has_sections {
        // Nothing to remove, and binutils' strip refuses it.
        std::fs::copy(image, output).on(output)?;
        return written(image, output);
    }
    // binutils' strip keeps the PVH note and the build-id, which identifies the image in crash
    // reports.
    let tool = program.arch.tool("strip");
    let status = Command::new(&tool)
        .arg("--strip-all")
        .arg("-o")
        .arg(output)
        .arg(image)
        .status()
        .map_err(|error| {
            let package = program.arch.package("binutils");
            Failure::on(&tool, format!("did not start: {error}"))
                .remedy(format!("apt-get install {package}"))
        })?;
    if !status.success() {
        return Err(Failure::on(output, "strip could not write it"));
    }
    let stripped = program::inspect(output)?;
    if stripped.form != Form::Image {
        let reason = "it lost its boot note, so this machine's strip can't be used";
        return Err(Failure::on(output, reason).remedy("apt-get install binutils"));
    }
    written(image, output)
}

/// Writes the flat form of an image and returns a message with its size.
pub fn flat(image: &Path, output: &Path) -> Result<String, Failure> {
    std::fs::write(output, flat::read(image)?).on(output)?;
    written(image, output)
}

/// The message about a stripped copy.
fn written(image: &Path, output: &Path) -> Result<String, Failure> {
    let size = std::fs::metadata(output).on(output)?.len();
    Ok(format!(
        "{}: {} KB; keep {} for the names in crash reports",
        output.display(),
        size.div_ceil(1000),
        image.display()
    ))
}
