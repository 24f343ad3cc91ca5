//! Namespaces: the disks of a controller.

use alloc::format;
use alloc::string::String;

use super::command::Command;
use super::identify::{CommandSetData, ControllerData, NamespaceData};
use crate::MemoryRef;
use crate::disk::{Clear, ClearLimits, Data, Geometry, Limits, Requests, SECTOR, serial};

/// Most blocks of a command with a 16-bit count.
const MAX_BLOCKS: usize = 1 << 16;

/// What the commands of a namespace depend on.
pub(super) struct Disk {
    /// The namespace's number, from 1.
    pub number: u32,
    pub data: Data,
    block_size: usize,
    discard: Option<ClearLimits>,
    zeroes: Option<ClearLimits>,
    /// A Write Zeroes may deallocate.
    pub zeroes_deallocate: bool,
    /// Number of commands in flight.
    pub in_flight: u16,
}

impl Disk {
    /// First block and number of blocks of `len` bytes from `sector` on.
    pub fn blocks(&self, sector: u64, len: usize) -> (u64, u32) {
        let per_block = (self.block_size / SECTOR) as u64;
        (sector / per_block, (len / self.block_size) as u32)
    }

    /// The command for `len` bytes from `sector` on.
    pub fn over(&self, command: Command, sector: u64, len: usize) -> Command {
        let (block, count) = self.blocks(sector, len);
        command.blocks(block, count)
    }

    pub fn clear_limits(&self, clear: Clear) -> Option<ClearLimits> {
        match clear {
            Clear::Discard => self.discard,
            Clear::Zeroes { .. } => self.zeroes,
        }
    }
}

/// A namespace with its requests.
pub(super) struct Namespace {
    pub disk: Disk,
    pub name: Option<String>,
    pub geometry: Geometry,
    pub requests: Requests,
    /// Its size may have changed.
    pub is_stale: bool,
    /// Number of its errors in the log.
    pub logged: u8,
}

/// What all namespaces of a controller have in common.
pub(super) struct Common<'a> {
    pub memory: MemoryRef,
    pub controller: &'a ControllerData,
    pub command_set: &'a CommandSetData,
    /// Maximum bytes of a command's data.
    pub max_bytes: usize,
    /// Maximum number of unfinished requests, and of bounce buffers.
    pub requests: u16,
    pub bounce_buffers: u16,
}

impl Namespace {
    /// `None` if a block exceeds the controller's own maximum of a command.
    pub fn new(number: u32, found: &NamespaceData, common: &Common<'_>) -> Option<Namespace> {
        let block = found.block_size;
        let whole = common.max_bytes / block * block;
        if whole == 0 {
            return None;
        }
        let Common {
            controller,
            command_set,
            ..
        } = common;
        let blocks = command_set.max_discard.unwrap_or(u32::MAX) as usize;
        let alignment = u64::from(found.discard_alignment) * block as u64;
        let discard = ClearLimits::new(blocks.saturating_mul(block), alignment, block);
        // Without a limit of its own, that of data: controllers exist that mean it so.
        let zeroes = command_set.max_zeroes.or(controller.max_transfer);
        let zeroes = zeroes.unwrap_or(usize::MAX).min(MAX_BLOCKS * block);
        let zeroes = ClearLimits::new(zeroes, 0, block);
        let discard = discard.filter(|_| controller.discard);
        let zeroes = zeroes.filter(|_| controller.write_zeroes);
        let limits = Limits {
            segment: u32::MAX,
            segments: u16::MAX,
            bytes: whole,
            block,
            boundary: super::prp::PAGE,
        };
        Some(Namespace {
            geometry: Geometry {
                sectors: sectors(found),
                block_size: block,
                read_only: found.read_only,
                can_flush: controller.flush,
                can_discard: discard.is_some(),
                can_write_zeroes: zeroes.is_some(),
            },
            name: name(controller, number),
            disk: Disk {
                number,
                data: Data::new(common.memory, limits, common.bounce_buffers),
                block_size: block,
                discard,
                zeroes,
                zeroes_deallocate: found.zeroes_deallocate,
                in_flight: 0,
            },
            requests: Requests::new(common.requests),
            is_stale: false,
            logged: 0,
        })
    }

    /// The namespace has changed; one with another block size or none has no sectors.
    pub fn update(&mut self, found: Option<&NamespaceData>) {
        let same = found.filter(|found| found.block_size == self.geometry.block_size);
        self.geometry.sectors = same.map_or(0, sectors);
        if let Some(found) = same {
            self.geometry.read_only = found.read_only;
        }
    }
}

fn sectors(found: &NamespaceData) -> u64 {
    found
        .blocks
        .saturating_mul((found.block_size / SECTOR) as u64)
}

/// The name of a namespace: the controller's serial number, or the name under which an EBS volume
/// is attached, with the namespace's own number behind it from the second on.
fn name(controller: &ControllerData, number: u32) -> Option<String> {
    let attached = controller.attached.as_ref().and_then(|name| {
        let name = name.strip_prefix(b"/dev/").unwrap_or(name);
        serial(name)
    });
    let name = attached.or_else(|| serial(&controller.serial))?;
    Some(match number {
        1 => name,
        _ => format!("{name}_{number}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvme::identify::BYTES;

    #[test]
    fn a_volume_is_named_by_its_attachment() {
        let named = |attached: &[u8]| {
            let mut answer = [0; BYTES];
            answer[0..2].copy_from_slice(&[0x0f, 0x1d]);
            answer[4..24].copy_from_slice(b"vol0123456789abcdef0");
            answer[24..50].copy_from_slice(b"Amazon Elastic Block Store");
            answer[3072..3072 + attached.len()].copy_from_slice(attached);
            let controller = ControllerData::parse(&answer);
            [1, 2].map(|number| name(&controller, number).expect("a name"))
        };
        assert_eq!(named(b"/dev/sdf  "), ["sdf", "sdf_2"]);
        assert_eq!(named(b"xvdb"), ["xvdb", "xvdb_2"]);
        assert_eq!(named(b"../x")[0], "vol0123456789abcdef0");
        assert_eq!(named(b"")[0], "vol0123456789abcdef0");
    }
}
