//! The interrupt controller: GICv2 (Arm IHI 0048) and GICv3 (Arm IHI 0069). One processor takes all
//! interrupts.

use super::fdt::Node;
use super::registers::{Registers, await_until};
use crate::arch::gic as processor;
use crate::memory;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// The first interrupt that devices share; those before belong to the processor.
pub const FIRST_SHARED: u32 = 32;
/// Interrupts from here on are none ("spurious").
const FIRST_SPECIAL: u32 = 1020;
/// The first interrupt of messages by an ITS.
pub const FIRST_MESSAGE: u32 = 8192;

/// Registers of the distributor, and of the second frame of a redistributor.
mod register {
    pub const CONTROL: usize = 0;
    pub const GROUP: usize = 0x80;
    pub const SET_ENABLE: usize = 0x100;
    pub const CLEAR_ENABLE: usize = 0x180;
    pub const PRIORITY: usize = 0x400;
    pub const TARGET: usize = 0x800;
    pub const CONFIGURATION: usize = 0xc00;
    pub const ROUTE: usize = 0x6000;
}
/// Registers of GICv2's interface to the processor.
mod interface {
    pub const CONTROL: usize = 0;
    pub const PRIORITY_MASK: usize = 4;
    pub const ACKNOWLEDGE: usize = 0xc;
    pub const END: usize = 0x10;
}
/// Registers of a redistributor.
pub mod redistributor {
    pub const CONTROL: usize = 0;
    pub const TYPE: usize = 8;
    pub const WAKER: usize = 0x14;
    pub const PROPERTIES: usize = 0x70;
    pub const PENDING: usize = 0x78;
}
/// Bytes of a frame of registers.
const FRAME: usize = 0x1_0000;
/// The priority of all interrupts, above the mask's.
const PRIORITY: u8 = 0xa0;

/// 2 or 3; 0 without a controller. Written once, at boot.
static VERSION: AtomicU8 = AtomicU8::new(0);
/// The mask of the processor in GICv2's targets. Written once, at boot.
static TARGET: AtomicU8 = AtomicU8::new(1);
static DISTRIBUTOR: Registers = Registers::none();
static INTERFACE: Registers = Registers::none();
/// The physical address of the processor's redistributor. Written once, at boot.
static REDISTRIBUTOR_ADDRESS: AtomicU64 = AtomicU64::new(0);
/// Its registers: two frames.
static REDISTRIBUTOR: Registers = Registers::none();
/// Its second frame, which has the processor's own interrupts.
static OWN: Registers = Registers::none();

/// The register of `bits` bits for an interrupt, and the position in it: (offset from the first
/// register, shift).
const fn field(number: u32, bits: u32) -> (usize, u32) {
    let each = 32 / bits;
    ((number / each * 4) as usize, number % each * bits)
}

fn map(registers: &Registers, address: u64, len: usize) -> Option<()> {
    let base = memory::map_device(address, len)?;
    // SAFETY: the tree says that the controller is there; just mapped, for good.
    unsafe { registers.set(base) };
    Some(())
}

/// Lets the controller interrupt the processor; every interrupt is disabled.
pub fn set_up(node: &Node<'_>) {
    // Without what a kind needs there is no controller.
    let _ = match node.is_compatible("arm,gic-v3") {
        true => set_up_3(node),
        false => set_up_2(node),
    };
}

fn set_up_2(node: &Node<'_>) -> Option<()> {
    const ENABLE: u32 = 1;
    /// Priorities below this one interrupt.
    const MASK: u32 = 0xf0;
    let mut registers = node.registers();
    map(&DISTRIBUTOR, registers.next()?.0, 0x1000)?;
    map(&INTERFACE, registers.next()?.0, 0x1000)?;
    // Targets of the processor's own interrupts are the processor.
    let own: u32 = DISTRIBUTOR.read(register::TARGET);
    let own = own | own >> 16;
    TARGET.store(((own | own >> 8) as u8).max(1), Ordering::Relaxed);
    DISTRIBUTOR.write(register::CONTROL, ENABLE);
    INTERFACE.write(interface::PRIORITY_MASK, MASK);
    INTERFACE.write(interface::CONTROL, ENABLE);
    VERSION.store(2, Ordering::Relaxed);
    Some(())
}

fn set_up_3(node: &Node<'_>) -> Option<()> {
    if !processor::enable_registers() {
        return None;
    }
    map(&DISTRIBUTOR, node.registers().next()?.0, FRAME)?;
    let regions = node.u32("#redistributor-regions").unwrap_or(1) as usize;
    let mut regions = node.registers().skip(1).take(regions);
    let base = regions.find_map(|(start, len)| find_redistributor(start, len))?;
    REDISTRIBUTOR_ADDRESS.store(base, Ordering::Relaxed);
    map(&REDISTRIBUTOR, base, 2 * FRAME)?;
    map(&OWN, base + FRAME as u64, FRAME)?;
    let waker: u32 = REDISTRIBUTOR.read(redistributor::WAKER);
    const SLEEP: u32 = 1 << 1;
    const ASLEEP: u32 = 1 << 2;
    REDISTRIBUTOR.write(redistributor::WAKER, waker & !SLEEP);
    await_until(|| REDISTRIBUTOR.read::<u32>(redistributor::WAKER) & ASLEEP == 0);
    OWN.write(register::CLEAR_ENABLE, u32::MAX);
    OWN.write(register::GROUP, u32::MAX);
    // Both groups, routing by affinity: the bits are the same, or ignored, in both security states.
    const ENABLE: u32 = 1 | 1 << 1 | 1 << 4;
    DISTRIBUTOR.write(register::CONTROL, ENABLE);
    await_writes();
    processor::enable();
    VERSION.store(3, Ordering::Relaxed);
    Some(())
}

/// The processor's redistributor in a region of them.
fn find_redistributor(start: u64, len: u64) -> Option<u64> {
    const LAST: u64 = 1 << 4;
    /// It has frames for virtual messages.
    const VIRTUAL: u64 = 1 << 1;
    let affinity = u32::from_le_bytes(processor::affinity());
    let mut base = start;
    while base - start < len {
        let registers = Registers::none();
        map(&registers, base, FRAME)?;
        let kind: u64 = registers.read(redistributor::TYPE);
        if (kind >> 32) as u32 == affinity {
            return Some(base);
        }
        if kind & LAST != 0 {
            break;
        }
        base += (if kind & VIRTUAL != 0 { 4 } else { 2 }) * FRAME as u64;
    }
    None
}

/// Waits until the distributor has taken the last writes.
fn await_writes() {
    const PENDING: u32 = 1 << 31;
    await_until(|| DISTRIBUTOR.read::<u32>(register::CONTROL) & PENDING == 0);
}

/// Whether it is a GICv3; its redistributor is found.
pub fn is_version_3() -> bool {
    VERSION.load(Ordering::Relaxed) == 3
}

/// The processor's redistributor.
pub fn own_redistributor() -> &'static Registers {
    &REDISTRIBUTOR
}

/// Its physical address, a multiple of 64 KiB.
pub fn redistributor_address() -> u64 {
    REDISTRIBUTOR_ADDRESS.load(Ordering::Relaxed)
}

/// Lets interrupt `number`, below 1020, reach the processor; false without a controller.
pub fn enable(number: u32, edge: bool) -> bool {
    let version = VERSION.load(Ordering::Relaxed);
    if version == 0 || number >= FIRST_SPECIAL {
        return false;
    }
    let shared = number >= FIRST_SHARED;
    let registers = match version {
        3 if !shared => &OWN,
        _ => &DISTRIBUTOR,
    };
    let (enable, bit) = field(number, 1);
    registers.write(register::CLEAR_ENABLE + enable, 1u32 << bit);
    if version == 3 {
        let group: u32 = registers.read(register::GROUP + enable);
        registers.write(register::GROUP + enable, group | 1 << bit);
    }
    let (configuration, shift) = field(number, 2);
    let old: u32 = registers.read(register::CONFIGURATION + configuration);
    let new = old & !(2 << shift) | if edge { 2 << shift } else { 0 };
    registers.write(register::CONFIGURATION + configuration, new);
    registers.write(register::PRIORITY + number as usize, PRIORITY);
    if shared {
        match version {
            3 => {
                let [first, second, third, fourth] = processor::affinity().map(u64::from);
                let route = first | second << 8 | third << 16 | fourth << 32;
                registers.write(register::ROUTE + 8 * number as usize, route);
            }
            _ => {
                let target = TARGET.load(Ordering::Relaxed);
                registers.write(register::TARGET + number as usize, target);
            }
        }
    }
    registers.write(register::SET_ENABLE + enable, 1u32 << bit);
    true
}

/// Takes the pending interrupt of the highest priority: its number, for [`end`]; `None` if there is
/// none.
pub fn acknowledge() -> Option<u32> {
    let number = match VERSION.load(Ordering::Relaxed) {
        3 => processor::acknowledge(),
        2 => INTERFACE.read::<u32>(interface::ACKNOWLEDGE) & 0x3ff,
        _ => return None,
    };
    let is_special = (FIRST_SPECIAL..FIRST_MESSAGE).contains(&number);
    (!is_special).then_some(number)
}

/// Ends the interrupt that [`acknowledge`] returned.
pub fn end(number: u32) {
    match VERSION.load(Ordering::Relaxed) {
        3 => processor::end(number),
        _ => {
            // What the handler wrote to its device comes before the end.
            crate::arch::cpu::barrier();
            INTERFACE.write(interface::END, number);
        }
    }
}
