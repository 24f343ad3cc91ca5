//! The machine's metadata: what `Soil.Instance` reads, and in an image the reading of labelled
//! disks before the program starts. `SOIL_METADATA=none` leaves the disks alone.

use crate::Runtime;
use crate::current::Current;
use crate::types::constants::{
    INSTANCE_ARGUMENT, INSTANCE_FILE, INSTANCE_FILE_PATH, INSTANCE_HOST_NAME, INSTANCE_ID,
    INSTANCE_SOURCE, INSTANCE_USER_DATA, INSTANCE_VARIABLE, INSTANCE_VARIABLE_NAME,
};
use crate::types::{Int, copy};
use ::metadata::Instance;
use platform::Metadata;
use platform::error::{Answer, Error, Stop};

/// The environment variable with the source of metadata.
pub const VARIABLE: &str = "SOIL_METADATA";

/// Copies one of the metadata to the start of `into`, as far as it fits; returns its full length.
/// `index` is that of an argument, a variable or a file. `NotFound`: there are no metadata, or not
/// so many.
pub fn text(rt: &mut Runtime, which: Int, index: Int, into: &mut [u8]) -> Answer {
    rt.start()?;
    let instance = Current::instance().or_else(|failure| rt.fail(failure))?;
    let text = select(instance.ok_or(Error::NotFound)?, which, index)?;
    Ok(copy(text, into))
}

fn select(instance: &Instance, which: Int, index: Int) -> Result<&[u8], Stop> {
    let index = usize::try_from(index).map_err(|_| Error::Invalid)?;
    let program = &instance.program;
    let text = match which {
        INSTANCE_SOURCE => Some(instance.source.name().as_bytes()),
        INSTANCE_ID => Some(instance.id.as_bytes()),
        INSTANCE_HOST_NAME => Some(instance.host_name.as_bytes()),
        INSTANCE_USER_DATA => Some(&instance.user_data[..]),
        INSTANCE_ARGUMENT => program.arguments.get(index).map(|word| word.as_bytes()),
        INSTANCE_VARIABLE_NAME => {
            let variable = program.environment.get(index);
            variable.map(|(name, _)| name.as_bytes())
        }
        INSTANCE_VARIABLE => {
            let variable = program.environment.get(index);
            variable.map(|(_, value)| value.as_bytes())
        }
        INSTANCE_FILE_PATH => program.files.get(index).map(|file| file.path.as_bytes()),
        INSTANCE_FILE => program.files.get(index).map(|file| &file.contents[..]),
        _ => return Err(Error::Invalid.into()),
    };
    Ok(text.ok_or(Error::NotFound)?)
}

/// Makes an image that contains the caller read the metadata on disks before its program starts.
#[inline(always)]
pub fn keep() {
    #[cfg(feature = "image")]
    crate::current::part::keep(&boot::DISKS);
}

#[cfg(feature = "image")]
pub use boot::adopt;

#[cfg(feature = "image")]
mod boot {
    use super::VARIABLE;
    use crate::current::{Current, boot, metadata, part};
    use crate::runtime;
    use ::metadata::Instance;
    use platform::System;

    part! {
        pub static DISKS: boot::Hooks = read_disks, in ".soil_part.boot.disks";
    }

    extern "C" fn read_disks() {
        if Current::variable(VARIABLE).as_deref() == Some("none") {
            return;
        }
        let read = runtime::enter(|rt| {
            // Sets the log's level. A wrong one is reported by the program's first call.
            rt.start()?;
            if let Some(instance) = metadata::read_disks() {
                adopt(instance);
            }
            Ok(0)
        });
        let _ = read;
    }

    /// Makes `instance` the machine's metadata, and logs in one line what is ignored of it.
    pub fn adopt(instance: Instance) {
        if !instance.ignored.is_empty() {
            log::warn!(
                "metadata ({}): ignored: {}",
                instance.source.name(),
                instance.ignored.join("; ")
            );
        }
        metadata::set(instance);
    }
}

#[cfg(test)]
mod tests {
    use super::select;
    use crate::types::constants::{
        INSTANCE_ARGUMENT, INSTANCE_FILE, INSTANCE_FILE_PATH, INSTANCE_HOST_NAME, INSTANCE_ID,
        INSTANCE_SOURCE, INSTANCE_USER_DATA, INSTANCE_VARIABLE, INSTANCE_VARIABLE_NAME,
    };
    use ::metadata::Instance;
    use ::metadata::http::Response;
    use ::metadata::imds::{Client, Next};
    use platform::error::{Error, Stop};

    /// The instance of a service's answers.
    fn instance() -> Instance {
        let user_data = "#cloud-config\nsoil: {arguments: [a, b], environment: {C: d}, \
             files: [{path: e/f, content: g}]}\n";
        let mut client = Client::new("hetzner").expect("a service");
        for body in ["id-1", "web-1", user_data] {
            let response = Response {
                status: 200,
                of_google: false,
                body: body.into(),
            };
            if let Ok(Next::Done(instance)) = client.answer(response) {
                return *instance;
            }
        }
        panic!("no instance");
    }

    #[test]
    fn each_part_has_its_number() {
        let instance = instance();
        let of = |which, index| select(&instance, which, index).map(String::from_utf8_lossy);
        for (which, index, text) in [
            (INSTANCE_SOURCE, 0, "hetzner"),
            (INSTANCE_ID, 0, "id-1"),
            (INSTANCE_HOST_NAME, 0, "web-1"),
            (INSTANCE_ARGUMENT, 1, "b"),
            (INSTANCE_VARIABLE_NAME, 0, "C"),
            (INSTANCE_VARIABLE, 0, "d"),
            (INSTANCE_FILE_PATH, 0, "e/f"),
            (INSTANCE_FILE, 0, "g"),
        ] {
            assert_eq!(of(which, index).as_deref(), Ok(text), "{which}");
        }
        assert!(
            of(INSTANCE_USER_DATA, 0)
                .expect("user data")
                .starts_with("#cloud-config")
        );
        assert_eq!(of(INSTANCE_ARGUMENT, 2), Err(Stop::Error(Error::NotFound)));
        assert_eq!(of(INSTANCE_ARGUMENT, -1), Err(Stop::Error(Error::Invalid)));
        assert_eq!(of(INSTANCE_FILE + 1, 0), Err(Stop::Error(Error::Invalid)));
    }
}
