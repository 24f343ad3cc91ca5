//! Multiqueue (virtio 1.2, 5.1.5): a pair of queues for each core that sends and receives.
//!
//! All pairs belong to one [`Net`], which polls each of them, so any receive queue works. A card
//! replies on the pair that a flow last transmitted on: a single core, which transmits on the first
//! pair only, also receives there.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::control::Control;
use super::{CONFIG_PAIRS, Net, NetConfig, Pair, feature};
use crate::device::Device;
use crate::transport::Transport;
use crate::{Error, MemoryRef};

/// More pairs would leave no index for the control queue.
const MAX_PAIRS: u16 = 0x7fff;

/// Creates the pair with the given index.
pub(super) type Make<'a> = &'a mut dyn FnMut(&mut Device, u16) -> Result<Pair, Error>;

/// Sets up additional pairs. A trait object, so that a program with one pair doesn't link it.
pub(super) trait Multiqueue {
    /// Required features.
    fn features(&self) -> u64;
    /// Creates the additional pairs and the control queue before the card starts.
    fn prepare(
        &self,
        memory: MemoryRef,
        device: &mut Device,
        pairs: &mut Vec<Pair>,
        make: Make<'_>,
    ) -> Result<Option<Control>, Error>;
}

/// Sets up at most this many pairs.
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
        if !(1..=MAX_PAIRS).contains(&most) {
            return Err(Error::BadConfig);
        }
        for number in 1..self.0.min(most) {
            match make(device, number) {
                Ok(pair) => pairs.push(pair),
                // Stops when memory is exhausted.
                Err(Error::OutOfMemory) => break,
                Err(error) => return Err(error),
            }
        }
        // 5.1.2: the control queue follows all possible queues.
        Control::new(memory, device, 2 * most).map(Some)
    }
}

impl Net {
    /// Starts the card with up to `pairs` queue pairs (`VIRTIO_NET_F_MQ`), each with the memory of
    /// `config`, limited by the card and by the available memory. If the card has a single pair or
    /// refuses the number (virtio 1.2, 5.1.6.5.5), the result is that of [`Net::new`]. Waits for
    /// the card's acknowledgement, at most as long as for a reset.
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
            && control.set_pairs(&net.device, count)
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
    /// nothing if the card uses fewer pairs. Frames that are already queued stay in theirs.
    pub fn select_pair(&mut self, number: usize) -> bool {
        let there = number < self.active_pairs();
        if there {
            self.sending = number;
        }
        there
    }
}
