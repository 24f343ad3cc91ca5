//! A host with sockets, which echoes on some ports and accepts nothing on others.

use std::collections::{BTreeMap, VecDeque};
use std::vec;
use std::vec::Vec;

use super::{Backend, DeviceQueue, HostMemory};
use crate::device_type::DeviceType;
use crate::vsock::{Address, HOST, Header, Operation};

/// The host's end of a connection.
#[derive(Debug, Default)]
pub struct HostSocket {
    /// Bytes that came from the driver and were not echoed.
    pub received: Vec<u8>,
    /// Bytes to send.
    pub output: VecDeque<u8>,
    /// The driver accepted a request of the host.
    pub accepted: bool,
    /// The flags of the driver's SHUTDOWN.
    pub ended: u32,
    /// It doesn't take what it received: the driver gets no more credit.
    pub stuck: bool,
    taken: u32,
    sent: u32,
    credit: u32,
}

/// Bytes that each of the host's sockets buffers.
const BUFFER: u32 = 64 << 10;

/// The device. Its sockets are known by the host's and the driver's port.
pub struct SocketHost {
    cid: u64,
    /// Ports that echo.
    pub echo: Vec<u32>,
    /// Ports that accept and keep what they get.
    pub sink: Vec<u32>,
    /// Connections.
    pub sockets: BTreeMap<(u32, u32), HostSocket>,
    /// The RESETs of the driver.
    pub resets: Vec<(u32, u32)>,
    /// Packets to deliver, beside what sockets send.
    pub packets: VecDeque<(Header, Vec<u8>)>,
    /// It takes no packets any more.
    pub dead: bool,
    /// Events to deliver.
    pub events: usize,
}

impl SocketHost {
    /// A host whose guest has this CID.
    pub fn new(cid: u64) -> SocketHost {
        SocketHost {
            cid,
            echo: Vec::new(),
            sink: Vec::new(),
            sockets: BTreeMap::new(),
            resets: Vec::new(),
            packets: VecDeque::new(),
            dead: false,
            events: 0,
        }
    }

    /// Changes the CID that the configuration has.
    pub fn set_cid(&mut self, cid: u64) {
        self.cid = cid;
    }

    /// A packet of the host with no payload.
    pub fn packet(&self, from: u32, to: u32, operation: Operation) -> Header {
        let socket = self.sockets.get(&(from, to));
        Header {
            source: Address {
                cid: HOST,
                port: from,
            },
            destination: Address {
                cid: self.cid,
                port: to,
            },
            len: 0,
            kind: 1,
            operation,
            flags: 0,
            buffer: BUFFER,
            taken: socket.map_or(0, |socket| socket.taken),
        }
    }

    /// Sends a packet without payload.
    pub fn send(&mut self, from: u32, to: u32, operation: Operation, flags: u32) {
        let header = self.packet(from, to, operation);
        self.packets
            .push_back((Header { flags, ..header }, Vec::new()));
    }

    /// Requests a connection to the driver.
    pub fn connect(&mut self, from: u32, to: u32) {
        self.sockets.insert((from, to), HostSocket::default());
        self.send(from, to, Operation::REQUEST, 0);
    }

    fn hear(&mut self, header: &Header, bytes: &[u8]) {
        assert_eq!(header.source.cid, self.cid, "a foreign source");
        assert_eq!(header.len as usize, bytes.len(), "a wrong length");
        let key = (header.destination.port, header.source.port);
        let (from, to) = key;
        let credit = header.buffer.wrapping_add(header.taken);
        if let Some(socket) = self.sockets.get_mut(&key) {
            socket.credit = credit.wrapping_sub(socket.sent);
        }
        match header.operation {
            Operation::REQUEST if self.echo.contains(&from) || self.sink.contains(&from) => {
                let socket = HostSocket {
                    credit,
                    accepted: true,
                    ..HostSocket::default()
                };
                self.sockets.insert(key, socket);
                self.send(from, to, Operation::RESPONSE, 0);
            }
            Operation::RESET => {
                self.sockets.remove(&key);
                self.resets.push(key);
            }
            _ => {
                let Some(socket) = self.sockets.get_mut(&key) else {
                    self.send(from, to, Operation::RESET, 0);
                    return;
                };
                match header.operation {
                    Operation::RESPONSE => socket.accepted = true,
                    Operation::DATA => {
                        let unread = socket.received.len() as u32;
                        assert!(unread + header.len <= BUFFER, "more than the credit");
                        if self.echo.contains(&from) {
                            socket.output.extend(bytes);
                            socket.taken = socket.taken.wrapping_add(header.len);
                            self.send(from, to, Operation::CREDIT_UPDATE, 0);
                        } else {
                            socket.received.extend(bytes);
                        }
                    }
                    Operation::CREDIT_REQUEST => {
                        self.send(from, to, Operation::CREDIT_UPDATE, 0);
                    }
                    Operation::SHUTDOWN => {
                        socket.ended |= header.flags;
                        if socket.ended == 3 {
                            self.sockets.remove(&key);
                            self.send(from, to, Operation::RESET, 0);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Takes what a socket received, and tells the driver of the room.
    pub fn take(&mut self, from: u32, to: u32) -> Vec<u8> {
        self.take_some(from, to, usize::MAX)
    }

    /// Takes at most so many bytes likewise.
    pub fn take_some(&mut self, from: u32, to: u32, most: usize) -> Vec<u8> {
        let Some(socket) = self.sockets.get_mut(&(from, to)) else {
            return Vec::new();
        };
        let len = socket.received.len().min(most);
        let bytes: Vec<u8> = socket.received.drain(..len).collect();
        socket.taken = socket.taken.wrapping_add(bytes.len() as u32);
        self.send(from, to, Operation::CREDIT_UPDATE, 0);
        bytes
    }
}

impl Backend for SocketHost {
    fn device_type(&self) -> DeviceType {
        DeviceType::VSOCK
    }

    fn features(&self) -> u64 {
        1
    }

    fn config(&self) -> Vec<u8> {
        self.cid.to_le_bytes().to_vec()
    }

    fn queues(&self) -> Vec<u16> {
        vec![128, 128, 8]
    }

    fn work(&mut self, memory: &'static HostMemory, _features: u64, queues: &mut [DeviceQueue]) {
        let [receive, transmit, event] = queues else {
            return;
        };
        if self.dead {
            return;
        }
        while let Some(chain) = transmit.pop() {
            let bytes = chain.read(memory);
            transmit.push(chain.head, 0);
            let header = Header::decode(&bytes).expect("a header");
            self.hear(&header, &bytes[44..]);
        }
        transmit.ask_for_notification();
        while self.events > 0
            && let Some(chain) = event.pop()
        {
            self.events -= 1;
            let written = chain.write(memory, &[0; 4]);
            event.push(chain.head, written);
        }
        event.ask_for_notification();
        loop {
            let next = self.packets.pop_front().or_else(|| {
                let (&(from, to), socket) = self
                    .sockets
                    .iter_mut()
                    .find(|(_, s)| s.accepted && !s.output.is_empty() && s.credit > 0)?;
                let len = socket.output.len().min(socket.credit as usize).min(4096);
                let bytes: Vec<u8> = socket.output.drain(..len).collect();
                socket.credit -= len as u32;
                socket.sent = socket.sent.wrapping_add(len as u32);
                let header = self.packet(from, to, Operation::DATA);
                let len = len as u32;
                Some((Header { len, ..header }, bytes))
            });
            let Some((header, bytes)) = next else { break };
            let Some(chain) = receive.pop() else {
                self.packets.push_front((header, bytes));
                break;
            };
            let mut packet = header.encode().to_vec();
            packet.extend(bytes);
            let written = chain.write(memory, &packet);
            receive.push(chain.head, written);
        }
        receive.ask_for_notification();
    }
}
