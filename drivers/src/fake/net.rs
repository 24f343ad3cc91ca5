//! A network card that records sent frames and receives the test's frames.

use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use super::{Backend, DeviceQueue, HostMemory};
use crate::device::feature as common;
use crate::device_type::DeviceType;
use crate::net::feature;

/// A card. A frame is its 12-byte header and its bytes.
pub struct NetDevice {
    /// The offered features.
    pub features: u64,
    /// Its address.
    pub mac: [u8; 6],
    /// The MTU that it reports, with [`feature::MTU`].
    pub mtu: u16,
    /// Sizes of the receive and the transmit queue.
    pub sizes: [u16; 2],
    /// Sent frames are received again.
    pub echo: bool,
    /// Frames for the driver, received as soon as it has buffers for them.
    pub inbox: VecDeque<([u8; 12], Vec<u8>)>,
    /// Frames that the driver sent and that were not echoed.
    pub sent: Vec<([u8; 12], Vec<u8>)>,
}

impl Default for NetDevice {
    fn default() -> Self {
        NetDevice {
            features: feature::ALL,
            mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
            mtu: 1500,
            sizes: [256, 256],
            echo: false,
            inbox: VecDeque::new(),
            sent: Vec::new(),
        }
    }
}

impl NetDevice {
    /// A card that echoes every frame.
    pub fn echoing() -> NetDevice {
        NetDevice {
            echo: true,
            ..NetDevice::default()
        }
    }

    /// Puts a frame without any offload in the inbox.
    pub fn deliver(&mut self, frame: &[u8]) {
        self.inbox.push_back(([0; 12], frame.to_vec()));
    }

    fn header_len(features: u64) -> usize {
        if features & (common::VERSION_1 | feature::MRG_RXBUF) != 0 {
            12
        } else {
            10
        }
    }

    /// Delivers one frame to the driver, in as many buffers as it takes. False: there is no room.
    fn hand_over(
        inbox: &mut VecDeque<([u8; 12], Vec<u8>)>,
        memory: &'static HostMemory,
        features: u64,
        queue: &mut DeviceQueue,
    ) -> bool {
        let Some((header, frame)) = inbox.front() else {
            return false;
        };
        let header_len = Self::header_len(features);
        let mut bytes = header[..header_len].to_vec();
        bytes.extend_from_slice(frame);
        let mergeable = features & feature::MRG_RXBUF != 0;
        // Buffers of one driver are equal, so the first shows how many are needed.
        let mut done: Vec<(u16, u32)> = vec![];
        let mut rest = &bytes[..];
        let mut first = None;
        while !rest.is_empty() {
            if queue.waiting() == 0 {
                // Real cards check before they take buffers; this one has returned none of them.
                assert!(
                    done.is_empty(),
                    "the test's frame is larger than all buffers"
                );
                return false;
            }
            let Some(chain) = queue.pop() else {
                return false;
            };
            let piece = rest.len().min(chain.capacity());
            if first.is_none() {
                let needed = bytes.len().div_ceil(chain.capacity());
                if needed > usize::from(queue.waiting()) + 1 {
                    queue.unpop();
                    return false;
                }
                first = Some(chain.clone());
            }
            assert!(
                mergeable || piece == rest.len(),
                "a frame larger than its buffer"
            );
            chain.write(memory, &rest[..piece]);
            rest = &rest[piece..];
            done.push((chain.head, piece as u32));
        }
        if let (true, Some(first)) = (mergeable, first) {
            let count = (done.len() as u16).to_le_bytes();
            memory.write(first.writable[0].0 + 10, &count);
        }
        inbox.pop_front();
        queue.push_all(&done);
        true
    }
}

impl Backend for NetDevice {
    fn device_type(&self) -> DeviceType {
        DeviceType::NET
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> Vec<u8> {
        let mut config = self.mac.to_vec();
        // The status and the number of pairs.
        config.extend([1, 0, 1, 0]);
        config.extend(self.mtu.to_le_bytes());
        config
    }

    fn queues(&self) -> Vec<u16> {
        // The last one is the control queue, which the driver leaves alone.
        [&self.sizes[..], &[4]].concat()
    }

    fn work(&mut self, memory: &'static HostMemory, features: u64, queues: &mut [DeviceQueue]) {
        let header_len = Self::header_len(features);
        let [receive, transmit, ..] = queues else {
            return;
        };
        let inbox = &mut self.inbox;
        while let Some(chain) = transmit.pop() {
            let bytes = chain.read(memory);
            let mut header = [0; 12];
            header[..header_len].copy_from_slice(&bytes[..header_len]);
            let frame = bytes[header_len..].to_vec();
            if self.echo {
                inbox.push_back((header, frame));
            } else {
                self.sent.push((header, frame));
            }
            transmit.push(chain.head, 0);
        }
        transmit.ask_for_notification();
        while Self::hand_over(inbox, memory, features, receive) {}
        receive.ask_for_notification();
    }
}
