//! Recording of the frames on links, in the format of Wireshark and tcpdump: pcapng
//! (draft-ietf-opsawg-pcapng), with nanoseconds, the interface and the direction of each frame.
//!
//! Frames are recorded as they are passed to the link: those that the device has yet to segment or
//! checksum appear so.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use net::{Link, LinkCapabilities, RxMeta, TxMeta};
use sync::mutex::{Mutex, level};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
/// LINKTYPE_ETHERNET.
const ETHERNET: u16 = 1;

const OPTION_END: u16 = 0;
const OPTION_NAME: u16 = 2;
const OPTION_FLAGS: u16 = 2;
const OPTION_RESOLUTION: u16 = 9;
/// Bits 0 and 1 of the flags of a packet.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// Receives the bytes of the recording in order. It discards what it can't write.
pub type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// A recording of any number of links, of one stack or of several in threads of their own.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Recording, level::Recording>>);

struct Recording {
    sink: Sink,
    /// Gives nanoseconds since 1970.
    wall_ns: fn() -> u64,
    interfaces: u32,
    /// Maximum number of bytes recorded of each frame.
    snap: usize,
    /// Reused allocation.
    block: Vec<u8>,
}

fn put_option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    block.extend(code.to_le_bytes());
    block.extend((value.len() as u16).to_le_bytes());
    block.extend(value);
    pad(block);
}

fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

impl Recording {
    /// Writes one block, whose body `fill` writes.
    fn write(&mut self, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
        let block = &mut self.block;
        block.clear();
        block.extend(kind.to_le_bytes());
        block.extend([0; 4]);
        fill(block);
        let len = (block.len() as u32 + 4).to_le_bytes();
        if let Some(place) = block.get_mut(4..8) {
            place.copy_from_slice(&len);
        }
        block.extend(len);
        (self.sink)(block);
    }

    fn frame(&mut self, interface: u32, direction: u32, frame: &[u8]) {
        let time = (self.wall_ns)();
        let kept = frame.get(..self.snap).unwrap_or(frame);
        self.write(ENHANCED_PACKET, |block| {
            let words = [
                interface,
                (time >> 32) as u32,
                time as u32,
                kept.len() as u32,
                frame.len() as u32,
            ];
            block.extend(words.into_iter().flat_map(u32::to_le_bytes));
            block.extend(kept);
            pad(block);
            put_option(block, OPTION_FLAGS, &direction.to_le_bytes());
            put_option(block, OPTION_END, &[]);
        });
    }
}

impl Recorder {
    /// Starts a recording of at most `snap` bytes of each frame.
    pub fn new(sink: Sink, wall_ns: fn() -> u64, snap: usize) -> Recorder {
        let mut recording = Recording {
            sink,
            wall_ns,
            interfaces: 0,
            snap,
            block: Vec::new(),
        };
        recording.write(SECTION_HEADER, |block| {
            block.extend(BYTE_ORDER.to_le_bytes());
            block.extend([1, 0, 0, 0]);
            // The length of the section is unknown.
            block.extend([0xff; 8]);
        });
        Recorder(Arc::new(Mutex::new(recording)))
    }

    /// Wraps `link` so that all its frames are recorded, under this name.
    pub fn record(&self, link: Box<dyn Link>, name: &str) -> Box<dyn Link> {
        let mut recording = self.0.lock();
        let interface = recording.interfaces;
        recording.interfaces += 1;
        let snap = recording.snap as u32;
        recording.write(INTERFACE, |block| {
            block.extend(ETHERNET.to_le_bytes());
            block.extend([0; 2]);
            block.extend(snap.to_le_bytes());
            put_option(block, OPTION_NAME, name.as_bytes());
            // Times are in 10^-9 s.
            put_option(block, OPTION_RESOLUTION, &[9]);
            put_option(block, OPTION_END, &[]);
        });
        Box::new(Recorded {
            link,
            recorder: self.clone(),
            interface,
        })
    }
}

/// A recorded link.
struct Recorded {
    link: Box<dyn Link>,
    recorder: Recorder,
    interface: u32,
}

impl Link for Recorded {
    fn capabilities(&self) -> LinkCapabilities {
        self.link.capabilities()
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let (recorder, interface) = (&self.recorder, self.interface);
        self.link.receive(&mut |frame, meta| {
            recorder.0.lock().frame(interface, INBOUND, frame);
            f(frame, meta);
        })
    }

    fn can_transmit(&mut self) -> bool {
        self.link.can_transmit()
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        let (recorder, interface) = (&self.recorder, self.interface);
        self.link.transmit(len, &mut |frame| {
            let meta = fill(frame);
            recorder.0.lock().frame(interface, OUTBOUND, frame);
            meta
        })
    }

    fn flush(&mut self) {
        self.link.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::Recorder;
    use crate::testing::{SECOND, address};
    use net::sim::{Cable, Impairment, Offloads, World};
    use net::{Config, InterfaceConfig};
    use std::sync::{Arc, Mutex};

    /// Type and body of each block, its lengths checked.
    fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |bytes: &[u8], at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
        };
        let mut blocks = Vec::new();
        while !bytes.is_empty() {
            let (kind, len) = (word(bytes, 0), word(bytes, 4) as usize);
            assert!(len % 4 == 0 && len >= 12);
            assert_eq!(word(bytes, len - 4) as usize, len);
            blocks.push((kind, bytes[8..len - 4].to_vec()));
            bytes = &bytes[len..];
        }
        blocks
    }

    #[test]
    fn frames_of_both_directions_are_recorded_whole_or_cut() {
        for snap in [65_549, 60] {
            let bytes = Arc::new(Mutex::new(Vec::new()));
            let sink = bytes.clone();
            let sink = Box::new(move |block: &[u8]| sink.lock().unwrap().extend(block));
            let recorder = Recorder::new(sink, || 0x1_2345_6789, snap);
            let mut world = World::new();
            let cable = Cable::new(Impairment::default(), 1);
            for end in 0..2 {
                let mut link = cable.link(end, World::mac(end), 1500, Offloads::default());
                if end == 0 {
                    link = recorder.record(link, "eth0");
                }
                let mut stack = world.stack(Config::default(), end as u64);
                let address = format!("10.0.0.{}/24", end + 1);
                let config = InterfaceConfig {
                    addresses: vec![address.parse().expect("an address")],
                    ..Default::default()
                };
                stack
                    .add_interface(link, &config)
                    .expect("a sound configuration");
                world.stacks.push(stack);
            }
            world.cables.push(cable);
            let a = world.stacks[0]
                .udp_bind(address("0.0.0.0:7"))
                .expect("free");
            let b = world.stacks[1]
                .udp_bind(address("0.0.0.0:7"))
                .expect("free");
            world.run_now();
            world.stacks[0]
                .udp_send_to(a, &[0xab; 301], address("10.0.0.2:7"))
                .expect("a route");
            world.advance(SECOND);
            world.stacks[1]
                .udp_send_to(b, &[0xcd; 200], address("10.0.0.1:7"))
                .expect("a route");
            world.advance(SECOND);
            let blocks = blocks(&bytes.lock().unwrap());
            assert_eq!(blocks[0].0, 0x0a0d_0d0a);
            let (kind, interface) = &blocks[1];
            assert_eq!((*kind, interface[..2].to_vec()), (1, vec![1, 0]));
            assert!(interface.windows(4).any(|name| name == b"eth0"));
            let datagram = |byte: u8, direction: u8, len: usize| {
                blocks.iter().any(|(kind, body)| {
                    let kept = len.min(snap);
                    *kind == 6
                        && body[..12] == [0, 0, 0, 0, 1, 0, 0, 0, 0x89, 0x67, 0x45, 0x23]
                        && body[12..16] == (kept as u32).to_le_bytes()
                        && body[16..20] == (len as u32).to_le_bytes()
                        && body[20 + 42..20 + kept].iter().all(|b| *b == byte)
                        && body[body.len() - 8..][..4] == [direction, 0, 0, 0]
                })
            };
            assert!(datagram(0xab, 2, 343) && datagram(0xcd, 1, 242));
        }
    }
}
