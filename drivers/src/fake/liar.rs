//! A device that lies, by a script.

use std::collections::VecDeque;
use std::vec::Vec;

#[cfg(test)]
use proptest::prelude::*;

use super::{Backend, DeviceQueue, HostMemory};
use crate::device_type::DeviceType;

/// One thing that a lying device does to one of its queues.
#[derive(Clone, Debug)]
pub enum Lie {
    /// Completes the oldest request with a claimed length; the bytes go to its start.
    End {
        /// The bytes that are written.
        bytes: Vec<u8>,
        /// The length that the device claims.
        claim: u32,
    },
    /// Completes a request that may not exist.
    Bogus {
        /// The id.
        id: u32,
        /// The length.
        len: u32,
    },
    /// Completes its last completed request once more.
    Again,
    /// Moves the used index.
    Jump(u16),
    /// Takes a request and never completes it.
    Swallow,
    /// Does nothing, and disables notifications.
    Deaf,
}

impl Lie {
    /// All kinds: `share` times `ends` for one of each other kind.
    #[cfg(test)]
    pub fn any(ends: impl Strategy<Value = Lie>, share: u32) -> impl Strategy<Value = Lie> {
        prop_oneof![
            share => ends,
            1 => (prop_oneof![0..70u32, any::<u32>()], any::<u32>())
                .prop_map(|(id, len)| Lie::Bogus { id, len }),
            1 => Just(Lie::Again),
            1 => prop_oneof![0..20u16, any::<u16>()].prop_map(Lie::Jump),
            1 => Just(Lie::Swallow),
            1 => Just(Lie::Deaf),
        ]
    }
}

/// A device that follows its script, one line at each step, on queue `line % queues`.
pub struct Liar {
    /// The type that it claims.
    pub kind: DeviceType,
    /// The offered features.
    pub features: u64,
    /// Its configuration space.
    pub config: Vec<u8>,
    /// Sizes of its queues.
    pub sizes: Vec<u16>,
    /// The script: queue (modulo their number) and lie.
    pub script: VecDeque<(usize, Lie)>,
    /// Its last completion.
    last: u16,
}

impl Liar {
    /// A device that will perform all of `script`.
    pub fn new(kind: DeviceType, features: u64, config: Vec<u8>, sizes: Vec<u16>) -> Liar {
        Liar {
            kind,
            features,
            config,
            sizes,
            script: VecDeque::new(),
            last: 0,
        }
    }
}

impl Backend for Liar {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn config(&self) -> Vec<u8> {
        self.config.clone()
    }

    fn queues(&self) -> Vec<u16> {
        self.sizes.clone()
    }

    fn work(&mut self, _memory: &'static HostMemory, _features: u64, queues: &mut [DeviceQueue]) {
        let Some((index, lie)) = self.script.pop_front() else {
            return;
        };
        let count = queues.len();
        let Some(queue) = queues
            .get_mut(index % count)
            .filter(|queue| queue.is_active())
        else {
            return;
        };
        match lie {
            Lie::End { bytes, claim } => {
                if let Some(chain) = queue.pop() {
                    let fits = bytes.len().min(chain.capacity());
                    queue.write(&chain, &bytes[..fits]);
                    queue.write_element(0, u32::from(chain.head), claim);
                    queue.advance(1);
                    self.last = chain.head;
                }
                queue.ask_for_notification();
            }
            Lie::Bogus { id, len } => {
                queue.write_element(0, id, len);
                queue.advance(1);
            }
            Lie::Again => {
                queue.write_element(0, u32::from(self.last), 0);
                queue.advance(1);
            }
            Lie::Jump(by) => queue.advance(by),
            Lie::Swallow => {
                queue.pop();
            }
            Lie::Deaf => queue.refuse_notifications(),
        }
    }
}
