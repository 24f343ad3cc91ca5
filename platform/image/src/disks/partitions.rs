//! Partitions that are disks of their own: `SOIL_DISK_NAME=PARTUUID=GUID` on the command line makes
//! that partition the disk `name`, as `soil image` does for the data beside a program. The disk
//! is hidden as a whole, so nothing overwrites what the machine boots by.

use super::{Direct, Disk};
use alloc::vec::Vec;
use fs::partition::{self, Table};
use kernel::devices::undriven_disks;
use kernel::environment;
use platform::disk::TIMEOUT_VARIABLE;

/// Beginning of the variables' names, which the process form has for its files, too.
const PREFIX: &str = "SOIL_DISK_";
/// Beginning of a value that names a partition, as in Linux's `root=`.
const GUID: &str = "PARTUUID=";

/// Gives each disk that has a partition of such a variable the variable's name.
pub fn assign(disks: &mut [Disk]) {
    let mut tables: Vec<Option<Table>> = Vec::new();
    for (name, wanted) in environment::variables()
        .iter()
        .filter_map(|word| named(word))
    {
        if tables.is_empty() {
            tables = disks.iter_mut().map(table).collect();
        }
        let has = |table: &Option<Table>| table.as_ref().is_some_and(|t| t.find(wanted).is_ok());
        let mut found = disks
            .iter_mut()
            .zip(&tables)
            .filter(|(_, table)| has(table));
        match found.next() {
            Some((disk, _)) if disk.partition.is_none() => {
                disk.name = name.to_ascii_lowercase();
                disk.partition = Some(wanted.into());
            }
            Some((disk, _)) => log::error!(
                "{PREFIX}{name}: its disk is already {}: one partition of a disk can be named",
                disk.name
            ),
            None => {
                let others = undriven_disks();
                let hint = match others.is_empty() {
                    true => "",
                    false => "; these controllers have no driver here: ",
                };
                log::error!(
                    "{PREFIX}{name}: no disk of this machine has the partition \
                    {wanted}{hint}{others}; attach the disk by virtio, NVMe or SATA"
                );
            }
        }
    }
}

/// The name and the partition in a word of the environment; none for other words.
fn named(word: &[u8]) -> Option<(&str, &str)> {
    let (variable, value) = core::str::from_utf8(word).ok()?.split_once('=')?;
    let name = variable.strip_prefix(PREFIX)?;
    (variable != TIMEOUT_VARIABLE && value.starts_with(GUID)).then_some((name, value))
}

/// The partitions of a disk; none if it has no table that can be read.
fn table(disk: &mut Disk) -> Option<Table> {
    partition::read_table(&mut Direct::new(disk).ok()?).ok()
}
