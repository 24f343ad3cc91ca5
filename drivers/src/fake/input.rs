//! A keyboard with a pointer.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use super::{Backend, DeviceQueue, HostMemory};
use crate::device_type::DeviceType;

/// An input device: by default a keyboard with five keys, two lights, a wheel and a pointer.
pub struct Keyboard {
    /// Its configuration data for each selection: select, subsel.
    pub config: BTreeMap<(u8, u8), Vec<u8>>,
    /// Events to send, by their groups: type, code, value.
    pub groups: Vec<Vec<(u16, u16, i32)>>,
    /// Bytes that it claims to have written for an event.
    pub claim: usize,
    /// Groups that found too few buffers.
    pub dropped: usize,
    /// The status events that it received: type, code, value.
    pub statuses: Vec<(u16, u16, i32)>,
    /// Accepts no event.
    pub stuck: bool,
    selected: (u8, u8),
}

impl Default for Keyboard {
    fn default() -> Keyboard {
        let absolute = [0i32, 32767, 1, 2, 3];
        let range: Vec<u8> = absolute.iter().flat_map(|v| v.to_le_bytes()).collect();
        let config = [
            ((0x01, 0), b"Fake keyboard\0".to_vec()),
            ((0x02, 0), b"17\n".to_vec()),
            ((0x03, 0), vec![6, 0, 0x27, 6, 1, 0, 2, 0]),
            ((0x10, 0), vec![0b10]),
            // Keys 1, 30 to 32, and the left button.
            ((0x11, 1), {
                let mut keys = vec![0; 0x111 / 8 + 1];
                for key in [1, 30, 31, 32, 0x110] {
                    keys[key / 8] |= 1 << (key % 8);
                }
                keys
            }),
            ((0x11, 2), vec![0, 1]),
            ((0x11, 3), vec![0b11]),
            ((0x11, 0x11), vec![0b11]),
            ((0x11, 0x14), vec![0]),
            ((0x12, 0), range.clone()),
            ((0x12, 1), range),
        ];
        Keyboard {
            config: BTreeMap::from(config),
            groups: Vec::new(),
            claim: 8,
            dropped: 0,
            statuses: Vec::new(),
            stuck: false,
            selected: (0, 0),
        }
    }
}

impl Backend for Keyboard {
    fn device_type(&self) -> DeviceType {
        DeviceType::INPUT
    }

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 136];
        (config[0], config[1]) = self.selected;
        if let Some(shown) = self.config.get(&self.selected) {
            config[2] = shown.len() as u8;
            let len = shown.len().min(128);
            config[8..8 + len].copy_from_slice(&shown[..len]);
        }
        config
    }

    fn write_config(&mut self, offset: usize, value: u32) {
        match offset {
            0 => self.selected.0 = value as u8,
            1 => self.selected.1 = value as u8,
            _ => panic!("{offset} is not to be written"),
        }
    }

    fn queues(&self) -> Vec<u16> {
        vec![64, 64]
    }

    fn work(&mut self, memory: &'static HostMemory, _features: u64, queues: &mut [DeviceQueue]) {
        let [events, status] = queues else { return };
        for group in self.groups.drain(..) {
            if usize::from(events.waiting()) < group.len() {
                self.dropped += 1;
                continue;
            }
            for (kind, code, value) in group {
                let Some(chain) = events.pop() else { break };
                let mut bytes = kind.to_le_bytes().to_vec();
                bytes.extend(code.to_le_bytes());
                bytes.extend(value.to_le_bytes());
                chain.write(memory, &bytes);
                events.push(chain.head, self.claim);
            }
        }
        events.ask_for_notification();
        while !self.stuck
            && let Some(chain) = status.pop()
        {
            let bytes = chain.read(memory);
            let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            let value = i32::from(half(4)) | i32::from(half(6)) << 16;
            self.statuses.push((half(0), half(2), value));
            status.push(chain.head, 0);
        }
        status.ask_for_notification();
    }
}
