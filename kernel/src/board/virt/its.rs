//! Messages of devices as interrupts: by a GICv3's ITS (Arm IHI 0069, chapters 5 and 6), or by a
//! GICv2m frame (Arm's Server Base System Architecture, appendix E).

use super::gic::{self, FIRST_MESSAGE, redistributor};
use super::handover;
use super::irq;
use super::registers::{Registers, await_until};
use super::vectors::COUNT;
use crate::arch::gates;
use crate::cell::{ExclusiveCell, rank};
use crate::memory;
use alloc::vec::Vec;
use commands::Command;
use drivers::pci::Address;
use drivers::transport::pci::Message;
use firmware::fdt::Fdt;

mod commands;

/// How this machine takes messages; found by the first [`message`].
enum Controller {
    /// Not searched for yet.
    Unknown,
    /// It takes none.
    None,
    /// A frame that makes messages shared interrupts.
    Frame {
        /// Physical address.
        address: u64,
        /// The next unused interrupt, and one past the last.
        next: u32,
        end: u32,
    },
    /// A translation service.
    Service(Service),
}

struct Service {
    /// Physical address.
    address: u64,
    /// The ring of commands.
    commands: *mut [Command; COMMANDS],
    /// The next command's place.
    next: usize,
    /// What names the processor's redistributor in commands.
    target: u64,
    /// Bytes of a device's table for each event.
    entry: usize,
    /// Devices that have a table.
    devices: Vec<u32>,
}

// SAFETY: the ring is memory of this service only.
unsafe impl Send for Service {}

/// Used by tasks and at boot, with interrupts disabled or enabled; never by interrupts.
static CONTROLLER: ExclusiveCell<Controller, rank::Controller> =
    ExclusiveCell::new(Controller::Unknown);
/// The registers of the frame or of the service.
static REGISTERS: Registers = Registers::none();

/// Registers of the service.
mod register {
    pub const CONTROL: usize = 0;
    pub const TYPE: usize = 8;
    pub const COMMANDS: usize = 0x80;
    pub const WRITER: usize = 0x88;
    pub const READER: usize = 0x90;
    pub const TABLES: usize = 0x100;
    pub const TRANSLATER: u64 = 0x1_0040;
}

const PAGE: usize = 4096;
/// Commands in the ring: a page.
const COMMANDS: usize = PAGE / size_of::<Command>();
/// Bits of the numbers of interrupts, the fewest that a redistributor has.
const ID_BITS: u32 = 14;
/// Bits of the number of a device's event, which is the vector's.
const EVENT_BITS: u32 = 6;
const _: () = assert!(COUNT <= 1 << EVENT_BITS);
/// Devices that get tables: those of the first buses.
const DEVICES: usize = 1 << 12;

/// The message by which the function at `address` interrupts as `vector`; `None` if the machine
/// takes no messages.
pub fn message(vector: u8, address: Address) -> Option<Message> {
    CONTROLLER.with(|controller| {
        if let Controller::Unknown = controller {
            *controller = find();
        }
        match controller {
            Controller::Frame {
                address, next, end, ..
            } => {
                let number = *next;
                if number >= *end || !irq::route_number(number, vector, true) {
                    return None;
                }
                *next += 1;
                const SET: u64 = 0x40;
                Some(Message {
                    address: *address + SET,
                    data: number,
                })
            }
            Controller::Service(service) => service.message(vector, address),
            Controller::Unknown | Controller::None => None,
        }
    })
}

fn find() -> Controller {
    let found = handover::tree().and_then(|tree| match gic::is_version_3() {
        true => Service::start(&tree).map(Controller::Service),
        false => frame(&tree),
    });
    found.unwrap_or(Controller::None)
}

fn frame(tree: &Fdt<'_>) -> Option<Controller> {
    const TYPE: usize = 8;
    let node = tree.compatible(&["arm,gic-v2m-frame"])?;
    let (address, _) = node.registers().next()?;
    // SAFETY: the tree says that the frame is there; just mapped, for good.
    unsafe { REGISTERS.set(memory::map_device(address, PAGE)?) };
    let kind: u32 = REGISTERS.read(TYPE);
    let first = node.u32("arm,msi-base-spi").unwrap_or(kind >> 16 & 0x3ff);
    let count = node
        .u32("arm,msi-num-spis")
        .unwrap_or(kind & 0x3ff)
        .min(1020);
    Some(Controller::Frame {
        address,
        next: first.min(1020),
        end: first.min(1020) + count,
    })
}

/// Zeroed memory for the controller: (physical address, pointer).
fn allocate(len: usize, align: usize) -> Option<(u64, *mut u8)> {
    memory::allocate_contiguous(len, align)
}

impl Service {
    fn start(tree: &Fdt<'_>) -> Option<Self> {
        const LEN: usize = 0x2_0000;
        let node = tree.compatible(&["arm,gic-v3-its"])?;
        let (address, _) = node.registers().next()?;
        let registers = memory::map_device(address, LEN)?;
        // QEMU 10.0's ACPI lists a service that `its=off` leaves out. Devices then have their
        // lines, or are polled.
        if !answers(registers) {
            return None;
        }
        // SAFETY: just found there; mapped for good.
        unsafe { REGISTERS.set(registers) };
        start_messages()?;
        REGISTERS.write(register::CONTROL, 0u32);
        const QUIESCENT: u32 = 1 << 31;
        await_until(|| REGISTERS.read::<u32>(register::CONTROL) & QUIESCENT != 0);
        for index in 0..8 {
            let offset = register::TABLES + 8 * index;
            let old: u64 = REGISTERS.read(offset);
            let entry = (old >> 48 & 0x1f) as usize + 1;
            let len = match commands::table_kind(old) {
                commands::DEVICES => DEVICES * entry,
                commands::COLLECTIONS => PAGE,
                _ => continue,
            };
            // Pages of 64 KiB, which all services have.
            let len = len.next_multiple_of(0x1_0000);
            let (physical, _) = allocate(len, 0x1_0000)?;
            REGISTERS.write(offset, commands::table(physical, len));
        }
        let (physical, ring) = allocate(PAGE, 0x1_0000)?;
        REGISTERS.write(register::COMMANDS, commands::ring(physical));
        REGISTERS.write(register::WRITER, 0u64);
        REGISTERS.write(register::CONTROL, 1u32);
        let kind: u64 = REGISTERS.read(register::TYPE);
        let own: u64 = gic::own_redistributor().read(redistributor::TYPE);
        const BY_ADDRESS: u64 = 1 << 19;
        let target = match kind & BY_ADDRESS {
            0 => (own >> 8 & 0xffff) << 16,
            _ => gic::redistributor_address(),
        };
        let mut service = Self {
            address,
            commands: ring.cast(),
            next: 0,
            target,
            entry: (kind >> 4 & 15) as usize + 1,
            devices: Vec::new(),
        };
        let collection = commands::map_collection(target);
        service
            .run(&[collection, commands::sync(target)])
            .then_some(service)
    }

    fn message(&mut self, vector: u8, address: Address) -> Option<Message> {
        let device = u32::from(address.bus) << 8
            | u32::from(address.device & 31) << 3
            | u32::from(address.function & 7);
        if device as usize >= DEVICES {
            return None;
        }
        if !self.devices.contains(&device) {
            self.devices.try_reserve(1).ok()?;
            let (table, _) = allocate(self.entry << EVENT_BITS, PAGE)?;
            self.devices.push(device);
            if !self.run(&[commands::map_device(device, table, EVENT_BITS)]) {
                return None;
            }
        }
        let event = u32::from(vector);
        let done = self.run(&[
            commands::map_event(device, event, FIRST_MESSAGE + event),
            commands::invalidate(device, event),
            commands::sync(self.target),
        ]);
        done.then_some(Message {
            address: self.address + register::TRANSLATER,
            data: event,
        })
    }

    /// Has the service carry out these commands; false if it doesn't.
    fn run(&mut self, commands: &[Command]) -> bool {
        for command in commands {
            // SAFETY: the ring's memory; the service has read the command that was there.
            unsafe { (*self.commands)[self.next] = *command };
            self.next = (self.next + 1) % COMMANDS;
        }
        crate::arch::cpu::barrier();
        let end = (self.next * size_of::<Command>()) as u64;
        REGISTERS.write(register::WRITER, end);
        await_until(|| REGISTERS.read::<u64>(register::READER) == end)
    }
}

/// Whether the registers mapped here are a service's, by the version that they name (GITS_PIDR2,
/// ArchRev).
fn answers(registers: *mut u8) -> bool {
    const IDENTITY: usize = 0xffe8;
    // SAFETY: within the mapped registers; an identification register.
    let identity = unsafe { gates::probe(registers.wrapping_add(IDENTITY)) };
    matches!(identity.map(|value| value >> 4 & 15), Some(3 | 4))
}

/// Lets the redistributor take messages' interrupts, with a table of their priorities and one of
/// those that are pending.
fn start_messages() -> Option<()> {
    const ENABLED: u8 = 1;
    const PRIORITY: u8 = 0xa0;
    /// Bytes of the table of pending ones, and the alignment that it needs.
    const PENDING: usize = 1 << (ID_BITS - 3);
    const PENDING_ALIGN: usize = 0x1_0000;
    const ENABLE: u32 = 1;
    let own = gic::own_redistributor();
    if own.read::<u32>(redistributor::CONTROL) & ENABLE != 0 {
        // Its tables are firmware's.
        return None;
    }
    let len = (1 << ID_BITS) - FIRST_MESSAGE as usize;
    let (physical, properties) = allocate(len, PAGE)?;
    // SAFETY: memory of this length, just allocated.
    unsafe { core::ptr::write_bytes(properties, PRIORITY | ENABLED, len) };
    let (pending, _) = allocate(PENDING, PENDING_ALIGN)?;
    crate::arch::cpu::barrier();
    own.write(
        redistributor::PROPERTIES,
        commands::properties(physical, ID_BITS),
    );
    own.write(redistributor::PENDING, commands::pending(pending));
    own.write(redistributor::CONTROL, ENABLE);
    Some(())
}
