//! QEMU's device for firmware, in memory.

use super::handover::tree;
use super::registers;
use crate::memory;
use alloc::vec::Vec;
use firmware::fw_cfg::{self, Registers};

/// Offsets of the registers. The first one's size is the item's.
const DATA: usize = 0;
const SELECT: usize = 8;
/// Bytes of both.
const LEN: usize = 10;

impl Registers for registers::Registers {
    fn select(&mut self, item: u16) {
        // The device's byte order.
        self.write(SELECT, item.to_be());
    }

    fn read(&mut self, to: &mut [u8]) {
        to.fill_with(|| registers::Registers::read(self, DATA));
    }
}

/// The contents of a file; see [`fw_cfg::file`]. One caller at a time. May map memory.
pub fn file(name: &[u8], max: usize) -> Option<Vec<u8>> {
    let device = tree()?.compatible(&["qemu,fw-cfg-mmio"])?;
    let (address, _) = device.registers().next()?;
    let mut registers = registers::Registers::none();
    // SAFETY: the device's registers, mapped for good.
    unsafe { registers.set(memory::map_device(address, LEN)?) };
    fw_cfg::file(&mut registers, name, max)
}
