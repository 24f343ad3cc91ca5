//! The loaders that Soil installs, and their places on a disk.

use super::SECTOR;
use super::layout::{BIOS_FIRST, BOOT_FIRST};
use crate::failure::{Context as _, Failure};
use crate::installed;
use loader::elf::Machine;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The variable with the folder of the loaders.
const VARIABLE: &str = "SOIL_LOADERS";
/// Bytes of code in the first sector.
const CODE: usize = 440;
/// Offset of the place of stage 2 in that code: its first sector (64 bits), and its length in
/// sectors (16 bits).
const PLACE: usize = 428;

/// The files that a disk boots by.
pub struct Loaders {
    pub uefi: Vec<u8>,
    /// Only for x86-64: other machines have no BIOS.
    bios: Option<Bios>,
}

/// The two files for BIOS.
struct Bios {
    first_sector: Vec<u8>,
    stage_2: Vec<u8>,
}

/// The UEFI loader's file.
const fn uefi_file(machine: Machine) -> &'static str {
    match machine {
        Machine::X86_64 => "soil-uefi.efi",
        Machine::Aarch64 => "soil-uefi-aarch64.efi",
    }
}

/// What brings the loaders for a machine, of which only an empty file is installed.
fn remedy(machine: Machine) -> String {
    if machine == Machine::HERE {
        return "install Soil (make install)".to_owned();
    }
    match machine {
        Machine::X86_64 => "make the disk on a machine for x86_64".to_owned(),
        Machine::Aarch64 => "apt-get install gcc-aarch64-linux-gnu, rustup target add \
                             aarch64-unknown-linux-gnu, and install Soil again (make install)"
            .to_owned(),
    }
}

impl Loaders {
    /// Reads the installed files for a machine.
    pub fn installed(machine: Machine) -> Result<Self, Failure> {
        let read =
            |name| {
                let path = find(name)?;
                let bytes = std::fs::read(&path).on(&path)?;
                match bytes.is_empty() {
                    true => Err(Failure::on(path, "an empty file instead of a loader")
                        .remedy(remedy(machine))),
                    false => Ok((path, bytes)),
                }
            };
        let (_, uefi) = read(uefi_file(machine))?;
        if machine != Machine::X86_64 {
            return Ok(Self { uefi, bios: None });
        }
        let (path, mut first_sector) = read("soil-bios-mbr.bin")?;
        let (_, stage_2) = read("soil-bios.bin")?;
        let sectors = stage_2.len() as u64 / SECTOR;
        let place = first_sector.get_mut(PLACE..PLACE + 10);
        let fits = sectors <= BOOT_FIRST - BIOS_FIRST;
        match (place, u16::try_from(sectors)) {
            (Some(place), Ok(sectors)) if fits => {
                let bytes = BIOS_FIRST
                    .to_le_bytes()
                    .into_iter()
                    .chain(sectors.to_le_bytes());
                for (to, from) in place.iter_mut().zip(bytes) {
                    *to = from;
                }
            }
            _ => return Err(Failure::on(path, "not a loader").remedy("install Soil again")),
        }
        first_sector.truncate(CODE);
        let bios = Some(Bios {
            first_sector,
            stage_2,
        });
        Ok(Self { uefi, bios })
    }

    /// Writes those for BIOS, if there are any, to a disk that has its partition table.
    pub fn write(&self, disk: &Path) -> Result<(), Failure> {
        let Some(bios) = &self.bios else {
            return Ok(());
        };
        let file = File::options().write(true).open(disk).on(disk)?;
        let mut partition = bios.stage_2.clone();
        partition.resize(((BOOT_FIRST - BIOS_FIRST) * SECTOR) as usize, 0);
        file.write_all_at(&bios.first_sector, 0)
            .and_then(|()| file.write_all_at(&partition, BIOS_FIRST * SECTOR))
            .on(disk)
    }
}

/// Finds an installed file. In Soil's own build the loaders' folder is beside this program's.
fn find(name: &str) -> Result<PathBuf, Failure> {
    let places = match std::env::var_os(VARIABLE) {
        Some(folder) => vec![Path::new(&folder).join(name)],
        None => {
            let mut places = installed::places(name);
            places.extend(
                installed::places(&format!("../loader/{name}"))
                    .into_iter()
                    .take(1),
            );
            places
        }
    };
    installed::first(&places).map_err(|places| {
        Failure::on(name, format!("wasn't found in {places}")).remedy(format!(
            "install Soil (make install), or name its folder in {VARIABLE}"
        ))
    })
}
