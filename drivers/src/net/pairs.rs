//! Several pairs of queues (virtio 1.2, 5.1.5): one for each core that sends and receives.
//!
//! All pairs belong to one [`Net`], which looks for frames in each of them, so that it doesn't
//! matter where the card puts one. A card answers by the pair by which it last heard of a flow; who
//! sends by the first one only, as a single core does, also receives by that one.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::control::Control;
use super::{CONFIG_PAIRS, Net, NetConfig, Pair, feature};
use crate::device::Device;
use crate::transport::Transport;
use crate::{Error, MemoryRef};

/// More would leave no number for the control queue.
const MOST: u16 = 0x7fff;

/// Makes a pair, given its number.
pub(super) type Make<'a> = &'a mut dyn FnMut(&mut Device, u16) -> Result<Pair, Error>;

/// How more than one pair comes to be.
pub(super) trait More {
    /// What the card is asked for.
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

/// Up to so many pairs.
struct UpTo(u16);

impl More for UpTo {
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
        let mut net = Net::start(transport, memory, config, Some(&UpTo(pairs)))?;
        let count = net.pairs.len() as u16;
        if let Some(control) = &mut net.control
            && count > 1
            && control.use_pairs(&net.device, count)
        {
            net.active = count;
        }
        Ok(net)
    }

    /// How many pairs the card uses, at least one.
    pub fn active_pairs(&self) -> usize {
        usize::from(self.active)
    }

    /// Lets frames leave by pair `number` from now on, in the beginning 0. False, and nothing
    /// changes: there are not so many that the card uses. What was queued before stays where it is.
    pub fn select_pair(&mut self, number: usize) -> bool {
        let there = number < self.active_pairs();
        if there {
            self.sending = number;
        }
        there
    }
}
