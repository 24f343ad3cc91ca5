//! Checks the disks and file systems that a program needs.

use super::answer::{Disk, FileSystem, Volume, either};
use crate::cli::Run;
use crate::disk::{self, Contents, shown};
use crate::failure::Failure;
use crate::options::{self, DiskSize, Mount};
use crate::program::Form;
use std::path::Path;

/// Size of the disk in a remedy, in bytes, if the program declares none.
const USUAL_SIZE: u64 = 64 << 20;
/// The least size of a disk with a file system, in bytes.
const MIN_VOLUME: u64 = 16 << 20;

/// The reason why a read-only disk or mount isn't enough.
const READ_ONLY: &str = "is read-only, and the program writes to it";

/// Checks a volume: the mount at its mount point, or the disk of its name.
pub fn volume(run: &mut Run, form: Form, need: &Volume) -> Result<(), Failure> {
    let (name, at) = (&need.name, &need.at);
    let fail = |reason: String| Failure::on(format!("volume {name}"), reason);
    let here = |mount: &&Mount| same_path(&mount.path, at);
    let mounted = run.mounts.iter().find(here);
    let disk_name = match mounted.map(|mount| (mount, mount.disk())) {
        Some((mount, None)) => return not_on_a_disk(mount, form, need),
        Some((_, Some(disk))) => disk,
        None => name,
    };
    let Some(disk) = run.disks.iter().find(|disk| disk.name == disk_name) else {
        // `soil run` itself reports a mount's missing disk.
        let known = mounted.is_some() || given_by_variable(run, form, name, Some(at));
        return match known || need.optional {
            true => Ok(()),
            false => Err(missing(need, form)),
        };
    };
    let elsewhere = |mount: &&Mount| mount.disk() == Some(name) && !same_path(&mount.path, at);
    if mounted.is_none()
        && let Some(mount) = run.mounts.iter().find(elsewhere)
    {
        let path = &mount.path;
        let reason = format!("is mounted at {path}, and the program uses it at {at}");
        return Err(fail(reason).remedy(format!("give --mount {at}={}", mount.source)));
    }
    let is_read_only = disk.read_only || mounted.is_some_and(|mount| mount.read_only);
    if is_read_only && !need.read_only {
        return Err(fail(READ_ONLY.into()).remedy("leave out ,ro"));
    }
    let partition = mounted.and_then(|mount| mount.source.split_once('/'));
    contents(disk, partition.map(|(_, partition)| partition), need)?;
    if mounted.is_none() && !same_path(&format!("/{name}"), at) {
        let read_only = disk.read_only;
        run.mounts.push(Mount {
            path: at.clone(),
            kind: None,
            source: name.clone(),
            read_only,
            grow: false,
        });
    }
    Ok(())
}

fn same_path(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// Returns the program's value of an environment variable.
pub fn given(run: &Run, form: Form, name: &str) -> Option<String> {
    let inherited = || std::env::var(name).ok().filter(|value| !value.is_empty());
    match run.variables.iter().rfind(|variable| variable.name == name) {
        Some(variable) => variable.value.clone().or_else(inherited),
        None if form == Form::Process => inherited(),
        None => None,
    }
}

/// Whether a variable defines the disk or the mount at `at`, which disables its check.
fn given_by_variable(run: &Run, form: Form, disk: &str, at: Option<&str>) -> bool {
    let mounts = given(run, form, "SOIL_MOUNT").unwrap_or_default();
    let mut points = mounts
        .split(';')
        .filter_map(|word| Some(word.split_once('=')?.0));
    let variable = format!("SOIL_DISK_{disk}");
    let has_disk = form == Form::Process && given(run, form, &variable).is_some();
    has_disk || points.any(|point| at.is_some_and(|at| same_path(point, at)))
}

/// Checks a mount without a disk: its file system, and the size of one in memory. A process takes a
/// folder of the host for any file system: the host's has all that a program can do with one.
fn not_on_a_disk(mount: &Mount, form: Form, need: &Volume) -> Result<(), Failure> {
    let fail = |reason: String| Failure::on(format!("volume {}", need.name), reason);
    if mount.read_only && !need.read_only {
        return Err(fail(READ_ONLY.into()).remedy("leave out ,ro"));
    }
    if form == Form::Process && mount.kind.as_deref() == Some(FileSystem::Host.name()) {
        return Ok(());
    }
    let will_do = |f: &FileSystem| Some(f.name()) == mount.kind.as_deref();
    if !need.file_systems.is_empty() && !need.file_systems.iter().any(will_do) {
        let wanted = either(&need.file_systems);
        let reason = format!("has to be {wanted}, and --mount {mount} is not");
        return Err(fail(reason).remedy("give a disk that has it"));
    }
    match mount.source.parse() {
        Ok(DiskSize(size)) if is_in_memory(mount) && size < need.at_least => {
            let (have, wanted) = (shown(size), shown(need.at_least));
            let size = in_mib(need.at_least);
            let reason = format!("has {have}, and the program needs {wanted}");
            Err(fail(reason).remedy(format!("give --mount {}=memory:{size}", mount.path)))
        }
        _ => Ok(()),
    }
}

fn is_in_memory(mount: &Mount) -> bool {
    mount.kind.as_deref() == Some("memory")
}

/// The failure for a missing volume.
fn missing(need: &Volume, form: Form) -> Failure {
    let (name, at) = (&need.name, &need.at);
    let accepts = |f| need.file_systems.is_empty() || need.file_systems.contains(&f);
    let on_host = form == Form::Process;
    let on_disk = [FileSystem::Ext4, FileSystem::Fat, FileSystem::Tar];
    let remedy = if on_disk.into_iter().any(accepts) {
        let folder = match on_host {
            true => format!(", or --mount {at}=host:FOLDER"),
            false => String::new(),
        };
        let make = make_disk(need);
        format!("add --disk {name}={name}.img{folder} (make a disk with: {make})")
    } else if accepts(FileSystem::Memory) {
        format!(
            "add --mount {at}=memory:{}",
            in_mib(need.at_least.max(MIN_VOLUME))
        )
    } else if on_host {
        format!("add --mount {at}=host:FOLDER")
    } else {
        "only a process can have a folder of the host: run that form".to_owned()
    };
    Failure::on(format!("volume {name}"), "is not given").remedy(remedy)
}

/// The command that makes a suitable disk.
fn make_disk(need: &Volume) -> String {
    let can_be_made = |f: &&FileSystem| matches!(f, FileSystem::Fat | FileSystem::Ext4);
    let kind = need.file_systems.iter().find(can_be_made);
    let size = match need.at_least {
        0 => USUAL_SIZE,
        bytes => bytes.max(MIN_VOLUME),
    };
    let kind = kind.map_or("fat", |f| f.name());
    format!(
        "soil disk make {}.img --fs {kind} --size {}",
        need.name,
        in_mib(size)
    )
}

/// Formats a size for an option, rounded up to MiB.
fn in_mib(bytes: u64) -> String {
    format!("{}M", bytes.div_ceil(1 << 20))
}

/// Checks the disk's file system and size.
fn contents(disk: &options::Disk, partition: Option<&str>, need: &Volume) -> Result<(), Failure> {
    let (name, file) = (&disk.name, disk.file.display());
    let subject = format!("disk {name}: {file}");
    let wanted = either(&need.file_systems);
    if !exists(&disk.file) {
        return Ok(());
    }
    let (found, size) = disk::contents(&disk.file, partition)?;
    let found = match found {
        Contents::Fat => FileSystem::Fat,
        Contents::Ext4 => FileSystem::Ext4,
        Contents::Tar => FileSystem::Tar,
        Contents::Partitions(count) => {
            let reason = format!("has {count} partitions");
            let remedy = format!("give --mount {}={name}/NUMBER", need.at);
            return Err(Failure::on(subject, reason).remedy(remedy));
        }
        Contents::Blank => {
            let remedy = match need.file_systems.first() {
                Some(FileSystem::Ext4) => format!("make one with: mkfs.ext4 {file}"),
                Some(FileSystem::Fat) | None => format!("make one with: mkfs.fat {file}"),
                Some(_) => format!("give a disk with {wanted}"),
            };
            return Err(Failure::on(subject, "has no file system").remedy(remedy));
        }
        Contents::Unknown => {
            let reason = "has no file system that Soil knows, which are FAT, ext4 and tar";
            return Err(Failure::on(subject, reason).remedy("is it another disk's file?"));
        }
    };
    too_small(disk, size, need.at_least)?;
    if found == FileSystem::Tar && need.file_systems.is_empty() && !need.read_only {
        let reason = "is a tar archive, which can't be written, and the program writes to it";
        let remedy = format!("give another (make one with: {})", make_disk(need));
        return Err(Failure::on(subject, reason).remedy(remedy));
    }
    if need.file_systems.is_empty() || need.file_systems.contains(&found) {
        return Ok(());
    }
    let found = found.name();
    let reason = format!("has the file system {found}, and the program needs {wanted}");
    let remedy = format!("give another (make one with: {})", make_disk(need));
    Err(Failure::on(subject, reason).remedy(remedy))
}

/// Whether the file exists. `soil run` itself reports why a file can't be opened.
fn exists(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| !metadata.is_dir())
}

fn too_small(disk: &options::Disk, size: u64, at_least: u64) -> Result<(), Failure> {
    if size >= at_least {
        return Ok(());
    }
    let (name, file) = (&disk.name, disk.file.display());
    let (have, wanted) = (shown(size), shown(at_least));
    let reason = format!("has {have}, and the program needs {wanted}");
    let remedy = format!(
        "enlarge it with: soil disk grow {file} --size {}",
        in_mib(at_least)
    );
    Err(Failure::on(format!("disk {name}: {file}"), reason).remedy(remedy))
}

/// Checks a disk that the program accesses by sectors.
pub fn disk(run: &Run, form: Form, need: &Disk) -> Result<(), Failure> {
    let name = &need.name;
    let fail = |reason: &str| Failure::on(format!("disk {name}"), reason);
    let Some(disk) = run.disks.iter().find(|disk| disk.name == *name) else {
        if need.optional || given_by_variable(run, form, name, None) {
            return Ok(());
        }
        let size = match need.at_least {
            0 => in_mib(USUAL_SIZE),
            bytes => in_mib(bytes),
        };
        return Err(fail("is not given").remedy(format!(
            "add --disk {name}={name}.img (make a disk with: truncate -s {size} {name}.img)"
        )));
    };
    if disk.read_only && !need.read_only {
        return Err(fail(READ_ONLY).remedy("leave out ,ro"));
    }
    match exists(&disk.file) {
        true => too_small(disk, disk::size(&disk.file)?, need.at_least),
        false => Ok(()),
    }
}
