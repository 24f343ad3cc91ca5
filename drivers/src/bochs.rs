//! The Bochs graphics adapter, PCI 1234:1111: QEMU's `bochs-display`, `secondary-vga` and standard
//! VGA, the usual display of a virtual machine that has no virtio one. It has no interrupts, no
//! cursor and no hot-plug, only a mode and video memory (QEMU, `docs/specs/standard-vga.rst`).
//!
//! The caller draws into a frame buffer, ordinary memory that the driver owns. [`Bochs::present`]
//! copies the damaged parts to video memory, which is slow to read. The most recently presented
//! buffers keep a place of their own in video memory if they fit, so that the adapter switches
//! between whole pictures.

use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;

use crate::gpu::{Rectangle, SIDE};
use crate::pci::{Address, Config, ConfigAccess, Functions, Id};
use crate::register;
use crate::shadow::Shadows;
use crate::{Error, MemoryRef};

/// Vendor and device id.
const PCI_IDS: &[Id] = &[Id::Device(0x1234, 0x1111)];

/// Base address registers of video memory and of the registers.
const VIDEO_BAR: u8 = 0;
const REGISTERS_BAR: u8 = 2;

/// Bytes of the registers, and the offsets of their blocks.
const REGISTERS: usize = 0x1000;
const EDID_BYTES: usize = 0x400;
const VGA: usize = 0x400;
const DISPI: usize = 0x500;

/// VGA's ports from 0x3c0 on: the attribute controller, and the status register; a read of the
/// latter makes the controller expect an index next.
const VGA_ATTRIBUTE: usize = 0;
const VGA_STATE: usize = 0x1a;
/// Index of the attribute controller that enables the picture.
const VGA_SHOWN: u8 = 0x20;

/// Numbers of the 16-bit registers ("DISPI", VBE of the Bochs BIOS).
mod dispi {
    pub const ID: usize = 0;
    pub const WIDTH: usize = 1;
    pub const HEIGHT: usize = 2;
    pub const BITS: usize = 3;
    pub const ENABLE: usize = 4;
    pub const BANK: usize = 5;
    pub const VIRTUAL_WIDTH: usize = 6;
    pub const VIRTUAL_HEIGHT: usize = 7;
    pub const X: usize = 8;
    pub const Y: usize = 9;
    pub const MEMORY: usize = 10;
}

/// The ids of the versions that have all registers.
const IDS: core::ops::RangeInclusive<u16> = 0xb0c4..=0xb0cf;
const ENABLED: u16 = 1;
const LINEAR: u16 = 1 << 6;
/// Unit of [`dispi::MEMORY`].
const UNIT: usize = 64 << 10;

/// Maximum of video memory in use: twice what the largest mode of most monitors needs.
const MAX_VIDEO: usize = 64 << 20;
/// Minimum width and height of a mode, and the unit of widths. A smaller picture is shown in the
/// upper left corner of such a mode.
const MIN_SIDE: u32 = 64;
const STEP: u32 = 8;
/// Maximum number of buffers with a place in video memory.
const MAX_PLACES: usize = 4;

/// Reason for which an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BochsError {
    /// Out of memory for a buffer.
    OutOfMemory,
    /// The mode needs more video memory than the adapter has, in bytes.
    VideoMemory {
        /// Bytes that the mode needs.
        needed: usize,
        /// Bytes that the adapter has.
        present: usize,
    },
    /// No such buffer, or a side that is out of [`SIDE`].
    Invalid,
    /// The adapter didn't accept the mode.
    Refused,
}

/// The addresses of all such adapters among a machine's functions, in address order.
pub fn adapters(functions: &Functions<'_>) -> impl Iterator<Item = Address> {
    functions.with_ids(PCI_IDS).map(|(address, _)| address)
}

impl fmt::Display for BochsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BochsError::OutOfMemory => f.write_str("not enough contiguous memory"),
            BochsError::VideoMemory { needed, present } => write!(
                f,
                "needs {needed} bytes of video memory, and the adapter has {present} (QEMU: \
                 vgamem_mb=64 for standard VGA, vgamem=64M for bochs-display)"
            ),
            BochsError::Invalid => f.write_str("no such picture, or an impossible size"),
            BochsError::Refused => f.write_str("the adapter doesn't take the mode"),
        }
    }
}

/// A mode, and the buffers in video memory.
struct Mode {
    width: u32,
    height: u32,
    /// The number of the buffer in each place, from top to bottom; 0: none. At most [`MAX_PLACES`].
    places: Vec<u32>,
    /// The place on display.
    shown: usize,
}

impl Mode {
    fn place_len(&self) -> usize {
        self.width as usize * self.height as usize * 4
    }
}

/// A Bochs graphics adapter. Dropping it frees its buffers; the picture stays.
///
/// The registers and the video memory of this example are ordinary memory.
///
/// ```
/// # use drivers::pci::{Address, ConfigAccess};
/// # use std::{collections::BTreeMap, sync::Mutex};
/// # struct Bus(Mutex<BTreeMap<u16, u32>>);
/// # impl ConfigAccess for Bus {
/// #     fn read(&self, _: Address, offset: u16) -> u32 {
/// #         *self.0.lock().unwrap().get(&offset).unwrap_or(&0)
/// #     }
/// #     fn write(&self, _: Address, offset: u16, value: u32) {
/// #         // The low bits of the base addresses say how large the regions are.
/// #         let value = match offset {
/// #             0x10 => value & 0xffff_0000,
/// #             0x18 => value & 0xffff_f000,
/// #             _ => value,
/// #         };
/// #         self.0.lock().unwrap().insert(offset, value);
/// #     }
/// # }
/// use drivers::bochs::Bochs;
/// use drivers::fake::HostMemory;
/// use drivers::gpu::Rectangle;
///
/// let memory = HostMemory::new();
/// # let video: &'static mut [u32] = Vec::leak(vec![0; 0x1_0000 / 4]);
/// # let first = video.as_ptr();
/// # let registers: &'static mut [u32] = Vec::leak(vec![0; 0x1000 / 4]);
/// # registers[0x500 / 4] = 0xb0c5; // its version
/// # registers[0x514 / 4] = 1; // 64 KiB of video memory
/// # memory.add_registers(0xfd00_0000, video);
/// # memory.add_registers(0xfebd_0000, registers);
/// # let config = [(0, 0x1111_1234), (0x10, 0xfd00_0000), (0x18, 0xfebd_0000)];
/// # let bus = Bus(Mutex::new(BTreeMap::from(config)));
/// # let address = Address { bus: 0, device: 2, function: 0 };
/// // SAFETY: nothing else drives the adapter.
/// let mut adapter = unsafe { Bochs::new(memory, &bus, address) }?;
/// let (buffer, pixels) = adapter.create(64, 48).unwrap();
/// // SAFETY: the buffer has 64 * 48 pixels until it is released.
/// unsafe { pixels.write(0x00ff_ffff) };
/// adapter.present(buffer, &[Rectangle::of(64, 48)]).unwrap();
/// # // SAFETY: inside of the video memory, which is never freed.
/// # let shows = |at| unsafe { first.add(at).read_volatile() } == 0x00ff_ffff;
/// # assert_eq!((0..0x1_0000 / 4).filter(|at| shows(*at)).count(), 1);
/// # Ok::<(), drivers::Error>(())
/// ```
pub struct Bochs {
    memory: MemoryRef,
    registers: NonNull<u8>,
    video: NonNull<u8>,
    video_len: usize,
    buffers: Shadows,
    mode: Option<Mode>,
    edid: Vec<u8>,
}

impl Bochs {
    /// Maps the adapter's registers and video memory, and reads its EDID. The picture stays until
    /// the first [`present`](Bochs::present).
    ///
    /// # Errors
    ///
    /// [`Error::BadBar`], [`Error::Unmappable`], [`Error::BadConfig`] (an invalid id or amount of
    /// video memory), [`Error::OutOfMemory`].
    ///
    /// # Safety
    ///
    /// Nothing else drives the function while the value lives.
    pub unsafe fn new(
        memory: MemoryRef,
        access: &dyn ConfigAccess,
        address: Address,
    ) -> Result<Bochs, Error> {
        let config = Config { access, address };
        let (video, video_len) = config.sized_memory_bar(VIDEO_BAR)?;
        let (registers, registers_len) = config.sized_memory_bar(REGISTERS_BAR)?;
        config.enable_memory();
        if registers_len < REGISTERS as u64 {
            return Err(Error::BadConfig);
        }
        let registers = memory.map_mmio(registers, REGISTERS);
        let mut adapter = Bochs {
            memory,
            registers: registers.ok_or(Error::Unmappable)?,
            video: NonNull::dangling(),
            video_len: 0,
            buffers: Shadows::new(memory),
            mode: None,
            edid: Vec::new(),
        };
        if !IDS.contains(&adapter.read(dispi::ID)) {
            return Err(Error::BadConfig);
        }
        let memory_field = usize::from(adapter.read(dispi::MEMORY)) * UNIT;
        let len = usize::try_from(video_len).unwrap_or(usize::MAX);
        let len = len.min(memory_field).min(MAX_VIDEO);
        if len < UNIT {
            return Err(Error::BadConfig);
        }
        let video = memory.map_video(video, len);
        adapter.video = video.ok_or(Error::Unmappable)?;
        adapter.video_len = len;
        let room = adapter.edid.try_reserve(EDID_BYTES);
        room.map_err(|_| Error::OutOfMemory)?;
        adapter.read_edid();
        Ok(adapter)
    }

    /// Reads the EDID, if the adapter has one.
    fn read_edid(&mut self) {
        for offset in 0..EDID_BYTES {
            // SAFETY: inside of the registers; mapped for good.
            self.edid
                .push(unsafe { register::read(self.registers.add(offset).as_ptr()) });
        }
        let len = match crate::gpu::edid::parse(&self.edid) {
            // The base block says how many others follow.
            Some(_) => 128 * (1 + usize::from(self.edid[126])),
            None => 0,
        };
        self.edid.truncate(len);
    }

    fn register(&self, number: usize) -> NonNull<u16> {
        // SAFETY: `number` is one of `dispi`: inside of the registers.
        unsafe { self.registers.add(DISPI + 2 * number).cast() }
    }

    fn read(&self, number: usize) -> u16 {
        // SAFETY: an aligned register, mapped for good.
        unsafe { register::read(self.register(number).as_ptr()) }
    }

    fn write(&mut self, number: usize, value: u16) {
        // SAFETY: as for `read`; the adapter has one owner.
        unsafe { register::write(self.register(number).as_ptr(), value) };
    }

    /// The EDID of the monitor, at most 1024 bytes; empty if there is none.
    pub fn edid(&self) -> &[u8] {
        &self.edid
    }

    /// Whether [`create`](Bochs::create) makes a buffer of this size, if there is memory for it.
    ///
    /// # Errors
    ///
    /// [`BochsError::Invalid`], [`BochsError::VideoMemory`].
    pub fn check(&self, width: u32, height: u32) -> Result<(), BochsError> {
        if !SIDE.contains(&width) || !SIDE.contains(&height) {
            return Err(BochsError::Invalid);
        }
        let (mode_width, mode_height) = mode_for(width, height);
        let needed = mode_width as usize * mode_height as usize * 4;
        let present = self.video_len;
        match needed > present {
            true => Err(BochsError::VideoMemory { needed, present }),
            false => Ok(()),
        }
    }

    /// Allocates a black frame buffer. Returns its number, which is never reused, and its pixels,
    /// row by row. The caller may draw into the memory until [`release`](Bochs::release).
    ///
    /// # Errors
    ///
    /// [`BochsError::Invalid`], [`BochsError::VideoMemory`], [`BochsError::OutOfMemory`].
    pub fn create(&mut self, width: u32, height: u32) -> Result<(u32, NonNull<u32>), BochsError> {
        self.check(width, height)?;
        let created = self.buffers.create(width, height);
        created.ok_or(BochsError::OutOfMemory)
    }

    /// Frees a frame buffer, whose memory the caller must no longer use. The picture stays. An
    /// unknown number is ignored.
    pub fn release(&mut self, number: u32) {
        self.buffers.release(number);
        if let Some(mode) = &mut self.mode {
            for place in mode.places.iter_mut().filter(|place| **place == number) {
                *place = 0;
            }
        }
    }

    /// Shows a frame buffer: copies the damaged parts, or all of it the first time and after
    /// another buffer took its place in video memory. The adapter shows it when this returns.
    ///
    /// # Errors
    ///
    /// [`BochsError::Invalid`], [`BochsError::Refused`], [`BochsError::OutOfMemory`].
    pub fn present(&mut self, number: u32, damage: &[Rectangle]) -> Result<(), BochsError> {
        let buffer = self.buffers.find(number).ok_or(BochsError::Invalid)?;
        let (width, height) = (buffer.width, buffer.height);
        let mut mode = self.take_mode(mode_for(width, height))?;
        let place = mode.places.iter().position(|place| *place == number);
        let (place, all) = match place {
            Some(place) => (place, false),
            // A free one, else round-robin.
            None => {
                let free = |place: &usize| mode.places[*place] == 0 && *place != mode.shown;
                let free = (0..mode.places.len()).find(free);
                let next = (mode.shown + 1) % mode.places.len();
                (free.unwrap_or(next), true)
            }
        };
        mode.places[place] = number;
        if all {
            self.copy(&mode, place, Rectangle::of(width, height));
        } else {
            for part in damage.iter().filter_map(|part| part.clipped(width, height)) {
                self.copy(&mode, place, part);
            }
        }
        // The copy must reach video memory before it is shown.
        self.memory.barrier();
        if place != mode.shown {
            // At most `MAX_PLACES` * 8192.
            self.write(dispi::Y, (place as u32 * mode.height) as u16);
            mode.shown = place;
        }
        self.mode = Some(mode);
        Ok(())
    }

    /// The current mode, after setting one of this size if it differs.
    fn take_mode(&mut self, (width, height): (u32, u32)) -> Result<Mode, BochsError> {
        match self.mode.take() {
            Some(mode) if (mode.width, mode.height) == (width, height) => Ok(mode),
            _ => self.set_mode(width, height),
        }
    }

    /// Sets a mode that fits into video memory, with a black picture.
    fn set_mode(&mut self, width: u32, height: u32) -> Result<Mode, BochsError> {
        let mut mode = Mode {
            width,
            height,
            places: Vec::new(),
            shown: 0,
        };
        let count = (self.video_len / mode.place_len()).clamp(1, MAX_PLACES);
        let room = mode.places.try_reserve(count);
        room.map_err(|_| BochsError::OutOfMemory)?;
        mode.places.resize(count, 0);
        // Both are at most 8192, and the virtual height four times as much.
        let (columns, rows) = (width as u16, height as u16);
        self.write(dispi::ENABLE, 0);
        for (number, value) in [
            (dispi::BITS, 32),
            (dispi::WIDTH, columns),
            (dispi::HEIGHT, rows),
            (dispi::BANK, 0),
            (dispi::VIRTUAL_WIDTH, columns),
            (dispi::VIRTUAL_HEIGHT, rows * count as u16),
            (dispi::X, 0),
            (dispi::Y, 0),
        ] {
            self.write(number, value);
        }
        let len = mode.place_len() * count;
        // SAFETY: `count` places fit into video memory, which nothing else writes to.
        unsafe { self.video.write_bytes(0, len.min(self.video_len)) };
        self.memory.barrier();
        self.write(dispi::ENABLE, ENABLED | LINEAR);
        self.show();
        let taken = [dispi::WIDTH, dispi::HEIGHT, dispi::BITS].map(|number| self.read(number));
        match taken == [columns, rows, 32] {
            true => Ok(mode),
            false => Err(BochsError::Refused),
        }
    }

    /// Enables standard VGA's attribute controller, which firmware may have left disabled: without
    /// it no picture is shown.
    fn show(&mut self) {
        // SAFETY: two byte registers inside the block; other adapters ignore them.
        unsafe {
            register::read(self.registers.add(VGA + VGA_STATE).as_ptr());
            register::write(self.registers.add(VGA + VGA_ATTRIBUTE).as_ptr(), VGA_SHOWN);
        }
    }

    /// Copies a part that lies inside the buffer of a place to it.
    fn copy(&mut self, mode: &Mode, place: usize, part: Rectangle) {
        let Some(buffer) = self.buffers.find(mode.places[place]) else {
            return;
        };
        let start = mode.place_len() * place;
        for y in part.y..part.y + part.height {
            let from = (y as usize * buffer.width as usize + part.x as usize) * 4;
            let to = start + (y as usize * mode.width as usize + part.x as usize) * 4;
            let len = part.width as usize * 4;
            debug_assert!(from + len <= buffer.region.len() && to + len <= self.video_len);
            // SAFETY: the part lies inside the buffer, which lies inside the mode, whose places lie
            // in video memory; the two don't overlap. The picture may show what the program draws
            // meanwhile.
            unsafe {
                self.video
                    .add(to)
                    .copy_from_nonoverlapping(buffer.region.ptr(from), len);
            }
        }
    }

    /// Shows black until the next present.
    pub fn disable(&mut self) {
        if let Some(mode) = &mut self.mode {
            let (start, len) = (mode.place_len() * mode.shown, mode.place_len());
            // The next present copies the whole picture.
            mode.places[mode.shown] = 0;
            // SAFETY: a place in video memory, which nothing else writes.
            unsafe { self.video.add(start).write_bytes(0, len) };
            self.memory.barrier();
        }
    }
}

/// The size of the mode that shows a picture of this size.
fn mode_for(width: u32, height: u32) -> (u32, u32) {
    let width = width.max(MIN_SIDE).next_multiple_of(STEP);
    (width, height.max(MIN_SIDE))
}

// SAFETY: the registers and video memory stay mapped for good, and this is their only owner
// (promise to `new`).
unsafe impl Send for Bochs {}

#[cfg(test)]
mod tests;
