//! The real transports on registers in plain memory: what is written where, and what is refused.

mod legacy_pci;

use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec;
use std::vec::Vec;

use super::mmio::MmioTransport;
use super::pci::{Interrupts, Message, PciTransport};
use super::{Cause, DeviceType, Status, Transport};
use crate::Error;
use crate::fake::HostMemory;
use crate::pci::{Address, ConfigAccess, Functions, Id};
use crate::rng::Rng;

const MMIO: u64 = 0xfeb0_0000;

/// Registers of a virtio-mmio device, as words.
fn mmio_registers(version: u32, id: u32) -> &'static mut [u32] {
    let words = Box::leak(vec![0u32; 128].into_boxed_slice());
    words[0] = 0x7472_6976;
    words[1] = version;
    words[2] = id;
    words[0x10 / 4] = 1; // features 0 and 32: it doesn't look which half is selected
    words[0x34 / 4] = 256;
    words
}

fn probe(memory: &'static HostMemory) -> Result<Option<MmioTransport>, Error> {
    // SAFETY: nothing else drives this fake.
    unsafe { MmioTransport::probe(memory, MMIO, 0x200) }
}

fn peek(memory: &'static HostMemory, phys: u64) -> u32 {
    let at = crate::Memory::map_mmio(memory, phys, 4)
        .unwrap()
        .cast::<u32>();
    // SAFETY: a register of the fake, which is memory that lives for good.
    unsafe { at.read_volatile() }
}

fn poke(memory: &'static HostMemory, phys: u64, value: u32) {
    let at = crate::Memory::map_mmio(memory, phys, 4)
        .unwrap()
        .cast::<u32>();
    // SAFETY: as above.
    unsafe { at.write_volatile(value) };
}

#[test]
fn a_modern_mmio_device_is_set_up() {
    let memory = HostMemory::new();
    memory.add_registers(MMIO, mmio_registers(2, 4));
    let transport = probe(memory).unwrap().unwrap();
    assert_eq!(transport.device_type(), DeviceType::RNG);
    assert!(!transport.is_legacy());
    let interrupt = transport.interrupt();
    let mut rng = Rng::new(Box::new(transport), memory).unwrap();
    let register = |offset: u64| peek(memory, MMIO + offset);
    assert_eq!(register(0x70), 15, "the device is live");
    assert_eq!(
        (register(0x38), register(0x44)),
        (1, 1),
        "one descriptor, ready"
    );
    assert_eq!(register(0x80) % 16, 0);
    assert!(register(0x84) > 0, "the high half of the address");
    poke(memory, MMIO + 0x50, 99);
    rng.request(1).unwrap();
    assert_eq!(register(0x50), 0, "queue 0's doorbell");
    poke(memory, MMIO + 0x60, 1);
    assert_eq!(interrupt.acknowledge(), Cause::QUEUE);
    assert_eq!(register(0x64), 1);
    drop(rng);
    assert_eq!(register(0x70), 0, "reset");
}

#[test]
fn a_legacy_mmio_device_is_set_up() {
    let memory = HostMemory::new();
    memory.add_registers(MMIO, mmio_registers(1, 4));
    let mut transport = probe(memory).unwrap().unwrap();
    assert!(transport.is_legacy());
    transport.set_driver_features(1 << 28);
    let addresses = super::QueueAddresses {
        size: 8,
        descriptors: 0x5000,
        driver: 0x5080,
        device: 0x6000,
    };
    transport.activate_queue(0, &addresses).unwrap();
    let register = |offset: u64| peek(memory, MMIO + offset);
    assert_eq!(
        (register(0x28), register(0x3c), register(0x40)),
        (4096, 4096, 5)
    );
    assert_eq!(register(0x44), 0, "no such register");
    let far = super::QueueAddresses {
        descriptors: 1 << 44,
        ..addresses
    };
    assert_eq!(transport.activate_queue(0, &far), Err(Error::BadQueue(0)));
}

#[test]
fn places_without_an_mmio_device_are_none() {
    for (magic, version, id) in [(0x7472_6976, 2, 0), (0, 2, 4), (0x7472_6976, 3, 4)] {
        let memory = HostMemory::new();
        let words = mmio_registers(version, id);
        words[0] = magic;
        memory.add_registers(MMIO, words);
        assert!(probe(memory).unwrap().is_none());
    }
    assert_eq!(probe(HostMemory::new()).err(), Some(Error::Unmappable));
}

#[test]
fn configuration_space_ends_where_the_registers_do() {
    let memory = HostMemory::new();
    let words = mmio_registers(2, 2);
    words[64] = 0x0403_0201;
    memory.add_registers(MMIO, words);
    let transport = probe(memory).unwrap().unwrap();
    for (at, size, value) in [
        (0, 4, 0x0403_0201),
        (2, 2, 0x0403),
        (3, 1, 4),
        (0xfc, 4, 0),
        (0xff, 1, 0),
    ] {
        assert_eq!(transport.read_config(at, size), Some(value));
    }
    for (at, size) in [
        (1, 2),
        (0, 8),
        (0x100, 4),
        (usize::MAX - 3, 4),
        (usize::MAX & !3, 4),
    ] {
        assert_eq!(transport.read_config(at, size), None, "{size} at {at:#x}");
        assert_eq!(transport.write_config(at, size, 0), None);
    }
    for (at, size, value) in [(0xfc, 4, 0x1234_5678), (0xfe, 2, 0xabcd), (0xff, 1, 0xee)] {
        assert_eq!(transport.write_config(at, size, value), Some(()));
    }
    assert_eq!(peek(memory, MMIO + 0x1fc), 0xeecd_5678);
}

/// A configuration space: the registers of each present function.
#[derive(Default)]
struct Bus {
    functions: Mutex<BTreeMap<(u8, u8, u8), Vec<u32>>>,
    /// Number of reads so far.
    reads: AtomicUsize,
}

impl Bus {
    fn add(&self, place: (u8, u8, u8), words: &[(u16, u32)]) {
        let mut registers = vec![0; 64];
        for (offset, value) in words {
            registers[usize::from(*offset) / 4] = *value;
        }
        self.functions.lock().unwrap().insert(place, registers);
    }

    fn get(&self, place: (u8, u8, u8), offset: u16) -> u32 {
        self.functions.lock().unwrap()[&place][usize::from(offset) / 4]
    }
}

impl ConfigAccess for Bus {
    fn read(&self, address: Address, offset: u16) -> u32 {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let place = (address.bus, address.device, address.function);
        let functions = self.functions.lock().unwrap();
        functions
            .get(&place)
            .map_or(u32::MAX, |words| words[usize::from(offset) / 4])
    }

    fn write(&self, address: Address, offset: u16, value: u32) {
        let place = (address.bus, address.device, address.function);
        if let Some(words) = self.functions.lock().unwrap().get_mut(&place) {
            let word = &mut words[usize::from(offset) / 4];
            // The status register's bits are write-one-to-clear.
            let kept = if offset == 4 {
                *word & !value & 0xffff_0000
            } else {
                0
            };
            *word = if offset == 4 {
                value & 0xffff | kept
            } else {
                value
            };
        }
    }
}

#[test]
fn functions_are_found_behind_bridges_and_beside_others() {
    let bus = Bus::default();
    bus.add((0, 0, 0), &[(0, 0x29c0_8086)]);
    bus.add((0, 1, 0), &[(0, 0x1041_1af4), (0x3c, 0x0000_010b)]);
    // Several functions: 0 isn't virtio, 2 is transitional, and one with another vendor's id.
    bus.add((0, 2, 0), &[(0, 0x1234_8086), (0xc, 0x80_0000)]);
    bus.add((0, 2, 2), &[(0, 0x1001_1af4), (0x2c, 0x0002_1af4)]);
    bus.add((0, 2, 3), &[(0, 0x1042_1234)]);
    // Not multifunction: its function 1 mirrors function 0.
    bus.add((0, 3, 0), &[(0, 0x1044_1af4)]);
    bus.add((0, 3, 1), &[(0, 0x1044_1af4)]);
    // A bridge to bus 5, a loop, and one that firmware left unconfigured.
    bus.add(
        (0, 4, 0),
        &[(0, 0x000c_1b36), (0xc, 0x01_0000), (0x18, 0x00_0500)],
    );
    bus.add((5, 0, 0), &[(0, 0x1043_1af4)]);
    bus.add(
        (5, 1, 0),
        &[(0, 0x000c_1b36), (0xc, 0x01_0000), (0x18, 0x00_0500)],
    );
    bus.add((5, 2, 0), &[(0, 0x000c_1b36), (0xc, 0x01_0000)]);
    let found: Vec<_> = Functions::find(&bus)
        .virtio()
        .map(|f| {
            (
                f.address.bus,
                f.address.device,
                f.address.function,
                f.device_type,
                f.line,
            )
        })
        .collect();
    let expected = [
        (0, 1, 0, DeviceType::NET, Some(11)),
        (0, 2, 2, DeviceType::BLOCK, None),
        (0, 3, 0, DeviceType::RNG, None),
        (5, 0, 0, DeviceType::CONSOLE, None),
    ];
    assert_eq!(found, expected);
}

#[test]
fn one_walk_finds_the_functions_of_all_drivers() {
    let bus = Bus::default();
    bus.add((0, 0, 0), &[(0, 0x29c0_8086), (8, 0x0600_0000)]);
    bus.add((0, 1, 0), &[(0, 0x1041_1af4), (0x3c, 0x0000_010b)]);
    bus.add((0, 2, 0), &[(0, 0x0010_1b36), (8, 0x0108_0202)]);
    let functions = Functions::find(&bus);
    // 32 devices; of each that is there also its header and class.
    assert_eq!(bus.reads.swap(0, Ordering::Relaxed), 32 + 3 * 2);
    assert_eq!(functions.virtio().count(), 1);
    for (id, device) in [
        (Id::Class(0x01_0802), Some(2)),
        (Id::Class(0x01_0801), None),
        (Id::Subclass(0x0108), Some(2)),
        (Id::Device(0x8086, 0x29c0), Some(0)),
    ] {
        let found = functions.with_ids(&[id]).next();
        assert_eq!(found.map(|(address, _)| address.device), device, "{id:?}");
    }
    // Their interrupt lines.
    assert_eq!(bus.reads.load(Ordering::Relaxed), 4);
}

const BAR: u64 = 0xc_0000_0000;
const BLOCK: u64 = 0x1000;

/// Registers of a virtio function: bar 4 with the blocks, and the MSI-X table behind them.
fn function() -> Vec<(u16, u32)> {
    let mut words = vec![
        (0x00, 0x1044_1af4),
        (0x04, 0x0010_0000),
        (0x20, BAR as u32 | 0xc),
        (0x24, (BAR >> 32) as u32),
        (0x34, 0x40),
        // MSI-X: 3 vectors, table in bar 4.
        (0x40, 0x0002_5011),
        (0x44, (4 * BLOCK as u32) | 4),
    ];
    for (index, kind) in [1u32, 3, 4, 2].into_iter().enumerate() {
        let at = 0x50 + 0x14 * index as u16;
        let next = if index == 3 { 0 } else { u32::from(at) + 0x14 };
        words.push((at, kind << 24 | 0x14 << 16 | next << 8 | 0x09));
        words.push((at + 4, 4));
        words.push((at + 8, (u32::from(kind as u8) - 1) * BLOCK as u32));
        words.push((at + 12, BLOCK as u32));
    }
    words.push((0x50 + 0x14 * 3 + 16, 8)); // the notify block's multiplier
    words
}

fn pci_memory() -> &'static HostMemory {
    let memory = HostMemory::new();
    let words = Box::leak(vec![0u32; 5 * 1024].into_boxed_slice());
    words[1] = 1;
    words[24 / 4] = 64; // queue size, and vector 0
    words[28 / 4] = 5 << 16; // the doorbell is number 5
    memory.add_registers(BAR, words);
    memory
}

fn open(bus: &Bus, memory: &'static HostMemory, how: Interrupts) -> Result<PciTransport, Error> {
    let function = Functions::find(bus).virtio().next().expect("a function");
    // SAFETY: nothing else drives this fake.
    unsafe { PciTransport::new(memory, bus, &function, how) }
}

#[test]
fn a_pci_function_is_set_up_with_its_messages() {
    let bus = Bus::default();
    bus.add((0, 0, 0), &function());
    let memory = pci_memory();
    let message = Message {
        address: 0xfee0_1000,
        data: 0x31,
    };
    let messages = [
        Message {
            data: 0x30,
            ..message
        },
        message,
    ];
    let transport = open(&bus, memory, Interrupts::Messages(&messages)).unwrap();
    assert!(!transport.interrupt().needs_acknowledge());
    let table = |word: u64| peek(memory, BAR + 4 * BLOCK + 4 * word);
    assert_eq!(
        [table(4), table(5), table(6), table(7)],
        [0xfee0_1000, 0, 0x31, 0]
    );
    assert_eq!(bus.get((0, 0, 0), 0x40) >> 30, 2, "on, and not masked");
    assert_eq!(
        bus.get((0, 0, 0), 4) & 0xffff,
        0x406,
        "memory, bus master, no line"
    );
    let mut rng = Rng::new(Box::new(transport), memory).unwrap();
    assert_eq!(
        peek(memory, BAR + 24) >> 16,
        1,
        "queue 0 has the second vector"
    );
    assert_eq!(peek(memory, BAR + 28) & 0xffff, 1, "enabled");
    poke(memory, BAR + BLOCK + 5 * 8, 99);
    rng.request(1).unwrap();
    assert_eq!(
        peek(memory, BAR + BLOCK + 5 * 8),
        0,
        "doorbell 5, 8 bytes apart"
    );
    drop(rng);
    assert_eq!(peek(memory, BAR + 20) & 0xff, 0, "reset");
}

#[test]
fn a_pci_function_can_use_its_line() {
    let bus = Bus::default();
    bus.add((0, 0, 0), &function());
    let memory = pci_memory();
    let mut transport = open(&bus, memory, Interrupts::Line).unwrap();
    assert_eq!(bus.get((0, 0, 0), 4) & 0xffff, 0x6);
    poke(memory, BAR + 2 * BLOCK, 3);
    assert_eq!(
        transport.interrupt().acknowledge(),
        Cause::QUEUE | Cause::CONFIG
    );
    transport.set_status(Status::DRIVER);
    assert_eq!(transport.status(), Status::DRIVER);
}

#[test]
fn pci_functions_that_cannot_be_used_say_why() {
    type Words = Vec<(u16, u32)>;
    let refusal = |change: &dyn Fn(&mut Words), how| {
        let bus = Bus::default();
        let mut words = function();
        change(&mut words);
        bus.add((0, 0, 0), &words);
        open(&bus, pci_memory(), how).err()
    };
    let message = [Message {
        address: 0,
        data: 0,
    }; 4];
    assert_eq!(
        refusal(&|_| (), Interrupts::Messages(&message)),
        Some(Error::NoVector)
    );
    assert_eq!(
        refusal(&|_| (), Interrupts::Messages(&[])),
        Some(Error::NoVector)
    );
    assert_eq!(refusal(&|_| (), Interrupts::None), None);
    let set = |offset: u16, value: u32| move |words: &mut Words| words.push((offset, value));
    let not_virtio = Some(Error::NotVirtioPci);
    assert_eq!(
        refusal(&set(0x04, 0), Interrupts::None),
        not_virtio,
        "no capabilities"
    );
    assert_eq!(refusal(&set(0x34, 0), Interrupts::None), not_virtio);
    assert_eq!(
        refusal(&set(0x54, 7), Interrupts::None),
        not_virtio,
        "no such BAR"
    );
    assert_eq!(
        refusal(&set(0x20, 1), Interrupts::None),
        not_virtio,
        "an I/O BAR"
    );
    assert_eq!(
        refusal(&set(0x5c, 55), Interrupts::None),
        not_virtio,
        "a short block"
    );
    assert_eq!(
        refusal(&set(0x5c, u32::MAX), Interrupts::None),
        not_virtio,
        "a huge block"
    );
    assert_eq!(
        refusal(&set(0x58, 2), Interrupts::None),
        not_virtio,
        "an unaligned block"
    );
    // A circular list ends.
    let circle = set(0x40, 0x0002_4011);
    assert_eq!(refusal(&circle, Interrupts::None), not_virtio);
    let far = set(0x50 + 0x14 * 3 + 16, u32::MAX);
    let bus = Bus::default();
    let mut words = function();
    far(&mut words);
    bus.add((0, 0, 0), &words);
    let memory = pci_memory();
    let transport = open(&bus, memory, Interrupts::None).unwrap();
    let refused = Rng::new(Box::new(transport), memory);
    assert_eq!(
        refused.err(),
        Some(Error::BadQueue(0)),
        "a doorbell outside its block"
    );
}
