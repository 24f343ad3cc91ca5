//! Host bus adapters: how commands reach logical units and come back.

use super::Address;
use super::protocol::{Cdb, Outcome};
use crate::disk::{Limits, List};
use crate::queue::DeviceError;
use crate::transport::Interrupt;

/// An event of a logical unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The unit was removed.
    Removed(Address),
    /// The unit's capacity changed.
    Resized(Address),
    /// Events were lost.
    Missed,
}

/// The end of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// The command's number.
    pub id: u16,
    pub outcome: Outcome,
    /// Fewer bytes than the command asked for were transferred.
    pub is_short: bool,
}

/// A host bus adapter. No function blocks.
///
/// The caller numbers commands: a number below [`depth`](Host::depth) is that of one command at a
/// time, from [`add`](Host::add) until [`complete`](Host::complete) returns it. An adapter accepts
/// the end of such a command only, whatever the device says.
pub(crate) trait Host: Send {
    /// Limits of a command's data.
    fn limits(&self) -> Limits;

    /// Maximum number of commands in flight.
    fn depth(&self) -> u16;

    /// Maximum number of commands in flight of one unit.
    fn per_unit(&self) -> u16;

    /// The last target that may have units.
    fn last_target(&self) -> u16;

    /// Number of data segments that a command may have now; `None` if there is no room for one.
    fn room(&self) -> Option<u16>;

    /// Begins the list of the buffers of a command whose data has at most `room` segments.
    fn begin(&self, id: u16, to_device: bool, list: &mut List, room: u16, limits: &Limits);

    /// Completes the list and submits the command, which the device sees at the next
    /// [`kick`](Host::kick). Returns false if there is no room.
    fn add(
        &mut self,
        id: u16,
        address: Address,
        cdb: &Cdb,
        to_device: bool,
        list: &mut List,
    ) -> bool;

    /// Notifies the device of submitted commands.
    fn kick(&mut self);

    /// Returns the next command that has ended.
    fn complete(&mut self) -> Result<Option<Ended>, DeviceError>;

    /// Passes the events since the last call to `report`: a bounded number.
    fn events(&mut self, report: &mut dyn FnMut(Event)) -> Result<(), DeviceError>;

    /// Whether memory shows ended commands or events. No exit.
    fn has_pending(&self) -> bool;

    /// Enables the interrupt of the next command or event. Returns true if there is one already.
    fn enable_interrupts(&mut self) -> bool;

    fn disable_interrupts(&mut self);

    /// Acknowledges the device's interrupts.
    fn interrupt(&self) -> Interrupt;

    /// True until [`stop`](Host::stop).
    fn is_running(&self) -> bool;

    /// Takes all memory back from the device by a reset. Returns false if the device didn't
    /// respond. Further calls return the same.
    fn stop(&mut self) -> bool;

    /// Leaks the memory, because the device may still use it.
    fn leak(&mut self);
}
