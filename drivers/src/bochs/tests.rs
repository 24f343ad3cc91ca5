use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Bochs, BochsError, adapters, dispi};
use crate::Error;
use crate::fake::{HostMemory, edid};
use crate::gpu::Rectangle;
use crate::pci::{Address, ConfigAccess, Functions};

const VIDEO: u64 = 0xfd00_0000;
const REGISTERS: u64 = 0xfebd_0000;
const PLACE: Address = Address {
    bus: 0,
    device: 2,
    function: 0,
};
const MIB: usize = 1 << 20;

/// Configuration space of one function, whose base address registers have sizes.
struct Function {
    words: Mutex<BTreeMap<u16, u32>>,
    /// The bits of a base address register that can't be written.
    fixed: BTreeMap<u16, u32>,
}

impl ConfigAccess for Function {
    fn read(&self, address: Address, offset: u16) -> u32 {
        match address == PLACE {
            true => *self.words.lock().unwrap().get(&offset).unwrap_or(&0),
            false => u32::MAX,
        }
    }

    fn write(&self, _: Address, offset: u16, value: u32) {
        let fixed = self.fixed.get(&offset).copied().unwrap_or(0);
        let mut words = self.words.lock().unwrap();
        let word = words.entry(offset).or_insert(0);
        *word = *word & fixed | value & !fixed;
    }
}

/// An adapter: its registers and video memory are memory that the test also reads.
struct Card {
    function: Function,
    memory: &'static HostMemory,
    registers: *mut u16,
    video: *const u32,
}

impl Card {
    /// An adapter with this much video memory, whose registers have these values.
    fn new(video: usize, values: &[(usize, u16)], monitor: &[u8]) -> Card {
        let memory = HostMemory::new();
        let leak = |len: usize| Box::leak(vec![0u32; len / 4].into_boxed_slice());
        let (pixels, registers) = (leak(video), leak(super::REGISTERS));
        let start = registers.as_mut_ptr();
        let shown = pixels.as_ptr();
        memory.add_registers(VIDEO, pixels);
        memory.add_registers(REGISTERS, registers);
        let card = Card {
            function: Function {
                words: Mutex::new(BTreeMap::from([
                    (0, 0x1111_1234),
                    (0x10, VIDEO as u32 | 8),
                    (0x18, REGISTERS as u32),
                ])),
                fixed: BTreeMap::from([
                    (0x10, video.next_power_of_two() as u32 - 1),
                    (0x18, super::REGISTERS as u32 - 1),
                ]),
            },
            memory,
            registers: start.cast(),
            video: shown,
        };
        card.set(dispi::ID, 0xb0c5);
        card.set(dispi::MEMORY, (video / super::UNIT) as u16);
        for (number, value) in values {
            card.set(*number, *value);
        }
        for (offset, byte) in monitor.iter().enumerate() {
            // SAFETY: inside the registers, which live as long as the process.
            unsafe { start.cast::<u8>().add(offset).write_volatile(*byte) };
        }
        card
    }

    fn set(&self, number: usize, value: u16) {
        // SAFETY: inside the registers, which live as long as the process.
        unsafe {
            self.registers
                .add(super::DISPI / 2 + number)
                .write_volatile(value)
        };
    }

    fn get(&self, number: usize) -> u16 {
        // SAFETY: as above.
        unsafe {
            self.registers
                .add(super::DISPI / 2 + number)
                .read_volatile()
        }
    }

    fn start(&self) -> Result<Bochs, Error> {
        // SAFETY: a test drives its card once.
        unsafe { Bochs::new(self.memory, &self.function, PLACE) }
    }

    /// The displayed width, height and pixels.
    fn shown(&self) -> (u16, u16, Vec<u32>) {
        assert_eq!(self.get(dispi::ENABLE), 0x41);
        assert_eq!(self.get(dispi::BITS), 32);
        let (width, height) = (self.get(dispi::WIDTH), self.get(dispi::HEIGHT));
        assert_eq!(self.get(dispi::VIRTUAL_WIDTH), width);
        let start = usize::from(self.get(dispi::Y)) * usize::from(width);
        let pixel = |index| {
            // SAFETY: inside video memory, which lives as long as the process.
            unsafe { self.video.add(start + index).read_volatile() }
        };
        let count = usize::from(width) * usize::from(height);
        (width, height, (0..count).map(pixel).collect())
    }
}

/// Fills a buffer.
fn fill(pixels: std::ptr::NonNull<u32>, count: usize, value: u32) {
    for index in 0..count {
        // SAFETY: the caller's buffer has that many.
        unsafe { pixels.add(index).write(value) };
    }
}

fn all(width: u32, height: u32) -> [Rectangle; 1] {
    [part(0, 0, width, height)]
}

fn part(x: u32, y: u32, width: u32, height: u32) -> Rectangle {
    Rectangle {
        x,
        y,
        width,
        height,
    }
}

#[test]
fn is_found_and_started() {
    let monitor = edid("Fake", 640, 480);
    let card = Card::new(2 * MIB, &[], &monitor);
    assert_eq!(
        adapters(&Functions::find(&card.function)).collect::<Vec<_>>(),
        [PLACE]
    );
    let adapter = card.start().unwrap();
    assert_eq!(adapter.edid(), monitor);
    assert_eq!(adapter.video_len, 2 * MIB);
    // Its memory space is enabled, and its addresses are unchanged.
    assert_eq!(card.function.read(PLACE, 4), 2);
    assert_eq!(card.function.read(PLACE, 0x10), VIDEO as u32 | 8);
    let other = Card::new(MIB, &[], &[1; 200]);
    assert_eq!(other.start().unwrap().edid(), [0; 0]);
}

#[test]
fn shows_what_is_presented() {
    let card = Card::new(2 * MIB, &[], &[]);
    let mut adapter = card.start().unwrap();
    let (width, height) = (128, 96);
    let count = (width * height) as usize;
    let (first, pixels) = adapter.create(width, height).unwrap();
    fill(pixels, count, 1);
    adapter.present(first, &[]).unwrap();
    assert_eq!(card.shown(), (128, 96, vec![1; count]), "all of a new one");
    // Only the damaged part of the changes is copied.
    fill(pixels, count, 2);
    let damage = [part(126, 95, 10, 10), part(0, 0, 1, 1), part(500, 0, 1, 1)];
    adapter.present(first, &damage).unwrap();
    let (_, _, seen) = card.shown();
    let copied = |index: &usize| seen[*index] == 2;
    let changed: Vec<usize> = (0..count).filter(copied).collect();
    assert_eq!(changed, [0, count - 2, count - 1]);
    // Another one is shown as a whole, from a place of its own.
    let before = card.get(dispi::Y);
    let (second, pixels) = adapter.create(width, height).unwrap();
    fill(pixels, count, 3);
    adapter.present(second, &[]).unwrap();
    assert_eq!(card.shown().2, vec![3; count]);
    assert_ne!(card.get(dispi::Y), before);
    // The first is still there.
    adapter.present(first, &[]).unwrap();
    assert_eq!((card.get(dispi::Y), card.shown().2), (before, seen));
    adapter.disable();
    assert_eq!(card.shown().2, vec![0; count]);
    adapter.present(first, &[]).unwrap();
    assert_eq!(card.shown().2, vec![2; count], "what was blanked is copied");
    adapter.release(first);
    assert_eq!(adapter.present(first, &[]), Err(BochsError::Invalid));
    assert_eq!(card.shown().2, vec![2; count], "the picture stays");
}

#[test]
fn many_buffers_take_turns_in_video_memory() {
    let card = Card::new(2 * MIB, &[], &[]);
    let mut adapter = card.start().unwrap();
    for (width, height) in [(64, 64), (256, 1024), (512, 1024)] {
        let count = (width * height) as usize;
        let buffers: Vec<_> = (0..6)
            .map(|_| adapter.create(width, height).unwrap())
            .collect();
        for round in 0..4 {
            for (index, (number, pixels)) in buffers.iter().enumerate() {
                let value = 10 * round + index as u32;
                fill(*pixels, count, value);
                adapter.present(*number, &all(width, height)).unwrap();
                assert_eq!(card.shown().2, vec![value; count]);
            }
        }
        buffers
            .iter()
            .for_each(|(number, _)| adapter.release(*number));
    }
    assert_eq!(card.memory.allocated(), 0);
}

#[test]
fn a_picture_that_is_no_mode_is_shown_in_the_corner_of_one() {
    let card = Card::new(2 * MIB, &[], &[]);
    let mut adapter = card.start().unwrap();
    let (number, pixels) = adapter.create(99, 16).unwrap();
    fill(pixels, 99 * 16, 7);
    adapter.present(number, &[]).unwrap();
    let (width, height, seen) = card.shown();
    assert_eq!((width, height), (104, 64));
    for (index, pixel) in seen.iter().enumerate() {
        let inside = index % 104 < 99 && index / 104 < 16;
        assert_eq!(*pixel, if inside { 7 } else { 0 }, "{index}");
    }
}

#[test]
fn refuses_what_it_cannot_show() {
    let card = Card::new(MIB, &[], &[]);
    let mut adapter = card.start().unwrap();
    for (width, height) in [(15, 16), (16, 15), (8193, 16), (16, u32::MAX)] {
        assert_eq!(adapter.create(width, height), Err(BochsError::Invalid));
    }
    let (needed, present) = (640 * 480 * 4, MIB);
    let refused = BochsError::VideoMemory { needed, present };
    assert_eq!(adapter.create(640, 480), Err(refused));
    // The mode counts, which is wider than the picture.
    let (needed, present) = (64 * 4100 * 4, MIB);
    let refused = BochsError::VideoMemory { needed, present };
    assert_eq!(adapter.check(60, 4100), Err(refused));
    assert_eq!(adapter.check(64, 4096), Ok(()));
    card.memory.limit(100);
    assert_eq!(adapter.create(64, 64), Err(BochsError::OutOfMemory));
    assert_eq!(adapter.present(1, &[]), Err(BochsError::Invalid));
    adapter.release(1);
    adapter.disable();
}

#[test]
fn refuses_adapters_that_are_none() {
    let started = |card: Card| card.start().map(drop);
    for (number, value) in [(dispi::ID, 0xb0c0), (dispi::ID, 0xffff), (dispi::MEMORY, 0)] {
        let card = Card::new(MIB, &[(number, value)], &[]);
        assert_eq!(started(card), Err(Error::BadConfig));
    }
    let with = |offset, value: u32, fixed: u32| {
        let mut card = Card::new(MIB, &[], &[]);
        card.function.words.get_mut().unwrap().insert(offset, value);
        card.function.fixed.insert(offset, fixed);
        started(card)
    };
    let video = MIB as u32 - 1;
    // A port, no address, no size, a size that isn't a power of two, one that the address isn't a
    // multiple of, one too small for the registers.
    assert_eq!(with(0x10, 0xc001, video), Err(Error::BadBar(0)));
    assert_eq!(with(0x10, 0, video), Err(Error::BadBar(0)));
    assert_eq!(
        with(0x18, REGISTERS as u32, u32::MAX),
        Err(Error::BadBar(2))
    );
    assert_eq!(with(0x10, VIDEO as u32, 0x5fff), Err(Error::BadBar(0)));
    assert_eq!(
        with(0x10, VIDEO as u32 + 0x1000, video),
        Err(Error::BadBar(0))
    );
    assert_eq!(with(0x18, REGISTERS as u32, 0xff), Err(Error::BadConfig));
    // Unmappable addresses.
    assert_eq!(with(0x10, 0x1000_0000, video), Err(Error::Unmappable));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever the adapter reports, nothing outside its video memory is written, whose size it
    /// reports twice: the test's memory ends there, and the driver's assertions check.
    #[test]
    fn stays_within_video_memory(
        memory_field in any::<u16>(),
        size in 15usize..21,
        monitor in proptest::collection::vec(any::<u8>(), 0..0x400),
        pictures in proptest::collection::vec((16u32..600, 16u32..600), 1..6),
        damage in proptest::collection::vec(any::<(u32, u32, u32, u32)>(), 0..4),
    ) {
        let card = Card::new(1 << size, &[(dispi::MEMORY, memory_field)], &monitor);
        if let Ok(mut adapter) = card.start() {
            prop_assert!(adapter.video_len <= 1 << size);
            let damage: Vec<_> = damage.iter().map(|(x, y, w, h)| part(*x, *y, *w, *h)).collect();
            for (width, height) in pictures {
                if let Ok((number, _)) = adapter.create(width, height) {
                    prop_assert_eq!(adapter.present(number, &[]), Ok(()));
                    prop_assert_eq!(adapter.present(number, &damage), Ok(()));
                }
            }
        }
    }
}
