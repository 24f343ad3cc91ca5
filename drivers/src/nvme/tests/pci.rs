//! The registers of a PCI function, in plain memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::Memory;
use crate::function::Function as Opened;
use crate::nvme::{IDS, open, register_offset as offset};
use crate::pci::{Address, ConfigAccess, Functions};
use crate::registers::{PciRegisters, Registers};
use crate::transport::Cause;
use crate::transport::pci::{Interrupts, Message};

const PLACE: Address = Address {
    bus: 0,
    device: 3,
    function: 0,
};
const REGISTERS: u64 = 0xc_0000_0000;
const LEN: usize = 0x4000;

/// Configuration space of one function, whose base address registers have sizes.
struct Function {
    words: Mutex<BTreeMap<u16, u32>>,
    size: u32,
}

impl ConfigAccess for Function {
    fn read(&self, address: Address, offset: u16) -> u32 {
        match address == PLACE {
            true => *self.words.lock().unwrap().get(&offset).unwrap_or(&0),
            false => u32::MAX,
        }
    }

    fn write(&self, _: Address, offset: u16, value: u32) {
        let mut words = self.words.lock().unwrap();
        let word = words.entry(offset).or_insert(0);
        let fixed = match offset {
            // The status register, and the bits of the base address register below its size.
            0x04 => 0xffff_0000,
            0x10 => self.size - 1,
            _ => 0,
        };
        *word = *word & fixed | value & !fixed;
    }
}

impl Function {
    fn new(size: usize) -> Function {
        let words = [
            (0x00, 0x0010_1b36),
            (0x04, 0x0010_0000),
            (0x08, 0x0108_0202),
            (0x10, REGISTERS as u32 | 4),
            (0x14, (REGISTERS >> 32) as u32),
            (0x34, 0x40),
            (0x3c, 0x0000_010a),
            // MSI-X: 65 vectors, whose table is behind the doorbells.
            (0x40, 0x0040_0011),
            (0x44, 0x3000),
        ];
        Function {
            words: Mutex::new(BTreeMap::from(words)),
            size: size as u32,
        }
    }

    fn get(&self, offset: u16) -> u32 {
        self.words.lock().unwrap()[&offset]
    }
}

fn memory(capabilities: u64) -> &'static HostMemory {
    let memory = HostMemory::new();
    let words = Box::leak(vec![0u32; LEN / 4].into_boxed_slice());
    (words[0], words[1]) = (capabilities as u32, (capabilities >> 32) as u32);
    memory.add_registers(REGISTERS, words);
    memory
}

fn peek(memory: &'static HostMemory, at: u64) -> u32 {
    let register = memory.map_mmio(REGISTERS + at, 4).unwrap().cast::<u32>();
    // SAFETY: a register of the fake, which is memory that lives for good.
    unsafe { register.read_volatile() }
}

fn start(
    memory: &'static HostMemory,
    function: &Function,
    interrupts: Interrupts<'_>,
) -> Result<PciRegisters, Error> {
    // SAFETY: a test drives its function once.
    open(&unsafe { Opened::open(memory, function, PLACE, interrupts) }?)
}

const MESSAGE: Message = Message {
    address: 0xfee0_1000,
    data: 0x41,
};

#[test]
fn controllers_are_found_by_their_class() {
    let function = Function::new(LEN);
    let found: Vec<_> = Functions::find(&function).with_ids(IDS).collect();
    assert_eq!(found, [(PLACE, Some(10))]);
    // SATA; another programming interface; no pin.
    for class in [0x0106_0102, 0x0108_0302] {
        function.words.lock().unwrap().insert(0x08, class);
        assert_eq!(Functions::find(&function).with_ids(IDS).count(), 0);
    }
    function.words.lock().unwrap().insert(0x08, 0x0108_0200);
    function.words.lock().unwrap().insert(0x3c, 0x0a);
    assert_eq!(
        Functions::find(&function).with_ids(IDS).next(),
        Some((PLACE, None))
    );
}

#[test]
fn the_registers_and_all_doorbells_are_mapped() {
    for stride in 0..8 {
        let (memory, function) = (memory(stride << 32), Function::new(LEN));
        let registers = start(memory, &function, Interrupts::None).unwrap();
        assert_eq!(function.get(0x04) & 0xffff, 0x406, "no line");
        registers.write(offset::CONFIGURATION, 5);
        assert_eq!((peek(memory, 0x14), registers.read(0x14)), (5, 5));
        let last = offset::DOORBELLS + 3 * (4 << stride);
        registers.write(last, 9);
        assert_eq!(peek(memory, last as u64), 9);
        // Nor is anything outside, or between.
        for outside in [last + (4 << stride), last + 2, usize::MAX & !3] {
            registers.write(outside, 7);
            assert_eq!(registers.read(outside), u32::MAX);
        }
        assert!(!registers.interrupt().needs_acknowledge());
    }
}

#[test]
fn messages_are_programmed() {
    let (memory, function) = (memory(0), Function::new(LEN));
    start(memory, &function, Interrupts::Messages(&[MESSAGE])).unwrap();
    let entry = [0, 4, 8, 12].map(|at| peek(memory, 0x3000 + at));
    assert_eq!(entry, [0xfee0_1000, 0, 0x41, 0]);
    assert_eq!(function.get(0x40) >> 30, 0b10, "enabled, not masked");
    let without = Function::new(LEN);
    without.words.lock().unwrap().insert(0x34, 0);
    let refused = start(memory, &without, Interrupts::Messages(&[MESSAGE]));
    assert_eq!(refused.err(), Some(Error::NoVector));
}

#[test]
fn msi_replaces_a_missing_msix() {
    for (control, words) in [
        (0x0080_0005, [0xfee0_1000, 0, 0x41]),
        (5, [0xfee0_1000, 0x41, 0]),
    ] {
        let function = Function::new(LEN);
        // Eight messages enabled by the firmware.
        function
            .words
            .lock()
            .unwrap()
            .insert(0x40, control | 3 << 20);
        start(memory(0), &function, Interrupts::Messages(&[MESSAGE])).unwrap();
        assert_eq!(
            function.get(0x40),
            control | 1 << 16,
            "enabled, one message"
        );
        let written =
            [0x44, 0x48, 0x4c].map(|at| *function.words.lock().unwrap().get(&at).unwrap_or(&0));
        assert_eq!(written, words);
    }
    // An address above 4 GiB needs the long form, and data have 16 bits.
    let function = Function::new(LEN);
    function.words.lock().unwrap().insert(0x40, 5);
    for message in [
        Message {
            address: 1 << 32,
            ..MESSAGE
        },
        Message {
            data: 0x1_0000,
            ..MESSAGE
        },
    ] {
        let refused = start(memory(0), &function, Interrupts::Messages(&[message]));
        assert_eq!(refused.err(), Some(Error::NoVector));
    }
}

#[test]
fn the_handler_of_a_line_masks_it() {
    let (memory, function) = (memory(0), Function::new(LEN));
    let registers = start(memory, &function, Interrupts::Line).unwrap();
    assert_eq!(function.get(0x04) & 0xffff, 6);
    let interrupt = registers.interrupt();
    assert!(interrupt.needs_acknowledge());
    assert_eq!(interrupt.acknowledge(), Cause::QUEUE);
    assert_eq!(peek(memory, offset::INTERRUPT_MASK_SET as u64), 1);
}

#[test]
fn functions_without_usable_registers_are_refused() {
    let refusal = |capabilities, function: &Function| {
        start(memory(capabilities), function, Interrupts::None).err()
    };
    let none = Function::new(LEN);
    none.words.lock().unwrap().insert(0x10, 4);
    none.words.lock().unwrap().insert(0x14, 0);
    assert_eq!(refusal(0, &none), Some(Error::BadBar(0)));
    // The registers, or the doorbells, don't fit.
    assert_eq!(refusal(0, &Function::new(0x800)), Some(Error::Unmappable));
    let small = Function::new(0x2000);
    assert_eq!(refusal(15 << 32, &small), Some(Error::Unmappable));
    assert_eq!(refusal(8 << 32, &small), None);
    let removed = memory(0);
    let status = removed.map_mmio(REGISTERS + 0x1c, 4).unwrap();
    // SAFETY: a register of the fake, which is memory that lives for good.
    unsafe { status.cast::<u32>().write_volatile(u32::MAX) };
    let refused = start(removed, &Function::new(LEN), Interrupts::None);
    assert_eq!(refused.err(), Some(Error::Gone));
}

#[test]
fn several_vectors_send_one_message() {
    let function = Function::new(LEN);
    let memory = memory(0);
    let messages = [MESSAGE];
    let interrupts = Interrupts::Messages(&messages);
    // SAFETY: a test drives its function once.
    let opened = unsafe { Opened::open(memory, &function, PLACE, interrupts) }.unwrap();
    assert_eq!(opened.repeat_message(66), Err(Error::NoVector));
    opened.repeat_message(3).unwrap();
    // Entries of the table behind the doorbells: address, data, control.
    let entry = |vector: u64| [0, 4, 8, 12].map(|at| peek(memory, 0x3000 + vector * 16 + at));
    for vector in 0..3 {
        assert_eq!(entry(vector), [0xfee0_1000, 0, 0x41, 0]);
    }
    assert_eq!(entry(3), [0; 4]);
    assert!(opened.registers_up_to(0, 2 * LEN).is_ok() && opened.registers(0, 2 * LEN).is_err());
}
