//! AHCI controllers on PCI (AHCI 1.3.1): each port with an ATA disk (ACS-3, Serial ATA 3.2) is a
//! disk. Optical drives and port multipliers are not used.
//!
//! The start goes on at each [`Controller::poll`]: the firmware hands the controller over, the
//! controller is reset, and each port whose link is up identifies its device. Nothing waits, except
//! for the end of a reset and the stop of a port with a bounded number of reads. Queued commands
//! (`READ FPDMA QUEUED`) are used where controller and disk have them; a flush or a TRIM waits for
//! those in flight.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::device::within;
use crate::disk::{Controller, DiskError, Geometry, Request};
use crate::pci::Id;
use crate::registers::Registers;
use crate::transport::Interrupt;
use crate::{Error, MemoryRef};

mod command;
mod commands;
mod identify;
mod port;
mod registers;

use port::Port;
pub use registers::open;
use registers::{
    Capabilities, Control, DETECTION, HAS_HANDOFF, Handoff, PortCommand, PortRegisters, offset,
};
#[cfg(any(test, feature = "fake"))]
pub(crate) use registers::{offset as register_offset, port as port_offset};

/// The controllers' class: mass storage, Serial ATA, AHCI 1.
pub const IDS: &[Id] = &[Id::Class(0x01_06_01)];

/// Maximum time of the handover by the firmware, and if it has commands to finish (3.1.11).
const HANDOFF_NS: u64 = 25_000_000;
const BUSY_HANDOFF_NS: u64 = 2_000_000_000;
/// Maximum time of a reset (10.4.3).
const RESET_NS: u64 = 1_000_000_000;

/// The memory of a controller's ports.
#[derive(Clone, Copy, Debug)]
pub struct AhciConfig {
    /// Maximum number of unfinished requests of callers for each disk.
    pub requests: u16,
    /// Maximum number of bounce buffers of 128 KiB for each disk, for data that isn't aligned to
    /// blocks; each is allocated on demand.
    pub bounce_buffers: u16,
}

impl Default for AhciConfig {
    fn default() -> Self {
        AhciConfig {
            requests: 256,
            bounce_buffers: 4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before [`Controller::begin`].
    New,
    /// Waits for the firmware.
    Handing,
    /// Waits for the end of a reset.
    Resetting,
    /// The ports find their devices.
    Searching,
    Ready,
    /// Out of use, or never in use.
    Stopped,
}

/// A controller. Dropping it resets the device. Afterwards the buffers of unfinished requests
/// belong to the caller again only if the reset completed. A caller that needs its buffers back
/// waits for its requests to finish first.
///
/// ```
/// use drivers::ahci::{Ahci, AhciConfig};
/// use drivers::disk::Controller;
/// use drivers::fake::{AhciDevice, HostMemory};
///
/// let memory = HostMemory::new();
/// let (registers, _) = AhciDevice::new(64).connect(memory);
/// let mut ahci = Ahci::new(Box::new(registers), memory, &AhciConfig::default())?;
/// ahci.begin();
/// while !ahci.is_ready() {
///     ahci.poll(&mut |_, _, _| ());
/// }
/// assert_eq!((ahci.disks(), ahci.serial(0)), (1, Some("fake")));
/// assert_eq!(ahci.geometry(0).sectors, 64);
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Ahci {
    registers: Box<dyn Registers>,
    memory: MemoryRef,
    config: AhciConfig,
    state: State,
    /// Time at which the state began, in nanoseconds.
    since: u64,
    capabilities: Capabilities,
    /// Ports with a device before the reset, one bit each.
    present: u32,
    /// Once ready, the disks.
    ports: Vec<Port>,
    /// Ports without a disk that may still use their memory.
    unused: Vec<Port>,
}

impl Ahci {
    /// Checks the controller's capabilities.
    ///
    /// # Errors
    ///
    /// [`Error::Gone`], [`Error::Narrow`].
    pub fn new(
        registers: Box<dyn Registers>,
        memory: MemoryRef,
        config: &AhciConfig,
    ) -> Result<Ahci, Error> {
        let capabilities = registers.read(offset::CAPABILITIES);
        if registers.read(offset::CONTROL) == u32::MAX {
            return Err(Error::Gone);
        }
        let capabilities = Capabilities::from_bits_retain(capabilities);
        if !capabilities.contains(Capabilities::ADDRESSES_64) {
            return Err(Error::Narrow);
        }
        Ok(Ahci {
            registers,
            memory,
            config: *config,
            state: State::New,
            since: 0,
            capabilities,
            present: 0,
            ports: Vec::new(),
            unused: Vec::new(),
        })
    }

    /// Number of requests of all disks submitted but not yet reported.
    pub fn unfinished(&self) -> usize {
        let unfinished = |port: &Port| port.requests.unfinished();
        self.ports.iter().map(unfinished).sum()
    }

    fn enter(&mut self, state: State) {
        (self.state, self.since) = (state, self.memory.now_ns());
    }

    fn control(&self) -> Control {
        Control::from_bits_retain(self.registers.read(offset::CONTROL))
    }

    fn is_gone(&self) -> bool {
        self.control().bits() == u32::MAX
    }

    fn port(&self, number: u8) -> PortRegisters<'_> {
        PortRegisters {
            registers: &*self.registers,
            number,
        }
    }

    /// Goes on with the start as far as the controller has answered (10.1.2).
    fn advance(&mut self) {
        // The clock is read first: a machine that was suspended in between polls once more.
        let waited = self.memory.now_ns().saturating_sub(self.since);
        if self.state == State::Handing {
            let handoff = Handoff::from_bits_retain(self.registers.read(offset::HANDOFF));
            let limit = match handoff.contains(Handoff::BUSY) {
                true => BUSY_HANDOFF_NS,
                false => HANDOFF_NS,
            };
            // A firmware that doesn't answer is ignored, as in Linux.
            if handoff.contains(Handoff::FIRMWARE) && waited < limit {
                return;
            }
            self.reset();
        }
        if self.state == State::Resetting {
            let control = self.control();
            if self.is_gone() {
                self.fail(Error::Gone);
            } else if !control.contains(Control::RESET) {
                self.start_ports();
            } else if waited >= RESET_NS {
                self.fail(Error::NotReset);
            }
        }
        if self.state == State::Searching {
            self.each_port(&mut |port, registers, memory| port.poll(registers, memory));
            if self.ports.iter().all(Port::is_found) {
                self.end_ports();
            }
        }
    }

    fn each_port(&mut self, act: &mut dyn FnMut(&mut Port, PortRegisters<'_>, MemoryRef)) {
        for port in self.ports.iter_mut().chain(&mut self.unused) {
            let registers = PortRegisters {
                registers: &*self.registers,
                number: port.number(),
            };
            act(port, registers, self.memory);
        }
    }

    /// Notes the ports with devices, and resets the controller if there are any.
    fn reset(&mut self) {
        let control = Control::AHCI;
        self.registers.write(offset::CONTROL, control.bits());
        let implemented = self.registers.read(offset::PORTS);
        let may_spin_up = self.capabilities.contains(Capabilities::STAGGERED_SPIN_UP);
        for number in 0..u32::BITS as u8 {
            let port = self.port(number);
            let is_present = implemented & 1 << number != 0
                && (port.read(registers::port::LINK_STATUS) & DETECTION != 0
                    || port.read(registers::port::LINK_CONTROL) & DETECTION != 0
                    || may_spin_up && !port.command().contains(PortCommand::SPIN_UP));
            self.present |= u32::from(is_present) << number;
        }
        if self.present == 0 {
            self.state = State::Ready;
            return;
        }
        let control = control | Control::RESET;
        self.registers.write(offset::CONTROL, control.bits());
        self.enter(State::Resetting);
    }

    fn start_ports(&mut self) {
        self.registers.write(offset::CONTROL, Control::AHCI.bits());
        let slots = (self.capabilities.bits() >> 8 & 0x1f) as u8 + 1;
        let can_queue = self.capabilities.contains(Capabilities::QUEUING);
        for number in 0..u32::BITS as u8 {
            if self.present & 1 << number == 0 {
                continue;
            }
            match Port::new(self.memory, number, slots, can_queue, &self.config) {
                Some(port) => {
                    port.start(self.port(number));
                    self.ports.push(port);
                }
                None => log::error!(
                    target: "drivers",
                    "SATA disk {number} is not used: {}",
                    Error::OutOfMemory
                ),
            }
        }
        self.enter(State::Searching);
    }

    /// Keeps the ports with disks, whose number never changes from now on.
    fn end_ports(&mut self) {
        let (disks, others): (Vec<_>, Vec<_>) = self.ports.drain(..).partition(Port::is_disk);
        self.ports = disks;
        self.unused = others;
        self.unused.retain(Port::holds_memory);
        self.state = State::Ready;
        self.unmask();
    }

    /// Lets the controller interrupt.
    fn unmask(&self) {
        let control = Control::AHCI | Control::INTERRUPTS;
        self.registers.write(offset::CONTROL, control.bits());
    }

    fn fail(&mut self, error: Error) {
        log::error!(target: "drivers", "an AHCI controller {error}");
        self.stop();
    }

    /// Takes all memory back from the controller by a reset.
    fn stop(&mut self) {
        let has_memory = matches!(self.state, State::Searching | State::Ready);
        self.state = State::Stopped;
        if !has_memory || self.ports.is_empty() && self.unused.is_empty() {
            return;
        }
        let control = Control::AHCI | Control::RESET;
        self.registers.write(offset::CONTROL, control.bits());
        let done = within(self.memory, RESET_NS, &mut || {
            (!self.control().contains(Control::RESET) || self.is_gone()).then_some(())
        });
        if done.is_none() {
            log::error!(
                target: "drivers",
                "an AHCI controller doesn't come out of reset: the memory that it was given is \
                 never used again"
            );
        }
        self.each_port(&mut |port, _, _| port.stop(done.is_some()));
    }
}

impl Controller for Ahci {
    fn begin(&mut self) {
        if self.state != State::New {
            return;
        }
        let more = self.registers.read(offset::MORE_CAPABILITIES);
        if more & HAS_HANDOFF != 0 {
            let handoff = self.registers.read(offset::HANDOFF) | Handoff::SYSTEM.bits();
            self.registers.write(offset::HANDOFF, handoff);
            self.enter(State::Handing);
        } else {
            self.reset();
        }
        self.advance();
    }

    fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready | State::Stopped)
    }

    fn start_timeout_ns(&self) -> u64 {
        BUSY_HANDOFF_NS + RESET_NS + port::READY_NS
    }

    fn end_search(&mut self) {
        match self.state {
            State::Ready | State::Stopped => {}
            State::Searching => {
                self.each_port(&mut |port, registers, memory| port.end_search(registers, memory));
                self.end_ports();
            }
            _ => self.fail(Error::NoResponse),
        }
    }

    fn disks(&self) -> usize {
        match self.is_ready() {
            true => self.ports.len(),
            false => 0,
        }
    }

    fn serial(&self, disk: usize) -> Option<&str> {
        self.ports.get(disk)?.name()
    }

    fn geometry(&self, disk: usize) -> Geometry {
        self.ports.get(disk).map_or(Geometry::NONE, Port::geometry)
    }

    fn refresh(&mut self, _disk: usize) -> Result<(), Error> {
        // A disk has its size for good.
        Ok(())
    }

    fn submit(&mut self, disk: usize, request: Request, token: u64) -> Result<(), DiskError> {
        let port = match self.state {
            State::Ready => self.ports.get_mut(disk),
            _ => None,
        };
        let port = port.ok_or(DiskError::OutOfRange)?;
        if !port.is_running() {
            return Err(port.end_reason());
        }
        let geometry = port.geometry();
        port.requests.accept(&geometry, request, token)?;
        port.issue();
        Ok(())
    }

    fn kick(&mut self) {
        self.each_port(&mut |port, registers, _| port.kick(registers));
    }

    fn poll(&mut self, report: &mut dyn FnMut(usize, u64, Result<(), DiskError>)) -> usize {
        match self.state {
            State::New | State::Stopped => {}
            State::Ready => {
                self.each_port(&mut |port, registers, memory| {
                    port.poll(registers, memory);
                    port.issue();
                    port.kick(registers);
                });
                self.unused.retain(Port::holds_memory);
            }
            _ => self.advance(),
        }
        let mut ended = 0;
        for (disk, port) in self.ports.iter_mut().enumerate() {
            ended += port
                .requests
                .report(&mut |token, result| report(disk, token, result));
        }
        ended
    }

    fn has_pending(&self) -> bool {
        match self.state {
            State::New | State::Stopped => false,
            State::Ready => self.ports.iter().any(Port::has_pending),
            // Registers report the progress, and no interrupt.
            _ => true,
        }
    }

    fn enable_interrupts(&mut self) -> bool {
        if self.state == State::Ready && !self.ports.is_empty() {
            let is_line = self.interrupt().needs_acknowledge();
            self.each_port(&mut |port, registers, _| {
                port.kick(registers);
                port.arm(registers, is_line);
            });
            if is_line {
                // The handler masked the line. What came meanwhile raises it now.
                self.unmask();
            }
        }
        self.has_pending()
    }

    /// Does nothing: each message reports completions that the next
    /// [`poll`](Controller::poll) takes, and the handler of a line masks it.
    fn disable_interrupts(&mut self) {}

    fn interrupt(&self) -> Interrupt {
        self.registers.interrupt()
    }
}

impl Drop for Ahci {
    fn drop(&mut self) {
        self.stop();
        for port in self.ports.iter_mut().chain(&mut self.unused) {
            if port.holds_memory() {
                port.leak();
            }
        }
    }
}

#[cfg(test)]
mod tests;
