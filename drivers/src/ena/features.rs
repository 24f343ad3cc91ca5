//! The features of an adapter: what it has, and what the driver chooses.

use super::admin::{Admin, Command};
use super::events;
use super::registers::Access;
use super::words::Words;
use crate::Error;
use crate::memory::MemoryRef;

/// Ids of features.
mod id {
    pub const ATTRIBUTES: u8 = 1;
    pub const MAX_QUEUES: u8 = 2;
    pub const HINTS: u8 = 3;
    pub const LOW_LATENCY: u8 = 4;
    pub const MAX_QUEUES_EXTENDED: u8 = 7;
    pub const HASH_FUNCTION: u8 = 10;
    pub const OFFLOADS: u8 = 11;
    pub const INDIRECTION: u8 = 12;
    pub const MTU: u8 = 14;
    pub const EVENTS: u8 = 26;
    pub const HOST: u8 = 28;
}

/// Bytes of a descriptor.
pub(super) const DESCRIPTOR: usize = 16;
/// Maximum number of descriptors of a frame that the driver sends: three buffers, and metadata.
pub(super) const MAX_DESCRIPTORS: usize = 4;

/// MTU of an adapter that takes no other, and the largest of a VPC (Amazon EC2 User Guide, "MTU").
const DEFAULT_MTU: u16 = 1500;
const MAX_MTU: u32 = 9001;
/// The smallest MTU that the driver takes from a device (IPv4's minimum, RFC 791).
const MIN_MTU: u32 = 68;
/// Largest depth of a queue: positions have 16 bits.
const MAX_DEPTH: u32 = 1 << 15;

/// Offloads of sent frames.
const CHECKSUMS: u32 = 1 << 1 | 1 << 3;
const SEGMENTATION4: u32 = 1 << 5;
const SEGMENTATION6: u32 = 1 << 6;
/// Offloads of received frames: the checksums of TCP and UDP over both versions of IP.
const RECEIVE_CHECKSUMS: u32 = 1 << 1 | 1 << 2;

/// Low latency queues: values of the choices.
const INLINE_HEADER: u16 = 1;
const SEVERAL_DESCRIPTORS: u16 = 2;
/// Flags of their mode: metadata with every packet; a limit of the bytes between doorbells.
const NO_META_CACHE: u16 = 1;
const LIMITED_BURST: u16 = 1 << 1;

/// The driver as it describes itself: the layout of Linux's structure, which names no other
/// system's number for this one.
mod host {
    pub const BYTES: usize = 4096;
    pub const OS: (usize, u32) = (0, 1);
    pub const NAME: usize = 4;
    pub const DRIVER_VERSION: (usize, u32) = (172, 2);
    pub const SPECIFICATION: (usize, u32) = (184, 2 << 8);
    pub const PROCESSORS: (usize, u32) = (188, 1);
    /// Frames may start later in their buffer; the hash's function and key can be chosen.
    pub const FEATURES: (usize, u32) = (192, 1 << 1 | 1 << 4);
}

/// The hash key's 32-bit words.
const KEY_WORDS: usize = 10;
/// Microsoft's key. It spreads connections over queues, and protects nothing.
const KEY: [u32; KEY_WORDS] = [
    0xda56_5a6d,
    0xc20e_5b25,
    0x3d25_6741,
    0xb08f_a343,
    0xcb2b_cad0,
    0xb430_7bae,
    0xa32d_cb77,
    0x0cf2_3080,
    0x3bb7_426a,
    0xfa01_acbe,
];
const TOEPLITZ: u32 = 1;
/// Largest number of entries of the indirection table, as a power of two.
const MAX_TABLE: u16 = 7;

/// The layout of low latency queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of an entry.
    pub entry: usize,
    /// Descriptors before the header in a packet's first entry.
    pub before: usize,
    /// Descriptors of each later entry.
    pub following: usize,
    /// The device remembers metadata.
    pub has_cache: bool,
    /// Maximum number of entries between two doorbells.
    pub burst: u16,
    /// Maximum number of entries of a queue.
    pub depth: u16,
}

/// An adapter's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    pub mac: [u8; 6],
    /// The MTU that the driver set.
    pub mtu: u16,
    pub tx_depth: u16,
    pub rx_depth: u16,
    /// Maximum bytes of a header.
    pub header: usize,
    /// Maximum descriptors of a packet, with metadata.
    pub tx_descriptors: u16,
    pub rx_descriptors: u16,
    pub tx_checksum: bool,
    pub tso4: bool,
    pub tso6: bool,
    pub rx_checksum: bool,
    pub low_latency: Option<Layout>,
    /// Seconds without the event, or the completion, after which the device is reset; 0 for never.
    pub keep_alive_s: u32,
    pub transmit_s: u32,
}

/// Memory for descriptions that commands refer to.
pub(super) fn page(memory: MemoryRef) -> Result<Words, Error> {
    Words::new(memory, host::BYTES)
}

/// The largest power of two up to `limit`; an error for a queue of less than 8 entries.
fn depth(limit: u32) -> Result<u16, Error> {
    match limit.min(MAX_DEPTH) {
        limit @ 8.. => Ok(1 << limit.ilog2()),
        _ => Err(Error::BadConfig),
    }
}

/// Ignores that the device doesn't take a feature.
fn optional(result: Result<super::admin::Answer, Error>) -> Result<bool, Error> {
    match result {
        Ok(_) => Ok(true),
        Err(Error::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The admin queue with what its commands need.
pub(super) struct Setup<'a> {
    pub admin: &'a mut Admin,
    pub access: &'a Access,
    pub page: &'a Words,
    supported: u32,
}

impl<'a> Setup<'a> {
    pub fn new(admin: &'a mut Admin, access: &'a Access, page: &'a Words) -> Setup<'a> {
        Setup {
            admin,
            access,
            page,
            supported: 0,
        }
    }

    fn has(&self, id: u8) -> bool {
        self.supported & 1 << id != 0
    }

    fn set(&mut self, command: Command) -> Result<bool, Error> {
        optional(self.admin.run(self.access, command))
    }

    /// Describes the driver, reads the features, and configures those without queues.
    ///
    /// # Errors
    ///
    /// As [`Admin::run`]; [`Error::BadConfig`] for impossible limits.
    pub fn negotiate(&mut self) -> Result<Features, Error> {
        self.describe()?;
        let attributes = self.admin.get(self.access, id::ATTRIBUTES, 0)?;
        // A bit for each feature.
        self.supported = attributes.word(8);
        let mut mac = [0; 6];
        for (at, byte) in mac.iter_mut().enumerate() {
            *byte = attributes.byte(24 + at);
        }
        let max_mtu = attributes.word(32);
        let mut features = self.limits()?;
        features.mac = mac;
        self.read_offloads(&mut features)?;
        self.read_hints(&mut features)?;
        self.subscribe(&mut features)?;
        features.low_latency = self.choose_low_latency()?;
        features.mtu = self.set_mtu(max_mtu)?;
        Ok(features)
    }

    fn describe(&mut self) -> Result<(), Error> {
        for (at, value) in [
            host::OS,
            host::DRIVER_VERSION,
            host::SPECIFICATION,
            host::PROCESSORS,
            host::FEATURES,
        ] {
            self.page.store(at, value);
        }
        self.page.store(host::NAME, u32::from_le_bytes(*b"Soil"));
        let phys = self.page.phys(0);
        let host = [phys as u32, (phys >> 32) as u32];
        self.set(Command::set(id::HOST, &host)).map(drop)
    }

    /// Limits of queues and packets.
    fn limits(&mut self) -> Result<Features, Error> {
        // Depths of the submission and the completion queue, and where the rest is.
        let (answer, send, receive, rest) = match self.has(id::MAX_QUEUES_EXTENDED) {
            true => {
                let answer = self.admin.get(self.access, id::MAX_QUEUES_EXTENDED, 1)?;
                (answer, [20, 24], [28, 32], 36)
            }
            false => {
                let answer = self.admin.get(self.access, id::MAX_QUEUES, 0)?;
                (answer, [4, 12], [4, 12], 24)
            }
        };
        let least = |at: [usize; 2]| depth(answer.word(at[0]).min(answer.word(at[1])));
        Ok(Features {
            mac: [0; 6],
            mtu: DEFAULT_MTU,
            tx_depth: least(send)?,
            rx_depth: least(receive)?,
            // The field of a descriptor has 8 bits.
            header: answer.word(rest).min(255) as usize,
            tx_descriptors: answer.short(rest + 4),
            rx_descriptors: answer.short(rest + 6),
            tx_checksum: false,
            tso4: false,
            tso6: false,
            rx_checksum: false,
            low_latency: None,
            keep_alive_s: 0,
            transmit_s: events::TRANSMIT_S,
        })
    }

    fn read_offloads(&mut self, features: &mut Features) -> Result<(), Error> {
        if !self.has(id::OFFLOADS) {
            return Ok(());
        }
        let answer = self.admin.get(self.access, id::OFFLOADS, 0)?;
        let (send, receive) = (answer.word(0), answer.word(4));
        features.tx_checksum = send & CHECKSUMS == CHECKSUMS;
        features.tso4 = features.tx_checksum && send & SEGMENTATION4 != 0;
        features.tso6 = features.tx_checksum && send & SEGMENTATION6 != 0;
        features.rx_checksum = receive & RECEIVE_CHECKSUMS == RECEIVE_CHECKSUMS;
        Ok(())
    }

    /// Time limits that the device suggests, in milliseconds: 0 for the driver's own, all ones for
    /// none.
    fn read_hints(&mut self, features: &mut Features) -> Result<(), Error> {
        features.keep_alive_s = events::KEEP_ALIVE_S;
        if !self.has(id::HINTS) {
            return Ok(());
        }
        let answer = match self.admin.get(self.access, id::HINTS, 0) {
            Ok(answer) => answer,
            Err(Error::Refused(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        for (at, limit) in [
            (2, &mut features.keep_alive_s),
            (4, &mut features.transmit_s),
        ] {
            match answer.short(at) {
                0 => {}
                u16::MAX => *limit = 0,
                hint => *limit = u32::from(hint).div_ceil(1000),
            }
        }
        Ok(())
    }

    /// Asks for the events that the driver handles.
    fn subscribe(&mut self, features: &mut Features) -> Result<(), Error> {
        let mut groups = 0;
        if self.has(id::EVENTS) {
            let answer = self.admin.get(self.access, id::EVENTS, 0)?;
            groups = answer.word(0) & events::GROUPS;
            if !self.set(Command::set(id::EVENTS, &[0, groups]))? {
                groups = 0;
            }
        }
        if groups & events::KEEP_ALIVE == 0 {
            features.keep_alive_s = 0;
        }
        Ok(())
    }

    /// Chooses low latency queues with the header in the entry, if the device and its window have
    /// them: the smallest entries, two descriptors before the header (metadata and the rest of the
    /// packet), several descriptors in later entries.
    fn choose_low_latency(&mut self) -> Result<Option<Layout>, Error> {
        if !self.has(id::LOW_LATENCY) || self.access.push.is_none() {
            return Ok(None);
        }
        let answer = self.admin.get(self.access, id::LOW_LATENCY, 1)?;
        let supported = |at: usize, wanted: &[u16]| {
            let bits = answer.short(at);
            wanted.iter().copied().find(|bit| bits & bit != 0)
        };
        let choices = (
            supported(8, &[INLINE_HEADER]),
            supported(12, &[1, 2, 4]),
            supported(16, &[2, 4, 1]),
            supported(20, &[SEVERAL_DESCRIPTORS, 1]),
        );
        let (Some(location), Some(size), Some(before), Some(stride)) = choices else {
            return Ok(None);
        };
        let Ok(depth) = depth(answer.word(4)) else {
            return Ok(None);
        };
        let flags = answer.short(28);
        let entry = match size {
            1 => 128,
            2 => 192,
            _ => 256,
        };
        let burst = match answer.short(30) / entry as u16 {
            entries @ 1.. if flags & LIMITED_BURST != 0 => entries,
            _ => u16::MAX,
        };
        if usize::from(burst) < MAX_DESCRIPTORS {
            return Ok(None);
        }
        let modes = u32::from(flags & (NO_META_CACHE | LIMITED_BURST));
        let upper = |value: u16| u32::from(value) << 16;
        let chosen = [
            0,
            0,
            upper(location),
            upper(size),
            upper(before),
            upper(stride),
            0,
            modes,
        ];
        if !self.set(Command::set(id::LOW_LATENCY, &chosen))? {
            return Ok(None);
        }
        Ok(Some(Layout {
            entry,
            before: usize::from(before),
            following: match stride {
                SEVERAL_DESCRIPTORS => entry / DESCRIPTOR,
                _ => 1,
            },
            has_cache: flags & NO_META_CACHE == 0,
            burst,
            depth,
        }))
    }

    fn set_mtu(&mut self, max: u32) -> Result<u16, Error> {
        if max < MIN_MTU {
            return Err(Error::BadConfig);
        }
        let wanted = max.min(MAX_MTU);
        if !self.has(id::MTU) || !self.set(Command::set(id::MTU, &[wanted]))? {
            return Ok(DEFAULT_MTU.min(max as u16));
        }
        Ok(wanted as u16)
    }

    /// Distributes received frames over `queues`, ids of receive queues, by a hash of addresses and
    /// ports. A device without that delivers to the first queue.
    pub fn distribute(&mut self, queues: &[u16]) -> Result<(), Error> {
        if self.has(id::HASH_FUNCTION) {
            self.page.store(0, KEY_WORDS as u32);
            self.page.store(4, 0);
            for (at, word) in KEY.iter().enumerate() {
                self.page.store(8 + at * 4, *word);
            }
            let command = Command::set(id::HASH_FUNCTION, &[0, TOEPLITZ, 0]);
            self.set(command.with_data(self.page.phys(0), 8 + KEY_WORDS * 4))?;
        }
        if self.has(id::INDIRECTION) {
            let answer = self.admin.get(self.access, id::INDIRECTION, 0)?;
            let (least, most) = (answer.short(0), answer.short(2));
            if least > MAX_TABLE || least > most {
                return Ok(());
            }
            let size = most.min(MAX_TABLE);
            for (at, queue) in (0..1 << size).zip(queues.iter().cycle()) {
                self.page.store(at * 4, u32::from(*queue));
            }
            // No single entry.
            let command = Command::set(id::INDIRECTION, &[0, u32::from(size), u32::MAX]);
            self.set(command.with_data(self.page.phys(0), 4 << size))?;
        }
        Ok(())
    }
}
