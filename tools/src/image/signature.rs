//! Secure Boot: the digests in the UEFI loader, and its signature.

use super::loaders::Loaders;
use crate::disk::make::text;
use crate::disk::tool::SBSIGN;
use crate::failure::{Context as _, Failure};
use loader::digests;
use memchr::memmem;
use std::path::PathBuf;

/// Bytes of the two digests.
const DIGESTS: usize = 64;

/// Returns the UEFI loader: with the digests of the program and its settings and with a signature,
/// if `sign` has a key and its certificate.
pub fn prepared(
    loaders: &Loaders,
    sign: &[PathBuf],
    elf: &[u8],
    settings: &str,
) -> Result<Vec<u8>, Failure> {
    let [key, certificate] = sign else {
        return Ok(loaders.uefi.clone());
    };
    let mut bound = loaders.uefi.clone();
    let digests = [digests::of(elf), digests::of(settings.as_bytes())].concat();
    let Some(place) = block(&bound) else {
        return Err(
            Failure::on("the UEFI loader", "has no room for digests").remedy("install Soil again")
        );
    };
    for (to, from) in bound.iter_mut().skip(place).zip(digests) {
        *to = from;
    }
    let folder = tempfile::tempdir().on(std::env::temp_dir())?;
    let (plain, signed) = (
        folder.path().join("plain.efi"),
        folder.path().join("signed.efi"),
    );
    std::fs::write(&plain, &bound).on(&plain)?;
    for file in [key, certificate] {
        // sbsign's own messages name no file.
        std::fs::File::open(file).on(file)?;
    }
    let (key, certificate) = (text(key)?, text(certificate)?);
    let words = [
        "--key",
        &key,
        "--cert",
        &certificate,
        "--output",
        &text(&signed)?,
        &text(&plain)?,
    ];
    let mut command = SBSIGN.command()?;
    command.args(words);
    let outcome = SBSIGN.run(command, "", &mut || {})?;
    if outcome.status != 0 {
        let reason = match outcome.text.contains("does not match") {
            true => format!("not the key of the certificate {certificate}"),
            false => format!("sbsign: {}", outcome.last_line()),
        };
        return Err(Failure::on(&key, reason)
            .remedy("give --sign the PEM files of a key and of its certificate"));
    }
    std::fs::read(&signed).on(&signed)
}

/// Whether the loader starts only one program with one file of settings.
pub fn is_bound(loader: &[u8]) -> bool {
    block(loader)
        .and_then(|at| loader.get(at..at + DIGESTS))
        .is_some_and(|digests| digests.iter().any(|byte| *byte != 0))
}

/// Finds the digests in the loader.
fn block(loader: &[u8]) -> Option<usize> {
    let at = memmem::find(loader, &digests::MARKER)? + digests::MARKER.len();
    loader.get(at..at + DIGESTS).map(|_| at)
}

#[cfg(test)]
mod tests {
    use super::{block, is_bound};

    #[test]
    fn a_loader_is_bound_by_digests() {
        let mut loader = [b"code SOILDIGS", &[0; 64][..]].concat();
        assert_eq!((block(&loader), is_bound(&loader)), (Some(13), false));
        loader[76] = 1;
        assert!(is_bound(&loader));
        loader.pop();
        assert!(!is_bound(&loader) && !is_bound(b""));
    }
}
