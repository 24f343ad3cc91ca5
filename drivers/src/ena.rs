//! Elastic Network Adapters (the cards of Amazon EC2's Nitro system), by Linux's description of the
//! device (`ena_regs_defs.h`, `ena_admin_defs.h`, `ena_eth_io_defs.h`).
//!
//! No emulator has this device, and the driver has never run on a real one: its tests use a model
//! that was written without knowledge of the driver.
//!
//! One receive and one transmit queue, whose interrupts share message 0 with those of events. Sent
//! frames start in the device's memory (low latency queues) where the device has some. A device
//! that reports an error, stops sending its keep-alive, or doesn't complete a frame is reset and
//! started again; frames in flight are lost. One that breaks the protocol is reset and out of use.

use alloc::boxed::Box;

use crate::device::Seconds;
use crate::function::{Function, Started};
use crate::net::{
    Capabilities, Card, ETHERNET, MAX_FRAME, NetConfig, NetCounters, RxMeta, TxError, TxMeta,
    feature,
};
use crate::pci::Id;
use crate::queue::DeviceError;
use crate::registers::Registers;
use crate::{Error, MemoryRef};

mod admin;
mod events;
mod features;
mod offload;
mod position;
mod registers;
mod rx;
mod tx;
mod words;

use admin::Admin;
use events::Events;
use features::{Features, Setup};
use registers::{Access, Reason, Resetting, offset};
use rx::Receiver;
use tx::Sender;
use words::Words;

const AMAZON: u16 = 0x1d0f;

/// The adapters: physical and virtual functions, without and with low latency queues.
pub const IDS: &[Id] = &[
    Id::Device(AMAZON, 0x0ec2),
    Id::Device(AMAZON, 0x1ec2),
    Id::Device(AMAZON, 0xec20),
    Id::Device(AMAZON, 0xec21),
];

/// The bit of the PCI revision of a device that doesn't answer read requests.
const NO_READ_REQUESTS: u8 = 1;
const SECOND_NS: u64 = 1_000_000_000;
/// How long the driver of a running program spins for a reset, and for a command.
const SPIN_NS: u64 = 200_000_000;
/// Resets without a received frame in between.
const MAX_RESTARTS: u8 = 8;

/// Starts an adapter.
///
/// # Errors
///
/// [`Error::NoVector`] without messages, [`Error::BadBar`], [`Error::Unmappable`], and as [`start`].
pub fn open(function: &Function<'_>, config: &NetConfig) -> Started<Box<dyn Card>> {
    if !function.has_messages() {
        return Err(Error::NoVector);
    }
    let (registers, push) = registers::open(function)?;
    let interrupt = registers.interrupt();
    let push = push.map(|push| Box::new(push) as Box<dyn Registers>);
    let has_read_requests = function.revision() & NO_READ_REQUESTS == 0;
    let windows = (Box::new(registers) as Box<dyn Registers>, push);
    let card = start(windows, function.memory(), has_read_requests, config)?;
    Ok((card, interrupt))
}

/// Starts the adapter behind these windows: its registers, and the memory of low latency queues if
/// it has some. `has_read_requests`: its registers are read by requests, which it answers in
/// memory. Blocks for the device's answers, each for a bounded time.
///
/// ```
/// use drivers::ena::start;
/// use drivers::fake::{EnaDevice, HostMemory};
/// use drivers::net::{NetConfig, TxMeta};
///
/// let memory = HostMemory::new();
/// let (registers, push, device) = EnaDevice::default().connect(memory);
/// let windows = (Box::new(registers) as _, Some(Box::new(push) as _));
/// let mut card = start(windows, memory, true, &NetConfig::default())?;
/// card.transmit(60, &mut |frame| {
///     frame.fill(7);
///     TxMeta::default()
/// })
/// .unwrap();
/// card.flush();
/// device.with(|device| assert_eq!(device.sent, [[7; 60]]));
/// # Ok::<(), drivers::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Gone`], [`Error::NotReset`], [`Error::NoResponse`], [`Error::Refused`],
/// [`Error::BadConfig`], [`Error::OutOfMemory`], [`Error::DeviceError`].
pub fn start(
    (registers, push): (Box<dyn Registers>, Option<Box<dyn Registers>>),
    memory: MemoryRef,
    has_read_requests: bool,
    config: &NetConfig,
) -> Result<Box<dyn Card>, Error> {
    let mut access = Access::new(registers, push, memory, has_read_requests)?;
    let started = access
        .reset(Reason::Normal)
        .and_then(|limit_ns| Running::new(&mut access, memory, config, limit_ns));
    match started {
        Ok((running, capabilities)) => {
            access.spin_ns = SPIN_NS;
            Ok(Box::new(Ena {
                access,
                memory,
                config: *config,
                capabilities,
                counters: NetCounters::default(),
                restarts: 0,
                running: Some(running),
                restart: None,
            }))
        }
        Err(error) => {
            // A late answer.
            access.leak();
            Err(error)
        }
    }
}

/// All that a device uses from a reset to the next.
struct Running {
    admin: Admin,
    events: Events,
    /// What commands refer to.
    page: Words,
    queues: Option<(Receiver, Sender)>,
    keep_alive_s: u32,
    transmit_s: u32,
    seconds: Seconds,
    /// The second of the last keep-alive.
    alive: u32,
}

impl Running {
    /// Starts a device that was reset, and answers commands within `limit_ns`.
    ///
    /// # Errors
    ///
    /// As [`start`]. The device is reset, or the memory leaked.
    fn new(
        access: &mut Access,
        memory: MemoryRef,
        config: &NetConfig,
        limit_ns: u64,
    ) -> Result<(Running, Capabilities), Error> {
        access.check_version()?;
        let mut running = Running {
            admin: Admin::new(memory, limit_ns)?,
            events: Events::new(memory)?,
            page: features::page(memory)?,
            queues: None,
            keep_alive_s: 0,
            transmit_s: 0,
            seconds: Seconds::new(memory),
            alive: 0,
        };
        match running.configure(access, memory, config) {
            Ok(capabilities) => Ok((running, capabilities)),
            Err(error) => {
                running.end(access, Reason::Invalid);
                Err(error)
            }
        }
    }

    fn configure(
        &mut self,
        access: &Access,
        memory: MemoryRef,
        config: &NetConfig,
    ) -> Result<Capabilities, Error> {
        self.admin.start(access);
        self.events.start(access);
        let mut setup = Setup::new(&mut self.admin, access, &self.page);
        let features = setup.negotiate()?;
        let capabilities = capabilities(&features, config);
        let (receiver, sender) = self.queues.insert((
            Receiver::new(memory, &features, config)?,
            Sender::new(memory, &features, &capabilities, config)?,
        ));
        sender.start(setup.admin, access)?;
        let receive = receiver.start(setup.admin, access)?;
        setup.distribute(&[receive])?;
        self.keep_alive_s = features.keep_alive_s;
        self.transmit_s = features.transmit_s;
        access.write(offset::INTERRUPT_MASK, 0);
        self.events.acknowledge(access);
        Ok(capabilities)
    }

    /// Resets the device and takes the memory back, or leaks it.
    fn end(mut self, access: &mut Access, reason: Reason) {
        if !matches!(access.reset(reason), Ok(_) | Err(Error::Gone)) {
            self.leak(access);
        }
    }

    /// Leaks the memory, because the device may still access it.
    fn leak(&mut self, access: &mut Access) {
        self.admin.leak();
        self.events.leak();
        self.page.leak();
        if let Some((receiver, sender)) = &mut self.queues {
            receiver.leak();
            sender.leak();
        }
        access.leak();
    }

    /// Takes events and watches the clock. Returns the reason of a reset.
    fn watch(&mut self, access: &Access, memory: MemoryRef) -> Option<Reason> {
        let happened = self.events.take(access);
        if happened.wants_reset {
            return Some(Reason::Generic);
        }
        let is_next = self.seconds.tick(memory);
        let second = self.seconds.count;
        if happened.is_alive {
            self.alive = second;
        }
        if !is_next {
            return None;
        }
        let silent = second.wrapping_sub(self.alive);
        if self.keep_alive_s > 0 && silent > self.keep_alive_s {
            return Some(Reason::MissedKeepAlive);
        }
        let (_, sender) = self.queues.as_ref()?;
        let is_overdue = self.transmit_s > 0 && sender.is_overdue(second, self.transmit_s);
        is_overdue.then_some(Reason::MissedTransmit)
    }
}

/// The capabilities that `config` permits.
fn capabilities(features: &Features, config: &NetConfig) -> Capabilities {
    let has = |bit| config.features & bit != 0;
    let tx_checksum = features.tx_checksum && has(feature::CSUM);
    // Enough descriptors for a large frame.
    let is_segmenting =
        tx_checksum && usize::from(features.tx_descriptors) >= features::MAX_DESCRIPTORS;
    let tso4 = is_segmenting && features.tso4 && has(feature::HOST_TSO4);
    let tso6 = is_segmenting && features.tso6 && has(feature::HOST_TSO6);
    Capabilities {
        mac: Some(features.mac),
        mtu: features.mtu,
        max_transmit: match tso4 || tso6 {
            true => MAX_FRAME,
            false => ETHERNET + usize::from(features.mtu),
        },
        tx_checksum,
        tso4,
        tso6,
        rx_checksum: features.rx_checksum && has(feature::GUEST_CSUM),
        large_receive4: false,
        large_receive6: false,
    }
}

/// A reset while the program runs, which each poll continues.
struct Restart {
    /// What the device had.
    running: Running,
    resetting: Resetting,
    seconds: Seconds,
}

/// An adapter. Dropping it resets the device.
struct Ena {
    access: Access,
    memory: MemoryRef,
    config: NetConfig,
    capabilities: Capabilities,
    counters: NetCounters,
    /// Resets since the last received frame.
    restarts: u8,
    /// `None` during a restart, and once it is out of use.
    running: Option<Running>,
    restart: Option<Restart>,
}

impl Ena {
    /// Ends the use of a device that broke the protocol.
    fn fail(&mut self) {
        log::error!(target: "drivers", "the network card (ENA) broke its protocol and was reset");
        if let Some(running) = self.running.take() {
            running.end(&mut self.access, Reason::Invalid);
        }
    }

    /// Takes events; begins or continues a restart. Returns whether there is one.
    fn watch(&mut self) -> bool {
        if self.restart.is_some() {
            self.continue_restart();
            return true;
        }
        let (access, memory) = (&self.access, self.memory);
        let running = self.running.as_mut();
        let Some(reason) = running.and_then(|running| running.watch(access, memory)) else {
            return false;
        };
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS {
            self.fail();
            return true;
        }
        log::warn!(target: "drivers", "the network card (ENA) is reset: {reason:?}");
        if let Some(mut running) = self.running.take() {
            match self.access.begin_reset(reason) {
                Ok(resetting) => {
                    self.restart = Some(Restart {
                        running,
                        resetting,
                        seconds: Seconds::new(memory),
                    });
                }
                Err(error) => self.abandon(&mut running, error),
            }
        }
        true
    }

    /// Gives up a device whose reset failed.
    fn abandon(&mut self, running: &mut Running, error: Error) {
        log::error!(target: "drivers", "the network card (ENA) {error}");
        if error != Error::Gone {
            running.leak(&mut self.access);
        }
    }

    /// Starts the device if its reset has ended.
    fn continue_restart(&mut self) {
        let memory = self.memory;
        let Some(mut restart) = self.restart.take() else {
            return;
        };
        let limit_ns = match self.access.continue_reset(&mut restart.resetting) {
            Ok(Some(limit_ns)) => limit_ns,
            Ok(None) => {
                restart.seconds.tick(memory);
                let passed_ns = u64::from(restart.seconds.count) * SECOND_NS;
                match passed_ns > restart.resetting.limit_ns {
                    true => self.abandon(&mut restart.running, Error::NotReset),
                    false => self.restart = Some(restart),
                }
                return;
            }
            Err(error) => return self.abandon(&mut restart.running, error),
        };
        // Frees its memory.
        drop(restart);
        match Running::new(&mut self.access, memory, &self.config, limit_ns) {
            Ok((running, capabilities)) if capabilities == self.capabilities => {
                self.running = Some(running);
            }
            Ok((running, _)) => {
                log::error!(target: "drivers", "the network card (ENA) is another after a reset");
                running.end(&mut self.access, Reason::Invalid);
            }
            Err(error) => {
                log::error!(target: "drivers", "the network card (ENA) {error}");
            }
        }
    }

    /// Calls `f` with the queues. `None` if the device is out of use, or broke the protocol now.
    fn with<R>(
        &mut self,
        f: impl FnOnce(
            (&mut Receiver, &mut Sender),
            &Access,
            (&Capabilities, &mut NetCounters),
            u32,
        ) -> Result<R, DeviceError>,
    ) -> Option<R> {
        let running = self.running.as_mut()?;
        let (receiver, sender) = running.queues.as_mut()?;
        let state = (&self.capabilities, &mut self.counters);
        let result = f(
            (receiver, sender),
            &self.access,
            state,
            running.seconds.count,
        );
        if result.is_err() {
            self.fail();
        }
        result.ok()
    }

    fn queues(&self) -> Option<&(Receiver, Sender)> {
        self.running.as_ref()?.queues.as_ref()
    }
}

impl Card for Ena {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn is_running(&self) -> bool {
        self.running.is_some() || self.restart.is_some()
    }

    fn counters(&self) -> NetCounters {
        self.counters
    }

    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let received = self.with(|(receiver, _), access, (_, counters), _| {
            receiver.receive(access, counters, deliver)
        });
        if received == Some(true) {
            self.restarts = 0;
        }
        received.unwrap_or(false)
    }

    fn can_transmit(&mut self) -> bool {
        let found = self.with(|(_, sender), access, _, _| {
            let found = sender.find_room()?;
            if !found {
                // A caller that waits for room must not wait for frames that the device doesn't
                // know of.
                sender.flush(access);
            }
            Ok(found)
        });
        found.unwrap_or(false)
    }

    fn transmit(
        &mut self,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> TxMeta,
    ) -> Result<(), TxError> {
        if len == 0 || len > self.capabilities.max_transmit {
            return Err(TxError::BadFrame);
        }
        let sent = self.with(|(_, sender), access, (capabilities, counters), second| {
            let sent = sender.transmit(access, (len, second), capabilities, fill)?;
            match sent {
                Ok(()) => counters.tx_frames += 1,
                // As in `can_transmit`.
                Err(_) => sender.flush(access),
            }
            Ok(sent)
        });
        sent.unwrap_or(Err(match self.restart {
            Some(_) => TxError::Full,
            None => TxError::DeviceError,
        }))
    }

    fn flush(&mut self) {
        self.with(|(_, sender), access, _, _| {
            sender.flush(access);
            Ok(())
        });
    }

    fn is_drained(&mut self) -> bool {
        self.with(|(_, sender), _, _, _| {
            sender.reclaim()?;
            Ok(sender.is_drained())
        })
        .unwrap_or(true)
    }

    fn has_pending(&self) -> bool {
        let is_pending = |(receiver, sender): &(Receiver, Sender)| {
            receiver.has_completions() || sender.has_pending()
        };
        // A restart goes on by `enable_interrupts`, which isn't called where something is pending.
        self.queues().is_some_and(is_pending)
    }

    fn enable_interrupts(&mut self) -> bool {
        // A caller that waited for room finds it after a restart.
        let was_reset = self.watch();
        self.with(|(receiver, sender), access, _, _| {
            // Reclaimed before a sleep, so that the watch finds only frames that are in flight.
            sender.reclaim()?;
            receiver.refill(access);
            receiver.arm(access);
            sender.arm(access);
            Ok(())
        });
        // The check comes after the interrupts are unmasked.
        self.memory.barrier();
        was_reset || self.has_pending()
    }

    fn disable_interrupts(&mut self) {
        // Each interrupt masks itself.
    }
}

impl Drop for Ena {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end(&mut self.access, Reason::Shutdown);
        }
        if let Some(mut restart) = self.restart.take()
            && let Err(error) = self.access.finish_reset(&mut restart.resetting)
        {
            self.abandon(&mut restart.running, error);
        }
    }
}

#[cfg(test)]
mod tests;
