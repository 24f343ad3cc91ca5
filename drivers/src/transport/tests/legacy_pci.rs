//! Legacy PCI: each driver behind I/O ports.

use std::boxed::Box;
use std::ptr::NonNull;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::blk::{Blk, BlkConfig};
use crate::console::Console;
use crate::device::feature;
use crate::disk::Request;
use crate::fake::{Backend, Disk, Entropy, Handle, HostBusAdapter, HostMemory, LegacyPci, Liar};
use crate::fake::{Lie, LogicalUnit, NetDevice, Options, Terminal};
use crate::net::{self, Card, Net, NetConfig, TxMeta};
use crate::pci::Functions;
use crate::rng::Rng;
use crate::scsi::{Scsi, ScsiConfig};
use crate::transport::open;
use crate::transport::pci::{Interrupts, Message};
use crate::transport::{Cause, Transport};
use crate::{Error, MemoryRef};

const MESSAGE: Message = Message {
    address: 0xfee0_0000,
    data: 0x31,
};

fn open_as(
    memory: MemoryRef,
    function: &'static LegacyPci,
    interrupts: Interrupts<'_>,
) -> Result<Box<dyn Transport + Send>, Error> {
    let found = Functions::find(function)
        .virtio()
        .next()
        .expect("a function");
    // SAFETY: nothing else drives this fake.
    unsafe { open(memory, function, Some(function), &found, interrupts) }
}

/// A device behind legacy PCI, with MSI-X and without.
fn functions<B: Backend>(
    device: impl Fn() -> B,
    features: u64,
    mut check: impl FnMut(&'static HostMemory, Box<dyn Transport + Send>, Handle<B>),
) {
    for vectors in [0, 1, 3] {
        let memory = HostMemory::new();
        let options = Options::legacy_pci(features);
        let (function, handle) = LegacyPci::new(memory, device(), options, vectors);
        let messages = [MESSAGE; 3];
        let interrupts = match vectors {
            0 => Interrupts::Line,
            some => Interrupts::Messages(&messages[..some.into()]),
        };
        let transport = open_as(memory, function, interrupts).unwrap();
        assert!(transport.is_legacy());
        check(memory, transport, handle);
    }
}

#[test]
fn a_card_carries_frames_and_knows_its_address() {
    for (offered, features) in [
        (net::feature::ALL, feature::QUEUE),
        (net::feature::ALL & !net::feature::MRG_RXBUF, 0),
        (net::feature::MAC, feature::ANY_LAYOUT),
    ] {
        let device = || NetDevice {
            features: offered,
            sizes: [1024, 4096],
            ..NetDevice::echoing()
        };
        functions(device, features, |memory, transport, handle| {
            let mut card = Net::new(transport, memory, &NetConfig::default()).unwrap();
            // In the configuration space, which MSI-X moves.
            assert_eq!(card.capabilities().mac, Some(handle.with(|card| card.mac)));
            for len in [1, 60, 1514] {
                let frame: Vec<u8> = (0..len).map(|at| at as u8).collect();
                let mut fill = |place: &mut [u8]| {
                    place.copy_from_slice(&frame);
                    TxMeta::default()
                };
                card.transmit(len, &mut fill).unwrap();
                card.flush();
                let mut got = Vec::new();
                assert!(card.receive(&mut |bytes, _| got = bytes.to_vec()));
                assert_eq!(got, frame);
            }
        });
    }
}

#[test]
fn a_disk_has_its_sectors() {
    let device = || Disk {
        size: 1024,
        ..Disk::new(4096)
    };
    functions(device, feature::QUEUE, |memory, transport, handle| {
        let mut disk = Blk::new(transport, memory, &BlkConfig::default()).unwrap();
        assert_eq!(disk.geometry().sectors, 4096);
        handle.with(|disk| disk.data[512..1024].fill(0x5a));
        let mut sector = vec![0u8; 512];
        let place = NonNull::new(sector.as_mut_ptr()).unwrap();
        // SAFETY: the request ends below.
        disk.submit(unsafe { Request::read(1, place, 512) }, 7)
            .unwrap();
        let mut ended = false;
        for _ in 0..2 {
            disk.poll(&mut |_, done| ended = done.is_ok());
        }
        assert!(ended);
        assert!(sector.iter().all(|byte| *byte == 0x5a));
    });
}

#[test]
fn an_adapter_of_google_is_served_in_216_kib_a_queue() {
    let device = || HostBusAdapter {
        size: 8192,
        ..HostBusAdapter::new([((0, 1), LogicalUnit::new(64, 512))])
    };
    functions(device, 0, |memory, transport, _| {
        let before = memory.allocated();
        let adapter = Scsi::new(transport, memory, &ScsiConfig::default()).unwrap();
        let queues = (memory.allocated() - before) / (216 << 10);
        assert!((2..=4).contains(&queues), "{queues} × 216 KiB");
        drop(adapter);
        assert_eq!(memory.allocated(), before);
    });
}

#[test]
fn an_entropy_source_and_a_console_work() {
    functions(Entropy::default, 0, |memory, transport, _| {
        let mut rng = Rng::new(transport, memory).unwrap();
        rng.request(4).unwrap();
        let bytes = rng.poll(|bytes| bytes.to_vec()).unwrap();
        assert_eq!(bytes.unwrap(), [0, 1, 2, 3]);
    });
    functions(Terminal::default, 0, |memory, transport, handle| {
        let mut console = Console::new(transport, memory).unwrap();
        let port = console.console_port().unwrap();
        assert_eq!(console.write(port, b"hello"), Ok(5));
        assert_eq!(handle.with(|end| end.screen.clone()), b"hello");
    });
}

/// The vector of a queue without interrupts.
const NO_VECTOR: u16 = 0xffff;

#[test]
fn queues_have_vectors_or_the_line() {
    let messages = [MESSAGE; 3];
    for (vectors, count, expected) in [
        (3, 3, (0, vec![1, 2, NO_VECTOR])),
        (3, 1, (0, vec![0, 0, NO_VECTOR])),
        (2, 2, (0, vec![1, 1, NO_VECTOR])),
    ] {
        let memory = HostMemory::new();
        let options = Options::legacy_pci(0);
        let (function, _handle) = LegacyPci::new(memory, NetDevice::echoing(), options, vectors);
        let interrupts = Interrupts::Messages(&messages[..count]);
        let transport = open_as(memory, function, interrupts).unwrap();
        assert!(!transport.interrupt().needs_acknowledge());
        let _card = Net::new(transport, memory, &NetConfig::default()).unwrap();
        assert_eq!(function.vectors(), expected);
        assert_eq!(function.word(4) & 0x407, 0x407, "ports, memory, bus master");
    }
    let memory = HostMemory::new();
    let (function, _handle) = LegacyPci::new(memory, Entropy::default(), Options::legacy_pci(0), 2);
    // Firmware left MSI-X enabled: the line, and the configuration space, are where they are
    // without it.
    function.set_word(0x98, function.word(0x98) | 1 << 31);
    let transport = open_as(memory, function, Interrupts::Line).unwrap();
    assert_eq!(function.word(0x98) >> 31, 0);
    assert_eq!(function.word(4) & 0x407, 0x7);
    function.raise(3);
    assert_eq!(transport.interrupt().acknowledge(), Cause::all());
    assert_eq!(transport.interrupt().acknowledge(), Cause::empty());
}

#[test]
fn functions_that_cannot_be_used_say_why() {
    let refusal = |change: &dyn Fn(&LegacyPci), interrupts: Interrupts<'_>| {
        let memory = HostMemory::new();
        let options = Options::legacy_pci(0);
        let (function, _handle) = LegacyPci::new(memory, Entropy::default(), options, 1);
        change(function);
        open_as(memory, function, interrupts).err()
    };
    let messages = [MESSAGE; 2];
    let none = Some(Error::NotVirtioPci);
    let no_vector = Some(Error::NoVector);
    assert_eq!(refusal(&|_| (), Interrupts::None), None);
    assert_eq!(refusal(&|_| (), Interrupts::Messages(&messages)), no_vector);
    let set = |offset, value| move |function: &LegacyPci| function.set_word(offset, value);
    assert_eq!(refusal(&set(0x10, 0), Interrupts::None), none, "no address");
    assert_eq!(refusal(&set(0x10, 1), Interrupts::None), none, "port 0");
    assert_eq!(refusal(&set(0x10, 0xc044_0001), Interrupts::None), none);
    assert_eq!(refusal(&set(0x10, 0xfebd_0000), Interrupts::None), none);
    let modern = set(0x00, 0x1044_1af4);
    assert_eq!(refusal(&modern, Interrupts::None), none, "a modern id");
    // A machine without I/O ports.
    let memory = HostMemory::new();
    let (function, _handle) = LegacyPci::new(memory, Entropy::default(), Options::legacy_pci(0), 1);
    let found = Functions::find(function).virtio().next().unwrap();
    // SAFETY: nothing else drives this fake.
    let refused = unsafe { open(memory, function, None, &found, Interrupts::None) };
    assert_eq!(refused.err(), none);
}

#[test]
fn the_configuration_space_ends_where_the_ports_do() {
    for (vectors, last) in [(0, 43), (1, 39)] {
        let memory = HostMemory::new();
        let options = Options::legacy_pci(0);
        let (function, _handle) = LegacyPci::new(memory, Entropy::default(), options, vectors);
        let interrupts = match vectors {
            0 => Interrupts::None,
            _ => Interrupts::Messages(&[MESSAGE]),
        };
        let transport = open_as(memory, function, interrupts).unwrap();
        assert_eq!(transport.read_config(last, 1), Some(0));
        assert_eq!(transport.read_config(last + 1, 1), None);
        assert_eq!(transport.read_config(last - 1, 4), None);
        assert_eq!(transport.read_config(2, 4), None, "not aligned");
        assert_eq!(transport.read_config(usize::MAX - 3, 4), None);
        assert_eq!(transport.write_config(last + 1, 1, 0), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Sizes that aren't powers of two, and lies in rings that are larger than the driver needs.
    #[test]
    fn a_lying_function_is_survived(
        size in prop_oneof![
            (0..16u32).prop_map(|log| 1u16 << log), any::<u16>()
        ],
        vectors in 0..2u16,
        config in prop::collection::vec(any::<u8>(), 0..40),
        lies in prop::collection::vec(
            Lie::any(
                (prop::collection::vec(any::<u8>(), 0..80), any::<u32>())
                    .prop_map(|(bytes, claim)| Lie::End { bytes, claim }),
                3,
            ),
            0..20,
        ),
    ) {
        let memory = HostMemory::new();
        let kind = crate::device_type::DeviceType::BLOCK;
        let features = u64::from(u32::MAX) & !feature::QUEUE;
        let mut liar = Liar::new(kind, features, config, vec![size]);
        liar.script = lies.into_iter().map(|lie| (0, lie)).collect();
        let options = Options::legacy_pci(feature::QUEUE & u64::from(u32::MAX));
        let (function, handle) = LegacyPci::new(memory, liar, options, vectors);
        let interrupts = match vectors {
            0 => Interrupts::Line,
            _ => Interrupts::Messages(&[MESSAGE]),
        };
        let transport = open_as(memory, function, interrupts).unwrap();
        let disk = Blk::new(transport, memory, &BlkConfig::default());
        if !size.is_power_of_two() {
            prop_assert!(disk.is_err());
        }
        let Ok(mut disk) = disk else { return Ok(()) };
        let mut sectors = vec![0u8; 20 * 512];
        for (token, sector) in (0..).zip(sectors.chunks_mut(512)) {
            let place = NonNull::new(sector.as_mut_ptr()).unwrap();
            // SAFETY: the memory is live until the disk is dropped, below.
            let _ = disk.submit(unsafe { Request::read(0, place, 512) }, token);
            handle.step();
            disk.poll(&mut |_, _| ());
        }
        drop(disk);
    }
}
