//! `--screenshot`: writes the picture of a display at the program's end.

use crate::cli::Run;
use crate::failure::{Context as _, Failure};
use crate::messages::say_soon;
use screens::Picture;
use std::fs::File;
use std::path::Path;

/// `EX_IOERR` of sysexits.h.
const NO_PICTURE: u8 = 74;

/// The state of the first display's picture.
pub enum Pictured {
    /// Not written yet; `None`: the program has shown nothing.
    Shows(Option<Picture>),
    /// Written, if requested.
    Written,
}

/// Writes the picture, if requested. Returns the exit status of `soil run` for a program that ended
/// with `status`.
pub fn status(run: &Run, pictured: Result<Pictured, Failure>, status: u8) -> u8 {
    let write =
        |picture: &Picture, path: &Path| picture.write_png(File::create(path).on(path)?).on(path);
    let written = match (pictured, &run.screenshot) {
        (Ok(Pictured::Written), _) | (Ok(_), None) => Ok(()),
        (Ok(Pictured::Shows(Some(picture))), Some(path)) => write(&picture, path),
        (Ok(Pictured::Shows(None)), Some(path)) => {
            let reason = "the program has shown nothing on its first display";
            Err(Failure::on(
                format!("--screenshot {}", path.display()),
                reason,
            ))
        }
        (Err(failure), _) => Err(failure),
    };
    match written {
        Ok(()) => status,
        Err(failure) => {
            say_soon(&failure.to_string());
            if status == 0 { NO_PICTURE } else { status }
        }
    }
}
