//! The boot partition: the UEFI loader, the program and its settings.

use super::SECTOR;
use crate::disk::image::{self, Place};
use crate::disk::make::{self, Contents, Entry, FIXED_TIME, Identity};
use crate::failure::{Context as _, Failure};
use crate::progress;
use fs::{OpenFlags, Volume};
use loader::elf::Machine;
use std::path::Path;

/// The UEFI loader, where firmware searches for it (UEFI 2.10, table 3.3).
const fn loader(machine: Machine) -> &'static str {
    match machine {
        Machine::X86_64 => "EFI/BOOT/BOOTX64.EFI",
        Machine::Aarch64 => "EFI/BOOT/BOOTAA64.EFI",
    }
}

const ELF: &str = "soil/image.elf";
const SETTINGS: &str = "soil/settings.txt";
/// The most that a file of the partition may have: the images' address space.
const MAX_FILE: u64 = 1 << 30;
/// Room for settings, in bytes: the most that the loaders read.
const SETTINGS_ROOM: u64 = 64 << 10;
/// Room for folders and the tables of FAT, in bytes.
const TABLES: u64 = 64 << 10;

/// The time of everything in the partition: the same program makes the same disk.
static FIXED_CLOCK: fs::Clock = fs::Clock::new(|| fs::Time::from_seconds(FIXED_TIME));

/// The files of the partition.
pub struct Boot {
    pub machine: Machine,
    pub loader: Vec<u8>,
    pub elf: Vec<u8>,
    pub settings: String,
}

impl Boot {
    /// The bytes of a new partition for such a program: a quarter more than it needs, for its next
    /// versions.
    pub fn size_of(elf: &[u8], loader: &[u8]) -> u64 {
        let needed = Self::min_size_of(elf, loader);
        needed + needed / 4
    }

    /// The bytes of the smallest partition that such a program fits: its files, one percent for
    /// clusters that a file fills in part, and the tables.
    pub fn min_size_of(elf: &[u8], loader: &[u8]) -> u64 {
        let files = (elf.len() + loader.len()) as u64 + SETTINGS_ROOM;
        files + files / 100 + TABLES
    }

    /// Makes the file system at `place` again, with these files only.
    pub fn write(&self, disk: &Path, place: Place, identity: Identity) -> Result<(), Failure> {
        make::remake_fat(disk, place, "SOIL", Some(identity))?;
        // Directories come before their files.
        let files = [
            ("EFI", Contents::Directory),
            ("soil", Contents::Directory),
            (ELF, Contents::Bytes(&self.elf)),
            (SETTINGS, Contents::Bytes(self.settings.as_bytes())),
            ("EFI/BOOT", Contents::Directory),
            (loader(self.machine), Contents::Bytes(&self.loader)),
        ];
        let entries = files.map(|(name, contents)| Entry {
            target: format!("/{name}"),
            contents,
            modified: FIXED_TIME,
            source: disk.join(name),
        });
        let bytes = self.elf.len() + self.settings.len() + self.loader.len();
        let bar = progress::bytes("copying", bytes as u64);
        make::fill(disk, place, &entries, &FIXED_CLOCK, &bar)?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Reads the files of a disk.
    pub fn read(disk: &Path, place: Place) -> Result<Self, Failure> {
        let mut volume = image::mount(disk, image::device(disk, place, false)?, None)?;
        let mut read = |name: &str| {
            contents(&mut *volume, name)
                .on(format!("{}, /{name}", disk.display()))
                .map_err(|failure| failure.remedy("make the disk again"))
        };
        let elf = read(ELF)?;
        let machine = Machine::of(&elf).unwrap_or(Machine::X86_64);
        let loader = read(loader(machine))?;
        let settings = String::from_utf8(read(SETTINGS)?)
            .map_err(|_| Failure::on(disk, format!("/{SETTINGS} isn't UTF-8")))?;
        Ok(Self {
            machine,
            loader,
            elf,
            settings,
        })
    }

    /// What identifies the file system at `place`: its volume ID, again.
    pub fn identity(disk: &Path, place: Place) -> Result<Identity, Failure> {
        let mut sector = vec![0; SECTOR as usize];
        image::device(disk, place, false)?
            .read(0, &mut sector)
            .on(disk)?;
        // The volume ID is little-endian. FAT32 has no 16-bit length of its tables (at 22), and a
        // longer BIOS parameter block.
        let at = match sector.get(22..24) {
            Some([0, 0]) => 67,
            _ => 39,
        };
        let mut bytes = [0; 16];
        let id = sector.get(at..at + 4).unwrap_or_default();
        for (to, from) in bytes.iter_mut().zip(id.iter().rev()) {
            *to = *from;
        }
        Ok(Identity(bytes))
    }
}

/// Reads a whole file.
fn contents(volume: &mut dyn Volume, name: &str) -> Result<Vec<u8>, fs::Error> {
    let path = format!("/{name}");
    let len = volume.stat(&path)?.size;
    if len > MAX_FILE {
        return Err(fs::Error::TooLarge);
    }
    let file = volume.open(&path, OpenFlags::READ)?;
    let mut bytes = vec![0; len as usize];
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match volume.read_at(file, at as u64, rest)? {
            0 => return Err(fs::Error::Corrupt),
            count => at += count,
        }
    }
    volume.close(file)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_version_fits() {
        let loader = vec![0; 50 << 10];
        for len in [300 << 10, 5 << 20, 40 << 20] {
            let size = Boot::size_of(&vec![0; len], &loader);
            assert!(Boot::min_size_of(&vec![0; len + len / 5], &loader) <= size);
            assert!(Boot::min_size_of(&vec![0; len + len / 2], &loader) > size);
        }
    }
}
