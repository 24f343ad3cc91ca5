//! A console with several ports, which behaves as QEMU's `virtio-serial` does.

use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use super::{Backend, DeviceQueue, HostMemory};
use crate::device_type::DeviceType;

/// The host's side of a port.
#[derive(Clone, Default)]
pub struct SerialPort {
    /// Its name; empty: none.
    pub name: Vec<u8>,
    /// It is a console, which is open at once.
    pub is_console: bool,
    /// The host's end is open.
    pub host_open: bool,
    /// The driver's end is open.
    pub guest_open: bool,
    /// The driver has said that the port is ready.
    pub ready: bool,
    /// Number of times that the driver opened or closed it.
    pub opens: usize,
    /// Bytes to be read by the driver, once its end is open.
    pub input: VecDeque<u8>,
    /// Bytes that the driver wrote while the host's end was open.
    pub output: Vec<u8>,
    /// Keeps what the driver writes, as while the reader of the port is full.
    pub stuck: bool,
}

impl SerialPort {
    /// A console.
    pub fn console() -> SerialPort {
        SerialPort {
            is_console: true,
            host_open: true,
            ..SerialPort::default()
        }
    }

    /// A port with a name, closed.
    pub fn named(name: &[u8]) -> SerialPort {
        SerialPort {
            name: name.to_vec(),
            ..SerialPort::default()
        }
    }
}

/// The device.
pub struct Serial {
    /// The ports by number.
    pub ports: Vec<Option<SerialPort>>,
    /// Number of messages that found no buffer: QEMU drops them.
    pub dropped: usize,
    /// Messages to the driver: port, event, value, name.
    messages: VecDeque<(u32, u16, u16, Vec<u8>)>,
}

impl Serial {
    /// A device that can have `max_ports` ports, and has none.
    pub fn new(max_ports: usize) -> Serial {
        Serial {
            ports: vec![None; max_ports],
            dropped: 0,
            messages: VecDeque::new(),
        }
    }

    /// A port that exists.
    ///
    /// # Panics
    ///
    /// If there is none of this number.
    pub fn port(&mut self, number: usize) -> &mut SerialPort {
        self.ports[number].as_mut().expect("a port")
    }

    /// Plugs a port in.
    pub fn add(&mut self, number: usize, port: SerialPort) {
        self.ports[number] = Some(port);
        self.say(number, 1, 1);
    }

    /// Takes a port away.
    pub fn remove(&mut self, number: usize) {
        self.ports[number] = None;
        self.say(number, 2, 1);
    }

    /// Opens or closes the host's end.
    pub fn set_host_open(&mut self, number: usize, open: bool) {
        self.port(number).host_open = open;
        self.say(number, 6, u16::from(open));
    }

    fn say(&mut self, number: usize, event: u16, value: u16) {
        self.messages
            .push_back((number as u32, event, value, Vec::new()));
    }

    /// Answers a message of the driver (virtio 1.2, 5.3.6.2).
    fn hear(&mut self, id: u32, event: u16, value: u16) {
        if event == 0 {
            for number in 0..self.ports.len() {
                if self.ports[number].is_some() {
                    self.say(number, 1, 1);
                }
            }
            return;
        }
        let number = id as usize;
        let Some(port) = self.ports.get_mut(number).and_then(Option::as_mut) else {
            return;
        };
        match event {
            3 => {
                port.ready = value == 1;
                let port = port.clone();
                if port.is_console {
                    self.say(number, 4, 1);
                }
                if port.host_open {
                    self.say(number, 6, 1);
                }
                if !port.name.is_empty() {
                    let mut name = port.name;
                    name.push(0);
                    self.messages.push_back((id, 7, 1, name));
                }
            }
            6 => {
                assert!(port.ready, "port {number} opened before it is ready");
                port.guest_open = value == 1;
                port.opens += 1;
            }
            _ => panic!("event {event} from the driver"),
        }
    }
}

impl Backend for Serial {
    fn device_type(&self) -> DeviceType {
        DeviceType::CONSOLE
    }

    fn features(&self) -> u64 {
        1 << 1
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; 12];
        config[4..8].copy_from_slice(&(self.ports.len() as u32).to_le_bytes());
        config
    }

    fn queues(&self) -> Vec<u16> {
        vec![64; 2 * self.ports.len() + 2]
    }

    fn work(&mut self, memory: &'static HostMemory, _features: u64, queues: &mut [DeviceQueue]) {
        while let Some(chain) = queues[3].pop() {
            let bytes = chain.read(memory);
            queues[3].push(chain.head, 0);
            let [a, b, c, d, e, f, g, h] = bytes.try_into().expect("8 bytes");
            let id = u32::from_le_bytes([a, b, c, d]);
            self.hear(id, u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]));
        }
        queues[3].ask_for_notification();
        while let Some((id, event, value, name)) = self.messages.pop_front() {
            let Some(chain) = queues[2].pop() else {
                self.dropped += 1;
                continue;
            };
            let mut bytes = id.to_le_bytes().to_vec();
            bytes.extend(event.to_le_bytes());
            bytes.extend(value.to_le_bytes());
            bytes.extend(name);
            let written = chain.write(memory, &bytes);
            queues[2].push(chain.head, written);
        }
        queues[2].ask_for_notification();
        for (number, port) in self.ports.iter_mut().enumerate() {
            let first = if number == 0 { 0 } else { 2 * number + 2 };
            let is_stuck = port.as_ref().is_some_and(|port| port.stuck);
            while !is_stuck && let Some(chain) = queues[first + 1].pop() {
                if let Some(port) = port.as_mut().filter(|port| port.host_open) {
                    port.output.extend(chain.read(memory));
                }
                queues[first + 1].push(chain.head, 0);
            }
            queues[first + 1].ask_for_notification();
            let Some(port) = port.as_mut().filter(|port| port.guest_open) else {
                continue;
            };
            while !port.input.is_empty()
                && let Some(chain) = queues[first].pop()
            {
                let len = port.input.len().min(chain.capacity());
                let bytes: Vec<u8> = port.input.drain(..len).collect();
                chain.write(memory, &bytes);
                queues[first].push(chain.head, len);
            }
            queues[first].ask_for_notification();
        }
    }
}
