//! An entropy source and a console.

use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use super::{Backend, DeviceQueue, HostMemory};
use crate::device_type::DeviceType;

/// An entropy source that counts.
#[derive(Default)]
pub struct Entropy {
    /// The next byte.
    pub next: u8,
    /// Maximum number of bytes per request; 0: no limit.
    pub at_most: usize,
}

impl Backend for Entropy {
    fn device_type(&self) -> DeviceType {
        DeviceType::RNG
    }

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn queues(&self) -> Vec<u16> {
        vec![8]
    }

    fn work(&mut self, memory: &'static HostMemory, _features: u64, queues: &mut [DeviceQueue]) {
        let [queue] = queues else { return };
        while let Some(chain) = queue.pop() {
            let mut len = chain.capacity();
            if self.at_most > 0 {
                len = len.min(self.at_most);
            }
            let bytes: Vec<u8> = (0..len)
                .map(|at| self.next.wrapping_add(at as u8))
                .collect();
            self.next = self.next.wrapping_add(len as u8);
            chain.write(memory, &bytes);
            queue.push(chain.head, len);
        }
        queue.ask_for_notification();
    }
}

/// A console's other end.
#[derive(Default)]
pub struct Terminal {
    /// Written bytes.
    pub screen: Vec<u8>,
    /// Bytes to be read.
    pub keyboard: VecDeque<u8>,
    /// Accepts no output.
    pub stuck: bool,
}

impl Backend for Terminal {
    fn device_type(&self) -> DeviceType {
        DeviceType::CONSOLE
    }

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        vec![0; 12]
    }

    fn queues(&self) -> Vec<u16> {
        vec![16, 16]
    }

    fn work(&mut self, memory: &'static HostMemory, _features: u64, queues: &mut [DeviceQueue]) {
        let [receive, transmit] = queues else { return };
        while !self.stuck
            && let Some(chain) = transmit.pop()
        {
            self.screen.extend(chain.read(memory));
            transmit.push(chain.head, 0);
        }
        transmit.ask_for_notification();
        while !self.keyboard.is_empty()
            && let Some(chain) = receive.pop()
        {
            let len = self.keyboard.len().min(chain.capacity());
            let bytes: Vec<u8> = self.keyboard.drain(..len).collect();
            chain.write(memory, &bytes);
            receive.push(chain.head, len);
        }
        receive.ask_for_notification();
    }
}
