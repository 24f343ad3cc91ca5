//! Queries of the scan-outs' sizes and EDIDs, at the start and when the device reports a change.

use alloc::vec::Vec;

use super::control::What;
use super::protocol::{self, Command, Refusal};
use super::{Event, Gpu, feature};
use crate::queue::DeviceError;

/// Configuration space (5.7.4), and the event bit of a display change.
pub const CONFIG_EVENTS_READ: usize = 0;
pub const CONFIG_EVENTS_CLEAR: usize = 4;
pub const CONFIG_SCANOUTS: usize = 8;
pub const EVENT_DISPLAY: u32 = 1;

/// Number of presents after which [`Gpu::poll`] calls [`Gpu::check_config`]. Not after each: a
/// device that is copying the next picture may delay a read of its registers until afterwards (as
/// QEMU does), and the caller waits that long.
pub const CHECK_AFTER: u64 = 32;

/// The state of the query.
pub enum Query {
    None,
    /// The sizes.
    Sizes,
    /// The EDID of a scan-out; the results so far.
    Edid(usize, Found),
}

/// The sizes and EDIDs that a query has found.
pub type Found = Vec<(Option<(u32, u32)>, Vec<u8>)>;

impl Gpu {
    /// Reads whether displays have changed: one exit. Call this before waiting. Changes are
    /// reported as [`Event::Changed`].
    pub fn check_config(&mut self) {
        if !self.is_running() {
            return;
        }
        self.checked = self.presents;
        let events = self.device.config_u32(CONFIG_EVENTS_READ).unwrap_or(0);
        if events & EVENT_DISPLAY != 0 {
            let clear = self
                .device
                .write_config_u32(CONFIG_EVENTS_CLEAR, EVENT_DISPLAY);
            debug_assert!(clear.is_some(), "next to what was read");
            match self.query {
                Query::None => {
                    self.start_query();
                    self.kick();
                }
                _ => self.outdated = true,
            }
        }
    }

    /// Starts a query.
    pub(super) fn start_query(&mut self) {
        if self.control.reserve(1) {
            self.query = Query::Sizes;
            self.push(Command::display_info(), What::DisplayInfo, 0, None);
        } else {
            // Out of memory: the next event repeats the query.
            self.ready = true;
        }
    }

    pub(super) fn take_sizes(&mut self, result: Result<(), Refusal>) -> Result<(), DeviceError> {
        let mut found = Found::new();
        for index in 0..self.scanouts.len() {
            let size = match result {
                Ok(()) => protocol::scanout_size(self.control.query_response(), index),
                Err(_) => Ok(None),
            };
            let size = size.map_err(|_| DeviceError)?;
            found.push((
                size.filter(|(width, height)| *width > 0 && *height > 0),
                Vec::new(),
            ));
        }
        self.ask_edid(0, found);
        Ok(())
    }

    /// Queries the EDID of the next enabled scan-out, or ends the query.
    fn ask_edid(&mut self, from: usize, found: Found) {
        let mut rest = from..found.len();
        let next = rest.find(|index| found[*index].0.is_some());
        let next = next.filter(|_| self.device.has(feature::EDID) && self.control.reserve(1));
        let Some(next) = next else {
            self.take_query(found);
            return;
        };
        self.push(Command::edid(next as u32), What::Edid(next), 0, None);
        self.query = Query::Edid(next, found);
    }

    pub(super) fn take_edid(&mut self, result: Result<(), Refusal>) -> Result<(), DeviceError> {
        let Query::Edid(index, mut found) = core::mem::replace(&mut self.query, Query::None) else {
            return Ok(());
        };
        if result.is_ok() {
            let edid = protocol::edid_of(self.control.query_response());
            found[index].1 = edid.map_err(|_| DeviceError)?.to_vec();
        }
        self.ask_edid(index + 1, found);
        Ok(())
    }

    /// Applies the results of a query. Reports the displays at the start as well, since the caller
    /// may have stopped waiting for the first response.
    fn take_query(&mut self, found: Found) {
        self.query = Query::None;
        for (index, (scanout, (size, edid))) in self.scanouts.iter_mut().zip(found).enumerate() {
            if (scanout.size, &scanout.edid) != (size, &edid) {
                (scanout.size, scanout.edid) = (size, edid);
                self.events.push_back(Event::Changed { scanout: index });
            }
        }
        self.ready = true;
        if core::mem::take(&mut self.outdated) {
            self.start_query();
        }
    }
}
