//! Which volume a path leads to: `SOIL_MOUNT`, and disks by their names.
//!
//! `SOIL_MOUNT` is a list of `/PATH=fat:DISK`, separated by `;`. A disk that isn't named there is mounted at `/DISK`, as FAT, when a
//! path below that is used.

use super::volumes::{Then, Volume};
use super::worker::Work;
use super::{files, fill_stat, on_path, submit};
use crate::disks;
use crate::error::{Answer, Error, Stop};
use crate::platform::{Current, Platform};
use crate::runtime::Runtime;
use crate::ty::{Int, IntsPiece};
use ::fs::{Kind, Mounts, path};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// One `/PATH=fat:DISK`.
fn parse(spec: &str) -> Result<(&str, &str), String> {
    let parsed = spec.split_once('=').and_then(|(point, what)| {
        let disk = what.strip_prefix("fat:")?;
        (point.starts_with('/') && !disk.is_empty()).then_some((point, disk))
    });
    parsed.ok_or_else(|| format!("SOIL_MOUNT: \"{spec}\" is not of the form /data=fat:DISK"))
}

/// Reads `SOIL_MOUNT`.
pub fn read() -> Result<(Mounts<usize>, Vec<Volume>), String> {
    let text = Current::variable("SOIL_MOUNT").unwrap_or_default();
    let mut mounts = Mounts::new();
    let mut volumes = Vec::new();
    for spec in text
        .split(';')
        .map(str::trim)
        .filter(|spec| !spec.is_empty())
    {
        let (point, disk) = parse(spec)?;
        mounts
            .add(point, volumes.len())
            .map_err(|error| format!("SOIL_MOUNT: {point}: {error}"))?;
        volumes.push(Volume::new(disk.to_string()));
    }
    Ok((mounts, volumes))
}

fn error(error: ::fs::Error) -> Error {
    match error {
        ::fs::Error::InvalidName => Error::InvalidName,
        ::fs::Error::NameTooLong => Error::NameTooLong,
        ::fs::Error::Exists => Error::Exists,
        ::fs::Error::NotFound => Error::NotFound,
        _ => Error::Invalid,
    }
}

/// The volume of a path and the rest of the path on it.
pub fn resolve(rt: &mut Runtime, path: &str) -> Result<(usize, String), Stop> {
    match files(rt)?.mounts.resolve(path) {
        Ok((volume, rest)) => return Ok((*volume, rest)),
        Err(::fs::Error::NotFound) => (),
        Err(failure) => return Err(error(failure).into()),
    }
    let plain = path::normalise(path).map_err(error)?;
    let name = path::names(&plain).next().unwrap_or("").to_string();
    let disks = disks::disks(rt)?;
    if disks.find(&name).is_none() {
        let detail = match name.as_str() {
            "" => "nothing is mounted at /".to_string(),
            name => format!("nothing is mounted at /{name}: {}", disks.missing(name)),
        };
        return rt.fail(Error::NotFound, &detail);
    }
    let files = files(rt)?;
    let volume = files.volumes.len();
    files
        .mounts
        .add(&format!("/{name}"), volume)
        .map_err(error)?;
    files.volumes.push(Volume::new(name));
    let (volume, rest) = files.mounts.resolve(path).map_err(error)?;
    Ok((*volume, rest))
}

/// See `soil_fs_mount`.
pub fn mount(rt: &mut Runtime, spec: &str, token: Int) -> Answer {
    let token = rt.new_token(token)?;
    let (point, disk) = match parse(spec) {
        Ok(parsed) => parsed,
        Err(detail) => return rt.fail(Error::BadConfiguration, &detail),
    };
    let files = files(rt)?;
    let volume = files.volumes.len();
    if let Err(failure) = files.mounts.add(point, volume) {
        return rt.fail(error(failure), &format!("{point}: {failure}"));
    }
    files.volumes.push(Volume::new(disk.to_string()));
    submit(rt, volume, token, Work::Mount, Then::Answer)
}

/// The names of mount points in a directory that is on no volume; `None` if there are none.
pub fn virtual_names(rt: &mut Runtime, path: &str) -> Result<Option<Vec<String>>, Stop> {
    disks::disks(rt)?;
    let files = files(rt)?;
    if files.mounts.resolve(path).is_ok() {
        return Ok(None);
    }
    let mut names = files.mounts.names_in(path).map_err(error)?;
    // Disks that would be mounted at the root by a first use.
    if path::normalise(path).is_ok_and(|plain| plain == "/") {
        let mounted: Vec<String> = files
            .volumes
            .iter()
            .map(|volume| volume.name.clone())
            .collect();
        let disks = disks::disks(rt)?;
        for index in 0..disks.len() {
            if let Some(name) = disks.name(index)
                && !mounted.iter().any(|other| other.eq_ignore_ascii_case(name))
            {
                names.push(name.to_string());
            }
        }
        return Ok(Some(names));
    }
    Ok((!names.is_empty()).then_some(names))
}

/// See `soil_fs_stat`.
pub fn stat(rt: &mut Runtime, path: &str, into: IntsPiece, token: Int) -> Answer {
    if virtual_names(rt, path)?.is_some() {
        fill_stat(into, Kind::Directory, 0, 0);
        return Ok(0);
    }
    on_path(rt, path, token, Then::Fill(into), Work::Stat)
}

/// See `soil_fs_space`.
pub fn space(rt: &mut Runtime, path: &str, into: IntsPiece, token: Int) -> Answer {
    on_path(rt, path, token, Then::Fill(into), |_| Work::Space)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_mounts() {
        assert_eq!(parse("/data=fat:disk0"), Ok(("/data", "disk0")));
        for wrong in ["", "data=fat:disk0", "/data", "/data=ext9:x", "/data=fat:"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
