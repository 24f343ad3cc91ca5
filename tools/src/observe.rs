//! Observes a running program from outside: `--profile` and `--trace`.

use crate::cli::Run;
use crate::failure::{Context as _, Failure};
use crate::profile::tracer::Child;
use crate::profile::{Image, Profile};
use crate::symbols;
use crate::trace::{Places, Tracing};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// An observer before the program starts, with its data from the program's file.
pub struct Wanted {
    kind: Kind,
    out: PathBuf,
}

enum Kind {
    ProfileOfImage(Box<Image>),
    ProfileOfProcess,
    Trace(Places),
}

/// A program under observation.
pub struct Observed {
    kind: Observer,
    out: PathBuf,
}

enum Observer {
    Profile(Profile),
    Trace(Tracing),
}

impl Wanted {
    /// Returns the observer that the options select. Creates the output file, so that a bad path
    /// fails before the run.
    pub fn by(run: &Run, is_image: bool) -> Result<Option<Self>, Failure> {
        let (kind, out) = match (&run.profile, &run.trace) {
            (Some(out), _) if is_image => {
                let image = Image::open(&run.program)?;
                (Kind::ProfileOfImage(Box::new(image)), out)
            }
            (Some(out), _) => (Kind::ProfileOfProcess, out),
            (None, Some(out)) => {
                let file = symbols::unstripped(&run.program, None);
                let places = Places::find(file.as_deref().unwrap_or(&run.program))?;
                (Kind::Trace(places), out)
            }
            (None, None) => return Ok(None),
        };
        std::fs::write(out, "").on(out)?;
        let out = out.clone();
        Ok(Some(Self { kind, out }))
    }

    /// Starts observing an image, whose QEMU has a gdb server at the other end of `socket`.
    pub fn image(self, socket: OwnedFd) -> Option<Observed> {
        let kind = match self.kind {
            Kind::ProfileOfImage(image) => Observer::Profile(Profile::of_image(*image, socket)),
            Kind::Trace(places) => Observer::Trace(Tracing::of_image(places, socket)),
            Kind::ProfileOfProcess => return None,
        };
        let out = self.out;
        Some(Observed { kind, out })
    }

    /// Starts observing a child process that runs `file`. Nothing else may wait for the child;
    /// calls `ended` with its status.
    pub fn process(
        self,
        child: Child,
        file: &Path,
        ended: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
    ) -> Observed {
        let kind = match self.kind {
            Kind::Trace(places) => {
                let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
                Observer::Trace(Tracing::of_process(child, file, places, ended))
            }
            _ => Observer::Profile(Profile::of_process(child, ended)),
        };
        let out = self.out;
        Observed { kind, out }
    }
}

impl Observed {
    /// Writes the file after the program's end and returns a message about it.
    pub fn finish(self, program: &Path) -> Result<String, Failure> {
        match self.kind {
            Observer::Profile(profile) => profile.finish(program, &self.out),
            Observer::Trace(trace) => trace.finish(program, &self.out),
        }
    }
}
