//! A disk in memory.

use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use super::{Backend, DeviceQueue, HostMemory};
use crate::blk::feature;
use crate::device_type::DeviceType;
use crate::disk::SECTOR;

/// Length of a serial number.
const SERIAL: usize = 20;

/// A disk.
pub struct Disk {
    /// Its contents.
    pub data: Vec<u8>,
    /// The offered features.
    pub features: u64,
    /// Bytes of a block, with [`feature::BLK_SIZE`].
    pub block_size: u32,
    /// Segments of a request, with [`feature::SEG_MAX`].
    pub seg_max: u32,
    /// Bytes of a segment, with [`feature::SIZE_MAX`].
    pub size_max: u32,
    /// Size of its queue.
    pub size: u16,
    /// Its serial number.
    pub serial: [u8; SERIAL],
    /// Sectors that can't be read or written.
    pub bad: BTreeSet<u64>,
    /// Completed requests: reads and writes, then flushes.
    pub done: (usize, usize),
    /// Data segments of the largest request.
    pub most_segments: usize,
    /// Maximum number of sectors of a discard or write-zeroes.
    pub max_clear: u32,
    /// The preferred alignment of discards, in sectors.
    pub discard_alignment: u32,
    /// The discards and writes of zeros: type, sector, sectors, flags.
    pub cleared: Vec<(u32, u64, u32, u32)>,
    /// Completions are delayed until this is false again.
    pub stuck: bool,
}

impl Disk {
    /// A disk of zeros.
    pub fn new(sectors: usize) -> Disk {
        let mut serial = [0; SERIAL];
        serial[..4].copy_from_slice(b"fake");
        Disk {
            data: vec![0; sectors * SECTOR],
            features: feature::ALL & !feature::RO & !feature::SIZE_MAX,
            block_size: SECTOR as u32,
            seg_max: 126,
            size_max: 65536,
            size: 128,
            serial,
            bad: BTreeSet::new(),
            done: (0, 0),
            most_segments: 0,
            max_clear: 64,
            discard_alignment: 0,
            cleared: Vec::new(),
            stuck: false,
        }
    }

    /// Performs a request; returns the bytes written to it, and its status.
    fn serve(&mut self, request: &[u8], space: usize) -> (Vec<u8>, u8) {
        let kind = u32::from_le_bytes(request[0..4].try_into().expect("4 bytes"));
        let sector = u64::from_le_bytes(request[8..16].try_into().expect("8 bytes"));
        let data = &request[16..];
        let start = sector as usize * SECTOR;
        let len = data.len().max(space);
        let sectors = sector..sector + len.div_ceil(SECTOR) as u64;
        match kind {
            0 | 1 => {
                self.done.0 += 1;
                assert!(
                    len > 0 && len.is_multiple_of(SECTOR),
                    "{len} bytes are not whole sectors"
                );
                if self.bad.range(sectors).next().is_some() {
                    return (Vec::new(), 1);
                }
                let Some(place) = self.data.get_mut(start..start + len) else {
                    return (Vec::new(), 1);
                };
                if kind == 0 {
                    (place.to_vec(), 0)
                } else {
                    place.copy_from_slice(data);
                    (Vec::new(), 0)
                }
            }
            4 => {
                self.done.1 += 1;
                (Vec::new(), 0)
            }
            11 | 13 => {
                assert_eq!(
                    (data.len(), sector),
                    (16, 0),
                    "one segment, which says where"
                );
                let word =
                    |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("4 bytes"));
                let first = u64::from(word(0)) | u64::from(word(4)) << 32;
                let (count, flags) = (word(8), word(12));
                self.cleared.push((kind, first, count, flags));
                let range = first as usize * SECTOR..(first as usize + count as usize) * SECTOR;
                let bad = kind == 11 && flags != 0 || count > self.max_clear;
                match self.data.get_mut(range) {
                    Some(place) if !bad => {
                        place.fill(if kind == 13 { 0 } else { 0xdd });
                        (Vec::new(), 0)
                    }
                    _ => (Vec::new(), 1),
                }
            }
            8 => (self.serial.to_vec(), 0),
            _ => (Vec::new(), 2),
        }
    }
}

impl Backend for Disk {
    fn device_type(&self) -> DeviceType {
        DeviceType::BLOCK
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 60];
        config[0..8].copy_from_slice(&((self.data.len() / SECTOR) as u64).to_le_bytes());
        config[8..12].copy_from_slice(&self.size_max.to_le_bytes());
        config[12..16].copy_from_slice(&self.seg_max.to_le_bytes());
        config[20..24].copy_from_slice(&self.block_size.to_le_bytes());
        config[36..40].copy_from_slice(&self.max_clear.to_le_bytes());
        config[40..44].copy_from_slice(&1u32.to_le_bytes());
        config[44..48].copy_from_slice(&self.discard_alignment.to_le_bytes());
        config[48..52].copy_from_slice(&self.max_clear.to_le_bytes());
        config[52..56].copy_from_slice(&1u32.to_le_bytes());
        config[56] = 1;
        config
    }

    fn queues(&self) -> Vec<u16> {
        vec![self.size]
    }

    fn work(&mut self, memory: &'static HostMemory, features: u64, queues: &mut [DeviceQueue]) {
        let [queue] = queues else { return };
        while !self.stuck
            && let Some(mut chain) = queue.pop()
        {
            let (status_at, one) = chain.writable.pop().expect("a place for the status");
            assert_eq!(one, 1, "the status is a byte of its own");
            let segments = chain.readable.len() - 1 + chain.writable.len();
            self.most_segments = self.most_segments.max(segments);
            let limit = if features & feature::SEG_MAX != 0 {
                self.seg_max
            } else {
                1
            };
            assert!(segments <= limit as usize, "{segments} segments");
            if features & feature::SIZE_MAX != 0 {
                let all = chain.readable.iter().chain(&chain.writable);
                assert!(all.clone().all(|(_, len)| *len <= self.size_max as usize));
            }
            let (bytes, status) = self.serve(&chain.read(memory), chain.capacity());
            let written = chain.write(memory, &bytes);
            memory.write(status_at, &[status]);
            queue.push(chain.head, written + 1);
        }
        queue.ask_for_notification();
    }
}
