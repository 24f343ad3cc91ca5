//! The part of PCI that finds and configures functions (PCI Local Bus 3.0, chapter 6).

use alloc::vec::Vec;
use core::fmt;

use crate::Error;
use crate::device_type::DeviceType;

/// Vendor id of every virtio function (virtio 1.2, 4.1.2).
const VIRTIO_VENDOR: u16 = 0x1af4;

/// The first device id without the legacy interface.
const MODERN_IDS: u32 = 0x1040;

/// Configuration space registers.
mod register {
    pub const ID: u16 = 0x00;
    pub const COMMAND: u16 = 0x04;
    pub const CLASS: u16 = 0x08;
    pub const HEADER_TYPE: u16 = 0x0c;
    pub const BAR0: u16 = 0x10;
    pub const BUS_NUMBERS: u16 = 0x18;
    pub const SUBSYSTEM: u16 = 0x2c;
    pub const CAPABILITIES: u16 = 0x34;
    pub const INTERRUPT: u16 = 0x3c;
}

/// Status register: the function has a capability list.
const HAS_CAPABILITIES: u32 = 1 << 20;
/// Command register: I/O space enable, memory space enable, bus master enable, interrupt disable.
const COMMAND_PORTS: u32 = 1;
const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_MASTER: u32 = 1 << 2;
const COMMAND_NO_LINE: u32 = 1 << 10;
/// 192 bytes of capabilities of at least 4 bytes: a longer list is a loop.
const MAX_CAPABILITIES: usize = 48;

/// Address of a function on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Bus, 0 to 255.
    pub bus: u8,
    /// Device (slot), 0 to 31.
    pub device: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

/// Access to PCI configuration space, by ports 0xcf8/0xcfc or a memory-mapped (ECAM) window; the
/// kernel implements it.
///
/// `offset` is a multiple of 4 below 256. A read of an absent function returns all ones.
pub trait ConfigAccess: Sync {
    /// Reads 32 bits.
    fn read(&self, address: Address, offset: u16) -> u32;
    /// Writes 32 bits.
    fn write(&self, address: Address, offset: u16, value: u32);
}

/// Access to I/O ports; the kernel of a machine that has them implements it.
///
/// `size` is 1, 2 or 4, the bytes of the access.
pub trait Ports: Sync + fmt::Debug {
    /// Reads a port.
    ///
    /// # Safety
    ///
    /// The port belongs to a device of the caller, and reading it affects no memory in use.
    unsafe fn read(&self, port: u16, size: usize) -> u32;

    /// Writes a port.
    ///
    /// # Safety
    ///
    /// As for [`read`](Ports::read).
    unsafe fn write(&self, port: u16, size: usize, value: u32);
}

/// A reference to the machine's ports, which lives as long as the program.
pub type PortsRef = &'static dyn Ports;

/// A virtio function found on the bus.
#[derive(Clone, Copy, Debug)]
pub struct VirtioFunction {
    /// Its address.
    pub address: Address,
    /// Its type.
    pub device_type: DeviceType,
    /// Its device id is one of those (0x1000 to 0x103f) that may have the legacy ports.
    pub is_transitional: bool,
    /// Interrupt line of its pin as the firmware configured it (the `Interrupt Line` register: an
    /// IRQ of the 8259 or an input of the IO-APIC); `None` without a pin.
    pub line: Option<u8>,
}

/// Functions that a driver drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// By vendor id and device id.
    Device(u16, u16),
    /// By class: programming interface in bits 0 to 7, subclass in 8 to 15, base class in 16 to 23.
    Class(u32),
    /// By subclass (bits 0 to 7) and base class (8 to 15), with any programming interface.
    Subclass(u32),
}

impl Id {
    fn includes(self, function: &Present) -> bool {
        match self {
            Id::Device(vendor, device) => {
                function.id == u32::from(vendor) | u32::from(device) << 16
            }
            Id::Class(wanted) => function.class == wanted,
            Id::Subclass(wanted) => function.class >> 8 == wanted,
        }
    }
}

/// See [`VirtioFunction::line`].
fn interrupt_line(access: &dyn ConfigAccess, address: Address) -> Option<u8> {
    let interrupt = access.read(address, register::INTERRUPT);
    (interrupt >> 8 & 0xff != 0).then_some(interrupt as u8)
}

/// A function that the walk found.
#[derive(Clone, Copy, Debug)]
struct Present {
    address: Address,
    /// Vendor (bits 0 to 15) and device (16 to 31).
    id: u32,
    /// As in [`Id::Class`].
    class: u32,
}

/// All functions of a machine in address order, including those below bridges that the firmware
/// configured. One walk finds them: the accesses to a virtual machine's configuration space are its
/// exits.
pub struct Functions<'a> {
    access: &'a dyn ConfigAccess,
    all: Vec<Present>,
}

impl<'a> Functions<'a> {
    /// Walks all buses.
    pub fn find(access: &'a dyn ConfigAccess) -> Self {
        let mut walk = Walk::new(access);
        let all = core::iter::from_fn(|| {
            let (address, id) = walk.next_function()?;
            let class = access.read(address, register::CLASS) >> 8;
            Some(Present { address, id, class })
        });
        Functions {
            access,
            all: all.collect(),
        }
    }

    /// Of a machine without PCI, or whose user wants none.
    pub fn none(access: &'a dyn ConfigAccess) -> Self {
        Functions {
            access,
            all: Vec::new(),
        }
    }

    /// The virtio functions.
    pub fn virtio(&self) -> impl Iterator<Item = VirtioFunction> {
        let virtio = |function: &Present| function.id as u16 == VIRTIO_VENDOR;
        self.all
            .iter()
            .filter(move |it| virtio(it))
            .filter_map(|it| {
                Some(VirtioFunction {
                    address: it.address,
                    device_type: self.virtio_type(it.address, (it.id >> 16) as u16)?,
                    is_transitional: it.id >> 16 < MODERN_IDS,
                    line: interrupt_line(self.access, it.address),
                })
            })
    }

    /// The addresses of the functions with one of these ids, each with its interrupt line as in
    /// [`VirtioFunction::line`].
    pub fn with_ids(&self, ids: &[Id]) -> impl Iterator<Item = (Address, Option<u8>)> {
        let wanted = |function: &&Present| ids.iter().any(|id| id.includes(function));
        let found = self.all.iter().filter(wanted);
        found.map(|it| (it.address, interrupt_line(self.access, it.address)))
    }

    /// Modern ids are 0x1040 + type; transitional ones (0x1000 to 0x103f) have the type as
    /// subsystem id.
    fn virtio_type(&self, address: Address, device: u16) -> Option<DeviceType> {
        match device {
            0x1000..=0x103f => {
                let subsystem = self.access.read(address, register::SUBSYSTEM);
                Some(DeviceType(subsystem >> 16))
            }
            0x1040..=0x107f => Some(DeviceType(u32::from(device) - 0x1040)),
            _ => None,
        }
    }
}

/// A scan of all functions: visits at most 256 buses, each once.
struct Walk<'a> {
    access: &'a dyn ConfigAccess,
    /// Bit set of known buses. Bridges lead to higher numbers only.
    buses: [u64; 4],
    bus: u16,
    /// Next device and function on the bus: device * 8 + function.
    slot: u16,
    /// Function 0 of the device has the multifunction bit.
    whole_device: bool,
}

impl<'a> Walk<'a> {
    fn new(access: &'a dyn ConfigAccess) -> Walk<'a> {
        let mut buses = [0; 4];
        buses[0] = 1;
        Walk {
            access,
            buses,
            bus: 0,
            slot: 0,
            whole_device: false,
        }
    }

    /// The next function present: its address and ids.
    fn next_function(&mut self) -> Option<(Address, u32)> {
        while let Some(address) = self.next_address() {
            let id = self.access.read(address, register::ID);
            if id as u16 == 0xffff {
                continue;
            }
            let header = self.access.read(address, register::HEADER_TYPE) >> 16;
            if address.function == 0 {
                self.whole_device = header & 0x80 != 0;
            }
            if header & 0x7f == 1 {
                self.note_bridge(address);
            }
            return Some((address, id));
        }
        None
    }

    fn next_address(&mut self) -> Option<Address> {
        while self.bus < 256 {
            let known = self.buses[usize::from(self.bus / 64)] >> (self.bus % 64) & 1 == 1;
            if !known || self.slot >= 256 {
                self.bus += 1;
                self.slot = 0;
                continue;
            }
            let slot = self.slot;
            let function = (slot % 8) as u8;
            if function == 0 {
                self.whole_device = false;
            } else if !self.whole_device {
                self.slot = (slot / 8 + 1) * 8;
                continue;
            }
            self.slot = slot + 1;
            return Some(Address {
                bus: self.bus as u8,
                device: (slot / 8) as u8,
                function,
            });
        }
        None
    }

    fn note_bridge(&mut self, address: Address) {
        let secondary = self.access.read(address, register::BUS_NUMBERS) >> 8 & 0xff;
        // Ignores a secondary bus that was visited already (a loop, or 0 for an unconfigured
        // bridge).
        self.buses[secondary as usize / 64] |= 1 << (secondary % 64);
    }
}

/// One entry of a function's capability list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capability {
    pub id: u8,
    pub offset: u16,
}

/// A function with its configuration access.
#[derive(Clone, Copy)]
pub(crate) struct Config<'a> {
    pub access: &'a dyn ConfigAccess,
    pub address: Address,
}

impl Config<'_> {
    pub fn read(&self, offset: u16) -> u32 {
        self.access.read(self.address, offset)
    }

    pub fn write(&self, offset: u16, value: u32) {
        self.access.write(self.address, offset, value);
    }

    /// Iterates over the capabilities; at most 48, which bounds a loop in the list.
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> + '_ {
        let start = if self.read(register::COMMAND) & HAS_CAPABILITIES != 0 {
            self.read(register::CAPABILITIES) as u8
        } else {
            0
        };
        let mut next = start & 0xfc;
        core::iter::from_fn(move || {
            // The first 64 bytes are the header.
            if next < 0x40 {
                return None;
            }
            let offset = u16::from(next);
            let word = self.read(offset);
            next = (word >> 8) as u8 & 0xfc;
            Some(Capability {
                id: word as u8,
                offset,
            })
        })
        .take(MAX_CAPABILITIES)
    }

    /// Returns the physical address of memory BAR `bar`.
    ///
    /// # Errors
    ///
    /// [`Error::BadBar`] for an I/O BAR, one that firmware left unassigned, or one that doesn't
    /// exist.
    pub fn memory_bar(&self, bar: u8) -> Result<u64, Error> {
        if bar > 5 {
            return Err(Error::BadBar(bar));
        }
        let offset = register::BAR0 + 4 * u16::from(bar);
        let low = self.read(offset);
        let is_64_bits = low >> 1 & 3 == 2;
        let high = if is_64_bits && bar < 5 {
            self.read(offset + 4)
        } else {
            0
        };
        let address = u64::from(high) << 32 | u64::from(low & !0xf);
        if low & 1 != 0 || address == 0 {
            Err(Error::BadBar(bar))
        } else {
            Ok(address)
        }
    }

    /// Returns the physical address of memory BAR `bar` and its size in bytes, a power of two.
    /// Memory space is disabled while the size is probed.
    ///
    /// # Errors
    ///
    /// As [`memory_bar`](Config::memory_bar), and [`Error::BadBar`] for an impossible size.
    pub fn sized_memory_bar(&self, bar: u8) -> Result<(u64, u64), Error> {
        let address = self.memory_bar(bar)?;
        let command = self.read(register::COMMAND) & 0xffff;
        self.write(register::COMMAND, command & !COMMAND_MEMORY);
        let size_bits = |offset| {
            let before = self.read(offset);
            self.write(offset, u32::MAX);
            let bits = self.read(offset);
            self.write(offset, before);
            bits
        };
        let offset = register::BAR0 + 4 * u16::from(bar);
        let is_64_bits = self.read(offset) >> 1 & 3 == 2;
        let low = size_bits(offset) & !0xf;
        let high = match is_64_bits && bar < 5 {
            true => size_bits(offset + 4),
            false => u32::MAX,
        };
        self.write(register::COMMAND, command);
        let size = (u64::from(high) << 32 | u64::from(low)).wrapping_neg();
        // The address consists of the bits above the size's.
        match size.is_power_of_two() && address & (size - 1) == 0 {
            true => Ok((address, size)),
            false => Err(Error::BadBar(bar)),
        }
    }

    /// Returns the first port of I/O BAR `bar` and the number of its ports, a power of two. I/O
    /// space is disabled while the number is probed.
    ///
    /// # Errors
    ///
    /// [`Error::BadBar`] for a memory BAR, one that firmware left unassigned, or one that doesn't
    /// exist.
    pub fn sized_port_bar(&self, bar: u8) -> Result<(u16, u16), Error> {
        if bar > 5 {
            return Err(Error::BadBar(bar));
        }
        let offset = register::BAR0 + 4 * u16::from(bar);
        let before = self.read(offset);
        let command = self.read(register::COMMAND) & 0xffff;
        if before & 1 == 0 {
            return Err(Error::BadBar(bar));
        }
        self.write(register::COMMAND, command & !COMMAND_PORTS);
        self.write(offset, u32::MAX);
        // The upper half may read as zeros: there are 65536 ports.
        let size = (self.read(offset) as u16 & !3).wrapping_neg();
        self.write(offset, before);
        self.write(register::COMMAND, command);
        match u16::try_from(before & !3) {
            Ok(first) if first > 0 && size.is_power_of_two() && first & (size - 1) == 0 => {
                Ok((first, size))
            }
            _ => Err(Error::BadBar(bar)),
        }
    }

    /// Enables I/O space.
    pub fn enable_ports(&self) {
        let command = self.read(register::COMMAND) & 0xffff;
        self.write(register::COMMAND, command | COMMAND_PORTS);
    }

    /// Enables memory space.
    pub fn enable_memory(&self) {
        let command = self.read(register::COMMAND) & 0xffff;
        self.write(register::COMMAND, command | COMMAND_MEMORY);
    }

    /// Enables memory space and bus mastering.
    pub fn enable(&self, use_line: bool) {
        let command = self.read(register::COMMAND) & 0xffff | COMMAND_MEMORY | COMMAND_MASTER;
        let command = if use_line {
            command & !COMMAND_NO_LINE
        } else {
            command | COMMAND_NO_LINE
        };
        // The upper half is the status register, whose bits are write-one-to-clear: write zeros.
        self.write(register::COMMAND, command);
    }
}
