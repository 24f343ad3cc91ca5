//! Multiqueue (virtio 1.2, 5.1.5): a pair of queues for each core that sends and receives.
//!
//! All pairs belong to one [`Net`], which polls each of them, so that it doesn't matter which one
//! the card uses. A card answers by the pair by which a flow last sent: a single core, which sends
//! by the first only, also receives by that one.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::control::Control;
use super::{CONFIG_PAIRS, Net, NetConfig, Pair, feature};
use crate::device::Device;
use crate::transport::Transport;
use crate::{Error, MemoryRef};

/// With more pairs no number would be left for the control queue.
const MOST: u16 = 0x7fff;

/// Makes a pair, given its number.
pub(super) type Make<'a> = &'a mut dyn FnMut(&mut Device, u16) -> Result<Pair, Error>;

/// Sets up more than one pair. A trait object, so that a program with one pair doesn't link this.
pub(super) trait Multiqueue {
    /// The features that it needs.
    fn features(&self) -> u64;
    /// Makes the pairs after the first, and the control queue, before the card runs.
    fn prepare(
        &self,
        memory: MemoryRef,
        device: &mut Device,
        pairs: &mut Vec<Pair>,
        make: Make<'_>,
    ) -> Result<Option<Control>, Error>;
}

/// Sets up this many pairs at most.
struct MaxPairs(u16);

impl Multiqueue for MaxPairs {
    fn features(&self) -> u64 {
        feature::MQ | feature::CTRL_VQ
    }

    fn prepare(
        &self,
        memory: MemoryRef,
        device: &mut Device,
        pairs: &mut Vec<Pair>,
        make: Make<'_>,
    ) -> Result<Option<Control>, Error> {
        if !device.has(feature::MQ) || self.0 < 2 {
            return Ok(None);
        }
        let most = device.config_u16(CONFIG_PAIRS).unwrap_or(0);
        if !(1..=MOST).contains(&most) {
            return Err(Error::BadConfig);
        }
        for number in 1..self.0.min(most) {
            match make(device, number) {
                Ok(pair) => pairs.push(pair),
                // As many as there is memory for.
                Err(Error::OutOfMemory) => break,
                Err(error) => return Err(error),
            }
        }
        // 5.1.2: it comes after all queues that there could be.
        Control::new(memory, device, 2 * most).map(Some)
    }
}

impl Net {
    /// Starts the card with up to `pairs` pairs of queues (`VIRTIO_NET_F_MQ`), each with the memory
    /// that `config` says: as many as the card has, and as there is memory for. Where the card has
    /// a single pair, or doesn't take the number (virtio 1.2, 5.1.6.5.5), it is as after
    /// [`Net::new`]. Waits for the card's answer, for as long as for a reset at most.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the card is left reset.
    pub fn with_pairs(
        transport: Box<dyn Transport>,
        memory: MemoryRef,
        config: &NetConfig,
        pairs: u16,
    ) -> Result<Net, Error> {
        let mut net = Net::start(transport, memory, config, Some(&MaxPairs(pairs)))?;
        let count = net.pairs.len() as u16;
        if let Some(control) = &mut net.control
            && count > 1
            && control.use_pairs(&net.device, count)
        {
            net.active = count;
        }
        Ok(net)
    }

    /// Number of pairs that the card uses, at least one.
    pub fn active_pairs(&self) -> usize {
        usize::from(self.active)
    }

    /// Selects the queue pair used for transmission (initially 0). Returns `false` and changes
    /// nothing if the card uses fewer pairs. Frames that are queued already stay in theirs.
    pub fn select_pair(&mut self, number: usize) -> bool {
        let there = number < self.active_pairs();
        if there {
            self.sending = number;
        }
        there
    }
}
