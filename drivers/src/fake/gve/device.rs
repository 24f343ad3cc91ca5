//! A device's options and state.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use super::{Bar, GveHandle, GveRegisters, Model};
use crate::fake::HostMemory;
use crate::fake::frame::{Packet, hash_input, toeplitz};

/// One thing that a lying device does with an admin command.
#[derive(Clone, Debug)]
pub enum GveAdminLie {
    /// Doesn't perform it, and completes it with this status.
    Status(u32),
    /// Never completes it.
    Swallow,
    /// Performs it, and counts this many commands.
    Count(u32),
    /// Performs it, and writes other bytes to its answer than it should: from where, and which.
    Answer(usize, Vec<u8>),
    /// Is removed.
    Gone,
}

/// One thing that a lying device does with the completion of a sent packet.
#[derive(Clone, Debug)]
pub enum GveTxLie {
    /// Never completes it.
    Swallow,
    /// Counts this many descriptors more (GQI).
    Count(u32),
    /// Completes another packet (DQO).
    Tag(u16),
    /// Completes it with another type (DQO).
    Kind(u8),
    /// The queue of the completion is another (DQO).
    Queue(u16),
    /// Completes it twice (DQO).
    Twice,
    /// The generation is of the last round (DQO).
    Generation,
    /// A descriptor completion with this head instead of the next one (DQO).
    Head(u16),
}

/// One thing that a lying device does with a received buffer.
#[derive(Clone, Debug)]
pub enum GveRxLie {
    /// Never reports it.
    Swallow,
    /// The length is another: all 16 bits of GQI's, 14 of DQO's.
    Length(u16),
    /// The sequence number is another (GQI).
    Sequence(u8),
    /// These bits of the flags are inverted: GQI's flags; DQO's bytes 8 (low) and 1 (high).
    Flags(u16),
    /// The buffer is another (DQO).
    Id(u16),
    /// Reports it twice (DQO).
    Twice,
    /// The generation is of the last round (DQO).
    Generation,
    /// The type of the packet is another (DQO).
    Kind(u16),
}

/// A device.
#[derive(Clone)]
pub struct GveDevice {
    /// PCI revision: from 1 on the admin queue has a length and the driver's status.
    pub revision: u8,
    /// It has DQO queues with raw addresses.
    pub dqo: bool,
    /// It has GQI queues with registered pages.
    pub gqi: bool,
    /// The address of the card.
    pub mac: [u8; 6],
    /// MTU without the option for jumbo frames, and with it.
    pub mtu: u16,
    /// With that option.
    pub jumbo: Option<u16>,
    /// Bits of the features that the option of the format names.
    pub features: u32,
    /// Entries of queues: transmit, receive.
    pub entries: [u16; 2],
    /// Entries of queues that the driver may choose: at most, transmit and receive. At least: 256.
    pub modify_ring: Option<[u16; 2]>,
    /// Queues of each direction.
    pub max_queues: u32,
    /// Event counters.
    pub counters: u16,
    /// Pages that may be registered.
    pub max_pages: u64,
    /// Sizes of the hash key and of the indirection table, with the option for them.
    pub rss: Option<(u16, u16)>,
    /// Maximum size of a receive buffer, with the option for it.
    pub buffer_size: Option<u16>,
    /// It has options that no driver knows.
    pub unknown_options: bool,
    /// It can verify the driver's compatibility.
    pub verifies: bool,
    /// It refuses the driver's.
    pub incompatible: bool,
    /// The link is up.
    pub link: bool,
    /// It asks for a reset.
    pub wants_reset: bool,
    /// Reads until a reset is complete.
    pub reset_reads: usize,
    /// No reset completes.
    pub never_resets: bool,
    /// It sends and receives nothing.
    pub stuck: bool,
    /// It completes no admin command.
    pub stuck_admin: bool,
    /// It was removed.
    pub gone: bool,
    /// Packets sent are received.
    pub echo: bool,
    /// DQO: packets are completed last one first.
    pub reversed: bool,
    /// DQO: packets first miss, and are injected again at the next work.
    pub misses: bool,
    /// DQO: misses are reported by the tag's upper bit, if the driver knows that.
    pub alternative_misses: bool,
    /// Frames that were sent, after segmentation, with their checksums.
    pub sent: Vec<Vec<u8>>,
    /// Frames that wait for a buffer.
    pub inbox: VecDeque<Vec<u8>>,
    /// Frames dropped since they are longer than all buffers.
    pub dropped: usize,
    /// Interrupts of each vector.
    pub interrupts: BTreeMap<u32, usize>,
    /// Codes of the admin commands.
    pub admin: Vec<u32>,
    /// What the driver said of itself.
    pub driver_info: Vec<u8>,
    /// The hash key that the driver set.
    pub hash_key: Vec<u8>,
    /// The indirection table that the driver set.
    pub indirection: Vec<u32>,
    /// The MTU that the driver set.
    pub set_mtu: Option<u16>,
    /// Descriptors of the largest packet.
    pub most_descriptors: usize,
    /// What it does with the next admin commands; `None` for the truth.
    pub admin_lies: VecDeque<Option<GveAdminLie>>,
    /// With the next sent packets.
    pub tx_lies: VecDeque<Option<GveTxLie>>,
    /// With the next received buffers.
    pub rx_lies: VecDeque<Option<GveRxLie>>,
}

impl Default for GveDevice {
    /// A device with both formats and all options.
    fn default() -> GveDevice {
        GveDevice {
            revision: 1,
            dqo: true,
            gqi: true,
            mac: [0x42, 0x01, 10, 0, 0, 2],
            mtu: 1460,
            jumbo: Some(8896),
            features: 1 | 1 << 2 | 1 << 4 | 1 << 7,
            entries: [512, 1024],
            modify_ring: None,
            max_queues: 4,
            counters: 8,
            max_pages: 4096,
            rss: Some((40, 128)),
            buffer_size: None,
            unknown_options: true,
            verifies: true,
            incompatible: false,
            link: true,
            wants_reset: false,
            reset_reads: 2,
            never_resets: false,
            stuck: false,
            stuck_admin: false,
            gone: false,
            echo: false,
            reversed: false,
            misses: false,
            alternative_misses: false,
            sent: Vec::new(),
            inbox: VecDeque::new(),
            dropped: 0,
            interrupts: BTreeMap::new(),
            admin: Vec::new(),
            driver_info: Vec::new(),
            hash_key: Vec::new(),
            indirection: Vec::new(),
            set_mtu: None,
            most_descriptors: 0,
            admin_lies: VecDeque::new(),
            tx_lies: VecDeque::new(),
            rx_lies: VecDeque::new(),
        }
    }
}

impl GveDevice {
    /// The driver's and the test's ends of the device: BAR 0, BAR 2, the handle.
    pub fn connect(self, memory: &'static HostMemory) -> (GveRegisters, GveRegisters, GveHandle) {
        let model = Arc::new(Mutex::new(Model {
            device: self,
            memory,
            written: BTreeMap::new(),
            admin: None,
            commands: 0,
            resetting: None,
            resets: 0,
            resources: None,
            pages: BTreeMap::new(),
            tx: BTreeMap::new(),
            rx: BTreeMap::new(),
            lied: false,
        }));
        let end = |bar| GveRegisters {
            model: model.clone(),
            bar,
        };
        let (registers, doorbells) = (end(Bar::Registers), end(Bar::Doorbells));
        (registers, doorbells, GveHandle { model })
    }

    /// The MTU of the network.
    pub(super) fn max_mtu(&self) -> u16 {
        self.jumbo.unwrap_or(0).max(self.mtu)
    }

    /// The device descriptor and its options.
    pub(super) fn describe(&self) -> Vec<u8> {
        let mut options: Vec<u8> = Vec::new();
        let mut count = 0u16;
        let mut option = |id: u16, bytes: &[u8]| {
            options.extend(id.to_be_bytes());
            options.extend((bytes.len() as u16).to_be_bytes());
            options.extend([0; 4]);
            options.extend(bytes);
            count += 1;
        };
        let pair = |features: u32, first: u16, second: u16| {
            let mut bytes = features.to_be_bytes().to_vec();
            bytes.extend(first.to_be_bytes());
            bytes.extend(second.to_be_bytes());
            bytes
        };
        if self.unknown_options {
            option(0x77, &[1, 2, 3, 4, 5]);
        }
        if self.gqi {
            option(3, &self.features.to_be_bytes());
        }
        if self.dqo {
            option(4, &pair(self.features, 0, 0));
        }
        if let Some([send, receive]) = self.modify_ring {
            let mut bytes = pair(1, receive, send);
            bytes.extend(256u16.to_be_bytes());
            bytes.extend(256u16.to_be_bytes());
            option(6, &bytes);
        }
        if let Some(mtu) = self.jumbo {
            option(8, &pair(1 << 2, mtu, 0));
        }
        if let Some(size) = self.buffer_size {
            option(0xa, &pair(1 << 4, size, 0));
        }
        if let Some((key, table)) = self.rss {
            option(0xe, &pair(1 << 7, key, table));
        }
        if self.unknown_options {
            option(0x1234, &[]);
        }
        let mut bytes = self.max_pages.to_be_bytes().to_vec();
        bytes.extend([0; 2]);
        let words = [
            self.entries[0],
            self.entries[1],
            1,
            self.mtu,
            self.counters,
            512,
            1024,
        ];
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        bytes.extend(self.mac);
        bytes.extend(count.to_be_bytes());
        bytes.extend((40 + options.len() as u16).to_be_bytes());
        bytes.extend([0; 6]);
        bytes.extend(options);
        bytes
    }

    /// The map of packet types: 1024 pairs of layer 3 and layer 4.
    pub(super) fn packet_types() -> Vec<u8> {
        let mut map = vec![0; 2048];
        for (at, (l3, l4)) in TYPES {
            (map[at * 2], map[at * 2 + 1]) = (l3, l4);
        }
        map
    }

    /// The type of a packet.
    pub(super) fn packet_type(packet: Option<&Packet>) -> u16 {
        let Some(packet) = packet else {
            return TYPES[0].0 as u16;
        };
        let l3 = if packet.v6 { 3 } else { 2 };
        let l4 = match (packet.fragment, packet.tcp) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        let found = TYPES.iter().find(|(_, layers)| *layers == (l3, l4));
        found.map_or(0, |(at, _)| *at as u16)
    }

    /// The receive queue of a frame, and its hash.
    pub(super) fn steer(&self, bytes: &[u8], first: Option<u32>) -> Option<(u32, u32)> {
        let hash = match Packet::parse(bytes) {
            Some(packet) => toeplitz(&self.hash_key, &hash_input(&packet, bytes)),
            None => 0,
        };
        let id = match self.indirection.len() {
            0 => first?,
            len => self.indirection[hash as usize % len],
        };
        Some((id, hash))
    }
}

/// Types of packets: their number, layer 3 and layer 4.
const TYPES: [(usize, (u8, u8)); 7] = [
    (1, (0, 0)),
    (23, (2, 1)),
    (24, (2, 3)),
    (26, (2, 2)),
    (89, (3, 1)),
    (90, (3, 3)),
    (92, (3, 2)),
];
