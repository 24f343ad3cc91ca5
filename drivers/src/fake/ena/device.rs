//! An adapter's options, lies and results.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::{Bar, EnaHandle, EnaRegisters, Model};
use crate::fake::HostMemory;

/// A lie in place of the completion of an admin command.
#[derive(Clone, Debug)]
pub enum EnaAdminLie {
    /// Completes another command.
    Id(u16),
    /// Doesn't perform it, and completes it with this status.
    Status(u8),
    /// The phase bit has the value of the last round.
    Phase,
    /// Never completes it.
    Swallow,
    /// Completes it twice.
    Twice,
    /// Answers with other bytes: from which byte of the entry on (0 to 63), and which.
    Answer(usize, Vec<u8>),
    /// Is removed.
    Gone,
}

/// A lie in place of the completion of a sent packet.
#[derive(Clone, Debug)]
pub enum EnaTxLie {
    /// Completes another request.
    Id(u16),
    /// Completes it twice.
    Twice,
    /// The phase bit has the value of the last round.
    Phase,
    /// Never completes it.
    Swallow,
    /// Reports that the submission queue's head is here.
    Head(u16),
}

/// A lie in place of the completion of a receive buffer.
#[derive(Clone, Debug)]
pub enum EnaRxLie {
    /// Completes another request.
    Id(u16),
    /// Completes it twice.
    Twice,
    /// The phase bit has the value of the last round.
    Phase,
    /// Never completes it.
    Swallow,
    /// Reports this length.
    Length(u16),
    /// Reports that the frame starts here.
    Offset(u8),
    /// Reports first and last as given, instead of as the frame has it.
    Ends(bool, bool),
    /// Bits of the status word are inverted.
    Flags(u32),
}

/// A lie in place of the answer to a read of a register by the answer's address.
#[derive(Clone, Copy, Debug)]
pub enum EnaReadLie {
    /// Answers another request.
    Id,
    /// Answers for another register.
    Offset,
    /// Doesn't answer.
    Silent,
    /// Answers with ones.
    Ones,
}

/// Limits and offers of low latency queues.
#[derive(Clone, Debug)]
pub struct EnaLowLatency {
    /// Maximum entries of a queue.
    pub max_depth: u32,
    /// Header locations: 1 inline, 2 a ring.
    pub locations: u16,
    /// Entry sizes: 1 for 128 bytes, 2 for 192, 4 for 256.
    pub sizes: u16,
    /// Descriptors before the header: 1, 2, 4 or 8, several as a set.
    pub before_header: u16,
    /// Strides: 1 for a descriptor an entry, 2 for several.
    pub strides: u16,
    /// Every packet must have its metadata.
    pub no_meta_cache: bool,
    /// Bytes of entries between two doorbells; 0 for no limit.
    pub max_burst: u16,
}

impl Default for EnaLowLatency {
    fn default() -> Self {
        EnaLowLatency {
            max_depth: 512,
            locations: 1,
            sizes: 1,
            before_header: 2,
            strides: 2,
            no_meta_cache: false,
            max_burst: 0,
        }
    }
}

/// An adapter.
#[derive(Clone, Debug)]
pub struct EnaDevice {
    /// Its address.
    pub mac: [u8; 6],
    /// Largest MTU that it takes.
    pub max_mtu: u32,
    /// Ids of the features that it has, as bits.
    pub features: u32,
    /// Sending offloads (`ena_admin_feature_offload_desc.tx`).
    pub tx_offloads: u32,
    /// Receiving offloads.
    pub rx_offloads: u32,
    /// Maximum queues of each kind.
    pub max_queues: u32,
    /// Maximum entries: send, receive.
    pub max_depths: [u32; 2],
    /// Maximum descriptors of a packet: send (with metadata), receive.
    pub max_descriptors: [u16; 2],
    /// Maximum bytes of a pushed header.
    pub max_header: u32,
    /// Low latency queues, if it has any.
    pub low_latency: EnaLowLatency,
    /// MSI-X vectors: one of management, the others of queues.
    pub vectors: u32,
    /// Bytes before a received frame, if the driver said that it takes them.
    pub rx_offset: u8,
    /// Maximum bytes of frames in the next receive buffers; the others are filled.
    pub rx_pieces: VecDeque<usize>,
    /// Registers can be read as such.
    pub direct_reads: bool,
    /// Registers can be read without a read.
    pub readless: bool,
    /// Reads of the status until a reset begins, and until it ends.
    pub reset_reads: usize,
    /// Timeout of a reset that it reports, in units of 100 ms.
    pub reset_timeout: u32,
    /// No reset ends.
    pub never_resets: bool,
    /// Admin commands aren't completed while this is true.
    pub stuck_admin: bool,
    /// Sent packets aren't completed while this is true.
    pub stuck_tx: bool,
    /// It has a fatal error.
    pub fatal: bool,
    /// It was removed.
    pub gone: bool,
    /// Completes sent packets the other way round: last packet first.
    pub reversed: bool,
    /// Sent frames are received again.
    pub echo: bool,
    /// Lies in place of the next completions of admin commands; `None` for the truth.
    pub admin_lies: VecDeque<Option<EnaAdminLie>>,
    /// The same for sent packets.
    pub tx_lies: VecDeque<Option<EnaTxLie>>,
    /// The same for receive buffers.
    pub rx_lies: VecDeque<Option<EnaRxLie>>,
    /// The same for reads.
    pub read_lies: VecDeque<Option<EnaReadLie>>,
    /// Frames for the driver, received as soon as it has buffers for them.
    pub inbox: VecDeque<Vec<u8>>,
    /// Frames on the wire: segmented, with checksums.
    pub sent: Vec<Vec<u8>>,
    /// Packets that the driver sent, before segmentation.
    pub packets: usize,
    /// Most descriptors of a packet.
    pub most_descriptors: usize,
    /// Frames dropped: too large for the buffers of a packet or the MTU.
    pub dropped: usize,
    /// The admin commands: opcode, and the feature of a get or set.
    pub admin: Vec<(u8, u8)>,
    /// The driver's description of itself, if it gave one: the first page.
    pub host_info: Vec<u8>,
    /// The MTU that the driver set.
    pub mtu: u32,
    /// The hash key that the driver set.
    pub hash_key: Vec<u8>,
    /// The hash function that the driver set: 1 Toeplitz, 2 CRC32, as a bit.
    pub hash_function: u32,
    /// The fields of each protocol that the driver chose for the hash.
    pub hash_input: Vec<u8>,
    /// The indirection table that the driver set: receive queues.
    pub indirection: Vec<u16>,
    /// Interrupts by vector.
    pub interrupts: BTreeMap<u32, usize>,
    /// Writes of the doorbells of submission queues.
    pub doorbells: usize,
}

/// Features: all that the model has.
const FEATURES: u32 = 1 << 1
    | 1 << 4
    | 1 << 7
    | 1 << 10
    | 1 << 11
    | 1 << 12
    | 1 << 14
    | 1 << 18
    | 1 << 26
    | 1 << 27
    | 1 << 28;

impl Default for EnaDevice {
    fn default() -> Self {
        EnaDevice {
            mac: [0x02, 0x0e, 0xaa, 0, 0, 1],
            max_mtu: 9216,
            features: FEATURES,
            tx_offloads: 0b0110_1011,
            rx_offloads: 0b0111,
            max_queues: 8,
            max_depths: [1024, 1024],
            max_descriptors: [18, 15],
            max_header: 96,
            low_latency: EnaLowLatency::default(),
            vectors: 9,
            rx_offset: 0,
            rx_pieces: VecDeque::new(),
            direct_reads: true,
            readless: true,
            reset_reads: 1,
            reset_timeout: 10,
            never_resets: false,
            stuck_admin: false,
            stuck_tx: false,
            fatal: false,
            gone: false,
            reversed: false,
            echo: false,
            admin_lies: VecDeque::new(),
            tx_lies: VecDeque::new(),
            rx_lies: VecDeque::new(),
            read_lies: VecDeque::new(),
            inbox: VecDeque::new(),
            sent: Vec::new(),
            packets: 0,
            most_descriptors: 0,
            dropped: 0,
            admin: Vec::new(),
            host_info: Vec::new(),
            mtu: 1500,
            hash_key: Vec::new(),
            hash_function: 0,
            hash_input: Vec::new(),
            indirection: Vec::new(),
            interrupts: BTreeMap::new(),
            doorbells: 0,
        }
    }
}

impl EnaDevice {
    /// The driver's ends (the registers, BAR 0, and the memory of low latency queues, BAR 2) and
    /// the test's end.
    pub fn connect(self, memory: &'static HostMemory) -> (EnaRegisters, EnaRegisters, EnaHandle) {
        let model = Arc::new(Mutex::new(Model::new(self, memory)));
        let registers = |bar| EnaRegisters {
            model: model.clone(),
            bar,
        };
        let (first, second) = (registers(Bar::Registers), registers(Bar::LowLatency));
        (first, second, EnaHandle { model })
    }

    /// Whether it has feature `id`.
    pub(super) fn has(&self, id: u8) -> bool {
        id < 32 && self.features & 1 << id != 0
    }
}
