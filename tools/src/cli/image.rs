//! The command line of `soil image`.

use super::FileSystem;
use crate::oci::Engine;
use crate::options::{DiskSize, Variable};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Its help's end.
pub const HELP: &str = "\
The disk has a GUID partition table with three partitions: soil-bios, soil-boot (the EFI system
partition, with the program and soil/settings.txt, its variables and arguments) and data. The
program finds the last one as the disk data. The same input gives the same bytes, except for a
signature.

soil image _build/soil/main.exe -o service.img --data-size 1G --env GREETING=hello -- --verbose
soil image _build/soil/main.exe -o service.img --replace    # a new version; the data stays
soil image --edit service.img --env GREETING=hi             # without options: in $EDITOR
soil image _build/default/main.exe -o container --format oci
soil image _build/soil/main.exe -o container --format oci --engine kubevirt --data-size 1G";

/// `soil image`.
#[derive(Args, Clone, Debug)]
pub struct MakeImage {
    /// The image as dune built it (_build/soil/…/main.exe); the disk gets a stripped copy.
    #[arg(required_unless_present = "edit")]
    pub program: Option<PathBuf>,
    /// The program's arguments.
    #[arg(last = true)]
    pub arguments: Vec<OsString>,
    /// The disk to write.
    #[arg(short, long, value_name = "DISK", required_unless_present = "edit")]
    pub output: Option<PathBuf>,
    /// The format.
    #[arg(long, value_enum, default_value_t = ImageFormat::Raw)]
    pub format: ImageFormat,
    /// With --format oci: the engine of the container image. Without this option: process, which
    /// takes the process form (_build/default/…/main.exe) instead of the image.
    #[arg(long, value_enum)]
    pub engine: Option<Engine>,
    /// Size of the whole disk, such as 2G. Without this option: the least.
    #[arg(long)]
    pub size: Option<DiskSize>,
    /// Set an environment variable for the program; NAME alone passes its present value on.
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub variables: Vec<Variable>,
    /// Copy the file system of this disk image to the data partition.
    #[arg(long, value_name = "FILE", conflicts_with = "data_size")]
    pub data: Option<PathBuf>,
    /// Make a data partition of this size with an empty file system.
    #[arg(long, value_name = "SIZE")]
    pub data_size: Option<DiskSize>,
    /// The file system of --data-size.
    #[arg(long, value_enum, default_value_t = FileSystem::Ext4, requires = "data_size")]
    pub data_fs: FileSystem,
    /// For Secure Boot: sign the UEFI loader with this key and its certificate (PEM files). It then
    /// starts this program with these settings only.
    #[arg(long, num_args = 2, value_names = ["KEY", "CERT"])]
    pub sign: Vec<PathBuf>,
    /// Put the program on a disk that this command made. The data partition stays, and so do the
    /// settings that no option gives.
    #[arg(long, conflicts_with_all = ["format", "engine", "size", "data", "data_size", "data_fs"])]
    pub replace: bool,
    /// Change the variables and arguments on this disk: those of --env and behind --, or all of
    /// them in an editor, or from standard input.
    #[arg(
        long,
        value_name = "DISK",
        conflicts_with_all = [
            "program", "output", "format", "engine", "size", "data", "data_size", "data_fs",
            "replace", "force"
        ]
    )]
    pub edit: Option<PathBuf>,
    /// Replace an existing file, with its data.
    #[arg(long, conflicts_with = "replace")]
    pub force: bool,
}

/// The formats that `soil image` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageFormat {
    /// The sectors as they are.
    Raw,
    /// QEMU's, which grows as it is written.
    Qcow2,
    /// A fixed VHD.
    Vhd,
    /// A compressed archive with disk.raw, as Google Compute Engine imports it.
    Gce,
    /// A container image: an OCI image layout, in a folder.
    Oci,
}
