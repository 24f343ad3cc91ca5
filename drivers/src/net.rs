//! A network card (virtio 1.2, 5.1): checksums and TCP segmentation in the device, frames of up to
//! 64 KiB in both directions, one doorbell per batch.
//!
//! The driver uses each offload that the device offers and [`NetConfig::features`] permits. Frames
//! are Ethernet frames without a frame check sequence.

use alloc::boxed::Box;

use crate::device::{self, Device};
use crate::device_type::DeviceType;
use crate::queue::{DeviceError, QueueCounters};
use crate::transport::{Interrupt, Transport};
use crate::{Error, MemoryRef};

pub(crate) mod buffers;
mod capabilities;
mod card;
mod header;
pub(crate) mod rings;
mod rx;
mod tx;

pub use capabilities::Capabilities;
pub(crate) use capabilities::is_supported;
pub use card::Card;
pub use header::{Gso, GsoKind, RxChecksum, RxMeta, TxChecksum, TxMeta};
use rx::{Receiver, RxOptions};
use tx::{Sender, TxOptions};

/// Feature bits of network cards (virtio 1.2, 5.1.3) that the driver uses.
pub mod feature {
    /// The device computes checksums.
    pub const CSUM: u64 = 1 << 0;
    /// The device may deliver frames whose checksum is partial or already verified.
    pub const GUEST_CSUM: u64 = 1 << 1;
    /// The device reports the MTU of the network.
    pub const MTU: u64 = 1 << 3;
    /// The device has a MAC address.
    pub const MAC: u64 = 1 << 5;
    /// The device may deliver large IPv4 TCP frames.
    pub const GUEST_TSO4: u64 = 1 << 7;
    /// The device may deliver large IPv6 TCP frames.
    pub const GUEST_TSO6: u64 = 1 << 8;
    /// The device segments large IPv4 TCP frames.
    pub const HOST_TSO4: u64 = 1 << 11;
    /// The device segments large IPv6 TCP frames.
    pub const HOST_TSO6: u64 = 1 << 12;
    /// A received frame may span several buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;

    /// All bits above.
    pub const ALL: u64 =
        CSUM | GUEST_CSUM | MTU | MAC | GUEST_TSO4 | GUEST_TSO6 | HOST_TSO4 | HOST_TSO6 | MRG_RXBUF;
}

/// Indices of the queues (5.1.2).
const RECEIVE: u16 = 0;
const SEND: u16 = 1;

/// Ethernet header with one VLAN tag.
pub(crate) const ETHERNET: usize = 18;
/// An IP packet is at most 65535 bytes.
pub(crate) const MAX_FRAME: usize = ETHERNET + 65535;

/// Memory and offloads of a card.
#[derive(Clone, Copy, Debug)]
pub struct NetConfig {
    /// Permitted bits of [`feature`] and [`device::feature`]; others are never negotiated.
    pub features: u64,
    /// Maximum number of receive buffers (the device's queue may be smaller), allocated at the
    /// start.
    pub rx_buffers: u16,
    /// Bytes per receive buffer if frames may span several; otherwise a buffer holds one frame of
    /// the MTU.
    pub rx_buffer_len: usize,
    /// Maximum number of frames in flight up to the MTU.
    pub tx_small: u16,
    /// Maximum number of larger frames in flight; 64 KiB each, all but the first allocated on
    /// demand. None without TCP segmentation.
    pub tx_large: u16,
}

impl Default for NetConfig {
    /// 512 KiB for receiving; for sending up to 512 KiB of small and 1 MiB of large buffers,
    /// allocated on demand.
    fn default() -> Self {
        NetConfig {
            features: u64::MAX,
            rx_buffers: 256,
            rx_buffer_len: 2048,
            tx_small: 256,
            tx_large: 16,
        }
    }
}

/// Reasons why a frame wasn't sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxError {
    /// All buffers are in flight. Keep the frame and wait for the interrupt that signals room.
    Full,
    /// The frame is empty, longer than [`Capabilities::max_transmit`], or needs an offload that the
    /// card lacks. Never sent.
    BadFrame,
    /// The card broke the protocol and is out of use.
    DeviceError,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetCounters {
    /// Frames delivered.
    pub rx_frames: u64,
    /// Received frames dropped for an invalid header or length.
    pub rx_dropped: u64,
    /// Received frames that spanned several buffers and were assembled by a copy.
    pub rx_copied: u64,
    /// Frames sent.
    pub tx_frames: u64,
}

/// A network card. Dropping it resets the card.
///
/// ```
/// use drivers::fake::{HostMemory, NetDevice, Options, connect};
/// use drivers::net::{Card, Net, NetConfig, TxMeta};
///
/// let memory = HostMemory::new();
/// let (transport, _device) = connect(memory, NetDevice::echoing(), Options::default());
/// let mut card = Net::new(Box::new(transport), memory, &NetConfig::default())?;
/// assert!(card.can_transmit());
/// let sent = card.transmit(60, &mut |frame| {
///     frame.fill(7);
///     TxMeta::default()
/// });
/// assert!(sent.is_ok());
/// card.flush(); // One doorbell for all frames.
/// let mut received = Vec::new();
/// while card.receive(&mut |frame, _| received.push(frame.to_vec())) {}
/// assert_eq!(received, [vec![7; 60]]);
/// // Before waiting: false means that an interrupt will come.
/// assert!(!card.enable_interrupts());
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Net {
    device: Device,
    receiver: Receiver,
    sender: Sender,
    capabilities: Capabilities,
    counters: NetCounters,
}

impl Net {
    /// Starts the card with one pair of queues: negotiates features, allocates the queues and the
    /// receive buffers.
    ///
    /// # Errors
    ///
    /// See [`Error`]; the card is left reset.
    pub fn new(
        transport: Box<dyn Transport>,
        memory: MemoryRef,
        config: &NetConfig,
    ) -> Result<Net, Error> {
        let features = feature::ALL | device::feature::QUEUE;
        let wanted = features & config.features | device::feature::VERSION_1;
        let mut device = Device::new(
            transport,
            memory,
            DeviceType::NET,
            wanted,
            &capabilities::fix_features,
        )?;
        let capabilities = capabilities::read(&device)?;
        let (receive, send) = queue_options(&device, &capabilities, config);
        let mut receiver = Receiver::new(memory, &mut device, RECEIVE, &receive)?;
        let sender = Sender::new(memory, &mut device, SEND, &send)?;
        device.start();
        receiver.refill(&device);
        Ok(Net {
            device,
            receiver,
            sender,
            capabilities,
            counters: NetCounters::default(),
        })
    }

    /// All negotiated feature bits, for a log line.
    pub fn features(&self) -> u64 {
        self.device.features()
    }

    /// Acknowledges the card's interrupts.
    pub fn interrupt(&self) -> Interrupt {
        self.device.interrupt()
    }

    /// Counters of the receive and the transmit queue.
    pub fn queue_counters(&self) -> (QueueCounters, QueueCounters) {
        (self.receiver.queue.counters(), self.sender.queue.counters())
    }

    fn fail(&mut self) {
        log::error!(target: "drivers", "the network card broke the virtio protocol and was reset");
        self.receiver.queue.mark_failed();
        self.sender.queue.mark_failed();
        self.device.stop();
    }
}

impl Card for Net {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn is_running(&self) -> bool {
        self.device.is_running()
    }

    fn counters(&self) -> NetCounters {
        self.counters
    }

    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        if !self.device.is_running() {
            return false;
        }
        let received = self
            .receiver
            .receive(&self.device, &mut self.counters, deliver);
        received.unwrap_or_else(|DeviceError| {
            self.fail();
            false
        })
    }

    fn can_transmit(&mut self) -> bool {
        if !self.device.is_running() {
            return false;
        }
        match self.sender.can_transmit() {
            Ok(true) => true,
            Ok(false) => {
                // A caller that waits for room must not wait for frames that the card hasn't been
                // notified of.
                self.sender.flush(&self.device);
                false
            }
            Err(DeviceError) => {
                self.fail();
                false
            }
        }
    }

    fn transmit(
        &mut self,
        len: usize,
        fill: &mut dyn FnMut(&mut [u8]) -> TxMeta,
    ) -> Result<(), TxError> {
        if !self.device.is_running() {
            return Err(TxError::DeviceError);
        }
        if len == 0 || len > self.capabilities.max_transmit {
            return Err(TxError::BadFrame);
        }
        let capabilities = &self.capabilities;
        let agreed = |meta: &TxMeta| capabilities::is_supported(capabilities, len, meta);
        match self.sender.transmit(len, &agreed, fill) {
            Ok(Ok(())) => {
                self.counters.tx_frames += 1;
                Ok(())
            }
            Ok(Err(error)) => {
                // As in `can_transmit`.
                self.sender.flush(&self.device);
                Err(error)
            }
            Err(DeviceError) => {
                self.fail();
                Err(TxError::DeviceError)
            }
        }
    }

    fn flush(&mut self) {
        if self.device.is_running() {
            self.sender.flush(&self.device);
        }
    }

    fn is_drained(&mut self) -> bool {
        if !self.device.is_running() {
            return true;
        }
        self.sender.is_drained().unwrap_or_else(|DeviceError| {
            self.fail();
            true
        })
    }

    fn has_pending(&self) -> bool {
        self.device.is_running() && (self.receiver.queue.has_used() || self.sender.has_pending())
    }

    fn enable_interrupts(&mut self) -> bool {
        if !self.device.is_running() {
            return false;
        }
        self.receiver.refill(&self.device);
        // Both, whatever the first one says.
        self.receiver.queue.enable_interrupts() | self.sender.enable_awaited_interrupts()
    }

    fn disable_interrupts(&mut self) {
        self.receiver.queue.disable_interrupts();
        self.sender.queue.disable_interrupts();
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if !self.device.stop() {
            self.receiver.leak();
            self.sender.leak();
        }
    }
}

/// Layout of the queues, by the negotiated features.
fn queue_options(
    device: &Device,
    capabilities: &Capabilities,
    config: &NetConfig,
) -> (RxOptions, TxOptions) {
    let legacy = device.is_legacy();
    let mergeable = device.has(feature::MRG_RXBUF);
    let long = !legacy || mergeable;
    let header_len = if long { header::LONG } else { header::SHORT };
    let fixed_framing = legacy && !device.has(device::feature::ANY_LAYOUT);
    let one_frame = header_len + ETHERNET + usize::from(capabilities.mtu);
    let buffer_len = if mergeable {
        config.rx_buffer_len.max(header_len + 64)
    } else {
        one_frame
    };
    let expect = header::Expect {
        checksum: capabilities.rx_checksum,
        tso4: capabilities.large_receive4,
        tso6: capabilities.large_receive6,
    };
    let receive = RxOptions {
        buffers: config.rx_buffers.max(1),
        buffer_len: buffer_len.next_multiple_of(64),
        header_len,
        mergeable,
        split_header: fixed_framing && !mergeable,
        expect,
    };
    let send = TxOptions {
        queue_size: config.tx_small.saturating_add(config.tx_large),
        small_len: one_frame.next_multiple_of(64),
        small_limit: config.tx_small.max(1),
        large_limit: if capabilities.max_transmit > one_frame {
            config.tx_large.max(1)
        } else {
            0
        },
        header_len,
        split_header: fixed_framing,
    };
    (receive, send)
}

#[cfg(test)]
mod tests;
