//! Network cards as links of the stack.

use crate::{Image, Interest, LinkWake, Source, devices};
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use drivers::device_type::DeviceType;
use drivers::e1000e;
use drivers::ena;
use drivers::function::{Function, Started};
use drivers::gve;
use drivers::net::{self as card, Card, Net, NetConfig, TxChecksum, TxError};
use drivers::pci::Id;
use drivers::vmxnet3;
use kernel::devices::serial;
use kernel::devices::{MEMORY, find_functions};
use kernel::guarded::Guarded;
use kernel::memory;
use net::{Link, LinkCapabilities, PartialChecksum, RxChecksum, RxMeta, SegmentKind, TxMeta};
use platform::error::{Error, Failure};
use platform::link::{Device, Offloads, RecordingSink, Settings};
use platform::{Links, Memory};

/// Memory below which the card gets few buffers, in bytes.
const SMALL_MACHINE: u64 = 24 << 20;
/// Memory from which on it gets large ones. QEMU spends 0.3 µs on each buffer of a frame, and so
/// does the driver.
const LARGE_MACHINE: u64 = 64 << 20;
const LARGE_BUFFER: usize = 8 << 10;
/// Pages that a busy server touches repeatedly: buffers of the card, of connections and of the
/// program, OCaml's minor heap.
const BUSY_PAGES: u64 = 4096;

/// A card, shared between the stack, which drives it, and the wait, which arms its interrupts.
struct SharedCard {
    card: Guarded<Box<dyn Card>>,
    /// It may interrupt, because the program was about to sleep.
    armed: Cell<bool>,
}

impl Source for SharedCard {
    fn has_pending(&self) -> bool {
        // If another thread's call uses the card, it has to be waited for.
        self.card.try_lock().is_some_and(|card| card.has_pending())
    }

    fn arm(&self) -> bool {
        let Some(mut card) = self.card.try_lock() else {
            return true;
        };
        self.armed.set(true);
        card.enable_interrupts()
    }
}

/// A card as the stack sees it.
struct CardLink {
    shared: Rc<SharedCard>,
    mac: [u8; 6],
}

// SAFETY: `net` requires links that can move between threads. This one belongs to the stack of the
// runtime, which one thread at a time uses (`runtime.rs`), as is everything that it shares with the
// runtime's waits; none of it depends on the thread.
unsafe impl Send for CardLink {}

/// The features that `SOIL_OFFLOAD` disables.
fn unwanted(offloads: Offloads) -> u64 {
    use drivers::device::feature as queue;
    use drivers::net::feature as card;
    let pairs = [
        (offloads.tx_checksum, card::CSUM),
        (offloads.segmentation, card::HOST_TSO4 | card::HOST_TSO6),
        (offloads.rx_checksum, card::GUEST_CSUM),
        (offloads.large_receive, card::GUEST_TSO4 | card::GUEST_TSO6),
        (offloads.mergeable, card::MRG_RXBUF),
        (offloads.event_index, queue::EVENT_IDX),
        (offloads.indirect, queue::INDIRECT_DESC),
    ];
    let unwanted = pairs.iter().filter(|(wanted, _)| !wanted);
    unwanted.fold(0, |all, (_, bits)| all | bits)
}

/// Starts a card that isn't a virtio device; its interrupts are acknowledged as it says.
type Start = fn(&Function<'_>, &NetConfig) -> Started<Box<dyn Card>>;

/// The drivers of cards that aren't virtio devices, by their PCI ids.
const CARDS: &[(&[Id], Start)] = &[
    (e1000e::IDS, e1000e::open),
    (ena::IDS, ena::open),
    (gve::IDS, gve::open),
    (vmxnet3::IDS, vmxnet3::open),
];

/// Starts all cards.
fn open(settings: Settings) -> Result<Vec<Device<Image>>, Failure> {
    let mut config = match Image::memory().first() {
        Some(..SMALL_MACHINE) => NetConfig {
            rx_buffers: 64,
            tx_small: 64,
            tx_large: 8,
            ..NetConfig::default()
        },
        Some(LARGE_MACHINE..) => NetConfig {
            rx_buffer_len: LARGE_BUFFER,
            ..NetConfig::default()
        },
        _ => NetConfig::default(),
    };
    config.features &= !unwanted(settings.offloads);
    memory::grow_tlb(BUSY_PAGES);
    let mut cards: Vec<Box<dyn Card>> = Vec::new();
    for found in devices::take(DeviceType::NET) {
        let card = Net::new(found.transport, MEMORY, &config).map_err(|error| {
            let detail = format!("network card at {}: {error}", found.place);
            Failure::new(Error::Io, detail)
        })?;
        cards.push(Box::new(card));
    }
    let mut problem = None;
    for (ids, start) in CARDS {
        let start = |function: &Function<'_>| start(function, &config);
        let found = find_functions(ids, &start, &mut |text| problem = Some(text));
        cards.extend(found.into_iter().map(|(_, card)| card));
    }
    // The others may be the cards that the program uses.
    if let Some(text) = problem {
        let detail = format!("network card at {text}");
        if cards.is_empty() {
            return Err(Failure::new(Error::Io, detail));
        }
        log::error!("{detail}");
    }
    let mut opened = Vec::new();
    for (index, card) in cards.into_iter().enumerate() {
        let mac = (settings.mac)(index, card.capabilities().mac)?;
        let shared = Rc::new(SharedCard {
            card: Guarded::new(card),
            armed: Cell::new(false),
        });
        opened.push(Device {
            name: format!("eth{index}"),
            wake: LinkWake(shared.clone()),
            link: Box::new(CardLink { shared, mac }),
        });
    }
    Ok(opened)
}

impl Links for Image {
    type Transport = net::Stack;

    fn hosted() -> bool {
        false
    }

    fn transport(
        _: &mut Interest,
        config: net::Config,
        random: &mut dyn FnMut() -> net::RandomBits,
    ) -> net::Stack {
        net::Stack::new(config, random)
    }

    const NO_NETWORK: &str = "no network device: give the machine one (soil run --net)";

    fn links(_: &mut Interest, settings: Settings) -> Result<Vec<Device<Image>>, Failure> {
        open(settings)
    }

    fn recording(target: &str) -> Result<RecordingSink, Failure> {
        let detail = if target != "serial" {
            alloc::format!(
                "SOIL_PCAP: \"{target}\": a machine records to its serial port: \
                give serial (soil run --pcap FILE)"
            )
        } else if !serial::set_up() {
            String::from(
                "SOIL_PCAP: the machine has no second serial port: \
                run it with soil run --pcap FILE",
            )
        } else {
            return Ok(Box::new(serial::write));
        };
        Err(Failure::new(Error::BadConfiguration, detail))
    }
}

/// Converts the stack's metadata of a frame for the card.
fn notes(meta: TxMeta) -> card::TxMeta {
    card::TxMeta {
        checksum: meta.checksum.map(|sum| TxChecksum {
            start: sum.start,
            offset: sum.offset,
        }),
        gso: meta.segmentation.map(|cut| card::Gso {
            kind: match cut.kind {
                SegmentKind::Tcp4 => card::GsoKind::Tcp4,
                SegmentKind::Tcp6 => card::GsoKind::Tcp6,
            },
            segment: cut.size,
            headers: cut.header_len,
        }),
    }
}

impl Link for CardLink {
    fn capabilities(&self) -> LinkCapabilities {
        let card = self.shared.card.lock();
        let capabilities = card.capabilities();
        LinkCapabilities {
            mac: self.mac,
            mtu: usize::from(capabilities.mtu),
            tx_checksum: capabilities.tx_checksum,
            tso4: capabilities.tso4,
            tso6: capabilities.tso6,
        }
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        let mut card = self.shared.card.lock();
        if self.shared.armed.take() {
            card.disable_interrupts();
        }
        card.receive(&mut |frame, meta| {
            let checksum = match meta.checksum {
                card::RxChecksum::Unknown => RxChecksum::Unknown,
                card::RxChecksum::Valid => RxChecksum::Valid,
                card::RxChecksum::Partial { start, offset } => {
                    RxChecksum::Partial(PartialChecksum { start, offset })
                }
            };
            let joined = meta.gso.map(|gso| gso.segment).filter(|size| *size != 0);
            f(frame, RxMeta { checksum, joined });
        })
    }

    fn can_transmit(&mut self) -> bool {
        self.shared.card.lock().can_transmit()
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        let sent = self
            .shared
            .card
            .lock()
            .transmit(len, &mut |frame| notes(fill(frame)));
        // A frame that the card can't send was filled nevertheless, and is lost as on a wire.
        matches!(sent, Ok(()) | Err(TxError::BadFrame))
    }

    fn flush(&mut self) {
        self.shared.card.lock().flush();
    }

    fn is_drained(&mut self) -> bool {
        self.shared.card.lock().is_drained()
    }
}
