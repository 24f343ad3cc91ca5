//! The admin queue.

use std::vec;
use std::vec::Vec;

use super::dqo::{DqoRx, DqoTx};
use super::gqi::{GqiRx, GqiTx};
use super::{
    Block, DQO_RDA, GQI_QPL, GveAdminLie, GveDevice, INTERRUPTS, Model, PAGE, QUEUES, Resources,
    Rx, Tx, offset,
};
use crate::memory::Access;

/// Bytes of a command.
pub(super) const COMMAND: usize = 64;

/// Statuses.
const PASSED: u32 = 1;
const EXISTS: u32 = 0xffff_fff1;
const PRECONDITION: u32 = 0xffff_fff5;
const INVALID: u32 = 0xffff_fff7;
const NOT_FOUND: u32 = 0xffff_fff8;
const EXHAUSTED: u32 = 0xffff_fffc;
const UNIMPLEMENTED: u32 = 0xffff_fffe;

/// The page list of raw addresses.
const RAW: u32 = u32::MAX;

/// What a command writes to memory.
type Answer = Result<Option<(u64, Vec<u8>)>, u32>;

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) << 32 | u64::from(word(bytes, at + 4))
}

impl Model {
    /// Fetches and completes commands.
    pub(super) fn serve_admin(&mut self) {
        while !self.device.stuck_admin && !self.device.gone {
            let Some((address, entries)) = self.admin else {
                return;
            };
            let tail = self.written.get(&offset::ADMIN_DOORBELL).copied();
            let waiting = tail.unwrap_or(0).wrapping_sub(self.commands);
            if waiting == 0 {
                return;
            }
            assert!(waiting <= entries || self.lied, "{waiting} commands");
            if waiting > entries {
                return;
            }
            let at = address + u64::from(self.commands % entries) * COMMAND as u64;
            let mut command = [0; COMMAND];
            self.memory.read(at, &mut command);
            self.complete(at, &command);
        }
    }

    fn complete(&mut self, at: u64, command: &[u8; COMMAND]) {
        assert!(
            word(command, 4) == 0 || self.lied,
            "a command with a status"
        );
        let lie = self.device.admin_lies.pop_front().flatten();
        self.lied |= lie.is_some();
        self.device.admin.push(word(command, 0));
        let answer = match lie {
            Some(GveAdminLie::Swallow) => {
                self.device.stuck_admin = true;
                return;
            }
            Some(GveAdminLie::Gone) => {
                self.device.gone = true;
                return;
            }
            Some(GveAdminLie::Status(status)) => Err(status),
            _ => self.serve(command),
        };
        let status = match answer {
            Ok(None) => PASSED,
            Ok(Some((to, mut bytes))) => {
                if let Some(GveAdminLie::Answer(from, other)) = &lie {
                    for (to, byte) in bytes.iter_mut().skip(*from).zip(other) {
                        *to = *byte;
                    }
                }
                self.memory.write(to, &bytes);
                PASSED
            }
            Err(status) => status,
        };
        self.memory.write(at + 4, &status.to_be_bytes());
        let counted = match lie {
            Some(GveAdminLie::Count(count)) => count,
            _ => 1,
        };
        self.commands = self.commands.wrapping_add(counted);
    }

    fn serve(&mut self, command: &[u8; COMMAND]) -> Answer {
        match word(command, 0) {
            0x1 => {
                let bytes = self.device.describe();
                if word(command, 16) != 1 || (word(command, 20) as usize) < bytes.len() {
                    return Err(INVALID);
                }
                Ok(Some((long(command, 8), bytes)))
            }
            0x2 => self.configure(command),
            0x3 => self.register_pages(command),
            0x4 => {
                let id = word(command, 8);
                let used = |list: Option<u32>| list == Some(id);
                let in_use = self.tx.values().any(|queue| match queue {
                    Tx::Gqi(queue) => used(Some(queue.list)),
                    Tx::Dqo(_) => false,
                }) || self.rx.values().any(|queue| match queue {
                    Rx::Gqi(queue) => used(Some(queue.list)),
                    Rx::Dqo(_) => false,
                });
                assert!(!in_use, "pages go before their queue");
                self.pages.remove(&id).map(|_| None).ok_or(NOT_FOUND)
            }
            0x5 => self.create_tx(command),
            0x6 => self.create_rx(command),
            0x7 => {
                let found = self.tx.remove(&word(command, 8));
                found.map(|_| None).ok_or(NOT_FOUND)
            }
            0x8 => {
                let found = self.rx.remove(&word(command, 8));
                found.map(|_| None).ok_or(NOT_FOUND)
            }
            0x9 => {
                assert!(
                    self.tx.is_empty() && self.rx.is_empty(),
                    "resources go before the queues"
                );
                self.resources.take().map(|_| None).ok_or(PRECONDITION)
            }
            0xa => self.configure_rss(command),
            0xb => {
                let (kind, value) = (word(command, 8), long(command, 16));
                if kind != 1 || !(68..=u64::from(self.device.max_mtu())).contains(&value) {
                    return Err(INVALID);
                }
                self.device.set_mtu = Some(value as u16);
                Ok(None)
            }
            0xd => Ok(Some((
                long(command, 8),
                10_000_000_000u64.to_be_bytes().to_vec(),
            ))),
            0xe if self.device.dqo => {
                let bytes = GveDevice::packet_types();
                if long(command, 8) < bytes.len() as u64 {
                    return Err(INVALID);
                }
                Ok(Some((long(command, 16), bytes)))
            }
            0xf if self.device.verifies => {
                let mut info = vec![0; long(command, 8) as usize];
                // Operating system, versions, capabilities, two names.
                assert_eq!(info.len(), 304, "bytes of the driver's description");
                self.memory.read(long(command, 16), &mut info);
                self.device.driver_info = info;
                if self.device.incompatible {
                    return Err(PRECONDITION);
                }
                Ok(None)
            }
            _ => Err(UNIMPLEMENTED),
        }
    }

    fn configure(&mut self, command: &[u8; COMMAND]) -> Answer {
        if self.resources.is_some() {
            return Err(EXISTS);
        }
        let (counters, irqs) = (long(command, 8), long(command, 16));
        let (counter_count, count) = (word(command, 24), word(command, 28));
        let (stride, first_vector) = (word(command, 32), word(command, 36));
        let format = command[40];
        let (has, bit) = match format {
            GQI_QPL => (self.device.gqi, 1),
            DQO_RDA => (self.device.dqo, 1 << 3),
            _ => (false, 0),
        };
        if !has || first_vector > 1 || counter_count < u32::from(self.device.counters) {
            return Err(INVALID);
        }
        if let Some(flags) = self.device.driver_info.get(16..24) {
            assert!(long(flags, 0) & bit != 0, "a format the driver didn't name");
        }
        let len = counter_count as usize * 4;
        self.check(counters, len, Access::DeviceWrites, "the event counters");
        let mut indices = vec![0; count as usize * stride as usize];
        if count > 0 {
            assert!(stride >= 4 && stride.is_multiple_of(4), "stride {stride}");
            let access = Access::DeviceWrites;
            self.check(irqs, indices.len(), access, "the blocks' doorbells");
        }
        for (at, index) in indices.chunks_exact_mut(stride.max(4) as usize).enumerate() {
            let doorbell = (INTERRUPTS + at) as u32;
            index[..4].copy_from_slice(&doorbell.to_be_bytes());
        }
        self.resources = Some(Resources {
            counters,
            counter_count,
            blocks: vec![Block::default(); count as usize],
            first_vector,
            format,
        });
        Ok((count > 0).then_some((irqs, indices)))
    }

    fn register_pages(&mut self, command: &[u8; COMMAND]) -> Answer {
        let (id, count, list) = (word(command, 8), word(command, 12), long(command, 16));
        if long(command, 24) != PAGE as u64 || count == 0 || id == RAW {
            return Err(INVALID);
        }
        let registered: usize = self.pages.values().map(Vec::len).sum();
        if registered as u64 + u64::from(count) > self.device.max_pages {
            return Err(EXHAUSTED);
        }
        if self.pages.contains_key(&id) {
            return Err(EXISTS);
        }
        let mut bytes = vec![0; count as usize * 8];
        self.memory.read(list, &mut bytes);
        let pages: Vec<u64> = bytes.chunks_exact(8).map(|page| long(page, 0)).collect();
        for page in &pages {
            self.check(*page, PAGE, Access::DeviceWrites, "a page");
        }
        self.pages.insert(id, pages);
        Ok(None)
    }

    /// The format, if another queue may use this block.
    fn format(&self, block: u32) -> Result<u8, u32> {
        let resources = self.resources.as_ref().ok_or(PRECONDITION)?;
        let blocks = resources.blocks.len();
        let first = self.tx.is_empty() && self.rx.is_empty();
        match blocks {
            0 if first => Ok(resources.format),
            0 => Err(EXHAUSTED),
            _ if block as usize >= blocks => Err(INVALID),
            _ => Ok(resources.format),
        }
    }

    /// Entries of a ring: 0 for the default number, which older devices always take.
    fn entries(&self, asked: u16, receive: bool) -> Result<u32, u32> {
        let at = usize::from(receive);
        let default = self.device.entries[at];
        match (asked, self.device.modify_ring) {
            (0, _) => Ok(u32::from(default)),
            (asked, _) if asked == default => Ok(u32::from(asked)),
            (asked, Some(most)) => {
                let fits = (256..=most[at]).contains(&asked) && asked.is_power_of_two();
                fits.then_some(u32::from(asked)).ok_or(INVALID)
            }
            (_, None) => Err(INVALID),
        }
    }

    /// The doorbell's and the counter's index, for the driver.
    fn resource_answer(&self, address: u64, doorbell: u32, counter: u32) -> Answer {
        self.check(address, COMMAND, Access::DeviceWrites, "queue resources");
        let mut bytes = doorbell.to_be_bytes().to_vec();
        bytes.extend(counter.to_be_bytes());
        Ok(Some((address, bytes)))
    }

    fn create_tx(&mut self, command: &[u8; COMMAND]) -> Answer {
        let (id, ring, list) = (word(command, 8), long(command, 24), word(command, 32));
        let (block, completions) = (word(command, 36), long(command, 40));
        let format = self.format(block)?;
        if self.tx.contains_key(&id) {
            return Err(EXISTS);
        }
        if id >= self.device.max_queues {
            return Err(INVALID);
        }
        let entries = self.entries(short(command, 48), false)?;
        let len = entries as usize * 16;
        self.check(ring, len, Access::DeviceReads, "a transmit ring");
        let counter = self.counter(id, false)?;
        let queue = if format == GQI_QPL {
            if !self.pages.contains_key(&list) {
                return Err(NOT_FOUND);
            }
            Tx::Gqi(GqiTx::new(ring, entries, list, block, counter))
        } else {
            let count = self.entries(short(command, 50), false)?;
            if list != RAW {
                return Err(INVALID);
            }
            let len = count as usize * 8;
            self.check(completions, len, Access::DeviceWrites, "completions");
            Tx::Dqo(DqoTx::new((ring, entries), (completions, count), block))
        };
        self.tx.insert(id, queue);
        let doorbell = QUEUES as u32 + id * 2;
        self.resource_answer(long(command, 16), doorbell, counter)
    }

    /// An event counter of a queue.
    fn counter(&self, id: u32, receive: bool) -> Result<u32, u32> {
        let resources = self.resources.as_ref().ok_or(PRECONDITION)?;
        let counter = id * 2 + u32::from(receive);
        let fits = counter < resources.counter_count;
        fits.then_some(counter).ok_or(EXHAUSTED)
    }

    fn create_rx(&mut self, command: &[u8; COMMAND]) -> Answer {
        let (id, index, block) = (word(command, 8), word(command, 12), word(command, 20));
        let (descriptors, data) = (long(command, 32), long(command, 40));
        let (list, size) = (word(command, 48), short(command, 54));
        let format = self.format(block)?;
        if self.rx.contains_key(&id) {
            return Err(EXISTS);
        }
        if id >= self.device.max_queues {
            return Err(INVALID);
        }
        let entries = self.entries(short(command, 52), true)?;
        let counter = self.counter(id, true)?;
        let most = self.device.buffer_size.unwrap_or(2048).max(2048);
        let queue = if format == GQI_QPL {
            if !matches!(size, 0 | 2048) || index != id {
                return Err(INVALID);
            }
            if !self.pages.contains_key(&list) {
                return Err(NOT_FOUND);
            }
            let len = entries as usize;
            let access = Access::DeviceWrites;
            self.check(descriptors, len * 64, access, "received descriptors");
            self.check(data, len * 8, Access::DeviceReads, "the data ring");
            Rx::Gqi(GqiRx::new((descriptors, data), entries, list, block))
        } else {
            let count = self.entries(short(command, 56), true)?;
            let fits = size.is_power_of_two() && (2048..=most).contains(&size);
            if list != RAW || !fits || short(command, 60) != 0 || command[58] != 0 {
                return Err(INVALID);
            }
            let len = entries as usize * 32;
            self.check(descriptors, len, Access::DeviceWrites, "completions");
            let len = count as usize * 32;
            self.check(data, len, Access::DeviceReads, "the buffer ring");
            Rx::Dqo(DqoRx::new(
                (descriptors, entries),
                (data, count),
                size,
                block,
            ))
        };
        self.rx.insert(id, queue);
        let doorbell = QUEUES as u32 + id * 2 + 1;
        self.resource_answer(long(command, 24), doorbell, counter)
    }

    fn configure_rss(&mut self, command: &[u8; COMMAND]) -> Answer {
        let (key_len, table_len) = (short(command, 12), short(command, 14));
        // Fields of zero change nothing.
        let sizes = self.device.rss.unwrap_or((40, 128));
        let wrong = |len: u16, size: u16| len != 0 && len != size;
        if wrong(key_len, sizes.0) || wrong(table_len, sizes.1) || command[10] != 1 {
            return Err(INVALID);
        }
        if key_len != 0 {
            let mut key = vec![0; usize::from(key_len)];
            self.memory.read(long(command, 16), &mut key);
            self.device.hash_key = key;
        }
        if table_len != 0 {
            let mut table = vec![0; usize::from(table_len) * 4];
            self.memory.read(long(command, 24), &mut table);
            let table: Vec<u32> = table.chunks_exact(4).map(|id| word(id, 0)).collect();
            if !table.iter().all(|id| self.rx.contains_key(id)) {
                return Err(INVALID);
            }
            self.device.indirection = table;
        }
        Ok(None)
    }
}
