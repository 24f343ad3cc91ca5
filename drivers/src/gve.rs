//! Google's virtual network card, gVNIC, in both of its formats: DQO with raw addresses, which
//! newer machine types offer, and GQI with lists of pages.
//!
//! No emulator has the device. The driver is written from Linux's and iPXE's descriptions of it,
//! and is tested with a model that another author wrote from the same sources.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::device::Seconds;
use crate::function::{Function, Started};
use crate::net::{
    Capabilities, Card, ETHERNET, MAX_FRAME, NetConfig, NetCounters, RxChecksum, RxMeta, TxError,
    TxMeta, feature, is_supported,
};
use crate::pci::Id;
use crate::queue::DeviceError;
use crate::registers::Registers;
use crate::{Error, MemoryRef};

mod admin;
mod checksum;
mod describe;
mod dqo;
mod frames;
mod gqi;
mod queues;
mod registers;
mod shared;
mod slots;
mod start;

use admin::{RUNNING_NS, START_NS, begin_reset, is_reset};
use checksum::is_verified;
use describe::Description;
use frames::Part;
use queues::{Checksum, Frame, Sending};
use registers::{DOORBELLS_LEN, STATUS_RESET, offset};
use shared::Queue;
use start::Active;

/// The card's ids.
pub const IDS: &[Id] = &[Id::Device(0x1ae0, 0x0042)];

/// The BARs of registers and of doorbells.
const REGISTERS_BAR: u8 = 0;
const DOORBELLS_BAR: u8 = 2;
/// Interrupt vectors: one for each queue, and the management's, which comes last.
const VECTORS: usize = 3;

/// Number of returned receive buffers after which the device gets them although more frames are
/// pending.
const REFILL_BATCH: usize = 32;
/// Maximum number of frames with errors that a call skips.
const MAX_EXAMINED: usize = 256;
/// How many seconds a frame may wait for room in the transmit queue, without any completion, and
/// how many a reset may take.
const STALL_S: u32 = 5;
const RESET_S: u32 = 2;
/// Resets that the device may ask for without a received frame in between.
const MAX_RESTARTS: u8 = 8;

/// Starts the card of a function.
///
/// # Errors
///
/// [`Error::NoVector`], [`Error::BadBar`], [`Error::Unmappable`], and as [`Gve::new`].
pub fn open(function: &Function<'_>, config: &NetConfig) -> Started<Box<dyn Card>> {
    if !function.has_messages() {
        return Err(Error::NoVector);
    }
    function.repeat_message(VECTORS)?;
    let registers = function.registers(REGISTERS_BAR, registers::LEN)?;
    let doorbells = function.registers_up_to(DOORBELLS_BAR, DOORBELLS_LEN)?;
    let interrupt = registers.interrupt();
    let memory = function.memory();
    let card = Gve::new(Box::new(registers), Box::new(doorbells), memory, config)?;
    Ok((Box::new(card), interrupt))
}

/// A reset while the program runs, which each poll continues.
struct Restart {
    /// What the device had.
    active: Active,
    seconds: Seconds,
}

/// A card. Dropping it resets the card.
pub struct Gve {
    registers: Box<dyn Registers>,
    doorbells: Box<dyn Registers>,
    memory: MemoryRef,
    config: NetConfig,
    capabilities: Capabilities,
    counters: NetCounters,
    /// The queues and their memory; `None` during a restart, and once the card is out of use.
    active: Option<Active>,
    restart: Option<Restart>,
    /// Parts of the frame that is being received.
    parts: Vec<Part>,
    /// Receive buffers returned since the last doorbell.
    returned: usize,
    /// A frame found no room: the caller waits for some.
    is_awaited: bool,
    /// How long there has been no room, and no completion.
    full: Option<Seconds>,
    /// Interrupts that are enabled.
    armed: [bool; 2],
    /// Nothing was received since interrupts were enabled.
    is_quiet: bool,
    restarts: u8,
}

/// The capabilities of a card with this description, as far as `config` permits them.
fn capabilities(description: &Description, longest: usize, config: &NetConfig) -> Capabilities {
    let has = |bit| config.features & bit != 0;
    let tx_checksum = has(feature::CSUM);
    let tso4 = tx_checksum && has(feature::HOST_TSO4);
    let tso6 = tx_checksum && has(feature::HOST_TSO6);
    Capabilities {
        mac: Some(description.mac),
        mtu: description.mtu,
        max_transmit: match tso4 || tso6 {
            true => longest.min(MAX_FRAME),
            false => ETHERNET + usize::from(description.mtu),
        },
        tx_checksum,
        tso4,
        tso6,
        rx_checksum: has(feature::GUEST_CSUM),
        large_receive4: false,
        large_receive6: false,
    }
}

impl Gve {
    /// Resets and starts the card behind `registers` (BAR 0) and `doorbells` (BAR 2), with a
    /// receive and a transmit queue. Waits for the ends of about ten commands, each at most 2 s; of
    /// those of later starts each at most 0.2 s.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::NotReset`], [`Error::NoResponse`], [`Error::Refused`],
    /// [`Error::BadConfig`], [`Error::OutOfMemory`]; the card is left reset.
    pub fn new(
        registers: Box<dyn Registers>,
        doorbells: Box<dyn Registers>,
        memory: MemoryRef,
        config: &NetConfig,
    ) -> Result<Gve, Error> {
        let active = Active::start(&*registers, &*doorbells, memory, config, START_NS)?;
        let longest = *active.queues.lengths().end();
        Ok(Gve {
            capabilities: capabilities(&active.description, longest, config),
            registers,
            doorbells,
            memory,
            config: *config,
            counters: NetCounters::default(),
            active: Some(active),
            restart: None,
            parts: Vec::new(),
            returned: 0,
            is_awaited: false,
            full: None,
            armed: [false; 2],
            is_quiet: false,
            restarts: 0,
        })
    }

    /// Takes the memory back from the card by a reset, or leaks it.
    fn stop(&mut self) {
        let restarted = self.restart.take().map(|restart| restart.active);
        if let Some(mut active) = self.active.take().or(restarted) {
            active.stop(&*self.registers, self.memory);
        }
        self.parts.clear();
    }

    fn fail(&mut self) {
        log::error!(
            target: "drivers",
            "the network card (gVNIC) was removed or broke its protocol, and was reset"
        );
        self.stop();
    }

    /// Begins a reset because the card asks for that, or stalls. Frames in flight are lost.
    fn begin_restart(&mut self) -> Result<(), DeviceError> {
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS {
            return Err(DeviceError);
        }
        if let Some(active) = self.active.take() {
            log::warn!(target: "drivers", "the network card (gVNIC) is reset");
            self.parts.clear();
            begin_reset(&*self.registers);
            let seconds = Seconds::new(self.memory);
            self.restart = Some(Restart { active, seconds });
        }
        Ok(())
    }

    /// Starts the card if its reset has ended.
    fn continue_restart(&mut self) -> Result<(), DeviceError> {
        let Some(restart) = &mut self.restart else {
            return Ok(());
        };
        let (registers, doorbells) = (&*self.registers, &*self.doorbells);
        if !is_reset(registers) {
            restart.seconds.tick(self.memory);
            return match restart.seconds.count {
                0..RESET_S => Ok(()),
                _ => Err(DeviceError),
            };
        }
        let before = restart.active.description;
        // Frees its memory.
        self.restart = None;
        let mut active = Active::start(registers, doorbells, self.memory, &self.config, RUNNING_NS)
            .map_err(|_| DeviceError)?;
        if active.description != before {
            active.stop(registers, self.memory);
            return Err(DeviceError);
        }
        self.active = Some(active);
        (self.returned, self.full, self.armed) = (0, None, [false; 2]);
        Ok(())
    }

    /// Whether the card asks for a reset: an exit.
    fn wants_reset(&self) -> Result<bool, DeviceError> {
        match registers::read(&*self.registers, offset::DEVICE_STATUS) {
            u32::MAX => Err(DeviceError),
            status => Ok(status & STATUS_RESET != 0),
        }
    }

    /// Returns the slots of sent frames, and measures how long there have been none.
    fn reclaim(&mut self) -> Result<(), DeviceError> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        if active.queues.reclaim(&mut active.slots)? {
            self.full = None;
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        let has_room = |active: &Active| active.queues.has_room() && active.slots.has_largest();
        self.active.as_ref().is_some_and(has_room)
    }

    /// See [`Card::can_transmit`].
    fn find_room(&mut self) -> Result<bool, DeviceError> {
        if self.has_room() {
            return Ok(true);
        }
        if self.restart.is_some() {
            return Ok(false);
        }
        self.reclaim()?;
        if self.has_room() {
            return Ok(true);
        }
        self.wait()?;
        Ok(false)
    }

    /// Records that the caller waits for room.
    fn wait(&mut self) -> Result<(), DeviceError> {
        self.is_awaited = true;
        // A caller that waits for room must not wait for frames that the card doesn't know of.
        self.ring();
        let memory = self.memory;
        let full = self.full.get_or_insert_with(|| Seconds::new(memory));
        full.tick(memory);
        match full.count {
            0..STALL_S => Ok(()),
            _ => self.begin_restart(),
        }
    }

    fn ring(&mut self) {
        if let Some(active) = &mut self.active {
            active.queues.ring_transmit(&*self.doorbells);
        }
    }

    fn refill(&mut self) {
        self.returned = 0;
        if let Some(active) = &mut self.active {
            active.queues.ring_receive(&*self.doorbells);
        }
    }

    fn try_transmit(
        &mut self,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> TxMeta,
    ) -> Result<Result<(), TxError>, DeviceError> {
        let Some(active) = &mut self.active else {
            return Ok(Err(match self.restart {
                Some(_) => TxError::Full,
                None => TxError::DeviceError,
            }));
        };
        if len > self.capabilities.max_transmit || !active.queues.lengths().contains(&len) {
            return Ok(Err(TxError::BadFrame));
        }
        let mut taken = None;
        for _ in 0..2 {
            if active.queues.has_room() {
                taken = active.slots.take(len);
            }
            if taken.is_some() {
                break;
            }
            if active.queues.reclaim(&mut active.slots)? {
                self.full = None;
            }
        }
        let Some(slot) = taken else {
            self.wait()?;
            return Ok(Err(TxError::Full));
        };
        let offset = active.slots.offset(slot);
        let region = active.slots.region();
        // SAFETY: the slot was free, so neither the card nor a caller has it.
        let frame = unsafe { region.slice(offset, len) };
        let meta = fill(frame);
        let phys = region.phys(offset);
        let is_sendable = is_supported(&self.capabilities, len, &meta)
            && (meta.gso.is_some() || len <= ETHERNET + usize::from(self.capabilities.mtu))
            && active.queues.prepare(frame, &meta);
        if !is_sendable {
            active.slots.give_back(slot);
            return Ok(Err(TxError::BadFrame));
        }
        active.queues.queue(Sending {
            slot,
            phys,
            offset,
            len,
            meta,
        });
        self.is_awaited = false;
        self.counters.tx_frames += 1;
        Ok(Ok(()))
    }

    fn try_receive(
        &mut self,
        deliver: &mut dyn FnMut(&mut [u8], RxMeta),
    ) -> Result<bool, DeviceError> {
        for _ in 0..MAX_EXAMINED {
            let Some(active) = &mut self.active else {
                return Ok(false);
            };
            let Some(frame) = active.queues.collect(&mut self.parts)? else {
                break;
            };
            (self.is_quiet, self.restarts) = (false, 0);
            let reported = match frame {
                Frame::Valid(checksum) if self.capabilities.rx_checksum => checksum,
                _ => Checksum::Unknown,
            };
            let delivered = frame != Frame::Bad
                && active.frames.deliver(&self.parts, &mut |bytes| {
                    let is_valid = match reported {
                        Checksum::Unknown => false,
                        Checksum::Valid => true,
                        Checksum::Sum(sum) => is_verified(bytes, sum),
                    };
                    let checksum = match is_valid {
                        true => RxChecksum::Valid,
                        false => RxChecksum::Unknown,
                    };
                    deliver(
                        bytes,
                        RxMeta {
                            checksum,
                            gso: None,
                        },
                    );
                });
            if delivered && self.parts.len() > 1 {
                self.counters.rx_copied += u64::from(!frames::is_linear(&self.parts));
            }
            active.queues.give_back(&self.parts);
            self.returned += self.parts.len();
            self.parts.clear();
            if self.returned >= REFILL_BATCH {
                self.refill();
            }
            if delivered {
                self.counters.rx_frames += 1;
                return Ok(true);
            }
            self.counters.rx_dropped += 1;
        }
        self.refill();
        Ok(false)
    }

    /// Whether there is work: a received frame, or awaited room. A restart goes on by
    /// `enable_interrupts`, which isn't called where something is pending.
    fn has_work(&self) -> bool {
        let has_work = |active: &Active| {
            active.queues.has_received() || self.is_awaited && active.queues.has_sent()
        };
        self.active.as_ref().is_some_and(has_work)
    }

    fn try_enable_interrupts(&mut self) -> Result<bool, DeviceError> {
        if self.restart.is_some() {
            self.continue_restart()?;
            // New queues aren't armed.
            return Ok(true);
        }
        self.refill();
        if self.has_work() {
            return Ok(true);
        }
        // The status is an exit, which a card that delivers frames doesn't need.
        if self.is_quiet && self.wants_reset()? {
            self.begin_restart()?;
            return Ok(true);
        }
        self.is_quiet = true;
        let queues = [(Queue::Receive, true), (Queue::Transmit, self.is_awaited)];
        if let Some(active) = &self.active {
            for (index, (queue, wanted)) in queues.into_iter().enumerate() {
                if wanted {
                    active.queues.enable_interrupt(queue, &*self.doorbells);
                    self.armed[index] = true;
                }
            }
        }
        // The interrupt must be enabled before the rings are read once more: the card reads in the
        // other order.
        self.memory.barrier();
        Ok(self.has_work())
    }
}

impl Card for Gve {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn is_running(&self) -> bool {
        self.active.is_some() || self.restart.is_some()
    }

    fn counters(&self) -> NetCounters {
        self.counters
    }

    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        self.try_receive(deliver).unwrap_or_else(|DeviceError| {
            self.fail();
            false
        })
    }

    fn can_transmit(&mut self) -> bool {
        self.is_running()
            && self.find_room().unwrap_or_else(|DeviceError| {
                self.fail();
                false
            })
    }

    fn transmit(
        &mut self,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> TxMeta,
    ) -> Result<(), TxError> {
        self.try_transmit(len, fill).unwrap_or_else(|DeviceError| {
            self.fail();
            Err(TxError::DeviceError)
        })
    }

    fn flush(&mut self) {
        self.ring();
    }

    fn is_drained(&mut self) -> bool {
        if self.reclaim().is_err() {
            self.fail();
        }
        let in_flight = |active: &Active| active.queues.in_flight();
        self.active.as_ref().map_or(0, in_flight) == 0
    }

    fn has_pending(&self) -> bool {
        self.has_work()
    }

    fn enable_interrupts(&mut self) -> bool {
        self.is_running()
            && self.try_enable_interrupts().unwrap_or_else(|DeviceError| {
                self.fail();
                false
            })
    }

    fn disable_interrupts(&mut self) {
        let armed = core::mem::take(&mut self.armed);
        if let Some(active) = &self.active {
            let queues = [Queue::Receive, Queue::Transmit].into_iter().zip(armed);
            for (queue, _) in queues.filter(|(_, armed)| *armed) {
                active.queues.disable_interrupt(queue, &*self.doorbells);
            }
        }
    }
}

impl Drop for Gve {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests;
