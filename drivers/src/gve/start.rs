//! The start of a card: memory, the commands that give it to the device, and the way back.

use alloc::boxed::Box;
use alloc::vec;

use super::admin::{Admin, Opcode, RUNNING_NS, reset};
use super::describe::{Description, Format, Rss};
use super::dqo::{Dqo, TYPES};
use super::frames::{BUFFER, Frames};
use super::gqi::Gqi;
use super::queues::Queues;
use super::registers::{self, offset};
use super::shared::{INTERRUPT_STRIDE, Places, Queue, Shared, block};
use super::slots::Slots;
use crate::net::{ETHERNET, NetConfig, feature};
use crate::registers::Registers;
use crate::{Error, MemoryRef, Region};

const PAGE: usize = 4096;

/// The driver's description of itself: its bytes, and the capabilities that it has (both formats,
/// and the tags of transmit completions that are misses).
const DRIVER_INFO: u32 = 304;
const DRIVER_CAPABILITIES_AT: usize = 20;
const DRIVER_CAPABILITIES: u32 = 1 | 1 << 3 | 1 << 4;

/// Ids of lists of pages; the last one is "raw addresses".
const TRANSMIT_PAGES: u32 = 0;
const RECEIVE_PAGES: u32 = 1;
const NO_PAGES: u32 = u32::MAX;

/// A parameter of the driver: the MTU.
const PARAMETER_MTU: u32 = 1;

/// Receive side scaling: TCP and UDP over both versions of IP, by Toeplitz.
const HASH_TYPES: u32 = 1 << 1 | 1 << 4 | 1 << 6 | 1 << 7;
const TOEPLITZ: u32 = 1;
/// The place of the key behind the table, and the maximum bytes of both.
const KEY_AT: usize = 2048;
const MAX_TABLE: u16 = (KEY_AT / 4) as u16;
const MAX_KEY: u16 = 256;

/// The queues of a card that runs, and all its memory.
pub struct Active {
    admin: Admin,
    pub description: Description,
    pub queues: Box<dyn Queues>,
    pub slots: Slots,
    pub frames: Frames,
}

impl Active {
    /// Resets and starts the card. Each command, and each reset, may take `limit_ns`.
    ///
    /// # Errors
    ///
    /// See [`Gve::new`](super::Gve::new).
    pub fn start(
        registers: &dyn Registers,
        doorbells: &dyn Registers,
        memory: MemoryRef,
        config: &NetConfig,
        limit_ns: u64,
    ) -> Result<Active, Error> {
        if registers::read(registers, offset::DEVICE_STATUS) == u32::MAX {
            return Err(Error::Gone);
        }
        if !reset(registers, memory, limit_ns) {
            return Err(Error::NotReset);
        }
        let mut admin = Admin::new(memory, limit_ns)?;
        admin.enable(registers);
        let described = describe(&mut admin, registers, memory);
        let made = described.and_then(|description| {
            let parts = allocate(&description, memory, config)?;
            Ok((description, parts))
        });
        let (description, (queues, slots, frames)) = match made {
            Ok(made) => made,
            Err(error) => {
                if !reset(registers, memory, limit_ns) {
                    admin.leak();
                }
                return Err(error);
            }
        };
        let mut active = Active {
            admin,
            description,
            queues,
            slots,
            frames,
        };
        if let Err(error) = active.create(registers, memory) {
            active.stop(registers, memory);
            return Err(error);
        }
        active.queues.ring_receive(doorbells);
        Ok(active)
    }

    /// Takes the memory back from the card by a reset, or leaks it.
    pub fn stop(&mut self, registers: &dyn Registers, memory: MemoryRef) {
        if !reset(registers, memory, RUNNING_NS) {
            self.leak();
        }
    }

    /// Leaks the memory, because the device may still access it.
    pub fn leak(&mut self) {
        self.admin.leak();
        self.queues.leak();
        self.slots.leak();
        self.frames.leak();
    }

    /// Configures the device and creates the queues.
    fn create(&mut self, registers: &dyn Registers, memory: MemoryRef) -> Result<(), Error> {
        let Description {
            format,
            entries: (transmit, receive),
            counters,
            pages,
            ..
        } = self.description;
        let admin = &mut self.admin;
        let Places {
            interrupts,
            transmit: transmit_place,
            receive: receive_place,
            counters: counters_place,
        } = self.queues.shared().places();
        let [a, b] = counters_place;
        let [c, d] = interrupts;
        let stride = INTERRUPT_STRIDE as u32;
        // Two notification blocks, whose vectors begin at 0: the management's is the last.
        let words = [
            a,
            b,
            c,
            d,
            u32::from(counters),
            2,
            stride,
            0,
            (format as u32) << 24,
        ];
        admin.run(registers, memory, Opcode::ConfigureResources, &words)?;
        if self.description.sets_mtu {
            let words = [PARAMETER_MTU, 0, 0, u32::from(self.description.mtu)];
            admin.run(registers, memory, Opcode::SetDriverParameter, &words)?;
        }
        let mut lists = (NO_PAGES, NO_PAGES);
        match format {
            Format::DqoRda => {
                let [high, low] = admin.data_address();
                let words = [0, 2 * TYPES as u32, high, low];
                admin.run(registers, memory, Opcode::GetPacketTypes, &words)?;
                self.queues.set_types(&admin.data);
            }
            Format::GqiQpl => {
                lists = (TRANSMIT_PAGES, RECEIVE_PAGES);
                let regions = [self.slots.region(), self.frames.region()];
                let count: usize = regions.iter().map(|region| region.len() / PAGE).sum();
                if count as u64 > pages {
                    return Err(Error::BadConfig);
                }
                for (id, region) in [lists.0, lists.1].into_iter().zip(regions) {
                    register(admin, registers, memory, id, region)?;
                }
            }
        }
        let rings = self.queues.rings();
        let ([a, b], [c, d]) = (transmit_place, rings.transmit);
        let [e, f] = rings.transmit_completions;
        let sizes = u32::from(transmit) << 16 | u32::from(transmit);
        let words = [
            0,
            0,
            a,
            b,
            c,
            d,
            lists.0,
            block(Queue::Transmit),
            e,
            f,
            sizes,
        ];
        admin.run(registers, memory, Opcode::CreateTransmitQueue, &words)?;
        let ([a, b], [c, d], [e, f]) = (receive_place, rings.receive, rings.buffers);
        let sizes = u32::from(receive) << 16 | BUFFER as u32;
        let buffers = match format {
            Format::DqoRda => u32::from(receive) << 16,
            Format::GqiQpl => 0,
        };
        let queue = block(Queue::Receive);
        let words = [0, 0, 0, queue, a, b, c, d, e, f, lists.1, sizes, buffers, 0];
        admin.run(registers, memory, Opcode::CreateReceiveQueue, &words)?;
        self.queues.shared().learn()?;
        match self.description.rss {
            Some(rss) => configure_rss(admin, registers, memory, rss),
            None => Ok(()),
        }
    }
}

/// Introduces the driver and gets the device's description.
fn describe(
    admin: &mut Admin,
    registers: &dyn Registers,
    memory: MemoryRef,
) -> Result<Description, Error> {
    let [high, low] = admin.data_address();
    admin
        .data
        .set_be(DRIVER_CAPABILITIES_AT, DRIVER_CAPABILITIES);
    let words = [0, DRIVER_INFO, high, low];
    optional(admin.run(registers, memory, Opcode::VerifyCompatibility, &words))?;
    let words = [high, low, 1, PAGE as u32];
    admin.run(registers, memory, Opcode::DescribeDevice, &words)?;
    // A copy, which the device can't change while it is parsed.
    let mut answer = vec![0; PAGE];
    for (at, bytes) in answer.chunks_exact_mut(4).enumerate() {
        bytes.copy_from_slice(&admin.data.get(at * 4).to_le_bytes());
    }
    Description::parse(&answer)
}

/// The result of a command that a device may not have.
fn optional(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::Refused(_)) => Ok(()),
        other => other,
    }
}

type Parts = (Box<dyn Queues>, Slots, Frames);

/// Allocates the memory of queues and frames.
fn allocate(
    description: &Description,
    memory: MemoryRef,
    config: &NetConfig,
) -> Result<Parts, Error> {
    let frame = ETHERNET + usize::from(description.mtu);
    let segments = config.features & (feature::HOST_TSO4 | feature::HOST_TSO6) != 0;
    let (transmit, receive) = description.entries;
    // A frame takes two completions, and reports come between them: a ring of them, which is as
    // long as that of descriptors, has room for those of all frames that are under way.
    let max = match description.format {
        Format::GqiQpl => u16::MAX,
        Format::DqoRda => transmit / 4,
    };
    let slots = Slots::new(memory, frame, segments, max, config)?;
    let shared = Shared::new(memory, description.counters)?;
    let entries = description.entries;
    Ok(match description.format {
        Format::GqiQpl => {
            let frames = Frames::new(memory, receive, config)?;
            let queues = Gqi::new(memory, shared, entries, &frames, &slots)?;
            (Box::new(queues), slots, frames)
        }
        Format::DqoRda => {
            // One entry stays empty.
            let frames = Frames::new(memory, receive - 1, config)?;
            let queues = Dqo::new(memory, shared, entries, &frames, &slots)?;
            (Box::new(queues), slots, frames)
        }
    })
}

/// Registers a region as a list of pages.
fn register(
    admin: &mut Admin,
    registers: &dyn Registers,
    memory: MemoryRef,
    id: u32,
    region: &Region,
) -> Result<(), Error> {
    let count = region.len() / PAGE;
    if count * 8 > PAGE {
        return Err(Error::OutOfMemory);
    }
    for page in 0..count {
        let words = registers::halves(region.phys(page * PAGE));
        admin.data.set_all_be(page * 8, &words);
    }
    let [high, low] = admin.data_address();
    let words = [id, count as u32, high, low, 0, PAGE as u32];
    admin.run(registers, memory, Opcode::RegisterPageList, &words)
}

/// Has the device put all frames into the only receive queue, whatever their hash is.
fn configure_rss(
    admin: &mut Admin,
    registers: &dyn Registers,
    memory: MemoryRef,
    rss: Rss,
) -> Result<(), Error> {
    if rss.table > MAX_TABLE || rss.key > MAX_KEY {
        return Ok(());
    }
    for at in (0..usize::from(rss.table)).map(|entry| entry * 4) {
        admin.data.set(at, 0);
    }
    for at in (0..usize::from(rss.key)).step_by(4) {
        // Any key will do; with this one both directions of a flow have the same hash.
        admin.data.set_be(KEY_AT + at, 0x6d5a_6d5a);
    }
    let [high, low] = admin.data_address();
    let sizes = u32::from(rss.key) << 16 | u32::from(rss.table);
    let [key_high, key_low] = admin.data.halves(KEY_AT);
    let kinds = HASH_TYPES << 16 | TOEPLITZ << 8;
    let words = [kinds, sizes, key_high, key_low, high, low];
    optional(admin.run(registers, memory, Opcode::ConfigureRss, &words))
}
