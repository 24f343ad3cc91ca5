//! The loopback link.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ip::wire::header::IP_MAX;
use crate::types::{Link, LinkCapabilities, PartialChecksum, RxChecksum, RxMeta, TxMeta};

/// Maximum number of queued packets; further ones are held back in the sockets.
const QUEUE: usize = 64;
/// Number of buffers kept for reuse, and the maximum size of one.
const SPARE: usize = 8;
const SPARE_LEN: usize = 16 << 10;

/// Carries IP packets, without an Ethernet header and without checksums, from its transmit side to
/// its receive side.
#[derive(Debug, Default)]
pub(crate) struct Loopback {
    queue: VecDeque<(Vec<u8>, Option<PartialChecksum>)>,
    spare: Vec<Vec<u8>>,
}

impl Link for Loopback {
    fn capabilities(&self) -> LinkCapabilities {
        LinkCapabilities {
            mac: [0; 6],
            mtu: IP_MAX,
            tx_checksum: true,
            tso4: false,
            tso6: false,
        }
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let Some((mut packet, partial)) = self.queue.pop_front() else {
            return false;
        };
        let checksum = partial.map_or(RxChecksum::Valid, RxChecksum::Partial);
        let meta = RxMeta {
            checksum,
            joined: None,
        };
        f(&mut packet, meta);
        if self.spare.len() < SPARE && packet.capacity() <= SPARE_LEN {
            self.spare.push(packet);
        }
        true
    }

    fn can_transmit(&mut self) -> bool {
        self.queue.len() < QUEUE
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        if self.queue.len() >= QUEUE {
            return false;
        }
        let mut packet = self.spare.pop().unwrap_or_default();
        packet.resize(len, 0);
        let meta = fill(&mut packet);
        self.queue.push_back((packet, meta.checksum));
        true
    }

    fn flush(&mut self) {}
}
