//! The devices of this machine: virtio devices on PCI, virtio-mmio devices that ACPI or the command
//! line names, other PCI functions by their ids, and Bochs graphics adapters.
//!
//! Nothing here runs before [`find`], [`find_functions`] or [`find_bochs`], so a program without
//! devices links no driver.

pub mod serial;

use crate::arch::cpu;
use crate::board::pci::{self, Config};
use crate::board::vectors::{FIRST_VIRTIO, LAST_VIRTIO};
use crate::board::{irq, mmio};
use crate::interrupts::{self, Trigger};
use crate::{environment, memory, time};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
use drivers::bochs::Bochs;
use drivers::function::{Function, Started};
use drivers::memory::{Access, Allocation, Segment};
use drivers::pci::{Address, Functions, Id};
use drivers::transport::mmio::MmioTransport;
use drivers::transport::pci::Interrupts;
use drivers::{Interrupt, Memory, MemoryRef, Transport, transport};

/// The machine's memory for drivers. It may be used wherever [`memory`] may: not in an interrupt.
pub static MEMORY: MemoryRef = &MachineMemory;

struct MachineMemory;

// SAFETY: `memory` returns frames that nothing else uses; a present page keeps its frame until it
// is unmapped; and `map_device` maps uncached, for good.
unsafe impl Memory for MachineMemory {
    fn allocate(&self, len: usize, align: usize) -> Option<Allocation> {
        let (phys, pointer) = memory::allocate_contiguous(len, align)?;
        Some(Allocation {
            ptr: NonNull::new(pointer)?,
            phys,
            len,
        })
    }

    unsafe fn free(&self, allocation: Allocation) {
        // SAFETY: the caller's promise.
        unsafe { memory::free_contiguous(allocation.phys, allocation.len) }
    }

    fn segments(
        &self,
        ptr: *const u8,
        len: usize,
        access: Access,
        visit: &mut dyn FnMut(Segment) -> bool,
    ) -> bool {
        let write = access == Access::DeviceWrites;
        memory::segments(ptr as u64, len, write, &mut |phys, len| {
            visit(Segment { phys, len })
        })
    }

    fn map_mmio(&self, phys: u64, len: usize) -> Option<NonNull<u8>> {
        if memory::is_ram(phys, len) {
            return None;
        }
        NonNull::new(memory::map_device(phys, len)?)
    }

    fn map_video(&self, phys: u64, len: usize) -> Option<NonNull<u8>> {
        if memory::overlaps_ram(phys, len) {
            return None;
        }
        NonNull::new(memory::map_video(phys, len)?)
    }

    fn now_ns(&self) -> u64 {
        time::monotonic_ns()
    }

    fn barrier(&self) {
        cpu::barrier();
    }
}

/// The registers of any virtio device.
type AnyTransport = Box<dyn Transport + Send>;

/// A device that was found, ready for its driver.
pub struct Found {
    /// Its registers. Its interrupts end [`crate::wait::wait_until`].
    pub transport: AnyTransport,
    /// Its address: `pci 00:03.0`, `mmio 0xfeb00e00`.
    pub place: String,
}

/// The machine's PCI functions, which the first call finds; none with `pci=off` on the command
/// line, Linux's word, which Firecracker passes to a machine without PCI.
fn functions() -> &'static Functions<'static> {
    /// Never freed; null before the first call.
    static FUNCTIONS: AtomicPtr<Functions<'static>> = AtomicPtr::new(null_mut());
    // Acquire: pairs with the store. SAFETY: only set below, to a box that is never freed.
    if let Some(functions) = unsafe { FUNCTIONS.load(Ordering::Acquire).as_ref() } {
        return functions;
    }
    let functions = match environment::variable(b"pci") {
        Some(b"off") => Functions::none(&Config),
        _ => {
            pci::set_up();
            Functions::find(&Config)
        }
    };
    let functions = Box::leak(Box::new(functions));
    // Release: the list is complete for who loads its address.
    FUNCTIONS.store(functions, Ordering::Release);
    functions
}

/// All virtio devices: PCI in the order of addresses, then virtio-mmio likewise. Devices that can't
/// be driven are named in `problems`. Call it once: a second set of transports would take the
/// devices away from the first.
pub fn find(problems: &mut dyn FnMut(String)) -> Vec<Found> {
    let mut found = Vec::new();
    for function in functions().virtio() {
        // SAFETY: this is the only call for the function, see the documentation above. The handler
        // of the vectors only records interrupts.
        let start = |interrupts: Interrupts<'_>| unsafe {
            transport::open(MEMORY, &Config, pci::PORTS, &function, interrupts)
        };
        let interrupt = |transport: &AnyTransport| transport.interrupt();
        match with_interrupts(function.address, function.line, &start, &interrupt) {
            Ok(transport) => found.push(Found {
                place: format!("pci {}", function.address),
                transport,
            }),
            Err(error) => problems(format!("pci {}: {error}", function.address)),
        }
    }
    for (address, len, line) in mmio_places() {
        // SAFETY: this is the only call for the place, see the documentation above.
        match unsafe { MmioTransport::probe(MEMORY, address, len) } {
            Ok(Some(transport)) => {
                let vector = vector_of_line(line, next_vector());
                interrupts::add_acknowledge(vector, transport.interrupt());
                if !interrupts::route(line, vector, Trigger::Level) {
                    problems(format!("mmio {address:#x}: its interrupt has no input"));
                }
                found.push(Found {
                    place: format!("mmio {address:#x}"),
                    transport: Box::new(transport),
                });
            }
            Ok(None) => {}
            Err(error) => problems(format!("mmio {address:#x}: {error}")),
        }
    }
    found
}

/// All Bochs graphics adapters that can be driven, in the order of their addresses; others are
/// named in `problems`. Call it once, as [`find`].
pub fn find_bochs(problems: &mut dyn FnMut(String)) -> Vec<Bochs> {
    let mut found = Vec::new();
    for address in drivers::bochs::adapters(functions()) {
        // SAFETY: this is the only call for the function, see the documentation above.
        match unsafe { Bochs::new(MEMORY, &Config, address) } {
            Ok(adapter) => found.push(adapter),
            Err(error) => problems(format!("pci {address}: {error}")),
        }
    }
    found
}

/// What `start` makes of all PCI functions with one of these ids, each with its address
/// (`pci 00:04.0`), in the order of addresses; the functions that it refuses are named in
/// `problems`. `start` also returns the acknowledgement of the function's interrupts, which end
/// [`crate::wait::wait_until`]. Call it once for each function, as [`find`].
pub fn find_functions<T>(
    ids: &[Id],
    start: &dyn Fn(&Function<'_>) -> Started<T>,
    problems: &mut dyn FnMut(String),
) -> Vec<(String, T)> {
    let mut found = Vec::new();
    for (address, line) in functions().with_ids(ids) {
        let place = format!("pci {address}");
        let open = |interrupts: Interrupts<'_>| {
            // SAFETY: this is the only call for the function, see the documentation above. The
            // handler of the vectors only records interrupts.
            let function = unsafe { Function::open(MEMORY, &Config, address, interrupts) }?;
            start(&function)
        };
        match with_interrupts(address, line, &open, &|(_, interrupt)| *interrupt) {
            Ok((device, _)) => found.push((place, device)),
            Err(error) => problems(format!("{place}: {error}")),
        }
    }
    found
}

/// PCI classes of controllers that no driver exists for: base class 1 (mass storage) with these
/// subclasses, from the PCI Code and ID Assignment Specification.
const UNDRIVEN: [(&str, Id); 2] = [("IDE", Id::Subclass(0x0101)), ("SAS", Id::Subclass(0x0107))];

/// The controllers of disks that no driver exists for, as `IDE at pci 00:01.1, …`; empty if there
/// are none. For messages about a missing disk.
pub fn undriven_disks() -> String {
    let mut text = String::new();
    for (name, id) in UNDRIVEN {
        for (address, _) in functions().with_ids(&[id]) {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a string can't fail.
            let _ = write!(text, "{comma}{name} at pci {address}");
        }
    }
    text
}

/// Vectors of devices.
const VECTORS: usize = (LAST_VIRTIO - FIRST_VIRTIO) as usize + 1;

/// The interrupt vector of the next device: one each while they last, then the last one for all.
fn next_vector() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(FIRST_VIRTIO);
    let vector = NEXT.load(Ordering::Relaxed);
    NEXT.store((vector + 1).min(LAST_VIRTIO), Ordering::Relaxed);
    vector
}

/// The vector of an interrupt line: `vector`, unless the line has one of an earlier device. An
/// input of the controller has one vector, whose handler acknowledges at all devices.
fn vector_of_line(line: u32, vector: u8) -> u8 {
    /// The line of each vector plus 1; 0 for none. Used by the thread that searches.
    static LINES: [AtomicU64; VECTORS] = [const { AtomicU64::new(0) }; VECTORS];
    let own = usize::from(vector - FIRST_VIRTIO);
    find_or_set(&LINES, u64::from(line) + 1, own) as u8 + FIRST_VIRTIO
}

/// The index of `value`; `index`, which then has it, where it is new.
fn find_or_set(values: &[AtomicU64], value: u64, index: usize) -> usize {
    let found = values
        .iter()
        .position(|known| known.load(Ordering::Relaxed) == value);
    found.unwrap_or_else(|| {
        if let Some(slot) = values.get(index) {
            slot.store(value, Ordering::Relaxed);
        }
        index
    })
}

/// How long a wait for devices may take, in nanoseconds, where one of them doesn't interrupt.
const POLL_NS: u64 = 1_000_000;
/// A device doesn't interrupt. Set at its discovery.
static IS_POLLED: AtomicBool = AtomicBool::new(false);

/// The deadline of a wait for devices that begins `now` and has a deadline of its `own`: it ends in
/// time for devices that don't interrupt.
pub fn deadline(own: Option<u64>, now: impl FnOnce() -> u64) -> Option<u64> {
    match IS_POLLED.load(Ordering::Relaxed) {
        true => Some(own.unwrap_or(u64::MAX).min(now().saturating_add(POLL_NS))),
        false => own,
    }
}

/// Starts a PCI function with a message; without one with its interrupt line, and without
/// an input for that only polled ([`deadline`]).
fn with_interrupts<T>(
    address: Address,
    line: Option<u8>,
    start: &dyn Fn(Interrupts<'_>) -> Result<T, drivers::Error>,
    interrupt: &dyn Fn(&T) -> Interrupt,
) -> Result<T, drivers::Error> {
    let vector = next_vector();
    if let Some(message) = irq::message(vector, address) {
        match start(Interrupts::Messages(&[message])) {
            Err(drivers::Error::NoVector) => {}
            other => return other,
        }
    }
    let line = pci::line(address, line).filter(|line| irq::has_input(*line));
    let Some(line) = line else {
        let device = start(Interrupts::None)?;
        IS_POLLED.store(true, Ordering::Relaxed);
        return Ok(device);
    };
    let device = start(Interrupts::Line)?;
    let vector = vector_of_line(line, vector);
    interrupts::add_acknowledge(vector, interrupt(&device));
    interrupts::route(line, vector, Trigger::Level);
    Ok(device)
}

/// The virtio-mmio devices that may exist: (physical address, length, interrupt).
fn mmio_places() -> Vec<(u64, usize, u32)> {
    let mut places: Vec<(u64, usize, u32)> = Vec::new();
    let mut add = |address, len, line| {
        if let Err(at) = places.binary_search_by_key(&address, |place| place.0) {
            places.insert(at, (address, len, line));
        }
    };
    // Tables say more than the command line: how a device interrupts.
    mmio::each(&mut add);
    for device in environment::mmio_devices() {
        let line = mmio::named_line(device.irq);
        add(device.address, device.size as usize, line);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::{IS_POLLED, POLL_NS, deadline, find_or_set};
    use core::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_wait_ends_in_time_for_a_device_that_does_not_interrupt() {
        let deadlines = [None, Some(5), Some(7 + POLL_NS), Some(u64::MAX)];
        let found = || deadlines.map(|own| deadline(own, || 7));
        assert_eq!(found(), deadlines);
        IS_POLLED.store(true, Ordering::Relaxed);
        let limit = Some(7 + POLL_NS);
        assert_eq!(found(), [limit, Some(5), limit, limit]);
        IS_POLLED.store(false, Ordering::Relaxed);
    }

    #[test]
    fn devices_of_a_line_share_its_vector() {
        let lines = [const { AtomicU64::new(0) }; 3];
        let found = [(11, 0), (12, 1), (11, 2), (13, 2), (12, 2)]
            .map(|(line, own)| find_or_set(&lines, line, own));
        assert_eq!(found, [0, 1, 0, 2, 1]);
    }
}
