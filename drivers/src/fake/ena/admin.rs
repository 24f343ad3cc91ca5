//! The admin queue.

use std::vec;
use std::vec::Vec;

use super::io::{Completions, LowLatency, Submissions};
use super::{
    COMPLETION_REGISTERS, DOORBELLS, EnaAdminLie, LOW_LATENCY, LOW_LATENCY_SHARE, Model, Ring,
    offset,
};

/// Bytes of an entry, in both directions.
const ENTRY: usize = 64;

/// Statuses.
const UNSUPPORTED: u8 = 3;
const MALFORMED: u8 = 4;
const ILLEGAL: u8 = 5;

/// Ids of features.
mod feature {
    pub const ATTRIBUTES: u8 = 1;
    pub const MAX_QUEUES: u8 = 2;
    pub const LOW_LATENCY: u8 = 4;
    pub const MAX_QUEUES_EXTENDED: u8 = 7;
    pub const HASH_FUNCTION: u8 = 10;
    pub const OFFLOADS: u8 = 11;
    pub const INDIRECTION: u8 = 12;
    pub const MTU: u8 = 14;
    pub const HASH_INPUT: u8 = 18;
    pub const EVENTS: u8 = 26;
    pub const LINK: u8 = 27;
    pub const HOST: u8 = 28;
}

/// Events that the adapter can send: link, fatal error, warning, notification, keep-alive, request
/// of a reset.
const GROUPS: u32 = 0b1001_1111;
/// The indirection table has 2 to this many entries: at least, at most.
const TABLE: (u16, u16) = (7, 7);

type Answer = Result<Vec<u8>, u8>;

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

/// A memory address of 48 bits.
fn address(bytes: &[u8], at: usize) -> u64 {
    assert_eq!(short(bytes, at + 6), 0, "addresses have 48 bits");
    u64::from(word(bytes, at)) | u64::from(short(bytes, at + 4)) << 32
}

fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

impl Model {
    /// Fetches and completes commands.
    pub(super) fn serve_admin(&mut self) {
        while !self.device.stuck_admin && !self.device.gone {
            let (Some(mut ring), Some(_)) = (self.commands, self.answers) else {
                return;
            };
            let tail = self.written.get(&offset::ADMIN_DOORBELL).copied();
            let Some(tail) = tail.filter(|tail| *tail as u16 != ring.index) else {
                return;
            };
            let waiting = (tail as u16).wrapping_sub(ring.index);
            assert!(waiting <= ring.depth || self.lied, "{waiting} commands");
            let mut command = [0; ENTRY];
            let at = ring.address + u64::from(ring.slot()) * ENTRY as u64;
            self.memory.read(at, &mut command);
            let is_written = (command[3] & 1 != 0) == ring.phase;
            assert!(is_written || self.lied, "the phase of a command");
            if !is_written {
                return;
            }
            ring.advance();
            self.commands = Some(ring);
            self.complete(&command);
        }
    }

    fn complete(&mut self, command: &[u8; ENTRY]) {
        let lie = self.device.admin_lies.pop_front().flatten();
        self.lied |= lie.is_some();
        let feature = if matches!(command[2], 8 | 9) {
            command[17]
        } else {
            0
        };
        self.device.admin.push((command[2], feature));
        let answer = match &lie {
            Some(EnaAdminLie::Swallow) => return,
            Some(EnaAdminLie::Gone) => {
                self.device.gone = true;
                return;
            }
            Some(EnaAdminLie::Status(status)) => Err(*status),
            _ => self.serve(command),
        };
        let mut entry = [0; ENTRY];
        entry[0..2].copy_from_slice(&(short(command, 0) & 0xfff).to_le_bytes());
        match answer {
            Ok(bytes) => entry[8..8 + bytes.len()].copy_from_slice(&bytes),
            Err(status) => entry[2] = status,
        }
        let head = self.commands.map_or(0, |ring| ring.index);
        entry[6..8].copy_from_slice(&head.to_le_bytes());
        let mut times = 1;
        let mut is_new = true;
        match lie {
            Some(EnaAdminLie::Id(id)) => entry[0..2].copy_from_slice(&id.to_le_bytes()),
            Some(EnaAdminLie::Phase) => is_new = false,
            Some(EnaAdminLie::Twice) => times = 2,
            Some(EnaAdminLie::Answer(at, bytes)) => {
                for (to, byte) in entry[at..].iter_mut().zip(bytes) {
                    *to = byte;
                }
            }
            _ => {}
        }
        for _ in 0..times {
            let Some(ring) = &mut self.answers else {
                return;
            };
            entry[3] = entry[3] & !1 | u8::from(ring.phase == is_new);
            let at = ring.address + u64::from(ring.slot()) * ENTRY as u64;
            ring.advance();
            self.memory.write(at, &entry);
            if !self.masked {
                self.interrupt(0);
            }
        }
    }

    fn serve(&mut self, command: &[u8; ENTRY]) -> Answer {
        match command[2] {
            1 => self.create_submissions(command),
            2 => {
                let id = short(command, 4);
                let found = self.submissions.get(&id).ok_or(ILLEGAL)?;
                if found.is_tx() != (command[6] >> 5 == 1) {
                    return Err(ILLEGAL);
                }
                self.submissions.remove(&id);
                Ok(vec![])
            }
            3 => self.create_completions(command),
            4 => {
                let id = short(command, 4);
                let in_use = self
                    .submissions
                    .values()
                    .any(|queue| queue.completions == id);
                assert!(
                    !in_use,
                    "a completion queue goes before its submission queue"
                );
                self.completions.remove(&id).map(|_| vec![]).ok_or(ILLEGAL)
            }
            8 if self.device.has(command[17]) => self.get(command),
            9 if self.device.has(command[17]) => self.set(command),
            11 => {
                let sent = self.device.packets as u32;
                Ok(words(&[
                    0,
                    0,
                    sent,
                    0,
                    0,
                    0,
                    0,
                    0,
                    self.device.dropped as u32,
                    0,
                ]))
            }
            _ => Err(UNSUPPORTED),
        }
    }

    fn create_completions(&mut self, command: &[u8; ENTRY]) -> Answer {
        let interrupts = command[4] & 1 << 5 != 0;
        let size = usize::from(command[5] & 0x1f) * 4;
        let (depth, vector) = (u32::from(short(command, 6)), word(command, 8));
        let max = self.device.max_depths[0].max(self.device.max_depths[1]);
        let count = self.completions.len() as u32;
        if !matches!(size, 8 | 16 | 32) || depth > max || count >= 2 * self.device.max_queues {
            return Err(ILLEGAL);
        }
        if interrupts && vector >= self.device.vectors {
            return Err(ILLEGAL);
        }
        let ring = Ring::new(self.memory, address(command, 12), depth, size);
        let id = free(&mut self.completions.keys().copied());
        let queue = Completions::new(ring, size, interrupts.then_some(vector));
        self.completions.insert(id, queue);
        let base = (COMPLETION_REGISTERS + usize::from(id) * 16) as u32;
        Ok(words(&[
            u32::from(id) | depth << 16,
            base + 4,
            base + 8,
            base,
        ]))
    }

    fn create_submissions(&mut self, command: &[u8; ENTRY]) -> Answer {
        let (direction, placement) = (command[4] >> 5, command[6] & 0xf);
        let (completions, depth) = (short(command, 8), u32::from(short(command, 10)));
        if command[6] >> 4 & 7 != 0 || command[7] & 1 == 0 || !matches!(direction, 1 | 2) {
            return Err(MALFORMED);
        }
        let is_tx = direction == 1;
        let size = self.completions.get(&completions).ok_or(ILLEGAL)?.size;
        // Completions of receive buffers have at least 4 words.
        let max = self.device.max_depths[usize::from(!is_tx)];
        if depth > max || !is_tx && size < 16 {
            return Err(ILLEGAL);
        }
        let of_kind = self
            .submissions
            .values()
            .filter(|queue| queue.is_tx() == is_tx);
        if of_kind.count() as u32 >= self.device.max_queues {
            return Err(1);
        }
        let id = free(&mut self.submissions.keys().copied());
        let base = LOW_LATENCY + usize::from(id) * LOW_LATENCY_SHARE;
        let queue = match placement {
            1 => {
                let ring = Ring::new(self.memory, address(command, 12), depth, 16);
                Submissions::new(is_tx, completions, ring, None)
            }
            3 if is_tx => {
                let layout = self.low_latency.ok_or(ILLEGAL)?;
                let bytes = depth as usize * layout.entry;
                let too_deep = depth > self.device.low_latency.max_depth;
                if too_deep || !depth.is_power_of_two() || bytes > LOW_LATENCY_SHARE {
                    return Err(ILLEGAL);
                }
                let ring = Ring {
                    address: base as u64,
                    depth: depth as u16,
                    index: 0,
                    phase: true,
                };
                Submissions::new(is_tx, completions, ring, Some(layout))
            }
            _ => return Err(ILLEGAL),
        };
        self.submissions.insert(id, queue);
        let doorbell = (DOORBELLS + usize::from(id) * 4) as u32;
        let base = if placement == 3 { base as u32 } else { 0 };
        Ok(words(&[u32::from(id), doorbell, base, 0]))
    }

    fn get(&mut self, command: &[u8; ENTRY]) -> Answer {
        let device = &self.device;
        let low = &device.low_latency;
        Ok(match command[17] {
            feature::ATTRIBUTES => {
                let mut answer = words(&[1, 1, device.features, 0, 48, 48]);
                answer.extend(device.mac);
                answer.extend([0; 2]);
                answer.extend(device.max_mtu.to_le_bytes());
                answer
            }
            feature::MAX_QUEUES => {
                let [send, receive] = device.max_depths;
                let depth = send.min(receive);
                let queues = device.max_queues;
                let mut answer = words(&[queues, depth, queues, depth, 0, 0, device.max_header]);
                answer.extend(
                    device
                        .max_descriptors
                        .iter()
                        .flat_map(|count| count.to_le_bytes()),
                );
                answer
            }
            feature::MAX_QUEUES_EXTENDED => {
                if command[18] != 1 {
                    return Err(ILLEGAL);
                }
                let queues = device.max_queues;
                let [send, receive] = device.max_depths;
                let mut answer = words(&[1, queues, queues, queues, queues]);
                answer.extend(words(&[send, send, receive, receive, device.max_header]));
                answer.extend(
                    device
                        .max_descriptors
                        .iter()
                        .flat_map(|count| count.to_le_bytes()),
                );
                answer
            }
            feature::LOW_LATENCY => {
                let mut answer = words(&[device.max_queues, low.max_depth]);
                let chosen = self.low_latency.is_some();
                for supported in [low.locations, low.sizes, low.before_header, low.strides] {
                    let enabled = if chosen { supported } else { 0 };
                    answer.extend(supported.to_le_bytes());
                    answer.extend(enabled.to_le_bytes());
                }
                // The version, and the recommended size: the smallest.
                answer.extend([1, 1, 0, 0]);
                let flags = u16::from(low.no_meta_cache) | u16::from(low.max_burst > 0) << 1;
                answer.extend(flags.to_le_bytes());
                answer.extend(low.max_burst.to_le_bytes());
                answer.extend([0; 4]);
                answer
            }
            feature::HASH_FUNCTION => words(&[1, device.hash_function, 0]),
            feature::OFFLOADS => {
                words(&[device.tx_offloads, device.rx_offloads, device.rx_offloads])
            }
            feature::INDIRECTION => {
                let mut answer = Vec::new();
                for size in [
                    TABLE.0,
                    TABLE.1,
                    device.indirection.len().max(1).ilog2() as u16,
                    0,
                ] {
                    answer.extend(size.to_le_bytes());
                }
                answer.extend(words(&[u32::MAX, 0]));
                answer
            }
            feature::HASH_INPUT => words(&[0b110]),
            feature::EVENTS => words(&[GROUPS, self.groups]),
            feature::LINK => words(&[25_000, 0x10, 0b11]),
            _ => return Err(UNSUPPORTED),
        })
    }

    /// The control buffer of a command.
    fn control_buffer(&self, command: &[u8; ENTRY]) -> Vec<u8> {
        let mut bytes = vec![0; word(command, 4) as usize];
        self.memory.read(address(command, 8), &mut bytes);
        bytes
    }

    fn set(&mut self, command: &[u8; ENTRY]) -> Answer {
        let bytes = &command[20..];
        match command[17] {
            feature::LOW_LATENCY => self.configure_low_latency(bytes)?,
            feature::HASH_FUNCTION => {
                if word(bytes, 4) != 1 {
                    return Err(ILLEGAL);
                }
                let key = self.control_buffer(command);
                // The number of words, a reserved word, the key.
                if key.len() != 48 || word(&key, 0) != 10 {
                    return Err(MALFORMED);
                }
                self.device.hash_key = key[8..].to_vec();
                self.device.hash_function = 1;
            }
            feature::INDIRECTION => {
                let size = short(bytes, 4);
                if !(TABLE.0..=TABLE.1).contains(&size) || word(bytes, 8) != u32::MAX {
                    return Err(ILLEGAL);
                }
                let table = self.control_buffer(command);
                if table.len() != 4 << size {
                    return Err(MALFORMED);
                }
                let queues: Vec<u16> = table.chunks_exact(4).map(|entry| short(entry, 0)).collect();
                let is_rx = |id: &u16| self.submissions.get(id).is_some_and(|queue| !queue.is_tx());
                if !queues.iter().all(is_rx) {
                    return Err(ILLEGAL);
                }
                self.device.indirection = queues;
            }
            feature::MTU => {
                let mtu = word(bytes, 0);
                if !(68..=self.device.max_mtu).contains(&mtu) {
                    return Err(ILLEGAL);
                }
                self.device.mtu = mtu;
            }
            feature::HASH_INPUT => {
                let input = self.control_buffer(command);
                if input.len() != 256 {
                    return Err(MALFORMED);
                }
                self.device.hash_input = input;
            }
            feature::EVENTS => {
                let groups = word(bytes, 4);
                if groups & !GROUPS != 0 {
                    return Err(ILLEGAL);
                }
                self.groups = groups;
            }
            feature::HOST => {
                let mut page = vec![0; 4096];
                self.memory.read(address(bytes, 0), &mut page);
                self.device.host_info = page;
            }
            _ => return Err(UNSUPPORTED),
        }
        Ok(vec![])
    }

    fn configure_low_latency(&mut self, bytes: &[u8]) -> Result<(), u8> {
        let low = &self.device.low_latency;
        let choose = |at: usize, supported: u16| {
            let chosen = short(bytes, at);
            let is_one = chosen.is_power_of_two() && chosen & supported != 0;
            if is_one { Ok(chosen) } else { Err(ILLEGAL) }
        };
        let location = choose(10, low.locations)?;
        let size = choose(14, low.sizes)?;
        let before = choose(18, low.before_header)?;
        let stride = choose(22, low.strides)?;
        if location != 1 || low.no_meta_cache && short(bytes, 28) & 1 == 0 {
            return Err(ILLEGAL);
        }
        let entry = match size {
            1 => 128,
            2 => 192,
            _ => 256,
        };
        self.low_latency = Some(LowLatency {
            entry,
            before: usize::from(before),
            following: if stride == 2 { entry / 16 } else { 1 },
            has_cache: !low.no_meta_cache,
            burst: match short(bytes, 28) & 2 {
                0 => usize::MAX,
                _ => usize::from(low.max_burst) / entry,
            },
        });
        Ok(())
    }
}

/// The smallest id that isn't in use: not 0, which a driver could have without asking.
fn free(used: &mut dyn Iterator<Item = u16>) -> u16 {
    let used: Vec<u16> = used.collect();
    (1..=u16::MAX).find(|id| !used.contains(id)).expect("an id")
}
