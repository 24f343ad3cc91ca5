//! The partitions of a disk: where they lie, what identifies them, and the table.

use super::SECTOR;
use crate::cli::image::ImageFormat;
use crate::cli::value_name;
use crate::disk::image::Place;
use crate::disk::make::{ALIGN, GPT_END, Identity, text};
use crate::disk::shown;
use crate::disk::tool::SFDISK;
use crate::failure::{Context as _, Failure};
use fs::partition::Table;
use loader::digests;
use loader::elf::Machine;
use std::fs::File;
use std::path::Path;

/// First sector of the BIOS boot partition: right behind the primary GPT.
pub const BIOS_FIRST: u64 = 34;
/// First sector of the boot partition. What lies before it is room for stage 2.
pub const BOOT_FIRST: u64 = 128;
/// Alignment of the boot partition's end: the blocks of mkfs.fat and of disks with 4096-byte
/// sectors.
const BOOT_ALIGN: u64 = 4096;

/// A partition, or a file system on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole disk.
    Disk,
    /// The BIOS boot partition.
    Bios,
    /// The EFI system partition.
    Boot,
    /// The file system on it.
    BootVolume,
    /// The data partition.
    Data,
    /// The file system on it.
    DataVolume,
}

impl Part {
    /// The partition's name in the table; none for what isn't a partition.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bios => "soil-bios",
            Self::Boot => "soil-boot",
            Self::Data => super::DATA,
            Self::Disk | Self::BootVolume | Self::DataVolume => "",
        }
    }
}

/// What identifies a part of the disk that is made from `seed`.
pub fn identity(seed: &[u8; 32], part: Part) -> Identity {
    let digest = digests::of(&[&seed[..], format!("{part:?}").as_bytes()].concat());
    Identity(digest.first_chunk().copied().unwrap_or_default())
}

/// The places of the partitions, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Size of the disk.
    pub size: u64,
    /// Whether there is a BIOS boot partition.
    pub bios: bool,
    pub boot: Place,
    pub data: Option<Place>,
}

impl Layout {
    /// Lays out a disk for a machine whose boot partition holds `boot` bytes; `size` is that of the
    /// whole disk. The places are the same for all machines.
    pub fn new(
        machine: Machine,
        boot: u64,
        data: Option<u64>,
        size: Option<u64>,
        format: ImageFormat,
    ) -> Result<Self, Failure> {
        let unit = match format {
            // Google Compute Engine imports whole GiB.
            ImageFormat::Gce => 1 << 30,
            ImageFormat::Raw | ImageFormat::Qcow2 | ImageFormat::Vhd | ImageFormat::Oci => ALIGN,
        };
        let boot_start = BOOT_FIRST * SECTOR;
        let behind = boot_start.saturating_add(boot);
        let (boot_end, data, least) = match data {
            None => {
                let least = behind.saturating_add(GPT_END).next_multiple_of(ALIGN);
                ((least - GPT_END) / BOOT_ALIGN * BOOT_ALIGN, None, least)
            }
            Some(data) => {
                let start = behind.next_multiple_of(ALIGN);
                let end = start.saturating_add(data);
                let least = end.saturating_add(GPT_END).next_multiple_of(BOOT_ALIGN);
                (start, Some((start, data)), least)
            }
        };
        let total = match size {
            Some(size) if size < least || !size.is_multiple_of(unit) => {
                let fitting = size.max(least).next_multiple_of(unit);
                let reason = match size < least {
                    true => format!("too little: the disk needs {least} bytes"),
                    false => {
                        let (format, unit) = (value_name(&format), shown(unit));
                        format!("a disk in the format {format} has whole multiples of {unit}")
                    }
                };
                let remedy = format!("give --size {}M", fitting >> 20);
                return Err(Failure::on("--size", reason).remedy(remedy));
            }
            Some(size) => size,
            None => least.next_multiple_of(unit),
        };
        Ok(Self {
            size: total,
            bios: machine == Machine::X86_64,
            boot: Place {
                start: boot_start,
                size: boot_end - boot_start,
                partition: Some(2),
            },
            data: data.map(|(start, size)| Place {
                start,
                size,
                partition: Some(3),
            }),
        })
    }

    /// Gives the file its size and its partition table.
    pub fn write(&self, disk: &Path, seed: &[u8; 32]) -> Result<(), Failure> {
        let file = File::options().write(true).open(disk).on(disk)?;
        file.set_len(self.size).on(disk)?;
        SFDISK.must(
            &["-q", "--no-reread", "--no-tell-kernel", &text(disk)?],
            &self.script(seed),
        )
    }

    /// sfdisk's script of the table.
    fn script(&self, seed: &[u8; 32]) -> String {
        let mut script = format!(
            "label: gpt\nlabel-id: {}\nfirst-lba: {BIOS_FIRST}\n",
            identity(seed, Part::Disk).uuid()
        );
        let bios = Place {
            start: BIOS_FIRST * SECTOR,
            size: (BOOT_FIRST - BIOS_FIRST) * SECTOR,
            partition: Some(1),
        };
        // UEFI 2.10, table 5.7; GRUB's BIOS boot partition; Linux's data.
        let kinds = [
            (
                Part::Bios,
                self.bios.then_some(bios),
                "21686148-6449-6E6F-744E-656564454649",
            ),
            (
                Part::Boot,
                Some(self.boot),
                "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            ),
            (
                Part::Data,
                self.data,
                "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
            ),
        ];
        for (part, place, kind) in kinds {
            if let Some(Place { start, size, .. }) = place {
                script.push_str(&format!(
                    "start={}, size={}, type={kind}, uuid={}, name=\"{}\"\n",
                    start / SECTOR,
                    size / SECTOR,
                    identity(seed, part).uuid(),
                    part.label()
                ));
            }
        }
        script
    }
}

/// Refuses a disk with a damaged table, or with a place of the boot partition that the loaders
/// don't know. Only disks for x86-64 have one for BIOS.
pub fn check(disk: &Path, table: &Table) -> Result<(), Failure> {
    if let Some(warning) = table.warnings.first() {
        return Err(Failure::on(disk, warning));
    }
    for (part, first) in [(Part::Bios, BIOS_FIRST), (Part::Boot, BOOT_FIRST)] {
        let mut partitions = table.partitions.iter();
        if part == Part::Bios && !partitions.any(|one| one.label == part.label()) {
            continue;
        }
        let found = table.find(part.label()).on(disk)?;
        if found.first != first {
            let reason = format!("the partition {} was moved", part.label());
            return Err(Failure::on(disk, reason).remedy("make the disk again"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Layout, Part, identity};
    use crate::cli::image::ImageFormat;
    use loader::elf::Machine;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_small_program_has_a_disk_of_one_mebibyte() {
        let layout =
            Layout::new(Machine::X86_64, 500_000, None, None, ImageFormat::Raw).expect("fits");
        assert_eq!((layout.size, layout.data), (MIB, None));
        assert_eq!(layout.boot.start, 65_536);
        assert!(layout.boot.start + layout.boot.size + 33 * 512 <= MIB);
        let gce =
            Layout::new(Machine::X86_64, 500_000, None, None, ImageFormat::Gce).expect("fits");
        assert_eq!((gce.size, gce.boot), (1 << 30, layout.boot));
    }

    #[test]
    fn only_a_disk_for_x86_64_has_a_partition_for_bios() {
        let layout =
            |machine| Layout::new(machine, MIB, None, None, ImageFormat::Raw).expect("fits");
        let (x86, arm) = (layout(Machine::X86_64), layout(Machine::Aarch64));
        assert_eq!((x86.size, x86.boot), (arm.size, arm.boot));
        let parts = |layout: Layout| {
            let script = layout.script(&[7; 32]);
            [Part::Bios, Part::Boot].map(|part| script.contains(part.label()))
        };
        assert_eq!((parts(x86), parts(arm)), ([true, true], [false, true]));
    }

    #[test]
    fn data_follows_the_boot_partition() {
        let layout =
            Layout::new(Machine::X86_64, MIB, Some(8 * MIB), None, ImageFormat::Raw).expect("fits");
        let data = layout.data.expect("data");
        assert_eq!((data.start, data.size), (2 * MIB, 8 * MIB));
        assert_eq!(layout.boot.start + layout.boot.size, data.start);
        assert_eq!(layout.size, 11 * MIB);
    }

    #[test]
    fn a_size_that_is_too_little_names_the_least() {
        let layout = |size| {
            Layout::new(
                Machine::X86_64,
                MIB,
                Some(8 * MIB),
                Some(size),
                ImageFormat::Raw,
            )
        };
        let least = 10 * MIB + 20_480;
        let failure = layout(least - 4096).expect_err("too little").to_string();
        assert!(failure.contains(&least.to_string()), "{failure}");
        // The advised size is one that the format has.
        assert!(failure.ends_with("give --size 11M"), "{failure}");
        // An exact size is possible only where the format has no unit.
        assert!(layout(11 * MIB).is_ok());
        let failure = layout(least).expect_err("no whole MiB").to_string();
        assert!(
            failure.contains("multiples of 1 MiB: give --size 11M"),
            "{failure}"
        );
        let gce = Layout::new(
            Machine::X86_64,
            MIB,
            None,
            Some(1025 * MIB),
            ImageFormat::Gce,
        );
        assert!(gce.is_err_and(|failure| failure.to_string().contains("1 GiB: give --size 2048M")));
    }

    #[test]
    fn each_part_has_its_identity() {
        let seed = [7; 32];
        let one = identity(&seed, Part::Data);
        assert_eq!(one, identity(&seed, Part::Data));
        assert_ne!(one, identity(&seed, Part::DataVolume));
        assert_ne!(one, identity(&[8; 32], Part::Data));
        let uuid = one.uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "8"), "{uuid}");
    }
}
