//! The command line of `soil image`.

use super::{FileSystem, OnFailure, value_name};
use crate::oci::Engine;
use crate::options::{DiskSize, Variable};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Its help's end.
pub const HELP: &str = "\
The disk has a GUID partition table with three partitions: soil-bios (for x86-64 only), soil-boot
(the EFI system partition, with the program and soil/settings.txt, its variables and arguments) and
data. The program finds the last one as the disk data. The same input gives the same bytes, except
for a signature. A disk for arm64 boots by UEFI.

soil image _build/soil/main.exe -o service.img --data-size 1G --env GREETING=hello -- --verbose
soil image _build/soil/main.exe -o service.img --on-failure reboot
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
    /// The format. Default: by the name (.qcow2, .vhd, .tar.gz for gce), or raw.
    #[arg(long, value_enum)]
    pub format: Option<ImageFormat>,
    /// With --format oci: the engine of the container image. Default: process, which
    /// takes the process form (_build/default/…/main.exe) instead of the image.
    #[arg(long, value_enum)]
    pub engine: Option<Engine>,
    /// Size of the whole disk, such as 2G. Default: minimum size.
    #[arg(long)]
    pub size: Option<DiskSize>,
    /// Set an environment variable for the program; NAME alone passes its present value on.
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub variables: Vec<Variable>,
    /// Where the machine reads its metadata: on labelled disks, and after them from this service on
    /// the network (auto: the first that answers); disks: on labelled disks only; none: nowhere.
    /// The source configures the machine. Sets SOIL_METADATA. Default: disks, or none
    /// with --sign.
    #[arg(long, value_enum)]
    pub metadata: Option<Metadata>,
    /// When the program crashes, or ends with another status than 0: switch the machine off
    /// (without this option), start it again, after a pause that doubles up to five minutes, or
    /// halt it. Sets SOIL_ON_FAILURE.
    #[arg(long, value_enum, value_name = "ACTION")]
    pub on_failure: Option<OnFailure>,
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
    /// starts this program with these settings only, and metadata configure it only if --metadata
    /// says so.
    #[arg(long, num_args = 2, value_names = ["KEY", "CERT"])]
    pub sign: Vec<PathBuf>,
    /// Put the program on a disk that this command made. The data partition stays, and so do the
    /// settings that no option gives.
    #[arg(long, conflicts_with_all = ["format", "engine", "size", "data", "data_size", "data_fs"])]
    pub replace: bool,
    /// Change the variables and arguments on this disk: those of --env, --metadata, --on-failure
    /// and behind --, or all of them in an editor, or from standard input.
    #[arg(
        long,
        value_name = "DISK",
        conflicts_with_all = [
            "program", "output", "format", "engine", "size", "data", "data_size", "data_fs",
            "replace", "force"
        ]
    )]
    pub edit: Option<PathBuf>,
    /// Replace an existing file, with its data, or an OCI layout.
    #[arg(long, conflicts_with = "replace")]
    pub force: bool,
}

impl MakeImage {
    /// The variables of the settings: those of --env, --metadata and --on-failure.
    pub fn settings(&self) -> Vec<Variable> {
        let mut variables = self.variables.clone();
        let mut set = |name: &str, value: String| {
            variables.retain(|variable| variable.name != name);
            variables.push(Variable {
                name: name.to_owned(),
                value: Some(value),
            });
        };
        if let Some(source) = &self.metadata {
            set(METADATA, value_name(source));
        }
        if let Some(action) = &self.on_failure {
            set(OnFailure::VARIABLE, value_name(action));
        }
        variables
    }
}

/// The variable that names the source of a machine's metadata.
pub const METADATA: &str = "SOIL_METADATA";

/// The sources of a machine's metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Metadata {
    /// No source, not even a labelled disk.
    None,
    /// Labelled disks.
    Disks,
    /// Amazon EC2's service, or one like it.
    Ec2,
    /// Google Compute Engine's service.
    Gce,
    /// OpenStack's service.
    Openstack,
    /// Hetzner's service.
    Hetzner,
    /// DigitalOcean's service.
    Digitalocean,
    /// The first of these services that answers.
    Auto,
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

#[cfg(test)]
mod tests {
    use super::{METADATA, MakeImage, Metadata, ValueEnum};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        image: MakeImage,
    }

    fn parsed(words: &[&str]) -> Result<MakeImage, String> {
        let words = ["image", "a.exe", "--output", "a.img"].iter().chain(words);
        let line = Line::try_parse_from(words).map_err(|error| error.to_string());
        line.map(|line| line.image)
    }

    #[test]
    fn metadata_is_a_variable_of_the_settings() {
        for source in Metadata::value_variants() {
            let name = source.to_possible_value().expect("a value");
            let words = [
                "--env=SOIL_METADATA=x",
                "--env=A=1",
                "--metadata",
                name.get_name(),
            ];
            let settings = parsed(&words).expect("valid").settings();
            let found: Vec<_> = settings
                .iter()
                .map(|variable| (variable.name.as_str(), variable.value.as_deref()))
                .collect();
            assert_eq!(found, [("A", Some("1")), (METADATA, Some(name.get_name()))]);
        }
        let settings = parsed(&["--env=A=1"]).expect("valid").settings();
        assert_eq!(settings.len(), 1);
        let words = ["--env=SOIL_ON_FAILURE=x", "--on-failure", "reboot"];
        let settings = parsed(&words).expect("valid").settings();
        assert_eq!(settings, ["SOIL_ON_FAILURE=reboot".parse().expect("valid")]);
    }

    #[test]
    fn an_unknown_source_of_metadata_is_refused_with_the_list() {
        let Err(error) = parsed(&["--metadata", "azure"]) else {
            panic!("accepted");
        };
        for name in [
            "none",
            "disks",
            "ec2",
            "gce",
            "openstack",
            "hetzner",
            "digitalocean",
            "auto",
        ] {
            assert!(error.contains(name), "{error}");
        }
    }
}
